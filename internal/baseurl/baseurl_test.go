package baseurl_test

import (
	"testing"

	"github.com/stytchware/stytchware/internal/baseurl"
)

func TestProjectID(t *testing.T) {
	for id, ok := range map[string]bool{
		"project-test-00000000-0000-0000-0000-000000000000": true,
		"project-live-Aa9":          true,
		"":                          false,
		"project-test-":             false,
		"project-live-":             false,
		"project-prod-1":            false,
		"Project-test-1":            false,
		" project-test-1":           false,
		"project-test-1\n":          false,
		"project-test-1/../x":       false,
		"project-test-1%2f":         false,
		"project-test-é":            false,
		"project-test-1\x00":        false,
		"member-project-test-1":     false,
		"project-live-1?a=b":        false,
		"project-test-project-live": true,
	} {
		if err := baseurl.ProjectID(id); (err == nil) != ok {
			t.Errorf("ProjectID(%q) = %v, want ok %v", id, err, ok)
		}
	}
}

func TestResolve(t *testing.T) {
	for _, tt := range []struct{ project, raw, want string }{
		{"project-test-1", "", "https://test.stytch.com"},
		{"project-live-1", "", "https://api.stytch.com"},
		{"", "", "https://test.stytch.com"},
		{"project-live-1", "https://login.example.com", "https://login.example.com"},
		{"project-test-1", "https://login.example.com/", "https://login.example.com"},
		{"project-test-1", "HTTPS://Login.Example.COM:8443/", "https://login.example.com:8443"},
		{"project-test-1", "http://localhost:1234", "http://localhost:1234"},
		{"project-test-1", "http://LOCALHOST", "http://localhost"},
		{"project-test-1", "http://127.0.0.1:1", "http://127.0.0.1:1"},
		{"project-test-1", "http://127.9.9.9:65535/", "http://127.9.9.9:65535"},
		{"project-test-1", "http://[::1]:80", "http://[::1]:80"},
		{"project-test-1", "https://192.0.2.1", "https://192.0.2.1"},
		{"project-test-1", "https://[2001:db8::1]:443", "https://[2001:db8::1]:443"},
		{"project-test-1", "http://example.com", ""},
		{"project-test-1", "http://localhost.example.com", ""},
		{"project-test-1", "http://app.localhost", ""},
		{"project-test-1", "http://192.0.2.1", ""},
		{"project-test-1", "http://127.1", ""},
		{"project-test-1", "http://0.0.0.0", ""},
		{"project-test-1", "http://[::1%25lo]", ""},
		{"project-test-1", "http://[::2]", ""},
		{"project-test-1", "ftp://example.com", ""},
		{"project-test-1", "example.com", ""},
		{"project-test-1", "//example.com", ""},
		{"project-test-1", "https:example.com", ""},
		{"project-test-1", "https://", ""},
		{"project-test-1", "https:///x", ""},
		{"project-test-1", "https://user@example.com", ""},
		{"project-test-1", "https://user:pw@example.com", ""},
		{"project-test-1", "https://example.com/v1", ""},
		{"project-test-1", "https://example.com//", ""},
		{"project-test-1", "https://example.com/%2f", ""},
		{"project-test-1", "https://example.com?", ""},
		{"project-test-1", "https://example.com?a=b", ""},
		{"project-test-1", "https://example.com#", ""},
		{"project-test-1", "https://example.com#a", ""},
		{"project-test-1", "https://example.com:", ""},
		{"project-test-1", "https://example.com:0", ""},
		{"project-test-1", "https://example.com:65536", ""},
		{"project-test-1", "https://example.com:x", ""},
		{"project-test-1", "https://exa mple.com", ""},
		{"project-test-1", "https://exämple.com", ""},
		{"project-test-1", "https://example..com", ""},
		{"project-test-1", "https://[example.com]", ""},
		{"project-test-1", "https://ex%41mple.com", ""},
		{"project-test-1", " https://example.com", ""},
		{"project-test-1", "https://example.com\n", ""},
	} {
		got, err := baseurl.Resolve(tt.project, tt.raw)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("Resolve(%q, %q) = %q, %v; want %q", tt.project, tt.raw, got, err, tt.want)
		}
	}
}
