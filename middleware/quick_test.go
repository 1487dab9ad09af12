package middleware_test

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

// FuzzQuick holds the quick path against the thorough one: it never accepts
// what that would not, and finds the same session and tokens.
func FuzzQuick(f *testing.F) {
	p := stytchtest.New(stytchtest.Options{})
	auths := make([]*middleware.Authenticator, 4)
	for i := range auths {
		cfg := p.Config()
		switch i {
		case 1:
			cfg.JWTHeader = "X-Stytch-Session-Jwt"
		case 2:
			cfg.Cookies = middleware.Cookies{Posture: middleware.Private}
		case 3:
			cfg.Cookies = middleware.Cookies{Posture: middleware.Private, Keys: [][]byte{bytes.Repeat([]byte("0123456789abcdef"), 2)}}
		}
		a, err := middleware.New(cfg)
		if err != nil {
			f.Fatal(err)
		}
		f.Cleanup(func() { _ = a.Close() })
		auths[i] = a
	}
	one, two := p.Login(stytchtest.Login{Duration: 24 * time.Hour}), p.Login(stytchtest.Login{Duration: 24 * time.Hour})
	rec := httptest.NewRecorder()
	if _, err := auths[3].Hydrate(rec, httptest.NewRequest("POST", "https://app.example.com/", nil), one.Tokens); err != nil {
		f.Fatal(err)
	}
	sealed := rec.Result().Cookies()
	p.FailAPI(stytchtest.Down())
	expand := strings.NewReplacer("S1", sealed[0].Value, "S2", sealed[1].Value, "HT", "__Host-stytch_session",
		"J1", one.Tokens.SessionJWT, "J2", two.Tokens.SessionJWT, "T1", one.Tokens.SessionToken,
		"NJ", "stytch_session_jwt", "NT", "stytch_session", "HJ", "__Host-stytch_session_jwt").Replace
	for _, seed := range [][4]string{
		{"", "NJ=J1", "", "GET"}, {"", "NT=T1; NJ=J1", "", "GET"}, {"", "a=b; NJ=J1 ;NT=T1", "", "POST"}, {"Bearer J1", "NJ=J2", "", "GET"},
		{"Basic x", "NJ=J1", "", "GET"}, {"bearer  J1", "", "", "GET"}, {"Bearer J1 ", "", "", "GET"}, {"", "NJ=J1; NJ=J2", "", "GET"},
		{"", "NJ=\"J1\"", "", "GET"}, {"", "NJ=J1; NJ=undefined", "", "GET"}, {"", "NT=T1; NJ=J1", "cross-site", "POST"}, {"", "NJ=J1\x00", "", "GET"},
		{"", "nj=J1;NJ =J1", "", "GET"}, {"", "NT=bad!; NJ=J1", "", "GET"}, {"", "NJ=J1,NJ=J2", "", "GET"}, {"", "HJ=J1", "", "GET"}, {"", "HT=S1; HJ=S2", "", "GET"}, {"", "HT=S2; HJ=S1", "", "GET"}, {"", "HT=S1", "", "GET"}, {"", "HT=J1; HJ=S2", "", "GET"}, {"Bearer", "NJ=J1", "", "GET"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, authorization, cookie, site, method string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Method = method
		for _, a := range strings.Split(expand(authorization), "\n") {
			if a != "" {
				r.Header.Add("Authorization", a)
			}
		}
		for _, c := range strings.Split(expand(cookie), "\n") {
			r.Header.Add("Cookie", c)
		}
		if site != "" {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		for i, a := range auths {
			if claims, right := a.ReadQuickly(r); claims && !right {
				t.Fatalf("authenticator %d: the quick path reads other credentials than the thorough one", i)
			}
			wantID, want, wantOK := a.Thorough(r)
			id, got, ok := a.Quick(r) // the thorough path verified what there is
			if ok && (!wantOK || id != wantID || got.SessionToken != want.SessionToken || got.SessionJWT != want.SessionJWT) {
				t.Fatalf("authenticator %d: the quick path accepts %s, the thorough one %s (%v)", i, id, wantID, wantOK)
			}
		}
	})
}

// TestQuickIsTaken keeps the quick path from falling asleep.
func TestQuickIsTaken(t *testing.T) {
	for name, cookies := range map[string]middleware.Cookies{
		"shared": {}, "private": {Posture: middleware.Private},
		"sealed": {Posture: middleware.Private, Keys: [][]byte{bytes.Repeat([]byte("0123456789abcdef"), 2)}},
	} {
		inWorld(t, func(c *middleware.Config) { c.Cookies = cookies }, func(w *world) {
			s := w.login()
			r := httptest.NewRequest("GET", "https://app.example.com/", nil)
			rec := httptest.NewRecorder()
			if _, err := w.auth.Hydrate(rec, r, s.Tokens); err != nil {
				t.Fatal(err)
			}
			for _, c := range rec.Result().Cookies() {
				r.AddCookie(c)
			}
			id, want, ok := w.auth.Thorough(r)
			if !ok || id != s.ID {
				t.Fatalf("%s: %v", name, ok)
			}
			gotID, got, ok := w.auth.Quick(r)
			if !ok || gotID != id || got.SessionJWT != want.SessionJWT || got.SessionToken != want.SessionToken {
				t.Errorf("%s: %v %s %s", name, ok, gotID, fmt.Sprint(got))
			}
			// A revocation goes before it.
			if err := w.auth.Revoke(httptest.NewRecorder(), r); err != nil {
				t.Fatal(err)
			}
			if _, _, ok := w.auth.Quick(r); ok {
				t.Errorf("%s: the quick path accepts a revoked session", name)
			}
		})
	}
}
