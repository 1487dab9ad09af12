package stytchtest_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

func conformAuth(t *testing.T, p *stytchtest.Project, change func(*middleware.Config)) *middleware.Authenticator {
	t.Helper()
	cfg := p.Config()
	if change != nil {
		change(&cfg)
	}
	auth, err := middleware.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = auth.Close() })
	return auth
}

func fine(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "fine") }

// goodApp guards each route as it should be.
func goodApp(auth *middleware.Authenticator) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", fine)
	mux.Handle("GET /account", auth.RequireSession(http.HandlerFunc(fine)))
	mux.Handle("POST /account", auth.RequireSession(http.HandlerFunc(fine)))
	mux.Handle("POST /transfer", auth.RequireMFA(http.HandlerFunc(fine)))
	mux.Handle("DELETE /account/{id}", auth.Require(middleware.Within(10*time.Minute))(http.HandlerFunc(fine)))
	mux.Handle("GET /secrets", auth.Require(middleware.MFA, middleware.Fresh)(http.HandlerFunc(fine)))
	mux.Handle("GET /events", auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, ": hello\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})))
	return auth.Load(mux)
}

var goodRoutes = []stytchtest.Route{
	{Path: "/?lang=en"},
	{Path: "/account", Needs: stytchtest.NeedsSession},
	{Path: "https://app.example.com:8443/account", Needs: stytchtest.NeedsSession},
	{Method: "POST", Path: "/account", Body: "name=x", Needs: stytchtest.NeedsSession, Header: http.Header{"content-type": {"application/x-www-form-urlencoded"}}},
	{Method: "POST", Path: "/transfer", Needs: stytchtest.NeedsMFA},
	{Method: "DELETE", Path: "/account/7", Within: 10 * time.Minute},
	{Path: "/secrets", Needs: stytchtest.NeedsMFA | stytchtest.NeedsFresh},
	{Path: "/events", Needs: stytchtest.NeedsSession},
}

func TestConformFindsNothingInAGoodHandler(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	h := goodApp(conformAuth(t, p, nil))
	stytchtest.Conform(t, h, p, goodRoutes...)
	// A second time: it leaves nothing behind that matters.
	if found := stytchtest.Audit(h, p, goodRoutes[4]); len(found) > 0 {
		t.Errorf("the second time: %v", found)
	}
}

func TestConformLeavesFaultsAsTheyWere(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	auth := conformAuth(t, p, nil)
	seen := 0
	p.FailAPI(stytchtest.Watch(func(*http.Request, []byte) { seen++ }))
	if found := stytchtest.Audit(goodApp(auth), p, goodRoutes[1]); len(found) > 0 || seen == 0 {
		t.Errorf("%v, %d calls watched", found, seen)
	}
	before := seen
	post(t, p, authenticatePath, object{"session_token": p.Login(stytchtest.Login{}).Tokens.SessionToken})
	if seen != before+1 {
		t.Error("the fault is gone")
	}
}

// recorder is a testing.TB that notes errors instead of failing.
type recorder struct {
	testing.TB
	errors []string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, a ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, a...))
}
func (r *recorder) Error(a ...any) { r.errors = append(r.errors, fmt.Sprint(a...)) }

func TestConformReports(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	rec := &recorder{TB: t}
	stytchtest.Conform(rec, http.HandlerFunc(fine), p)
	if len(rec.errors) != 1 || rec.errors[0] != "stytchtest: Conform was given no routes" {
		t.Errorf("%q", rec.errors)
	}
	rec.errors = nil
	stytchtest.Conform(rec, http.HandlerFunc(fine), p, stytchtest.Route{Method: "POST", Path: "/transfer", Needs: stytchtest.NeedsMFA})
	want := "stytchtest: POST /transfer: one factor (bearer): is let in: status 200"
	if !slices.Contains(rec.errors, want) {
		t.Errorf("no %q in %q", want, rec.errors)
	}
	for _, e := range rec.errors {
		if strings.ContainsAny(e, "\n\r") {
			t.Errorf("%q is not one line", e)
		}
	}
}

