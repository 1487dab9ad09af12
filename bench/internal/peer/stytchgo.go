package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/stytchware/stytchware/bench/internal/load"
)

// stytchClaims is the same as handClaims with the times as text, and all
// claims once more for the custom ones.
type stytchClaims struct {
	jwt.RegisteredClaims
	Session struct {
		ID             string            `json:"id"`
		StartedAt      string            `json:"started_at"`
		LastAccessedAt string            `json:"last_accessed_at"`
		ExpiresAt      string            `json:"expires_at"`
		Attributes     map[string]string `json:"attributes"`
		Factors        []struct {
			Type                string          `json:"type"`
			DeliveryMethod      string          `json:"delivery_method"`
			LastAuthenticatedAt *time.Time      `json:"last_authenticated_at"`
			Email               json.RawMessage `json:"email_factor"`
			Phone               json.RawMessage `json:"phone_number_factor"`
		} `json:"authentication_factors"`
		Roles []string `json:"roles"`
	} `json:"https://stytch.com/session"`
}

// byStytchGo takes the steps that stytch-go's AuthenticateJWT is documented to
// take: verify locally, and ask the API about whatever does not verify or is
// older than the maximum age. The module itself is not used, so that the
// comparison builds where only the usual module proxy is reachable; the local
// step here does less than the real one.
func byStytchGo(api *API) (Peer, error) {
	set, err := keyfunc.NewJWKSetJSON(api.KeySet())
	if err != nil {
		return Peer{}, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1024}, Timeout: 10 * time.Second}
	local := func(token string) (user string, err error) {
		var claims stytchClaims
		_, err = jwt.ParseWithClaims(token, &claims, set.Keyfunc, jwt.WithAudience(api.ID()), jwt.WithIssuer(api.issuer()))
		if err != nil {
			return "", err
		}
		if claims.IssuedAt.Add(time.Hour).Before(time.Now()) {
			return "", errors.New("too old")
		}
		for _, text := range []string{claims.Session.StartedAt, claims.Session.LastAccessedAt, claims.Session.ExpiresAt} {
			if _, err := time.Parse(time.RFC3339, text); err != nil {
				return "", err
			}
		}
		return claims.Subject, nil
	}
	remote := func(ctx context.Context, token string) (string, error) {
		body, err := json.Marshal(map[string]string{"session_jwt": token})
		if err != nil {
			return "", err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, api.URL+"/v1/sessions/authenticate", bytes.NewReader(body))
		if err != nil {
			return "", err
		}
		r.SetBasicAuth(api.ID(), api.Secret())
		r.Header.Set("Content-Type", "application/json")
		answer, err := client.Do(r)
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		var session struct {
			Session struct {
				UserID string `json:"user_id"`
			} `json:"session"`
		}
		if err := json.NewDecoder(answer.Body).Decode(&session); err != nil {
			return "", err
		}
		_, _ = io.Copy(io.Discard, answer.Body) // so that the connection is used again
		if answer.StatusCode != http.StatusOK {
			return "", fmt.Errorf("status %d", answer.StatusCode)
		}
		return session.Session.UserID, nil
	}
	authenticate := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			cookie, err := r.Cookie(load.JWTCookie)
			if err != nil {
				http.Error(w, "no session", http.StatusUnauthorized)
				return
			}
			user, err := local(cookie.Value)
			if err != nil {
				user, err = remote(r.Context(), cookie.Value)
			}
			if err != nil {
				http.Error(w, "no session", http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), handKey{}, user)))
		})
	}
	return Peer{Name: StytchBy, Handler: authenticate(greet(func(ctx context.Context) string {
		user, _ := ctx.Value(handKey{}).(string)
		return user
	}))}, nil
}
