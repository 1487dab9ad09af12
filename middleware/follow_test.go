package middleware_test

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

// follow follows the session of a request behind Load.
func (w *world) follow(options ...option) (ctx context.Context, cancel context.CancelFunc) {
	w.Helper()
	w.get(w.auth.Load(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ctx, cancel = w.auth.Follow(r.Context())
	})), options...)
	w.Cleanup(cancel)
	return ctx, cancel
}

// ends asserts that ctx ends now, not before, and why. nil: it does not.
func (w *world) ends(ctx context.Context, now func(), want error) {
	w.Helper()
	synctest.Wait()
	if err := context.Cause(ctx); err != nil {
		w.Errorf("ended too early: %v", err)
		return
	}
	now()
	synctest.Wait()
	if err := context.Cause(ctx); want == nil && err != nil || !errors.Is(err, want) {
		w.Errorf("ended with %v, want %v", err, want)
	}
}

func TestFollowEnds(t *testing.T) {
	errParent := errors.New("the parent's reason")
	for _, c := range []struct {
		name string
		now  func(w *world, s stytchtest.Session)
		want error // nil: it goes on
	}{
		{"a nanosecond before expiry", func(*world, stytchtest.Session) { advance(10*time.Minute - 1) }, nil},
		{"at expiry", func(*world, stytchtest.Session) { advance(10 * time.Minute) }, middleware.ErrNoSession},
		{"revoked by a bearer", func(w *world, s stytchtest.Session) { _, _ = w.revoke(bearer(s.Tokens.SessionJWT)) }, middleware.ErrNoSession},
		{"revoked by cookies", func(w *world, s stytchtest.Session) { _, _ = w.revoke(cookies(s.Tokens)) }, middleware.ErrNoSession},
		{"revoked in an outage", func(w *world, s stytchtest.Session) {
			w.project.FailAPI(stytchtest.Down())
			_, _ = w.revoke(cookies(s.Tokens))
		}, middleware.ErrNoSession},
		{"revoked by a token that was seen", func(w *world, s stytchtest.Session) {
			w.get(nil, bearer(s.Tokens.SessionToken))
			_, _ = w.revoke(bearer(s.Tokens.SessionToken))
		}, middleware.ErrNoSession},
		{"another one revoked", func(w *world, s stytchtest.Session) {
			_, _ = w.revoke(cookies(w.project.Login(stytchtest.Login{UserID: s.UserID}).Tokens))
		}, nil},
		{"revoked elsewhere, unnoticed", func(w *world, s stytchtest.Session) { w.project.Revoke(s.ID) }, nil},
		{"found to be gone by a stale pair", func(w *world, s stytchtest.Session) {
			w.project.Revoke(s.ID)
			w.get(nil, cookies(w.stale(s)))
		}, middleware.ErrNoSession},
		{"found to be gone by a stale JWT", func(w *world, s stytchtest.Session) {
			w.project.Revoke(s.ID)
			w.get(nil, bearer(w.stale(s).SessionJWT))
		}, middleware.ErrNoSession},
		{"found to be gone by Fresh", func(w *world, s stytchtest.Session) {
			w.project.Revoke(s.ID)
			w.get(w.auth.Require(middleware.Fresh)(w.report()), bearer(s.Tokens.SessionJWT))
		}, middleware.ErrNoSession},
		{"found to be gone by a token that was seen", func(w *world, s stytchtest.Session) {
			w.get(nil, bearer(s.Tokens.SessionToken))
			w.project.Revoke(s.ID)
			advance(31 * time.Second)
			w.get(nil, bearer(s.Tokens.SessionToken))
		}, middleware.ErrNoSession},
		{"found to be gone by Refresh", func(w *world, s stytchtest.Session) {
			w.project.Revoke(s.ID)
			_, _, _ = w.refresh(0, cookies(s.Tokens))
		}, middleware.ErrNoSession},
		{"an outage", func(w *world, s stytchtest.Session) {
			w.project.FailAPI(stytchtest.Error(500, ""))
			_, _, _ = w.refresh(0, cookies(s.Tokens))
		}, nil},
		{"a forged JWT of the session", func(w *world, s stytchtest.Session) {
			forged := bearer(w.project.MintJWT(s.ID, stytchtest.Mint{Forged: true}))
			w.get(nil, forged)
			_, _ = w.revoke(forged)
		}, nil},
		{"Close", func(w *world, _ stytchtest.Session) { _ = w.auth.Close() }, middleware.ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				s := w.project.Login(stytchtest.Login{Duration: 10 * time.Minute})
				ctx, cancel := w.follow(cookies(s.Tokens))
				w.ends(ctx, func() { c.now(w, s) }, c.want)
				n := middleware.SizesOf(w.auth).Followers
				if (n == 0) != (c.want != nil) {
					t.Errorf("%d entries", n)
				}
				cancel()
				synctest.Wait()
				if n := middleware.SizesOf(w.auth).Followers; n != 0 {
					t.Errorf("%d entries are left", n)
				}
			})
		})
	}
	inWorld(t, nil, func(w *world) {
		parent, end := context.WithCancelCause(w.Context())
		ctx, _ := w.follow(cookies(w.login().Tokens), func(r *http.Request) { *r = *r.WithContext(parent) })
		w.ends(ctx, func() { end(errParent) }, errParent)
		ctx, cancel := w.follow(cookies(w.login().Tokens))
		w.ends(ctx, cancel, context.Canceled)
		cancel()
		if n := middleware.SizesOf(w.auth).Followers; n != 0 {
			t.Errorf("%d entries are left", n)
		}
	})
}