// TestConformJudgesEveryCase: between a handler that lets everybody in and one
// that refuses everybody each kind of request is found wrong.
func TestConformJudgesEveryCase(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	routes := []stytchtest.Route{
		{Method: "POST", Path: "/a", Within: time.Minute, Needs: stytchtest.NeedsFresh},
		{Path: "/b", Needs: stytchtest.NeedsSession},
	}
	found := map[string]bool{}
	for name, h := range map[string]http.HandlerFunc{
		"open":   fine,
		"closed": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
	} {
		all := stytchtest.Audit(h, p, routes...)
		for _, f := range all {
			if problem := map[string]string{"open": "is let in", "closed": "is refused"}[name]; f.Problem == problem {
				found[f.Case] = true
			}
		}
	}
	// Every case, by every carrier.
	for _, c := range []string{
		"two factors (cookies)", "two factors (bearer)",
		"anonymous (no credential)", "anonymous (HEAD)", "anonymous (path escaped)", "anonymous (headers of proxies and frameworks)", "anonymous (empty cookies)",
		"one factor (cookies)", "one factor (bearer)", "two factors of one class (cookies)", "two factors of one class (bearer)",
		"the same factor twice (cookies)", "the same factor twice (bearer)",
		"impersonation and a phone (cookies)", "impersonation and a phone (bearer)", "imported session and a phone (cookies)", "imported session and a phone (bearer)",
		"unknown factor and a phone (cookies)", "unknown factor and a phone (bearer)", "no factors (cookies)", "no factors (bearer)",
		"two factors, the second too old (cookies)", "two factors, the second too old (bearer)",
		"two factors, the second of tomorrow (cookies)", "two factors, the second of tomorrow (bearer)",
		"two factors, session token alone (token cookie)", "two factors, stale JWT (cookies)", "two factors, stale JWT (bearer)",
		"stepped up a moment ago, older JWT (cookies)", "stepped up a moment ago, older JWT (bearer)",
		"revoked, JWT still good (cookies)", "revoked, JWT still good (bearer)", "revoked, stale JWT (cookies)", "revoked, stale JWT (bearer)",
		"revoked, session token alone (token as bearer)", "expired session (cookies)", "expired session (bearer)",
		"forged JWT (JWT cookie)", "forged JWT (bearer)", "forged stale JWT (JWT cookie)", "forged stale JWT (bearer)",
		"unsigned JWT (JWT cookie)", "unsigned JWT (bearer)", "JWT of an unknown key (JWT cookie)", "JWT of an unknown key (bearer)",
		"JWT for another project (JWT cookie)", "JWT for another project (bearer)", "session of another project (cookies)", "session of another project (bearer)",
		"M2M token (JWT cookie)", "M2M token (bearer)", "JWT without a user (JWT cookie)", "JWT without a user (bearer)",
		"two different bearers (bearer)", "two different cookies (cookies)", "bad bearer beside good cookies (both)",
		"from another site (cookies)", "from another site with a bearer (bearer)",
		"two factors, Stytch down (cookies)", "two factors, Stytch down (bearer)", "one factor, Stytch down (cookies)", "one factor, Stytch down (bearer)",
		"stale JWT, Stytch down (cookies)", "stale JWT, Stytch down (bearer)", "session token alone, Stytch down (token cookie)",
	} {
		if !found[c] {
			t.Errorf("%s is never found wrong", c)
		}
		delete(found, c)
	}
	for c := range found {
		t.Errorf("%s is not in the list", c)
	}
}

