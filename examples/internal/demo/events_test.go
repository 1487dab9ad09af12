package demo_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stytchware/stytchware/stytchtest"
)

// The stream has the session again when it changes, and only then.
func TestEventsOfAChange(t *testing.T) {
	site, auth, h := handlers(t)
	mux := http.NewServeMux()
	mux.Handle("GET /events", auth.RequireSession(h.Events))
	mux.Handle("GET /session", auth.RequireSession(h.Session))
	mux.Handle("POST /refresh", h.Refresh)
	mux.Handle("POST /logout", h.Logout)
	server := httptest.NewServer(mux)
	defer server.Close()

	s := site.Project().Login(stytchtest.Login{})
	send := func(method, path, body string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		stytchtest.AddBearer(r, s.Tokens.SessionJWT)
		got, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { got.Body.Close() })
		return got
	}
	lines := bufio.NewScanner(send("GET", "/events", "").Body)
	type session struct {
		ExpiresAt time.Time `json:"expires_at"`
		Factors   []any     `json:"factors"`
	}
	next := func() (got session) {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(data), &got); err != nil {
					t.Error(err)
				}
				return got
			}
		}
		t.Fatal("the stream ended")
		return got
	}
	first := next()
	for range 3 { // shows nothing new
		send("GET", "/session", "")
		send("POST", "/refresh", "{}")
	}
	site.Project().AddFactor(s.ID, stytchtest.SMS())
	if got := send("POST", "/refresh", `{"session_duration_minutes":600}`); got.StatusCode != http.StatusOK {
		t.Fatal(got.Status)
	}
	if got := next(); len(got.Factors) != 2 || len(first.Factors) != 1 || !got.ExpiresAt.After(first.ExpiresAt.Add(time.Hour)) {
		t.Errorf("%+v after %+v", got, first)
	}
	send("POST", "/logout", "")
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data:") {
			t.Errorf("after the logout: %s", lines.Text())
		}
	}
}
