package middleware_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

// inFlight counts how many calls are under way at a time, for each body.
type inFlight struct {
	mu        sync.Mutex
	now, most map[string]int
}

func (f *inFlight) fault(d time.Duration) stytchtest.Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		var b [512]byte
		n, _ := r.Body.Read(b[:])
		key, _, _ := strings.Cut(string(b[:n]), `,"session_duration`)
		key = strings.TrimSuffix(key, "}")
		f.mu.Lock()
		f.now[key]++
		f.most[key] = max(f.most[key], f.now[key])
		f.mu.Unlock()
		advance(d)
		f.mu.Lock()
		f.now[key]--
		f.mu.Unlock()
		r.Body = http.NoBody
		http.Error(w, "{}", http.StatusInternalServerError)
	}
}

// One call per credential at a time, whatever is asked for: calls with other
// durations wait for each other, those of other credentials do not.
func TestOneCallPerCredential(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		f := &inFlight{now: map[string]int{}, most: map[string]int{}}
		w.project.FailAPI(f.fault(100 * time.Millisecond))
		a, b := w.login(), w.login()
		synctest.Wait()
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() { _, _, _ = w.refresh(time.Duration(5+i%2)*time.Minute, cookies(a.Tokens)) })
			wg.Go(func() { w.get(nil, cookies(w.stale(a))) })
			wg.Go(func() { w.get(nil, bearer(b.Tokens.SessionToken)) })
		}
		wg.Wait()
		if len(f.most) != 2 {
			t.Errorf("%d credentials", len(f.most))
		}
		for key, n := range f.most {
			if n != 1 {
				t.Errorf("%d calls at a time for %s", n, key)
			}
		}
		// a: 5 minutes, 6 minutes, none; b: one.
		w.calls(4)
		if took := time.Since(start); took != 300*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if n := middleware.SizesOf(w.auth).Flights; n != 0 {
			t.Errorf("%d flights are left", n)
		}
	})
}

// An answer that will do is given even while a call is out that may fail.
func TestFinishedAnswerNeedsNoWaiting(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		old := cookies(w.stale(s))
		w.get(nil, old)
		w.project.FailAPI(stytchtest.Hang())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, _, err := w.refresh(0, cookies(s.Tokens)); !errors.Is(err, middleware.ErrUnavailable) {
				t.Error(err)
			}
		})
		advance(time.Second)
		start := time.Now()
		if got := w.get(nil, old); got.seen.SessionID != s.ID || time.Since(start) != 0 {
			t.Errorf("%+v after %v", got.seen, time.Since(start))
		}
		wg.Wait()
	})
}

// A session that Stytch calls over when asked with its token is over for its
// JWTs too, where the token is known to be its; and no other is.
func TestGoneByToken(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		second := w.project.Login(stytchtest.Login{UserID: s.UserID})
		token := func(s stytchtest.Session) option { return bearer(s.Tokens.SessionToken) }
		w.get(nil, token(s))
		w.project.Revoke(s.ID)
		advance(31 * time.Second)
		if got := w.get(nil, token(s)); got.seen.Status != 401 {
			t.Errorf("%+v", got.seen)
		}
		w.calls(2)
		if got := w.get(nil, bearer(s.Tokens.SessionJWT)); got.seen.Status != 401 {
			t.Errorf("its JWT: %+v", got.seen)
		}
		// Beside a JWT of the user's other session, which lives.
		pair := cookies(middleware.Tokens{SessionToken: s.Tokens.SessionToken, SessionJWT: w.stale(second).SessionJWT})
		if got := w.get(nil, pair); got.seen.Status != 401 || !got.clearedBoth(tokenCookie, jwtCookie) {
			t.Errorf("%+v %v", got.seen, got.Header)
		}
		if got := w.get(nil, bearer(second.Tokens.SessionJWT)); got.seen.SessionID != second.ID {
			t.Errorf("the other session was ended with it: %+v", got.seen)
		}
		w.calls(2)
	})
}

