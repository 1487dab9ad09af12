package middleware_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

const hostTokenCookie, hostJWTCookie = "__Host-stytch_session", "__Host-stytch_session_jwt"

// Keys that seal cookies, in no way random: for tests.
var (
	keyA = []byte("key A of 32 bytes for tests only")
	keyB = []byte("key B of 32 bytes for tests only")
)

// call makes a request whose handler is op.
func (w *world) call(op func(http.ResponseWriter, *http.Request) error, options ...option) (reply, error) {
	w.Helper()
	var err error
	got := w.get(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { err = op(rw, r) }), options...)
	return got, err
}

func (w *world) hydrate(t middleware.Tokens, options ...option) (got reply, s *sessionctx.Session, err error) {
	w.Helper()
	got, err = w.call(func(rw http.ResponseWriter, r *http.Request) (err error) {
		s, err = w.auth.Hydrate(rw, r, t)
		return err
	}, append([]option{method("POST")}, options...)...)
	return got, s, err
}

func (w *world) refresh(d time.Duration, options ...option) (got reply, s *sessionctx.Session, err error) {
	w.Helper()
	got, err = w.call(func(rw http.ResponseWriter, r *http.Request) (err error) {
		s, err = w.auth.Refresh(rw, r, d)
		return err
	}, append([]option{method("POST")}, options...)...)
	return got, s, err
}

func (w *world) revoke(options ...option) (reply, error) {
	w.Helper()
	return w.call(w.auth.Revoke, append([]option{method("POST")}, options...)...)
}

// clearedBoth reports whether the response's last word on both cookies is that
// they go, and that nobody may store it.
func (r reply) clearedBoth(token, jwt string) bool {
	_, _, t := r.cookie(token)
	_, _, j := r.cookie(jwt)
	return t && j && r.Header.Get("Cache-Control") == "no-store"
}

// untouched reports whether a response says nothing of cookies.
func (r reply) untouched() bool { return r.setCookies() == 0 && r.Header.Get("Cache-Control") == "" }

// to makes the request one to host, over TLS or not.
func to(scheme, host string) option {
	return func(r *http.Request) {
		r.URL.Scheme, r.URL.Host, r.Host = scheme, host, host
		if scheme == "http" {
			r.TLS = nil
		}
	}
}

func httpDate(t time.Time) string { return t.UTC().Format(http.TimeFormat) }

const cleared = "; Path=/; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0"

