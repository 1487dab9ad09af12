package stytchapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stytchware/stytchware/internal/stytchapi"
	"github.com/stytchware/stytchware/sessionctx"
)

var noon = time.Date(2021, 8, 9, 12, 0, 0, 0, time.UTC)

const documented = `{"status_code":200,"request_id":"request-id-test-1","session":{"session_id":"session-test-fe6c042b","user_id":"user-test-16d9ba61",
 "started_at":"2021-08-09T07:41:52Z","last_accessed_at":"2021-08-09T07:41:52Z","expires_at":"2021-08-10T07:41:52.123456789Z",
 "attributes":{"ip_address":"203.0.113.1","user_agent":"Mozilla/5.0"},
 "authentication_factors":[{"type":"magic_link","delivery_method":"email","email_factor":{"email_id":"email-test-1"},
   "last_authenticated_at":"2021-08-09T07:41:52Z","created_at":"2021-08-09T07:41:52Z","updated_at":"2021-08-09T07:41:52Z"}],
 "roles":["stytch_user"],"custom_claims":{"claim1":"value1"}},
 "session_token":"` + token + `","session_jwt":"` + aJWT + `","user":{"user_id":"user-test-16d9ba61","emails":[]}}`

func TestAnswer(t *testing.T) {
	a, err := stytchapi.ReadAnswer(documented, noon)
	if err != nil {
		t.Fatal(err)
	}
	s := a.Session
	if s.ID() != "session-test-fe6c042b" || s.UserID() != "user-test-16d9ba61" || a.UserID != s.UserID() ||
		a.SessionToken != token || a.SessionJWT != aJWT || s.Source() != sessionctx.Remote || !s.VerifiedAt().Equal(noon) ||
		!s.ExpiresAt().Equal(time.Date(2021, 8, 10, 7, 41, 52, 123456789, time.UTC)) || !s.StartedAt().Equal(time.Date(2021, 8, 9, 7, 41, 52, 0, time.UTC)) ||
		!s.HasRole("stytch_user") || s.CustomClaims() != `{"claim1":"value1"}` || s.NumFactors() != 1 || s.Factor(0).Class() != sessionctx.Account ||
		s.Attributes().IPAddress != "203.0.113.1" {
		t.Errorf("%+v", s.Data())
	}
}

// Sessions and tokens live in caches; they must not keep the whole body there.
func TestAnswerLetsGoOfTheBody(t *testing.T) {
	a, err := stytchapi.ReadAnswer(documented, noon)
	if err != nil {
		t.Fatal(err)
	}
	from := uintptr(unsafe.Pointer(unsafe.StringData(documented)))
	for _, s := range []string{a.SessionToken, a.SessionJWT, a.UserID, a.Session.ID(), a.Session.UserID(), a.Session.CustomClaims(), a.Session.Factor(0).Raw, a.Session.Roles()[0]} {
		if at := uintptr(unsafe.Pointer(unsafe.StringData(s))); from <= at && at < from+uintptr(len(documented)) {
			t.Errorf("%s is a part of the body", s)
		}
	}
}

