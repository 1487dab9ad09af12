package stytchtest_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

func TestAuthenticateAnswersTheSession(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	login := p.Login(stytchtest.Login{
		CustomClaims: object{"plan": "pro", "limit": 12345678901234567},
		Roles:        []string{"admin"},
		Attributes:   sessionctx.Attributes{IPAddress: "203.0.113.1", UserAgent: "Mozilla/5.0"},
	})
	for _, body := range []object{
		{"session_token": login.Tokens.SessionToken},
		{"session_jwt": login.Tokens.SessionJWT},
		{"session_jwt": login.Tokens.SessionJWT, "session_token": "", "session_duration_minutes": nil},
	} {
		answer := post(t, p, authenticatePath, body)
		got := slices.Sorted(maps.Keys(answer))
		want := []string{"request_id", "session", "session_jwt", "session_token", "status_code", "user"}
		if !slices.Equal(got, want) {
			t.Errorf("members %q, want %q", got, want)
		}
		session := answer["session"].(object)
		if session["session_id"] != login.ID || session["user_id"] != login.UserID {
			t.Errorf("session %v, want %s of %s", session, login.ID, login.UserID)
		}
		if got, want := fmt.Sprint(session["attributes"], session["roles"]), "map[ip_address:203.0.113.1 user_agent:Mozilla/5.0] [admin]"; got != want {
			t.Errorf("attributes and roles %s, want %s", got, want)
		}
		factor := session["authentication_factors"].([]any)[0].(object)
		for _, name := range []string{"type", "delivery_method", "email_factor", "last_authenticated_at", "created_at", "updated_at"} {
			if factor[name] == nil {
				t.Errorf("the factor has no %s", name)
			}
		}
		if answer["user"].(object)["user_id"] != login.UserID {
			t.Errorf("user %v, want %s", answer["user"], login.UserID)
		}
		if answer["session_token"] != login.Tokens.SessionToken {
			t.Error("the session token changed")
		}
		jwt := answer["session_jwt"].(string)
		if !verifies(t, p.KeySet(), jwt) {
			t.Error("the new JWT does not verify")
		}
		if payload := string(decodeSegment(t, strings.Split(jwt, ".")[1])); !strings.Contains(payload, `"limit":12345678901234567,`) || !strings.Contains(payload, `"plan":"pro"`) {
			t.Errorf("the custom claims are not in the JWT: %s", payload)
		}
	}
	if got, want := p.Calls(), (stytchtest.Calls{Authenticate: 3}); got != want {
		t.Errorf("calls %+v, want %+v", got, want)
	}
}

func TestSessionTokenIs44CharactersOfBase64URL(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	token := p.Login(stytchtest.Login{}).Tokens.SessionToken
	if b, err := base64.RawURLEncoding.DecodeString(token); len(token) != 44 || err != nil || len(b) != 33 {
		t.Errorf("session token %q: %d characters, %v", token, len(token), err)
	}
}

func TestAuthenticateExtendsOnlyWhenAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stytchtest.New(stytchtest.Options{})
		login := p.Login(stytchtest.Login{Duration: 10 * time.Minute})
		start := time.Now()
		body := object{"session_token": login.Tokens.SessionToken}
		want := func(answer object, expires, accessed time.Time) {
			t.Helper()
			s := answer["session"].(object)
			if s["expires_at"] != expires.UTC().Format(time.RFC3339) || s["last_accessed_at"] != accessed.UTC().Format(time.RFC3339) {
				t.Errorf("expires_at %v, last_accessed_at %v; want %v, %v", s["expires_at"], s["last_accessed_at"], expires, accessed)
			}
			if s["started_at"] != start.UTC().Format(time.RFC3339) {
				t.Errorf("started_at %v, want %v", s["started_at"], start)
			}
		}
		advance(3 * time.Minute)
		want(post(t, p, authenticatePath, body), start.Add(10*time.Minute), time.Now())

		body["session_duration_minutes"] = 5
		want(post(t, p, authenticatePath, body), time.Now().Add(5*time.Minute), time.Now())

		body["session_duration_minutes"] = 527040
		want(post(t, p, authenticatePath, body), time.Now().Add(527040*time.Minute), time.Now())
	})
}