// Every attribute of the cookies, to the letter.
func TestCookiesWritten(t *testing.T) {
	for _, c := range []struct {
		name       string
		cookies    middleware.Cookies
		at         option
		token, jwt string
		set, clear string // what follows the value, Expires and Max-Age
		domain     string
	}{
		{"shared", middleware.Cookies{}, to("https", "app.example.com"), tokenCookie, jwtCookie, "; Secure; SameSite=Lax", "", ""},
		{"shared behind a proxy", middleware.Cookies{}, to("http", "app.example.com"), tokenCookie, jwtCookie, "; Secure; SameSite=Lax", "", ""},
		{"shared, names", middleware.Cookies{TokenName: "tok", JWTName: "jwt"}, to("https", "app.example.com"), "tok", "jwt", "; Secure; SameSite=Lax", "", ""},
		{"shared, domain", middleware.Cookies{Domain: ".Example.com"}, to("https", "app.example.com"), tokenCookie, jwtCookie, "; Secure; SameSite=Lax", "", "; Domain=example.com"},
		{"shared, plain localhost", middleware.Cookies{}, to("http", "localhost:8080"), tokenCookie, jwtCookie, "; SameSite=Lax", "", ""},
		{"shared, TLS localhost", middleware.Cookies{}, to("https", "localhost:8443"), tokenCookie, jwtCookie, "; Secure; SameSite=Lax", "", ""},
		{"private", middleware.Cookies{Posture: middleware.Private}, to("https", "app.example.com"), hostTokenCookie, hostJWTCookie, "; HttpOnly; Secure; SameSite=Lax", "", ""},
		{"private, plain localhost", middleware.Cookies{Posture: middleware.Private}, to("http", "localhost:8080"), hostTokenCookie, hostJWTCookie, "; HttpOnly; Secure; SameSite=Lax", "", ""},
		{"private, name", middleware.Cookies{Posture: middleware.Private, TokenName: "__Host-t"}, to("https", "app.example.com"), "__Host-t", hostJWTCookie, "; HttpOnly; Secure; SameSite=Lax", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(cfg *middleware.Config) { cfg.Cookies = c.cookies }, func(w *world) {
				s := w.login()
				advance(time.Second)
				got, _, err := w.hydrate(s.Tokens, c.at)
				jwt, _, _ := got.cookie(c.jwt)
				live := "; Expires=" + httpDate(time.Now().Add(time.Hour-time.Second)) + "; Max-Age=3599" + c.set
				var want, wantCleared []string
				for _, nv := range [][2]string{{c.token, s.Tokens.SessionToken}, {c.jwt, jwt}} {
					hostOnly := nv[0] + "=" + cleared + c.set
					wantCleared = append(wantCleared, hostOnly)
					if c.domain != "" { // the sibling without a Domain goes, before
						want = append(want, hostOnly)
						wantCleared = append(wantCleared, nv[0]+"=; Path=/"+c.domain+strings.TrimPrefix(cleared, "; Path=/")+c.set)
					}
					want = append(want, nv[0]+"="+nv[1]+"; Path=/"+c.domain+live)
				}
				if lines := got.Header["Set-Cookie"]; err != nil || jwt == "" || !slices.Equal(lines, want) || got.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%v, set\n%s\nwant\n%s", err, strings.Join(lines, "\n"), strings.Join(want, "\n"))
				}
				got, _ = w.call(func(rw http.ResponseWriter, r *http.Request) error { w.auth.Clear(rw, r); return nil }, c.at)
				if lines := got.Header["Set-Cookie"]; !slices.Equal(lines, wantCleared) || got.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("cleared with\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(wantCleared, "\n"))
				}
			})
		})
	}
}

// A proxy may name this server by a loopback address: the cookies of a live
// project are Secure all the same.
func TestSecureInALiveProject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, stytchtest.New(stytchtest.Options{ProjectID: "project-live-11111111-1111-4111-8111-111111111111"}), nil)
		for _, host := range []string{"127.0.0.1:8080", "localhost", "app.example.com"} {
			got, _, err := w.hydrate(w.login().Tokens, to("http", host))
			if err != nil || len(got.Cookies()) != 2 {
				t.Fatal(err, got.Header)
			}
			for _, c := range got.Cookies() {
				if !c.Secure {
					t.Errorf("host %q: %v", host, c)
				}
			}
		}
	})
}

// Secure is left out for plain http to this machine, and nowhere else.
func TestSecureOnThisMachine(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for host, local := range map[string]bool{
			"localhost": true, "localhost:80": true, "LocalHost:8080": true, "localhost.": true, "app.localhost": true, "a.b.localhost:1": true,
			"127.0.0.1": true, "127.0.0.1:8080": true, "127.255.255.254:1": true, "[::1]": true, "[::1]:8080": true,
			"": false, "example.com": false, "localhost.example.com": false, "notlocalhost": false, "localhost.example.com:80": false, "128.0.0.1": false,
			"0.0.0.0:80": false, "10.0.0.1": false, "192.168.0.1:80": false, "[::]:80": false, "[fe80::1]": false, "127.0.0.1.example.com": false, "127.1": false,
			"example.com:127.0.0.1": false, "[::1": true, "0x7f.0.0.1": false,
		} {
			got, _ := w.call(func(rw http.ResponseWriter, r *http.Request) error { w.auth.Clear(rw, r); return nil }, to("http", host))
			for _, c := range got.Cookies() {
				if c.Secure == local {
					t.Errorf("host %q: Secure %v", host, c.Secure)
				}
			}
			// Forwarding headers decide nothing.
			got, _ = w.call(func(rw http.ResponseWriter, r *http.Request) error { w.auth.Clear(rw, r); return nil }, to("http", "example.com"),
				header("X-Forwarded-Host", host), header("X-Forwarded-Proto", "http"), header("Forwarded", "host="+host))
			for _, c := range got.Cookies() {
				if !c.Secure {
					t.Errorf("X-Forwarded-Host %q took Secure away", host)
				}
			}
			if len(got.Cookies()) != 2 {
				t.Fatal(got.Header)
			}
		}
	})
}

