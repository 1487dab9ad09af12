package stytchapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Class says whom a failed call is about.
type Class uint8

const (
	Gone  Class = iota + 1 // definitive about the session: it is over
	Setup                  // about us: wrong secret, project, arguments; nobody is logged out
	Now                    // about now: 429, 5xx, timeouts, answers that make no sense
)

// String returns "gone", "setup", "now" or "unknown".
func (c Class) String() string {
	switch c {
	case Gone:
		return "gone"
	case Setup:
		return "setup"
	case Now:
		return "now"
	}
	return "unknown"
}

// Error is every error of a call. Its text, in whatever format, is one line
// of our own words and the fields below; it holds no token, no secret and no
// text of anybody else's. Unwrap leads to the cause, such as
// context.DeadlineExceeded, whose text is not so careful.
type Error struct {
	Class      Class
	Type       string        // Stytch's error_type, sanitised and cut; "" if there was none
	Status     int           // 0 if there was no answer
	RequestID  string        // sanitised and cut
	RetryAfter time.Duration // Now: how long to wait; at least 1 s
	NotSent    string        // the limit that kept the call back: "paused", "in flight" or "breaker"; else ""

	reason string // our words for the cause
	cause  error
}

// Error returns one line, such as
// "stytchapi: now: status 503, error_type internal_server_error, request_id request-id-test-1".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("stytchapi: " + e.Class.String())
	sep := ": "
	add := func(s string) { b.WriteString(sep + s); sep = ", " }
	if e.reason != "" {
		add(e.reason)
	}
	if e.Status != 0 {
		add(fmt.Sprintf("status %d", e.Status))
	}
	if e.Type != "" {
		add("error_type " + clean(e.Type))
	}
	if e.RequestID != "" {
		add("request_id " + clean(e.RequestID))
	}
	return b.String()
}

// Unwrap returns what the transport or the reader of the answer said.
func (e *Error) Unwrap() error { return e.cause }

// classify says whom an answer that is no success is about, by its status and
// error_type alone. (A 200 gets here when it made no sense.)
//
// A 4xx without a type of the definitive list is about us, whatever its body,
// except those that say "not now": 408 Request Timeout, 425 Too Early, 429
// Too Many Requests, and 499, Stytch's client_closed_request.
func classify(status int, errorType string) Class {
	switch {
	case status < 400 || status > 499 || status == http.StatusTooManyRequests:
		return Now
	case definitive(errorType) && (errorType != "session_not_found" || status == http.StatusNotFound):
		return Gone
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == 499:
		return Now
	}
	return Setup
}

// OtherKind is the error type with which an endpoint for consumers refuses a
// session of a B2B project.
const OtherKind = "incompatible_session_type"

// definitive reports whether an error_type is about the session itself. Beyond
// this list nobody is logged out.
func definitive(errorType string) bool {
	switch errorType {
	case "session_not_found", "invalid_session_token", "invalid_session_id", "unable_to_parse_session_jwt",
		"jwt_invalid_audience", "jwt_invalid_claims", "jwt_invalid_issuer", OtherKind,
		"user_unauthenticated":
		return true
	}
	return false
}

// unanswered is the error of a call without an HTTP answer.
func unanswered(err error) *Error {
	return &Error{Class: Now, RetryAfter: time.Second, reason: reason(err), cause: err}
}

// reason puts err into our own words: its text may be anybody's.
func reason(err error) string {
	var (
		panicked  *panicError
		dns       *net.DNSError
		cert      *tls.CertificateVerificationError
		op        *net.OpError
		senseless nonsense
	)
	switch {
	case errors.Is(err, context.Canceled):
		return "the caller left"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.As(err, &panicked):
		return "the HTTP transport panicked"
	case errors.As(err, &dns):
		return "the host name was not resolved"
	case errors.As(err, &cert):
		return "the TLS certificate was not accepted"
	case errors.Is(err, errTooLarge):
		return "the answer is larger than 1 MiB"
	case errors.Is(err, errCut):
		return "the answer could not be read to its end"
	case errors.As(err, &senseless):
		return "the answer makes no sense: " + string(senseless)
	case errors.As(err, &op) && op.Op == "dial":
		return "no connection"
	case errors.As(err, &op), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection broke"
	}
	return "the call failed"
}

// own returns the text of an error of this package without its prefix.
func own(err error) string { return strings.TrimPrefix(err.Error(), "stytchapi: ") }

// maxClean is the longest foreign text that is printed.
const maxClean = 64

// clean makes foreign text printable: cut, and with a dash, which no
// error_type contains, for every byte beyond [A-Za-z0-9_.:-].
func clean(s string) string {
	b := []byte(s[:min(len(s), maxClean)])
	for i, c := range b {
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_', c == '.', c == ':', c == '-':
		default:
			b[i] = '-'
		}
	}
	return string(b)
}

// clean is the function of that name; but an answer that echoes what we sent
// is not printed at all.
func (c *Client) clean(s, credential string) string {
	out := clean(s)
	secret, basic := c.keys()
	for _, k := range []string{credential, secret, basic} {
		if k != "" && (strings.Contains(s, k) || len(out) >= 8 && strings.Contains(k, out)) {
			return "redacted"
		}
	}
	return out
}
