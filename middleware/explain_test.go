package middleware_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

func TestExplain(t *testing.T) {
	var logged bytes.Buffer
	var explained middleware.Explanation
	var w *world
	inWorld(t, func(c *middleware.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.ErrorHandler = func(rw http.ResponseWriter, r *http.Request, err error) {
			explained = w.auth.Explain(r)
			rw.WriteHeader(middleware.Status(err))
		}
	}, func(inner *world) {
		w = inner
		s := w.login(stytchtest.EmailMagicLink())
		gone := w.login()
		down := w.login()
		w.project.Revoke(gone.ID)
		advance(90 * time.Second)
		seesIt := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { explained = w.auth.Explain(r) })
		for _, c := range []struct {
			name  string
			guard func(http.Handler) http.Handler
			with  []option
			want  middleware.Explanation
		}{
			{"nothing", w.auth.Load, nil, middleware.Explanation{Outcome: "no session", Status: 401, Reason: "the request carries no credential", Carrier: "none", Credential: "none"}},
			{"nothing, guarded", w.auth.RequireSession, nil, middleware.Explanation{Outcome: "no session", Status: 401, Reason: "the request carries no credential", Carrier: "none", Credential: "none", Guard: "session"}},
			{"local", w.auth.Load, []option{cookies(s.Tokens)}, middleware.Explanation{Outcome: "session", Status: 200, Reason: "session JWT verified locally", Carrier: "cookies", Credential: "both", Key: "known", Age: 90 * time.Second, Source: "local"}},
			{"token", w.auth.Load, []option{bearer(s.Tokens.SessionToken)}, middleware.Explanation{Outcome: "session", Status: 200, Reason: "Stytch confirmed it", Carrier: "bearer", Credential: "session token", Source: "remote", Called: true}},
			{"token again", w.auth.Load, []option{bearer(s.Tokens.SessionToken)}, middleware.Explanation{Outcome: "session", Status: 200, Reason: "Stytch confirmed it a moment ago", Carrier: "bearer", Credential: "session token", Source: "local"}},
			{"step-up", w.auth.RequireMFA, []option{bearer(s.Tokens.SessionJWT)}, middleware.Explanation{Outcome: "step-up", Status: 401, Reason: "the factors do not meet the guard's requirements", Carrier: "bearer", Credential: "session JWT", Key: "known", Age: 90 * time.Second, Source: "remote", Called: true, Guard: "session, MFA"}},
			{"forged", w.auth.Require(middleware.Within(time.Minute), middleware.MinFactors(2), middleware.Fresh), []option{bearer(w.project.MintJWT(s.ID, stytchtest.Mint{Forged: true}))}, middleware.Explanation{Outcome: "no session", Status: 401, Reason: "session JWT is not valid: wrong signature", Carrier: "bearer", Credential: "session JWT", Guard: "session, MFA within 1m0s, factors ≥ 2, fresh"}},
			{"gone", w.auth.RequireSession, []option{cookies(w.stale(gone))}, middleware.Explanation{Outcome: "no session", Status: 401, Reason: "session is over", Carrier: "cookies", Credential: "both", Key: "known", Age: 10 * time.Minute, Called: true, Guard: "session"}},
			{"unknown key beside a token", w.auth.Load, []option{cookies(middleware.Tokens{SessionToken: s.Tokens.SessionToken, SessionJWT: w.project.MintJWT(s.ID, stytchtest.Mint{UnknownKey: true})})},
				middleware.Explanation{Outcome: "session", Status: 200, Reason: "Stytch confirmed it a moment ago for the session token; session JWT was signed with an unknown key", Carrier: "cookies", Credential: "both", Key: "unknown", Source: "local"}},
			{"cross-site", w.auth.RequireSession, []option{cookies(s.Tokens), method("POST"), header("Sec-Fetch-Site", "cross-site")}, middleware.Explanation{Outcome: "cross-site", Status: 403, Reason: "Sec-Fetch-Site or Origin names another site", Carrier: "cookies", Credential: "both", Guard: "session"}},
			{"two headers", w.auth.RequireSession, []option{header("Authorization", "Bearer a"), header("Authorization", "Bearer b")}, middleware.Explanation{Outcome: "invalid request", Status: 400, Reason: "two headers carry credentials", Carrier: "bearer", Credential: "none", Guard: "session"}},
		} {
			explained = middleware.Explanation{}
			w.get(c.guard(seesIt), c.with...)
			if explained != c.want {
				t.Errorf("%s:\n got %v\nwant %v", c.name, explained, c.want)
			}
		}
		w.project.FailAPI(stytchtest.Down())
		w.get(w.auth.RequireSession(seesIt), cookies(w.stale(down)))
		if explained.Outcome != "unavailable" || explained.Status != 503 || explained.Key != "known" {
			t.Errorf("%v", explained)
		}
		// Without a guard: decided now, nothing written.
		r := httptest.NewRequest("GET", "/", nil)
		stytchtest.AddBearer(r, s.Tokens.SessionJWT)
		if e := w.auth.Explain(r); e.Outcome != "session" || e.Guard != "" {
			t.Errorf("%v", e)
		}
		text := logged.String()
		for _, want := range []string{`outcome=step-up`, `guard="session, MFA"`, `reason="session JWT is not valid: wrong signature"`, `source=local`, `age=1m30s`} {
			if !strings.Contains(text, want) {
				t.Errorf("the log has no %s", want)
			}
		}
		for _, secret := range []string{s.Tokens.SessionToken, s.Tokens.SessionJWT[len(s.Tokens.SessionJWT)-20:], s.Tokens.SessionJWT[:20]} {
			if strings.Contains(text, secret) || strings.Contains(explained.String(), secret) {
				t.Error("a token was logged")
			}
		}
		if got := (middleware.Explanation{Outcome: "session", Status: 200, Reason: "a b", Carrier: "none", Credential: "none"}).String(); got != `outcome=session status=200 reason="a b" carrier=none credential=none called=false` {
			t.Error(got)
		}
	})
}
