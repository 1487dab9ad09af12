package stytchtest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stytchware/stytchware/middleware"
)

// Needs says what a [Route] is meant to ask of a request. Flags combine:
// NeedsMFA | NeedsFresh.
type Needs uint8

const (
	NeedsSession Needs = 1 << iota // any session of the project; zero is open to everybody
	NeedsMFA                       // factors of two classes, as middleware.RequireMFA
	NeedsFresh                     // a session that Stytch confirmed for this request, as middleware.Fresh
)

// Route is one route of the handler under test and what guards it.
type Route struct {
	_ [0]func()

	Method string      // default GET
	Path   string      // with a query, or a whole URL; the host is example.com by default
	Body   string      // default none
	Header http.Header // of every request, such as Content-Type

	Needs Needs // default: nothing, the route is open
	// Within asks for MFA whose second factor is at most that old, as
	// middleware.Within. Default: of any age.
	Within time.Duration

	// Refused reports whether an answer refuses the request, for a handler with
	// an ErrorHandler of its own. Default: its status is 401, 403 or 503.
	Refused func(*http.Response) bool
}

// String is the route's method and path.
func (r Route) String() string { return r.method() + " " + r.Path }

func (r Route) method() string {
	if r.Method == "" {
		return http.MethodGet
	}
	return r.Method
}

func (r Route) needsMFA() bool     { return r.Needs&NeedsMFA != 0 || r.Within > 0 }
func (r Route) needsFresh() bool   { return r.Needs&NeedsFresh != 0 }
func (r Route) needsSession() bool { return r.Needs != 0 || r.Within > 0 }

func (r Route) unsafe() bool {
	return !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace}, r.method())
}

// Finding is one thing that a route does and should not do.
type Finding struct {
	Route   string // such as "POST /transfer"
	Case    string // who asked: "one factor (cookies)"
	Problem string // what the route did, such as "is let in"
	Status  int    // of the answer
}

// String is the finding in one line.
func (f Finding) String() string {
	return fmt.Sprintf("%s: %s: %s: status %d", f.Route, f.Case, f.Problem, f.Status)
}

// Conform sends each route of h three dozen kinds of requests, anonymous ones,
// sessions with all sorts of factors, revoked, expired, forged and foreign
// ones, from another site and while Stytch is down, and reports to t whoever
// is let in and should not be, or is refused and should not be.
//
// h must serve with a middleware of p's [Project.Config], with default cookie
// names, not private ones, and bearer tokens. It runs for every request that is let in, so its own
// store should be a test's. Conform makes sessions in p and lets p's API fail
// for a while; it leaves the faults as they were. h and p must not be used by
// anybody else meanwhile. Each route takes four session tokens from the budget
// for unknown ones (middleware's Config.OpaqueBurst): beyond two dozen routes
// it needs a larger one.
func Conform(t testing.TB, h http.Handler, p *Project, routes ...Route) {
	t.Helper()
	if len(routes) == 0 {
		t.Error("stytchtest: Conform was given no routes")
	}
	for _, f := range Audit(h, p, routes...) {
		t.Errorf("stytchtest: %s", f)
	}
}

// Audit is [Conform] without a test: it returns what it found, routes in the
// order given.
func Audit(h http.Handler, p *Project, routes ...Route) []Finding {
	a := &audit{handler: h, project: p, foreign: New(Options{}), before: p.faults.api.Load()}
	defer a.restore()
	for _, r := range routes {
		if !strings.HasPrefix(r.Path, "/") && !strings.Contains(r.Path, "://") {
			panic(fmt.Sprintf("stytchtest: Route.Path %q is neither a path, which begins with /, nor a URL", r.Path))
		}
		if r.Within < 0 {
			panic("stytchtest: Route.Within must not be negative")
		}
		a.route = r
		if !a.control() {
			continue
		}
		for _, c := range conformCases[1:] {
			a.run(c)
		}
	}
	return a.found
}

// control tries the session that every route should let in, and reports whether
// there is such a route at all.
func (a *audit) control() bool {
	c, before := conformCases[0], len(a.found)
	a.run(c)
	found := a.found[before:]
	for _, f := range found {
		if f.Problem != notReached {
			return true
		}
	}
	if len(found) < len(c.carriers) {
		return true
	}
	f := found[0]
	f.Case, f.Problem = "every case", "there is no such route: nothing else was tried"
	a.found = append(a.found[:before], f)
	return false
}

