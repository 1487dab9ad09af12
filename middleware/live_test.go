package middleware_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

// stream sends a line for each tick until the session it follows ends, and
// then says why.
func stream(auth *middleware.Authenticator) http.Handler {
	return auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := auth.Follow(r.Context())
		defer cancel()
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: hello\n\n")
		_ = http.NewResponseController(w).Flush()
		<-ctx.Done()
		_, _ = fmt.Fprintf(w, "data: %v\n\n", errors.Is(context.Cause(ctx), middleware.ErrNoSession))
	}))
}

// hijacked takes over the connection, returns, and goes on writing.
func hijacked(auth *middleware.Authenticator) http.Handler {
	return auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := auth.Follow(context.WithoutCancel(r.Context()))
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			cancel()
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = buffered.WriteString("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ndata: hello\n\n")
		_ = buffered.Flush()
		go func() {
			defer cancel()
			defer conn.Close()
			<-ctx.Done()
			_, _ = fmt.Fprintf(conn, "data: %v\n\n", errors.Is(context.Cause(ctx), middleware.ErrNoSession))
		}()
	}))
}

// What runs on real sockets ends when the session does: server-sent events over
// HTTP/1.1 and HTTP/2, and a hijacked connection.
func TestStreamsOnSockets(t *testing.T) {
	for name, c := range map[string]struct {
		handler func(*middleware.Authenticator) http.Handler
		h2      bool
	}{"HTTP/1.1": {stream, false}, "HTTP/2": {stream, true}, "hijacked": {hijacked, false}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, stytchtest.New(stytchtest.Options{}), nil)
			server := httptest.NewUnstartedServer(c.handler(w.auth))
			server.EnableHTTP2 = c.h2
			server.StartTLS()
			defer server.Close()
			// open returns the stream after its first event; nil if the session was
			// over before it began.
			open := func(s stytchtest.Session) *bufio.Reader {
				r, _ := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
				stytchtest.AddBearer(r, s.Tokens.SessionJWT)
				got, err := server.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { got.Body.Close() })
				if _, live := w.project.Session(s.ID); !live && got.StatusCode == 401 {
					return nil
				}
				if got.StatusCode != 200 || (got.ProtoMajor == 2) != c.h2 {
					t.Fatalf("%s %s", got.Proto, got.Status)
				}
				body := bufio.NewReader(got.Body)
				if line, err := body.ReadString('\n'); line != "data: hello\n" {
					t.Fatalf("%q, %v", line, err)
				}
				_, _ = body.ReadString('\n')
				return body
			}
			rest := func(what string, body *bufio.Reader, began time.Time) time.Duration {
				got, err := io.ReadAll(body)
				took := time.Since(began)
				if string(got) != "data: true\n\n" || err != nil {
					t.Errorf("%s: %q, %v after %v", what, got, err, took)
				}
				return took
			}
			// A machine under load may stand still for a second: one of a few
			// attempts must be in time, and all of them right.
			inTime := func(what string, attempt func(lasts time.Duration) time.Duration) {
				var all []time.Duration
				for _, lasts := range []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 30 * time.Second} {
					took := attempt(lasts)
					if took <= time.Second {
						return
					}
					all = append(all, took)
				}
				t.Errorf("%s: ended after %v", what, all)
			}
			inTime("revoked", func(time.Duration) time.Duration {
				s := w.login()
				body := open(s)
				began := time.Now()
				if _, err := w.revoke(bearer(s.Tokens.SessionJWT)); err != nil {
					t.Fatal(err)
				}
				return rest("revoked", body, began)
			})
			inTime("expired", func(lasts time.Duration) time.Duration {
				short := w.project.Login(stytchtest.Login{Duration: lasts})
				end, ok := w.project.Session(short.ID)
				body := open(short)
				if !ok || body == nil {
					return lasts // it was over before anything could be seen
				}
				took := rest("expired", body, end.ExpiresAt())
				if took < 0 {
					t.Errorf("ended %v too early", -took)
				}
				return took
			})
			if n := middleware.SizesOf(w.auth).Followers; n != 0 {
				t.Errorf("%d entries are left", n)
			}
		})
	}
}

