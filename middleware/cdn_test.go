package middleware_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

// cdn is a shared cache between many users and one handler (RFC 9111), as bad
// as the RFC allows: it stores whatever it may, Set-Cookie included, and takes
// an answer that says nothing about its freshness for good for an hour.
type cdn struct {
	handler http.Handler
	stored  map[string][]*cached
	hits    int

	ignoresVary bool // what the RFC does not allow, and some do for cookies
}

type cached struct {
	sent    http.Header // of the request it was stored for
	answer  *httptest.ResponseRecorder
	expires time.Time
}

func directives(lines []string) map[string]string {
	all := map[string]string{}
	for part := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if name != "" {
			all[strings.ToLower(name)] = strings.Trim(value, `"`)
		}
	}
	return all
}

// lifetime is how long the cache may reuse an answer without asking; 0 for not
// at all (RFC 9111 sections 3, 3.5 and 4.2).
func (c *cdn) lifetime(r *http.Request, code int, h http.Header) time.Duration {
	d := directives(h["Cache-Control"])
	has := func(name string) bool { _, ok := d[name]; return ok }
	switch {
	case r.Method != http.MethodGet, has("no-store"), has("private"), has("no-cache"):
		return 0
	case r.Header.Get("Authorization") != "" && !has("public") && !has("s-maxage") && !has("must-revalidate"):
		return 0
	}
	for _, name := range []string{"s-maxage", "max-age"} {
		if has(name) {
			n, err := strconv.Atoi(d[name])
			if err != nil {
				return 0
			}
			return time.Duration(n) * time.Second
		}
	}
	if e := h.Get("Expires"); e != "" {
		at, err := http.ParseTime(e)
		if err != nil {
			return 0
		}
		return time.Until(at)
	}
	if slices.Contains([]int{200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501}, code) || has("public") {
		return time.Hour // heuristically
	}
	return 0
}

// matches is section 4.1: each field that Vary names is the same in both
// requests.
func (c *cdn) matches(e *cached, r *http.Request) bool {
	if c.ignoresVary {
		return true
	}
	for name := range directives(e.answer.Result().Header["Vary"]) {
		if name == "*" || !slices.Equal(e.sent.Values(name), r.Header.Values(name)) {
			return false
		}
	}
	return true
}

func (c *cdn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := r.URL.String()
	for _, e := range c.stored[key] {
		if r.Method == http.MethodGet && time.Now().Before(e.expires) && c.matches(e, r) {
			c.hits++
			replay(w, e.answer)
			return
		}
	}
	rec := httptest.NewRecorder()
	c.handler.ServeHTTP(rec, r)
	if life := c.lifetime(r, rec.Code, rec.Result().Header); life > 0 {
		if c.stored == nil {
			c.stored = map[string][]*cached{}
		}
		c.stored[key] = append(c.stored[key], &cached{r.Header.Clone(), rec, time.Now().Add(life)})
	}
	replay(w, rec)
}

func replay(w http.ResponseWriter, rec *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), rec.Result().Header)
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

// whoever answers with the name of the user, under what headers set.
func whoever(set http.Header) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, values := range set {
			for i, v := range values {
				if i == 0 {
					w.Header().Set(name, v)
				} else {
					w.Header().Add(name, v)
				}
			}
		}
		if s, ok := sessionctx.From(r.Context()); ok {
			_, _ = w.Write([]byte(s.UserID()))
			return
		}
		_, _ = w.Write([]byte("nobody"))
	})
}

// visitor is a user, or nobody, who asks for the same page in one way.
type visitor struct {
	name, user string
	tokens     middleware.Tokens // none of it may come to anybody else
	options    []option
}

