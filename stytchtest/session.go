package stytchtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
)

// Login says what session [Project.Login] makes. Zero fields mean the default
// stated.
type Login struct {
	_ [0]func()

	UserID string // default: a new user
	// Factors of nil means one EmailMagicLink; an empty slice means none.
	Factors []Factor
	// Duration is how long the session lives; default one hour. Unlike the
	// API, Login takes any: it is rounded up to whole seconds, and a negative
	// one makes a session that is over.
	Duration time.Duration
	// CustomClaims become the session's custom claims, reserved names aside,
	// at which Login panics.
	CustomClaims map[string]any
	// Roles of nil means stytch_user (in an organization: stytch_member); an
	// empty slice means none.
	Roles      []string
	Attributes sessionctx.Attributes

	// OrganizationID makes a B2B session: its ids and its JWT have B2B's
	// shape. The consumer API, the only one here, refuses its tokens with
	// incompatible_session_type.
	OrganizationID   string
	OrganizationSlug string
}

// Session is what a login gives: the session's id, its user's, and the two
// tokens, ready for Hydrate, [AddCookies] or [AddBearer].
type Session struct {
	ID, UserID string            // of the session and its user
	Tokens     middleware.Tokens // both of them
}

// session is one session. All but its maps and slices, which are replaced and
// never written to, is guarded by Project.mu.
type session struct {
	id, userID, token       string
	startedAt, lastAccessed time.Time
	expiresAt               time.Time
	revoked                 bool
	attributes              sessionctx.Attributes
	factors                 []storedFactor
	roles                   []string
	claims                  map[string]any
	orgID, orgSlug          string
}

func (s *session) live(at time.Time) bool { return !s.revoked && at.Before(s.expiresAt) }

// Login makes a session without any call to the API. It panics if a custom
// claim or a factor has no JSON form.
func (p *Project) Login(l Login) Session {
	at := now()
	s := &session{
		id: p.newID("session"), userID: l.UserID, token: newToken(),
		startedAt: at, lastAccessed: at, expiresAt: at.Add(time.Hour),
		attributes: l.Attributes,
		roles:      slices.Clone(l.Roles),
		orgID:      l.OrganizationID, orgSlug: l.OrganizationSlug,
	}
	if l.Duration != 0 {
		whole := l.Duration.Truncate(time.Second)
		if whole < l.Duration {
			whole += time.Second
		}
		s.expiresAt = at.Add(whole)
	}
	kind, role := "user", "stytch_user"
	if s.orgID != "" {
		s.id, kind, role = p.newID("member-session"), "member", "stytch_member"
	}
	if s.userID == "" {
		s.userID = p.newID(kind)
	}
	if s.roles == nil {
		s.roles = []string{role}
	}
	if l.Factors == nil {
		l.Factors = []Factor{EmailMagicLink()}
	}
	for _, f := range l.Factors {
		s.factors = append(s.factors, f.stored(at))
	}
	if l.CustomClaims != nil {
		for name := range l.CustomClaims {
			if reserved(name) {
				panic(fmt.Sprintf("stytchtest: the claim %q is reserved", name))
			}
		}
		s.claims = mergeClaims(nil, decodeObject(mustMarshal(l.CustomClaims)))
	}

	p.mu.Lock()
	if _, known := p.users.get(s.userID); !known {
		p.addUser(&user{id: s.userID, createdAt: at})
	}
	p.addSession(s)
	claims := p.claims(s, at)
	key := p.keys[0]
	p.mu.Unlock()

	return Session{s.id, s.userID, middleware.Tokens{SessionToken: s.token, SessionJWT: sign(key, nil, claims)}}
}

// Revoke ends a session, as a logout elsewhere would. It reports whether the
// session was live. JWTs that were made before stay well signed.
func (p *Project) Revoke(sessionID string) bool {
	return p.change(sessionID, func(s *session, _ time.Time) { s.revoked = true })
}

// Expire lets a session's time be over. It reports whether the session was live.
func (p *Project) Expire(sessionID string) bool {
	return p.change(sessionID, func(s *session, at time.Time) { s.expiresAt = at })
}

// AddFactor adds a factor to a live session, as a step-up elsewhere would, or
// renews it where the session has the same one. It reports whether the session
// was live. JWTs that were made before still show the old factors.
func (p *Project) AddFactor(sessionID string, f Factor) bool {
	added := f.stored(now())
	return p.change(sessionID, func(s *session, _ time.Time) { s.addFactor(added) })
}

func (s *session) addFactor(f storedFactor) {
	factors := slices.Clone(s.factors)
	if i := slices.IndexFunc(factors, f.same); i >= 0 {
		factors[i].at = f.at
	} else {
		factors = append(factors, f)
	}
	s.factors = factors
}

