package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

const tokenCookie, jwtCookie = "stytch_session", "stytch_session_jwt"

func TestFreshJWTIsLocal(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login(stytchtest.EmailMagicLink())
		for _, o := range []option{bearer(s.Tokens.SessionJWT), cookies(s.Tokens), cookies(middleware.Tokens{SessionJWT: s.Tokens.SessionJWT})} {
			got := w.get(nil, o)
			if got.seen.SessionID != s.ID || got.seen.UserID != s.UserID || got.seen.Source != "local" || got.seen.Err != "" {
				t.Errorf("%+v", got.seen)
			}
			if got.setCookies() != 0 || got.Header.Get("Vary") != "Authorization, Cookie" || got.Header.Get("Cache-Control") != "" {
				t.Errorf("headers %v", got.Header)
			}
		}
		w.calls(0)
		w.project.FailAPI(stytchtest.Down())
		if got := w.get(nil, cookies(s.Tokens)); got.seen.SessionID != s.ID {
			t.Errorf("in an outage: %+v", got.seen)
		}
	})
}

func TestStaleJWTIsExchanged(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		old := w.stale(s)
		got := w.get(nil, cookies(old))
		if got.seen.SessionID != s.ID || got.seen.Source != "remote" {
			t.Errorf("%+v", got.seen)
		}
		fresh, set, _ := got.cookie(jwtCookie)
		token, tokenSet, _ := got.cookie(tokenCookie)
		if !set || fresh == old.SessionJWT || !tokenSet || token != s.Tokens.SessionToken || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("cookies %v", got.Header)
		}
		w.calls(1)
		// The page's other requests still carry the old one.
		again := w.get(nil, cookies(old))
		if v, _, _ := again.cookie(jwtCookie); v != fresh || again.seen.Source != "local" {
			t.Errorf("the next request got %+v, %v", again.seen, again.Header)
		}
		// The new one is accepted by itself.
		if got := w.get(nil, bearer(fresh)); got.seen.SessionID != s.ID || got.seen.Source != "local" {
			t.Errorf("%+v", got.seen)
		}
		w.calls(1)
		advance(10 * time.Second)
		w.get(nil, cookies(old))
		w.calls(2)
		// A bearer gets no cookies.
		if got := w.get(nil, bearer(w.stale(w.login()).SessionJWT)); got.seen.Source != "remote" || got.setCookies() != 0 {
			t.Errorf("%+v %v", got.seen, got.Header)
		}
		w.calls(3)
	})
}

func TestOneStaleJWTOneCall(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.project.FailAPI(stytchtest.Slow(300 * time.Millisecond))
		s := w.login()
		old := w.stale(s)
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				if got := w.get(nil, cookies(old)); got.seen.SessionID != s.ID || got.setCookies() != 2 {
					t.Errorf("%+v %v", got.seen, got.Header)
				}
			})
		}
		wg.Wait()
		w.calls(1)
	})
}

func TestForgedJWTsCostNoCall(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		synctest.Wait()
		for i := range 200 {
			forged := w.project.MintJWT(s.ID, stytchtest.Mint{Forged: true, IssuedAt: time.Now().Add(-time.Duration(i) * time.Second)})
			o := bearer(forged)
			if i%2 == 0 {
				o = cookies(middleware.Tokens{SessionJWT: forged})
			}
			got := w.get(w.auth.RequireSession(w.report()), o)
			if got.StatusCode != 401 || got.setCookies() != 0 || got.Header.Get("WWW-Authenticate") != `Bearer error="invalid_token"` {
				t.Fatalf("%d %v", got.StatusCode, got.Header)
			}
		}
		w.calls(0)
		if n := w.project.Calls().KeySet; n != 1 {
			t.Errorf("%d key fetches", n)
		}
		// A session token beside it in the cookies is used.
		got := w.get(nil, cookies(middleware.Tokens{SessionToken: s.Tokens.SessionToken,
			SessionJWT: w.project.MintJWT(s.ID, stytchtest.Mint{Forged: true})}))
		if got.seen.SessionID != s.ID || got.seen.Source != "remote" {
			t.Errorf("%+v", got.seen)
		}
		if v, set, _ := got.cookie(jwtCookie); !set || v == "" {
			t.Errorf("the forged JWT was not replaced: %v", got.Header)
		}
		w.calls(1)
	})
}

