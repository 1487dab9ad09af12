package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

// aheadBy is a change of the configuration.
func aheadBy(d time.Duration) func(*middleware.Config) {
	return func(c *middleware.Config) { c.RefreshAhead = d }
}

// The request within the margin is answered at once, from the JWT; the one
// after it gets the new cookies, without a call of its own.
func TestRefreshAhead(t *testing.T) {
	inWorld(t, aheadBy(time.Minute), func(w *world) {
		h := w.listen()
		s := w.login()
		tokens := s.Tokens
		w.get(nil, cookies(tokens))
		advance(4*time.Minute - time.Nanosecond)
		w.get(nil, cookies(tokens))
		w.calls(0) // the margin has not begun

		w.project.FailAPI(stytchtest.Slow(300 * time.Millisecond))
		advance(2 * time.Second)
		began := time.Now()
		for range 20 { // all at once
			if got := w.get(nil, cookies(tokens)); got.seen.Source != "local" || got.setCookies() != 0 {
				t.Errorf("%+v, %d cookies", got.seen, got.setCookies())
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("waited %v", took)
		}
		advance(time.Second)
		w.calls(1)
		if got := names(h.take()); got != "authenticated by request, refreshed by ahead" {
			t.Error(got)
		}
		began = time.Now()
		got := w.get(nil, cookies(tokens))
		jwt, set, _ := got.cookie("stytch_session_jwt")
		if token, _, _ := got.cookie("stytch_session"); token != tokens.SessionToken || !set || jwt == tokens.SessionJWT || got.seen.Source != "local" {
			t.Errorf("%+v, set %v", got.seen, set)
		}
		if got.Header.Get("Cache-Control") != "no-store" || time.Since(began) != 0 {
			t.Errorf("%v, after %v", got.Header, time.Since(began))
		}
		// The new JWT stands by itself until its own margin.
		tokens.SessionJWT = jwt
		advance(3*time.Minute + 50*time.Second)
		if got := w.get(nil, cookies(tokens)); got.setCookies() != 0 || got.seen.Source != "local" {
			t.Errorf("%+v, %d cookies", got.seen, got.setCookies())
		}
		synctest.Wait()
		w.calls(1)
		advance(20 * time.Second)
		w.get(nil, cookies(tokens))
		advance(time.Second)
		w.calls(2)
	})
}

// Where nothing can be written back the margin is off, unless it is asked for;
// then the old JWT is good for as long as the answer, and no longer.
func TestRefreshAheadOfABearer(t *testing.T) {
	inWorld(t, aheadBy(time.Minute), func(w *world) {
		s := w.login()
		advance(4*time.Minute + 30*time.Second)
		for range 3 {
			w.get(nil, bearer(s.Tokens.SessionJWT))
			synctest.Wait()
		}
		w.calls(0)
	})
	inWorld(t, func(c *middleware.Config) { c.RefreshAhead, c.RefreshAheadBearer = time.Minute, true }, func(w *world) {
		s := w.login()
		advance(4*time.Minute + 30*time.Second)
		for range 3 {
			if got := w.get(nil, bearer(s.Tokens.SessionJWT)); got.seen.Source != "local" || got.setCookies() != 0 {
				t.Errorf("%+v", got.seen)
			}
			synctest.Wait()
		}
		w.calls(1)
		advance(4*time.Minute + 50*time.Second) // the JWT is stale, the answer is not
		if got := w.get(nil, bearer(s.Tokens.SessionJWT)); got.seen.Source != "local" {
			t.Errorf("%+v", got.seen)
		}
		w.calls(1)
		advance(20 * time.Second)
		if got := w.get(nil, bearer(s.Tokens.SessionJWT)); got.seen.Source != "remote" {
			t.Errorf("%+v", got.seen)
		}
		w.calls(2)
	})
}

// Whatever the answer, the JWT that is still valid goes on being served; a
// session that is gone is refused from then on.
func TestRefreshAheadFails(t *testing.T) {
	for name, c := range map[string]struct {
		fault stytchtest.Fault
		calls int // in the first 30 s of the margin, a request a second
	}{
		"down":         {stytchtest.Down(), 9},
		"hanging":      {stytchtest.Hang(), 6},
		"429":          {stytchtest.TooManyRequests("60"), 1},
		"wrong secret": {stytchtest.Error(401, "unauthorized_credentials"), 6},
		"another user": {stytchtest.OtherUser(), 6},
		"no JWT":       {stytchtest.SessionJWT(""), 6},
		"bad JWT":      {stytchtest.SessionJWT("a.b.c"), 6},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, aheadBy(time.Minute), func(w *world) {
				s := w.login()
				w.project.FailAPI(c.fault)
				advance(4*time.Minute + 5*time.Second)
				for range 30 {
					if got := w.get(nil, cookies(s.Tokens)); got.seen.Source != "local" || got.setCookies() != 0 || got.seen.SessionID != s.ID {
						t.Fatalf("%+v, %d cookies", got.seen, got.setCookies())
					}
					advance(time.Second)
				}
				if got := w.project.Calls().Authenticate; got > c.calls+3 || got == 0 {
					t.Errorf("%d calls, want about %d", got, c.calls)
				}
				// Once Stytch is back the cookies come.
				w.project.FailAPI(nil)
				advance(5 * time.Second)
				w.get(nil, cookies(s.Tokens))
				advance(time.Second)
				got := w.get(nil, cookies(s.Tokens))
				if _, set, _ := got.cookie("stytch_session_jwt"); set != (name != "429") {
					t.Errorf("cookies set: %v", set)
				}
			})
		})
	}
	inWorld(t, aheadBy(time.Minute), func(w *world) {
		h, s := w.listen(), w.login()
		advance(4*time.Minute + 5*time.Second)
		w.project.Revoke(s.ID)
		w.project.FailAPI(stytchtest.Slow(time.Second)) // else the answer may be here before the request ends
		if got := w.get(nil, cookies(s.Tokens)); got.seen.Source != "local" {
			t.Errorf("%+v", got.seen)
		}
		advance(2 * time.Second)
		got := w.get(nil, cookies(s.Tokens))
		if got.seen.Status != 401 || !got.clearedBoth("stytch_session", "stytch_session_jwt") {
			t.Errorf("%+v", got.seen)
		}
		w.calls(1)
		w.get(nil, bearer(s.Tokens.SessionJWT)) // only now it is known which session is over
		if got := names(h.take()); got != "authenticated by request, gone by stytch" {
			t.Error(got)
		}
	})
	// A logout while the answer is on its way.
	inWorld(t, aheadBy(time.Minute), func(w *world) {
		s := w.login()
		advance(4*time.Minute + 5*time.Second)
		w.project.FailAPI(late(2 * time.Second).On("/v1/sessions/authenticate"))
		w.get(nil, cookies(s.Tokens))
		advance(time.Second)
		_, _ = w.revoke(cookies(s.Tokens))
		advance(2 * time.Second)
		for _, o := range []option{cookies(s.Tokens), bearer(s.Tokens.SessionToken), bearer(s.Tokens.SessionJWT)} {
			if got := w.get(nil, o); got.seen.Status != 401 {
				t.Errorf("%+v", got.seen)
			}
		}
	})
}

