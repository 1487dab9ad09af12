package jwks_test

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stytchware/stytchware/jwks"
)

// These run against a real server and a real clock: nothing in them waits but
// for the server.

// startAt starts a Verifier that fetches from a server at base.
func startAt(t *testing.T, base string, client *http.Client) (*jwks.Verifier, *logs) {
	t.Helper()
	l := new(logs)
	v, err := jwks.New(jwks.Config{ProjectID: project, BaseURL: base, HTTPClient: client, Logger: slog.New(slog.NewTextHandler(l, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v, l
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func TestFetchHasNoCredentials(t *testing.T) {
	seen := make(chan *http.Request, 10)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r
		http.SetCookie(w, &http.Cookie{Name: "tracker", Value: "1"})
		_, _ = io.WriteString(w, keySet(jwk(mainKey(), kid)))
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	mine := &http.Client{Jar: jar}
	for _, client := range []*http.Client{nil, mine, mine} {
		v, _ := startAt(t, s.URL+"/", client)
		if _, err := v.Verify(context.Background(), token("a")); err != nil {
			t.Fatal(err)
		}
		r := <-seen
		if r.Method != http.MethodGet || r.URL.String() != "/v1/sessions/jwks/"+project || r.ContentLength != 0 {
			t.Errorf("asked %s %s", r.Method, r.URL)
		}
		for name := range r.Header {
			switch name {
			case "Accept", "Accept-Encoding", "User-Agent":
			default:
				t.Errorf("the request has a header %s", name)
			}
		}
	}
	if mine.CheckRedirect != nil || mine.Jar != jar {
		t.Error("New changed the caller's client")
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var followed atomic.Int64
	other := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		followed.Add(1)
		_, _ = io.WriteString(w, keySet(jwk(mainKey(), kid)))
	})
	for _, code := range []int{301, 302, 303, 307, 308} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, code) })
		for _, client := range []*http.Client{nil, {}} {
			v, _ := startAt(t, s.URL, client)
			if _, err := v.Verify(context.Background(), token("a")); !errors.Is(err, jwks.ErrUnavailable) {
				t.Errorf("after a %d the error is %v", code, err)
			}
		}
	}
	if n := followed.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

func TestAnswerIsLimitedAfterDecompression(t *testing.T) {
	good := keySet(jwk(mainKey(), kid))
	padded := func(n int) string { return good + strings.Repeat(" ", n-len(good)) }
	chunk := strings.Repeat(" ", 1<<16)
	for _, tt := range []struct {
		name string
		size int
		gzip bool
		ok   bool
	}{
		{"1 MiB", 1 << 20, false, true},
		{"1 MiB and one", 1<<20 + 1, false, false},
		{"10 MiB", 10 << 20, false, false},
		{"gzip of 1 MiB", 1 << 20, true, true},
		{"gzip of 1 MiB and one", 1<<20 + 1, true, false},
		{"gzip of 200 MiB", 200 << 20, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				var to io.Writer = w
				if tt.gzip {
					w.Header().Set("Content-Encoding", "gzip")
					z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
					if err != nil {
						panic(err)
					}
					defer z.Close()
					to = z
				}
				text := padded(min(tt.size, 1<<20))
				_, _ = io.WriteString(to, text)
				for left := tt.size - len(text); left > 0; left -= 1 << 16 {
					if _, err := io.WriteString(to, chunk[:min(left, len(chunk))]); err != nil {
						return
					}
				}
			})
			token := token("a")
			v, _ := startAt(t, s.URL, nil)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := v.Verify(context.Background(), token)
			runtime.ReadMemStats(&after)
			if tt.ok != (err == nil) || !tt.ok && !errors.Is(err, jwks.ErrUnavailable) {
				t.Errorf("error %v", err)
			}
			if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 50 { // the server's part included
				t.Errorf("%d MB were allocated", mb)
			}
		})
	}
}

func TestSlowBodyTimesOut(t *testing.T) {
	ended := make(chan struct{}, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"keys":[`)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		ended <- struct{}{}
	})
	v, l := startAt(t, s.URL, &http.Client{Timeout: 50 * time.Millisecond})
	if _, err := v.Verify(context.Background(), token("a")); !errors.Is(err, jwks.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	<-ended
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(l.String(), "cannot fetch the key set") {
		t.Errorf("the log is %q", l)
	}
}

func TestCloseEndsAHangingFetch(t *testing.T) {
	began := make(chan struct{})
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
	})
	v, _ := startAt(t, s.URL, nil)
	<-began
	if err := v.Close(); err != nil {
		t.Error(err)
	}
}

func TestCloseEndsIdleConnections(t *testing.T) {
	closed := make(chan struct{}, 10)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, keySet(jwk(mainKey(), kid)))
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	s.Start()
	defer s.Close()
	v, _ := startAt(t, s.URL, nil)
	if _, err := v.Verify(context.Background(), token("a")); err != nil {
		t.Error(err)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("the connection is still open")
	}
}

func TestNoServer(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	v, _ := startAt(t, s.URL, nil)
	if _, err := v.Verify(context.Background(), token("a")); !errors.Is(err, jwks.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}
