package stytchtest_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

func TestLoginDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stytchtest.New(stytchtest.Options{})
		login := p.Login(stytchtest.Login{})
		s, live := p.Session(login.ID)
		if !live {
			t.Fatal("the session is not live")
		}
		if s.ID() != login.ID || s.UserID() != login.UserID || !strings.HasPrefix(s.UserID(), "user-test-") || s.MemberID() != "" {
			t.Errorf("session %s of %s, want %s of %s", s.ID(), s.UserID(), login.ID, login.UserID)
		}
		if !s.StartedAt().Equal(time.Now()) || s.ExpiresAt().Sub(s.StartedAt()) != time.Hour || s.Source() != sessionctx.Remote || !s.VerifiedAt().Equal(time.Now()) {
			t.Errorf("session %+v", s.Data())
		}
		if got := fmt.Sprintf("%v %d %s %s", s.Roles(), s.NumFactors(), s.Factor(0).DeliveryMethod, s.CustomClaims()); got != "[stytch_user] 1 email {}" {
			t.Errorf("roles, factors and claims: %s", got)
		}
		if !s.Factor(0).LastAuthenticatedAt.Equal(time.Now()) || !strings.Contains(s.Factor(0).Raw, `"created_at"`) {
			t.Errorf("factor %+v", s.Factor(0))
		}
		none, _ := p.Session(p.Login(stytchtest.Login{Factors: []stytchtest.Factor{}, Roles: []string{}}).ID)
		if none.NumFactors() != 0 || len(none.Roles()) != 0 {
			t.Errorf("an empty login has %d factors and roles %q", none.NumFactors(), none.Roles())
		}
	})
}

func TestLoginDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stytchtest.New(stytchtest.Options{})
		for d, want := range map[time.Duration]time.Duration{
			0:                       time.Hour,
			10 * time.Second:        10 * time.Second,
			time.Millisecond:        time.Second,
			1500 * time.Millisecond: 2 * time.Second,
		} {
			s, live := p.Session(p.Login(stytchtest.Login{Duration: d}).ID)
			if !live || time.Until(s.ExpiresAt()) != want {
				t.Errorf("Duration %v: live %v, %v", d, live, s)
			}
		}
		over := p.Login(stytchtest.Login{Duration: -time.Minute})
		if _, live := p.Session(over.ID); live {
			t.Error("a session of a negative duration is live")
		}
	})
}

func TestLoginPanicsAtReservedClaims(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	for _, name := range []string{"iss", "aud", "sub", "iat", "nbf", "exp", "jti", "https://stytch.com/session", "https://stytch.com/x"} {
		func() {
			defer func() {
				if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), name) {
					t.Errorf("%s: recovered %v", name, v)
				}
			}()
			p.Login(stytchtest.Login{CustomClaims: object{name: 1}})
		}()
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a claim without JSON form did not panic")
			}
		}()
		p.Login(stytchtest.Login{CustomClaims: object{"f": func() {}}})
	}()
	// A panic leaves the project in order.
	p.Login(stytchtest.Login{})
}

func TestRevokeExpireAddFactor(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	changes := map[string]func(string) bool{
		"Revoke":    p.Revoke,
		"Expire":    p.Expire,
		"AddFactor": func(id string) bool { return p.AddFactor(id, stytchtest.SMS()) },
	}
	for _, ends := range []string{"Revoke", "Expire"} {
		login := p.Login(stytchtest.Login{})
		if !changes[ends](login.ID) {
			t.Errorf("%s: the session was not live", ends)
		}
		if s, live := p.Session(login.ID); live || s != nil {
			t.Errorf("%s: the session is live", ends)
		}
		status, answer := call(t, p, "POST", authenticatePath, object{"session_token": login.Tokens.SessionToken})
		wantError(t, status, answer, 404, "session_not_found")
		// Nothing happens to a session that is over, nor to one that never was.
		for name, change := range changes {
			if change(login.ID) || change("session-test-unknown") {
				t.Errorf("%s after %s: true", name, ends)
			}
		}
		// Its JWT can still be minted.
		if got := claimsOf(t, p.MintJWT(login.ID, stytchtest.Mint{}))["sub"]; got != login.UserID {
			t.Errorf("after %s: a JWT of %v, want %v", ends, got, login.UserID)
		}
	}
}

func TestAddFactorAddsOrRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stytchtest.New(stytchtest.Options{})
		login := p.Login(stytchtest.Login{})
		other := stytchtest.SMS()
		other.Members = object{"phone_number_factor": object{"phone_id": "phone-number-test-2", "phone_number": "+14155550123"}}
		start := time.Now()
		steps := []struct {
			add  stytchtest.Factor
			want string
		}{
			{stytchtest.SMS(), "magic_link@0s otp@1m0s"},
			{stytchtest.SMS(), "magic_link@0s otp@2m0s"},
			{other, "magic_link@0s otp@2m0s otp@3m0s"},
			{stytchtest.SMS().At(start.Add(-time.Hour)), "magic_link@0s otp@-1h0m0s otp@3m0s"},
		}
		for _, step := range steps {
			advance(time.Minute)
			if !p.AddFactor(login.ID, step.add) {
				t.Fatal("the session is not live")
			}
			s, _ := p.Session(login.ID)
			var got []string
			for _, f := range s.Factors() {
				got = append(got, f.Type+"@"+f.LastAuthenticatedAt.Sub(start).String())
			}
			if strings.Join(got, " ") != step.want {
				t.Errorf("factors %q, want %q", got, step.want)
			}
		}
		if fmt.Sprint(claimsOf(t, login.Tokens.SessionJWT)["https://stytch.com/session"]) == fmt.Sprint(claimsOf(t, p.MintJWT(login.ID, stytchtest.Mint{}))["https://stytch.com/session"]) {
			t.Error("a new JWT has the old factors")
		}
	})
}

func TestProjectIsSafeForConcurrentUse(t *testing.T) {
	// Full of sessions, of which each login below drops one: 24 of them, so that
	// none of theirs is dropped while it is in use.
	p := stytchtest.New(stytchtest.Options{MaxSessions: 24, MaxMessages: 5})
	for range 24 {
		p.Login(stytchtest.Login{})
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 3 {
				login := p.Login(stytchtest.Login{CustomClaims: object{"a": 1}})
				answer := post(t, p, authenticatePath, object{"session_token": login.Tokens.SessionToken, "session_custom_claims": object{"b": i}})
				p.AddFactor(login.ID, stytchtest.SMS())
				post(t, p, authenticatePath, object{"session_jwt": answer["session_jwt"]})
				if i%2 == 0 { // a dozen times: a key set has sixteen keys, so none of ours is dropped meanwhile
					p.RotateKey()
				}
				p.KeySet()
				p.Session(login.ID)
				p.MintJWT(login.ID, stytchtest.Mint{Forged: true})
				call(t, p, "GET", "/v1/sessions?user_id="+login.UserID, nil)
				p.FailKeys(stytchtest.Down())
				p.FailKeys(nil)
				call(t, p, "POST", sendLinkPath, object{"email": "a@example.com"})
				p.Inbox()
				p.Calls()
				p.Revoke(login.ID)
			}
		})
	}
	wg.Wait()
	if got := p.Calls().Authenticate; got != 48 {
		t.Errorf("%d authenticate calls, want 48", got)
	}
}
