package middleware_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

// What must become of a vector. Anything else is the reason for which the
// token is never acceptable, in the words of jwks.InvalidError.Reason: a
// vector that is refused for another reason than its own tests nothing.
const (
	vecAccepted     = "accepted"    // as the session it names
	vecStale        = "stale"       // well signed: Stytch is asked
	vecUnknownKey   = "unknown key" // not before the key set was fetched again
	vecMalformed    = "malformed"   // no JWT by its looks
	vecOpaque       = "opaque"      // looks like a session token: Stytch is asked about that
	vecAbsent       = "absent"      // counts as no credential, but not as a bearer
	vecBadSpelling  = "not three segments of canonical base64url"
	vecBadHeader    = "malformed header"
	vecBadAlgorithm = "algorithm is not RS256"
	vecBadType      = "header type is not JWT"
	vecBadExtension = "header member that is not supported"
	vecBadKID       = "no usable key id"
	vecBadSignature = "wrong signature"
	vecBadPayload   = "payload is not exact JSON"
	vecBadClaim     = "claim of the wrong JSON type"
	vecBadIssuer    = "wrong issuer"
	vecBadAudience  = "wrong audience"
	vecBadSubject   = "no subject"
	vecBadDates     = "exp, iat or nbf is missing or out of range"
	vecBadSession   = "no well-formed session claim"
	vecBadOrg       = "malformed organization claim"
)

// vector is one token of the corpus.
type vector struct {
	name string
	want string
	make func(*forge) string

	cookieWant string // in a cookie, where that differs
	noHeader   bool   // holds bytes that net/http lets into no header
	domain     bool   // for a project with a custom domain
}

// corpusKey is in the key set of every project here, and Stytch exchanges what
// it signed; so the corpus signs any bytes with a real key.
// foreignCorpusKey is the attacker's own.
var (
	corpusKey        = sync.OnceValue(newCorpusKey)
	foreignCorpusKey = sync.OnceValue(newCorpusKey)
)

func newCorpusKey() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
}

const (
	corpusKID    = "jwk-test-corpus"
	corpusDomain = "https://login.example.com"
)

// corpusCooldown is short, so that answers are still kept after it.
const corpusCooldown = time.Second

// forge makes the tokens of one project and session.
type forge struct {
	project *stytchtest.Project
	session stytchtest.Session
	now     time.Time
	kept    string // good, once made

	mu     sync.Mutex
	answer string // Stytch's about the session, once made
}

// corpusPayload has times relative to now as @±seconds@ (Unix) and
// #±seconds# (RFC 3339).
const (
	corpusHeader  = `{"alg":"RS256","kid":"KID","typ":"JWT"}`
	corpusPayload = `{"aud":["PROJECT"],"exp":@+300@,"https://stytch.com/session":{"id":"SESSION","started_at":"#+0#",` +
		`"last_accessed_at":"#+0#","expires_at":"#+3600#","attributes":{"user_agent":"","ip_address":""},` +
		`"authentication_factors":[{"type":"magic_link","delivery_method":"email","last_authenticated_at":"#+0#"}],` +
		`"roles":["stytch_user"]},"iat":@+0@,"iss":"stytch.com/PROJECT","nbf":@+0@,"sub":"USER"}`
)

var corpusTimes = regexp.MustCompile(`[@#][+-]\d+[@#]`)

// fill puts the project's values into a template.
func (f *forge) fill(template string) string {
	template = strings.NewReplacer("KID", corpusKID, "PROJECT", f.project.ID(), "SESSION", f.session.ID, "USER", f.session.UserID).Replace(template)
	return corpusTimes.ReplaceAllStringFunc(template, func(m string) string {
		n, err := strconv.Atoi(m[1 : len(m)-1])
		if err != nil {
			panic(err)
		}
		at := f.now.Add(time.Duration(n) * time.Second)
		if m[0] == '#' {
			return at.UTC().Format(time.RFC3339)
		}
		return strconv.FormatInt(at.Unix(), 10)
	})
}

