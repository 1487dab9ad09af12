package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

// guards are the ways to ask for something, by name.
func (w *world) guards() map[string]func(http.Handler) http.Handler {
	return map[string]func(http.Handler) http.Handler{
		"Load":           w.auth.Load,
		"RequireSession": w.auth.RequireSession,
		"Require":        w.auth.Require(),
		"RequireMFA":     w.auth.RequireMFA,
		"Within":         w.auth.Require(middleware.Within(time.Minute)),
		"MinFactors":     w.auth.Require(middleware.MinFactors(2)),
		"Fresh":          w.auth.Require(middleware.Fresh),
		"Fresh and MFA":  w.auth.Require(middleware.Fresh, middleware.MFA),
	}
}

// outcome is all of an answer that a guard decides.
func outcome(r reply) string {
	return fmt.Sprint(r.StatusCode, r.Header.Get("WWW-Authenticate"), r.Header.Get("Retry-After"), r.Header.Get("Location"),
		r.Header["Vary"], r.Header.Get("Cache-Control"), r.setCookies(), r.seen.SessionID != "", r.seen.Err)
}

// situations are requests of every kind, each with how it comes about.
var situations = map[string]func(w *world) []option{
	"nothing":         func(w *world) []option { return nil },
	"one factor":      func(w *world) []option { return []option{bearer(w.login(stytchtest.SMS()).Tokens.SessionJWT)} },
	"two factors":     func(w *world) []option { return []option{cookies(w.login(mailAndSMS()...).Tokens)} },
	"stale":           func(w *world) []option { return []option{cookies(w.stale(w.login(mailAndSMS()...)))} },
	"stale, bearer":   func(w *world) []option { return []option{bearer(w.stale(w.login(stytchtest.SMS())).SessionJWT)} },
	"opaque":          func(w *world) []option { return []option{bearer(w.login(mailAndSMS()...).Tokens.SessionToken)} },
	"opaque, unknown": func(w *world) []option { return []option{bearer("unknown-to-stytch")} },
	"forged": func(w *world) []option {
		return []option{cookies(middleware.Tokens{SessionJWT: w.project.MintJWT(w.login().ID, stytchtest.Mint{Forged: true})})}
	},
	"revoked, stale": func(w *world) []option {
		s := w.login(mailAndSMS()...)
		w.project.Revoke(s.ID)
		return []option{cookies(w.stale(s))}
	},
	"revoked, fresh": func(w *world) []option { // only Fresh and a re-check can know
		s := w.login(stytchtest.SMS())
		w.project.Revoke(s.ID)
		return []option{cookies(s.Tokens)}
	},
	"two cookies": func(w *world) []option {
		return []option{cookies(w.login(mailAndSMS()...).Tokens), cookies(w.login(mailAndSMS()...).Tokens)}
	},
	"two headers": func(w *world) []option {
		jwt := w.login(mailAndSMS()...).Tokens.SessionJWT
		return []option{header("Authorization", "Bearer "+jwt), header("Authorization", "Bearer "+jwt)}
	},
	"malformed": func(w *world) []option { return []option{bearer("not a token")} },
	"cross-site": func(w *world) []option {
		return []option{cookies(w.login(mailAndSMS()...).Tokens), method("POST"), header("Sec-Fetch-Site", "cross-site")}
	},
	"outage, stale": func(w *world) []option {
		defer w.project.FailAPI(stytchtest.Down())
		return []option{cookies(w.stale(w.login(mailAndSMS()...)))}
	},
	"outage, fresh": func(w *world) []option {
		defer w.project.FailAPI(stytchtest.Down())
		return []option{cookies(w.login(mailAndSMS()...).Tokens)}
	},
	"outage, factor": func(w *world) []option {
		defer w.project.FailAPI(stytchtest.Down())
		return []option{cookies(w.login(stytchtest.SMS()).Tokens)}
	},
}

func mailAndSMS() []stytchtest.Factor {
	return []stytchtest.Factor{stytchtest.EmailMagicLink(), stytchtest.SMS()}
}

