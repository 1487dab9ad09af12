package stytchtest_test

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

func TestCredentials(t *testing.T) {
	for _, test := range []struct {
		tokens middleware.Tokens
		want   string
	}{
		{middleware.Tokens{SessionToken: "t", SessionJWT: "a.b.c"}, "stytch_session=t; stytch_session_jwt=a.b.c"},
		{middleware.Tokens{SessionToken: "t"}, "stytch_session=t"},
		{middleware.Tokens{SessionJWT: "a.b.c"}, "stytch_session_jwt=a.b.c"},
		{middleware.Tokens{}, ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		stytchtest.AddCookies(r, test.tokens)
		if got := r.Header.Get("Cookie"); got != test.want {
			t.Errorf("Cookie %q, want %q", got, test.want)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	stytchtest.AddBearer(r, "x")
	stytchtest.AddBearer(r, "a.b.c")
	if got := fmt.Sprint(r.Header["Authorization"]); got != "[Bearer a.b.c]" {
		t.Errorf("Authorization %s", got)
	}
}

func TestWithSession(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	with := stytchtest.WithSession(r, sessionctx.Data{UserID: "user-test-1", Factors: []sessionctx.Factor{stytchtest.SMS().Data()}})
	s, ok := sessionctx.From(with.Context())
	if !ok || s.UserID() != "user-test-1" || s.Factor(0).Class() != sessionctx.Phone || s.ID() != "" || !s.ExpiresAt().IsZero() {
		t.Errorf("session %v, %v", s, ok)
	}
	if _, ok := sessionctx.From(r.Context()); ok {
		t.Error("the request that was given has a session")
	}
}
