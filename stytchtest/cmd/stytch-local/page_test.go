package main

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stytchware/stytchware/sessionctx"
)

// page returns the page.
func (s *started) page(t *testing.T) string {
	t.Helper()
	res, err := s.client.Get(s.env["STYTCH_BASE_URL"] + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 200 || res.Header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(res.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Fatalf("page: %d, %v", res.StatusCode, res.Header)
	}
	return html.UnescapeString(string(b))
}

// send presses a button of the page and returns the answer's status and body.
func (s *started) send(t *testing.T, path, form string, change func(*http.Request)) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", s.env["STYTCH_BASE_URL"]+"/local/"+path, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if change != nil {
		change(r)
	}
	client := *s.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// post is send for what must succeed.
func (s *started) post(t *testing.T, path, form string) {
	t.Helper()
	if status, body := s.send(t, path, form, nil); status != http.StatusSeeOther {
		t.Fatalf("%s %s: %d %s", path, form, status, body)
	}
}

var tokens = regexp.MustCompile(`(?s)<h3>Tokens of (\S+)</h3>.*<pre id="token">(\S+)</pre>.*<pre id="jwt">(\S+)</pre>`)

// login logs in on the page and returns the session id and the tokens shown.
func (s *started) login(t *testing.T, form string) (id, token, jwt string) {
	t.Helper()
	s.post(t, "login", form)
	m := tokens.FindStringSubmatch(s.page(t))
	if m == nil {
		t.Fatal("the page shows no tokens")
	}
	return m[1], m[2], m[3]
}

func TestLoggingIn(t *testing.T) {
	s := start(t)
	form := url.Values{
		"factor": {"email", "totp"}, "minutes": {"90"}, "user_id": {"user-test-ada"}, "claims": {`{"plan":"pro"}`},
	}
	id, token, jwt := s.login(t, form.Encode())
	for kind, credential := range map[string]string{"token": token, "JWT": jwt} {
		session, status := s.authenticated(t, credential)
		if status != 200 {
			t.Fatalf("%s: status %d", kind, status)
		}
		if session.ID() != id || session.UserID() != "user-test-ada" || session.NumFactors() != 2 || session.Factor(1).Class() != sessionctx.Device {
			t.Errorf("%s: session %v of %v with %d factors", kind, session.ID(), session.UserID(), session.NumFactors())
		}
		if session.CustomClaims() != `{"plan":"pro"}` {
			t.Errorf("%s: claims %s", kind, session.CustomClaims())
		}
		if minutes := session.ExpiresAt().Sub(session.StartedAt()).Minutes(); minutes != 90 {
			t.Errorf("%s: %v minutes", kind, minutes)
		}
	}
	if page := s.page(t); !strings.Contains(page, `<p class="mono">`+id+"</p>") || !strings.Contains(page, "totp by authenticator_app (device)") {
		t.Error("the session is not listed")
	}
	if _, token, _ := s.login(t, "minutes=5"); token == "" {
		t.Error("no token")
	} else if session, _ := s.authenticated(t, token); session.NumFactors() != 0 {
		t.Error("no factor was chosen, but there is one")
	}
}

func TestEachFactorOfThePage(t *testing.T) {
	s := start(t)
	page := s.page(t)
	for _, c := range factorChoices {
		if !strings.Contains(page, `name="factor" value="`+c.Name+`"`) {
			t.Errorf("%s is not on the page", c.Name)
		}
		f, ok := factor(c.Name)
		if !ok {
			t.Fatalf("%s is no factor", c.Name)
		}
		id, token, _ := s.login(t, "minutes=5&factor="+c.Name)
		session, _ := s.authenticated(t, token)
		if session.ID() != id || session.NumFactors() != 1 || session.Factor(0).DeliveryMethod != f.DeliveryMethod {
			t.Errorf("%s: factors %v", c.Name, session.Factors())
		}
	}
}

