package stytchtest

import (
	"net/http"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
)

// The names of the SDK's cookies.
const (
	tokenCookie = "stytch_session"
	jwtCookie   = "stytch_session_jwt"
)

// AddCookies adds the tokens to r as a browser with Stytch's SDK sends them; an
// empty token adds no cookie.
func AddCookies(r *http.Request, t middleware.Tokens) {
	if t.SessionToken != "" {
		r.AddCookie(&http.Cookie{Name: tokenCookie, Value: t.SessionToken})
	}
	if t.SessionJWT != "" {
		r.AddCookie(&http.Cookie{Name: jwtCookie, Value: t.SessionJWT})
	}
}

// AddBearer makes token, a session JWT or a session token, the request's
// Authorization, as a mobile app sends it.
func AddBearer(r *http.Request, token string) {
	r.Header.Set("Authorization", "Bearer "+token)
}

// WithSession returns r with a session in its context, for testing a handler
// by itself, with neither middleware nor project. The session is d and nothing
// else: what is zero in d stays so. Guards do not accept it.
func WithSession(r *http.Request, d sessionctx.Data) *http.Request {
	return r.WithContext(sessionctx.With(r.Context(), sessionctx.New(d)))
}