func TestAnswerShapes(t *testing.T) {
	const ok = `{"session_id":"s","user_id":"u","expires_at":"2021-08-09T12:00:01Z"}`
	jwt := func(n int) string { return "e30.e30." + strings.Repeat("A", n-8) }
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, c := range []struct {
		in   string
		want bool
	}{
		{`{"session":` + ok + `}`, true},
		{` {"session":` + ok + `,"verdict":null,"x":[1]} `, true},
		{`{"session":` + ok + `,"session_token":null,"session_jwt":null,"user":null,"status_code":null}`, true},
		{`{"session":` + ok + `,"session_token":"","session_jwt":"","user":{}}`, true},
		{`{"session":` + ok + `,"user":{"user_id":"u"}}`, true},
		{`{"session":` + ok + `,"user":{"user_id":null}}`, true},
		{`{"session":` + ok + `,"user":{"user_id":"U"}}`, false},
		{`{"session":` + ok + `,"user":{"user_id":1}}`, false},
		{`{"session":` + ok + `,"user":"u"}`, false},
		{`{"session":` + ok + `,"status_code":200}`, true},
		{`{"session":` + ok + `,"status_code":201}`, true},
		{`{"session":` + ok + `,"status_code":404}`, false},
		{`{"session":` + ok + `,"status_code":2e2}`, false},

		{``, false}, {`null`, false}, {`[]`, false}, {`{}`, false}, {`"x"`, false}, {`{"session":null}`, false}, {`{"session":{}}`, false}, {`{"session":[]}`, false},
		{`{"session":` + ok + `}x`, false}, {`{"session":` + ok, false}, {`{"data":{"session":` + ok + `}}`, false},
		{`{"SESSION":` + ok + `}`, false}, {`{"ſession":` + ok + `}`, false}, {`{"member_session":` + ok + `}`, false},
		{`{"session":` + ok + `,"session":` + ok + `}`, false},
		{`{"session":` + ok + `,"x":{"y":1,"y":1}}`, false},
		{"{\"session\":" + ok + ",\"x\":\"\xff\"}", false},
		{`{"session":` + ok + `,"x":` + deep(31) + `}`, true},
		{`{"session":` + ok + `,"x":` + deep(32) + `}`, false},

		{`{"session":{"session_id":"","user_id":"u","expires_at":"2021-08-09T12:00:01Z"}}`, false},
		{`{"session":{"session_id":null,"user_id":"u","expires_at":"2021-08-09T12:00:01Z"}}`, false},
		{`{"session":{"session_id":7,"user_id":"u","expires_at":"2021-08-09T12:00:01Z"}}`, false},
		{`{"session":{"id":"s","user_id":"u","expires_at":"2021-08-09T12:00:01Z"}}`, false},
		{`{"session":{"member_session_id":"s","user_id":"u","expires_at":"2021-08-09T12:00:01Z"}}`, false},
		{`{"session":{"session_id":"s","expires_at":"2021-08-09T12:00:01Z"}}`, false},
		{`{"session":{"session_id":"s","user_id":"","expires_at":"2021-08-09T12:00:01Z"}}`, false},
		{`{"session":{"session_id":"s","user_id":null,"expires_at":"2021-08-09T12:00:01Z"}}`, false},
		{`{"session":{"session_id":"s","USER_ID":"u","expires_at":"2021-08-09T12:00:01Z"}}`, false},
		{`{"session":{"session_id":"s","member_id":"u","expires_at":"2021-08-09T12:00:01Z"}}`, false},
		{`{"session":{"session_id":"s","user_id":"u","member_id":"m","expires_at":"2021-08-09T12:00:01Z"}}`, false},
		{`{"session":{"session_id":"s","user_id":"u","member_id":null,"expires_at":"2021-08-09T12:00:01Z"}}`, true},
		{`{"session":{"session_id":"s","user_id":"u"}}`, false},
		{`{"session":{"session_id":"s","user_id":"u","expires_at":null}}`, false},
		{`{"session":{"session_id":"s","user_id":"u","expires_at":""}}`, false},
		{`{"session":{"session_id":"s","user_id":"u","expires_at":"soon"}}`, false},
		{`{"session":{"session_id":"s","user_id":"u","expires_at":1628510401}}`, false},
		{`{"session":{"session_id":"s","user_id":"u","expires_at":"2021-08-09T12:00:00Z"}}`, false}, // now is not the future
		{`{"session":{"session_id":"s","user_id":"u","expires_at":"2021-08-09T12:00:00.000000001Z"}}`, true},
		{`{"session":{"session_id":"s","user_id":"u","expires_at":"2021-08-09T13:59:59+02:00"}}`, false},
		{`{"session":{"session_id":"s","user_id":"u","expires_at":"2021-08-09T14:00:01+02:00"}}`, true},

		{`{"session":` + ok + `,"session_token":"` + strings.Repeat("a", 512) + `"}`, true},
		{`{"session":` + ok + `,"session_token":"` + strings.Repeat("a", 513) + `"}`, false},
		{`{"session":` + ok + `,"session_token":"azAZ09-_"}`, true},
		{`{"session":` + ok + `,"session_token":"a b"}`, false}, {`{"session":` + ok + `,"session_token":"a;b"}`, false},
		{`{"session":` + ok + `,"session_token":"a\r\nSet-Cookie: x"}`, false}, {`{"session":` + ok + `,"session_token":"a="}`, false},
		{`{"session":` + ok + `,"session_token":"é"}`, false}, {`{"session":` + ok + `,"session_token":"a.b.c"}`, false},
		{`{"session":` + ok + `,"session_token":1}`, false}, {`{"session":` + ok + `,"session_token":{}}`, false},

		{`{"session":` + ok + `,"session_jwt":"a.b.c"}`, true},
		{`{"session":` + ok + `,"session_jwt":"` + jwt(16<<10) + `"}`, true},
		{`{"session":` + ok + `,"session_jwt":"` + jwt(16<<10+1) + `"}`, false},
		{`{"session":` + ok + `,"session_jwt":"a.b"}`, false}, {`{"session":` + ok + `,"session_jwt":"a.b.c.d"}`, false},
		{`{"session":` + ok + `,"session_jwt":"a..c"}`, false}, {`{"session":` + ok + `,"session_jwt":"a.b."}`, false},
		{`{"session":` + ok + `,"session_jwt":".b.c"}`, false}, {`{"session":` + ok + `,"session_jwt":"a.b.c="}`, false},
		{`{"session":` + ok + `,"session_jwt":"a.b+.c"}`, false}, {`{"session":` + ok + `,"session_jwt":"a.b.c\n"}`, false},
		{`{"session":` + ok + `,"session_jwt":"abc"}`, false}, {`{"session":` + ok + `,"session_jwt":1}`, false},
	} {
		a, err := stytchapi.ReadAnswer(c.in, noon)
		if (err == nil) != c.want || (a == nil) == c.want {
			t.Errorf("%.200s\n%v, want accepted %v", c.in, err, c.want)
		}
		// Over a client every refused one is about now, with its request id.
		if !c.want && strings.HasPrefix(c.in, `{"session"`) {
			cl, _ := client(transport(func(*http.Request) (*http.Response, error) { return reply(200, c.in), nil }))
			if e := authenticate(cl); class(e) != "now" || e.Status != 200 {
				t.Errorf("%.200s\n%v", c.in, e)
			}
		}
	}
}