const notReached = "does not reach the route"

// audit is one call of Audit.
type audit struct {
	handler http.Handler
	project *Project
	foreign *Project // whose sessions are none here
	before  *Fault
	route   Route
	found   []Finding
}

func (a *audit) restore() { a.project.faults.api.Store(a.before) }

// verdict is what should become of a request.
type verdict uint8

const (
	unjudged verdict = iota
	letIn
	refuse
)

// conformCase is one kind of request.
type conformCase struct {
	name   string
	want   func(Route) verdict
	outage bool // Stytch is down: what only it can tell is no logout
	// login makes the credentials; nil tokens for none.
	login func(*audit) middleware.Tokens
	// carriers send them; each makes a request of its own.
	carriers []conformCarrier
}

type conformCarrier struct {
	name    string
	add     func(*http.Request, middleware.Tokens)
	onlyFor func(Route) bool // nil: every route
}

var (
	byCookies   = conformCarrier{name: "cookies", add: AddCookies}
	byBearer    = conformCarrier{name: "bearer", add: func(r *http.Request, t middleware.Tokens) { AddBearer(r, t.SessionJWT) }}
	byJWTCookie = conformCarrier{name: "JWT cookie", add: func(r *http.Request, t middleware.Tokens) {
		AddCookies(r, middleware.Tokens{SessionJWT: t.SessionJWT})
	}}
	byTokenCookie = conformCarrier{name: "token cookie", add: func(r *http.Request, t middleware.Tokens) {
		AddCookies(r, middleware.Tokens{SessionToken: t.SessionToken})
	}}
	byTokenBearer = conformCarrier{name: "token as bearer", add: func(r *http.Request, t middleware.Tokens) { AddBearer(r, t.SessionToken) }}

	usual   = []conformCarrier{byCookies, byBearer}
	jwtOnly = []conformCarrier{byJWTCookie, byBearer}
)

// Who is let in.
func everybody(Route) verdict { return letIn }

func ifOpen(r Route) verdict { return ifNot(r.needsSession()) }

func ifNoMFA(r Route) verdict { return ifNot(r.needsMFA()) }

func ifAnyAge(r Route) verdict { return ifNot(r.Within > 0) }

func ifNot(refused bool) verdict {
	if refused {
		return refuse
	}
	return letIn
}

func withFactors(factors ...Factor) func(*audit) middleware.Tokens {
	return func(a *audit) middleware.Tokens { return a.project.Login(Login{Factors: factors}).Tokens }
}

// mfa logs in with factors that satisfy every route.
func (a *audit) mfa() Session {
	return a.project.Login(Login{Factors: []Factor{EmailMagicLink(), SMS()}})
}

func fullMFA(a *audit) middleware.Tokens { return a.mfa().Tokens }

// minted is a session that satisfies every route with a JWT that differs from
// its own.
func minted(m Mint) func(*audit) middleware.Tokens {
	return func(a *audit) middleware.Tokens {
		return middleware.Tokens{SessionJWT: a.project.MintJWT(a.mfa().ID, m)}
	}
}

// staled replaces the JWT by one that has expired.
func (a *audit) staled(s Session) middleware.Tokens {
	s.Tokens.SessionJWT = a.project.MintJWT(s.ID, Mint{IssuedAt: now().Add(-2 * time.Hour)})
	return s.Tokens
}

