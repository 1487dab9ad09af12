package middleware_test

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

// jarModel is the cookie store of a browser: the storage and retrieval rules of
// RFC 6265bis that matter to session cookies, for servers (Set-Cookie) and for
// scripts (document.cookie).
type jarModel struct {
	stored []*browserCookie
	made   int
}

type browserCookie struct {
	name, value, domain, path  string
	hostOnly, secure, httpOnly bool
	expires                    time.Time // zero: with the window
	made                       int
}

// trustworthy reports whether u counts as a secure origin: https, or this
// machine.
func trustworthy(u *url.URL) bool {
	h := u.Hostname()
	return u.Scheme == "https" || h == "localhost" || strings.HasSuffix(h, ".localhost") || h == "127.0.0.1" || h == "::1"
}

func domainMatch(host, domain string) bool {
	return host == domain || strings.HasSuffix(host, "."+domain)
}

// store follows RFC 6265bis section 5.7, and reports whether the cookie was
// taken.
func (b *jarModel) store(u *url.URL, line string, script bool) bool {
	c, err := http.ParseSetCookie(line)
	if err != nil || len(c.Name)+len(c.Value) > 4096 {
		return false
	}
	in := &browserCookie{name: c.Name, value: c.Value, path: c.Path, secure: c.Secure, httpOnly: c.HttpOnly, domain: u.Hostname(), hostOnly: true}
	if d := strings.ToLower(strings.TrimPrefix(c.Domain, ".")); d != "" {
		if !domainMatch(u.Hostname(), d) {
			return false
		}
		in.domain, in.hostOnly = d, false
	}
	if in.path == "" || in.path[0] != '/' {
		in.path = "/"
		if i := strings.LastIndexByte(u.Path, '/'); i > 0 {
			in.path = u.Path[:i]
		}
	}
	lower := strings.ToLower(in.name)
	switch {
	case in.secure && !trustworthy(u),
		in.httpOnly && script,
		strings.HasPrefix(lower, "__secure-") && !in.secure,
		strings.HasPrefix(lower, "__host-") && (!in.secure || !in.hostOnly || c.Path != "/"):
		return false
	}
	if !in.secure && !trustworthy(u) && slices.ContainsFunc(b.stored, func(old *browserCookie) bool {
		return old.name == in.name && old.secure && (domainMatch(old.domain, in.domain) || domainMatch(in.domain, old.domain))
	}) {
		return false // leave Secure cookies alone
	}
	switch {
	case c.MaxAge != 0:
		in.expires = time.Now().Add(time.Duration(c.MaxAge) * time.Second)
	case !c.Expires.IsZero():
		in.expires = c.Expires
	}
	b.made++
	in.made = b.made
	if i := slices.IndexFunc(b.stored, func(old *browserCookie) bool {
		return old.name == in.name && old.domain == in.domain && old.hostOnly == in.hostOnly && old.path == in.path
	}); i >= 0 {
		if b.stored[i].httpOnly && script {
			return false
		}
		in.made = b.stored[i].made
		b.stored = slices.Delete(b.stored, i, i+1)
	}
	b.stored = append(b.stored, in)
	b.expire()
	return true
}

func (b *jarModel) expire() {
	now := time.Now()
	b.stored = slices.DeleteFunc(b.stored, func(c *browserCookie) bool { return !c.expires.IsZero() && !now.Before(c.expires) })
}

