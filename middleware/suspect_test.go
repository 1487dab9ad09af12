package middleware_test

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

// What strangers can do with an old JWT of somebody and any number of tokens
// beside it, and what a logout with half of a pair is worth.

// madeUp is a session token that nobody has.
func madeUp(i int) string { return fmt.Sprintf("made-up-%036d", i) }

func smallBudget(c *middleware.Config) { c.OpaqueRate, c.OpaqueBurst = 5, 20 }

// monthOld is a JWT of the session that expired long ago.
func (w *world) monthOld(s stytchtest.Session) string {
	return w.project.MintJWT(s.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-30 * 24 * time.Hour)})
}

// doubt makes a session suspect: a made-up token beside an old JWT of it.
func (w *world) doubt(s stytchtest.Session, i int) {
	w.Helper()
	mixed := middleware.Tokens{SessionToken: madeUp(i), SessionJWT: w.monthOld(s)}
	if got := w.get(nil, cookies(mixed)); got.seen.SessionID != "" {
		w.Errorf("a made-up token was taken: %+v", got.seen)
	}
}

// served asserts that all are known by their tokens.
func (w *world) served(all []stytchtest.Session) {
	w.Helper()
	n := 0
	for _, s := range all {
		if w.get(nil, bearer(s.Tokens.SessionToken)).seen.SessionID == s.ID {
			n++
		}
	}
	if n != len(all) {
		w.Errorf("%d of %d are served", n, len(all))
	}
}

// Tokens beside an old JWT draw on the budget like those that come alone.
func TestMadeUpTokensBesideAJWT(t *testing.T) {
	for name, change := range map[string]func(*middleware.Config){"": nil, "ahead": func(c *middleware.Config) { c.RefreshAhead = time.Minute }} {
		for _, live := range []bool{true, false} {
			inWorld(t, func(c *middleware.Config) {
				smallBudget(c)
				if change != nil {
					change(c)
				}
			}, func(w *world) {
				s := w.project.Login(stytchtest.Login{Duration: 24 * time.Hour})
				w.get(nil, cookies(s.Tokens))
				jwt := w.monthOld(s)
				if name != "" {
					jwt = s.Tokens.SessionJWT
					advance(4*time.Minute + 10*time.Second)
				}
				if !live {
					w.project.Revoke(s.ID)
				}
				for i := range 300 {
					w.get(nil, cookies(middleware.Tokens{SessionToken: madeUp(i), SessionJWT: jwt}))
					synctest.Wait()
				}
				if n := w.project.Calls().Authenticate; n > 22 {
					t.Errorf("%s, live %v: %d calls for 300 made-up tokens", name, live, n)
				}
			})
		}
	}
}

// Logouts beside an old JWT: one vouches for its session once.
func TestMadeUpLogoutsBesideAJWT(t *testing.T) {
	inWorld(t, smallBudget, func(w *world) {
		s := w.login()
		synctest.Wait()
		for i := range 300 {
			_, _ = w.revoke(cookies(middleware.Tokens{SessionToken: madeUp(i), SessionJWT: w.monthOld(s)}))
		}
		if n := w.project.Calls().Revoke; n > 22 {
			t.Errorf("%d calls", n)
		}
		// Nobody is kept from logging out by it.
		victim := w.login()
		if _, err := w.revoke(cookies(victim.Tokens)); err != nil {
			t.Error(err)
		}
		if _, live := w.project.Session(victim.ID); live {
			t.Error("the session lives on")
		}
	})
	// Nor by a flood at the guards.
	inWorld(t, smallBudget, func(w *world) {
		for i := range 100 {
			w.get(nil, bearer(madeUp(i)))
		}
		victim := w.login()
		if _, err := w.revoke(bearer(victim.Tokens.SessionToken)); err != nil {
			t.Error(err)
		}
	})
}

// What waits for Stytch in an outage is not crowded out by one old JWT.
func TestLogoutsThatWaitAreNotCrowdedOut(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s, victim := w.login(), w.project.Login(stytchtest.Login{Duration: 24 * time.Hour})
		w.get(nil, bearer(victim.Tokens.SessionToken))
		w.project.FailAPI(stytchtest.Down())
		for i := range 300 {
			_, _ = w.revoke(cookies(middleware.Tokens{SessionToken: madeUp(i), SessionJWT: w.monthOld(s)}))
		}
		_, _ = w.revoke(cookies(victim.Tokens))
		w.project.FailAPI(nil)
		advance(20 * time.Minute)
		if _, live := w.project.Session(victim.ID); live {
			t.Error("the victim's logout was not repeated")
		}
	})
}

