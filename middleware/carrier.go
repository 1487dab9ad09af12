package middleware

import (
	"iter"
	"net/http"
	"net/textproto"
	"strings"
	"time"

	"github.com/stytchware/stytchware/internal/wellformed"
)

// carrier is what of a request carries the credentials; exactly one does.
type carrier uint8

const (
	byNothing carrier = iota
	byBearer
	byHeaders
	byCookies
)

func (c carrier) String() string {
	return [...]string{"none", "bearer", "headers", "cookies"}[c]
}

// credentials are what a request carries, in the form in which they came past
// the syntax checks; nothing of them is trusted yet.
type credentials struct {
	token, jwt string
	carrier    carrier
	reseal     bool // a cookie was sealed with an old key
	safe       bool // the method changes nothing (RFC 9110, section 9.2.1)
}

// sent returns the credential that Stytch is asked with: the session token
// if it came along, since it outlives every JWT.
func (c credentials) sent() credential {
	if c.token != "" {
		return credential{opaque, c.token}
	}
	return credential{jwt, c.jwt}
}

type credentialKind uint8

const (
	opaque credentialKind = iota + 1
	jwt
)

// credential is one of them, comparable as a whole.
type credential struct {
	kind  credentialKind
	value string
}

// absent reports whether a value stands for none: the web SDK writes the
// literals when it has no JWT.
func absent(s string) bool { return s == "" || s == "undefined" || s == "null" }

// read returns the credentials of r, or why there are none that can be used.
// An Authorization header of scheme Bearer rules out everything else, even if
// it is bad; then the configured headers do; then come the cookies.
func (a *Authenticator) read(r *http.Request) (credentials, *denial) {
	if lines := r.Header["Authorization"]; len(lines) > 0 {
		if len(lines) > 1 {
			return credentials{carrier: byBearer}, denyTwoHeaders
		}
		if value, ok := bearer(lines[0]); ok {
			c := credentials{carrier: byBearer}
			switch {
			case absent(value): // a front end's bug, not a token
				return c, denyMalformed
			case wellformed.JWT(value):
				c.jwt = value
			case wellformed.SessionToken(value):
				c.token = value
			default:
				return c, denyMalformed
			}
			return c, nil
		}
	}
	if a.tokenHeader != "" || a.jwtHeader != "" {
		if c, d := a.readHeaders(r.Header); c.carrier != byNothing {
			return c, d
		}
	}
	return a.readCookies(r.Header["Cookie"])
}

// bearer returns the credential of an Authorization header of scheme Bearer
// (RFC 6750, scheme names in any case), and whether it is of that scheme.
func bearer(h string) (string, bool) {
	const scheme = "bearer"
	if len(h) > 7 && h[:7] == "Bearer " && ' ' < h[7] && h[len(h)-1] > ' ' {
		return h[7:], true // as nearly everybody writes it
	}
	h = textproto.TrimString(h)
	if len(h) < len(scheme) || !strings.EqualFold(h[:len(scheme)], scheme) {
		return "", false
	}
	rest := h[len(scheme):]
	if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return "", false // a longer scheme name
	}
	return strings.TrimLeft(rest, " "), true
}

func (a *Authenticator) readHeaders(h http.Header) (c credentials, d *denial) {
	take := func(name string, ok func(string) bool) string {
		if name == "" || d != nil {
			return ""
		}
		lines := h[name]
		if len(lines) > 1 {
			c.carrier, d = byHeaders, denyTwoHeaders
			return ""
		}
		if len(lines) == 0 {
			return ""
		}
		v := textproto.TrimString(lines[0]) // HTTP/2 leaves spaces where they are
		if absent(v) {
			return ""
		}
		c.carrier = byHeaders
		if ok(v) {
			return v
		}
		return ""
	}
	c.token = take(a.tokenHeader, wellformed.SessionToken)
	c.jwt = take(a.jwtHeader, wellformed.JWT)
	if d == nil && c.carrier != byNothing && c.token == "" && c.jwt == "" {
		d = denyMalformed
	}
	return c, d
}

