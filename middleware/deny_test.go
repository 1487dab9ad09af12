package middleware_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

const (
	body400 = `{"type":"about:blank","title":"Bad Request","status":400}` + "\n"
	body401 = `{"type":"about:blank","title":"Unauthorized","status":401}` + "\n"
	body403 = `{"type":"about:blank","title":"Forbidden","status":403}` + "\n"
	body500 = `{"type":"about:blank","title":"Internal Server Error","status":500}` + "\n"
	body503 = `{"type":"about:blank","title":"Service Unavailable","status":503}` + "\n"

	noCredential = `Bearer realm="session"`
	invalidToken = `Bearer error="invalid_token"`
	badRequest   = `Bearer error="invalid_request"`
	stepUp       = `Bearer error="insufficient_user_authentication"`
)

// expect compares all of a denial but the cookies.
func expect(t *testing.T, which string, got reply, status int, body, challenge, retry string) {
	t.Helper()
	h := got.Header
	if got.StatusCode != status || got.body != body || h.Get("WWW-Authenticate") != challenge || h.Get("Retry-After") != retry ||
		h.Get("Content-Type") != "application/problem+json" || h.Get("Cache-Control") != "no-store" ||
		h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Location") != "" {
		t.Errorf("%s: %d %q %v, want %d %q, %s, Retry-After %q", which, got.StatusCode, got.body, h, status, body, challenge, retry)
	}
}

func TestDenials(t *testing.T) {
	for name, c := range map[string]struct {
		options         func(w *world) []option
		status          int
		body, challenge string
		retry           string
	}{
		"nothing":           {situations["nothing"], 401, body401, noCredential, ""},
		"another scheme":    {func(*world) []option { return []option{header("Authorization", "Basic YTpi")} }, 401, body401, noCredential, ""},
		"empty bearer":      {func(*world) []option { return []option{header("Authorization", "Bearer")} }, 401, body401, invalidToken, ""},
		"malformed":         {situations["malformed"], 401, body401, invalidToken, ""},
		"malformed cookies": {func(*world) []option { return []option{cookies(middleware.Tokens{SessionToken: "a.b"})} }, 401, body401, invalidToken, ""},
		"two cookies":       {situations["two cookies"], 401, body401, invalidToken, ""},
		"forged":            {situations["forged"], 401, body401, invalidToken, ""},
		"revoked":           {situations["revoked, stale"], 401, body401, invalidToken, ""},
		"unknown token":     {situations["opaque, unknown"], 401, body401, invalidToken, ""},
		"two headers":       {situations["two headers"], 400, body400, badRequest, ""},
		"cross-site":        {situations["cross-site"], 403, body403, "", ""},
		"one factor":        {situations["one factor"], 401, body401, stepUp + `, max_age="90"`, ""},
		"outage":            {situations["outage, stale"], 503, body503, "", "1"},
		"outage, re-check":  {situations["outage, factor"], 503, body503, "", "1"},
		"429": {func(w *world) []option {
			defer w.project.FailAPI(stytchtest.TooManyRequests("17"))
			return []option{cookies(w.stale(w.login()))}
		}, 503, body503, "", "17"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				got := w.get(w.auth.Require(middleware.Within(90*time.Second))(unreachable(t)), c.options(w)...)
				expect(t, name, got, c.status, c.body, c.challenge, c.retry)
				if v := got.Header["Vary"]; len(v) != 1 || v[0] != "Authorization, Cookie" {
					t.Errorf("Vary %q", v)
				}
			})
		})
	}
}

