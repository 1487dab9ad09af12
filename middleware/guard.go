package middleware

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/stytchware/stytchware/internal/ctxkey"
	"github.com/stytchware/stytchware/sessionctx"
)

// state is what an Authenticator found out about a request, and the context
// that carries it. It is immutable except for passed; a guard that asked Stytch
// makes a new one. Its size is on the hot path.
type state struct {
	context.Context
	auth    *Authenticator
	session *sessionctx.Session
	// plain is where the credentials plainly are: the JWT of a bearer, or the
	// only Cookie line. If it is "", out has them.
	plain   string
	out     *decision // nil: the JWT, which is in plain, was verified locally
	carrier carrier

	// passed is what guards have held the session against so far. A session
	// that takes its place must meet it, too.
	passed atomic.Uint32 // needs, packed
	vary   [1]string     // the header's value, which is no other response's
}

type stateKey struct{}

// Value implements context.Context.
func (s *state) Value(key any) any {
	switch key.(type) {
	case ctxkey.Session:
		return s.session
	case stateKey:
		return s
	}
	return s.Context.Value(key)
}

// credentials returns what the request carried.
func (s *state) credentials() credentials {
	switch {
	case s.plain == "" && s.out != nil:
		return s.out.from
	case s.plain == "" || s.carrier == byBearer:
		return credentials{jwt: s.plain, carrier: s.carrier}
	}
	c, ok := s.auth.plainCookies(s.plain)
	if !ok { // sealed ones that are not remembered any more
		c, _ = s.auth.readCookies([]string{s.plain})
	}
	return c
}

// denied is why there is no session, nil if there is one.
func (s *state) denied() *denial {
	if s.session != nil {
		return nil
	}
	return s.out.denial
}

// refuse returns s as a guard refused it.
func (s *state) refuse(ctx context.Context, q *needs, d *denial) *state {
	var both struct { // one allocation
		state
		out decision
	}
	both.out = byItsJWT(nil)
	if s.out != nil {
		both.out = *s.out
	}
	both.out.refused, both.out.guard = d, q
	s.to(&both.state, ctx, s.session, &both.out)
	return &both.state
}

// next returns s with another context, session and decision.
func (s *state) next(ctx context.Context, session *sessionctx.Session, out *decision) *state {
	var n state
	s.to(&n, ctx, session, out)
	return &n
}

func (s *state) to(n *state, ctx context.Context, session *sessionctx.Session, out *decision) {
	n.Context, n.auth, n.session, n.plain, n.out, n.carrier = ctx, s.auth, session, s.plain, out, s.carrier
	n.passed.Store(s.passed.Load())
}

// pass notes that the session met q.
func (s *state) pass(q needs) {
	for {
		old := s.passed.Load()
		sum := q.and(unpack(old)).pack()
		if sum == old || s.passed.CompareAndSwap(old, sum) {
			return
		}
	}
}

// stateOf returns what a found out about the request of ctx, or nil.
func (a *Authenticator) stateOf(ctx context.Context) *state {
	for {
		s, _ := ctx.Value(stateKey{}).(*state)
		if s == nil || s.auth == a {
			return s
		}
		ctx = s.Context
	}
}

// states returns the innermost state of ctx, whose session a handler sees, and
// a's own: the same one unless several Authenticators share the request.
func (a *Authenticator) states(ctx context.Context) (inner, own *state) {
	inner, _ = ctx.Value(stateKey{}).(*state)
	if inner == nil || inner.auth == a {
		return inner, inner
	}
	return inner, a.stateOf(inner.Context)
}

