package securitytest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/jwks"
	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

// Mistakes that were made elsewhere, tried on this library from the outside.

// site is a program that guards one route, and a Stytch project behind it.
type site struct {
	*testing.T
	project *stytchtest.Project
	auth    *middleware.Authenticator
	guarded http.Handler // says who is there
}

// open runs body in a bubble with a clock of its own.
func open(t *testing.T, change func(*middleware.Config), body func(*site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := stytchtest.New(stytchtest.Options{})
		s := newSite(t, p, p.Config(), change)
		body(s)
	})
}

func newSite(t *testing.T, p *stytchtest.Project, cfg middleware.Config, change func(*middleware.Config)) *site {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	if change != nil {
		change(&cfg)
	}
	auth, err := middleware.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = auth.Close() })
	return &site{T: t, project: p, auth: auth, guarded: auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, _ := sessionctx.From(r.Context())
		_, _ = io.WriteString(w, s.UserID())
	}))}
}

func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (s *site) get(r *http.Request) *http.Response {
	rec := httptest.NewRecorder()
	s.guarded.ServeHTTP(rec, r)
	return rec.Result()
}

func (s *site) bearer(token string) int {
	r := httptest.NewRequest("GET", "https://app.example.com/", nil)
	stytchtest.AddBearer(r, token)
	return s.get(r).StatusCode
}

// want checks the answer to a bearer token.
func (s *site) want(what, token string, status int) {
	s.Helper()
	if got := s.bearer(token); got != status {
		s.Errorf("%s: %d, want %d", what, got, status)
	}
}

// silent checks that Stytch was asked nothing and sent one key set.
func (s *site) silent() {
	s.Helper()
	if c := s.project.Calls(); c.Authenticate != 0 || c.KeySet != 1 {
		s.Errorf("%d calls, %d key fetches; want none and one", c.Authenticate, c.KeySet)
	}
}

// jwt-go took a token whose audience was an empty list for one without an
// audience, which it then did not check.
func TestCVE_2020_26160(t *testing.T) {
	open(t, nil, func(s *site) {
		login := s.project.Login(stytchtest.Login{})
		mint := func(aud any) string {
			return s.project.MintJWT(login.ID, stytchtest.Mint{Claims: map[string]any{"aud": aud}})
		}
		s.want("ours among others", mint([]string{"project-test-x", s.project.ID()}), 200)
		for _, aud := range []any{[]string{}, []string{""}, "", nil, []any{nil}, []any{1}, map[string]any{}, []any{[]string{s.project.ID()}}, []string{"project-test-x"}} {
			s.want(fmt.Sprintf("audience %v", aud), mint(aud), 401)
		}
		s.silent()
	})
}

