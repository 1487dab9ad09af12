package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

func TestPictureIsWhatIsDrawn(t *testing.T) {
	committed, err := os.ReadFile("../images/decision.svg")
	if err != nil {
		t.Fatal(err)
	}
	if string(committed) != picture() {
		t.Error("docs/images/decision.svg is not what this program draws: go run ./docs/draw")
	}
}

func TestPictureIsWellFormed(t *testing.T) {
	d := xml.NewDecoder(strings.NewReader(picture()))
	texts := 0
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "text" {
			texts++
		}
	}
	if texts < 60 {
		t.Errorf("%d texts: text must be text, so that it can be searched and read aloud", texts)
	}
	if !strings.Contains(picture(), "prefers-color-scheme: dark") {
		t.Error("there is no dark variant")
	}
}

// The widest of the usual sans-serif fonts takes 0.55 em a character.
func TestTextFits(t *testing.T) {
	half := (width - 2*margin - gap) / 2
	for _, c := range []struct {
		card
		width int
	}{{carrier, width - 2*margin}, {jwtCard, half}, {tokenCard, half}, {stytch, width - 2*margin}, {guard, width - 2*margin}} {
		for _, r := range c.rows {
			for _, line := range r.when {
				if room, need := c.width-2*pad-badge, utf8.RuneCountInString(line)*fontSize*55/100; need > room {
					t.Errorf("%q needs %d of %d pixels", line, need, room)
				}
			}
			if need := utf8.RuneCountInString(r.says) * 13 * 63 / 100; need > badge {
				t.Errorf("%q needs %d of %d pixels", r.says, need, badge)
			}
		}
	}
}

// world is a project and a server in front of it.
type world struct {
	project *stytchtest.Project
	auth    *middleware.Authenticator
	guard   func(http.Handler) http.Handler
}

func (w *world) login(factors ...stytchtest.Factor) stytchtest.Session {
	if factors == nil {
		factors = []stytchtest.Factor{stytchtest.EmailMagicLink()}
	}
	return w.project.Login(stytchtest.Login{Factors: factors})
}

// stale returns s with a JWT that has expired.
func (w *world) stale(s stytchtest.Session) stytchtest.Session {
	s.Tokens.SessionJWT = w.project.MintJWT(s.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-time.Hour)})
	return s
}

// What is left of a pair without one of the tokens.
func onlyJWT(t middleware.Tokens) middleware.Tokens   { t.SessionToken = ""; return t }
func onlyToken(t middleware.Tokens) middleware.Tokens { t.SessionJWT = ""; return t }

func request(t middleware.Tokens) *http.Request {
	r := httptest.NewRequest("GET", "https://example.com/", nil)
	stytchtest.AddCookies(r, t)
	return r
}

func (w *world) send(r *http.Request) *http.Response {
	answer := httptest.NewRecorder()
	w.guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(answer, r)
	return answer.Result()
}

