package middleware_test

import (
	"fmt"
	"runtime"
	"slices"
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

// heard collects events.
type heard struct {
	mu     sync.Mutex
	events []middleware.Event
}

func (h *heard) hear(e middleware.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

// take returns what was heard since the last time.
func (h *heard) take() []middleware.Event {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.events
	h.events = nil
	return all
}

func (w *world) listen() *heard {
	h := &heard{}
	w.auth.OnChange(h.hear)
	return h
}

// names are the events as "change by cause".
func names(events []middleware.Event) string {
	var all []string
	for _, e := range events {
		all = append(all, e.Change.String()+" by "+e.Cause)
	}
	return strings.Join(all, ", ")
}

func TestChangeNames(t *testing.T) {
	for c, want := range map[middleware.Change]string{
		0: "none", middleware.Authenticated: "authenticated", middleware.Refreshed: "refreshed", middleware.Extended: "extended",
		middleware.FactorsChanged: "factors_changed", middleware.Hydrated: "hydrated", middleware.Revoked: "revoked",
		middleware.Expired: "expired", middleware.Gone: "gone", 77: "change(77)",
	} {
		text, err := c.MarshalText()
		if got := c.String(); got != want || string(text) != want || err != nil {
			t.Errorf("%d is %q, %q, %v; want %q", uint8(c), got, text, err, want)
		}
	}
}

// accessedNow mints the JWT that Stytch makes when the session is used now.
func (w *world) accessedNow(s stytchtest.Session) string {
	return w.project.MintJWT(s.ID, stytchtest.Mint{SessionClaim: map[string]any{"last_accessed_at": time.Now().UTC().Format(time.RFC3339)}})
}

// What happens to a session is told once, with what it was before and why.
func TestOnChange(t *testing.T) {
	refresh := func(d time.Duration) func(*world, stytchtest.Session) {
		return func(w *world, s stytchtest.Session) {
			if _, _, err := w.refresh(d, cookies(s.Tokens)); err != nil {
				w.Error(err)
			}
		}
	}
	visit := func(w *world, s stytchtest.Session) { w.get(nil, cookies(s.Tokens)) }
	for _, c := range []struct {
		name string
		do   func(w *world, s stytchtest.Session)
		want string
	}{
		{"the same JWT again", visit, ""},
		{"another JWT of before", func(w *world, s stytchtest.Session) {
			w.get(nil, bearer(w.project.MintJWT(s.ID, stytchtest.Mint{SessionClaim: map[string]any{
				"last_accessed_at": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "authentication_factors": []any{}}})))
		}, ""},
		{"refresh", refresh(0), "refreshed by refresh"},
		{"extension", refresh(3 * time.Hour), "extended by refresh"},
		{"shortening", refresh(5 * time.Minute), "refreshed by refresh"},
		{"stale JWT", func(w *world, s stytchtest.Session) { w.get(nil, cookies(w.stale(s))) }, "refreshed by request"},
		{"step-up, seen by a guard", func(w *world, s stytchtest.Session) {
			w.project.AddFactor(s.ID, stytchtest.SMS())
			w.get(w.auth.RequireMFA(w.report()), cookies(s.Tokens))
		}, "factors_changed by guard"},
		{"step-up, seen in a new JWT", func(w *world, s stytchtest.Session) {
			w.project.AddFactor(s.ID, stytchtest.SMS())
			w.get(nil, bearer(w.accessedNow(s)))
		}, "factors_changed by request"},
		{"step-up and extension", func(w *world, s stytchtest.Session) {
			w.project.AddFactor(s.ID, stytchtest.SMS())
			refresh(3*time.Hour)(w, s)
		}, "factors_changed by refresh, extended by refresh"},
		{"hydration of a known session", func(w *world, s stytchtest.Session) {
			if _, _, err := w.hydrate(s.Tokens); err != nil {
				w.Error(err)
			}
		}, "hydrated by hydrate"},
		{"hydration of a new one", func(w *world, s stytchtest.Session) {
			if _, _, err := w.hydrate(w.login().Tokens); err != nil {
				w.Error(err)
			}
		}, "hydrated by hydrate"},
		{"logout", func(w *world, s stytchtest.Session) { _, _ = w.revoke(cookies(s.Tokens)) }, "revoked by revoke"},
		{"logout, then the JWT again", func(w *world, s stytchtest.Session) {
			_, _ = w.revoke(cookies(s.Tokens))
			visit(w, s)
			_, _ = w.revoke(cookies(s.Tokens))
		}, "revoked by revoke"},
		{"logout elsewhere", func(w *world, s stytchtest.Session) {
			w.project.Revoke(s.ID)
			w.get(nil, cookies(w.stale(s)))
			w.get(nil, cookies(w.stale(s)))
		}, ""},
		{"logout elsewhere, asked by JWT", func(w *world, s stytchtest.Session) {
			w.project.Revoke(s.ID)
			w.get(nil, bearer(w.stale(s).SessionJWT))
			w.get(nil, cookies(w.stale(s)))
		}, "gone by stytch"},
		{"logout elsewhere, of a token that was seen", func(w *world, s stytchtest.Session) {
			w.get(nil, cookies(w.stale(s)))
			w.project.Revoke(s.ID)
			advance(11 * time.Second)
			w.get(nil, cookies(w.stale(s)))
			w.get(nil, cookies(w.stale(s)))
		}, "refreshed by request, gone by stytch"},
		{"expiry", func(*world, stytchtest.Session) { advance(time.Hour) }, "expired by time"},
		{"expiry, to the nanosecond", func(*world, stytchtest.Session) { advance(time.Hour - 2*time.Second - 1) }, ""},
		{"expiry after an extension", func(w *world, s stytchtest.Session) {
			refresh(3*time.Hour)(w, s)
			advance(2 * time.Hour)
		}, "extended by refresh"},
		{"expiry of what was extended", func(w *world, s stytchtest.Session) {
			refresh(3*time.Hour)(w, s)
			advance(3 * time.Hour)
		}, "extended by refresh, expired by time"},
		{"a forged JWT", func(w *world, s stytchtest.Session) {
			w.get(nil, bearer(w.project.MintJWT(s.ID, stytchtest.Mint{Forged: true})))
		}, ""},
		{"an outage", func(w *world, s stytchtest.Session) {
			w.project.FailAPI(stytchtest.Down())
			w.get(nil, cookies(w.stale(s)))
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				s := w.project.Login(stytchtest.Login{Duration: time.Hour})
				h := w.listen()
				w.get(nil, cookies(s.Tokens))
				first := h.take()
				if got := names(first); got != "authenticated by request" {
					t.Fatal(got)
				}
				if e := first[0]; e.SessionID != s.ID || e.Session.ID() != s.ID || e.Previous != nil || !e.At.Equal(time.Now()) || e.Dropped != 0 {
					t.Errorf("%+v", e)
				}
				advance(2 * time.Second) // Stytch's times are in seconds
				c.do(w, s)
				got := h.take()
				if names(got) != c.want {
					t.Errorf("%s; want %s", names(got), c.want)
				}
				for _, e := range got {
					if e.SessionID == s.ID && (e.Session == nil || e.Previous == nil || e.Previous.ID() != s.ID) {
						t.Errorf("%s: session %v, before %v", e.Change, e.Session, e.Previous)
					}
					if e.Change == middleware.FactorsChanged && e.Session.NumFactors() != e.Previous.NumFactors()+1 {
						t.Errorf("%d factors, before %d", e.Session.NumFactors(), e.Previous.NumFactors())
					}
				}
			})
		})
	}
}

