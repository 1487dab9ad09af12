package middleware_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

const (
	authenticatePath = "/v1/sessions/authenticate"
	revokePath       = "/v1/sessions/revoke"
)

// late lets the project answer at once, but the answer takes d to arrive.
func late(d time.Duration) stytchtest.Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		advance(d)
		maps.Copy(w.Header(), rec.Header())
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	}
}

func crossSite(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }

func TestHydrate(t *testing.T) {
	type tokens = middleware.Tokens
	for _, c := range []struct {
		name    string
		tokens  func(w *world, s, other stytchtest.Session) tokens
		options []option
		fault   stytchtest.Fault
		err     error // nil: the session s
		calls   int
	}{
		{"pair", func(_ *world, s, _ stytchtest.Session) tokens { return s.Tokens }, nil, nil, nil, 1},
		{"token alone", func(_ *world, s, _ stytchtest.Session) tokens { return tokens{SessionToken: s.Tokens.SessionToken} }, nil, nil, nil, 1},
		{"JWT alone", func(_ *world, s, _ stytchtest.Session) tokens { return tokens{SessionJWT: s.Tokens.SessionJWT} }, nil, nil, nil, 1},
		{"stale JWT alone", func(w *world, s, _ stytchtest.Session) tokens { return tokens{SessionJWT: w.stale(s).SessionJWT} }, nil, nil, nil, 1},
		{"stale pair", func(w *world, s, _ stytchtest.Session) tokens { return w.stale(s) }, nil, nil, nil, 1},
		{"one user's two sessions", func(w *world, s, _ stytchtest.Session) tokens {
			second := w.project.Login(stytchtest.Login{UserID: s.UserID})
			return tokens{SessionToken: s.Tokens.SessionToken, SessionJWT: second.Tokens.SessionJWT}
		}, nil, nil, nil, 1},
		{"GET callback from another site", func(_ *world, s, _ stytchtest.Session) tokens { return s.Tokens }, []option{method("GET"), crossSite}, nil, nil, 1},
		{"same-origin POST", func(_ *world, s, _ stytchtest.Session) tokens { return s.Tokens }, []option{header("Origin", "https://app.example.com")}, nil, nil, 1},

		{"none", func(*world, stytchtest.Session, stytchtest.Session) tokens { return tokens{} }, nil, nil, middleware.ErrInvalidRequest, 0},
		{"malformed token", func(*world, stytchtest.Session, stytchtest.Session) tokens { return tokens{SessionToken: "a b"} }, nil, nil, middleware.ErrInvalidRequest, 0},
		{"token too long", func(*world, stytchtest.Session, stytchtest.Session) tokens {
			return tokens{SessionToken: strings.Repeat("a", 513)}
		}, nil, nil, middleware.ErrInvalidRequest, 0},
		{"JWT as token", func(_ *world, s, _ stytchtest.Session) tokens { return tokens{SessionToken: s.Tokens.SessionJWT} }, nil, nil, middleware.ErrInvalidRequest, 0},
		{"malformed JWT", func(*world, stytchtest.Session, stytchtest.Session) tokens { return tokens{SessionJWT: "a.b"} }, nil, nil, middleware.ErrInvalidRequest, 0},
		{"malformed JWT beside a token", func(_ *world, s, _ stytchtest.Session) tokens {
			return tokens{SessionToken: s.Tokens.SessionToken, SessionJWT: "undefined"}
		}, nil, nil, middleware.ErrInvalidRequest, 0},
		{"malformed token beside a JWT", func(_ *world, s, _ stytchtest.Session) tokens {
			return tokens{SessionToken: "\r\nSet-Cookie: x=1", SessionJWT: s.Tokens.SessionJWT}
		}, nil, nil, middleware.ErrInvalidRequest, 0},
		{"JWT of no shape", func(*world, stytchtest.Session, stytchtest.Session) tokens { return tokens{SessionJWT: "a.b.c"} }, nil, nil, middleware.ErrNoSession, 0},
		{"forged", func(w *world, s, _ stytchtest.Session) tokens {
			return tokens{SessionJWT: w.project.MintJWT(s.ID, stytchtest.Mint{Forged: true})}
		}, nil, nil, middleware.ErrNoSession, 0},
		{"forged beside a good token", func(w *world, s, _ stytchtest.Session) tokens {
			return tokens{SessionToken: s.Tokens.SessionToken, SessionJWT: w.project.MintJWT(s.ID, stytchtest.Mint{Forged: true})}
		}, nil, nil, middleware.ErrNoSession, 0},
		{"another project", func(w *world, s, _ stytchtest.Session) tokens {
			return tokens{SessionJWT: w.project.MintJWT(s.ID, stytchtest.Mint{ProjectID: "project-test-00000000-0000-4000-8000-000000000000"})}
		}, nil, nil, middleware.ErrNoSession, 0},
		{"unknown key", func(w *world, s, _ stytchtest.Session) tokens {
			return tokens{SessionJWT: w.project.MintJWT(s.ID, stytchtest.Mint{UnknownKey: true})}
		}, nil, nil, middleware.ErrNoSession, 0},
		{"machine to machine", func(w *world, s, _ stytchtest.Session) tokens {
			return tokens{SessionJWT: w.project.MintJWT(s.ID, stytchtest.Mint{NoSessionClaim: true})}
		}, nil, nil, middleware.ErrNoSession, 0},
		{"two users", func(_ *world, s, other stytchtest.Session) tokens {
			return tokens{SessionToken: s.Tokens.SessionToken, SessionJWT: other.Tokens.SessionJWT}
		}, nil, nil, middleware.ErrNoSession, 1},
		{"token unknown to Stytch", func(*world, stytchtest.Session, stytchtest.Session) tokens {
			return tokens{SessionToken: strings.Repeat("x", 44)}
		}, nil, nil, middleware.ErrNoSession, 1},
		{"gone", func(w *world, s, _ stytchtest.Session) tokens { w.project.Revoke(s.ID); return s.Tokens }, nil, nil, middleware.ErrNoSession, 1},
		{"JWT of a session that is gone", func(w *world, s, _ stytchtest.Session) tokens {
			w.project.Expire(s.ID)
			return tokens{SessionJWT: s.Tokens.SessionJWT}
		}, nil, nil, middleware.ErrNoSession, 1},

		{"down", func(_ *world, s, _ stytchtest.Session) tokens { return s.Tokens }, nil, stytchtest.Down(), middleware.ErrUnavailable, 2},
		{"429", func(_ *world, s, _ stytchtest.Session) tokens { return s.Tokens }, nil, stytchtest.TooManyRequests("9"), middleware.ErrUnavailable, 1},
		{"wrong secret", func(_ *world, s, _ stytchtest.Session) tokens { return s.Tokens }, nil, stytchtest.Error(401, "unauthorized_credentials"), middleware.ErrUnavailable, 1},
		{"another user's answer", func(_ *world, s, _ stytchtest.Session) tokens { return tokens{SessionJWT: s.Tokens.SessionJWT} }, nil, stytchtest.OtherUser(), middleware.ErrUnavailable, 1},
		{"another session's answer to a lone JWT", func(_ *world, s, _ stytchtest.Session) tokens { return tokens{SessionJWT: s.Tokens.SessionJWT} }, nil, stytchtest.OtherSession(), middleware.ErrUnavailable, 1},
		{"an answer with a bad JWT", func(_ *world, s, _ stytchtest.Session) tokens { return s.Tokens }, nil, stytchtest.SessionJWT("a.b.c"), middleware.ErrUnavailable, 1},

		{"cross-site POST", func(_ *world, s, _ stytchtest.Session) tokens { return s.Tokens }, []option{crossSite}, nil, middleware.ErrCrossSite, 0},
		{"same-site POST", func(_ *world, s, _ stytchtest.Session) tokens { return s.Tokens }, []option{header("Sec-Fetch-Site", "same-site")}, nil, middleware.ErrCrossSite, 0},
		{"POST of an old browser from another origin", func(_ *world, s, _ stytchtest.Session) tokens { return s.Tokens }, []option{header("Origin", "https://evil.example")}, nil, middleware.ErrCrossSite, 0},
		{"cross-site POST with cookies", func(_ *world, s, _ stytchtest.Session) tokens { return s.Tokens }, []option{crossSite, cookieLine(tokenCookie + "=x")}, nil, middleware.ErrCrossSite, 0},
		{"cross-site POST with a bearer", func(_ *world, s, _ stytchtest.Session) tokens { return s.Tokens }, []option{crossSite, bearer("x")}, nil, middleware.ErrCrossSite, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				s, other := w.login(), w.login()
				advance(11 * time.Second) // an unknown key may be asked about
				given := c.tokens(w, s, other)
				w.project.FailAPI(c.fault)
				got, in, err := w.hydrate(given, c.options...)
				w.calls(c.calls)
				if c.err != nil {
					if !errors.Is(err, c.err) || in != nil || !got.untouched() {
						t.Errorf("%v, %v, %v, want %v", in, err, got.Header, c.err)
					}
					return
				}
				token, _, _ := got.cookie(tokenCookie)
				jwt, set, _ := got.cookie(jwtCookie)
				if err != nil || in.ID() != s.ID || in.UserID() != s.UserID || in.Source().String() != "remote" || token != s.Tokens.SessionToken || !set {
					t.Fatalf("%v, %v, %v", in, err, got.Header)
				}
				if jwt == given.SessionJWT || w.get(nil, bearer(jwt)).seen.SessionID != s.ID || got.setCookies() != 2 || got.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("the cookies are not those of Stytch's answer: %v", got.Header)
				}
			})
		})
	}
}

