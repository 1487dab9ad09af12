package stytchtest_test

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/stytchtest"
)

// each runs a test in memory and against a real server.
func each(t *testing.T, f func(t *testing.T, p *stytchtest.Project, base string, client *http.Client)) {
	t.Run("in memory", func(t *testing.T) {
		p := stytchtest.New(stytchtest.Options{})
		f(t, p, p.BaseURL(), &http.Client{Transport: p.Transport()})
	})
	t.Run("on loopback", func(t *testing.T) {
		s := stytchtest.NewServer(t, stytchtest.Options{})
		f(t, s.Project, s.URL, s.Client())
	})
}

// exchange sends an authenticate call and returns what came back.
func exchange(t *testing.T, p *stytchtest.Project, base string, client *http.Client, token string) (res *http.Response, body string, err error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", base+authenticatePath, strings.NewReader(`{"session_token":"`+token+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(p.ID(), p.Secret())
	r.Header.Set("Content-Type", "application/json")
	if res, err = client.Do(r); err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res, string(b), err
}

func TestFaultsThatAnswer(t *testing.T) {
	each(t, func(t *testing.T, p *stytchtest.Project, base string, client *http.Client) {
		for _, test := range []struct {
			name        string
			fault       stytchtest.Fault
			status      int
			contentType string
			retryAfter  string
			body        string // a part of it
		}{
			{"500", stytchtest.Error(500, "internal_server_error"), 500, "application/json", "", `"error_type":"internal_server_error"`},
			{"503", stytchtest.Error(503, "x"), 503, "application/json", "", `"status_code":503`},
			{"429", stytchtest.TooManyRequests(""), 429, "application/json", "", `"error_type":"too_many_requests"`},
			{"429 with seconds", stytchtest.TooManyRequests("7"), 429, "application/json", "7", `"error_type":"too_many_requests"`},
			{"502 HTML", stytchtest.HTML(502), 502, "text/html; charset=utf-8", "", "<h1>502 Bad Gateway</h1>"},
			{"200 HTML", stytchtest.HTML(200), 200, "text/html; charset=utf-8", "", "<h1>200 OK</h1>"},
			{"{}", stytchtest.Reply(200, "application/json", "{}"), 200, "application/json", "", "{}"},
		} {
			p.FailAPI(test.fault)
			res, body, err := exchange(t, p, base, client, "x")
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
				continue
			}
			if res.StatusCode != test.status || res.Header.Get("Content-Type") != test.contentType || res.Header.Get("Retry-After") != test.retryAfter || !strings.Contains(body, test.body) {
				t.Errorf("%s: %d %v %s", test.name, res.StatusCode, res.Header, body)
			}
		}
	})
}

func TestFaultsThatBreakTheConnection(t *testing.T) {
	each(t, func(t *testing.T, p *stytchtest.Project, base string, client *http.Client) {
		token := p.Login(stytchtest.Login{}).Tokens.SessionToken
		_, whole, err := exchange(t, p, base, client, token)
		if err != nil {
			t.Fatal(err)
		}

		p.FailAPI(stytchtest.Down())
		if _, _, err := exchange(t, p, base, client, token); !errors.Is(err, io.EOF) {
			t.Errorf("down: %v", err)
		}

		p.FailAPI(stytchtest.Cut())
		res, body, err := exchange(t, p, base, client, token)
		if !errors.Is(err, io.ErrUnexpectedEOF) || res.StatusCode != 200 || res.ContentLength < int64(len(whole))-10 || len(body) == 0 || len(body) > len(whole)/2+10 {
			t.Errorf("cut: %v, %+v, %q", err, res, body)
		}

		p.FailAPI(stytchtest.Truncated())
		res, body, err = exchange(t, p, base, client, token)
		if err != nil || res.StatusCode != 200 || int64(len(body)) != res.ContentLength || !strings.HasPrefix(body, `{"status_code":200,`) || strings.HasSuffix(body, "}}") || res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("truncated: %v, %+v, %q", err, res, body)
		}

		p.FailAPI(nil)
		if res, _, err := exchange(t, p, base, client, token); err != nil || res.StatusCode != 200 {
			t.Errorf("healed: %v, %+v", err, res)
		}
	})
}

func TestFaultsThatRewrite(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	login := p.Login(stytchtest.Login{CustomClaims: object{"limit": 12345678901234567}})
	body := object{"session_token": login.Tokens.SessionToken}

	p.FailAPI(stytchtest.OtherUser())
	answer := post(t, p, authenticatePath, body)
	user := answer["session"].(object)["user_id"]
	if user == login.UserID || user != answer["user"].(object)["user_id"] || answer["session"].(object)["session_id"] != login.ID {
		t.Errorf("other user: %v", answer)
	}
	// Numbers survive the rewriting.
	if got := claimsOf(t, answer["session_jwt"].(string))["sub"]; got != login.UserID {
		t.Errorf("the JWT was rewritten too: %v", got)
	}
	p.FailAPI(stytchtest.Rewrite(func(answer map[string]any) { answer["extra"] = true }))
	r := newRequest(t, p, "POST", authenticatePath, body)
	res, err := p.Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(b), `"limit":12345678901234567`) || !strings.Contains(string(b), `"extra":true`) {
		t.Errorf("rewritten: %s, %v", b, err)
	}

	p.FailAPI(stytchtest.OtherSession())
	answer = post(t, p, authenticatePath, body)
	if s := answer["session"].(object); s["session_id"] == login.ID || s["user_id"] != login.UserID {
		t.Errorf("other session: %v", answer)
	}

	p.FailAPI(stytchtest.SessionJWT("a.b.c"))
	if answer = post(t, p, authenticatePath, body); answer["session_jwt"] != "a.b.c" {
		t.Errorf("wrong JWT: %v", answer["session_jwt"])
	}
	p.FailAPI(stytchtest.SessionJWT(""))
	if jwt, ok := post(t, p, authenticatePath, body)["session_jwt"]; ok {
		t.Errorf("missing JWT: %v", jwt)
	}

	// Answers that have no such member, and errors, stay as they are.
	for _, fault := range []stytchtest.Fault{stytchtest.OtherUser(), stytchtest.OtherSession(), stytchtest.SessionJWT("x"), stytchtest.SessionJWT("")} {
		p.FailAPI(fault)
		status, answer := call(t, p, "POST", authenticatePath, object{})
		wantError(t, status, answer, 400, "no_session_arguments")
		if status, answer := call(t, p, "GET", "/v1/sessions?user_id="+login.UserID, nil); status != 200 || len(answer) != 3 {
			t.Errorf("list: %d %v", status, answer)
		}
	}
}

func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stytchtest.New(stytchtest.Options{})
		login := p.Login(stytchtest.Login{})
		p.FailAPI(stytchtest.Slow(2 * time.Second))
		start := time.Now()
		post(t, p, authenticatePath, object{"session_token": login.Tokens.SessionToken})
		if got := time.Since(start); got != 2*time.Second {
			t.Errorf("the answer took %v", got)
		}
		if status, _ := call(t, p, "GET", keySetPath+p.ID(), nil); status != 200 || time.Since(start) != 2*time.Second {
			t.Error("the key set is slow as well")
		}
	})
}

func TestAServerNoticesThatItsClientLeft(t *testing.T) {
	for name, fault := range map[string]stytchtest.Fault{"hang": stytchtest.Hang(), "slow": stytchtest.Slow(time.Hour)} {
		t.Run(name, func(t *testing.T) {
			s := stytchtest.NewServer(t, stytchtest.Options{})
			arrived, left := make(chan struct{}), make(chan struct{})
			s.FailAPI(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				close(arrived)
				defer close(left)
				fault(w, r, next)
			})
			r := newRequest(t, s.Project, "POST", authenticatePath, object{"session_token": "x"})
			u, err := r.URL.Parse(s.URL + authenticatePath)
			if err != nil {
				t.Fatal(err)
			}
			r.URL, r.Host = u, ""
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			go func() {
				<-arrived
				s.Close()
			}()
			if _, err := transport.RoundTrip(r); err == nil {
				t.Error("an answer came")
			}
			<-left
		})
	}
}

func TestFaultsCompose(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	// statuses sends three key-set and three list requests.
	statuses := func() (got string) {
		for range 3 {
			for _, path := range []string{keySetPath + p.ID(), "/v1/sessions?user_id=x", "/v1/sessions?user_id=y"} {
				res, err := p.Transport().RoundTrip(newRequest(t, p, "GET", path, nil))
				switch {
				case err != nil:
					got += "- "
				default:
					got += strconv.Itoa(res.StatusCode) + " "
				}
			}
		}
		return strings.TrimSpace(got)
	}
	e500 := stytchtest.Error(500, "internal_server_error")
	tests := []struct {
		name      string
		keys, api stytchtest.Fault
		want      string
	}{
		{"none", nil, nil, "200 200 200 200 200 200 200 200 200"},
		{"keys", e500, nil, "500 200 200 500 200 200 500 200 200"},
		{"API", nil, e500, "200 500 500 200 500 500 200 500 500"},
		{"each", stytchtest.Down(), e500, "- 500 500 - 500 500 - 500 500"},
		{"twice", e500.Times(2), stytchtest.Down().Times(1), "500 - 200 500 200 200 200 200 200"},
		{"then", nil, stytchtest.Slow(0).Then(e500), "200 500 500 200 500 500 200 500 500"},
		{"on", nil, e500.On("/v1/sessions").Times(2), "200 500 500 200 200 200 200 200 200"},
		{"on another", nil, e500.On(revokePath), "200 200 200 200 200 200 200 200 200"},
	}
	for _, test := range tests {
		p.FailKeys(test.keys)
		p.FailAPI(test.api)
		if got := statuses(); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestAnOlderKeySetCanBeServed(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	old, kid := p.KeySet(), p.KeyID()
	p.RotateKey()
	p.FailKeys(stytchtest.Reply(200, "application/json", string(old)))
	status, set := call(t, p, "GET", keySetPath+p.ID(), nil)
	if keys := set["keys"].([]any); status != 200 || len(keys) != 1 || keys[0].(object)["kid"] != kid {
		t.Errorf("status %d, key set %v", status, set)
	}
}

func TestWatch(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	login := p.Login(stytchtest.Login{})
	var seen []string
	p.FailAPI(stytchtest.Watch(func(r *http.Request, body []byte) {
		seen = append(seen, r.URL.Path+" "+string(body))
		clear(body) // the copy is its own
	}))
	post(t, p, authenticatePath, object{"session_token": login.Tokens.SessionToken})
	if want := authenticatePath + ` {"session_token":"` + login.Tokens.SessionToken + `"}`; len(seen) != 1 || seen[0] != want {
		t.Errorf("seen %q, want %q", seen, want)
	}
}