// big logs in with a JWT of at least n bytes.
func (w *world) big(n int) stytchtest.Session {
	w.Helper()
	return w.project.Login(stytchtest.Login{Factors: []stytchtest.Factor{}, CustomClaims: map[string]any{"blob": strings.Repeat("x", n*3/4)}})
}

// A JWT that browsers would drop is not written: its cookie goes, and the
// session token carries the session.
func TestJWTThatDoesNotFit(t *testing.T) {
	shared, private := middleware.Cookies{}, middleware.Cookies{Posture: middleware.Private}
	sealed := middleware.Cookies{Posture: middleware.Private, Keys: [][]byte{keyA}}
	for _, c := range []struct {
		name       string
		cookies    middleware.Cookies
		size       int
		token, jwt string
	}{
		{"plain", shared, 4096, tokenCookie, jwtCookie},
		{"plain, 12 kB", shared, 12_000, tokenCookie, jwtCookie},
		{"private", private, 4096, hostTokenCookie, hostJWTCookie},
		{"sealed, fits plain", sealed, 1800, hostTokenCookie, hostJWTCookie},
		{"sealed, 4 kB", sealed, 4200, hostTokenCookie, hostJWTCookie},
		{"sealed, 6 kB", sealed, 6000, hostTokenCookie, hostJWTCookie},
		{"sealed, 12 kB", sealed, 12_000, hostTokenCookie, hostJWTCookie},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(cfg *middleware.Config) { cfg.Cookies = c.cookies }, func(w *world) {
				s := w.big(c.size)
				got, in, err := w.hydrate(s.Tokens)
				if err != nil || in.ID() != s.ID {
					t.Fatalf("%v %v", in, err)
				}
				value, set, _ := got.cookie(c.token)
				if _, _, cleared := got.cookie(c.jwt); !set || !cleared || got.setCookies() != 2 {
					t.Errorf("%v", got.Header)
				}
				again := w.get(nil, cookieLine(c.token+"="+value))
				if again.seen.SessionID != s.ID {
					t.Errorf("%+v", again.seen)
				}
				// A call that had to be made for an old JWT leaves none of it either.
				if c.cookies.Keys == nil {
					got = w.get(nil, cookieLine(c.token+"="+value), cookieLine(c.jwt+"="+w.stale(s).SessionJWT))
					if _, _, cleared := got.cookie(c.jwt); got.seen.SessionID != s.ID || !cleared {
						t.Errorf("%+v %v", got.seen, got.Header)
					}
				}
			})
		})
	}
}

// A cookie of exactly 4,096 bytes is written, one of a byte more is not.
func TestCookieSizeToTheByte(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		sizes := map[bool]int{}
		for pad := 1500; pad < 2700 && len(sizes) < 2; pad++ {
			j := w.project.MintJWT(s.ID, stytchtest.Mint{Claims: map[string]any{"pad": strings.Repeat("x", pad)}})
			size := len(jwtCookie) + len(j)
			if size < 4090 {
				if size < 4000 {
					pad += 50
				}
				continue
			}
			w.project.FailAPI(stytchtest.SessionJWT(j))
			got, _, err := w.hydrate(middleware.Tokens{SessionToken: s.Tokens.SessionToken})
			value, set, cleared := got.cookie(jwtCookie)
			if err != nil || set != (size <= 4096) || cleared != (size > 4096) || set && value != j {
				t.Errorf("%d bytes: %v, set %v, cleared %v", size, err, set, cleared)
			}
			sizes[set] = size
		}
		if sizes[true] < 4093 || sizes[false] == 0 || sizes[false] > 4099 {
			t.Errorf("tried %v only", sizes)
		}
	})
}

