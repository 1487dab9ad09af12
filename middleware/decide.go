package middleware

import (
	"context"
	"errors"
	"time"

	"github.com/stytchware/stytchware/jwks"
	"github.com/stytchware/stytchware/sessionctx"
)

// decision is what the credentials of a request came to: a session or a
// denial.
type decision struct {
	from    credentials // that it is about, unless state.plain has them
	session *sessionctx.Session
	denial  *denial
	why     string  // how the session was established
	answer  *answer // what Stytch said, now or before; nil if only the JWT spoke
	called  bool    // this request called Stytch, or joined a call
	fresh   bool    // that call began when the request was there already
	write   bool    // the answer's tokens are news for the client
	drop    bool    // the client's JWT is of another session: without a new one it goes

	signed  bool    // the JWT is well signed
	jwt     *denial // why the JWT did not do, where the token beside it was used
	refused *denial // by the guard
	guard   *needs  // what that asked for
}

// byItsJWT is what a JWT that is good comes to.
func byItsJWT(s *sessionctx.Session) decision {
	return decision{session: s, why: byJWT, signed: true}
}

// How a session was established, for logs.
const (
	byJWT    = "session JWT verified locally"
	byResult = "Stytch confirmed it a moment ago"
	byAnswer = "Stytch confirmed it"
	byGrace  = "stale session JWT served because Stytch could not be asked"
)

const (
	resultTTL  = 10 * time.Second // of the answer about a stale JWT
	recheckTTL = 2 * time.Second  // of the answer that a guard asked for
)

// decide is the decision table. It asks Stytch only where the table says so,
// and never about a JWT whose signature did not verify.
func (a *Authenticator) decide(ctx context.Context, c credentials) decision {
	if c.jwt == "" {
		return a.decideToken(ctx, c)
	}
	signed, stale, d := a.verify(ctx, c.jwt)
	switch {
	case d != nil && c.token != "":
		out := a.decideToken(ctx, c)
		out.jwt = d
		return out
	case d != nil:
		return decision{denial: d, jwt: d}
	case a.isDead(c.token):
		return decision{denial: denyGone, signed: true}
	case a.isRevoked(signed) && c.token != "":
		// The token may be of a session that began since.
		out := a.decideToken(ctx, c)
		out.jwt, out.signed, out.drop = denyRevoked, true, true
		return out
	case a.isRevoked(signed):
		return decision{denial: denyRevoked, signed: true}
	case stale == nil && a.revocations.of(signed.ID()) == suspect:
		return a.decideSuspect(ctx, c, signed)
	case stale == nil:
		return a.decideLocal(c, signed)
	}
	out := a.decideStale(ctx, c, stale)
	out.signed = true
	return out
}

// decideLocal accepts a JWT that is good. Where it will not be for long, it
// takes an answer that was asked for ahead, or sees to it that there is one.
func (a *Authenticator) decideLocal(c credentials, signed *sessionctx.Session) decision {
	local := byItsJWT(signed)
	if a.refreshAhead == 0 || c.carrier != byCookies && !a.aheadBearer {
		return local
	}
	if _, until, ok := a.verifier.Cached(c.jwt); !ok || time.Until(until) >= a.refreshAhead || a.revocations.suspected(signed.ID()) {
		return local
	}
	if s := a.stytch.kept(c.sent()); s != nil && !s.gone() && a.replaces(s, c.jwt) {
		if out := a.accept(c, s, false, signed); out.denial == nil {
			out.write, out.signed = true, true
			return out
		}
		return local
	}
	a.stytch.askAhead(c, a.sessionDuration, func(s *answer) {
		if out := a.accept(c, s, true, signed); out.denial == nil {
			a.changes.saw(out.session, causeAhead)
		}
	})
	return local
}

