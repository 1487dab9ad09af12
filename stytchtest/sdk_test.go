package stytchtest_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stytchware/stytchware/stytchtest"
)

const (
	sdkAuthenticatePath = "/sdk/v1/sessions/authenticate"
	sdkRevokePath       = "/sdk/v1/sessions/revoke"
	sdkEventsPath       = "/sdk/v1/events"
	sdkBootstrapPath    = "/sdk/v1/projects/bootstrap/"
	appOrigin           = "https://app.example.com"
)

// sdkRequest returns a request as Stytch's browser SDK sends it from a page
// of appOrigin; password is the session token or, without one, the public
// token.
func sdkRequest(t *testing.T, p *stytchtest.Project, method, path, password string, body any) *http.Request {
	t.Helper()
	r := newRequest(t, p, method, path, body)
	r.SetBasicAuth(p.PublicToken(), password)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", appOrigin)
	r.Header.Set("X-SDK-Client", "e30=")
	r.Header.Set("X-SDK-Parent-Host", appOrigin)
	return r
}

func TestSDKAuthenticate(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	login := p.Login(stytchtest.Login{})
	before, _ := p.Session(login.ID)

	status, answer := send(t, p, sdkRequest(t, p, "POST", sdkAuthenticatePath, login.Tokens.SessionToken, object{}))
	data, _ := answer["data"].(object)
	if status != 200 || len(answer) != 1 || data == nil {
		t.Fatalf("%d %v, want 200 and only data", status, answer)
	}
	got := slices.Sorted(maps.Keys(data))
	want := []string{"request_id", "session", "session_jwt", "session_token", "status_code", "user"}
	if !slices.Equal(got, want) {
		t.Errorf("members %q, want %q", got, want)
	}
	if id := data["session"].(object)["session_id"]; id != login.ID {
		t.Errorf("session %v, want %s", id, login.ID)
	}
	if data["session_token"] != login.Tokens.SessionToken || !verifies(t, p.KeySet(), data["session_jwt"].(string)) {
		t.Error("the tokens are not the session's")
	}
	if after, _ := p.Session(login.ID); !after.ExpiresAt().Equal(before.ExpiresAt()) {
		t.Error("extended without a duration")
	}

	if status, answer := send(t, p, sdkRequest(t, p, "POST", sdkAuthenticatePath, login.Tokens.SessionToken, object{"session_duration_minutes": 600})); status != 200 {
		t.Fatal(status, answer)
	}
	if after, _ := p.Session(login.ID); after.ExpiresAt().Sub(before.ExpiresAt()).Hours() < 8 {
		t.Error("not extended by a duration")
	}
	if got, want := p.Calls(), (stytchtest.Calls{SDKAuthenticate: 2}); got != want {
		t.Errorf("calls %+v, want %+v", got, want)
	}
}

func TestSDKRevokeTakesNoBody(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	login, other := p.Login(stytchtest.Login{}), p.Login(stytchtest.Login{})
	status, answer := send(t, p, sdkRequest(t, p, "POST", sdkRevokePath, login.Tokens.SessionToken, nil))
	if data, _ := answer["data"].(object); status != 200 || data["status_code"] != 200.0 {
		t.Errorf("%d %v", status, answer)
	}
	if _, live := p.Session(login.ID); live {
		t.Error("the session lives on")
	}
	if _, live := p.Session(other.ID); !live {
		t.Error("another session ended too")
	}
	status, answer = send(t, p, sdkRequest(t, p, "POST", sdkRevokePath, login.Tokens.SessionToken, nil))
	wantError(t, status, answer, 404, "session_not_found")
	if got, want := p.Calls(), (stytchtest.Calls{SDKRevoke: 2}); got != want {
		t.Errorf("calls %+v, want %+v", got, want)
	}
}

