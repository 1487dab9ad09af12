package sessionctx_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/stytchware/stytchware/sessionctx"
)

// A handler behind a guard reads who is asking.
func ExampleFrom() {
	whoami := func(w http.ResponseWriter, r *http.Request) {
		s, ok := sessionctx.From(r.Context())
		if !ok {
			http.Error(w, "nobody", http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, "user %s, admin: %t", s.UserID(), s.HasRole("admin"))
	}

	s := sessionctx.New(sessionctx.Data{ID: "session-test-1", UserID: "user-test-1", Roles: []string{"admin"}})
	r := httptest.NewRequest("GET", "/", nil)
	w := httptest.NewRecorder()
	whoami(w, r.WithContext(sessionctx.With(r.Context(), s)))
	fmt.Println(w.Body)
	// Output: user user-test-1, admin: true
}

// A test calls a handler by itself, with the session it needs.
func ExampleWith() {
	balance := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, _ := sessionctx.From(r.Context())
		fmt.Fprintf(w, "the balance of %s", s.UserID())
	})

	s := sessionctx.New(sessionctx.Data{UserID: "user-test-2"})
	r := httptest.NewRequest("GET", "/balance", nil)
	w := httptest.NewRecorder()
	balance.ServeHTTP(w, r.WithContext(sessionctx.With(r.Context(), s)))
	fmt.Println(w.Code, w.Body)
	// Output: 200 the balance of user-test-2
}

// Names match byte for byte: "PLAN" is another claim than "plan".
func ExampleClaims() {
	type claims struct {
		Plan  string   `json:"plan"`
		Teams []string `json:"teams"`
	}
	s := sessionctx.New(sessionctx.Data{CustomClaims: `{"plan":"free","PLAN":"enterprise","teams":["red"]}`})
	c, err := sessionctx.Claims[claims](s)
	fmt.Printf("%+v %v\n", c, err)
	// Output: {Plan:free Teams:[red]} <nil>
}