func TestAuthenticateExchangesAnExpiredJWTWhileTheSessionLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stytchtest.New(stytchtest.Options{})
		login := p.Login(stytchtest.Login{Duration: time.Hour})
		advance(59 * time.Minute)
		answer := post(t, p, authenticatePath, object{"session_jwt": login.Tokens.SessionJWT})
		claims := claimsOf(t, answer["session_jwt"].(string))
		if got, want := int64(claims["iat"].(float64)), time.Now().Unix(); got != want {
			t.Errorf("the new JWT's iat is %d, want %d", got, want)
		}
		advance(time.Minute)
		for _, body := range []object{{"session_jwt": login.Tokens.SessionJWT}, {"session_token": login.Tokens.SessionToken}} {
			status, answer := call(t, p, "POST", authenticatePath, body)
			wantError(t, status, answer, 404, "session_not_found")
		}
		// An hour later another login sweeps it out; it stays not found.
		advance(time.Hour)
		p.Login(stytchtest.Login{})
		status, answer := call(t, p, "POST", authenticatePath, object{"session_token": login.Tokens.SessionToken})
		wantError(t, status, answer, 404, "session_not_found")
	})
}

func TestRequestRules(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	login := p.Login(stytchtest.Login{})
	token := login.Tokens.SessionToken
	good := object{"session_token": token}
	with := func(name string, v any) object {
		o := maps.Clone(good)
		o[name] = v
		return o
	}
	tests := []struct {
		name   string
		method string
		path   string
		body   any
		change func(*http.Request)
		status int
		typ    string
	}{
		{"no credentials", "POST", authenticatePath, good, func(r *http.Request) { r.Header.Del("Authorization") }, 401, "unauthorized_credentials"},
		{"bearer", "POST", authenticatePath, good, func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, 401, "unauthorized_credentials"},
		{"wrong secret", "POST", authenticatePath, good, func(r *http.Request) { r.SetBasicAuth(p.ID(), "secret-test-wrong") }, 401, "unauthorized_credentials"},
		{"no secret", "POST", authenticatePath, good, func(r *http.Request) { r.SetBasicAuth(p.ID(), "") }, 401, "unauthorized_credentials"},
		{"other project", "POST", authenticatePath, good, func(r *http.Request) { r.SetBasicAuth("project-test-other", p.Secret()) }, 401, "invalid_project_id_authentication"},
		{"wrong secret, list", "GET", "/v1/sessions?user_id=" + login.UserID, nil, func(r *http.Request) { r.SetBasicAuth(p.ID(), "x") }, 401, "unauthorized_credentials"},
		{"charset", "POST", authenticatePath, good, func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=utf-8") }, 400, "invalid_content_type"},
		{"no content type", "POST", revokePath, good, func(r *http.Request) { r.Header.Del("Content-Type") }, 400, "invalid_content_type"},
		{"unknown route", "POST", "/v1/sessions/exchange", good, nil, 404, "route_not_found"},
		{"B2B", "POST", "/v1/b2b/sessions/authenticate", good, nil, 404, "route_not_found"},
		{"trailing slash", "POST", authenticatePath + "/", good, nil, 404, "route_not_found"},
		{"wrong method", "GET", authenticatePath, nil, nil, 405, "method_not_allowed"},
		{"wrong method, key set", "POST", keySetPath + p.ID(), good, nil, 405, "method_not_allowed"},
		{"other project's key set", "GET", keySetPath + "project-test-other", nil, nil, 404, "project_not_found"},
		{"empty body", "POST", authenticatePath, "", nil, 400, "invalid_request_value"},
		{"no JSON", "POST", authenticatePath, "session_token=x", nil, 400, "invalid_request_value"},
		{"an array", "POST", authenticatePath, "[]", nil, 400, "invalid_request_value"},
		{"two objects", "POST", authenticatePath, `{"session_token":"` + token + `"}{}`, nil, 400, "invalid_request_value"},
		{"one brace too many", "POST", authenticatePath, `{"session_token":"` + token + `"}}`, nil, 400, "invalid_request_value"},
		{"no JSON, revoke", "POST", revokePath, "{", nil, 400, "invalid_request_value"},
		{"too large", "POST", authenticatePath, `{"a":"` + strings.Repeat("x", 1<<20) + `"}`, nil, 413, "request_too_large"},

		{"no argument", "POST", authenticatePath, object{}, nil, 400, "no_session_arguments"},
		{"empty arguments", "POST", authenticatePath, object{"session_token": "", "session_jwt": ""}, nil, 400, "no_session_arguments"},
		{"both arguments", "POST", authenticatePath, with("session_jwt", login.Tokens.SessionJWT), nil, 400, "too_many_session_arguments"},
		{"duration 4", "POST", authenticatePath, with("session_duration_minutes", 4), nil, 400, "invalid_session_duration"},
		{"duration 527041", "POST", authenticatePath, with("session_duration_minutes", 527041), nil, 400, "invalid_session_duration"},
		{"duration 0", "POST", authenticatePath, with("session_duration_minutes", 0), nil, 400, "invalid_session_duration"},
		{"duration 5.5", "POST", authenticatePath, with("session_duration_minutes", 5.5), nil, 400, "invalid_session_duration"},
		{"duration as string", "POST", authenticatePath, with("session_duration_minutes", "60"), nil, 400, "invalid_session_duration"},
		{"reserved claim", "POST", authenticatePath, with("session_custom_claims", object{"sub": "x"}), nil, 400, "invalid_session_custom_claims"},
		{"reserved namespace", "POST", authenticatePath, with("session_custom_claims", object{"https://stytch.com/session": 1}), nil, 400, "invalid_session_custom_claims"},
		{"large claims", "POST", authenticatePath, with("session_custom_claims", object{"a": strings.Repeat("x", 4096)}), nil, 400, "custom_claims_too_large"},

		{"short token", "POST", authenticatePath, object{"session_token": "x"}, nil, 400, "invalid_session_token"},
		{"token of other characters", "POST", authenticatePath, object{"session_token": strings.Repeat("+", 44)}, nil, 400, "invalid_session_token"},
		{"unknown token", "POST", authenticatePath, object{"session_token": strings.Repeat("x", 44)}, nil, 404, "session_not_found"},
		{"sandbox 404", "POST", authenticatePath, object{"session_token": "59cnLELtq5cFVS6uYK9f-pAWzBkhqZl8AvLhbhOvKNWw"}, nil, 404, "session_not_found"},

		{"revoke nothing", "POST", revokePath, object{}, nil, 400, "no_session_revoke_arguments"},
		{"revoke two", "POST", revokePath, object{"session_id": login.ID, "session_token": token}, nil, 400, "too_many_session_revoke_arguments"},
		{"revoke a bad id", "POST", revokePath, object{"session_id": "x"}, nil, 400, "invalid_session_id"},
		{"revoke an unknown id", "POST", revokePath, object{"session_id": "session-test-x"}, nil, 404, "session_not_found"},
		{"revoke a bad JWT", "POST", revokePath, object{"session_jwt": "a.b.c"}, nil, 400, "unable_to_parse_session_jwt"},
		{"list without user", "GET", "/v1/sessions", nil, nil, 400, "invalid_user_id"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRequest(t, p, test.method, test.path, test.body)
			if test.change != nil {
				test.change(r)
			}
			status, answer := send(t, p, r)
			wantError(t, status, answer, test.status, test.typ)
			if _, live := p.Session(login.ID); !live {
				t.Fatal("the session is gone")
			}
		})
	}
	// Nothing of it changed the session, and the same request without a fault passes.
	if s, _ := p.Session(login.ID); s.CustomClaims() != "{}" || time.Until(s.ExpiresAt()) > time.Hour {
		t.Errorf("a refused request changed the session: %+v", s.Data())
	}
	post(t, p, authenticatePath, good)
}