// An answer without a session token leaves the one that was given.
func TestHydrateKeepsTheToken(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		w.project.FailAPI(stytchtest.Rewrite(func(a map[string]any) { delete(a, "session_token") }))
		got, in, err := w.hydrate(s.Tokens)
		if value, set, _ := got.cookie(tokenCookie); err != nil || in.ID() != s.ID || !set || value != s.Tokens.SessionToken {
			t.Errorf("%v %v %v", in, err, got.Header)
		}
	})
}

// A session that was revoked here does not come back by Hydrate.
func TestHydrateAfterRevoke(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		w.project.FailAPI(stytchtest.Down().On(revokePath))
		if _, err := w.revoke(cookies(s.Tokens)); !errors.Is(err, middleware.ErrUnavailable) {
			t.Error(err)
		}
		for _, given := range []middleware.Tokens{s.Tokens, {SessionJWT: s.Tokens.SessionJWT}, {SessionToken: s.Tokens.SessionToken}, w.stale(s), {SessionJWT: w.stale(s).SessionJWT}} {
			if got, in, err := w.hydrate(given); !errors.Is(err, middleware.ErrNoSession) || in != nil || !got.untouched() {
				t.Errorf("%v %v %v", in, err, got.Header)
			}
		}
		w.calls(0)
	})
}

// CVE-2024-38513: a login replaces whatever was planted before, and nothing
// of it is part of the new session.
func TestCVE_2024_38513_Fixation(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		mallory, alice := w.login(), w.login()
		for name, jwtInAnswer := range map[string]bool{"with a JWT": true, "without": false} {
			if !jwtInAnswer {
				w.project.FailAPI(stytchtest.SessionJWT(""))
			}
			b := w.browser("https://app.example.com/login")
			b.jar.SetCookies(b.at, []*http.Cookie{{Name: tokenCookie, Value: mallory.Tokens.SessionToken, Path: "/"}, {Name: jwtCookie, Value: mallory.Tokens.SessionJWT, Path: "/"}})
			if b.session() != mallory.ID {
				t.Fatal("nothing was planted")
			}
			b.send(w.auth.Load(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if s, err := w.auth.Hydrate(rw, r, middleware.Tokens{SessionToken: alice.Tokens.SessionToken}); err != nil || s.ID() != alice.ID {
					t.Errorf("%v %v", s, err)
				}
			})).ServeHTTP)
			for _, c := range b.jar.Cookies(b.at) {
				if c.Value == mallory.Tokens.SessionToken || c.Value == mallory.Tokens.SessionJWT {
					t.Errorf("%s: %s is still the planted one", name, c.Name)
				}
			}
			if got := b.session(); got != alice.ID {
				t.Errorf("%s: in session %s", name, got)
			}
		}
	})
}

// CVE-2025-48947, CVE-2025-64762: what sets or clears a cookie is for nobody's
// cache, whatever the application asked for before.
func TestCVE_2025_48947_NoStoreWithSetCookie(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s, dead := w.login(), w.login()
		w.project.Revoke(dead.ID)
		fresh := func(c middleware.Tokens) option { return cookies(c) }
		for name, c := range map[string]struct {
			h    http.Handler
			with option
		}{
			"exchange": {w.auth.Load(w.report()), fresh(w.stale(s))},
			"gone":     {w.auth.RequireSession(w.report()), fresh(w.stale(dead))},
			"re-check": {w.auth.Require(middleware.Fresh)(w.report()), fresh(s.Tokens)},
			"Hydrate": {http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				_, _ = w.auth.Hydrate(rw, r, s.Tokens)
			}), nil},
			"Refresh": {http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { _, _ = w.auth.Refresh(rw, r, 0) }), fresh(s.Tokens)},
			"Clear":   {http.HandlerFunc(w.auth.Clear), nil},
			"Revoke":  {http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { _ = w.auth.Revoke(rw, r) }), fresh(w.login().Tokens)},
		} {
			options := []option{}
			if c.with != nil {
				options = append(options, c.with)
			}
			got := w.get(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Cache-Control", "public, s-maxage=3600")
				c.h.ServeHTTP(rw, r)
			}), options...)
			if got.setCookies() == 0 || len(got.Header["Cache-Control"]) != 1 || got.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %v", name, got.Header)
			}
		}
	})
}

