package stytchtest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

// A test of a whole application: its own middleware, against a project in
// memory.
func Example() {
	project := stytchtest.New(stytchtest.Options{})
	auth, err := middleware.New(project.Config())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	app := auth.RequireMFA(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, _ := sessionctx.From(r.Context())
		fmt.Fprintf(w, "%d factors", session.NumFactors())
	}))
	get := func(login stytchtest.Session) {
		r := httptest.NewRequest("GET", "https://example.com/transfer", nil)
		stytchtest.AddCookies(r, login.Tokens)
		w := httptest.NewRecorder()
		app.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			fmt.Println(w.Code)
			return
		}
		fmt.Println(w.Code, w.Body)
	}

	get(project.Login(stytchtest.Login{}))
	login := project.Login(stytchtest.Login{})
	project.AddFactor(login.ID, stytchtest.SMS()) // a step-up that the JWT does not show
	get(login)
	get(stytchtest.Session{}) // nobody
	// Output:
	// 401
	// 200 2 factors
	// 401
}

// A handler that only reads the session needs no project.
func ExampleWithSession() {
	handler := func(w http.ResponseWriter, r *http.Request) {
		session, _ := sessionctx.From(r.Context())
		fmt.Fprintln(w, "hello", session.UserID(), session.Factor(0).Class())
	}
	r := stytchtest.WithSession(httptest.NewRequest("GET", "/", nil), sessionctx.Data{
		UserID:  "user-test-1",
		Factors: []sessionctx.Factor{stytchtest.SMS().Data()},
	})
	w := httptest.NewRecorder()
	handler(w, r)
	fmt.Print(w.Body)
	// Output: hello user-test-1 phone
}

// What happens to a stale session while Stytch is down, and after.
func ExampleProject_FailAPI() {
	project := stytchtest.New(stytchtest.Options{})
	auth, err := middleware.New(project.Config())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	app := auth.RequireSession(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	get := func(jwt string) {
		r := httptest.NewRequest("GET", "https://example.com/", nil)
		stytchtest.AddBearer(r, jwt)
		w := httptest.NewRecorder()
		app.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}

	login := project.Login(stytchtest.Login{})
	stale := project.MintJWT(login.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-time.Hour)})
	project.FailAPI(stytchtest.Error(500, "internal_server_error").Times(1))
	get(stale)                   // nobody knows whether the session still lives
	get(login.Tokens.SessionJWT) // decided without Stytch
	get(stale)                   // Stytch is back
	fmt.Println(project.Calls().Authenticate, "calls")
	// Output:
	// 503
	// 200
	// 200
	// 2 calls
}

// Faults are functions and combine.
func ExampleFault() {
	project := stytchtest.New(stytchtest.Options{})
	client := &http.Client{Transport: project.Transport()}

	project.FailKeys(stytchtest.Slow(time.Millisecond).Then(stytchtest.HTML(http.StatusBadGateway)).Times(1))
	for range 2 {
		res, err := client.Get(project.BaseURL() + "/v1/sessions/jwks/" + project.ID())
		if err != nil {
			fmt.Println(err)
			return
		}
		res.Body.Close()
		fmt.Println(res.StatusCode, res.Header.Get("Content-Type"))
	}
	// Output:
	// 502 text/html; charset=utf-8
	// 200 application/json
}