// requests has, for every row that does not lead to another card, a request
// that the row is about. What it is answered with must be what the row says.
var requests = map[string]func(*world) *http.Request{
	"1 nothing": func(*world) *http.Request { return request(middleware.Tokens{}) },
	"1 two Authorization headers": func(w *world) *http.Request {
		r := request(w.login().Tokens)
		r.Header["Authorization"] = []string{"Bearer x", "Bearer y"}
		return r
	},
	"1 two different values for one cookie": func(w *world) *http.Request {
		r := request(w.login().Tokens)
		stytchtest.AddCookies(r, w.login().Tokens)
		return r
	},
	"1 neither a JWT (two dots) nor a session token (1 to 512 of A–Z a–z 0–9 _ -)": func(*world) *http.Request {
		return request(middleware.Tokens{SessionToken: "a.b"})
	},
	"1 cookies, with an unsafe method and from another site": func(w *world) *http.Request {
		r := request(w.login().Tokens)
		r.Method = "POST"
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		return r
	},
	"2a the same without a token": func(w *world) *http.Request {
		return request(middleware.Tokens{SessionJWT: w.project.MintJWT("", stytchtest.Mint{Forged: true})})
	},
	"2a the same without a token 2": func(w *world) *http.Request {
		w.project.FailKeys(stytchtest.Down())
		return request(middleware.Tokens{SessionJWT: w.project.MintJWT("", stytchtest.Mint{UnknownKey: true})})
	},
	"2a its session was revoked here": func(w *world) *http.Request {
		s := w.login()
		if err := w.auth.Revoke(httptest.NewRecorder(), request(s.Tokens)); err != nil {
			panic(err)
		}
		return request(onlyJWT(s.Tokens))
	},
	"2a in its time, at most 5 min old": func(w *world) *http.Request { return request(w.login().Tokens) },
	"2b revoked here, or Stytch said no less than 60 s ago": func(w *world) *http.Request {
		s := w.login()
		w.project.Revoke(s.ID)
		w.send(request(onlyToken(s.Tokens)))
		return request(onlyToken(s.Tokens))
	},
	"2b Stytch said yes less than 30 s ago": func(w *world) *http.Request {
		s := w.login()
		w.send(request(onlyToken(s.Tokens)))
		return request(onlyToken(s.Tokens))
	},
	"2b never seen before, beyond the budget of 50 a second": func(w *world) *http.Request {
		for i := range 200 { // the default burst is 100
			w.send(request(middleware.Tokens{SessionToken: "never-seen-" + strconv.Itoa(i)}))
		}
		return request(onlyToken(w.login().Tokens))
	},
	"3 the session is over: one of nine error types and nothing else": func(w *world) *http.Request {
		s := w.login()
		w.project.Revoke(s.ID)
		return request(w.stale(s).Tokens)
	},
	"3 it lives, and the signed JWT beside the token is another user's": func(w *world) *http.Request {
		return request(middleware.Tokens{SessionToken: w.login().Tokens.SessionToken, SessionJWT: w.stale(w.login()).Tokens.SessionJWT})
	},
	"3 it lives": func(w *world) *http.Request { return request(w.stale(w.login()).Tokens) },
	"3 429, 5xx, no answer, one that makes no sense, or our own secret is refused": func(w *world) *http.Request {
		w.project.FailAPI(stytchtest.Error(401, "unauthorized_credentials"))
		return request(w.stale(w.login()).Tokens)
	},
	"4 met, and Fresh is not asked for": func(w *world) *http.Request {
		w.guard = w.auth.RequireMFA
		return request(w.login(stytchtest.Password(), stytchtest.TOTP()).Tokens)
	},
	"4 not met by a session from a JWT or a cache, or Fresh: Stytch is asked; now met": func(w *world) *http.Request {
		w.guard = w.auth.RequireMFA
		s := w.login()
		w.project.AddFactor(s.ID, stytchtest.SMS())
		return request(s.Tokens)
	},
	"4 Stytch cannot be asked": func(w *world) *http.Request {
		w.guard = w.auth.RequireMFA
		w.project.FailAPI(stytchtest.Down())
		return request(w.login().Tokens)
	},
	"4 still not met": func(w *world) *http.Request {
		w.guard = w.auth.RequireMFA
		return request(w.login().Tokens)
	},
}

func TestRowsAreTrue(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range []card{carrier, jwtCard, tokenCard, stytch, guard} {
		number, _, _ := strings.Cut(c.title, " ")
		for _, r := range c.rows {
			if r.then == further {
				continue
			}
			name := number + " " + strings.Join(r.when, " ")
			if seen[name] {
				name += " 2"
			}
			seen[name] = true
			t.Run(name, func(t *testing.T) {
				build := requests[name]
				if build == nil {
					t.Fatal("there is no request for this row")
				}
				var got *http.Response
				synctest.Test(t, func(t *testing.T) { // in which budgets do not fill up again
					w := &world{project: stytchtest.New(stytchtest.Options{})}
					auth, err := middleware.New(w.project.Config())
					if err != nil {
						t.Fatal(err)
					}
					defer auth.Close()
					w.auth, w.guard = auth, auth.RequireSession
					got = w.send(build(w))
				})
				set, cleared := 0, 0
				for _, cookie := range got.Cookies() {
					if cookie.MaxAge < 0 {
						cleared++
					} else {
						set++
					}
				}
				is := fmt.Sprintf("status %d, %d cookies set, %d cleared", got.StatusCode, set, cleared)
				status, err := strconv.Atoi(r.says[:3])
				if err != nil {
					status = 200
				}
				if got.StatusCode != status {
					t.Errorf("%s; the row says %q", is, r.says)
				}
				if strings.Contains(r.says, "cleared") != (cleared > 0) {
					t.Errorf("%s; the row says %q", is, r.says)
				}
				if strings.Contains(r.says, "new cookies") && set != 2 || strings.Contains(r.says, "stay") && set+cleared > 0 {
					t.Errorf("%s; the row says %q", is, r.says)
				}
				if colour := map[int]outcome{200: session, 503: unknown}[status]; r.then != colour && !(colour == "" && r.then == refused) {
					t.Errorf("the row is coloured %s and says %q", r.then, r.says)
				}
			})
		}
	}
	if len(seen) != len(requests) {
		t.Errorf("%d requests for %d rows", len(requests), len(seen))
	}
}
