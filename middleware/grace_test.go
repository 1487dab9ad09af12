package middleware_test

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

func graceOf(d time.Duration) func(*middleware.Config) {
	return func(c *middleware.Config) { c.DangerouslyServeStale = d }
}

// The grace serves a session past its time to safe requests that need no more
// than a session, and only if Stytch could not be asked.
func TestGrace(t *testing.T) {
	down := stytchtest.Down()
	for _, c := range []struct {
		name   string
		age    time.Duration // of the JWT
		fault  stytchtest.Fault
		with   []option
		status int // 0: served
	}{
		{"down", 6 * time.Minute, down, nil, 0},
		{"500", 6 * time.Minute, stytchtest.Error(500, ""), nil, 0},
		{"429", 6 * time.Minute, stytchtest.TooManyRequests("30"), nil, 0},
		{"hanging", 6 * time.Minute, stytchtest.Hang(), nil, 0},
		{"a page of a proxy", 6 * time.Minute, stytchtest.HTML(502), nil, 0},
		{"a 200 without sense", 6 * time.Minute, stytchtest.Reply(200, "application/json", "{}"), nil, 0},
		{"HEAD", 6 * time.Minute, down, []option{method("HEAD")}, 0},
		{"OPTIONS", 6 * time.Minute, down, []option{method("OPTIONS")}, 0},
		{"before the limit", 10*time.Minute - time.Second, down, nil, 0},
		{"beyond the limit", 10*time.Minute + time.Second, down, nil, 503},
		{"POST", 6 * time.Minute, down, []option{method("POST")}, 503},
		{"PUT", 6 * time.Minute, down, []option{method("PUT")}, 503},
		{"DELETE", 6 * time.Minute, down, []option{method("DELETE")}, 503},
		{"get, in lower case", 6 * time.Minute, down, []option{method("get")}, 503},
		{"wrong secret", 6 * time.Minute, stytchtest.Error(401, "unauthorized_credentials"), nil, 503},
		{"wrong project", 6 * time.Minute, stytchtest.Error(404, "project_not_found"), nil, 503},
		{"an answer about another user", 6 * time.Minute, stytchtest.OtherUser(), nil, 503},
		{"from a clock ahead", -time.Minute, down, nil, 503},
		{"not stale", 4 * time.Minute, down, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, graceOf(5*time.Minute), func(w *world) {
				s := w.login()
				synctest.Wait() // the key set
				tokens := middleware.Tokens{SessionToken: s.Tokens.SessionToken,
					SessionJWT: w.project.MintJWT(s.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-c.age)})}
				w.project.FailAPI(c.fault)
				got := w.get(nil, append([]option{cookies(tokens)}, c.with...)...)
				wanted := "stale"
				if c.name == "not stale" {
					wanted = "local"
				}
				if c.status == 0 && (got.seen.Source != wanted || got.seen.SessionID != s.ID) || got.seen.Status != c.status {
					t.Errorf("%+v, want %d", got.seen, c.status)
				}
				if got.setCookies() != 0 {
					t.Errorf("%d cookies", got.setCookies())
				}
			})
		})
	}
}

// Not configured it does not exist.
func TestNoGraceByDefault(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		synctest.Wait()
		w.project.FailAPI(stytchtest.Down())
		if got := w.get(nil, cookies(w.stale(s))); got.seen.Status != 503 {
			t.Errorf("%+v", got.seen)
		}
	})
}

