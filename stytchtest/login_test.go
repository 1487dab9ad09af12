package stytchtest_test

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

const (
	sendLinkPath  = "/v1/magic_links/email/login_or_create"
	loginLinkPath = "/v1/magic_links/authenticate"
	sendSMSPath   = "/v1/otps/sms/send"
	loginOTPPath  = "/v1/otps/authenticate"
)

// last returns the newest message.
func last(t *testing.T, p *stytchtest.Project) stytchtest.Message {
	t.Helper()
	inbox := p.Inbox()
	if len(inbox) == 0 {
		t.Fatal("the inbox is empty")
	}
	return inbox[len(inbox)-1]
}

// logIn logs a person in with a magic link.
func logIn(t *testing.T, p *stytchtest.Project, email string) object {
	t.Helper()
	post(t, p, sendLinkPath, object{"email": email})
	return post(t, p, loginLinkPath, object{"token": last(t, p).Token, "session_duration_minutes": 60})
}

func factorsOf(answer object) (classes []sessionctx.Class) {
	for _, f := range answer["session"].(object)["authentication_factors"].([]any) {
		f := f.(object)
		classes = append(classes, sessionctx.Factor{Type: f["type"].(string), DeliveryMethod: f["delivery_method"].(string)}.Class())
	}
	return classes
}

func TestMagicLinkThenSMS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stytchtest.New(stytchtest.Options{})
		sent := post(t, p, sendLinkPath, object{
			"email":                 "ada@example.com",
			"login_magic_link_url":  "http://localhost:8080/login",
			"signup_magic_link_url": "http://localhost:8080/signup?from=mail",
		})
		link := last(t, p)
		if link.Kind != "magic_link" || link.To != "ada@example.com" || link.MethodID != sent["email_id"] || link.UserID != sent["user_id"] || !link.SentAt.Equal(time.Now()) || link.Code != "" {
			t.Errorf("message %+v, answer %v", link, sent)
		}
		if want := "http://localhost:8080/signup?from=mail&stytch_token_type=magic_links&token=" + url.QueryEscape(link.Token); link.URL != want || sent["user_created"] != true {
			t.Errorf("link %s, want %s", link.URL, want)
		}

		answer := post(t, p, loginLinkPath, object{
			"token": link.Token, "session_duration_minutes": 60,
			"session_custom_claims": object{"plan": "pro"},
			"attributes":            object{"ip_address": "203.0.113.1", "user_agent": "Mozilla/5.0"},
		})
		session := answer["session"].(object)
		if answer["method_id"] != sent["email_id"] || answer["user_id"] != sent["user_id"] || session["user_id"] != sent["user_id"] {
			t.Errorf("answer %v", answer)
		}
		if got, want := fmt.Sprint(session["custom_claims"], session["attributes"]), "map[plan:pro] map[ip_address:203.0.113.1 user_agent:Mozilla/5.0]"; got != want {
			t.Errorf("claims and attributes %s, want %s", got, want)
		}
		if got := fmt.Sprint(factorsOf(answer)); got != "[account]" {
			t.Errorf("classes %s", got)
		}
		if got := fmt.Sprint(answer["user"].(object)["emails"]); !strings.Contains(got, "ada@example.com") || !strings.Contains(got, "verified:true") {
			t.Errorf("emails %s", got)
		}
		token := answer["session_token"].(string)
		if p.Inbox()[0].Token == token {
			t.Error("the session token is the link's")
		}

		advance(time.Minute)
		sms := post(t, p, sendSMSPath, object{"phone_number": "+14155550123", "session_jwt": answer["session_jwt"]})
		code := last(t, p)
		if code.Kind != "sms" || code.To != "+14155550123" || code.MethodID != sms["phone_id"] || sms["user_id"] != sent["user_id"] || !regexp.MustCompile(`^[0-9]{6}$`).MatchString(code.Code) || code.Token != "" {
			t.Errorf("message %+v, answer %v", code, sms)
		}
		second := post(t, p, loginOTPPath, object{"method_id": code.MethodID, "code": code.Code, "session_token": token})
		if second["session_token"] != token || second["session"].(object)["session_id"] != session["session_id"] {
			t.Error("the second factor made a session of its own")
		}
		if got := fmt.Sprint(factorsOf(second)); got != "[account phone]" {
			t.Errorf("classes %s", got)
		}
		if second["session"].(object)["expires_at"] != session["expires_at"] {
			t.Error("the second factor extended the session")
		}
		if got := fmt.Sprint(second["user"].(object)["phone_numbers"]); !strings.Contains(got, "+14155550123") || !strings.Contains(got, "verified:true") {
			t.Errorf("phone numbers %s", got)
		}

		// The same phone again renews its factor.
		advance(time.Minute)
		post(t, p, sendSMSPath, object{"phone_number": "+14155550123", "session_token": token})
		again := post(t, p, loginOTPPath, object{"method_id": code.MethodID, "code": last(t, p).Code, "session_jwt": second["session_jwt"]})
		factors := again["session"].(object)["authentication_factors"].([]any)
		if got, want := factors[1].(object)["last_authenticated_at"], time.Now().UTC().Format(time.RFC3339); len(factors) != 2 || got != want {
			t.Errorf("%d factors, the second of %v, want 2 and %v", len(factors), got, want)
		}
		want := stytchtest.Calls{Send: 3, Login: 3}
		if got := p.Calls(); got != want {
			t.Errorf("calls %+v, want %+v", got, want)
		}
	})
}