// visitors are two users with credentials of all kinds, twice over, and nobody.
func visitors(w *world) []visitor {
	all := []visitor{{name: "nobody", user: "nobody"}}
	for _, who := range []string{"alice", "bob"} {
		add := func(how string, options func(stytchtest.Session) []option) {
			l := w.login(stytchtest.EmailMagicLink())
			all = append(all, visitor{who + " with " + how, l.UserID, l.Tokens, options(l)})
		}
		add("a bearer", func(l stytchtest.Session) []option { return []option{bearer(l.Tokens.SessionJWT)} })
		add("a token as bearer", func(l stytchtest.Session) []option { return []option{bearer(l.Tokens.SessionToken)} })
		add("a stale bearer", func(l stytchtest.Session) []option { return []option{bearer(w.stale(l).SessionJWT)} })
		add("cookies", func(l stytchtest.Session) []option { return []option{cookies(l.Tokens)} })
		add("stale cookies", func(l stytchtest.Session) []option { return []option{cookies(w.stale(l))} })
		add("the token's cookie", func(l stytchtest.Session) []option {
			return []option{cookies(middleware.Tokens{SessionToken: l.Tokens.SessionToken})}
		})
		add("headers", func(l stytchtest.Session) []option { return []option{header("X-Session-Jwt", l.Tokens.SessionJWT)} })
		add("a token in a header", func(l stytchtest.Session) []option {
			return []option{header("X-Session-Token", l.Tokens.SessionToken)}
		})
	}
	// A session that is over: its cookies are cleared.
	gone := w.login()
	w.project.Revoke(gone.ID)
	return append(all, visitor{"carol, whose session is over", "nobody", gone.Tokens, []option{cookies(w.stale(gone))}})
}

// leaks lets everybody ask through the cache, twice in turn, and returns who
// got what was another's.
func leaks(w *world, c *cdn, all []visitor, guarded bool) (found []string) {
	for range 2 {
		for _, v := range all {
			got := w.get(c, v.options...)
			want := got.body == v.user
			if guarded && v.user == "nobody" {
				want = got.StatusCode == 401
			}
			if !want {
				found = append(found, v.name+" got the answer of another: "+got.body)
			}
			for _, line := range got.Header["Set-Cookie"] {
				for _, other := range all {
					if other.tokens.SessionToken != v.tokens.SessionToken && other.tokens.SessionToken != "" && strings.Contains(line, other.tokens.SessionToken) {
						found = append(found, v.name+" got the cookie of "+other.name)
					}
				}
				if v.user == "nobody" && v.tokens.SessionToken == "" {
					found = append(found, v.name+" got a cookie")
				}
			}
			advance(time.Second)
		}
	}
	return found
}

// cacheHeaders are what handlers say about caching, from nothing to the worst.
var cacheHeaders = map[string]http.Header{
	"nothing":                    nil,
	"public":                     {"Cache-Control": {"public, max-age=60"}},
	"public alone":               {"Cache-Control": {"public"}},
	"max-age":                    {"Cache-Control": {"max-age=60"}},
	"s-maxage":                   {"Cache-Control": {"s-maxage=60"}},
	"must-revalidate":            {"Cache-Control": {"max-age=60, must-revalidate"}},
	"immutable":                  {"Cache-Control": {"public, max-age=31536000, immutable"}},
	"Expires":                    {"Expires": {"Fri, 01 Jan 2100 00:00:00 GMT"}},
	"Expires and public":         {"Expires": {"Fri, 01 Jan 2100 00:00:00 GMT"}, "Cache-Control": {"public"}},
	"private":                    {"Cache-Control": {"private, max-age=60"}},
	"no-store":                   {"Cache-Control": {"no-store"}},
	"an ETag":                    {"ETag": {`"1"`}, "Last-Modified": {"Fri, 01 Jan 1999 00:00:00 GMT"}},
	"two lines of Cache-Control": {"Cache-Control": {"public", "max-age=60"}},
}

func inCDN(t *testing.T, set http.Header, guarded bool, body func(w *world, c *cdn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, stytchtest.New(stytchtest.Options{}), func(c *middleware.Config) {
			c.TokenHeader, c.JWTHeader = "X-Session-Token", "X-Session-Jwt"
		})
		h := w.auth.Load(whoever(set))
		if guarded {
			h = w.auth.RequireSession(whoever(set))
		}
		body(w, &cdn{handler: h})
	})
}

