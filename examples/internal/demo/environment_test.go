package demo_test

import (
	"io"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stytchware/stytchware/examples/internal/demo"
	"github.com/stytchware/stytchware/middleware"
)

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestEnvironmentMistakes(t *testing.T) {
	tests := []struct {
		name string
		vars map[string]string
		want []string // a part of each line, in order
	}{
		{"nothing set", nil, nil},
		{"account", map[string]string{"STYTCH_PROJECT_ID": "project-test-1", "STYTCH_SECRET": "s"}, nil},
		{"id without secret", map[string]string{"STYTCH_PROJECT_ID": "project-test-1"}, []string{"STYTCH_SECRET is not"}},
		{"secret without id", map[string]string{"STYTCH_SECRET": "hush-hush"}, []string{"STYTCH_PROJECT_ID is not"}},
		{"base URL alone", map[string]string{"STYTCH_BASE_URL": "https://login.example.com"}, []string{"STYTCH_BASE_URL"}},
		{"shared", map[string]string{"COOKIES": "shared"}, nil},
		{"private", map[string]string{"COOKIES": "private"}, nil},
		{"no posture", map[string]string{"COOKIES": "Private"}, []string{`COOKIES is "Private"`}},
		{"keys", map[string]string{"COOKIE_KEYS": "00ff, 0A0b"}, nil},
		{"key not hex", map[string]string{"COOKIE_KEYS": "00ff,hush-hush"}, []string{"COOKIE_KEYS: key 2"}},
		{"empty key", map[string]string{"COOKIE_KEYS": ",00ff,"}, []string{"key 1", "key 3"}},
		{"durations", map[string]string{"MAX_TOKEN_AGE": "1m", "OPAQUE_TTL": "0", "NEGATIVE_TTL": "1s", "KEY_COOLDOWN": "250ms"}, nil},
		{"no unit", map[string]string{"MAX_TOKEN_AGE": "60"}, []string{`MAX_TOKEN_AGE is "60"`}},
		{"zero", map[string]string{"MAX_TOKEN_AGE": "0s", "NEGATIVE_TTL": "0", "KEY_COOLDOWN": "0"}, []string{"MAX_TOKEN_AGE", "NEGATIVE_TTL", "KEY_COOLDOWN"}},
		{"negative", map[string]string{"OPAQUE_TTL": "-1s", "KEY_COOLDOWN": "-1ns"}, []string{"OPAQUE_TTL", "KEY_COOLDOWN"}},
		{"several, one with a line break", map[string]string{"STYTCH_SECRET": "hush-hush", "COOKIES": "a\nb", "OPAQUE_TTL": "soon"}, []string{"STYTCH_PROJECT_ID", `"a\nb"`, `"soon"`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := demo.ReadEnvironment(env(test.vars))
			got := demo.Lines(err)
			if len(got) != len(test.want) {
				t.Fatalf("got %d lines %q, want %d", len(got), got, len(test.want))
			}
			for i, line := range got {
				if !strings.Contains(line, test.want[i]) || strings.ContainsAny(line, "\r\n") {
					t.Errorf("line %d is %q, want one line with %q", i, line, test.want[i])
				}
				if strings.Contains(line, "hush") {
					t.Errorf("line %d tells a secret: %q", i, line)
				}
			}
		})
	}
}

func TestEnvironmentReachesConfig(t *testing.T) {
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))

	site := demo.New("x", env(map[string]string{
		"STYTCH_PROJECT_ID": "project-test-1", "STYTCH_SECRET": "s", "STYTCH_BASE_URL": "https://login.example.com",
		"COOKIES": "private", "COOKIE_DOMAIN": "example.com", "COOKIE_KEYS": "0102,ff",
		"MAX_TOKEN_AGE": "1m", "OPAQUE_TTL": "2s", "NEGATIVE_TTL": "3s", "KEY_COOLDOWN": "4s",
	}), quiet)
	c := site.Config
	got := []any{c.ProjectID, c.Secret, c.BaseURL, c.Cookies.Posture, c.Cookies.Domain, c.Cookies.Keys, c.MaxTokenAge, c.OpaqueTTL, c.NegativeTTL, c.KeyCooldown, c.LoginURL, c.StepUpURL, c.Logger}
	want := []any{"project-test-1", "s", "https://login.example.com", middleware.Private, "example.com", [][]byte{{1, 2}, {255}}, time.Minute, 2 * time.Second, 3 * time.Second, 4 * time.Second, "/", "/", quiet}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if site.Project() != nil {
		t.Error("a project in memory in spite of an account")
	}

	site = demo.New("x", env(map[string]string{"OPAQUE_TTL": "0s"}), quiet)
	c = site.Config
	if site.Project() == nil || c.ProjectID != site.Project().ID() || c.HTTPClient == nil {
		t.Error("without an account the configuration does not lead to the project in memory")
	}
	got = []any{c.OpaqueTTL, c.MaxTokenAge, c.Cookies.Posture, c.Logger}
	want = []any{middleware.NoCache, time.Duration(0), middleware.Shared, quiet}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAddress(t *testing.T) {
	for given, want := range map[string]string{"": "127.0.0.1:8080", "127.0.0.1:8081": "127.0.0.1:8081"} {
		e, _ := demo.ReadEnvironment(env(map[string]string{"ADDR": given}))
		if got, _, _, _ := e.Values(); got != want {
			t.Errorf("ADDR=%q: got %q, want %q", given, got, want)
		}
	}
}
