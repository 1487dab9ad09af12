package demotest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stytchware/stytchware/stytchtest"
)

func routing(t *testing.T, routes Routes) {
	b := start(t, routes, nil).browser()
	for _, test := range []struct {
		method, target string
		want           int
	}{
		{"GET", "/", 200},
		{"HEAD", "/", 200},
		{"POST", "/", 405},
		{"GET", "/nothing", 404},
		{"POST", "/nothing", 404},
		{"GET", "/api/", 404},
		{"GET", "/api/session/", 404},
		{"GET", "/api/optional", 200},
		{"POST", "/api/optional", 405},
		{"GET", "/api/session", 401},
		{"POST", "/api/session", 405},
		{"GET", "/api/mfa", 401},
		{"DELETE", "/api/mfa", 405},
		{"GET", "/api/recent", 401},
		{"PUT", "/api/recent", 405},
		{"GET", "/api/fresh", 401},
		{"POST", "/api/fresh", 405},
		{"GET", "/api/events", 401},
		{"HEAD", "/api/events", 401},
		{"POST", "/api/events", 405},
		{"GET", "/api/hydrate", 405},
		{"GET", "/api/refresh", 405},
		{"GET", "/api/logout", 405},
		{"POST", "/api/refresh", 401},
		{"POST", "/api/logout", 204},
		{"GET", "/debug/vars", 200},
		{"POST", "/debug/vars", 405},
		{"GET", "/assets/page.css", 200},
		{"POST", "/assets/page.css", 405},
		{"GET", "/assets/page.html", 404},
		{"GET", "/assets/", 404},
		{"GET", "/demo/state", 200},
		{"POST", "/demo/state", 405},
		{"GET", "/demo/nothing", 404},
	} {
		a := b.do(test.method, test.target, "")
		if a.Status != test.want {
			t.Errorf("%s %s: got %d, want %d", test.method, test.target, a.Status, test.want)
		}
		if a.Status == http.StatusMethodNotAllowed && a.Header.Get("Allow") == "" {
			t.Errorf("%s %s: 405 without Allow", test.method, test.target)
		}
	}
}