// Load reads the request's session and puts it in the context, where
// [sessionctx.From] finds it. It never denies a request. If there is no session,
// [Authenticator.Err] returns the reason, and so distinguishes an outage from an
// anonymous request.
//
// Before it calls next, Load adds a Vary header for what can carry credentials
// and writes any new cookies. It does not wrap the ResponseWriter. It panics if
// next is nil, as the guards do.
func (a *Authenticator) Load(next http.Handler) http.Handler {
	mustHandle(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner, had := a.states(r.Context())
		switch {
		case had == nil:
			r = r.WithContext(a.load(w, r))
		case had != inner:
			r = r.WithContext(had.next(r.Context(), had.session, had.out))
		}
		next.ServeHTTP(w, r)
	})
}

// RequireSession lets a request pass that has a session, and denies any other:
// 401, or 303 to Config.LoginURL for a page load; 503 where it cannot be
// known. It needs no Load before it.
func (a *Authenticator) RequireSession(next http.Handler) http.Handler {
	return a.guard(&needs{}, next)
}

// RequireMFA is Require([MFA]).
func (a *Authenticator) RequireMFA(next http.Handler) http.Handler {
	return a.guard(&needs{mfa: true}, next)
}

// Require lets a request pass that has a session which meets all of reqs.
// Before it denies a session that was taken from a JWT or a cache it asks
// Stytch once: the user may have stepped up a moment ago. (That answer also
// serves the next 2 s, so a client that steps up right after a denial and goes
// on sending its old JWT is denied until then.) The denial is 401
// with the challenge of RFC 9470, or 303 to Config.StepUpURL for a page load;
// 503 where Stytch cannot be asked. It needs no Load before it.
func (a *Authenticator) Require(reqs ...Requirement) func(http.Handler) http.Handler {
	q := join(reqs)
	return func(next http.Handler) http.Handler { return a.guard(&q, next) }
}

// mustHandle panics where a program is wired up wrongly, and not only when the
// first request comes.
func mustHandle(next http.Handler) {
	if next == nil {
		panic("middleware: nil handler")
	}
}

func (a *Authenticator) guard(q *needs, next http.Handler) http.Handler {
	mustHandle(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner, had := a.states(r.Context())
		began := a.observed()
		st := had
		if st == nil {
			st = a.load(w, r)
		}
		found := st
		st, d := a.check(w, r, st, q)
		if d != nil {
			st = st.refuse(r.Context(), q, d)
			a.decided(st, st, true, began)
			a.explained(st, st)
			if a != nil && a.errorHandler != nil { // no other sees it
				r = r.WithContext(st)
			}
			a.Deny(w, r, d)
			return
		}
		st.pass(*q)
		if st != found { // Stytch was asked
			a.decided(r.Context(), st, true, began)
		}
		switch {
		case st != had:
			r = r.WithContext(st)
		case st != inner: // the handler must see the session that was judged
			r = r.WithContext(st.next(r.Context(), st.session, st.out))
		}
		next.ServeHTTP(w, r)
	})
}

// load decides about r and writes the cookies that follow from it.
func (a *Authenticator) load(w http.ResponseWriter, r *http.Request) *state {
	began := a.observed()
	st := a.examine(r)
	if !a.zero() {
		a.vary(w.Header(), &st.vary)
	}
	a.deliver(w, r, st)
	a.decided(r.Context(), st, false, began)
	a.explained(r.Context(), st)
	if st.session != nil {
		a.changes.saw(st.session, causeRequest)
	}
	return st
}

// examine decides about r.
func (a *Authenticator) examine(r *http.Request) *state {
	st := &state{Context: r.Context(), auth: a}
	if a.zero() {
		st.out = &decision{denial: denyZero}
		return st
	}
	s, c, plain := a.quick(r)
	st.session, st.carrier, st.plain = s, c.carrier, plain
	if s != nil {
		return st
	}
	var d *denial
	if plain == "" {
		c, d = a.read(r)
		st.carrier = c.carrier
	}
	if d == nil && c.carrier == byCookies && a.crossSite(r) {
		d = denyCrossSite
	}
	if d != nil {
		st.note(decision{denial: d}, c)
		return st
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		c.safe = true
	}
	out := a.decide(r.Context(), c)
	st.session = out.session
	if plain == "" || out != byItsJWT(out.session) {
		st.note(out, c)
	}
	return st
}