func TestOpaqueToken(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		token := bearer(s.Tokens.SessionToken)
		if got := w.get(nil, token); got.seen.SessionID != s.ID || got.seen.Source != "remote" {
			t.Errorf("%+v", got.seen)
		}
		for range 3 {
			advance(9 * time.Second)
			if got := w.get(nil, token); got.seen.Source != "local" || got.seen.SessionID != s.ID {
				t.Errorf("%+v", got.seen)
			}
		}
		w.calls(1)
		advance(3 * time.Second)
		if got := w.get(nil, token); got.seen.Source != "remote" {
			t.Errorf("after the TTL: %+v", got.seen)
		}
		w.calls(2)
		// By cookie the answer comes with both cookies.
		other := w.login()
		got := w.get(nil, cookies(middleware.Tokens{SessionToken: other.Tokens.SessionToken}))
		if _, set, _ := got.cookie(jwtCookie); !set {
			t.Errorf("no JWT cookie: %v", got.Header)
		}
		if got := w.get(nil, cookies(middleware.Tokens{SessionToken: other.Tokens.SessionToken})); got.seen.SessionID != other.ID || got.setCookies() != 0 {
			t.Errorf("from the cache: %+v %v", got.seen, got.Header)
		}
		w.calls(3)
	})
}

func TestGone(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		old := w.stale(s)
		w.project.Revoke(s.ID)
		got := w.get(nil, cookies(old))
		if got.seen.Status != 401 || got.seen.SessionID != "" {
			t.Errorf("%+v", got.seen)
		}
		for _, name := range []string{tokenCookie, jwtCookie} {
			if _, _, cleared := got.cookie(name); !cleared {
				t.Errorf("%s was not cleared: %v", name, got.Header)
			}
		}
		w.calls(1)
		// Remembered: for the pair, also with a fresh JWT, and for the token alone.
		pair := cookies(s.Tokens)
		for _, o := range []option{cookies(old), pair, bearer(s.Tokens.SessionToken)} {
			if got := w.get(nil, o); got.seen.Status != 401 {
				t.Errorf("%+v", got.seen)
			}
		}
		if _, _, err := w.refresh(0, pair); !errors.Is(err, middleware.ErrNoSession) {
			t.Errorf("refreshed: %v", err)
		}
		w.calls(1)
		// Stytch spoke of the token, of a session that was not known here. Before
		// a fresh JWT alone is believed it is asked, once.
		for range 2 {
			if got := w.get(nil, bearer(s.Tokens.SessionJWT)); got.seen.Status != 401 {
				t.Errorf("%+v", got.seen)
			}
		}
		w.calls(2)
		advance(61 * time.Second)
		w.get(nil, bearer(s.Tokens.SessionToken))
		w.calls(3)
		if got := w.get(nil, pair); got.seen.Status != 401 || !got.clearedBoth(tokenCookie, jwtCookie) {
			t.Errorf("past the token's time: %+v %v", got.seen, got.Header)
		}
		w.calls(3)
	})
}

// B2B sessions are read from their JWTs. The API that is asked is not for them:
// that it says so ends none.
func TestB2B(t *testing.T) {
	for name, carry := range map[string]func(middleware.Tokens) option{
		"cookies":    cookies,
		"bearer JWT": func(t middleware.Tokens) option { return bearer(t.SessionJWT) },
	} {
		inWorld(t, nil, func(w *world) {
			s := w.project.Login(stytchtest.Login{OrganizationID: "organization-test-1", OrganizationSlug: "acme"})
			var member, organization string
			h := w.auth.RequireSession(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				in, _ := sessionctx.From(r.Context())
				member, organization = in.MemberID(), in.OrganizationID()
			}))
			fresh := func() {
				t.Helper()
				member, organization = "", ""
				if got := w.get(h, carry(s.Tokens)); got.StatusCode != 200 || member != s.UserID || organization != "organization-test-1" {
					t.Errorf("%s: %d, %q of %q", name, got.StatusCode, member, organization)
				}
			}
			fresh()
			w.get(nil, bearer(s.Tokens.SessionToken)) // which the JWT beside it has nothing to do with
			fresh()
			for which, got := range map[string]reply{
				"stale":       w.get(w.auth.RequireSession(unreachable(t)), carry(w.stale(s))),
				"stale again": w.get(w.auth.RequireSession(unreachable(t)), carry(w.stale(s))),
				"step-up":     w.get(w.auth.RequireMFA(unreachable(t)), carry(s.Tokens)),
				"fresh":       w.get(w.auth.Require(middleware.Fresh)(unreachable(t)), carry(s.Tokens)),
			} {
				expect(t, name+", "+which, got, 503, body503, "", "1")
				if got.setCookies() != 0 {
					t.Errorf("%s, %s: %v", name, which, got.Header)
				}
			}
			fresh()
			if _, live := w.project.Session(s.ID); !live {
				t.Error("the session is over")
			}
		})
	}
}