func logIn(t *testing.T, routes Routes) {
	b := start(t, routes, nil).browser()
	if got := b.do("GET", "/api/optional", "").state(); got != "anonymous" {
		t.Fatalf("before the login: %q", got)
	}
	b.do("GET", "/api/session", "").problem(http.StatusUnauthorized)
	b.do("POST", "/demo/login", `{"email":"not one"}`).problem(http.StatusBadRequest)
	b.do("POST", "/demo/login", `{"email":7}`).problem(http.StatusBadRequest)

	b.logIn("ada@example.com")
	if letters := b.inbox().Inbox; len(letters) != 0 {
		t.Errorf("the inbox keeps the link that was used: %+v", letters)
	}
	s := b.do("GET", "/api/session", "").session()
	if !*s.FromCache || len(s.Factors) != 1 || s.Factors[0]["class"] != "account" || s.Factors[0]["delivery_method"] != "email" {
		t.Fatalf("after the login: %+v", s)
	}
	calls := b.project.Calls().Authenticate
	if got := b.do("GET", "/api/optional", "").session(); got.SessionID != s.SessionID {
		t.Errorf("optional shows session %q, want %q", got.SessionID, s.SessionID)
	}
	if b.project.Calls().Authenticate != calls {
		t.Error("a second request with a good JWT asked Stytch")
	}

	a := b.do("GET", "/api/mfa", "").problem(http.StatusUnauthorized)
	if got := a.Header.Get("WWW-Authenticate"); !strings.Contains(got, `error="insufficient_user_authentication"`) {
		t.Errorf("one factor, MFA wanted: WWW-Authenticate is %q", got)
	}
	a = b.do("GET", "/api/recent", "").problem(http.StatusUnauthorized)
	if got := a.Header.Get("WWW-Authenticate"); !strings.Contains(got, "max_age") || !strings.Contains(got, "60") {
		t.Errorf("recent MFA wanted: WWW-Authenticate is %q", got)
	}

	b.do("POST", "/demo/step-up", `{"phone_number":"no number"}`).problem(http.StatusBadRequest)
	b.do("POST", "/demo/step-up", `{"phone_number":{}}`).problem(http.StatusBadRequest)
	var sent struct {
		PhoneID string `json:"phone_id"`
	}
	decode(t, b.do("POST", "/demo/step-up", `{"phone_number":"+12025550123"}`).want(http.StatusAccepted).Body, &sent)
	text := b.inbox().Inbox[0]
	if text.To != "+12025550123" || len(text.Code) != 6 || text.Token != "" || !text.At.Equal(time.Now().UTC()) {
		t.Fatalf("the text is %+v", text)
	}
	wrong := "000000"
	if wrong == text.Code {
		wrong = "000001"
	}
	verify := func(code string) *answer {
		return b.do("POST", "/demo/step-up/verify", `{"phone_id":"`+sent.PhoneID+`","code":"`+code+`"}`)
	}
	verify(wrong).problem(http.StatusBadRequest)
	b.do("POST", "/demo/step-up/verify", `{"phone_id":"x","code":1}`).problem(http.StatusBadRequest)
	b.do("POST", "/demo/step-up/verify", `{"phone_id":1,"code":"x"}`).problem(http.StatusBadRequest)
	b.do("GET", "/api/mfa", "").want(http.StatusUnauthorized)
	advance(3 * time.Second) // past the re-check that serves requests for a moment

	if got := verify(text.Code).session(); got.SessionID != s.SessionID || len(got.Factors) != 2 || *got.FromCache {
		t.Errorf("after the step-up: %+v", got)
	}
	for _, path := range []string{"/api/mfa", "/api/recent"} {
		got := b.do("GET", path, "").session()
		if got.Factors[1]["class"] != "phone" || !*got.FromCache {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if got := b.do("GET", "/api/fresh", "").session(); *got.FromCache {
		t.Error("/api/fresh did not ask Stytch")
	}

	advance(61 * time.Second)
	b.do("GET", "/api/mfa", "").session()
	b.do("GET", "/api/recent", "").problem(http.StatusUnauthorized)

	b.do("POST", "/api/logout", "").want(http.StatusNoContent)
	b.do("GET", "/api/session", "").problem(http.StatusUnauthorized)
	if got := b.do("GET", "/api/optional", "").state(); got != "anonymous" {
		t.Errorf("after the logout: %q", got)
	}
	if _, live := b.project.Session(s.SessionID); live {
		t.Error("the logout did not reach Stytch")
	}
}

func linkRefused(t *testing.T, routes Routes) {
	b := start(t, routes, nil).browser()
	b.do("POST", "/demo/login", `{"email":"ada@example.com"}`).want(http.StatusAccepted)
	link := "/demo/authenticate?" + url.Values{"token": {b.inbox().Inbox[0].Token}, "return_to": {"/api/mfa"}}.Encode()

	at := func(a *answer) string { return a.want(http.StatusSeeOther).Header.Get("Location") }
	b.do("POST", "/demo/outage", `{"unavailable":true}`).want(http.StatusNoContent)
	b.do("POST", "/demo/login", `{"email":"ada@example.com"}`).problem(http.StatusServiceUnavailable)
	if got, want := at(b.do("GET", link, "")), "/?link=later&return_to=%2Fapi%2Fmfa"; got != want {
		t.Errorf("during an outage: sent to %q, want %q", got, want)
	}
	b.do("POST", "/demo/outage", `{"unavailable":false}`).want(http.StatusNoContent)
	advance(5 * time.Second) // past the pauses after failures

	a := b.do("GET", link, "")
	if got := at(a); got != "/api/mfa" {
		t.Errorf("the link led to %q, want /api/mfa", got)
	}
	if a.Header.Get("Referrer-Policy") != "no-referrer" || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the token's URL may travel: %v", a.Header)
	}
	b.do("GET", "/api/session", "").session()

	if got, want := at(b.do("GET", link, "")), "/?link=dead&return_to=%2Fapi%2Fmfa"; got != want {
		t.Errorf("used twice: sent to %q, want %q", got, want)
	}
	if got, want := at(b.do("GET", "/demo/authenticate?token=x&return_to=//evil.example", "")), "/?link=dead"; got != want {
		t.Errorf("with a foreign return_to: sent to %q, want %q", got, want)
	}
	for _, mark := range []string{"dead", "later"} {
		if body := b.do("GET", "/?link="+mark, "").want(http.StatusOK).Body; !strings.Contains(body, `role="alert"`) {
			t.Errorf("the page does not say that the link is %s", mark)
		}
	}
}

func sessionFields(t *testing.T, routes Routes) {
	b := start(t, routes, nil).browser()
	odd := stytchtest.SMS()
	odd.Members = map[string]any{"last_authenticated_at": "2026-01-02T03:04:05.1200+01:00"}
	missing := stytchtest.TOTP()
	missing.Members = map[string]any{"last_authenticated_at": nil}
	number := stytchtest.Unknown("new_thing", "by_pigeon")
	number.Members = map[string]any{"last_authenticated_at": 5}
	login := b.project.Login(stytchtest.Login{
		Factors:      []stytchtest.Factor{odd, missing, number},
		CustomClaims: map[string]any{"big": 9007199254740993, "html": "<b>&"},
		Roles:        []string{"stytch_user", "admin"},
		Duration:     90 * time.Minute,
	})
	expires := time.Now().Add(90 * time.Minute).UTC().Format(time.RFC3339)
	for _, a := range []func() *answer{
		func() *answer { b.take(login); return b.do("GET", "/api/session", "") },
		func() *answer { return b.do("GET", "/api/fresh", "") },
	} {
		a := a()
		s := a.session()
		var got []string
		for _, f := range s.Factors {
			for _, name := range []string{"type", "delivery_method", "last_authenticated_at", "class"} {
				text, ok := f[name].(string)
				if !ok || len(f) != 4 {
					t.Fatalf("factor %v", f)
				}
				got = append(got, text)
			}
		}
		want := []string{
			"otp", "sms", "2026-01-02T03:04:05.1200+01:00", "phone",
			"totp", "authenticator_app", "", "device",
			"new_thing", "by_pigeon", "", "none",
		}
		if !slices.Equal(got, want) {
			t.Errorf("factors\n got %q\nwant %q", got, want)
		}
		if s.ExpiresAt != expires || !slices.Equal(s.Roles, []string{"stytch_user", "admin"}) || s.UserID != login.UserID || s.SessionID != login.ID {
			t.Errorf("got %+v", s)
		}
		if at, err := time.Parse(time.RFC3339, s.VerifiedAt); err != nil || !strings.HasSuffix(s.VerifiedAt, "Z") || time.Since(at) > time.Second || time.Since(at) < 0 {
			t.Errorf("verified_at is %q at %v", s.VerifiedAt, time.Now().UTC())
		}
		if !strings.Contains(a.Body, `"big":9007199254740993`) || s.CustomClaims["html"] != "<b>&" {
			t.Errorf("custom claims in %s", a.Body)
		}
	}

	b.take(b.project.Login(stytchtest.Login{Factors: []stytchtest.Factor{}, Roles: []string{}}))
	for _, path := range []string{"/api/session", "/api/fresh"} {
		body := b.do("GET", path, "").want(http.StatusOK).Body
		for _, part := range []string{`"factors":[]`, `"roles":[]`, `"custom_claims":{}`} {
			if !strings.Contains(body, part) {
				t.Errorf("%s: no %s in %s", path, part, body)
			}
		}
	}
}

func optional(t *testing.T, routes Routes) {
	w := start(t, routes, map[string]string{"OPAQUE_TTL": "0"})
	b := w.browser()
	token := w.project.Login(stytchtest.Login{}).Tokens.SessionToken
	bearer := func() *answer { return b.do("GET", "/api/optional", "", "Authorization", "Bearer "+token) }
	if got := bearer().session(); *got.FromCache {
		t.Error("an opaque token without a cache was decided locally")
	}
	b.do("POST", "/demo/outage", `{"unavailable":true}`).want(http.StatusNoContent)
	if a := bearer(); strings.TrimSpace(a.Body) != `{"state":"unavailable"}` || a.Status != http.StatusOK {
		t.Errorf("during an outage: %d %s", a.Status, a.Body)
	}
	a := b.do("GET", "/api/session", "", "Authorization", "Bearer "+token).problem(http.StatusServiceUnavailable)
	if a.Header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	for _, header := range [][]string{nil, {"Authorization", "Bearer "}, {"Authorization", "Bearer a.b.c"}} {
		if a := b.do("GET", "/api/optional", "", header...); strings.TrimSpace(a.Body) != `{"state":"anonymous"}` || a.Status != http.StatusOK {
			t.Errorf("%v: %d %s", header, a.Status, a.Body)
		}
	}
}

func pageLoads(t *testing.T, routes Routes) {
	b := start(t, routes, nil).browser()
	document := []string{"Sec-Fetch-Dest", "document", "Sec-Fetch-Mode", "navigate", "Accept", "text/html"}
	check := func(path string) {
		t.Helper()
		a := b.do("GET", path, "", document...).want(http.StatusSeeOther)
		to, err := url.Parse(a.Header.Get("Location"))
		if err != nil || to.Host != "" || to.Path != "/" || to.Query().Get("return_to") != path {
			t.Fatalf("%s: sent to %q", path, a.Header.Get("Location"))
		}
		body := b.do("GET", to.String(), "", document...).want(http.StatusOK).Body
		if !strings.Contains(body, `data-return-to="`+path+`"`) || !strings.Contains(body, `id="sent"`) {
			t.Errorf("%s: the page does not know where the person came from", path)
		}
	}
	check("/api/session")
	b.take(b.project.Login(stytchtest.Login{}))
	check("/api/mfa")
	check("/api/recent")
	b.do("GET", "/api/session", "", document...).session()

	if body := b.do("GET", "/?return_to=https://evil.example/", "").want(http.StatusOK).Body; strings.Contains(body, "evil") || strings.Contains(body, `id="sent"`) {
		t.Error("the page took a foreign return_to")
	}
}

func hydrate(t *testing.T, routes Routes) {
	w := start(t, routes, nil)
	alice, bob := w.project.Login(stytchtest.Login{}), w.project.Login(stytchtest.Login{})
	token, jwt := alice.Tokens.SessionToken, alice.Tokens.SessionJWT
	stale := w.project.MintJWT(alice.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-10 * time.Minute)})
	pair := `{"session_token":"` + token + `","session_jwt":"` + jwt + `"}`
	for _, test := range []struct {
		name, body, media string
		want              int
	}{
		{"pair", pair, "application/json", 200},
		{"charset", pair, "application/json; charset=utf-8", 200},
		{"unknown member", `{"extra":[1],` + pair[1:], "application/json", 200},
		{"token", `{"session_token":"` + token + `"}`, "application/json", 200},
		{"token and null", `{"session_token":"` + token + `","session_jwt":null}`, "application/json", 200},
		{"JWT", `{"session_jwt":"` + jwt + `"}`, "application/json", 200},
		{"stale JWT", `{"session_jwt":"` + stale + `"}`, "application/json", 200},
		{"unknown token", `{"session_token":"59cnLELtq5cFVS6uYK9f-pAWzBkhqZl8AvLhbhOvKNWw"}`, "application/json", 401},
		{"two users", `{"session_token":"` + token + `","session_jwt":"` + bob.Tokens.SessionJWT + `"}`, "application/json", 401},
		{"forged JWT", `{"session_jwt":"` + w.project.MintJWT(alice.ID, stytchtest.Mint{Forged: true}) + `"}`, "application/json", 401},
		{"form", "session_token=" + token, "application/x-www-form-urlencoded", 400},
		{"text", pair, "text/plain", 400},
		{"no media type", pair, "", 400},
		{"empty body", "", "application/json", 400},
		{"no token", `{}`, "application/json", 400},
		{"empty tokens", `{"session_token":"","session_jwt":""}`, "application/json", 400},
		{"wrong type", `{"session_token":1}`, "application/json", 400},
		{"wrong type of the JWT", `{"session_token":"` + token + `","session_jwt":[]}`, "application/json", 400},
		{"other case", `{"Session_Token":"` + token + `"}`, "application/json", 400},
		{"twice", `{"session_token":"` + token + `","session_token":"x"}`, "application/json", 400},
		{"trailing", pair + pair, "application/json", 400},
		{"broken", pair[:20], "application/json", 400},
		{"array", `[` + pair + `]`, "application/json", 400},
		{"too large", `{"x":"` + strings.Repeat("x", 64<<10) + `",` + pair[1:], "application/json", 400},
	} {
		b := w.browser()
		calls := w.project.Calls().Authenticate
		a := b.do("POST", "/api/hydrate", test.body, "Content-Type", test.media)
		if a.Status != test.want {
			t.Errorf("%s: got %d %s, want %d", test.name, a.Status, a.Body, test.want)
			continue
		}
		if test.want == 200 {
			if s := a.session(); s.SessionID != alice.ID || *s.FromCache {
				t.Errorf("%s: %+v", test.name, s)
			}
			if got := b.do("GET", "/api/session", "").session(); !*got.FromCache || got.SessionID != alice.ID || b.cookie("stytch_session") != token || b.cookie("stytch_session_jwt") == "" {
				t.Errorf("%s: the cookies do not carry the session: %+v", test.name, got)
			}
			continue
		}
		a.problem(test.want)
		if strings.Contains(a.Body, token) || strings.Contains(a.Body, "eyJ") {
			t.Errorf("%s: the answer repeats a token", test.name)
		}
		if b.cookie("stytch_session") != "" || b.cookie("stytch_session_jwt") != "" {
			t.Errorf("%s: cookies were set", test.name)
		}
		if test.want == 400 && w.project.Calls().Authenticate != calls {
			t.Errorf("%s: Stytch was asked", test.name)
		}
	}

	b := w.browser()
	b.do("POST", "/demo/outage", `{"unavailable":true}`).want(http.StatusNoContent)
	b.do("POST", "/api/hydrate", pair).problem(http.StatusServiceUnavailable)
}

