package demotest

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/examples/internal/demo"
	"github.com/stytchware/stytchware/stytchtest"
)

// stream is a response that is read while it is written.
type stream struct {
	*httptest.ResponseRecorder
	mu      sync.Mutex
	flushed int
	broken  bool
	done    chan struct{}
}

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return 0, io.ErrClosedPipe
	}
	return s.ResponseRecorder.Write(p)
}

// Flush notes how much a client would have by now.
func (s *stream) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushed = s.Body.Len()
}

// seen returns what a client has seen since the last call.
func (s *stream) seen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := string(s.Body.Next(s.flushed))
	s.flushed = 0
	return text
}

func (s *stream) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// stream opens /api/events.
func (b *browser) stream(ctx context.Context) *stream {
	s := &stream{ResponseRecorder: httptest.NewRecorder(), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		b.handler.ServeHTTP(s, b.request("GET", "/api/events", "").WithContext(ctx))
	}()
	synctest.Wait()
	return s
}

func events(t *testing.T, routes Routes) {
	w := start(t, routes, nil)
	w.browser().do("GET", "/api/events", "").problem(http.StatusUnauthorized)

	// The first event at once, then a comment each 15 s, until the logout.
	b := w.browser()
	b.take(w.project.Login(stytchtest.Login{}))
	if a := b.do("HEAD", "/api/events", "").want(http.StatusOK); a.Body != "" {
		t.Errorf("HEAD has a body: %q", a.Body)
	}
	s := b.stream(t.Context())
	if got := s.Header().Get("Content-Type"); s.Code != http.StatusOK || got != "text/event-stream" || s.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("header of the stream: %d %v", s.Code, s.Header())
	}
	first := s.seen()
	data, ok := strings.CutPrefix(first, "event: session\ndata: ")
	if !ok || !strings.HasSuffix(data, "}\n\n") || strings.Count(first, "\n") != 3 {
		t.Fatalf("the first event is %q", first)
	}
	var got, want session
	decode(t, strings.TrimSpace(data), &got)
	decode(t, b.do("GET", "/api/session", "").want(http.StatusOK).Body, &want)
	if got.SessionID != want.SessionID || got.ExpiresAt != want.ExpiresAt || got.State != "authenticated" || len(got.Factors) != 1 {
		t.Errorf("the first event has %+v, want %+v", got, want)
	}
	advance(14900 * time.Millisecond)
	if text := s.seen(); text != "" {
		t.Errorf("before 15 s: %q", text)
	}
	for range 3 {
		advance(15 * time.Second)
		if text := s.seen(); !strings.HasPrefix(text, ":") || !strings.HasSuffix(text, "\n\n") {
			t.Errorf("after 15 s: %q", text)
		}
	}
	other := w.browser()
	other.take(w.project.Login(stytchtest.Login{}))
	others := other.stream(t.Context())
	b.do("POST", "/api/logout", "").want(http.StatusNoContent)
	advance(900 * time.Millisecond)
	if !s.ended() {
		t.Error("the stream outlived the logout")
	}
	if others.ended() {
		t.Error("somebody else's logout ended a stream")
	}
	other.do("POST", "/demo/outage", `{"unavailable":true}`).want(http.StatusNoContent)
	other.do("POST", "/api/logout", "").want(http.StatusNoContent)
	advance(900 * time.Millisecond)
	if !others.ended() {
		t.Error("the stream outlived a logout during an outage")
	}
	other.do("POST", "/demo/outage", `{"unavailable":false}`).want(http.StatusNoContent)
	advance(5 * time.Second)

	// Until the session expires.
	b.take(w.project.Login(stytchtest.Login{Duration: 40 * time.Second}))
	s = b.stream(t.Context())
	advance(39 * time.Second)
	if s.ended() {
		t.Error("the stream ended before the session expired")
	}
	advance(1100 * time.Millisecond)
	if !s.ended() {
		t.Error("the stream outlived the session")
	}

	// Until the client leaves.
	b.take(w.project.Login(stytchtest.Login{}))
	ctx, leave := context.WithCancel(t.Context())
	s = b.stream(ctx)
	if s.ended() {
		t.Error("the stream ended by itself")
	}
	leave()
	synctest.Wait()
	if !s.ended() {
		t.Error("the stream outlived the client")
	}

	// Until it cannot be written any more.
	s = b.stream(t.Context())
	s.mu.Lock()
	s.broken = true
	s.mu.Unlock()
	advance(16 * time.Second)
	if !s.ended() {
		t.Error("the stream outlived its connection")
	}
}

