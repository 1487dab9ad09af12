// Package stytchapi calls the two endpoints of Stytch's API that a session
// middleware needs, and says of every failure whom it is about.
//
// A call is one POST with HTTP Basic credentials to one configured host; no
// redirect is followed, nothing waits in a queue, and no goroutine outlives a
// call. Paths, members and error types are those of
// https://stytch.com/docs/api/session-auth and
// https://stytch.com/docs/api/session-revoke.
package stytchapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stytchware/stytchware/sessionctx"
)

// Credential names a session: exactly one field is set. It prints, logs and
// marshals as "[redacted]".
type Credential struct{ SessionToken, SessionJWT, SessionID string }

// Answer is Stytch's 200: a session with ids and a future expires_at. It
// prints, logs and marshals as "[redacted]".
type Answer struct {
	Session      *sessionctx.Session // Source Remote, VerifiedAt the time of the answer
	SessionToken string              // "" if the answer carried none
	SessionJWT   string              // "" if the answer carried none; not verified
	UserID       string              // of the answer's user object, equal to Session.UserID(); "" if it carried none
}

// Config: BaseURL has no trailing slash. HTTPClient is copied. It prints, logs
// and marshals without the Secret.
type Config struct {
	ProjectID, Secret, BaseURL string

	// HTTPClient default: one with its own connections. Of a given one the
	// Transport is used, and a Timeout shorter than Deadline for each attempt;
	// its Jar and CheckRedirect are not.
	HTTPClient  *http.Client
	Logger      *slog.Logger  // default slog.Default()
	Deadline    time.Duration // of a call in all, one retry included; default 3 s
	MaxInFlight int           // default 64
}

// Defaults of a Config.
const (
	defaultDeadline    = 3 * time.Second
	defaultMaxInFlight = 64
)

// Client calls Stytch. Safe for concurrent use. It prints and logs as
// "[redacted]".
type Client struct {
	base     string
	deadline time.Duration
	http     *http.Client
	own      *http.Transport // nil if the caller brought one
	// keys hides the secret from whatever prints a Client by reflection.
	keys func() (secret, basic string)
	gate gate
	log  reporter

	authenticates, revokes, retries, refused atomic.Uint64
}

// New returns a client; it makes no call and starts no goroutine.
func New(cfg Config) *Client {
	if cfg.Deadline <= 0 {
		cfg.Deadline = defaultDeadline
	}
	if cfg.MaxInFlight <= 0 {
		cfg.MaxInFlight = defaultMaxInFlight
	}
	secret := cfg.Secret
	basic := base64.StdEncoding.EncodeToString([]byte(cfg.ProjectID + ":" + secret))
	c := &Client{
		base:     strings.TrimRight(cfg.BaseURL, "/"),
		deadline: cfg.Deadline,
		keys:     func() (string, string) { return secret, basic },
		gate:     gate{max: cfg.MaxInFlight},
		log:      reporter{logger: cfg.Logger},
	}
	c.http, c.own = httpClient(cfg)
	return c
}

// Authenticate asks Stytch for the session of a token or JWT. With a duration,
// of whole minutes, the session then ends that much later; 0 extends nothing.
// Every error is an [*Error].
func (c *Client) Authenticate(ctx context.Context, cred Credential, duration time.Duration) (*Answer, error) {
	var a *Answer
	q := request{
		path: "/v1/sessions/authenticate",
		sent: &c.authenticates,
		read: func(body string, now time.Time) (err error) {
			a, err = readAnswer(body, now)
			return err
		},
	}
	err := q.encode(cred, duration)
	if cred.SessionID != "" {
		err = errCredential // Stytch authenticates no bare id
	}
	if e := c.call(ctx, q, err); e != nil {
		return nil, e
	}
	return a, nil
}

// Revoke ends the session. A session that is gone already is no error, one that
// is of another kind is; every error is an [*Error].
func (c *Client) Revoke(ctx context.Context, cred Credential) error {
	q := request{path: "/v1/sessions/revoke", sent: &c.revokes, read: readRevoked}
	err := q.encode(cred, 0)
	if e := c.call(ctx, q, err); e != nil && (e.Class != Gone || e.Type == OtherKind) {
		return e
	}
	return nil
}

// State is what a Client is doing, for metrics.
type State struct {
	InFlight    int
	PausedUntil time.Time // zero unless a 429 keeps calls back
	BreakerOpen bool      // Stytch has failed so often that only probes go out

	// Since the start. A call with a retry is one call; a refused one, which
	// the gate never let out, is none.
	Authenticates, Revokes, Retries, Refused uint64
}

// State returns a snapshot.
func (c *Client) State() State {
	s := c.gate.state(time.Now())
	s.Authenticates, s.Revokes = c.authenticates.Load(), c.revokes.Load()
	s.Retries, s.Refused = c.retries.Load(), c.refused.Load()
	return s
}

// CloseIdle closes the connections nobody uses, those of the Client's own
// transport only. The Client stays usable.
func (c *Client) CloseIdle() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// request is one call to make.
type request struct {
	path       string
	body       []byte
	credential string // to keep it out of what is printed
	sent       *atomic.Uint64
	read       func(body string, now time.Time) error // takes the body of a 200
}