// A guard is as strict alone as behind Load, and asking twice changes nothing.
func TestGuardAloneAndBehindLoad(t *testing.T) {
	for situation, options := range situations {
		t.Run(situation, func(t *testing.T) {
			type result struct {
				outcome string
				calls   int
			}
			try := func(guard string, wrap func(*world, func(http.Handler) http.Handler, http.Handler) http.Handler) (got result) {
				inWorld(t, nil, func(w *world) {
					o := options(w)
					synctest.Wait() // the keys are here
					before := w.project.Calls().Authenticate
					got.outcome = outcome(w.get(wrap(w, w.guards()[guard], w.report()), o...))
					got.calls = w.project.Calls().Authenticate - before
				})
				return got
			}
			names := []string{"Load", "RequireSession", "Require", "RequireMFA", "Within", "MinFactors", "Fresh", "Fresh and MFA"}
			for _, name := range names {
				alone := try(name, func(_ *world, g func(http.Handler) http.Handler, h http.Handler) http.Handler { return g(h) })
				loaded := try(name, func(w *world, g func(http.Handler) http.Handler, h http.Handler) http.Handler {
					return w.auth.Load(g(h))
				})
				twice := try(name, func(_ *world, g func(http.Handler) http.Handler, h http.Handler) http.Handler { return g(g(h)) })
				if alone != loaded || alone != twice {
					t.Errorf("%s:\nalone  %v\nloaded %v\ntwice  %v", name, alone, loaded, twice)
				}
				// A transport error is tried once more within one call.
				if most := 1 + len(strings.Split(situation, "outage"))/2; alone.calls > most {
					t.Errorf("%s: %d calls", name, alone.calls)
				}
				if name == "RequireSession" && strings.HasPrefix(alone.outcome, "200") != strings.Contains("one factor two factors stale, bearer opaque revoked, fresh outage, fresh outage, factor", situation) {
					t.Errorf("%s: %v", name, alone)
				}
			}
		})
	}
}

// Guards in any order give the same answer and make one attempt.
func TestGuardsInAnyOrder(t *testing.T) {
	for situation, options := range situations {
		t.Run(situation, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				answers := map[string][]string{}
				for _, order := range permutations([]string{"Load", "RequireSession", "RequireMFA", "Fresh"}) {
					w.project.FailAPI(nil)
					o := options(w)          // a new session for each
					advance(2 * time.Minute) // past what was remembered of the last one
					h := w.report()
					for _, name := range slices.Backward(order) {
						h = w.guards()[name](h)
					}
					before := w.project.Calls().Authenticate
					got := w.get(h, o...)
					calls := w.project.Calls().Authenticate - before
					if strings.HasPrefix(situation, "outage") {
						calls = min(calls, 1) // a transport error is tried once more
						got.Header.Set("Retry-After", "any")
					}
					if calls > 1 {
						t.Errorf("%v: %d calls", order, calls)
					}
					answer := outcome(got) + fmt.Sprint(" calls ", calls)
					answers[answer] = append(answers[answer], strings.Join(order, ">"))
				}
				if len(answers) != 1 {
					t.Errorf("answers differ: %v", answers)
				}
			})
		})
	}
}

func permutations(of []string) (all [][]string) {
	if len(of) < 2 {
		return [][]string{slices.Clone(of)}
	}
	for i := range of {
		rest := slices.Delete(slices.Clone(of), i, i+1)
		for _, p := range permutations(rest) {
			all = append(all, append([]string{of[i]}, p...))
		}
	}
	return all
}

// A request that goes through everything on a stale JWT costs one call.
func TestOneAttemptPerRequest(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login(stytchtest.SMS())
		everything := func(h http.Handler) http.Handler {
			return w.auth.Load(w.auth.RequireSession(w.auth.Require(middleware.Fresh)(w.auth.Require(middleware.Fresh)(w.auth.RequireMFA(h)))))
		}
		if got := w.get(everything(unreachable(t)), cookies(w.stale(s))); got.StatusCode != 401 {
			t.Errorf("%d", got.StatusCode)
		}
		w.calls(1)
		full := w.login(mailAndSMS()...)
		if got := w.get(everything(w.report()), bearer(full.Tokens.SessionToken)); got.StatusCode != 200 || got.seen.Source != "remote" {
			t.Errorf("%d %+v", got.StatusCode, got.seen)
		}
		w.calls(2)
		// Each Fresh of a request is served by the one call.
		if got := w.get(everything(w.report()), cookies(full.Tokens)); got.StatusCode != 200 {
			t.Errorf("%d", got.StatusCode)
		}
		w.calls(3)
	})
}

