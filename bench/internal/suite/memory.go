package suite

import (
	"net/http"
	"runtime"

	"github.com/stytchware/stytchware/bench/internal/peer"
	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
)

// Memory is a section of the report.
const Memory = "memory of sessions, after garbage collection"

const (
	PerSession = "a session"
	perAll     = "100,000 sessions"
	perAsked   = "more for a session whose custom claims were read"
	perMore    = "growth by a tenth more than the cache holds"
)

// extra is how many sessions more than the cache holds.
func extra(n int) int { return n/10 + 1 }

// memory measures what the sessions leave on the heap, and that more of them
// than the cache holds leave nothing.
func (r *run) memory() error {
	n := r.Memory
	jwts := r.jwts(n + extra(n))
	auth, err := r.authenticator(func(c *middleware.Config) { c.CacheSize = n })
	if err != nil {
		return err
	}
	p := peer.Peer{Handler: auth.RequireSession(peer.Greet())}
	pass := func(jwts []string) {
		for _, jwt := range jwts { // a client of many would keep headers for all
			newClient(p.Handler, http.StatusNoContent, p, jwt).warm()
		}
	}
	pass(jwts[:1])
	empty := heap()
	pass(jwts[:n])
	full := heap()
	each := float64(full-empty) / float64(n)
	r.figure(Memory, PerSession, each, "bytes")
	r.figure(Memory, perAll, each*100_000/1e6, "MB")
	pass(jwts[n:])
	r.figure(Memory, perMore, float64(heap()-full)/float64(full-empty)*100, "%")
	empty = heap()
	asking := peer.Peer{Handler: auth.RequireSession(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s, ok := sessionctx.From(r.Context()); !ok || s.CustomClaims() == "{}" {
			panic("suite: no custom claims")
		}
		w.WriteHeader(http.StatusNoContent)
	}))}
	newest := jwts[len(jwts)-n/2:] // most of which are still kept
	for _, jwt := range newest {
		newClient(asking.Handler, http.StatusNoContent, p, jwt).warm()
	}
	r.figure(Memory, perAsked, float64(heap()-empty)/float64(len(newest)), "bytes")
	runtime.KeepAlive(jwts)
	runtime.KeepAlive(auth)
	return nil
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