// The grace is counted from where the JWT's time ended, whichever bound ended
// it, and never goes beyond the session's own end. A call that takes its time
// does not lengthen it.
func TestGraceIsCountedFromTheEnd(t *testing.T) {
	for _, c := range []struct {
		name                    string
		maxAge, lifetime, grace time.Duration
		session                 time.Duration
		after                   time.Duration // since iat
		slow                    time.Duration
		served                  bool
	}{
		{"exp first", time.Hour, 5 * time.Minute, time.Minute, 24 * time.Hour, 6 * time.Minute, 0, true},
		{"exp first, over", time.Hour, 5 * time.Minute, time.Minute, 24 * time.Hour, 6*time.Minute + time.Second, 0, false},
		{"age first", 2 * time.Minute, 5 * time.Minute, time.Minute, 24 * time.Hour, 3 * time.Minute, 0, true},
		{"age first, over", 2 * time.Minute, 5 * time.Minute, time.Minute, 24 * time.Hour, 3*time.Minute + time.Second, 0, false},
		{"session lives", 5 * time.Minute, 5 * time.Minute, 10 * time.Minute, 8 * time.Minute, 8*time.Minute - time.Second, 0, true},
		{"session expired", 5 * time.Minute, 5 * time.Minute, 10 * time.Minute, 8 * time.Minute, 8 * time.Minute, 0, false},
		{"call slow, over", 5 * time.Minute, 5 * time.Minute, time.Minute, 24 * time.Hour, 6*time.Minute - time.Second, 2 * time.Second, false},
		{"session expired in the call", 5 * time.Minute, 5 * time.Minute, 10 * time.Minute, 8 * time.Minute, 8*time.Minute - time.Second, 2 * time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, stytchtest.New(stytchtest.Options{JWTLifetime: c.lifetime}), func(cfg *middleware.Config) {
					cfg.MaxTokenAge, cfg.DangerouslyServeStale = c.maxAge, c.grace
				})
				s := w.project.Login(stytchtest.Login{Duration: c.session})
				synctest.Wait()
				f := stytchtest.Error(500, "")
				if c.slow > 0 {
					f = stytchtest.Slow(c.slow).Then(f)
				}
				w.project.FailAPI(f)
				advance(c.after)
				got := w.get(nil, bearer(s.Tokens.SessionJWT))
				if c.served != (got.seen.Source == "stale") || !c.served && got.seen.Status != 503 {
					t.Errorf("%+v, served: want %v", got.seen, c.served)
				}
			})
		})
	}
}

// No guard that asks for more than a session is met by it, before or after a
// guard that is; and what a process knows to be over stays so.
func TestGraceMeetsNoGuard(t *testing.T) {
	inWorld(t, graceOf(5*time.Minute), func(w *world) {
		s := w.login(mailAndSMS()...)
		synctest.Wait()
		old := cookies(middleware.Tokens{SessionToken: s.Tokens.SessionToken,
			SessionJWT: w.project.MintJWT(s.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-6 * time.Minute)})})
		w.project.FailAPI(stytchtest.Down())
		if got := w.get(w.auth.RequireSession(w.report()), old); got.seen.Source != "stale" {
			t.Errorf("RequireSession: %+v", got.seen)
		}
		for name, guard := range map[string]func(http.Handler) http.Handler{
			"MFA": w.auth.RequireMFA, "Within": w.auth.Require(middleware.Within(24 * time.Hour)),
			"MinFactors": w.auth.Require(middleware.MinFactors(1)), "Fresh": w.auth.Require(middleware.Fresh),
		} {
			for how, h := range map[string]http.Handler{"alone": guard(w.report()), "behind Load": w.auth.Load(w.auth.RequireSession(guard(w.report())))} {
				if got := w.get(h, old); got.StatusCode != 503 || got.Header.Get("Retry-After") == "" || got.setCookies() != 0 {
					t.Errorf("%s, %s: %d, %v", name, how, got.StatusCode, got.Header)
				}
			}
		}
		if _, _, err := w.hydrate(middleware.Tokens{SessionJWT: w.stale(s).SessionJWT}); middleware.Status(err) != 503 {
			t.Errorf("Hydrate: %v", err)
		}
		if _, _, err := w.refresh(0, old); middleware.Status(err) != 503 {
			t.Errorf("Refresh: %v", err)
		}
		// Known to be over.
		if _, err := w.revoke(old); middleware.Status(err) != 503 {
			t.Errorf("Revoke: %v", err)
		}
		if got := w.get(nil, old); got.seen.Status != 401 {
			t.Errorf("after a logout that did not reach Stytch: %+v", got.seen)
		}
	})
	inWorld(t, graceOf(5*time.Minute), func(w *world) {
		s := w.login()
		synctest.Wait()
		old := cookies(middleware.Tokens{SessionToken: s.Tokens.SessionToken,
			SessionJWT: w.project.MintJWT(s.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-6 * time.Minute)})})
		w.project.Revoke(s.ID)
		if got := w.get(nil, old); got.seen.Status != 401 {
			t.Errorf("%+v", got.seen)
		}
		w.project.FailAPI(stytchtest.Down())
		if got := w.get(nil, old); got.seen.Status != 401 {
			t.Errorf("after Stytch said it is gone: %+v", got.seen)
		}
	})
	// Tokens never seen, whose budget is spent, are not in an outage.
	inWorld(t, func(c *middleware.Config) { c.DangerouslyServeStale, c.OpaqueBurst, c.OpaqueRate = time.Minute, 1, 1 }, func(w *world) {
		w.project.FailAPI(stytchtest.Down())
		for range 3 {
			if got := w.get(nil, bearer(w.login().Tokens.SessionToken)); got.seen.Status != 503 {
				t.Errorf("%+v", got.seen)
			}
		}
	})
	// Without a key that verifies it a JWT is nothing.
	inWorld(t, graceOf(10*time.Minute), func(w *world) {
		s := w.login()
		w.project.FailAPI(stytchtest.Down())
		if got := w.get(nil, bearer(w.project.MintJWT(s.ID, stytchtest.Mint{Forged: true, IssuedAt: time.Now().Add(-6 * time.Minute)}))); got.seen.Status != 401 {
			t.Errorf("%+v", got.seen)
		}
	})
}

