// Package stytchtest is a Stytch project in memory: it serves the key set, the
// session calls and the login calls of Stytch's API, and puts sessions,
// outages and key rotations in the hands of a test.
//
// A [Project] needs no network, no account and no testing.T:
//
//	project := stytchtest.New(stytchtest.Options{})
//	auth, err := middleware.New(project.Config())
//	…
//	login := project.Login(stytchtest.Login{
//		Factors: []stytchtest.Factor{stytchtest.EmailMagicLink(), stytchtest.SMS()},
//	})
//	stytchtest.AddCookies(request, login.Tokens)
//
// There are three ways to reach it. [Project.Transport], which [Project.Config]
// uses, is an [http.RoundTripper] without sockets, so that a testing/synctest
// bubble owns the clock. [NewServer] is a real server on a loopback address.
// And a Project is an [http.Handler], for a program that runs without an
// account; the command stytch-local, below this package, is one that does
// nothing else. A Project uses time.Now, so its clock always agrees with that of
// the program under test; tokens from another clock are minted with
// [Project.MintJWT].
//
// A handler that only reads the session needs none of it: see [WithSession].
// All routes of a program are checked at once by [Conform].
//
// What goes over the wire follows Stytch's documents: request rules, error
// types and statuses, and the claims and the key set of genuine sessions; for
// the front-end SDK, which no document covers, it follows what the SDK sends
// and understands. Where nothing names an error type, for a body that is not
// JSON say, the one used here is a guess. Not on the wire are Stytch's B2B
// calls; a B2B-shaped JWT can be made with [Login.OrganizationID].
//
// The signing keys are made anew in each process and never leave it. Projects
// of one process share the RSA keys, since each takes a tenth of a second to
// make, but neither key ids nor project ids: by default no project accepts
// another's tokens. It is no place to keep anything that matters: there is no
// rate limit, and whoever can read the inbox can log in.
package stytchtest

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/stytchware/stytchware/middleware"
)

// Options configures a [Project]. Zero fields mean the default stated.
type Options struct {
	_ [0]func()

	// ProjectID is project-test-… or project-live-…. Default: a random
	// project-test-… of its own for each Project.
	ProjectID string
	// Secret is what the API wants as the password. Default: random.
	Secret string
	// PublicToken is what a front end with Stytch's SDK is given:
	// public-token-test-… or public-token-live-…, as the project id. Default:
	// random.
	PublicToken string
	// CustomDomain is a base URL such as https://login.example.com: the
	// project answers there too, and its JWTs name it as their issuer.
	// Default: none, and the issuer is stytch.com/<project id>.
	CustomDomain string
	// JWTLifetime is exp − iat of a session JWT. Default 5 minutes, as Stytch.
	JWTLifetime time.Duration
	// MaxSessions bounds the sessions, and the users, that are kept; beyond it
	// the oldest is forgotten. Default 10,000.
	MaxSessions int
	// MaxMessages bounds the inbox in the same way. Default 100.
	MaxMessages int
}

// Project is a Stytch project in memory. Every method may be called
// concurrently.
type Project struct {
	id, secret, env string // env is "test" or "live"
	publicToken     string
	issuer          string
	customDomain    string
	jwtLifetime     time.Duration

	calls  counters
	faults faults

	mu       sync.Mutex
	keys     []signingKey // newest first
	sessions table[*session]
	byToken  map[string]*session
	sweptAt  time.Time
	users    table[*user]
	byEmail  map[string]*user
	byPhone  map[string]*user
	inbox    []*delivery
	maxInbox int
}

// New returns a project with one signing key and no session. It starts no
// goroutine and needs no closing. It panics if o cannot be a project: an id
// that does not start with project-test- or project-live-, a public token of
// another environment, or a CustomDomain that is no URL.
func New(o Options) *Project {
	if o.ProjectID == "" {
		o.ProjectID = "project-test-" + newUUID()
	}
	env := "test"
	switch {
	case strings.HasPrefix(o.ProjectID, "project-live-"):
		env = "live"
	case !strings.HasPrefix(o.ProjectID, "project-test-"):
		panic(fmt.Sprintf("stytchtest: project id %q starts neither with project-test- nor with project-live-", o.ProjectID))
	}
	if o.Secret == "" {
		o.Secret = "secret-" + env + "-" + newToken()
	}
	if o.PublicToken == "" {
		o.PublicToken = "public-token-" + env + "-" + newUUID()
	}
	if !strings.HasPrefix(o.PublicToken, "public-token-"+env+"-") {
		panic(fmt.Sprintf("stytchtest: public token %q does not start with public-token-%s-", o.PublicToken, env))
	}
	issuer := "stytch.com/" + o.ProjectID
	if o.CustomDomain != "" {
		u, err := url.Parse(o.CustomDomain)
		if err != nil || u.Host == "" {
			panic(fmt.Sprintf("stytchtest: custom domain %q is not a base URL", o.CustomDomain))
		}
		o.CustomDomain = strings.TrimSuffix(o.CustomDomain, "/")
		issuer = o.CustomDomain
	}
	p := &Project{
		id: o.ProjectID, secret: o.Secret, publicToken: o.PublicToken, env: env,
		issuer: issuer, customDomain: o.CustomDomain,
		jwtLifetime: orDefault(o.JWTLifetime, 5*time.Minute),
		sessions:    newTable[*session](orDefault(o.MaxSessions, 10_000)),
		byToken:     map[string]*session{},
		users:       newTable[*user](orDefault(o.MaxSessions, 10_000)),
		byEmail:     map[string]*user{},
		byPhone:     map[string]*user{},
		maxInbox:    orDefault(o.MaxMessages, 100),
	}
	p.keys = []signingKey{p.newKey(0)}
	return p
}

// ID returns the project id.
func (p *Project) ID() string { return p.id }

// Secret returns the project's API secret.
func (p *Project) Secret() string { return p.secret }

// PublicToken returns the project's public token, for Stytch's front-end SDK.
func (p *Project) PublicToken() string { return p.publicToken }

// BaseURL returns where [Project.Transport] answers: the custom domain if
// there is one, otherwise the host Stytch uses for such a project id.
func (p *Project) BaseURL() string {
	switch {
	case p.customDomain != "":
		return p.customDomain
	case p.env == "live":
		return "https://api.stytch.com"
	}
	return "https://test.stytch.com"
}

// Config returns a configuration for [middleware.New] that reaches the project
// through [Project.Transport] and logs nothing.
func (p *Project) Config() middleware.Config {
	return middleware.Config{
		ProjectID:  p.id,
		Secret:     p.secret,
		BaseURL:    p.BaseURL(),
		HTTPClient: &http.Client{Transport: p.Transport()},
		Logger:     slog.New(slog.DiscardHandler),
	}
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// now is the project's clock, in the resolution of its answers.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// newID returns an id as Stytch makes them: user-test-<uuid>.
func (p *Project) newID(kind string) string { return kind + "-" + p.env + "-" + newUUID() }

func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// newToken returns 44 characters of base64url.
func newToken() string {
	var b [33]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}
