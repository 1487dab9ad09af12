package middleware_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

// The faults below happen on real sockets, to a client that is the library's
// own unless the fault needs another.

// part tells which of the two services behind Config.BaseURL a request is for.
func part(r *http.Request) string {
	if strings.HasPrefix(r.URL.Path, "/v1/sessions/jwks/") {
		return "keys"
	}
	return "API"
}

// wireFault is a fault of a server, or another place that the connection is
// made to.
type wireFault struct {
	fault stytchtest.Fault
	place *place
	hangs bool // until a timeout
}

// place is where connections go instead of to Stytch.
type place struct {
	base   string
	client *http.Transport
}

// detour sends the requests for one part, or for both, to a place while it is
// on.
type detour struct {
	part string
	to   *place
	on   atomic.Bool
	own  http.RoundTripper
}

func (d *detour) RoundTrip(r *http.Request) (*http.Response, error) {
	if !d.on.Load() || d.part != "" && part(r) != d.part {
		return d.own.RoundTrip(r)
	}
	u, err := url.Parse(d.to.base)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.Host = u.Scheme, u.Host, u.Host
	return d.to.client.RoundTrip(r)
}

func transport(t *testing.T) *http.Transport {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// reset closes the connection the hard way.
func reset(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

// drip sends one byte of the answer each second.
func drip(w http.ResponseWriter, r *http.Request, next http.Handler) {
	a := httptest.NewRecorder()
	next.ServeHTTP(a, r)
	w.WriteHeader(a.Code)
	out := http.NewResponseController(w)
	for _, b := range a.Body.Bytes() {
		_, _ = w.Write([]byte{b})
		_ = out.Flush()
		select {
		case <-time.After(time.Second):
		case <-r.Context().Done():
			return
		}
	}
}

// dripHeader does the same with the header.
func dripHeader(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer c.Close()
	for _, b := range []byte("HTTP/1.1 200 OK\r\n") {
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
		<-time.After(time.Second)
	}
}

// spaces are white space that may follow any JSON: what comes before it is a
// good answer.
var spaces = sync.OnceValue(func() []byte { return bytes.Repeat([]byte{' '}, 10<<20) })

var packedSpaces = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(spaces())
	_ = z.Close()
	return bytes.Repeat(b.Bytes(), 20) // 200 MiB in 200 kB: one gzip stream after another is one body
})

func tenMegabytes(w http.ResponseWriter, r *http.Request, next http.Handler) {
	a := httptest.NewRecorder()
	next.ServeHTTP(a, r)
	w.WriteHeader(a.Code)
	_, _ = w.Write(a.Body.Bytes())
	_, _ = w.Write(spaces())
}

func gzipBomb(w http.ResponseWriter, r *http.Request, next http.Handler) {
	a := httptest.NewRecorder()
	next.ServeHTTP(a, r)
	w.Header().Set("Content-Encoding", "gzip")
	w.WriteHeader(a.Code)
	z := gzip.NewWriter(w)
	_, _ = z.Write(a.Body.Bytes())
	_ = z.Close()
	_, _ = w.Write(packedSpaces())
}

// stranger is a server nobody should send anything to.
type stranger struct {
	*httptest.Server
	requests, credentials atomic.Int64
}