// A change within the very instant in which the session was seen is told too.
func TestOnChangeAtOnce(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s, h := w.login(), w.listen()
		w.get(nil, cookies(s.Tokens))
		_, _, _ = w.refresh(3*time.Hour, cookies(s.Tokens))
		if got := names(h.take()); got != "authenticated by request, extended by refresh" {
			t.Error(got)
		}
	})
}

// Two tabs, one with the JWT of before a step-up: no flapping. An answer with
// more digits in its times, or other order of factors, is no change either.
func TestOnChangeDoesNotFlap(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s, h := w.login(stytchtest.EmailMagicLink()), w.listen()
		old := s.Tokens
		w.get(nil, cookies(old))
		advance(2 * time.Second)
		w.project.AddFactor(s.ID, stytchtest.SMS())
		stepped := middleware.Tokens{SessionToken: old.SessionToken, SessionJWT: w.accessedNow(s)}
		w.get(nil, cookies(stepped))
		if got := names(h.take()); got != "authenticated by request, factors_changed by request" {
			t.Error(got)
		}
		for range 10 {
			w.get(nil, cookies(old))
			w.get(nil, bearer(stepped.SessionJWT))
		}
		if got := names(h.take()); got != "" {
			t.Error(got)
		}
		w.project.FailAPI(stytchtest.Rewrite(func(answer map[string]any) {
			session := answer["session"].(map[string]any)
			finer := func(m map[string]any, name string) {
				m[name] = strings.TrimSuffix(m[name].(string), "Z") + ".123456789Z"
			}
			finer(session, "last_accessed_at")
			finer(session, "expires_at")
			factors := session["authentication_factors"].([]any)
			slices.Reverse(factors)
			for _, f := range factors {
				finer(f.(map[string]any), "last_authenticated_at")
			}
		}))
		for range 3 {
			advance(2 * time.Second)
			if _, _, err := w.refresh(0, cookies(stepped)); err != nil {
				t.Fatal(err)
			}
			if got := names(h.take()); got != "refreshed by refresh" {
				t.Error(got)
			}
			w.get(nil, bearer(w.project.MintJWT(s.ID, stytchtest.Mint{})))
			if got := names(h.take()); got != "" {
				t.Errorf("a JWT after it: %s", got)
			}
		}
	})
}

