package peer

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	jwtmiddleware "github.com/auth0/go-jwt-middleware/v2"
	auth0jwks "github.com/auth0/go-jwt-middleware/v2/jwks"
	"github.com/auth0/go-jwt-middleware/v2/validator"
	"github.com/clerk/clerk-sdk-go/v2"
	clerkhttp "github.com/clerk/clerk-sdk-go/v2/http"
	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/jwtauth/v5"
	"github.com/lestrrat-go/jwx/v3/jwk"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/stytchware/stytchware/bench/internal/load"
)

func byGoOIDC(api *API) (Peer, error) {
	keys := oidc.NewRemoteKeySet(context.Background(), api.keySetURL())
	verifier := oidc.NewVerifier(api.issuer(), keys, &oidc.Config{ClientID: api.ID()})
	authenticate := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			cookie, err := r.Cookie(load.JWTCookie)
			if err != nil {
				http.Error(w, "no session", http.StatusUnauthorized)
				return
			}
			token, err := verifier.Verify(r.Context(), cookie.Value)
			var claims handClaims
			if err == nil {
				err = token.Claims(&claims)
			}
			if err != nil {
				http.Error(w, "no session", http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), handKey{}, &claims)))
		})
	}
	return Peer{Name: oidcBy, Handler: authenticate(greet(func(ctx context.Context) string {
		claims, _ := ctx.Value(handKey{}).(*handClaims)
		return claims.Subject
	}))}, nil
}

func byJWX(api *API) (Peer, error) {
	set, err := jwk.Parse(api.KeySet())
	if err != nil {
		return Peer{}, err
	}
	authenticate := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, err := jwxjwt.ParseRequest(r, jwxjwt.WithCookieKey(load.JWTCookie), jwxjwt.WithKeySet(set),
				jwxjwt.WithIssuer(api.issuer()), jwxjwt.WithAudience(api.ID()))
			if err != nil {
				http.Error(w, "no session", http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), handKey{}, token)))
		})
	}
	return Peer{Name: jwxBy, Handler: authenticate(greet(func(ctx context.Context) string {
		token, _ := ctx.Value(handKey{}).(jwxjwt.Token)
		user, _ := token.Subject()
		return user
	}))}, nil
}

func byJWTAuth(api *API) (Peer, error) {
	public, err := firstKey(api)
	if err != nil {
		return Peer{}, err
	}
	auth := jwtauth.New("RS256", nil, public)
	router := chi.NewRouter()
	router.Use(jwtauth.Verifier(auth), jwtauth.Authenticator(auth))
	router.Handle("/*", greet(func(ctx context.Context) string {
		_, claims, _ := jwtauth.FromContext(ctx)
		user, _ := claims["sub"].(string)
		return user
	}))
	return Peer{Name: jwtauthBy, Bearer: true, Handler: router}, nil
}

// firstKey returns the public key that signs now.
func firstKey(api *API) (any, error) {
	set, err := jwk.Parse(api.KeySet())
	if err != nil {
		return nil, err
	}
	key, ok := set.Key(0)
	if !ok {
		return nil, errors.New("the key set is empty")
	}
	var public any
	return public, jwk.Export(key, &public)
}

// auth0Claims is validated after the registered claims.
type auth0Claims struct {
	Session json.RawMessage `json:"https://stytch.com/session"`
}

// Validate implements auth0's CustomClaims.
func (*auth0Claims) Validate(context.Context) error { return nil }

func byAuth0(api *API) (Peer, error) {
	issuer, err := url.Parse(api.URL)
	if err != nil {
		return Peer{}, err
	}
	keys, err := url.Parse(api.keySetURL())
	if err != nil {
		return Peer{}, err
	}
	provider := auth0jwks.NewCachingProvider(issuer, time.Hour, auth0jwks.WithCustomJWKSURI(keys))
	v, err := validator.New(provider.KeyFunc, validator.RS256, api.issuer(), []string{api.ID()},
		validator.WithCustomClaims(func() validator.CustomClaims { return new(auth0Claims) }))
	if err != nil {
		return Peer{}, err
	}
	check := jwtmiddleware.New(v.ValidateToken, jwtmiddleware.WithTokenExtractor(jwtmiddleware.CookieTokenExtractor(load.JWTCookie)))
	return Peer{Name: auth0By, Handler: check.CheckJWT(greet(func(ctx context.Context) string {
		claims, _ := ctx.Value(jwtmiddleware.ContextKey{}).(*validator.ValidatedClaims)
		return claims.RegisteredClaims.Subject
	}))}, nil
}

func byClerk(api *API) (Peer, error) {
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(api.KeySet(), &set); err != nil {
		return Peer{}, err
	}
	var key clerk.JSONWebKey
	if err := json.Unmarshal(set.Keys[0], &key); err != nil {
		return Peer{}, err
	}
	withKey := func(p *clerkhttp.AuthorizationParams) error {
		p.JWK = &key
		return nil
	}
	check := clerkhttp.RequireHeaderAuthorization(withKey, clerkhttp.ProxyURL(api.issuer()))
	return Peer{Name: clerkBy, Bearer: true, Handler: check(greet(func(ctx context.Context) string {
		claims, _ := clerk.SessionClaimsFromContext(ctx)
		return claims.Subject
	}))}, nil
}
