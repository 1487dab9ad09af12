package middleware_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

// cookieLine adds one Cookie header line as it stands.
func cookieLine(line string) option { return header("Cookie", line) }

// carried is a request and what is to come of it behind RequireSession.
type carried struct {
	name    string
	with    []option
	status  int
	session string // 200: whose
	reason  string // otherwise: why
	calls   int    // to Stytch for this request
}

func (w *world) carries(rows []carried) {
	w.Helper()
	calls := w.project.Calls().Authenticate
	for _, c := range rows {
		var reason string
		guarded := w.auth.RequireSession(w.report())
		got := w.get(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			guarded.ServeHTTP(rw, r)
			if e := w.auth.Explain(r); e.Outcome != "session" {
				reason = e.Reason
			}
		}), c.with...)
		if got.StatusCode != c.status || got.seen.SessionID != c.session || !strings.HasPrefix(reason, c.reason) {
			w.Errorf("%s: %d %+v because of %q, want %d, session %q, reason %q", c.name, got.StatusCode, got.seen, reason, c.status, c.session, c.reason)
		}
		if c.status != 200 && got.setCookies() != 0 {
			w.Errorf("%s: cookies were touched: %v", c.name, got.Header)
		}
		calls += c.calls
		w.calls(calls)
		if under := w.get(nil, c.with...); c.status != 200 && (under.StatusCode != 200 || under.seen.SessionID != "" || under.setCookies() != 0) {
			w.Errorf("%s under Load: %d %+v %v", c.name, under.StatusCode, under.seen, under.Header)
		}
		w.calls(calls)
	}
}

const (
	isMalformed = "malformed credential"
	isTwo       = "two headers carry credentials"
	isAmbiguous = "two different values for one cookie"
	isNothing   = "the request carries no credential"
)

func TestBearer(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		alice, carol := w.login(), w.login()
		j := alice.Tokens.SessionJWT
		token := w.login()
		w.get(nil, bearer(token.Tokens.SessionToken)) // from here on in the cache
		beside := cookies(carol.Tokens)
		auth := func(v string) []option { return []option{header("Authorization", v), beside} }
		rows := []carried{
			{"JWT", auth("Bearer " + j), 200, alice.ID, "", 0},
			{"session token", auth("Bearer " + token.Tokens.SessionToken), 200, token.ID, "", 0},
			{"lower case", auth("bearer " + j), 200, alice.ID, "", 0},
			{"upper case", auth("BEARER " + j), 200, alice.ID, "", 0},
			{"spaces", auth("  Bearer   " + j + " "), 200, alice.ID, "", 0},
			{"tabs around", auth("\tBearer " + j + "\t"), 200, alice.ID, "", 0},

			// Another scheme is not ours.
			{"Basic", auth("Basic dXNlcjpwYXNz"), 200, carol.ID, "", 0},
			{"a longer scheme", auth("Bearers " + j), 200, carol.ID, "", 0},
			{"no space", auth("Bearer" + j), 200, carol.ID, "", 0},
			{"a shorter scheme", auth("Bear " + j), 200, carol.ID, "", 0},
			{"the token alone", auth(j), 200, carol.ID, "", 0},
			{"empty header", auth(""), 200, carol.ID, "", 0},
			{"DPoP", auth("DPoP " + j), 200, carol.ID, "", 0},

			{"two, both Bearer", []option{header("Authorization", "Bearer "+j), header("Authorization", "Bearer "+j), beside}, 400, "", isTwo, 0},
			{"two, Bearer second", []option{header("Authorization", "Basic eA=="), header("Authorization", "Bearer "+j), beside}, 400, "", isTwo, 0},
			{"two, Bearer first", []option{header("Authorization", "Bearer "+j), header("Authorization", ""), beside}, 400, "", isTwo, 0},
			{"two, none Bearer", []option{header("Authorization", "Basic eA=="), header("Authorization", "Basic eA=="), beside}, 400, "", isTwo, 0},
		}
		for _, bad := range []string{
			"Bearer", "Bearer ", "Bearer \t", "Bearer\t" + j, "Bearer \t" + j, "Bearer undefined", "Bearer null", `Bearer "` + j + `"`,
			"Bearer " + j + " x", "Bearer " + j + "," + j, "Bearer " + j + ", Bearer " + j, "Bearer " + j + "=", "Bearer a.b", "Bearer a.b.c.d", "Bearer ..", "Bearer a..c",
			"Bearer .b.c", "Bearer a.b.", "Bearer a+b", "Bearer é", "Bearer a\x00b", "Bearer a\u200bb", "Bearer token=" + token.Tokens.SessionToken,
			"Bearer " + strings.Repeat("a", 513), "Bearer " + strings.Repeat("a", 1<<20), "Bearer " + strings.Repeat("a", 16<<10) + ".b.c",
		} {
			rows = append(rows, carried{"garbage " + bad[:min(len(bad), 30)], auth(bad), 401, "", isMalformed, 0})
		}
		w.carries(rows)
	})
}

