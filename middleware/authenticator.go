// Package middleware authenticates the Stytch session of each HTTP request.
//
// Build one [Authenticator] with [New], wrap the handler with
// [Authenticator.Load], guard routes with [Authenticator.RequireSession],
// [Authenticator.RequireMFA] or [Authenticator.Require], and read the session
// with [sessionctx.From]. A session JWT is verified in this process against the
// project's cached keys; Stytch is asked only when the JWT is stale, when only
// a session token came, or before a guard refuses. When Stytch cannot be
// asked the answer is 503 and nobody is logged out.
//
// [Authenticator.Hydrate], Refresh and Revoke log in, extend and log out;
// [Authenticator.Follow] and [Authenticator.OnChange] are for what outlives a
// request; [Authenticator.Explain], Debug, Ready and [Observer] show what is
// going on.
package middleware

import (
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stytchware/stytchware/internal/stytchapi"
	"github.com/stytchware/stytchware/internal/ttlmap"
	"github.com/stytchware/stytchware/jwks"
	"github.com/stytchware/stytchware/sessionctx"
)

// Authenticator authenticates requests of one Stytch project. Make it with
// [New]; the zero Authenticator denies everything. All methods may be called
// concurrently; two Authenticators share nothing.
type Authenticator struct {
	verifier    *jwks.Verifier
	stytch      *inquiries
	cookies     cookieJar
	crossOrigin *http.CrossOriginProtection
	log         *loud
	follow      *followers
	changes     *changes

	revocations *revocations // of sessions
	deadTokens  *revocations // of session tokens that are over, of which it is not known whose they are
	invalids    invalids

	project                string
	tokenHeader, jwtHeader string
	varyOn                 string
	sessionDuration        time.Duration
	maxTokenAge            time.Duration
	opaqueTTL              time.Duration
	refreshAhead           time.Duration
	loginURL, stepUpURL    string
	serveStale             time.Duration
	aheadBearer            bool
	observer               Observer
	tally                  tally
	errorHandler           func(http.ResponseWriter, *http.Request, error)
	countRecoveryCodes     bool
	countCryptoWallets     bool
}

// New checks cfg as a whole and returns an Authenticator. It makes no network
// call and does not fail because of the network: the key set is fetched in the
// background. The error joins one *ConfigError for each mistake. Call Close
// when done.
func New(cfg Config) (*Authenticator, error) {
	f, err := cfg.freeze()
	if err != nil {
		return nil, err
	}
	log := &loud{to: f.Logger}
	verifier, err := jwks.New(jwks.Config{
		OnFetch:   f.Observer.fetched(log),
		ProjectID: f.ProjectID, BaseURL: f.BaseURL, HTTPClient: f.HTTPClient, Logger: f.Logger,
		MaxTokenAge: f.MaxTokenAge, Skew: skew, Cooldown: f.KeyCooldown, CacheSize: f.CacheSize,
	})
	if err != nil {
		return nil, err
	}
	a := &Authenticator{
		verifier:           verifier,
		cookies:            f.jar,
		crossOrigin:        f.crossOrigin,
		log:                log,
		follow:             &followers{},
		changes:            &changes{log: log, seed: maphash.MakeSeed()},
		revocations:        newRevocations(),
		deadTokens:         newRevocations(),
		project:            f.ProjectID,
		tokenHeader:        f.TokenHeader,
		jwtHeader:          f.JWTHeader,
		sessionDuration:    f.SessionDuration,
		maxTokenAge:        f.MaxTokenAge,
		opaqueTTL:          f.OpaqueTTL,
		refreshAhead:       f.RefreshAhead,
		aheadBearer:        f.RefreshAheadBearer,
		serveStale:         f.DangerouslyServeStale,
		observer:           f.Observer,
		loginURL:           f.LoginURL,
		stepUpURL:          f.StepUpURL,
		errorHandler:       f.ErrorHandler,
		countRecoveryCodes: f.DangerouslyCountRecoveryCodes,
		countCryptoWallets: f.DangerouslyCountCryptoWallets,
	}
	on := "Authorization, Cookie"
	for _, h := range []string{f.TokenHeader, f.JWTHeader} {
		if h != "" {
			on += ", " + h
		}
	}
	a.varyOn = on
	a.stytch = &inquiries{
		api: stytchapi.New(stytchapi.Config{
			ProjectID: f.ProjectID, Secret: f.Secret, BaseURL: f.base,
			HTTPClient: f.HTTPClient, Logger: f.Logger, MaxInFlight: f.MaxInFlight,
		}),
		verifier:    verifier,
		log:         log,
		negativeTTL: f.NegativeTTL,
		results:     ttlmap.New[credential, *answer](f.CacheSize),
		flights:     make(map[credential]*flight),
		endings:     make(map[stytchapi.Credential]*ending),
		later:       make(map[stytchapi.Credential]bool),
		budget:      bucket{rate: float64(f.OpaqueRate), burst: float64(f.OpaqueBurst)},
		logouts:     bucket{rate: float64(f.OpaqueRate), burst: float64(f.OpaqueBurst)},
	}
	a.changes.ended = a.isRevoked
	a.stytch.ahead.pause = min(aheadPause, f.RefreshAhead/2)
	a.stytch.ahead.tried = ttlmap.New[credential, struct{}](f.CacheSize)
	a.stytch.ahead.most = max(1, f.MaxInFlight/2) // they take the place of calls that requests would wait for
	if f.Observer.Call != nil {
		a.stytch.called = func(c Call) { a.observe(func() { f.Observer.Call(c) }) }
	}
	a.stytch.limited = func(limit string) {
		if limit == limitUnknown {
			a.tally.budget.add()
		}
		if f.Observer.Limit != nil {
			a.observe(func() { f.Observer.Limit(Limit{Name: limit}) })
		}
	}
	a.cookies.event = a.cookieEvent
	a.cookies.remembered = ttlmap.New[sealedCookie, string](2 * f.CacheSize)
	a.stytch.ctx, a.stytch.stop = context.WithCancel(context.Background())
	return a, nil
}

