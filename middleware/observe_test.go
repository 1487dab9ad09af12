package middleware_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

// observed writes down what an Observer is told, a line each.
type observed struct {
	mu    sync.Mutex
	lines []string
}

func (o *observed) add(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines = append(o.lines, fmt.Sprintf(format, args...))
}

// take returns what was told since the last time.
func (o *observed) take() string {
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	all := strings.Join(o.lines, "\n")
	o.lines = nil
	return all
}

func (o *observed) observer() middleware.Observer {
	return middleware.Observer{
		Decision: func(_ context.Context, d middleware.Decision) {
			o.add("decision %s %d %s/%s/%s called=%v guard=%v %v", d.Outcome, d.Status, d.Carrier, d.Credential, d.Source, d.Called, d.Guard, d.Took)
		},
		Call:     func(c middleware.Call) { o.add("call %s %s %v", c.Operation, c.Outcome, c.Took.Round(time.Second)) },
		KeyFetch: func(k middleware.KeyFetch) { o.add("keys %v %d %v", k.OK, k.Keys, k.Took) },
		Limit:    func(l middleware.Limit) { o.add("limit %s", l.Name) },
		Cookie:   func(_ context.Context, c middleware.CookieWrite) { o.add("cookie %s %s", c.Cookie, c.Action) },
	}
}

// Each thing that happens is told once, as it was.
func TestObserver(t *testing.T) {
	o := &observed{}
	inWorld(t, func(c *middleware.Config) { c.Observer, c.OpaqueBurst = o.observer(), 1 }, func(w *world) {
		is := func(what, want string) {
			t.Helper()
			if got := o.take(); got != want {
				t.Errorf("%s:\n%s\nwant:\n%s", what, got, want)
			}
		}
		is("the start", "keys true 1 0s")
		s, second := w.login(), w.login()
		w.get(nil)
		is("nothing", "decision no session 401 none/none/ called=false guard=false 0s")
		w.get(w.auth.Load(w.auth.RequireSession(w.report())))
		is("a guard's refusal", "decision no session 401 none/none/ called=false guard=false 0s\ndecision no session 401 none/none/ called=false guard=true 0s")
		w.get(w.auth.Load(w.auth.RequireSession(w.report())), cookies(s.Tokens))
		is("a JWT", "decision session 200 cookies/both/local called=false guard=false 0s")
		w.project.FailAPI(stytchtest.Slow(time.Second))
		w.get(nil, cookies(w.stale(s)))
		is("a stale JWT", "call authenticate ok 1s\ncookie token set\ncookie jwt set\ndecision session 200 cookies/both/remote called=true guard=false 1s")
		w.get(w.auth.RequireMFA(w.report()), bearer(s.Tokens.SessionJWT))
		is("a guard", "decision session 200 bearer/session JWT/local called=false guard=false 0s\ncall authenticate ok 1s\n"+
			"decision step-up 401 bearer/session JWT/remote called=true guard=true 1s")
		w.project.AddFactor(s.ID, stytchtest.EmailMagicLink())
		w.project.AddFactor(s.ID, stytchtest.SMS())
		advance(3 * time.Second)
		w.get(w.auth.RequireMFA(w.report()), bearer(s.Tokens.SessionJWT))
		is("a guard that lets in", "decision session 200 bearer/session JWT/local called=false guard=false 0s\ncall authenticate ok 1s\n"+
			"decision session 200 bearer/session JWT/remote called=true guard=true 1s")
		w.project.FailAPI(stytchtest.Error(401, "unauthorized_credentials"))
		w.get(nil, bearer(second.Tokens.SessionToken))
		is("a wrong secret", "call authenticate setup 0s\ndecision unavailable 503 bearer/session token/ called=true guard=false 0s")
		w.get(nil, bearer(w.login().Tokens.SessionToken))
		is("the budget", "limit unknown tokens\ndecision unavailable 503 bearer/session token/ called=false guard=false 0s")
		w.project.FailAPI(nil)
		_, _ = w.revoke(cookies(s.Tokens))
		is("a logout", "cookie token cleared\ncookie jwt cleared\ncall revoke ok 0s")
		w.project.FailKeys(stytchtest.Error(500, ""))
		advance(time.Minute)
		w.get(nil, bearer(stytchtest.New(stytchtest.Options{ProjectID: w.project.ID()}).Login(stytchtest.Login{}).Tokens.SessionJWT))
		got := strings.Split(o.take(), "\n")
		slices.Sort(got) // the fetch ends on a goroutine of its own
		if want := []string{"decision unavailable 503 bearer/session JWT/ called=false guard=false 0s", "keys false 1 0s"}; !slices.Equal(got, want) {
			t.Errorf("an unknown key: %q, want %q", got, want)
		}
		w.project.FailKeys(nil)
		huge := w.project.Login(stytchtest.Login{CustomClaims: map[string]any{"x": strings.Repeat("x", 3900)}})
		if _, _, err := w.hydrate(huge.Tokens); err != nil {
			t.Error(err)
		}
		if got := o.take(); !strings.Contains(got, "cookie jwt too large") {
			t.Errorf("a large JWT:\n%s", got)
		}
	})
}

