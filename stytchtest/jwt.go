package stytchtest

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// The names of Stytch's own claims.
const (
	sessionClaim      = "https://stytch.com/session"
	organizationClaim = "https://stytch.com/organization"
)

// Mint says in what a JWT of [Project.MintJWT] differs from the one the
// session would get now. The zero Mint differs in nothing.
type Mint struct {
	_ [0]func()

	// IssuedAt is iat and nbf, in whole seconds. Long ago makes a stale JWT, in
	// the future one from a clock that is ahead.
	IssuedAt time.Time
	Lifetime time.Duration // exp − iat; default Options.JWTLifetime
	// ProjectID names another project in iss and aud.
	ProjectID string
	Issuer    string // iss alone

	// Claims are set on top, at last; nil leaves the claim out.
	Claims map[string]any
	// SessionClaim does the same inside of the session claim.
	SessionClaim map[string]any
	// NoSessionClaim leaves the session claim out. The result looks like an M2M
	// token, which Stytch signs with the same key.
	NoSessionClaim bool

	// Header is set on top of the header; nil leaves the member out. It
	// changes nothing about how the JWT is signed.
	Header map[string]any
	// Forged signs with a foreign key under the id of the project's own.
	Forged bool
	// UnknownKey signs with a foreign key whose id is in no key set.
	UnknownKey bool
}

// MintJWT returns a JWT of a session, live or not, without changing the
// session. Where the project has no session of that id, the JWT is of an
// invented one of that id, or of a random id if it is "". It panics if a claim
// has no JSON form.
func (p *Project) MintJWT(sessionID string, m Mint) string {
	iat := now()
	if !m.IssuedAt.IsZero() {
		iat = m.IssuedAt.Truncate(time.Second)
	}

	p.mu.Lock()
	s, ok := p.sessions.get(sessionID)
	if !ok {
		at := now()
		s = &session{
			id: sessionID, userID: p.newID("user"), roles: []string{"stytch_user"},
			startedAt: at, lastAccessed: at, expiresAt: at.Add(time.Hour),
			factors: []storedFactor{EmailMagicLink().stored(at)},
		}
		if sessionID == "" {
			s.id = p.newID("session")
		}
	}
	claims := p.claims(s, iat)
	key := p.keys[0]
	p.mu.Unlock()

	if m.Lifetime != 0 {
		claims["exp"] = iat.Add(m.Lifetime).Unix()
	}
	if m.ProjectID != "" {
		claims["aud"] = []string{m.ProjectID}
		claims["iss"] = "stytch.com/" + m.ProjectID
	}
	if m.Issuer != "" {
		claims["iss"] = m.Issuer
	}
	if len(m.SessionClaim) > 0 {
		inner := decodeObject(mustMarshal(claims[sessionClaim]))
		overlay(inner, m.SessionClaim)
		claims[sessionClaim] = inner
	}
	if m.NoSessionClaim {
		delete(claims, sessionClaim)
	}
	overlay(claims, m.Claims)
	switch {
	case m.UnknownKey:
		key = signingKey{kid: p.newKeyID(), material: foreignMaterial}
	case m.Forged:
		key.material = foreignMaterial
	}
	return sign(key, m.Header, claims)
}

// overlay sets members of an object; nil leaves one out.
func overlay(object, members map[string]any) {
	maps.Copy(object, members)
	maps.DeleteFunc(object, func(_ string, v any) bool { return v == nil })
}

// jwtSession is the session claim: its members differ from the API's.
type jwtSession struct {
	ID                    string            `json:"id"`
	StartedAt             string            `json:"started_at"`
	LastAccessedAt        string            `json:"last_accessed_at"`
	ExpiresAt             string            `json:"expires_at"`
	Attributes            jwtAttributes     `json:"attributes"`
	AuthenticationFactors []json.RawMessage `json:"authentication_factors"`
	Roles                 []string          `json:"roles"`
}