// TestSharedCache: behind a cache that keeps to RFC 9111 nobody gets another's
// answer or cookies, whatever the handler says of caching, and even where it
// takes back the no-store that came with a new cookie (CVE-2025-48947,
// CVE-2025-64762): Vary stays, and names every header that can carry a
// session.
func TestSharedCache(t *testing.T) {
	hits := 0
	for name, set := range cacheHeaders {
		for _, guarded := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", guarded"}[guarded], func(t *testing.T) {
				inCDN(t, set, guarded, func(w *world, c *cdn) {
					for _, leak := range leaks(w, c, visitors(w), guarded) {
						t.Error(leak)
					}
					hits += c.hits
				})
			})
		}
	}
	if hits < 100 {
		t.Errorf("%d hits: the cache caches nothing", hits)
	}
}

// TestCarelessCache: some caches do not look at Vary where it names Cookie. An
// answer that sets or clears a session cookie says no-store, and a denial
// does; so these do not leak through one either, unless the handler takes
// no-store back. Other answers are the handler's to mark as private.
func TestCarelessCache(t *testing.T) {
	for _, name := range []string{"nothing", "an ETag"} {
		inCDN(t, cacheHeaders[name], false, func(w *world, c *cdn) {
			c.ignoresVary = true
			var news []visitor // whose cookies are written or cleared
			for _, v := range visitors(w) {
				if strings.Contains(v.name, "stale cookies") || strings.Contains(v.name, "the token's") || strings.Contains(v.name, "over") {
					news = append(news, v)
				}
			}
			for _, v := range news {
				got := w.get(c, v.options...)
				if got.body != v.user || got.setCookies() != 2 || got.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s: %s, %s: %v", name, v.name, got.body, got.Header)
				}
			}
			if len(news) != 5 || c.hits != 0 || len(c.stored) != 0 {
				t.Errorf("%s: %d visitors, %d hits, %d stored", name, len(news), c.hits, len(c.stored))
			}
		})
	}
	// Denials, of which one answer must not do for all.
	inCDN(t, nil, true, func(w *world, c *cdn) {
		c.ignoresVary = true
		w.get(c)
		if l := w.login(); w.get(c, cookies(l.Tokens)).body != l.UserID {
			t.Error("a denial was cached")
		}
	})
}

// TestWhatNoMiddlewareCanPrevent states the limits: the handler has the
// ResponseWriter that the server gave, so the last word on its headers is the
// handler's. Each leaks in the model, which also shows that the model finds
// leaks. stytchtest.Conform reports the first two.
func TestWhatNoMiddlewareCanPrevent(t *testing.T) {
	t.Run("the handler replaces Vary and says public", func(t *testing.T) {
		set := http.Header{"Vary": {"Accept-Encoding"}, "Cache-Control": {"public, max-age=60"}}
		inCDN(t, set, false, func(w *world, c *cdn) {
			if len(leaks(w, c, visitors(w), false)) == 0 {
				t.Error("no leak: the limit is gone")
			}
		})
	})
	t.Run("the handler says public and the cache ignores Vary", func(t *testing.T) {
		inCDN(t, cacheHeaders["public"], false, func(w *world, c *cdn) {
			c.ignoresVary = true
			if len(leaks(w, c, visitors(w), false)) == 0 {
				t.Error("no leak: the limit is gone")
			}
		})
	})
	// Before a login all users send the same: nothing. Vary cannot tell them
	// apart, and only no-store keeps the new cookies from the next one.
	login := func(set http.Header) func(w *world) (first, second reply) {
		return func(w *world) (reply, reply) {
			l := w.login()
			c := &cdn{handler: w.auth.Load(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if _, err := w.auth.Hydrate(rw, r, l.Tokens); err != nil {
					t.Error(err)
				}
				whoever(set).ServeHTTP(rw, r)
				l = w.login()
			}))}
			return w.get(c), w.get(c)
		}
	}
	inWorld(t, nil, func(w *world) {
		first, second := login(nil)(w)
		if a, _, _ := first.cookie(tokenCookie); a == "" {
			t.Error("no cookie")
		} else if b, _, _ := second.cookie(tokenCookie); a == b {
			t.Error("the second visitor got the first one's cookie")
		}
	})
	t.Run("a login by GET says public", func(t *testing.T) {
		inWorld(t, nil, func(w *world) {
			first, second := login(cacheHeaders["public"])(w)
			if a, _, _ := first.cookie(tokenCookie); a == "" {
				t.Error("no cookie")
			} else if b, _, _ := second.cookie(tokenCookie); a != b {
				t.Error("no leak: the limit is gone")
			}
		})
	})
}