// sign signs a header and a payload, templates both, with the project's key.
func (f *forge) sign(header, payload string) string {
	return f.signSegments(corpusKey(), corpusSegment(f.fill(header)), corpusSegment(f.fill(payload)))
}

func (f *forge) signSegments(key *rsa.PrivateKey, header, payload string) string {
	return header + "." + payload + "." + base64.RawURLEncoding.EncodeToString(rs256(key, header+"."+payload))
}

// good is the untouched token.
func (f *forge) good() string {
	if f.kept == "" {
		f.kept = f.sign(corpusHeader, corpusPayload)
	}
	return f.kept
}

func corpusSegment(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func rs256(key *rsa.PrivateKey, text string) []byte {
	digest := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	if err != nil {
		panic(err)
	}
	return sig
}

// corpusJWK is a public key as a member of a key set.
func corpusJWK(key *rsa.PrivateKey, kid string) map[string]any {
	return map[string]any{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
		"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
	}
}

// corpusProject is a project whose key set has corpusKey too.
func corpusProject(domain bool) *stytchtest.Project {
	o := stytchtest.Options{}
	if domain {
		o.CustomDomain = corpusDomain
	}
	p := stytchtest.New(o)
	var set map[string]any
	if err := json.Unmarshal(p.KeySet(), &set); err != nil {
		panic(err)
	}
	set["keys"] = append(set["keys"].([]any), corpusJWK(corpusKey(), corpusKID))
	body, err := json.Marshal(set)
	if err != nil {
		panic(err)
	}
	p.FailKeys(stytchtest.Reply(200, "application/json", string(body)))
	return p
}

// stytch makes Stytch answer for a JWT of corpusKey as for the session's token,
// and to either with one answer: its JWT takes long to sign.
func (f *forge) stytch() stytchtest.Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		body, _ := io.ReadAll(r.Body)
		var sent map[string]any
		_ = json.Unmarshal(body, &sent)
		jwt, _ := sent["session_jwt"].(string)
		header, _, _ := strings.Cut(jwt, ".")
		b, _ := base64.RawURLEncoding.DecodeString(header)
		if strings.Contains(string(b), corpusKID[1:]) { // one vector spells the first letter otherwise
			body = []byte(`{"session_token":"` + f.session.Tokens.SessionToken + `"}`)
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		if !bytes.Contains(body, []byte(f.session.Tokens.SessionToken)) {
			next.ServeHTTP(w, r)
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.answer == "" {
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			if rec.Code != http.StatusOK {
				panic(rec.Body.String())
			}
			f.answer = rec.Body.String()
		}
		stytchtest.Reply(200, "application/json", f.answer)(w, r, next)
	}
}

// carrierOf is one way in which a vector reaches the library.
type carrierOf struct {
	name    string
	header  bool // the token comes in a header: net/http's bytes only
	cookie  bool
	beside  bool // with the session's good token, which then decides
	hydrate bool
	options func(jwt string, s stytchtest.Session) []option
}

var corpusCarriers = []carrierOf{
	{name: "bearer", header: true, options: func(jwt string, _ stytchtest.Session) []option {
		return []option{corpusHeaderLine("Authorization", "Bearer "+jwt)}
	}},
	// A bad bearer does not fall through to good cookies.
	{name: "bearer beside good cookies", header: true, options: func(jwt string, s stytchtest.Session) []option {
		return []option{corpusHeaderLine("Authorization", "Bearer "+jwt), cookies(s.Tokens)}
	}},
	{name: "cookie", header: true, cookie: true, options: func(jwt string, _ stytchtest.Session) []option {
		return []option{corpusHeaderLine("Cookie", jwtCookie+"="+jwt)}
	}},
	{name: "cookie beside a good token", header: true, cookie: true, beside: true, options: func(jwt string, s stytchtest.Session) []option {
		return []option{corpusHeaderLine("Cookie", tokenCookie+"="+s.Tokens.SessionToken+"; "+jwtCookie+"="+jwt)}
	}},
	{name: "header", header: true, options: func(jwt string, _ stytchtest.Session) []option {
		return []option{corpusHeaderLine("X-Session-Jwt", jwt)}
	}},
	{name: "header beside a good token", header: true, beside: true, options: func(jwt string, s stytchtest.Session) []option {
		return []option{corpusHeaderLine("X-Session-Token", s.Tokens.SessionToken), corpusHeaderLine("X-Session-Jwt", jwt)}
	}},
	{name: "Hydrate", hydrate: true},
	{name: "Hydrate beside a good token", hydrate: true, beside: true},
}

func corpusHeaderLine(name, value string) option {
	return func(r *http.Request) { r.Header[name] = []string{value} }
}

// TestCorpus sends every vector through every carrier, to an Authenticator
// that has seen nothing and again after it has seen the untouched token (the
// positive control, which must pass: no vector is refused because the carrier
// does not work).
func TestCorpus(t *testing.T) {
	vectors := corpusVectors()
	names := map[string]bool{}
	wants := map[string]int{}
	for _, v := range vectors {
		if names[v.name] {
			t.Errorf("two vectors are called %q", v.name)
		}
		names[v.name] = true
		wants[v.want]++
		t.Run(v.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testVector(t, v) })
		})
	}
	t.Logf("%d vectors by %d carriers: %v", len(vectors), len(corpusCarriers), wants)
	if len(vectors) < 200 {
		t.Errorf("%d vectors, want 200", len(vectors))
	}
}

