package middleware

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/textproto"
	"strings"
	"time"

	"github.com/stytchware/stytchware/internal/baseurl"
	"github.com/stytchware/stytchware/internal/seal"
)

// Config configures an [Authenticator]. ProjectID and Secret are required; for
// every other field the zero value is the default stated, and a safe one. New
// copies what it needs: changes after New have no effect. A Config prints and
// logs without its secrets, but package fmt shows them with %p, or if the Config
// is in an unexported field of another struct.
type Config struct {
	_ [0]func()

	ProjectID string // project-test-… or project-live-…
	Secret    string // the project's secret, from the Stytch dashboard

	// BaseURL is the project's custom domain, https only (http for a loopback
	// address). Default https://test.stytch.com, or https://api.stytch.com for
	// a live project.
	BaseURL string

	// HTTPClient makes the calls to Stytch. It is copied; the copy follows no
	// redirects and keeps no cookies. Default: a client of its own with
	// timeouts.
	HTTPClient *http.Client

	// Logger gets what an operator must know, rate-limited, and decisions at
	// debug level; never a token. Default slog.Default().
	Logger *slog.Logger

	// Cookies says who may read the session cookies. Default: shared with
	// Stytch's front-end SDK.
	Cookies Cookies

	// TokenHeader and JWTHeader name request headers that carry the session
	// token and JWT, such as X-Stytch-Session-Token. Default: none is read.
	TokenHeader, JWTHeader string

	// SessionDuration makes the session end that long from now whenever Stytch is
	// asked, even if it would have lasted longer: whole minutes from 5 to 527040.
	// Default: its end stays as it is.
	SessionDuration time.Duration

	// LoginURL and StepUpURL are paths on this host to which page loads are
	// redirected instead of getting a 401, with a return_to parameter; see
	// [ReturnTo]. Default: no redirects.
	LoginURL, StepUpURL string

	// ErrorHandler answers every denied request, many at a time. err is one of
	// this package's: see [Status], [Challenge] and [RetryAfter], and set
	// Cache-Control: no-store. Session cookies may have been written or cleared
	// already. What it does not care to answer itself it gives to
	// [Authenticator.Deny], which then writes the default answer. Default: that
	// answer.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	// TrustedOrigins may send unsafe requests with this site's cookies, such as
	// https://app.example.com. Default: only the same origin.
	TrustedOrigins []string

	MaxTokenAge time.Duration // how old a session JWT may be and still be accepted without asking Stytch (its own expiry counts too); at most 1 h; default 5 min
	OpaqueTTL   time.Duration // how long Stytch's yes to a session token is kept; at most 1 h; default 30 s, NoCache for none
	NegativeTTL time.Duration // how long Stytch's no is kept; at most 1 h; default 60 s
	KeyCooldown time.Duration // least time between two fetches of the key set for unknown keys; at most 1 h; default 10 s

	// RefreshAhead refreshes the session JWT of an active user in the background
	// when it will go stale within this time, so that no request waits for Stytch.
	// The current request is answered at once; the next one gets the new cookies.
	// At most half of MaxTokenAge, and 2 min 30 s, which is half of what Stytch's
	// JWTs live; 1 min is a good value.
	// Default: off. RefreshAheadBearer does it also for JWTs in headers, where
	// nothing can be written back and only this process remembers the answer.
	RefreshAhead       time.Duration
	RefreshAheadBearer bool

	// DangerouslyServeStale accepts a session JWT for that long past its time,
	// at most 10 min, when Stytch could not be asked: for safe methods behind
	// Load and RequireSession only, never for another guard, and not if the
	// session is known to be over. Its Source is sessionctx.Stale. Default:
	// never; the answer is 503.
	DangerouslyServeStale time.Duration

	// Observer is told what happens, for metrics and traces. Default: nobody.
	Observer Observer

	CacheSize   int // entries of each cache; default 10,000
	MaxInFlight int // calls to Stytch at a time; more are answered with 503; default 64
	OpaqueRate  int // calls a second for session tokens never seen before; default 50
	OpaqueBurst int // how many of them may come at once; default 100

	// DangerouslyCountRecoveryCodes and DangerouslyCountCryptoWallets make
	// these factors count as a device for [MFA] and [Within]. Default: they
	// never count.
	DangerouslyCountRecoveryCodes bool
	DangerouslyCountCryptoWallets bool
}

// NoCache as Config.OpaqueTTL asks Stytch about a session token at every
// request.
const NoCache time.Duration = -1