func refresh(t *testing.T, routes Routes) {
	w := start(t, routes, nil)
	b := w.browser()
	login := w.project.Login(stytchtest.Login{Duration: 30 * time.Minute})
	until := time.Now().Add(30 * time.Minute).UTC()
	b.take(login)

	for _, body := range []string{
		`{"session_duration_minutes":4}`, `{"session_duration_minutes":527041}`, `{"session_duration_minutes":-60}`,
		`{"session_duration_minutes":60.5}`, `{"session_duration_minutes":"60"}`, `{"session_duration_minutes":null}`, `{"session_duration_minutes":true}`,
		`{"session_duration_minutes":1e999}`, `{"session_duration_minutes":60,"session_duration_minutes":60}`,
		`{"session_duration_minutes":60}x`, `{`, `[]`, `60`, `null`,
	} {
		calls := w.project.Calls().Authenticate
		b.do("POST", "/api/refresh", body).problem(http.StatusBadRequest)
		// A credential that Stytch alone can judge must not be sent there either.
		b.do("POST", "/api/refresh", body, "Authorization", "Bearer "+login.Tokens.SessionToken).problem(http.StatusBadRequest)
		if w.project.Calls().Authenticate != calls {
			t.Errorf("%s: Stytch was asked", body)
		}
	}
	for _, test := range []struct {
		body string
		want time.Duration // from now; 0 for not extended
	}{
		{``, 0},
		{` `, 0},
		{`{}`, 0},
		{`{"other":1}`, 0},
		{`{"session_duration_minutes":5}`, 5 * time.Minute},
		{`{"session_duration_minutes":60}`, time.Hour},
		{`{"session_duration_minutes":527040}`, 527040 * time.Minute},
	} {
		advance(2 * time.Second)
		if test.want != 0 {
			until = time.Now().Add(test.want).UTC()
		}
		before := b.cookie("stytch_session_jwt")
		calls := w.project.Calls().Authenticate
		s := b.do("POST", "/api/refresh", test.body).session()
		if at, err := time.Parse(time.RFC3339, s.ExpiresAt); err != nil || !at.Equal(until) {
			t.Errorf("%q: expires at %s, want %v", test.body, s.ExpiresAt, until)
		}
		if *s.FromCache || w.project.Calls().Authenticate != calls+1 {
			t.Errorf("%q: %d calls, from_cache %v", test.body, w.project.Calls().Authenticate-calls, *s.FromCache)
		}
		if b.cookie("stytch_session_jwt") == before {
			t.Errorf("%q: no new JWT cookie", test.body)
		}
	}

	a := b.do("POST", "/api/refresh", "", "Authorization", "Bearer "+login.Tokens.SessionToken)
	if s := a.session(); s.SessionID != login.ID || a.Header.Get("Set-Cookie") != "" {
		t.Errorf("by bearer: %+v, %v", s, a.Header)
	}
	w.browser().do("POST", "/api/refresh", "").problem(http.StatusUnauthorized)

	b.do("POST", "/demo/outage", `{"unavailable":true}`).want(http.StatusNoContent)
	b.do("POST", "/api/refresh", "").problem(http.StatusServiceUnavailable)
	if b.cookie("stytch_session") == "" {
		t.Error("an outage cost the cookies")
	}
	b.do("POST", "/demo/outage", `{"unavailable":false}`).want(http.StatusNoContent)
	advance(5 * time.Second)
	w.project.Revoke(login.ID)
	b.do("POST", "/api/refresh", "").problem(http.StatusUnauthorized)
	if b.cookie("stytch_session") != "" {
		t.Error("the cookies of a revoked session stayed")
	}
}

