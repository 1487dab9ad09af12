package stytchapi_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stytchware/stytchware/internal/stytchapi"
)

// server serves h on loopback and returns a client of it with its own
// transport.
func server(t *testing.T, h http.HandlerFunc, more ...func(*stytchapi.Config)) (*stytchapi.Client, *httptest.Server) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, _ := client(nil, append([]func(*stytchapi.Config){func(cfg *stytchapi.Config) {
		cfg.BaseURL, cfg.HTTPClient = s.URL, nil
	}}, more...)...)
	t.Cleanup(c.CloseIdle)
	return c, s
}

func TestWire(t *testing.T) {
	type seen struct{ method, uri, body string }
	var mu sync.Mutex
	var got seen
	var header http.Header
	c, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got, header = seen{r.Method, r.RequestURI, string(b)}, r.Header.Clone()
		if id, key, ok := r.BasicAuth(); !ok || id != project || key != secret {
			w.WriteHeader(401)
			return
		}
		io.WriteString(w, fine())
	}, func(cfg *stytchapi.Config) { cfg.BaseURL += "/" })
	for _, x := range []struct {
		name     string
		cred     stytchapi.Credential
		duration time.Duration
		revoke   bool
		want     seen
	}{
		{"token", byToken, 0, false, seen{"POST", "/v1/sessions/authenticate", `{"session_token":"` + token + `"}`}},
		{"jwt", byJWT, 0, false, seen{"POST", "/v1/sessions/authenticate", `{"session_jwt":"` + aJWT + `"}`}},
		{"extended", byToken, time.Hour, false, seen{"POST", "/v1/sessions/authenticate", `{"session_token":"` + token + `","session_duration_minutes":60}`}},
		{"longest", byJWT, 527040 * time.Minute, false, seen{"POST", "/v1/sessions/authenticate", `{"session_jwt":"` + aJWT + `","session_duration_minutes":527040}`}},
		{"escaped", stytchapi.Credential{SessionToken: "\"}\n"}, 0, false, seen{"POST", "/v1/sessions/authenticate", `{"session_token":"\"}\n"}`}},
		{"revoke token", byToken, 0, true, seen{"POST", "/v1/sessions/revoke", `{"session_token":"` + token + `"}`}},
		{"revoke jwt", byJWT, 0, true, seen{"POST", "/v1/sessions/revoke", `{"session_jwt":"` + aJWT + `"}`}},
		{"revoke id", byID, 0, true, seen{"POST", "/v1/sessions/revoke", `{"session_id":"session-test-1"}`}},
	} {
		var err error
		var a *stytchapi.Answer
		if x.revoke {
			err = c.Revoke(context.Background(), x.cred)
		} else {
			a, err = c.Authenticate(context.Background(), x.cred, x.duration)
		}
		if err != nil {
			t.Fatalf("%s: %v", x.name, err)
		}
		if a != nil && (a.SessionToken != token || a.SessionJWT != aJWT || a.Session.ID() != "session-test-1" || a.UserID != "user-test-1") {
			t.Errorf("%s: %v", x.name, a.Session.Data())
		}
		mu.Lock()
		if got != x.want {
			t.Errorf("%s: sent %v, want %v", x.name, got, x.want)
		}
		if ct := header.Values("Content-Type"); len(ct) != 1 || ct[0] != "application/json" {
			t.Errorf("Content-Type %q", ct)
		}
		mu.Unlock()
	}
	if s := c.State(); s.Authenticates != 5 || s.Revokes != 3 || s.Retries != 0 || s.Refused != 0 || s.InFlight != 0 || s.BreakerOpen {
		t.Errorf("%+v", s)
	}
}

