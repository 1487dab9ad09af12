package stytchapi

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Error.NotSent.
const (
	limitPaused   = "paused"
	limitInFlight = "in flight"
	limitBreaker  = "breaker"
)

// Limits of the gate.
const (
	maxFailures = 5 // in a row, then the breaker opens
	probeEvery  = time.Second
	minPause    = time.Second
	maxPause    = 60 * time.Second
)

// gate says before each call whether it may go out now. Nothing queues: what
// may not is refused at once.
//
// It keeps three promises: at most max calls at a time; after a 429 none until
// its Retry-After is over; after maxFailures failures in a row one a second,
// until Stytch gives any answer that is not about now. Safe for concurrent use.
type gate struct {
	max int

	mu       sync.Mutex
	inFlight int

	pausedUntil time.Time
	step        time.Duration // the last pause that we had to choose; 0 after any other answer
	pauses      uint64        // 429s that paused; tells which calls had gone out before

	failures  int // in a row; the breaker is open from maxFailures on
	nextProbe time.Time
}

// pass is a call's permission. The call that has it must leave.
type pass struct{ pauses uint64 }

type kind uint8

const (
	unknown  kind = iota // nothing was learnt
	answered             // an answer that is not about now
	failed               // an answer about now, or none
	limited              // 429
)

// outcome is what a call taught about Stytch.
type outcome struct {
	kind       kind
	answered   bool          // failed: there was an HTTP answer
	retryAfter time.Duration // limited: how long, if told
	told       bool
}

// enter lets a call out or says why not.
func (g *gate) enter(now time.Time) (pass, *Error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case now.Before(g.pausedUntil):
		return pass{}, refused("paused after a 429", limitPaused, g.rest(now))
	case g.inFlight >= g.max:
		return pass{}, refused("too many calls in flight", limitInFlight, time.Second)
	case g.failures >= maxFailures:
		if now.Before(g.nextProbe) {
			return pass{}, refused("Stytch has failed several times in a row", limitBreaker, probeEvery)
		}
		g.nextProbe = now.Add(probeEvery)
	}
	g.inFlight++
	return pass{g.pauses}, nil
}

func refused(reason, limit string, d time.Duration) *Error {
	return &Error{Class: Now, RetryAfter: d, NotSent: limit, reason: "not sent: " + reason}
}

// clear reports whether a call that is out already may try again. A probe may
// not: it would be two in its second.
func (g *gate) clear(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !now.Before(g.pausedUntil) && g.failures < maxFailures
}

// leave ends a call.
func (g *gate) leave(p pass, now time.Time, o outcome) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight--
	switch o.kind {
	case answered:
		g.failures, g.step = 0, 0
	case failed:
		if o.answered {
			g.step = 0
		}
		// Later failures of calls that had gone out before do not put the
		// first probe off; a probe has set the next one when it went out.
		if g.failures++; g.failures == maxFailures {
			g.nextProbe = now.Add(probeEvery)
		}
	}
}

// limit begins a pause after a 429 and returns how long it is, in whole
// seconds. Of several calls that meet the same limit together one doubles.
func (g *gate) limit(p pass, now time.Time, o outcome) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := o.retryAfter
	if !o.told {
		if g.step == 0 || p.pauses == g.pauses {
			g.step = min(max(2*g.step, minPause), maxPause)
		}
		d = g.step
	}
	g.pauses++
	if until := now.Add(d); until.After(g.pausedUntil) {
		g.pausedUntil = until
	}
	return g.rest(now)
}

// rest returns the rest of the pause, rounded up to seconds.
func (g *gate) rest(now time.Time) time.Duration {
	return (g.pausedUntil.Sub(now) + time.Second - 1).Truncate(time.Second)
}

func (g *gate) state(now time.Time) State {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := State{InFlight: g.inFlight, BreakerOpen: g.failures >= maxFailures}
	if now.Before(g.pausedUntil) {
		s.PausedUntil = g.pausedUntil
	}
	return s
}

// retryAfter reads a Retry-After, seconds or a date (RFC 9110, section
// 10.2.3), and clamps it. It reports whether there was one.
func retryAfter(s string, now time.Time) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	digits := true
	for i := range len(s) {
		digits = digits && '0' <= s[i] && s[i] <= '9'
	}
	if digits {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			n = uint64(maxPause / time.Second) // more than fits
		}
		return clamp(time.Duration(n) * time.Second), true
	}
	t, err := http.ParseTime(s)
	if err != nil {
		return 0, false
	}
	return clamp(t.Sub(now)), true
}

func clamp(d time.Duration) time.Duration { return min(max(d, minPause), maxPause) }