func TestRefreshDurations(t *testing.T) {
	for _, c := range []struct {
		d, configured time.Duration
		minutes       string // sent to Stytch
		ok            bool
	}{
		{0, 0, "", true}, {0, 90 * time.Minute, "90", true}, {5 * time.Minute, 0, "5", true}, {5 * time.Minute, 90 * time.Minute, "5", true},
		{527040 * time.Minute, 0, "527040", true}, {61 * time.Minute, 0, "61", true},
		{4 * time.Minute, 0, "", false}, {527041 * time.Minute, 0, "", false}, {90 * time.Second, 0, "", false}, {5*time.Minute + 1, 0, "", false},
		{-5 * time.Minute, 0, "", false}, {-1, 0, "", false}, {1, 0, "", false}, {1<<63 - 1, 0, "", false}, {-1 << 63, 0, "", false},
		{4 * time.Minute, 90 * time.Minute, "", false},
	} {
		t.Run(fmt.Sprint(c.d, c.configured), func(t *testing.T) {
			inWorld(t, func(cfg *middleware.Config) { cfg.SessionDuration = c.configured }, func(w *world) {
				s := w.login()
				synctest.Wait()
				var body string
				w.project.FailAPI(stytchtest.Watch(func(_ *http.Request, b []byte) { body += string(b) }))
				got, in, err := w.refresh(c.d, cookies(s.Tokens))
				if !c.ok {
					if !errors.Is(err, middleware.ErrInvalidRequest) || in != nil || body != "" || !got.untouched() {
						t.Errorf("%v %v, sent %s", in, err, body)
					}
					return
				}
				want := `{"session_token":"` + s.Tokens.SessionToken + `"}`
				lives := time.Hour
				if c.minutes != "" {
					want = want[:len(want)-1] + `,"session_duration_minutes":` + c.minutes + `}`
					lives, _ = time.ParseDuration(c.minutes + "m")
				}
				if err != nil || body != want || time.Until(in.ExpiresAt()) != lives {
					t.Fatalf("%v %v, sent %s", in, err, body)
				}
				for _, k := range got.Cookies() {
					if k.MaxAge != int(lives/time.Second) || !k.Expires.Equal(in.ExpiresAt()) {
						t.Errorf("%s lives %d s", k.Name, k.MaxAge)
					}
				}
				if got.setCookies() != 2 {
					t.Errorf("%v", got.Header)
				}
			})
		})
	}
}

func TestRefresh(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		calls := 0
		// A finished result will not do, however young.
		for _, o := range []option{cookies(s.Tokens), cookies(w.stale(s)), cookies(middleware.Tokens{SessionToken: s.Tokens.SessionToken}),
			cookies(middleware.Tokens{SessionJWT: s.Tokens.SessionJWT}), cookies(middleware.Tokens{SessionJWT: w.stale(s).SessionJWT})} {
			w.get(nil, o)
			calls = w.project.Calls().Authenticate
			got, in, err := w.refresh(0, o)
			if err != nil || in.ID() != s.ID || in.Source().String() != "remote" || got.setCookies() != 2 {
				t.Errorf("%v %v %v", in, err, got.Header)
			}
			if again, _, err := w.refresh(0, o); err != nil || again.setCookies() != 2 {
				t.Errorf("%v", err)
			}
			w.calls(calls + 2)
		}
		// Bearers get none.
		for _, o := range []option{bearer(s.Tokens.SessionToken), bearer(s.Tokens.SessionJWT), bearer(w.stale(s).SessionJWT)} {
			got, in, err := w.refresh(2*time.Hour, o)
			if err != nil || in.ID() != s.ID || !got.untouched() {
				t.Errorf("%v %v %v", in, err, got.Header)
			}
		}
		calls = w.project.Calls().Authenticate
		// What is no session is not asked about.
		forged := w.project.MintJWT(s.ID, stytchtest.Mint{Forged: true})
		for name, c := range map[string]struct {
			with []option
			err  error
		}{
			"nothing":                  {nil, middleware.ErrNoSession},
			"forged":                   {[]option{bearer(forged)}, middleware.ErrNoSession},
			"malformed":                {[]option{bearer("a b")}, middleware.ErrNoSession},
			"two headers":              {[]option{header("Authorization", "Bearer a"), header("Authorization", "Bearer a")}, middleware.ErrInvalidRequest},
			"two values":               {[]option{cookieLine(tokenCookie + "=a"), cookieLine(tokenCookie + "=b")}, middleware.ErrNoSession},
			"cross-site":               {[]option{cookies(s.Tokens), crossSite}, middleware.ErrCrossSite},
			"bearer from another site": {[]option{bearer(s.Tokens.SessionJWT), crossSite}, middleware.ErrCrossSite},
		} {
			if got, in, err := w.refresh(0, c.with...); !errors.Is(err, c.err) || in != nil || !got.untouched() {
				t.Errorf("%s: %v %v %v", name, in, err, got.Header)
			}
		}
		w.calls(calls)
		// A forged JWT beside a token: the token speaks.
		if got, in, err := w.refresh(0, cookies(middleware.Tokens{SessionToken: s.Tokens.SessionToken, SessionJWT: forged})); err != nil || in.ID() != s.ID || got.setCookies() != 2 {
			t.Errorf("%v %v", in, err)
		}
		// An outage changes nothing.
		w.project.FailAPI(stytchtest.Down())
		if got, in, err := w.refresh(0, cookies(s.Tokens)); !errors.Is(err, middleware.ErrUnavailable) || in != nil || !got.untouched() {
			t.Errorf("%v %v %v", in, err, got.Header)
		}
		w.project.FailAPI(nil)
		advance(time.Second)
		// Another user's token clears both, at large nobody is logged out.
		other := w.login()
		mixed := cookies(middleware.Tokens{SessionToken: other.Tokens.SessionToken, SessionJWT: s.Tokens.SessionJWT})
		if got, _, err := w.refresh(0, mixed); !errors.Is(err, middleware.ErrNoSession) || !got.clearedBoth(tokenCookie, jwtCookie) {
			t.Errorf("%v %v", err, got.Header)
		}
		if got := w.get(nil, cookies(other.Tokens)); got.seen.SessionID != other.ID {
			t.Errorf("%+v", got.seen)
		}
		// Gone, found out by the call: cleared.
		w.project.Revoke(s.ID)
		if got, in, err := w.refresh(0, cookies(s.Tokens)); !errors.Is(err, middleware.ErrNoSession) || in != nil || !got.clearedBoth(tokenCookie, jwtCookie) {
			t.Errorf("%v %v %v", in, err, got.Header)
		}
		// Gone, known already: cleared too, without a call.
		calls = w.project.Calls().Authenticate
		for _, o := range []option{cookies(s.Tokens), cookies(middleware.Tokens{SessionJWT: s.Tokens.SessionJWT}), cookies(middleware.Tokens{SessionToken: s.Tokens.SessionToken})} {
			if got, _, err := w.refresh(0, o); !errors.Is(err, middleware.ErrNoSession) || !got.clearedBoth(tokenCookie, jwtCookie) {
				t.Errorf("%v %v", err, got.Header)
			}
		}
		w.calls(calls)
		if got, _, err := w.refresh(0, bearer(s.Tokens.SessionJWT)); !errors.Is(err, middleware.ErrNoSession) || !got.untouched() {
			t.Errorf("%v %v", err, got.Header)
		}
	})
}

func TestRefreshesShareACall(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		w.project.FailAPI(stytchtest.Slow(200 * time.Millisecond))
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if got, in, err := w.refresh(2*time.Hour, cookies(s.Tokens)); err != nil || in.ID() != s.ID || got.setCookies() != 2 {
					t.Errorf("%v %v", in, err)
				}
			})
		}
		wg.Wait()
		w.calls(1)
		// One that comes while a call is out does not take that call's answer:
		// it began too early.
		wg.Go(func() { _, _, _ = w.refresh(2*time.Hour, cookies(s.Tokens)) })
		advance(100 * time.Millisecond)
		w.project.AddFactor(s.ID, stytchtest.SMS())
		for range 50 {
			wg.Go(func() {
				start := time.Now()
				if _, in, err := w.refresh(2*time.Hour, cookies(s.Tokens)); err != nil || in.NumFactors() != 1 || time.Since(start) != 300*time.Millisecond {
					t.Errorf("%v %v after %v", in, err, time.Since(start))
				}
			})
		}
		wg.Wait()
		w.calls(3)
	})
}