// Anybody can put a made-up token, or a dead one, beside an old JWT of somebody
// who is logged in: that ends nothing.
func TestDeadTokenBesideALivingSessionsJWT(t *testing.T) {
	for name, c := range map[string]struct {
		send  func(w *world, mixed middleware.Tokens)
		stale bool
		dead  bool // the token was of a session of the same user; else it is made up
	}{
		"Load, stale":    {func(w *world, mixed middleware.Tokens) { w.get(nil, cookies(mixed)) }, true, false},
		"Load, of a log": {func(w *world, mixed middleware.Tokens) { w.get(nil, cookies(mixed)) }, true, true},
		"RequireMFA":     {func(w *world, mixed middleware.Tokens) { w.get(w.auth.RequireMFA(w.report()), cookies(mixed)) }, false, false},
		"Fresh": {func(w *world, mixed middleware.Tokens) {
			w.get(w.auth.Require(middleware.Fresh)(w.report()), cookies(mixed))
		}, false, true},
		"Refresh, stale": {func(w *world, mixed middleware.Tokens) { _, _, _ = w.refresh(0, cookies(mixed)) }, true, false},
		"Hydrate, stale": {func(w *world, mixed middleware.Tokens) { _, _, _ = w.hydrate(mixed) }, true, false},
	} {
		for _, down := range []bool{false, true} {
			t.Run(name+", down "+strconv.FormatBool(down), func(t *testing.T) {
				inWorld(t, nil, func(w *world) {
					s := w.login()
					w.get(nil, cookies(s.Tokens))
					stream, cancel := w.follow(cookies(s.Tokens))
					defer cancel()
					mixed := middleware.Tokens{SessionToken: strings.Repeat("A", 44), SessionJWT: s.Tokens.SessionJWT}
					if c.stale {
						mixed = w.stale(s)
						mixed.SessionToken = strings.Repeat("B", 44)
					}
					if c.dead {
						old := w.project.Login(stytchtest.Login{UserID: s.UserID})
						w.project.Revoke(old.ID)
						mixed.SessionToken = old.Tokens.SessionToken
					}
					before := w.project.Calls().Authenticate
					c.send(w, mixed)
					w.calls(before + 1)
					if got := w.get(nil, cookies(mixed)); got.seen.Status != 401 {
						t.Errorf("the pair: %+v", got.seen)
					}
					w.calls(before + 1)
					if down {
						w.project.FailAPI(stytchtest.Down())
					}
					// Asked about once, whatever comes of it; then as before.
					for _, o := range []option{cookies(s.Tokens), bearer(s.Tokens.SessionJWT), cookies(s.Tokens)} {
						if got := w.get(nil, o); got.seen.SessionID != s.ID {
							t.Errorf("the living session: %+v %v", got.seen, got.Header)
						}
					}
					if !down {
						w.calls(before + 2)
					}
					if err := context.Cause(stream); err != nil {
						t.Errorf("its stream ended: %v", err)
					}
				})
			})
		}
	}
}