// sent are the cookies for u in the order in which they are sent, or those
// that a script there can read.
func (b *jarModel) sent(u *url.URL, script bool) []*browserCookie {
	b.expire()
	var all []*browserCookie
	for _, c := range b.stored {
		host := u.Hostname() == c.domain || !c.hostOnly && domainMatch(u.Hostname(), c.domain)
		path := c.path == "/" || u.Path == c.path || strings.HasPrefix(u.Path, strings.TrimSuffix(c.path, "/")+"/")
		if host && path && (!c.secure || trustworthy(u)) && !(script && c.httpOnly) {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(x, y *browserCookie) int {
		return cmp.Or(cmp.Compare(len(y.path), len(x.path)), cmp.Compare(x.made, y.made))
	})
	return all
}

// site is an application at one origin, and the browser of one user who is
// there.
type site struct {
	*testing.T
	*jarModel
	project *stytchtest.Project
	auth    *middleware.Authenticator
	origin  string
	domain  string // of the SDK's cookies: its availableToSubdomains
}

// serve answers the application's routes.
func (s *site) serve(auth *middleware.Authenticator) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /me", auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})))
	mux.HandleFunc("POST /hydrate", func(w http.ResponseWriter, r *http.Request) {
		t := middleware.Tokens{SessionToken: r.Header.Get("X-Token"), SessionJWT: r.Header.Get("X-Jwt")}
		if _, err := auth.Hydrate(w, r, t); err != nil {
			w.WriteHeader(middleware.Status(err))
		}
	})
	mux.HandleFunc("POST /refresh", func(w http.ResponseWriter, r *http.Request) {
		if _, err := auth.Refresh(w, r, time.Hour); err != nil {
			w.WriteHeader(middleware.Status(err))
		}
	})
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(max(204, middleware.Status(auth.Revoke(w, r))))
	})
	mux.HandleFunc("POST /clear", func(w http.ResponseWriter, r *http.Request) { auth.Clear(w, r) })
	return mux
}

// fetch sends a request as the browser would from a page of the same origin.
func (s *site) fetch(method, path string, options ...option) int {
	s.Helper()
	return s.fetchFrom(s.auth, s.origin, method, path, options...)
}

func (s *site) fetchFrom(auth *middleware.Authenticator, origin, method, path string, options ...option) int {
	s.Helper()
	r := httptest.NewRequest(method, origin+path, nil)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, c := range s.sent(r.URL, false) {
		r.AddCookie(&http.Cookie{Name: c.name, Value: c.value})
	}
	for _, o := range options {
		o(r)
	}
	rec := httptest.NewRecorder()
	s.serve(auth).ServeHTTP(rec, r)
	for _, line := range rec.Header()["Set-Cookie"] {
		if !s.store(r.URL, line, false) {
			s.Errorf("%s %s%s: the browser takes no %q", method, origin, path, line)
		}
	}
	return rec.Code
}

// want asserts a status.
func (s *site) want(status int, method, path string, options ...option) {
	s.Helper()
	if got := s.fetch(method, path, options...); got != status {
		s.Errorf("%s %s%s: %d, want %d", method, s.origin, path, got, status)
	}
}

// script is what a script of the SDK does with document.cookie.
func (s *site) script(name, value string, expires time.Time) bool {
	u, _ := url.Parse(s.origin + "/")
	line := fmt.Sprintf("%s=%s; Path=/; SameSite=Lax; Expires=%s", name, value, expires.UTC().Format(http.TimeFormat))
	if u.Scheme == "https" {
		line += "; Secure"
	}
	if s.domain != "" {
		line += "; Domain=" + s.domain
	}
	return s.store(u, line, true)
}

func (s *site) sdkWrites(t middleware.Tokens) {
	s.script(tokenCookie, t.SessionToken, time.Now().Add(time.Hour))
	s.script(jwtCookie, t.SessionJWT, time.Now().Add(time.Hour))
}

func (s *site) sdkClears() {
	s.script(tokenCookie, "", time.Unix(0, 0))
	s.script(jwtCookie, "", time.Unix(0, 0))
}

// sessionCookies lists the session cookies that the browser holds, whatever for.
func (s *site) sessionCookies() (names []string) {
	s.expire()
	for _, c := range s.stored {
		if strings.Contains(c.name, tokenCookie) {
			names = append(names, c.name)
		}
	}
	slices.Sort(names)
	return names
}

// holds asserts that the browser has both cookies, once each.
func (s *site) holds(when string) {
	s.Helper()
	if got := s.sessionCookies(); len(got) != 2 || got[0] == got[1] {
		s.Errorf("%s: the browser holds %q, want one of each", when, got)
	}
}

// loggedOut asserts that the browser holds nothing any more that this server or
// a neighbour, this process or one that knows nothing of the logout, could
// accept.
func (s *site) loggedOut() {
	s.Helper()
	if got := s.sessionCookies(); len(got) > 0 {
		s.Errorf("the browser still holds %q", got)
	}
	s.want(401, "GET", "/me")
}

func postureOf(private bool, domain string) func(*middleware.Config) {
	return func(c *middleware.Config) {
		c.Cookies.Domain = domain
		if private {
			c.Cookies.Posture = middleware.Private
			c.Cookies.Keys = [][]byte{[]byte("0123456789abcdef0123456789abcdef")}
		}
	}
}