// The same stream through a server in a bubble, where the clock can be held to
// the second: extended by a refresh, ended at expiry, no goroutine left.
func TestStreamIsExtended(t *testing.T) {
	before := runtime.NumGoroutine()
	inWorld(t, nil, func(w *world) {
		here, there := net.Pipe()
		server := &http.Server{Handler: stream(w.auth)}
		served := make(chan error, 1)
		go func() { served <- server.Serve(&oneConn{conn: there, done: make(chan struct{})}) }()
		s := w.project.Login(stytchtest.Login{Duration: 10 * time.Minute})
		began := time.Now()
		go func() {
			_, _ = fmt.Fprintf(here, "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", s.Tokens.SessionJWT)
		}()
		got := make(chan string, 1)
		var ended time.Time
		go func() {
			b, _ := io.ReadAll(here)
			ended = time.Now()
			got <- string(b)
		}()
		advance(9 * time.Minute)
		if _, _, err := w.refresh(30*time.Minute, bearer(s.Tokens.SessionToken)); err != nil {
			t.Error(err)
		}
		body := <-got
		if !strings.Contains(body, "data: hello") || !strings.Contains(body, "data: true") {
			t.Error(body)
		}
		if d := ended.Sub(began); d != 39*time.Minute {
			t.Errorf("ended after %v, want 39m", d)
		}
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	noneLeft(t, before)
}

// noneLeft wants no more goroutines than before. One of the runtime's own, or
// one that is just ending, may be among them for a moment.
func noneLeft(t *testing.T, before int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(end) {
			t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
			return
		}
	}
}

// oneConn is a listener with one connection.
type oneConn struct {
	mu   sync.Mutex
	conn net.Conn
	done chan struct{}
	once sync.Once
}

func (l *oneConn) Accept() (net.Conn, error) {
	l.mu.Lock()
	conn := l.conn
	l.conn = nil
	l.mu.Unlock()
	if conn != nil {
		return conn, nil
	}
	<-l.done
	return nil, net.ErrClosed
}
func (l *oneConn) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// A session that ended elsewhere is found by the re-check, at most MaxTokenAge
// after Stytch was last heard; and a session that lives is followed on, long
// after every JWT has gone stale. All who follow a session share the calls.
func TestFollowChecksAgain(t *testing.T) {
	for name, carry := range map[string]func(stytchtest.Session) option{
		"cookies":    func(s stytchtest.Session) option { return cookies(s.Tokens) },
		"lone JWT":   func(s stytchtest.Session) option { return bearer(s.Tokens.SessionJWT) },
		"lone token": func(s stytchtest.Session) option { return bearer(s.Tokens.SessionToken) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				s := w.project.Login(stytchtest.Login{Duration: 24 * time.Hour})
				w.get(nil, carry(s))
				w.project.Calls()
				before := w.project.Calls().Authenticate
				var all []context.Context
				for range 50 {
					ctx, _ := w.follow(carry(s))
					all = append(all, ctx)
				}
				advance(2*time.Hour + time.Second)
				for _, ctx := range all {
					if err := context.Cause(ctx); err != nil {
						t.Fatalf("ended although the session lives: %v", err)
					}
				}
				if n := w.project.Calls().Authenticate - before; n != 30 { // every 4 min
					t.Errorf("%d calls in two hours for 50 streams, want 30", n)
				}
				w.project.Revoke(s.ID)
				ended := time.Now()
				for _, ctx := range all {
					<-ctx.Done()
					if err := context.Cause(ctx); !errors.Is(err, middleware.ErrNoSession) {
						t.Error(err)
					}
				}
				if d := time.Since(ended); d > 5*time.Minute {
					t.Errorf("outlived the session by %v", d)
				}
			})
		})
	}
}

// While Stytch cannot be asked a stream goes on for MaxTokenAge after its
// session was last known to live, to the second whatever the fault, and not
// longer; a recovery in between saves it.
func TestFollowInAnOutage(t *testing.T) {
	for name, f := range map[string]stytchtest.Fault{
		"down":         stytchtest.Down(),
		"hanging":      stytchtest.Hang(),
		"500":          stytchtest.Error(500, "internal_server_error"),
		"429":          stytchtest.TooManyRequests("20"),
		"wrong secret": stytchtest.Error(401, "unauthorized_credentials"),
		"another user": stytchtest.OtherUser(),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				s := w.project.Login(stytchtest.Login{Duration: 24 * time.Hour})
				began := time.Now()
				ctx, _ := w.follow(bearer(s.Tokens.SessionJWT))
				advance(time.Second)
				w.project.FailAPI(f)
				advance(4*time.Minute + 30*time.Second)
				w.project.FailAPI(nil) // just in time
				advance(30 * time.Minute)
				if err := context.Cause(ctx); err != nil {
					t.Fatalf("ended after a short outage: %v", err)
				}
				w.project.FailAPI(f)
				var lived time.Duration
				<-ctx.Done()
				if err := context.Cause(ctx); !errors.Is(err, middleware.ErrUnavailable) {
					t.Error(err)
				}
				lived = time.Since(began) - (34*time.Minute + 31*time.Second)
				if lived > 5*time.Minute {
					t.Errorf("went on for %v after Stytch was last heard at the latest", lived)
				}
				// Who comes now is followed anew.
				w.project.FailAPI(nil)
				advance(time.Minute)
				again, _ := w.follow(bearer(w.project.MintJWT(s.ID, stytchtest.Mint{})))
				w.ends(again, func() { advance(time.Hour) }, nil)
				w.project.Revoke(s.ID)
				w.ends(again, func() { advance(5 * time.Minute) }, middleware.ErrNoSession)
			})
		})
	}
	// Exactly: the last word was the JWT's iat.
	inWorld(t, nil, func(w *world) {
		s := w.project.Login(stytchtest.Login{Duration: 24 * time.Hour})
		w.project.FailAPI(stytchtest.Hang())
		ctx, _ := w.follow(bearer(s.Tokens.SessionJWT))
		w.ends(ctx, func() { advance(5*time.Minute - 1) }, nil)
		w.ends(ctx, func() { advance(1) }, middleware.ErrUnavailable)
	})
	// Also where a call hangs across that moment.
	inWorld(t, func(c *middleware.Config) { c.MaxTokenAge = 10 * time.Second }, func(w *world) {
		s := w.project.Login(stytchtest.Login{Duration: 24 * time.Hour})
		w.project.FailAPI(stytchtest.Hang())
		ctx, _ := w.follow(bearer(s.Tokens.SessionJWT))
		w.ends(ctx, func() { advance(10*time.Second - 1) }, nil)
		w.ends(ctx, func() { advance(1) }, middleware.ErrUnavailable)
	})
	// A JWT from a clock ahead buys no time.
	inWorld(t, nil, func(w *world) {
		s := w.project.Login(stytchtest.Login{Duration: 24 * time.Hour})
		w.project.FailAPI(stytchtest.Hang())
		ctx, _ := w.follow(bearer(w.project.MintJWT(s.ID, stytchtest.Mint{IssuedAt: time.Now().Add(29 * time.Second)})))
		w.ends(ctx, func() { advance(5*time.Minute - 1) }, nil)
		w.ends(ctx, func() { advance(1) }, middleware.ErrUnavailable)
	})
}

