package middleware

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/stytchware/stytchware/internal/stytchapi"
	"github.com/stytchware/stytchware/internal/ttlmap"
	"github.com/stytchware/stytchware/jwks"
	"github.com/stytchware/stytchware/sessionctx"
)

// answer is what Stytch said about one credential, after it made sense. It
// is shared between requests and never changed.
type answer struct {
	session *sessionctx.Session // Source Remote; nil: the session is over
	cached  *sessionctx.Session // the same with Source Local, for those who find it later
	tokens  Tokens              // the JWT was verified, or is ""
	over    string              // the session that is over, where it is known
	b2b     bool                // over only in that the API asked is not for its kind

	began   time.Time // when the call began
	recheck bool      // asked for by a guard: serves further re-checks
	ahead   bool      // asked for ahead: serves for as long as a JWT would
}

// held returns what the client holds after the answer: its own session token
// where the answer names none, since that does not change.
func (s *answer) held(token string) Tokens {
	t := s.tokens
	if t.SessionToken == "" {
		t.SessionToken = token
	}
	return t
}

// gone reports whether the answer is that the session is over.
func (s *answer) gone() bool { return s.session == nil }

// id returns the session that the answer is about, "" where it is not known:
// of a session that is over Stytch says no id.
func (s *answer) id() string {
	if s.gone() {
		return s.over
	}
	return s.session.ID()
}

// inquiries shares the calls to Stytch between requests: one at a time per
// credential, under a context of its own, and what came out of it.
type inquiries struct {
	api      *stytchapi.Client
	verifier *jwks.Verifier
	log      *loud

	negativeTTL time.Duration
	called      func(Call)         // told of each call; nil for none
	limited     func(limit string) // told of each call that a limit kept back

	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	running sync.WaitGroup

	// results outlive their usefulness as answers, so that a token once seen
	// stays known.
	results *ttlmap.Map[credential, *answer]

	mu      sync.Mutex
	closed  bool
	flights map[credential]*flight
	budget  bucket
	endings map[stytchapi.Credential]*ending
	later   map[stytchapi.Credential]bool // revocations that wait for Stytch
	logouts bucket                        // budget for logouts that nothing vouches for

	ahead struct {
		most    int           // at a time
		pause   time.Duration // least time between two attempts for one credential
		running int           // guarded by mu
		tried   *ttlmap.Map[credential, struct{}]
	}
}

type flight struct {
	began    time.Time
	duration time.Duration
	recheck  bool // guarded by inquiries.mu
	ahead    bool // guarded by inquiries.mu
	done     chan struct{}
	answer   *answer // set before done is closed
	err      *denial
}

// wants says which answer a caller takes.
type wants struct {
	since    time.Time          // a call that began before this will not do; zero: any
	finished func(*answer) bool // whether a finished answer will do; nil: only that the session is over
	recheck  bool               // the answer is for a guard
	ahead    bool               // the answer is for later, in place of a JWT about to go stale
	budgeted bool               // the token was never seen: draw on the budget
	duration time.Duration      // to extend the session by; 0: not
}

func (w wants) takes(s *answer) bool {
	return s != nil && (s.gone() || w.finished != nil && w.finished(s))
}

func (w wants) joins(f *flight) bool {
	return !f.began.Before(w.since) && f.duration == w.duration
}

// kept returns the finished answer about c, if there is one.
func (q *inquiries) kept(c credential) *answer {
	s, _ := q.results.Get(c)
	return s
}

// ask returns Stytch's answer about c: a finished one that will do, that of a
// call under way, or that of a new call; called tells that there was a call.
func (q *inquiries) ask(ctx context.Context, c credential, w wants) (s *answer, called bool, d *denial) {
	for {
		f, s, d := q.join(c, w)
		if d == denyBudget { // told here: the program's own code must not run under the lock
			q.limited(limitUnknown)
		}
		if s != nil || d != nil {
			return s, false, d
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, true, denyLeft
		}
		// A call that will not do is waited for, not doubled: one call per
		// credential at a time.
		if w.joins(f) {
			return f.answer, f.err == nil || !f.err.unsent, f.err
		}
	}
}

// join finds a finished answer or a flight, or starts one.
func (q *inquiries) join(c credential, w wants) (*flight, *answer, *denial) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, nil, denyClosed
	}
	// Looked at under the lock: a flight may just have landed. Looked at first:
	// what will do needs no waiting for one that may fail.
	if s := q.kept(c); w.takes(s) {
		return nil, s, nil
	}
	if f := q.flights[c]; f != nil {
		if w.joins(f) {
			f.recheck, f.ahead = f.recheck || w.recheck, f.ahead || w.ahead
		}
		return f, nil, nil
	}
	if w.budgeted && !q.budget.take(time.Now()) {
		return nil, nil, denyBudget
	}
	c.value = strings.Clone(c.value) // it may be part of a large header
	f := &flight{began: time.Now(), duration: w.duration, recheck: w.recheck, ahead: w.ahead, done: make(chan struct{})}
	q.flights[c] = f
	q.running.Go(func() { q.fly(c, f) })
	return f, nil, nil
}