// Deny takes the errors of the package bare, wrapped and joined, and denies
// whatever else it gets.
func TestDenyAndStatus(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for name, c := range map[string]struct {
			err             error
			status          int
			retry           time.Duration
			body, challenge string
		}{
			"no session":      {middleware.ErrNoSession, 401, 0, body401, noCredential},
			"step-up":         {middleware.ErrStepUp, 401, 0, body401, stepUp},
			"invalid request": {middleware.ErrInvalidRequest, 400, 0, body400, badRequest},
			"cross-site":      {middleware.ErrCrossSite, 403, 0, body403, ""},
			"unavailable":     {middleware.ErrUnavailable, 503, time.Second, body503, ""},
			"too late":        {middleware.ErrTooLate, 500, 0, body500, ""},
			"another":         {errors.New("hunter2"), 500, 0, body500, ""},
		} {
			for how, err := range map[string]error{"bare": c.err, "wrapped": fmt.Errorf("hunter2: %w", c.err), "joined": errors.Join(errors.New("x"), c.err)} {
				if got := middleware.Status(err); got != c.status {
					t.Errorf("Status, %s, %s: %d", name, how, got)
				}
				if got := middleware.RetryAfter(err); got != c.retry {
					t.Errorf("RetryAfter, %s, %s: %s", name, how, got)
				}
				retry := ""
				if c.retry > 0 {
					retry = "1"
				}
				got := w.get(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.auth.Deny(rw, r, err) }))
				expect(t, name+", "+how, got, c.status, c.body, c.challenge, retry)
			}
		}
		if middleware.Status(nil) != 200 || middleware.RetryAfter(nil) != 0 {
			t.Error("nil is an error")
		}
		got := w.get(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.auth.Deny(rw, r, nil) }))
		expect(t, "nil", got, 500, body500, "", "")

		// What a guard and an operation return says the same.
		err := errOf(w, cookies(w.stale(w.login())), stytchtest.TooManyRequests("3"))
		if !errors.Is(err, middleware.ErrUnavailable) || middleware.RetryAfter(err) != 3*time.Second || middleware.RetryAfter(fmt.Errorf("x: %w", err)) != 3*time.Second {
			t.Errorf("%v, %s", err, middleware.RetryAfter(err))
		}
		advance(1500 * time.Millisecond) // what is left of it, in whole seconds
		if err := errOf(w, cookies(w.stale(w.login())), nil); middleware.RetryAfter(err) != 2*time.Second {
			t.Errorf("%v, %s", err, middleware.RetryAfter(err))
		}
	})
}

func errOf(w *world, o option, fault stytchtest.Fault) (err error) {
	w.project.FailAPI(fault)
	w.get(w.auth.Load(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { err = w.auth.Err(r) })), o)
	return err
}

// An ErrorHandler leaves to Deny what it does not answer itself, and meets each
// denial once.
func TestErrorHandlerLeavesTheRestToDeny(t *testing.T) {
	met := 0
	var auth *middleware.Authenticator
	inWorld(t, func(c *middleware.Config) {
		c.LoginURL = "/login"
		c.ErrorHandler = func(rw http.ResponseWriter, r *http.Request, err error) {
			met++
			if errors.Is(err, middleware.ErrUnavailable) {
				rw.WriteHeader(http.StatusTeapot)
				return
			}
			auth.Deny(rw, r, err)
		}
	}, func(w *world) {
		auth = w.auth
		guarded := w.auth.RequireMFA(unreachable(t))
		expect(t, "nothing", w.get(guarded), 401, body401, noCredential, "")
		expect(t, "one factor", w.get(guarded, cookies(w.login(stytchtest.EmailMagicLink()).Tokens)), 401, body401, stepUp, "")
		if got := w.get(guarded, page); got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/login?return_to=%2Fpage%3Fq%3D1" {
			t.Errorf("a page load: %d %v", got.StatusCode, got.Header)
		}
		w.project.FailAPI(stytchtest.Down())
		if got := w.get(guarded, cookies(w.stale(w.login()))); got.StatusCode != http.StatusTeapot {
			t.Errorf("an outage: %d", got.StatusCode)
		}
		// Two Authenticators on one request: each has a handler of its own.
		other := newWorld(w.T, w.project, func(c *middleware.Config) {
			c.ErrorHandler = func(rw http.ResponseWriter, r *http.Request, err error) { w.auth.Deny(rw, r, err) }
		})
		expect(t, "another's handler", w.get(other.auth.RequireSession(unreachable(t))), 401, body401, noCredential, "")
		if met != 5 {
			t.Errorf("called %d times, want 5", met)
		}
	})
}