// The end of what follows is the end of the session as it is known last.
func TestFollowMoves(t *testing.T) {
	type step struct {
		after time.Duration
		do    func(w *world, s stytchtest.Session)
	}
	refresh := func(d time.Duration) func(*world, stytchtest.Session) {
		return func(w *world, s stytchtest.Session) {
			if _, _, err := w.refresh(d, cookies(s.Tokens)); err != nil {
				w.Error(err)
			}
		}
	}
	for _, c := range []struct {
		name  string
		steps []step
		end   time.Duration // after the login
		lives time.Duration // the session at first; 0: 10 minutes
	}{
		{"extended", []step{{5 * time.Minute, refresh(time.Hour)}}, time.Hour + 5*time.Minute, 0},
		{"at once", []step{{0, refresh(time.Hour)}}, time.Hour, 0},
		{"twice", []step{{5 * time.Minute, refresh(time.Hour)}, {30 * time.Minute, refresh(time.Hour)}}, 95 * time.Minute, 0},
		{"not extended", []step{{4 * time.Minute, refresh(0)}}, 10 * time.Minute, 0},
		{"shortened", []step{{time.Minute, refresh(5 * time.Minute)}}, 6 * time.Minute, 0},
		{"extended and shortened", []step{{time.Minute, refresh(time.Hour)}, {time.Minute, refresh(5 * time.Minute)}}, 7 * time.Minute, 0},
		{"another session's", []step{{time.Minute, func(w *world, s stytchtest.Session) {
			refresh(time.Hour)(w, w.project.Login(stytchtest.Login{UserID: s.UserID}))
		}}}, 10 * time.Minute, 0},
		// An answer from before the extension says nothing against it. (The
		// session would have ended before Follow asks by itself.)
		{"an older answer", []step{
			{0, func(w *world, s stytchtest.Session) { w.get(nil, bearer(s.Tokens.SessionToken)) }},
			{time.Second, func(w *world, s stytchtest.Session) {
				if _, _, err := w.refresh(5*time.Minute, bearer(s.Tokens.SessionJWT)); err != nil {
					w.Error(err)
				}
			}},
			{time.Second, func(w *world, s stytchtest.Session) {
				if got := w.get(nil, bearer(s.Tokens.SessionToken)); got.seen.Source != "local" {
					w.Errorf("%+v", got.seen)
				}
			}},
		}, 5*time.Minute + time.Second, 2 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				start := time.Now()
				s := w.project.Login(stytchtest.Login{Duration: cmp.Or(c.lives, 10*time.Minute)})
				ctx, _ := w.follow(cookies(s.Tokens))
				for _, step := range c.steps {
					advance(step.after)
					step.do(w, s)
				}
				w.ends(ctx, func() { advance(time.Until(start.Add(c.end - 1))) }, nil)
				w.ends(ctx, func() { advance(1) }, middleware.ErrNoSession)
			})
		})
	}
}