// Mistakes of the caller, for which no call is made.
var (
	errCredential = errors.New("stytchapi: not exactly one credential")
	errDuration   = errors.New("stytchapi: session duration not in whole minutes")
)

func (q *request) encode(cred Credential, duration time.Duration) error {
	var body struct {
		Token   string `json:"session_token,omitempty"`
		JWT     string `json:"session_jwt,omitempty"`
		ID      string `json:"session_id,omitempty"`
		Minutes int64  `json:"session_duration_minutes,omitempty"`
	}
	body.Token, body.JWT, body.ID = cred.SessionToken, cred.SessionJWT, cred.SessionID
	body.Minutes = int64(duration / time.Minute)
	q.credential = cred.SessionToken + cred.SessionJWT + cred.SessionID // the one that is set
	n := 0
	for _, s := range []string{cred.SessionToken, cred.SessionJWT, cred.SessionID} {
		if s != "" {
			n++
		}
	}
	if n != 1 {
		return errCredential
	}
	if duration < 0 || duration%time.Minute != 0 {
		return errDuration
	}
	q.body, _ = json.Marshal(body) // strings and a number: it cannot fail
	return nil
}

// call makes the call unless err, the caller's mistake, forbids it, and logs
// what went wrong.
func (c *Client) call(ctx context.Context, q request, err error) *Error {
	if err != nil {
		e := &Error{Class: Setup, reason: own(err), cause: err}
		c.log.failure(ctx, e)
		return e
	}
	e, left := c.do(ctx, q)
	if e != nil && !left { // nothing is wrong when the caller left
		c.log.failure(ctx, e)
	}
	return e
}

// do makes the call under the gate, the deadline and with its one retry. left
// says that the caller gave up before anything could be learnt.
func (c *Client) do(parent context.Context, q request) (e *Error, left bool) {
	if err := parent.Err(); err != nil {
		return unanswered(err), true
	}
	start := time.Now()
	p, e := c.gate.enter(start)
	if e != nil {
		c.refused.Add(1)
		return e, false
	}
	o := outcome{kind: unknown}
	defer func() { c.gate.leave(p, time.Now(), o) }()

	ctx, cancel := context.WithTimeout(parent, c.deadline)
	defer cancel()
	q.sent.Add(1)
	r, err := c.send(ctx, q)
	if err != nil && retriable(err) && pause(ctx) && c.gate.clear(time.Now()) {
		c.retries.Add(1)
		r, err = c.send(ctx, q)
	}
	now := time.Now()
	if err != nil {
		e = unanswered(err)
	} else {
		e, err = c.judge(r, q, now)
	}
	switch {
	case r.status == http.StatusTooManyRequests:
		o.kind = limited
		o.retryAfter, o.told = retryAfter(r.retryAfter, now)
		e.RetryAfter = c.gate.limit(p, now, o)
	case err != nil && c.left(parent, now.Sub(start)):
		return e, true
	case e != nil && e.Class == Now:
		o.kind, o.answered = failed, r.status != 0
	default:
		o.kind = answered
	}
	return e, false
}

// left reports whether a transport that broke off says nothing about Stytch,
// because the caller cancelled or gave the call too little time. A caller's
// deadline about as long as ours does count: it is the same timeout.
func (c *Client) left(parent context.Context, took time.Duration) bool {
	err := parent.Err()
	return errors.Is(err, context.Canceled) || err != nil && took < c.deadline/2
}

// judge says what the answer means. The second result is the reason why the
// answer could not be read to its end, if that is so.
func (c *Client) judge(r reply, q request, now time.Time) (*Error, error) {
	success := r.status == http.StatusOK || r.status == http.StatusCreated
	var senseless error
	if success && r.err == nil {
		if senseless = q.read(r.body, now); senseless == nil {
			return nil, nil
		}
	}
	errorType, id := readFailure(r.body)
	e := &Error{
		Class:      classify(r.status, errorType),
		Type:       c.clean(errorType, q.credential),
		Status:     r.status,
		RequestID:  c.clean(id, q.credential),
		RetryAfter: time.Second,
	}
	broken := r.err
	switch {
	case errors.Is(broken, errTooLarge):
		broken = nil // the whole of it would say no more
		e.reason, e.cause = reason(errTooLarge), errTooLarge
	case broken != nil:
		// What it would have said of us or the session is not known.
		e.Class, e.reason, e.cause = Now, reason(broken), broken
	case senseless != nil:
		e.reason, e.cause = reason(senseless), senseless
	}
	if e.Class != Now {
		e.RetryAfter = 0
	} else if d, ok := retryAfter(r.retryAfter, now); ok {
		e.RetryAfter = d
	}
	return e, broken
}

// retriable reports whether another attempt may help. Only a transport error
// gets here, so Stytch may have seen the request: both endpoints bear being
// asked twice.
func retriable(err error) bool {
	var p *panicError
	return !errors.As(err, &p)
}

// pause waits a moment, so that the calls that failed together do not come
// again together. It reports whether there is time for another attempt.
func pause(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	t := time.NewTimer(50*time.Millisecond + rand.N(100*time.Millisecond))
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
