package middleware

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/stytchware/stytchware/internal/stytchapi"
	"github.com/stytchware/stytchware/internal/wellformed"
	"github.com/stytchware/stytchware/sessionctx"
)

// Hydrate logs the client in after a login at the back end: it authenticates
// t with Stytch, writes the cookies from Stytch's answer, and returns the
// session. Either token may be empty. A JWT must verify, otherwise Stytch is not
// asked. If both are given they must belong to the same user. The context of r
// keeps the session it had.
//
// Call it before anything is written to w. Where w can tell that it is too late,
// as the writers of gin and chi can, the error is ErrTooLate; net/http's own
// cannot, and the cookies are lost without an error. Mount it as POST: a GET from
// another site is not refused.
//
// Errors: ErrInvalidRequest for missing or malformed tokens, ErrNoSession when
// a token is refused, ErrCrossSite for an unsafe request from another site
// (login CSRF), ErrUnavailable, ErrTooLate. No cookie is written then.
func (a *Authenticator) Hydrate(w http.ResponseWriter, r *http.Request, t Tokens) (*sessionctx.Session, error) {
	if d := a.mayWrite(w, r); d != nil {
		return nil, d
	}
	c := credentials{token: t.SessionToken, jwt: t.SessionJWT, carrier: byCookies}
	switch {
	case c.token == "" && c.jwt == "":
		return nil, denyNoTokens
	case c.token != "" && (absent(c.token) || !wellformed.SessionToken(c.token)), c.jwt != "" && !wellformed.JWT(c.jwt):
		return nil, denyBadTokens
	}
	a.vary(w.Header(), new([1]string))
	var signed *sessionctx.Session
	if c.jwt != "" {
		var d *denial
		if signed, _, d = a.verify(r.Context(), c.jwt); d != nil {
			return nil, d
		}
		if a.isRevoked(signed) {
			return nil, denyRevoked
		}
	}
	out := a.again(r.Context(), c, signed, wants{duration: a.sessionDuration})
	if out.denial != nil {
		return nil, out.denial
	}
	got := out.answer.held(c.token)
	if err := a.cookies.set(w, r, got, out.session.ExpiresAt(), true); err != nil {
		a.log.cookie(err)
		return nil, &denial{kind: ErrUnavailable, why: "the cookies could not be sealed", retry: time.Second}
	}
	a.changes.saw(out.session, causeHydrate)
	return out.session, nil
}

// Refresh asks Stytch about the request's session now, writes the new cookies if
// cookies carried it, and returns it. With d, whole minutes from 5 to 527040, the
// session then ends d from now, even if it would have lasted longer. With d 0
// that is Config.SessionDuration, and if that is 0 too its end stays as it is.
// The context of r keeps the session it had. Call it before anything is written
// to w, as [Authenticator.Hydrate].
//
// Errors: ErrNoSession, ErrInvalidRequest for a bad d or two headers that carry
// credentials (no call is made), ErrCrossSite, ErrUnavailable, ErrTooLate.
func (a *Authenticator) Refresh(w http.ResponseWriter, r *http.Request, d time.Duration) (*sessionctx.Session, error) {
	if d := a.mayWrite(w, r); d != nil {
		return nil, d
	}
	a.vary(w.Header(), new([1]string))
	if d == 0 {
		d = a.sessionDuration
	}
	if !validDuration(d) {
		return nil, denyBadDuration
	}
	c, signed, no := a.presented(r)
	out := decision{denial: no}
	if no == nil {
		out = a.again(r.Context(), c, signed, wants{duration: d})
	}
	out.from = c
	st := &state{Context: r.Context(), auth: a, session: out.session, carrier: c.carrier, out: &out}
	a.deliver(w, r, st)
	if out.denial != nil {
		return nil, out.denial
	}
	a.changes.saw(out.session, causeRefresh)
	return out.session, nil
}

// presented returns the credentials of r with which Stytch can be asked, and
// what the JWT among them says if it is well signed.
func (a *Authenticator) presented(r *http.Request) (credentials, *sessionctx.Session, *denial) {
	c, d := a.read(r)
	if d != nil {
		return c, nil, d
	}
	if c.jwt == "" {
		return c, nil, nil
	}
	signed, _, d := a.verify(r.Context(), c.jwt)
	switch {
	case d != nil && c.token == "":
		return c, nil, d
	case d == nil && a.isDead(c.token):
		return c, nil, denyGone
	case d != nil, a.isRevoked(signed) && c.token != "":
		c.jwt = "" // the token beside it speaks
		return c, nil, nil
	case a.isRevoked(signed):
		return c, nil, denyRevoked
	}
	return c, signed, nil
}

