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
// first two, ErrUnavailable for the third. Where the end of the session moves,
// so does that of the context. ctx must be a request's context after Load or a
// guard; without a session the result has ended already. Call cancel when
// done.
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
	if !a.follow.add(f, st.session) {
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
	session *sessionctx.Session // as known last; guarded by followers.mu
	timer   *time.Timer         // guarded by followers.mu
}

// followers are all of them, by session id. The zero value is ready.
type followers struct {
	mu     sync.Mutex
	closed bool
	m      map[string]map[*follower]struct{}
}

func (fs *followers) add(f *follower, s *sessionctx.Session) bool {
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
	f.session = s
	f.timer = time.AfterFunc(time.Until(s.ExpiresAt()), func() { f.end(denyExpired) })
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

// moved moves the end of what follows the session to where it is by s, unless
// something newer was known of it.
func (fs *followers) moved(s *sessionctx.Session) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for f := range fs.m[s.ID()] {
		if s.VerifiedAt().Before(f.session.VerifiedAt()) {
			continue
		}
		moves := !s.ExpiresAt().Equal(f.session.ExpiresAt())
		f.session = s
		// A timer that has fired cannot be called back.
		if moves && f.timer.Stop() {
			f.timer.Reset(time.Until(s.ExpiresAt()))
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
