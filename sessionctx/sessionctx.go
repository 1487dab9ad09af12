// Package sessionctx is a Stytch session and how a context carries it.
//
// Handlers read the session with [From]; tests put one in with [With] and
// [New]. The package holds no token, no key and no other secret, so a Session
// may be logged, printed or marshalled.
package sessionctx

import (
	"context"
	"slices"
	"time"

	"github.com/stytchware/stytchware/internal/ctxkey"
)

// Source says who decided that the session is valid for this request.
type Source uint8

const (
	// Local: decided in this process, from a verified JWT or a cached answer;
	// the request made no call to Stytch and joined none.
	Local Source = iota + 1
	// Remote: Stytch was asked by this request, or by another one that it joined.
	Remote
	// Stale: the JWT was past its time and Stytch could not be asked; the
	// program's configuration dangerously allows that for a while.
	Stale
)

// String returns "local", "remote", "stale" or "unknown".
func (s Source) String() string {
	switch s {
	case Local:
		return "local"
	case Remote:
		return "remote"
	case Stale:
		return "stale"
	}
	return "unknown"
}

// MarshalText is String.
func (s Source) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Attributes are the IP address and user agent Stytch recorded for the
// session. Either may be empty.
type Attributes struct {
	// IPAddress and UserAgent are as Stytch sent them, not validated.
	IPAddress string `json:"ip_address"`
	UserAgent string `json:"user_agent"`
}

// Data is the content of a [Session], for building one with [New] in a test
// and for taking one apart with [Session.Data].
type Data struct {
	ID     string // session id (B2B: member session id)
	UserID string // user id; in a B2B project the member id

	// MemberID, OrganizationID and OrganizationSlug are set in B2B projects only.
	MemberID         string
	OrganizationID   string
	OrganizationSlug string

	StartedAt      time.Time // when the session began
	LastAccessedAt time.Time // when Stytch last saw it
	ExpiresAt      time.Time // of the session, not of a JWT

	Attributes   Attributes // what Stytch recorded of the client
	Factors      []Factor   // in the order Stytch gave them
	Roles        []string   // RBAC roles
	CustomClaims string     // a JSON object as Stytch sent it; "" for none

	Source     Source    // who decided that the session is valid
	VerifiedAt time.Time // when the signature was verified or Stytch answered
}

// Session is one authenticated Stytch session. It is immutable: several
// requests may share one, every method may be called concurrently, and
// whatever a method returns is the caller's own.
type Session struct{ d Data }

// New returns a session with a copy of d.
func New(d Data) *Session {
	d.Factors = slices.Clone(d.Factors)
	d.Roles = slices.Clone(d.Roles)
	return &Session{d}
}

// Data returns a copy of everything in s.
func (s *Session) Data() Data {
	d := s.d
	d.Factors = slices.Clone(d.Factors)
	d.Roles = slices.Clone(d.Roles)
	return d
}

// As returns s with another source and time of verification.
func (s *Session) As(src Source, at time.Time) *Session {
	c := *s
	c.d.Source, c.d.VerifiedAt = src, at
	return &c
}

// ID returns the session id; in a B2B project the member session id.
func (s *Session) ID() string { return s.d.ID }

// UserID returns the id of the user the session belongs to; in a B2B project
// it is the member id, as MemberID.
func (s *Session) UserID() string { return s.d.UserID }

// MemberID returns the B2B member id, or "" in a consumer project.
func (s *Session) MemberID() string { return s.d.MemberID }

// OrganizationID returns the B2B organization id, or "" in a consumer project.
func (s *Session) OrganizationID() string { return s.d.OrganizationID }

// OrganizationSlug returns the B2B organization slug, or "".
func (s *Session) OrganizationSlug() string { return s.d.OrganizationSlug }

// StartedAt returns when the session began.
func (s *Session) StartedAt() time.Time { return s.d.StartedAt }

// LastAccessedAt returns when Stytch last saw the session.
func (s *Session) LastAccessedAt() time.Time { return s.d.LastAccessedAt }

// ExpiresAt returns when the session ends unless it is extended. It is not
// the expiry of the JWT that may have carried it.
func (s *Session) ExpiresAt() time.Time { return s.d.ExpiresAt }

// Attributes returns what Stytch recorded of the client.
func (s *Session) Attributes() Attributes { return s.d.Attributes }

// Source returns who decided that the session is valid for this request.
func (s *Session) Source() Source { return s.d.Source }

// VerifiedAt returns when the session was last established: when the JWT's
// signature was verified, or when Stytch answered.
func (s *Session) VerifiedAt() time.Time { return s.d.VerifiedAt }

// NumFactors returns how many authentication factors the session has.
func (s *Session) NumFactors() int { return len(s.d.Factors) }

// Factor returns factor i, 0 ≤ i < NumFactors, in the order Stytch gave them.
func (s *Session) Factor(i int) Factor { return s.d.Factors[i] }

// Factors returns a copy of all factors, in the order Stytch gave them.
func (s *Session) Factors() []Factor { return slices.Clone(s.d.Factors) }

// Roles returns a copy of the RBAC roles.
func (s *Session) Roles() []string { return slices.Clone(s.d.Roles) }

// HasRole tells whether the session has the role, byte for byte.
func (s *Session) HasRole(role string) bool { return slices.Contains(s.d.Roles, role) }

// CustomClaims returns the custom claims as the JSON object Stytch sent, or
// "{}". Use [Claims] to decode them.
func (s *Session) CustomClaims() string {
	if s.d.CustomClaims == "" {
		return "{}"
	}
	return s.d.CustomClaims
}

// From returns the session that ctx carries. It allocates nothing.
func From(ctx context.Context) (*Session, bool) {
	s, _ := ctx.Value(ctxkey.Session{}).(*Session)
	return s, s != nil
}

// With returns a context that carries s, for testing a handler by itself. The
// guards of package middleware do not look at it: they trust only what they
// established themselves.
func With(ctx context.Context, s *Session) context.Context {
	return context.WithValue(ctx, ctxkey.Session{}, s)
}
