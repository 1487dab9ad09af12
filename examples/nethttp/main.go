// Command nethttp is an example of stytchware with nothing but net/http. With
// no configuration it runs without a Stytch account.
package main

import (
	"net/http"
	"time"

	"github.com/stytchware/stytchware/examples/internal/demo"
	"github.com/stytchware/stytchware/middleware"
)

func main() {
	site := demo.Start() // settings from the environment

	auth, err := middleware.New(site.Config)
	site.Check(err)
	defer auth.Close()

	site.Check(site.Serve(routes(auth, site.Handlers(auth))))
}

func routes(auth *middleware.Authenticator, h demo.Handlers) http.Handler {
	mux := http.NewServeMux()

	// Where a session is optional, Load puts it into the context if there is one.
	mux.Handle("GET /{$}", auth.Load(h.Page))
	mux.Handle("GET /api/optional", auth.Load(h.Optional))

	// Where it is not, a guard lets the handler run or answers in its place.
	mux.Handle("GET /api/session", auth.RequireSession(h.Session))
	mux.Handle("GET /api/events", auth.RequireSession(h.Events))
	mux.Handle("GET /api/mfa", auth.RequireMFA(h.Session))
	mux.Handle("GET /api/recent", auth.Require(middleware.Within(60*time.Second))(h.Session))
	mux.Handle("GET /api/fresh", auth.Require(middleware.Fresh)(h.Session))

	// These change the session: they call auth.Hydrate, Refresh and Revoke.
	mux.Handle("POST /api/hydrate", h.Hydrate)
	mux.Handle("POST /api/refresh", h.Refresh)
	mux.Handle("POST /api/logout", h.Logout)

	mux.Handle("GET /assets/", h.Assets)
	mux.Handle("GET /debug/vars", h.Vars)
	mux.Handle("/demo/", h.Demo)
	return mux
}
