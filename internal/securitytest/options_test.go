package securitytest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

// DangerouslyServeStale helps nobody but a reader with a JWT that was good a
// moment ago, while Stytch cannot be asked.
func TestServeStaleIsNarrow(t *testing.T) {
	open(t, func(c *middleware.Config) { c.DangerouslyServeStale = 5 * time.Minute }, func(s *site) {
		two := []stytchtest.Factor{stytchtest.EmailMagicLink(), stytchtest.SMS()}
		login := s.project.Login(stytchtest.Login{Factors: two})
		over := s.project.Login(stytchtest.Login{Factors: two})
		short := s.project.Login(stytchtest.Login{Factors: two, Duration: time.Minute})
		mint := func(of stytchtest.Session, age time.Duration, m stytchtest.Mint) string {
			m.IssuedAt = time.Now().Add(-age)
			return s.project.MintJWT(of.ID, m)
		}
		send := func(method string, h http.Handler, token string) int {
			r := httptest.NewRequest(method, "https://app.example.com/", nil)
			stytchtest.AddBearer(r, token)
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			return rec.Code
		}
		late := mint(short, 4*time.Minute+30*time.Second, stytchtest.Mint{})
		advance(time.Minute) // short's session is over now
		s.project.Revoke(over.ID)
		if got := send("GET", s.guarded, mint(over, 6*time.Minute, stytchtest.Mint{})); got != 401 {
			t.Errorf("Stytch, asked, says that it is over: %d", got)
		}
		within := mint(login, 9*time.Minute, stytchtest.Mint{})
		s.project.FailAPI(stytchtest.Down())
		for what, c := range map[string]struct {
			method, token string
			h             http.Handler
			status        int
		}{
			"within it":           {"GET", within, s.guarded, 200},
			"HEAD":                {"HEAD", within, s.guarded, 200},
			"a request that acts": {"POST", within, s.guarded, 503},
			"another that acts":   {"DELETE", within, s.guarded, 503},
			"MFA":                 {"GET", within, s.auth.RequireMFA(s.guarded), 503},
			"Fresh":               {"GET", within, s.auth.Require(middleware.Fresh)(s.guarded), 503},
			"Within":              {"GET", within, s.auth.Require(middleware.Within(time.Hour))(s.guarded), 503},
			"MinFactors":          {"GET", within, s.auth.Require(middleware.MinFactors(1))(s.guarded), 503},
			"beyond it":           {"GET", mint(login, 10*time.Minute+2*time.Second, stytchtest.Mint{}), s.guarded, 503},
			"from the future":     {"GET", mint(login, -time.Minute, stytchtest.Mint{}), s.guarded, 503},
			"known to be over":    {"GET", mint(over, 6*time.Minute, stytchtest.Mint{}), s.guarded, 401},
			"past its session":    {"GET", late, s.guarded, 503},
			"forged":              {"GET", mint(login, 9*time.Minute, stytchtest.Mint{Forged: true}), s.guarded, 401},
			"a session token":     {"GET", login.Tokens.SessionToken, s.guarded, 503},
		} {
			if got := send(c.method, c.h, c.token); got != c.status {
				t.Errorf("%s: %d, want %d", what, got, c.status)
			}
		}
		// Not being let in by Stytch is no outage.
		s.project.FailAPI(stytchtest.Error(401, "unauthorized_credentials"))
		advance(5 * time.Second)
		if got := send("GET", s.guarded, mint(login, 6*time.Minute, stytchtest.Mint{})); got != 503 {
			t.Errorf("with a wrong secret: %d", got)
		}
	})
	open(t, nil, func(s *site) { // and without the field nobody
		login := s.project.Login(stytchtest.Login{})
		s.project.FailAPI(stytchtest.Down())
		s.want("by default", s.project.MintJWT(login.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-5*time.Minute - time.Second)}), 503)
	})
}

// An Observer that panics, at whatever it is told, costs no request.
func TestObserverThatPanics(t *testing.T) {
	var mu sync.Mutex
	told := map[string]int{}
	panics := func(what string) {
		mu.Lock()
		told[what]++
		mu.Unlock()
		panic(what)
	}
	open(t, func(c *middleware.Config) {
		c.OpaqueBurst, c.OpaqueRate = 1, 1
		c.Observer = middleware.Observer{
			Decision: func(context.Context, middleware.Decision) { panics("decision") },
			Call:     func(middleware.Call) { panics("call") },
			KeyFetch: func(middleware.KeyFetch) { panics("key fetch") },
			Limit:    func(middleware.Limit) { panics("limit") },
			Cookie:   func(context.Context, middleware.CookieWrite) { panics("cookie") },
		}
	}, func(s *site) {
		login := s.project.Login(stytchtest.Login{})
		for range 3 {
			s.want("a JWT", login.Tokens.SessionJWT, 200)
			s.want("a token", login.Tokens.SessionToken, 200)
			r := httptest.NewRequest("GET", "https://app.example.com/", nil)
			stytchtest.AddCookies(r, middleware.Tokens{SessionToken: login.Tokens.SessionToken,
				SessionJWT: s.project.MintJWT(login.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-time.Hour)})})
			if got := s.get(r); got.StatusCode != 200 || len(got.Cookies()) == 0 {
				t.Errorf("a stale JWT: %d %v", got.StatusCode, got.Header)
			}
			s.want("a token nobody knows", "unknown-"+time.Now().Format("150405"), 503)
			advance(time.Millisecond)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, what := range []string{"decision", "call", "key fetch", "limit", "cookie"} {
			if told[what] == 0 {
				t.Errorf("it was not told of any %s: nothing is shown", what)
			}
		}
	})
}
