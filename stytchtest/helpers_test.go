package stytchtest_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stytchware/stytchware/stytchtest"
)

// advance is the only sleep of these tests; it is called in synctest bubbles.
func advance(d time.Duration) { time.Sleep(d) }

const (
	authenticatePath = "/v1/sessions/authenticate"
	revokePath       = "/v1/sessions/revoke"
	keySetPath       = "/v1/sessions/jwks/"
)

type object = map[string]any

// newRequest returns a request as Stytch's SDKs send it. A body of nil is no
// body, a string is sent as it is, anything else as JSON.
func newRequest(t *testing.T, p *stytchtest.Project, method, path string, body any) *http.Request {
	t.Helper()
	var content []byte
	switch body := body.(type) {
	case nil:
	case string:
		content = []byte(body)
	default:
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		content = b
	}
	r, err := http.NewRequestWithContext(t.Context(), method, p.BaseURL()+path, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(p.ID(), p.Secret())
	if method == "POST" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// send returns the status and the JSON object of the answer.
func send(t *testing.T, p *stytchtest.Project, r *http.Request) (int, object) {
	t.Helper()
	res, err := p.Transport().RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if ct := res.Header.Get("Content-Type"); ct != "application/json" {
		t.Fatalf("%s %s: Content-Type %q, body %s", r.Method, r.URL.Path, ct, b)
	}
	return res.StatusCode, parse(t, b)
}

func call(t *testing.T, p *stytchtest.Project, method, path string, body any) (int, object) {
	t.Helper()
	return send(t, p, newRequest(t, p, method, path, body))
}

// post is call for what must succeed.
func post(t *testing.T, p *stytchtest.Project, path string, body any) object {
	t.Helper()
	status, answer := call(t, p, "POST", path, body)
	if status != 200 || answer["status_code"] != 200.0 {
		t.Fatalf("POST %s: status %d: %v", path, status, answer)
	}
	return answer
}

// wantError asserts an error of Stytch's form.
func wantError(t *testing.T, status int, answer object, wantStatus int, wantType string) {
	t.Helper()
	if status != wantStatus || answer["error_type"] != wantType {
		t.Errorf("got %d %v (%v), want %d %s", status, answer["error_type"], answer["error_message"], wantStatus, wantType)
	}
	if answer["status_code"] != float64(wantStatus) {
		t.Errorf("status_code %v, want %d", answer["status_code"], wantStatus)
	}
	for _, name := range []string{"request_id", "error_message", "error_url"} {
		if s, _ := answer[name].(string); s == "" {
			t.Errorf("%s is missing", name)
		}
	}
}

func parse(t *testing.T, b []byte) object {
	t.Helper()
	var o object
	if err := json.Unmarshal(b, &o); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return o
}

func decodeSegment(t *testing.T, segment string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.Strict().DecodeString(segment)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// claimsOf returns the claims without looking at the signature.
func claimsOf(t *testing.T, jwt string) object {
	t.Helper()
	return parse(t, decodeSegment(t, strings.Split(jwt, ".")[1]))
}

func headerOf(t *testing.T, jwt string) object {
	t.Helper()
	return parse(t, decodeSegment(t, strings.Split(jwt, ".")[0]))
}

// verifies reports whether the key set has the key that signed jwt.
func verifies(t *testing.T, keySet []byte, jwt string) bool {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is not a JWT", jwt)
	}
	kid := headerOf(t, jwt)["kid"]
	for _, k := range parse(t, keySet)["keys"].([]any) {
		k := k.(object)
		if k["kid"] != kid {
			continue
		}
		key := rsa.PublicKey{
			N: new(big.Int).SetBytes(decodeSegment(t, k["n"].(string))),
			E: int(new(big.Int).SetBytes(decodeSegment(t, k["e"].(string))).Int64()),
		}
		digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		return rsa.VerifyPKCS1v15(&key, crypto.SHA256, digest[:], decodeSegment(t, parts[2])) == nil
	}
	return false
}