func TestErrorHandler(t *testing.T) {
	var got error
	var explained middleware.Explanation
	var auth *middleware.Authenticator
	inWorld(t, func(c *middleware.Config) {
		c.LoginURL, c.StepUpURL = "/login", "/step-up"
		c.ErrorHandler = func(rw http.ResponseWriter, r *http.Request, err error) {
			got, explained = err, auth.Explain(r)
			if d := middleware.RetryAfter(err); d > 0 {
				rw.Header().Set("X-Wait", d.String())
			}
			rw.WriteHeader(middleware.Status(err) + 50)
		}
	}, func(w *world) {
		auth = w.auth
		for name, c := range map[string]struct {
			options []option
			want    error
			status  int
		}{
			"nothing":     {[]option{page}, middleware.ErrNoSession, 451},
			"one factor":  {append(situations["one factor"](w), page), middleware.ErrStepUp, 451},
			"two headers": {situations["two headers"](w), middleware.ErrInvalidRequest, 450},
			"cross-site":  {situations["cross-site"](w), middleware.ErrCrossSite, 453},
		} {
			got = nil
			a := w.get(w.auth.RequireMFA(unreachable(t)), c.options...)
			if !errors.Is(got, c.want) || a.StatusCode != c.status || a.body != "" || a.Header.Get("Location")+a.Header.Get("WWW-Authenticate") != "" {
				t.Errorf("%s: %v, %d %v", name, got, a.StatusCode, a.Header)
			}
			if explained.Status != c.status-50 {
				t.Errorf("%s: explained as %v", name, explained)
			}
		}
		a := w.get(w.auth.RequireMFA(unreachable(t)), situations["outage, factor"](w)...)
		if !errors.Is(got, middleware.ErrUnavailable) || a.StatusCode != 553 || a.Header.Get("X-Wait") != "1s" {
			t.Errorf("%v, %d %v", got, a.StatusCode, a.Header)
		}
		got = nil
		if a := w.get(nil); got != nil || a.StatusCode != 200 {
			t.Errorf("Load denied: %v, %d", got, a.StatusCode)
		}
	})
}

func TestPageLoads(t *testing.T) {
	for _, c := range []struct {
		method, dest, accept string
		want                 bool
	}{
		{"GET", "document", "", true},
		{"GET", "document", "application/json", true},
		{"GET", "empty", "text/html", false},
		{"GET", "iframe", "text/html", false},
		{"GET", "image", "", false},
		{"GET", "Document", "text/html", false}, // no browser writes it so
		{"GET", "", "text/html,application/xhtml+xml,*/*;q=0.8", true},
		{"GET", "", "TEXT/HTML", true},
		{"GET", "", "application/json", false},
		{"GET", "", "*/*", false},
		{"GET", "", "", false},
		{"HEAD", "document", "text/html", false},
		{"POST", "document", "text/html", false},
		{"PUT", "", "text/html", false},
		{"OPTIONS", "", "text/html", false},
		{"get", "document", "text/html", false},
	} {
		inWorld(t, func(cfg *middleware.Config) { cfg.LoginURL = "/login" }, func(w *world) {
			o := []option{method(c.method)}
			if c.dest != "" {
				o = append(o, header("Sec-Fetch-Dest", c.dest))
			}
			if c.accept != "" {
				o = append(o, header("Accept", c.accept))
			}
			got := w.get(w.auth.RequireSession(unreachable(t)), o...)
			want, location := 401, ""
			if c.want {
				want, location = 303, "/login?return_to=%2Fpage%3Fq%3D1"
			}
			if got.StatusCode != want || got.Header.Get("Location") != location {
				t.Errorf("%+v: %d %v", c, got.StatusCode, got.Header)
			}
			if c.want && (got.Header.Get("Cache-Control") != "no-store" || got.body != "" || got.Header.Get("WWW-Authenticate") != "") {
				t.Errorf("%+v: %q %v", c, got.body, got.Header)
			}
		})
	}
	// Two answers to what a page is are none.
	inWorld(t, func(cfg *middleware.Config) { cfg.LoginURL = "/login" }, func(w *world) {
		if got := w.get(w.auth.RequireSession(unreachable(t)), page, header("Sec-Fetch-Dest", "empty")); got.StatusCode != 401 {
			t.Errorf("%d", got.StatusCode)
		}
	})
}