func TestSenseless(t *testing.T) {
	future := time.Now().Add(time.Hour).Format(time.RFC3339)
	for _, c := range []struct{ body, want string }{
		{`{"request_id":"r-1"}`, "stytchapi: now: the answer makes no sense: answer without a session, status 200, request_id r-1"},
		{`{"session":{"session_id":"s","user_id":"u","expires_at":"2001-01-01T00:00:00Z"}}`, "stytchapi: now: the answer makes no sense: session not in the future, status 200"},
		{`{"session":{"session_id":"s","user_id":"u","expires_at":"` + future + `"},"user":{"user_id":"other"}}`, "stytchapi: now: the answer makes no sense: session and user object disagree, status 200"},
		{"<html>", "stytchapi: now: the answer makes no sense: not the JSON of an answer, status 200"},
	} {
		cl, j := client(transport(func(*http.Request) (*http.Response, error) { return reply(200, c.body), nil }))
		if e := authenticate(cl); e.Error() != c.want {
			t.Errorf("%s, want %s", e, c.want)
		}
		if j.lines("WARN") != 1 {
			t.Errorf("logged %s", j)
		}
	}
}

func TestRevoked(t *testing.T) {
	for _, c := range []struct {
		status     int
		body, want string
	}{
		{200, `{"status_code":200,"request_id":"r"}`, "ok"}, {201, `{}`, "ok"},
		{200, ``, "now"}, {200, `<html>Log in to this network</html>`, "now"}, {200, `[]`, "now"}, {200, `null`, "now"}, {200, `{"status_code":500}`, "now"},
		{204, ``, "now"},
	} {
		cl, _ := client(transport(func(*http.Request) (*http.Response, error) { return reply(c.status, c.body), nil }))
		if e := as(cl.Revoke(context.Background(), byToken)); class(e) != c.want {
			t.Errorf("%d %s: %v, want %s", c.status, c.body, e, c.want)
		}
	}
}

// The decoder never panics, and what it accepts another decoder reads alike.
func FuzzAnswer(f *testing.F) {
	f.Add(documented)
	f.Add(`{"session":{"session_id":"s","user_id":"u","expires_at":"2021-08-09T12:00:01Z"}}`)
	f.Add(`{"session":{"session_id":"\u0073","user_id":"u","member_session_id":"m","member_id":null,"SESSION_ID":"x","expires_at":"2099-01-01T00:00:00Z"},"user":{"user_id":""}}`)
	f.Add(`{"session":{"session_id":"s","user_id":"u","expires_at":"2099-01-01T00:00:00Z","custom_claims":{"a":1},"roles":null},"session_token":"t","session_jwt":"a.b.c"}`)
	f.Fuzz(func(t *testing.T, body string) {
		a, err := stytchapi.ReadAnswer(body, noon)
		if err != nil {
			if a != nil {
				t.Fatal("an answer and an error")
			}
			return
		}
		// Maps, because encoding/json finds struct fields in any case.
		var top, session, user map[string]json.RawMessage
		text := func(m map[string]json.RawMessage, name string) string {
			var s string
			if raw, ok := m[name]; ok {
				if err := json.Unmarshal(raw, &s); err != nil {
					t.Fatalf("%s: %v in %s", name, err, body)
				}
			}
			return s
		}
		if err := json.Unmarshal([]byte(body), &top); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(top["session"], &session); err != nil {
			t.Fatal(err)
		}
		if raw, ok := top["user"]; ok {
			if err := json.Unmarshal(raw, &user); err != nil {
				t.Fatal(err)
			}
		}
		expires, err := time.Parse(time.RFC3339, text(session, "expires_at"))
		if err != nil || !a.Session.ExpiresAt().Equal(expires) || !expires.After(noon) {
			t.Errorf("expires %v, read %v, %v", expires, a.Session.ExpiresAt(), err)
		}
		got := fmt.Sprintf("%q", []string{a.Session.ID(), a.Session.UserID(), a.UserID, a.SessionToken, a.SessionJWT})
		same := fmt.Sprintf("%q", []string{text(session, "session_id"), text(session, "user_id"), text(user, "user_id"), text(top, "session_token"), text(top, "session_jwt")})
		if got != same {
			t.Errorf("read %s, encoding/json reads %s", got, same)
		}
		if a.Session.ID() == "" || a.Session.UserID() == "" || a.UserID != "" && a.UserID != a.Session.UserID() {
			t.Errorf("accepted %s", got)
		}
	})
}
