package suite

import (
	"net/http"
	"sync"
	"time"

	"github.com/stytchware/stytchware/bench/internal/load"
	"github.com/stytchware/stytchware/bench/internal/measure"
	"github.com/stytchware/stytchware/bench/internal/peer"
	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

// Crowd is a section of the report.
const Crowd = "many requests at once with one stale JWT, the API taking 50 ms"

const (
	apiLatency = 50 * time.Millisecond
	seen       = ", seen before"
	notSeen    = ", not seen before"
	callsOf    = "calls to Stytch, "
	p99Of      = "99th percentile, "
)

// crowds lets many requests come at once with the JWT of one session that is
// past its time: one that the process verified while it was good, and one that
// it meets for the first time.
func (r *run) crowds() error {
	auth, err := r.authenticator(nil)
	if err != nil {
		return err
	}
	ours := peer.Peer{Name: peer.Ours, Handler: auth.RequireSession(peer.Greet())}
	r.project.FailAPI(stytchtest.Slow(apiLatency))
	defer r.project.FailAPI(nil)
	for _, p := range []peer.Peer{ours, r.peers[1]} {
		for _, known := range []bool{true, false} {
			if !known && p.Name != peer.Ours {
				continue // it keeps nothing
			}
			name := p.Name + notSeen
			if known {
				name = p.Name + seen
			}
			most, p99 := 0, []float64{}
			for range r.Crowds {
				calls, slowest := r.crowd(p, known)
				most, p99 = max(most, calls), append(p99, float64(slowest))
			}
			r.figure(Crowd, callsOf+name, float64(most), "")
			r.figure(Crowd, p99Of+name, measure.Median(p99), "ns")
		}
	}
	return nil
}

// crowd returns the calls that one crowd made, and the 99th percentile of what
// its requests took.
func (r *run) crowd(p peer.Peer, known bool) (calls int, p99 time.Duration) {
	session := load.Session(r.project)
	good := time.Second
	issued := time.Now().Add(good)
	if !known {
		issued = time.Now().Add(-time.Minute)
	}
	jwt := r.project.MintJWT(session.ID, stytchtest.Mint{IssuedAt: issued, Lifetime: good})
	name, value := p.Header(jwt)
	request := func() (*http.Request, *load.Writer) {
		q, w := load.Request(), load.NewWriter()
		q.Header.Set(name, value)
		return q, w
	}
	if known {
		q, w := request()
		p.Handler.ServeHTTP(w, q)
		time.Sleep(time.Until(issued.Truncate(time.Second).Add(good)))
	}
	before := r.project.Calls().Authenticate
	took := make([]time.Duration, r.Crowd)
	start := make(chan struct{})
	var ready, done sync.WaitGroup
	for i := range took {
		ready.Add(1)
		done.Go(func() {
			q, w := request()
			ready.Done()
			<-start
			began := time.Now()
			p.Handler.ServeHTTP(w, q)
			took[i] = time.Since(began)
			if w.Status != http.StatusNoContent {
				panic("suite: a stale JWT of a live session is refused")
			}
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	return r.project.Calls().Authenticate - before, measure.Percentile(took, 99)
}

// Unknown is a section of the report.
const Unknown = "a flood of JWTs of unknown keys, the key set taking 250 ms"

const (
	keyLatency = 250 * time.Millisecond
	cooldown   = time.Second
	floodRate  = 2000 // a second

	fetchesPer  = "key fetches per cool-down"
	knownBefore = "a known key, slowest before"
	knownDuring = "a known key, slowest meanwhile"
	knownP99    = "a known key, 99th percentile meanwhile"
	floodServed = "requests of the flood answered"
)

// flood sends JWTs whose key nobody has, and meanwhile one of a known key
// every millisecond, never the same twice in the cache.
func (r *run) flood() error {
	r.project.FailKeys(stytchtest.Slow(keyLatency))
	defer r.project.FailKeys(nil)
	auth, err := r.authenticator(func(c *middleware.Config) { c.KeyCooldown, c.CacheSize = cooldown, 16 })
	if err != nil {
		return err
	}
	p := peer.Peer{Handler: auth.RequireSession(peer.Greet())}
	good := newClient(p.Handler, http.StatusNoContent, p, r.jwts(min(1000, r.Turn))...).warm()
	var unknown []string
	for range 64 {
		unknown = append(unknown, r.project.MintJWT("", stytchtest.Mint{UnknownKey: true}))
	}
	probe := func(until time.Time) (took []time.Duration) {
		q, w, i := load.Request(), load.NewWriter(), 0
		for time.Now().Before(until) {
			began := time.Now()
			i = good.send(q, w, i, 1)
			took = append(took, time.Since(began))
			time.Sleep(time.Millisecond)
		}
		return took
	}
	quiet := probe(time.Now().Add(r.Flood / 4))

	before := r.project.Calls().KeySet
	began := time.Now()
	var flood sync.WaitGroup
	sent := 0
	over := make(chan struct{})
	flood.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
			}
			for range floodRate / 100 {
				jwt := unknown[sent%len(unknown)]
				sent++
				flood.Go(func() {
					q, w := load.Request(), load.NewWriter()
					name, value := p.Header(jwt)
					q.Header.Set(name, value)
					p.Handler.ServeHTTP(w, q)
					if w.Status != http.StatusUnauthorized && w.Status != http.StatusServiceUnavailable {
						panic("suite: a JWT of an unknown key is not refused")
					}
				})
			}
		}
	})
	busy := probe(began.Add(r.Flood))
	close(over)
	flood.Wait()
	// A fetch at the beginning, and then one for each cool-down that has begun.
	allowed := 1 + float64(time.Since(began)/cooldown)
	r.figure(Unknown, floodServed, float64(sent), "")
	r.figure(Unknown, fetchesPer, float64(r.project.Calls().KeySet-before)/allowed, "")
	r.figure(Unknown, knownBefore, float64(measure.Percentile(quiet, 100)), "ns")
	r.figure(Unknown, knownP99, float64(measure.Percentile(busy, 99)), "ns")
	r.figure(Unknown, knownDuring, float64(measure.Percentile(busy, 100)), "ns")
	return nil
}
