package middleware

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stytchware/stytchware/sessionctx"
)

// Follow returns a context for a handler that outlives its request's first
// answer: a stream of events, a WebSocket, a long poll. It ends when the
// session expires, when it is revoked on this process or found to be over,
// when a is closed, or with ctx. context.Cause then matches ErrNoSession if the
// session ended, and ErrUnavailable if a was closed. If the session is extended,
// so is the context.
//
// While a session is followed, Stytch is asked about it, once for all who follow
// it, whenever 80 % of Config.MaxTokenAge have passed since the session was last
// confirmed. These checks do not extend the session. If Stytch cannot be asked
// for all of MaxTokenAge, the context ends with ErrUnavailable: no stream
// outlives its session by more than that.
//
// ctx must be a request's context after Load or a guard; without a session the
// result has ended already. A handler that hijacks its connection and returns
// passes context.WithoutCancel(ctx). Call cancel when done.
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
	c, lived := st.credentials(), st.session.VerifiedAt()
	// Of a JWT that is when the signature was verified; Stytch's word is older.
	if st.out == nil || st.out.answer == nil {
		if at := issuedAt(c.jwt); at.Before(lived) { // a clock may be ahead of ours
			lived = at
		}
	}
	f := &follower{id: st.session.ID(), end: end}
	if !a.follow.add(f, st.session, c, lived, a.confirm) {
		end(denyClosed)
		return followed, cancel
	}
	context.AfterFunc(followed, func() { a.follow.remove(f) })
	if a.isRevoked(st.session) || a.isDead(c.token) { // between the guard and here
		end(denyRevoked)
	}
	return followed, cancel
}

// confirm asks Stytch whether a followed session lives.
func (a *Authenticator) confirm(w *watch) {
	if !a.follow.begin() {
		return
	}
	defer a.follow.running.Done()
	defer func() {
		if p := recover(); p != nil {
			a.log.panicked("follow", p)
		}
	}()
	session, c, lived, failed, ok := a.follow.known(w)
	if !ok {
		return
	}
	every := a.maxTokenAge * 4 / 5
	if rest := every - time.Since(lived); rest > 0 {
		a.follow.wake(w, rest) // a request confirmed it meanwhile
		return
	}
	rest := a.maxTokenAge - time.Since(lived)
	if rest <= 0 && failed != nil {
		a.follow.end(w, failed)
		return
	}
	ctx := a.stytch.ctx
	if rest > 0 { // a call that hangs must not keep the stream
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, rest)
		defer cancel()
	}
	out := a.again(ctx, c, session, wants{})
	if out.denial == nil && out.session.ID() != session.ID() {
		// The token beside the JWT is of another session of the user, which
		// says nothing of this one.
		c.token = ""
		out = a.again(ctx, c, session, wants{})
	}
	switch {
	case out.denial == nil:
		a.follow.confirmed(w, out.session, out.answer.tokens.SessionToken)
		a.changes.saw(out.session, causeFollow)
		a.follow.wake(w, every)
	case out.denial.kind != ErrUnavailable:
		a.follow.end(w, out.denial)
	default:
		rest := a.maxTokenAge - time.Since(lived)
		if rest <= 0 {
			a.follow.end(w, out.denial)
			return
		}
		a.follow.failed(w, out.denial)
		a.follow.wake(w, min(rest, max(time.Second, rest/4)))
	}
}

// follower is one context that follows a session.
type follower struct {
	id  string
	end context.CancelCauseFunc
}

// watch is a session that is followed. followers.mu guards it.
type watch struct {
	all         map[*follower]struct{}
	session     *sessionctx.Session // as known last
	credentials credentials         // with which Stytch can be asked
	lived       time.Time           // when it was last known to live
	failed      *denial             // why Stytch could not be asked since, nil if it could
	expiry      *time.Timer
	confirm     *time.Timer
}

// followers are all of them, by session. The zero value is ready. What is not
// in the map any more has ended: timers that fire then change nothing.
type followers struct {
	running sync.WaitGroup

	n      atomic.Int32 // of sessions, so that nobody waits for the lock while there are none
	mu     sync.Mutex
	closed bool
	m      map[string]*watch
}