// sealedCookies returns the values of the two Private cookies that a response
// sets.
func sealedCookies(t *testing.T, got reply) (token, jwt string) {
	t.Helper()
	token, set, _ := got.cookie(hostTokenCookie)
	jwt, set2, _ := got.cookie(hostJWTCookie)
	if !set || !set2 {
		t.Fatalf("cookies %v", got.Header)
	}
	return token, jwt
}

func keyed(keys ...[]byte) func(*middleware.Config) {
	return func(c *middleware.Config) {
		c.Cookies = middleware.Cookies{Posture: middleware.Private, Keys: keys}
	}
}

func TestSealedCookies(t *testing.T) {
	inWorld(t, keyed(keyA), func(w *world) {
		s := w.login()
		got, _, _ := w.hydrate(s.Tokens)
		token, jwt := sealedCookies(t, got)
		if strings.Contains(got.Header.Get("Set-Cookie"), s.Tokens.SessionToken) || strings.Count(jwt, ".") != 0 {
			t.Errorf("not sealed: %v", got.Header)
		}
		T, J := hostTokenCookie+"=", hostJWTCookie+"="
		flipped := []byte(jwt)
		flipped[len(flipped)/2] ^= 1
		const isSealed = "cookie was not sealed with a key of ours"
		w.carries([]carried{
			{"both", []option{cookieLine(T + token + "; " + J + jwt)}, 200, s.ID, "", 0},
			{"the JWT", []option{cookieLine(J + jwt)}, 200, s.ID, "", 0},
			{"swapped", []option{cookieLine(T + jwt + "; " + J + token)}, 401, "", isSealed, 0},
			{"token as JWT", []option{cookieLine(J + token)}, 401, "", isSealed, 0},
			{"plain JWT", []option{cookieLine(J + s.Tokens.SessionJWT)}, 401, "", isSealed, 0},
			{"plain token", []option{cookieLine(T + s.Tokens.SessionToken)}, 401, "", isSealed, 0},
			{"plain, under the SDK's names", []option{cookies(s.Tokens)}, 401, "", isNothing, 0},
			{"one bit", []option{cookieLine(J + string(flipped))}, 401, "", isSealed, 0},
			{"cut", []option{cookieLine(J + jwt[:len(jwt)-4])}, 401, "", isSealed, 0},
			{"garbage", []option{cookieLine(J + "x; " + T + strings.Repeat("A", 9000))}, 401, "", isSealed, 0},
			{"JWT beside a token that does not open", []option{cookieLine(J + jwt + "; " + T + s.Tokens.SessionToken)}, 200, s.ID, "", 0},
			{"bearers are not sealed", []option{bearer(s.Tokens.SessionJWT)}, 200, s.ID, "", 0},
			{"sealed bearer", []option{bearer(jwt)}, 401, "", isMalformed, 0},
		})
	})
}

