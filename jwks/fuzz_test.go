package jwks_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stytchware/stytchware/jwks"
	"github.com/stytchware/stytchware/sessionctx"
)

// reference verifies a token with encoding/json and crypto/rsa alone. It is
// lenient about duplicate members, of which it takes the last.
func reference(token string, public *rsa.PublicKey, now time.Time) (sub, session string, err error) {
	parts := regexp.MustCompile(`\A([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\z`).FindStringSubmatch(token)
	if parts == nil {
		return "", "", errors.New("spelling")
	}
	var segments [][]byte
	for _, p := range parts[1:] {
		b, err := base64.RawURLEncoding.Strict().DecodeString(p)
		if err != nil {
			return "", "", err
		}
		segments = append(segments, b)
	}
	var header, claims, ses map[string]any
	if err := json.Unmarshal(segments[0], &header); err != nil {
		return "", "", err
	}
	if header["alg"] != "RS256" || header["kid"] != kid {
		return "", "", errors.New("header")
	}
	for _, name := range []string{"crit", "cty", "b64", "zip", "enc", "jku", "x5u", "jwk", "x5c"} {
		if _, there := header[name]; there {
			return "", "", errors.New(name)
		}
	}
	sum := sha256.Sum256([]byte(parts[1] + "." + parts[2]))
	if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], segments[2]); err != nil {
		return "", "", err
	}
	d := json.NewDecoder(bytes.NewReader(segments[1]))
	d.UseNumber()
	if err := d.Decode(&claims); err != nil {
		return "", "", err
	}
	aud, _ := claims["aud"].([]any)
	if claims["iss"] != "stytch.com/"+project || claims["aud"] != project && !slices.Contains(aud, any(project)) {
		return "", "", errors.New("not ours")
	}
	date := func(name string) *big.Rat {
		n, _ := claims[name].(json.Number)
		if len(n) > 60 || strings.ContainsAny(n.String(), "eE") {
			return nil
		}
		r, ok := new(big.Rat).SetString(n.String())
		if !ok || r.Sign() < 0 || r.Cmp(big.NewRat(253402300799, 1)) > 0 {
			return nil
		}
		return r
	}
	at := func(t time.Time) *big.Rat { return big.NewRat(t.UnixNano(), 1e9) }
	exp, iat, nbf := date("exp"), date("iat"), date("nbf")
	if exp == nil || iat == nil || nbf == nil {
		return "", "", errors.New("dates")
	}
	if exp.Cmp(at(now)) <= 0 || iat.Cmp(at(now.Add(time.Minute))) > 0 || nbf.Cmp(at(now.Add(time.Minute))) > 0 {
		return "", "", errors.New("time")
	}
	ses, _ = claims["https://stytch.com/session"].(map[string]any)
	sub, _ = claims["sub"].(string)
	session, _ = ses["id"].(string)
	if sub == "" || session == "" {
		return "", "", errors.New("no session")
	}
	if s, there := ses["expires_at"].(string); there && s != "" {
		ends, err := time.Parse(time.RFC3339, s)
		if err != nil || !ends.IsZero() && !ends.After(now) {
			return "", "", fmt.Errorf("session: %w", err)
		}
	}
	return sub, session, nil
}