// At its cap a credential is looked at, one byte above it is not.
func TestSizeCaps(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		var under, over string
		for pad := 10_000; over == ""; pad++ {
			j := w.project.MintJWT(s.ID, stytchtest.Mint{Claims: map[string]any{"pad": strings.Repeat("x", pad)}})
			switch {
			case len(j) <= 16<<10 && len(j) > 16<<10-4:
				under = j
			case len(j) > 16<<10:
				over = j
			case len(j) < 16<<10-400:
				pad += 200
			}
		}
		jwtLine := func(j string) option { return cookieLine(jwtCookie + "=" + j) }
		w.carries([]carried{
			{"JWT at the cap", []option{bearer(under)}, 200, s.ID, "", 0},
			{"JWT over it", []option{bearer(over)}, 401, "", isMalformed, 0},
			{"JWT cookie at the cap", []option{jwtLine(under)}, 200, s.ID, "", 0},
			{"JWT cookie over it", []option{jwtLine(over)}, 401, "", isMalformed, 0},
			{"token at the cap", []option{bearer(strings.Repeat("a", 512))}, 401, "", "session is over", 1},
			{"token over it", []option{bearer(strings.Repeat("a", 513))}, 401, "", isMalformed, 0},
			{"token cookie over it", []option{cookieLine(tokenCookie + "=" + strings.Repeat("a", 513))}, 401, "", isMalformed, 0},
			{"token cookie over it beside a JWT", []option{cookieLine(tokenCookie + "=" + strings.Repeat("a", 513)), jwtLine(under)}, 200, s.ID, "", 0},
		})
	})
}