func vars(t *testing.T, routes Routes) {
	b := start(t, routes, nil).browser()
	for remote, want := range map[string]int{
		"127.0.0.1:1": 200, "127.8.8.8:1": 200, "[::1]:1": 200, "[::ffff:127.0.0.1]:1": 200,
		"192.0.2.1:1": 403, "[2001:db8::1]:1": 403, "": 403, "127.0.0.1.evil.example:1": 403, "@": 403,
	} {
		r := b.request("GET", "/debug/vars", "", "X-Forwarded-For", "127.0.0.1", "X-Real-IP", "127.0.0.1")
		r.RemoteAddr = remote
		a := b.serve(r)
		if a.Status != want {
			t.Errorf("from %q: got %d, want %d", remote, a.Status, want)
			continue
		}
		if want != 200 {
			a.problem(want)
			continue
		}
		var v struct {
			Memstats map[string]any
			Calls    *stytchtest.Calls `json:"stytch_calls"`
		}
		decode(t, a.Body, &v)
		if len(v.Memstats) == 0 || v.Calls == nil {
			t.Errorf("from %q: %s", remote, a.Body)
		}
	}
	// A name of elsewhere that leads here is another site's (DNS rebinding).
	for host, want := range map[string]int{
		"127.0.0.1:8080": 200, "localhost": 200, "LocalHost:8080": 200, "[::1]:8080": 200, "[::1]": 200,
		"rebound.example:8080": 403, "127.0.0.1.example": 403, "localhost.example": 403, "": 403, "192.0.2.1": 403,
	} {
		r := b.request("GET", "/debug/vars", "")
		r.RemoteAddr, r.Host = "127.0.0.1:1", host
		if a := b.serve(r); a.Status != want {
			t.Errorf("for %q: got %d, want %d", host, a.Status, want)
		}
	}
}

func page(t *testing.T, routes Routes) {
	b := start(t, routes, nil).browser()
	a := b.do("GET", "/", "").want(http.StatusOK)
	policy := a.Header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("no %s in %q", part, policy)
		}
	}
	if strings.Contains(policy, "unsafe") || a.Header.Get("X-Content-Type-Options") != "nosniff" || a.Header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
		t.Errorf("header of the page: %v", a.Header)
	}
	for _, part := range []string{`data-mode="demo"`, `data-state="anonymous"`, `data-return-to="/"`, `id="inbox"`, `id="outage"`, `id="login"`} {
		if !strings.Contains(a.Body, part) {
			t.Errorf("no %s in the page", part)
		}
	}
	for _, part := range []string{`style="`, "<style", "onclick", "http://", "https://", `id="hydrate"`} {
		if strings.Contains(a.Body, part) {
			t.Errorf("%s in the page", part)
		}
	}
	for name, media := range map[string]string{"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"} {
		asset := b.do("GET", "/assets/"+name, "").want(http.StatusOK)
		if !strings.Contains(a.Body, "/assets/"+name) || !strings.HasPrefix(asset.Header.Get("Content-Type"), media) || len(asset.Body) < 100 {
			t.Errorf("%s: %v", name, asset.Header)
		}
		b.do("GET", "/assets/"+name, "", "If-None-Match", asset.Header.Get("ETag")).want(http.StatusNotModified)
	}
	b.do("GET", "/assets/../assets/page.html", "").notFound()

	b.logIn("ada@example.com")
	if body := b.do("GET", "/", "").want(http.StatusOK).Body; !strings.Contains(body, `data-state="authenticated"`) {
		t.Error("the page does not know the session")
	}
	token := b.cookie("stytch_session")
	b.do("POST", "/demo/outage", `{"unavailable":true}`).want(http.StatusNoContent)
	advance(31 * time.Second) // the answer about the token is not kept longer
	if body := b.do("GET", "/", "", "Authorization", "Bearer "+token).want(http.StatusOK).Body; !strings.Contains(body, `data-state="unavailable"`) {
		t.Error("the page does not know about the outage")
	}
}

