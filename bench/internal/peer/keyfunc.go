package peer

import (
	"context"
	"net/http"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/stytchware/stytchware/bench/internal/load"
)

// handClaims is what a program that reads the session decodes.
type handClaims struct {
	jwt.RegisteredClaims
	Session struct {
		ID             string    `json:"id"`
		StartedAt      time.Time `json:"started_at"`
		LastAccessedAt time.Time `json:"last_accessed_at"`
		ExpiresAt      time.Time `json:"expires_at"`
		Attributes     struct {
			IPAddress string `json:"ip_address"`
			UserAgent string `json:"user_agent"`
		} `json:"attributes"`
		Factors []struct {
			Type                string    `json:"type"`
			DeliveryMethod      string    `json:"delivery_method"`
			LastAuthenticatedAt time.Time `json:"last_authenticated_at"`
		} `json:"authentication_factors"`
		Roles []string `json:"roles"`
	} `json:"https://stytch.com/session"`
}

type handKey struct{}

// byKeyfunc is the obvious code: parse with the key set, the claims into a
// struct, issuer and audience as options.
func byKeyfunc(api *API) (Peer, error) {
	set, err := keyfunc.NewJWKSetJSON(api.KeySet())
	if err != nil {
		return Peer{}, err
	}
	authenticate := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			cookie, err := r.Cookie(load.JWTCookie)
			if err != nil {
				http.Error(w, "no session", http.StatusUnauthorized)
				return
			}
			var claims handClaims
			_, err = jwt.ParseWithClaims(cookie.Value, &claims, set.Keyfunc,
				jwt.WithValidMethods([]string{"RS256"}),
				jwt.WithIssuer(api.issuer()), jwt.WithAudience(api.ID()), jwt.WithExpirationRequired())
			if err != nil {
				http.Error(w, "no session", http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), handKey{}, &claims)))
		})
	}
	return Peer{Name: KeyfuncBy, Handler: authenticate(greet(func(ctx context.Context) string {
		claims, _ := ctx.Value(handKey{}).(*handClaims)
		return claims.Subject
	}))}, nil
}