func TestOutage(t *testing.T) {
	for name, fault := range map[string]stytchtest.Fault{
		"down": stytchtest.Down(), "hangs": stytchtest.Hang(), "500": stytchtest.Error(500, "internal_server_error"),
		"502": stytchtest.HTML(502), "html": stytchtest.HTML(200), "truncated": stytchtest.Truncated(), "cut": stytchtest.Cut(),
		"429": stytchtest.TooManyRequests(""), "429 and a time": stytchtest.TooManyRequests("7"),
		"wrong secret": stytchtest.Error(401, "unauthorized_credentials"), "wrong project": stytchtest.Error(404, "project_not_found"),
		"{}": stytchtest.Reply(200, "application/json", "{}"), "other user": stytchtest.OtherUser(), "other session": stytchtest.OtherSession(),
		"bad JWT": stytchtest.SessionJWT("a.b.c"),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				s := w.login()
				// A JWT's session is compared only where the JWT came alone.
				old := bearer(w.stale(s).SessionJWT)
				if name != "other user" && name != "other session" {
					old = cookies(w.stale(s))
				}
				w.project.FailAPI(fault)
				got := w.get(w.auth.RequireSession(w.report()), old)
				if got.StatusCode != 503 || got.Header.Get("Retry-After") == "" || got.setCookies() != 0 || got.Header.Get("WWW-Authenticate") != "" {
					t.Errorf("%d %v", got.StatusCode, got.Header)
				}
				if name == "429 and a time" && got.Header.Get("Retry-After") != "7" {
					t.Errorf("Retry-After %s", got.Header.Get("Retry-After"))
				}
				if got := w.get(nil, bearer(s.Tokens.SessionJWT)); got.seen.SessionID != s.ID {
					t.Errorf("a fresh JWT: %+v", got.seen)
				}
				if got := w.get(nil, old); got.seen.Status != 503 || got.StatusCode != 200 {
					t.Errorf("under Load: %+v", got.seen)
				}
				w.project.FailAPI(nil)
				advance(10 * time.Second)
				if got := w.get(nil, old); got.seen.SessionID != s.ID {
					t.Errorf("after it: %+v", got.seen)
				}
			})
		})
	}
}

func TestPairsThatDisagree(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		alice, bob := w.login(), w.login()
		aliceToo := w.project.Login(stytchtest.Login{UserID: alice.UserID})

		// The same user: the token's answer wins.
		got := w.get(nil, cookies(middleware.Tokens{SessionToken: aliceToo.Tokens.SessionToken, SessionJWT: w.stale(alice).SessionJWT}))
		if got.seen.SessionID != aliceToo.ID {
			t.Errorf("%+v", got.seen)
		}
		if _, set, _ := got.cookie(jwtCookie); !set {
			t.Errorf("%v", got.Header)
		}
		// Another user: neither.
		got = w.get(w.auth.RequireSession(w.report()), cookies(middleware.Tokens{SessionToken: bob.Tokens.SessionToken, SessionJWT: w.stale(alice).SessionJWT}))
		_, _, c1 := got.cookie(tokenCookie)
		_, _, c2 := got.cookie(jwtCookie)
		if got.StatusCode != 401 || !c1 || !c2 {
			t.Errorf("%d %v", got.StatusCode, got.Header)
		}
		// Nobody was logged out at large.
		if got := w.get(nil, bearer(bob.Tokens.SessionToken)); got.seen.SessionID != bob.ID {
			t.Errorf("%+v", got.seen)
		}
	})
}

func TestAnswersJWT(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s, other := w.login(), w.login()
		// Another session's JWT makes the answer senseless.
		w.project.FailAPI(stytchtest.SessionJWT(other.Tokens.SessionJWT))
		if got := w.get(nil, cookies(w.stale(s))); got.seen.Status != 503 || got.setCookies() != 0 {
			t.Errorf("%+v %v", got.seen, got.Header)
		}
		// A JWT whose key is not known yet is dropped, the session stands.
		w.project.FailAPI(stytchtest.SessionJWT(w.project.MintJWT(s.ID, stytchtest.Mint{UnknownKey: true})))
		got := w.get(nil, cookies(w.stale(s)))
		_, set, cleared := got.cookie(jwtCookie)
		if _, tokenSet, _ := got.cookie(tokenCookie); got.seen.SessionID != s.ID || set || cleared || !tokenSet {
			t.Errorf("%+v %v", got.seen, got.Header)
		}
		// No JWT at all: the same.
		advance(time.Minute)
		w.project.FailAPI(stytchtest.SessionJWT(""))
		if got := w.get(nil, cookies(w.stale(s))); got.seen.SessionID != s.ID {
			t.Errorf("%+v", got.seen)
		}
	})
}

