// Package jwks verifies Stytch session JWTs locally, against the project's
// cached key set.
package jwks

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/stytchware/stytchware/sessionctx"
)

// Exactly one of these describes why Verify refused a token, under errors.Is.
var (
	// ErrInvalid: never acceptable: malformed, badly signed, of another
	// project, or not a session token.
	ErrInvalid = errors.New("jwks: token is not valid")
	// ErrStale: well signed, ours, well formed, but outside its time window or
	// older than MaxTokenAge. The error is a *StaleError.
	ErrStale = errors.New("jwks: token is stale")
	// ErrKeyUnknown: the key set was refreshed after Verify began (or a running
	// refresh was joined) and still has no such key.
	ErrKeyUnknown = errors.New("jwks: token was signed with an unknown key")
	// ErrUnavailable: the key is not known and the key set could not be
	// refreshed now. The error is an *UnavailableError.
	ErrUnavailable = errors.New("jwks: key set is not available")
)

// StaleError is a well-signed token outside its time. errors.Is(err, ErrStale).
type StaleError struct {
	Session  *sessionctx.Session // what the token says; not to be trusted as current
	IssuedAt time.Time
	Ahead    bool // the token is from a clock further ahead than the skew (iat or nbf)
}

func (e *StaleError) Error() string        { return ErrStale.Error() }
func (e *StaleError) Is(target error) bool { return target == ErrStale }

// UnavailableError says when a further attempt makes sense. errors.Is(err, ErrUnavailable).
type UnavailableError struct{ RetryAfter time.Duration }

func (e *UnavailableError) Error() string        { return ErrUnavailable.Error() }
func (e *UnavailableError) Is(target error) bool { return target == ErrUnavailable }

// Config configures a Verifier. Zero fields mean the default stated.
type Config struct {
	_ [0]func()

	ProjectID string // required: project-test-… or project-live-…
	// BaseURL is the custom domain or another API host: https only, except
	// http on a loopback address; a trailing slash is trimmed. Default
	// https://test.stytch.com, or https://api.stytch.com for project-live-….
	BaseURL string
	// HTTPClient fetches the key set; it is copied, and the copy follows no
	// redirects. Default: a client of its own with time-outs.
	HTTPClient *http.Client
	Logger     *slog.Logger // default slog.Default()

	MaxTokenAge     time.Duration // oldest iat accepted; default 5 min
	Skew            time.Duration // allowed for iat and nbf ahead of our clock, never for exp; default 30 s
	RefreshInterval time.Duration // background refresh; default 15 min (with jitter)
	Cooldown        time.Duration // least time between two fetches for unknown keys; default 10 s
	CacheSize       int           // verified tokens kept; default 10,000
}

// Verifier verifies session JWTs. Safe for concurrent use.
type Verifier struct{}

// New starts a Verifier; the first key fetch runs in the background.
func New(cfg Config) (*Verifier, error) { panic("x") }

// Verify verifies one session JWT.
func (v *Verifier) Verify(ctx context.Context, token string) (*sessionctx.Session, error) {
	panic("x")
}

// Close ends every goroutine of v.
func (v *Verifier) Close() error { panic("x") }