func (s *site) tokenHeaders(t middleware.Tokens) option {
	return func(r *http.Request) {
		r.Header.Set("X-Token", t.SessionToken)
		r.Header.Set("X-Jwt", t.SessionJWT)
	}
}

// TestBrowserLogsOut: however a session came into the browser and whatever
// renewed it, every way of logging out leaves nothing in the browser that the
// server would accept (CVE-2026-34454, CVE-2025-53826).
func TestBrowserLogsOut(t *testing.T) {
	places := []struct {
		name, origin, domain string
		private              bool
		brief                bool // one renewal will do: the rest is as elsewhere
	}{
		{name: "shared, apex", origin: "https://example.com", brief: true},
		{name: "shared, subdomain", origin: "https://app.example.com"},
		{name: "shared, apex, for subdomains", origin: "https://example.com", domain: "example.com", brief: true},
		{name: "shared, subdomain, for its siblings", origin: "https://app.example.com", domain: "example.com"},
		{name: "shared, subdomain, for its own", origin: "https://app.example.com", domain: "app.example.com", brief: true},
		{name: "shared, plain localhost", origin: "http://localhost:3000"},
		{name: "private, apex", origin: "https://example.com", private: true, brief: true},
		{name: "private, subdomain", origin: "https://app.example.com", private: true},
	}
	enters := []struct {
		name   string
		shared bool // the SDK takes part
		enter  func(*site, stytchtest.Session)
	}{
		{name: "Hydrate", enter: func(s *site, l stytchtest.Session) { s.want(200, "POST", "/hydrate", s.tokenHeaders(l.Tokens)) }},
		{name: "Hydrate with the token alone", enter: func(s *site, l stytchtest.Session) {
			s.want(200, "POST", "/hydrate", s.tokenHeaders(middleware.Tokens{SessionToken: l.Tokens.SessionToken}))
		}},
		{name: "SDK", shared: true, enter: func(s *site, l stytchtest.Session) { s.sdkWrites(l.Tokens) }},
		{name: "SDK that has no JWT", shared: true, enter: func(s *site, l stytchtest.Session) {
			s.sdkWrites(middleware.Tokens{SessionToken: l.Tokens.SessionToken, SessionJWT: "undefined"})
		}},
		{name: "SDK, after Hydrate", shared: true, enter: func(s *site, l stytchtest.Session) {
			s.want(200, "POST", "/hydrate", s.tokenHeaders(l.Tokens))
			s.sdkWrites(middleware.Tokens{SessionToken: l.Tokens.SessionToken, SessionJWT: s.project.MintJWT(l.ID, stytchtest.Mint{})})
		}},
		{name: "Hydrate, after the SDK and another user", shared: true, enter: func(s *site, l stytchtest.Session) {
			s.sdkWrites(s.project.Login(stytchtest.Login{}).Tokens)
			s.want(200, "POST", "/hydrate", s.tokenHeaders(l.Tokens))
		}},
	}
	renews := []struct {
		name  string
		renew func(*site)
	}{
		{"not renewed", func(*site) {}},
		{"exchanged", func(s *site) { advance(6 * time.Minute) }},
		{"refreshed", func(s *site) { s.want(200, "POST", "/refresh") }},
	}
	exits := []struct {
		name   string
		shared bool
		exit   func(*site, stytchtest.Session)
	}{
		{name: "Revoke", exit: func(s *site, _ stytchtest.Session) { s.want(204, "POST", "/logout") }},
		{name: "Revoke while Stytch is down", exit: func(s *site, _ stytchtest.Session) {
			s.project.FailAPI(stytchtest.Down())
			s.want(503, "POST", "/logout") // the caller is told
			s.project.FailAPI(nil)
		}},
		{name: "Clear", exit: func(s *site, _ stytchtest.Session) { s.want(200, "POST", "/clear") }},
		{name: "gone at Stytch", exit: func(s *site, l stytchtest.Session) {
			s.project.Revoke(l.ID)
			advance(6 * time.Minute)
			s.want(401, "GET", "/me")
		}},
		{name: "the session's end", exit: func(s *site, _ stytchtest.Session) { advance(2 * time.Hour) }},
		{name: "SDK clears", shared: true, exit: func(s *site, _ stytchtest.Session) { s.sdkClears() }},
		{name: "SDK revokes and clears", shared: true, exit: func(s *site, l stytchtest.Session) { s.project.Revoke(l.ID); s.sdkClears() }},
		{name: "SDK clears, then Revoke", shared: true, exit: func(s *site, _ stytchtest.Session) { s.sdkClears(); s.want(204, "POST", "/logout") }},
		{name: "Revoke, then SDK clears", shared: true, exit: func(s *site, _ stytchtest.Session) { s.want(204, "POST", "/logout"); s.sdkClears() }},
	}
	runs := 0
	for _, p := range places {
		t.Run(p.name, func(t *testing.T) {
			for _, in := range enters {
				for _, re := range renews {
					for _, out := range exits {
						if p.private && (in.shared || out.shared) || p.brief && re.name != "exchanged" {
							continue
						}
						runs++
						synctest.Test(t, func(t *testing.T) {
							w := newWorld(t, stytchtest.New(stytchtest.Options{}), postureOf(p.private, p.domain))
							s := &site{T: t, jarModel: &jarModel{}, project: w.project, auth: w.auth, origin: p.origin, domain: p.domain}
							l := w.login(stytchtest.EmailMagicLink())
							in.enter(s, l)
							s.want(200, "GET", "/me")
							re.renew(s)
							s.want(200, "GET", "/me")
							s.holds(in.name + ", " + re.name)
							out.exit(s, l)
							s.loggedOut()
							if t.Failed() {
								t.Fatalf("%s, %s, %s", in.name, re.name, out.name)
							}
							_ = w.auth.Close()
						})
					}
				}
			}
		})
	}
	t.Logf("%d ways in, through and out", runs)
	if runs < 500 {
		t.Errorf("only %d", runs)
	}
}

