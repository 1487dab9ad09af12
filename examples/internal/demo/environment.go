package demo

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stytchware/stytchware/middleware"
)

// environment is what the variables say. A zero field leaves the middleware's
// default.
type environment struct {
	addr                       string
	projectID, secret, baseURL string
	cookies                    middleware.Cookies

	maxTokenAge, opaqueTTL, negativeTTL, keyCooldown time.Duration
}

// readEnvironment reads every variable; an empty one counts as not set. The
// error joins one line per mistake, and quotes no secret.
func readEnvironment(getenv func(string) string) (environment, error) {
	var mistakes []error
	mistake := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf(format, args...))
	}

	env := environment{
		addr:      getenv("ADDR"),
		projectID: getenv("STYTCH_PROJECT_ID"),
		secret:    getenv("STYTCH_SECRET"),
		baseURL:   getenv("STYTCH_BASE_URL"),
	}
	if env.addr == "" {
		env.addr = "127.0.0.1:8080"
	}
	switch {
	case env.projectID != "" && env.secret == "":
		mistake("STYTCH_PROJECT_ID is set but STYTCH_SECRET is not: set both, or neither to run without an account")
	case env.projectID == "" && env.secret != "":
		mistake("STYTCH_SECRET is set but STYTCH_PROJECT_ID is not: set both, or neither to run without an account")
	case env.projectID == "" && env.baseURL != "":
		mistake("STYTCH_BASE_URL is set but STYTCH_PROJECT_ID and STYTCH_SECRET are not")
	}

	switch posture := getenv("COOKIES"); posture {
	case "", "shared":
		env.cookies.Posture = middleware.Shared
	case "private":
		env.cookies.Posture = middleware.Private
	default:
		mistake("COOKIES is %q: it must be shared (the default) or private", posture)
	}
	env.cookies.Domain = getenv("COOKIE_DOMAIN")
	if list := getenv("COOKIE_KEYS"); list != "" {
		for i, text := range strings.Split(list, ",") {
			key, err := hex.DecodeString(strings.TrimSpace(text))
			if err != nil || len(key) == 0 {
				mistake("COOKIE_KEYS: key %d is not hexadecimal", i+1)
				continue
			}
			env.cookies.Keys = append(env.cookies.Keys, key)
		}
	}

	duration := func(name string, zero time.Duration) time.Duration {
		text := getenv(name)
		if text == "" {
			return 0
		}
		d, err := time.ParseDuration(text)
		switch {
		case err != nil:
			mistake("%s is %q: it must be a duration such as 30s or 5m", name, text)
		case d < 0, d == 0 && zero == 0:
			mistake("%s is %q: it must be more than 0", name, text)
		case d == 0:
			return zero
		}
		return max(d, 0)
	}
	env.maxTokenAge = duration("MAX_TOKEN_AGE", 0)
	env.opaqueTTL = duration("OPAQUE_TTL", middleware.NoCache)
	env.negativeTTL = duration("NEGATIVE_TTL", 0)
	env.keyCooldown = duration("KEY_COOLDOWN", 0)

	return env, errors.Join(mistakes...)
}
