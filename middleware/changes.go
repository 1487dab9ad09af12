package middleware

import (
	"container/heap"
	"hash/maphash"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stytchware/stytchware/sessionctx"
)

// Change is what happened to a session.
type Change uint8

const (
	Authenticated  Change = iota + 1 // seen by this process for the first time
	Refreshed                        // confirmed anew, nothing else changed
	Extended                         // ends later than before
	FactorsChanged                   // factors were added, removed or authenticated again
	Hydrated                         // logged in at the back end, by Hydrate
	Revoked                          // ended by Revoke on this process
	Expired                          // reached its end
	Gone                             // Stytch says it is over
)

// String returns the name in lower case, such as "factors_changed".
func (c Change) String() string {
	names := [...]string{"none", "authenticated", "refreshed", "extended", "factors_changed", "hydrated", "revoked", "expired", "gone"}
	if int(c) < len(names) {
		return names[c]
	}
	return "change(" + strconv.Itoa(int(c)) + ")"
}

// MarshalText is String.
func (c Change) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Event is a change of a session that this process saw. It holds no token.
type Event struct {
	Change    Change              // what happened
	SessionID string              // always set
	Session   *sessionctx.Session // as it is now, or was at last; nil if this process knew only its id
	Previous  *sessionctx.Session // before the change; nil if it was not known
	Cause     string              // "request", "guard", "hydrate", "refresh", "revoke", "ahead", "follow", "stytch" or "time"
	At        time.Time           // when this process saw it
	// Dropped is how many events this subscriber missed just before this one,
	// because it was too slow.
	Dropped uint64
}

// OnChange calls f for each change of a session that a sees, from now until
// unsubscribe or Close. Calls come one at a time, on a goroutine of f's own,
// in the order of the changes of each session; they never hold up a request.
// Events for an f that is 256 behind are dropped and counted in Event.Dropped;
// a panic in f is logged and ends nothing. Neither unsubscribe nor Close waits
// for a call that is under way or about to begin; there is none after that one.
//
// Every event is offered to every subscriber, so have few: a program with many
// listeners, such as streams, subscribes once and passes events on itself.
//
// Events are what this process observes. A session that was ended elsewhere is
// reported as Gone when Stytch next says so to this process; one that was
// extended elsewhere may be reported as Expired. At most 10,000 sessions are
// tracked; beyond that those that end first are dropped, and reported as
// Authenticated if they are seen again.
func (a *Authenticator) OnChange(f func(Event)) (unsubscribe func()) {
	if a.zero() || f == nil {
		return func() {}
	}
	return a.changes.subscribe(f)
}

const (
	subscriberQueue = 256
	trackedSessions = 10_000
)

// changes finds out what changed about sessions while somebody listens. The
// cost while nobody does is one atomic load.
type changes struct {
	log     *loud
	ended   func(*sessionctx.Session) bool // a session that is over must not come back
	active  atomic.Int32
	dropped atomic.Uint64 // events, of all subscribers

	// told are sessions of which nothing is new, so that the request that
	// brings one again takes no lock. Written under mu.
	seed maphash.Seed
	told [1024]atomic.Pointer[sessionctx.Session]

	mu      sync.Mutex
	closed  bool
	subs    map[*subscriber]struct{}
	last    map[string]*tracked
	ends    byEnd
	alarm   *time.Timer
	alarmAt time.Time
}

// tracked is the last that is known of a session.
type tracked struct {
	session *sessionctx.Session
	index   int // in ends
}

type subscriber struct {
	queue  chan Event
	missed uint64 // since the last event that it got; guarded by changes.mu
	ended  atomic.Bool
}

func (c *changes) subscribe(f func(Event)) func() {
	s := &subscriber{queue: make(chan Event, subscriberQueue)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return func() {}
	}
	if c.subs == nil {
		c.subs = make(map[*subscriber]struct{})
		c.last = make(map[string]*tracked)
	}
	c.subs[s] = struct{}{}
	c.active.Add(1)
	go func() {
		for e := range s.queue {
			if e.Dropped > 0 {
				c.log.say(slog.LevelWarn, "a subscriber of OnChange is too slow, events were dropped")
			}
			if s.ended.Load() {
				return
			}
			c.call(f, e)
		}
	}()
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.end(s)
		if len(c.subs) == 0 {
			c.forget()
		}
	}
}

func (c *changes) call(f func(Event), e Event) {
	defer func() {
		if p := recover(); p != nil {
			c.log.panicked("a subscriber of OnChange", p)
		}
	}()
	f(e)
}

// end ends a subscriber, once.
func (c *changes) end(s *subscriber) {
	if _, there := c.subs[s]; there {
		delete(c.subs, s)
		c.active.Add(-1)
		s.ended.Store(true)
		close(s.queue)
	}
}

func (c *changes) forget() {
	c.last, c.ends = make(map[string]*tracked), nil
	for i := range c.told {
		c.told[i].Store(nil)
	}
	if c.alarm != nil {
		c.alarm.Stop()
	}
	c.alarmAt = time.Time{}
}

func (c *changes) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for s := range c.subs {
		c.end(s)
	}
	c.forget()
}

// count is how many listen.
func (c *changes) count() int { return int(c.active.Load()) }

