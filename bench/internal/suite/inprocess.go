package suite

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"math/big"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stytchware/stytchware/bench/internal/load"
	"github.com/stytchware/stytchware/bench/internal/measure"
	"github.com/stytchware/stytchware/bench/internal/peer"
	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

// Sections of the report, and rows that targets speak of.
const (
	Floors   = "floors"
	Hot      = "one session, in process"
	Turn     = "many sessions in turn, in process"
	Large    = "many more sessions in turn, CacheSize raised to hold them, in process"
	Refusing = "refusing, in process"

	nothing   = "no middleware"
	Verifying = "RSA-2048 verify alone"
	bearer    = peer.Ours + ", bearer"
	Unseen    = peer.Ours + ", never seen before"
	loadOnly  = peer.Ours + ", Load"
	guarded   = peer.Ours + ", Load + RequireSession + RequireMFA"
	alone     = peer.Ours + ", one core by the wall clock"
)

// both is the name of a row in which all cores work, by the wall clock.
func both(name string) string { return name + ", all cores" }

// client sends requests to a handler in the same process, again and again.
type client struct {
	handler http.Handler
	name    string     // of the header
	values  [][]string // of the header, in turn
	status  int
}

func newClient(h http.Handler, status int, p peer.Peer, jwts ...string) *client {
	c := &client{handler: h, status: status}
	for _, jwt := range jwts {
		name, value := p.Header(jwt)
		c.name, c.values = name, append(c.values, []string{value})
	}
	return c
}

// serial sends them one after the other.
func (c *client) serial() func(n int) {
	r, w, i := load.Request(), load.NewWriter(), 0
	return func(n int) { i = c.send(r, w, i, n) }
}

// parallel sends them on all cores.
func (c *client) parallel() func(n int) {
	cores := runtime.GOMAXPROCS(0)
	var at atomic.Int64
	return func(n int) {
		var done sync.WaitGroup
		for range cores {
			done.Go(func() {
				r, w := load.Request(), load.NewWriter()
				share := (n + cores - 1) / cores
				c.send(r, w, int(at.Add(int64(share)))%len(c.values), share)
			})
		}
		done.Wait()
	}
}

func (c *client) send(r *http.Request, w *load.Writer, i, n int) int {
	for range n {
		w.Reset()
		r.Header[c.name] = c.values[i]
		c.handler.ServeHTTP(w, r)
		if w.Status != c.status {
			panic(fmt.Sprintf("suite: status %d, want %d", w.Status, c.status))
		}
		if i++; i == len(c.values) {
			i = 0
		}
	}
	return i
}

// warm sends every value once.
func (c *client) warm() *client {
	c.send(load.Request(), load.NewWriter(), 0, len(c.values))
	return c
}

func (r *run) jwts(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = r.sessions[i].Tokens.SessionJWT
	}
	return all
}

// authenticator returns this library's, closed at the end of the run.
func (r *run) authenticator(change func(*middleware.Config)) (*middleware.Authenticator, error) {
	cfg := load.Config(r.project)
	if change != nil {
		change(&cfg)
	}
	auth, err := peer.Authenticator(cfg)
	if err != nil {
		return nil, err
	}
	r.closers = append(r.closers, func() { _ = auth.Close() })
	return auth, nil
}