func TestRecheckBeforeRefusal(t *testing.T) {
	inWorld(t, func(c *middleware.Config) { c.StepUpURL = "/step-up" }, func(w *world) {
		s := w.login(stytchtest.EmailMagicLink())
		mfa := w.auth.Load(w.auth.RequireSession(w.auth.RequireMFA(w.report())))
		refused := func(calls int) {
			t.Helper()
			got := w.get(mfa, cookies(s.Tokens))
			if got.StatusCode != 401 || got.Header.Get("WWW-Authenticate") != `Bearer error="insufficient_user_authentication"` {
				t.Errorf("%d %v", got.StatusCode, got.Header)
			}
			w.calls(calls)
		}
		refused(1)
		advance(time.Second)
		refused(1)
		advance(999 * time.Millisecond)
		refused(1)
		advance(time.Millisecond)
		refused(2)
		advance(time.Second)
		// Stepped up at Stytch's side: within the two seconds the answer may be
		// the old one, then it is not.
		w.project.AddFactor(s.ID, stytchtest.SMS())
		refused(2)
		advance(time.Second)
		got := w.get(mfa, cookies(s.Tokens))
		fresh, set, _ := got.cookie(jwtCookie)
		if got.StatusCode != 200 || got.seen.Factors != 2 || got.seen.Source != "remote" || !set || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d %+v %v", got.StatusCode, got.seen, got.Header)
		}
		w.calls(3)
		// The renewed cookie says it by itself.
		if got := w.get(mfa, cookies(middleware.Tokens{SessionToken: s.Tokens.SessionToken, SessionJWT: fresh})); got.StatusCode != 200 || got.seen.Source != "local" || got.setCookies() != 0 {
			t.Errorf("%d %+v %v", got.StatusCode, got.seen, got.Header)
		}
		w.calls(3)

		// The page that still sends the old JWT is served from the re-check for
		// two seconds, and then asks again.
		for range 3 {
			if got := w.get(mfa, cookies(s.Tokens)); got.StatusCode != 200 || got.setCookies() == 0 {
				t.Errorf("%d %v", got.StatusCode, got.Header)
			}
		}
		w.calls(3)
		advance(2 * time.Second)
		w.get(mfa, cookies(s.Tokens))
		w.calls(4)
	})
}

// A session from the cache of opaque tokens is asked about, too, although the
// answer is younger than two seconds: no guard had asked for it.
func TestRecheckOfCachedToken(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login(stytchtest.EmailMagicLink())
		token := bearer(s.Tokens.SessionToken)
		w.get(nil, token)
		w.calls(1)
		w.project.AddFactor(s.ID, stytchtest.TOTP())
		if got := w.get(w.auth.RequireMFA(w.report()), token); got.StatusCode != 200 || got.seen.Factors != 2 || got.setCookies() != 0 {
			t.Errorf("%d %+v", got.StatusCode, got.seen)
		}
		w.calls(2)
		if got := w.get(w.auth.RequireMFA(w.report()), token); got.StatusCode != 200 || got.seen.Source != "local" {
			t.Errorf("%d %+v", got.StatusCode, got.seen)
		}
		w.calls(2)
	})
}

func TestRecheckFindsTheSessionOver(t *testing.T) {
	inWorld(t, func(c *middleware.Config) { c.LoginURL, c.StepUpURL = "/login", "/step-up" }, func(w *world) {
		s := w.login(stytchtest.EmailMagicLink())
		w.project.Revoke(s.ID)
		if got := w.get(w.auth.RequireSession(w.report()), cookies(s.Tokens)); got.StatusCode != 200 {
			t.Errorf("%d", got.StatusCode)
		}
		got := w.get(w.auth.RequireMFA(unreachable(t)), cookies(s.Tokens), page)
		_, _, cleared := got.cookie(jwtCookie)
		if got.StatusCode != 303 || !strings.HasPrefix(got.Header.Get("Location"), "/login?") || !cleared {
			t.Errorf("%d %v", got.StatusCode, got.Header)
		}
		// From now on the JWT opens nothing here.
		if got := w.get(w.auth.RequireSession(unreachable(t)), bearer(s.Tokens.SessionJWT)); got.StatusCode != 401 {
			t.Errorf("%d", got.StatusCode)
		}
		w.calls(2) // of the token it was not known whose it was
	})
}

