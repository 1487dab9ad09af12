// Package jwks verifies Stytch session JWTs locally, against the project's
// cached key set. It is what package middleware stands on, and is usable by
// itself where there is no HTTP request: in workers, queues and sockets.
//
// A token is accepted only if all of this holds: it has the one canonical
// spelling of RFC 7515; its header asks for RS256 and names a key of the
// project; the signature verifies; issuer and audience are the project's; it
// carries a session claim, which M2M, Connected-App and ID tokens do not; and
// now is inside its time window. Nothing of the payload is looked at before
// the signature has been verified, and nothing in a token or key set makes the
// package fetch anything.
package jwks

import (
	"context"
	"time"

	"github.com/stytchware/stytchware/internal/baseurl"
	"github.com/stytchware/stytchware/sessionctx"
)

// Verifier verifies session JWTs. Every method may be called concurrently.
// The zero Verifier verifies nothing: it has no keys.
type Verifier struct {
	keys   *keyring
	tokens *cache
	rules  *rules // of its own, because sessions keep it
}

// New returns a Verifier for cfg's project. It makes no network call: the
// first key fetch runs in the background, and tokens that come before it has
// ended wait for it. The error joins one error per mistake in cfg.
// The caller calls [Verifier.Close] when done.
func New(cfg Config) (*Verifier, error) {
	base, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	v := &Verifier{
		tokens: newCache(cfg.CacheSize),
		rules: &rules{
			project: cfg.ProjectID,
			issuer:  "stytch.com/" + cfg.ProjectID,
			maxAge:  cfg.MaxTokenAge,
			skew:    cfg.Skew,
		},
	}
	if host, _ := baseurl.Resolve(cfg.ProjectID, ""); base != host {
		v.rules.customIssuer = base
	}
	v.keys = newKeyring(cfg, base, v.tokens.sweep)
	return v, nil
}

// Verify verifies one session JWT and returns the session it tells of, with
// Source Local and VerifiedAt the time at which its signature was verified.
// Calls for one token may return the same Session.
//
// The error is exactly one of [ErrInvalid], [ErrStale], [ErrKeyUnknown] and
// [ErrUnavailable]. Only a token whose key is not known can wait: for the
// running or the next key fetch, at most 3 s, or until ctx is done, which is
// an *[UnavailableError] that wraps ctx's error.
func (v *Verifier) Verify(ctx context.Context, token string) (*sessionctx.Session, error) {
	if v == nil || v.tokens == nil {
		return nil, &UnavailableError{RetryAfter: time.Second}
	}
	if len(token) > maxToken {
		return nil, errTooLong
	}
	if e := v.tokens.get(token); e != nil {
		if now := time.Now().UnixNano(); e.key.good(now) {
			return e.at(now)
		}
	}
	e, err := v.verify(ctx, token)
	if err != nil {
		return nil, err
	}
	now := e.session.VerifiedAt().UnixNano()
	v.tokens.put(e, now)
	return e.at(now)
}

// Close ends every goroutine of v and waits for them. Tokens whose key is
// known keep verifying; others are ErrUnavailable at once. Always nil.
func (v *Verifier) Close() error {
	if v != nil && v.keys != nil {
		v.keys.close()
	}
	return nil
}

// Stats is the state of a Verifier at one moment.
type Stats struct {
	Keys      int       // usable keys
	FetchedAt time.Time // start of the last successful key fetch; zero for none
	Failures  int       // key fetches that failed since then
	Tokens    int       // verified tokens kept
}

// Stats returns the state of v, for metrics and health checks.
func (v *Verifier) Stats() Stats {
	if v == nil || v.keys == nil {
		return Stats{}
	}
	s := v.keys.stats()
	s.Tokens = v.tokens.len()
	return s
}