func (r *run) inProcess() error {
	auth, err := r.authenticator(nil)
	if err != nil {
		return err
	}
	forgetful, err := r.authenticator(func(c *middleware.Config) { c.CacheSize = 16 })
	if err != nil {
		return err
	}
	ours := peer.Peer{Name: peer.Ours, Handler: auth.RequireSession(peer.Greet())}
	byBearer := peer.Peer{Name: bearer, Bearer: true, Handler: ours.Handler}

	floors, err := r.floors()
	if err != nil {
		return err
	}
	r.contest(Floors, floors, true)

	const ok = http.StatusNoContent
	jwt := r.sessions[0].Tokens.SessionJWT
	entry := func(name string, do func(int)) measure.Entry {
		return measure.Entry{Name: name, Clock: measure.Thread, Do: do}
	}
	wall := func(name string, do func(int)) measure.Entry { return measure.Entry{Name: name, Do: do} }
	hot := []measure.Entry{
		entry(nothing, newClient(peer.Nothing(), ok, ours, jwt).serial()),
		floors[0],
		entry(peer.Ours, newClient(ours.Handler, ok, ours, jwt).warm().serial()),
		entry(bearer, newClient(ours.Handler, ok, byBearer, jwt).serial()),
		entry(loadOnly, newClient(auth.Load(peer.Greet()), ok, ours, jwt).serial()),
		entry(guarded, newClient(auth.Load(auth.RequireSession(auth.RequireMFA(peer.Greet()))), ok, ours, jwt).serial()),
		wall(both(peer.Ours), newClient(ours.Handler, ok, ours, jwt).parallel()),
	}
	for _, p := range r.peers {
		hot = append(hot, entry(p.Name, newClient(p.Handler, ok, p, jwt).serial()))
	}
	r.contest(Hot, hot, true)

	jwts := r.jwts(r.Turn)
	turn := []measure.Entry{
		floors[0],
		entry(peer.Ours, newClient(ours.Handler, ok, ours, jwts...).warm().serial()),
		wall(alone, newClient(ours.Handler, ok, ours, jwts...).serial()),
		wall(both(peer.Ours), newClient(ours.Handler, ok, ours, jwts...).parallel()),
		entry(bearer, newClient(ours.Handler, ok, byBearer, jwts...).serial()),
		entry(Unseen, newClient(forgetful.RequireSession(peer.Greet()), ok, ours, jwts...).serial()),
	}
	for _, p := range r.peers {
		turn = append(turn, entry(p.Name, newClient(p.Handler, ok, p, jwts...).serial()))
	}
	turn = append(turn, wall(both(peer.KeyfuncBy), newClient(r.peers[0].Handler, ok, r.peers[0], jwts...).parallel()))
	r.contest(Turn, turn, true)

	r.contest(Refusing, r.refusals(floors[0], auth, ours), true)
	return nil
}

// large takes more sessions in turn than the default cache holds.
func (r *run) large() error {
	auth, err := r.authenticator(func(c *middleware.Config) { c.CacheSize = r.Large })
	if err != nil {
		return err
	}
	ours := peer.Peer{Handler: auth.RequireSession(peer.Greet())}
	hand := r.peers[0]
	jwts := r.jwts(r.Large)
	own := newClient(ours.Handler, http.StatusNoContent, ours, jwts...).warm()
	other := newClient(hand.Handler, http.StatusNoContent, hand, jwts...)
	r.contest(Large, []measure.Entry{
		{Name: peer.Ours, Clock: measure.Thread, Do: own.serial()},
		{Name: alone, Do: own.serial()},
		{Name: both(peer.Ours), Do: own.parallel()},
		{Name: hand.Name, Clock: measure.Thread, Do: other.serial()},
	}, true)
	return nil
}

// bad are the kinds of JWT that are refused.
var bad = [...]string{"bad signature", "expired", "garbage of the same length", "garbage of 16 KiB", "garbage of 20 KiB"}