func TestSDKBootstrap(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{PublicToken: "public-token-test-1"})
	if p.PublicToken() != "public-token-test-1" {
		t.Fatal(p.PublicToken())
	}
	// The password may be of a session that is over.
	for _, password := range []string{p.PublicToken(), strings.Repeat("x", 44), "garbage"} {
		status, answer := send(t, p, sdkRequest(t, p, "GET", sdkBootstrapPath+p.PublicToken(), password, nil))
		data, _ := answer["data"].(object)
		if status != 200 {
			t.Fatal(status, answer)
		}
		got := slices.Sorted(maps.Keys(data))
		want := []string{
			"captcha_settings", "cname_domain", "create_organization_enabled", "dfp_protected_auth_enabled", "disable_sdk_watermark",
			"email_domains", "password_config", "pkce_required_for_email_magic_links", "pkce_required_for_oauth",
			"pkce_required_for_password_resets", "pkce_required_for_sso", "project_name", "rbac_policy", "request_id",
			"siwe_required_for_crypto_wallets", "slug_pattern", "status_code", "vertical",
		}
		if !slices.Equal(got, want) {
			t.Errorf("members %q, want %q", got, want)
		}
		// The SDK tells null from a missing object here.
		for _, name := range []string{"password_config", "rbac_policy", "cname_domain", "slug_pattern"} {
			if data[name] != nil {
				t.Errorf("%s is %v, want null", name, data[name])
			}
		}
		if domains, ok := data["email_domains"].([]any); !ok || len(domains) != 0 {
			t.Errorf("email_domains %v, want []", data["email_domains"])
		}
		if captcha := data["captcha_settings"].(object); captcha["enabled"] != false || data["vertical"] != "CONSUMER" {
			t.Errorf("captcha %v, vertical %v", captcha, data["vertical"])
		}
	}
	status, answer := send(t, p, sdkRequest(t, p, "GET", sdkBootstrapPath+"public-token-test-2", p.PublicToken(), nil))
	wantError(t, status, answer, 404, "public_token_not_found")
	if got, want := p.Calls(), (stytchtest.Calls{SDKBootstrap: 4}); got != want {
		t.Errorf("calls %+v, want %+v", got, want)
	}
}

func TestSDKEventsNeedNoCredentials(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	r := sdkRequest(t, p, "POST", sdkEventsPath, "", `[{"telemetry":{},"event":{}}]`)
	r.Header.Del("Authorization")
	status, answer := send(t, p, r)
	if data, _ := answer["data"].(object); status != 200 || data["status_code"] != 200.0 {
		t.Errorf("%d %v", status, answer)
	}
	if got, want := p.Calls(), (stytchtest.Calls{SDKEvents: 1}); got != want {
		t.Errorf("calls %+v, want %+v", got, want)
	}
}