// Where Stytch cannot be asked, the answer is 503, not a demand to step up.
func TestOutageDuringRecheck(t *testing.T) {
	for name, fault := range map[string]stytchtest.Fault{
		"down": stytchtest.Down(), "hangs": stytchtest.Hang(), "500": stytchtest.Error(500, "internal_server_error"),
		"429": stytchtest.TooManyRequests("9"), "secret": stytchtest.Error(401, "unauthorized_credentials"), "html": stytchtest.HTML(200),
		"other user": stytchtest.OtherUser(), "insufficient_factors": stytchtest.Error(401, "insufficient_factors"),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(c *middleware.Config) { c.LoginURL, c.StepUpURL = "/login", "/step-up" }, func(w *world) {
				s := w.login(stytchtest.EmailMagicLink())
				w.project.FailAPI(fault)
				for guard, h := range map[string]http.Handler{
					"MFA":    w.auth.RequireMFA(unreachable(t)),
					"within": w.auth.Load(w.auth.Require(middleware.Within(time.Minute))(unreachable(t))),
					"count":  w.auth.Require(middleware.MinFactors(2))(unreachable(t)),
					"fresh":  w.auth.Require(middleware.Fresh)(unreachable(t)),
				} {
					for form, o := range map[string]option{"API": func(*http.Request) {}, "page": page} {
						got := w.get(h, bearer(s.Tokens.SessionJWT), o)
						if got.StatusCode != 503 || got.Header.Get("Retry-After") == "" || got.Header.Get("WWW-Authenticate") != "" ||
							got.Header.Get("Location") != "" || got.setCookies() != 0 {
							t.Errorf("%s, %s: %d %v", guard, form, got.StatusCode, got.Header)
						}
					}
				}
				if name == "429" {
					if got := w.get(w.auth.RequireMFA(unreachable(t)), bearer(s.Tokens.SessionJWT)); got.Header.Get("Retry-After") != "9" {
						t.Errorf("%v", got.Header)
					}
				}
				// What needs no question is served.
				if got := w.get(w.auth.RequireSession(w.report()), bearer(s.Tokens.SessionJWT)); got.StatusCode != 200 {
					t.Errorf("%d", got.StatusCode)
				}
			})
		})
	}
}

func TestFreshSeesARevocation(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		fresh := w.auth.Require(middleware.Fresh)(w.report())
		for by, o := range map[string]option{"JWT": bearer(s.Tokens.SessionJWT), "token": bearer(s.Tokens.SessionToken), "cookies": cookies(s.Tokens)} {
			before := w.project.Calls().Authenticate
			for range 3 { // whatever was found out a moment ago
				if got := w.get(fresh, o); got.StatusCode != 200 || got.seen.Source != "remote" {
					t.Errorf("%s: %d %+v", by, got.StatusCode, got.seen)
				}
			}
			w.calls(before + 3)
		}
		if got := w.get(fresh, cookies(s.Tokens)); got.setCookies() != 2 || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("no new cookies: %v", got.Header)
		}
		w.project.Revoke(s.ID)
		if got := w.get(w.auth.RequireSession(w.report()), cookies(s.Tokens)); got.StatusCode != 200 {
			t.Errorf("%d", got.StatusCode)
		}
		got := w.get(fresh, cookies(s.Tokens))
		if _, _, cleared := got.cookie(tokenCookie); got.StatusCode != 401 || !cleared {
			t.Errorf("%d %v", got.StatusCode, got.Header)
		}
	})
}