func TestAPersonIsRecognised(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	first := logIn(t, p, "ada@example.com")
	second := post(t, p, sendLinkPath, object{"email": "ada@example.com", "login_magic_link_url": "https://example.com/login"})
	if second["user_created"] != false || second["user_id"] != first["user_id"] || !strings.HasPrefix(last(t, p).URL, "https://example.com/login?") {
		t.Errorf("answer %v, first login %v, link %s", second, first["user_id"], last(t, p).URL)
	}
	if other := logIn(t, p, "grace@example.com"); other["user_id"] == first["user_id"] {
		t.Error("two people are one user")
	}
	// A known phone logs in by itself.
	post(t, p, sendSMSPath, object{"phone_number": "+14155550123", "user_id": first["user_id"]})
	post(t, p, sendSMSPath, object{"phone_number": "+14155550123"})
	answer := post(t, p, loginOTPPath, object{"method_id": last(t, p).MethodID, "code": last(t, p).Code, "session_duration_minutes": 5})
	if answer["user_id"] != first["user_id"] || fmt.Sprint(factorsOf(answer)) != "[phone]" {
		t.Errorf("answer %v", answer)
	}
}

func TestALoginWithoutDurationMakesNoSession(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	sent := post(t, p, sendLinkPath, object{"email": "ada@example.com"})
	if last(t, p).URL != "" {
		t.Errorf("link %q without a URL", last(t, p).URL)
	}
	answer := post(t, p, loginLinkPath, object{"token": last(t, p).Token})
	if answer["session"] != nil || answer["session_token"] != "" || answer["session_jwt"] != "" || answer["user_id"] != sent["user_id"] || answer["user"].(object)["user_id"] != sent["user_id"] {
		t.Errorf("answer %v", answer)
	}
}