// An Observer that panics in every function changes no answer.
func TestObserverThatPanics(t *testing.T) {
	boom := middleware.Observer{
		Decision: func(context.Context, middleware.Decision) { panic("hunter2") },
		Call:     func(middleware.Call) { panic("hunter2") },
		KeyFetch: func(middleware.KeyFetch) { panic("hunter2") },
		Limit:    func(middleware.Limit) { panic("hunter2") },
		Cookie:   func(context.Context, middleware.CookieWrite) { panic("hunter2") },
	}
	log := &journal{}
	inWorld(t, func(c *middleware.Config) {
		c.Observer, c.Logger, c.OpaqueBurst = boom, slog.New(slog.NewTextHandler(log, nil)), 1
	}, func(w *world) {
		s := w.login()
		for _, c := range []struct {
			with   option
			status int
		}{{cookies(s.Tokens), 0}, {cookies(w.stale(s)), 0}, {bearer(s.Tokens.SessionToken), 0},
			{bearer(w.login().Tokens.SessionToken), 0}, {bearer(w.login().Tokens.SessionToken), 503}, {bearer("a b"), 401}} {
			if got := w.get(nil, c.with); got.seen.Status != c.status {
				t.Errorf("%+v, want %d", got.seen, c.status)
			}
		}
		if _, err := w.revoke(cookies(s.Tokens)); err != nil {
			t.Error(err)
		}
		if err := w.auth.Ready(); err != nil {
			t.Error(err)
		}
		if s := log.String(); !strings.Contains(s, "work=Observer") || strings.Contains(s, "hunter2") {
			t.Error(s)
		}
	})
}

// subscribed is hot with subscribers that misbehave, and an Observer.
func subscribed(tb testing.TB, carry func(*http.Request, middleware.Tokens), subscribers bool, o middleware.Observer) (*middleware.Authenticator, *http.Request) {
	auth, r := hotWith(tb, carry, func(c *middleware.Config) { c.Observer = o })
	if subscribers {
		forever := make(chan struct{})
		tb.Cleanup(func() { close(forever) })
		auth.OnChange(func(middleware.Event) { <-forever })
		auth.OnChange(func(middleware.Event) { panic("hunter2") })
	}
	return auth, r
}

// hotWith is hot with another configuration.
func hotWith(tb testing.TB, carry func(*http.Request, middleware.Tokens), change func(*middleware.Config)) (*middleware.Authenticator, *http.Request) {
	tb.Helper()
	p := stytchtest.New(stytchtest.Options{})
	cfg := p.Config()
	change(&cfg)
	auth, err := middleware.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = auth.Close() })
	_, r := hot(tb, byCookie) // its headers
	r.Header.Set("Cookie", "_ga=GA1.1.1234567890.1700000000; theme=dark; csrftoken=0123456789abcdef0123456789abcdef")
	carry(r, p.Login(stytchtest.Login{Factors: mailAndSMS()}).Tokens)
	return auth, r
}

var watchers = []struct {
	name        string
	subscribers bool
	observer    middleware.Observer
}{
	{"nobody", false, middleware.Observer{}},
	{"idle Observer", false, middleware.Observer{Call: func(middleware.Call) {}}},
	{"Observer of decisions", false, middleware.Observer{Decision: func(context.Context, middleware.Decision) {}}},
	{"bad subscribers", true, middleware.Observer{}},
}

