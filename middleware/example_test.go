package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

// project stands in for a Stytch project: it needs no network and no account.
// A program has middleware.Config{ProjectID: …, Secret: …} in place of
// project.Config().
var project = stytchtest.New(stytchtest.Options{})

// newAuth is middleware.New for an example.
func newAuth(cfg middleware.Config) *middleware.Authenticator {
	auth, err := middleware.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	return auth
}

// send sends a request with the tokens as a browser does, and prints the
// answer's status and body.
func send(h http.Handler, method, path string, t middleware.Tokens) *http.Response {
	r := httptest.NewRequest(method, "https://app.example.com"+path, nil)
	stytchtest.AddCookies(r, t)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(strings.TrimSpace(fmt.Sprintln(method, path, w.Code, w.Body)))
	return w.Result()
}

// A whole program: a page for everybody, one for people with a session, and a
// transfer that asks for a second factor.
func Example() {
	auth, err := middleware.New(project.Config())
	if err != nil {
		log.Fatal(err)
	}
	defer auth.Close()

	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		if _, ok := sessionctx.From(r.Context()); ok {
			fmt.Fprint(w, "welcome back")
		} else {
			fmt.Fprint(w, "welcome")
		}
	})
	mux.Handle("GET /account", auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, _ := sessionctx.From(r.Context())
		fmt.Fprint(w, "account of ", s.UserID())
	})))
	mux.Handle("POST /transfer", auth.RequireMFA(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "transferred")
	})))
	h := auth.Load(mux) // http.ListenAndServe(addr, h)

	login := project.Login(stytchtest.Login{UserID: "user-test-ann"})
	send(h, "GET", "/", middleware.Tokens{})
	send(h, "GET", "/account", middleware.Tokens{})
	send(h, "GET", "/", login.Tokens)
	send(h, "GET", "/account", login.Tokens)
	send(h, "POST", "/transfer", login.Tokens)
	project.AddFactor(login.ID, stytchtest.SMS()) // she steps up; her JWT is still the old one
	both := project.Login(stytchtest.Login{UserID: "user-test-ann", Factors: []stytchtest.Factor{stytchtest.EmailMagicLink(), stytchtest.TOTP()}})
	send(h, "POST", "/transfer", both.Tokens)
	// Output:
	// GET / 200 welcome
	// GET /account 401 {"type":"about:blank","title":"Unauthorized","status":401}
	// GET / 200 welcome back
	// GET /account 200 account of user-test-ann
	// POST /transfer 401 {"type":"about:blank","title":"Unauthorized","status":401}
	// POST /transfer 200 transferred
}

// Every mistake is reported at once, each with its field.
func ExampleNew() {
	_, err := middleware.New(middleware.Config{
		ProjectID:       "project-test-11111111-2222-3333-4444-555555555555",
		SessionDuration: time.Minute,
		LoginURL:        "https://elsewhere.example.com/login",
	})
	fmt.Println(err)
	var mistake *middleware.ConfigError
	fmt.Println(errors.As(err, &mistake), mistake.Field)
	// Output:
	// middleware: Config.Secret: is missing
	// middleware: Config.SessionDuration: must be whole minutes from 5 to 527040, or 0
	// middleware: Config.LoginURL: must be a path on this host, such as /login
	// true Secret
}

// Load never denies: an outage is a third state beside a session and none.
func ExampleAuthenticator_Load() {
	auth := newAuth(project.Config())
	defer auth.Close()
	h := auth.Load(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, ok := sessionctx.From(r.Context())
		switch err := auth.Err(r); {
		case ok:
			fmt.Fprint(w, s.Source(), " session with ", s.NumFactors(), " factor")
		case errors.Is(err, middleware.ErrUnavailable):
			fmt.Fprint(w, "try again soon")
		default:
			fmt.Fprint(w, "nobody")
		}
	}))

	login := project.Login(stytchtest.Login{})
	send(h, "GET", "/", login.Tokens)
	send(h, "GET", "/", middleware.Tokens{SessionToken: login.Tokens.SessionToken})
	send(h, "GET", "/", middleware.Tokens{})
	project.FailAPI(stytchtest.Down())
	defer project.FailAPI(nil)
	send(h, "GET", "/", middleware.Tokens{SessionToken: "never-seen-before"})
	// Output:
	// GET / 200 local session with 1 factor
	// GET / 200 remote session with 1 factor
	// GET / 200 nobody
	// GET / 200 try again soon
}