func TestRedirects(t *testing.T) {
	login := func(cfg *middleware.Config) { cfg.LoginURL = "/login" }
	both := func(cfg *middleware.Config) { cfg.LoginURL, cfg.StepUpURL = "/login?by=mail", "/step-up" }
	escaped := func(cfg *middleware.Config) { cfg.LoginURL, cfg.StepUpURL = "/log%20in", "/step%2Dup" }
	for name, c := range map[string]struct {
		config     func(*middleware.Config)
		credential string
		target     string
		status     int
		location   string
	}{
		"login":                       {login, "nothing", "/a?b=c&d=e", 303, "/login?return_to=%2Fa%3Fb%3Dc%26d%3De"},
		"login, refused":              {login, "forged", "/", 303, "/login?return_to=%2F"},
		"login, over":                 {login, "revoked, stale", "/", 303, "/login?return_to=%2F"},
		"login with a query":          {both, "nothing", "/a", 303, "/login?by=mail&return_to=%2Fa"},
		"step-up":                     {both, "one factor", "/a", 303, "/step-up?return_to=%2Fa"},
		"no step-up URL":              {login, "one factor", "/a", 401, ""},
		"no URL":                      {nil, "nothing", "/a", 401, ""},
		"outage":                      {both, "outage, stale", "/a", 503, ""},
		"outage, re-check":            {both, "outage, factor", "/a", 503, ""},
		"two headers":                 {both, "two headers", "/a", 400, ""},
		"login page":                  {login, "nothing", "/login", 401, ""},
		"login page, back":            {login, "nothing", "/login?return_to=%2Flogin", 401, ""},
		"login page, its query":       {both, "nothing", "/login?by=phone", 401, ""},
		"login page, spelled":         {login, "nothing", "/%6Cogin", 401, ""},
		"login page, escaped":         {escaped, "nothing", "/log%20in?x=y", 401, ""},
		"step-up page":                {both, "one factor", "/step-up?return_to=%2Fa", 401, ""},
		"step-up page, escaped":       {escaped, "one factor", "/step-up", 401, ""},
		"step-up page, nobody":        {both, "nothing", "/step-up", 303, "/login?by=mail&return_to=%2Fstep-up"},
		"login page, one factor":      {both, "one factor", "/login", 303, "/step-up?return_to=%2Flogin"},
		"not quite the login page":    {login, "nothing", "/login/", 303, "/login?return_to=%2Flogin%2F"},
		"a URL inside":                {login, "nothing", "/a?next=//evil.example.com", 303, "/login?return_to=%2Fa%3Fnext%3D%2F%2Fevil.example.com"},
		"signs":                       {login, "nothing", "/a+b%26c?d=%26return_to%3D//x", 303, "/login?return_to=%2Fa%2Bb%2526c%3Fd%3D%2526return_to%253D%2F%2Fx"},
		"scheme-relative":             {login, "nothing", "//evil.example.com/x", 303, "/login?return_to=%2F"},
		"three slashes":               {login, "nothing", "///evil.example.com/x", 303, "/login?return_to=%2F"},
		"backslash":                   {login, "nothing", `/\evil.example.com`, 303, "/login?return_to=%2F%255Cevil.example.com"},
		"backslash in the query":      {login, "nothing", `/?\evil.example.com`, 303, "/login?return_to=%2F"},
		"escaped slashes":             {login, "nothing", "/%2F%2Fevil.example.com", 303, "/login?return_to=%2F%252F%252Fevil.example.com"},
		"absolute form":               {login, "nothing", "http://evil.example.com/a?b", 303, "/login?return_to=%2Fa%3Fb"},
		"absolute form, no path":      {login, "nothing", "http://evil.example.com", 303, "/login?return_to=%2F"},
		"absolute form, two slashes":  {login, "nothing", "http://evil.example.com//evil.example.com/", 303, "/login?return_to=%2F"},
		"absolute form, user":         {login, "nothing", "http://a:b@evil.example.com/a", 303, "/login?return_to=%2Fa"},
		"absolute form, login page":   {login, "nothing", "http://evil.example.com/login", 401, ""},
		"opaque":                      {login, "nothing", "http:evil.example.com/a", 303, "/login?return_to=%2F"},
		"opaque, script":              {login, "nothing", "javascript:alert(1)", 303, "/login?return_to=%2F"},
		"very long":                   {login, "nothing", "/" + strings.Repeat("a", 3000), 303, "/login?return_to=%2F"},
		"very long query":             {login, "nothing", "/?" + strings.Repeat("a", 3000), 303, "/login?return_to=%2F"},
		"bytes in the path":           {login, "nothing", "/\xc3\xa9", 303, "/login?return_to=%2F%25C3%25A9"},
		"bytes in the query":          {login, "nothing", "/?\xc3\xa9", 303, "/login?return_to=%2F"},
		"escaped line break":          {login, "nothing", "/%0d%0aSet-Cookie:x", 303, "/login?return_to=%2F%250d%250aSet-Cookie%3Ax"},
		"escaped tab before the host": {login, "nothing", "/%09/evil.example.com", 303, "/login?return_to=%2F%2509%2Fevil.example.com"},
		"fragment":                    {login, "nothing", "/a%23b", 303, "/login?return_to=%2Fa%2523b"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, c.config, func(w *world) {
				o := situations[c.credential](w)
				for host, forward := range map[string]string{"app.example.com": "", "evil.example.com": "evil.example.com"} {
					r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + c.target + " HTTP/1.1\r\nHost: " + host + "\r\nSec-Fetch-Dest: document\r\n\r\n")))
					if err != nil {
						t.Fatal(err)
					}
					if forward != "" {
						r.Header.Set("X-Forwarded-Host", forward)
						r.Header.Set("X-Forwarded-Proto", "javascript")
						r.Header.Set("X-Forwarded-Prefix", "//"+forward)
						r.Header.Set("X-Original-Url", "//"+forward)
					}
					for _, f := range o {
						f(r)
					}
					rec := httptest.NewRecorder()
					w.auth.RequireMFA(unreachable(t)).ServeHTTP(rec, r)
					if rec.Code != c.status || rec.Header().Get("Location") != c.location {
						t.Errorf("%d %q, want %d %q", rec.Code, rec.Header().Get("Location"), c.status, c.location)
					}
				}
			})
		})
	}
}