// One call for one credential, however many log out with it.
func TestOneLogoutOneCall(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s, other := w.login(), w.login()
		w.get(nil, bearer(s.Tokens.SessionJWT))
		w.project.FailAPI(stytchtest.Slow(time.Second))
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				if _, err := w.revoke(bearer(s.Tokens.SessionJWT)); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if got := w.get(nil, cookies(w.stale(other))); got.seen.SessionID != other.ID {
			t.Errorf("somebody else: %+v", got.seen)
		}
		all.Wait()
		if n := w.project.Calls().Revoke; n != 1 {
			t.Errorf("%d calls", n)
		}
	})
}

// Logouts of made-up tokens push no token out that is known.
func TestMadeUpLogoutsEvictNobody(t *testing.T) {
	inWorld(t, func(c *middleware.Config) { c.CacheSize, c.OpaqueRate, c.OpaqueBurst = 200, 1, 100 }, func(w *world) {
		var all []stytchtest.Session
		for range 90 {
			s := w.login()
			all = append(all, s)
			w.get(nil, bearer(s.Tokens.SessionToken))
		}
		for i := range 5000 {
			_, _ = w.revoke(bearer(madeUp(i)))
		}
		advance(31 * time.Second)
		w.served(all)
	})
}

// A logout with the token alone ends the pair, too, known or not, and whether or
// not the JWT could be verified.
func TestLogoutWithHalfAPair(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for _, seen := range []bool{false, true} {
			s := w.login()
			if seen {
				w.get(nil, bearer(s.Tokens.SessionToken))
			}
			if _, err := w.revoke(cookies(middleware.Tokens{SessionToken: s.Tokens.SessionToken})); err != nil {
				t.Fatal(err)
			}
			if got := w.get(nil, cookies(s.Tokens)); got.seen.Status != 401 {
				t.Errorf("seen %v: the pair is accepted: %+v", seen, got.seen)
			}
		}
		// Stytch says of the token alone that it is over.
		s := w.login()
		w.project.Revoke(s.ID)
		w.get(nil, cookies(middleware.Tokens{SessionToken: s.Tokens.SessionToken}))
		if got := w.get(nil, cookies(s.Tokens)); got.seen.Status != 401 {
			t.Errorf("gone: the pair is accepted: %+v", got.seen)
		}
	})
	inWorld(t, nil, func(w *world) {
		s := w.login()
		w.project.FailKeys(stytchtest.Down())
		w2 := newWorld(w.T, w.project, nil)
		synctest.Wait()
		if _, err := w2.revoke(cookies(s.Tokens)); err != nil {
			t.Error(err)
		}
		w.project.FailKeys(nil)
		advance(30 * time.Second)
		if got := w2.get(nil, cookies(s.Tokens)); got.seen.Status != 401 {
			t.Errorf("no keys at the logout: the pair is accepted: %+v", got.seen)
		}
	})
}

// Stytch cannot be told of a B2B logout: that is said, and refused here.
func TestLogoutOfB2B(t *testing.T) {
	for name, with := range map[string]func(middleware.Tokens) option{
		"pair": cookies, "JWT": func(t middleware.Tokens) option { return bearer(t.SessionJWT) },
		"token": func(t middleware.Tokens) option { return bearer(t.SessionToken) },
	} {
		inWorld(t, nil, func(w *world) {
			s := w.project.Login(stytchtest.Login{OrganizationID: "organization-test-1", Duration: 24 * time.Hour})
			w.get(nil, bearer(s.Tokens.SessionJWT))
			got, err := w.revoke(with(s.Tokens))
			if !errors.Is(err, middleware.ErrUnavailable) || name == "pair" && !got.clearedBoth(tokenCookie, jwtCookie) {
				t.Errorf("%s: %v %v", name, err, got.Header)
			}
			for range 5 {
				advance(10 * time.Minute)
				fresh := middleware.Tokens{SessionToken: s.Tokens.SessionToken, SessionJWT: w.project.MintJWT(s.ID, stytchtest.Mint{})}
				o := []option{cookies(fresh)}
				if name != "token" { // alone it does not say whose it is
					o = append(o, bearer(fresh.SessionJWT))
				}
				for _, o := range o {
					if got := w.get(nil, o); got.seen.Status != 401 {
						t.Errorf("%s: served again: %+v", name, got.seen)
					}
				}
			}
		})
	}
}

