package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

// started is a running stytch-local and the environment it printed.
type started struct {
	env    map[string]string
	client *http.Client
	end    func() error // ends it and returns what run returned
}

func start(t *testing.T, args ...string) *started {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, append([]string{"-addr", "127.0.0.1:0"}, args...), w, io.Discard)
		w.CloseWithError(io.EOF)
		ended <- err
	}()
	s := &started{env: map[string]string{}, client: &http.Client{}}
	want := 4
	if strings.Contains(strings.Join(args, " "), "-tls") {
		want = 6
	}
	lines := bufio.NewScanner(r)
	for len(s.env) < want && lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), "="); ok {
			s.env[name] = value
		} else if !strings.HasPrefix(lines.Text(), "# ") {
			t.Errorf("a shell would stumble over %q", lines.Text())
		}
	}
	go io.Copy(io.Discard, r)
	var result error
	done := false
	s.end = func() error {
		if !done {
			done = true
			cancel()
			result = <-ended
		}
		return result
	}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		if err := s.end(); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	if len(s.env) != want {
		t.Fatalf("environment %v, error %v", s.env, s.end())
	}
	return s
}

// config is what a program makes of the environment.
func (s *started) config() middleware.Config {
	return middleware.Config{
		ProjectID: s.env["STYTCH_PROJECT_ID"], Secret: s.env["STYTCH_SECRET"], BaseURL: s.env["STYTCH_BASE_URL"],
		HTTPClient: s.client,
	}
}

// authenticated returns the session that a program pointed at s sees in a
// request with token.
func (s *started) authenticated(t *testing.T, token string) (*sessionctx.Session, int) {
	t.Helper()
	cfg := s.config()
	cfg.KeyCooldown = time.Nanosecond // whether the first fetch has ended must not matter
	auth, err := middleware.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer auth.Close()
	var got *sessionctx.Session
	h := auth.RequireSession(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got, _ = sessionctx.From(r.Context()) }))
	r := httptest.NewRequest("GET", "/", nil)
	stytchtest.AddBearer(r, token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return got, w.Code
}

// sandboxToken is Stytch's own, which every project accepts.
const sandboxToken = "WJtR5BCy38Szd5AfoDpf0iqFKEt4EE5JhjlWUY7l3FtY"

func TestTheEnvironmentPointsAProgramHere(t *testing.T) {
	for _, args := range [][]string{
		nil,
		{"-project-id", "project-live-1", "-secret", "secret-live-x"},
		{"-public-token", "public-token-test-2", "-jwt-lifetime", "1m"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			s := start(t, args...)
			if session, status := s.authenticated(t, sandboxToken); status != 200 || session == nil {
				t.Errorf("status %d, session %v", status, session)
			}
			if !strings.HasPrefix(s.env["STYTCH_BASE_URL"], "http://127.0.0.1:") {
				t.Errorf("base URL %q", s.env["STYTCH_BASE_URL"])
			}
			env := strings.Split(s.env["STYTCH_PROJECT_ID"], "-")[1]
			if !strings.HasPrefix(s.env["STYTCH_PUBLIC_TOKEN"], "public-token-"+env+"-") {
				t.Errorf("public token %q of a %s project", s.env["STYTCH_PUBLIC_TOKEN"], env)
			}
			for i := 0; i+1 < len(args); i += 2 {
				name := map[string]string{"-project-id": "STYTCH_PROJECT_ID", "-secret": "STYTCH_SECRET", "-public-token": "STYTCH_PUBLIC_TOKEN"}[args[i]]
				if name != "" && s.env[name] != args[i+1] {
					t.Errorf("%s=%s, want %s", name, s.env[name], args[i+1])
				}
			}
		})
	}
}

func TestTheEnvironmentIsTheSameInEveryRun(t *testing.T) {
	a, b := start(t), start(t)
	for _, name := range []string{"STYTCH_PROJECT_ID", "STYTCH_SECRET", "STYTCH_PUBLIC_TOKEN"} {
		if a.env[name] == "" || a.env[name] != b.env[name] {
			t.Errorf("%s: %q, then %q", name, a.env[name], b.env[name])
		}
	}
}