func TestSDKRefusals(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	live, over := p.Login(stytchtest.Login{}), p.Login(stytchtest.Login{})
	organization := p.Login(stytchtest.Login{OrganizationID: "organization-test-1"})
	p.Revoke(over.ID)
	foreign := stytchtest.New(stytchtest.Options{}).PublicToken()
	for _, c := range []struct {
		name, method, path, public, password string
		body                                 any
		status                               int
		errorType                            string
	}{
		{"no session", "POST", sdkAuthenticatePath, p.PublicToken(), p.PublicToken(), object{}, 401, "user_unauthenticated"},
		{"no session to revoke", "POST", sdkRevokePath, p.PublicToken(), p.PublicToken(), nil, 401, "user_unauthenticated"},
		{"session over", "POST", sdkAuthenticatePath, p.PublicToken(), over.Tokens.SessionToken, object{}, 404, "session_not_found"},
		{"not a session token", "POST", sdkAuthenticatePath, p.PublicToken(), "garbage", object{}, 401, "unauthorized_credentials"},
		{"a JWT", "POST", sdkRevokePath, p.PublicToken(), live.Tokens.SessionJWT, nil, 401, "unauthorized_credentials"},
		{"another project", "POST", sdkAuthenticatePath, foreign, live.Tokens.SessionToken, object{}, 401, "unauthorized_credentials"},
		{"another project's bootstrap", "GET", sdkBootstrapPath + foreign, foreign, foreign, nil, 401, "unauthorized_credentials"},
		{"the API's secret", "POST", sdkRevokePath, p.ID(), p.Secret(), nil, 401, "unauthorized_credentials"},
		{"B2B session", "POST", sdkAuthenticatePath, p.PublicToken(), organization.Tokens.SessionToken, object{}, 400, "incompatible_session_type"},
		{"not JSON", "POST", sdkAuthenticatePath, p.PublicToken(), live.Tokens.SessionToken, "{", 400, "invalid_request_value"},
		{"duration", "POST", sdkAuthenticatePath, p.PublicToken(), live.Tokens.SessionToken, object{"session_duration_minutes": 4}, 400, "invalid_session_duration"},
		{"method", "GET", sdkAuthenticatePath, p.PublicToken(), live.Tokens.SessionToken, nil, 405, "method_not_allowed"},
		{"route", "POST", "/sdk/v1/users/me", p.PublicToken(), live.Tokens.SessionToken, nil, 404, "route_not_found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := sdkRequest(t, p, c.method, c.path, c.password, c.body)
			r.SetBasicAuth(c.public, c.password)
			status, answer := send(t, p, r)
			wantError(t, status, answer, c.status, c.errorType)
		})
	}
	r := sdkRequest(t, p, "POST", sdkAuthenticatePath, "", object{})
	r.Header.Del("Authorization")
	status, answer := send(t, p, r)
	wantError(t, status, answer, 401, "unauthorized_credentials")
	if _, ok := p.Session(live.ID); !ok {
		t.Error("a refused call ended a session")
	}
	// What the API takes the SDK's tokens are not, and the other way round.
	api := newRequest(t, p, "POST", authenticatePath, object{"session_token": live.Tokens.SessionToken})
	api.SetBasicAuth(p.PublicToken(), live.Tokens.SessionToken)
	status, answer = send(t, p, api)
	wantError(t, status, answer, 401, "invalid_project_id_authentication")
}

func TestSDKCORS(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	login := p.Login(stytchtest.Login{})
	serve := func(r *http.Request) *http.Response {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		return w.Result()
	}
	check := func(t *testing.T, res *http.Response) {
		t.Helper()
		if got := res.Header.Get("Access-Control-Allow-Origin"); got != appOrigin {
			t.Errorf("allowed origin %q, want %q", got, appOrigin)
		}
		if got := res.Header.Get("Access-Control-Allow-Credentials"); got != "true" {
			t.Errorf("credentials %q, want true", got)
		}
		if got := res.Header.Get("Vary"); got != "Origin" {
			t.Errorf("Vary %q", got)
		}
	}

	t.Run("preflight", func(t *testing.T) {
		p.FailAPI(stytchtest.Error(500, "internal_server_error"))
		defer p.FailAPI(nil)
		before := p.Calls()
		r := httptest.NewRequest("OPTIONS", sdkAuthenticatePath, nil)
		r.Header.Set("Origin", appOrigin)
		r.Header.Set("Access-Control-Request-Method", "POST")
		r.Header.Set("Access-Control-Request-Headers", "authorization,content-type,x-sdk-client,x-sdk-parent-host")
		res := serve(r)
		if res.StatusCode != 204 {
			t.Errorf("status %d, want 204", res.StatusCode)
		}
		check(t, res)
		if got := res.Header.Get("Access-Control-Allow-Headers"); got != "authorization, content-type, x-sdk-client, x-sdk-parent-host" {
			t.Errorf("allowed headers %q", got)
		}
		if got := res.Header.Get("Access-Control-Allow-Methods"); got != "GET, POST" {
			t.Errorf("allowed methods %q", got)
		}
		if p.Calls() != before {
			t.Errorf("the preflight request was counted: %+v", p.Calls())
		}
	})
	for _, c := range []struct {
		name   string
		fault  stytchtest.Fault
		status int
	}{
		{"answer", nil, 200},
		{"error", stytchtest.Error(401, "unauthorized_credentials"), 401},
		{"429", stytchtest.TooManyRequests("2"), 429},
		{"HTML", stytchtest.HTML(502), 502},
		{"truncated", stytchtest.Truncated(), 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.FailAPI(c.fault)
			defer p.FailAPI(nil)
			res := serve(sdkRequest(t, p, "POST", sdkAuthenticatePath, login.Tokens.SessionToken, object{}))
			if res.StatusCode != c.status {
				t.Errorf("status %d, want %d", res.StatusCode, c.status)
			}
			check(t, res)
		})
	}
	t.Run("no origin", func(t *testing.T) {
		r := sdkRequest(t, p, "POST", sdkAuthenticatePath, login.Tokens.SessionToken, object{})
		r.Header.Del("Origin")
		res := serve(r)
		if res.StatusCode != 200 || res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%d, allowed origin %q", res.StatusCode, res.Header.Get("Access-Control-Allow-Origin"))
		}
	})
	t.Run("the API has none", func(t *testing.T) {
		r := newRequest(t, p, "POST", authenticatePath, object{"session_token": login.Tokens.SessionToken})
		r.Header.Set("Origin", appOrigin)
		if res := serve(r); res.StatusCode != 200 || res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%d, allowed origin %q", res.StatusCode, res.Header.Get("Access-Control-Allow-Origin"))
		}
	})
}