// newStranger starts one; start is (*httptest.Server).Start or StartTLS.
func newStranger(t *testing.T, start func(*httptest.Server)) *stranger {
	s := &stranger{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if body, _ := io.ReadAll(r.Body); len(body) > 0 || r.Header.Get("Authorization") != "" {
			s.credentials.Add(1)
		}
		_, _ = io.WriteString(w, "{}")
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the handshakes that fail
	start(s.Server)
	t.Cleanup(s.Close)
	t.Cleanup(func() {
		if n := s.requests.Load(); n > 0 {
			t.Errorf("%d requests, %d with credentials, arrived at another host", n, s.credentials.Load())
		}
	})
	return s
}

// wireFaults are made anew for each subtest, whose end they must not outlive.
var wireFaults = map[string]func(t *testing.T) wireFault{
	"refused": func(t *testing.T) wireFault {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		return wireFault{place: &place{"http://" + l.Addr().String(), transport(t)}}
	},
	"certificate of nobody": func(t *testing.T) wireFault {
		s := newStranger(t, (*httptest.Server).StartTLS)
		return wireFault{place: &place{s.URL, transport(t)}}
	},
	"certificate of another host": func(t *testing.T) wireFault {
		s := newStranger(t, (*httptest.Server).StartTLS)
		tr := transport(t)
		tr.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone() // trusts it
		_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
		return wireFault{place: &place{"https://localhost:" + port, tr}}
	},
	"reset":            fault(reset),
	"closed":           fault(stytchtest.Down()),
	"hangs":            timesOut(stytchtest.Hang()),
	"drips":            timesOut(drip),
	"drips its header": timesOut(dripHeader),
	"500":              fault(stytchtest.Error(500, "internal_server_error")),
	"502 page":         fault(stytchtest.HTML(502)),
	"200 page":         fault(stytchtest.HTML(200)),
	"429":              fault(stytchtest.TooManyRequests("")),
	"429 for 2 s":      fault(stytchtest.TooManyRequests("2")),
	"429 until a date": fault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		stytchtest.TooManyRequests(time.Now().Add(2*time.Second).UTC().Format(http.TimeFormat))(w, r, next)
	}),
	"truncated":     fault(stytchtest.Truncated()),
	"cut":           fault(stytchtest.Cut()),
	"empty object":  fault(stytchtest.Reply(200, "application/json", `{}`)),
	"no keys":       fault(stytchtest.Reply(200, "application/json", `{"keys":[],"status_code":200}`)),
	"10 MiB":        fault(tenMegabytes),
	"gzip bomb":     fault(gzipBomb),
	"wrong secret":  fault(stytchtest.Error(401, "unauthorized_credentials")),
	"redirect, 307": redirects(307),
	"redirect, 301": redirects(301),
}

func fault(f stytchtest.Fault) func(*testing.T) wireFault {
	return func(*testing.T) wireFault { return wireFault{fault: f} }
}

func timesOut(f stytchtest.Fault) func(*testing.T) wireFault {
	return func(*testing.T) wireFault { return wireFault{fault: f, hangs: true} }
}

func redirects(status int) func(*testing.T) wireFault {
	return func(t *testing.T) wireFault {
		to := newStranger(t, (*httptest.Server).Start).URL
		return wireFault{fault: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			w.Header().Set("Location", to+r.URL.Path)
			w.WriteHeader(status)
		}}
	}
}

// shop is a program that uses the library, on a socket.
type shop struct {
	*testing.T
	project *stytchtest.Project
	auth    *middleware.Authenticator
	url     string
	client  *http.Client
}

// open starts the shop; stytch is the base URL. New must return at once, whatever the network does.
func (s *shop) open(stytch string, change func(*middleware.Config)) {
	s.Helper()
	cfg := s.project.Config()
	cfg.BaseURL, cfg.HTTPClient = stytch, nil // the library's own
	cfg.KeyCooldown = 300 * time.Millisecond
	cfg.Logger = slog.New(slog.DiscardHandler)
	if change != nil {
		change(&cfg)
	}
	began := time.Now()
	auth, err := middleware.New(cfg)
	if d := time.Since(began); err != nil || d > 4*time.Second { // waiting for a network that hangs takes 5 s; in a bubble the tests want 0
		s.Fatalf("New: %v after %s", err, d)
	}
	s.Cleanup(func() { _ = auth.Close() })
	s.auth = auth
	mux := http.NewServeMux()
	mux.Handle("/session", auth.RequireSession(http.HandlerFunc(tell)))
	mux.Handle("/mfa", auth.RequireMFA(http.HandlerFunc(tell)))
	mux.Handle("/fresh", auth.Require(middleware.Fresh)(http.HandlerFunc(tell)))
	server := httptest.NewUnstartedServer(auth.Load(mux))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	s.Cleanup(server.Close)
	s.url, s.client = server.URL, server.Client()
}

func openShop(t *testing.T, change func(*middleware.Config)) *shop {
	p := stytchtest.NewServer(t, stytchtest.Options{})
	s := &shop{T: t, project: p.Project}
	s.open(p.URL, change)
	return s
}

// tell answers with the session's id and user.
func tell(w http.ResponseWriter, r *http.Request) {
	if s, ok := sessionctx.From(r.Context()); ok {
		_, _ = io.WriteString(w, s.ID()+" "+s.UserID())
	}
}

