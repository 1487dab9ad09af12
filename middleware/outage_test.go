package middleware_test

import (
	"cmp"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

var outageFor = flag.Duration("outage", 0,
	"run TestOutageRealTime with outages of that length, at most 4m; the outages of TestOutageSimulated get it too")

// outages are of everything behind Config.BaseURL at once.
var outages = map[string]stytchtest.Fault{
	"closed connections":   stytchtest.Down(),
	"no answer":            stytchtest.Hang(),
	"answers after 10 s":   stytchtest.Slow(10 * time.Second),
	"500":                  stytchtest.Error(500, "internal_server_error"),
	"502 page":             stytchtest.HTML(502),
	"429":                  stytchtest.TooManyRequests(""),
	"429 for 3 s":          stytchtest.TooManyRequests("3"),
	"half an answer":       stytchtest.Truncated(),
	"401 for every secret": stytchtest.Error(401, "unauthorized_credentials"),
}

// crowd sends 200 requests a second, 70 % of them with a fresh JWT, the others
// with a stale one, and counts what comes back.
type crowd struct {
	send         func(o option) answer
	fresh, stale []guest

	mu           sync.Mutex
	freshServed  int
	freshOther   int
	staleServed  int
	stale503     int
	staleOther   int
	loggedOut    int // 401, 303, or a cookie cleared
	noRetryAfter int
	slowest      time.Duration
	lastRefused  time.Time       // when the last request began that was refused
	served       map[string]bool // stale sessions
}

type guest struct {
	session stytchtest.Session
	carry   option
}

const (
	crowdRate  = 200
	crowdUsers = 50 // of each sort
)

func (c *crowd) admit(p *stytchtest.Project) {
	for i := range crowdUsers {
		s := p.Login(stytchtest.Login{})
		c.fresh = append(c.fresh, guest{s, pick(i%2 == 0, cookies(s.Tokens), bearer(s.Tokens.SessionJWT))})
		s = p.Login(stytchtest.Login{})
		old := middleware.Tokens{SessionToken: s.Tokens.SessionToken,
			SessionJWT: p.MintJWT(s.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-10 * time.Minute)})}
		c.stale = append(c.stale, guest{s, pick(i%2 == 0, cookies(old), bearer(old.SessionJWT))})
	}
	c.served = make(map[string]bool)
}

func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}

// visit sends the requests of a time and waits for their answers.
func (c *crowd) visit(d time.Duration) {
	var wg sync.WaitGroup
	began := time.Now()
	for n, stales := 0, 0; ; n++ {
		due := time.Duration(n) * time.Second / crowdRate // a ticker would leave some out
		if due >= d {
			break
		}
		<-time.After(time.Until(began.Add(due)))
		v, fresh := c.fresh[n%crowdUsers], n%10 < 7
		if !fresh {
			v = c.stale[stales%crowdUsers]
			stales++
		}
		wg.Go(func() {
			at := time.Now()
			a := c.send(v.carry)
			c.count(v, fresh, at, a)
		})
	}
	wg.Wait()
}

func (c *crowd) count(v guest, fresh bool, at time.Time, a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	good := a.status == 200 && a.session == v.session.ID
	switch {
	case good && fresh:
		c.freshServed++
	case fresh:
		c.freshOther++
	case good:
		c.staleServed++
		c.served[v.session.ID] = true
	case a.status == 503:
		c.stale503++
	default:
		c.staleOther++
	}
	if !good && at.After(c.lastRefused) {
		c.lastRefused = at
	}
	if a.status == 503 && a.header.Get("Retry-After") == "" {
		c.noRetryAfter++
	}
	out := a.status == 401 || a.status == 303
	for _, line := range a.header["Set-Cookie"] {
		out = out || strings.Contains(line, "Max-Age=0") || a.status != 200
	}
	if out {
		c.loggedOut++
	}
	c.slowest = max(c.slowest, a.took)
}

// suffer takes the crowd through an outage and reports what became of it.
func (c *crowd) suffer(t *testing.T, p *stytchtest.Project, d, within time.Duration, fault func(on bool)) outageReport {
	t.Helper()
	// Before it every session is fresh, so that nothing is known of the stale.
	stale := c.stale
	c.stale = c.fresh
	c.visit(2 * time.Second)
	c.stale = stale
	if c.freshOther+c.stale503+c.staleOther > 0 {
		t.Errorf("before the outage %d requests were not served", c.freshOther+c.stale503+c.staleOther)
	}
	c.freshServed, c.staleServed, c.slowest = 0, 0, 0
	clear(c.served)
	calls := p.Calls()

	fault(true)
	c.visit(d)
	r := outageReport{fresh: c.freshServed, stale: c.stale503, slowest: c.slowest}
	now := p.Calls()
	r.calls, r.fetches = now.Authenticate-calls.Authenticate, now.KeySet-calls.KeySet
	if c.freshOther > 0 || c.freshServed == 0 {
		t.Errorf("of the fresh %d were served and %d were not", c.freshServed, c.freshOther)
	}
	if c.staleServed+c.staleOther > 0 || c.stale503 == 0 {
		t.Errorf("of the stale %d got 503, %d were served, %d got something else", c.stale503, c.staleServed, c.staleOther)
	}

	fault(false)
	end := time.Now()
	c.lastRefused = end
	c.visit(within + 7*time.Second)
	r.recovered = c.lastRefused.Sub(end)
	if r.recovered > within {
		t.Errorf("recovered after %s, want %s", r.recovered, within)
	}
	if len(c.served) != crowdUsers || c.freshOther > 0 {
		t.Errorf("after the outage %d of %d stale sessions were served, and %d fresh ones were not", len(c.served), crowdUsers, c.freshOther)
	}
	r.loggedOut = c.loggedOut
	if c.loggedOut > 0 || c.noRetryAfter > 0 {
		t.Errorf("%d were logged out; %d of 503 without Retry-After", c.loggedOut, c.noRetryAfter)
	}
	return r
}

