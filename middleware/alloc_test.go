package middleware_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

// hot is a request with a fresh JWT as a browser or an app sends it.
func hot(tb testing.TB, carry func(*http.Request, middleware.Tokens)) (*middleware.Authenticator, *http.Request) {
	tb.Helper()
	p := stytchtest.New(stytchtest.Options{})
	cfg := p.Config()
	cfg.Logger = slog.New(slog.DiscardHandler)
	auth, err := middleware.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = auth.Close() })
	s := p.Login(stytchtest.Login{Factors: []stytchtest.Factor{stytchtest.EmailMagicLink(), stytchtest.SMS()},
		CustomClaims: map[string]any{"plan": "pro", "team": "t1", "beta": true}})
	r := httptest.NewRequest("GET", "https://app.example.com/api", nil)
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0")
	r.Header.Set("Cookie", "_ga=GA1.1.1234567890.1700000000; theme=dark; csrftoken=0123456789abcdef0123456789abcdef")
	carry(r, s.Tokens)
	return auth, r
}

func byCookie(r *http.Request, t middleware.Tokens) { stytchtest.AddCookies(r, t) }
func byJWTBearer(r *http.Request, t middleware.Tokens) {
	stytchtest.AddBearer(r, t.SessionJWT)
}
func byTokenBearer(r *http.Request, t middleware.Tokens) {
	stytchtest.AddBearer(r, t.SessionToken)
}

// quiet is a ResponseWriter that costs nothing between requests.
type quiet struct{ h http.Header }

func (q *quiet) Header() http.Header         { return q.h }
func (q *quiet) Write(b []byte) (int, error) { return len(b), nil }
func (q *quiet) WriteHeader(int)             {}

var reads = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if s, ok := sessionctx.From(r.Context()); !ok || s.UserID() == "" {
		panic("no session")
	}
})

func TestAllocHotPath(t *testing.T) {
	for name, carry := range map[string]func(*http.Request, middleware.Tokens){"cookies": byCookie, "bearer JWT": byJWTBearer, "bearer token": byTokenBearer} {
		auth, r := hot(t, carry)
		for guards, h := range map[string]http.Handler{
			"Load":       auth.Load(reads),
			"all guards": auth.Load(auth.RequireSession(auth.RequireMFA(reads))),
		} {
			w := &quiet{http.Header{}}
			h.ServeHTTP(w, r)
			most := 2.0
			if name == "bearer token" { // one more for how it was decided
				most = 4
			}
			if n := testing.AllocsPerRun(200, func() {
				clear(w.h)
				h.ServeHTTP(w, r)
			}); n > most {
				t.Errorf("%s, %s: %v allocations, at most %v", name, guards, n, most)
			}
		}
	}
}

func BenchmarkHot(b *testing.B) {
	for _, c := range []struct {
		name  string
		carry func(*http.Request, middleware.Tokens)
	}{{"cookies", byCookie}, {"bearer", byJWTBearer}, {"token", byTokenBearer}} {
		auth, r := hot(b, c.carry)
		for _, g := range []struct {
			name string
			h    http.Handler
		}{{"Load", auth.Load(reads)}, {"guards", auth.Load(auth.RequireSession(auth.RequireMFA(reads)))}} {
			b.Run(c.name+"/"+g.name, func(b *testing.B) {
				w := &quiet{http.Header{}}
				g.h.ServeHTTP(w, r)
				b.ReportAllocs()
				for b.Loop() {
					clear(w.h)
					g.h.ServeHTTP(w, r)
				}
			})
		}
	}
}

// BenchmarkRefusal is what a stranger's garbage costs.
func BenchmarkRefusal(b *testing.B) {
	auth, r := hot(b, func(*http.Request, middleware.Tokens) {})
	h := auth.Load(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, c := range []struct{ name, value string }{
		{"no dots", strings.Repeat("A", 1600)}, {"two dots", strings.Repeat("A", 533) + "." + strings.Repeat("B", 533) + "." + strings.Repeat("C", 533)},
		{"16 KiB", strings.Repeat("A", 16<<10)}, {"20 KiB", strings.Repeat("A.", 10<<10)},
	} {
		for _, by := range []string{"bearer", "cookie"} {
			r := r.Clone(r.Context())
			if by == "bearer" {
				r.Header.Set("Authorization", "Bearer "+c.value)
			} else {
				r.Header.Set("Cookie", "stytch_session_jwt="+c.value)
			}
			b.Run(c.name+"/"+by, func(b *testing.B) {
				w := &quiet{http.Header{}}
				b.ReportAllocs()
				for b.Loop() {
					clear(w.h)
					h.ServeHTTP(w, r)
				}
			})
		}
	}
}