func TestAuthenticateRefusesJWTsThatAreNotItsOwn(t *testing.T) {
	p, other := stytchtest.New(stytchtest.Options{}), stytchtest.New(stytchtest.Options{})
	login := p.Login(stytchtest.Login{})
	jwt := login.Tokens.SessionJWT
	parts := strings.Split(jwt, ".")
	gone := p.Login(stytchtest.Login{})
	p.Revoke(gone.ID)
	tests := []struct {
		name, jwt string
		status    int
		typ       string
	}{
		{"two segments", parts[0] + "." + parts[1], 400, "unable_to_parse_session_jwt"},
		{"padding", parts[0] + "." + parts[1] + "." + parts[2] + "=", 400, "unable_to_parse_session_jwt"},
		{"signature changed", parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])), 400, "unable_to_parse_session_jwt"},
		{"forged", p.MintJWT(login.ID, stytchtest.Mint{Forged: true}), 400, "unable_to_parse_session_jwt"},
		{"unknown key", p.MintJWT(login.ID, stytchtest.Mint{UnknownKey: true}), 400, "unable_to_parse_session_jwt"},
		{"other algorithm", p.MintJWT(login.ID, stytchtest.Mint{Header: object{"alg": "HS256"}}), 400, "unable_to_parse_session_jwt"},
		{"no key id", p.MintJWT(login.ID, stytchtest.Mint{Header: object{"kid": nil}}), 400, "unable_to_parse_session_jwt"},
		{"other project's", other.Login(stytchtest.Login{}).Tokens.SessionJWT, 400, "unable_to_parse_session_jwt"},
		{"foreign issuer", p.MintJWT(login.ID, stytchtest.Mint{ProjectID: other.ID()}), 400, "jwt_invalid_issuer"},
		{"foreign audience", p.MintJWT(login.ID, stytchtest.Mint{Claims: object{"aud": []string{other.ID()}}}), 400, "jwt_invalid_audience"},
		{"M2M", p.MintJWT(login.ID, stytchtest.Mint{NoSessionClaim: true}), 400, "jwt_invalid_claims"},
		{"no session id", p.MintJWT(login.ID, stytchtest.Mint{SessionClaim: object{"id": nil}}), 400, "jwt_invalid_claims"},
		{"B2B", p.Login(stytchtest.Login{OrganizationID: "organization-test-1"}).Tokens.SessionJWT, 400, "incompatible_session_type"},
		{"revoked", gone.Tokens.SessionJWT, 404, "session_not_found"},
		{"unknown session", p.MintJWT("", stytchtest.Mint{}), 404, "session_not_found"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status, answer := call(t, p, "POST", authenticatePath, object{"session_jwt": test.jwt})
			wantError(t, status, answer, test.status, test.typ)
		})
	}
	b2b := p.Login(stytchtest.Login{OrganizationID: "organization-test-1"})
	status, answer := call(t, p, "POST", authenticatePath, object{"session_token": b2b.Tokens.SessionToken})
	wantError(t, status, answer, 400, "incompatible_session_type")
}