// JWTs that must never be accepted.
func ExampleProject_MintJWT() {
	project := stytchtest.New(stytchtest.Options{})
	auth, err := middleware.New(project.Config())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	app := auth.RequireSession(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	login := project.Login(stytchtest.Login{})
	for _, mint := range []stytchtest.Mint{
		{},
		{Forged: true},
		{ProjectID: "project-test-another"},
		{NoSessionClaim: true},
		{Claims: map[string]any{"sub": nil}},
	} {
		r := httptest.NewRequest("GET", "https://example.com/", nil)
		stytchtest.AddBearer(r, project.MintJWT(login.ID, mint))
		w := httptest.NewRecorder()
		app.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 200
	// 401
	// 401
	// 401
	// 401
}

// Who may pass, at a guard that wants two kinds of proof.
func ExampleProject_Login() {
	project := stytchtest.New(stytchtest.Options{})
	auth, err := middleware.New(project.Config())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	app := auth.RequireMFA(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, factors := range [][]stytchtest.Factor{
		{stytchtest.EmailMagicLink(), stytchtest.GoogleOAuth()}, // one mail account
		{stytchtest.Password(), stytchtest.TOTP()},
		{stytchtest.SMS(), stytchtest.Unknown("telepathy", "brainwave")},
	} {
		login := project.Login(stytchtest.Login{Factors: factors})
		r := httptest.NewRequest("GET", "https://example.com/", nil)
		stytchtest.AddBearer(r, login.Tokens.SessionJWT)
		w := httptest.NewRecorder()
		app.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 401
	// 200
	// 401
}

// A session that is ended elsewhere, by the dashboard say.
func ExampleProject_Revoke() {
	project := stytchtest.New(stytchtest.Options{})
	auth, err := middleware.New(project.Config())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	login := project.Login(stytchtest.Login{})
	get := func(app http.Handler) {
		r := httptest.NewRequest("GET", "https://example.com/", nil)
		stytchtest.AddBearer(r, login.Tokens.SessionJWT)
		w := httptest.NewRecorder()
		app.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}

	project.Revoke(login.ID)
	get(auth.RequireSession(nothing))            // the JWT is still good, for five minutes at most
	get(auth.Require(middleware.Fresh)(nothing)) // Stytch is asked
	get(auth.RequireSession(nothing))            // and this process has learnt of it
	fmt.Println(project.Calls().Authenticate, "call")
	// Output:
	// 200
	// 401
	// 401
	// 1 call
}

// A key rotation, as it happens at Stytch twice a year.
func ExampleProject_RotateKey() {
	project := stytchtest.New(stytchtest.Options{})
	auth, err := middleware.New(project.Config())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	app := auth.RequireSession(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	before := project.Login(stytchtest.Login{})
	project.RotateKey()
	after := project.Login(stytchtest.Login{})
	for _, login := range []stytchtest.Session{before, after} {
		r := httptest.NewRequest("GET", "https://example.com/", nil)
		stytchtest.AddCookies(r, login.Tokens)
		w := httptest.NewRecorder()
		app.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 200
	// 200
}

// A login as a back end of one's own makes it: a request to the API, and the
// inbox of the person who is to click the link.
func ExampleProject_Inbox() {
	project := stytchtest.New(stytchtest.Options{})
	client := &http.Client{Transport: project.Transport()}
	post := func(path, body string) *http.Response {
		r, err := http.NewRequest("POST", project.BaseURL()+path, strings.NewReader(body))
		if err != nil {
			panic(err)
		}
		r.SetBasicAuth(project.ID(), project.Secret())
		r.Header.Set("Content-Type", "application/json")
		res, err := client.Do(r)
		if err != nil {
			panic(err)
		}
		res.Body.Close()
		return res
	}

	fmt.Println(post("/v1/magic_links/email/login_or_create", `{"email":"ada@example.com"}`).StatusCode)
	mail := project.Inbox()[0]
	fmt.Println(mail.Kind, mail.To)
	fmt.Println(post("/v1/magic_links/authenticate", `{"token":"`+mail.Token+`","session_duration_minutes":60}`).StatusCode)
	fmt.Println(len(project.Sessions()), "session")
	// Output:
	// 200
	// magic_link ada@example.com
	// 200
	// 1 session
}

// A program in another process reaches a project like any server.
func ExampleProject_ServeHTTP() {
	project := stytchtest.New(stytchtest.Options{})
	server := httptest.NewServer(project)
	defer server.Close()
	res, err := http.Get(server.URL + "/v1/sessions/jwks/" + project.ID())
	if err != nil {
		fmt.Println(err)
		return
	}
	res.Body.Close()
	fmt.Println(res.StatusCode, project.Calls().KeySet)
	// Output: 200 1
}