// saw compares s with what was known of the session.
func (c *changes) saw(s *sessionctx.Session, cause string) {
	if c.active.Load() == 0 {
		return
	}
	told := c.slot(s)
	if told.Load() == s {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.subs) == 0 {
		return
	}
	told.Store(s)
	t := c.last[s.ID()]
	if t != nil && (t.session == s || older(s, t.session)) {
		return
	}
	e := Event{SessionID: s.ID(), Session: s, Cause: cause, At: time.Now()}
	if !e.At.Before(s.ExpiresAt()) {
		return // its end is all that is left to tell
	}
	if t == nil {
		// A request may come here after the session's end was told.
		if c.ended(s) {
			return
		}
		c.track(s)
		e.Change = Authenticated
		if cause == causeHydrate {
			e.Change = Hydrated
		}
		c.publish(e)
		return
	}
	e.Previous = t.session
	t.session = s
	heap.Fix(&c.ends, t.index)
	c.arm()
	e.Change = Refreshed
	if cause == causeHydrate {
		e.Change = Hydrated
		c.publish(e)
		e.Change = 0
	}
	if !sameFactors(e.Previous, s) {
		e.Change = FactorsChanged
		c.publish(e)
		e.Change = 0
	}
	if s.ExpiresAt().Unix() > e.Previous.ExpiresAt().Unix() {
		e.Change = Extended
		c.publish(e)
		e.Change = 0
	}
	if e.Change == Refreshed {
		c.publish(e)
	}
}

// slot is the place of s, as a pointer, in told.
func (c *changes) slot(s *sessionctx.Session) *atomic.Pointer[sessionctx.Session] {
	return &c.told[maphash.Comparable(c.seed, s)%uint64(len(c.told))]
}

// older reports whether s says nothing that is newer than what is known: another
// tab may go on sending a JWT from before the last change. What Stytch answers
// is newer than what was known when it did.
//
// Here and below whole seconds count: a JWT may have fewer digits than an
// answer about the same session.
func older(s, known *sessionctx.Session) bool {
	if s.LastAccessedAt().Unix() > known.LastAccessedAt().Unix() {
		return false
	}
	return s.Source() != sessionctx.Remote || s.VerifiedAt().Before(known.VerifiedAt())
}

// sameFactors compares without regard to order.
func sameFactors(x, y *sessionctx.Session) bool {
	within := func(x, y *sessionctx.Session) bool {
		for i := range x.NumFactors() {
			if !hasFactor(y, x.Proof(i)) {
				return false
			}
		}
		return true
	}
	return x.NumFactors() == y.NumFactors() && within(x, y) && within(y, x)
}

func hasFactor(s *sessionctx.Session, f sessionctx.Factor) bool {
	for i := range s.NumFactors() {
		if g := s.Proof(i); f.Type == g.Type && f.DeliveryMethod == g.DeliveryMethod && f.LastAuthenticatedAt.Unix() == g.LastAuthenticatedAt.Unix() {
			return true
		}
	}
	return false
}

// over says that a session has ended.
func (c *changes) over(id string, how Change, cause string) {
	if c.active.Load() == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := Event{Change: how, SessionID: id, Cause: cause, At: time.Now()}
	if t := c.last[id]; t != nil {
		e.Session, e.Previous = t.session, t.session
		heap.Remove(&c.ends, t.index)
		delete(c.last, id)
	}
	c.publish(e)
}

// track begins to follow a session; the one that ends first makes room.
func (c *changes) track(s *sessionctx.Session) {
	if len(c.ends) >= trackedSessions {
		first := heap.Pop(&c.ends).(*tracked)
		delete(c.last, first.session.ID())
		c.slot(first.session).Store(nil)
	}
	t := &tracked{session: s}
	c.last[s.ID()] = t
	heap.Push(&c.ends, t)
	c.arm()
}

// arm sets the alarm to the first end.
func (c *changes) arm() {
	if c.closed || len(c.ends) == 0 {
		return
	}
	at := c.ends[0].session.ExpiresAt()
	if at.Equal(c.alarmAt) {
		return
	}
	c.alarmAt = at
	if c.alarm == nil {
		c.alarm = time.AfterFunc(time.Until(at), c.expire)
		return
	}
	c.alarm.Reset(time.Until(at))
}

// expire publishes the ends that have come.
func (c *changes) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for len(c.ends) > 0 && !now.Before(c.ends[0].session.ExpiresAt()) {
		t := heap.Pop(&c.ends).(*tracked)
		delete(c.last, t.session.ID())
		c.publish(Event{Change: Expired, SessionID: t.session.ID(), Session: t.session, Previous: t.session, Cause: causeTime, At: now})
	}
	c.alarmAt = time.Time{}
	c.arm()
}

// publish gives e to every subscriber that has room. The lock keeps the order.
func (c *changes) publish(e Event) {
	for s := range c.subs {
		e.Dropped = s.missed
		select {
		case s.queue <- e:
			s.missed = 0
		default:
			s.missed++
			c.dropped.Add(1)
		}
	}
}

// The causes of an Event.
const (
	causeRequest = "request"
	causeGuard   = "guard"
	causeHydrate = "hydrate"
	causeRefresh = "refresh"
	causeRevoke  = "revoke"
	causeAhead   = "ahead"
	causeFollow  = "follow"
	causeStytch  = "stytch"
	causeTime    = "time"
)

// byEnd is a heap of sessions, the one that ends first on top.
type byEnd []*tracked

func (h byEnd) Len() int { return len(h) }
func (h byEnd) Less(i, j int) bool {
	return h[i].session.ExpiresAt().Before(h[j].session.ExpiresAt())
}
func (h byEnd) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *byEnd) Push(x any) {
	t := x.(*tracked)
	t.index = len(*h)
	*h = append(*h, t)
}

func (h *byEnd) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return t
}