// return_to is what the client asked for, not what a mux made of it.
func TestReturnToBehindStripPrefix(t *testing.T) {
	inWorld(t, func(cfg *middleware.Config) { cfg.LoginURL = "/login" }, func(w *world) {
		h := http.StripPrefix("/app", w.auth.RequireSession(unreachable(t)))
		for target, want := range map[string]string{
			"/app/settings?a=b": "/login?return_to=%2Fapp%2Fsettings%3Fa%3Db",
			"/app/login":        "/login?return_to=%2Fapp%2Flogin", // not the login page
		} {
			r := httptest.NewRequest("GET", target, nil)
			page(r)
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			if got := rec.Header().Get("Location"); got != want {
				t.Errorf("%s: %s", target, got)
			}
		}
		// A request that came by no wire has only its URL.
		r, _ := http.NewRequest("GET", "/made/up", nil)
		page(r)
		rec := httptest.NewRecorder()
		w.auth.RequireSession(unreachable(t)).ServeHTTP(rec, r)
		if got := rec.Header().Get("Location"); got != "/login?return_to=%2Fmade%2Fup" {
			t.Errorf("%s", got)
		}
	})
}

// evil are values of return_to that lead elsewhere, or might.
var evil = []string{
	"", "//evil.example.com", "///evil.example.com", "////evil.example.com", `/\evil.example.com`, `\/evil.example.com`, `\\evil.example.com`,
	`//\evil.example.com`, "/\t/evil.example.com", "\t//evil.example.com", "/\n/evil.example.com", "/\r/evil.example.com", " //evil.example.com", " /a",
	"/\x00/evil.example.com", "\x01//evil.example.com", "/\x7f", "http://evil.example.com", "https://evil.example.com/", "https:evil.example.com",
	"https:/evil.example.com", "HTTPS://app.example.com", "javascript:alert(1)", "JavaScript:alert(1)", "java\tscript:alert(1)", "data:text/html,x", "vbscript:x",
	"evil.example.com", "a", "a/b", "./a", "../a", "?a", "#a", "@evil.example.com", ":evil", "/é", "/a b", "/\u2028", "/\u3000/evil.example.com", "／／evil.example.com",
	"/%zz", "/a\r\nSet-Cookie: x=y", "/" + strings.Repeat("a", 2048), "%2F%2Fevil.example.com", "http:///evil.example.com", "//evil.example.com\\@app.example.com",
	"//user@evil.example.com", "/\\/evil.example.com", "/a\\..\\..\\b",
}