var conformCases = []conformCase{
	// The first is the control.
	{name: "two factors", want: everybody, login: fullMFA, carriers: usual},
	{name: "anonymous", want: ifOpen, carriers: []conformCarrier{
		{name: "no credential", add: func(*http.Request, middleware.Tokens) {}},
		{name: "HEAD", add: func(r *http.Request, _ middleware.Tokens) { r.Method = http.MethodHead },
			onlyFor: func(r Route) bool { return r.method() == http.MethodGet && r.needsSession() }},
		{name: "path escaped", add: escapePath, onlyFor: Route.needsSession},
		{name: "headers of proxies and frameworks", add: proxyHeaders, onlyFor: Route.needsSession},
		{name: "empty cookies", add: func(r *http.Request, _ middleware.Tokens) {
			r.Header.Set("Cookie", tokenCookie+"=; "+jwtCookie+"=undefined")
		}},
	}},
	{name: "one factor", want: ifNoMFA, login: withFactors(EmailMagicLink()), carriers: usual},
	{name: "two factors of one class", want: ifNoMFA, login: withFactors(EmailMagicLink(), GoogleOAuth()), carriers: usual},
	{name: "the same factor twice", want: ifNoMFA, login: withFactors(SMS(), SMS()), carriers: usual},
	{name: "impersonation and a phone", want: ifNoMFA, login: withFactors(Impersonation(), SMS()), carriers: usual},
	{name: "imported session and a phone", want: ifNoMFA, login: withFactors(Imported(), SMS()), carriers: usual},
	{name: "unknown factor and a phone", want: ifNoMFA, login: withFactors(Unknown("telepathy", "brainwave"), SMS()), carriers: usual},
	{name: "no factors", want: ifNoMFA, login: withFactors(), carriers: usual},
	{name: "two factors, the second too old", want: ifAnyAge, carriers: usual, login: func(a *audit) middleware.Tokens {
		return withFactors(EmailMagicLink(), SMS().At(now().Add(-a.route.Within-time.Minute)))(a)
	}},
	{name: "two factors, the second of tomorrow", want: ifAnyAge, carriers: usual, login: func(a *audit) middleware.Tokens {
		return withFactors(EmailMagicLink(), SMS().At(now().Add(24*time.Hour)))(a)
	}},
	{name: "two factors, session token alone", want: everybody, login: fullMFA, carriers: []conformCarrier{byTokenCookie}},
	{name: "two factors, stale JWT", want: everybody, carriers: usual, login: func(a *audit) middleware.Tokens { return a.staled(a.mfa()) }},
	{name: "stepped up a moment ago, older JWT", want: everybody, carriers: usual, login: func(a *audit) middleware.Tokens {
		s := a.project.Login(Login{Factors: []Factor{EmailMagicLink()}})
		a.project.AddFactor(s.ID, SMS())
		return s.Tokens
	}},
	{name: "revoked, JWT still good", carriers: usual, login: func(a *audit) middleware.Tokens {
		s := a.mfa()
		a.project.Revoke(s.ID)
		return s.Tokens
	}, want: func(r Route) verdict {
		if r.needsFresh() {
			return refuse
		}
		return unjudged // a JWT counts for five minutes
	}},
	{name: "revoked, stale JWT", want: ifOpen, carriers: usual, login: func(a *audit) middleware.Tokens {
		s := a.mfa()
		t := a.staled(s)
		a.project.Revoke(s.ID)
		return t
	}},
	{name: "revoked, session token alone", want: ifOpen, carriers: []conformCarrier{byTokenBearer}, login: func(a *audit) middleware.Tokens {
		s := a.mfa()
		a.project.Revoke(s.ID)
		return s.Tokens
	}},
	{name: "expired session", want: ifOpen, carriers: usual, login: func(a *audit) middleware.Tokens {
		return a.project.Login(Login{Factors: []Factor{EmailMagicLink(), SMS()}, Duration: -time.Minute}).Tokens
	}},
	{name: "forged JWT", want: ifOpen, carriers: jwtOnly, login: minted(Mint{Forged: true})},
	{name: "forged stale JWT", want: ifOpen, carriers: jwtOnly, login: func(a *audit) middleware.Tokens {
		return minted(Mint{Forged: true, IssuedAt: now().Add(-2 * time.Hour)})(a)
	}},
	{name: "unsigned JWT", want: ifOpen, carriers: jwtOnly, login: func(a *audit) middleware.Tokens {
		t := minted(Mint{Header: map[string]any{"alg": "none"}})(a)
		t.SessionJWT = t.SessionJWT[:strings.LastIndexByte(t.SessionJWT, '.')+1]
		return t
	}},
	{name: "JWT of an unknown key", want: ifOpen, carriers: jwtOnly, login: minted(Mint{UnknownKey: true})},
	{name: "JWT for another project", want: ifOpen, carriers: jwtOnly, login: minted(Mint{ProjectID: "project-test-00000000-0000-0000-0000-000000000000"})},
	{name: "session of another project", want: ifOpen, carriers: usual, login: func(a *audit) middleware.Tokens {
		return a.foreign.Login(Login{Factors: []Factor{EmailMagicLink(), SMS()}}).Tokens
	}},
	{name: "M2M token", want: ifOpen, carriers: jwtOnly, login: minted(Mint{NoSessionClaim: true, Claims: map[string]any{"scope": "admin"}})},
	{name: "JWT without a user", want: ifOpen, carriers: jwtOnly, login: minted(Mint{Claims: map[string]any{"sub": nil}})},
	{name: "two different bearers", want: ifOpen, login: fullMFA, carriers: []conformCarrier{{name: "bearer", add: func(r *http.Request, t middleware.Tokens) {
		AddBearer(r, t.SessionJWT)
		r.Header.Add("Authorization", "Bearer "+t.SessionToken)
	}}}},
	{name: "two different cookies", want: ifOpen, login: fullMFA, carriers: []conformCarrier{{name: "cookies", add: func(r *http.Request, t middleware.Tokens) {
		AddCookies(r, t)
		AddCookies(r, middleware.Tokens{SessionJWT: t.SessionJWT + "A"})
	}}}},
	{name: "bad bearer beside good cookies", want: ifOpen, login: fullMFA, carriers: []conformCarrier{{name: "both", add: func(r *http.Request, t middleware.Tokens) {
		AddCookies(r, t)
		AddBearer(r, "a.b.c")
	}}}},
	{name: "from another site", want: ifOpen, login: fullMFA, carriers: []conformCarrier{
		{name: "cookies", add: crossSite(AddCookies), onlyFor: Route.unsafe},
	}},
	{name: "from another site with a bearer", want: everybody, login: fullMFA, carriers: []conformCarrier{
		{name: "bearer", add: crossSite(byBearer.add), onlyFor: Route.needsSession},
	}},
	{name: "two factors, Stytch down", outage: true, login: fullMFA, carriers: usual, want: func(r Route) verdict { return ifNot(r.needsFresh()) }},
	{name: "one factor, Stytch down", outage: true, login: withFactors(EmailMagicLink()), carriers: usual,
		want: func(r Route) verdict { return ifNot(r.needsMFA() || r.needsFresh()) }},
	{name: "stale JWT, Stytch down", outage: true, want: ifOpen, carriers: usual,
		login: func(a *audit) middleware.Tokens { return a.staled(a.mfa()) }},
	{name: "session token alone, Stytch down", outage: true, want: ifOpen, login: fullMFA, carriers: []conformCarrier{byTokenCookie}},
}