// Sealed cookies are written sealed; what comes back opens to the new JWT.
func TestRefreshAheadOfSealedCookies(t *testing.T) {
	inWorld(t, func(c *middleware.Config) {
		c.RefreshAhead = time.Minute
		c.Cookies = middleware.Cookies{Posture: middleware.Private, Keys: [][]byte{[]byte("0123456789abcdef0123456789ABCDEF-0123456789abcdef0123456789ABCDEF")[:64]}}
	}, func(w *world) {
		s := w.login()
		hydrated, _, err := w.hydrate(s.Tokens)
		if err != nil {
			t.Fatal(err)
		}
		jar := func(r reply) option {
			return func(q *http.Request) {
				for _, c := range r.Cookies() {
					q.AddCookie(c)
				}
			}
		}
		advance(4*time.Minute + 5*time.Second)
		if got := w.get(nil, jar(hydrated)); got.seen.Source != "local" || got.setCookies() != 0 {
			t.Errorf("%+v", got.seen)
		}
		synctest.Wait()
		renewed := w.get(nil, jar(hydrated))
		if value, set, _ := renewed.cookie("__Host-stytch_session_jwt"); !set || value == "" || value[0] == 'e' && slices.Contains([]byte(value), '.') {
			t.Errorf("%+v, set %v", renewed.seen, set)
		}
		w.calls(2) // Hydrate's and the one ahead
		advance(3 * time.Minute)
		if got := w.get(nil, jar(renewed)); got.seen.Source != "local" || got.seen.SessionID != s.ID {
			t.Errorf("%+v", got.seen)
		}
		w.calls(2)
	})
}

