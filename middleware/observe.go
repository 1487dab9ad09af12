package middleware

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/stytchware/stytchware/jwks"
	"github.com/stytchware/stytchware/sessionctx"
)

// Observer is told what an [Authenticator] does, as it happens: the place for
// metrics and traces. Nil fields cost nothing. The functions are called on the
// goroutine that does the work, many at a time, so they must be quick and safe
// for concurrent use; a panic in one is logged and changes nothing. They must not
// call Close, which waits for them. Every string they get is one of a small fixed set: no id, no token, nothing a
// client sent.
type Observer struct {
	_ [0]func()

	Decision func(ctx context.Context, d Decision)    // a request was decided
	Call     func(c Call)                             // a call to Stytch ended
	KeyFetch func(k KeyFetch)                         // a fetch of the key set ended
	Limit    func(l Limit)                            // a limit of this process kept a call to Stytch back
	Cookie   func(ctx context.Context, c CookieWrite) // a session cookie was written, or not
}

// Decision is the outcome for one request. It is reported once when the session
// is looked up, and again if a guard refuses the request or asks Stytch.
type Decision struct {
	Outcome    string        // as Explanation.Outcome
	Status     int           // as Explanation.Status
	Carrier    string        // as Explanation.Carrier
	Credential string        // as Explanation.Credential
	Source     string        // "local", "remote", "stale", or "" without a session
	Called     bool          // Stytch was called for it, or a call joined
	Guard      bool          // reported by a guard rather than by the lookup
	Took       time.Duration // waiting for Stytch included
}

// Call is one call to Stytch, shared by however many requests.
type Call struct {
	Operation string        // "authenticate" or "revoke"
	Outcome   string        // "ok", "gone", "setup" or "now"; see SECURITY.md
	Began     time.Time     // of the first attempt
	Took      time.Duration // a retry included
}

// KeyFetch is one fetch of the project's key set.
type KeyFetch struct {
	OK    bool          // the key set was taken over; else the old one stays
	Keys  int           // usable keys in the current set
	Began time.Time     // of the fetch
	Took  time.Duration // 5 s at most
}

// Limit is a call to Stytch that was not made because of a limit of this process.
// Whoever waited for it got 503.
type Limit struct {
	// Name is "unknown tokens" (the budget of Config.OpaqueRate), "in flight"
	// (Config.MaxInFlight), "paused" (a 429 said for how long) or "breaker" (Stytch
	// failed several times in a row; one call a second tries).
	Name string
}

const limitUnknown = "unknown tokens"

// CookieWrite is one session cookie that was written, cleared, or not written
// because browsers would drop it.
type CookieWrite struct {
	Cookie string // "token" or "jwt"
	Action string // "set", "cleared" or "too large"
}

// observe runs f, one function of the Observer.
func (a *Authenticator) observe(f func()) {
	defer func() {
		if p := recover(); p != nil {
			a.log.panicked("Observer", p)
		}
	}()
	f()
}

// fetched is Observer.KeyFetch as jwks calls it.
func (o Observer) fetched(log *loud) func(jwks.Fetch) {
	if o.KeyFetch == nil {
		return nil
	}
	return func(f jwks.Fetch) {
		defer func() {
			if p := recover(); p != nil {
				log.panicked("Observer", p)
			}
		}()
		o.KeyFetch(KeyFetch{OK: f.Err == nil, Keys: f.Keys, Began: f.Began, Took: f.Took})
	}
}

// cookieEvent counts a cookie and tells the Observer.
func (a *Authenticator) cookieEvent(ctx context.Context, cookie, action string) {
	switch action {
	case "set":
		a.tally.cookiesSet.add()
	case "cleared":
		a.tally.cookiesCleared.add()
	default:
		a.tally.cookiesTooLarge.add()
	}
	if a.observer.Cookie != nil {
		a.observe(func() { a.observer.Cookie(ctx, CookieWrite{Cookie: cookie, Action: action}) })
	}
}

// observed returns the time if decisions are observed; it costs something.
func (a *Authenticator) observed() (now time.Time) {
	if !a.zero() && a.observer.Decision != nil {
		now = time.Now()
	}
	return now
}

// decided counts a decision and tells the Observer.
func (a *Authenticator) decided(ctx context.Context, st *state, guard bool, began time.Time) {
	if a.zero() {
		return
	}
	a.tally.add(st, guard)
	if a.observer.Decision == nil {
		return
	}
	d := st.summary()
	d.Guard, d.Took = guard, time.Since(began)
	a.observe(func() { a.observer.Decision(ctx, d) })
}

// summary is the part of an explanation that needs no allocation.
func (s *state) summary() Decision {
	d := Decision{Outcome: "session", Status: 200, Carrier: s.carrier.String(), Credential: s.credentials().kinds()}
	if s.session != nil {
		d.Source = s.session.Source().String()
	}
	no := s.denied()
	if s.out != nil {
		d.Called = s.out.called
		if s.out.refused != nil {
			no = s.out.refused
		}
	}
	if no != nil {
		d.Outcome, d.Status = no.outcome(), Status(no)
	}
	return d
}

// kinds names what came.
func (c credentials) kinds() string {
	switch {
	case c.token != "" && c.jwt != "":
		return "both"
	case c.token != "":
		return "session token"
	case c.jwt != "":
		return "session JWT"
	}
	return "none"
}

// outcome names the kind of a denial.
func (d *denial) outcome() string {
	switch d.kind {
	case ErrNoSession:
		return "no session"
	case ErrStepUp:
		return "step-up"
	case ErrInvalidRequest:
		return "invalid request"
	case ErrCrossSite:
		return "cross-site"
	}
	return "unavailable"
}

// tally counts decisions since New.
type tally struct {
	local, remote, stale                                      counter
	noSession, stepUp, invalidRequest, crossSite, unavailable counter
	budget, cookiesSet, cookiesCleared, cookiesTooLarge       counter
}

func (t *tally) add(st *state, guard bool) {
	d := st.denied()
	if st.out != nil && st.out.refused != nil {
		d = st.out.refused
	}
	if d == nil {
		if guard {
			return // counted at the lookup
		}
		switch st.session.Source() {
		case sessionctx.Local:
			t.local.add()
		case sessionctx.Stale:
			t.stale.add()
		default:
			t.remote.add()
		}
		return
	}
	if guard && st.session == nil {
		return
	}
	switch d.kind {
	case ErrNoSession:
		t.noSession.add()
	case ErrStepUp:
		t.stepUp.add()
	case ErrInvalidRequest:
		t.invalidRequest.add()
	case ErrCrossSite:
		t.crossSite.add()
	default:
		t.unavailable.add()
	}
}

// counter is a number that many cores add to: each to a place of its own, more
// or less.
type counter [8]struct {
	n atomic.Uint64
	_ [56]byte
}

func (c *counter) add() { c[rand.Uint32()%uint32(len(c))].n.Add(1) }

func (c *counter) sum() (n uint64) {
	for i := range c {
		n += c[i].n.Load()
	}
	return n
}