// Close ends the background work and waits for it. Requests after it are
// still decided where that needs no call to Stytch; the rest get 503. It may
// be called more than once; the error is always nil.
func (a *Authenticator) Close() error {
	if a.zero() {
		return nil
	}
	a.stytch.close()
	a.stytch.api.CloseIdle() // each has two goroutines
	a.follow.close()
	a.changes.close()
	return a.verifier.Close()
}

func (a *Authenticator) zero() bool { return a == nil || a.verifier == nil }

const (
	// skew is how far ahead of our clock a JWT may have been issued.
	skew = 30 * time.Second
	// failedRevocationTTL is how long a session that could not be revoked at
	// Stytch stays refused here.
	failedRevocationTTL = time.Hour
)

// refusedFor is for how long from now a JWT that is here could pass.
func (a *Authenticator) refusedFor() time.Duration { return a.maxTokenAge + skew + a.serveStale }

// markOver refuses the session from now on, until no JWT of it could pass.
func (a *Authenticator) markOver(id string, how Change) { a.markOverFor(id, how, a.refusedFor()) }

func (a *Authenticator) markOverFor(id string, how Change, d time.Duration) {
	was := a.revocations.put(id, over, time.Now().Add(d))
	why, cause := denyRevoked, causeRevoke
	if how == Gone {
		why, cause = denyGone, causeStytch
	}
	a.follow.over(id, why)
	if was != over {
		a.changes.over(id, how, cause)
	}
}

func (a *Authenticator) isRevoked(s *sessionctx.Session) bool {
	return a.revocations.of(s.ID()) == over
}

// markDead refuses a session token of which it is not known whose it is, beside
// a JWT too, for d or as long as that could pass.
func (a *Authenticator) markDead(token string, d time.Duration) {
	if token == "" || d == 0 && a.isDead(token) {
		return
	}
	a.deadTokens.put(strings.Clone(token), over, time.Now().Add(max(d, a.refusedFor())))
	a.follow.overToken(token, denyGone)
}

// isDead reports whether a session token was marked dead; "" is none.
func (a *Authenticator) isDead(token string) bool {
	return token != "" && a.deadTokens.of(token) == over
}

// crossSite reports whether r could change something and comes from another
// site.
func (a *Authenticator) crossSite(r *http.Request) bool { return a.crossOrigin.Check(r) != nil }

// vary says that the response depends on what carries credentials. room is the
// request's own, with none to spare: appending to the header copies.
func (a *Authenticator) vary(h http.Header, room *[1]string) {
	if v := h["Vary"]; len(v) > 0 {
		if slices.Contains(v, a.varyOn) { // a guard has said so
			return
		}
		h["Vary"] = append(v[:len(v):len(v)], a.varyOn)
		return
	}
	room[0] = a.varyOn
	h["Vary"] = room[:]
}

// String names the project. An Authenticator prints without its secrets.
func (a *Authenticator) String() string {
	if a.zero() {
		return "middleware.Authenticator(zero)"
	}
	return "middleware.Authenticator(" + a.project + ")"
}

// GoString is String.
func (a *Authenticator) GoString() string { return a.String() }

// Format prints String whatever the verb.
func (a *Authenticator) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, a.String()) }

// LogValue is String.
func (a *Authenticator) LogValue() slog.Value { return slog.StringValue(a.String()) }
