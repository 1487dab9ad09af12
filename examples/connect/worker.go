package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/stytchware/stytchware/jwks"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

// message is what a queue delivers: work, and the session JWT of whoever asked
// for it.
type message struct {
	jwt  string
	work func(context.Context) error
}

// errDrop tells the queue that a message will never be acceptable.
var errDrop = errors.New("worker: message refused")

// retryError tells it to deliver the message again later.
type retryError struct{ after time.Duration }

func (e *retryError) Error() string { return "worker: again in " + e.after.String() }

// newVerifier returns what verifies the messages' JWTs. With an account
// jwks.Config{ProjectID: …} is enough.
func newVerifier(project *stytchtest.Project) (*jwks.Verifier, error) {
	return jwks.New(jwks.Config{
		ProjectID:  project.ID(),
		BaseURL:    project.BaseURL(),
		HTTPClient: &http.Client{Transport: project.Transport()},
	})
}

// consume does the work of one message in the name of its session. There is no
// request and no middleware here: package jwks verifies the JWT by itself.
func consume(ctx context.Context, v *jwks.Verifier, m message) error {
	session, err := v.Verify(ctx, m.jwt)
	var unavailable *jwks.UnavailableError
	switch {
	case err == nil:
		return m.work(sessionctx.With(ctx, session))
	case errors.As(err, &unavailable): // the key set cannot be had now: that says nothing about the message
		return &retryError{unavailable.RetryAfter}
	default: // not valid, or older than a session JWT may be; a worker cannot have it exchanged
		return errDrop
	}
}