// TestConformFindsWhatIsBroken: handlers with the mistakes that people make,
// and what is found in them.
func TestConformFindsWhatIsBroken(t *testing.T) {
	session := stytchtest.Route{Path: "/x", Needs: stytchtest.NeedsSession}
	post := stytchtest.Route{Method: "POST", Path: "/x", Needs: stytchtest.NeedsSession}
	mfa := stytchtest.Route{Path: "/x", Needs: stytchtest.NeedsMFA}
	within := stytchtest.Route{Path: "/x", Within: time.Minute}
	fresh := stytchtest.Route{Path: "/x", Needs: stytchtest.NeedsFresh}
	open := stytchtest.Route{Path: "/x"}
	ok := http.HandlerFunc(fine)
	guardedBy := func(reqs ...middleware.Requirement) func(*middleware.Authenticator) http.Handler {
		return func(a *middleware.Authenticator) http.Handler { return a.Require(reqs...)(ok) }
	}
	for _, tt := range []struct {
		name    string
		handler func(*middleware.Authenticator) http.Handler
		change  func(*middleware.Config)
		route   stytchtest.Route
		want    []string // case: problem
		only    bool     // and nothing else
	}{
		{name: "no guard", route: session, handler: func(a *middleware.Authenticator) http.Handler { return a.Load(ok) }, want: []string{
			"anonymous (no credential): is let in", "forged JWT (bearer): is let in", "stale JWT, Stytch down (cookies): is let in"}},
		{name: "a guard too many", route: open, handler: guardedBy(), want: []string{"anonymous (no credential): is refused"}},
		{name: "a session for MFA", route: mfa, handler: guardedBy(), want: []string{
			"one factor (cookies): is let in", "one factor (bearer): is let in", "two factors of one class (bearer): is let in"}},
		{name: "MFA by counting", route: mfa, handler: guardedBy(middleware.MinFactors(2)), only: true, want: []string{
			"two factors of one class (cookies): is let in", "two factors of one class (bearer): is let in",
			"the same factor twice (cookies): is let in", "the same factor twice (bearer): is let in",
			"impersonation and a phone (cookies): is let in", "impersonation and a phone (bearer): is let in",
			"imported session and a phone (cookies): is let in", "imported session and a phone (bearer): is let in",
			"unknown factor and a phone (cookies): is let in", "unknown factor and a phone (bearer): is let in"}},
		{name: "MFA for a session", route: session, handler: guardedBy(middleware.MFA), want: []string{"one factor (bearer): is refused"}},
		{name: "MFA of any age", route: within, handler: guardedBy(middleware.MFA), only: true, want: []string{
			"two factors, the second too old (cookies): is let in", "two factors, the second too old (bearer): is let in",
			"two factors, the second of tomorrow (cookies): is let in", "two factors, the second of tomorrow (bearer): is let in"}},
		{name: "an age for any MFA", route: mfa, handler: guardedBy(middleware.Within(time.Second * 30)), want: []string{
			"two factors, the second too old (bearer): is refused"}},
		{name: "not fresh", route: fresh, handler: guardedBy(), only: true, want: []string{
			"revoked, JWT still good (cookies): is let in", "revoked, JWT still good (bearer): is let in",
			"two factors, Stytch down (cookies): is let in", "two factors, Stytch down (bearer): is let in",
			"one factor, Stytch down (cookies): is let in", "one factor, Stytch down (bearer): is let in"}},
		{name: "fresh without need", route: session, handler: guardedBy(middleware.Fresh), want: []string{"two factors, Stytch down (bearer): is refused"}},
		{name: "claims without verification", route: session, handler: readClaims, want: []string{
			"forged JWT (JWT cookie): is let in", "forged JWT (bearer): is let in", "forged stale JWT (bearer): is let in",
			"unsigned JWT (JWT cookie): is let in", "JWT of an unknown key (bearer): is let in", "JWT for another project (bearer): is let in",
			"session of another project (bearer): is let in", "M2M token (bearer): is let in", "expired session (bearer): is let in",
			"revoked, stale JWT (bearer): is let in"}},
		{name: "a custom check of the local factors", route: mfa, handler: func(a *middleware.Authenticator) http.Handler {
			return a.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s, _ := sessionctx.From(r.Context())
				var classes [8]bool
				n := 0
				for i := range s.NumFactors() {
					if c := s.Factor(i).Class(); c != sessionctx.None && !classes[c] {
						classes[c], n = true, n+1
					}
				}
				if n < 2 {
					w.WriteHeader(http.StatusForbidden)
				}
			}))
		}, want: []string{"stepped up a moment ago, older JWT (cookies): is refused", "one factor, Stytch down (bearer): an outage is answered"}},
		{name: "an outage is a 401", route: session, handler: guardedBy(), only: true, change: func(c *middleware.Config) {
			c.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusUnauthorized) }
		}, want: []string{
			"stale JWT, Stytch down (cookies): an outage is answered as if the session were over or lacked something",
			"stale JWT, Stytch down (bearer): an outage is answered as if the session were over or lacked something",
			"session token alone, Stytch down (token cookie): an outage is answered as if the session were over or lacked something"}},
		{name: "cookies cleared on any error", route: session, handler: guardedBy(), change: func(c *middleware.Config) {
			c.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
				http.SetCookie(w, &http.Cookie{Name: "stytch_session", Path: "/", MaxAge: -1})
				w.WriteHeader(middleware.Status(err))
			}
		}, want: []string{"stale JWT, Stytch down (cookies): an outage clears the cookies"}},
		{name: "the refused get cookies", route: session, handler: guardedBy(), change: func(c *middleware.Config) {
			c.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
				http.SetCookie(w, &http.Cookie{Name: "stytch_session", Value: "x", Path: "/"})
				w.WriteHeader(middleware.Status(err))
			}
		}, want: []string{"anonymous (no credential): has no session and gets session cookies"}},
		{name: "a guard by path", route: stytchtest.Route{Path: "/api/x", Needs: stytchtest.NeedsSession}, only: true, handler: func(a *middleware.Authenticator) http.Handler {
			guarded := a.RequireSession(ok)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.EscapedPath(), "/api/x") {
					guarded.ServeHTTP(w, r)
					return
				}
				a.Load(ok).ServeHTTP(w, r)
			})
		}, want: []string{"anonymous (path escaped): is let in"}},
		{name: "a guard by method", route: session, only: true, handler: func(a *middleware.Authenticator) http.Handler {
			guarded := a.RequireSession(ok)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					guarded.ServeHTTP(w, r)
					return
				}
				a.Load(ok).ServeHTTP(w, r)
			})
		}, want: []string{"anonymous (HEAD): is let in"}},
		{name: "a header decides", route: session, only: true, handler: func(a *middleware.Authenticator) http.Handler {
			guarded := a.RequireSession(ok)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Forwarded-User") == "admin" {
					a.Load(ok).ServeHTTP(w, r)
					return
				}
				guarded.ServeHTTP(w, r)
			})
		}, want: []string{"anonymous (headers of proxies and frameworks): is let in"}},
		{name: "the last header counts", route: session, only: true, handler: func(a *middleware.Authenticator) http.Handler {
			guarded := a.RequireSession(ok)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if all := r.Header["Authorization"]; len(all) > 1 {
					r.Header["Authorization"] = all[len(all)-1:]
				}
				guarded.ServeHTTP(w, r)
			})
		}, want: []string{"two different bearers (bearer): is let in"}},
		{name: "the first cookie counts", route: session, only: true, handler: func(a *middleware.Authenticator) http.Handler {
			guarded := a.RequireSession(ok)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sent := r.Cookies()
				r.Header.Del("Cookie")
				seen := map[string]bool{}
				for _, c := range sent {
					if !seen[c.Name] {
						r.AddCookie(c)
					}
					seen[c.Name] = true
				}
				guarded.ServeHTTP(w, r)
			})
		}, want: []string{"two different cookies (cookies): is let in"}},
		{name: "cookies after a bad bearer", route: session, only: true, handler: func(a *middleware.Authenticator) http.Handler {
			guarded := a.RequireSession(ok)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Cookie") != "" {
					r.Header.Del("Authorization")
				}
				guarded.ServeHTTP(w, r)
			})
		}, want: []string{"bad bearer beside good cookies (both): is let in"}},
		{name: "every site is trusted", route: post, handler: guardedBy(), only: true, change: func(c *middleware.Config) {
			c.TrustedOrigins = []string{"https://attacker.example"}
		}, want: []string{"from another site (cookies): is let in"}},
		{name: "no other site may ask", route: post, only: true, handler: func(a *middleware.Authenticator) http.Handler {
			return http.NewCrossOriginProtection().Handler(a.RequireSession(ok))
		}, want: []string{"from another site with a bearer (bearer): is refused"}},
		{name: "no bearer", route: session, handler: func(a *middleware.Authenticator) http.Handler {
			guarded := a.RequireSession(ok)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Del("Authorization")
				guarded.ServeHTTP(w, r)
			})
		}, want: []string{"two factors (bearer): is refused"}},
		{name: "no such route", route: session, handler: func(*middleware.Authenticator) http.Handler { return http.NotFoundHandler() },
			only: true, want: []string{"every case: there is no such route: nothing else was tried"}},
		{name: "another method", route: stytchtest.Route{Path: "/", Needs: stytchtest.NeedsSession}, handler: func(*middleware.Authenticator) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("POST /", http.NotFoundHandler())
			return mux
		}, only: true, want: []string{"every case: there is no such route: nothing else was tried"}},
		{name: "answers for everybody's cache", route: session, handler: func(a *middleware.Authenticator) http.Handler {
			return a.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Cache-Control", "public, max-age=60")
			}))
		}, only: true, want: []string{
			"two factors, session token alone (token cookie): a shared cache", "two factors, stale JWT (cookies): a shared cache",
		}},
		{name: "Vary replaced", route: session, handler: func(a *middleware.Authenticator) http.Handler {
			return a.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Vary", "Accept-Encoding")
			}))
		}, want: []string{"two factors (bearer): a shared cache", "one factor (cookies): a shared cache"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := stytchtest.New(stytchtest.Options{})
			found := stytchtest.Audit(tt.handler(conformAuth(t, p, tt.change)), p, tt.route)
			var lines []string
			for _, f := range found {
				lines = append(lines, f.Case+": "+f.Problem)
				if f.Route != tt.route.String() || f.Status == 0 {
					t.Errorf("%+v", f)
				}
			}
			for _, want := range tt.want {
				if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, want) }) {
					t.Errorf("not found: %s", want)
				}
			}
			if tt.only && len(found) != len(tt.want) {
				t.Errorf("found %d, want %d:\n%s", len(found), len(tt.want), strings.Join(lines, "\n"))
			}
		})
	}
}

