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
// first three, ErrUnavailable for the fourth. Where the end of the session
// moves, so does that of the context.
//
// While it is followed Stytch is asked about the session, once for all who
// follow it, each time four fifths of Config.MaxTokenAge have passed since it
// was last known to live; this extends nothing. If Stytch cannot be asked for
// all of MaxTokenAge the context ends with ErrUnavailable: no stream outlives
// its session by more than that.
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
	lived := st.session.VerifiedAt()
	if st.out == nil { // that is when the signature was verified; Stytch's word is older
		lived = issuedAt(st.jwt)
	}
	f := &follower{id: st.session.ID(), end: end}
	if !a.follow.add(f, st.session, st.credentials(), lived, a.confirm) {
		end(denyClosed)
		return followed, cancel
	}
	context.AfterFunc(followed, func() { a.follow.remove(f) })
	if a.isRevoked(st.session) { // between the guard and here
		end(denyRevoked)
	}
	return followed, cancel
}

// confirm asks Stytch whether a followed session lives.
func (a *Authenticator) confirm(id string) {
	if !a.follow.begin() {
		return
	}
	defer a.follow.running.Done()
	defer func() {
		if p := recover(); p != nil {
			a.log.panicked("follow", p)
		}
	}()
	session, c, lived, ok := a.follow.known(id)
	if !ok {
		return
	}
	every := a.maxTokenAge * 4 / 5
	if rest := every - time.Since(lived); rest > 0 {
		a.follow.wake(id, rest) // a request confirmed it meanwhile
		return
	}
	out := a.again(a.stytch.ctx, c, session, wants{})
	if out.denial == nil && out.session.ID() != id {
		// The token beside the JWT is of another session of the user, which
		// says nothing of this one.
		c.token = ""
		out = a.again(a.stytch.ctx, c, session, wants{})
	}
	switch {
	case out.denial == nil:
		if t := out.answer.tokens.SessionToken; t != "" {
			a.follow.tokenOf(id, t)
		}
		a.changes.saw(out.session, causeFollow)
		a.follow.wake(id, every)
	case out.denial.kind != ErrUnavailable:
		a.follow.end(id, out.denial)
	default:
		rest := a.maxTokenAge - time.Since(lived)
		if rest <= 0 {
			a.follow.end(id, out.denial)
			return
		}
		a.follow.wake(id, min(rest, max(time.Second, rest/4)))
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
	expiry      *time.Timer
	confirm     *time.Timer
}

// followers are all of them, by session. The zero value is ready.
type followers struct {
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	m      map[string]*watch
}

func (fs *followers) add(f *follower, s *sessionctx.Session, c credentials, lived time.Time, confirm func(id string)) bool {
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
		id := f.id
		w = &watch{all: make(map[*follower]struct{}), session: s, credentials: c, lived: lived}
		w.expiry = time.AfterFunc(time.Until(s.ExpiresAt()), func() { fs.end(id, denyExpired) })
		w.confirm = time.AfterFunc(0, func() { confirm(id) })
		fs.m[f.id] = w
	} else {
		fs.move(w, s)
	}
	if lived.After(w.lived) {
		w.lived, w.credentials = lived, c
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
		w.expiry.Stop()
		w.confirm.Stop()
		delete(fs.m, f.id)
	}
}

// end ends what follows the session.
func (fs *followers) end(id string, why *denial) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if w := fs.m[id]; w != nil {
		for f := range w.all {
			f.end(why)
		}
	}
}

// moved moves the end of what follows the session to where it is by Stytch's
// answer s, unless something newer was known of it.
func (fs *followers) moved(s *sessionctx.Session) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if w := fs.m[s.ID()]; w != nil {
		fs.move(w, s)
	}
}

func (fs *followers) move(w *watch, s *sessionctx.Session) {
	if s.VerifiedAt().Before(w.session.VerifiedAt()) {
		return
	}
	moves := !s.ExpiresAt().Equal(w.session.ExpiresAt())
	w.session = s
	if s.Source() == sessionctx.Remote && s.VerifiedAt().After(w.lived) {
		w.lived = s.VerifiedAt()
	}
	// A timer that has fired cannot be called back.
	if moves && w.expiry.Stop() {
		w.expiry.Reset(time.Until(s.ExpiresAt()))
	}
}

// known returns what is known of a followed session.
func (fs *followers) known(id string) (s *sessionctx.Session, c credentials, lived time.Time, ok bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	w := fs.m[id]
	if w == nil {
		return nil, c, lived, false
	}
	return w.session, w.credentials, w.lived, true
}

// wake has the session confirmed after d.
func (fs *followers) wake(id string, d time.Duration) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if w := fs.m[id]; w != nil && !fs.closed {
		w.confirm.Reset(d)
	}
}

// tokenOf notes the session token, with which Stytch can be asked for longer
// than with a JWT.
func (fs *followers) tokenOf(id, token string) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if w := fs.m[id]; w != nil {
		w.credentials.token = token
	}
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
