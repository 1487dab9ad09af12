package stytchtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/stytchtest"
)

func TestTransportAnswersAsAServer(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	var seen *http.Request
	p.FailKeys(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		seen = r
		io.WriteString(w, "<html>hello")
		w.Header().Set("Too-Late", "x")
		w.WriteHeader(500) // too late as well
	})
	client := &http.Client{Transport: p.Transport()}
	res, err := client.Get(p.BaseURL() + keySetPath + p.ID() + "?a=b")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != "<html>hello" {
		t.Errorf("body %q, %v", body, err)
	}
	if res.StatusCode != 200 || res.Status != "200 OK" || res.ContentLength != 11 || res.Proto != "HTTP/1.1" || res.Request == nil {
		t.Errorf("response %+v", res)
	}
	if got := res.Header; got.Get("Content-Type") != "text/html; charset=utf-8" || got.Get("Content-Length") != "11" || got.Get("Too-Late") != "" {
		t.Errorf("header %v", got)
	}
	if _, err := http.ParseTime(res.Header.Get("Date")); err != nil {
		t.Errorf("Date: %v", err)
	}
	if seen.Host != "test.stytch.com" || seen.RequestURI != keySetPath+p.ID()+"?a=b" || seen.URL.Host != "" || seen.RemoteAddr == "" || seen.Header.Get("User-Agent") == "" {
		t.Errorf("request %+v", seen)
	}
	if seen.Context().Err() == nil {
		t.Error("the request's context outlives it")
	}
}

func TestTransportTakesABareRequest(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	u, err := url.Parse(p.BaseURL() + keySetPath + p.ID())
	if err != nil {
		t.Fatal(err)
	}
	var seen *http.Request
	p.FailKeys(func(w http.ResponseWriter, r *http.Request, next http.Handler) { seen = r; next.ServeHTTP(w, r) })
	bare := &http.Request{Method: "GET", URL: u}
	res, err := p.Transport().RoundTrip(bare)
	if err != nil || res.StatusCode != 200 || seen.Host != "test.stytch.com" {
		t.Errorf("response %v, %v, host %q", res, err, seen.Host)
	}
	// A RoundTripper does not change the request.
	if bare.Header != nil || bare.Host != "" || bare.URL.Host != "test.stytch.com" || bare.Body != nil {
		t.Errorf("the request was changed: %+v", bare)
	}
}

func TestTransportAnswersHead(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	p.FailKeys(stytchtest.Reply(200, "text/plain", "hello"))
	client := &http.Client{Transport: p.Transport()}
	res, err := client.Head(p.BaseURL() + keySetPath + p.ID())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || len(body) != 0 || res.ContentLength != 5 {
		t.Errorf("body %q, %v, length %d", body, err, res.ContentLength)
	}
}

func TestTransportReachesTheProjectOnly(t *testing.T) {
	test := stytchtest.New(stytchtest.Options{})
	live := stytchtest.New(stytchtest.Options{ProjectID: "project-live-1"})
	custom := stytchtest.New(stytchtest.Options{CustomDomain: "https://login.example.com"})
	for _, c := range []struct {
		p    *stytchtest.Project
		url  string
		want bool
	}{
		{test, "https://test.stytch.com", true},
		{test, "http://test.stytch.com", false},
		{test, "https://api.stytch.com", false},
		{test, "https://test.stytch.com.example.com", false},
		{test, "https://example.com", false},
		{live, "https://api.stytch.com", true},
		{live, "https://test.stytch.com", false},
		{live, "https://live.stytch.com", false},
		{custom, "https://login.example.com", true},
		{custom, "https://test.stytch.com", true},
		{custom, "http://login.example.com", false},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", c.url+keySetPath+c.p.ID(), nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.p.Transport().RoundTrip(r)
		if (err == nil) != c.want || err == nil && res.StatusCode != 200 {
			t.Errorf("%s: %v, %v; want reached %v", c.url, res, err, c.want)
		}
	}
	if got := test.Calls(); got != (stytchtest.Calls{KeySet: 1}) {
		t.Errorf("calls %+v", got)
	}
}