// TestCDNModel holds the cache to RFC 9111.
func TestCDNModel(t *testing.T) {
	auth := http.Header{"Authorization": {"Bearer x"}}
	for _, tt := range []struct {
		name      string
		method    string
		sent, got http.Header
		code      int
		want      time.Duration
	}{
		{"nothing said", "GET", nil, nil, 200, time.Hour},
		{"nothing said, with cookies", "GET", http.Header{"Cookie": {"a=b"}}, http.Header{"Set-Cookie": {"a=c"}}, 200, time.Hour},
		{"POST", "POST", nil, http.Header{"Cache-Control": {"max-age=60"}}, 200, 0},
		{"401", "GET", nil, nil, 401, 0},
		{"401 with max-age", "GET", nil, http.Header{"Cache-Control": {"max-age=60"}}, 401, time.Minute},
		{"no-store", "GET", nil, http.Header{"Cache-Control": {"public, max-age=60", "no-store"}}, 200, 0},
		{"private", "GET", nil, http.Header{"Cache-Control": {"Private"}}, 200, 0},
		{"no-cache", "GET", nil, http.Header{"Cache-Control": {"no-cache"}}, 200, 0},
		{"Authorization", "GET", auth, nil, 200, 0},
		{"Authorization, max-age", "GET", auth, http.Header{"Cache-Control": {"max-age=60"}}, 200, 0},
		{"Authorization, public", "GET", auth, http.Header{"Cache-Control": {"public, max-age=60"}}, 200, time.Minute},
		{"Authorization, s-maxage", "GET", auth, http.Header{"Cache-Control": {"s-maxage=30"}}, 200, 30 * time.Second},
		{"s-maxage before max-age", "GET", nil, http.Header{"Cache-Control": {"max-age=60, s-maxage=30"}}, 200, 30 * time.Second},
		{"max-age that is no number", "GET", nil, http.Header{"Cache-Control": {"max-age=x"}}, 200, 0},
		{"Expires that is no date", "GET", nil, http.Header{"Expires": {"0"}}, 200, 0},
	} {
		r := httptest.NewRequest(tt.method, "/", nil)
		maps.Copy(r.Header, tt.sent)
		if got := (&cdn{}).lifetime(r, tt.code, tt.got); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	c := &cdn{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", r.URL.Query().Get("vary"))
		_, _ = w.Write([]byte(r.Header.Get("A")))
	})}
	ask := func(vary, a string) string {
		r := httptest.NewRequest("GET", "/?vary="+vary, nil)
		r.Header.Set("A", a)
		rec := httptest.NewRecorder()
		c.ServeHTTP(rec, r)
		return rec.Body.String()
	}
	for _, tt := range []struct{ vary, first, second, want string }{
		{"B", "x", "y", "x"}, {"a", "x", "y", "y"}, {"A", "x", "x", "x"}, {"*", "x", "y", "y"},
	} {
		if ask(tt.vary, tt.first); ask(tt.vary, tt.second) != tt.want {
			t.Errorf("%+v", tt)
		}
	}
}