// answer is what a client of the shop got.
type answer struct {
	status  int
	header  http.Header
	session string // "" unless 200
	took    time.Duration
}

func (s *shop) try(path string, o option) (answer, error) {
	r, err := http.NewRequest("GET", s.url+path, nil)
	if err != nil {
		return answer{}, err
	}
	o(r)
	began := time.Now()
	res, err := s.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	a := answer{status: res.StatusCode, header: res.Header, took: time.Since(began)}
	if res.StatusCode == 200 {
		a.session, _, _ = strings.Cut(string(body), " ")
	}
	return a, err
}

// get asks for a path. Whatever happens to Stytch, no answer may be a 401, and
// a 503 says when to come again, clears nothing and asks for no login.
func (s *shop) get(path string, o option) answer {
	s.Helper()
	a, err := s.try(path, o)
	if err != nil {
		s.Errorf("%s: %v", path, err)
		return a
	}
	switch a.status {
	case 200:
	case 503:
		retry, err := strconv.Atoi(a.header.Get("Retry-After"))
		if err != nil || retry < 1 || retry > 60 {
			s.Errorf("%s: 503 with Retry-After %q", path, a.header.Get("Retry-After"))
		}
		if a.header["Set-Cookie"] != nil || a.header["Www-Authenticate"] != nil || a.header.Get("Cache-Control") != "no-store" {
			s.Errorf("%s: 503 with %v", path, a.header)
		}
	default:
		s.Errorf("%s: %d %v", path, a.status, a.header)
	}
	return a
}

func (s *shop) want(what, path string, o option, status int, session stytchtest.Session) answer {
	s.Helper()
	a := s.get(path, o)
	if a.status != status || status == 200 && a.session != session.ID {
		s.Errorf("%s: %d, session %q, want %d, %q", what, a.status, a.session, status, session.ID)
	}
	return a
}

// recovers polls until o is served. How soon that is, the tests with a clock of
// their own say; this one is a limit for a machine under load.
func (s *shop) recovers(what, path string, o option, session stytchtest.Session) {
	s.Helper()
	began := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C {
		if a := s.get(path, o); a.status == 200 && a.session == session.ID || s.Failed() {
			return
		}
		if d := time.Since(began); d > 20*time.Second {
			s.Errorf("%s: not served for %s", what, d)
			return
		}
	}
}

func (s *shop) login() stytchtest.Session { return s.project.Login(stytchtest.Login{}) }

func (s *shop) stale(of stytchtest.Session) middleware.Tokens {
	return middleware.Tokens{SessionToken: of.Tokens.SessionToken,
		SessionJWT: s.project.MintJWT(of.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-10 * time.Minute)})}
}

// Each fault of the key endpoint and of the API, there at start or coming while
// requests are served.
func TestFaultsOnTheWire(t *testing.T) {
	packedSpaces() // takes a while
	// Those that hang wait together, which t.Parallel would not let them: it
	// counts processors.
	var all sync.WaitGroup
	room := make(chan struct{}, 4)
	for name, fault := range wireFaults {
		for _, where := range []string{"keys", "API"} {
			for _, when := range []string{"at start", "while serving"} {
				if name == "wrong secret" && where == "keys" || name == "no keys" && where == "API" {
					continue
				}
				all.Go(func() {
					t.Run(strings.Join([]string{where, when, name}, ", "), func(t *testing.T) {
						f := fault(t)
						switch {
						case f.hangs && testing.Short():
							t.Skip("takes 5 s")
						case !f.hangs:
							room <- struct{}{}
							defer func() { <-room }()
						}
						p := stytchtest.NewServer(t, stytchtest.Options{})
						s := &shop{T: t, project: p.Project}
						s.through(p.URL, f, where, when == "at start")
					})
				})
			}
		}
	}
	all.Wait()
}

