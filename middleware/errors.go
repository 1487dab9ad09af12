package middleware

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/stytchware/stytchware/jwks"
)

// The errors of this package, one for each thing a program may do about them.
// Match them with errors.Is; [Status] gives the HTTP status.
var (
	// ErrNoSession: the request has no session. It carried no credential, or
	// one that was refused, or the session is over. 401.
	ErrNoSession = errors.New("middleware: no session")
	// ErrStepUp: there is a session, but it does not meet the guard's
	// requirements; the user must authenticate with a further factor. 401.
	ErrStepUp = errors.New("middleware: session needs a step-up")
	// ErrInvalidRequest: the request is malformed. 400.
	ErrInvalidRequest = errors.New("middleware: invalid request")
	// ErrCrossSite: a request from another site that could change something. 403.
	ErrCrossSite = errors.New("middleware: cross-site request refused")
	// ErrUnavailable: the session could not be checked, for example because
	// Stytch is down. The user stays logged in. 503; [RetryAfter] tells when to
	// try again.
	ErrUnavailable = errors.New("middleware: session cannot be checked now")
	// ErrTooLate: the response has begun, so cookies cannot be written any
	// more. 500. Only ResponseWriters that can tell (gin's, chi's) get it.
	ErrTooLate = errors.New("middleware: response has begun, cookies cannot be written")
)

// Status returns the HTTP status for an error of this package: 400, 401, 403,
// 503, or 500 for any other error; 200 for nil.
func Status(err error) int {
	switch {
	case err == nil:
		return http.StatusOK
	case errors.Is(err, ErrNoSession), errors.Is(err, ErrStepUp):
		return http.StatusUnauthorized
	case errors.Is(err, ErrInvalidRequest):
		return http.StatusBadRequest
	case errors.Is(err, ErrCrossSite):
		return http.StatusForbidden
	case errors.Is(err, ErrUnavailable):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// RetryAfter returns how long to wait after an error that is ErrUnavailable,
// in whole seconds and at least one; 0 for any other error.
func RetryAfter(err error) time.Duration {
	if !errors.Is(err, ErrUnavailable) {
		return 0
	}
	return max(time.Second, (denialOf(err).retry + time.Second - 1).Truncate(time.Second))
}

// denialOf returns the denial in err, or makes one of the sentinel in it.
func denialOf(err error) *denial {
	d, ok := err.(*denial) // nearly always
	if ok || errors.As(err, &d) {
		return d
	}
	for _, kind := range [...]error{ErrNoSession, ErrStepUp, ErrInvalidRequest, ErrCrossSite, ErrUnavailable, ErrTooLate} {
		if errors.Is(err, kind) {
			return &denial{kind: kind}
		}
	}
	return &denial{kind: err}
}

// denial is every error that a guard or an operation returns. Values are
// shared between requests and never changed.
type denial struct {
	kind   error         // one of the sentinels
	why    string        // for logs; never foreign text, never a credential
	detail string        // more of it, as constant
	reject bool          // a credential came and was refused: invalid_token
	outage bool          // Stytch could not be asked, for no fault of ours
	unsent bool          // nor was it tried: a limit of this process kept the call back
	gone   bool          // Stytch, or a revocation here, ended the session
	retry  time.Duration // ErrUnavailable
	within time.Duration // ErrStepUp: the least max age asked for; 0 for none

	// alone is the decision that consists of this denial, made once for those
	// that any stranger's request may meet; else nil.
	alone *decision
}

// common returns d with its decision.
func common(d denial) *denial {
	d.alone = &decision{denial: &d}
	return &d
}

// invalids are the denials of JWTs that are not valid, by their reason, of
// which there are few.
type invalids struct{ made sync.Map } // *jwks.InvalidError to *denial

func (i *invalids) deny(err *jwks.InvalidError) *denial {
	if d, ok := i.made.Load(err); ok {
		return d.(*denial)
	}
	d := common(denial{kind: ErrNoSession, why: "session JWT is not valid", detail: err.Reason(), reject: true})
	d.alone.jwt = d
	got, _ := i.made.LoadOrStore(err, d)
	return got.(*denial)
}

func (d *denial) Error() string { return d.kind.Error() + ": " + d.reason() }

func (d *denial) reason() string {
	if d.detail == "" {
		return d.why
	}
	return d.why + ": " + d.detail
}

func (d *denial) Unwrap() error { return d.kind }

var (
	denyNothing     = common(denial{kind: ErrNoSession, why: "the request carries no credential"})
	denyNotLoaded   = &denial{kind: ErrNoSession, why: "the request passed neither Load nor a guard"}
	denyMalformed   = common(denial{kind: ErrNoSession, why: "malformed credential", reject: true})
	denySealed      = common(denial{kind: ErrNoSession, why: "cookie was not sealed with a key of ours", reject: true})
	denyAmbiguous   = common(denial{kind: ErrNoSession, why: "two different values for one cookie", reject: true})
	denyKeyUnknown  = &denial{kind: ErrNoSession, why: "session JWT was signed with an unknown key", reject: true}
	denyGone        = &denial{kind: ErrNoSession, why: "session is over", reject: true, gone: true}
	denyRevoked     = &denial{kind: ErrNoSession, why: "session was revoked here", reject: true, gone: true}
	denyExpired     = &denial{kind: ErrNoSession, why: "session has expired", reject: true, gone: true}
	denyOtherUser   = &denial{kind: ErrNoSession, why: "session token and session JWT are of different users", reject: true, gone: true}
	denyTwoHeaders  = common(denial{kind: ErrInvalidRequest, why: "two headers carry credentials"})
	denyNoTokens    = &denial{kind: ErrInvalidRequest, why: "no session token and no session JWT"}
	denyBadTokens   = &denial{kind: ErrInvalidRequest, why: "malformed session token or session JWT"}
	denyBadDuration = &denial{kind: ErrInvalidRequest, why: "session duration must be whole minutes from 5 to 527040"}
	denyCrossSite   = common(denial{kind: ErrCrossSite, why: "Sec-Fetch-Site or Origin names another site"})
	denyTooLate     = &denial{kind: ErrTooLate, why: "call it before the first write"}
	denyZero        = &denial{kind: ErrUnavailable, why: "this Authenticator was not made by New", retry: time.Second}
	denyClosed      = &denial{kind: ErrUnavailable, why: "the Authenticator is closed", retry: time.Second}
	denyBudget      = &denial{kind: ErrUnavailable, why: "too many session tokens that were never seen", retry: time.Second}
	denyNonsense    = &denial{kind: ErrUnavailable, why: "Stytch's answer is about another session", retry: time.Second}
	denyB2B         = &denial{kind: ErrUnavailable, why: "the session is of a B2B project, about which Stytch is not asked yet", retry: time.Second}
	denyCookies     = &denial{kind: ErrUnavailable, why: "more contradicting cookies than are looked at; all were cleared", retry: time.Second}
	denyStale       = &denial{kind: ErrUnavailable, why: "a session served past its time meets no further requirement", retry: time.Second}
	denyPanicked    = &denial{kind: ErrUnavailable, why: "the call to Stytch panicked", retry: time.Second}
	denyLeft        = &denial{kind: ErrUnavailable, why: "the client left", retry: time.Second}
)

func unavailable(why string, retry time.Duration) *denial {
	return &denial{kind: ErrUnavailable, why: why, retry: retry}
}
