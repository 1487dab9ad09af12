package stytchapi_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stytchware/stytchware/internal/stytchapi"
)

// Every error type of the wire contract with every status it might come with.
// The definitive list ends a session with any 4xx but 429, session_not_found
// with 404 alone; nothing else ever does.
func TestClass(t *testing.T) {
	definitive := []string{
		"session_not_found", "invalid_session_token", "unable_to_parse_session_jwt", "invalid_session_id", "jwt_invalid_audience",
		"jwt_invalid_claims", "jwt_invalid_issuer", "incompatible_session_type", "user_unauthenticated",
	}
	others := []string{
		"session_authorization_error", "session_authorization_tenancy_error", "insufficient_factors", "stale_factors",
		"unauthorized_credentials", "invalid_secret_authentication", "invalid_project_id_authentication", "project_not_found", "use_https",
		"no_session_arguments", "too_many_session_arguments", "invalid_session_duration", "custom_claims_too_large",
		"too_many_requests", "too_few_tokens_authenticated", "internal_server_error", "client_closed_request",
		"", "SESSION_NOT_FOUND", "session_not_found ", "session_not_found\n", "session-not-found", "ſession_not_found", "something_new",
	}
	statuses := []int{100, 101, 202, 204, 206, 299, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 408, 409, 410, 415, 422, 425, 429, 451, 499, 500, 501, 502, 503, 504, 599, 600, 999}
	expect := func(status int, isDefinitive, isNotFound bool) string {
		switch {
		case status < 400 || status > 499 || status == 429:
			return "now"
		case isDefinitive && (!isNotFound || status == 404):
			return "gone"
		case status == 408 || status == 425 || status == 499:
			return "now"
		}
		return "setup"
	}
	check := func(t *testing.T, status int, body, want string) {
		t.Helper()
		c, _ := client(transport(func(*http.Request) (*http.Response, error) { return reply(status, body), nil }))
		e := authenticate(c)
		if class(e) != want || e.Status != status {
			t.Errorf("authenticate: %v, want %s, status %d", e, want, status)
		}
		if (e.Class == stytchapi.Now) != (e.RetryAfter > 0) {
			t.Errorf("RetryAfter %v of %v", e.RetryAfter, e)
		}
		c, _ = client(transport(func(*http.Request) (*http.Response, error) { return reply(status, body), nil }))
		revoked := want
		if want == "gone" && !strings.Contains(body, `"incompatible_session_type"`) {
			revoked = "ok" // it is gone: that is what was asked for; of another kind it may live
		}
		if e := as(c.Revoke(context.Background(), byJWT)); class(e) != revoked {
			t.Errorf("revoke: %v, want %s", e, revoked)
		}
	}
	for _, status := range statuses {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, typ := range definitive {
					check(t, status, failure(status, typ), expect(status, true, typ == "session_not_found"))
				}
				for _, typ := range others {
					check(t, status, failure(status, typ), expect(status, false, false))
				}
				for _, body := range []string{ // which name no type
					"", "null", "[]", "{", "<!DOCTYPE html><html>session_not_found</html>", "session_not_found", `"session_not_found"`,
					failure(status, "session_not_found") + "x",
					`{"error_type":"x","error_type":"session_not_found"}`,
					`{"ERROR_TYPE":"session_not_found"}`, `{"error_type":["session_not_found"]}`, `{"error":{"error_type":"session_not_found"}}`,
					`{"error_message":"session_not_found"}`, "{\"error_type\":\"session_not_found\",\"x\":\"\xff\"}",
				} {
					check(t, status, body, expect(status, false, false))
				}
			})
		})
	}
}

func TestErrorFields(t *testing.T) {
	long := strings.Repeat("a", 100)
	for _, c := range []struct {
		status         int
		body           string
		wantType, want string
	}{
		{404, failure(404, "session_not_found"), "session_not_found", "stytchapi: gone: status 404, error_type session_not_found, request_id request-id-test-2"},
		{401, failure(401, "unauthorized_credentials"), "unauthorized_credentials", "stytchapi: setup: status 401, error_type unauthorized_credentials, request_id request-id-test-2"},
		{503, "<html>", "", "stytchapi: now: status 503"},
		{400, `{"error_type":"a\nb c\u00e9\"%s","request_id":"\u001b[31m:.-_Z"}`, "a-b-c----s", "stytchapi: setup: status 400, error_type a-b-c----s, request_id --31m:.-_Z"},
		{400, `{"error_type":"` + long + `","request_id":"` + long + `"}`, long[:64], "stytchapi: setup: status 400, error_type " + long[:64] + ", request_id " + long[:64]},
		// What we sent is not printed when it comes back, whole or cut.
		{400, `{"error_type":"` + token + `","request_id":"x-` + token + `"}`, "redacted", "stytchapi: setup: status 400, error_type redacted, request_id redacted"},
		{400, `{"error_type":"` + secret + `","request_id":"` + token[:20] + `"}`, "redacted", "stytchapi: setup: status 400, error_type redacted, request_id redacted"},
	} {
		cl, _ := client(transport(func(*http.Request) (*http.Response, error) { return reply(c.status, c.body), nil }))
		e := authenticate(cl)
		if e.Error() != c.want || e.Type != c.wantType {
			t.Errorf("%q, type %q\nwant %q, type %q", e.Error(), e.Type, c.want, c.wantType)
		}
	}
	if s := stytchapi.Class(9).String(); s != "unknown" {
		t.Error(s)
	}
	// Somebody else's Error is printed as carefully.
	e := &stytchapi.Error{Class: stytchapi.Now, Type: "a\nb", RequestID: "c d"}
	if e.Error() != "stytchapi: now: error_type a-b, request_id c-d" {
		t.Error(e)
	}
}