// A token beside the JWT that is of another session of the user does not keep
// alive what follows the JWT's session.
func TestFollowPairOfTwoSessions(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.project.Login(stytchtest.Login{Duration: 24 * time.Hour})
		other := w.project.Login(stytchtest.Login{UserID: s.UserID, Duration: 24 * time.Hour})
		pair := cookies(middleware.Tokens{SessionToken: other.Tokens.SessionToken, SessionJWT: s.Tokens.SessionJWT})
		ctx, _ := w.follow(pair)
		w.ends(ctx, func() { advance(time.Hour) }, nil)
		w.project.Revoke(s.ID)
		w.ends(ctx, func() { advance(5 * time.Minute) }, middleware.ErrNoSession)
		if got := w.get(nil, bearer(other.Tokens.SessionToken)); got.seen.SessionID != other.ID {
			t.Errorf("%+v", got.seen)
		}
	})
}

func TestFollowWithoutSession(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s, dead := w.login(), w.login()
		w.project.Revoke(dead.ID)
		for name, c := range map[string]struct {
			with []option
			want error
		}{
			"nothing":    {nil, middleware.ErrNoSession},
			"gone":       {[]option{cookies(w.stale(dead))}, middleware.ErrNoSession},
			"cross-site": {[]option{cookies(s.Tokens), method("POST"), crossSite}, middleware.ErrCrossSite},
			"malformed":  {[]option{bearer("a b")}, middleware.ErrNoSession},
		} {
			ctx, _ := w.follow(c.with...)
			if err := context.Cause(ctx); !errors.Is(err, c.want) || ctx.Err() == nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		// Neither Load nor a guard, or those of another Authenticator.
		ctx, cancel := w.auth.Follow(w.Context())
		defer cancel()
		if err := context.Cause(ctx); !errors.Is(err, middleware.ErrNoSession) {
			t.Error(err)
		}
		other := newWorld(w.T, w.project, nil)
		w.get(w.auth.Load(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			ctx, cancel := other.auth.Follow(r.Context())
			defer cancel()
			if err := context.Cause(ctx); !errors.Is(err, middleware.ErrNoSession) {
				t.Error(err)
			}
		})), cookies(s.Tokens))
		// Revoked between the guard and Follow.
		w.get(w.auth.RequireSession(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if err := w.auth.Revoke(rw, r); err != nil {
				t.Error(err)
			}
			ctx, cancel := w.auth.Follow(r.Context())
			defer cancel()
			if err := context.Cause(ctx); !errors.Is(err, middleware.ErrNoSession) {
				t.Errorf("%v after the logout", err)
			}
		})), cookies(s.Tokens))
		w.project.FailAPI(stytchtest.Down())
		ctx, _ = w.follow(cookies(w.stale(w.login())))
		if err := context.Cause(ctx); !errors.Is(err, middleware.ErrUnavailable) {
			t.Error(err)
		}
		// After Close nothing is followed any more.
		alive := w.login()
		_ = w.auth.Close()
		ctx, _ = w.follow(cookies(alive.Tokens))
		if err := context.Cause(ctx); !errors.Is(err, middleware.ErrUnavailable) {
			t.Error(err)
		}
		synctest.Wait()
		if n := middleware.SizesOf(w.auth).Followers; n != 0 {
			t.Errorf("%d entries", n)
		}
	})
}

// Many at once, ended in every way at the same time: nothing is left.
func TestFollowMany(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		var all []stytchtest.Session
		for range 5 {
			all = append(all, w.project.Login(stytchtest.Login{Duration: 10 * time.Minute}))
		}
		var wg sync.WaitGroup
		for i := range 200 {
			s := all[i%len(all)]
			ctx, cancel := w.follow(cookies(s.Tokens))
			wg.Go(func() {
				if i%7 == 0 {
					cancel()
				}
				if i%50 == 3 {
					_, _, _ = w.refresh(time.Hour, cookies(s.Tokens))
				}
				<-ctx.Done()
			})
		}
		advance(time.Minute)
		_, _ = w.revoke(cookies(all[0].Tokens))
		advance(10 * time.Minute)
		for _, s := range all {
			wg.Go(func() { _, _ = w.revoke(cookies(s.Tokens)) })
		}
		wg.Wait()
		synctest.Wait()
		if n := middleware.SizesOf(w.auth).Followers; n != 0 {
			t.Errorf("%d entries are left", n)
		}
	})
}
