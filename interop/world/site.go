package world

import (
	"errors"
	"html/template"
	"net/http"
	"strings"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
)

// page is a front end with Stytch's SDK, as its documents set it up. What the
// SDK reports is kept where the tests can read it.
var page = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>interop</title><link rel="icon" href="data:,">
<script src="/sdk/index.headless.js"></script>
<script>
	var client = new stytch.StytchClient({{.PublicToken}}, {{.Options}});
	var changes = [];
	client.session.onChange(function (s) { changes.push(s && s.session_id); });
</script>
</head><body><h1>interop</h1></body></html>
`))

// site is a small application: what the middleware does is all that it does.
func (w *world) site() http.Handler {
	auth := w.auth
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		page.Execute(rw, map[string]any{"PublicToken": w.project.PublicToken(), "Options": w.options})
	})
	mux.HandleFunc("GET /plain", func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		rw.Write([]byte("<!doctype html><title>plain</title><link rel=icon href='data:,'>"))
	})
	mux.Handle("GET /sdk/", http.StripPrefix("/sdk/", http.FileServer(http.Dir(w.sdk))))
	mux.HandleFunc("GET /cookies", sentCookies)

	session := http.HandlerFunc(session)
	mux.Handle("GET /api/optional", auth.Load(http.HandlerFunc(w.optional)))
	mux.Handle("GET /api/session", auth.RequireSession(session))
	mux.Handle("GET /api/mfa", auth.RequireMFA(session))
	mux.Handle("GET /api/fresh", auth.Require(middleware.Fresh)(session))
	mux.HandleFunc("POST /api/hydrate", w.hydrate)
	mux.HandleFunc("POST /api/refresh", func(rw http.ResponseWriter, r *http.Request) {
		s, err := auth.Refresh(rw, r, 0)
		w.answer(rw, r, s, err)
	})
	mux.HandleFunc("POST /api/logout", func(rw http.ResponseWriter, r *http.Request) {
		if err := auth.Revoke(rw, r); err != nil && !errors.Is(err, middleware.ErrUnavailable) {
			auth.Deny(rw, r, err)
			return
		}
		rw.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// hydrate takes over what a back-end login gave.
func (w *world) hydrate(rw http.ResponseWriter, r *http.Request) {
	var t struct {
		Token string `json:"session_token"`
		JWT   string `json:"session_jwt"`
	}
	if err := decode(r, &t); err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	s, err := w.auth.Hydrate(rw, r, middleware.Tokens{SessionToken: t.Token, SessionJWT: t.JWT})
	w.answer(rw, r, s, err)
}

func (w *world) answer(rw http.ResponseWriter, r *http.Request, s *sessionctx.Session, err error) {
	if err != nil {
		w.auth.Deny(rw, r, err)
		return
	}
	reply(rw, bodyOf(s))
}

func (w *world) optional(rw http.ResponseWriter, r *http.Request) {
	switch s, ok := sessionctx.From(r.Context()); {
	case ok:
		reply(rw, bodyOf(s))
	case errors.Is(w.auth.Err(r), middleware.ErrUnavailable):
		reply(rw, map[string]string{"state": "unavailable"})
	default:
		reply(rw, map[string]string{"state": "anonymous"})
	}
}

func session(rw http.ResponseWriter, r *http.Request) {
	s, _ := sessionctx.From(r.Context())
	reply(rw, bodyOf(s))
}

type body struct {
	State   string `json:"state"`
	Session string `json:"session_id"`
	User    string `json:"user_id"`
	Factors int    `json:"factors"`
	Source  string `json:"source"`
	Plan    string `json:"plan"` // a custom claim
}

func bodyOf(s *sessionctx.Session) body {
	claims, _ := sessionctx.Claims[struct {
		Plan string `json:"plan"`
	}](s)
	return body{"authenticated", s.ID(), s.UserID(), s.NumFactors(), strings.ToLower(s.Source().String()), claims.Plan}
}

// sentCookies answers what the browser sent, name by name and in its order.
func sentCookies(rw http.ResponseWriter, r *http.Request) {
	sent := map[string][]string{}
	for _, c := range r.Cookies() {
		sent[c.Name] = append(sent[c.Name], c.Value)
	}
	reply(rw, sent)
}