// FuzzVerify: whatever the signed text is and whatever becomes of it on the
// way, what is accepted is what the reference accepts.
func FuzzVerify(f *testing.F) {
	good := edit(f, payload(time.Now(), "a"), fmt.Sprintf(`"exp":%d`, time.Now().Unix()+300), `"exp":253402300799`)
	good = edit(f, good, `"expires_at":"`+time.Now().UTC().Add(time.Hour).Format(time.RFC3339)+`"`, `"expires_at":"9999-01-01T00:00:00Z"`)
	f.Add(header(kid), good, 0, "")
	f.Add(header(kid), good, 5, "A")
	f.Add(header(kid), good, -1, "=")
	f.Add(header(kid), good, -1, "\n")
	f.Add(header(kid), good, 200, ".")
	f.Add(`{"alg":"RS256","kid":"jwk-test-1","crit":["exp"]}`, good, 0, "")
	f.Add(`{"alg":"none","kid":"jwk-test-1"}`, good, 0, "")
	f.Add(header(kid), edit(f, good, `"sub"`, `"SUB":"x","sub"`), 0, "")
	f.Add(header(kid), edit(f, good, `"sub"`, `"sub":"x","sub"`), 0, "")
	f.Add(header(kid), edit(f, good, `"exp":253402300799`, `"exp":1.7e300`), 0, "")
	f.Add(header(kid), edit(f, good, `"exp":253402300799`, `"exp":2534023007990`), 0, "")
	f.Add(header(kid), edit(f, good, `"aud":["`+project+`"]`, `"aud":"`+project+`"`), 0, "")
	f.Add(header(kid), edit(f, good, `"https://stytch.com/session"`, `"https://stytch.com/Session"`), 0, "")
	f.Add(header(kid), edit(f, good, `"beta":true`, `"https://stytch.com/organization":{"organization_id":"o"}, "z" :[{}]`), 0, "")
	f.Add("{}", "{}", 0, "")

	e := new(endpoint)
	e.serve(keySet(jwk(mainKey(), kid)))
	v, err := jwks.New(jwks.Config{ProjectID: project, HTTPClient: &http.Client{Transport: e}, MaxTokenAge: 1<<63 - 1, Cooldown: time.Hour})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = v.Close() })
	if _, err := v.Verify(context.Background(), signed(mainKey(), header(kid), good)); err != nil {
		f.Fatal(err)
	}
	if _, _, err := reference(signed(mainKey(), header(kid), good), &mainKey().PublicKey, time.Now()); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header, payload string, at int, change string) {
		token := signed(mainKey(), header, payload)
		if change != "" { // overwrites a part, at the end for a negative position
			if at < 0 {
				at = len(token)
			}
			at %= len(token) + 1
			token = token[:at] + change + token[min(len(token), at+len(change)):]
		}
		now := time.Now()
		s, err := v.Verify(context.Background(), token)
		if err != nil {
			if s != nil {
				t.Errorf("a session besides the error %v", err)
			}
			outcome(t, err)
			return
		}
		sub, session, err := reference(token, &mainKey().PublicKey, now)
		if err != nil {
			t.Fatalf("the reference refuses %q: %v", token, err)
		}
		if s.UserID() != sub || s.ID() != session || s.Source() != sessionctx.Local {
			t.Errorf("session %s of %s, want %s of %s", s.ID(), s.UserID(), session, sub)
		}
		var claims, custom map[string]json.RawMessage
		if err := json.Unmarshal([]byte(s.CustomClaims()), &custom); err != nil {
			t.Fatalf("custom claims %s: %v", s.CustomClaims(), err)
		}
		if err := json.Unmarshal([]byte(payload), &claims); err != nil {
			t.Fatal(err)
		}
		if change == "" {
			for name, value := range claims {
				reserved := slices.Contains([]string{"iss", "aud", "sub", "iat", "nbf", "exp", "jti"}, name) || strings.HasPrefix(name, "https://stytch.com/")
				if got, there := custom[name]; there == reserved || there && string(got) != string(value) {
					t.Errorf("custom claim %q is %s, want %s", name, got, value)
				}
			}
			if len(custom) > len(claims) {
				t.Errorf("custom claims %s of %s", s.CustomClaims(), payload)
			}
		}
	})
}

// FuzzKeySet: no key is loaded that is outside the rules.
func FuzzKeySet(f *testing.F) {
	f.Add(keySet(jwk(mainKey(), kid), jwk(otherKey(), "jwk-test-2")))
	f.Add(keySet(jwk(mainKey(), kid), jwk(otherKey(), kid)))
	for name := range badSets {
		if name != "over 1 MiB" {
			f.Add(badSet(name))
		}
	}
	for _, change := range [][2]string{
		{`"use":"sig"`, `"use":"enc"`}, {`"alg":"RS256"`, `"alg":"none"`}, {`"kty":"RSA"`, `"kty":"oct","k":"AA"`}, {`"e":"AQAB"`, `"e":"AQ"`},
		{`"key_ops":["verify"]`, `"key_ops":["sign"]`}, {`"kty"`, `"d":"AQAB","kty"`}, {`"n":"`, `"n":"AA`}, {`"kid":"jwk-test-1"`, `"kid":""`},
	} {
		f.Add(strings.Replace(keySet(jwk(mainKey(), kid)), change[0], change[1], 1))
	}
	f.Fuzz(func(t *testing.T, body string) {
		keys, err := jwks.Keys([]byte(body))
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("%d keys, error %v", len(keys), err)
		}
		if err != nil {
			return
		}
		var top map[string]json.RawMessage
		var all []json.RawMessage
		if json.Unmarshal([]byte(body), &top) != nil || json.Unmarshal(top["keys"], &all) != nil {
			t.Fatalf("keys of what is no key set: %q", body)
		}
		for kid, public := range keys {
			if n := public.N.BitLen(); n < 2048 || n > 8192 || public.E < 3 || public.E%2 == 0 || public.E > 1<<31-1 {
				t.Errorf("key %q has %d bits and exponent %d", kid, n, public.E)
			}
			from := 0
			for _, raw := range all {
				var m map[string]any
				if json.Unmarshal(raw, &m) != nil || m["kid"] != kid {
					continue
				}
				is := func(name string, want any) bool { got, there := m[name]; return got == want || !there && name != "kty" }
				ops, there := m["key_ops"].([]any)
				if !is("kty", "RSA") || !is("alg", "RS256") || !is("use", "sig") || there && !slices.Contains(ops, any("verify")) {
					continue
				}
				if slices.ContainsFunc([]string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}, func(name string) bool { _, there := m[name]; return there }) {
					continue
				}
				if m["n"] == base64.RawURLEncoding.EncodeToString(public.N.Bytes()) &&
					m["e"] == base64.RawURLEncoding.EncodeToString(big.NewInt(int64(public.E)).Bytes()) {
					from++
				}
			}
			if from == 0 || kid == "" {
				t.Errorf("key %q is not in the set %q", kid, body)
			}
		}
	})
}
