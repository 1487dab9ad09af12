// Package middleware authenticates the Stytch session of each HTTP request.
package middleware

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/stytchware/stytchware/sessionctx"
)

type Config struct {
	_ [0]func()

	ProjectID  string
	Secret     string
	BaseURL    string
	HTTPClient *http.Client // copied; follows no redirects
	Logger     *slog.Logger

	Cookies Cookies
	// TokenHeader and JWTHeader name request headers that carry the credentials, such as X-Stytch-Session-Token.
	TokenHeader, JWTHeader string

	SessionDuration     time.Duration // sent with every authenticate call when not 0
	LoginURL, StepUpURL string        // same-origin paths for page loads
	ErrorHandler        func(w http.ResponseWriter, r *http.Request, err error)
	TrustedOrigins      []string

	MaxTokenAge time.Duration // 5 min
	OpaqueTTL   time.Duration // 30 s; NoCache for none
	NegativeTTL time.Duration // 60 s
	KeyCooldown time.Duration // 10 s
}

// NoCache as OpaqueTTL asks Stytch about an opaque token on every request.
const NoCache time.Duration = -1

type Posture uint8

const (
	Shared Posture = iota
	Private
)

type Cookies struct {
	Posture Posture
	Domain  string
	Keys    [][]byte
}

type Authenticator struct{}

func New(cfg Config) (*Authenticator, error)                                         { panic("x") }
func (a *Authenticator) Close() error                                                { panic("x") }
func (a *Authenticator) Load(next http.Handler) http.Handler                         { panic("x") }
func (a *Authenticator) RequireSession(next http.Handler) http.Handler               { panic("x") }
func (a *Authenticator) RequireMFA(next http.Handler) http.Handler                   { panic("x") }
func (a *Authenticator) Require(reqs ...Requirement) func(http.Handler) http.Handler { panic("x") }

// Requirement: MFA, Fresh, Within(d), MinFactors(n)
type Requirement struct {
	kind uint8
	d    time.Duration
	n    int
}

var (
	MFA   = Requirement{kind: 1}
	Fresh = Requirement{kind: 2}
)

func Within(d time.Duration) Requirement { panic("x") }
func MinFactors(n int) Requirement       { panic("x") }

// Err says why the request has no session: nil if it has one; ErrNoSession, …; ErrUnavailable in an outage.
func (a *Authenticator) Err(r *http.Request) error { panic("x") }

// Tokens: what the client holds after this request (new ones if they were refreshed).
func (a *Authenticator) Tokens(r *http.Request) (Tokens, bool) { panic("x") }

// Hydrate authenticates t and writes the cookies.
func (a *Authenticator) Hydrate(w http.ResponseWriter, r *http.Request, t Tokens) (*sessionctx.Session, error) {
	panic("x")
}

// Refresh authenticates the request's session anew; d 0: not extended (whole minutes, 5 to 527040).
func (a *Authenticator) Refresh(w http.ResponseWriter, r *http.Request, d time.Duration) (*sessionctx.Session, error) {
	panic("x")
}

// Revoke ends the session: cookies are cleared even when it returns an error.
func (a *Authenticator) Revoke(w http.ResponseWriter, r *http.Request) error { panic("x") }

// Clear clears the cookies, no call.
func (a *Authenticator) Clear(w http.ResponseWriter, r *http.Request) { panic("x") }

// Deny answers r for err as a guard would.
func (a *Authenticator) Deny(w http.ResponseWriter, r *http.Request, err error) { panic("x") }

// Follow returns a context that ends when the request's session expires or is revoked here; context.Cause tells.
func (a *Authenticator) Follow(ctx context.Context) (context.Context, context.CancelFunc) { panic("x") }

// Status maps an error of this package to an HTTP status.
func Status(err error) int { panic("x") }

// ReturnTo returns the validated return_to of a login page's request, or "/".
func ReturnTo(r *http.Request) string { panic("x") }

// Tokens prints, logs and marshals as [redacted].
type Tokens struct{ SessionToken, SessionJWT string }

// Sentinels: ErrNoSession 401 (none, refused or gone), ErrInvalidRequest 400, ErrCrossSite 403, ErrStepUp 401, ErrUnavailable 503.