// inBrowser runs body in a bubble with a site.
func inBrowser(t *testing.T, origin, domain string, private bool, body func(*site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, stytchtest.New(stytchtest.Options{}), postureOf(private, domain))
		body(&site{T: t, jarModel: &jarModel{}, project: w.project, auth: w.auth, origin: origin, domain: domain})
	})
}

// TestSDKCannotClearHttpOnly is why Shared cookies are readable: under the
// SDK's names an HttpOnly cookie stays whatever the SDK does.
func TestSDKCannotClearHttpOnly(t *testing.T) {
	inBrowser(t, "https://example.com", "", false, func(s *site) {
		l := s.project.Login(stytchtest.Login{})
		u, _ := url.Parse(s.origin + "/")
		s.store(u, tokenCookie+"="+l.Tokens.SessionToken+"; Path=/; Secure; HttpOnly", false)
		s.store(u, jwtCookie+"="+l.Tokens.SessionJWT+"; Path=/; Secure; HttpOnly", false)
		s.sdkClears()
		s.holds("after the SDK's logout")
		s.want(200, "GET", "/me")
		other := s.project.Login(stytchtest.Login{})
		s.sdkWrites(other.Tokens)
		for _, c := range s.sent(u, false) {
			if c.value == other.Tokens.SessionToken || c.value == other.Tokens.SessionJWT {
				t.Error("the SDK overwrote an HttpOnly cookie")
			}
		}
	})
	// What the library writes can be read and cleared.
	inBrowser(t, "https://example.com", "", false, func(s *site) {
		l := s.project.Login(stytchtest.Login{})
		s.want(200, "POST", "/hydrate", s.tokenHeaders(l.Tokens))
		u, _ := url.Parse(s.origin + "/")
		if got := s.sent(u, true); len(got) != 2 {
			t.Errorf("a script reads %d cookies, want 2", len(got))
		}
		s.sdkClears()
		s.loggedOut()
	})
	// Private cookies are none of the SDK's business, nor of any script's.
	inBrowser(t, "https://example.com", "", true, func(s *site) {
		l := s.project.Login(stytchtest.Login{})
		s.want(200, "POST", "/hydrate", s.tokenHeaders(l.Tokens))
		u, _ := url.Parse(s.origin + "/")
		if got := s.sent(u, true); len(got) != 0 {
			t.Errorf("a script reads %d cookies", len(got))
		}
		s.sdkClears()
		s.want(200, "GET", "/me")
		for _, c := range s.stored {
			if !c.secure || !c.httpOnly || !c.hostOnly || c.path != "/" || strings.Contains(c.value, l.Tokens.SessionToken) {
				t.Errorf("%+v", *c)
			}
		}
	})
}