func TestSealKeysRotate(t *testing.T) {
	inWorld(t, keyed(keyA), func(old *world) {
		s := old.login()
		got, in, _ := old.hydrate(s.Tokens)
		token, jwt := sealedCookies(t, got)
		both := cookieLine(hostTokenCookie + "=" + token + "; " + hostJWTCookie + "=" + jwt)

		// A cookie of a key that is not ours is refused, and left alone: another
		// deployment may hold it.
		other := newWorld(old.T, old.project, keyed(keyB))
		if got := other.get(other.auth.RequireSession(other.report()), both); got.StatusCode != 401 || got.setCookies() != 0 {
			t.Errorf("another key: %d %v", got.StatusCode, got.Header)
		}

		rotated := newWorld(old.T, old.project, keyed(keyB, keyA))
		calls := old.project.Calls().Authenticate
		advance(10 * time.Second)
		got = rotated.get(nil, both)
		if got.seen.SessionID != s.ID || got.seen.Source != "local" || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%+v %v", got.seen, got.Header)
		}
		newToken, newJWT := sealedCookies(t, got)
		for _, c := range got.Cookies() {
			if !c.Expires.Equal(in.ExpiresAt()) || c.MaxAge != 3590 {
				t.Errorf("%s expires %v, the session %v", c.Name, c.Expires, in.ExpiresAt())
			}
		}
		resealed := cookieLine(hostTokenCookie + "=" + newToken + "; " + hostJWTCookie + "=" + newJWT)
		// Now the old key is needed no more, and nothing is sealed twice.
		if got := other.get(nil, resealed); got.seen.SessionID != s.ID || got.setCookies() != 0 {
			t.Errorf("after the rotation: %+v %v", got.seen, got.Header)
		}
		if got := rotated.get(nil, resealed); got.seen.SessionID != s.ID || got.setCookies() != 0 {
			t.Errorf("again: %+v %v", got.seen, got.Header)
		}
		// Only what came is resealed.
		if got := rotated.get(nil, cookieLine(hostJWTCookie+"="+jwt)); got.setCookies() != 1 || got.seen.SessionID != s.ID {
			t.Errorf("%v", got.Header)
		}
		if n := old.project.Calls().Authenticate; n != calls {
			t.Errorf("%d calls", n-calls)
		}
		// One that is refused is not resealed.
		if got, err := rotated.revoke(both); err != nil || !got.clearedBoth(hostTokenCookie, hostJWTCookie) {
			t.Errorf("%v %v", err, got.Header)
		}
		if got := rotated.get(nil, both); got.seen.Status != 401 || !got.clearedBoth(hostTokenCookie, hostJWTCookie) {
			t.Errorf("%+v %v", got.seen, got.Header)
		}
	})
}

// What others set on the response stays, and of ours there is one word only.
func TestOneSetOfCookies(t *testing.T) {
	mine := func(got reply) (lines int) {
		for _, l := range got.Header["Set-Cookie"] {
			if strings.HasPrefix(l, tokenCookie+"=") || strings.HasPrefix(l, jwtCookie+"=") {
				lines++
			}
		}
		return lines
	}
	inWorld(t, nil, func(w *world) {
		run := func(op func(http.ResponseWriter, *http.Request), options ...option) reply {
			h := w.auth.Load(http.HandlerFunc(op))
			return w.get(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				http.SetCookie(rw, &http.Cookie{Name: "theirs", Value: "1"})
				http.SetCookie(rw, &http.Cookie{Name: "stytch_session_other", Value: "2"})
				rw.Header().Set("Cache-Control", "public, max-age=600")
				h.ServeHTTP(rw, r)
			}), options...)
		}
		s, next := w.login(), w.login()
		old := cookies(w.stale(s))
		for name, c := range map[string]struct {
			op    func(http.ResponseWriter, *http.Request)
			clear bool
			token string
		}{
			"nothing more": {func(http.ResponseWriter, *http.Request) {}, false, s.Tokens.SessionToken},
			"Refresh":      {func(rw http.ResponseWriter, r *http.Request) { _, _ = w.auth.Refresh(rw, r, time.Hour) }, false, s.Tokens.SessionToken},
			"Refresh and Hydrate": {func(rw http.ResponseWriter, r *http.Request) {
				_, _ = w.auth.Refresh(rw, r, time.Hour)
				_, _ = w.auth.Hydrate(rw, r, next.Tokens)
			}, false, next.Tokens.SessionToken},
			"Clear": {w.auth.Clear, true, ""},
			"Clear, then Hydrate": {func(rw http.ResponseWriter, r *http.Request) {
				w.auth.Clear(rw, r)
				_, _ = w.auth.Hydrate(rw, r, next.Tokens)
			}, false, next.Tokens.SessionToken},
		} {
			advance(10 * time.Second)
			got := run(c.op, old)
			value, set, _ := got.cookie(tokenCookie)
			if mine(got) != 2 || value != c.token || set == c.clear || got.clearedBoth(tokenCookie, jwtCookie) != c.clear ||
				got.setCookies() != 4 || got.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %v", name, got.Header)
			}
		}
		// Revoke after Load wrote new ones, last: it ends the session.
		advance(10 * time.Second)
		got := run(func(rw http.ResponseWriter, r *http.Request) {
			if err := w.auth.Revoke(rw, r); err != nil {
				t.Error(err)
			}
		}, old)
		if mine(got) != 2 || !got.clearedBoth(tokenCookie, jwtCookie) || got.setCookies() != 4 {
			t.Errorf("Revoke: %v", got.Header)
		}
		// A request for which no cookie was written keeps its Cache-Control.
		got = run(func(http.ResponseWriter, *http.Request) {}, cookies(next.Tokens))
		if mine(got) != 0 || got.Header.Get("Cache-Control") != "public, max-age=600" {
			t.Errorf("%v", got.Header)
		}
	})
}

