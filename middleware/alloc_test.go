package middleware_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

// quietly returns an Authenticator that logs nothing, and its project.
func quietly(tb testing.TB, change func(*middleware.Config)) (*middleware.Authenticator, *stytchtest.Project) {
	tb.Helper()
	p := stytchtest.New(stytchtest.Options{})
	cfg := p.Config()
	cfg.Logger = slog.New(slog.DiscardHandler)
	change(&cfg)
	auth, err := middleware.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = auth.Close() })
	return auth, p
}

// usual is a login with what most sessions have.
func usual() stytchtest.Login {
	return stytchtest.Login{Factors: []stytchtest.Factor{stytchtest.EmailMagicLink(), stytchtest.SMS()},
		CustomClaims: map[string]any{"plan": "pro", "team": "t1", "beta": true}}
}

// hot is a request with a fresh JWT as a browser or an app sends it.
func hot(tb testing.TB, carry func(*http.Request, middleware.Tokens)) (*middleware.Authenticator, *http.Request) {
	tb.Helper()
	auth, p := quietly(tb, func(*middleware.Config) {})
	s := p.Login(usual())
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

// many is a handler whose cache holds few, and the requests of many sessions
// that are sent to it in turn.
func many(tb testing.TB, cache, sessions int) (*middleware.Authenticator, http.Handler, []*http.Request) {
	tb.Helper()
	auth, p := quietly(tb, func(c *middleware.Config) { c.CacheSize = cache })
	h := auth.RequireSession(reads)
	all := make([]*http.Request, sessions)
	for i := range all {
		s := p.Login(usual())
		all[i] = httptest.NewRequest("GET", "https://app.example.com/api", nil)
		stytchtest.AddCookies(all[i], s.Tokens)
		h.ServeHTTP(&quiet{http.Header{}}, all[i])
	}
	return auth, h, all
}

// A JWT that was never seen costs no more allocations than this: 9 of them are
// RSA's own and 4 golang-jwt's, 2 are the request's.
func TestAllocMissPath(t *testing.T) {
	_, h, all := many(t, 1, 50)
	w := &quiet{http.Header{}}
	i := 0
	if n := testing.AllocsPerRun(200, func() {
		clear(w.h)
		i++
		h.ServeHTTP(w, all[i%len(all)])
	}); n > 23 {
		t.Errorf("%v allocations, at most 23", n)
	}
}

// BenchmarkMiss is a JWT that was never seen, or too long ago.
func BenchmarkMiss(b *testing.B) {
	_, h, all := many(b, 16, 500)
	w := &quiet{http.Header{}}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		clear(w.h)
		i++
		h.ServeHTTP(w, all[i%len(all)])
	}
}

// BenchmarkHotParallel is all cores at once, with one session and with many,
// while other sessions have just been logged out. With -mutexprofile it shows
// who waits for whom.
func BenchmarkHotParallel(b *testing.B) {
	for _, n := range []int{1, 1000} {
		auth, h, all := many(b, 1001, n+1)
		if err := auth.Revoke(httptest.NewRecorder(), all[n]); err != nil {
			b.Fatal(err)
		}
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				w := &quiet{http.Header{}}
				for i := 0; pb.Next(); i++ {
					clear(w.h)
					h.ServeHTTP(w, all[i%n])
				}
			})
		})
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