// golang-jwt says of an expired token that is badly signed, too, that it is
// expired; who looks at that alone goes on with a forgery. Here stale means
// well signed and ours.
func TestCVE_2024_51744(t *testing.T) {
	open(t, nil, func(s *site) {
		login := s.project.Login(stytchtest.Login{})
		v, err := jwks.New(jwks.Config{ProjectID: s.project.ID(), HTTPClient: &http.Client{Transport: s.project.Transport()}, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		old := time.Now().Add(-time.Hour)
		if _, err := v.Verify(context.Background(), s.project.MintJWT(login.ID, stytchtest.Mint{IssuedAt: old})); !errors.Is(err, jwks.ErrStale) {
			t.Errorf("an expired token: %v", err)
		}
		for name, m := range map[string]stytchtest.Mint{
			"forged":                  {IssuedAt: old, Forged: true},
			"other audience":          {IssuedAt: old, Claims: map[string]any{"aud": []string{"project-test-x"}}},
			"other issuer":            {IssuedAt: old, Issuer: "stytch.com/project-test-x"},
			"other project":           {IssuedAt: old, ProjectID: "project-test-00000000-0000-4000-8000-000000000000"},
			"no session":              {IssuedAt: old, NoSessionClaim: true},
			"no user":                 {IssuedAt: old, Claims: map[string]any{"sub": ""}},
			"from the future, forged": {IssuedAt: time.Now().Add(time.Hour), Forged: true},
		} {
			token := s.project.MintJWT(login.ID, m)
			if _, err := v.Verify(context.Background(), token); !errors.Is(err, jwks.ErrInvalid) || errors.Is(err, jwks.ErrStale) {
				t.Errorf("expired and %s: %v", name, err)
			}
			s.want("expired and "+name, token, 401)
		}
		if n := s.project.Calls().Authenticate; n != 0 {
			t.Errorf("%d calls", n)
		}
	})
}

// golang-jwt cut a header into as many pieces as it had dots.
func TestCVE_2025_30204(t *testing.T) {
	open(t, nil, func(s *site) {
		s.want("a good token", s.project.Login(stytchtest.Login{}).Tokens.SessionJWT, 200)
		for name, token := range map[string]string{
			"a million dots": strings.Repeat(".", 1<<20),
			"16 KiB of dots": strings.Repeat(".", 16<<10),
			"segments":       strings.Repeat("e30.", 4<<10),
			"long segments":  strings.Repeat("e", 1<<20) + "." + strings.Repeat("e", 1<<20) + ".e",
		} {
			r := httptest.NewRequest("GET", "https://app.example.com/", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			w := &counter{header: http.Header{}}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range 100 {
				s.guarded.ServeHTTP(w, r)
			}
			runtime.ReadMemStats(&after)
			if n := (after.TotalAlloc - before.TotalAlloc) / 100; n > 8<<10 {
				t.Errorf("%s: %d bytes for each", name, n)
			}
			if w.statuses[401] != 100 {
				t.Errorf("%s: %v", name, w.statuses)
			}
		}
		s.silent()
	})
}

// counter is a ResponseWriter that counts statuses.
type counter struct {
	header   http.Header
	statuses [600]int
}

func (c *counter) Header() http.Header         { return c.header }
func (c *counter) WriteHeader(status int)      { c.statuses[status]++ }
func (c *counter) Write(b []byte) (int, error) { return len(b), nil }

// jwkset kept keys that the issuer had taken out of the set.
func TestCVE_2025_22149(t *testing.T) {
	open(t, nil, func(s *site) {
		login := s.project.Login(stytchtest.Login{Duration: 24 * time.Hour})
		stale := s.project.MintJWT(login.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-10 * time.Minute)})
		s.want("before", login.Tokens.SessionJWT, 200)
		advance(11 * time.Second)
		s.project.RotateKeyHard() // the old one is out: somebody stole it, say
		// The first token of the new key makes the key set known.
		s.want("the new key", s.project.MintJWT(login.ID, stytchtest.Mint{}), 200)
		s.want("one that was verified before, and is not known to be of no key yet", login.Tokens.SessionJWT, 503)
		advance(10 * time.Second)
		s.want("one that was verified before, by the removed key", login.Tokens.SessionJWT, 401)
		advance(10 * time.Second)
		s.want("a stale one, which Stytch must not be asked about", stale, 401)
		s.want("the new key", s.project.MintJWT(login.ID, stytchtest.Mint{}), 200)
		if n := s.project.Calls().Authenticate; n != 0 {
			t.Errorf("%d calls", n)
		}
	})
}

// Authlib did not refuse critical header members that it did not know.
func TestCVE_2025_59420(t *testing.T) {
	open(t, nil, func(s *site) {
		login := s.project.Login(stytchtest.Login{})
		s.want("no crit", login.Tokens.SessionJWT, 200)
		for _, crit := range []any{[]string{"bound_to"}, []string{"exp"}, []string{}, "exp", nil, []string{"b64"}, map[string]any{}} {
			m := stytchtest.Mint{Header: map[string]any{"crit": crit, "bound_to": "device-1"}}
			status := 401
			if crit == nil { // stytchtest leaves the member out
				status = 200
			}
			s.want(fmt.Sprintf("crit %v", crit), s.project.MintJWT(login.ID, m), status)
		}
		s.silent()
	})
}

// Traefik read the answer of its authentication server to the end, wherever
// that was. Here each of the two answers never ends.
func TestCVE_2026_26998(t *testing.T) {
	for _, path := range []string{"/v1/sessions/authenticate", "/v1/sessions/jwks/"} {
		for _, status := range []int{200, 404, 500} {
			t.Run(fmt.Sprint(path, status), func(t *testing.T) {
				var sent atomic.Int64
				p := stytchtest.New(stytchtest.Options{})
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if !strings.HasPrefix(r.URL.Path, path) {
						p.ServeHTTP(w, r)
						return
					}
					w.WriteHeader(status)
					page := []byte(`{"error_type":"session_not_found","x":"` + strings.Repeat("x", 1<<16))
					for {
						n, err := w.Write(page)
						if sent.Add(int64(n)); err != nil || sent.Load() > 1<<30 {
							return
						}
					}
				}))
				t.Cleanup(server.Close)
				t.Cleanup(server.CloseClientConnections)
				cfg := p.Config()
				cfg.BaseURL, cfg.HTTPClient = server.URL, nil
				s := newSite(t, p, cfg, nil)
				login := p.Login(stytchtest.Login{})
				token := login.Tokens.SessionToken
				if path != "/v1/sessions/authenticate" {
					token = login.Tokens.SessionJWT
				}
				if got := s.bearer(token); got != 503 {
					t.Errorf("%d, want 503", got)
				}
				_ = s.auth.Close()
				// What the sockets and the two retries buffer comes on top.
				if n := sent.Load(); n > 64<<20 {
					t.Errorf("%d MiB were taken", n>>20)
				}
			})
		}
	}
}