// A lone JWT is exchanged for an answer about its own user and session only,
// however consistent the answer is in itself; of a pair, the token's session
// may be another one of the same user.
func TestAnswerAboutAnother(t *testing.T) {
	for name, c := range map[string]struct {
		user, session string // put in the answer in place of the right ones
		pair          bool
		status        int // 0: a session
	}{
		"another user":             {"user-test-00000000-0000-4000-8000-000000000000", "", false, 503},
		"another session":          {"", "session-test-00000000-0000-4000-8000-000000000000", false, 503},
		"pair, another user":       {"user-test-00000000-0000-4000-8000-000000000000", "", true, 401},
		"pair, another session":    {"", "session-test-00000000-0000-4000-8000-000000000000", true, 0},
		"what was asked for":       {"", "", false, 0},
		"pair, what was asked for": {"", "", true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				s := w.login()
				w.project.FailAPI(stytchtest.Rewrite(func(a map[string]any) {
					a["session_jwt"] = "" // nothing else to tell by
					if c.user != "" {
						a["session"].(map[string]any)["user_id"] = c.user
						a["user"].(map[string]any)["user_id"] = c.user
					}
					if c.session != "" {
						a["session"].(map[string]any)["session_id"] = c.session
					}
				}))
				given := w.stale(s)
				if !c.pair {
					given.SessionToken = ""
				}
				got := w.get(nil, cookies(given))
				if got.seen.Status != c.status || (got.seen.SessionID == "") != (c.status != 0) {
					t.Errorf("%+v", got.seen)
				}
				// The old JWT goes only where it is another session's.
				_, set, cleared := got.cookie(jwtCookie)
				if want := name == "pair, another session" || c.status == 401; set || cleared != want {
					t.Errorf("%v", got.Header)
				}
				if c.status == 503 && got.setCookies() != 0 {
					t.Errorf("%v", got.Header)
				}
				advance(time.Second)
				if _, _, err := w.hydrate(given); middleware.Status(err) != max(c.status, 200) {
					t.Errorf("Hydrate: %v", err)
				}
				if _, _, err := w.refresh(0, cookies(given)); middleware.Status(err) != max(c.status, 200) {
					t.Errorf("Refresh: %v", err)
				}
				w.calls(3)
			})
		})
	}
}

// A session_jwt that is stale already when it arrives is the session's all the
// same, and another session's is not.
func TestAnswerWithAStaleJWT(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s, other := w.login(), w.login()
		old := w.project.MintJWT(s.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-6 * time.Minute)})
		w.project.FailAPI(stytchtest.SessionJWT(old))
		got := w.get(nil, cookies(w.stale(s)))
		if value, _, _ := got.cookie(jwtCookie); got.seen.SessionID != s.ID || value != old {
			t.Errorf("%+v %v", got.seen, got.Header)
		}
		// To whom it was given, that answer is no news.
		calls := w.project.Calls().Authenticate
		if got := w.get(nil, cookies(middleware.Tokens{SessionToken: s.Tokens.SessionToken, SessionJWT: old})); got.seen.Source != "remote" {
			t.Errorf("%+v", got.seen)
		}
		w.calls(calls + 1)
		second := w.project.Login(stytchtest.Login{UserID: s.UserID})
		for _, j := range []string{w.stale(other).SessionJWT, other.Tokens.SessionJWT, w.stale(second).SessionJWT, second.Tokens.SessionJWT} {
			w.project.FailAPI(stytchtest.SessionJWT(j))
			advance(11 * time.Second)
			for _, o := range []option{bearer(w.stale(s).SessionJWT), cookies(w.stale(s))} {
				if got := w.get(nil, o); got.seen.Status != 503 || got.setCookies() != 0 {
					t.Errorf("%+v %v", got.seen, got.Header)
				}
			}
		}
	})
}

// The budget refills, and a token that Stytch knows or knows not does not draw
// on it again.
func TestBudgetRefills(t *testing.T) {
	inWorld(t, func(c *middleware.Config) { c.OpaqueRate, c.OpaqueBurst, c.OpaqueTTL = 5, 10, middleware.NoCache }, func(w *world) {
		s := w.login()
		n := 0
		ask := func(count int) (asked int) {
			for range count {
				n++
				if got := w.get(nil, bearer(fmt.Sprintf("never-seen-%d", n))); got.seen.Status == 401 {
					asked++
				} else if got.seen.Status != 503 {
					t.Errorf("%+v", got.seen)
				}
			}
			return asked
		}
		if got := w.get(nil, bearer(s.Tokens.SessionToken)); got.seen.SessionID != s.ID {
			t.Errorf("%+v", got.seen)
		}
		if got := ask(20); got != 9 {
			t.Errorf("%d of a burst of 10", got)
		}
		calls := w.project.Calls().Authenticate
		if got := w.get(nil, bearer("never-seen-1")); got.seen.Status != 401 {
			t.Errorf("one that is remembered: %+v", got.seen)
		}
		w.calls(calls)
		for range 20 {
			if got := w.get(nil, bearer(s.Tokens.SessionToken)); got.seen.SessionID != s.ID || got.seen.Source != "remote" {
				t.Errorf("a known one: %+v", got.seen)
			}
		}
		w.calls(calls + 20)
		advance(time.Second)
		if got := ask(20); got != 5 {
			t.Errorf("%d after a second", got)
		}
		advance(time.Hour)
		if got := ask(20); got != 10 {
			t.Errorf("%d after an hour", got)
		}
		// Operations are a user's own doing.
		late := w.login()
		if _, _, err := w.refresh(0, bearer(late.Tokens.SessionToken)); err != nil {
			t.Error(err)
		}
		if _, _, err := w.hydrate(middleware.Tokens{SessionToken: w.login().Tokens.SessionToken}); err != nil {
			t.Error(err)
		}
	})
}