// readCookies finds our two cookies as net/http's own parser does, but looks
// at every cookie of a name: two different values make the name unusable.
func (a *Authenticator) readCookies(lines []string) (credentials, *denial) {
	var token, jwt string
	ambiguous := false
	for name, value := range sessionCookies(lines, a.cookies.tokenName, a.cookies.jwtName) {
		slot := &token
		if name == a.cookies.jwtName {
			slot = &jwt
		}
		ambiguous = ambiguous || *slot != "" && *slot != value
		*slot = value
	}
	if ambiguous {
		return credentials{carrier: byCookies}, denyAmbiguous
	}
	return a.fromCookies(token, jwt)
}

// everyCookie returns what each of the cookies of r carries by itself, for a
// logout where they contradict each other.
func (a *Authenticator) everyCookie(r *http.Request) (all []credentials) {
	seen := make(map[credentials]bool)
	for name, value := range sessionCookies(r.Header["Cookie"], a.cookies.tokenName, a.cookies.jwtName) {
		var token, jwt string
		if name == a.cookies.tokenName {
			token = value
		} else {
			jwt = value
		}
		if c, d := a.fromCookies(token, jwt); d == nil && !seen[c] {
			seen[c] = true
			all = append(all, c)
		}
	}
	return all
}

// sessionCookies ranges over the cookies of the two names, as net/http's own
// parser finds them, that hold a value.
func sessionCookies(lines []string, tokenName, jwtName string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for _, line := range lines {
			for len(line) > 0 {
				var part string
				part, line, _ = strings.Cut(line, ";")
				name, value, _ := strings.Cut(textproto.TrimString(part), "=")
				name = textproto.TrimString(name)
				if name != tokenName && name != jwtName {
					continue
				}
				value, ok := cookieValue(value)
				if ok && !absent(value) && !yield(name, value) {
					return
				}
			}
		}
	}
}

// fromCookies checks the values of the two cookies, "" for none.
func (a *Authenticator) fromCookies(token, jwt string) (credentials, *denial) {
	if token == "" && jwt == "" {
		return credentials{}, denyNothing
	}
	c := credentials{carrier: byCookies}
	if a.cookies.sealer != nil {
		return a.open(c, token, jwt)
	}
	if wellformed.SessionToken(token) {
		c.token = token
	}
	if wellformed.JWT(jwt) {
		c.jwt = jwt
	}
	if c.token == "" && c.jwt == "" {
		return c, denyMalformed
	}
	return c, nil
}

// open opens sealed cookies. One that does not open counts as malformed.
func (a *Authenticator) open(c credentials, token, jwt string) (credentials, *denial) {
	for _, s := range [2]struct {
		sealed   sealedCookie
		name     string
		wellMade func(string) bool
		slot     *string
	}{
		{sealedCookie{false, token}, a.cookies.tokenName, wellformed.SessionToken, &c.token},
		{sealedCookie{true, jwt}, a.cookies.jwtName, wellformed.JWT, &c.jwt},
	} {
		if s.sealed.value == "" {
			continue
		}
		v, old, ok := a.cookies.sealer.Open(s.name, s.sealed.value)
		if !ok || !s.wellMade(v) {
			continue
		}
		*s.slot, c.reseal = v, c.reseal || old
		if !old {
			s.sealed.value = strings.Clone(s.sealed.value)
			a.cookies.remembered.Put(s.sealed, v, time.Now().Add(openedTTL))
		}
	}
	if c.token == "" && c.jwt == "" {
		return c, denySealed
	}
	return c, nil
}

// cookieValue strips the quotes and checks the bytes as net/http does.
func cookieValue(v string) (string, bool) {
	if len(v) > 1 && v[0] == '"' && v[len(v)-1] == '"' {
		v = v[1 : len(v)-1]
	}
	if !wellformed.CookieValue(v) {
		return "", false
	}
	return v, true
}
