package stytchapi_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/internal/stytchapi"
)

// A setup error is loud, says what to check, and comes once a minute and type.
func TestSetupLog(t *testing.T) {
	for _, c := range []struct {
		status          int
		errorType, want string
	}{
		{401, "unauthorized_credentials", "ProjectID and Secret"},
		{401, "invalid_secret_authentication", "ProjectID and Secret"},
		{401, "invalid_project_id_authentication", "ProjectID: complete"},
		{404, "project_not_found", "ProjectID: complete"},
		{400, "use_https", "BaseURL: it must begin with https"},
		{400, "invalid_session_duration", "5 to 527040 minutes"},
		{403, "session_authorization_error", "of one environment"},
		{404, "", "whatever stands between"},
	} {
		t.Run(c.errorType, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl, j := client(transport(func(*http.Request) (*http.Response, error) {
					return reply(c.status, failure(c.status, c.errorType)), nil
				}))
				want(t, authenticate(cl), "setup")
				for _, s := range []string{"level=ERROR", "check=", c.want, fmt.Sprintf("status=%d", c.status), "request_id=request-id-test-2", c.errorType} {
					if !strings.Contains(j.String(), s) {
						t.Errorf("%q is missing in %s", s, j)
					}
				}
				advance(time.Minute - 1)
				for range 9 {
					authenticate(cl)
				}
				if n := j.lines("ERROR"); n != 1 {
					t.Errorf("%d lines in a minute", n)
				}
				advance(1)
				authenticate(cl)
				if n := j.lines("ERROR"); n != 2 || !strings.Contains(j.String(), "more_since_last=9") {
					t.Errorf("%d lines in two: %s", n, j)
				}
				advance(time.Minute)
				authenticate(cl)
				if n := strings.Count(j.String(), "more_since_last"); n != 1 {
					t.Errorf("counted on: %s", j)
				}
			})
		})
	}
}

func TestNowLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status := 503
		cl, j := client(transport(func(*http.Request) (*http.Response, error) {
			return reply(status, failure(status, "")), nil
		}))
		for range 20 {
			authenticate(cl)
		}
		if !strings.Contains(j.String(), "retry_after=1s") || !strings.Contains(j.String(), "failed several times in a row") {
			t.Errorf("%s", j)
		}
		if n := j.lines("WARN"); n != 2 || j.lines("ERROR") != 0 { // the failure and the refusal
			t.Errorf("%d lines: %s", n, j)
		}
		advance(time.Minute)
		status = 404 // setup, with a type that was logged as another class
		want(t, authenticate(cl), "setup")
		if j.lines("ERROR") != 1 {
			t.Errorf("%s", j)
		}
	})
}

// A session that is gone is nothing to log.
func TestGoneLog(t *testing.T) {
	cl, j := client(transport(func(*http.Request) (*http.Response, error) { return reply(404, failure(404, "session_not_found")), nil }))
	want(t, authenticate(cl), "gone")
	if err := cl.Revoke(context.Background(), byToken); err != nil {
		t.Error(err)
	}
	if j.String() != "" {
		t.Errorf("logged %s", j)
	}
}

// However many types a server invents, the kinds told apart are few, and
// those of the last minute only.
func TestLogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		cl, j := client(transport(func(*http.Request) (*http.Response, error) {
			n++
			return reply(400, failure(400, fmt.Sprintf("type_%d", n))), nil
		}))
		for range 1000 {
			authenticate(cl)
		}
		if lines := j.lines("ERROR"); lines != 33 {
			t.Errorf("%d lines, want 32 kinds and one for the rest", lines)
		}
		advance(time.Minute)
		authenticate(cl)
		if !strings.Contains(j.String(), "error_type=type_1001 ") {
			t.Error("old kinds do not make room")
		}
	})
}

// explosive is a log handler that panics.
type explosive struct{ slog.Handler }

func (explosive) Enabled(context.Context, slog.Level) bool  { return true }
func (explosive) Handle(context.Context, slog.Record) error { panic("boom") }

func TestPanickingLogger(t *testing.T) {
	for _, status := range []int{401, 500} {
		cl, _ := client(transport(func(*http.Request) (*http.Response, error) { return reply(status, ""), nil }),
			func(cfg *stytchapi.Config) { cfg.Logger = slog.New(explosive{}) })
		if e := authenticate(cl); e == nil || e.Status != status {
			t.Errorf("%v", e)
		}
		if s := cl.State(); s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
	}
}

func TestDefaultLogger(t *testing.T) {
	j := new(journal)
	before := slog.Default()
	defer slog.SetDefault(before)
	cl, _ := client(transport(func(*http.Request) (*http.Response, error) { return reply(401, ""), nil }),
		func(cfg *stytchapi.Config) { cfg.Logger = nil })
	slog.SetDefault(j.logger()) // set later than the client was made
	authenticate(cl)
	if j.lines("ERROR") != 1 {
		t.Errorf("logged %s", j)
	}
}