// Observer.Limit is called with nothing locked: it may ask how things are.
func TestLimitMayLookInside(t *testing.T) {
	var w *world
	limits := 0
	inWorld(t, func(c *middleware.Config) {
		c.OpaqueRate, c.OpaqueBurst = 1, 1
		c.Observer.Limit = func(l middleware.Limit) {
			limits++
			if got := w.get(w.auth.Debug()); got.StatusCode != 200 || l.Name != "unknown tokens" {
				t.Errorf("%d %+v", got.StatusCode, l)
			}
		}
	}, func(inner *world) {
		w = inner
		for i := range 3 {
			w.get(nil, bearer(fmt.Sprintf("never-seen-%d", i)))
		}
		if limits != 2 {
			t.Errorf("told of %d", limits)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A RoundTripper that panics, or ends its goroutine, once: those who waited get
// 503, the process lives, the next request works.
func TestPanicInTheTransport(t *testing.T) {
	for name, blow := range map[string]func(){"panic": func() { panic("zq9137") }, "run-time error": func() { none := []int{}; none[len(none)]++ }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			var left atomic.Int32
			var logged strings.Builder
			inWorld(t, func(c *middleware.Config) {
				inner := c.HTTPClient.Transport
				c.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					if strings.HasPrefix(r.URL.Path, "/v1/sessions/auth") && left.Add(-1) >= 0 {
						advance(100 * time.Millisecond) // until all wait
						blow()
					}
					return inner.RoundTrip(r)
				})}
				c.Logger = slog.New(slog.NewTextHandler(&logged, nil))
			}, func(w *world) {
				s := w.login()
				left.Store(1)
				var wg sync.WaitGroup
				for range 10 {
					wg.Go(func() {
						got := w.get(w.auth.RequireSession(w.report()), cookies(w.stale(s)))
						if got.StatusCode != 503 || got.Header.Get("Retry-After") == "" || got.setCookies() != 0 {
							t.Errorf("%d %v", got.StatusCode, got.Header)
						}
					})
				}
				wg.Wait()
				if got := w.get(nil, cookies(w.stale(s))); got.seen.SessionID != s.ID {
					t.Errorf("%+v", got.seen)
				}
				if n := middleware.SizesOf(w.auth).Flights; n != 0 {
					t.Errorf("%d flights", n)
				}
				if strings.Contains(logged.String(), "zq9137") {
					t.Errorf("what was thrown is in the log: %s", logged.String())
				}
			})
		})
	}
}

// A logout whose call panics is an outage, not the end of the process; so is
// one in the background.
func TestPanicInARevocation(t *testing.T) {
	var left atomic.Int32
	inWorld(t, func(c *middleware.Config) {
		inner := c.HTTPClient.Transport
		c.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == revokePath && left.Add(-1) >= 0 {
				panic("boom")
			}
			return inner.RoundTrip(r)
		})}
	}, func(w *world) {
		s := w.login()
		left.Store(2)
		if _, err := w.revoke(bearer(s.Tokens.SessionToken)); !errors.Is(err, middleware.ErrUnavailable) {
			t.Error(err)
		}
		advance(10 * time.Second)
		if _, live := w.project.Session(s.ID); live || middleware.SizesOf(w.auth).Later != 0 {
			t.Error("the session lives on")
		}
	})
}

// panics is a slog.Handler nobody should have.
type panics struct{ slog.Handler }

func (panics) Enabled(context.Context, slog.Level) bool  { return true }
func (panics) Handle(context.Context, slog.Record) error { panic("in the logger") }
func (p panics) WithAttrs([]slog.Attr) slog.Handler      { return p }
func (p panics) WithGroup(string) slog.Handler           { return p }