func (s *shop) through(stytch string, f wireFault, where string, atStart bool) {
	d := &detour{part: where, to: f.place}
	engage := func(on bool) {
		var now stytchtest.Fault
		if on {
			now = f.fault
		}
		switch {
		case f.place != nil:
			d.on.Store(on)
		case where == "keys":
			s.project.FailKeys(now)
		default:
			s.project.FailAPI(now)
		}
	}
	known, late, pair, alone, opaque := s.login(), s.login(), s.login(), s.login(), s.login()
	var failed atomic.Int64 // fetches
	if atStart {
		engage(true)
	}
	s.open(stytch, func(c *middleware.Config) {
		c.Observer.KeyFetch = func(k middleware.KeyFetch) {
			if !k.OK {
				failed.Add(1)
			}
		}
		if f.place != nil {
			d.own = transport(s.T)
			c.HTTPClient = &http.Client{Transport: d}
		}
	})
	if !atStart {
		s.recovers("before the fault", "/session", bearer(known.Tokens.SessionJWT), known)
		engage(true)
	}
	stalePair, staleAlone := cookies(s.stale(pair)), bearer(s.stale(alone).SessionJWT)
	var requests sync.WaitGroup
	during := func(what, path string, o option, status int, session stytchtest.Session) {
		requests.Go(func() {
			// What a request waits at most, 3 s for the keys and as much for the
			// API, is tested by a clock that no other program slows down.
			if a := s.want(what, path, o, status, session); a.took > 20*time.Second {
				s.Errorf("%s took %s", what, a.took)
			}
		})
	}
	works := func(what, path string, o option, session stytchtest.Session) {
		requests.Go(func() { s.recovers(what, path, o, session) })
	}
	// meets asks until a fetch has met the fault: at first the cool-down after
	// the fetch before may not be over.
	meets := func(o option) {
		for began := time.Now(); failed.Load() == 0; {
			s.want("a key that cannot be fetched", "/session", o, 503, late)
			if s.Failed() || time.Since(began) > 20*time.Second {
				s.Errorf("no fetch has failed")
				return
			}
			<-time.After(50 * time.Millisecond)
		}
	}
	if where == "keys" {
		if atStart {
			during("a fresh JWT without keys", "/session", bearer(late.Tokens.SessionJWT), 503, late)
			works("the token beside it", "/session", cookies(pair.Tokens), pair)
			works("the token alone", "/session", bearer(opaque.Tokens.SessionToken), opaque)
			requests.Wait()
			meets(bearer(late.Tokens.SessionJWT))
			engage(false)
			s.recovers("a fresh JWT", "/session", bearer(late.Tokens.SessionJWT), late)
			return
		}
		during("a fresh JWT seen before", "/session", bearer(known.Tokens.SessionJWT), 200, known)
		during("another fresh JWT", "/session", bearer(late.Tokens.SessionJWT), 200, late)
		works("a stale JWT", "/session", stalePair, pair)
		requests.Wait()
		s.project.RotateKey()
		rotated := bearer(s.project.MintJWT(late.ID, stytchtest.Mint{}))
		during("a JWT of a new key", "/session", rotated, 503, late)
		during("a JWT of the old key", "/session", bearer(late.Tokens.SessionJWT), 200, late)
		requests.Wait()
		meets(rotated)
		engage(false)
		s.recovers("a JWT of a new key", "/session", rotated, late)
		s.want("a JWT of the old key", "/session", bearer(late.Tokens.SessionJWT), 200, late)
		return
	}
	// At start they may have to wait for the keys.
	s.recovers("a fresh JWT", "/session", bearer(known.Tokens.SessionJWT), known)
	during("another fresh JWT", "/session", cookies(late.Tokens), 200, late)
	during("a stale JWT with its token", "/session", stalePair, 503, pair)
	during("a stale JWT", "/session", staleAlone, 503, alone)
	during("a session token", "/session", bearer(opaque.Tokens.SessionToken), 503, opaque)
	during("a step-up that may have happened", "/mfa", cookies(late.Tokens), 503, late)
	during("a guard that always asks", "/fresh", bearer(known.Tokens.SessionJWT), 503, known)
	requests.Wait()
	during("a fresh JWT later", "/session", bearer(known.Tokens.SessionJWT), 200, known)
	during("a stale JWT later", "/session", stalePair, 503, pair)
	requests.Wait()
	engage(false)
	s.recovers("a stale JWT with its token", "/session", stalePair, pair)
	s.recovers("a stale JWT", "/session", staleAlone, alone)
	s.recovers("a session token", "/session", bearer(opaque.Tokens.SessionToken), opaque)
	s.recovers("a guard that always asks", "/fresh", bearer(known.Tokens.SessionJWT), known)
}