// A suspicion makes no guard demand a step-up that may have happened.
func TestSuspectInAnOutage(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login(stytchtest.EmailMagicLink())
		w.get(nil, bearer(s.Tokens.SessionJWT))
		w.doubt(s, 1)
		w.project.AddFactor(s.ID, stytchtest.SMS())
		w.project.FailAPI(stytchtest.Down())
		if got := w.get(w.auth.RequireMFA(w.report()), cookies(s.Tokens)); got.StatusCode != 503 {
			t.Errorf("%d %v", got.StatusCode, got.Header)
		}
		if got := w.get(nil, cookies(s.Tokens)); got.seen.SessionID != s.ID {
			t.Errorf("its JWT: %+v", got.seen)
		}
	})
}

// A stale JWT of a suspect session is served by no answer of before, nor by the
// grace.
func TestSuspectAndStale(t *testing.T) {
	inWorld(t, func(c *middleware.Config) { c.DangerouslyServeStale = 10 * time.Minute }, func(w *world) {
		s := w.login()
		old := w.project.MintJWT(s.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-6 * time.Minute)})
		w.project.Revoke(s.ID)
		w.get(nil, cookies(middleware.Tokens{SessionToken: s.Tokens.SessionToken, SessionJWT: old}))
		w.project.FailAPI(stytchtest.Down())
		if got := w.get(nil, bearer(old)); got.seen.SessionID != "" {
			t.Errorf("by the grace: %+v", got.seen)
		}
	})
	inWorld(t, func(c *middleware.Config) { c.RefreshAhead, c.RefreshAheadBearer = time.Minute, true }, func(w *world) {
		s := w.project.Login(stytchtest.Login{Duration: 24 * time.Hour})
		jwt := bearer(s.Tokens.SessionJWT)
		w.get(nil, jwt)
		advance(4*time.Minute + 10*time.Second)
		w.get(nil, jwt) // asks ahead
		synctest.Wait()
		advance(time.Minute) // it is stale
		w.project.Revoke(s.ID)
		if got := w.get(nil, cookies(s.Tokens)); got.seen.Status != 401 {
			t.Fatal(got.seen)
		}
		for range 3 {
			if got := w.get(nil, jwt); got.seen.SessionID != "" {
				t.Errorf("by the answer of before: %+v", got.seen)
			}
			advance(time.Minute)
		}
	})
}

// Whoever makes a session suspect again and again makes Stytch asked about it no
// more than now and then, and nobody wait.
func TestSuspicionRests(t *testing.T) {
	inWorld(t, smallBudget, func(w *world) {
		s := w.login()
		w.get(nil, cookies(s.Tokens))
		own := 0
		for i := range 100 {
			w.doubt(s, i)
			before := w.project.Calls().Authenticate
			if got := w.get(nil, cookies(s.Tokens)); got.seen.SessionID != s.ID {
				t.Fatalf("%+v", got.seen)
			}
			own += w.project.Calls().Authenticate - before
			advance(200 * time.Millisecond)
		}
		if own > 3 { // in 20 s
			t.Errorf("%d calls about the living session", own)
		}
	})
	for name, f := range map[string]stytchtest.Fault{"wrong secret": stytchtest.Error(401, "unauthorized_credentials"), "hangs": stytchtest.Hang()} {
		inWorld(t, nil, func(w *world) {
			s := w.login()
			w.get(nil, bearer(s.Tokens.SessionJWT))
			w.doubt(s, 1)
			w.project.FailAPI(f)
			before, began := w.project.Calls().Authenticate, time.Now()
			for range 100 {
				if got := w.get(nil, bearer(s.Tokens.SessionJWT)); got.seen.SessionID != s.ID {
					t.Fatalf("%s: %+v", name, got.seen)
				}
			}
			if n, took := w.project.Calls().Authenticate-before, time.Since(began); n > 1 || took > 4*time.Second {
				t.Errorf("%s: %d calls, %v", name, n, took)
			}
		})
	}
}

// An answer to what was asked before a suspicion arose does not take it back.
func TestSuspicionOutlivesOlderAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := middleware.NewRevocations()
		before := time.Now()
		advance(1)
		r.Suspect("s", time.Now().Add(time.Minute))
		r.ClearAt("s", before)
		if !r.Suspected("s") {
			t.Error("taken back by an answer of before")
		}
		r.ClearAt("s", time.Now())
		if r.Suspected("s") {
			t.Error("not taken back")
		}
		r.Suspect("s", time.Now().Add(time.Minute))
		if r.Suspected("s") {
			t.Error("it does not rest")
		}
		advance(10 * time.Second)
		if !r.Suspected("s") {
			t.Error("it was dropped, not delayed")
		}
	})
}

