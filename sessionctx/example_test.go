package sessionctx_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

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

// A session of one's own, for a test.
func ExampleNew() {
	s := sessionctx.New(sessionctx.Data{
		ID:        "session-test-3",
		UserID:    "user-test-3",
		ExpiresAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Roles:     []string{"stytch_user", "admin"},
	})
	fmt.Println(s.UserID(), s.HasRole("admin"), s.HasRole("ADMIN"), s.ExpiresAt().Year())
	// Output: user-test-3 true false 2026
}

// What a session was authenticated by, and what each of it proves.
func ExampleSession_Factors() {
	s := sessionctx.New(sessionctx.Data{Factors: []sessionctx.Factor{
		{Type: "magic_link", DeliveryMethod: "email"},
		{Type: "oauth", DeliveryMethod: "oauth_google"},
		{Type: "totp", DeliveryMethod: "authenticator_app"},
		{Type: "recovery_codes", DeliveryMethod: "recovery_code"},
	}})
	for _, f := range s.Factors() {
		fmt.Println(f.DeliveryMethod, f.Class())
	}
	// Output:
	// email account
	// oauth_google account
	// authenticator_app device
	// recovery_code none
}

// A session holds no secret, so an API may answer with it.
func ExampleSession_MarshalJSON() {
	s := sessionctx.New(sessionctx.Data{ID: "session-test-4", UserID: "user-test-4", Source: sessionctx.Local})
	text, err := json.MarshalIndent(s, "", "  ")
	fmt.Println(string(text), err)
	// Output:
	// {
	//   "session_id": "session-test-4",
	//   "user_id": "user-test-4",
	//   "attributes": {
	//     "ip_address": "",
	//     "user_agent": ""
	//   },
	//   "authentication_factors": [],
	//   "roles": [],
	//   "custom_claims": {},
	//   "source": "local"
	// } <nil>
}