// The whole server goes away and comes back at the same address.
func TestServerGoneAndBack(t *testing.T) {
	project := stytchtest.New(stytchtest.Options{})
	listen := func(address string) *httptest.Server {
		var l net.Listener
		for began := time.Now(); ; {
			var err error
			if l, err = net.Listen("tcp", address); err == nil {
				break
			}
			if time.Since(began) > 20*time.Second { // somebody else may have the port for a moment
				t.Fatal(err)
			}
			<-time.After(100 * time.Millisecond)
		}
		server := httptest.NewUnstartedServer(project)
		_ = server.Listener.Close()
		server.Listener = l
		server.Start()
		t.Cleanup(server.Close)
		return server
	}
	first := listen("127.0.0.1:0")
	s := &shop{T: t, project: project}
	s.open(first.URL, nil)
	alice, bob := s.login(), s.login()
	fresh, stale := bearer(alice.Tokens.SessionJWT), cookies(s.stale(bob))
	s.recovers("before", "/session", fresh, alice)
	s.recovers("before", "/fresh", fresh, alice)
	first.CloseClientConnections()
	first.Close()
	for range 8 { // more than the breaker takes
		s.want("without a server", "/session", fresh, 200, alice)
		s.want("without a server", "/session", stale, 503, bob)
	}
	listen(first.Listener.Addr().String())
	s.recovers("back", "/session", stale, bob)
}

// With a certificate that nobody vouches for nothing is sent at all.
func TestUntrustedCertificate(t *testing.T) {
	other := newStranger(t, (*httptest.Server).StartTLS)
	s := &shop{T: t, project: stytchtest.New(stytchtest.Options{})}
	s.open(other.URL, nil)
	alice := s.login()
	s.want("a fresh JWT", "/session", bearer(alice.Tokens.SessionJWT), 503, alice)
	s.want("a session token", "/session", bearer(alice.Tokens.SessionToken), 503, alice)
	s.want("both", "/session", cookies(alice.Tokens), 503, alice)
	if r, err := http.NewRequest("POST", s.url+"/logout", nil); err != nil {
		t.Error(err)
	} else {
		cookies(alice.Tokens)(r)
		if err := s.auth.Revoke(httptest.NewRecorder(), r); !errors.Is(err, middleware.ErrUnavailable) {
			t.Errorf("logout: %v", err)
		}
	}
}

// Callers leave at any moment; those who stay are served, each with what is
// theirs, and a credential still costs one call.
func TestCallersLeaveAtRandom(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.project.FailAPI(stytchtest.Slow(200 * time.Millisecond))
		const users, each = 20, 50
		var served atomic.Int64
		var wg sync.WaitGroup
		for range users {
			s := w.login()
			credentials := cookies(w.stale(s))
			for i := range each {
				wg.Go(func() {
					advance(rand.N(300 * time.Millisecond))
					if i%2 == 0 {
						ctx, cancel := context.WithTimeout(w.Context(), rand.N(300*time.Millisecond))
						defer cancel()
						got := w.get(nil, credentials, func(r *http.Request) { *r = *r.WithContext(ctx) })
						if got.seen.SessionID != s.ID && got.seen.Status != 503 {
							t.Errorf("one that left got %+v", got.seen)
						}
						return
					}
					if got := w.get(nil, credentials); got.seen.SessionID != s.ID || got.setCookies() != 2 {
						t.Errorf("one that stayed got %+v", got.seen)
					}
					served.Add(1)
				})
			}
		}
		wg.Wait()
		w.calls(users)
		if served.Load() != users*each/2 {
			t.Errorf("%d served", served.Load())
		}
	})
}

