// Command gin is an example of stytchware with the gin router. It runs without
// a Stytch account: a project in memory takes Stytch's place.
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

	"github.com/gin-gonic/gin"

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
	router := gin.New()
	router.GET("/", whoami)
	router.GET("/account", guard(auth.RequireSession), whoami)
	router.POST("/transfer", guard(auth.RequireMFA), whoami)
	router.POST("/payout", guard(auth.Require(middleware.Within(5*time.Minute))), whoami)
	router.POST("/logout", func(c *gin.Context) {
		err := auth.Revoke(c.Writer, c.Request)
		if err != nil && !errors.Is(err, middleware.ErrUnavailable) { // unavailable: logged out here, Stytch is told later
			auth.Deny(c.Writer, c.Request, err)
			return
		}
		c.Status(http.StatusNoContent)
	})
	demo(router, auth, project)
	return auth.Load(router) // around the router: every handler and guard sees what it found
}

// guard makes a gin handler of one of auth's guards.
func guard(by func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed := false
		by(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed = true
			c.Request = r // its context carries the session
			c.Next()
		})).ServeHTTP(c.Writer, c.Request)
		if !passed { // the guard has answered
			c.Abort()
		}
	}
}

func whoami(c *gin.Context) {
	s, ok := sessionctx.From(c.Request.Context())
	if !ok {
		c.JSON(http.StatusOK, gin.H{"user_id": nil})
		return
	}
	c.JSON(http.StatusOK, gin.H{"user_id": s.UserID(), "factors": s.NumFactors()})
}

// demo adds what stands for a login and for a second factor. With an account
// Stytch's SDK does both, or this server with Stytch's API and auth.Hydrate.
func demo(router gin.IRouter, auth *middleware.Authenticator, project *stytchtest.Project) {
	router.POST("/demo/login", func(c *gin.Context) {
		login := project.Login(stytchtest.Login{Factors: []stytchtest.Factor{stytchtest.EmailMagicLink()}})
		if _, err := auth.Hydrate(c.Writer, c.Request, login.Tokens); err != nil {
			auth.Deny(c.Writer, c.Request, err)
			return
		}
		c.Status(http.StatusNoContent)
	})
	router.POST("/demo/step-up", guard(auth.RequireSession), func(c *gin.Context) {
		s, _ := sessionctx.From(c.Request.Context())
		project.AddFactor(s.ID(), stytchtest.SMS())
		if _, err := auth.Refresh(c.Writer, c.Request, 0); err != nil { // a JWT that shows the new factor
			auth.Deny(c.Writer, c.Request, err)
			return
		}
		c.Status(http.StatusNoContent)
	})
}
