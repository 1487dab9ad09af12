package middleware

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/stytchware/stytchware/internal/stytchapi"
)

// What Stytch is asked and told in the background: answers before they are
// needed, and logouts that could not be told at once.

// askAhead asks about c in the background and gives the answer to then, unless
// it tried a moment ago or is busy enough.
func (q *inquiries) askAhead(c credentials, duration time.Duration, then func(*answer)) {
	sent := c.sent()
	if _, tried := q.ahead.tried.Get(sent); tried {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.ahead.running >= q.ahead.most {
		return
	}
	sent.value = strings.Clone(sent.value)
	q.ahead.tried.Put(sent, struct{}{}, time.Now().Add(q.ahead.pause))
	q.ahead.running++
	q.running.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				q.log.panicked("refresh ahead", p)
			}
			q.mu.Lock()
			q.ahead.running--
			q.mu.Unlock()
		}()
		s, _, d := q.ask(q.ctx, sent, wants{since: time.Now(), ahead: true, duration: duration})
		if d == nil {
			then(s)
		}
	})
}

// aheadPause is the time between two attempts to refresh ahead. A margin that
// is short allows for two of them.
const aheadPause = 5 * time.Second

// revoke ends a session at Stytch.
func (q *inquiries) revoke(ctx context.Context, c stytchapi.Credential) error {
	began := time.Now()
	err := q.api.Revoke(ctx, c)
	q.tell("revoke", began, err)
	return err
}

// revoked makes c count as gone until end.
func (q *inquiries) revoked(c credential, end time.Time) {
	c.value = strings.Clone(c.value)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.results.Put(c, &answer{began: time.Now()}, end)
}

// revokeLater tries again and again to revoke what could not be revoked now,
// for some minutes, until Stytch answers or Close. A logout during an outage
// would otherwise leave a live session. Beyond a number of them, which is
// smaller for those that nothing vouches for, it does not begin: the caller was
// told.
func (q *inquiries) revokeLater(c stytchapi.Credential, vouched bool) (begun bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	most := maxLater
	if !vouched {
		most = maxLater / 4
	}
	if q.closed || q.later >= most {
		return false
	}
	q.later++
	q.running.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				q.log.panicked("revoke", p)
			}
			q.mu.Lock()
			q.later--
			q.mu.Unlock()
		}()
		for wait := 2 * time.Second; wait <= laterMost; wait *= 2 {
			select {
			case <-q.ctx.Done():
				return
			case <-time.After(wait):
			}
			var e *stytchapi.Error
			if err := q.revoke(q.ctx, c); err == nil || errors.As(err, &e) && e.Class != stytchapi.Now {
				return
			}
		}
	})
	return true
}

const (
	maxLater  = 256               // logouts waiting for Stytch
	laterMost = 256 * time.Second // the last pause between two attempts: 8 minutes in all
)

// waiting is how many revocations wait to be repeated.
func (q *inquiries) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.later
}