// decideSuspect asks about a JWT that is good, but whose session may be over. If
// Stytch cannot be asked the JWT's word counts.
func (a *Authenticator) decideSuspect(ctx context.Context, c credentials, signed *sessionctx.Session) decision {
	out := a.again(ctx, c, signed, wants{duration: a.sessionDuration})
	if out.denial != nil && out.denial.kind == ErrUnavailable {
		if out.denial != denyLeft && out.denial != denyBudget { // those say nothing of Stytch
			a.revocations.pause(signed.ID())
		}
		local := byItsJWT(signed)
		local.called = out.called
		return local
	}
	out.signed = true
	return out
}

// strange reports whether the token beside a JWT was never seen, and the session
// of the JWT is suspect or was a moment ago: whoever has an old JWT can put as
// many beside it as they like, so they draw on the budget.
func (a *Authenticator) strange(c credentials, signed *sessionctx.Session) bool {
	return c.token != "" && a.revocations.doubted(signed.ID()) && a.stytch.kept(c.sent()) == nil
}

// replaces reports whether an answer was asked for ahead, about this JWT or an
// older one of the session, and is as good as a JWT that Stytch made then.
func (a *Authenticator) replaces(s *answer, jwt string) bool {
	return s.ahead && s.tokens.SessionJWT != "" && s.tokens.SessionJWT != jwt && alive(s, time.Now(), a.maxTokenAge) &&
		s.began.Unix() >= issuedAt(jwt).Unix()
}

// verify verifies a JWT locally: the session it names if it is well signed,
// with the error if it is stale; else why it will not do.
func (a *Authenticator) verify(ctx context.Context, token string) (*sessionctx.Session, *jwks.StaleError, *denial) {
	s, err := a.verifier.Verify(ctx, token)
	switch err := err.(type) {
	case nil:
		return s, nil, nil
	case *jwks.StaleError:
		return err.Session, err, nil
	case *jwks.InvalidError:
		return nil, nil, a.invalids.deny(err)
	case *jwks.UnavailableError:
		return nil, nil, unavailable("the key set is not available", err.RetryAfter)
	}
	if errors.Is(err, jwks.ErrKeyUnknown) {
		return nil, nil, denyKeyUnknown
	}
	return nil, nil, unavailable("the key set is not available", time.Second)
}

// decideStale asks about a JWT that is well signed but past its time.
func (a *Authenticator) decideStale(ctx context.Context, c credentials, stale *jwks.StaleError) decision {
	now := time.Now()
	w := wants{
		duration: a.sessionDuration,
		finished: func(s *answer) bool {
			if a.replaces(s, c.jwt) {
				return true
			}
			if !alive(s, now, min(resultTTL, a.maxTokenAge)) {
				return false
			}
			// An answer from before this JWT was made says less than the JWT.
			// From a clock ahead of ours that cannot be told.
			return stale.Ahead || s.tokens.SessionJWT != c.jwt && s.began.Unix() >= stale.IssuedAt.Unix()
		},
	}
	suspected := a.revocations.suspected(stale.Session.ID())
	w.budgeted = a.strange(c, stale.Session)
	if suspected { // no answer of before will do
		w.since, w.finished = now, nil
	}
	s, called, d := a.stytch.ask(ctx, c.sent(), w)
	if d == denyBudget { // the JWT may be asked about without the token
		lone := c
		lone.token = ""
		if out := a.decideStale(ctx, lone, stale); out.session != nil {
			return out
		}
	}
	if d != nil && d.outage && c.safe && !stale.Ahead && !suspected && a.withinGrace(c.jwt, stale) {
		a.log.servesStale()
		return decision{session: stale.Session.As(sessionctx.Stale, stale.Session.VerifiedAt()), why: byGrace, called: called}
	}
	if d != nil {
		return decision{denial: d, called: called}
	}
	out := a.accept(c, s, called, stale.Session)
	out.fresh = called && !s.began.Before(now)
	out.write = true
	return out
}