// responseWriters that tell that the response has begun.
type (
	written struct {
		http.ResponseWriter
		begun bool
	}
	chiLike struct {
		http.ResponseWriter
		status int
	}
)

func (w *written) Written() bool               { return w.begun }
func (w *chiLike) Status() int                 { return w.status }
func (w *chiLike) BytesWritten() int           { return 0 }
func (w *chiLike) Write(b []byte) (int, error) { return w.ResponseWriter.Write(b) }
func writer(begun, chi bool) http.ResponseWriter {
	if chi {
		w := &chiLike{ResponseWriter: httptest.NewRecorder()}
		if begun {
			w.status = 200
		}
		return w
	}
	return &written{httptest.NewRecorder(), begun}
}

func TestTooLate(t *testing.T) {
	for _, chi := range []bool{false, true} {
		inWorld(t, nil, func(w *world) {
			post := func(o option) *http.Request {
				r := httptest.NewRequest("POST", "https://app.example.com/", nil)
				if o != nil {
					o(r)
				}
				return r
			}
			for _, begun := range []bool{true, false} {
				s := w.login()
				before := w.project.Calls().Authenticate
				rw := writer(begun, chi)
				_, errH := w.auth.Hydrate(rw, post(nil), s.Tokens)
				_, errR := w.auth.Refresh(rw, post(cookies(s.Tokens)), 0)
				if errors.Is(errH, middleware.ErrTooLate) != begun || errors.Is(errR, middleware.ErrTooLate) != begun || (len(rw.Header()) == 0) != begun {
					t.Errorf("begun %v: %v, %v, %v", begun, errH, errR, rw.Header())
				}
				if begun {
					w.calls(before)
				}
				rw = writer(begun, chi)
				err := w.auth.Revoke(rw, post(cookies(s.Tokens)))
				if errors.Is(err, middleware.ErrTooLate) != begun || (len(rw.Header()) == 0) != begun {
					t.Errorf("Revoke, begun %v: %v %v", begun, err, rw.Header())
				}
				// All else was done.
				if _, live := w.project.Session(s.ID); live {
					t.Errorf("the session lives on")
				}
				if got := w.get(nil, bearer(s.Tokens.SessionJWT)); got.seen.Status != 401 {
					t.Errorf("%+v", got.seen)
				}
				// A bearer has no cookies to be late for.
				if err := w.auth.Revoke(writer(true, chi), post(bearer(w.login().Tokens.SessionJWT))); err != nil {
					t.Error(err)
				}
			}
			// A ResponseWriter that cannot tell is believed.
			rec := httptest.NewRecorder()
			rec.WriteHeader(200)
			if _, err := w.auth.Hydrate(rec, post(nil), w.login().Tokens); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTokens(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		var got middleware.Tokens
		var ok bool
		h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got, ok = w.auth.Tokens(r) })
		s, gone := w.login(), w.login()
		w.project.Revoke(gone.ID)
		cached := w.login()
		advance(time.Second) // a JWT made in the same second would be the same
		w.get(nil, bearer(cached.Tokens.SessionToken))
		stale := w.stale(s)
		for _, c := range []struct {
			name  string
			h     http.Handler
			with  option
			token string // "" for none
			jwt   string // "new" for one that was not sent
		}{
			{"local pair", w.auth.Load(h), cookies(s.Tokens), s.Tokens.SessionToken, s.Tokens.SessionJWT},
			{"local JWT", w.auth.Load(h), cookies(middleware.Tokens{SessionJWT: s.Tokens.SessionJWT}), "", s.Tokens.SessionJWT},
			{"local bearer", w.auth.RequireSession(h), bearer(s.Tokens.SessionJWT), "", s.Tokens.SessionJWT},
			{"exchanged", w.auth.Load(h), cookies(stale), s.Tokens.SessionToken, "new"},
			{"exchanged JWT", w.auth.Load(h), bearer(stale.SessionJWT), s.Tokens.SessionToken, "new"},
			{"asked by a guard", w.auth.Require(middleware.Fresh)(h), cookies(s.Tokens), s.Tokens.SessionToken, "new"},
			{"asked by a guard behind Load", w.auth.Load(w.auth.Require(middleware.Fresh)(h)), bearer(s.Tokens.SessionJWT), s.Tokens.SessionToken, "new"},
			{"cached token", w.auth.Load(h), bearer(cached.Tokens.SessionToken), cached.Tokens.SessionToken, "new"},
		} {
			got, ok = middleware.Tokens{}, false
			w.get(c.h, c.with)
			isNew := got.SessionJWT != "" && got.SessionJWT != s.Tokens.SessionJWT && got.SessionJWT != stale.SessionJWT && got.SessionJWT != cached.Tokens.SessionJWT
			if !ok || got.SessionToken != c.token || (c.jwt == "new") != isNew || c.jwt != "new" && got.SessionJWT != c.jwt {
				t.Errorf("%s: token %v, JWT %v, new %v", c.name, got.SessionToken == c.token, got.SessionJWT == c.jwt, isNew)
			}
		}
		for name, c := range map[string]struct {
			h    http.Handler
			with []option
		}{
			"nothing":    {w.auth.Load(h), nil},
			"no Load":    {h, []option{cookies(s.Tokens)}},
			"gone":       {w.auth.Load(h), []option{cookies(w.stale(gone))}},
			"forged":     {w.auth.Load(h), []option{bearer(w.project.MintJWT(s.ID, stytchtest.Mint{Forged: true}))}},
			"cross-site": {w.auth.Load(h), []option{cookies(s.Tokens), method("POST"), crossSite}},
		} {
			got, ok = s.Tokens, true
			if w.get(c.h, c.with...); ok || got != (middleware.Tokens{}) {
				t.Errorf("%s: tokens without a session", name)
			}
		}
		// An answer without tokens leaves the client those it has.
		w.project.FailAPI(stytchtest.Rewrite(func(a map[string]any) { delete(a, "session_token"); a["session_jwt"] = nil }))
		got = middleware.Tokens{}
		if w.get(w.auth.Require(middleware.Fresh)(h), cookies(s.Tokens)); got.SessionToken != s.Tokens.SessionToken {
			t.Error("the session token was lost")
		}
	})
}