// notFound fails the test if something was found, be it after a redirect.
func (a *answer) notFound() {
	a.Helper()
	if a.Status == http.StatusOK {
		a.Errorf("%s: found", a.what)
	}
}

func controls(t *testing.T, routes Routes) {
	w := start(t, routes, nil)
	b := w.browser()
	for _, path := range []string{"/demo/step-up", "/demo/step-up/verify", "/demo/stale", "/demo/revoke"} {
		b.do("POST", path, `{}`).problem(http.StatusUnauthorized)
	}
	for _, body := range []string{`{}`, `{"unavailable":1}`, `{"unavailable":"true"}`, `{`} {
		b.do("POST", "/demo/outage", body).problem(http.StatusBadRequest)
	}
	for _, path := range []string{"/demo/login", "/demo/outage"} {
		b.do("POST", path, "x=y", "Content-Type", "application/x-www-form-urlencoded").problem(http.StatusBadRequest)
	}
	b.logIn("ada@example.com")
	b.do("POST", "/demo/step-up", "x=y", "Content-Type", "text/plain").problem(http.StatusBadRequest)
	b.do("POST", "/demo/step-up/verify", "x=y", "Content-Type", "text/plain").problem(http.StatusBadRequest)

	// An outage: local decisions go on, what must ask Stytch says so.
	b.do("POST", "/demo/outage", `{"unavailable":true}`).want(http.StatusNoContent)
	if !b.inbox().Unavailable {
		t.Error("the state does not show the outage")
	}
	b.do("GET", "/api/session", "").session()
	b.do("GET", "/api/fresh", "").problem(http.StatusServiceUnavailable)
	b.do("GET", "/api/mfa", "").problem(http.StatusServiceUnavailable)
	b.do("POST", "/demo/step-up", `{"phone_number":"+12025550123"}`).problem(http.StatusServiceUnavailable)
	b.do("POST", "/demo/outage", `{"unavailable":false}`).want(http.StatusNoContent)
	if b.inbox().Unavailable {
		t.Error("the state does not show the end of the outage")
	}
	advance(5 * time.Second)
	b.do("GET", "/api/fresh", "").session()

	// Whatever goes wrong at Stytch, a login says so.
	for _, fault := range []stytchtest.Fault{
		stytchtest.Error(500, "internal_server_error"), stytchtest.TooManyRequests(""), stytchtest.Reply(200, "application/json", `{`),
	} {
		w.project.FailAPI(fault)
		a := b.do("POST", "/demo/login", `{"email":"ada@example.com"}`).problem(http.StatusServiceUnavailable)
		if a.Header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
	}
	w.project.FailAPI(nil)

	// A stale JWT: one call, and a new cookie.
	advance(11 * time.Second) // past the answer that would serve it
	b.do("POST", "/demo/stale", "").want(http.StatusNoContent)
	old, calls := b.cookie("stytch_session_jwt"), b.inbox().Calls
	if s := b.do("GET", "/api/session", "").session(); *s.FromCache {
		t.Error("a stale JWT was taken")
	}
	if b.cookie("stytch_session_jwt") == old || b.inbox().Calls != calls+1 {
		t.Errorf("a stale JWT cost %d calls", b.inbox().Calls-calls)
	}
	if s := b.do("GET", "/api/session", "").session(); !*s.FromCache {
		t.Error("the new JWT was not taken")
	}

	// New keys: the next JWT has one that is not known yet.
	key := w.project.KeyID()
	b.do("POST", "/demo/rotate", "").want(http.StatusNoContent)
	if w.project.KeyID() == key {
		t.Error("the key is the old one")
	}
	advance(11 * time.Second)
	b.do("POST", "/api/refresh", "").session()
	if s := b.do("GET", "/api/session", "").session(); !*s.FromCache {
		t.Error("a JWT with the new key was not decided locally")
	}

	// Revoked elsewhere: Fresh knows at once.
	b.do("POST", "/demo/revoke", "").want(http.StatusNoContent)
	b.do("GET", "/api/session", "").session()
	b.do("GET", "/api/fresh", "").problem(http.StatusUnauthorized)
	b.do("GET", "/api/session", "").problem(http.StatusUnauthorized)
}