// A stream that begins just after its pair was found dead ends at once.
func TestFollowOfADeadPair(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		old := w.stale(s)
		w.get(nil, bearer(s.Tokens.SessionJWT))
		w.get(w.auth.RequireSession(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			w.project.Revoke(s.ID)
			if got := w.get(nil, cookies(old)); got.seen.Status != 401 {
				t.Fatal(got.seen)
			}
			ctx, cancel := w.auth.Follow(r.Context())
			defer cancel()
			began := time.Now()
			<-ctx.Done()
			if d := time.Since(began); d > time.Second {
				t.Errorf("it lived %v", d)
			}
		})), cookies(s.Tokens))
	})
}

// Planted cookies keep no session from being logged out that is known, or that a
// JWT names.
func TestLogoutAmongPlantedCookies(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		w.get(nil, cookies(s.Tokens))
		var c []string
		for i := range 50 {
			c = append(c, tokenCookie+"="+madeUp(i), jwtCookie+"="+w.project.MintJWT(s.ID, stytchtest.Mint{Forged: true, Claims: map[string]any{"n": i}}))
		}
		c = append(c, tokenCookie+"="+s.Tokens.SessionToken, jwtCookie+"="+s.Tokens.SessionJWT)
		got, err := w.revoke(header("Cookie", strings.Join(c, "; ")))
		if !errors.Is(err, middleware.ErrUnavailable) || !got.clearedBoth(tokenCookie, jwtCookie) {
			t.Errorf("%v %v", err, got.Header)
		}
		if _, live := w.project.Session(s.ID); live {
			t.Error("the session lives")
		}
		if got := w.get(nil, cookies(s.Tokens)); got.seen.Status != 401 {
			t.Errorf("%+v", got.seen)
		}
	})
}

// A transport that ends its goroutine is no logout.
func TestGoexitIsNoLogout(t *testing.T) {
	inWorld(t, func(c *middleware.Config) {
		inner := c.HTTPClient.Transport
		c.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/revoke") {
				runtime.Goexit()
			}
			return inner.RoundTrip(r)
		})}
	}, func(w *world) {
		x, y := w.login(), w.login()
		_, err := w.revoke(header("Cookie", tokenCookie+"="+x.Tokens.SessionToken+"; "+tokenCookie+"="+y.Tokens.SessionToken))
		if !errors.Is(err, middleware.ErrUnavailable) {
			t.Errorf("%v", err)
		}
		if n := middleware.SizesOf(w.auth).Flights; n != 0 {
			t.Errorf("%d are stuck", n)
		}
	})
}

// A JWT whose key cannot be had does not take the time of the token's call.
func TestLogoutWithAnUnknownKey(t *testing.T) {
	told := 0
	inWorld(t, func(c *middleware.Config) { c.Observer.Call = func(middleware.Call) { told++ } }, func(w *world) {
		s := w.login()
		w.get(nil, bearer(s.Tokens.SessionJWT))
		advance(11 * time.Second)
		w.project.RotateKey()
		w.project.FailKeys(stytchtest.Hang())
		pair := middleware.Tokens{SessionToken: s.Tokens.SessionToken, SessionJWT: w.project.MintJWT(s.ID, stytchtest.Mint{})}
		if _, err := w.revoke(cookies(pair)); err != nil {
			t.Error(err)
		}
		if _, live := w.project.Session(s.ID); live {
			t.Error("the session lives")
		}
		if n := w.project.Calls().Revoke; n != 1 || told != n {
			t.Errorf("%d calls, told of %d", n, told)
		}
	})
}

// A token that was seen vouches for one logout, too.
func TestLogoutAgainAndAgain(t *testing.T) {
	inWorld(t, smallBudget, func(w *world) {
		s := w.login()
		w.get(nil, bearer(s.Tokens.SessionToken))
		for range 300 {
			_, _ = w.revoke(bearer(s.Tokens.SessionToken))
		}
		if n := w.project.Calls().Revoke; n > 22 {
			t.Errorf("%d calls", n)
		}
	})
}