func TestRevoke(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		live := func(s stytchtest.Session) bool { _, ok := w.project.Session(s.ID); return ok }
		revokes, auths := 0, 0
		for _, c := range []struct {
			name    string
			prepare func(s stytchtest.Session) []option
			calls   int
		}{
			{"pair, never seen", func(s stytchtest.Session) []option { return []option{cookies(s.Tokens)} }, 2},
			{"pair, the token known", func(s stytchtest.Session) []option {
				w.get(nil, bearer(s.Tokens.SessionToken))
				return []option{cookies(s.Tokens)}
			}, 1},
			{"stale pair", func(s stytchtest.Session) []option { return []option{cookies(w.stale(s))} }, 2},
			{"lone JWT", func(s stytchtest.Session) []option {
				return []option{cookies(middleware.Tokens{SessionJWT: s.Tokens.SessionJWT})}
			}, 1},
			{"lone stale JWT", func(s stytchtest.Session) []option {
				return []option{cookies(middleware.Tokens{SessionJWT: w.stale(s).SessionJWT})}
			}, 1},
			{"lone token", func(s stytchtest.Session) []option {
				return []option{cookies(middleware.Tokens{SessionToken: s.Tokens.SessionToken})}
			}, 1},
			{"token beside a forged JWT", func(s stytchtest.Session) []option {
				return []option{cookies(middleware.Tokens{SessionToken: s.Tokens.SessionToken, SessionJWT: w.project.MintJWT(s.ID, stytchtest.Mint{Forged: true})})}
			}, 1},
			{"bearer JWT", func(s stytchtest.Session) []option { return []option{bearer(s.Tokens.SessionJWT)} }, 1},
			{"bearer token", func(s stytchtest.Session) []option { return []option{bearer(s.Tokens.SessionToken)} }, 1},
		} {
			s := w.login()
			with := c.prepare(s)
			auths, revokes = w.project.Calls().Authenticate, w.project.Calls().Revoke
			got, err := w.revoke(with...)
			if err != nil || live(s) || w.project.Calls().Revoke-revokes != c.calls || w.project.Calls().Authenticate != auths {
				t.Errorf("%s: %v, live %v, %d calls, want %d", c.name, err, live(s), w.project.Calls().Revoke-revokes, c.calls)
			}
			if strings.HasPrefix(c.name, "bearer") {
				if !got.untouched() {
					t.Errorf("%s: %v", c.name, got.Header)
				}
			} else if !got.clearedBoth(tokenCookie, jwtCookie) {
				t.Errorf("%s: %v", c.name, got.Header)
			}
			// The same credential is refused from now on, without a call.
			if got := w.get(nil, with...); got.seen.Status != 401 {
				t.Errorf("%s: %+v", c.name, got.seen)
			}
			w.calls(auths)
			// A second logout is no error.
			if _, err := w.revoke(with...); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	})
}

// A pair whose tokens are of two sessions: both end.
func TestRevokeDisagreeingPair(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for _, sameUser := range []bool{true, false} {
			for _, seen := range []bool{true, false} {
				a := w.login()
				l := stytchtest.Login{}
				if sameUser {
					l.UserID = a.UserID
				}
				b := w.project.Login(l)
				if seen {
					w.get(nil, bearer(b.Tokens.SessionToken))
				}
				got, err := w.revoke(cookies(middleware.Tokens{SessionToken: b.Tokens.SessionToken, SessionJWT: a.Tokens.SessionJWT}))
				_, liveA := w.project.Session(a.ID)
				_, liveB := w.project.Session(b.ID)
				if err != nil || liveA || liveB || !got.clearedBoth(tokenCookie, jwtCookie) {
					t.Errorf("%v, live %v %v, %v", err, liveA, liveB, got.Header)
				}
			}
		}
	})
}

// A JWT of a session that was logged out here, left over beside the token of a
// session that began since, does not log that one out.
func TestRevokedJWTBesideANewToken(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		old := w.login()
		if _, err := w.revoke(cookies(old.Tokens)); err != nil {
			t.Fatal(err)
		}
		now := w.project.Login(stytchtest.Login{UserID: old.UserID})
		mixed := middleware.Tokens{SessionToken: now.Tokens.SessionToken, SessionJWT: old.Tokens.SessionJWT}
		got := w.get(nil, cookies(mixed))
		if v, set, _ := got.cookie(jwtCookie); got.seen.SessionID != now.ID || !set || v == old.Tokens.SessionJWT {
			t.Errorf("%+v %v", got.seen, got.Header)
		}
		w.calls(1)
		_, in, err := w.refresh(0, cookies(mixed))
		if err != nil || in.ID() != now.ID {
			t.Errorf("refreshed: %v %v", in, err)
		}
		// What was logged out stays so, asked about or not.
		for _, o := range []option{cookies(old.Tokens), bearer(old.Tokens.SessionJWT), bearer(old.Tokens.SessionToken)} {
			if got := w.get(nil, o); got.seen.Status != 401 {
				t.Errorf("%+v", got.seen)
			}
		}
		w.calls(2)
		advance(61 * time.Second) // longer than the token counts as gone
		if got := w.get(nil, cookies(old.Tokens)); got.seen.Status != 401 || !got.clearedBoth(tokenCookie, jwtCookie) {
			t.Errorf("%+v %v", got.seen, got.Header)
		}
		w.project.FailAPI(stytchtest.Down())
		other := w.project.Login(stytchtest.Login{UserID: old.UserID})
		mixed.SessionToken = other.Tokens.SessionToken
		if got := w.get(nil, cookies(mixed)); got.seen.Status != 503 || got.setCookies() != 0 {
			t.Errorf("in an outage: %+v %v", got.seen, got.Header)
		}
	})
}

// What is not a session costs no call, and its cookies go all the same.
func TestRevokeOfRubbish(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		advance(11 * time.Second)
		for name, c := range map[string]struct {
			with    []option
			cleared bool
		}{
			"forged":          {[]option{cookieLine(jwtCookie + "=" + w.project.MintJWT(s.ID, stytchtest.Mint{Forged: true}))}, true},
			"forged and old":  {[]option{cookieLine(jwtCookie + "=" + w.project.MintJWT(s.ID, stytchtest.Mint{Forged: true, IssuedAt: time.Now().Add(-time.Hour)}))}, true},
			"unknown key":     {[]option{cookieLine(jwtCookie + "=" + w.project.MintJWT(s.ID, stytchtest.Mint{UnknownKey: true}))}, true},
			"another project": {[]option{cookieLine(jwtCookie + "=" + w.project.MintJWT(s.ID, stytchtest.Mint{ProjectID: "project-test-00000000-0000-4000-8000-000000000000"}))}, true},
			"M2M":             {[]option{cookieLine(jwtCookie + "=" + w.project.MintJWT(s.ID, stytchtest.Mint{NoSessionClaim: true}))}, true},
			"malformed":       {[]option{cookieLine(jwtCookie + "=a; " + tokenCookie + "=a.b.c")}, true},
			"undefined":       {[]option{cookieLine(jwtCookie + "=undefined; " + tokenCookie + "=null")}, true},
			"control bytes":   {[]option{cookieLine(jwtCookie + "=\x01")}, true},
			"nothing":         {nil, true},
			"forged bearer":   {[]option{bearer(w.project.MintJWT(s.ID, stytchtest.Mint{Forged: true})), cookies(s.Tokens)}, false},
			"empty bearer":    {[]option{header("Authorization", "Bearer"), cookies(s.Tokens)}, false},
		} {
			got, err := w.revoke(c.with...)
			if err != nil || got.clearedBoth(tokenCookie, jwtCookie) != c.cleared || got.untouched() == c.cleared {
				t.Errorf("%s: %v %v", name, err, got.Header)
			}
		}
		if n := w.project.Calls(); n.Revoke != 0 || n.Authenticate != 0 {
			t.Errorf("%+v", n)
		}
		if _, live := w.project.Session(s.ID); !live {
			t.Error("the session was ended by a JWT that did not verify")
		}
		if got := w.get(nil, cookies(s.Tokens)); got.seen.SessionID != s.ID {
			t.Errorf("%+v", got.seen)
		}
		// Two headers: neither is believed, and the caller hears of it.
		if got, err := w.revoke(header("Authorization", "Bearer "+s.Tokens.SessionJWT), header("Authorization", "Bearer x"), cookies(s.Tokens)); !errors.Is(err, middleware.ErrInvalidRequest) || !got.untouched() {
			t.Errorf("%v %v", err, got.Header)
		}
		// Cross-site: nothing happens at all.
		for _, o := range []option{cookies(s.Tokens), bearer(s.Tokens.SessionToken)} {
			if got, err := w.revoke(o, crossSite); !errors.Is(err, middleware.ErrCrossSite) || !got.untouched() {
				t.Errorf("%v %v", err, got.Header)
			}
		}
		if got := w.get(nil, cookies(s.Tokens)); got.seen.SessionID != s.ID || w.project.Calls().Revoke != 0 {
			t.Errorf("%+v", got.seen)
		}
	})
}

