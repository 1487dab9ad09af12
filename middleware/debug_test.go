package middleware_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

// rows reads the debug page: what stands beside each name.
func (w *world) rows() map[string]string {
	w.Helper()
	got := w.get(w.auth.Debug())
	if got.StatusCode != 200 || got.Header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/html") ||
		!strings.HasPrefix(got.Header.Get("Content-Security-Policy"), "default-src 'none'") || got.Header.Get("X-Content-Type-Options") != "nosniff" {
		w.Errorf("%d %v", got.StatusCode, got.Header)
	}
	all := map[string]string{}
	for _, m := range regexp.MustCompile(`<tr( class="bad")?><td>([^<]*)</td><td>([^<]*)</td></tr>`).FindAllStringSubmatch(got.body, -1) {
		all[m[2]] = m[3]
		if m[1] != "" {
			all[m[2]] += " !"
		}
	}
	return all
}

// The page shows what happened, marks what needs a look, and names nobody.
func TestDebug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stytchtest.New(stytchtest.Options{})
		p.FailKeys(stytchtest.Error(500, ""))
		w := newWorld(t, p, func(c *middleware.Config) {
			c.OpaqueRate, c.OpaqueBurst, c.DangerouslyServeStale = 1, 1, time.Minute
		})
		has := func(want map[string]string) {
			t.Helper()
			got := w.rows()
			for name, value := range want {
				if got[name] != value {
					t.Errorf("%s: %q, want %q", name, got[name], value)
				}
			}
		}
		synctest.Wait()
		has(map[string]string{"usable keys": "0 !", "fetched": "never !", "fetches that failed since": "1 !", "session, decided here": "0",
			"budget left for tokens never seen": "1", "calls refused by a limit here": "0", "paused after a 429": "no", "breaker": "closed"})
		w.project.FailKeys(nil)
		advance(3 * time.Second)

		s := w.login()
		other := w.login()
		w.get(nil)
		w.get(nil, cookies(s.Tokens))
		w.get(nil, cookies(w.stale(s)))
		w.get(nil, bearer(s.Tokens.SessionToken))
		w.get(nil, bearer(other.Tokens.SessionToken))
		w.get(nil, bearer(w.login().Tokens.SessionToken)) // the budget
		w.get(w.auth.RequireMFA(w.report()), bearer(s.Tokens.SessionJWT))
		w.get(nil, bearer(s.Tokens.SessionJWT), header("Authorization", "Bearer x"))
		w.get(nil, cookies(s.Tokens), method("POST"), crossSite)
		_, cancel := w.follow(cookies(s.Tokens))
		w.auth.OnChange(func(middleware.Event) {})
		_, _ = w.revoke(cookies(other.Tokens))
		has(map[string]string{
			"session, decided here": "4", "session, Stytch asked": "2", "session, past its time in an outage": "0",
			"no session": "1", "step-up demanded": "1", "invalid request": "1", "cross-site request": "1", "could not be decided (503)": "1",
			"authenticate calls": "3", "revoke calls": "1", "retries after a broken connection": "0", "calls under way": "0",
			"usable keys": "1", "fetched": "1s ago", "fetches that failed since": "0",
			"budget left for tokens never seen": "0 !", "refused by that budget": "1", "revocations": "1",
			"session cookies set": "2", "session cookies cleared": "2", "session cookies too large to set": "0",
			"subscribers of OnChange": "1", "contexts that follow a session": "1", "events dropped for slow subscribers": "0",
			"logouts waiting to be repeated": "0",
		})
		page := w.get(w.auth.Debug()).body
		for _, secret := range []string{s.ID, s.UserID, s.Tokens.SessionToken, s.Tokens.SessionJWT, w.project.Secret(), w.project.ID(), w.project.KeyID(), "session-test", "user-test"} {
			if strings.Contains(page, secret) {
				t.Errorf("%.20s is on the page", secret)
			}
		}
		cancel()
		w.project.FailAPI(stytchtest.TooManyRequests("20"))
		third := w.login()
		if got := w.get(nil, cookies(w.stale(third))); got.seen.Status != 503 {
			t.Errorf("%+v", got.seen)
		}
		_, _ = w.revoke(cookies(s.Tokens))
		synctest.Wait()
		has(map[string]string{"paused after a 429": "for another 20s !", "logouts waiting to be repeated": "1 !", "contexts that follow a session": "0"})
		w.get(nil, bearer(w.project.MintJWT(third.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-5*time.Minute - 30*time.Second)})))
		has(map[string]string{"session, past its time in an outage": "1 !"})
		advance(time.Hour) // the logout reached Stytch or was given up
		w.project.FailAPI(stytchtest.Down())
		for range 6 {
			w.get(nil, cookies(w.stale(third)))
		}
		if got := w.rows(); got["breaker"] != "open: one call a second tries !" {
			t.Errorf("breaker: %q", got["breaker"])
		}
	})
	got := httptest.NewRecorder()
	(&middleware.Authenticator{}).Debug().ServeHTTP(got, httptest.NewRequest("GET", "/", nil))
	if got.Code != http.StatusServiceUnavailable {
		t.Errorf("zero: %d", got.Code)
	}
}

// Ready from the first key set on, through failed fetches, until the set is too
// old to be used.
func TestReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stytchtest.New(stytchtest.Options{})
		p.FailKeys(stytchtest.Error(500, ""))
		w := newWorld(t, p, nil)
		unready := func(when string, want bool) {
			t.Helper()
			synctest.Wait()
			err := w.auth.Ready()
			if (err != nil) != want || want && (!errors.Is(err, middleware.ErrUnavailable) || middleware.RetryAfter(err) < time.Second) {
				t.Errorf("%s: %v", when, err)
			}
		}
		unready("before the first key set", true)
		before := w.project.Calls().KeySet
		for range 100 {
			_ = w.auth.Ready()
		}
		if n := w.project.Calls().KeySet; n != before {
			t.Errorf("%d key fetches", n-before)
		}
		w.project.FailKeys(nil)
		advance(3 * time.Second)
		unready("with keys", false)
		w.project.FailKeys(stytchtest.Error(500, ""))
		advance(23 * time.Hour)
		unready("keys of yesterday", false)
		advance(2 * time.Hour)
		unready("keys older than a day", true)
		w.project.FailKeys(nil)
		advance(time.Hour)
		unready("with new keys", false)
		_ = w.auth.Close()
	})
	if err := (&middleware.Authenticator{}).Ready(); !errors.Is(err, middleware.ErrUnavailable) {
		t.Errorf("zero: %v", err)
	}
}
