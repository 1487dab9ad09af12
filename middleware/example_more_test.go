package middleware_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

// ok is a handler that lets everybody see that it ran.
var ok = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })

func ExampleAuthenticator_RequireSession() {
	auth := newAuth(project.Config())
	defer auth.Close()
	h := auth.RequireSession(ok)

	send(h, "GET", "/account", middleware.Tokens{})
	send(h, "GET", "/account", project.Login(stytchtest.Login{}).Tokens)
	// Output:
	// GET /account 401 {"type":"about:blank","title":"Unauthorized","status":401}
	// GET /account 200 ok
}

func ExampleWithin() {
	auth := newAuth(project.Config())
	defer auth.Close()
	h := auth.Require(middleware.Within(5 * time.Minute))(ok)

	recent := []stytchtest.Factor{stytchtest.EmailMagicLink(), stytchtest.SMS()}
	old := []stytchtest.Factor{stytchtest.EmailMagicLink(), stytchtest.SMS().At(time.Now().Add(-time.Hour))}
	send(h, "POST", "/payout", project.Login(stytchtest.Login{Factors: recent}).Tokens)
	w := send(h, "POST", "/payout", project.Login(stytchtest.Login{Factors: old}).Tokens)
	fmt.Println(w.Header.Get("WWW-Authenticate"))
	// Output:
	// POST /payout 200 ok
	// POST /payout 401 {"type":"about:blank","title":"Unauthorized","status":401}
	// Bearer error="insufficient_user_authentication", max_age="300"
}

// Two factors of one class satisfy the count, and are no MFA.
func ExampleMinFactors() {
	auth := newAuth(project.Config())
	defer auth.Close()
	t := project.Login(stytchtest.Login{Factors: []stytchtest.Factor{stytchtest.EmailMagicLink(), stytchtest.GoogleOAuth()}}).Tokens

	send(auth.Require(middleware.MinFactors(2))(ok), "GET", "/counted", t)
	send(auth.RequireMFA(ok), "GET", "/mfa", t)
	// Output:
	// GET /counted 200 ok
	// GET /mfa 401 {"type":"about:blank","title":"Unauthorized","status":401}
}

func ExampleAuthenticator_Explain() {
	cfg := project.Config()
	var auth *middleware.Authenticator
	cfg.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
		fmt.Println(auth.Explain(r))
		w.WriteHeader(middleware.Status(err))
	}
	auth = newAuth(cfg)
	defer auth.Close()

	send(auth.RequireMFA(ok), "GET", "/mfa", middleware.Tokens{SessionJWT: "not.a.token"})
	// Output:
	// outcome="no session" status=401 reason="session JWT is not valid: not three segments of canonical base64url" carrier=cookies credential="session JWT" called=false guard="session, MFA"
	// GET /mfa 401
}

func ExampleAuthenticator_OnChange() {
	auth := newAuth(project.Config())
	defer auth.Close()
	events := make(chan middleware.Event, 8)
	unsubscribe := auth.OnChange(func(e middleware.Event) { events <- e })
	defer unsubscribe()

	r := httptest.NewRequest("GET", "/", nil)
	stytchtest.AddCookies(r, project.Login(stytchtest.Login{}).Tokens)
	auth.Load(ok).ServeHTTP(httptest.NewRecorder(), r)
	fmt.Println((<-events).Change)
	if err := auth.Revoke(httptest.NewRecorder(), r); err != nil {
		fmt.Println(err)
	}
	e := <-events
	fmt.Println(e.Change, e.Cause)
	// Output:
	// authenticated
	// revoked revoke
}

func ExampleAuthenticator_Deny() {
	auth := newAuth(project.Config())
	defer auth.Close()
	h := auth.Load(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, found := sessionctx.From(r.Context())
		if !found {
			auth.Deny(w, r, auth.Err(r))
			return
		}
		if !s.HasRole("editor") {
			http.Error(w, "editors only", http.StatusForbidden)
			return
		}
		fmt.Fprint(w, "ok")
	}))

	send(h, "GET", "/edit", middleware.Tokens{})
	send(h, "GET", "/edit", project.Login(stytchtest.Login{Roles: []string{"editor"}}).Tokens)
	// Output:
	// GET /edit 401 {"type":"about:blank","title":"Unauthorized","status":401}
	// GET /edit 200 ok
}

func ExampleAuthenticator_Clear() {
	auth := newAuth(project.Config())
	defer auth.Close()
	w := httptest.NewRecorder()
	auth.Clear(w, httptest.NewRequest("GET", "https://app.example.com/", nil))
	for _, c := range w.Result().Cookies() {
		fmt.Println(c.Name, c.MaxAge)
	}
	// Output:
	// stytch_session -1
	// stytch_session_jwt -1
}

func ExampleRetryAfter() {
	p := stytchtest.New(stytchtest.Options{})
	auth := newAuth(p.Config())
	defer auth.Close()
	p.FailAPI(stytchtest.TooManyRequests("7"))
	h := auth.Load(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println(middleware.RetryAfter(auth.Err(r)))
	}))

	r := httptest.NewRequest("GET", "/", nil)
	stytchtest.AddBearer(r, p.Login(stytchtest.Login{}).Tokens.SessionToken)
	h.ServeHTTP(httptest.NewRecorder(), r)
	// Output: 7s
}

func ExampleAuthenticator_Ready() {
	p := stytchtest.New(stytchtest.Options{})
	p.FailKeys(stytchtest.Down())
	auth := newAuth(p.Config())
	defer auth.Close()
	probe := func(w http.ResponseWriter, _ *http.Request) {
		if err := auth.Ready(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}

	w := httptest.NewRecorder()
	probe(w, nil)
	fmt.Println(w.Code)
	// Output: 503
}

func ExampleAuthenticator_Debug() {
	auth := newAuth(project.Config())
	defer auth.Close()
	operators := http.NewServeMux() // on an address of its own
	operators.Handle("GET /debug/stytchware", auth.Debug())

	w := httptest.NewRecorder()
	operators.ServeHTTP(w, httptest.NewRequest("GET", "/debug/stytchware", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 200 text/html; charset=utf-8
}

func ExampleObserver() {
	cfg := project.Config()
	cfg.Observer = middleware.Observer{
		Decision: func(_ context.Context, d middleware.Decision) {
			fmt.Println("decided:", d.Outcome, d.Source, d.Carrier)
		},
		Call: func(c middleware.Call) { fmt.Println("called:", c.Operation, c.Outcome) },
	}
	auth := newAuth(cfg)
	defer auth.Close()

	r := httptest.NewRequest("GET", "/", nil)
	stytchtest.AddBearer(r, project.Login(stytchtest.Login{}).Tokens.SessionToken)
	auth.RequireSession(ok).ServeHTTP(httptest.NewRecorder(), r)
	// Output:
	// called: authenticate ok
	// decided: session remote bearer
}