// TestSubdomains: who gets a cookie with Domain and who a host-only one.
func TestSubdomains(t *testing.T) {
	for _, tt := range []struct {
		origin, domain string
		private        bool
		want           map[string]int
	}{
		{"https://example.com", "", false, map[string]int{"https://example.com": 200, "https://app.example.com": 401, "https://example.org": 401}},
		{"https://app.example.com", "", false, map[string]int{"https://example.com": 401, "https://app.example.com": 200, "https://a.app.example.com": 401}},
		{"https://app.example.com", "example.com", false, map[string]int{"https://example.com": 200, "https://www.example.com": 200, "https://notexample.com": 401}},
		{"https://app.example.com", "", true, map[string]int{"https://example.com": 401, "https://app.example.com": 200, "https://a.app.example.com": 401}},
		{"https://example.com", "", false, map[string]int{"http://example.com": 401}}, // Secure
		{"http://localhost:3000", "", false, map[string]int{"http://localhost:4000": 200, "http://app.localhost:3000": 401}},
	} {
		inBrowser(t, tt.origin, tt.domain, tt.private, func(s *site) {
			s.want(200, "POST", "/hydrate", s.tokenHeaders(s.project.Login(stytchtest.Login{}).Tokens))
			for origin, want := range tt.want {
				if got := s.fetchFrom(s.auth, origin, "GET", "/me"); got != want {
					t.Errorf("%s (Domain %q), asked at %s: %d, want %d", tt.origin, tt.domain, origin, got, want)
				}
			}
		})
	}
}

// TestOldHostOnlyCookie: a program begins to set Domain while browsers still
// hold host-only cookies of the same names, which are sent first.
func TestOldHostOnlyCookie(t *testing.T) {
	inBrowser(t, "https://app.example.com", "example.com", false, func(s *site) {
		u, _ := url.Parse(s.origin + "/")
		old, now := s.project.Login(stytchtest.Login{}), s.project.Login(stytchtest.Login{})
		s.store(u, tokenCookie+"="+old.Tokens.SessionToken+"; Path=/; Secure", false)
		s.store(u, jwtCookie+"="+old.Tokens.SessionJWT+"; Path=/; Secure", false)
		s.sdkWrites(now.Tokens)
		if got := len(s.sent(u, false)); got != 4 {
			t.Fatalf("%d cookies are sent, want 4", got)
		}
		s.want(401, "GET", "/me") // nobody knows which is meant
		if got := len(s.sent(u, false)); got != 4 {
			t.Errorf("%d cookies are left, want 4: they are left alone", got)
		}
		s.want(200, "POST", "/hydrate", s.tokenHeaders(now.Tokens))
		s.holds("after a new login")
		s.want(200, "GET", "/me")

		// Or the user logs out of all of it.
		s.store(u, tokenCookie+"="+old.Tokens.SessionToken+"; Path=/; Secure", false)
		s.want(204, "POST", "/logout")
		s.loggedOut()
		for _, l := range []stytchtest.Session{old, now} {
			if _, live := s.project.Session(l.ID); live {
				t.Error("a session that the browser held is still live")
			}
		}
	})
}

// TestDomainOnlyInTheSDK is a limit, and a mistake in the configuration: the
// SDK writes cookies for subdomains (availableToSubdomains) and the server's
// Cookies.Domain does not say so. Then the server cannot clear the SDK's
// cookies. Revoke ends the session all the same.
func TestDomainOnlyInTheSDK(t *testing.T) {
	inBrowser(t, "https://app.example.com", "", false, func(s *site) {
		s.domain = "example.com"
		l := s.project.Login(stytchtest.Login{})
		s.sdkWrites(l.Tokens)
		s.want(200, "GET", "/me")
		s.want(204, "POST", "/logout")
		if got := s.sessionCookies(); len(got) != 2 {
			t.Errorf("the browser holds %q: the limit is gone", got)
		}
		s.want(401, "GET", "/me")
		if _, live := s.project.Session(l.ID); live {
			t.Error("the session is still live")
		}
	})
}

