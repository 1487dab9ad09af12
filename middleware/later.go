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

// ending is a call to revoke that is under way.
type ending struct {
	began time.Time
	done  chan struct{}
	err   error // set before done is closed
}

// errNotEnded is what came of a call that did not come to its end.
var errNotEnded = errors.New("middleware: the call did not come to its end")

// revoke ends a session at Stytch: one call at a time for one credential.
func (q *inquiries) revoke(ctx context.Context, c stytchapi.Credential) error {
	if err := ctx.Err(); err != nil { // no call
		return err
	}
	came := time.Now()
	q.mu.Lock()
	for e := q.endings[c]; e != nil; e = q.endings[c] {
		q.mu.Unlock()
		select {
		case <-e.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		// The failure of a call that began before is not this one's.
		if e.err == nil || !e.began.Before(came) {
			return e.err
		}
		q.mu.Lock()
	}
	e := &ending{time.Now(), make(chan struct{}), errNotEnded}
	q.endings[c] = e
	q.mu.Unlock()
	defer func() {
		q.mu.Lock()
		delete(q.endings, c)
		q.mu.Unlock()
		close(e.done)
	}()
	e.err = q.api.Revoke(ctx, c)
	q.tell("revoke", e.began, e.err)
	return e.err
}

// underWay reports whether there is a call with this credential to join.
func (q *inquiries) underWay(c stytchapi.Credential) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.endings[c] != nil
}

// revoked makes c count as gone until end, and returns the session that it was
// known to be of, "" for none.
func (q *inquiries) revoked(c credential, end time.Time) (of string) {
	c.value = strings.Clone(c.value)
	q.mu.Lock()
	defer q.mu.Unlock()
	if s := q.kept(c); s != nil {
		of = s.id()
	}
	q.results.Put(c, &answer{began: time.Now(), over: of}, end)
	return of
}

// revokeLater tries again and again to revoke what could not be revoked now,
// for some minutes, until Stytch answers or Close. A logout during an outage
// would otherwise leave a live session. Beyond a number of them, which is
// smaller for those that nothing vouches for, it does not begin: the caller was
// told.
func (q *inquiries) revokeLater(c stytchapi.Credential, vouched bool) (begun bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.later[c] {
		return true
	}
	most := maxLater
	if !vouched {
		most = maxLater / 4
	}
	if q.closed || len(q.later) >= most {
		return false
	}
	c.SessionToken, c.SessionID = strings.Clone(c.SessionToken), strings.Clone(c.SessionID)
	q.later[c] = true
	q.running.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				q.log.panicked("revoke", p)
			}
			q.mu.Lock()
			delete(q.later, c)
			q.mu.Unlock()
		}()
		for wait := 2 * time.Second; wait <= laterMost; wait *= 2 {
			select {
			case <-q.ctx.Done():
				return
			case <-time.After(wait):
			}
			if !vouched && !q.drawLogout() {
				continue
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
	return len(q.later)
}