// outageReport is a line of the table.
type outageReport struct {
	kind           string
	fresh, stale   int
	loggedOut      int
	calls, fetches int
	slowest        time.Duration
	recovered      time.Duration
}

func logOutages(t *testing.T, d time.Duration, all []outageReport) {
	slices.SortFunc(all, func(a, b outageReport) int { return cmp.Compare(a.kind, b.kind) })
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "outage\tfresh → 200\tstale → 503\tlogged out\tcalls\tkey fetches\tslowest answer\trecovered after")
	for _, r := range all {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n", r.kind, r.fresh, r.stale, r.loggedOut, r.calls, r.fetches,
			r.slowest.Round(time.Millisecond), r.recovered.Round(time.Millisecond))
	}
	_ = w.Flush()
	t.Logf("200 requests a second, 70 %% fresh, through an outage of %s\n%s", d, b.String())
}

// One outage after another, with a clock of their own.
func TestOutageSimulated(t *testing.T) {
	if testing.Short() {
		t.Skip("120,000 requests")
	}
	d := cmp.Or(min(*outageFor, 4*time.Minute), time.Minute)
	var all []outageReport
	for kind, f := range outages {
		t.Run(kind, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				guarded := w.auth.RequireSession(http.HandlerFunc(tell))
				c := &crowd{send: func(o option) answer {
					r := httptest.NewRequest("GET", "https://app.example.com/", nil)
					o(r)
					rec := httptest.NewRecorder()
					began := time.Now()
					guarded.ServeHTTP(rec, r)
					id, _, _ := strings.Cut(rec.Body.String(), " ")
					return answer{status: rec.Code, header: rec.Header(), session: id, took: time.Since(began)}
				}}
				c.admit(w.project)
				within := 5 * time.Second
				if kind == "429" && d != time.Minute { // the pauses have doubled, up to a minute
					within = time.Minute
				}
				report := c.suffer(t, w.project, d, within, func(on bool) {
					now := pick(on, f, nil)
					w.project.FailKeys(now)
					w.project.FailAPI(now)
				})
				// A call has 3 s; nobody waits for more than one.
				if report.slowest > 3*time.Second {
					t.Errorf("the slowest answer took %s", report.slowest)
				}
				// At most 64 in flight at first, then one a second. Of a refused
				// secret no number of calls says that Stytch is down.
				if most := 64 + 64 + int(d.Seconds()); report.calls > most && kind != "401 for every secret" {
					t.Errorf("%d calls during the outage, want at most %d", report.calls, most)
				}
				report.kind = kind
				all = append(all, report)
			})
		})
	}
	logOutages(t, d, all)
}

// The same over sockets, with the library's own connections, in real time:
//
//	go test -run TestOutageRealTime -outage 60s -v ./middleware
//
// It is skipped unless -outage says how long.
func TestOutageRealTime(t *testing.T) {
	if *outageFor == 0 {
		t.Skip("takes minutes; to run it say how long the outages are to last, as in -outage 60s")
	}
	d := min(*outageFor, 4*time.Minute) // then the fresh JWTs are fresh no more
	packedSpaces()
	var mu sync.Mutex
	var all []outageReport
	var running sync.WaitGroup
	for _, kind := range []string{"refused", "reset", "hangs", "drips", "500", "502 page", "429 for 2 s", "cut", "gzip bomb"} {
		running.Go(func() {
			t.Run(kind, func(t *testing.T) {
				f := wireFaults[kind](t)
				p := stytchtest.NewServer(t, stytchtest.Options{})
				detour := &detour{to: f.place, own: transport(t)}
				s := &shop{T: t, project: p.Project}
				s.open(p.URL, func(c *middleware.Config) {
					c.KeyCooldown = 0 // the default
					c.Logger = slog.New(slog.DiscardHandler)
					if f.place != nil {
						c.HTTPClient = &http.Client{Transport: detour}
					}
				})
				s.client.Transport.(*http.Transport).MaxIdleConnsPerHost = 64
				c := &crowd{send: func(o option) answer {
					a, err := s.try("/session", o)
					if err != nil {
						t.Error(err)
					}
					return a
				}}
				c.admit(p.Project)
				s.recovers("before", "/session", c.fresh[0].carry, c.fresh[0].session)
				r := c.suffer(t, p.Project, d, 5*time.Second, func(on bool) {
					detour.on.Store(on && f.place != nil)
					now := pick(on, f.fault, nil)
					p.FailKeys(now)
					p.FailAPI(now)
				})
				r.kind = kind
				mu.Lock()
				defer mu.Unlock()
				all = append(all, r)
			})
		})
	}
	running.Wait()
	logOutages(t, d, all)
}
