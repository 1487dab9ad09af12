package middleware

import "net/http"

// Quick is what the quick path answers: the session's id, the tokens, and
// whether it answers at all.
func (a *Authenticator) Quick(r *http.Request) (id string, t Tokens, ok bool) {
	s, c, _ := a.quick(r)
	if s == nil {
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

// ReadQuickly reports whether the quick path claims to have read r as the
// thorough one would, and whether that is so.
func (a *Authenticator) ReadQuickly(r *http.Request) (claims, right bool) {
	_, c, plain := a.quick(r)
	want, d := a.read(r)
	st := &state{auth: a, plain: plain, carrier: c.carrier}
	return plain != "", d == nil && c == want && st.credentials() == want
}