// Where an answer has no JWT, what was said of its cookie before stands.
func TestEarlierWordStands(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		var first string
		got := w.get(w.auth.Load(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			first = rw.Header()["Set-Cookie"][1]
			w.project.FailAPI(stytchtest.SessionJWT(""))
			if _, err := w.auth.Refresh(rw, r, time.Hour*2); err != nil {
				t.Error(err)
			}
		})), cookies(w.stale(s)))
		lines := got.Header["Set-Cookie"]
		if len(lines) != 2 || !slices.Contains(lines, first) || !strings.HasPrefix(first, jwtCookie+"=ey") {
			t.Errorf("%q, at first %q", lines, first)
		}
		if c := got.Cookies(); !slices.ContainsFunc(c, func(c *http.Cookie) bool { return c.Name == tokenCookie && c.MaxAge == 7200 }) {
			t.Errorf("%v", c)
		}
	})
}

// browser keeps cookies as one does.
type browser struct {
	*world
	jar *cookiejar.Jar
	at  *url.URL
}

func (w *world) browser(at string) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.Fatal(err)
	}
	u, err := url.Parse(at)
	if err != nil {
		w.Fatal(err)
	}
	return &browser{w, jar, u}
}

func (b *browser) send(op func(http.ResponseWriter, *http.Request)) reply {
	r := httptest.NewRequest("POST", b.at.String(), nil)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, c := range b.jar.Cookies(b.at) {
		r.AddCookie(c)
	}
	rec := httptest.NewRecorder()
	op(rec, r)
	got := reply{Response: rec.Result()}
	b.jar.SetCookies(b.at, got.Cookies())
	return got
}

// session returns whose session the browser is in, by what the server says.
func (b *browser) session() (id string) {
	b.send(b.auth.Load(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if s, ok := sessionctx.From(r.Context()); ok {
			id = s.ID()
		}
	})).ServeHTTP)
	return id
}

// ours returns the session cookies that the browser would send to any host of
// the site.
func (b *browser) ours() (names []string) {
	for _, host := range []string{b.at.Host, "example.com", "other.example.com", "x.app.example.com"} {
		for _, c := range b.jar.Cookies(&url.URL{Scheme: "https", Host: host, Path: "/"}) {
			if strings.Contains(c.Name, "stytch") {
				names = append(names, host+" "+c.Name)
			}
		}
	}
	return names
}