func (p *Project) change(sessionID string, f func(*session, time.Time)) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := now()
	s, ok := p.sessions.get(sessionID)
	if !ok || !s.live(at) {
		return false
	}
	f(s, at)
	return true
}

// Session returns a session as Stytch would answer it now, and whether it is
// live.
func (p *Project) Session(sessionID string) (*sessionctx.Session, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := now()
	s, ok := p.sessions.get(sessionID)
	if !ok || !s.live(at) {
		return nil, false
	}
	return s.remote(at), true
}

// Sessions returns the live sessions, newest first, as Stytch would answer
// them now.
func (p *Project) Sessions() []*sessionctx.Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := now()
	var live []*sessionctx.Session
	for _, s := range p.sessions.all {
		if s.live(at) {
			live = append(live, s.remote(at))
		}
	}
	slices.Reverse(live)
	return live
}

// remote is called with p.mu held.
func (s *session) remote(at time.Time) *sessionctx.Session {
	d := sessionctx.Data{
		ID: s.id, UserID: s.userID,
		StartedAt: s.startedAt, LastAccessedAt: s.lastAccessed, ExpiresAt: s.expiresAt,
		Attributes: s.attributes, Roles: s.roles,
		Source: sessionctx.Remote, VerifiedAt: at,
	}
	if s.orgID != "" {
		d.MemberID, d.OrganizationID, d.OrganizationSlug = s.userID, s.orgID, s.orgSlug
	}
	for _, f := range s.factors {
		d.Factors = append(d.Factors, readFactor(f.marshal(true)))
	}
	if len(s.claims) > 0 {
		d.CustomClaims = string(mustMarshal(s.claims))
	}
	return sessionctx.New(d)
}

// addSession is called with p.mu held.
func (p *Project) addSession(s *session) {
	// What ended an hour ago is forgotten; until then a test can still mint
	// its JWT.
	at := now()
	if at.Sub(p.sweptAt) >= time.Minute {
		p.sweptAt = at
		for id, old := range p.sessions.all {
			if !at.Before(old.expiresAt.Add(time.Hour)) {
				p.sessions.remove(id)
				p.forgetToken(old)
			}
		}
	}
	p.sessions.add(s.id, s, p.forgetToken)
	p.byToken[s.token] = s
}

func (p *Project) forgetToken(s *session) {
	if p.byToken[s.token] == s {
		delete(p.byToken, s.token)
	}
}

// apiSession is a session as the API answers it.
type apiSession struct {
	SessionID             string            `json:"session_id"`
	UserID                string            `json:"user_id"`
	StartedAt             string            `json:"started_at"`
	LastAccessedAt        string            `json:"last_accessed_at"`
	ExpiresAt             string            `json:"expires_at"`
	Attributes            apiAttributes     `json:"attributes"`
	AuthenticationFactors []json.RawMessage `json:"authentication_factors"`
	Roles                 []string          `json:"roles"`
	CustomClaims          map[string]any    `json:"custom_claims,omitempty"`
}

type apiAttributes struct {
	IPAddress string `json:"ip_address"`
	UserAgent string `json:"user_agent"`
}

// api is called with p.mu held; the answer may be used without.
func (s *session) api() *apiSession {
	return &apiSession{
		SessionID: s.id, UserID: s.userID,
		StartedAt: formatTime(s.startedAt), LastAccessedAt: formatTime(s.lastAccessed), ExpiresAt: formatTime(s.expiresAt),
		Attributes:            apiAttributes(s.attributes),
		AuthenticationFactors: marshalFactors(s.factors, true),
		Roles:                 s.roles,
		CustomClaims:          s.claims,
	}
}

func marshalFactors(factors []storedFactor, api bool) []json.RawMessage {
	list := make([]json.RawMessage, len(factors))
	for i, f := range factors {
		list[i] = f.marshal(api)
	}
	return list
}

// reserved names the claims that are Stytch's own.
func reserved(name string) bool {
	return slices.Contains([]string{"iss", "aud", "sub", "iat", "nbf", "exp", "jti"}, name) ||
		strings.HasPrefix(name, "https://stytch.com/")
}

// mergeClaims returns old with patch on top: objects are merged, and a null
// deletes. Neither argument is written to.
// https://stytch.com/docs/guides/sessions/custom-claims
func mergeClaims(old, patch map[string]any) map[string]any {
	merged := maps.Clone(old)
	if merged == nil {
		merged = map[string]any{}
	}
	for name, v := range patch {
		switch v := v.(type) {
		case nil:
			delete(merged, name)
		case map[string]any:
			inner, _ := merged[name].(map[string]any)
			merged[name] = mergeClaims(inner, v)
		default:
			merged[name] = v
		}
	}
	return merged
}