// RequireMFA counts classes, not factors: an e-mail link and a Google login
// prove the same thing. It asks Stytch before it refuses, so that a step-up
// counts at once.
func ExampleAuthenticator_RequireMFA() {
	auth := newAuth(project.Config())
	defer auth.Close()
	h := auth.RequireMFA(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "ok") }))

	login := project.Login(stytchtest.Login{Factors: []stytchtest.Factor{stytchtest.EmailMagicLink(), stytchtest.GoogleOAuth()}})
	answer := send(h, "GET", "/", login.Tokens)
	fmt.Println(answer.Header.Get("WWW-Authenticate"))

	login = project.Login(stytchtest.Login{})
	project.AddFactor(login.ID, stytchtest.SMS()) // the JWT does not know of it
	answer = send(h, "GET", "/", login.Tokens)
	fmt.Println(len(answer.Cookies()), "new cookies")
	// Output:
	// GET / 401 {"type":"about:blank","title":"Unauthorized","status":401}
	// Bearer error="insufficient_user_authentication"
	// GET / 200 ok
	// 2 new cookies
}

// A second factor of the last five minutes, and a session that Stytch says is
// alive now.
func ExampleAuthenticator_Require() {
	auth := newAuth(project.Config())
	defer auth.Close()
	careful := auth.Require(middleware.Within(5*time.Minute), middleware.Fresh)
	h := careful(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "ok") }))

	recent := project.Login(stytchtest.Login{Factors: []stytchtest.Factor{stytchtest.Password(), stytchtest.TOTP()}})
	send(h, "GET", "/", recent.Tokens)
	old := project.Login(stytchtest.Login{Factors: []stytchtest.Factor{stytchtest.Password(), stytchtest.TOTP().At(time.Now().Add(-time.Hour))}})
	answer := send(h, "GET", "/", old.Tokens)
	fmt.Println(answer.Header.Get("WWW-Authenticate"))
	project.Revoke(recent.ID) // somewhere else
	send(h, "GET", "/", recent.Tokens)
	// Output:
	// GET / 200 ok
	// GET / 401 {"type":"about:blank","title":"Unauthorized","status":401}
	// Bearer error="insufficient_user_authentication", max_age="300"
	// GET / 401 {"type":"about:blank","title":"Unauthorized","status":401}
}

// A back-end login hands its tokens to the browser.
func ExampleAuthenticator_Hydrate() {
	auth := newAuth(project.Config())
	defer auth.Close()
	login := project.Login(stytchtest.Login{UserID: "user-test-ann"}) // what a login at the back end returned
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := auth.Hydrate(w, r, middleware.Tokens{SessionToken: login.Tokens.SessionToken})
		if err != nil {
			auth.Deny(w, r, err)
			return
		}
		fmt.Fprint(w, "hello ", s.UserID())
	})

	for _, c := range send(h, "POST", "/login", middleware.Tokens{}).Cookies() {
		fmt.Println(c.Name, c.Value != "", c.Secure, c.Path)
	}
	// Output:
	// POST /login 200 hello user-test-ann
	// stytch_session true true /
	// stytch_session_jwt true true /
}

// A button that keeps the session alive for another hour.
func ExampleAuthenticator_Refresh() {
	auth := newAuth(project.Config())
	defer auth.Close()
	h := auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := auth.Refresh(w, r, time.Hour)
		if err != nil {
			auth.Deny(w, r, err)
			return
		}
		fmt.Fprint(w, time.Until(s.ExpiresAt()).Round(time.Minute))
	}))

	login := project.Login(stytchtest.Login{Duration: 10 * time.Minute})
	answer := send(h, "POST", "/extend", login.Tokens)
	fmt.Println(len(answer.Cookies()), "new cookies")
	// Output:
	// POST /extend 200 1h0m0s
	// 2 new cookies
}