// Revoke logs the client out: it clears the cookies, makes this process
// refuse the session from now on, and ends it at Stytch. The first two happen
// whatever Stytch does: if it cannot be reached the error is ErrUnavailable, the
// client is logged out here all the same, and the call is repeated in the
// background for some minutes. A request without a session is no error. Call it
// before anything is written to w, and mount it as POST, as
// [Authenticator.Hydrate].
//
// A JWT that does not verify causes no call. If the session token and the JWT
// belong to different sessions both are ended. A session token that this process
// never saw, without a JWT that vouches for it, draws on a budget of
// Config.OpaqueRate and OpaqueBurst; when that is spent the error is
// ErrUnavailable, and all that is sure is that the cookies go.
//
// Errors: ErrCrossSite and ErrInvalidRequest, and then nothing was changed;
// ErrUnavailable; ErrTooLate if cookies could not be cleared, all else being done.
func (a *Authenticator) Revoke(w http.ResponseWriter, r *http.Request) error {
	if a.zero() {
		return denyZero
	}
	if a.crossSite(r) {
		return denyCrossSite
	}
	late := begun(w)
	if !late {
		a.vary(w.Header(), new([1]string))
	}
	c, d := a.read(r)
	if d == denyTwoHeaders {
		return d
	}
	all, more := []credentials{c}, false
	if d == denyAmbiguous {
		all, more = a.contradicting(r)
	}
	// Without a credential too: there may be cookies that cannot be read, or
	// that Hydrate wrote to this very response.
	if (c.carrier == byCookies || c.carrier == byNothing) && !late {
		a.cookies.clear(w, r)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), revokeDeadline)
	defer cancel()
	err := atOnce(len(all), func(i int) error { return a.revoke(ctx, all[i]) })
	switch {
	case err != nil:
		return err
	case more:
		return denyCookies
	case late && c.carrier == byCookies:
		return denyTooLate
	}
	return nil
}

// contradicting returns what cookies that contradict each other carry, each by
// itself, and whether there is more than is looked at. JWTs that are well signed
// and tokens that are known come first: a sibling domain can plant any number of
// others.
func (a *Authenticator) contradicting(r *http.Request) (all []credentials, more bool) {
	const most = 8 // of those that nothing is known of; more are an attack, not a mishap
	now, cancel := context.WithCancel(context.Background())
	cancel() // nothing waits for a key
	var others []credentials
	for _, c := range a.everyCookie(r) {
		if c.jwt == "" {
			if s := a.stytch.kept(credential{opaque, c.token}); s != nil && !s.gone() {
				all = append(all, c)
			} else {
				others = append(others, c)
			}
			continue
		}
		switch signed, _, d := a.verify(now, c.jwt); {
		case signed != nil:
			all = append(all, c)
		case d.kind == ErrUnavailable:
			others = append(others, c)
		}
	}
	if more = len(others) > most; more {
		others = others[:most]
	}
	return append(all, others...), more
}

// revokeDeadline bounds a logout in all; the client's leaving does not end it.
const revokeDeadline = 3 * time.Second

// keyWait is how long of it the JWT may wait for its key.
const keyWait = time.Second