func TestPanicInTheLogger(t *testing.T) {
	inWorld(t, func(c *middleware.Config) { c.Logger = slog.New(panics{}) }, func(w *world) {
		s := w.login()
		for name, fault := range map[string]stytchtest.Fault{
			"setup": stytchtest.Error(401, "unauthorized_credentials"), "down": stytchtest.Down(), "nonsense": stytchtest.OtherUser(), "bad JWT": stytchtest.SessionJWT("a.b.c"),
		} {
			w.project.FailAPI(fault)
			if got := w.get(nil, bearer(w.stale(s).SessionJWT)); got.seen.Status != 503 {
				t.Errorf("%s: %+v", name, got.seen)
			}
			if _, err := w.revoke(bearer(w.login().Tokens.SessionJWT)); name == "down" && !errors.Is(err, middleware.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
			w.project.FailAPI(nil)
			advance(2 * time.Second)
			if got := w.get(nil, bearer(w.stale(s).SessionJWT)); got.seen.SessionID != s.ID {
				t.Errorf("after %s: %+v", name, got.seen)
			}
			advance(time.Minute)
		}
	})
}

// Close in the middle of a slow call: those who wait get 503 at once, and no
// goroutine is left (the bubble would not end).
func TestCloseDuringACall(t *testing.T) {
	for name, fault := range map[string]stytchtest.Fault{"slow": stytchtest.Slow(2 * time.Second), "hangs": stytchtest.Hang()} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				s, fresh := w.login(), w.login()
				w.get(nil, cookies(fresh.Tokens))
				w.project.FailAPI(fault)
				start := time.Now()
				var wg sync.WaitGroup
				for i := range 20 {
					o := cookies(w.stale(s))
					if i%2 == 0 {
						o = bearer(s.Tokens.SessionToken)
					}
					wg.Go(func() {
						if got := w.get(w.auth.RequireSession(w.report()), o); got.StatusCode != 503 || got.setCookies() != 0 {
							t.Errorf("%d %v", got.StatusCode, got.Header)
						}
						if took := time.Since(start); took != 500*time.Millisecond {
							t.Errorf("waited %v", took)
						}
					})
				}
				advance(500 * time.Millisecond)
				if err := w.auth.Close(); err != nil {
					t.Error(err)
				}
				wg.Wait()
				if n := middleware.SizesOf(w.auth).Flights; n != 0 {
					t.Errorf("%d flights", n)
				}
				// What needs no call goes on, the rest does not.
				w.project.FailAPI(nil)
				calls := w.project.Calls().Authenticate
				if got := w.get(nil, cookies(fresh.Tokens)); got.seen.SessionID != fresh.ID {
					t.Errorf("%+v", got.seen)
				}
				if got := w.get(nil, cookies(w.stale(s))); got.seen.Status != 503 {
					t.Errorf("%+v", got.seen)
				}
				if _, _, err := w.hydrate(s.Tokens); !errors.Is(err, middleware.ErrUnavailable) {
					t.Error(err)
				}
				w.calls(calls)
				if err := w.auth.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// sessionOf reads the session id out of a JWT, whoever signed it.
func sessionOf(jwt string) string {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return ""
	}
	b, _ := base64.RawURLEncoding.DecodeString(parts[1])
	_, rest, _ := strings.Cut(string(b), `"id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	return id
}

// CVE-2026-40155: requests at the same time get each other's results. Many
// users, every way to be asked about, answers that come in any order: nobody
// ever sees another's session, token or cookie.
func TestCVE_2026_40155_Swap(t *testing.T) {
	inWorld(t, func(c *middleware.Config) {
		c.OpaqueTTL, c.CacheSize, c.OpaqueBurst = 20*time.Millisecond, 20, 1000
	}, func(w *world) {
		var delay atomic.Uint64
		w.project.FailAPI(func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
			d := time.Duration(delay.Add(7919)%50) * time.Millisecond
			if d%2 == 0 {
				late(d)(rw, r, next)
				return
			}
			stytchtest.Slow(d)(rw, r, next)
		})
		const users = 50
		fresh := w.auth.Require(middleware.Fresh)
		var wg sync.WaitGroup
		for u := range users {
			rnd := rand.New(rand.NewPCG(uint64(u), 40155))
			s := w.login()
			wg.Go(func() {
				token := middleware.Tokens{SessionToken: s.Tokens.SessionToken}
				is := func(what, id, user string) {
					if id != s.ID || user != s.UserID {
						t.Errorf("user %d, %s: session %q of %q", u, what, id, user)
					}
				}
				for range 8 {
					stale := middleware.Tokens{SessionToken: s.Tokens.SessionToken,
						SessionJWT: w.project.MintJWT(s.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-time.Duration(6+rnd.IntN(2)) * time.Minute)})}
					lone := middleware.Tokens{SessionJWT: stale.SessionJWT}
					var got reply
					what := ""
					switch rnd.IntN(8) {
					case 0:
						what, got = "token", w.get(nil, cookies(token))
						is(what, got.seen.SessionID, got.seen.UserID)
					case 1:
						what, got = "stale pair", w.get(nil, cookies(stale))
						is(what, got.seen.SessionID, got.seen.UserID)
					case 2:
						what, got = "stale JWT", w.get(nil, cookies(lone))
						is(what, got.seen.SessionID, got.seen.UserID)
					case 3:
						what, got = "bearer", w.get(nil, bearer(s.Tokens.SessionToken))
						is(what, got.seen.SessionID, got.seen.UserID)
					case 4:
						what, got = "fresh", w.get(fresh(w.report()), cookies(stale))
						is(what, got.seen.SessionID, got.seen.UserID)
					case 5:
						var in *sessionctx.Session
						var err error
						if got, in, err = w.refresh(time.Hour, cookies(stale)); err != nil {
							t.Error(err)
							return
						}
						is("Refresh", in.ID(), in.UserID())
					case 6:
						var in *sessionctx.Session
						var err error
						if got, in, err = w.hydrate(stale); err != nil {
							t.Error(err)
							return
						}
						is("Hydrate", in.ID(), in.UserID())
					case 7:
						w.get(w.auth.Load(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
							if tokens, ok := w.auth.Tokens(r); !ok || tokens.SessionToken != s.Tokens.SessionToken || sessionOf(tokens.SessionJWT) != s.ID {
								t.Errorf("user %d: another's tokens", u)
							}
						})), cookies(stale))
						continue
					}
					for _, c := range got.Cookies() {
						if c.Name == tokenCookie && c.Value != s.Tokens.SessionToken || c.Name == jwtCookie && sessionOf(c.Value) != s.ID || c.MaxAge < 0 {
							t.Errorf("user %d, %s: another's %s", u, what, c.Name)
						}
					}
					advance(time.Duration(rnd.IntN(30)) * time.Millisecond)
				}
			})
		}
		wg.Wait()
		sizes := middleware.SizesOf(w.auth)
		if sizes.Results > 20 || sizes.Flights != 0 {
			t.Errorf("%+v", sizes)
		}
	})
}

// nowhere is a ResponseWriter that keeps nothing.
type nowhere http.Header

func (n nowhere) Header() http.Header         { return http.Header(n) }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}

// A flood of garbage tokens takes no more memory than is configured, whether
// the budget holds it back or not.
func TestMemoryUnderAFlood(t *testing.T) {
	flood := func(w *world, n int) {
		h := w.auth.RequireSession(http.NotFoundHandler())
		r := httptest.NewRequest("GET", "https://app.example.com/", nil)
		for i := range n {
			r.Header["Authorization"] = []string{fmt.Sprintf("Bearer garbage-%d", i)}
			h.ServeHTTP(nowhere{}, r)
		}
	}
	inWorld(t, func(c *middleware.Config) { c.CacheSize = 1000 }, func(w *world) {
		s := w.login()
		w.get(nil, bearer(s.Tokens.SessionToken))
		for range 10 {
			flood(w, 10_000)
			advance(100 * time.Second)
		}
		if n := middleware.SizesOf(w.auth).Results; n == 0 || n > 1000 {
			t.Errorf("%d results", n)
		}
		w.calls(10 * 100) // the burst, refilled each time; the known one drew on the first
		if got := w.get(nil, bearer(s.Tokens.SessionToken)); got.seen.SessionID != s.ID {
			t.Errorf("%+v", got.seen)
		}
	})
	inWorld(t, func(c *middleware.Config) { c.CacheSize, c.OpaqueBurst = 100, 100_000 }, func(w *world) {
		w.project.FailAPI(stytchtest.Reply(404, "application/json", `{"status_code":404,"error_type":"session_not_found"}`))
		flood(w, 3000)
		w.calls(3000)
		if sizes := middleware.SizesOf(w.auth); sizes.Results != 100 || sizes.Flights != 0 {
			t.Errorf("%+v", sizes)
		}
	})
}

// A caller that leaves gets an error at once, and leaves the call to others.
func TestLeavingIsNoAnswer(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		w.project.FailAPI(stytchtest.Slow(time.Second))
		start := time.Now()
		if _, _, err := w.refresh(0, cookies(s.Tokens), leaves(w.T, 100*time.Millisecond)); !errors.Is(err, middleware.ErrUnavailable) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		// The call goes on for whoever comes next: here, for the cache.
		advance(time.Second)
		if got := w.get(nil, cookies(w.stale(s))); got.seen.SessionID != s.ID || got.seen.Source != "local" {
			t.Errorf("%+v", got.seen)
		}
		w.calls(1)
	})
}