// Fresh joins a call only if it began after the request had arrived.
func TestFreshJoinsNoEarlierCall(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		synctest.Wait()
		w.project.FailAPI(stytchtest.Slow(time.Second))
		fresh := w.auth.Require(middleware.Fresh)(w.report())
		began := time.Now()
		var mu sync.Mutex
		took := map[string]time.Duration{}
		var wg sync.WaitGroup
		send := func(name string, n int) {
			for i := range n {
				wg.Go(func() {
					got := w.get(fresh, bearer(s.Tokens.SessionToken))
					if got.StatusCode != 200 || got.seen.Source != "remote" {
						t.Errorf("%s: %d %+v", name, got.StatusCode, got.seen)
					}
					mu.Lock()
					took[fmt.Sprint(name, i)] = time.Since(began)
					mu.Unlock()
				})
			}
			synctest.Wait()
		}
		send("first", 1)
		advance(500 * time.Millisecond)
		send("second", 20) // must not be served by the call under way
		advance(250 * time.Millisecond)
		send("third", 20) // neither; but the next call is for both
		wg.Wait()
		w.calls(2)
		for name, d := range took {
			if want := map[bool]time.Duration{true: time.Second, false: 2 * time.Second}[name == "first0"]; d != want {
				t.Errorf("%s after %s, want %s", name, d, want)
			}
		}
	})
}

// A revocation between the beginning of somebody's call and this request is
// seen, although that call still says yes.
func TestFreshIsNotFooledByACallUnderWay(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		synctest.Wait()
		// The first answer is made at once and arrives late.
		w.project.FailAPI(stytchtest.Fault(func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			advance(time.Second)
			rw.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
			rw.WriteHeader(rec.Code)
			_, _ = rw.Write(rec.Body.Bytes())
		}).Times(1))
		var wg sync.WaitGroup
		wg.Go(func() { w.get(nil, bearer(s.Tokens.SessionToken)) })
		synctest.Wait()
		advance(100 * time.Millisecond)
		w.project.Revoke(s.ID)
		if got := w.get(w.auth.Require(middleware.Fresh)(unreachable(t)), bearer(s.Tokens.SessionToken)); got.StatusCode != 401 {
			t.Errorf("%d", got.StatusCode)
		}
		wg.Wait()
	})
}

// A session that takes another one's place during a request, as the token of a
// pair that disagrees does, must meet what the guards before have asked for.
func TestReplacedSessionMeetsAllGuards(t *testing.T) {
	mail, password, sms := stytchtest.EmailMagicLink(), stytchtest.Password(), stytchtest.SMS()
	fresh := middleware.Fresh
	for name, c := range map[string]struct {
		token  []stytchtest.Factor // of the session that the token is of
		guards []middleware.Requirement
		want   int
	}{
		"MFA":                   {[]stytchtest.Factor{mail}, []middleware.Requirement{middleware.MFA, fresh}, 401},
		"MFA and a count":       {[]stytchtest.Factor{mail, password, stytchtest.GoogleOAuth()}, []middleware.Requirement{middleware.MFA, middleware.MinFactors(3)}, 401},
		"count":                 {[]stytchtest.Factor{mail}, []middleware.Requirement{middleware.MinFactors(2), fresh}, 401},
		"count and MFA":         {[]stytchtest.Factor{mail}, []middleware.Requirement{middleware.MinFactors(2), middleware.MFA, fresh}, 401},
		"within":                {[]stytchtest.Factor{mail, sms.At(time.Unix(900000000, 0))}, []middleware.Requirement{middleware.Within(time.Minute), fresh}, 401},
		"within twice":          {[]stytchtest.Factor{mail, sms.At(time.Unix(900000000, 0))}, []middleware.Requirement{middleware.Within(time.Minute), middleware.Within(time.Hour), fresh}, 401},
		"it does":               {[]stytchtest.Factor{mail, sms}, []middleware.Requirement{middleware.MFA, middleware.Within(time.Minute), middleware.MinFactors(2), fresh}, 200},
		"nothing was asked for": {[]stytchtest.Factor{}, []middleware.Requirement{fresh}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				strong := w.login(mail, sms)
				weak := w.project.Login(stytchtest.Login{UserID: strong.UserID, Factors: c.token})
				pair := cookies(middleware.Tokens{SessionToken: weak.Tokens.SessionToken, SessionJWT: strong.Tokens.SessionJWT})
				chain := func(h http.Handler, backward bool) http.Handler {
					for i := range c.guards {
						if !backward {
							i = len(c.guards) - 1 - i
						}
						h = w.auth.Require(c.guards[i])(h)
					}
					return h
				}
				for _, backward := range []bool{false, true} {
					for behind, h := range map[string]http.Handler{"alone": chain(w.report(), backward), "loaded": w.auth.Load(w.auth.RequireSession(chain(w.report(), backward)))} {
						got := w.get(h, pair)
						if got.StatusCode != c.want || c.want == 200 && got.seen.SessionID != weak.ID {
							t.Errorf("%s, backward %v: %d, want %d; %+v", behind, backward, got.StatusCode, c.want, got.seen)
						}
					}
				}
			})
		})
	}
}