// Whoever watches, the hot path allocates what it did.
func TestAllocWatched(t *testing.T) {
	for _, c := range watchers {
		for name, carry := range map[string]func(*http.Request, middleware.Tokens){"cookies": byCookie, "bearer": byJWTBearer} {
			auth, r := subscribed(t, carry, c.subscribers, c.observer)
			h := auth.Load(reads)
			w := &quiet{http.Header{}}
			h.ServeHTTP(w, r)
			if n := testing.AllocsPerRun(200, func() {
				clear(w.h)
				h.ServeHTTP(w, r)
			}); n > 2 {
				t.Errorf("%s, %s: %v allocations, at most 2", c.name, name, n)
			}
		}
	}
}

// An observer is told of calls that were made, and apart from them of those that
// a limit kept back.
func TestObserverIsToldOfCallsThatWereMade(t *testing.T) {
	for name, c := range map[string]struct {
		fault     stytchtest.Fault
		sent      int // of 20 stale sessions, one after the other
		limit     string
		kept      int
		operation string
	}{
		"breaker": {stytchtest.Error(500, "internal_server_error"), 5, "breaker", 15, "authenticate"},
		"paused":  {stytchtest.TooManyRequests("30"), 1, "paused", 19, "authenticate"},
		"fine":    {nil, 20, "", 0, "authenticate"},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			calls, limits := 0, map[string]int{}
			inWorld(t, func(cfg *middleware.Config) {
				cfg.Observer.Call = func(call middleware.Call) {
					mu.Lock()
					defer mu.Unlock()
					if calls++; call.Operation != c.operation {
						t.Errorf("%+v", call)
					}
				}
				cfg.Observer.Limit = func(l middleware.Limit) {
					mu.Lock()
					defer mu.Unlock()
					limits[l.Name]++
				}
			}, func(w *world) {
				synctest.Wait()
				w.project.FailAPI(c.fault)
				explained := 0
				h := w.auth.Load(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					if w.auth.Explain(r).Called {
						explained++
					}
				}))
				for range 20 {
					w.get(h, cookies(w.stale(w.login())))
				}
				w.calls(c.sent)
				mu.Lock()
				defer mu.Unlock()
				if calls != c.sent || explained != c.sent || limits[c.limit] != c.kept || c.kept > 0 && len(limits) != 1 {
					t.Errorf("told of %d calls, explained %d, kept back %v; want %d and %d", calls, explained, limits, c.sent, c.kept)
				}
			})
		})
	}
	t.Run("in flight", func(t *testing.T) {
		var limits atomic.Int64
		inWorld(t, func(cfg *middleware.Config) {
			cfg.MaxInFlight = 2
			cfg.Observer.Limit = func(l middleware.Limit) {
				if l.Name == "in flight" {
					limits.Add(1)
				}
			}
		}, func(w *world) {
			synctest.Wait()
			w.project.FailAPI(stytchtest.Slow(time.Second))
			var all sync.WaitGroup
			for range 5 {
				tokens := w.stale(w.login())
				all.Go(func() { w.get(nil, cookies(tokens)) })
			}
			all.Wait()
			if n := limits.Load(); n != 3 {
				t.Errorf("told of %d", n)
			}
		})
	})
}

// A panic of one kind does not hide another's from the log, which says where
// it was and not what was thrown.
func TestPanicsAreToldApart(t *testing.T) {
	var out bytes.Buffer
	inWorld(t, func(c *middleware.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&out, nil))
		c.Observer.Decision = func(context.Context, middleware.Decision) { panic("hunter2") }
	}, func(w *world) {
		defer w.auth.OnChange(func(middleware.Event) { panic("hunter2") })()
		for range 3 {
			w.get(nil, cookies(w.login().Tokens))
		}
		synctest.Wait()
		_ = w.auth.Close()
	})
	for text, n := range map[string]int{"work=Observer": 1, `work="a subscriber of OnChange"`: 1, "observe_test.go": 2, "hunter2": 0} {
		if got := strings.Count(out.String(), text); got < n || n == 0 && got > 0 {
			t.Errorf("%q %d times, want %d:\n%s", text, got, n, out.String())
		}
	}
}

func BenchmarkHotWithSubscribers(b *testing.B) {
	for _, c := range watchers {
		auth, r := subscribed(b, byCookie, c.subscribers, c.observer)
		h := auth.Load(reads)
		b.Run(c.name, func(b *testing.B) {
			w := &quiet{http.Header{}}
			h.ServeHTTP(w, r)
			b.ReportAllocs()
			for b.Loop() {
				clear(w.h)
				h.ServeHTTP(w, r)
			}
		})
	}
}