func TestFaultsRewriteWhatTheSDKGets(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	login := p.Login(stytchtest.Login{})
	authenticate := func(f stytchtest.Fault) object {
		t.Helper()
		p.FailAPI(f)
		status, answer := send(t, p, sdkRequest(t, p, "POST", sdkAuthenticatePath, login.Tokens.SessionToken, object{}))
		if status != 200 {
			t.Fatal(status, answer)
		}
		data, _ := answer["data"].(object)
		return data
	}
	if id := authenticate(stytchtest.OtherUser())["user"].(object)["user_id"]; id == login.UserID {
		t.Error("the user is the same")
	}
	if jwt := authenticate(stytchtest.SessionJWT("other"))["session_jwt"]; jwt != "other" {
		t.Errorf("session_jwt %v", jwt)
	}
	touched := false
	authenticate(stytchtest.Rewrite(func(object) { touched = true }).Then(stytchtest.Reply(200, "application/json", `{"data":[]}`)))
	if touched {
		t.Error("an answer without an object was rewritten")
	}
}

func TestPublicTokens(t *testing.T) {
	a, b := stytchtest.New(stytchtest.Options{}), stytchtest.New(stytchtest.Options{})
	if a.PublicToken() == b.PublicToken() || !strings.HasPrefix(a.PublicToken(), "public-token-test-") {
		t.Errorf("public tokens %q and %q", a.PublicToken(), b.PublicToken())
	}
	// The SDK picks the host by this.
	live := stytchtest.New(stytchtest.Options{ProjectID: "project-live-1"})
	if !strings.HasPrefix(live.PublicToken(), "public-token-live-") {
		t.Errorf("public token %q of a live project", live.PublicToken())
	}
}

func TestSessionsAreTheLiveOnes(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	if got := p.Sessions(); len(got) != 0 {
		t.Fatal(got)
	}
	first, second, third := p.Login(stytchtest.Login{}), p.Login(stytchtest.Login{}), p.Login(stytchtest.Login{})
	p.AddFactor(first.ID, stytchtest.SMS())
	p.Revoke(second.ID)
	got := p.Sessions()
	if len(got) != 2 || got[0].ID() != third.ID || got[1].ID() != first.ID || got[1].NumFactors() != 2 {
		t.Errorf("sessions %v, want %s and %s", got, third.ID, first.ID)
	}
}