func testVector(t *testing.T, v vector) {
	p := corpusProject(v.domain)
	f := &forge{project: p, session: p.Login(stytchtest.Login{}), now: time.Now()}
	token := v.make(f)
	for _, c := range corpusCarriers {
		if v.noHeader && c.header {
			continue
		}
		p.FailAPI(f.stytch())
		hosts := &hostWatch{next: p.Transport()}
		w := newWorld(t, p, func(cfg *middleware.Config) {
			cfg.TokenHeader, cfg.JWTHeader = "X-Session-Token", "X-Session-Jwt"
			cfg.KeyCooldown = corpusCooldown
			cfg.HTTPClient = &http.Client{Transport: hosts}
		})
		synctest.Wait()
		run := corpusRun{w: w, v: v, c: c, f: f}
		run.send(token, "cold")
		run.control()
		run.send(token, "warm")
		_ = w.auth.Close()
		if len(hosts.foreign) > 0 {
			t.Errorf("%s: asked %q", c.name, hosts.foreign)
		}
	}
}

// hostWatch notes requests to any other host than the project's.
type hostWatch struct {
	next    http.RoundTripper
	mu      sync.Mutex
	foreign []string
}

func (h *hostWatch) RoundTrip(r *http.Request) (*http.Response, error) {
	if host := r.URL.Scheme + "://" + r.URL.Host; host != "https://test.stytch.com" && host != corpusDomain {
		h.mu.Lock()
		h.foreign = append(h.foreign, host)
		h.mu.Unlock()
	}
	return h.next.RoundTrip(r)
}

type corpusRun struct {
	w *world
	v vector
	c carrierOf
	f *forge
}

// vecOutcome is what one request must come to.
type vecOutcome struct {
	status  int // under RequireSession
	session bool
	source  string
	why     string // in the error
	calls   int
	cookies bool // both are written
}