func TestCustomHeaders(t *testing.T) {
	const th, jh = "X-Stytch-Session-Token", "X-Stytch-Session-Jwt"
	inWorld(t, func(c *middleware.Config) { c.TokenHeader, c.JWTHeader = "x-stytch-session-token", jh }, func(w *world) {
		alice, bob, carol := w.login(), w.login(), w.login()
		j, tok := alice.Tokens.SessionJWT, bob.Tokens.SessionToken
		w.get(nil, bearer(tok))
		beside := cookies(carol.Tokens)
		w.carries([]carried{
			{"JWT, above the cookies", []option{header(jh, j), beside}, 200, alice.ID, "", 0},
			{"token, above the cookies", []option{header(th, tok), beside}, 200, bob.ID, "", 0},
			{"both", []option{header(th, alice.Tokens.SessionToken), header(jh, j), beside}, 200, alice.ID, "", 0},
			{"spaces around", []option{header(jh, " "+j+"\t")}, 200, alice.ID, "", 0},
			{"below Bearer", []option{header("Authorization", "Bearer "+j), header(th, tok), beside}, 200, alice.ID, "", 0},
			{"below a bad Bearer", []option{header("Authorization", "Bearer a b"), header(th, tok), beside}, 401, "", isMalformed, 0},
			{"above Basic", []option{header("Authorization", "Basic eA=="), header(th, tok), beside}, 200, bob.ID, "", 0},
			{"malformed does not fall to the cookies", []option{header(jh, "a.b"), beside}, 401, "", isMalformed, 0},
			{"scheme in it", []option{header(jh, "Bearer "+j), beside}, 401, "", isMalformed, 0},
			{"JWT where the token goes", []option{header(th, j), beside}, 401, "", isMalformed, 0},
			{"token where the JWT goes", []option{header(jh, tok), beside}, 401, "", isMalformed, 0},
			{"twice", []option{header(jh, j), header(jh, j), beside}, 400, "", isTwo, 0},
			{"twice, one empty", []option{header(th, ""), header(th, tok), beside}, 400, "", isTwo, 0},
			{"token twice, JWT good", []option{header(jh, j), header(th, tok), header(th, tok), beside}, 400, "", isTwo, 0},
			{"absent ones fall to the cookies", []option{header(jh, "undefined"), header(th, ""), beside}, 200, carol.ID, "", 0},
			{"null with a space", []option{header(jh, " null"), header(th, " undefined "), beside}, 200, carol.ID, "", 0},
			{"nothing at all", nil, 401, "", isNothing, 0},
		})
		// What headers carried gets no cookies.
		if got := w.get(nil, header(jh, w.stale(alice).SessionJWT), header("Cookie", tokenCookie+"=x")); got.seen.SessionID != alice.ID || got.seen.Source != "remote" || got.setCookies() != 0 {
			t.Errorf("%+v %v", got.seen, got.Header)
		}
		if v := w.get(nil).Header.Get("Vary"); v != "Authorization, Cookie, "+th+", "+jh {
			t.Errorf("Vary %q", v)
		}
	})
	// Without the configuration they mean nothing.
	inWorld(t, nil, func(w *world) {
		s, carol := w.login(), w.login()
		w.carries([]carried{
			{"JWT", []option{header(jh, s.Tokens.SessionJWT)}, 401, "", isNothing, 0},
			{"beside cookies", []option{header(jh, s.Tokens.SessionJWT), cookies(carol.Tokens)}, 200, carol.ID, "", 0},
		})
	})
}

func TestCookiesRead(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		alice, bob := w.login(), w.login()
		j, bj, tok, btok := alice.Tokens.SessionJWT, bob.Tokens.SessionJWT, alice.Tokens.SessionToken, bob.Tokens.SessionToken
		w.get(nil, bearer(btok))
		J, T := jwtCookie+"=", tokenCookie+"="
		lines := func(lines ...string) (all []option) {
			for _, l := range lines {
				all = append(all, cookieLine(l))
			}
			return all
		}
		w.carries([]carried{
			{"JWT", lines(J + j), 200, alice.ID, "", 0},
			{"token", lines(T + btok), 200, bob.ID, "", 0},
			{"pair", lines(T + tok + "; " + J + j), 200, alice.ID, "", 0},
			{"pair in two lines, the other way round", lines(J+j, T+tok), 200, alice.ID, "", 0},
			{"token, undefined JWT", lines(T + btok + "; " + J + "undefined"), 200, bob.ID, "", 0},
			{"token, null JWT", lines(T + btok + "; " + J + "null"), 200, bob.ID, "", 0},
			{"token, empty JWT", lines(T + btok + "; " + J), 200, bob.ID, "", 0},
			{"token, quoted undefined", lines(T + btok + "; " + J + `"undefined"`), 200, bob.ID, "", 0},
			{"nothing but absent ones", lines(T+"; "+J+"undefined", T+"null"), 401, "", isNothing, 0},
			{"no value", lines(tokenCookie + "; " + jwtCookie), 401, "", isNothing, 0},

			{"equal twice", lines(J + j + "; " + J + j), 200, alice.ID, "", 0},
			{"equal in two lines", lines(J+j, J+j), 200, alice.ID, "", 0},
			{"equal, one quoted", lines(J + j + "; " + J + `"` + j + `"`), 200, alice.ID, "", 0},
			{"absent beside a value", lines(J + "undefined; " + J + j + "; " + J + "; " + J + "null"), 200, alice.ID, "", 0},
			{"two values", lines(J + j + "; " + J + bj), 401, "", isAmbiguous, 0},
			{"two values in two lines", lines(J+j, J+bj), 401, "", isAmbiguous, 0},
			{"a, b, a", lines(J + j + "; " + J + bj + "; " + J + j), 401, "", isAmbiguous, 0},
			{"a, absent, b", lines(J + j + "; " + J + "null; " + J + bj), 401, "", isAmbiguous, 0},
			{"two tokens, one JWT", lines(T + tok + "; " + T + btok + "; " + J + j), 401, "", isAmbiguous, 0},
			{"garbage beside a token", lines(T + "a+b; " + T + btok), 401, "", isAmbiguous, 0},

			{"quoted", lines(J + `"` + j + `"`), 200, alice.ID, "", 0},
			{"half quoted", lines(J + `"` + j), 401, "", isNothing, 0},
			{"malformed neighbours", lines(`a b=c; =x;;; ; é=ü; "=1; foo; `+J+j+`; \=; a=b=c`, "x", ""), 200, alice.ID, "", 0},
			{"names differ by case", lines("Stytch_Session_Jwt=" + j), 401, "", isNothing, 0},
			{"longer name", lines(jwtCookie + "x=" + j + "; x" + J + j), 401, "", isNothing, 0},
			{"__Host- name", lines("__Host-" + J + j), 401, "", isNothing, 0},
			{"spaces around the name", lines("  " + jwtCookie + " =" + j + "  "), 200, alice.ID, "", 0},
			{"space before the value", lines(J + " " + j), 401, "", isMalformed, 0},
			{"control byte", lines(J + j + "\x7f"), 401, "", isNothing, 0},
			{"comma", lines(J + j + "," + T + btok), 401, "", isMalformed, 0},

			{"JWT in the token's cookie", lines(T + j), 401, "", isMalformed, 0},
			{"token in the JWT's cookie", lines(J + btok), 401, "", isMalformed, 0},
			{"swapped", lines(T + j + "; " + J + tok), 401, "", isMalformed, 0},
			{"JWT in both", lines(T + j + "; " + J + j), 200, alice.ID, "", 0},
			{"token in both", lines(T + btok + "; " + J + btok), 200, bob.ID, "", 0},
		})
	})
}