// oauth2-proxy redirected after a login to wherever the link to it said, as
// //evil.example or /\evil.example.
func TestCVE_2020_4037_CVE_2020_11053(t *testing.T) {
	open(t, func(c *middleware.Config) { c.LoginURL = "/login" }, func(s *site) {
		for _, to := range []string{"/account?tab=1", "/a/b//c", "/"} {
			r := httptest.NewRequest("GET", "https://app.example.com/login?return_to="+url.QueryEscape(to), nil)
			if got := middleware.ReturnTo(r); got != to {
				t.Errorf("%q became %q", to, got)
			}
		}
		for _, to := range []string{
			"//evil.example", "///evil.example", `/\evil.example`, `\\evil.example`, `/\/evil.example`, "https://evil.example", "https:evil.example", "javascript:alert(1)",
			"/\t/evil.example", "/\n/evil.example", "/\r\nLocation: https://evil.example", " //evil.example", "//evil.example\\@app.example.com", "evil.example", "",
			"/\x00/evil.example", "http://[::1]", "//app.example.com@evil.example", "data:text/html,x", "?next=//evil.example",
		} {
			r := httptest.NewRequest("GET", "https://app.example.com/login?return_to="+url.QueryEscape(to), nil)
			if got := middleware.ReturnTo(r); got != "/" {
				t.Errorf("return_to %q leads to %q", to, got)
			}
		}
		// And the link to the login page holds only a path, whatever was asked
		// for and whatever the headers say of the host.
		for _, asked := range []string{"/page", "//evil.example/x", `/\evil.example`, "/%5cevil.example", "/%2f/evil.example", "/.//evil.example", "/?u=https://evil.example"} {
			r := httptest.NewRequest("GET", "https://app.example.com/", nil)
			r.RequestURI = asked
			r.URL = &url.URL{Path: asked}
			r.Host = "evil.example"
			r.Header.Set("X-Forwarded-Host", "evil.example")
			r.Header.Set("Sec-Fetch-Dest", "document")
			got := s.get(r)
			location := got.Header.Get("Location")
			at, err := url.Parse(location)
			if err != nil || got.StatusCode != 303 || at.Host != "" || at.Scheme != "" || at.Path != "/login" {
				t.Errorf("%q: %d to %q", asked, got.StatusCode, location)
				continue
			}
			back := at.Query().Get("return_to")
			if !strings.HasPrefix(back, "/") || strings.HasPrefix(back, "//") || strings.ContainsAny(back, "\\\t\r\n") {
				t.Errorf("%q: back to %q", asked, back)
			}
		}
	})
}

