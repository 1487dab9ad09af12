package stytchtest_test

import (
	"testing"

	"github.com/stytchware/stytchware/stytchtest"
)

func TestAuthenticateAnswersTheSession(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	login := p.Login(stytchtest.Login{CustomClaims: object{"plan": "pro"}})
	for _, body := range []object{
		{"session_token": login.Tokens.SessionToken},
		{"session_jwt": login.Tokens.SessionJWT},
	} {
		answer := post(t, p, authenticatePath, body)
		session := answer["session"].(object)
		if session["session_id"] != login.ID || session["user_id"] != login.UserID {
			t.Errorf("session %v, want %s of %s", session, login.ID, login.UserID)
		}
		if answer["user"].(object)["user_id"] != login.UserID {
			t.Errorf("user %v, want %s", answer["user"], login.UserID)
		}
		if answer["session_token"] != login.Tokens.SessionToken {
			t.Error("the session token changed")
		}
		if !verifies(t, p.KeySet(), answer["session_jwt"].(string)) {
			t.Error("the new JWT does not verify")
		}
	}
	if got, want := p.Calls(), (stytchtest.Calls{Authenticate: 2}); got != want {
		t.Errorf("calls %+v, want %+v", got, want)
	}
}
