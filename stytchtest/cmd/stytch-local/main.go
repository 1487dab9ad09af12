// Command stytch-local serves a Stytch project in memory, for programs in any
// language that are to run without an account. It prints the environment that
// points a program at it, and its page at / logs sessions in, shows the inbox,
// rotates keys and makes the API fail.
//
// It is for development: whoever can reach it can log in as anybody. So it
// listens on this machine only unless told otherwise, and forgets everything
// when it ends.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/stytchware/stytchware/stytchtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "stytch-local:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	addr        string
	project     stytchtest.Options
	tls         bool
	certificate string
	anywhere    bool
}

// The defaults are the same in every run, so that a program that was pointed
// here once need not be told again.
const (
	defaultAddr        = "127.0.0.1:8790"
	defaultProjectID   = "project-test-00000000-0000-4000-8000-000000000000"
	defaultSecret      = "secret-test-local"
	defaultPublicToken = "public-token-test-00000000-0000-4000-8000-000000000000"
)

func parse(args []string, usage io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("stytch-local", flag.ContinueOnError)
	f.SetOutput(usage)
	f.StringVar(&o.addr, "addr", defaultAddr, "`address` to listen on; port 0 picks one")
	f.StringVar(&o.project.ProjectID, "project-id", defaultProjectID, "project `id`, project-test-… or project-live-…")
	f.StringVar(&o.project.Secret, "secret", defaultSecret, "the API's `secret`")
	f.StringVar(&o.project.PublicToken, "public-token", "", "public `token` for the front-end SDK (default one of the project's environment)")
	f.DurationVar(&o.project.JWTLifetime, "jwt-lifetime", 5*time.Minute, "lifetime of a session JWT")
	f.BoolVar(&o.tls, "tls", false, "serve https with a certificate of its own")
	f.StringVar(&o.certificate, "certificate", "", "`file` to write that certificate to (default a temporary one)")
	f.BoolVar(&o.anywhere, "dangerously-listen-anywhere", false, "listen on an address that other machines can reach: they can then log in as anybody")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("there is no argument %q", f.Arg(0))
	case o.certificate != "" && !o.tls:
		return o, errors.New("-certificate needs -tls")
	case o.project.JWTLifetime < time.Second:
		return o, errors.New("-jwt-lifetime must be at least 1s")
	}
	if o.project.PublicToken == "" && strings.HasPrefix(o.project.ProjectID, "project-test-") {
		o.project.PublicToken = defaultPublicToken
	}
	return o, nil
}

// run serves until ctx ends. What it prints on out can be sourced by a shell.
func run(ctx context.Context, args []string, out, usage io.Writer) error {
	o, err := parse(args, usage)
	if err != nil {
		return err
	}
	project, err := newProject(o.project)
	if err != nil {
		return err
	}
	if !o.anywhere {
		if err := loopbackOnly(o.addr); err != nil {
			return err
		}
	}
	ln, err := net.Listen("tcp", o.addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	base := "http://" + ln.Addr().String()
	if o.tls {
		cfg, pem, err := newCertificate(ln.Addr())
		if err != nil {
			return err
		}
		if o.certificate == "" {
			dir, err := os.MkdirTemp("", "stytch-local-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			o.certificate = filepath.Join(dir, "certificate.pem")
		}
		if err := os.WriteFile(o.certificate, pem, 0o644); err != nil {
			return err
		}
		ln = tls.NewListener(ln, cfg)
		base = "https://" + ln.Addr().String()
	}

	env := []variable{
		{"STYTCH_PROJECT_ID", project.ID()},
		{"STYTCH_SECRET", project.Secret()},
		{"STYTCH_BASE_URL", base},
		{"STYTCH_PUBLIC_TOKEN", project.PublicToken()},
	}
	if o.tls {
		// What makes Go and Node trust the certificate.
		env = append(env, variable{"SSL_CERT_FILE", o.certificate}, variable{"NODE_EXTRA_CA_CERTS", o.certificate})
	}
	project.KeySet() // makes its key, before anybody waits for it
	fmt.Fprintf(out, "# stytch-local: a Stytch project in memory. Open %s/ to log in.\n", base)
	for _, v := range env {
		fmt.Fprintf(out, "%s=%s\n", v.Name, shellQuote(v.Value))
	}

	server := &http.Server{Handler: newLocal(project, env, o.anywhere), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	// A request that meets the fault Hang would keep Shutdown waiting.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		server.Close()
	}
	return nil
}

// variable is one of the environment.
type variable struct{ Name, Value string }

func shellQuote(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:[]") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// newProject is stytchtest.New, which panics at what cannot be a project.
func newProject(o stytchtest.Options) (p *stytchtest.Project, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%v", v)
		}
	}()
	return stytchtest.New(o), nil
}

func loopbackOnly(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("-addr: %w", err)
	}
	if !loopback(host) {
		return fmt.Errorf("-addr: other machines can reach %q, and could log in as anybody; use 127.0.0.1, or -dangerously-listen-anywhere", addr)
	}
	return nil
}

// loopback reports whether a host names this machine and no other.
func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
