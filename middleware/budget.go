package middleware

import "time"

// drawLogout takes one of the budget for logouts, and reports whether there was
// any left. It is apart from the other, so that a flood at guards keeps nobody
// from logging out.
func (q *inquiries) drawLogout() bool {
	q.mu.Lock()
	ok := q.logouts.take(time.Now())
	q.mu.Unlock()
	if !ok {
		q.limited(limitUnknown)
	}
	return ok
}

// left is how much of the budget is left.
func (q *inquiries) left(now time.Time) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.budget.left(now)
}

// bucket is a token bucket. Its owner locks.
type bucket struct {
	rate  float64 // a second
	burst float64
	level float64
	at    time.Time
}

func (b *bucket) take(now time.Time) bool {
	b.fill(now)
	if b.level < 1 {
		return false
	}
	b.level--
	return true
}

func (b *bucket) fill(now time.Time) {
	if b.at.IsZero() {
		b.level = b.burst
	} else {
		b.level = min(b.burst, b.level+b.rate*max(0, now.Sub(b.at).Seconds()))
	}
	b.at = now
}

func (b *bucket) left(now time.Time) int {
	b.fill(now)
	return int(b.level)
}