// What is found are the cookies that net/http finds, with two exceptions: a
// value that stands for none is passed over, and there is no limit on their
// number (net/http finds none at all beyond 3,000; looking for two names costs
// nothing per cookie, and the server bounds the header).
func FuzzCookies(f *testing.F) {
	for _, seed := range [][2]string{
		{"stytch_session=a; stytch_session_jwt=b", "stytch_session=c"},
		{`stytch_session="a"; stytch_session_jwt="a""`, `stytch_session="; stytch_session=""`},
		{"stytch_session=undefined;stytch_session=null;stytch_session=", ` stytch_session = a ;; =;stytch_session`},
		{"stytch_session=a=b; stytch_session_jwt=\x00", "stytch_session_jwt=\\;\tstytch_session_jwt=\u00e9\r\n"},
		{"\v=;stytch_session\f=1", "stytch_session\u00a0=1"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, line1, line2 string) {
		lines := []string{line1, line2}
		got := middleware.SessionCookies(lines, tokenCookie, jwtCookie)
		if strings.Count(line1, ";")+strings.Count(line2, ";")+2 > 3000 {
			// As if the lines had come in requests of their own, part by part.
			lines = strings.Split(line1+";"+line2, ";")
		}
		var want [][2]string
		for part := range slices.Chunk(lines, 2) {
			for _, c := range (&http.Request{Header: http.Header{"Cookie": part}}).Cookies() {
				if (c.Name == tokenCookie || c.Name == jwtCookie) && c.Value != "" && c.Value != "undefined" && c.Value != "null" {
					want = append(want, [2]string{c.Name, c.Value})
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("found %q, net/http finds %q", got, want)
		}
	})
}

// More cookies than net/http reads change nothing.
func TestThousandsOfCookies(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		got := w.get(nil, cookieLine(strings.Repeat("a=b; ", 5000)+jwtCookie+"="+s.Tokens.SessionJWT))
		if got.seen.SessionID != s.ID {
			t.Errorf("%+v", got.seen)
		}
	})
}
