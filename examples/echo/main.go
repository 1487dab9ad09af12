// Command echo is an example of stytchware with the echo framework, version 4.
// It runs without a Stytch account: a project in memory takes Stytch's place.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

func main() {
	project := stytchtest.New(stytchtest.Options{})
	auth, err := middleware.New(project.Config()) // with an account: middleware.Config{ProjectID: …, Secret: …}
	if err != nil {
		log.Fatal(err)
	}
	defer auth.Close()

	ln, err := net.Listen("tcp", cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080"))
	if err != nil {
		log.Fatal(err, "; ADDR sets another address")
	}
	fmt.Printf(`listening on http://%[1]s, try
    curl -i -c jar -b jar http://%[1]s/account
    curl -i -c jar -b jar -X POST http://%[1]s/demo/login
    curl -i -c jar -b jar http://%[1]s/account
    curl -i -c jar -b jar -X POST http://%[1]s/transfer
    curl -i -c jar -b jar -X POST http://%[1]s/demo/step-up
    curl -i -c jar -b jar -X POST http://%[1]s/transfer
`, ln.Addr())
	server := &http.Server{Handler: site(auth, project), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.Serve(ln))
}

// site is the whole program as a handler.
func site(auth *middleware.Authenticator, project *stytchtest.Project) http.Handler {
	e := echo.New()
	e.GET("/", whoami)
	// echo wraps middleware of net/http itself.
	e.GET("/account", whoami, echo.WrapMiddleware(auth.RequireSession))
	e.POST("/transfer", whoami, echo.WrapMiddleware(auth.RequireMFA))
	e.POST("/payout", whoami, echo.WrapMiddleware(auth.Require(middleware.Within(5*time.Minute))))
	e.POST("/logout", func(c echo.Context) error {
		err := auth.Revoke(c.Response(), c.Request())
		if err != nil && !errors.Is(err, middleware.ErrUnavailable) { // unavailable: logged out here, Stytch is told later
			auth.Deny(c.Response(), c.Request(), err)
			return nil
		}
		return c.NoContent(http.StatusNoContent)
	})
	demo(e, auth, project)
	return auth.Load(e) // around the router: every handler and guard sees what it found
}

func whoami(c echo.Context) error {
	s, ok := sessionctx.From(c.Request().Context())
	if !ok {
		return c.JSON(http.StatusOK, map[string]any{"user_id": nil})
	}
	return c.JSON(http.StatusOK, map[string]any{"user_id": s.UserID(), "factors": s.NumFactors()})
}

// demo adds what stands for a login and for a second factor. With an account
// Stytch's SDK does both, or this server with Stytch's API and auth.Hydrate.
func demo(e *echo.Echo, auth *middleware.Authenticator, project *stytchtest.Project) {
	e.POST("/demo/login", func(c echo.Context) error {
		login := project.Login(stytchtest.Login{Factors: []stytchtest.Factor{stytchtest.EmailMagicLink()}})
		if _, err := auth.Hydrate(c.Response(), c.Request(), login.Tokens); err != nil {
			auth.Deny(c.Response(), c.Request(), err)
			return nil
		}
		return c.NoContent(http.StatusNoContent)
	})
	e.POST("/demo/step-up", func(c echo.Context) error {
		s, _ := sessionctx.From(c.Request().Context())
		project.AddFactor(s.ID(), stytchtest.SMS())
		if _, err := auth.Refresh(c.Response(), c.Request(), 0); err != nil { // a JWT that shows the new factor
			auth.Deny(c.Response(), c.Request(), err)
			return nil
		}
		return c.NoContent(http.StatusNoContent)
	}, echo.WrapMiddleware(auth.RequireSession))
}