// A session served past its time in an outage may be followed only if Stytch
// can be asked at once.
func TestFollowOfAStaleSession(t *testing.T) {
	for back, want := range map[bool]error{false: middleware.ErrUnavailable, true: nil} {
		inWorld(t, func(c *middleware.Config) { c.DangerouslyServeStale = 10 * time.Minute }, func(w *world) {
			s := w.project.Login(stytchtest.Login{Duration: 24 * time.Hour})
			w.project.FailAPI(stytchtest.Down())
			var ctx context.Context
			w.get(w.auth.Load(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if back {
					w.project.FailAPI(nil)
				}
				ctx, _ = w.auth.Follow(r.Context())
			})), cookies(w.stale(s)))
			advance(4 * time.Second)
			if err := context.Cause(ctx); !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("Stytch back %v: %v, want %v", back, err, want)
			}
		})
	}
}

// A follower whose user steps up goes on; a tab that still has the JWT from
// before an extension does not end the streams of the others.
func TestFollowIsNotFooledByAnOldJWT(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.project.Login(stytchtest.Login{Duration: 3 * time.Minute})
		advance(time.Second) // else Stytch's answer has the very same JWT, which then has been verified
		ctx, _ := w.follow(bearer(s.Tokens.SessionToken))
		advance(time.Minute)
		w.project.AddFactor(s.ID, stytchtest.SMS())
		if _, _, err := w.refresh(time.Hour, bearer(s.Tokens.SessionToken)); err != nil {
			t.Fatal(err)
		}
		advance(time.Second)
		old, _ := w.follow(bearer(s.Tokens.SessionJWT)) // verified only now
		w.ends(ctx, func() { advance(59*time.Minute + 58*time.Second) }, nil)
		w.ends(old, func() { advance(time.Second) }, middleware.ErrNoSession)
		if context.Cause(ctx) == nil {
			t.Error("went on after the end")
		}
	})
}

// Followers come and go while the session is refreshed, revoked and found gone,
// and while a is closed.
func TestFollowRaces(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		var sessions []stytchtest.Session
		for range 4 {
			sessions = append(sessions, w.project.Login(stytchtest.Login{Duration: time.Hour}))
		}
		h := w.auth.Load(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			ctx, cancel := w.auth.Follow(r.Context())
			defer cancel()
			select {
			case <-ctx.Done():
			case <-time.After(time.Minute):
			}
		}))
		var wg sync.WaitGroup
		for i := range 100 {
			s := sessions[i%4]
			wg.Go(func() {
				for range 10 {
					w.get(h, cookies(s.Tokens))
					advance(time.Duration(i) * time.Millisecond)
				}
			})
		}
		wg.Go(func() { advance(3 * time.Minute); w.project.Revoke(sessions[0].ID) })
		wg.Go(func() { advance(2 * time.Minute); _, _ = w.revoke(cookies(sessions[1].Tokens)) })
		wg.Go(func() { advance(time.Minute); _, _, _ = w.refresh(2*time.Hour, cookies(sessions[2].Tokens)) })
		wg.Go(func() { advance(8 * time.Minute); _ = w.auth.Close() })
		wg.Wait()
		synctest.Wait()
		if n := middleware.SizesOf(w.auth).Followers; n != 0 {
			t.Errorf("%d entries are left", n)
		}
	})
}