// escapePath writes a letter of the path as %xx: the same path to Go, another
// to whoever compares text.
func escapePath(r *http.Request, _ middleware.Tokens) {
	path := r.URL.EscapedPath()
	i := strings.LastIndexFunc(path, func(c rune) bool { return 'a' <= c && c <= 'z' })
	if i < 0 || i > 1 && path[i-1] == '%' || i > 2 && path[i-2] == '%' {
		return
	}
	r.URL.RawPath = fmt.Sprintf("%s%%%02X%s", path[:i], path[i], path[i+1:])
	r.URL.Path, _ = url.PathUnescape(r.URL.RawPath)
	r.RequestURI = r.URL.RequestURI()
}

// proxyHeaders are headers by which other frameworks were talked out of their
// guards (CVE-2025-29927, CVE-2026-41248).
func proxyHeaders(r *http.Request, _ middleware.Tokens) {
	for name, value := range map[string]string{
		"X-Middleware-Subrequest": "middleware:middleware:middleware:middleware:middleware", "X-Original-URL": "/", "X-Rewrite-URL": "/",
		"X-Forwarded-User": "admin", "X-User-Id": "admin", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "localhost", "X-HTTP-Method-Override": "OPTIONS",
	} {
		r.Header.Set(name, value)
	}
}