func TestTLS(t *testing.T) {
	file := filepath.Join(t.TempDir(), "certificate.pem")
	s := start(t, "-tls", "-certificate", file)
	if s.env["SSL_CERT_FILE"] != file || s.env["NODE_EXTRA_CA_CERTS"] != file {
		t.Errorf("environment %v", s.env)
	}
	if _, status := s.authenticated(t, sandboxToken); status != 503 {
		t.Errorf("status %d without trust in the certificate, want 503", status)
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	s.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	if _, status := s.authenticated(t, sandboxToken); status != 200 {
		t.Errorf("status %d, want 200", status)
	}
	// By Stytch's own name, as a browser with a resolver rule comes.
	base := strings.TrimPrefix(s.env["STYTCH_BASE_URL"], "https://")
	conn, err := tls.Dial("tcp", base, &tls.Config{RootCAs: roots, ServerName: "test.stytch.com"})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestATemporaryCertificateGoesWithTheProgram(t *testing.T) {
	s := start(t, "-tls")
	file := s.env["SSL_CERT_FILE"]
	if _, err := os.Stat(file); err != nil {
		t.Fatal(err)
	}
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", file, err)
	}
}

func TestRunRefuses(t *testing.T) {
	busy := httptest.NewServer(nil)
	defer busy.Close()
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"other machines", []string{"-addr", "0.0.0.0:0"}, "-dangerously-listen-anywhere"},
		{"other machines, by default host", []string{"-addr", ":0"}, "-dangerously-listen-anywhere"},
		{"other machines, IPv6", []string{"-addr", "[::]:0"}, "-dangerously-listen-anywhere"},
		{"a name", []string{"-addr", "example.com:0"}, "-dangerously-listen-anywhere"},
		{"no port", []string{"-addr", "127.0.0.1"}, "missing port"},
		{"an address in use", []string{"-addr", busy.Listener.Addr().String()}, "in use"},
		{"no project id", []string{"-project-id", "test"}, `"test"`},
		{"a public token of elsewhere", []string{"-public-token", "public-token-live-1"}, "public-token-test-"},
		{"a certificate without TLS", []string{"-certificate", "x"}, "-tls"},
		{"a certificate nowhere", []string{"-addr", "127.0.0.1:0", "-tls", "-certificate", filepath.Join(t.TempDir(), "no", "file")}, "no such file"},
		{"a lifetime of nothing", []string{"-jwt-lifetime", "1ms"}, "-jwt-lifetime"},
		{"an argument", []string{"serve"}, `"serve"`},
		{"an unknown flag", []string{"-x"}, "-x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // whatever is accepted by mistake ends at once
			err := run(ctx, c.args, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that names %q", err, c.want)
			}
		})
	}
	if err := run(t.Context(), []string{"-h"}, io.Discard, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.1.2.3": true, "::1": true, "::ffff:127.0.0.1": true, "localhost": true, "app.localhost": true,
		"": false, "0.0.0.0": false, "::": false, "192.0.2.1": false, "example.com": false, "localhost.example.com": false, "127.0.0.1.example.com": false,
	} {
		if got := loopback(host); got != want {
			t.Errorf("loopback(%q) is %v", host, got)
		}
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{"secret-test-1_a": "secret-test-1_a", "http://[::1]:1": "http://[::1]:1", "a b": "'a b'", "$(x)'": `'$(x)'\'''`} {
		if got := shellQuote(in); got != want {
			t.Errorf("shellQuote(%q) is %s, want %s", in, got, want)
		}
	}
}

func TestAHangingRequestDoesNotKeepItAlive(t *testing.T) {
	s := start(t)
	s.post(t, "fault", "fault=hang&target=all")
	arrived := make(chan struct{})
	go func() {
		defer close(arrived)
		res, err := s.client.Get(s.env["STYTCH_BASE_URL"] + "/v1/sessions/jwks/" + s.env["STYTCH_PROJECT_ID"])
		if err == nil {
			res.Body.Close()
			t.Errorf("status %d, want a broken connection", res.StatusCode)
		}
	}()
	for !strings.Contains(s.page(t), "<dt>Key set</dt><dd>1</dd>") {
	}
	if err := s.end(); err != nil {
		t.Errorf("run: %v", err)
	}
	<-arrived
}
