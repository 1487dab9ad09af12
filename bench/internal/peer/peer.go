// Package peer wires what other people would put in front of a handler to
// authenticate a Stytch session JWT, each as its own documentation says, and
// this library in the same way.
package peer

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/stytchware/stytchware/bench/internal/load"
	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

// Names of the contestants that others are measured against.
const (
	Ours      = "stytchware"
	KeyfuncBy = "keyfunc + golang-jwt by hand"
	StytchBy  = "stytch-go's steps by hand"

	oidcBy    = "coreos/go-oidc"
	jwxBy     = "lestrrat-go/jwx"
	jwtauthBy = "chi jwtauth"
	auth0By   = "auth0/go-jwt-middleware"
	clerkBy   = "clerk-sdk-go"
)

// Names returns the names of the Others.
func Names() []string {
	return []string{KeyfuncBy, StytchBy, oidcBy, jwxBy, jwtauthBy, auth0By, clerkBy}
}

// Peer is a way to authenticate. Handler has it in front of the handler that the
// peers of its kind share: 204 where the handler knows the user, else 500.
type Peer struct {
	Name    string
	Bearer  bool // it reads the Authorization header; otherwise the JWT cookie
	Handler http.Handler
}

// Header returns the header line that carries a JWT to p.
func (p Peer) Header(jwt string) (name, value string) {
	if p.Bearer {
		return "Authorization", load.Bearer(jwt)
	}
	return "Cookie", load.Cookie(jwt)
}

// API is a project's API on a loopback address, for those who fetch keys and
// ask by themselves.
type API struct {
	*stytchtest.Project
	URL    string
	server *httptest.Server
}

// Serve serves p until Close.
func Serve(p *stytchtest.Project) *API {
	s := httptest.NewServer(p)
	return &API{p, s.URL, s}
}

// Close ends the server.
func (a *API) Close() {
	a.server.CloseClientConnections()
	a.server.Close()
}

func (a *API) issuer() string { return "stytch.com/" + a.ID() }

func (a *API) keySetURL() string { return a.URL + "/v1/sessions/jwks/" + a.ID() }

// greet answers 204 where who knows the user.
func greet(who func(context.Context) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if who(r.Context()) == "" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// Nothing is the handler with nothing before it.
func Nothing() http.Handler { return greet(func(context.Context) string { return "anybody" }) }

// Greet is the handler behind this library.
func Greet() http.Handler {
	return greet(func(ctx context.Context) string {
		if s, ok := sessionctx.From(ctx); ok {
			return s.UserID()
		}
		return ""
	})
}

// GreetAnybody is Greet for a handler that does without a session.
func GreetAnybody() http.Handler {
	return greet(func(ctx context.Context) string {
		if s, ok := sessionctx.From(ctx); ok {
			return s.UserID()
		}
		return "anybody"
	})
}

// Authenticator returns this library's with cfg, and fails only by a mistake
// in cfg.
func Authenticator(cfg middleware.Config) (*middleware.Authenticator, error) {
	auth, err := middleware.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	return auth, nil
}

// Others returns the peers, the obvious code first.
func Others(api *API) ([]Peer, error) {
	var all []Peer
	for _, make := range []func(*API) (Peer, error){
		byKeyfunc, byStytchGo, byGoOIDC, byJWX, byJWTAuth, byAuth0, byClerk,
	} {
		p, err := make(api)
		if err != nil {
			return nil, fmt.Errorf("peer: %w", err)
		}
		all = append(all, p)
	}
	return all, nil
}