// A request that was let in before the session ended may be told of after it:
// that does not bring the session back.
func TestOnChangeEndIsTheEnd(t *testing.T) {
	for name, end := range map[string]struct {
		do   func(w *world, s stytchtest.Session)
		want string
	}{
		"revoked": {func(w *world, s stytchtest.Session) { _, _ = w.revoke(bearer(s.Tokens.SessionJWT)) }, "revoked by revoke"},
		"expired": {func(*world, stytchtest.Session) { advance(2 * time.Second) }, "expired by time"},
	} {
		inWorld(t, nil, func(w *world) {
			s := w.project.Login(stytchtest.Login{Duration: 2 * time.Second})
			h := w.listen()
			w.get(nil, cookies(s.Tokens))
			first := h.take()
			end.do(w, s)
			middleware.Saw(w.auth, first[0].Session.As(sessionctx.Remote, time.Now()))
			if got := names(h.take()); got != end.want {
				t.Errorf("%s: %s", name, got)
			}
		})
	}
}

// Subscribers that block for ever or panic hurt neither requests nor others,
// and what is dropped is counted just where it is missing.
func TestSubscribersThatMisbehave(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		forever := make(chan struct{})
		defer close(forever)
		w.auth.OnChange(func(middleware.Event) { <-forever })
		var panics atomic.Int32
		w.auth.OnChange(func(middleware.Event) { panics.Add(1); panic("hunter2") })
		w.auth.OnChange(nil)
		h := w.listen()
		slow := &heard{}
		gate := make(chan struct{})
		w.auth.OnChange(func(e middleware.Event) { <-gate; slow.hear(e) })

		s := w.login()
		w.get(nil, cookies(s.Tokens))
		synctest.Wait() // the slow ones hold the first event
		const n = 300
		for range n {
			advance(time.Second)
			if _, _, err := w.refresh(0, bearer(s.Tokens.SessionToken)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if got := len(h.take()); got != n+1 {
			t.Errorf("%d events, want %d", got, n+1)
		}
		if got := panics.Load(); got != n+1 {
			t.Errorf("the one that panics was called %d times", got)
		}
		close(gate)
		got := slow.take()
		if len(got) != 1+256 {
			t.Errorf("the slow one got %d", len(got))
		}
		for i, e := range got {
			if e.Dropped != 0 {
				t.Errorf("event %d: %d dropped before it", i, e.Dropped)
			}
		}
		_, _ = w.revoke(bearer(s.Tokens.SessionJWT))
		if got := slow.take(); names(got) != "revoked by revoke" || got[0].Dropped != n-256 {
			t.Errorf("%s, dropped %d", names(got), got[0].Dropped)
		}
		shown := w.get(w.auth.Debug(), page)
		if want := fmt.Sprintf("<td>events dropped for slow subscribers</td><td>%d</td>", n-256+(n+1-256)); !strings.Contains(shown.body, want) {
			t.Errorf("no %s in %s", want, shown.body)
		}
		// One that blocks for ever does not hang Close.
		if err := w.auth.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Everything may be called from inside a callback.
func TestInsideTheCallback(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		var unsubscribe func()
		var once, inner atomic.Int32
		unsubscribe = w.auth.OnChange(func(middleware.Event) {
			once.Add(1)
			unsubscribe()
			unsubscribe()
			w.auth.OnChange(func(middleware.Event) { inner.Add(1) })
		})
		w.get(nil, cookies(w.login().Tokens))
		synctest.Wait()
		w.get(nil, cookies(w.login().Tokens))
		synctest.Wait()
		if once.Load() != 1 || inner.Load() != 1 {
			t.Errorf("%d calls of the one that left, %d of the one it brought", once.Load(), inner.Load())
		}
		closed := make(chan error, 1)
		w.auth.OnChange(func(middleware.Event) {
			select {
			case closed <- w.auth.Close():
			default:
			}
		})
		w.get(nil, cookies(w.login().Tokens))
		synctest.Wait()
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if inner.Load() > 2 {
			t.Errorf("%d", inner.Load())
		}
		h := w.listen() // after Close nobody is told
		w.get(nil, cookies(w.login().Tokens))
		if got := names(h.take()); got != "" {
			t.Error(got)
		}
	})
	(&middleware.Authenticator{}).OnChange(func(middleware.Event) { t.Error("told by the zero Authenticator") })()
}

// What nobody listens to is not kept, and no more than 10,000 sessions are.
func TestTrackedSessionsAreBounded(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		if n := middleware.Tracked(w.auth); n != 0 {
			t.Errorf("%d", n)
		}
		var expired atomic.Int32
		unsubscribe := w.auth.OnChange(func(e middleware.Event) {
			if e.Change == middleware.Expired {
				expired.Add(1)
			}
		})
		now := time.Now()
		for i := range 10_500 {
			middleware.Saw(w.auth, sessionctx.New(sessionctx.Data{ID: fmt.Sprint("s", i), ExpiresAt: now.Add(time.Hour + time.Duration(i)*time.Second), Source: sessionctx.Remote}))
			if i%200 == 0 {
				synctest.Wait()
			}
		}
		if n := middleware.Tracked(w.auth); n != 10_000 {
			t.Errorf("%d tracked", n)
		}
		// The first 500 made room; the next to end is number 500.
		synctest.Wait()
		advance(time.Hour + 499*time.Second)
		synctest.Wait()
		if n := expired.Load(); n != 0 {
			t.Errorf("%d expired", n)
		}
		advance(2 * time.Second)
		synctest.Wait()
		if n := expired.Load(); n != 2 {
			t.Errorf("%d expired, want 2", n)
		}
		unsubscribe()
		if n := middleware.Tracked(w.auth); n != 0 {
			t.Errorf("%d tracked for nobody", n)
		}
	})
}

