// Package stytchapi calls the two endpoints of Stytch's API that a session
// middleware needs, and says of every failure whom it is about.
package stytchapi

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/stytchware/stytchware/sessionctx"
)

// Class says whom a failed call is about.
type Class uint8

const (
	Gone  Class = iota + 1 // definitive about the session: it is over
	Setup                  // about us: wrong secret, project, arguments; nobody is logged out
	Now                    // about now: 429, 5xx, time-outs, answers that make no sense
)

// Error is every error of a call.
type Error struct {
	Class      Class
	Type       string        // Stytch's error_type, sanitised and cut; "" if there was none
	Status     int           // 0 if there was no answer
	RequestID  string        // sanitised and cut
	RetryAfter time.Duration // Now: how long to wait; at least 1 s
}

func (e *Error) Error() string { panic("x") }

// Credential names a session: exactly one field is set.
type Credential struct{ SessionToken, SessionJWT, SessionID string }

// Answer is Stytch's 200: a session with ids and a future expires_at.
type Answer struct {
	Session      *sessionctx.Session // Source Remote, VerifiedAt the time of the answer
	SessionToken string              // "" if the answer carried none
	SessionJWT   string              // "" if the answer carried none; not verified
}

// Config: BaseURL has no trailing slash. HTTPClient is copied.
type Config struct {
	ProjectID, Secret, BaseURL string
	HTTPClient                 *http.Client
	Logger                     *slog.Logger
	Deadline                   time.Duration // of a call in all, one retry included; default 3 s
	MaxInFlight                int           // default 64
}

// Client calls Stytch. Safe for concurrent use.
type Client struct{}

// New returns a client; it makes no call and starts no goroutine.
func New(cfg Config) *Client { panic("x") }

// Authenticate asks Stytch for the session. duration 0 extends nothing.
func (c *Client) Authenticate(ctx context.Context, cred Credential, duration time.Duration) (*Answer, error) {
	panic("x")
}

// Revoke ends the session. A session that is gone already is no error.
func (c *Client) Revoke(ctx context.Context, cred Credential) error { panic("x") }