func TestKeyRotation(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		w.get(nil, bearer(s.Tokens.SessionJWT))
		advance(11 * time.Second)
		w.project.RotateKey()
		fresh := w.project.MintJWT(s.ID, stytchtest.Mint{})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if got := w.get(nil, bearer(fresh)); got.seen.SessionID != s.ID || got.seen.Source != "local" {
					t.Errorf("%+v", got.seen)
				}
			})
		}
		wg.Wait()
		if n := w.project.Calls().KeySet; n != 2 {
			t.Errorf("%d key fetches, want 2", n)
		}
		// A further unknown key has to wait for the cool-down: not 401 but 503.
		unknown := w.project.MintJWT(s.ID, stytchtest.Mint{UnknownKey: true})
		if got := w.get(nil, bearer(unknown)); got.seen.Status != 503 {
			t.Errorf("%+v", got.seen)
		}
		advance(10 * time.Second)
		if got := w.get(nil, bearer(unknown)); got.seen.Status != 401 {
			t.Errorf("%+v", got.seen)
		}
		w.calls(0)
	})
}

func TestNoKeysYet(t *testing.T) {
	inWorld(t, func(c *middleware.Config) {}, func(w *world) {
		s := w.login()
		w.project.FailKeys(stytchtest.Down())
		w2 := newWorld(w.T, w.project, nil)
		synctest.Wait()
		got := w2.get(w2.auth.RequireSession(w2.report()), bearer(s.Tokens.SessionJWT))
		if got.StatusCode != 503 || got.Header.Get("Retry-After") == "" {
			t.Errorf("%d %v", got.StatusCode, got.Header)
		}
		// The token beside it speaks.
		if got := w2.get(nil, cookies(s.Tokens)); got.seen.SessionID != s.ID || got.seen.Source != "remote" {
			t.Errorf("%+v", got.seen)
		}
		w.project.FailKeys(nil)
		advance(3 * time.Second)
		if got := w2.get(nil, bearer(s.Tokens.SessionJWT)); got.seen.Source != "local" {
			t.Errorf("%+v", got.seen)
		}
	})
}

func TestBudgetForUnknownTokens(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		known, late := w.login(), w.login()
		w.get(nil, bearer(known.Tokens.SessionToken))
		calls := 1
		statuses := map[int]int{}
		for i := range 150 {
			got := w.get(w.auth.RequireSession(w.report()), bearer("garbage-"+string(rune('A'+i/26))+string(rune('a'+i%26))))
			statuses[got.StatusCode]++
		}
		if statuses[401] != 99 || statuses[503] != 51 {
			t.Errorf("%v", statuses)
		}
		calls += 99
		w.calls(calls)
		// Stale JWTs, tokens seen before, and Hydrate do not draw on it.
		if got := w.get(nil, cookies(w.stale(late))); got.seen.SessionID != late.ID {
			t.Errorf("%+v", got.seen)
		}
		advance(0)
		w.calls(calls + 1)
		advance(31 * time.Second)
		for i := range 150 {
			w.get(nil, bearer("rubbish-"+string(rune('A'+i/26))+string(rune('a'+i%26))))
		}
		if got := w.get(nil, bearer(known.Tokens.SessionToken)); got.seen.SessionID != known.ID {
			t.Errorf("%+v", got.seen)
		}
	})
}

func TestCallersThatLeave(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.project.FailAPI(stytchtest.Slow(time.Second))
		s := w.login()
		old := w.stale(s)
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				if i%2 == 0 {
					w.get(nil, cookies(old), leaves(w.T, 100*time.Millisecond))
					return
				}
				if got := w.get(nil, cookies(old)); got.seen.SessionID != s.ID {
					t.Errorf("%+v", got.seen)
				}
			})
		}
		wg.Wait()
		w.calls(1)
	})
}

// leaves makes the client leave after d.
func leaves(t *testing.T, d time.Duration) option {
	return func(r *http.Request) {
		ctx, cancel := contextWithTimeout(t, d)
		t.Cleanup(cancel)
		*r = *r.WithContext(ctx)
	}
}