// What no call can be made of is the caller's mistake: nothing is sent, and
// nobody is logged out.
func TestArguments(t *testing.T) {
	sent := 0
	c, j := client(transport(func(*http.Request) (*http.Response, error) { sent++; return reply(200, fine()), nil }))
	ctx := context.Background()
	two := stytchapi.Credential{SessionToken: token, SessionJWT: aJWT}
	for _, call := range []func() error{
		func() error { _, err := c.Authenticate(ctx, stytchapi.Credential{}, 0); return err },
		func() error { _, err := c.Authenticate(ctx, two, 0); return err },
		func() error { _, err := c.Authenticate(ctx, byID, 0); return err },
		func() error { _, err := c.Authenticate(ctx, byToken, -time.Minute); return err },
		func() error { _, err := c.Authenticate(ctx, byToken, time.Second); return err },
		func() error { _, err := c.Authenticate(ctx, byToken, time.Hour+1); return err },
		func() error { return c.Revoke(ctx, stytchapi.Credential{}) },
		func() error { return c.Revoke(ctx, two) },
	} {
		e := as(call())
		if class(e) != "setup" || sent != 0 || e.Status != 0 {
			t.Errorf("%v, %d sent", e, sent)
		}
	}
	if j.lines("ERROR") != 1 {
		t.Errorf("logged %s", j)
	}
	if e := as(c.Revoke(ctx, two)); !strings.Contains(e.Error(), "not exactly one credential") {
		t.Error(e)
	}
}

// A redirect would carry the secret and the token elsewhere.
func TestNoRedirect(t *testing.T) {
	var leaked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leaked.Add(1)
		io.WriteString(w, fine())
	}))
	defer elsewhere.Close()
	type answer struct {
		status int
		to     string
	}
	var now atomic.Value
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		w.Header().Set("Location", now.Load().(answer).to)
		w.WriteHeader(now.Load().(answer).status)
	}))
	defer s.Close()
	follow := &http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
	defer follow.CloseIdleConnections()
	for _, hc := range []*http.Client{nil, follow} {
		for _, status := range []int{300, 301, 302, 303, 307, 308} {
			for _, to := range []string{elsewhere.URL, "/v1/sessions/authenticate", "::"} {
				if to == "::" && status != 302 {
					continue // net/http's error for it costs the retry's pause
				}
				c, _ := client(nil, func(cfg *stytchapi.Config) { cfg.BaseURL, cfg.HTTPClient = s.URL, hc })
				now.Store(answer{status, to})
				calls.Store(0)
				want(t, authenticate(c), "now")
				if n := calls.Load(); n != 1 && to != "::" {
					t.Errorf("%d to %s: %d requests", status, to, n)
				}
				if err := c.Revoke(context.Background(), byJWT); class(as(err)) != "now" {
					t.Errorf("revoke: %v", err)
				}
				c.CloseIdle()
			}
		}
	}
	if n := leaked.Load(); n != 0 {
		t.Errorf("%d requests reached another host", n)
	}
}

// The caller's client is copied: its jar gets no cookies, and what is changed
// in it later changes nothing.
func TestClientIsCopied(t *testing.T) {
	jar, _ := cookiejar.New(nil)
	hc := &http.Client{Jar: jar}
	c, s := server(t, func(w http.ResponseWriter, r *http.Request) {
		if len(r.Cookies()) != 0 {
			t.Errorf("sent %v", r.Cookies())
		}
		http.SetCookie(w, &http.Cookie{Name: "__cf_bm", Value: "x"})
		io.WriteString(w, fine())
	}, func(cfg *stytchapi.Config) { cfg.HTTPClient = hc })
	u, _ := url.Parse(s.URL)
	jar.SetCookies(u, []*http.Cookie{{Name: "mine", Value: "1"}})
	hc.Transport = transport(func(*http.Request) (*http.Response, error) { panic("changed afterwards") })
	want(t, authenticate(c), "ok")
	want(t, authenticate(c), "ok")
	if n := len(jar.Cookies(u)); n != 1 || hc.CheckRedirect != nil {
		t.Errorf("%d cookies, the caller's client was changed", n)
	}
}