// The clock jumps, as that of a machine that slept.
func TestClockJumps(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.project.Login(stytchtest.Login{Duration: 7 * 24 * time.Hour})
		served := func(what, source string, o option) {
			t.Helper()
			if got := w.get(nil, o); got.seen.SessionID != s.ID || got.seen.Source != source {
				t.Errorf("%s: %+v", what, got.seen)
			}
		}
		refused := func(what string, o option) {
			t.Helper()
			if got := w.get(nil, o); got.seen.Status != 503 || got.setCookies() != 0 {
				t.Errorf("%s: %+v", what, got.seen)
			}
		}
		minted := func(at time.Duration) option {
			return bearer(w.project.MintJWT(s.ID, stytchtest.Mint{IssuedAt: time.Now().Add(at)}))
		}
		served("at first", "local", cookies(s.Tokens))
		// An hour ahead: the JWT is stale, the keys are not.
		advance(time.Hour)
		served("after an hour", "remote", cookies(s.Tokens))
		// The other clock is ahead: within the skew it is believed, beyond it
		// Stytch is asked, and by how much does not matter.
		served("20 s ahead", "local", minted(20*time.Second))
		served("31 s ahead", "remote", minted(31*time.Second))
		served("a day ahead", "remote", minted(24*time.Hour))
		// A day during which no key was confirmed: not 401, but 503.
		w.project.FailKeys(stytchtest.Down())
		w.project.FailAPI(stytchtest.Down())
		advance(23 * time.Hour)
		served("23 h of an outage", "local", minted(0))
		refused("23 h of an outage, stale", minted(-time.Hour))
		advance(2 * time.Hour)
		refused("25 h of an outage", minted(0))
		w.project.FailKeys(nil)
		w.project.FailAPI(nil)
		advance(3 * time.Second)
		served("after it", "local", minted(0))
		// What was kept does not outlive a jump.
		served("the token", "remote", bearer(s.Tokens.SessionToken))
		served("the token again", "local", bearer(s.Tokens.SessionToken))
		advance(24 * time.Hour)
		served("the token a day later", "remote", bearer(s.Tokens.SessionToken))
		advance(6 * 24 * time.Hour)
		if got := w.get(nil, bearer(s.Tokens.SessionToken)); got.seen.Status != 401 {
			t.Errorf("after the session's end: %+v", got.seen)
		}
	})
}

// thrower is a transport, or a log handler, that sometimes panics.
type thrower struct {
	part string
	with func()
	on   atomic.Bool
	http.RoundTripper
}

func (p *thrower) RoundTrip(r *http.Request) (*http.Response, error) {
	if p.on.Load() && part(r) == p.part {
		p.with()
	}
	return p.RoundTripper.RoundTrip(r)
}

type throwingLog struct{ on atomic.Bool }

func (l *throwingLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *throwingLog) Handle(context.Context, slog.Record) error {
	if l.on.Load() {
		panic("the log is full")
	}
	return nil
}
func (l *throwingLog) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *throwingLog) WithGroup(string) slog.Handler      { return l }

// Whatever panics, or ends its goroutine, costs at most its own request.
func TestPanics(t *testing.T) {
	for name, with := range map[string]func(){
		"panic":          func() { panic("no network") },
		"abort":          func() { panic(http.ErrAbortHandler) },
		"an error":       func() { panic(errors.New("no network")) },
		"end of routine": runtime.Goexit,
	} {
		for _, where := range []string{"keys", "API"} {
			t.Run(where+", "+name, func(t *testing.T) {
				broken := &thrower{part: where, with: with}
				logs := &throwingLog{}
				broken.on.Store(true)
				logs.on.Store(true)
				inWorld(t, func(c *middleware.Config) {
					broken.RoundTripper = c.HTTPClient.Transport
					c.HTTPClient = &http.Client{Transport: broken}
					c.Logger = slog.New(logs)
				}, func(w *world) {
					s := w.login()
					guarded := w.auth.RequireSession(w.report())
					o := bearer(s.Tokens.SessionJWT)
					if where == "API" {
						o = cookies(w.stale(s))
					}
					for range 10 {
						got := w.get(guarded, o)
						if got.StatusCode != 503 || got.Header.Get("Retry-After") == "" || got.setCookies() != 0 {
							t.Errorf("%d %v", got.StatusCode, got.Header)
						}
						advance(time.Second)
					}
					logs.on.Store(false)
					broken.on.Store(false)
					advance(5 * time.Second)
					if got := w.get(nil, o); got.seen.SessionID != s.ID {
						t.Errorf("after it: %+v", got.seen)
					}
				})
			})
		}
	}
}

