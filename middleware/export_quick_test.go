package middleware

import "net/http"

// Quick is what the quick path answers: the session's id, the tokens, and
// whether it answers at all.
func (a *Authenticator) Quick(r *http.Request) (id string, t Tokens, ok bool) {
	s, c, ok := a.quick(r)
	if !ok {
		return "", Tokens{}, false
	}
	return s.ID(), Tokens{SessionToken: c.token, SessionJWT: c.jwt}, true
}

// Thorough is what read and decide answer, where they accept a JWT locally.
func (a *Authenticator) Thorough(r *http.Request) (id string, t Tokens, ok bool) {
	c, d := a.read(r)
	if d != nil || c.carrier == byCookies && a.crossSite(r) {
		return "", Tokens{}, false
	}
	out := a.decide(r.Context(), c)
	if out.session == nil || out.why != byJWT {
		return "", Tokens{}, false
	}
	return out.session.ID(), Tokens{SessionToken: c.token, SessionJWT: c.jwt}, true
}
