package stytchapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/internal/stytchapi"
)

const (
	project = "project-test-11111111-1111-4111-8111-111111111111"
	secret  = "secret-test-TopSecret-0123456789_abcdef="
	token   = "WJtR5BCy38Szd5AfoDpf0iqFKEt4EE5JhjlWUY7l3FtY"
	aJWT    = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1c2VyLXRlc3QtMSJ9.c2lnbmF0dXJlLW9mLXRoZS1qd3Q"
)

var (
	byToken = stytchapi.Credential{SessionToken: token}
	byJWT   = stytchapi.Credential{SessionJWT: aJWT}
	byID    = stytchapi.Credential{SessionID: "session-test-1"}
)

// transport is a RoundTripper in memory.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// journal collects what is logged.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// lines returns how many records of the level there are.
func (j *journal) lines(level string) int { return strings.Count(j.String(), "level="+level) }

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// client returns a client over rt, and its log.
func client(rt http.RoundTripper, more ...func(*stytchapi.Config)) (*stytchapi.Client, *journal) {
	j := new(journal)
	cfg := stytchapi.Config{
		ProjectID: project, Secret: secret, BaseURL: "https://stytch.test",
		HTTPClient: &http.Client{Transport: rt}, Logger: j.logger(),
	}
	for _, f := range more {
		f(&cfg)
	}
	return stytchapi.New(cfg), j
}

// reply makes an answer; header is name, value, ….
func reply(status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

func session(expires time.Time) string {
	return fmt.Sprintf(`{"session_id":"session-test-1","user_id":"user-test-1","expires_at":%q,"attributes":null}`, expires.UTC().Format(time.RFC3339))
}

// fine is the body of a good 200.
func fine() string {
	return fmt.Sprintf(`{"status_code":200,"request_id":"request-id-test-1","session":%s,"session_token":%q,"session_jwt":%q,"user":{"user_id":"user-test-1","name":{}}}`,
		session(time.Now().Add(time.Hour)), token, aJWT)
}

func failure(status int, errorType string) string {
	return fmt.Sprintf(`{"status_code":%d,"request_id":"request-id-test-2","error_type":%q,"error_message":"Foreign text.","error_url":"https://stytch.com/docs"}`, status, errorType)
}

// authenticate calls with the token and returns the error.
func authenticate(c *stytchapi.Client) *stytchapi.Error {
	return authenticateWith(context.Background(), c)
}

func authenticateWith(ctx context.Context, c *stytchapi.Client) *stytchapi.Error {
	a, err := c.Authenticate(ctx, byToken, 0)
	if (a == nil) == (err == nil) {
		panic("neither an answer nor an error, or both")
	}
	return as(err)
}

// as returns err as *Error; every error of the package must be one.
func as(err error) *stytchapi.Error {
	if err == nil {
		return nil
	}
	var e *stytchapi.Error
	if !errors.As(err, &e) {
		panic(fmt.Sprintf("%T is no *Error", err))
	}
	return e
}

func class(e *stytchapi.Error) string {
	if e == nil {
		return "ok"
	}
	return e.Class.String()
}

// want fails unless e is of the class; "now" must say when to come again.
func want(t *testing.T, e *stytchapi.Error, wantClass string) {
	t.Helper()
	if class(e) != wantClass {
		t.Fatalf("class %s, want %s: %v", class(e), wantClass, e)
	}
	if wantClass == "now" && (e.RetryAfter < time.Second || e.RetryAfter%time.Second != 0) {
		t.Fatalf("RetryAfter %v: %v", e.RetryAfter, e)
	}
}

// advance moves the bubble's clock and lets everything settle.
func advance(d time.Duration) {
	pause(d)
	synctest.Wait()
}

// pause takes time of the bubble's clock, in a transport that is slow.
func pause(d time.Duration) { time.Sleep(d) }