func crossSite(add func(*http.Request, middleware.Tokens)) func(*http.Request, middleware.Tokens) {
	return func(r *http.Request, t middleware.Tokens) {
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Origin", "https://attacker.example")
		add(r, t)
	}
}

// run sends one kind of request to the route, by each of its carriers.
func (a *audit) run(c conformCase) {
	for _, by := range c.carriers {
		if by.onlyFor != nil && !by.onlyFor(a.route) {
			continue
		}
		var t middleware.Tokens
		if c.login != nil {
			t = c.login(a)
		}
		if c.outage {
			a.project.FailAPI(Error(http.StatusInternalServerError, "internal_server_error"))
		}
		answer := a.send(by.add, t)
		if c.outage {
			a.restore()
			// Several failures in a row would make the middleware pause.
			a.send(byBearer.add, a.staled(a.mfa()))
		}
		a.judge(c, by, answer)
	}
}

func (a *audit) send(add func(*http.Request, middleware.Tokens), t middleware.Tokens) *http.Response {
	target := a.route.Path
	if strings.HasPrefix(target, "/") {
		target = "https://example.com" + target
	}
	r := httptest.NewRequest(a.route.method(), target, strings.NewReader(a.route.Body))
	for name, values := range a.route.Header {
		r.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	if a.route.unsafe() {
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	add(r, t)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	w := &answering{ResponseRecorder: httptest.NewRecorder(), flushed: cancel}
	a.handler.ServeHTTP(w, r.WithContext(ctx))
	return w.Result()
}

// answering ends a request once its answer streams: nobody listens.
type answering struct {
	*httptest.ResponseRecorder
	flushed func()
}

// Flush implements http.Flusher.
func (w *answering) Flush() {
	w.ResponseRecorder.Flush()
	w.flushed()
}

func (a *audit) judge(c conformCase, by conformCarrier, got *http.Response) {
	add := func(problem string) {
		a.found = append(a.found, Finding{a.route.String(), c.name + " (" + by.name + ")", problem, got.StatusCode})
	}
	refused := a.refused(got)
	missing := got.StatusCode == http.StatusNotFound || got.StatusCode == http.StatusMethodNotAllowed
	switch want := c.want(a.route); {
	case missing && by.name == "HEAD", missing && by.name == "path escaped":
		// not the route's
	case missing && want == letIn && !c.outage:
		add(notReached)
	case want == letIn && refused:
		add("is refused")
	case want == refuse && !refused:
		add("is let in")
	case want == refuse && c.outage && (got.StatusCode == http.StatusUnauthorized || got.StatusCode == http.StatusForbidden):
		add("an outage is answered as if the session were over or lacked something")
	}
	set, cleared := sessionCookies(got)
	if c.outage && cleared {
		add("an outage clears the cookies")
	}
	if set && c.want(Route{Needs: NeedsSession}) == refuse {
		add("has no session and gets session cookies")
	}
	if !refused && !missing && a.route.needsSession() && shared(got, set) {
		add("a shared cache may hand the answer to others: Cache-Control or Vary was replaced")
	}
}

func (a *audit) refused(got *http.Response) bool {
	if a.route.Refused != nil {
		return a.route.Refused(got)
	}
	switch got.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable:
		return true
	case http.StatusBadRequest: // of the middleware, not of the handler
		return got.Header.Get("WWW-Authenticate") != ""
	}
	return false
}

func sessionCookies(got *http.Response) (set, cleared bool) {
	for _, c := range got.Cookies() {
		if c.Name == tokenCookie || c.Name == jwtCookie {
			set, cleared = set || c.MaxAge >= 0, cleared || c.MaxAge < 0
		}
	}
	return set, cleared
}

// shared reports whether a cache between many users may store the answer and
// give it to another one (RFC 9111).
func shared(got *http.Response, setsCookies bool) bool {
	control := strings.ToLower(strings.Join(got.Header["Cache-Control"], ","))
	vary := strings.ToLower(strings.Join(got.Header["Vary"], ","))
	switch {
	case strings.Contains(control, "no-store"):
		return false
	case setsCookies:
		return true
	case strings.Contains(control, "private"):
		return false
	}
	return !strings.Contains(vary, "*") && !(strings.Contains(vary, "cookie") && strings.Contains(vary, "authorization"))
}
