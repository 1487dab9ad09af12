package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

// TestMain fails the whole run if a goroutine of ours outlives its tests. In a
// bubble synctest itself does; this is for the tests without one.
func TestMain(m *testing.M) {
	stytchtest.New(stytchtest.Options{}).KeySet() // makes the key that all share; no test waits for it
	code := m.Run()
	if left := ours(); code == 0 && left != "" {
		fmt.Fprintf(os.Stderr, "goroutines that nobody ended:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// ours returns the stacks of goroutines that run our code, or were started by
// it, once they have had time to end.
func ours() (left string) {
	for began := time.Now(); time.Since(began) < 20*time.Second; runtime.Gosched() { // on a machine under load
		all := make([]byte, 1<<20)
		all = all[:runtime.Stack(all, true)]
		_, others, _ := strings.Cut(string(all), "\n\n") // the first one is this one
		left = ""
		for stack := range strings.SplitSeq(others, "\n\n") {
			if strings.Contains(stack, "github.com/stytchware/stytchware/") && !strings.Contains(stack, ".TestMain(") {
				left += stack + "\n\n"
			}
		}
		if left == "" {
			break
		}
	}
	return left
}

// The check must be able to find something.
func TestLeakCheck(t *testing.T) {
	auth, err := middleware.New(sound()) // its first fetch of the keys hangs
	if err != nil {
		t.Fatal(err)
	}
	all, found := make([]byte, 1<<20), false
	for began := time.Now(); !found && time.Since(began) < 20*time.Second; runtime.Gosched() {
		found = strings.Contains(string(all[:runtime.Stack(all, true)]), "stytchware/jwks.")
	}
	if !found {
		t.Error("the refresh does not run")
	}
	if err := auth.Close(); err != nil {
		t.Fatal(err)
	}
	if left := ours(); left != "" {
		t.Errorf("after Close:\n%s", left)
	}
}

// Close ends whatever is under way, at once, and waits for it: the bubble
// would not end otherwise.
func TestCloseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stytchtest.New(stytchtest.Options{})
		cfg := p.Config()
		cfg.Logger = slog.New(slog.DiscardHandler)
		auth, err := middleware.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		w := &world{T: t, project: p, auth: auth}
		s, lost := w.login(stytchtest.SMS()), w.login()
		w.get(auth.Load(w.report()), bearer(s.Tokens.SessionJWT))
		p.FailAPI(stytchtest.Down())
		r := httptest.NewRequest("POST", "https://app.example.com/", nil)
		stytchtest.AddCookies(r, lost.Tokens)
		if err := auth.Revoke(httptest.NewRecorder(), r); !errors.Is(err, middleware.ErrUnavailable) { // goes on in the background
			t.Errorf("%v", err)
		}
		p.FailAPI(stytchtest.Hang())
		p.FailKeys(stytchtest.Hang())

		var wg sync.WaitGroup
		statuses := make([]int, 4)
		for i, h := range []http.Handler{auth.RequireSession(unreachable(t)), auth.RequireMFA(unreachable(t)),
			auth.Require(middleware.Fresh)(unreachable(t)), auth.RequireSession(unreachable(t))} {
			wg.Go(func() {
				o := bearer(s.Tokens.SessionJWT)
				switch i {
				case 0:
					o = bearer(w.stale(s).SessionJWT)
				case 3:
					o = bearer(s.Tokens.SessionToken)
				}
				statuses[i] = w.get(h, o).StatusCode
			})
		}
		var followed context.Context
		wg.Go(func() {
			w.get(auth.Load(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				ctx, cancel := auth.Follow(r.Context())
				defer cancel()
				followed = ctx
				<-ctx.Done()
			})), bearer(s.Tokens.SessionJWT))
		})
		synctest.Wait()
		began := time.Now()
		if err := auth.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if took := time.Since(began); took != 0 {
			t.Errorf("Close took %s", took)
		}
		if !slices.Equal(statuses, []int{503, 503, 503, 503}) {
			t.Errorf("%v", statuses)
		}
		if !errors.Is(context.Cause(followed), middleware.ErrUnavailable) {
			t.Errorf("%v", context.Cause(followed))
		}
		if err := auth.Close(); err != nil {
			t.Error(err)
		}
	})
}