func TestLoginRules(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	ada := logIn(t, p, "ada@example.com")
	grace := logIn(t, p, "grace@example.com")
	post(t, p, sendSMSPath, object{"phone_number": "+14155550123", "user_id": ada["user_id"]})
	sms := last(t, p)
	post(t, p, sendLinkPath, object{"email": "ada@example.com"})
	link := last(t, p)
	wrong := "000000"
	if sms.Code == wrong {
		wrong = "000001"
	}
	tests := []struct {
		name   string
		path   string
		body   any
		status int
		typ    string
	}{
		{"no JSON", sendLinkPath, "x", 400, "invalid_request_value"},
		{"no e-mail", sendLinkPath, object{}, 400, "invalid_email"},
		{"a name", sendLinkPath, object{"email": "Ada <ada@example.com>"}, 400, "invalid_email"},
		{"relative URL", sendLinkPath, object{"email": "a@example.com", "login_magic_link_url": "/login"}, 400, "invalid_magic_link_url"},
		{"relative sign-up URL", sendLinkPath, object{"email": "a@example.com", "signup_magic_link_url": "login"}, 400, "invalid_magic_link_url"},
		{"expiration 0", sendLinkPath, object{"email": "a@example.com", "login_expiration_minutes": 0}, 400, "invalid_expiration"},
		{"sign-up expiration", sendLinkPath, object{"email": "a@example.com", "signup_expiration_minutes": 10081}, 400, "invalid_expiration"},

		{"no JSON", loginLinkPath, "x", 400, "invalid_request_value"},
		{"no token", loginLinkPath, object{}, 400, "invalid_token"},
		{"unknown token", loginLinkPath, object{"token": "x"}, 404, "magic_link_not_found"},
		{"a code is no token", loginLinkPath, object{"token": sms.Code}, 404, "magic_link_not_found"},
		{"duration", loginLinkPath, object{"token": link.Token, "session_duration_minutes": 1}, 400, "invalid_session_duration"},
		{"two sessions", loginLinkPath, object{"token": link.Token, "session_token": ada["session_token"], "session_jwt": ada["session_jwt"]}, 400, "too_many_session_arguments"},
		{"a bad JWT", loginLinkPath, object{"token": link.Token, "session_jwt": "x"}, 400, "unable_to_parse_session_jwt"},
		{"an unknown session", loginLinkPath, object{"token": link.Token, "session_token": strings.Repeat("x", 44)}, 404, "session_not_found"},
		{"another user's session", loginLinkPath, object{"token": link.Token, "session_token": grace["session_token"]}, 403, "session_authorization_error"},
		{"large claims", loginLinkPath, object{"token": link.Token, "session_duration_minutes": 5, "session_custom_claims": object{"a": strings.Repeat("x", 4096)}}, 400, "custom_claims_too_large"},
		{"large claims, old session", loginLinkPath, object{"token": link.Token, "session_jwt": ada["session_jwt"], "session_custom_claims": object{"a": strings.Repeat("x", 4096)}}, 400, "custom_claims_too_large"},

		{"no JSON", sendSMSPath, "x", 400, "invalid_request_value"},
		{"no number", sendSMSPath, object{}, 400, "invalid_phone_number"},
		{"a local number", sendSMSPath, object{"phone_number": "0301234567"}, 400, "invalid_phone_number"},
		{"expiration", sendSMSPath, object{"phone_number": "+14155550199", "expiration_minutes": 11}, 400, "invalid_expiration"},
		{"two sessions", sendSMSPath, object{"phone_number": "+14155550199", "session_token": "x", "session_jwt": "y"}, 400, "too_many_session_arguments"},
		{"a bad JWT", sendSMSPath, object{"phone_number": "+14155550199", "session_jwt": "y"}, 400, "unable_to_parse_session_jwt"},
		{"a bad token", sendSMSPath, object{"phone_number": "+14155550199", "session_token": "y"}, 400, "invalid_session_token"},
		{"an unknown number", sendSMSPath, object{"phone_number": "+14155550199"}, 404, "phone_number_not_found"},
		{"an unknown user", sendSMSPath, object{"phone_number": "+14155550199", "user_id": "user-test-x"}, 404, "user_not_found"},
		{"another user's number", sendSMSPath, object{"phone_number": "+14155550123", "session_token": grace["session_token"]}, 403, "session_authorization_error"},
		{"another user's session", sendSMSPath, object{"phone_number": "+14155550199", "session_token": grace["session_token"], "user_id": ada["user_id"]}, 403, "session_authorization_error"},

		{"no JSON", loginOTPPath, "x", 400, "invalid_request_value"},
		{"no method", loginOTPPath, object{"code": sms.Code}, 400, "invalid_method_id"},
		{"no code", loginOTPPath, object{"method_id": sms.MethodID}, 400, "invalid_code"},
		{"unknown method", loginOTPPath, object{"method_id": "phone-number-test-x", "code": sms.Code}, 404, "otp_code_not_found"},
		{"wrong code", loginOTPPath, object{"method_id": sms.MethodID, "code": wrong}, 401, "unable_to_auth_otp_code"},
		{"another user's session", loginOTPPath, object{"method_id": sms.MethodID, "code": sms.Code, "session_token": grace["session_token"]}, 403, "session_authorization_error"},
	}
	inbox := len(p.Inbox())
	for _, test := range tests {
		t.Run(test.path+" "+test.name, func(t *testing.T) {
			status, answer := call(t, p, "POST", test.path, test.body)
			wantError(t, status, answer, test.status, test.typ)
		})
	}
	if got := len(p.Inbox()); got != inbox {
		t.Errorf("refused requests sent %d messages", got-inbox)
	}
	// No refused request has used the link or the code up.
	post(t, p, loginLinkPath, object{"token": link.Token, "session_jwt": ada["session_jwt"]})
	post(t, p, loginOTPPath, object{"method_id": sms.MethodID, "code": sms.Code, "session_token": ada["session_token"]})
	for _, again := range []struct {
		path string
		body object
	}{
		{loginLinkPath, object{"token": link.Token}},
		{loginOTPPath, object{"method_id": sms.MethodID, "code": sms.Code}},
	} {
		status, answer := call(t, p, "POST", again.path, again.body)
		if status != 401 {
			t.Errorf("%s twice: %d %v", again.path, status, answer)
		}
	}
}

func TestLinksAndCodesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stytchtest.New(stytchtest.Options{})
		user := logIn(t, p, "ada@example.com")["user_id"]
		tests := []struct {
			path string
			body object
			life time.Duration
			typ  string
		}{
			{sendLinkPath, object{"email": "ada@example.com"}, time.Hour, "unable_to_auth_magic_link"},
			{sendLinkPath, object{"email": "ada@example.com", "login_expiration_minutes": 3}, 3 * time.Minute, "unable_to_auth_magic_link"},
			{sendLinkPath, object{"email": "new1@example.com"}, 7 * 24 * time.Hour, "unable_to_auth_magic_link"},
			{sendSMSPath, object{"phone_number": "+14155550123", "user_id": user}, 2 * time.Minute, "unable_to_auth_otp_code"},
			{sendSMSPath, object{"phone_number": "+14155550123", "user_id": user, "expiration_minutes": 10}, 10 * time.Minute, "unable_to_auth_otp_code"},
		}
		redeem := func() (int, object) {
			m := last(t, p)
			if m.Kind == "sms" {
				return call(t, p, "POST", loginOTPPath, object{"method_id": m.MethodID, "code": m.Code})
			}
			return call(t, p, "POST", loginLinkPath, object{"token": m.Token})
		}
		for _, test := range tests {
			post(t, p, test.path, test.body)
			advance(test.life)
			status, answer := redeem()
			wantError(t, status, answer, 401, test.typ)
			if test.body["email"] == "new1@example.com" {
				test.body["email"] = "new2@example.com"
			}
			post(t, p, test.path, test.body)
			advance(test.life - time.Second)
			if status, answer := redeem(); status != 200 {
				t.Errorf("%v, a second before the end: %d %v", test.body, status, answer)
			}
		}
	})
}

func TestWrongCodesUseACodeUp(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	user := logIn(t, p, "ada@example.com")["user_id"]
	post(t, p, sendSMSPath, object{"phone_number": "+14155550123", "user_id": user})
	m := last(t, p)
	for range 5 {
		status, answer := call(t, p, "POST", loginOTPPath, object{"method_id": m.MethodID, "code": "x"})
		wantError(t, status, answer, 401, "unable_to_auth_otp_code")
	}
	status, answer := call(t, p, "POST", loginOTPPath, object{"method_id": m.MethodID, "code": m.Code})
	wantError(t, status, answer, 401, "unable_to_auth_otp_code")
}

func TestInboxAndPhonesAreBounded(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{MaxMessages: 3})
	for i := range 5 {
		post(t, p, sendLinkPath, object{"email": fmt.Sprintf("user%d@example.com", i)})
	}
	var to []string
	for _, m := range p.Inbox() {
		to = append(to, m.To)
	}
	if got, want := fmt.Sprint(to), "[user2@example.com user3@example.com user4@example.com]"; got != want {
		t.Errorf("inbox %s, want %s", got, want)
	}
	user := last(t, p).UserID
	for i := range 11 {
		status, answer := call(t, p, "POST", sendSMSPath, object{"phone_number": fmt.Sprintf("+1415555010%d", i), "user_id": user})
		if i < 10 && status != 200 {
			t.Errorf("phone %d: %d %v", i, status, answer)
		} else if i == 10 {
			wantError(t, status, answer, 400, "invalid_phone_number")
		}
	}
}

func TestUsersAreBounded(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{MaxSessions: 2})
	first := logIn(t, p, "ada@example.com")
	post(t, p, sendSMSPath, object{"phone_number": "+14155550123", "user_id": first["user_id"]})
	sms := last(t, p)
	post(t, p, sendLinkPath, object{"email": "b@example.com"})
	post(t, p, sendLinkPath, object{"email": "c@example.com"})
	// Ada is forgotten: her phone is nobody's, and a new link makes a new user.
	status, answer := call(t, p, "POST", sendSMSPath, object{"phone_number": "+14155550123"})
	wantError(t, status, answer, 404, "phone_number_not_found")
	// A code that is on its way still tells who it was.
	if got := post(t, p, loginOTPPath, object{"method_id": sms.MethodID, "code": sms.Code})["user_id"]; got != first["user_id"] {
		t.Errorf("user %v, want %v", got, first["user_id"])
	}
	if got := post(t, p, sendLinkPath, object{"email": "ada@example.com"}); got["user_created"] != true || got["user_id"] == first["user_id"] {
		t.Errorf("answer %v", got)
	}
}