// Nothing that a token or a key set names is ever fetched.
func TestNothingNamedIsFetched(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var arrived atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			arrived.Add(1)
			_ = c.Close()
		}
	}()
	elsewhere := "http://" + l.Addr().String() + "/keys"
	p := stytchtest.NewServer(t, stytchtest.Options{})
	p.KeySet() // makes the key now: a first fetch that takes too long would be made again
	p.FailKeys(stytchtest.Rewrite(func(set map[string]any) {
		for _, k := range set["keys"].([]any) {
			k.(map[string]any)["x5u"], k.(map[string]any)["jku"] = elsewhere, elsewhere
		}
		set["next"], set["jwks_uri"] = elsewhere, elsewhere
	}))
	cfg := p.Config()
	cfg.HTTPClient = nil
	s := newSite(t, p.Project, cfg, nil)
	login := p.Login(stytchtest.Login{CustomClaims: map[string]any{"jwks_uri": elsewhere, "picture": elsewhere}})
	s.want("claims that name a place", login.Tokens.SessionJWT, 200)
	for _, name := range []string{"jku", "x5u", "jwk", "x5c"} {
		for _, forged := range []bool{false, true} {
			s.want(name, p.MintJWT(login.ID, stytchtest.Mint{Forged: forged, Header: map[string]any{name: elsewhere}}), 401)
		}
	}
	s.want("an issuer that is a place", p.MintJWT(login.ID, stytchtest.Mint{Issuer: elsewhere}), 401)
	if n := arrived.Load(); n > 0 {
		t.Errorf("%d connections were made", n)
	}
	if n := p.Calls().KeySet; n != 1 {
		t.Errorf("%d key fetches", n)
	}
}

// A session that ends elsewhere ends here: a JWT within MaxTokenAge, a session
// token within OpaqueTTL, and on a route that always asks at once.
func TestRevocationTakesEffectInTime(t *testing.T) {
	open(t, func(c *middleware.Config) { c.MaxTokenAge, c.OpaqueTTL = 3*time.Minute, 20*time.Second }, func(s *site) {
		login := s.project.Login(stytchtest.Login{})
		fresh := s.auth.Require(middleware.Fresh)(s.guarded)
		s.want("a JWT", login.Tokens.SessionJWT, 200)
		s.want("a token", login.Tokens.SessionToken, 200)
		s.project.Revoke(login.ID)
		r := httptest.NewRequest("GET", "https://app.example.com/", nil)
		// Until then the two may pass, here by themselves.
		s.want("a JWT, a moment later", login.Tokens.SessionJWT, 200)
		s.want("a token, a moment later", login.Tokens.SessionToken, 200)
		advance(20 * time.Second)
		s.want("a token after its TTL", login.Tokens.SessionToken, 401)

		other := s.project.Login(stytchtest.Login{})
		s.want("another JWT", other.Tokens.SessionJWT, 200)
		s.project.Revoke(other.ID)
		stytchtest.AddBearer(r, other.Tokens.SessionJWT)
		rec := httptest.NewRecorder()
		fresh.ServeHTTP(rec, r)
		if rec.Code != 401 {
			t.Errorf("at once, where it is asked: %d", rec.Code)
		}
		s.want("and from then on everywhere", other.Tokens.SessionJWT, 401)

		third := s.project.Login(stytchtest.Login{})
		s.want("a third JWT", third.Tokens.SessionJWT, 200)
		s.project.Revoke(third.ID)
		advance(3*time.Minute + time.Second)
		s.want("a JWT after MaxTokenAge", login.Tokens.SessionJWT, 401)
		s.want("the third after MaxTokenAge", third.Tokens.SessionJWT, 401)
	})
}
