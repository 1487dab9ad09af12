// Package demo is what the example programs share: everything around the
// wiring of authenticator, router and guards, which each main.go shows itself.
package demo

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

// Site is one example program: its settings and, with no Stytch account
// configured, the Stytch project in memory that stands in for one.
type Site struct {
	// Config is for middleware.New.
	Config middleware.Config

	name    string
	addr    string
	mistake error               // what is wrong with the environment, nil for nothing
	project *stytchtest.Project // nil with an account
	log     *slog.Logger
	closing chan struct{} // closed when a server begins to shut down
	close   func()        // closes it, once
}

// Start reads the environment of the process. Mistakes in it are kept for
// [Site.Check], which reports them together with those middleware.New finds.
func Start() *Site {
	return New(filepath.Base(os.Args[0]), os.Getenv, slog.New(slog.NewTextHandler(os.Stderr, nil)))
}

// New is Start with the program's name, environment and log given.
func New(name string, getenv func(string) string, log *slog.Logger) *Site {
	s := &Site{name: name, log: log, closing: make(chan struct{})}
	s.close = sync.OnceFunc(func() { close(s.closing) })
	env, err := readEnvironment(getenv)
	s.addr, s.mistake = env.addr, err

	s.Config.ProjectID, s.Config.Secret, s.Config.BaseURL = env.projectID, env.secret, env.baseURL
	if env.projectID == "" || env.secret == "" {
		// Also for half an account: what else is wrong should be said in the
		// same run, and Check lets no such program serve.
		s.project = stytchtest.New(stytchtest.Options{})
		s.Config = s.project.Config()
	}
	s.Config.Logger = log
	s.Config.LoginURL, s.Config.StepUpURL = "/", "/"
	s.Config.Cookies = env.cookies
	s.Config.MaxTokenAge = env.maxTokenAge
	s.Config.OpaqueTTL = env.opaqueTTL
	s.Config.NegativeTTL = env.negativeTTL
	s.Config.KeyCooldown = env.keyCooldown
	return s
}

// Project is the Stytch project in memory, nil with an account.
func (s *Site) Project() *stytchtest.Project { return s.project }

// Handlers are the routes of the examples. None looks for a session by
// itself: they rely on Load or a guard in front of them, as the field says.
type Handlers struct {
	Page   http.HandlerFunc // the page; behind Load
	Assets http.HandlerFunc // its style sheet, script and icon, under /assets/

	Optional http.HandlerFunc // whether there is a session; behind Load
	Session  http.HandlerFunc // the session; behind any guard
	Events   http.HandlerFunc // the session as server-sent events; behind a guard

	Hydrate http.HandlerFunc // takes over tokens from a back-end login
	Refresh http.HandlerFunc // authenticates anew, and extends if asked
	Logout  http.HandlerFunc // revokes

	Vars http.HandlerFunc // expvar, for loopback only
	Demo http.HandlerFunc // everything under /demo/; 404 with an account
}

// Handlers returns the handlers, using auth for what changes a session.
func (s *Site) Handlers(auth *middleware.Authenticator) Handlers {
	a := &app{Site: s, auth: auth, streams: &streams{auth: auth}}
	return Handlers{
		Page:     a.page,
		Assets:   a.assets,
		Optional: a.optional,
		Session:  a.session,
		Events:   a.events,
		Hydrate:  a.hydrate,
		Refresh:  a.refresh,
		Logout:   a.logout,
		Vars:     a.vars,
		Demo:     a.demo(),
	}
}

// app is a Site with its authenticator.
type app struct {
	*Site
	auth    *middleware.Authenticator
	streams *streams
}
