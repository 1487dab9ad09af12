package middleware

import (
	"context"
	"encoding/base64"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stytchware/stytchware/internal/exactjson"
)

// Explanation says why a request was decided as it was. It holds nothing of a
// token and may be logged.
type Explanation struct {
	Outcome    string        // "session", "no session", "step-up", "invalid request", "cross-site" or "unavailable"
	Status     int           // what a guard answers: 200 for a session
	Reason     string        // one line: how the session was established, or why not
	Carrier    string        // "none", "bearer", "headers" or "cookies"
	Credential string        // "none", "session token", "session JWT" or "both"
	Key        string        // whether the JWT's key was "known", "unknown" or "not available"; "" if that did not matter
	Age        time.Duration // of the JWT since its iat, where it is well signed; else 0
	Source     string        // "local", "remote", "stale", or "" without a session
	Called     bool          // Stytch was called for this request, or a call was joined
	Guard      string        // what the guard that decided last asked for; "" if none did
}

// String is the explanation in one line.
func (e Explanation) String() string {
	var b strings.Builder
	for _, a := range e.attrs() {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(a.Key)
		b.WriteByte('=')
		if s := a.Value.String(); strings.ContainsRune(s, ' ') {
			b.WriteString(strconv.Quote(s))
		} else {
			b.WriteString(s)
		}
	}
	return b.String()
}

// LogValue is the explanation as a group.
func (e Explanation) LogValue() slog.Value { return slog.GroupValue(e.attrs()...) }

func (e Explanation) attrs() []slog.Attr {
	all := []slog.Attr{slog.String("outcome", e.Outcome), slog.Int("status", e.Status), slog.String("reason", e.Reason),
		slog.String("carrier", e.Carrier), slog.String("credential", e.Credential), slog.Bool("called", e.Called)}
	for _, o := range []struct{ key, value string }{{"key", e.Key}, {"source", e.Source}, {"guard", e.Guard}} {
		if o.value != "" {
			all = append(all, slog.String(o.key, o.value))
		}
	}
	if e.Age != 0 {
		all = append(all, slog.Duration("age", e.Age))
	}
	return all
}

// Explain says why r was decided as it was: in a handler behind Load or a
// guard, and in Config.ErrorHandler. A request that has passed neither is
// decided now as Load would, which may call Stytch; nothing is written. The
// same is logged at debug level for every decision.
func (a *Authenticator) Explain(r *http.Request) Explanation {
	st := a.stateOf(r.Context())
	if st == nil {
		st = a.examine(r)
	}
	return st.explain()
}

func (s *state) explain() Explanation {
	c := s.credentials()
	e := Explanation{Outcome: "session", Status: http.StatusOK, Reason: byJWT, Carrier: s.carrier.String(), Credential: c.kinds()}
	d, signed := s.denied(), true
	if out := s.out; out != nil {
		e.Reason, e.Called, signed = out.why, out.called, out.signed
		if out.guard != nil {
			e.Guard = out.guard.String()
		}
		if out.refused != nil {
			d = out.refused
		}
		switch no := out.jwt; {
		case no == nil:
		case no == denyKeyUnknown:
			e.Key = "unknown"
		case no.kind == ErrUnavailable:
			e.Key = "not available"
		}
		if out.jwt != nil && out.jwt != d {
			e.Reason += " for the session token; " + out.jwt.reason()
		}
	}
	if s.session != nil {
		e.Source = s.session.Source().String()
	}
	if c.jwt != "" && signed {
		e.Key = "known"
		e.Age = time.Since(issuedAt(c.jwt)).Truncate(time.Second)
	}
	if d != nil {
		e.Outcome, e.Status, e.Reason = d.outcome(), Status(d), d.reason()
	}
	return e
}

// explained logs st at debug level.
func (a *Authenticator) explained(ctx context.Context, st *state) {
	defer func() { _ = recover() }() // a slog.Handler's panic is not the request's
	if a.zero() || !a.log.to.Enabled(ctx, slog.LevelDebug) {
		return
	}
	a.log.to.LogAttrs(ctx, slog.LevelDebug, "stytchware: decided", st.explain().attrs()...)
}

// issuedAt reads iat from a JWT whose signature was verified.
func issuedAt(jwt string) time.Time { return claimTime(jwt, "iat") }

// claimTime reads a time from a JWT whose signature was verified.
func claimTime(jwt, claim string) (at time.Time) {
	_, rest, _ := strings.Cut(jwt, ".")
	payload, _, _ := strings.Cut(rest, ".")
	text, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return at
	}
	r := exactjson.New(string(text))
	for name := range r.Members {
		if name == claim {
			if n, err := strconv.ParseFloat(r.Number(), 64); err == nil {
				at = time.Unix(int64(n), 0)
			}
		}
	}
	return at
}

// String says what a guard asks for.
func (q needs) String() string {
	all := []string{"session"}
	if q.mfa && q.within == 0 {
		all = append(all, "MFA")
	}
	if q.within > 0 {
		all = append(all, "MFA within "+q.within.String())
	}
	if q.least > 0 {
		all = append(all, "factors ≥ "+strconv.Itoa(q.least))
	}
	if q.fresh {
		all = append(all, "fresh")
	}
	return strings.Join(all, ", ")
}