// Who subscribes after all others have left hears of a session anew.
func TestOnChangeAnew(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		for range 3 {
			h := &heard{}
			off := w.auth.OnChange(h.hear)
			for range 3 {
				w.get(nil, cookies(s.Tokens))
			}
			if got := names(h.take()); got != "authenticated by request" {
				t.Error(got)
			}
			off()
			w.get(nil, cookies(s.Tokens))
			if got := names(h.take()); got != "" {
				t.Errorf("after it left: %s", got)
			}
		}
	})
}

// Sessions that change under many requests, subscribers that come and go, and
// Close in the middle: order per session holds, and nothing is left.
func TestOnChangeRaces(t *testing.T) {
	before := runtime.NumGoroutine()
	inWorld(t, nil, func(w *world) {
		h := w.listen()
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				s := w.login()
				w.get(nil, cookies(s.Tokens))
				off := w.auth.OnChange(func(middleware.Event) { advance(time.Millisecond) })
				for k := range 5 {
					advance(time.Second)
					_, _, _ = w.refresh(time.Duration(k%2)*2*time.Hour, bearer(s.Tokens.SessionToken))
				}
				off()
				if i%2 == 0 {
					_, _ = w.revoke(bearer(s.Tokens.SessionToken))
				}
			})
		}
		wg.Wait()
		advance(time.Second)
		last := map[string]middleware.Event{}
		ends := 0
		for _, e := range h.take() {
			before, had := last[e.SessionID]
			switch {
			case !had != (e.Change == middleware.Authenticated):
				t.Errorf("%s after %s", e.Change, before.Change)
			case had && e.Previous != before.Session:
				t.Errorf("%s: what it was before is not what it was before", e.Change)
			case before.Change == middleware.Revoked:
				t.Errorf("%s after the end", e.Change)
			}
			if e.Change == middleware.Revoked {
				ends++
			}
			last[e.SessionID] = e
		}
		if len(last) != 20 || ends != 10 {
			t.Errorf("%d sessions, %d ends", len(last), ends)
		}
	})
	noneLeft(t, before)
}
