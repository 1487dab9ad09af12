package jwks_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

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
