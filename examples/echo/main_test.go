package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

func start(t *testing.T) (*stytchtest.Project, *middleware.Authenticator, http.Handler) {
	t.Helper()
	project := stytchtest.New(stytchtest.Options{})
	auth, err := middleware.New(project.Config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { auth.Close() })
	return project, auth, site(auth, project)
}

func send(h http.Handler, method, path string, tokens middleware.Tokens) *http.Response {
	r := httptest.NewRequest(method, "https://example.com"+path, nil)
	stytchtest.AddCookies(r, tokens)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestGuards(t *testing.T) {
	project, _, h := start(t)
	one := project.Login(stytchtest.Login{UserID: "user-test-one"})
	two := project.Login(stytchtest.Login{UserID: "user-test-two", Factors: []stytchtest.Factor{stytchtest.EmailMagicLink(), stytchtest.SMS()}})
	old := project.Login(stytchtest.Login{Factors: []stytchtest.Factor{stytchtest.EmailMagicLink(), stytchtest.SMS().At(time.Now().Add(-time.Hour))}})
	stepped := project.Login(stytchtest.Login{UserID: "user-test-stepped"})
	project.AddFactor(stepped.ID, stytchtest.TOTP()) // the JWT does not show it: the guard asks, and the handler must see its answer
	const stepUp = `Bearer error="insufficient_user_authentication"`
	for _, c := range []struct {
		method, path string
		tokens       middleware.Tokens
		status       int
		challenge    string
		body         string // part of it
	}{
		{"GET", "/", middleware.Tokens{}, 200, "", `{"user_id":null}`},
		{"GET", "/", one.Tokens, 200, "", `{"factors":1,"user_id":"user-test-one"}`},
		{"GET", "/account", middleware.Tokens{}, 401, `Bearer realm="session"`, `"status":401}`},
		{"GET", "/account", one.Tokens, 200, "", `{"factors":1,"user_id":"user-test-one"}`},
		{"POST", "/transfer", middleware.Tokens{}, 401, `Bearer realm="session"`, `"status":401}`},
		{"POST", "/transfer", one.Tokens, 401, stepUp, `"status":401}`},
		{"POST", "/transfer", two.Tokens, 200, "", `{"factors":2,"user_id":"user-test-two"}`},
		{"POST", "/transfer", stepped.Tokens, 200, "", `{"factors":2,"user_id":"user-test-stepped"}`},
		{"POST", "/payout", two.Tokens, 200, "", "user-test-two"},
		{"POST", "/payout", old.Tokens, 401, stepUp + `, max_age="300"`, `"status":401}`},
	} {
		res := send(h, c.method, c.path, c.tokens)
		got := body(t, res)
		if res.StatusCode != c.status || res.Header.Get("WWW-Authenticate") != c.challenge || !strings.Contains(got, c.body) {
			t.Errorf("%s %s: %d, challenge %q, body %s; want %d, %q, %s", c.method, c.path,
				res.StatusCode, res.Header.Get("WWW-Authenticate"), got, c.status, c.challenge, c.body)
		}
		// A refused request must not go on to the handler.
		if c.status != 200 && strings.Contains(got, "user_id") {
			t.Errorf("%s %s: refused, and the handler ran: %s", c.method, c.path, got)
		}
	}
}

// The curl lines that the program prints, by a client that keeps cookies.
func TestLogInStepUpLogOut(t *testing.T) {
	_, _, h := start(t)
	jar := map[string]string{}
	for i, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/account", 401},
		{"POST", "/demo/step-up", 401},
		{"POST", "/demo/login", 204},
		{"GET", "/account", 200},
		{"POST", "/transfer", 401},
		{"POST", "/demo/step-up", 204},
		{"POST", "/transfer", 200},
		{"POST", "/logout", 204},
		{"GET", "/account", 401},
	} {
		res := send(h, c.method, c.path, middleware.Tokens{SessionToken: jar["stytch_session"], SessionJWT: jar["stytch_session_jwt"]})
		if res.StatusCode != c.status {
			t.Errorf("step %d, %s %s: %d, want %d", i, c.method, c.path, res.StatusCode, c.status)
		}
		for _, cookie := range res.Cookies() {
			jar[cookie.Name] = cookie.Value
		}
	}
}

// An outage is no logout here either.
func TestStytchDown(t *testing.T) {
	project, _, h := start(t)
	login := project.Login(stytchtest.Login{})
	login.Tokens.SessionJWT = project.MintJWT(login.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-time.Hour)})
	project.FailAPI(stytchtest.Down())
	res := send(h, "GET", "/account", login.Tokens)
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || len(res.Cookies()) != 0 {
		t.Errorf("%d, Retry-After %q, cookies %v", res.StatusCode, res.Header.Get("Retry-After"), res.Cookies())
	}
	project.FailAPI(nil)
	if res := send(h, "GET", "/account", login.Tokens); res.StatusCode != 200 || len(res.Cookies()) != 2 {
		t.Errorf("afterwards: %d, cookies %v", res.StatusCode, res.Cookies())
	}
}

// TestConform sends every route what the kit knows to send.
func TestConform(t *testing.T) {
	project, _, h := start(t)
	stytchtest.Conform(t, h, project,
		stytchtest.Route{Path: "/"},
		stytchtest.Route{Path: "/account", Needs: stytchtest.NeedsSession},
		stytchtest.Route{Method: "POST", Path: "/transfer", Needs: stytchtest.NeedsMFA},
		stytchtest.Route{Method: "POST", Path: "/payout", Within: 5 * time.Minute},
	)
}