func TestReturnTo(t *testing.T) {
	request := func(query string) *http.Request {
		return &http.Request{Method: "GET", URL: &url.URL{Path: "/login", RawQuery: query}}
	}
	for _, to := range evil {
		if got := middleware.ReturnTo(request("return_to=" + url.QueryEscape(to))); got != "/" {
			t.Errorf("%q: %q", to, got)
		}
	}
	for _, to := range []string{"/", "/a", "/a?b=c", "/a/b?c=//d&e=http://f", "/%2F%2Fa", "/a;b", "/~a", "/@evil.example.com", "/:a", "/a:b", "/?", "/#", "/a%00", "/%5Cevil", "/" + strings.Repeat("a", 2047)} {
		if got := middleware.ReturnTo(request("x=y&return_to=" + url.QueryEscape(to))); got != to {
			t.Errorf("%q: %q", to, got)
		}
	}
	for query, want := range map[string]string{
		"":                             "/",
		"return_to":                    "/",
		"return_to=/a&return_to=/b":    "/a",
		"return_to=//a&return_to=/b":   "/",
		"RETURN_TO=/a":                 "/",
		"return_to=/a;x=y":             "/", // net/url drops it
		"return_to=%zz":                "/",
		"return_to=/a%26return_to=//b": "/a&return_to=//b",
		"return_to=%2Fa+b":             "/",
	} {
		if got := middleware.ReturnTo(request(query)); got != want {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
	r := request("")
	r.Form, r.PostForm = url.Values{"return_to": {"/form"}}, url.Values{"return_to": {"/post"}}
	if got := middleware.ReturnTo(r); got != "/" {
		t.Errorf("a form: %q", got)
	}
}

var scheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)

// elsewhere reports whether a browser on https://app.example.com/x that gets to
// in a Location header, or in an href, could leave the origin: by net/url and
// by the WHATWG URL standard.
func elsewhere(to string) bool {
	base := &url.URL{Scheme: "https", Host: "app.example.com", Path: "/x"}
	if u, err := base.Parse(to); err != nil || u.Scheme != base.Scheme || u.Host != base.Host || u.User != nil || u.Opaque != "" {
		return true
	}
	to = strings.TrimFunc(to, func(r rune) bool { return r <= ' ' })
	to = strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(to)
	return strings.HasPrefix(to, "//") || scheme.MatchString(to)
}

// FuzzReturnTo: whatever comes back stays on this origin, is one line, and
// survives net/http's own redirect; so does a redirect from a page of any
// name.
func FuzzReturnTo(f *testing.F) {
	for _, to := range evil {
		f.Add(to)
	}
	for _, to := range []string{"/a?b=c", "/..//evil.example.com", "/.//evil.example.com", "/%2e/%2fevil.example.com", "/a/../..//b", "/%5c%5cevil", "/?return_to=//evil", "/login"} {
		f.Add(to)
	}
	cfg := sound()
	cfg.LoginURL = "/login?by=mail"
	auth, err := middleware.New(cfg)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = auth.Close() })
	guard := auth.RequireSession(http.NotFoundHandler())
	f.Fuzz(func(t *testing.T, to string) {
		safe := func(how, got string) {
			if got == "" || got[0] != '/' || elsewhere(got) || strings.ContainsFunc(got, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' }) {
				t.Errorf("%s: %q leads to %q", how, to, got)
			}
			rec := httptest.NewRecorder()
			http.Redirect(rec, httptest.NewRequest("GET", "/login", nil), got, http.StatusSeeOther)
			if l := rec.Header().Get("Location"); elsewhere(l) {
				t.Errorf("%s: %q, redirected by net/http, leads to %q", how, to, l)
			}
		}
		got := middleware.ReturnTo(&http.Request{URL: &url.URL{Path: "/login", RawQuery: url.Values{"return_to": {to}}.Encode()}})
		safe("the parameter", got)
		if got != "/" && got != to {
			t.Errorf("%q became %q", to, got)
		}
		safe("the query", middleware.ReturnTo(&http.Request{URL: &url.URL{Path: "/login", RawQuery: "return_to=" + to}}))
		path, query, _ := strings.Cut(to, "?")
		for how, r := range map[string]*http.Request{
			"a page by its URL":     {Method: "GET", URL: &url.URL{Path: path, RawPath: path, RawQuery: query}},
			"a page by its target":  {Method: "GET", URL: &url.URL{Path: "/"}, RequestURI: to},
			"a page with an opaque": {Method: "GET", URL: &url.URL{Opaque: to}, RequestURI: to},
		} {
			r.Header = http.Header{"Sec-Fetch-Dest": {"document"}}
			rec := httptest.NewRecorder()
			guard.ServeHTTP(rec, r)
			location := rec.Header().Get("Location")
			if rec.Code == http.StatusUnauthorized && location == "" {
				continue // the login page
			}
			u, err := url.Parse(location)
			if rec.Code != http.StatusSeeOther || err != nil || u.Path != "/login" || u.Host != "" || u.Query().Get("by") != "mail" || len(u.Query()["return_to"]) != 1 {
				t.Fatalf("%s: %d %q", how, rec.Code, location)
			}
			safe(how, location)
			if back := u.Query().Get("return_to"); back != middleware.ReturnTo(&http.Request{URL: u}) {
				t.Errorf("%s: %q is sent, and then not taken", how, back)
			}
			safe(how+", and back", middleware.ReturnTo(&http.Request{URL: u}))
		}
	})
}