// An ErrorHandler, or a handler, that panics ends its own connection.
func TestPanicsOfTheProgram(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	s := openShop(t, func(c *middleware.Config) {
		c.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
			if broken.Load() {
				panic("the page is gone")
			}
			w.Header().Set("X-Mine", "yes")
			w.WriteHeader(middleware.Status(err))
		}
	})
	alice := s.login()
	s.recovers("before", "/session", bearer(alice.Tokens.SessionJWT), alice)
	for range 5 {
		if a, err := s.try("/session", bearer("none")); err == nil {
			t.Errorf("%d", a.status)
		}
		s.want("another request", "/session", bearer(alice.Tokens.SessionJWT), 200, alice)
	}
	broken.Store(false)
	a, err := s.try("/session", bearer("no one's"))
	if err != nil || a.status != 401 || a.header.Get("X-Mine") != "yes" {
		t.Errorf("%+v, %v", a, err)
	}
}

// Close comes while requests, calls, a key fetch and a logout's further
// attempts are under way. The bubble does not end before every goroutine has.
func TestCloseInTheMiddle(t *testing.T) {
	for _, after := range []time.Duration{0, 100 * time.Millisecond, time.Second, 2500 * time.Millisecond, 7 * time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				revoked, follows := w.login(), w.login()
				w.get(nil, bearer(follows.Tokens.SessionJWT)) // the keys are here
				advance(11 * time.Second)                     // and the cool-down is over
				w.project.FailKeys(stytchtest.Hang())
				w.project.FailAPI(stytchtest.Hang())
				var requests sync.WaitGroup
				var answered atomic.Int64
				send := func(h http.Handler, want int, o option) {
					requests.Go(func() {
						if got := w.get(h, o); got.StatusCode != want || got.setCookies() != 0 {
							t.Errorf("%d, want %d; %v", got.StatusCode, want, got.Header)
						}
						answered.Add(1)
					})
				}
				guarded := w.auth.RequireSession(w.report())
				for range 10 {
					send(guarded, 503, cookies(w.stale(w.login())))
					send(guarded, 503, bearer(w.login().Tokens.SessionToken))
					send(guarded, 503, bearer(w.project.MintJWT("", stytchtest.Mint{UnknownKey: true})))
					send(guarded, 200, bearer(w.login().Tokens.SessionJWT))
					send(w.auth.RequireMFA(w.report()), 503, bearer(w.login().Tokens.SessionJWT))
				}
				stream := w.auth.Load(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					ctx, cancel := w.auth.Follow(r.Context())
					defer cancel()
					<-ctx.Done()
					if !errors.Is(context.Cause(ctx), middleware.ErrUnavailable) {
						t.Errorf("the stream ended with %v", context.Cause(ctx))
					}
				}))
				send(stream, 200, bearer(follows.Tokens.SessionJWT))
				requests.Go(func() {
					r := httptest.NewRequest("POST", "https://app.example.com/logout", nil)
					stytchtest.AddCookies(r, revoked.Tokens)
					// Hanging, it is cut off after 3 s, and tried again later.
					if err := w.auth.Revoke(httptest.NewRecorder(), r); !errors.Is(err, middleware.ErrUnavailable) {
						t.Errorf("logout: %v", err)
					}
					answered.Add(1)
				})
				advance(after)
				began := time.Now()
				if err := w.auth.Close(); err != nil {
					t.Error(err)
				}
				if d := time.Since(began); d != 0 {
					t.Errorf("Close took %s", d)
				}
				if s := middleware.SizesOf(w.auth); s.Flights != 0 || s.Later != 0 {
					t.Errorf("left after Close: %+v", s)
				}
				requests.Wait()
				if answered.Load() != 52 {
					t.Errorf("%d of 52 requests were answered", answered.Load())
				}
				// What needs no call is still decided.
				if got := w.get(guarded, bearer(follows.Tokens.SessionJWT)); got.StatusCode != 200 {
					t.Errorf("after Close: %d", got.StatusCode)
				}
			})
		})
	}
}

// With the library's own connections: after Close none is left, and none of
// their goroutines.
func TestCloseEndsConnections(t *testing.T) {
	open := atomic.Int64{}
	project := stytchtest.New(stytchtest.Options{})
	server := httptest.NewUnstartedServer(project)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed, http.StateHijacked:
			open.Add(-1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	s := &shop{T: t, project: project}
	s.open(server.URL, nil)
	project.FailAPI(stytchtest.Slow(50 * time.Millisecond))
	var requests sync.WaitGroup
	for range 20 {
		alice := s.login()
		requests.Go(func() {
			s.recovers("a stale JWT", "/session", cookies(s.stale(alice)), alice)
		})
	}
	requests.Wait()
	if open.Load() == 0 {
		t.Fatal("no connection is open: nothing is shown")
	}
	_ = s.auth.Close()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); open.Load() > 0; <-tick.C {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("%d connections to Stytch are open after Close", open.Load())
		}
	}
}

