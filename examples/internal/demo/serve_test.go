package demo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stytchware/stytchware/examples/internal/demo"
	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

func TestLines(t *testing.T) {
	err := errors.Join(errors.New("one"), errors.Join(errors.New("two\n\tand a half"), nil), fmt.Errorf("three: %w", io.EOF))
	want := []string{"one", "two and a half", "three: EOF"}
	if got := demo.Lines(err); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := demo.Lines(nil); len(got) != 0 {
		t.Errorf("no error has the lines %q", got)
	}
}

// handlers returns the handlers of a site with no account.
func handlers(t *testing.T) (*demo.Site, *middleware.Authenticator, demo.Handlers) {
	t.Helper()
	site := demo.New("x", env(nil), slog.New(slog.DiscardHandler))
	auth, err := middleware.New(site.Config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = auth.Close() })
	return site, auth, site.Handlers(auth)
}

// A handler that is mounted without its guard must not answer.
func TestUnguarded(t *testing.T) {
	_, _, h := handlers(t)
	for name, handler := range map[string]http.Handler{"session": h.Session, "events": h.Events} {
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
		if rec.Code != http.StatusInternalServerError {
			t.Errorf("%s without a guard: %d", name, rec.Code)
		}
	}
}

// What Stytch should never send makes an error, not half an answer.
func TestOddSession(t *testing.T) {
	_, _, h := handlers(t)
	for _, test := range []struct {
		name    string
		handler http.Handler
		data    sessionctx.Data
		status  int
		want    string // a part of the body
	}{
		{"claims", h.Session, sessionctx.Data{CustomClaims: `{`}, 500, `"status":500`},
		{"claims", h.Events, sessionctx.Data{CustomClaims: `{`}, 500, `"status":500`},
		{"factor", h.Session, sessionctx.Data{Factors: []sessionctx.Factor{{Raw: `[`}}}, 200, `"last_authenticated_at":""`},
	} {
		rec := httptest.NewRecorder()
		test.handler.ServeHTTP(rec, stytchtest.WithSession(httptest.NewRequest("GET", "/", nil), test.data))
		if rec.Code != test.status || !strings.Contains(rec.Body.String(), test.want) {
			t.Errorf("%s: got %d %s, want %d with %s", test.name, rec.Code, rec.Body, test.status, test.want)
		}
	}
}

func serveOn(t *testing.T, ctx context.Context, site *demo.Site, h http.Handler) (origin string, served chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served = make(chan error, 1)
	go func() { served <- site.ServeOn(ctx, ln, h) }()
	return "http://" + ln.Addr().String(), served
}

// A request under way when the server is asked to stop gets its answer.
func TestServeFinishesRequests(t *testing.T) {
	site := demo.New("x", env(nil), slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	origin, served := serveOn(t, ctx, site, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stop()
		// The listener is closed first: once it is, the shutdown waits for us.
		for {
			c, err := net.Dial("tcp", r.Host)
			if err != nil {
				break
			}
			c.Close()
		}
		io.WriteString(w, "finished")
	}))
	res, err := http.Get(origin)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); string(body) != "finished" || err != nil {
		t.Errorf("got %q, %v", body, err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestServeReportsFailure(t *testing.T) {
	site := demo.New("x", env(nil), slog.New(slog.DiscardHandler))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := site.ServeOn(t.Context(), ln, http.NotFoundHandler()); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("a closed listener: %v", err)
	}
}