// A browser in every posture, through logins, refreshes, exchanges, time and
// logouts in random order: it always has the session it logged in to last,
// each cookie once, and after a logout none.
func TestBrowser(t *testing.T) {
	for name, cookies := range map[string]middleware.Cookies{
		"shared": {}, "shared, Domain": {Domain: "example.com"}, "private": {Posture: middleware.Private},
		"sealed": {Posture: middleware.Private, Keys: [][]byte{keyA}},
	} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprint(name, seed), func(t *testing.T) {
				inWorld(t, func(c *middleware.Config) { c.Cookies = cookies }, func(w *world) {
					rnd := rand.New(rand.NewPCG(seed, 1))
					b := w.browser("https://app.example.com/page")
					current := ""
					if cookies.Domain != "" { // what a front end without availableToSubdomains left
						b.jar.SetCookies(b.at, []*http.Cookie{{Name: tokenCookie, Value: "left", Path: "/"}, {Name: jwtCookie, Value: "l.e.ft", Path: "/"}})
					}
					hydrate := func() {
						l := stytchtest.Login{Duration: 24 * time.Hour}
						if rnd.IntN(4) == 0 { // a JWT that fits no cookie
							l.CustomClaims = map[string]any{"blob": strings.Repeat("x", 3000)}
						}
						s := w.project.Login(l)
						b.send(func(rw http.ResponseWriter, r *http.Request) {
							if _, err := w.auth.Hydrate(rw, r, s.Tokens); err != nil {
								t.Errorf("Hydrate: %v", err)
							}
						})
						current = s.ID
					}
					hydrate()
					for step := range 40 {
						what := ""
						switch rnd.IntN(7) {
						case 0:
							what = "hydrate"
							hydrate()
						case 1:
							what = "refresh"
							b.send(func(rw http.ResponseWriter, r *http.Request) {
								if _, err := w.auth.Refresh(rw, r, 24*time.Hour); (err == nil) != (current != "") {
									t.Errorf("step %d: Refresh: %v", step, err)
								}
							})
						case 2, 3:
							what = "exchange"
							advance(6 * time.Minute)
						case 4:
							what = "revoke"
							if n := len(b.jar.Cookies(b.at)); (n > 0) != (current != "") {
								t.Errorf("step %d: %d cookies", step, n)
							}
							b.send(func(rw http.ResponseWriter, r *http.Request) {
								if err := w.auth.Revoke(rw, r); err != nil {
									t.Errorf("Revoke: %v", err)
								}
							})
							if _, live := w.project.Session(current); live {
								t.Errorf("step %d: the session lives on", step)
							}
							current = ""
						case 5:
							what = "revoked elsewhere"
							advance(6 * time.Minute)
							w.project.Revoke(current)
							current = ""
							b.session()
						case 6:
							what = "clear"
							b.send(w.auth.Clear)
							current = ""
						}
						if got := b.session(); got != current {
							t.Fatalf("step %d, %s: in session %q, want %q", step, what, got, current)
						}
						if left := b.ours(); current == "" && len(left) != 0 {
							t.Fatalf("step %d, %s: left behind %q", step, what, left)
						}
						names := map[string]int{}
						for _, c := range b.jar.Cookies(b.at) {
							if names[c.Name]++; names[c.Name] > 1 {
								t.Fatalf("step %d, %s: %s twice", step, what, c.Name)
							}
						}
					}
				})
			})
		}
	}
}

// A response that changes headers must not change those of another: the
// slices of a header map are not shared.
func TestHeadersNotShared(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login()
		theirs := []string{"a=1", tokenCookie + "=old; Path=/", "b=2"}
		before := slices.Clone(theirs)
		rec := httptest.NewRecorder()
		rec.Header()["Set-Cookie"] = theirs
		r := httptest.NewRequest("POST", "https://app.example.com/", nil)
		if _, err := w.auth.Hydrate(rec, r, s.Tokens); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(theirs, before) {
			t.Errorf("changed in place: %q", theirs)
		}
		if lines := rec.Header()["Set-Cookie"]; slices.Contains(lines, before[1]) || !slices.Contains(lines, before[0]) || !slices.Contains(lines, before[2]) {
			t.Errorf("%q", lines)
		}
	})
}
