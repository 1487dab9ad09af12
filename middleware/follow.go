package middleware

import (
	"context"
	"sync"
	"time"

	"github.com/stytchware/stytchware/sessionctx"
)

// Follow returns a context for a handler that outlives its request's first
// answer: a stream of events, a WebSocket, a long poll. It ends when the
// session expires, when it is revoked on this process or found to be over,
// when a is closed, or with ctx; context.Cause then is ErrNoSession for the
// first two, ErrUnavailable for the third. If the session is extended so is
// the context. ctx must be a request's context after Load or a guard; without
// a session the result has ended already. Call cancel when done.
func (a *Authenticator) Follow(ctx context.Context) (followed context.Context, cancel context.CancelFunc) {
	st := a.stateOf(ctx)
	followed, end := context.WithCancelCause(ctx)
	cancel = func() { end(context.Canceled) }
	if st == nil {
		end(denyNotLoaded)
		return followed, cancel
	}
	if d := st.denied(); d != nil {
		end(d)
		return followed, cancel
	}
	f := &follower{id: st.session.ID(), end: end}
	if !a.follow.add(f, st.session.ExpiresAt()) {
		end(denyClosed)
		return followed, cancel
	}
	context.AfterFunc(followed, func() { a.follow.remove(f) })
	if a.isRevoked(st.session) { // between the guard and here
		end(denyRevoked)
	}
	return followed, cancel
}

// follower is one context that follows a session.
type follower struct {
	id      string
	end     context.CancelCauseFunc
	expires time.Time   // guarded by followers.mu
	timer   *time.Timer // guarded by followers.mu
}

// followers are all of them, by session id. The zero value is ready.
type followers struct {
	mu     sync.Mutex
	closed bool
	m      map[string]map[*follower]struct{}
}

func (fs *followers) add(f *follower, expires time.Time) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.closed {
		return false
	}
	if fs.m == nil {
		fs.m = make(map[string]map[*follower]struct{})
	}
	if fs.m[f.id] == nil {
		fs.m[f.id] = make(map[*follower]struct{})
	}
	fs.m[f.id][f] = struct{}{}
	f.expires = expires
	f.timer = time.AfterFunc(time.Until(expires), func() { f.end(denyExpired) })
	return true
}

func (fs *followers) remove(f *follower) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f.timer.Stop()
	delete(fs.m[f.id], f)
	if len(fs.m[f.id]) == 0 {
		delete(fs.m, f.id)
	}
}

// revoked ends what follows the session.
func (fs *followers) revoked(id string) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for f := range fs.m[id] {
		f.end(denyRevoked)
	}
}

// extended moves the end of what follows the session.
func (fs *followers) extended(s *sessionctx.Session) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for f := range fs.m[s.ID()] {
		// A timer that has fired cannot be called back.
		if s.ExpiresAt().After(f.expires) && f.timer.Stop() {
			f.expires = s.ExpiresAt()
			f.timer.Reset(time.Until(f.expires))
		}
	}
}

func (fs *followers) close() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.closed = true
	for _, all := range fs.m {
		for f := range all {
			f.end(denyClosed)
		}
	}
}
