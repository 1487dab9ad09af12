// Command chi is an example of stytchware with the chi router. With no
// configuration it runs without a Stytch account.
package main

import (
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	chimiddleware "github.com/go-chi/chi/v5/middleware"

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
	r := chi.NewRouter()
	r.Use(chimiddleware.GetHead) // HEAD where there is GET, as in net/http

	r.Group(func(r chi.Router) {
		// Load puts the session into the context if there is one. The guards
		// behind it use what it found, so a request is authenticated once.
		r.Use(auth.Load)
		r.Get("/", h.Page)
		r.Get("/api/optional", h.Optional)

		r.With(auth.RequireSession).Get("/api/session", h.Session)
		r.With(auth.RequireSession).Get("/api/events", h.Events)
		r.With(auth.RequireMFA).Get("/api/mfa", h.Session)
		r.With(auth.Require(middleware.Within(60*time.Second))).Get("/api/recent", h.Session)
		r.With(auth.Require(middleware.Fresh)).Get("/api/fresh", h.Session)
	})

	// These change the session: they call auth.Hydrate, Refresh and Revoke.
	r.Post("/api/hydrate", h.Hydrate)
	r.Post("/api/refresh", h.Refresh)
	r.Post("/api/logout", h.Logout)

	r.Get("/assets/*", h.Assets)
	r.Get("/debug/vars", h.Vars)
	r.Handle("/demo/*", h.Demo)
	return r
}