// journal is a log that can be read while it is written.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// Whatever happens, at whatever level: nothing of a credential, of the secret
// or of a foreign text is in the log.
func TestLogsHoldNoSecret(t *testing.T) {
	faults := map[string]stytchtest.Fault{
		"none": nil, "wrong secret": stytchtest.Error(401, "unauthorized_credentials"), "other user": stytchtest.OtherUser(),
		"other session": stytchtest.OtherSession(), "bad JWT": stytchtest.SessionJWT("hunter2.hunter2.hunter2"), "html": stytchtest.HTML(502),
		"foreign text": stytchtest.Reply(400, "application/json", `{"status_code":400,"error_type":"hunter2\nlevel=ERROR","error_message":"hunter2"}`),
		"down":         stytchtest.Down(), "429": stytchtest.TooManyRequests("5"),
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			log := &journal{}
			inWorld(t, func(c *middleware.Config) {
				c.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug - 10}))
			}, func(w *world) {
				secrets := []string{w.project.Secret(), "hunter2\n"}
				for situation, options := range situations {
					w.project.FailAPI(nil)
					o := options(w)
					w.project.FailAPI(fault)
					for _, guard := range w.guards() {
						w.get(guard(w.report()), append(o, func(r *http.Request) { secrets = append(secrets, secretsOf(r)...) })...)
					}
					if situation == "stale" {
						s := w.login()
						secrets = append(secrets, s.Tokens.SessionToken, strings.Split(s.Tokens.SessionJWT, ".")[2])
						rec, r := httptest.NewRecorder(), httptest.NewRequest("POST", "https://app.example.com/", nil)
						_, _ = w.auth.Hydrate(rec, r, s.Tokens)
						stytchtest.AddCookies(r, s.Tokens)
						_, _ = w.auth.Refresh(rec, r, time.Hour)
						_ = w.auth.Revoke(rec, r)
					}
				}
				if !strings.Contains(log.String(), "stytchware: decided") {
					t.Errorf("nothing was logged: %s", log.String())
				}
				for _, secret := range secrets {
					if strings.Contains(log.String(), secret) {
						t.Errorf("%q is in the log", secret)
					}
				}
			})
		})
	}
}

// What an operator must know is said once a minute, however often it happens.
func TestLoudIsRateLimited(t *testing.T) {
	log := &journal{}
	inWorld(t, func(c *middleware.Config) {
		c.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelError}))
	}, func(w *world) {
		const said = "the session_jwt in Stytch's answer is of another session"
		s := w.login()
		w.project.FailAPI(stytchtest.OtherSession())
		times := func(want int) {
			t.Helper()
			for range 5 {
				if got := w.get(w.auth.Require(middleware.Fresh)(unreachable(t)), bearer(s.Tokens.SessionJWT)); got.StatusCode != 503 {
					t.Errorf("%d", got.StatusCode)
				}
			}
			if got := strings.Count(log.String(), said); got != want {
				t.Errorf("said %d times, want %d: %s", got, want, log.String())
			}
		}
		times(1)
		advance(time.Minute - 1)
		times(1)
		advance(1)
		times(2)
		// Something else is said at once.
		w.project.FailAPI(stytchtest.SessionJWT("a.b.c"))
		w.get(w.auth.Require(middleware.Fresh)(unreachable(t)), bearer(s.Tokens.SessionToken))
		if !strings.Contains(log.String(), "the session_jwt in Stytch's answer is not valid") {
			t.Errorf("%s", log.String())
		}
	})
}

// throws is a slog.Handler that panics with a secret, panicking a RoundTripper.
type throws struct{ slog.Handler }

func (throws) Handle(context.Context, slog.Record) error { panic("hunter2 in the logger") }
func (throws) Enabled(context.Context, slog.Level) bool  { return true }

type panicking struct{ http.RoundTripper }

func (p panicking) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/authenticate") {
		panic("hunter2 in the transport")
	}
	return p.RoundTripper.RoundTrip(r)
}

// A panic in shared work or in the logger is contained; what was thrown is not
// logged, only its type.
func TestPanicsAreContained(t *testing.T) {
	for name, broken := range map[string]bool{"logger works": false, "logger panics": true} {
		t.Run(name, func(t *testing.T) {
			log := &journal{}
			inWorld(t, func(c *middleware.Config) {
				c.HTTPClient = &http.Client{Transport: panicking{c.HTTPClient.Transport}}
				c.Logger = slog.New(slog.NewTextHandler(log, nil))
				if broken {
					c.Logger = slog.New(throws{slog.DiscardHandler})
				}
			}, func(w *world) {
				s := w.login()
				var wg sync.WaitGroup
				for range 5 {
					wg.Go(func() {
						got := w.get(w.auth.RequireSession(unreachable(t)), cookies(w.stale(s)))
						if got.StatusCode != 503 || got.Header.Get("Retry-After") == "" || got.setCookies() != 0 {
							t.Errorf("%d %v", got.StatusCode, got.Header)
						}
					})
				}
				wg.Wait()
				if got := w.get(w.auth.RequireSession(w.report()), bearer(s.Tokens.SessionJWT)); got.StatusCode != 200 {
					t.Errorf("the next one: %d", got.StatusCode)
				}
				if strings.Contains(log.String(), "hunter2") || !broken && !strings.Contains(log.String(), "panic") {
					t.Errorf("%s", log.String())
				}
			})
		})
	}
}