// TestTooLongForABrowser: a JWT that no browser keeps does not log the user
// out, and no old JWT stays beside a new session's token.
func TestTooLongForABrowser(t *testing.T) {
	for _, private := range []bool{false, true} {
		inBrowser(t, "https://example.com", "", private, func(s *site) {
			old := s.project.Login(stytchtest.Login{})
			s.want(200, "POST", "/hydrate", s.tokenHeaders(old.Tokens))
			s.holds("the old session")
			long := s.project.Login(stytchtest.Login{UserID: old.UserID, CustomClaims: map[string]any{"notes": strings.Repeat("x", 3500)}})
			s.want(200, "POST", "/hydrate", s.tokenHeaders(long.Tokens))
			if got := s.sessionCookies(); len(got) != 1 || strings.HasSuffix(got[0], "_jwt") {
				t.Errorf("the browser holds %q, want the token alone", got)
			}
			for range 3 {
				s.want(200, "GET", "/me")
				advance(6 * time.Minute)
			}
			s.want(204, "POST", "/logout")
			s.loggedOut()
		})
	}
	// The SDK drops it silently: a new token beside the old JWT.
	inBrowser(t, "https://example.com", "", false, func(s *site) {
		old := s.project.Login(stytchtest.Login{})
		s.sdkWrites(old.Tokens)
		long := s.project.Login(stytchtest.Login{UserID: old.UserID, CustomClaims: map[string]any{"notes": strings.Repeat("x", 3500)}})
		s.sdkWrites(long.Tokens)
		u, _ := url.Parse(s.origin + "/")
		if got := s.sent(u, false); len(got) != 2 || got[1].value != old.Tokens.SessionJWT {
			t.Fatalf("the browser holds %q", s.sessionCookies())
		}
		advance(6 * time.Minute)
		s.want(200, "GET", "/me")
		if got := s.sessionCookies(); len(got) != 1 {
			t.Errorf("the browser holds %q, want the token alone", got)
		}
		s.want(204, "POST", "/logout")
		s.loggedOut()
	})
}

// TestBrowserModel holds the model to what browsers do, so that the tests
// above mean something.
func TestBrowserModel(t *testing.T) {
	for _, tt := range []struct {
		name, at, line string
		script, want   bool
	}{
		{"plain", "https://example.com/", "a=b", false, true},
		{"Secure over http", "http://example.com/", "a=b; Secure", false, false},
		{"Secure on localhost", "http://localhost/", "a=b; Secure", false, true},
		{"HttpOnly by script", "https://example.com/", "a=b; HttpOnly", true, false},
		{"4,096 bytes", "https://example.com/", "a=" + strings.Repeat("x", 4095), false, true},
		{"4,097 bytes", "https://example.com/", "a=" + strings.Repeat("x", 4096), false, false},
		{"foreign Domain", "https://example.com/", "a=b; Domain=example.org", false, false},
		{"Domain of a subdomain", "https://example.com/", "a=b; Domain=app.example.com", false, false},
		{"Domain that ends alike", "https://notexample.com/", "a=b; Domain=example.com", false, false},
		{"__Host- as it must be", "https://example.com/", "__Host-a=b; Secure; Path=/", false, true},
		{"__Host- without Secure", "https://example.com/", "__Host-a=b; Path=/", false, false},
		{"__Host- with Domain", "https://example.com/", "__Host-a=b; Secure; Path=/; Domain=example.com", false, false},
		{"__Host- without Path", "https://example.com/", "__Host-a=b; Secure", false, false},
		{"__host- in small letters", "https://example.com/", "__host-a=b", false, false},
		{"__Secure- without Secure", "https://example.com/", "__Secure-a=b", false, false},
	} {
		u, _ := url.Parse(tt.at)
		b := &jarModel{}
		if got := b.store(u, tt.line, tt.script); got != tt.want || (len(b.stored) == 1) != tt.want {
			t.Errorf("%s: taken is %v, want %v", tt.name, got, tt.want)
		}
	}
	// A cookie that is not Secure neither replaces nor clears one that is.
	b := &jarModel{}
	safe, plain := &url.URL{Scheme: "https", Host: "example.com", Path: "/"}, &url.URL{Scheme: "http", Host: "example.com", Path: "/"}
	b.store(safe, "a=b; Path=/; Secure", false)
	if b.store(plain, "a=c; Path=/", false) || b.store(plain, "a=; Path=/; Max-Age=0", false) || b.sent(safe, false)[0].value != "b" {
		t.Error("a Secure cookie was overwritten over http")
	}
	if len(b.sent(plain, false)) != 0 {
		t.Error("a Secure cookie was sent over http")
	}
}
