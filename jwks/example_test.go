package jwks_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/stytchware/stytchware/jwks"
	"github.com/stytchware/stytchware/stytchtest"
)

// A worker that gets session JWTs from a queue. In production the
// configuration is jwks.Config{ProjectID: …} alone.
func ExampleVerifier_Verify() {
	project := stytchtest.New(stytchtest.Options{}) // in memory; in production, Stytch
	verifier, err := jwks.New(jwks.Config{
		ProjectID:  project.ID(),
		BaseURL:    project.BaseURL(),
		HTTPClient: &http.Client{Transport: project.Transport()},
	})
	if err != nil {
		panic(err)
	}
	defer verifier.Close()

	login := project.Login(stytchtest.Login{UserID: "user-test-ada"})
	for _, token := range []string{login.Tokens.SessionJWT, "rubbish"} {
		session, err := verifier.Verify(context.Background(), token)
		var unavailable *jwks.UnavailableError
		switch {
		case err == nil:
			fmt.Println("work for", session.UserID())
		case errors.As(err, &unavailable):
			fmt.Println("again in", unavailable.RetryAfter)
		case errors.Is(err, jwks.ErrStale):
			fmt.Println("ask Stytch, or drop it")
		default:
			fmt.Println(err)
		}
	}
	// Output:
	// work for user-test-ada
	// jwks: token is not valid: not three segments of canonical base64url
}

// New checks the whole configuration, and makes no network call.
func ExampleNew() {
	_, err := jwks.New(jwks.Config{ProjectID: "secret-test-oops", BaseURL: "http://example.com"})
	fmt.Println(err)
	// Output:
	// jwks: Config.ProjectID: must be a Stytch project id: project-test-… or project-live-…, letters, digits and hyphens
	// jwks: Config.BaseURL: must be https; http is for a loopback address only
}

// A hot path asks first whether a token was verified already.
func ExampleVerifier_Cached() {
	project := stytchtest.New(stytchtest.Options{})
	verifier, err := jwks.New(jwks.Config{
		ProjectID:  project.ID(),
		BaseURL:    project.BaseURL(),
		HTTPClient: &http.Client{Transport: project.Transport()},
	})
	if err != nil {
		panic(err)
	}
	defer verifier.Close()

	token := project.Login(stytchtest.Login{UserID: "user-test-ada"}).Tokens.SessionJWT
	_, _, ok := verifier.Cached(token)
	fmt.Println("before:", ok)
	if _, err := verifier.Verify(context.Background(), token); err != nil {
		panic(err)
	}
	session, until, ok := verifier.Cached(token)
	fmt.Println("after:", ok, session.UserID(), time.Until(until) <= 5*time.Minute)
	// Output:
	// before: false
	// after: true user-test-ada true
}

// Whether a process has what it needs, for a readiness probe.
func ExampleVerifier_Stats() {
	project := stytchtest.New(stytchtest.Options{})
	project.KeySet() // makes the key now, which takes a moment
	fetched := make(chan jwks.Fetch, 1)
	verifier, err := jwks.New(jwks.Config{
		ProjectID:  project.ID(),
		BaseURL:    project.BaseURL(),
		HTTPClient: &http.Client{Transport: project.Transport()},
		OnFetch:    func(f jwks.Fetch) { fetched <- f },
	})
	if err != nil {
		panic(err)
	}
	defer verifier.Close()

	fmt.Println("fetched:", (<-fetched).Err)
	s := verifier.Stats()
	fmt.Println("keys:", s.Keys, "failures:", s.Failures, "tokens:", s.Tokens)
	// Output:
	// fetched: <nil>
	// keys: 1 failures: 0 tokens: 0
}