// note notes how s was decided, about c. What any stranger's request may meet
// costs no allocation.
func (s *state) note(out decision, c credentials) {
	if s.plain == "" {
		c.safe = false // said of the request, not of what it carries
		out.from = c
	}
	if d := out.denial; d != nil && d.alone != nil {
		alone := *d.alone
		if alone.from.carrier = out.from.carrier; out == alone {
			s.out = d.alone
			return
		}
	}
	kept := out // out itself stays off the heap
	s.out = &kept
}

// deliver writes or clears the cookies, where cookies carried the credentials.
func (a *Authenticator) deliver(w http.ResponseWriter, r *http.Request, st *state) {
	if st.carrier != byCookies {
		return
	}
	var err error
	switch out := st.out; {
	case out != nil && out.denial != nil:
		if out.denial.gone {
			a.cookies.clear(w, r)
		}
	case out != nil && out.write:
		err = a.cookies.set(w, r, out.answer.held(st.credentials().token), st.session.ExpiresAt(), out.drop)
	case out != nil && out.from.reseal:
		err = a.cookies.set(w, r, Tokens{SessionToken: out.from.token, SessionJWT: out.from.jwt}, st.session.ExpiresAt(), false)
	}
	if err != nil {
		a.log.cookie(err)
	}
}

// check holds a request's state against what a guard needs. It may ask Stytch,
// and then returns the state that followed from it.
func (a *Authenticator) check(w http.ResponseWriter, r *http.Request, st *state, q *needs) (*state, *denial) {
	if d := st.denied(); d != nil {
		return st, d
	}
	if st.session.Source() == sessionctx.Stale && *q != (needs{}) {
		return st, denyStale
	}
	must := *q
	asked := st.out != nil && st.out.called && st.out.answer != nil
	if q.fresh && !(st.out != nil && st.out.fresh) {
		if st = a.recheck(w, r, st, wants{since: time.Now(), recheck: true, duration: a.sessionDuration}); st.session == nil {
			return st, st.out.denial
		}
		asked, must = true, must.and(unpack(st.passed.Load()))
	}
	if a.met(must, st.session) {
		return st, nil
	}
	if !asked {
		now := time.Now()
		if st = a.recheck(w, r, st, wants{
			since: now.Add(-recheckTTL), recheck: true, duration: a.sessionDuration,
			finished: func(s *answer) bool { return s.recheck && alive(s, now, recheckTTL) },
		}); st.session == nil {
			return st, st.out.denial
		}
		must = must.and(unpack(st.passed.Load()))
		if a.met(must, st.session) {
			return st, nil
		}
	}
	return st, &denial{kind: ErrStepUp, why: "the factors do not meet the guard's requirements", within: must.within}
}

// recheck asks Stytch about a session that is there.
func (a *Authenticator) recheck(w http.ResponseWriter, r *http.Request, st *state, by wants) *state {
	c := st.credentials()
	out := a.again(r.Context(), c, st.session, by)
	out.signed = st.out == nil || st.out.signed
	if st.plain == "" {
		out.from = c
	}
	next := st.next(r.Context(), out.session, &out)
	a.deliver(w, r, next)
	a.explained(r.Context(), next)
	if next.session != nil {
		a.changes.saw(next.session, causeGuard)
	}
	return next
}

// Err returns why the request has no session: an error that is ErrNoSession,
// ErrInvalidRequest, ErrCrossSite or, in an outage, ErrUnavailable. It returns
// nil if there is a session. r must have passed Load or a guard.
func (a *Authenticator) Err(r *http.Request) error {
	st := a.stateOf(r.Context())
	if st == nil {
		return denyNotLoaded
	}
	if d := st.denied(); d != nil {
		return d
	}
	return nil
}
