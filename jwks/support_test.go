package jwks_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/jwks"
)

const (
	project = "project-test-00000000-0000-0000-0000-000000000000"
	kid     = "jwk-test-1"
)

// The keys of all tests; making one takes long.
var (
	mainKey  = sync.OnceValue(func() *rsa.PrivateKey { return newKey(2048) })
	otherKey = sync.OnceValue(func() *rsa.PrivateKey { return newKey(2048) })
)

func newKey(bits int) *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return k
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// signed returns a token of exactly this header and payload.
func signed(k *rsa.PrivateKey, header, payload string) string {
	return signedRaw(k, b64(header)+"."+b64(payload))
}

func signedRaw(k *rsa.PrivateKey, text string) string {
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(nil, k, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func header(kid string) string { return `{"alg":"RS256","kid":"` + kid + `","typ":"JWT"}` }

// payload is a consumer session's, issued at iat for five minutes.
func payload(iat time.Time, id string) string {
	rfc := func(d time.Duration) string { return iat.UTC().Add(d).Format(time.RFC3339) }
	return fmt.Sprintf(`{"aud":["%s"],"exp":%d,"https://stytch.com/session":{"id":"session-test-%s","started_at":"%s",`+
		`"last_accessed_at":"%s","expires_at":"%s","attributes":{"user_agent":"Mozilla/5.0","ip_address":"203.0.113.1"},`+
		`"authentication_factors":[{"type":"magic_link","delivery_method":"email","email_factor":{"email_id":"email-test-81bf03a8-86e1-4d95-bd44-bb3495224953",`+
		`"email_address":"sandbox@stytch.com"},"last_authenticated_at":"%s"},{"type":"otp","delivery_method":"sms","last_authenticated_at":"%s",`+
		`"phone_number_factor":{"phone_id":"phone-number-test-d5a3b680-e8a3-40c0-b815-ab79986666d0","phone_number":"+12025550162"}}],"roles":["stytch_user","admin"]},`+
		`"iat":%d,"iss":"stytch.com/%s","nbf":%d,"sub":"user-test-16d9ba61-97a1-4ba4-9720-b03761dc50c6","plan":"pro","limits":{"seats":12345678901234567890},"beta":true}`,
		project, iat.Unix()+300, id, rfc(-time.Hour), rfc(0), rfc(time.Hour), rfc(-time.Hour), rfc(0), iat.Unix(), project, iat.Unix())
}

// token is a good one issued now.
func token(id string) string { return signed(mainKey(), header(kid), payload(time.Now(), id)) }

// edit replaces what must be there once.
func edit(t testing.TB, text, old, new string) string {
	t.Helper()
	if strings.Count(text, old) != 1 {
		t.Fatalf("%q is %d times in %s", old, strings.Count(text, old), text)
	}
	return strings.Replace(text, old, new, 1)
}

// jwk is k's public key as Stytch serves it.
func jwk(k *rsa.PrivateKey, kid string) map[string]any {
	return map[string]any{
		"kty": "RSA", "use": "sig", "key_ops": []string{"verify"}, "alg": "RS256", "kid": kid,
		"x5c": []string{"not looked at"}, "x5tS256": "not looked at", "x5u": "https://attacker.example/",
		"n": base64.RawURLEncoding.EncodeToString(k.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(k.E)).Bytes()),
	}
}

func keySet(keys ...map[string]any) string {
	b, err := json.Marshal(map[string]any{"keys": keys, "request_id": "r", "status_code": 200})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// endpoint is a key endpoint in memory.
type endpoint struct {
	mu     sync.Mutex
	answer func(*http.Request) (*http.Response, error)
	calls  []time.Time
}

// serve answers with body from now on.
func (e *endpoint) serve(body string) {
	e.do(func(*http.Request) (*http.Response, error) { return ok(body), nil })
}

func (e *endpoint) do(answer func(*http.Request) (*http.Response, error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = answer
}

func (e *endpoint) fail() {
	e.do(func(*http.Request) (*http.Response, error) { return nil, errors.New("no route to host") })
}

// slow answers with body after d, or when the request's context ends.
func (e *endpoint) slow(d time.Duration, body string) {
	e.do(func(r *http.Request) (*http.Response, error) {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return ok(body), nil
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	})
}

func (e *endpoint) fetches() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.calls)
}

// gaps are the times between the fetches so far.
func (e *endpoint) gaps() []time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []time.Duration
	for i := range e.calls[1:] {
		all = append(all, e.calls[i+1].Sub(e.calls[i]))
	}
	return all
}

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	e.mu.Lock()
	e.calls = append(e.calls, time.Now())
	answer := e.answer
	e.mu.Unlock()
	return answer(r)
}

func ok(body string) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

// fixture is a Verifier and the endpoint it fetches from, which serves mainKey
// as kid unless told otherwise.
type fixture struct {
	*jwks.Verifier
	*endpoint
	logs *logs
}

// start starts a Verifier and waits for its first fetch. For use in a bubble.
func start(t testing.TB, change ...func(*jwks.Config, *endpoint)) *fixture {
	t.Helper()
	f := &fixture{endpoint: new(endpoint), logs: new(logs)}
	f.serve(keySet(jwk(mainKey(), kid)))
	cfg := jwks.Config{
		ProjectID:  project,
		HTTPClient: &http.Client{Transport: f.endpoint},
		Logger:     slog.New(slog.NewTextHandler(f.logs, nil)),
	}
	for _, c := range change {
		c(&cfg, f.endpoint)
	}
	v, err := jwks.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	f.Verifier = v
	synctest.Wait()
	return f
}

// advance lets d pass in a bubble, and everything that becomes due happen.
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// outcome names an error of Verify, and checks that it is one of the four and
// no two.
func outcome(t testing.TB, err error) string {
	t.Helper()
	var is []string
	for name, target := range map[string]error{
		"invalid": jwks.ErrInvalid, "stale": jwks.ErrStale, "unknown": jwks.ErrKeyUnknown, "unavailable": jwks.ErrUnavailable,
	} {
		if errors.Is(err, target) {
			is = append(is, name)
		}
	}
	switch {
	case err == nil:
		return "accepted"
	case len(is) != 1:
		slices.Sort(is)
		t.Errorf("the error %v is %q", err, is)
		return fmt.Sprint(is)
	}
	return is[0]
}

func (f *fixture) outcome(t testing.TB, token string) string {
	t.Helper()
	s, err := f.Verify(context.Background(), token)
	if (s == nil) != (err != nil) {
		t.Errorf("Verify = %v, %v", s, err)
	}
	return outcome(t, err)
}

// want checks what becomes of a token.
func (f *fixture) want(t testing.TB, token, want string) {
	t.Helper()
	if got := f.outcome(t, token); got != want {
		t.Errorf("the token is %s, want %s", got, want)
	}
}

// logs collects log output.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
