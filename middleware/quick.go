package middleware

import (
	"net/http"
	"strings"
	"time"

	"github.com/stytchware/stytchware/internal/wellformed"
	"github.com/stytchware/stytchware/sessionctx"
)

// quick answers for a request whose JWT was verified before and would be
// accepted again: what read and decide would answer, without looking at every
// byte. A JWT that equals a verified one is well formed. Whatever is not plain
// (two cookies of a name, another carrier, a foreign site, a revocation) is
// left to them. plain is where c plainly is, as state.plain has it; it is also
// set where c is what read would find, though there is no answer.
func (a *Authenticator) quick(r *http.Request) (s *sessionctx.Session, c credentials, plain string) {
	c, plain, ok := a.glance(r.Header)
	if !ok {
		return nil, c, ""
	}
	s, until, ok := a.verifier.Cached(c.jwt)
	if !ok {
		if !wellformed.JWT(c.jwt) {
			plain = ""
		}
		return nil, c, plain
	}
	if a.revocations.of(s.ID()) != unheard || a.isDead(c.token) || c.carrier == byCookies && a.crossSite(r) {
		return nil, c, plain
	}
	if a.refreshAhead > 0 && time.Until(until) < a.refreshAhead {
		return nil, c, plain
	}
	return s, c, plain
}

// glance finds the JWT where it plainly is, and the token beside it.
func (a *Authenticator) glance(h http.Header) (c credentials, plain string, ok bool) {
	if lines := h["Authorization"]; len(lines) > 0 {
		if len(lines) > 1 {
			return c, "", false
		}
		if value, ok := bearer(lines[0]); ok {
			return credentials{jwt: value, carrier: byBearer}, value, true
		}
	}
	lines := h["Cookie"]
	if a.tokenHeader != "" || a.jwtHeader != "" || len(lines) != 1 {
		return c, "", false
	}
	c, ok = a.plainCookies(lines[0])
	return c, lines[0], ok
}

// plainCookies finds the JWT and the token beside it in a Cookie line that has
// each at most once.
func (a *Authenticator) plainCookies(line string) (credentials, bool) {
	c := credentials{carrier: byCookies}
	for line != "" {
		if c := line[0]; c == ' ' || c == '\t' || c == '\n' || c == '\r' {
			line = line[1:]
			continue
		}
		part := line
		if i := strings.IndexByte(line, ';'); i >= 0 {
			part, line = line[:i], line[i+1:]
		} else {
			line = ""
		}
		slot, n := &c.token, len(a.cookies.tokenName)
		if begins(part, a.cookies.jwtName) {
			slot, n = &c.jwt, len(a.cookies.jwtName)
		} else if !begins(part, a.cookies.tokenName) {
			continue
		}
		value := part[n+1:]
		if part[n] != '=' || *slot != "" || absent(value) || value[0] == '"' || value[len(value)-1] <= ' ' {
			return c, false
		}
		*slot = value
	}
	if c.jwt == "" {
		return c, false
	}
	if a.cookies.sealer != nil {
		return a.opened(c)
	}
	return c, c.token == "" || wellformed.SessionToken(c.token)
}

// begins reports whether part of a Cookie header is, or may be, the cookie of that
// name: net/http drops white space after a name.
func begins(part, name string) bool {
	return len(part) > len(name) && part[:len(name)] == name && (part[len(name)] == '=' || part[len(name)] <= ' ')
}

// sealedCookie is a cookie's value as it comes, and which cookie it is.
type sealedCookie struct {
	jwt   bool
	value string
}

// openedTTL is how long what a sealed cookie holds is remembered.
const openedTTL = 5 * time.Minute

// opened puts what sealed cookies hold in their place, if they were opened
// before with the first key.
func (a *Authenticator) opened(c credentials) (credentials, bool) {
	jwt, ok := a.cookies.remembered.Get(sealedCookie{true, c.jwt})
	if !ok {
		return c, false
	}
	if c.token != "" {
		if c.token, ok = a.cookies.remembered.Get(sealedCookie{false, c.token}); !ok {
			return c, false
		}
	}
	c.jwt = jwt
	return c, true
}