// Where cookies contradict each other every session among them ends.
func TestRevokeContradictions(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		var all []stytchtest.Session
		var lines []option
		for i := range 4 {
			s := w.login()
			all = append(all, s)
			switch i {
			case 0:
				lines = append(lines, cookieLine(tokenCookie+"="+s.Tokens.SessionToken+"; "+jwtCookie+"="+s.Tokens.SessionJWT))
			case 1:
				lines = append(lines, cookieLine(tokenCookie+"="+s.Tokens.SessionToken))
			case 2:
				lines = append(lines, cookieLine(jwtCookie+"="+w.stale(s).SessionJWT))
			case 3:
				lines = append(lines, cookieLine(jwtCookie+"="+w.project.MintJWT(s.ID, stytchtest.Mint{Forged: true})+"; "+tokenCookie+"=undefined"))
			}
		}
		got, err := w.revoke(lines...)
		if err != nil || !got.clearedBoth(tokenCookie, jwtCookie) {
			t.Errorf("%v %v", err, got.Header)
		}
		for i, s := range all {
			if _, live := w.project.Session(s.ID); live != (i == 3) {
				t.Errorf("session %d: live %v", i, live)
			}
		}
		// A flood of them is cut off: at most eight that are not known are looked
		// at, and that there were more is no success.
		before := w.project.Calls().Revoke
		var flood strings.Builder
		for i := range 500 {
			fmt.Fprintf(&flood, "%s=token%d; ", tokenCookie, i)
		}
		if got, err := w.revoke(cookieLine(flood.String())); !errors.Is(err, middleware.ErrUnavailable) || !got.clearedBoth(tokenCookie, jwtCookie) {
			t.Errorf("%v %v", err, got.Header)
		}
		if n := w.project.Calls().Revoke - before; n != 8 {
			t.Errorf("%d calls", n)
		}
	})
}

// An outage does not keep anybody logged in: the cookies go, this process
// refuses the session, and Stytch is told as soon as it can be.
func TestRevokeDuringOutage(t *testing.T) {
	for name, c := range map[string]struct {
		with func(w *world, s stytchtest.Session) option
		seen bool
	}{
		"pair":              {func(_ *world, s stytchtest.Session) option { return cookies(s.Tokens) }, false},
		"pair, token known": {func(_ *world, s stytchtest.Session) option { return cookies(s.Tokens) }, true},
		"lone JWT": {func(_ *world, s stytchtest.Session) option {
			return cookies(middleware.Tokens{SessionJWT: s.Tokens.SessionJWT})
		}, false},
		"lone token, known": {func(_ *world, s stytchtest.Session) option {
			return cookies(middleware.Tokens{SessionToken: s.Tokens.SessionToken})
		}, true},
	} {
		for down, fault := range map[string]stytchtest.Fault{"down": stytchtest.Down(), "429": stytchtest.TooManyRequests("2"), "hangs": stytchtest.Hang(), "500": stytchtest.Error(500, "internal_server_error")} {
			t.Run(name+", "+down, func(t *testing.T) {
				inWorld(t, nil, func(w *world) {
					s := w.project.Login(stytchtest.Login{Duration: 24 * time.Hour})
					synctest.Wait()
					if c.seen {
						w.get(nil, bearer(s.Tokens.SessionToken))
					}
					w.project.FailAPI(fault.On(revokePath))
					start := time.Now()
					got, err := w.revoke(c.with(w, s))
					if !errors.Is(err, middleware.ErrUnavailable) || middleware.RetryAfter(err) < time.Second || !got.clearedBoth(tokenCookie, jwtCookie) || time.Since(start) > 6*time.Second {
						t.Errorf("%v %v after %v", err, got.Header, time.Since(start))
					}
					auths := w.project.Calls().Authenticate
					for minute := range 7 {
						// However the session comes along. Stytch still takes it for live.
						for _, o := range []option{c.with(w, s), bearer(w.project.MintJWT(s.ID, stytchtest.Mint{})), bearer(w.stale(s).SessionJWT)} {
							if got := w.get(nil, o); got.seen.Status != 401 {
								t.Errorf("minute %d: %+v", minute, got.seen)
							}
						}
						if c.seen {
							if got := w.get(nil, bearer(s.Tokens.SessionToken)); got.seen.Status != 401 {
								t.Errorf("minute %d, by token: %+v", minute, got.seen)
							}
						}
						advance(time.Minute)
					}
					w.calls(auths)
					if _, live := w.project.Session(s.ID); !live {
						t.Fatal("the outage was none")
					}
					w.project.FailAPI(nil)
					advance(5 * time.Minute)
					if _, live := w.project.Session(s.ID); live {
						t.Error("Stytch was not told when it was back")
					}
					if n := middleware.SizesOf(w.auth).Later; n != 0 {
						t.Errorf("%d revocations still wait", n)
					}
				})
			})
		}
	}
}

// What is learnt of a session later does not cut short the hour for which it
// is refused after a logout that failed.
func TestFailedLogOutIsNotForgotten(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.project.Login(stytchtest.Login{Duration: 24 * time.Hour})
		synctest.Wait()
		w.project.FailAPI(stytchtest.Error(500, "").On(revokePath).Then(late(time.Second)))
		var wg sync.WaitGroup
		wg.Go(func() { // its answer says which session the token is of
			if got := w.get(nil, bearer(s.Tokens.SessionToken)); got.seen.Status != 401 {
				t.Errorf("%+v", got.seen)
			}
		})
		advance(500 * time.Millisecond)
		if _, err := w.revoke(cookies(s.Tokens)); !errors.Is(err, middleware.ErrUnavailable) {
			t.Error(err)
		}
		wg.Wait()
		for range 5 {
			advance(11 * time.Minute)
			if got := w.get(nil, bearer(w.project.MintJWT(s.ID, stytchtest.Mint{}))); got.seen.Status != 401 {
				t.Errorf("%+v", got.seen)
			}
		}
		if _, live := w.project.Session(s.ID); !live {
			t.Error("Stytch ended it: the test shows nothing")
		}
	})
}