func TestCrossSite(t *testing.T) {
	const same, other, trusted = "https://app.example.com", "https://evil.example.com", "https://trusted.example.com"
	for _, c := range []struct {
		method, site, origin string
		refused              bool
	}{
		{"GET", "cross-site", other, false}, {"HEAD", "cross-site", other, false}, {"OPTIONS", "cross-site", other, false},
		{"POST", "same-origin", "", false}, {"POST", "same-origin", same, false}, {"POST", "none", "", false}, {"POST", "", "", false},
		{"POST", "", same, false}, {"POST", "cross-site", "", true}, {"POST", "same-site", "", true}, {"POST", "same-site", other, true},
		{"POST", "", other, true}, {"POST", "", "null", true}, {"POST", "cross-site", "null", true}, {"POST", "", "https://app.example.com.evil.example.com", true},
		{"POST", "", "https://app.example.com:8443", true}, {"POST", "nonsense", other, true},
		{"POST", "cross-site", trusted, false}, {"POST", "", trusted, false}, {"POST", "", trusted + ".evil.example.com", true}, {"POST", "", "http://trusted.example.com", true},
		{"PUT", "cross-site", "", true}, {"PATCH", "cross-site", "", true}, {"DELETE", "cross-site", "", true}, {"CONNECT", "cross-site", "", true},
		{"TRACE", "cross-site", "", true}, {"get", "cross-site", "", true}, {"PROPFIND", "cross-site", "", true},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			inWorld(t, func(cfg *middleware.Config) {
				cfg.TrustedOrigins, cfg.TokenHeader = []string{trusted}, "X-Token"
			}, func(w *world) {
				s := w.login(mailAndSMS()...)
				from := func(r *http.Request) {
					r.Method = c.method
					if c.site != "" {
						r.Header.Set("Sec-Fetch-Site", c.site)
					}
					if c.origin != "" {
						r.Header.Set("Origin", c.origin)
					}
				}
				for name, guard := range w.guards() {
					got := w.get(guard(w.report()), cookies(s.Tokens), from)
					switch {
					case !c.refused && (got.StatusCode != 200 || got.seen.SessionID != s.ID):
						t.Errorf("%s: %d %+v", name, got.StatusCode, got.seen)
					case c.refused && name == "Load" && (got.seen.SessionID != "" || got.seen.Status != 403):
						t.Errorf("Load: %+v", got.seen)
					case c.refused && name != "Load":
						expect(t, name, got, 403, body403, "", "")
					}
					if got.setCookies() != 0 && c.refused {
						t.Errorf("%s: %v", name, got.Header)
					}
					// Only cookies come along by themselves.
					for by, o := range map[string]option{"bearer": bearer(s.Tokens.SessionJWT), "header": header("X-Token", s.Tokens.SessionToken)} {
						if got := w.get(guard(w.report()), o, from, cookies(s.Tokens)); got.StatusCode != 200 || got.seen.SessionID != s.ID {
							t.Errorf("%s, %s: %d", name, by, got.StatusCode)
						}
					}
				}
				// What writes or ends a session refuses with or without a cookie.
				for by, o := range map[string]option{"cookies": cookies(s.Tokens), "nothing": func(*http.Request) {}, "bearer": bearer(s.Tokens.SessionJWT)} {
					r := httptest.NewRequest("GET", same+"/", nil)
					from(r)
					o(r)
					rec := httptest.NewRecorder()
					before := w.project.Calls()
					_, hydrate := w.auth.Hydrate(rec, r, s.Tokens)
					_, refresh := w.auth.Refresh(rec, r, 0)
					if c.refused {
						revoke := w.auth.Revoke(rec, r)
						if !errors.Is(revoke, middleware.ErrCrossSite) {
							t.Errorf("%s: Revoke %v", by, revoke)
						}
					}
					for op, err := range map[string]error{"Hydrate": hydrate, "Refresh": refresh} {
						if errors.Is(err, middleware.ErrCrossSite) != c.refused {
							t.Errorf("%s: %s %v", by, op, err)
						}
					}
					if c.refused && (w.project.Calls() != before || rec.Header()["Set-Cookie"] != nil) {
						t.Errorf("%s: something was changed: %v", by, rec.Header())
					}
				}
			})
		})
	}
}