func TestBodies(t *testing.T) {
	bomb := func(w io.Writer, n int) {
		z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
		z.Write([]byte(strings.TrimSuffix(fine(), "}")))
		block := bytes.Repeat([]byte(" "), 1<<16)
		for ; n > 0; n -= len(block) {
			z.Write(block)
		}
		z.Write([]byte("}"))
		z.Close()
	}
	for _, x := range []struct {
		name string
		h    http.HandlerFunc
		want string
		text string
	}{
		{"gzip", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "gzip" {
				t.Error("gzip is not asked for")
			}
			w.Header().Set("Content-Encoding", "gzip")
			bomb(w, 1<<16)
		}, "ok", ""},
		{"gzip bomb", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			bomb(w, 8<<20)
		}, "now", "larger than 1 MiB"},
		{"damaged gzip", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, fine())
		}, "now", "could not be read"},
		{"10 MB", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, strings.TrimSuffix(fine(), "}"))
			for range 10 {
				w.Write(bytes.Repeat([]byte(" "), 1<<20))
			}
			io.WriteString(w, "}")
		}, "now", "larger than 1 MiB"},
		{"1 MiB", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, fine()+strings.Repeat(" ", 1<<20-len(fine())))
		}, "ok", ""},
		{"1 MiB and a byte", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, fine()+strings.Repeat(" ", 1<<20-len(fine())+1))
		}, "now", "larger than 1 MiB"},
		{"truncated", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "4000")
			io.WriteString(w, fine())
		}, "now", "could not be read"},
		{"truncated refusal", func(w http.ResponseWriter, r *http.Request) { // of what, nobody knows
			w.Header().Set("Content-Length", "4000")
			w.WriteHeader(404)
			io.WriteString(w, failure(404, "session_not_found"))
		}, "now", "could not be read"},
		{"truncated JSON", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, fine()[:len(fine())-1])
		}, "now", "status 200"},
		{"oversized refusal", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(404)
			io.WriteString(w, failure(404, "session_not_found")+strings.Repeat(" ", 1<<20))
		}, "setup", "larger than 1 MiB"},
		{"HTML", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, "<!DOCTYPE html><title>Log in</title>")
		}, "now", "status 200"},
		{"HTML 502", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(502)
			io.WriteString(w, "<!DOCTYPE html><title>Bad gateway</title>")
		}, "now", "status 502"},
		{"HTML 401", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(401)
			io.WriteString(w, "<!DOCTYPE html>")
		}, "setup", "status 401"},
		{"one byte a second", func(w http.ResponseWriter, r *http.Request) {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for i := range fine() {
				io.WriteString(w, fine()[i:i+1])
				w.(http.Flusher).Flush()
				select {
				case <-tick.C:
				case <-r.Context().Done():
					return
				}
			}
		}, "now", "no answer in time"},
		{"no answer", func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}, "now", "no answer in time"},
		{"protocol switch", func(w http.ResponseWriter, r *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			t.Cleanup(func() { conn.Close() })
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		}, "now", "status 101"},
	} {
		t.Run(x.name, func(t *testing.T) {
			c, _ := server(t, x.h, func(cfg *stytchapi.Config) {
				cfg.Deadline = time.Minute // for a machine under load
				if strings.Contains(x.text, "in time") {
					cfg.Deadline = 150 * time.Millisecond
				}
			})
			e := authenticate(c)
			want(t, e, x.want)
			if e != nil && !strings.Contains(e.Error(), x.text) {
				t.Errorf("%v, want %q", e, x.text)
			}
			if s := c.State(); s.InFlight != 0 || s.Authenticates != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestResets(t *testing.T) {
	var n atomic.Int32
	h := func(fails int32) http.HandlerFunc {
		n.Store(0)
		return func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1) > fails {
				io.WriteString(w, fine())
				return
			}
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.Close()
		}
	}
	c, _ := server(t, h(1))
	want(t, authenticate(c), "ok")
	if s := c.State(); n.Load() != 2 || s.Retries != 1 {
		t.Errorf("%d requests, %+v", n.Load(), s)
	}
	c, _ = server(t, h(9))
	e := authenticate(c)
	want(t, e, "now")
	if n.Load() != 2 || !strings.Contains(e.Error(), "the connection broke") {
		t.Errorf("%d requests, %v", n.Load(), e)
	}
}

func TestNoServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	tlsServer := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached without trust") }))
	tlsServer.Config.ErrorLog = log.New(io.Discard, "", 0)
	tlsServer.StartTLS()
	defer tlsServer.Close()
	for _, x := range []struct{ base, want string }{
		{"http://" + l.Addr().String(), "no connection"},
		{"http://stytch.invalid.", "the host name was not resolved"},
		{tlsServer.URL, "the TLS certificate was not accepted"},
		{"http://\x7f", "the call failed"},
		{"", "the call failed"},
	} {
		c, _ := client(nil, func(cfg *stytchapi.Config) {
			cfg.BaseURL = x.base
			if strings.Contains(x.base, "invalid") { // the machine's resolver is not asked
				cfg.HTTPClient.Transport = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
					return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Name: "stytch.invalid", IsNotFound: true}}
				}}
				return
			}
			cfg.HTTPClient = nil
		})
		e := authenticate(c)
		want(t, e, "now")
		if !strings.Contains(e.Error(), x.want) || e.Status != 0 || errors.Unwrap(e) == nil {
			t.Errorf("%q: %v, want %q", x.base, e, x.want)
		}
	}
}

