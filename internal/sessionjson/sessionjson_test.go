package sessionjson_test

import (
	"testing"
	"time"

	"github.com/stytchware/stytchware/internal/exactjson"
	"github.com/stytchware/stytchware/internal/sessionjson"
	"github.com/stytchware/stytchware/sessionctx"
)

func api(s string) (sessionctx.Data, error) {
	r := exactjson.New(s)
	d := sessionjson.API(&r)
	return d, r.End()
}

func claim(s string) (sessionctx.Data, error) {
	r := exactjson.New(s)
	d := sessionjson.Claim(&r)
	return d, r.End()
}

func TestAPI(t *testing.T) {
	d, err := api(`{"session_id":"session-test-1","user_id":"user-test-1","started_at":"2021-08-09T07:41:52Z",
		"last_accessed_at":"2021-08-09T09:41:52.123456789+02:00","expires_at":"2021-08-10T07:41:52Z",
		"attributes":{"ip_address":"203.0.113.1","user_agent":"Mozilla/5.0"},
		"authentication_factors":[ {"type":"magic_link","delivery_method":"email","email_factor":{"email_id":"e"},"last_authenticated_at":"2021-08-09T07:41:52Z"} ,{}],
		"roles":["stytch_user"],"custom_claims":{"claim1":"value1"},"unknown":[1]}`)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2021, 8, 9, 7, 41, 52, 0, time.UTC)
	if d.ID != "session-test-1" || d.UserID != "user-test-1" || d.MemberID != "" ||
		!d.StartedAt.Equal(at) || d.LastAccessedAt != at.Add(123456789) || !d.ExpiresAt.Equal(at.Add(24*time.Hour)) ||
		d.Attributes != (sessionctx.Attributes{IPAddress: "203.0.113.1", UserAgent: "Mozilla/5.0"}) ||
		len(d.Roles) != 1 || d.Roles[0] != "stytch_user" || d.CustomClaims != `{"claim1":"value1"}` || len(d.Factors) != 2 {
		t.Errorf("%+v", d)
	}
	f := d.Factors[0]
	if f.Type != "magic_link" || f.DeliveryMethod != "email" || !f.LastAuthenticatedAt.Equal(at) ||
		f.Raw != `{"type":"magic_link","delivery_method":"email","email_factor":{"email_id":"e"},"last_authenticated_at":"2021-08-09T07:41:52Z"}` {
		t.Errorf("%+v", f)
	}
	if f := d.Factors[1]; f.Raw != "{}" || f.Class() != sessionctx.None || !f.LastAuthenticatedAt.IsZero() {
		t.Errorf("%+v", f)
	}
}

func TestSeenInTheWild(t *testing.T) {
	d, err := api(`{"session_id":"s","user_id":"u","attributes":null,"authentication_factors":null,"roles":null,"custom_claims":null,"expires_at":null,"started_at":"","last_accessed_at":"soon"}`)
	if err != nil || d.Factors != nil || d.Roles != nil || d.CustomClaims != "" || !d.ExpiresAt.IsZero() || !d.StartedAt.IsZero() || !d.LastAccessedAt.IsZero() {
		t.Errorf("%+v, %v", d, err)
	}
	for _, text := range []string{`"yesterday"`, `12`, `null`, `""`} {
		d, err = api(`{"session_id":"s","authentication_factors":[{"delivery_method":"sms","last_authenticated_at":` + text + `}]}`)
		if err != nil || !d.Factors[0].LastAuthenticatedAt.IsZero() || d.Factors[0].Class() != sessionctx.Phone {
			t.Errorf("%s: %+v, %v", text, d, err)
		}
	}
}

func TestB2B(t *testing.T) {
	d, err := api(`{"member_session_id":"member-session-1","member_id":"member-1","organization_id":"org-1","organization_slug":"o"}`)
	if err != nil || d.ID != "member-session-1" || d.MemberID != "member-1" || d.UserID != "member-1" || d.OrganizationID != "org-1" || d.OrganizationSlug != "o" {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestClaim(t *testing.T) {
	d, err := claim(`{"id":"session-test-1","session_id":"another","SESSION_ID":"x","ID":"y","roles":[]}`)
	if err != nil || d.ID != "session-test-1" {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := claim(`{"session_id":"session-test-1"}`); err == nil {
		t.Error("the API's spelling was taken for the claim's")
	}
}

func TestRefused(t *testing.T) {
	for _, s := range []string{
		`null`, `[]`, `"x"`, `{}`, `{"session_id":""}`, `{"session_id":null}`, `{"session_id":1}`, `{"SESSION_ID":"s"}`, `{"ſession_id":"s"}`,
		`{"session_id":"s","session_id":"s"}`, `{"session_id":"s","user_id":1}`, `{"session_id":"s","expires_at":"never"}`, `{"session_id":"s","expires_at":1}`,
		`{"session_id":"s","started_at":1}`, `{"session_id":"s","attributes":[]}`, `{"session_id":"s","attributes":{"ip_address":1}}`,
		`{"session_id":"s","authentication_factors":{}}`, `{"session_id":"s","authentication_factors":[1]}`, `{"session_id":"s","authentication_factors":[{"type":1}]}`,
		`{"session_id":"s","authentication_factors":[{"delivery_method":"sms","delivery_method":"email"}]}`,
		`{"session_id":"s","roles":"admin"}`, `{"session_id":"s","roles":[1]}`, `{"session_id":"s","custom_claims":[]}`, `{"session_id":"s","custom_claims":{"a":1,"a":2}}`,
	} {
		if d, err := api(s); err == nil {
			t.Errorf("%s accepted as %+v", s, d)
		}
	}
}