// 200 users who are active all the time, JWTs that live 5 s, and an API that
// takes 300 ms: how many requests wait for it, and how long.
func TestActiveUsersDoNotWait(t *testing.T) {
	const users, visits, pause = 200, 20, 400 * time.Millisecond
	type figures struct {
		requests, waited, refused int
		p99                       time.Duration
		calls                     int
	}
	run := func(t *testing.T, margin time.Duration, down bool) (f figures) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, stytchtest.New(stytchtest.Options{JWTLifetime: 5 * time.Second}), aheadBy(margin))
			w.project.FailAPI(stytchtest.Slow(300 * time.Millisecond))
			var mu sync.Mutex
			var took []time.Duration
			var wg sync.WaitGroup
			for i := range users {
				wg.Go(func() {
					advance(time.Duration(i) * pause / users * 12) // not all at once
					tokens := w.login().Tokens
					if down {
						w.project.FailAPI(stytchtest.Slow(300 * time.Millisecond).Then(stytchtest.Down()))
					}
					born := time.Now().Truncate(time.Second)
					for range visits {
						if down && time.Since(born) >= 5*time.Second {
							break
						}
						r := httptest.NewRequest("GET", "https://app.example.com/", nil)
						stytchtest.AddCookies(r, tokens)
						rec := httptest.NewRecorder()
						began := time.Now()
						w.handler.ServeHTTP(rec, r)
						d := time.Since(began)
						got := reply{Response: rec.Result()}
						if jwt, set, _ := got.cookie("stytch_session_jwt"); set {
							tokens.SessionJWT = jwt
						}
						mu.Lock()
						took = append(took, d)
						if !strings.Contains(rec.Body.String(), `"SessionID":"session-`) {
							f.refused++
						}
						if d > 0 {
							f.waited++
						}
						mu.Unlock()
						advance(pause - d%pause)
					}
				})
			}
			wg.Wait()
			slices.Sort(took)
			f.requests, f.p99, f.calls = len(took), took[len(took)*99/100], w.project.Calls().Authenticate
		})
		return f
	}
	without, with, down := run(t, 0, false), run(t, 2*time.Second, false), run(t, 2*time.Second, true)
	for _, c := range []struct {
		name string
		f    figures
	}{{"without", without}, {"with", with}, {"with, API down", down}} {
		t.Logf("%-16s %d requests, %.2f %% waited for the API, p99 %v, %d refused, %d calls", c.name, c.f.requests,
			100*float64(c.f.waited)/float64(c.f.requests), c.f.p99, c.f.refused, c.f.calls)
	}
	switch {
	case without.refused+with.refused+down.refused > 0:
		t.Error("somebody with a valid JWT was refused")
	case without.waited*20 < without.requests || without.p99 < 300*time.Millisecond:
		t.Error("nobody waits without it: the measurement is wrong")
	case with.waited > 0 || with.p99 > 0:
		t.Errorf("%d requests waited", with.waited)
	case down.waited > 0:
		t.Errorf("%d requests waited for an API that is down", down.waited)
	case with.calls > 3*without.calls: // each 3 s in place of each 5 s, in a short run
		t.Errorf("%d calls, without it %d", with.calls, without.calls)
	}
}