// An old JWT that is asked about in between makes made-up tokens beside it no
// cheaper.
func TestMadeUpTokensAndAnOldJWTInTurn(t *testing.T) {
	inWorld(t, smallBudget, func(w *world) {
		s := w.project.Login(stytchtest.Login{Duration: 24 * time.Hour})
		jwt := w.monthOld(s)
		for i := range 300 {
			w.get(nil, cookies(middleware.Tokens{SessionToken: madeUp(i), SessionJWT: jwt}))
			w.get(nil, bearer(jwt))
		}
		if n := w.project.Calls().Authenticate; n > 50 {
			t.Errorf("%d calls", n)
		}
	})
}

// Also where Stytch takes its time a suspicion rests.
func TestSuspicionRestsWhileStytchIsSlow(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		w.get(nil, cookies(s.Tokens))
		w.doubt(s, 1)
		var own atomic.Int64
		w.project.FailAPI(stytchtest.Watch(func(_ *http.Request, body []byte) {
			if strings.Contains(string(body), s.Tokens.SessionToken) {
				own.Add(1)
			}
		}).Then(stytchtest.Slow(200 * time.Millisecond)))
		stop := make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() {
			for i := 2; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
					all.Go(func() { w.doubt(s, i) })
				}
			}
		})
		advance(time.Second)
		for range 50 {
			if got := w.get(nil, cookies(s.Tokens)); got.seen.SessionID != s.ID {
				t.Fatalf("%+v", got.seen)
			}
			advance(50 * time.Millisecond)
		}
		close(stop)
		all.Wait()
		if n := own.Load(); n > 3 {
			t.Errorf("%d calls for 50 requests", n)
		}
	})
}

// A flood of made-up logouts that goes on pushes nobody out, and makes no more
// calls than the budget allows.
func TestMadeUpLogoutsForAMinute(t *testing.T) {
	inWorld(t, func(c *middleware.Config) { c.CacheSize, c.OpaqueRate, c.OpaqueBurst = 200, 1, 20 }, func(w *world) {
		var all []stytchtest.Session
		for range 20 {
			s := w.project.Login(stytchtest.Login{Duration: 24 * time.Hour})
			all = append(all, s)
			w.get(nil, bearer(s.Tokens.SessionToken))
			advance(time.Second)
		}
		n := 0
		for range 30 {
			for range 70 {
				n++
				_, _ = w.revoke(bearer(madeUp(n)))
			}
			advance(2100 * time.Millisecond)
		}
		if n := w.project.Calls().Revoke; n > 20+63+1 {
			t.Errorf("%d calls in 63 s", n)
		}
		for i := range 20 {
			w.get(nil, bearer(madeUp(1_000_000+i)))
		}
		w.served(all)
	})
}

// Who logs out while an earlier logout fails gets the answer to their own call.
func TestLogoutDoesNotJoinAFailure(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		w.get(nil, bearer(s.Tokens.SessionToken))
		w.project.FailAPI(stytchtest.Hang())
		var first sync.WaitGroup
		first.Go(func() {
			if _, err := w.revoke(cookies(s.Tokens)); !errors.Is(err, middleware.ErrUnavailable) {
				t.Errorf("the first: %v", err)
			}
		})
		advance(2900 * time.Millisecond)
		w.project.FailAPI(nil)
		if _, err := w.revoke(cookies(s.Tokens)); err != nil {
			t.Errorf("the second: %v", err)
		}
		first.Wait()
	})
}

// A client that leaves puts no suspicion off.
func TestLeavingIsNoPause(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		jwt := bearer(s.Tokens.SessionJWT)
		w.get(nil, jwt)
		w.project.Revoke(s.ID)
		w.get(nil, cookies(w.stale(s)))
		w.project.FailAPI(stytchtest.Slow(100 * time.Millisecond))
		ctx, cancel := contextWithTimeout(w.T, time.Millisecond)
		defer cancel()
		w.get(nil, jwt, func(r *http.Request) { *r = *r.WithContext(ctx) })
		advance(time.Second)
		if got := w.get(nil, jwt); got.seen.SessionID != "" {
			t.Errorf("accepted: %+v", got.seen)
		}
	})
}

// A flood keeps no user out of whose session somebody made it doubt.
func TestSuspectWhileTheBudgetIsSpent(t *testing.T) {
	inWorld(t, smallBudget, func(w *world) {
		s := w.project.Login(stytchtest.Login{Duration: 24 * time.Hour})
		w.doubt(s, 1)
		for i := range 100 {
			w.get(nil, bearer(madeUp(i+10)))
		}
		if got := w.get(nil, cookies(w.stale(s))); got.seen.SessionID != s.ID {
			t.Errorf("%+v", got.seen)
		}
	})
}