// The tries in the background end: by Close, by an answer that is not about
// now, and after some minutes.
func TestRevokeLaterEnds(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.project.FailAPI(stytchtest.Down())
		_, _ = w.revoke(cookies(w.login().Tokens))
		if n := middleware.SizesOf(w.auth).Later; n != 2 {
			t.Errorf("%d wait", n)
		}
		_ = w.auth.Close()
		before := w.project.Calls().Revoke
		advance(time.Hour)
		if n := w.project.Calls().Revoke; n != before || middleware.SizesOf(w.auth).Later != 0 {
			t.Errorf("%d calls after Close", n-before)
		}
		// After Close nothing is put off any more.
		if _, err := w.revoke(cookies(w.login().Tokens)); !errors.Is(err, middleware.ErrUnavailable) || middleware.SizesOf(w.auth).Later != 0 {
			t.Errorf("%v", err)
		}
	})
	inWorld(t, nil, func(w *world) {
		w.project.FailAPI(stytchtest.Error(401, "unauthorized_credentials").On(revokePath))
		if got, err := w.revoke(bearer(w.login().Tokens.SessionToken)); !errors.Is(err, middleware.ErrUnavailable) || !got.untouched() {
			t.Errorf("%v %v", err, got.Header)
		}
		advance(time.Minute)
		if n := w.project.Calls().Revoke; n != 2 || middleware.SizesOf(w.auth).Later != 0 {
			t.Errorf("%d calls about a wrong secret", n)
		}
	})
	inWorld(t, nil, func(w *world) {
		w.project.FailAPI(stytchtest.Error(503, "").On(revokePath))
		s := w.login()
		_, _ = w.revoke(bearer(s.Tokens.SessionToken))
		advance(20 * time.Minute)
		if n := w.project.Calls().Revoke; n != 9 || middleware.SizesOf(w.auth).Later != 0 {
			t.Errorf("%d calls", n)
		}
		// Given up; here the session is refused for an hour all the same.
		w.project.FailAPI(nil)
		if got := w.get(nil, bearer(s.Tokens.SessionToken)); got.seen.Status != 401 {
			t.Errorf("%+v", got.seen)
		}
	})
	// No more than a number of them wait, and of strangers' tokens fewer: they
	// leave room for logouts of sessions that are known to be.
	inWorld(t, nil, func(w *world) {
		synctest.Wait()
		w.project.FailAPI(stytchtest.Error(503, "").On(revokePath))
		wait := func(want int) {
			t.Helper()
			if n := middleware.SizesOf(w.auth).Later; n != want {
				t.Errorf("%d wait, want %d", n, want)
			}
		}
		for i := range 300 {
			_, _ = w.revoke(bearer(fmt.Sprintf("token%d", i)))
		}
		wait(64)
		first := w.login()
		if _, err := w.revoke(cookies(first.Tokens)); !errors.Is(err, middleware.ErrUnavailable) {
			t.Error(err)
		}
		wait(66) // by its token and by its id
		for range 300 {
			_, _ = w.revoke(bearer(w.login().Tokens.SessionJWT))
		}
		wait(256)
		w.project.FailAPI(nil)
		advance(10 * time.Minute)
		if _, live := w.project.Session(first.ID); live {
			t.Error("a logout was crowded out")
		}
	})
}

// Logouts with tokens that were never seen draw on the budget for such tokens,
// and a flood of them makes nobody forgotten.
func TestRevokeOfUnknownTokensIsBounded(t *testing.T) {
	inWorld(t, func(c *middleware.Config) { c.OpaqueRate, c.OpaqueBurst, c.CacheSize = 5, 20, 100 }, func(w *world) {
		synctest.Wait()
		budget := 0
		for i := range 1000 {
			if _, err := w.revoke(bearer(fmt.Sprintf("token%d", i))); errors.Is(err, middleware.ErrUnavailable) {
				budget++
			}
		}
		if n := w.project.Calls().Revoke; n != 20 || budget != 980 {
			t.Errorf("%d calls, %d refused", n, budget)
		}
		// Sessions of which there is reason to believe that they are, need none of it.
		seen := w.login()
		advance(time.Second)
		w.get(nil, bearer(seen.Tokens.SessionToken))
		for range 100 {
			_, _ = w.revoke(bearer("none"))
		}
		before := w.project.Calls().Revoke
		for _, o := range []option{bearer(seen.Tokens.SessionToken), bearer(w.login().Tokens.SessionJWT), cookies(w.login().Tokens)} {
			if _, err := w.revoke(o); err != nil {
				t.Error(err)
			}
		}
		if n := w.project.Calls().Revoke - before; n != 4 {
			t.Errorf("%d calls for three logouts, the last one by token and by id", n)
		}
	})
}

// A logout takes no longer than one call may, even if it makes two and Stytch
// hangs.
func TestRevokeTakesOneDeadline(t *testing.T) {
	for name, keys := range map[string]stytchtest.Fault{"": nil, "keys hang, too": stytchtest.Hang()} {
		inWorld(t, nil, func(w *world) {
			w.project.FailKeys(keys)
			s := w.login()
			w.project.FailAPI(stytchtest.Hang())
			began := time.Now()
			if got, err := w.revoke(cookies(s.Tokens)); !errors.Is(err, middleware.ErrUnavailable) || !got.clearedBoth(tokenCookie, jwtCookie) {
				t.Errorf("%s: %v %v", name, err, got.Header)
			}
			if took := time.Since(began); took > 3*time.Second+100*time.Millisecond {
				t.Errorf("%s: %v", name, took)
			}
			w.project.FailAPI(nil)
			w.project.FailKeys(nil)
			advance(time.Minute)
			if _, live := w.project.Session(s.ID); live {
				t.Errorf("%s: it was not made good", name)
			}
		})
	}
}

// A client that leaves does not stop its logout.
func TestRevokeOutlivesTheClient(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		w.project.FailAPI(stytchtest.Slow(time.Second))
		if _, err := w.revoke(cookies(s.Tokens), leaves(w.T, 100*time.Millisecond)); err != nil {
			t.Error(err)
		}
		if _, live := w.project.Session(s.ID); live {
			t.Error("the session lives on")
		}
	})
}

// Without keys a lone JWT cannot be told from a forged one: the cookies go, but
// the caller hears that the session may live on.
func TestRevokeWithoutKeys(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		w.project.FailKeys(stytchtest.Down())
		w2 := newWorld(w.T, w.project, nil)
		got, err := w2.revoke(cookies(middleware.Tokens{SessionJWT: s.Tokens.SessionJWT}))
		if !errors.Is(err, middleware.ErrUnavailable) || !got.clearedBoth(tokenCookie, jwtCookie) || w.project.Calls().Revoke != 0 {
			t.Errorf("%v %v", err, got.Header)
		}
		// The token beside it is enough.
		if _, err := w2.revoke(cookies(s.Tokens)); err != nil || w.project.Calls().Revoke != 1 {
			t.Errorf("%v", err)
		}
	})
}