// wrapped is a ResponseWriter like no other.
type wrapped struct{ http.ResponseWriter }

func TestTheServersResponseWriter(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login(mailAndSMS()...)
		for name, guard := range w.guards() {
			for by, tokens := range map[string]middleware.Tokens{"fresh": s.Tokens, "stale": w.stale(s)} {
				mine := &wrapped{httptest.NewRecorder()}
				ran := false
				r := httptest.NewRequest("GET", "https://app.example.com/", nil)
				stytchtest.AddCookies(r, tokens)
				guard(w.auth.Load(guard(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
					ran = true
					if rw != http.ResponseWriter(mine) {
						t.Errorf("%s, %s: %T", name, by, rw)
					}
				})))).ServeHTTP(mine, r)
				if !ran {
					t.Errorf("%s, %s: the handler did not run", name, by)
				}
			}
		}
	})
}

func TestHandlersPanicsPropagate(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login(mailAndSMS()...)
		for name, guard := range w.guards() {
			func() {
				defer func() {
					if p := recover(); p != http.ErrAbortHandler {
						t.Errorf("%s: %v", name, p)
					}
				}()
				w.get(guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })), cookies(w.stale(s)))
			}()
		}
		if got := w.get(w.auth.RequireMFA(w.report()), cookies(s.Tokens)); got.StatusCode != 200 {
			t.Errorf("afterwards: %d", got.StatusCode)
		}
	})
}

// The context keeps what the caller put there, and a session that the caller
// put there opens nothing.
func TestContext(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		type key struct{}
		s := w.login(mailAndSMS()...)
		fake := sessionctx.New(sessionctx.Data{ID: "fake", UserID: "fake", Factors: []sessionctx.Factor{stytchtest.SMS().Data(), stytchtest.TOTP().Data()}})
		with := func(r *http.Request) {
			ctx := context.WithValue(sessionctx.With(r.Context(), fake), key{}, "kept")
			*r = *r.WithContext(ctx)
		}
		saw := func(want string) http.Handler {
			return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				id := ""
				if s, ok := sessionctx.From(r.Context()); ok {
					id = s.ID()
				}
				if id != want || r.Context().Value(key{}) != "kept" {
					t.Errorf("the handler sees session %q, want %q", id, want)
				}
			})
		}
		for name, guard := range w.guards() {
			w.get(guard(saw(s.ID)), with, cookies(s.Tokens))
			got := w.get(guard(saw("")), with)
			if want := map[bool]int{true: 200, false: 401}[name == "Load"]; got.StatusCode != want {
				t.Errorf("%s: %d, want %d", name, got.StatusCode, want)
			}
		}
		// Err of a request that passed nothing.
		r := httptest.NewRequest("GET", "/", nil)
		if err := w.auth.Err(r); !errors.Is(err, middleware.ErrNoSession) {
			t.Errorf("%v", err)
		}
		if _, ok := w.auth.Tokens(r); ok {
			t.Error("tokens of a request that passed nothing")
		}
	})
}