// A logout ends the session here, at Stytch and in the browser.
func ExampleAuthenticator_Revoke() {
	auth := newAuth(project.Config())
	defer auth.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		// In an outage the error is ErrUnavailable, and the person is logged out
		// here and in the browser all the same.
		if err := auth.Revoke(w, r); err != nil && !errors.Is(err, middleware.ErrUnavailable) {
			auth.Deny(w, r, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.Handle("GET /account", auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "ok") })))

	login := project.Login(stytchtest.Login{})
	send(mux, "GET", "/account", login.Tokens)
	for _, c := range send(mux, "POST", "/logout", login.Tokens).Cookies() {
		fmt.Println(c.Name, c.MaxAge)
	}
	send(mux, "GET", "/account", login.Tokens)
	// Output:
	// GET /account 200 ok
	// POST /logout 204
	// stytch_session -1
	// stytch_session_jwt -1
	// GET /account 401 {"type":"about:blank","title":"Unauthorized","status":401}
}

// A stream that ends with the session.
func ExampleAuthenticator_Follow() {
	auth := newAuth(project.Config())
	defer auth.Close()
	login := project.Login(stytchtest.Login{})
	var otherTab sync.WaitGroup
	logout := func() {
		r := httptest.NewRequest("POST", "https://app.example.com/logout", nil)
		stytchtest.AddCookies(r, login.Tokens)
		_ = auth.Revoke(httptest.NewRecorder(), r)
	}
	h := auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := auth.Follow(r.Context())
		defer cancel()
		_, _ = io.WriteString(w, "event: session\n\n")
		otherTab.Go(logout) // meanwhile
		<-ctx.Done()
		fmt.Fprintf(w, "event: end\ndata: %v\n\n", errors.Is(context.Cause(ctx), middleware.ErrNoSession))
	}))

	send(h, "GET", "/events", login.Tokens)
	otherTab.Wait()
	// Output:
	// GET /events 200 event: session
	//
	// event: end
	// data: true
}

// A handler behind Load decides for itself what to do without a session.
func ExampleAuthenticator_Err() {
	auth := newAuth(project.Config())
	defer auth.Close()
	h := auth.Load(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := auth.Err(r); err != nil {
			http.Error(w, http.StatusText(middleware.Status(err)), middleware.Status(err))
			return
		}
		fmt.Fprint(w, "ok")
	}))

	send(h, "GET", "/", project.Login(stytchtest.Login{}).Tokens)
	send(h, "GET", "/", middleware.Tokens{})
	// Output:
	// GET / 200 ok
	// GET / 401 Unauthorized
}

// The tokens, for a call to another service in the person's name. They do not
// print.
func ExampleAuthenticator_Tokens() {
	auth := newAuth(project.Config())
	defer auth.Close()
	login := project.Login(stytchtest.Login{})
	h := auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokens, ok := auth.Tokens(r)
		fmt.Fprintf(w, "%v %+v %v", ok, tokens, tokens == login.Tokens)
	}))

	send(h, "GET", "/", login.Tokens)
	// Output: GET / 200 true [redacted] true
}

// An error handler of one's own.
func ExampleStatus() {
	cfg := project.Config()
	cfg.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
		w.WriteHeader(middleware.Status(err))
		switch {
		case errors.Is(err, middleware.ErrStepUp):
			fmt.Fprint(w, "please confirm with your phone")
		case errors.Is(err, middleware.ErrUnavailable):
			fmt.Fprint(w, "please try again in ", middleware.RetryAfter(err))
		default:
			fmt.Fprint(w, "please log in")
		}
	}
	auth := newAuth(cfg)
	defer auth.Close()
	h := auth.RequireMFA(http.NotFoundHandler())

	send(h, "GET", "/", middleware.Tokens{})
	send(h, "GET", "/", project.Login(stytchtest.Login{}).Tokens)
	project.FailAPI(stytchtest.Down())
	defer project.FailAPI(nil)
	send(h, "GET", "/", project.Login(stytchtest.Login{}).Tokens)
	// Output:
	// GET / 401 please log in
	// GET / 401 please confirm with your phone
	// GET / 503 please try again in 1s
}

// After a login, back to where the person came from and nowhere else.
func ExampleReturnTo() {
	for _, to := range []string{"%2Faccount%3Ftab%3D2", "https:%2F%2Fevil.example.com", "%2F%2Fevil.example.com", "%2F%5Cevil.example.com"} {
		r := httptest.NewRequest("GET", "/login?return_to="+to, nil)
		fmt.Println(middleware.ReturnTo(r))
	}
	// Output:
	// /account?tab=2
	// /
	// /
	// /
}