func crossSite(t *testing.T, routes Routes) {
	w := start(t, routes, nil)
	b := w.browser()
	b.take(w.project.Login(stytchtest.Login{}))
	token := w.project.Login(stytchtest.Login{}).Tokens.SessionToken
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://evil.example"},
	} {
		for path, body := range map[string]string{
			"/api/hydrate": `{"session_token":"` + token + `"}`, "/api/refresh": "", "/api/logout": "",
			"/demo/login": `{"email":"ada@example.com"}`, "/demo/step-up": `{"phone_number":"+12025550123"}`, "/demo/step-up/verify": `{}`,
			"/demo/outage": `{"unavailable":true}`, "/demo/rotate": "", "/demo/stale": "", "/demo/revoke": "",
		} {
			a := b.do("POST", path, body, header...).want(http.StatusForbidden)
			if a.Header.Get("Set-Cookie") != "" {
				t.Errorf("%s from another site set cookies", path)
			}
		}
	}
	if in := b.inbox(); in.Unavailable || len(in.Inbox) != 0 {
		t.Errorf("another site changed %+v", in)
	}
	b.do("GET", "/api/fresh", "").session()
}

func account(t *testing.T, routes Routes) {
	project := stytchtest.New(stytchtest.Options{})
	environment := map[string]string{"STYTCH_PROJECT_ID": project.ID(), "STYTCH_SECRET": project.Secret()}
	var log bytes.Buffer
	site := demo.New("test", func(name string) string { return environment[name] }, slog.New(slog.NewTextHandler(&log, nil)))
	site.Config.HTTPClient = project.Config().HTTPClient
	b := serve(t, routes, site, project).browser()

	for _, path := range []string{"/demo/state", "/demo/authenticate?token=x", "/demo/"} {
		b.do("GET", path, "").want(http.StatusNotFound)
	}
	b.do("POST", "/demo/login", `{"email":"ada@example.com"}`).want(http.StatusNotFound)
	body := b.do("GET", "/", "").want(http.StatusOK).Body
	for part, want := range map[string]bool{`data-mode="account"`: true, `id="hydrate"`: true, `id="inbox"`: false, `id="outage"`: false, "/demo/": false} {
		if strings.Contains(body, part) != want {
			t.Errorf("%s in the page: %v, want %v", part, !want, want)
		}
	}
	b.do("POST", "/api/hydrate", `{"session_token":"WJtR5BCy38Szd5AfoDpf0iqFKEt4EE5JhjlWUY7l3FtY"}`).session()
	b.do("GET", "/api/fresh", "").session()
	if body := b.do("GET", "/debug/vars", "").want(http.StatusOK).Body; !strings.Contains(body, `"stytch_calls": null`) {
		t.Error("calls are counted that nobody counts")
	}
	project.FailAPI(stytchtest.Down())
	b.do("POST", "/api/logout", "").want(http.StatusNoContent)
	if !strings.Contains(log.String(), "could not be told") || strings.Contains(log.String(), "WJtR5BCy") || strings.Contains(log.String(), project.Secret()) {
		t.Errorf("the log says %s", log.String())
	}
}

func private(t *testing.T, routes Routes) {
	b := start(t, routes, map[string]string{
		"COOKIES":     "private",
		"COOKIE_KEYS": strings.Repeat("0a1b", 16) + "," + strings.Repeat("2c3d", 16),
	}).browser()
	b.origin = "https://example.com" // __Host- cookies need it
	b.logIn("ada@example.com")
	if b.cookie("stytch_session") != "" || b.cookie("__Host-stytch_session") == "" {
		t.Error("the cookies are not private")
	}
	if s := b.do("GET", "/api/session", "").session(); !*s.FromCache {
		t.Errorf("by private cookies: %+v", s)
	}
	b.do("POST", "/demo/stale", "").problem(http.StatusConflict)
	if body := b.do("GET", "/", "").want(http.StatusOK).Body; strings.Contains(body, `id="stale"`) {
		t.Error("the page offers what cannot be done")
	}
	b.do("POST", "/api/logout", "").want(http.StatusNoContent)
	b.do("GET", "/api/session", "").problem(http.StatusUnauthorized)
}