// CVE-2025-29927 and CVE-2026-41248: no header but the carriers changes an
// outcome.
func TestCVE_2025_29927(t *testing.T) {
	inWorld(t, func(c *middleware.Config) { c.LoginURL, c.StepUpURL = "/login", "/step-up" }, func(w *world) {
		two, one, two2 := w.login(mailAndSMS()...), w.login(stytchtest.SMS()), w.login(mailAndSMS()...)
		credentials := map[string][]option{"nothing": nil, "one factor": {bearer(one.Tokens.SessionJWT)}, "two factors": {cookies(two.Tokens)},
			"a page": {page}, "cross-site": {cookies(two.Tokens), method("POST"), header("Origin", "https://evil.example.com")}}
		names := []string{"nothing", "one factor", "two factors", "a page", "cross-site"}
		guards := []string{"Load", "RequireSession", "RequireMFA", "Within", "MinFactors", "Fresh and MFA"}
		without := map[string]string{}
		each := func(extra option, f func(which, got string)) {
			for _, c := range names {
				for _, g := range guards {
					f(c+" / "+g, outcome(w.get(w.guards()[g](w.report()), append(slices.Clone(credentials[c]), extra)...)))
				}
			}
		}
		each(func(*http.Request) {}, func(which, got string) { without[which] = got })
		jwt, token := two2.Tokens.SessionJWT, two2.Tokens.SessionToken
		for _, h := range [][2]string{
			{"X-Middleware-Subrequest", "middleware:middleware:middleware:middleware:middleware"},
			{"X-Middleware-Subrequest", "src/middleware"}, {"X-Original-URL", "/public"}, {"X-Rewrite-URL", "/login"},
			{"X-Original-Method", "GET"}, {"X-Forwarded-User", "admin"}, {"X-Forwarded-Host", "app.example.com"}, {"X-Forwarded-Host", "evil.example.com"},
			{"X-Forwarded-Proto", "http"}, {"X-Forwarded-For", "127.0.0.1"}, {"X-Forwarded-Prefix", "//evil.example.com"},
			{"Forwarded", "for=127.0.0.1;host=evil.example.com;proto=http"}, {"X-Real-Ip", "127.0.0.1"}, {"X-HTTP-Method-Override", "GET"}, {"X-Method-Override", "GET"},
			{"X-Stytch-Session-Token", token}, {"X-Stytch-Session-Jwt", jwt}, {"X-Session", jwt}, {"X-Auth-Token", token}, {"X-User-Id", "user-test-1"},
			{"Proxy-Authorization", "Bearer " + jwt}, {"X-Authorization", "Bearer " + jwt}, {"Authentication", "Bearer " + jwt}, {"Remote-User", "admin"},
			{"X-Stytchware-Session", "1"}, {"X-Internal", "true"}, {"Via", "1.1 localhost"}, {"X-Custom-Ip-Authorization", "127.0.0.1"}, {"Referer", "https://app.example.com/"},
			{"Cookie2", "stytch_session_jwt=" + jwt}, {"Set-Cookie", "stytch_session_jwt=" + jwt}, {"Cookie", "other=" + jwt},
		} {
			each(header(h[0], h[1]), func(which, got string) {
				if got != without[which] {
					t.Errorf("%s: %s changes %s:\n%s\nto\n%s", which, h[0], which, without[which], got)
				}
			})
		}
		each(func(r *http.Request) { r.Host, r.URL.Host = "other.example.net", "other.example.net" }, func(which, got string) {
			if got != without[which] {
				t.Errorf("Host changes %s:\n%s\nto\n%s", which, without[which], got)
			}
		})
		for _, u := range []string{"access_token", "token", "jwt", "session_jwt", "stytch_session_jwt"} {
			each(func(r *http.Request) { r.Form = map[string][]string{u: {jwt}} }, func(which, got string) {
				if got != without[which] {
					t.Errorf("a form changes %s", which)
				}
			})
		}
	})
}

// What a handler does to its header's values is no other response's.
func TestHeaderValuesAreNotShared(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		edit := func(h http.Header) {
			for name := range h {
				h[name] = slices.DeleteFunc(h[name], func(string) bool { return true })
				for i := range h[name][:cap(h[name])] {
					h[name][:cap(h[name])][i] = "edited"
				}
			}
		}
		handler := w.auth.Load(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { edit(w.Header()) }))
		for _, h := range []http.Handler{handler, w.auth.RequireSession(w.report()), w.auth.RequireMFA(w.report())} {
			for _, with := range []option{bearer(s.Tokens.SessionJWT), bearer("garbage.of.dots"), func(*http.Request) {}} {
				r := httptest.NewRequest("GET", "https://app.example.com/", nil)
				with(r)
				fresh := httptest.NewRecorder()
				w.auth.Load(w.auth.RequireSession(w.report())).ServeHTTP(fresh, r)
				want := fresh.Header().Clone()
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, r)
				edit(rec.Header())
				again := httptest.NewRecorder()
				w.auth.Load(w.auth.RequireSession(w.report())).ServeHTTP(again, r)
				if !reflect.DeepEqual(again.Header(), want) {
					t.Errorf("%v, was %v", again.Header(), want)
				}
			}
		}
	})
}
