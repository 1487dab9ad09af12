package stytchtest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stytchware/stytchware/stytchtest"
)

func TestConfig(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	s := stytchtest.NewServer(t, stytchtest.Options{ProjectID: "project-test-1", Secret: "s3cret"})
	if cfg := s.Config(); cfg.ProjectID != "project-test-1" || cfg.Secret != "s3cret" || cfg.BaseURL != s.URL || !strings.HasPrefix(s.URL, "http://127.0.0.1:") {
		t.Errorf("server: project %q, base URL %q", cfg.ProjectID, cfg.BaseURL)
	}
	if cfg := p.Config(); cfg.ProjectID != p.ID() || cfg.Secret != p.Secret() || cfg.BaseURL != "https://test.stytch.com" {
		t.Errorf("project: project %q, base URL %q", cfg.ProjectID, cfg.BaseURL)
	}
	// Both configurations reach their project.
	for name, cfg := range map[string]struct {
		client *http.Client
		url    string
		calls  func() stytchtest.Calls
	}{
		"server":  {s.Config().HTTPClient, s.Config().BaseURL + keySetPath + s.ID(), s.Calls},
		"project": {p.Config().HTTPClient, p.Config().BaseURL + keySetPath + p.ID(), p.Calls},
	} {
		res, err := cfg.client.Get(cfg.url)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 200 || cfg.calls().KeySet != 1 {
			t.Errorf("%s: status %d, calls %+v", name, res.StatusCode, cfg.calls())
		}
	}
	if s.Config().Logger == nil || s.Config().Logger.Enabled(t.Context(), 12) {
		t.Error("the logger is not quiet")
	}
}

func TestServerClose(t *testing.T) {
	s := stytchtest.NewServer(t, stytchtest.Options{})
	client := s.Client()
	s.Close()
	if _, err := client.Get(s.URL); err == nil {
		t.Error("a closed server answers")
	}
	s.Close()
}
