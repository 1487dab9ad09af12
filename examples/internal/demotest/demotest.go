// Package demotest checks an example program: the same behaviour whatever its
// router is.
package demotest

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/examples/internal/demo"
	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

// Routes is the wiring of one program.
type Routes func(*middleware.Authenticator, demo.Handlers) http.Handler

// Run checks everything that can be seen of the program's routes.
func Run(t *testing.T, routes Routes) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Routes)
	}{
		{"routing", routing},
		{"login", logIn},
		{"magic link refused", linkRefused},
		{"session body", sessionFields},
		{"optional", optional},
		{"page loads", pageLoads},
		{"hydrate", hydrate},
		{"refresh", refresh},
		{"logout", logout},
		{"events", events},
		{"vars", vars},
		{"page", page},
		{"controls", controls},
		{"cross-site", crossSite},
		{"account", account},
		{"private cookies", private},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test.run(t, routes) })
		})
	}
}

// advance lets time pass in a synctest bubble.
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// world is one running program, without a socket.
type world struct {
	*testing.T
	site    *demo.Site
	project *stytchtest.Project
	handler http.Handler
}

// start starts the program in demo mode with the environment given.
func start(t *testing.T, routes Routes, environment map[string]string) *world {
	t.Helper()
	site := demo.New("test", func(name string) string { return environment[name] }, slog.New(slog.NewTextHandler(io.Discard, nil)))
	return serve(t, routes, site, site.Project())
}

func serve(t *testing.T, routes Routes, site *demo.Site, project *stytchtest.Project) *world {
	t.Helper()
	auth, err := middleware.New(site.Config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { auth.Close() })
	return &world{t, site, project, routes(auth, site.Handlers(auth))}
}

// browser is a client with cookies.
type browser struct {
	*world
	origin string
	jar    http.CookieJar
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.Fatal(err)
	}
	return &browser{w, "http://127.0.0.1:8080", jar}
}

// request makes a request with the browser's cookies. A body is JSON unless
// the header, in pairs, says otherwise.
func (b *browser) request(method, target, body string, header ...string) *http.Request {
	r := httptest.NewRequest(method, b.origin+target, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:54321"
	for _, c := range b.jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// answer is what came back.
type answer struct {
	*testing.T
	what   string
	Status int
	Header http.Header
	Body   string
}

func (b *browser) do(method, target, body string, header ...string) *answer {
	b.Helper()
	return b.serve(b.request(method, target, body, header...))
}

func (b *browser) serve(r *http.Request) *answer {
	rec := httptest.NewRecorder()
	b.handler.ServeHTTP(rec, r)
	b.jar.SetCookies(r.URL, rec.Result().Cookies())
	return &answer{b.T, r.Method + " " + r.URL.RequestURI(), rec.Code, rec.Header(), rec.Body.String()}
}

// want fails the test unless the status is as given.
func (a *answer) want(status int) *answer {
	a.Helper()
	if a.Status != status {
		a.Fatalf("%s: got %d %v %s, want %d", a.what, a.Status, a.Header, a.Body, status)
	}
	return a
}

// problem fails the test unless the answer is an RFC 9457 problem.
func (a *answer) problem(status int) *answer {
	a.Helper()
	a.want(status)
	var p struct {
		Title  string
		Status int
	}
	if err := json.Unmarshal([]byte(a.Body), &p); err != nil || p.Status != status || p.Title == "" || !strings.HasPrefix(a.Header.Get("Content-Type"), "application/problem+json") {
		a.Errorf("%s: not a problem of status %d: %v %s", a.what, status, a.Header, a.Body)
	}
	if a.Header.Get("Cache-Control") != "no-store" {
		a.Errorf("%s: may be cached: %v", a.what, a.Header)
	}
	return a
}

// session is a session as a client reads it.
type session struct {
	State        string           `json:"state"`
	UserID       string           `json:"user_id"`
	SessionID    string           `json:"session_id"`
	FromCache    *bool            `json:"from_cache"`
	VerifiedAt   string           `json:"verified_at"`
	ExpiresAt    string           `json:"expires_at"`
	Factors      []map[string]any `json:"factors"`
	Roles        []string         `json:"roles"`
	CustomClaims map[string]any   `json:"custom_claims"`
}

func (a *answer) session() session {
	a.Helper()
	a.want(http.StatusOK)
	var s session
	decode(a.T, a.Body, &s)
	if s.State != "authenticated" || s.UserID == "" || s.SessionID == "" || s.FromCache == nil || s.Factors == nil || s.Roles == nil || s.CustomClaims == nil {
		a.Fatalf("%s: not a session: %s", a.what, a.Body)
	}
	if a.Header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(a.Header.Get("Content-Type"), "application/json") {
		a.Errorf("%s: header of a session: %v", a.what, a.Header)
	}
	return s
}

func (a *answer) state() string {
	a.Helper()
	a.want(http.StatusOK)
	var s session
	decode(a.T, a.Body, &s)
	return s.State
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
}

// take gives the browser the cookies of a login, by way of /api/hydrate.
func (b *browser) take(s stytchtest.Session) session {
	b.Helper()
	body, _ := json.Marshal(map[string]string{"session_token": s.Tokens.SessionToken, "session_jwt": s.Tokens.SessionJWT})
	return b.do("POST", "/api/hydrate", string(body)).session()
}

// cookie returns the value of one cookie of the browser, "" for none.
func (b *browser) cookie(name string) string {
	u, err := url.Parse(b.origin)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range b.jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// inbox is what /demo/state says.
type inbox struct {
	Inbox []struct {
		To, Token, Code string
		At              time.Time
	}
	Unavailable bool
	Calls       int
}

func (b *browser) inbox() inbox {
	b.Helper()
	var in inbox
	decode(b.T, b.do("GET", "/demo/state", "").want(http.StatusOK).Body, &in)
	return in
}

// logIn logs the browser in by magic link, as a person does.
func (b *browser) logIn(email string) {
	b.Helper()
	b.do("POST", "/demo/login", `{"email":"`+email+`"}`).want(http.StatusAccepted)
	letters := b.inbox().Inbox
	if len(letters) == 0 || letters[0].To != email || letters[0].Token == "" {
		b.Fatalf("no magic link for %s in %+v", email, letters)
	}
	b.do("GET", "/demo/authenticate?"+url.Values{"token": {letters[0].Token}}.Encode(), "").want(http.StatusSeeOther)
}