func (fs *followers) add(f *follower, s *sessionctx.Session, c credentials, lived time.Time, confirm func(*watch)) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.closed {
		return false
	}
	w := fs.m[f.id]
	if w == nil {
		if fs.m == nil {
			fs.m = make(map[string]*watch)
		}
		w = &watch{all: make(map[*follower]struct{}), session: s, credentials: c, lived: lived}
		w.expiry = time.AfterFunc(time.Until(s.ExpiresAt()), func() { fs.expire(w) })
		w.confirm = time.AfterFunc(0, func() { confirm(w) })
		fs.m[f.id] = w
		fs.n.Add(1)
	} else {
		fs.move(w, s)
	}
	if lived.After(w.lived) {
		w.lived, w.failed = lived, nil
		if w.credentials.token == "" || c.token != "" { // a token outlives every JWT
			w.credentials = c
		}
	}
	w.all[f] = struct{}{}
	return true
}

func (fs *followers) remove(f *follower) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	w := fs.m[f.id]
	if w == nil {
		return
	}
	delete(w.all, f)
	if len(w.all) == 0 {
		fs.drop(w)
	}
}

// end ends what w follows.
func (fs *followers) end(w *watch, why *denial) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.m[w.session.ID()] == w {
		fs.finish(w, why)
	}
}

// over ends what follows the session.
func (fs *followers) over(id string, why *denial) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if w := fs.m[id]; w != nil {
		fs.finish(w, why)
	}
}

// overToken ends what is followed by this session token.
func (fs *followers) overToken(token string, why *denial) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, w := range fs.m {
		if w.credentials.token == token {
			fs.finish(w, why)
		}
	}
}

// finish takes w out of the map at once: who comes after the end begins anew.
func (fs *followers) finish(w *watch, why *denial) {
	fs.drop(w)
	for f := range w.all {
		f.end(why)
	}
}

func (fs *followers) drop(w *watch) {
	w.expiry.Stop()
	w.confirm.Stop()
	delete(fs.m, w.session.ID())
	fs.n.Add(-1)
}

// expire ends what follows w if its end has come: it may just have moved.
func (fs *followers) expire(w *watch) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.m[w.session.ID()] != w {
		return
	}
	if rest := time.Until(w.session.ExpiresAt()); rest > 0 {
		w.expiry.Reset(rest)
		return
	}
	fs.finish(w, denyExpired)
}

// moved moves the end of what follows the session to where it is by Stytch's
// answer s, unless something newer was known of it.
func (fs *followers) moved(s *sessionctx.Session) {
	if fs.n.Load() == 0 {
		return
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if w := fs.m[s.ID()]; w != nil {
		fs.move(w, s)
	}
}

func (fs *followers) move(w *watch, s *sessionctx.Session) {
	if s.Source() == sessionctx.Remote && s.VerifiedAt().After(w.lived) {
		w.lived, w.failed = s.VerifiedAt(), nil
	}
	if older(s, w.session) {
		return
	}
	moves := !s.ExpiresAt().Equal(w.session.ExpiresAt())
	w.session = s
	if moves {
		w.expiry.Reset(time.Until(s.ExpiresAt()))
	}
}

// known returns what is known of a followed session, and whether it still is.
func (fs *followers) known(w *watch) (s *sessionctx.Session, c credentials, lived time.Time, failed *denial, ok bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return w.session, w.credentials, w.lived, w.failed, fs.m[w.session.ID()] == w
}

// wake has the session confirmed after d.
func (fs *followers) wake(w *watch, d time.Duration) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.m[w.session.ID()] == w && !fs.closed {
		w.confirm.Reset(d)
	}
}

// confirmed notes that Stytch said s, and the session token, with which it can
// be asked for longer than with a JWT.
func (fs *followers) confirmed(w *watch, s *sessionctx.Session, token string) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if at := s.VerifiedAt(); at.After(w.lived) {
		w.lived = at
	}
	w.failed = nil
	if token != "" {
		w.credentials.token = token
	}
}

// failed notes that Stytch could not be asked.
func (fs *followers) failed(w *watch, why *denial) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	w.failed = why
}

// begin begins work that close waits for.
func (fs *followers) begin() bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.closed {
		return false
	}
	fs.running.Add(1)
	return true
}

// count is how many contexts follow a session.
func (fs *followers) count() (n int) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, w := range fs.m {
		n += len(w.all)
	}
	return n
}

// close ends all. The calls they wait for must have been ended before.
func (fs *followers) close() {
	fs.mu.Lock()
	fs.closed = true
	for _, w := range fs.m {
		w.expiry.Stop()
		w.confirm.Stop()
		for f := range w.all {
			f.end(denyClosed)
		}
	}
	fs.mu.Unlock()
	fs.running.Wait()
}
