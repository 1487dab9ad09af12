// Command connect is an example of stytchware with connect-go: a service whose
// procedures are guarded, and a worker that gets session JWTs in messages and
// verifies them without HTTP. It runs without a Stytch account: a project in
// memory takes Stytch's place.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

// The procedures, as generated code would name them.
const (
	whoAmI   = "/bank.v1.Bank/WhoAmI"
	transfer = "/bank.v1.Bank/Transfer"
)

func main() {
	project := stytchtest.New(stytchtest.Options{})
	cfg := project.Config() // with an account: middleware.Config{ProjectID: …, Secret: …}
	cfg.ErrorHandler = deny
	auth, err := middleware.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer auth.Close()

	ln, err := net.Listen("tcp", cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080"))
	if err != nil {
		log.Fatal(err, "; ADDR sets another address")
	}
	addr := ln.Addr()
	one := project.Login(stytchtest.Login{})
	two := project.Login(stytchtest.Login{Factors: []stytchtest.Factor{stytchtest.EmailMagicLink(), stytchtest.SMS()}})
	fmt.Printf("listening on http://%s, try\n", addr)
	for _, token := range []string{"nobody", one.Tokens.SessionToken, two.Tokens.SessionToken} {
		fmt.Printf("    curl -i -H 'Content-Type: application/json' -H 'Authorization: Bearer %s' -d '{}' http://%s%s\n", token, addr, transfer)
	}
	verifier, err := newVerifier(project)
	if err != nil {
		log.Fatal(err)
	}
	defer verifier.Close()
	fmt.Println("the worker:", consume(context.Background(), verifier, message{one.Tokens.SessionJWT, func(ctx context.Context) error {
		s, _ := sessionctx.From(ctx)
		fmt.Println("work for", s.UserID())
		return nil
	}}))
	server := &http.Server{Handler: service(auth), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.Serve(ln))
}

// service guards each procedure by the handler that connect makes of it.
func service(auth *middleware.Authenticator) http.Handler {
	handler := connect.NewUnaryHandler(whoAmI, answer, connect.WithInterceptors(audit()))
	guarded := connect.NewUnaryHandler(transfer, answer, connect.WithInterceptors(audit()))
	mux := http.NewServeMux()
	mux.Handle(whoAmI, auth.RequireSession(handler))
	mux.Handle(transfer, auth.RequireMFA(guarded))
	return mux
}

// answer is a procedure: its context carries the session.
func answer(ctx context.Context, _ *connect.Request[emptypb.Empty]) (*connect.Response[wrapperspb.StringValue], error) {
	s, ok := sessionctx.From(ctx)
	if !ok {
		return nil, connect.NewError(connect.CodeUnauthenticated, errors.New("no session"))
	}
	return connect.NewResponse(wrapperspb.String(s.UserID())), nil
}

// audit is an interceptor: it sees the session, too.
func audit() connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			res, err := next(ctx, req)
			if s, ok := sessionctx.From(ctx); ok && err == nil {
				res.Header().Set("Audit-Session", s.ID())
			}
			return res, err
		}
	}
}

// deny answers a refused request in the client's protocol, be it connect, gRPC
// or gRPC-Web. middleware.Config calls it.
func deny(w http.ResponseWriter, r *http.Request, err error) {
	code := connect.CodeInternal
	switch middleware.Status(err) {
	case http.StatusBadRequest:
		code = connect.CodeInvalidArgument
	case http.StatusUnauthorized:
		code = connect.CodeUnauthenticated
	case http.StatusForbidden:
		code = connect.CodePermissionDenied
	case http.StatusServiceUnavailable:
		code = connect.CodeUnavailable
	}
	text := "the session was refused"
	if errors.Is(err, middleware.ErrStepUp) {
		text = "a second factor is needed"
	}
	if challenge := middleware.Challenge(err); challenge != "" {
		w.Header().Set("WWW-Authenticate", challenge)
	}
	if d := middleware.RetryAfter(err); d > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(d.Seconds())))
	}
	w.Header().Set("Cache-Control", "no-store")
	_ = connect.NewErrorWriter().Write(w, r, connect.NewError(code, errors.New(text))) // fails only if the client has left
}