// fly makes the call for all who wait. Nothing of one caller is in it.
func (q *inquiries) fly(c credential, f *flight) {
	ctx, cancel := context.WithTimeout(q.ctx, flightDeadline)
	defer cancel()
	var s *answer
	d := denyPanicked
	defer func() {
		if p := recover(); p != nil {
			s, d = nil, denyPanicked
			q.log.panicked("authenticate", p)
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		if s != nil {
			old := q.kept(c)
			if old != nil && old.gone() && !old.began.Before(f.began) {
				// A revocation here while the call was under way outweighs it,
				// but may not have known which session it was about.
				s = &answer{began: old.began, over: cmp.Or(old.over, s.id())}
			} else {
				if s.gone() && old != nil {
					s.over = old.id()
				}
				s.began, s.recheck, s.ahead = f.began, f.recheck, f.ahead
				q.keep(c, s)
			}
		}
		f.answer, f.err = s, d
		delete(q.flights, c)
		close(f.done)
	}()
	s, d = q.call(ctx, c, f.duration)
}

const (
	// answerKeyWait is how long an answer's session_jwt waits for its key. A
	// request may have waited for the key set before; the session stands
	// without the JWT.
	answerKeyWait = time.Second
	// flightDeadline is the API's 3 s, answerKeyWait, and some.
	flightDeadline = 6 * time.Second
)

// call asks Stytch and makes sure that the answer makes sense in itself.
func (q *inquiries) call(ctx context.Context, c credential, duration time.Duration) (*answer, *denial) {
	var cred stytchapi.Credential
	if c.kind == opaque {
		cred.SessionToken = c.value
	} else {
		cred.SessionJWT = c.value
	}
	began := time.Now()
	got, err := q.api.Authenticate(ctx, cred, duration)
	q.tell("authenticate", began, err)
	if err != nil {
		return q.failed(err)
	}
	s := &answer{
		session: got.Session,
		cached:  got.Session.As(sessionctx.Local, got.Session.VerifiedAt()),
		tokens:  Tokens{SessionToken: got.SessionToken, SessionJWT: got.SessionJWT},
	}
	if got.SessionJWT == "" {
		return s, nil
	}
	// The JWT goes into a cookie and will be believed: it must be the
	// session's.
	ctx, cancel := context.WithTimeout(ctx, answerKeyWait)
	defer cancel()
	in, err := q.verifier.Verify(ctx, got.SessionJWT)
	var stale *jwks.StaleError
	switch {
	case err == nil:
	case errors.As(err, &stale):
		in = stale.Session
	case errors.Is(err, jwks.ErrInvalid):
		q.log.nonsense("the session_jwt in Stytch's answer is not valid")
		return nil, denyNonsense
	default: // its key is not known yet: the session stands without it
		s.tokens.SessionJWT = ""
		return s, nil
	}
	if in.UserID() != got.Session.UserID() || in.ID() != got.Session.ID() {
		q.log.nonsense("the session_jwt in Stytch's answer is of another session")
		return nil, denyNonsense
	}
	return s, nil
}

func (q *inquiries) failed(err error) (*answer, *denial) {
	var e *stytchapi.Error
	if !errors.As(err, &e) {
		return nil, unavailable("the call to Stytch failed", time.Second)
	}
	switch e.Class {
	case stytchapi.Gone:
		return &answer{b2b: e.Type == stytchapi.OtherKind}, nil
	case stytchapi.Setup:
		return nil, unavailable("Stytch refused our call", e.RetryAfter)
	}
	return nil, &denial{kind: ErrUnavailable, why: "Stytch could not be asked", retry: e.RetryAfter, outage: true, unsent: e.NotSent != ""}
}

// tell tells of a call that ended, or was kept back.
func (q *inquiries) tell(operation string, began time.Time, err error) {
	outcome := "ok"
	var e *stytchapi.Error
	if errors.As(err, &e) {
		if e.NotSent != "" {
			q.limited(e.NotSent)
			return
		}
		outcome = e.Class.String()
	}
	if q.called == nil {
		return
	}
	q.called(Call{Operation: operation, Outcome: outcome, Began: began, Took: time.Since(began)})
}

// keep keeps an answer: that a session is over for the negative TTL, a good
// one for as long as the token should stay known.
func (q *inquiries) keep(c credential, s *answer) {
	now := time.Now()
	if s.gone() {
		q.results.Put(c, s, now.Add(q.negativeTTL))
		return
	}
	end := s.session.ExpiresAt()
	if most := now.Add(known); end.After(most) {
		end = most
	}
	q.results.Put(c, s, end)
}

// known is how long a session token that Stytch confirmed counts as seen.
const known = time.Hour

// close ends every flight and waits for it.
func (q *inquiries) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.stop()
	q.running.Wait()
}
