package jwks

import (
	"errors"
	"time"

	"github.com/stytchware/stytchware/sessionctx"
)

// Exactly one of these describes why Verify refused a token, under errors.Is.
var (
	// ErrInvalid: never acceptable: malformed, badly signed, of another
	// project, or not a session token. The error is an *InvalidError.
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

// InvalidError is a token that is never acceptable. errors.Is(err, ErrInvalid).
type InvalidError struct{ reason string }

// Error is ErrInvalid's text and the reason.
func (e *InvalidError) Error() string { return ErrInvalid.Error() + ": " + e.reason }

// Is tells that e is ErrInvalid.
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }

// Reason says in a few fixed words what is wrong, such as "wrong issuer". It
// holds nothing of the token.
func (e *InvalidError) Reason() string { return e.reason }

// The reasons; made once, so that refusing costs no allocation.
var (
	errTooLong   = &InvalidError{"longer than 16 KiB"}
	errSpelling  = &InvalidError{"not three segments of canonical base64url"}
	errHeader    = &InvalidError{"malformed header"}
	errAlgorithm = &InvalidError{"algorithm is not RS256"}
	errType      = &InvalidError{"header type is not JWT"}
	errExtension = &InvalidError{"header member that is not supported"}
	errKID       = &InvalidError{"no usable key id"}
	errSignature = &InvalidError{"wrong signature"}
	errPayload   = &InvalidError{"payload is not exact JSON"}
	errClaim     = &InvalidError{"claim of the wrong JSON type"}
	errIssuer    = &InvalidError{"wrong issuer"}
	errAudience  = &InvalidError{"wrong audience"}
	errSubject   = &InvalidError{"no subject"}
	errDates     = &InvalidError{"exp, iat or nbf is missing or out of range"}
	errSession   = &InvalidError{"no well-formed session claim"}
	errOrg       = &InvalidError{"malformed organization claim"}
)

// StaleError is a well-signed token outside its time. errors.Is(err, ErrStale).
type StaleError struct {
	Session  *sessionctx.Session // what the token says; not to be trusted as current
	IssuedAt time.Time           // its iat
	Ahead    bool                // the token is from a clock further ahead than the skew (iat or nbf)
}

// Error is ErrStale's text.
func (e *StaleError) Error() string { return ErrStale.Error() }

// Is tells that e is ErrStale.
func (e *StaleError) Is(target error) bool { return target == ErrStale }

// UnavailableError says when a further attempt makes sense. errors.Is(err, ErrUnavailable).
type UnavailableError struct {
	RetryAfter time.Duration // whole seconds, at least one

	cause error // the context's error, if Verify's caller left
}

// Error is ErrUnavailable's text.
func (e *UnavailableError) Error() string { return ErrUnavailable.Error() }

// Is tells that e is ErrUnavailable.
func (e *UnavailableError) Is(target error) bool { return target == ErrUnavailable }

// Unwrap returns the error of the context that ended the wait, or nil.
func (e *UnavailableError) Unwrap() error { return e.cause }