// Connections serve again after every kind of answer that is read.
func TestConnectionsAreReused(t *testing.T) {
	var conns atomic.Int32
	answers := []func(w http.ResponseWriter){
		func(w http.ResponseWriter) { io.WriteString(w, fine()) },
		func(w http.ResponseWriter) { w.WriteHeader(404); io.WriteString(w, failure(404, "session_not_found")) },
		func(w http.ResponseWriter) { w.WriteHeader(500); io.WriteString(w, strings.Repeat("x", 100<<10)) },
		func(w http.ResponseWriter) { io.WriteString(w, "<html>") },
	}
	var n atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answers[int(n.Add(1)-1)%len(answers)](w)
	}))
	var open sync.Map
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			conns.Add(1)
			open.Store(c, nil)
		case http.StateClosed:
			open.Delete(c)
		}
	}
	s.Start()
	defer s.Close()
	c, _ := client(nil, func(cfg *stytchapi.Config) { cfg.BaseURL, cfg.HTTPClient = s.URL, nil })
	for range 3 * len(answers) {
		authenticate(c)
	}
	if n.Load() != int32(3*len(answers)) || conns.Load() != 1 {
		t.Errorf("%d connections for %d requests", conns.Load(), n.Load())
	}
	c.CloseIdle()
	for deadline := time.Now().Add(5 * time.Second); ; {
		left := 0
		open.Range(func(any, any) bool { left++; return true })
		if left == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are left after CloseIdle", left)
		}
	}
	authenticate(c) // stays usable
	if conns.Load() != 2 {
		t.Errorf("%d connections", conns.Load())
	}
	c.CloseIdle()
}

// CloseIdle leaves the caller's connections alone.
func TestCloseIdleOfAnother(t *testing.T) {
	rt := &closer{transport: func(*http.Request) (*http.Response, error) { return reply(200, fine()), nil }}
	c, _ := client(rt)
	want(t, authenticate(c), "ok")
	c.CloseIdle()
	if rt.closed {
		t.Error("closed")
	}
}

type closer struct {
	transport
	closed bool
}

func (c *closer) CloseIdleConnections() { c.closed = true }

func TestHTTP2(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("spoken %s", r.Proto)
		}
		io.WriteString(w, fine())
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	c, _ := client(nil, func(cfg *stytchapi.Config) { cfg.BaseURL, cfg.HTTPClient = s.URL, s.Client() })
	for range 3 {
		want(t, authenticate(c), "ok")
	}
}

func TestConcurrent(t *testing.T) {
	var now, most atomic.Int32
	c, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		io.WriteString(w, fine())
	}, func(cfg *stytchapi.Config) { cfg.MaxInFlight = 4 })
	var wg sync.WaitGroup
	var ok, busy atomic.Int32
	for range 8 {
		wg.Go(func() {
			for range 20 {
				switch e := authenticate(c); {
				case e == nil:
					ok.Add(1)
				case e.Class == stytchapi.Now && e.Status == 0:
					busy.Add(1)
				default:
					t.Error(e)
				}
				_ = c.State()
			}
		})
	}
	wg.Wait()
	s := c.State()
	if most.Load() > 4 || ok.Load() == 0 || ok.Load()+busy.Load() != 160 || s.Authenticates != uint64(ok.Load()) || s.Refused != uint64(busy.Load()) || s.InFlight != 0 {
		t.Errorf("%d at once, %d ok, %d busy, %+v", most.Load(), ok.Load(), busy.Load(), s)
	}
}
