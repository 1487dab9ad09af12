package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

var protocols = map[string][]connect.ClientOption{
	"connect": nil, "gRPC": {connect.WithGRPC()}, "gRPC-Web": {connect.WithGRPCWeb()},
}

// start serves the example on a loopback address.
func start(t *testing.T) (*stytchtest.Project, *httptest.Server) {
	t.Helper()
	project := stytchtest.New(stytchtest.Options{})
	cfg := project.Config()
	cfg.ErrorHandler = deny
	auth, err := middleware.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { auth.Close() })
	server := httptest.NewUnstartedServer(service(auth))
	server.EnableHTTP2 = true // gRPC needs it
	server.StartTLS()
	t.Cleanup(server.Close)
	return project, server
}

// call makes a call as generated code would.
func call(server *httptest.Server, procedure, token string, options ...connect.ClientOption) (*connect.Response[wrapperspb.StringValue], error) {
	client := connect.NewClient[emptypb.Empty, wrapperspb.StringValue](server.Client(), server.URL+procedure, options...)
	req := connect.NewRequest(&emptypb.Empty{})
	if token != "" {
		req.Header().Set("Authorization", "Bearer "+token)
	}
	return client.CallUnary(context.Background(), req)
}

func TestProcedures(t *testing.T) {
	project, server := start(t)
	one := project.Login(stytchtest.Login{UserID: "user-test-one"})
	two := project.Login(stytchtest.Login{UserID: "user-test-two", Factors: []stytchtest.Factor{stytchtest.EmailMagicLink(), stytchtest.SMS()}})
	const (
		stepUp  = `Bearer error="insufficient_user_authentication"`
		login   = `Bearer realm="session"`
		invalid = `Bearer error="invalid_token"`
	)
	for protocol, options := range protocols {
		for _, c := range []struct {
			name, procedure, token string
			code                   connect.Code // 0: the call succeeds
			user, challenge        string
		}{
			{"anonymous", whoAmI, "", connect.CodeUnauthenticated, "", login},
			{"rubbish", whoAmI, "a.b.c", connect.CodeUnauthenticated, "", invalid},
			{"session", whoAmI, one.Tokens.SessionJWT, 0, "user-test-one", ""},
			{"session token", whoAmI, two.Tokens.SessionToken, 0, "user-test-two", ""},
			{"anonymous, MFA", transfer, "", connect.CodeUnauthenticated, "", login},
			{"one factor", transfer, one.Tokens.SessionJWT, connect.CodeUnauthenticated, "", stepUp},
			{"two factors", transfer, two.Tokens.SessionJWT, 0, "user-test-two", ""},
		} {
			t.Run(protocol+"/"+c.name, func(t *testing.T) {
				res, err := call(server, c.procedure, c.token, options...)
				if c.code == 0 {
					if err != nil || res.Msg.Value != c.user || res.Header().Get("Audit-Session") == "" {
						t.Errorf("%v, %v; want the user %s and the audit's header", res, err, c.user)
					}
					return
				}
				var refusal *connect.Error
				if !errors.As(err, &refusal) || refusal.Code() != c.code || refusal.Meta().Get("WWW-Authenticate") != c.challenge {
					t.Errorf("%v; want %v with the challenge %q", err, c.code, c.challenge)
				}
			})
		}
	}
}

func TestStytchDown(t *testing.T) {
	for protocol, options := range protocols {
		t.Run(protocol, func(t *testing.T) {
			project, server := start(t)
			login := project.Login(stytchtest.Login{})
			stale := project.MintJWT(login.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-time.Hour)})
			project.FailAPI(stytchtest.TooManyRequests("7"))
			_, err := call(server, whoAmI, stale, options...)
			var refusal *connect.Error
			if !errors.As(err, &refusal) || refusal.Code() != connect.CodeUnavailable || refusal.Meta().Get("Retry-After") != "7" {
				t.Errorf("%v; want unavailable with Retry-After 7", err)
			}
		})
	}
}

// What else a guard refuses, in connect's words.
func TestDeny(t *testing.T) {
	for status, c := range map[int]struct {
		err  error
		code string
	}{
		http.StatusBadRequest:          {middleware.ErrInvalidRequest, "invalid_argument"},
		http.StatusForbidden:           {middleware.ErrCrossSite, "permission_denied"},
		http.StatusInternalServerError: {errors.New("another"), "internal"},
	} {
		r := httptest.NewRequest("POST", "https://example.com"+transfer, nil)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		deny(w, r, c.err)
		want := `{"code":"` + c.code + `","message":"the session was refused"}`
		if w.Code != status || w.Body.String() != want {
			t.Errorf("%v: %d %s, want %d %s", c.err, w.Code, w.Body, status, want)
		}
	}
}

func TestWorker(t *testing.T) {
	project := stytchtest.New(stytchtest.Options{})
	verifier, err := newVerifier(project)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { verifier.Close() })
	login := project.Login(stytchtest.Login{UserID: "user-test-ada"})
	down := stytchtest.New(stytchtest.Options{})
	down.FailKeys(stytchtest.Down())
	noKeys, err := newVerifier(down)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noKeys.Close() })
	broken := errors.New("work is broken")
	for _, c := range []struct {
		name, jwt string
		fails     error
		want      error
	}{
		{"session", login.Tokens.SessionJWT, nil, nil},
		{"work that fails", login.Tokens.SessionJWT, broken, broken},
		{"forged", project.MintJWT(login.ID, stytchtest.Mint{Forged: true}), nil, errDrop},
		{"stale", project.MintJWT(login.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-time.Hour)}), nil, errDrop},
		{"of another project", project.MintJWT(login.ID, stytchtest.Mint{ProjectID: down.ID()}), nil, errDrop},
		{"not a JWT", login.Tokens.SessionToken, nil, errDrop},
	} {
		var user string
		err := consume(context.Background(), verifier, message{c.jwt, func(ctx context.Context) error {
			s, _ := sessionctx.From(ctx)
			user = s.UserID()
			return c.fails
		}})
		if !errors.Is(err, c.want) || (c.want == errDrop) != (user == "") || user != "" && user != "user-test-ada" {
			t.Errorf("%s: %v, worked for %q; want %v", c.name, err, user, c.want)
		}
	}
	// No keys at all: the message is as good as it was, only not now.
	err = consume(context.Background(), noKeys, message{jwt: down.Login(stytchtest.Login{}).Tokens.SessionJWT})
	var again *retryError
	if !errors.As(err, &again) || again.after < time.Second {
		t.Errorf("without keys: %v, want a retry", err)
	}
}