// atOnce calls f with each number below n, all at once, and returns the first
// number's error that there is one of.
func atOnce(n int, f func(int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		errs[i] = denyPanicked // unless f comes to its end
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	return cmp.Or(errs...)
}

// logout is a session to be ended at Stytch.
type logout struct {
	by stytchapi.Credential
	// vouched: this process has reason to believe that there is such a session,
	// and that it was not ended before. The rest draws on a budget.
	vouched bool
	b2b     bool // it is known that Stytch cannot be told
	// refuse makes this process refuse the session, for so long at least.
	refuse func(time.Duration)
}

// revoke ends the session or sessions that c names, here and at Stytch.
func (a *Authenticator) revoke(ctx context.Context, c credentials) error {
	var signed *sessionctx.Session
	var unsure error
	if c.jwt != "" {
		ctx, cancel := context.WithTimeout(ctx, keyWait)
		var d *denial
		if signed, _, d = a.verify(ctx, c.jwt); d != nil && d.kind == ErrUnavailable && c.token == "" {
			unsure = d
		}
		cancel()
	}
	var all []logout
	// A JWT vouches for its session once: whoever has an old one can put any
	// token beside it, and send it again and again.
	news := signed != nil && !a.isRevoked(signed) && !a.revocations.suspected(signed.ID())
	b2b := signed != nil && signed.OrganizationID() != ""
	known, lives := "", false
	if c.token != "" {
		key := credential{opaque, c.token}
		if s := a.stytch.kept(key); s != nil {
			known, lives = s.id(), !s.gone()
		}
		all = append(all, logout{stytchapi.Credential{SessionToken: c.token}, lives || news, b2b, func(d time.Duration) {
			if b2b && known == "" { // it may be made up, and nobody will be asked
				a.markDead(c.token, d)
				return
			}
			if id := a.stytch.revoked(key, time.Now().Add(max(d, a.stytch.negativeTTL))); id != "" {
				a.markOverFor(id, Revoked, max(d, a.refusedFor()))
			} else {
				a.markDead(c.token, d)
			}
		}})
	}
	if signed != nil && signed.ID() != known {
		all = append(all, logout{stytchapi.Credential{SessionID: signed.ID()}, !a.isRevoked(signed), b2b, func(d time.Duration) {
			a.stytch.revoked(credential{jwt, c.jwt}, time.Now().Add(a.stytch.negativeTTL))
			a.markOverFor(signed.ID(), Revoked, max(d, a.refusedFor()))
		}})
	}
	return cmp.Or(atOnce(len(all), func(i int) error { return a.end(ctx, all[i]) }), unsure)
}

// end ends one session here, and at Stytch now or later.
func (a *Authenticator) end(ctx context.Context, l logout) (failed error) {
	if l.b2b {
		return a.untold(l)
	}
	failed = denyPanicked // unless it comes to its end
	defer func() {
		if p := recover(); p != nil {
			a.log.panicked("revoke", p)
			failed = denyPanicked
		}
		// What lives at Stytch must not come back to life here.
		if failed != nil && failed != denyB2B && (a.stytch.revokeLater(l.by, l.vouched) || l.vouched) {
			if failed == denyBudget { // it may be made up
				l.refuse(0)
			} else {
				l.refuse(failedRevocationTTL)
			}
		}
	}()
	if !l.vouched && !a.stytch.underWay(l.by) && !a.stytch.drawLogout() {
		return denyBudget
	}
	l.refuse(0)
	err := a.stytch.revoke(ctx, l.by)
	var e *stytchapi.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e) && e.Type == stytchapi.OtherKind:
		return a.untold(l)
	}
	if _, d := a.stytch.failed(err); d != nil {
		return d
	}
	return nil // it is gone already
}

// untold ends a session of a B2B project here; Stytch cannot be told of it yet.
func (a *Authenticator) untold(l logout) error {
	l.refuse(failedRevocationTTL)
	a.log.b2b()
	return denyB2B
}

// Clear clears the session cookies in every form in which they can exist. It
// ends no session; see Revoke. It must be called before the response begins.
func (a *Authenticator) Clear(w http.ResponseWriter, r *http.Request) {
	if !a.zero() {
		a.cookies.clear(w, r)
	}
}

// Tokens returns the newest session token and JWT of the request's session: those
// the client sent, or those of Stytch's answer if Load or a guard asked. Such an
// answer has both, also for a client that sent only a JWT; do not hand it a
// session token that it should not have. The second result is false if there is
// no session.
func (a *Authenticator) Tokens(r *http.Request) (Tokens, bool) {
	st := a.stateOf(r.Context())
	if st == nil || st.session == nil {
		return Tokens{}, false
	}
	c := st.credentials()
	if st.out == nil || st.out.answer == nil { // only the JWT spoke
		return Tokens{SessionToken: c.token, SessionJWT: c.jwt}, true
	}
	return st.out.answer.held(c.token), true
}

// mayWrite tells why an operation that writes cookies must not run.
func (a *Authenticator) mayWrite(w http.ResponseWriter, r *http.Request) *denial {
	switch {
	case a.zero():
		return denyZero
	case a.crossSite(r):
		return denyCrossSite
	case begun(w):
		return denyTooLate
	}
	return nil
}

// validDuration is the range that Stytch takes, 0 for none.
func validDuration(d time.Duration) bool {
	return d == 0 || d >= 5*time.Minute && d <= 527040*time.Minute && d%time.Minute == 0
}
