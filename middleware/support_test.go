package middleware_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

// advance lets time pass in a synctest bubble; no real time passes.
func advance(d time.Duration) { time.Sleep(d) }

// world is a Stytch project, an Authenticator of it, and a handler behind
// Load that reports what it was given.
type world struct {
	*testing.T
	project *stytchtest.Project
	auth    *middleware.Authenticator
	handler http.Handler
}

// inWorld runs body in a synctest bubble.
func inWorld(t *testing.T, change func(*middleware.Config), body func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, stytchtest.New(stytchtest.Options{}), change)
		body(w)
	})
}

func newWorld(t *testing.T, p *stytchtest.Project, change func(*middleware.Config)) *world {
	t.Helper()
	cfg := p.Config()
	cfg.Logger = slog.New(slog.DiscardHandler)
	if change != nil {
		change(&cfg)
	}
	auth, err := middleware.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = auth.Close() })
	w := &world{T: t, project: p, auth: auth}
	w.handler = auth.Load(w.report())
	return w
}

// report answers with what the handler sees.
func (w *world) report() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		got := seen{}
		if s, ok := sessionctx.From(r.Context()); ok {
			got.SessionID, got.UserID, got.Source, got.Factors = s.ID(), s.UserID(), s.Source().String(), s.NumFactors()
		}
		if err := w.auth.Err(r); err != nil {
			got.Err, got.Status = err.Error(), middleware.Status(err)
		}
		_ = json.NewEncoder(rw).Encode(got)
	})
}

// seen is what a handler saw.
type seen struct {
	SessionID, UserID, Source, Err string
	Factors, Status                int
}

// reply is a recorded answer.
type reply struct {
	*http.Response
	body string
	seen seen
}

// cookie returns the last Set-Cookie of a name: its value, and whether it was
// set or cleared.
func (r reply) cookie(name string) (value string, set, cleared bool) {
	for _, c := range r.Cookies() {
		if c.Name == name {
			value, set, cleared = c.Value, c.MaxAge > 0, c.MaxAge < 0
		}
	}
	return value, set, cleared
}

func (r reply) setCookies() int { return len(r.Header["Set-Cookie"]) }

type option func(*http.Request)

func bearer(token string) option { return func(r *http.Request) { stytchtest.AddBearer(r, token) } }

func cookies(t middleware.Tokens) option {
	return func(r *http.Request) { stytchtest.AddCookies(r, t) }
}

func header(name, value string) option {
	return func(r *http.Request) { r.Header.Add(name, value) }
}

func method(m string) option { return func(r *http.Request) { r.Method = m } }

func page(r *http.Request) { r.Header.Set("Sec-Fetch-Dest", "document") }

// get sends a request to h, or to the reporting handler if h is nil.
func (w *world) get(h http.Handler, options ...option) reply {
	w.Helper()
	if h == nil {
		h = w.handler
	}
	r := httptest.NewRequest("GET", "https://app.example.com/page?q=1", nil)
	for _, o := range options {
		o(r)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	got := reply{Response: rec.Result()}
	b, _ := io.ReadAll(got.Response.Body)
	got.body = string(b)
	if strings.HasPrefix(got.Header.Get("Content-Type"), "text/plain") {
		_ = json.Unmarshal(b, &got.seen)
	}
	return got
}

// calls asserts how many authenticate calls arrived since the last time.
func (w *world) calls(want int) {
	w.Helper()
	if got := w.project.Calls().Authenticate; got != want {
		w.Errorf("%d authenticate calls, want %d", got, want)
	}
}

func (w *world) login(factors ...stytchtest.Factor) stytchtest.Session {
	if factors == nil {
		factors = []stytchtest.Factor{}
	}
	return w.project.Login(stytchtest.Login{Factors: factors})
}

// stale returns the session's tokens with a JWT that has expired.
func (w *world) stale(s stytchtest.Session) middleware.Tokens {
	return middleware.Tokens{SessionToken: s.Tokens.SessionToken,
		SessionJWT: w.project.MintJWT(s.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-10 * time.Minute)})}
}

func contextWithTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}