func TestCustomClaimsMerge(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	login := p.Login(stytchtest.Login{CustomClaims: object{"a": 1, "b": 2, "e": object{"nested1": "val1", "nested2": "val2"}}})
	steps := []struct{ patch, want string }{
		{`{"a":9}`, `{"a":9,"b":2,"e":{"nested1":"val1","nested2":"val2"}}`},
		{`{"a":null,"c":3.50}`, `{"b":2,"c":3.50,"e":{"nested1":"val1","nested2":"val2"}}`},
		{`{"e":{"nested1":null,"nested3":"val3"}}`, `{"b":2,"c":3.50,"e":{"nested2":"val2","nested3":"val3"}}`},
		{`{"c":{"x":{"y":null,"z":1}},"none":null}`, `{"b":2,"c":{"x":{"z":1}},"e":{"nested2":"val2","nested3":"val3"}}`},
		{`{}`, `{"b":2,"c":{"x":{"z":1}},"e":{"nested2":"val2","nested3":"val3"}}`},
		{`{"b":null,"c":null,"e":null}`, `{}`},
	}
	for _, step := range steps {
		body := `{"session_token":"` + login.Tokens.SessionToken + `","session_custom_claims":` + step.patch + `}`
		answer := post(t, p, authenticatePath, body)
		s, _ := p.Session(login.ID)
		if s.CustomClaims() != step.want {
			t.Errorf("after %s: %s, want %s", step.patch, s.CustomClaims(), step.want)
		}
		// The same claims are in the JWT, at the top.
		claims := claimsOf(t, answer["session_jwt"].(string))
		for name := range parse(t, []byte(step.want)) {
			if _, ok := claims[name]; !ok {
				t.Errorf("after %s: the JWT has no %q", step.patch, name)
			}
		}
	}
	// Merging up to the limit, together with what is there already.
	half := strings.Repeat("x", 2500)
	post(t, p, authenticatePath, object{"session_token": login.Tokens.SessionToken, "session_custom_claims": object{"a": half}})
	status, answer := call(t, p, "POST", authenticatePath, object{"session_token": login.Tokens.SessionToken, "session_custom_claims": object{"b": half}, "session_duration_minutes": 600})
	wantError(t, status, answer, 400, "custom_claims_too_large")
	if s, _ := p.Session(login.ID); strings.Contains(s.CustomClaims(), `"b"`) || time.Until(s.ExpiresAt()) > time.Hour {
		t.Error("a refused request changed the session")
	}
}

func TestSandboxToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stytchtest.New(stytchtest.Options{})
		body := object{"session_token": "WJtR5BCy38Szd5AfoDpf0iqFKEt4EE5JhjlWUY7l3FtY"}
		first := post(t, p, authenticatePath, body)["session"].(object)
		post(t, p, revokePath, body)
		advance(2 * time.Hour)
		answer := post(t, p, authenticatePath, body)
		second := answer["session"].(object)
		if first["session_id"] != second["session_id"] || first["session_id"] != "session-test-fe6c042b-6286-479f-8a4f-b046a6c46509" {
			t.Errorf("session ids %v and %v", first["session_id"], second["session_id"])
		}
		if got, want := second["expires_at"], time.Now().Add(time.Hour).UTC().Format(time.RFC3339); got != want {
			t.Errorf("expires_at %v, want %v", got, want)
		}
		if got := post(t, p, authenticatePath, object{"session_jwt": answer["session_jwt"]})["session"].(object)["session_id"]; got != first["session_id"] {
			t.Errorf("its JWT is of session %v", got)
		}
	})
}

func TestRevoke(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	for _, argument := range []string{"session_id", "session_token", "session_jwt"} {
		login, other := p.Login(stytchtest.Login{}), p.Login(stytchtest.Login{})
		body := object{argument: map[string]string{
			"session_id": login.ID, "session_token": login.Tokens.SessionToken, "session_jwt": login.Tokens.SessionJWT,
		}[argument]}
		post(t, p, revokePath, body)
		if _, live := p.Session(login.ID); live {
			t.Errorf("by %s: still live", argument)
		}
		if _, live := p.Session(other.ID); !live {
			t.Errorf("by %s: another session is gone", argument)
		}
		status, answer := call(t, p, "POST", authenticatePath, object{"session_token": login.Tokens.SessionToken})
		wantError(t, status, answer, 404, "session_not_found")
		status, answer = call(t, p, "POST", revokePath, body)
		wantError(t, status, answer, 404, "session_not_found")
	}
}

func TestListAnswersAUsersLiveSessions(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	a := p.Login(stytchtest.Login{})
	b := p.Login(stytchtest.Login{UserID: a.UserID})
	gone := p.Login(stytchtest.Login{UserID: a.UserID})
	p.Revoke(gone.ID)
	p.Login(stytchtest.Login{})
	list := func(userID string) (ids []string) {
		status, answer := call(t, p, "GET", "/v1/sessions?user_id="+userID, nil)
		if status != 200 {
			t.Fatalf("status %d: %v", status, answer)
		}
		for _, s := range answer["sessions"].([]any) {
			ids = append(ids, s.(object)["session_id"].(string))
		}
		return ids
	}
	if got, want := list(a.UserID), []string{a.ID, b.ID}; !slices.Equal(got, want) {
		t.Errorf("sessions %q, want %q", got, want)
	}
	if got := list("user-test-unknown"); len(got) != 0 {
		t.Errorf("an unknown user has sessions: %q", got)
	}
}

func TestCallsCountsEveryRequestThatArrives(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	for _, c := range []struct {
		method, path string
		n            int
	}{
		{"GET", keySetPath + p.ID(), 1},
		{"POST", authenticatePath, 2},
		{"POST", revokePath, 3},
		{"GET", "/v1/sessions", 4},
		{"POST", "/v1/magic_links/email/login_or_create", 2},
		{"POST", "/v1/otps/sms/send", 3},
		{"POST", "/v1/magic_links/authenticate", 2},
		{"POST", "/v1/otps/authenticate", 4},
		{"GET", "/v1/users", 7},
	} {
		for range c.n {
			call(t, p, c.method, c.path, nil)
		}
	}
	want := stytchtest.Calls{KeySet: 1, Authenticate: 2, Revoke: 3, List: 4, Send: 5, Login: 6, Other: 7}
	if got := p.Calls(); got != want {
		t.Errorf("calls %+v, want %+v", got, want)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{MaxSessions: 3})
	var logins []stytchtest.Session
	for range 5 {
		logins = append(logins, p.Login(stytchtest.Login{}))
	}
	for i, login := range logins {
		status, _ := call(t, p, "POST", authenticatePath, object{"session_token": login.Tokens.SessionToken})
		if want := map[bool]int{true: 404, false: 200}[i < 2]; status != want {
			t.Errorf("session %d: status %d, want %d", i, status, want)
		}
	}
}