// Nothing of a credential is in any answer, new cookies aside.
func TestDenialsHoldNoToken(t *testing.T) {
	for situation, options := range situations {
		t.Run(situation, func(t *testing.T) {
			inWorld(t, func(c *middleware.Config) { c.LoginURL, c.StepUpURL = "/login", "/step-up" }, func(w *world) {
				for name, guard := range w.guards() {
					for _, o := range []option{page, func(*http.Request) {}} {
						w.project.FailAPI(nil)
						var sent *http.Request
						all := append(options(w), o, func(r *http.Request) { sent = r })
						got := w.get(guard(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
							s, _ := sessionctx.From(r.Context())
							_, _ = fmt.Fprintf(rw, "%+v %#v %v %v", s, s, w.auth.Err(r), w.auth.Explain(r))
						})), all...)
						got.Header.Del("Set-Cookie")
						var answer bytes.Buffer
						_ = got.Header.Write(&answer)
						answer.WriteString(got.body)
						for _, secret := range secretsOf(sent) {
							if strings.Contains(answer.String(), secret) {
								t.Errorf("%s: %q is in %s", name, secret, answer.String())
							}
						}
					}
				}
			})
		})
	}
}

// secretsOf are the parts of r's credentials that nobody else may learn.
func secretsOf(r *http.Request) (parts []string) {
	for _, name := range []string{"Authorization", "Cookie"} {
		for _, line := range r.Header[name] {
			for _, part := range strings.FieldsFunc(line, func(c rune) bool { return strings.ContainsRune(" ;=.", c) }) {
				if len(part) >= 16 && part != "stytch_session_jwt" {
					parts = append(parts, part)
				}
			}
		}
	}
	return parts
}
