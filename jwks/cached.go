package jwks

import (
	"time"

	"github.com/stytchware/stytchware/sessionctx"
)

// Cached returns the session of a token that Verify accepted before and would
// accept now, and until when it would unless its key is withdrawn. It verifies
// nothing, waits for nothing and allocates nothing. A miss does not mean that
// the token is invalid. The token is compared as a whole.
func (v *Verifier) Cached(token string) (s *sessionctx.Session, until time.Time, ok bool) {
	if v == nil || v.tokens == nil || len(token) > maxToken {
		return nil, time.Time{}, false
	}
	e := v.tokens.get(token)
	if e == nil {
		return nil, time.Time{}, false
	}
	now := time.Now().UnixNano()
	if now < e.from || now >= e.until || !e.key.good(now) {
		return nil, time.Time{}, false
	}
	return e.session, time.Unix(0, e.until), true
}