// withinGrace reports whether a JWT's time is over for no longer than may be
// served while Stytch cannot be asked. The clock is looked at again: the call
// that failed took its time.
func (a *Authenticator) withinGrace(jwt string, stale *jwks.StaleError) bool {
	if a.serveStale == 0 {
		return false
	}
	now, end := time.Now(), stale.IssuedAt.Add(a.maxTokenAge)
	if exp := claimTime(jwt, "exp"); exp.Before(end) {
		end = exp
	}
	return now.Sub(end) <= a.serveStale && now.Before(stale.Session.ExpiresAt())
}

// decideToken asks about a session token that no well-signed JWT vouches for.
func (a *Authenticator) decideToken(ctx context.Context, c credentials) decision {
	now := time.Now()
	key := credential{opaque, c.token}
	will := func(s *answer) bool { return alive(s, now, a.opaqueTTL) }
	s := a.stytch.kept(key)
	called := false
	if s == nil || !s.gone() && !will(s) {
		var d *denial
		s, called, d = a.stytch.ask(ctx, key, wants{duration: a.sessionDuration, finished: will, budgeted: s == nil})
		if d != nil {
			return decision{denial: d, called: called}
		}
	}
	out := a.accept(credentials{token: c.token, carrier: c.carrier}, s, called, nil)
	out.fresh = called && !s.began.Before(now)
	out.write = called
	return out
}

// alive reports whether an answer is that of a living session, younger than ttl.
func alive(s *answer, now time.Time, ttl time.Duration) bool {
	return now.Sub(s.session.VerifiedAt()) < ttl && now.Before(s.session.ExpiresAt())
}

// accept holds Stytch's answer against what the client's signed JWT says,
// where there is one.
func (a *Authenticator) accept(c credentials, s *answer, called bool, signed *sessionctx.Session) decision {
	if s.b2b && signed != nil && signed.OrganizationID() != "" {
		a.log.b2b()
		return decision{denial: denyB2B, called: called}
	}
	if s.gone() {
		// Of a pair the token was asked about, and it is its session that is over.
		// Where it is not known which one that was, the pair is refused and the
		// JWT's session asked about when it comes again: it may live, and anybody
		// can put a token beside an old JWT.
		switch {
		case s.over != "":
			a.markOver(s.over, Gone)
		case c.token == "" && signed != nil:
			a.markOver(signed.ID(), Gone)
		case !s.b2b: // of one that is, the JWT beside it may be good
			a.markDead(c.token, 0)
			if signed != nil {
				a.revocations.put(signed.ID(), suspect, time.Now().Add(a.refusedFor()))
			}
		}
		return decision{denial: denyGone, called: called}
	}
	out := decision{session: s.session, why: byAnswer, answer: s, called: called}
	if !called {
		out.session, out.why = s.cached, byResult
	}
	if signed != nil {
		pair := c.token != "" && c.jwt != ""
		switch {
		case out.session.UserID() == signed.UserID() && (pair || out.session.ID() == signed.ID()):
		case pair:
			return decision{denial: denyOtherUser, called: called}
		default:
			a.log.nonsense("Stytch's answer is about another session than the one it was asked for")
			return decision{denial: denyNonsense, called: called}
		}
		out.drop = out.session.ID() != signed.ID()
	}
	if a.isRevoked(out.session) {
		return decision{denial: denyRevoked, called: called}
	}
	a.revocations.clear(out.session.ID(), s.began)
	a.follow.moved(out.session)
	return out
}

// again asks Stytch about credentials whose JWT, if any, was verified: for a
// guard (recheck), for Fresh, and for Refresh and Hydrate. since is the
// earliest beginning of a call that will do.
func (a *Authenticator) again(ctx context.Context, c credentials, signed *sessionctx.Session, w wants) decision {
	now := time.Now()
	if w.since.IsZero() {
		w.since = now
	}
	w.budgeted = signed != nil && a.strange(c, signed)
	s, called, d := a.stytch.ask(ctx, c.sent(), w)
	if d != nil {
		return decision{denial: d, called: called}
	}
	out := a.accept(c, s, called, signed)
	out.fresh = called && !s.began.Before(now)
	out.write = true
	return out
}