// Whoever looks can see it: in the session, the explanation, and the log.
func TestGraceIsVisible(t *testing.T) {
	log := &journal{}
	inWorld(t, func(c *middleware.Config) {
		c.DangerouslyServeStale, c.Logger = 5*time.Minute, slog.New(slog.NewTextHandler(log, nil))
	}, func(w *world) {
		s := w.login()
		h := w.listen()
		synctest.Wait()
		w.project.FailAPI(stytchtest.Down())
		old := bearer(w.project.MintJWT(s.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-6 * time.Minute)}))
		var e middleware.Explanation
		explain := w.auth.Load(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { e = w.auth.Explain(r) }))
		for range 5 {
			w.get(explain, old)
			advance(time.Second)
		}
		if e.Source != "stale" || !strings.Contains(e.Reason, "stale") || !e.Called {
			t.Errorf("%s", e)
		}
		if n := strings.Count(log.String(), "DangerouslyServeStale"); n != 1 {
			t.Errorf("said %d times:\n%s", n, log.String())
		}
		// One session that does not change is told of once.
		if got := names(h.take()); got != "authenticated by request" {
			t.Error(got)
		}
	})
}

// Tokens are those the client sent where a session was served past its time:
// Stytch gave no answer.
func TestTokensOfAStaleSession(t *testing.T) {
	inWorld(t, func(c *middleware.Config) { c.DangerouslyServeStale = 10 * time.Minute }, func(w *world) {
		s := w.login()
		old := middleware.Tokens{SessionToken: s.Tokens.SessionToken,
			SessionJWT: w.project.MintJWT(s.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-6 * time.Minute)})}
		w.project.FailAPI(stytchtest.Down())
		h := w.auth.Load(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			in, _ := sessionctx.From(r.Context())
			if got, ok := w.auth.Tokens(r); !ok || got.SessionToken != old.SessionToken || got.SessionJWT != old.SessionJWT || in.Source() != sessionctx.Stale {
				t.Errorf("%v, or tokens other than those sent", ok)
			}
		}))
		if got := w.get(h, cookies(old)); got.StatusCode != 200 {
			t.Errorf("status %d", got.StatusCode)
		}
	})
}