// ConfigError is one mistake in a [Config]. [New] joins all it finds; errors.As
// finds the first.
type ConfigError struct {
	Field   string // such as "Cookies.Domain"
	Problem string // holds nothing of a secret
}

// Error is one line that names the field.
func (e *ConfigError) Error() string { return "middleware: Config." + e.Field + ": " + e.Problem }

// String returns the configuration's project, without secrets.
func (c Config) String() string {
	id := c.ProjectID
	if baseurl.ProjectID(id) != nil { // it may be the Secret, in the wrong field
		id = "no project id"
	}
	return fmt.Sprintf("middleware.Config(%.80q, secrets redacted)", id)
}

// GoString is String.
func (c Config) GoString() string { return c.String() }

// Format prints String whatever the verb.
func (c Config) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.String()) }

// LogValue is String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText is String.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// jwtLife is how long Stytch's session JWTs live.
const jwtLife = 5 * time.Minute

// frozen is a checked Config with its defaults filled in.
type frozen struct {
	Config
	base        string
	jar         cookieJar
	crossOrigin *http.CrossOriginProtection
}

// freeze checks c as a whole and reports every mistake.
func (c Config) freeze() (*frozen, error) {
	var mistakes []error
	wrong := func(field, format string, args ...any) {
		mistakes = append(mistakes, &ConfigError{field, fmt.Sprintf(format, args...)})
	}
	f := &frozen{Config: c}

	if c.ProjectID == "" {
		wrong("ProjectID", "is missing")
	} else if err := baseurl.ProjectID(c.ProjectID); err != nil {
		wrong("ProjectID", "%v", err)
	}
	test, live := strings.HasPrefix(c.ProjectID, "project-test-"), strings.HasPrefix(c.ProjectID, "project-live-")
	switch {
	case c.Secret == "":
		wrong("Secret", "is missing")
	case strings.ContainsFunc(c.Secret, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		wrong("Secret", "holds white space or characters that no secret has")
	case strings.HasPrefix(c.Secret, "project-"):
		wrong("Secret", "is a project id")
	case strings.HasPrefix(c.Secret, "public-token-"):
		wrong("Secret", "is a public token, which is for front ends")
	case test && strings.HasPrefix(c.Secret, "secret-live-"), live && strings.HasPrefix(c.Secret, "secret-test-"):
		wrong("Secret", "is of another environment than ProjectID")
	}
	var err error
	if f.base, err = baseurl.Resolve(c.ProjectID, c.BaseURL); err != nil {
		wrong("BaseURL", "%v", err)
	}
	if f.Logger == nil {
		f.Logger = slog.Default()
	}
	f.jar = c.Cookies.freeze(wrong)
	f.jar.live = live
	f.TokenHeader = header("TokenHeader", c.TokenHeader, wrong)
	f.JWTHeader = header("JWTHeader", c.JWTHeader, wrong)
	if f.TokenHeader != "" && f.TokenHeader == f.JWTHeader {
		wrong("JWTHeader", "is the same header as TokenHeader")
	}
	if !validDuration(c.SessionDuration) {
		wrong("SessionDuration", "must be whole minutes from 5 to 527040, or 0")
	}
	for _, p := range []struct{ field, value string }{{"LoginURL", c.LoginURL}, {"StepUpURL", c.StepUpURL}} {
		if p.value != "" && (!localPath(p.value) || strings.Contains(p.value, "#")) {
			wrong(p.field, "must be a path on this host, such as /login")
		}
	}
	f.crossOrigin = http.NewCrossOriginProtection()
	for i, o := range c.TrustedOrigins {
		if f.crossOrigin.AddTrustedOrigin(o) != nil {
			wrong(fmt.Sprintf("TrustedOrigins[%d]", i), "must be an origin, such as https://app.example.com")
		}
	}
	for _, d := range []struct {
		field string
		value *time.Duration
		zero  time.Duration
	}{
		{"MaxTokenAge", &f.MaxTokenAge, 5 * time.Minute},
		{"OpaqueTTL", &f.OpaqueTTL, 30 * time.Second},
		{"NegativeTTL", &f.NegativeTTL, 60 * time.Second},
		{"KeyCooldown", &f.KeyCooldown, 10 * time.Second},
	} {
		switch {
		case *d.value == 0:
			*d.value = d.zero
		case d.field == "OpaqueTTL" && *d.value == NoCache:
			*d.value = 0
		case *d.value < 0 && d.field == "OpaqueTTL":
			wrong(d.field, "must not be negative, but for NoCache")
		case *d.value < 0:
			wrong(d.field, "must not be negative")
		case *d.value > time.Hour:
			wrong(d.field, "must be at most 1h")
		}
	}
	if c.RefreshAhead < 0 || c.RefreshAhead > 0 && c.RefreshAhead > min(f.MaxTokenAge, jwtLife)/2 {
		wrong("RefreshAhead", "must be at most half of MaxTokenAge, at most 2m30s, and not negative")
	}
	if c.RefreshAheadBearer && c.RefreshAhead == 0 {
		wrong("RefreshAheadBearer", "needs RefreshAhead")
	}
	if c.DangerouslyServeStale < 0 || c.DangerouslyServeStale > 10*time.Minute {
		wrong("DangerouslyServeStale", "must be at most 10m, and not negative")
	}
	for _, n := range []struct {
		field string
		value *int
		zero  int
	}{
		{"CacheSize", &f.CacheSize, 10_000}, {"MaxInFlight", &f.MaxInFlight, 64},
		{"OpaqueRate", &f.OpaqueRate, 50}, {"OpaqueBurst", &f.OpaqueBurst, 100},
	} {
		switch {
		case *n.value == 0:
			*n.value = n.zero
		case *n.value < 0:
			wrong(n.field, "must not be negative")
		}
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	return f, nil
}

func (c Cookies) freeze(wrong func(field, format string, args ...any)) cookieJar {
	j := cookieJar{posture: c.Posture, domain: strings.ToLower(strings.TrimPrefix(c.Domain, ".")), tokenName: c.TokenName, jwtName: c.JWTName}
	prefix := ""
	switch c.Posture {
	case Shared:
		if len(c.Keys) > 0 {
			wrong("Cookies.Keys", "are for Private cookies: the front-end SDK cannot read a sealed cookie")
		}
	case Private:
		prefix = "__Host-"
		if c.Domain != "" {
			wrong("Cookies.Domain", "is for Shared cookies: a __Host- cookie is host-only")
		}
	default:
		wrong("Cookies.Posture", "must be Shared or Private")
	}
	if c.Domain != "" {
		probe := http.Cookie{Name: "x", Value: "x", Domain: j.domain}
		if _, err := netip.ParseAddr(j.domain); err == nil || probe.Valid() != nil || !strings.Contains(j.domain, ".") {
			wrong("Cookies.Domain", "must be a domain, such as example.com")
		}
	}
	for _, n := range []struct {
		field string
		name  *string
		zero  string
	}{
		{"Cookies.TokenName", &j.tokenName, prefix + "stytch_session"},
		{"Cookies.JWTName", &j.jwtName, prefix + "stytch_session_jwt"},
	} {
		if *n.name == "" {
			*n.name = n.zero
		}
		probe := http.Cookie{Name: *n.name, Value: "x"}
		lower := strings.ToLower(*n.name)
		switch {
		case probe.Valid() != nil || len(*n.name) > 128:
			wrong(n.field, "is not a cookie name")
		case prefix != "" && !strings.HasPrefix(*n.name, prefix):
			wrong(n.field, "must begin with %s for Private cookies", prefix)
		case prefix == "" && strings.HasPrefix(lower, "__"):
			wrong(n.field, "must not begin with __: browsers give such names a meaning")
		case len(c.Keys) > 0 && strings.Contains(*n.name, "|"):
			wrong(n.field, "must not contain | where the cookie is sealed")
		}
	}
	if j.tokenName == j.jwtName {
		wrong("Cookies.JWTName", "is the same name as TokenName")
	}
	if len(c.Keys) > 0 && c.Posture == Private {
		var err error
		if j.sealer, err = seal.New(c.Keys); err != nil {
			for problem := range strings.SplitSeq(err.Error(), "\n") { // one line for each key
				wrong("Cookies.Keys", "%s", strings.TrimPrefix(problem, "seal: "))
			}
		}
	}
	return j
}

// header returns the canonical name of a configured header.
func header(field, name string, wrong func(field, format string, args ...any)) string {
	if name == "" {
		return ""
	}
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	probe := http.Cookie{Name: name, Value: "x"} // header names and cookie names are both tokens
	switch {
	case probe.Valid() != nil:
		wrong(field, "is not a header name")
	case canonical == "Authorization" || canonical == "Cookie":
		wrong(field, "%s is read anyway", canonical)
	}
	return canonical
}