// refusals refuses each kind with this library's guard, its Load, and the two
// ways to do it by hand.
func (r *run) refusals(floor measure.Entry, auth *middleware.Authenticator, ours peer.Peer) []measure.Entry {
	session := load.Session(r.project)
	r.project.Revoke(session.ID)
	var forged, expired []string
	for i := range 64 {
		forged = append(forged, r.project.MintJWT("", stytchtest.Mint{Forged: true}))
		expired = append(expired, r.project.MintJWT(session.ID, stytchtest.Mint{
			IssuedAt: time.Now().Add(-2*time.Hour - time.Duration(i)*time.Second), Lifetime: 5 * time.Minute,
		}))
	}
	garbage := func(n int) string {
		letters := strings.Repeat("Zm9vYmFy", n/8+1)
		return letters[:40] + "." + letters[:n-384] + "." + letters[:342]
	}
	kinds := [...][]string{forged, expired, {garbage(r.JWTBytes)}, {garbage(16 << 10)}, {garbage(20 << 10)}}
	entries := []measure.Entry{floor}
	for i, jwts := range kinds {
		entries = append(entries,
			measure.Entry{Name: peer.Ours + ", " + bad[i], Clock: measure.Thread, Do: newClient(ours.Handler, http.StatusUnauthorized, ours, jwts...).warm().serial()},
			measure.Entry{Name: loadOnly + ", " + bad[i], Clock: measure.Thread, Do: newClient(auth.Load(peer.GreetAnybody()), http.StatusNoContent, ours, jwts...).warm().serial()})
		for _, p := range r.peers[:2] {
			clock := measure.Thread
			if p.Name == peer.StytchBy {
				clock = measure.Process // it asks over the network
			}
			entries = append(entries, measure.Entry{Name: p.Name + ", " + bad[i], Clock: clock,
				Do: newClient(p.Handler, http.StatusUnauthorized, p, jwts...).serial()})
		}
	}
	return entries
}

// floors are what none can do without, RSA first.
func (r *run) floors() ([]measure.Entry, error) {
	jwt := r.sessions[0].Tokens.SessionJWT
	text, signature := jwt[:strings.LastIndexByte(jwt, '.')], jwt[strings.LastIndexByte(jwt, '.')+1:]
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		return nil, err
	}
	public, err := publicKey(r.project.KeySet())
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(text))
	bytes := []byte(jwt)
	seed := maphash.MakeSeed()
	request := load.Request()
	request.Header.Set("Cookie", load.Cookie(jwt))
	line := request.Header.Get("Cookie")
	copied := strings.Clone(jwt)
	var sink uint64 // so that nothing is left out
	entries := []measure.Entry{
		{Name: Verifying, Do: func(n int) {
			for range n {
				if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], sig); err != nil {
					panic(err)
				}
			}
		}},
		{Name: "SHA-256 of the JWT", Do: func(n int) {
			for range n {
				s := sha256.Sum256(bytes)
				sink += uint64(s[0])
			}
		}},
		{Name: "maphash of the JWT", Do: func(n int) {
			for range n {
				sink += maphash.String(seed, jwt)
			}
		}},
		{Name: "comparing the JWT whole", Do: func(n int) {
			for range n {
				if jwt != copied {
					panic("suite: a copy differs")
				}
			}
		}},
		{Name: "finding the cookie", Do: func(n int) {
			for range n {
				sink += uint64(len(findCookie(line, load.JWTCookie)))
			}
		}},
		{Name: "finding the cookie with Request.Cookie", Do: func(n int) {
			for range n {
				c, err := request.Cookie(load.JWTCookie)
				if err != nil {
					panic(err)
				}
				sink += uint64(len(c.Value))
			}
		}},
	}
	for i := range entries {
		entries[i].Clock = measure.Thread
	}
	return entries, nil
}

// findCookie is the least that a middleware does to find one.
func findCookie(line, name string) string {
	for len(line) > 0 {
		var part string
		part, line, _ = strings.Cut(line, ";")
		part = strings.TrimLeft(part, " ")
		if len(part) > len(name) && part[len(name)] == '=' && part[:len(name)] == name {
			return part[len(name)+1:]
		}
	}
	return ""
}

// publicKey returns the first key of a key set.
func publicKey(set []byte) (*rsa.PublicKey, error) {
	var keys struct {
		Keys []struct{ N, E string }
	}
	if err := json.Unmarshal(set, &keys); err != nil {
		return nil, err
	}
	n, err := base64.RawURLEncoding.DecodeString(keys.Keys[0].N)
	if err != nil {
		return nil, err
	}
	e, err := base64.RawURLEncoding.DecodeString(keys.Keys[0].E)
	if err != nil {
		return nil, err
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}, nil
}