// Many users at a time, over sockets, with every kind of credential, answers
// that come late and out of order, and callers that leave: nobody ever gets
// anything of another. (CVE-2026-40155 and its like.)
func TestNobodyGetsAnothersSession(t *testing.T) {
	s := openShop(t, func(c *middleware.Config) {
		c.OpaqueRate, c.OpaqueBurst, c.MaxInFlight = 100_000, 100_000, 1000
		c.OpaqueTTL, c.CacheSize = 20*time.Millisecond, 20 // entries come and go
	})
	s.project.FailAPI(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		stytchtest.Slow(rand.N(15*time.Millisecond))(w, r, next)
	})
	s.client.Transport.(*http.Transport).MaxIdleConnsPerHost = 64
	type user struct {
		stytchtest.Session
		options []option
	}
	var users []user
	owner := map[string]string{} // token → user
	for range 20 {
		u := user{Session: s.project.Login(stytchtest.Login{Factors: []stytchtest.Factor{stytchtest.EmailMagicLink(), stytchtest.SMS()}})}
		old := s.stale(u.Session)
		u.options = []option{
			bearer(u.Tokens.SessionJWT), bearer(u.Tokens.SessionToken), bearer(old.SessionJWT),
			cookies(u.Tokens), cookies(old), cookies(middleware.Tokens{SessionToken: u.Tokens.SessionToken}),
		}
		users = append(users, u)
		owner[u.Tokens.SessionToken] = u.UserID
	}
	paths := []string{"/session", "/mfa", "/fresh"}
	var answered, written, left, missed atomic.Int64
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	one := func(u user) (ok bool) {
		ok = true // but for a 503
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		leaves := rand.N(10) == 0
		if leaves {
			ctx, cancel = context.WithTimeout(ctx, rand.N(10*time.Millisecond))
			defer cancel()
		}
		r, err := http.NewRequestWithContext(ctx, "GET", s.url+paths[rand.N(len(paths))], nil)
		if err != nil {
			t.Error(err)
			return ok
		}
		u.options[rand.N(len(u.options))](r)
		res, err := s.client.Do(r)
		if err != nil {
			if !leaves {
				t.Error(err)
			}
			left.Add(1)
			return ok
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil && leaves {
			left.Add(1)
			return ok
		}
		switch want := u.ID + " " + u.UserID; {
		case res.StatusCode == 503: // a machine under load may miss the deadline, of a guard's second call too
			missed.Add(1)
			ok = false
		case res.StatusCode != 200 || string(body) != want:
			t.Errorf("%d %q, want %q", res.StatusCode, body, want)
			return ok
		default:
			answered.Add(1)
		}
		for _, c := range res.Cookies() {
			written.Add(1)
			switch c.Name {
			case tokenCookie:
				if owner[c.Value] != u.UserID {
					t.Error("another user's session token was written")
				}
			case jwtCookie:
				if got := subject(c.Value); got != u.UserID {
					t.Errorf("a JWT of %s was written to %s", got, u.UserID)
				}
			}
		}
		return ok
	}
	var clients sync.WaitGroup
	for _, u := range users {
		for range 2 {
			clients.Go(func() {
				for n, began := 0, time.Now(); n < rounds && time.Since(began) < time.Minute; {
					if one(u) {
						n++
						continue
					}
					<-time.After(50 * time.Millisecond) // the breaker may be open
				}
			})
		}
	}
	clients.Wait()
	if answered.Load() < int64(len(users)*rounds) || written.Load() == 0 || left.Load() == 0 {
		t.Errorf("%d answered, %d cookies, %d left: nothing is shown", answered.Load(), written.Load(), left.Load())
	}
	t.Logf("%d answers, %d cookies, %d callers that left, %d of 503, %d calls", answered.Load(), written.Load(), left.Load(), missed.Load(), s.project.Calls().Authenticate)
}

// subject reads sub from a JWT, unverified.
func subject(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var c struct{ Sub string }
	_ = json.Unmarshal(b, &c)
	return c.Sub
}
