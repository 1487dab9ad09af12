// Package sessionctx is a Stytch session and how a context carries it.
//
// Handlers read the session with [From]; tests put one in with [With] and
// [New]. Nothing that can be read of a Session is a token, a key or another
// secret. Printed or marshalled it has personal data, such as the e-mail address
// of a factor; logged by log/slog it has ids and times only.
package sessionctx

import (
	"context"
	"slices"
	"sync/atomic"
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

	// Later, if it is set, supplies Attributes, CustomClaims and the Raw of each
	// factor when one of them is first asked for, so that a session of which
	// nobody asks takes less memory; what is set of them here is ignored. It is
	// called at any time, perhaps more than once, and returns the same each time.
	Later func() Data `json:"-"`
}

// Session is one authenticated Stytch session. It is immutable: several
// requests may share one, every method may be called concurrently, and
// whatever a method returns is the caller's own.
type Session struct {
	id, userID                                       string
	startedAt, lastAccessedAt, expiresAt, verifiedAt time.Time
	b2b                                              *b2b // nil: a consumer project
	factors                                          []proof
	roles                                            []string
	text                                             *text // nil: later has it
	later                                            *later
	source                                           Source
}

// A process keeps many sessions, so they are small: what few of them have, or
// few ask for, stands elsewhere.
type (
	b2b   struct{ memberID, organizationID, organizationSlug string }
	proof struct {
		kind, method string
		at           time.Time
	}
	// later reads the text when it is asked for, and keeps it for the session and
	// all that were made from it with As.
	later struct {
		read func() Data
		text atomic.Pointer[text]
	}
	// text is what is seldom asked for.
	text struct {
		attributes Attributes
		raw        []string // by factor
		claims     string
	}
)

// New returns a session with a copy of d.
func New(d Data) *Session {
	var all struct { // one allocation
		Session
		later
		few [2]proof // as many as most have
	}
	s := &all.Session
	*s = Session{
		id: d.ID, userID: d.UserID,
		startedAt: d.StartedAt, lastAccessedAt: d.LastAccessedAt, expiresAt: d.ExpiresAt, verifiedAt: d.VerifiedAt,
		roles: slices.Clone(d.Roles), source: d.Source,
	}
	if d.MemberID != "" || d.OrganizationID != "" || d.OrganizationSlug != "" {
		s.b2b = &b2b{d.MemberID, d.OrganizationID, d.OrganizationSlug}
	}
	if d.Factors != nil {
		if s.factors = all.few[:0]; len(d.Factors) > len(all.few) {
			s.factors = make([]proof, 0, len(d.Factors))
		}
		for _, f := range d.Factors {
			s.factors = append(s.factors, proof{f.Type, f.DeliveryMethod, f.LastAuthenticatedAt})
		}
	}
	if d.Later == nil {
		s.text = textOf(d)
	} else {
		s.later = &all.later
		s.later.read = d.Later
	}
	return s
}

func textOf(d Data) *text {
	t := &text{attributes: d.Attributes, claims: d.CustomClaims}
	for _, f := range d.Factors {
		t.raw = append(t.raw, f.Raw)
	}
	return t
}

func (s *Session) texts() *text {
	switch {
	case s.text != nil:
		return s.text
	case s.later == nil: // the zero Session
		return &text{}
	}
	t := s.later.text.Load()
	if t == nil {
		t = textOf(s.later.read())
		s.later.text.Store(t)
	}
	return t
}

// Data returns a copy of everything in s, with no Later.
func (s *Session) Data() Data {
	t := s.texts()
	return Data{
		ID: s.id, UserID: s.userID,
		MemberID: s.MemberID(), OrganizationID: s.OrganizationID(), OrganizationSlug: s.OrganizationSlug(),
		StartedAt: s.startedAt, LastAccessedAt: s.lastAccessedAt, ExpiresAt: s.expiresAt,
		Attributes: t.attributes, Factors: s.Factors(), Roles: s.Roles(), CustomClaims: t.claims,
		Source: s.source, VerifiedAt: s.verifiedAt,
	}
}

// As returns s with another source and time of verification.
func (s *Session) As(src Source, at time.Time) *Session {
	c := *s
	c.source, c.verifiedAt = src, at
	return &c
}

// ID returns the session id; in a B2B project the member session id.
func (s *Session) ID() string { return s.id }

// UserID returns the id of the user the session belongs to; in a B2B project
// it is the member id, as MemberID.
func (s *Session) UserID() string { return s.userID }

// MemberID returns the B2B member id, or "" in a consumer project.
func (s *Session) MemberID() string {
	if s.b2b == nil {
		return ""
	}
	return s.b2b.memberID
}

// OrganizationID returns the B2B organization id, or "" in a consumer project.
func (s *Session) OrganizationID() string {
	if s.b2b == nil {
		return ""
	}
	return s.b2b.organizationID
}

// OrganizationSlug returns the B2B organization slug, or "".
func (s *Session) OrganizationSlug() string {
	if s.b2b == nil {
		return ""
	}
	return s.b2b.organizationSlug
}

// StartedAt returns when the session began.
func (s *Session) StartedAt() time.Time { return s.startedAt }

// LastAccessedAt returns when Stytch last saw the session.
func (s *Session) LastAccessedAt() time.Time { return s.lastAccessedAt }

// ExpiresAt returns when the session ends unless it is extended. It is not
// the expiry of the JWT that may have carried it.
func (s *Session) ExpiresAt() time.Time { return s.expiresAt }

// Attributes returns what Stytch recorded of the client.
func (s *Session) Attributes() Attributes { return s.texts().attributes }

// Source returns who decided that the session is valid for this request.
func (s *Session) Source() Source { return s.source }

// VerifiedAt returns when the session was last established: when the JWT's
// signature was verified, or when Stytch answered.
func (s *Session) VerifiedAt() time.Time { return s.verifiedAt }

// NumFactors returns how many authentication factors the session has.
func (s *Session) NumFactors() int { return len(s.factors) }

// Factor returns factor i, 0 ≤ i < NumFactors, in the order Stytch gave them.
func (s *Session) Factor(i int) Factor {
	f := s.Proof(i)
	if raw := s.texts().raw; i < len(raw) {
		f.Raw = raw[i]
	}
	return f
}

// Proof returns factor i, 0 ≤ i < NumFactors, without Raw: enough for its class
// and time, and nothing has to be read for it.
func (s *Session) Proof(i int) Factor {
	f := &s.factors[i]
	return Factor{Type: f.kind, DeliveryMethod: f.method, LastAuthenticatedAt: f.at}
}

// Factors returns a copy of all factors, in the order Stytch gave them.
func (s *Session) Factors() []Factor {
	if s.factors == nil {
		return nil
	}
	all := make([]Factor, len(s.factors))
	for i := range all {
		all[i] = s.Factor(i)
	}
	return all
}

// Roles returns a copy of the RBAC roles.
func (s *Session) Roles() []string { return slices.Clone(s.roles) }

// HasRole reports whether the session has the role, byte for byte.
func (s *Session) HasRole(role string) bool { return slices.Contains(s.roles, role) }

// CustomClaims returns the custom claims as the JSON object Stytch sent, or
// "{}". Use [Claims] to decode them.
func (s *Session) CustomClaims() string {
	if c := s.texts().claims; c != "" {
		return c
	}
	return "{}"
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