type jwtAttributes struct {
	UserAgent string `json:"user_agent"`
	IPAddress string `json:"ip_address"`
}

// claims returns the claims of a JWT of s; it is called with p.mu held, and
// what it returns may be used and changed without. A map marshals in the order
// of names, as Stytch's claims are.
func (p *Project) claims(s *session, iat time.Time) map[string]any {
	claims := map[string]any{}
	maps.Copy(claims, s.claims)
	claims["aud"] = []string{p.id}
	claims["exp"] = iat.Add(p.jwtLifetime).Unix()
	claims["iat"] = iat.Unix()
	claims["iss"] = p.issuer
	claims["nbf"] = iat.Unix()
	claims["sub"] = s.userID
	claims[sessionClaim] = jwtSession{
		ID: s.id, StartedAt: formatTime(s.startedAt), LastAccessedAt: formatTime(s.lastAccessed), ExpiresAt: formatTime(s.expiresAt),
		Attributes:            jwtAttributes{s.attributes.UserAgent, s.attributes.IPAddress},
		AuthenticationFactors: marshalFactors(s.factors, false),
		Roles:                 s.roles,
	}
	if s.orgID != "" {
		claims[organizationClaim] = struct {
			ID   string `json:"organization_id"`
			Slug string `json:"slug"`
		}{s.orgID, s.orgSlug}
	}
	return claims
}

// sign returns the compact form (RFC 7515), signed with RS256 whatever the
// header says.
func sign(key signingKey, header, claims map[string]any) string {
	h := map[string]any{"alg": "RS256", "kid": key.kid, "typ": "JWT"}
	overlay(h, header)
	signed := base64.RawURLEncoding.EncodeToString(mustMarshal(h)) + "." + base64.RawURLEncoding.EncodeToString(mustMarshal(claims))
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(nil, key.material().private, crypto.SHA256, digest[:])
	if err != nil {
		panic("stytchtest: signing: " + err.Error())
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// sessionOfJWT returns the id of the session a JWT is of. The times in it are
// not looked at: the API exchanges any JWT it signed for a live session, so
// one that a test minted ahead of the clock is exchanged as well.
func (p *Project) sessionOfJWT(token string) (string, *apiError) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", errUnparsableJWT
	}
	var segments [3][]byte
	for i, part := range parts {
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil {
			return "", errUnparsableJWT
		}
		segments[i] = b
	}
	header, claims := decodeObject(segments[0]), decodeObject(segments[1])
	keys := p.currentKeys()
	i := slices.IndexFunc(keys, func(k signingKey) bool { return k.kid == header["kid"] })
	if i < 0 || header["alg"] != "RS256" {
		return "", errUnparsableJWT
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(&keys[i].material().private.PublicKey, crypto.SHA256, digest[:], segments[2]) != nil {
		return "", errUnparsableJWT
	}

	if claims["iss"] != "stytch.com/"+p.id && claims["iss"] != p.issuer {
		return "", errJWTIssuer
	}
	if aud, _ := claims["aud"].([]any); !slices.Contains(aud, any(p.id)) {
		return "", errJWTAudience
	}
	if claims[organizationClaim] != nil {
		return "", errSessionType
	}
	s, _ := claims[sessionClaim].(map[string]any)
	id, _ := s["id"].(string)
	if id == "" {
		return "", errJWTClaims
	}
	return id, nil
}

// decodeObject decodes a JSON object, its numbers as they are written; nil
// stands for anything else.
func decodeObject(b []byte) map[string]any {
	var object map[string]any
	if !decodeJSON(bytes.NewReader(b), &object) {
		return nil
	}
	return object
}

// decodeJSON reports whether r is one JSON value that fits v.
func decodeJSON(r io.Reader, v any) bool {
	d := json.NewDecoder(r)
	d.UseNumber()
	if d.Decode(v) != nil {
		return false
	}
	_, err := d.Token()
	return err == io.EOF
}
