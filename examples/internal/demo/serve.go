package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// shutdownTime is how long requests under way may take to finish once the
// process is asked to stop.
const shutdownTime = 4 * time.Second

// Check ends the process with status 1 if the environment is wrong or err is
// not nil, after one line on stderr for each mistake.
func (s *Site) Check(err error) {
	lines := lines(errors.Join(s.mistake, err))
	for _, line := range lines {
		fmt.Fprintf(os.Stderr, "%s: %s\n", s.name, line)
	}
	if len(lines) > 0 {
		os.Exit(1)
	}
}

// lines takes joined errors apart, one line each.
func lines(err error) []string {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []string
		for _, e := range joined.Unwrap() {
			all = append(all, lines(e)...)
		}
		return all
	}
	return []string{strings.Join(strings.Fields(err.Error()), " ")}
}

// Serve serves h until SIGINT or SIGTERM, then lets requests under way finish,
// streams excepted, and returns nil within five seconds. A second signal ends
// the process at once.
func (s *Site) Serve(h http.Handler) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	ln, err := net.Listen("tcp", s.addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is in use by another program: set ADDR to another address", s.addr)
	}
	if err != nil {
		return fmt.Errorf("cannot listen on ADDR: %w", err)
	}
	fmt.Printf("%s: listening on http://%s\n", s.name, reachable(ln.Addr()))
	if s.project != nil {
		fmt.Printf("%s: no Stytch account configured, so a project in memory answers; open the address and log in with any e-mail address\n", s.name)
		if tcp, ok := ln.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
			s.log.Warn("anybody who can reach this address can log in as anybody: the inbox of the project in memory is public; by plain http from other machines nobody stays logged in, as browsers drop Secure cookies")
		}
	}
	return s.serve(ctx, ln, h)
}

// reachable is addr as a browser on this machine can open it.
func reachable(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("127.0.0.1:%d", tcp.Port)
	}
	return addr.String()
}

func (s *Site) serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	srv.RegisterOnShutdown(s.close) // Shutdown waits for streams and tells them nothing

	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}

	s.log.Info("shutting down")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		s.log.Warn("cutting off requests that did not finish in time")
		return srv.Close()
	}
	return nil
}
