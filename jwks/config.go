package jwks

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/stytchware/stytchware/internal/baseurl"
)

// Config configures a Verifier. Zero fields mean the default stated.
type Config struct {
	_ [0]func()

	ProjectID string // required: project-test-… or project-live-…
	// BaseURL is the custom domain or another API host: https only, except
	// http on a loopback address; a trailing slash is trimmed. Tokens may have
	// it as their issuer. Default https://test.stytch.com, or
	// https://api.stytch.com for project-live-….
	BaseURL string
	// HTTPClient fetches the key set; it is copied, and the copy follows no
	// redirects and keeps no cookies. Default: a client of its own with
	// timeouts.
	HTTPClient *http.Client
	Logger     *slog.Logger // default slog.Default()

	MaxTokenAge time.Duration // oldest iat accepted; default 5 min
	Skew        time.Duration // allowed for iat and nbf ahead of our clock, never for exp; default 30 s
	// RefreshInterval is the background refresh, with 10 % jitter; at most
	// 12 h, because keys not confirmed for 24 h are not used. Default 15 min.
	RefreshInterval time.Duration
	Cooldown        time.Duration // least time between two fetches for unknown keys; default 10 s
	CacheSize       int           // verified tokens kept; default 10,000

	// OnFetch is told of each key fetch after it ended, on the fetch's
	// goroutine: it should return soon, and must not call Close. Default: none.
	OnFetch func(Fetch)
}

// Fetch is one fetch of the key set.
type Fetch struct {
	Began   time.Time     // when it was sent
	Took    time.Duration // 5 s at most
	Err     error         // nil if the key set was taken over, else the old one stays; its text may be foreign
	Keys    int           // usable keys of the current set
	Skipped int           // unusable keys of the set fetched
}

const maxInterval = keyLife / 2

// complete checks c, fills in the defaults and returns the base URL.
func (c *Config) complete() (base string, err error) {
	var mistakes []error
	wrong := func(field, what string) {
		mistakes = append(mistakes, fmt.Errorf("jwks: Config.%s: %s", field, what))
	}
	if err := baseurl.ProjectID(c.ProjectID); err != nil {
		wrong("ProjectID", err.Error())
	}
	if base, err = baseurl.Resolve(c.ProjectID, c.BaseURL); err != nil {
		wrong("BaseURL", err.Error())
	}
	for _, d := range []struct {
		field string
		value *time.Duration
		zero  time.Duration
	}{
		{"MaxTokenAge", &c.MaxTokenAge, 5 * time.Minute},
		{"Skew", &c.Skew, 30 * time.Second},
		{"RefreshInterval", &c.RefreshInterval, 15 * time.Minute},
		{"Cooldown", &c.Cooldown, 10 * time.Second},
	} {
		switch {
		case *d.value < 0:
			wrong(d.field, "must not be negative")
		case *d.value == 0:
			*d.value = d.zero
		}
	}
	if c.RefreshInterval > maxInterval {
		wrong("RefreshInterval", "must be at most 12h")
	}
	switch {
	case c.CacheSize < 0:
		wrong("CacheSize", "must not be negative")
	case c.CacheSize == 0:
		c.CacheSize = 10_000
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return base, errors.Join(mistakes...)
}