// expected is the table: outcome by carrier.
func (x corpusRun) expected(warm bool) vecOutcome {
	want := x.v.want
	if x.c.cookie && x.v.cookieWant != "" {
		want = x.v.cookieWant
	}
	first := func(n int) int { // answers are kept
		if warm {
			return 0
		}
		return n
	}
	byToken := vecOutcome{status: 200, session: true, source: "remote", calls: 1, cookies: x.c.cookie}
	if warm {
		byToken.source, byToken.calls, byToken.cookies = "local", 0, false
	}
	switch want {
	case vecAccepted:
		e := vecOutcome{status: 200, session: true, source: "local"}
		if x.c.hydrate {
			e.source, e.calls, e.cookies = "remote", 1, true
		}
		return e
	case vecStale:
		e := vecOutcome{status: 200, session: true, source: "remote", calls: first(1), cookies: x.c.cookie || x.c.hydrate}
		if x.c.hydrate {
			e.calls = 1
		} else if warm {
			e.source = "local"
		}
		return e
	case vecOpaque:
		switch {
		case x.c.hydrate:
			return vecOutcome{status: 400}
		case x.c.beside:
			return byToken
		case !x.c.cookie && x.c.name != "header":
			return vecOutcome{status: 401, why: "session is over", calls: first(1)}
		}
		return vecOutcome{status: 401, why: "malformed"}
	case vecMalformed, vecAbsent:
		switch {
		case x.c.hydrate:
			return vecOutcome{status: 400}
		case x.c.beside:
			return byToken
		case x.c.cookie || want == vecAbsent && x.c.name == "header":
			return vecOutcome{status: 401} // or net/http takes it for no cookie at all
		}
		return vecOutcome{status: 401, why: "malformed"}
	}
	why := want
	if want == vecUnknownKey {
		why = "signed with an unknown key"
	}
	if x.c.beside && !x.c.hydrate {
		return byToken
	}
	return vecOutcome{status: 401, why: why}
}

// send sends the token under Load and under RequireSession, or to Hydrate.
func (x corpusRun) send(token, when string) {
	x.w.Helper()
	if x.v.want == vecUnknownKey {
		// Unknown keys must wait for the cool-down; before it the answer would
		// be 503.
		advance(corpusCooldown)
	}
	e := x.expected(when == "warm")
	if x.v.want == vecStale && when == "cold" {
		x.outage(token)
	}
	before := x.w.project.Calls()
	if x.c.hydrate {
		x.hydrate(token, when, e)
	} else {
		load := x.w.get(nil, x.c.options(token, x.f.session)...)
		x.judge(when+" under Load", load, e)
		if (e.session || e.why != "") && !strings.Contains(load.seen.Err, e.why) {
			x.w.Errorf("%s, %s: %q, want %q", x.c.name, when, load.seen.Err, e.why)
		}
		if !e.session && (load.seen.Status != e.status || load.StatusCode != 200) {
			x.w.Errorf("%s, %s under Load: %d, the handler saw %+v, want %d", x.c.name, when, load.StatusCode, load.seen, e.status)
		}
		// The next request comes a moment later: a call's answer is kept.
		again := e
		if e.source == "remote" {
			again.source, again.cookies = "local", e.cookies && x.v.want == vecStale
		}
		if x.v.want == vecUnknownKey {
			advance(corpusCooldown)
		}
		guarded := x.w.get(x.w.auth.RequireSession(x.w.report()), x.c.options(token, x.f.session)...)
		x.judge(when+" under RequireSession", guarded, again)
		if guarded.StatusCode != e.status {
			x.w.Errorf("%s, %s: %d under RequireSession, want %d", x.c.name, when, guarded.StatusCode, e.status)
		}
	}
	after := x.w.project.Calls()
	if got := after.Authenticate - before.Authenticate; got != e.calls {
		x.w.Errorf("%s, %s: %d authenticate calls, want %d", x.c.name, when, got, e.calls)
	}
	if after.Other != before.Other || after.Revoke != before.Revoke || after.List != before.List {
		x.w.Errorf("%s, %s: calls %+v after %+v", x.c.name, when, after, before)
	}
	if got := after.KeySet - before.KeySet; got != 0 && x.v.want != vecUnknownKey {
		x.w.Errorf("%s, %s: %d key fetches", x.c.name, when, got)
	}
}

func (x corpusRun) judge(when string, got reply, e vecOutcome) {
	x.w.Helper()
	if e.session {
		if got.seen.SessionID != x.f.session.ID || got.seen.UserID != x.f.session.UserID || got.seen.Source != e.source {
			x.w.Errorf("%s, %s: %+v, want the session from %s", x.c.name, when, got.seen, e.source)
		}
	} else if got.seen.SessionID != "" || got.seen.UserID != "" {
		x.w.Errorf("%s, %s: a session: %+v", x.c.name, when, got.seen)
	}
	x.judgeCookies(when, got.Response, e.cookies)
}

