package jwks_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stytchware/stytchware/jwks"
)

// wycheproof is what the tests need of a file of vectors.
type wycheproof struct {
	NumberOfTests int
	TestGroups    []struct {
		Comment         string
		Public, Private json.RawMessage // a JWK, or a set of them
		SHA             string
		KeyJWK          json.RawMessage
		PrivateKey      struct{ Modulus, PublicExponent string }
		Tests           []struct {
			TcID                      int
			Comment, JWS, Result, Msg string
			Sig                       string
		}
	}
}

func readVectors(t *testing.T, file string) (w wycheproof) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "wycheproof", file))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &w); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range w.TestGroups {
		n += len(g.Tests)
	}
	if n == 0 || n != w.NumberOfTests {
		t.Fatalf("%s: read %d vectors, it says %d", file, n, w.NumberOfTests)
	}
	return w
}

// afterSignature are the reasons that only a well-signed token can come to:
// the vectors' payloads are no session's.
var afterSignature = []string{
	"payload is not exact JSON", "claim of the wrong JSON type", "wrong issuer", "wrong audience", "no subject",
	"exp, iat or nbf is missing or out of range", "no well-formed session claim", "malformed organization claim",
}

// TestWycheproofJWS serves each group's key as the key set and verifies its
// tokens. What Wycheproof calls invalid must not get past the signature. What
// it calls valid gets there, or stands in the table of what we refuse on
// purpose.
func TestWycheproofJWS(t *testing.T) {
	const (
		algorithm = "algorithm is not RS256" // Stytch signs with no other
		spelling  = "not three segments of canonical base64url"
	)
	for file, deviations := range map[string]map[string][]int{
		"json_web_signature_test.json": {
			algorithm: {1, 18, 264, 265, 266, 267, 268, 269, 270, 271, 272, 273, 274, 275, 287, 288, 320, 321, 322, 323, 325, 326,
				327, 328, 346, 347, 348, 350, 351, 352, 357, 358, 359, 373, 376, 377, 378},
			spelling: {259, 372}, // an empty payload; a question mark in the header, which a lax decoder skips
		},
		"json_web_key_test.json": {algorithm: {2, 13, 14, 15}},
	} {
		t.Run(file, func(t *testing.T) {
			refused := map[string][]int{}
			accepted, invalid := 0, 0
			for _, g := range readVectors(t, file).TestGroups {
				set := g.Public
				if set == nil {
					set = g.Private
				}
				var whole struct{ Keys json.RawMessage }
				if err := json.Unmarshal(set, &whole); err != nil {
					t.Fatal(err)
				}
				if whole.Keys == nil {
					set = json.RawMessage(`{"keys":[` + string(set) + `]}`)
				}
				for _, v := range g.Tests {
					got := pastSignature(t, string(set), v.JWS)
					switch {
					case v.Result != "valid" && got == "":
						t.Errorf("%s %d (%s) is %s and got past the signature", g.Comment, v.TcID, v.Comment, v.Result)
					case v.Result != "valid":
						invalid++
					case got == "":
						accepted++
					default:
						refused[got] = append(refused[got], v.TcID)
					}
				}
			}
			t.Logf("%d invalid ones refused, %d valid ones past the signature, refused: %v", invalid, accepted, refused)
			for _, reason := range slices.Sorted(maps.Keys(refused)) {
				if !slices.Equal(refused[reason], deviations[reason]) {
					t.Errorf("valid, but %s: %d, want %d", reason, refused[reason], deviations[reason])
				}
			}
			for reason := range deviations {
				if refused[reason] == nil {
					t.Errorf("nothing is refused because of %q any more", reason)
				}
			}
			if accepted == 0 || invalid == 0 {
				t.Errorf("%d accepted and %d refused: the test tests nothing", accepted, invalid)
			}
		})
	}
}

// pastSignature returns "" if the token's signature was accepted, else why it
// was not.
func pastSignature(t *testing.T, set, token string) (why string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := start(t, func(_ *jwks.Config, e *endpoint) { e.serve(set) })
		s, err := f.Verify(context.Background(), token)
		if err == nil || s != nil {
			t.Fatalf("a token that is no session's was accepted: %v", s)
		}
		why = outcome(t, err)
		var invalid *jwks.InvalidError
		if errors.As(err, &invalid) {
			if why = invalid.Reason(); slices.Contains(afterSignature, why) {
				why = ""
			}
		}
	})
	return why
}

// TestWycheproofRSA holds the signature step alone to the vectors of RSASSA-PKCS1-v1_5
// with SHA-256: those called valid verify, and no others: not a signature with
// the algorithm identifier's NULL missing, which some call acceptable (RFC 8017
// section 9.2 wants it), nor one with another hash. Two more are called
// acceptable for their exponent of 3, which is used here: what made it weak
// are lax readers of the padding. Keys of 1,024 bits are not used.
func TestWycheproofRSA(t *testing.T) {
	for file, want := range map[string]struct {
		signed   int
		exponent []int // called acceptable for an exponent of 3
		tooWeak  bool
	}{
		"rsa_signature_2048_sha256_test.json": {signed: 9},
		"rsa_signature_3072_sha256_test.json": {signed: 8},
		"rsa_signature_4096_sha256_test.json": {signed: 7},
		"rsa_signature_8192_sha256_test.json": {signed: 7},
		"rsa_pkcs1_2048_sig_gen_test.json":    {signed: 10, exponent: []int{154, 158}},
		"rsa_pkcs1_1024_sig_gen_test.json":    {tooWeak: true},
	} {
		t.Run(file, func(t *testing.T) {
			signed, refused := 0, 0
			for _, g := range readVectors(t, file).TestGroups {
				key := rsaJWK(t, g.KeyJWK, g.PrivateKey.Modulus, g.PrivateKey.PublicExponent)
				for _, v := range g.Tests {
					msg, err1 := hex.DecodeString(v.Msg)
					sig, err2 := hex.DecodeString(v.Sig)
					if err1 != nil || err2 != nil {
						t.Fatal(err1, err2)
					}
					usable, ok := jwks.Signed([]byte(keySet(key)), "k", string(msg), sig)
					if usable == want.tooWeak {
						t.Fatalf("the key is usable: %v", usable)
					}
					should := usable && g.SHA == "SHA-256" && (v.Result == "valid" || slices.Contains(want.exponent, v.TcID))
					if ok != should {
						t.Errorf("%d (%s, %s): signed is %v, want %v", v.TcID, v.Result, v.Comment, ok, should)
					}
					if ok {
						signed++
					} else {
						refused++
					}
				}
			}
			if signed != want.signed || refused == 0 {
				t.Errorf("%d signed and %d refused, want %d signed", signed, refused, want.signed)
			}
		})
	}
}

// rsaJWK is the group's key under the name k.
func rsaJWK(t *testing.T, jwk json.RawMessage, modulus, exponent string) map[string]any {
	t.Helper()
	key := map[string]any{"kty": "RSA", "alg": "RS256"}
	if jwk != nil {
		if err := json.Unmarshal(jwk, &key); err != nil {
			t.Fatal(err)
		}
		key["kid"], key["alg"] = "k", "RS256" // of what the key says the hash is not looked at here
		return key
	}
	for name, text := range map[string]string{"n": modulus, "e": exponent} {
		b, err := hex.DecodeString(text)
		if err != nil || len(b) == 0 {
			t.Fatalf("%s: %q", name, text)
		}
		for b[0] == 0 {
			b = b[1:]
		}
		key[name] = base64.RawURLEncoding.EncodeToString(b)
	}
	key["kid"] = "k"
	return key
}