func TestChangingSessions(t *testing.T) {
	s := start(t)
	id, token, _ := s.login(t, "minutes=60&factor=email")
	s.post(t, "step-up", "factor=sms&session_id="+id)
	if session, _ := s.authenticated(t, token); session.NumFactors() != 2 {
		t.Errorf("%d factors after the step-up", session.NumFactors())
	}
	for _, how := range []string{"revoke", "expire"} {
		id, token, _ := s.login(t, "minutes=60")
		s.post(t, how, "session_id="+id)
		if _, status := s.authenticated(t, token); status != 401 {
			t.Errorf("%s: status %d, want 401", how, status)
		}
		if strings.Contains(s.page(t), `<p class="mono">`+id+"</p>") {
			t.Errorf("%s: still listed", how)
		}
	}
	if _, status := s.authenticated(t, token); status != 200 {
		t.Errorf("another session: status %d, want 200", status)
	}
}

func TestTheInboxShowsWhatWasSent(t *testing.T) {
	s := start(t)
	call := func(path string, body any) map[string]any {
		t.Helper()
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.env["STYTCH_BASE_URL"]+path, strings.NewReader(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(s.env["STYTCH_PROJECT_ID"], s.env["STYTCH_SECRET"])
		r.Header.Set("Content-Type", "application/json")
		res, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var answer map[string]any
		if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != 200 {
			t.Fatalf("%s: %d %v %v", path, res.StatusCode, answer, err)
		}
		return answer
	}
	user := call("/v1/magic_links/email/login_or_create", map[string]any{
		"email": "ada@example.com", "login_magic_link_url": "http://127.0.0.1:1/in", "signup_magic_link_url": "http://127.0.0.1:1/in",
	})["user_id"]
	token := regexp.MustCompile(`<p>Token <span class="mono">(\S+)</span>`).FindStringSubmatch(s.page(t))
	if token == nil {
		t.Fatal("no token in the inbox")
	}
	if !strings.Contains(s.page(t), `href="http://127.0.0.1:1/in?stytch_token_type=magic_links&token=`+token[1]+`"`) {
		t.Error("the link is not to be clicked on")
	}
	session := call("/v1/magic_links/authenticate", map[string]any{"token": token[1], "session_duration_minutes": 60})
	call("/v1/otps/sms/send", map[string]any{"phone_number": "+12025550123", "user_id": user})
	code := regexp.MustCompile(`<p>Code <strong class="mono">(\d{6})</strong>, method id <span class="mono">(\S+)</span>`).FindStringSubmatch(s.page(t))
	if code == nil {
		t.Fatal("no code in the inbox")
	}
	call("/v1/otps/authenticate", map[string]any{"method_id": code[2], "code": code[1], "session_token": session["session_token"]})
	if !strings.Contains(s.page(t), "magic_link by email (account), otp by sms (phone)") {
		t.Error("the session is not listed with both factors")
	}
	if !strings.Contains(s.page(t), "<dt>Send</dt><dd>2</dd>") || !strings.Contains(s.page(t), "<dt>Log in</dt><dd>2</dd>") {
		t.Error("the calls are not counted")
	}
}

func TestRotatingKeys(t *testing.T) {
	s := start(t)
	kid := func() string { return regexp.MustCompile(`id="kid">([^<]+)<`).FindStringSubmatch(s.page(t))[1] }
	_, _, jwt := s.login(t, "minutes=60")
	first := kid()
	s.post(t, "rotate", "")
	if kid() == first {
		t.Error("the key is the same")
	}
	if _, status := s.authenticated(t, jwt); status != 200 {
		t.Errorf("an older key's JWT: status %d, want 200", status)
	}
	s.post(t, "rotate", "drop=1")
	if _, status := s.authenticated(t, jwt); status != 401 {
		t.Errorf("a dropped key's JWT: status %d, want 401", status)
	}
}

func TestFaults(t *testing.T) {
	s := start(t)
	_, token, jwt := s.login(t, "minutes=60")
	for _, c := range faultChoices {
		if _, ok := faultOf(c.Name); !ok {
			t.Errorf("%q is no fault", c.Name)
		}
	}
	for _, c := range []struct {
		fault, target string
		token, jwt    int
	}{
		{"500", "all", 503, 503},
		{"500", "api", 503, 200},
		{"500", "keys", 200, 503},
		{"down", "all", 503, 503},
		{"502", "api", 503, 200},
		{"429", "api", 503, 200},
		{"401", "api", 503, 200},
		{"404", "api", 401, 200},
		{"", "all", 200, 200},
	} {
		t.Run(c.fault+" "+c.target, func(t *testing.T) {
			s.post(t, "fault", "fault="+c.fault+"&target="+c.target)
			if _, got := s.authenticated(t, token); got != c.token {
				t.Errorf("token: status %d, want %d", got, c.token)
			}
			if _, got := s.authenticated(t, jwt); got != c.jwt {
				t.Errorf("JWT: status %d, want %d", got, c.jwt)
			}
			if got := strings.Contains(s.page(t), "The project is failing"); got != (c.fault != "") {
				t.Errorf("the page says it is failing: %v", got)
			}
		})
	}
}

func TestThePageRefuses(t *testing.T) {
	s := start(t)
	id, _, _ := s.login(t, "minutes=60")
	for _, c := range []struct{ name, path, form, want string }{
		{"factor", "login", "minutes=60&factor=smell", `"smell"`},
		{"minutes", "login", "minutes=soon", `"soon"`},
		{"no minutes at all", "login", "minutes=-5", `"-5"`},
		{"claims", "login", "minutes=60&claims=[1]", "no JSON object"},
		{"reserved claims", "login", "minutes=60&claims=" + url.QueryEscape(`{"sub":"x"}`), "reserved"},
		{"no form", "login", "%", "invalid URL escape"},
		{"session", "revoke", "session_id=session-test-1", "no such live session"},
		{"session to expire", "expire", "session_id=", "no such live session"},
		{"session to step up", "step-up", "factor=sms&session_id=", "no such live session"},
		{"factor to step up", "step-up", "factor=x&session_id=" + id, `"x"`},
		{"fault", "fault", "fault=418&target=all", `"418"`},
		{"target", "fault", "fault=500&target=me", `"me"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if status, body := s.send(t, c.path, c.form, nil); status != 400 || !strings.Contains(body, c.want) {
				t.Errorf("%d %s, want 400 and %s", status, body, c.want)
			}
		})
	}

	if status, _ := s.send(t, "revoke", "session_id="+id, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }); status != 403 {
		t.Errorf("another site: status %d, want 403", status)
	}
	for _, host := range []string{"rebound.example.com", "192.0.2.1:80"} {
		if status, body := s.send(t, "revoke", "session_id="+id, func(r *http.Request) { r.Host = host }); status != 403 || strings.Contains(body, id) {
			t.Errorf("host %s: status %d, want 403", host, status)
		}
	}
	if !strings.Contains(s.page(t), `<p class="mono">`+id+"</p>") {
		t.Error("a refused request ended the session")
	}
	// The API answers whatever it is called.
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.env["STYTCH_BASE_URL"]+"/v1/sessions/jwks/"+s.env["STYTCH_PROJECT_ID"], nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "test.stytch.com"
	res, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("the key set under Stytch's name: status %d", res.StatusCode)
	}
}

func TestAssets(t *testing.T) {
	s := start(t)
	for name, want := range map[string]string{"page.css": "text/css", "page.js": "text/javascript", "page.html": "", "nothing": ""} {
		res, err := s.client.Get(s.env["STYTCH_BASE_URL"] + "/local/assets/" + name)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		switch {
		case want == "" && res.StatusCode != 404:
			t.Errorf("%s: status %d, want 404", name, res.StatusCode)
		case want != "" && !strings.HasPrefix(res.Header.Get("Content-Type"), want):
			t.Errorf("%s: %d %s, want %s", name, res.StatusCode, res.Header.Get("Content-Type"), want)
		}
	}
}
