package stytchotel_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/stytchware/stytchware/middleware"
	stytchotel "github.com/stytchware/stytchware/otel"
	"github.com/stytchware/stytchware/stytchtest"
)

func Example() {
	observer, err := stytchotel.New(stytchotel.Options{}) // the global providers
	if err != nil {
		log.Fatal(err)
	}
	cfg := stytchtest.New(stytchtest.Options{}).Config() // or a middleware.Config of your own
	cfg.Observer = observer
	auth, err := middleware.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer auth.Close()

	h := auth.RequireSession(http.NotFoundHandler())
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	fmt.Println(w.Code)
	// Output: 401
}