func (x corpusRun) judgeCookies(when string, got *http.Response, want bool) {
	x.w.Helper()
	lines := got.Header["Set-Cookie"]
	switch {
	case !want && len(lines) > 0:
		x.w.Errorf("%s, %s: cookies touched: %q", x.c.name, when, lines)
	case want && len(lines) != 2:
		x.w.Errorf("%s, %s: %d cookies written, want 2: %q", x.c.name, when, len(lines), lines)
	case want && got.Header.Get("Cache-Control") != "no-store":
		x.w.Errorf("%s, %s: Cache-Control %q", x.c.name, when, got.Header.Get("Cache-Control"))
	}
	for _, c := range got.Cookies() {
		if c.MaxAge < 0 || c.Value == "" {
			x.w.Errorf("%s, %s: %s was cleared", x.c.name, when, c.Name)
		}
	}
}

// outage: what only Stytch can decide is no session while Stytch is down, and
// nobody is logged out.
func (x corpusRun) outage(token string) {
	x.w.Helper()
	x.w.project.FailAPI(stytchtest.Down())
	defer x.w.project.FailAPI(x.f.stytch())
	if x.c.hydrate {
		rec := httptest.NewRecorder()
		_, err := x.w.auth.Hydrate(rec, httptest.NewRequest("POST", "https://app.example.com/", nil), x.tokens(token))
		if !errors.Is(err, middleware.ErrUnavailable) || len(rec.Header()["Set-Cookie"]) > 0 {
			x.w.Errorf("%s in an outage: %v, %v", x.c.name, err, rec.Header())
		}
		return
	}
	got := x.w.get(x.w.auth.RequireSession(x.w.report()), x.c.options(token, x.f.session)...)
	if got.StatusCode != 503 || got.setCookies() != 0 || got.seen.SessionID != "" {
		x.w.Errorf("%s in an outage: %d %v %+v", x.c.name, got.StatusCode, got.Header, got.seen)
	}
}

func (x corpusRun) tokens(jwt string) middleware.Tokens {
	t := middleware.Tokens{SessionJWT: jwt}
	if x.c.beside {
		t.SessionToken = x.f.session.Tokens.SessionToken
	}
	return t
}

func (x corpusRun) hydrate(token, when string, e vecOutcome) {
	x.w.Helper()
	if token == "" && x.c.beside {
		return // then there is just the token
	}
	rec := httptest.NewRecorder()
	s, err := x.w.auth.Hydrate(rec, httptest.NewRequest("POST", "https://app.example.com/", nil), x.tokens(token))
	got := rec.Result()
	if middleware.Status(err) != e.status || err != nil && !strings.Contains(err.Error(), e.why) {
		x.w.Errorf("%s, %s: %v, want %d %s", x.c.name, when, err, e.status, e.why)
	}
	if (s != nil) != e.session || s != nil && (s.ID() != x.f.session.ID || s.UserID() != x.f.session.UserID) {
		x.w.Errorf("%s, %s: session %v", x.c.name, when, s)
	}
	x.judgeCookies(when, got, e.cookies)
}

// control sends the untouched token by the same carrier.
func (x corpusRun) control() {
	x.w.Helper()
	good := x.f.good()
	if x.c.hydrate {
		s, err := x.w.auth.Hydrate(httptest.NewRecorder(), httptest.NewRequest("POST", "https://app.example.com/", nil), x.tokens(good))
		if err != nil || s.ID() != x.f.session.ID {
			x.w.Errorf("%s: the control: %v %v", x.c.name, s, err)
		}
		return
	}
	got := x.w.get(x.w.auth.RequireSession(x.w.report()), x.c.options(good, x.f.session)...)
	if got.StatusCode != 200 || got.seen.SessionID != x.f.session.ID || got.seen.Source != "local" || got.setCookies() != 0 {
		x.w.Errorf("%s: the control: %d %+v", x.c.name, got.StatusCode, got.seen)
	}
}