func logout(t *testing.T, routes Routes) {
	w := start(t, routes, nil)
	w.browser().do("POST", "/api/logout", "").want(http.StatusNoContent) // nobody is logged in

	login := w.project.Login(stytchtest.Login{})
	b := w.browser()
	b.take(login)
	a := b.do("POST", "/api/logout", "", "Sec-Fetch-Site", "cross-site").problem(http.StatusForbidden)
	if a.Header.Get("Set-Cookie") != "" || w.project.Calls().Revoke != 0 {
		t.Errorf("another site logged the person out: %v", a.Header)
	}

	jwt := b.cookie("stytch_session_jwt")
	b.do("POST", "/demo/outage", `{"unavailable":true}`).want(http.StatusNoContent)
	if a := b.do("POST", "/api/logout", "").want(http.StatusNoContent); a.Header.Get("Cache-Control") != "no-store" || a.Body != "" {
		t.Errorf("logged out during an outage: %v %q", a.Header, a.Body)
	}
	if b.cookie("stytch_session") != "" || b.cookie("stytch_session_jwt") != "" {
		t.Error("the cookies stayed")
	}
	// Whoever kept the JWT gets nowhere with it on this process.
	b.do("GET", "/api/session", "", "Authorization", "Bearer "+jwt).problem(http.StatusUnauthorized)
}