// An answer that was on its way while the session was revoked is not believed,
// neither by those who wait for it nor later.
func TestRevokeBeatsAnAnswerOnItsWay(t *testing.T) {
	type tokens = middleware.Tokens
	for name, c := range map[string]struct {
		asks, revokes func(w *world, s stytchtest.Session) option
	}{
		"both by token": {func(_ *world, s stytchtest.Session) option {
			return cookies(tokens{SessionToken: s.Tokens.SessionToken})
		},
			func(_ *world, s stytchtest.Session) option {
				return cookies(tokens{SessionToken: s.Tokens.SessionToken})
			}},
		"stale pair, pair": {func(w *world, s stytchtest.Session) option { return cookies(w.stale(s)) },
			func(_ *world, s stytchtest.Session) option { return cookies(s.Tokens) }},
		"stale JWT, same": {func(w *world, s stytchtest.Session) option { return cookies(tokens{SessionJWT: w.stale(s).SessionJWT}) },
			func(w *world, s stytchtest.Session) option { return cookies(tokens{SessionJWT: w.stale(s).SessionJWT}) }},
		"token, JWT": {func(_ *world, s stytchtest.Session) option { return bearer(s.Tokens.SessionToken) },
			func(_ *world, s stytchtest.Session) option { return bearer(s.Tokens.SessionJWT) }},
	} {
		for answer, fault := range map[string]stytchtest.Fault{"yes": late(time.Second), "no": stytchtest.Slow(time.Second)} {
			t.Run(name+", "+answer, func(t *testing.T) {
				inWorld(t, nil, func(w *world) {
					s := w.login()
					synctest.Wait()
					asks := c.asks(w, s)
					revokes := c.revokes(w, s)
					w.project.FailAPI(fault.On(authenticatePath))
					var wg sync.WaitGroup
					for range 3 {
						wg.Go(func() {
							if got := w.get(nil, asks); got.seen.Status != 401 || got.seen.SessionID != "" {
								t.Errorf("the one who waited: %+v", got.seen)
							}
						})
					}
					wg.Go(func() {
						if _, in, err := w.refresh(0, asks); err == nil {
							t.Errorf("Refresh gave %v", in)
						}
					})
					advance(500 * time.Millisecond)
					start := time.Now()
					if _, err := w.revoke(revokes); err != nil || time.Since(start) != 0 {
						t.Errorf("%v after %v", err, time.Since(start))
					}
					if got := w.get(nil, revokes); got.seen.Status != 401 {
						t.Errorf("at once: %+v", got.seen)
					}
					wg.Wait()
					calls := w.project.Calls().Authenticate
					for range 6 { // the kept answer is gone, and all that is of the session
						all := []option{asks, revokes, bearer(w.project.MintJWT(s.ID, stytchtest.Mint{}))}
						if name == "both by token" && answer == "no" {
							all = all[:2] // nobody ever said which session the token was of
						}
						for _, o := range all {
							if got := w.get(nil, o); got.seen.Status != 401 {
								t.Errorf("later: %+v", got.seen)
							}
						}
						advance(5 * time.Second)
					}
					w.calls(calls)
				})
			})
		}
	}
}

// What Hydrate wrote to a response, Revoke takes back.
func TestRevokeAfterHydrate(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		b := w.browser("https://app.example.com/")
		b.send(func(rw http.ResponseWriter, r *http.Request) {
			if _, err := w.auth.Hydrate(rw, r, s.Tokens); err != nil {
				t.Error(err)
			}
			if err := w.auth.Revoke(rw, r); err != nil {
				t.Error(err)
			}
		})
		if left := b.ours(); len(left) != 0 || b.session() != "" {
			t.Errorf("%q", left)
		}
	})
}

// CVE-2026-34454: a logout that leaves a cookie behind, in whatever form it
// exists; and CVE-2025-53826: one after which the tokens still work.
func TestCVE_2026_34454_CVE_2025_53826_Logout(t *testing.T) {
	inWorld(t, func(c *middleware.Config) { c.Cookies.Domain = "example.com" }, func(w *world) {
		s := w.login()
		b := w.browser("https://app.example.com/")
		// Both forms at once, as an SDK with and without availableToSubdomains
		// leaves them.
		for _, domain := range []string{"", "example.com"} {
			b.jar.SetCookies(b.at, []*http.Cookie{
				{Name: tokenCookie, Value: s.Tokens.SessionToken, Path: "/", Domain: domain, Secure: true},
				{Name: jwtCookie, Value: s.Tokens.SessionJWT, Path: "/", Domain: domain, Secure: true}})
		}
		if n := len(b.jar.Cookies(b.at)); n != 4 || b.session() != s.ID {
			t.Fatalf("%d cookies", n)
		}
		b.send(func(rw http.ResponseWriter, r *http.Request) {
			if err := w.auth.Revoke(rw, r); err != nil {
				t.Error(err)
			}
		})
		if left := b.ours(); len(left) != 0 {
			t.Errorf("left behind %q", left)
		}
		// A thief's copies are worth nothing here at once, and nothing to Stytch.
		for _, o := range []option{cookies(s.Tokens), bearer(s.Tokens.SessionJWT), bearer(s.Tokens.SessionToken), bearer(w.stale(s).SessionJWT)} {
			if got := w.get(w.auth.RequireSession(w.report()), o); got.StatusCode != 401 {
				t.Errorf("%d %+v", got.StatusCode, got.seen)
			}
		}
		if _, live := w.project.Session(s.ID); live {
			t.Error("the session lives on")
		}
		// On another process the JWT passes no longer than its age allows.
		other := newWorld(w.T, w.project, nil)
		synctest.Wait()
		if got := other.get(nil, bearer(s.Tokens.SessionToken)); got.seen.Status != 401 {
			t.Errorf("%+v", got.seen)
		}
		advance(5*time.Minute + time.Second)
		if got := other.get(nil, bearer(s.Tokens.SessionJWT)); got.seen.Status != 401 {
			t.Errorf("%+v", got.seen)
		}
	})
}

// The zero Authenticator logs nobody in or out.
func TestZeroOperations(t *testing.T) {
	for name, a := range map[string]*middleware.Authenticator{"zero": {}, "nil": nil} {
		rec := httptest.NewRecorder()
		r := httptest.NewRequest("POST", "/", nil)
		_, errH := a.Hydrate(rec, r, middleware.Tokens{SessionToken: "a"})
		_, errR := a.Refresh(rec, r, 0)
		errV := a.Revoke(rec, r)
		a.Clear(rec, r)
		tokens, ok := a.Tokens(r)
		for _, err := range []error{errH, errR, errV} {
			if !errors.Is(err, middleware.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if ok || tokens != (middleware.Tokens{}) || len(rec.Header()) != 0 {
			t.Errorf("%s: %v", name, rec.Header())
		}
		ctx, cancel := a.Follow(t.Context())
		if ctx.Err() == nil {
			t.Errorf("%s: Follow follows", name)
		}
		cancel()
	}
}

// No token is in an error, however it is printed.
func TestOperationsErrorsAreSilent(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		w.project.FailAPI(func(rw http.ResponseWriter, r *http.Request, _ http.Handler) {
			b, _ := io.ReadAll(r.Body) // echoes what it was sent
			stytchtest.Error(500, string(b))(rw, r, nil)
		})
		_, _, errH := w.hydrate(s.Tokens)
		_, _, errR := w.refresh(0, cookies(w.stale(s)))
		_, errV := w.revoke(cookies(s.Tokens))
		for _, err := range []error{errH, errR, errV} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%q", "%s"} {
				if text := fmt.Sprintf(verb, err); strings.Contains(text, s.Tokens.SessionToken) || strings.Contains(text, "eyJ") || strings.Contains(text, w.project.Secret()) {
					t.Errorf("%s: %s", verb, text)
				}
			}
			if err == nil || strings.ContainsAny(err.Error(), "\r\n") || !strings.HasPrefix(err.Error(), "middleware: ") {
				t.Errorf("%v", err)
			}
		}
	})
}

// A front end passes on what it has, also the literals the SDK writes where it
// has nothing: they are no tokens, and cost no call.
func TestHydrateWithLiterals(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for _, literal := range []string{"undefined", "null"} {
			rec, r := httptest.NewRecorder(), httptest.NewRequest("POST", "https://app.example.com/login", nil)
			_, err := w.auth.Hydrate(rec, r, middleware.Tokens{SessionToken: literal})
			if middleware.Status(err) != 400 || len(rec.Header()) != 0 {
				t.Errorf("%s: %v, %v", literal, err, rec.Header())
			}
		}
		w.calls(0)
	})
}