// body is a request body that tells what became of it.
type body struct {
	io.Reader
	closed bool
}

func (b *body) Close() error { b.closed = true; return nil }

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("disk on fire") }

func TestTransportClosesTheRequestBody(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		host string
		in   io.Reader
		want string // in the error; "" for none
	}{
		{"good", t.Context(), p.BaseURL(), strings.NewReader("{}"), ""},
		{"unreadable", t.Context(), p.BaseURL(), failing{}, "disk on fire"},
		{"canceled", canceled, p.BaseURL(), strings.NewReader("{}"), "context canceled"},
		{"elsewhere", t.Context(), "https://example.com", strings.NewReader("{}"), "https://example.com"},
	} {
		b := &body{Reader: c.in}
		r, err := http.NewRequestWithContext(c.ctx, "POST", c.host+authenticatePath, b)
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Transport().RoundTrip(r)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
		if !b.closed {
			t.Errorf("%s: the body is open", c.name)
		}
	}
	if got := p.Calls().Authenticate; got != 1 {
		t.Errorf("%d requests arrived, want 1", got)
	}
}

func TestTransportObeysTheContext(t *testing.T) {
	cause := errors.New("enough")
	tests := []struct {
		name    string
		fault   stytchtest.Fault
		context func(context.Context) (context.Context, context.CancelFunc)
		want    error
	}{
		{"hang, timeout", stytchtest.Hang(), func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 3*time.Second)
		}, context.DeadlineExceeded},
		{"slow, timeout", stytchtest.Slow(time.Minute), func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 3*time.Second)
		}, context.DeadlineExceeded},
		{"slow, cause", stytchtest.Slow(time.Minute), func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, 3*time.Second, cause)
		}, cause},
		{"a fault that does not look at the context", func(http.ResponseWriter, *http.Request, http.Handler) { advance(time.Minute) },
			func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, 3*time.Second)
			}, context.DeadlineExceeded},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := stytchtest.New(stytchtest.Options{})
				p.FailKeys(test.fault)
				ctx, cancel := test.context(t.Context())
				defer cancel()
				start := time.Now()
				_, err := p.Transport().RoundTrip(newRequest(t, p, "GET", keySetPath+p.ID(), nil).WithContext(ctx))
				if !errors.Is(err, test.want) || time.Since(start) != 3*time.Second {
					t.Errorf("error %v after %v, want %v after 3s", err, time.Since(start), test.want)
				}
				// The bubble panics if a handler goes on for ever: those that
				// look at their context have ended, and the one that does not
				// ends by itself.
				advance(time.Minute)
			})
		})
	}
}

func TestClientTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stytchtest.New(stytchtest.Options{})
		p.FailKeys(stytchtest.Slow(time.Minute))
		client := &http.Client{Transport: p.Transport(), Timeout: 2 * time.Second}
		start := time.Now()
		_, err := client.Get(p.BaseURL() + keySetPath + p.ID())
		var timeout interface{ Timeout() bool }
		if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(start) != 2*time.Second {
			t.Errorf("error %v after %v", err, time.Since(start))
		}
	})
}

func TestTransportTurnsAPanicIntoAnError(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	for _, test := range []struct {
		value any
		want  string
	}{
		{"two\nlines", `stytchtest: the handler panicked: "two\nlines"`},
		{fmt.Errorf("closing: %w", http.ErrAbortHandler), "stytchtest: the server closed the connection: EOF"},
		{errors.New("x"), `stytchtest: the handler panicked: "x"`},
	} {
		p.FailAPI(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			io.WriteString(w, "unsent") // as in the buffer of a server
			panic(test.value)
		})
		res, err := p.Transport().RoundTrip(newRequest(t, p, "POST", authenticatePath, object{}))
		if res != nil || err == nil || err.Error() != test.want {
			t.Errorf("panic %v: error %v, want %s", test.value, err, test.want)
		}
	}
}