// readClaims is what people write by hand: the claims, without looking at the
// signature.
func readClaims(*middleware.Authenticator) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if c, err := r.Cookie("stytch_session_jwt"); err == nil {
			token = c.Value
		}
		var claims struct{ Sub string }
		if parts := strings.Split(token, "."); len(parts) == 3 {
			b, _ := base64.RawURLEncoding.DecodeString(parts[1])
			_ = json.Unmarshal(b, &claims)
		}
		if claims.Sub == "" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
}

func TestConformRefusedByTheRoute(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	auth := conformAuth(t, p, func(c *middleware.Config) {
		c.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
			w.Header().Set("X-Status", fmt.Sprint(middleware.Status(err)))
			w.WriteHeader(http.StatusTeapot)
		}
	})
	route := stytchtest.Route{Path: "/x", Needs: stytchtest.NeedsMFA}
	h := auth.RequireMFA(http.HandlerFunc(fine))
	if found := stytchtest.Audit(h, p, route); len(found) == 0 {
		t.Error("a teapot counts as a refusal")
	}
	route.Refused = func(r *http.Response) bool { return r.StatusCode == http.StatusTeapot }
	if found := stytchtest.Audit(h, p, route); len(found) > 0 {
		t.Errorf("%v", found)
	}
}

// Hold a whole handler to what its routes are meant to ask for. In a test it
// is stytchtest.Conform(t, app, project, routes...).
func ExampleAudit() {
	project := stytchtest.New(stytchtest.Options{})
	auth, err := middleware.New(project.Config())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	app := http.NewServeMux()
	app.Handle("GET /account", auth.RequireSession(http.HandlerFunc(fine)))
	app.Handle("POST /transfer", auth.Require(middleware.MinFactors(2))(http.HandlerFunc(fine))) // should be MFA

	found := stytchtest.Audit(app, project,
		stytchtest.Route{Path: "/account", Needs: stytchtest.NeedsSession},
		stytchtest.Route{Method: "POST", Path: "/transfer", Needs: stytchtest.NeedsMFA},
	)
	fmt.Println(len(found), "findings, the first:")
	fmt.Println(found[0])
	// Output:
	// 10 findings, the first:
	// POST /transfer: two factors of one class (cookies): is let in: status 200
}

// A Route that cannot be is a mistake of the test's, said at once.
func TestConformOfNoRoute(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	for want, route := range map[string]stytchtest.Route{
		`stytchtest: Route.Path "account" is neither a path, which begins with /, nor a URL`: {Path: "account"},
		"stytchtest: Route.Within must not be negative":                                      {Path: "/", Within: -1},
	} {
		func() {
			defer func() {
				if p := recover(); p != want {
					t.Errorf("panic %v, want %q", p, want)
				}
			}()
			stytchtest.Audit(http.NotFoundHandler(), p, route)
		}()
	}
}
