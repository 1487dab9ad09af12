package jwks_test

import (
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/jwks"
)

// number is a Base64urlUInt of that many bits, with the lowest bit set.
func number(bits uint) string {
	n := new(big.Int).SetBit(new(big.Int).SetBit(new(big.Int), int(bits-1), 1), 0, 1)
	return base64.RawURLEncoding.EncodeToString(n.Bytes())
}

// Each row changes one member of a good key; the key set has a second, good
// key beside it, which must be usable whatever the first is.
func TestKeyFilter(t *testing.T) {
	type change map[string]any // nil deletes the member
	null := (*int)(nil)        // in JSON
	for _, tt := range []struct {
		name   string
		change change
		usable bool
	}{
		{"as Stytch serves it", nil, true},
		{"bare", change{"alg": nil, "use": nil, "key_ops": nil, "x5c": nil, "x5tS256": nil, "x5u": nil}, true},
		{"more members", change{"exp": 1, "D": "x", "Use": "enc", "x5t": 7, "x5c": nil}, true},

		{"no kty", change{"kty": nil}, false},
		{"kty rsa", change{"kty": "rsa"}, false},
		{"kty EC", change{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, false},
		{"kty oct", change{"kty": "oct"}, false},
		{"kty null", change{"kty": null}, false},
		{"Kty", change{"kty": nil, "Kty": "RSA"}, false},

		{"alg RS512", change{"alg": "RS512"}, false},
		{"alg PS256", change{"alg": "PS256"}, false},
		{"alg RSA-OAEP", change{"alg": "RSA-OAEP"}, false},
		{"alg empty", change{"alg": ""}, false},
		{"alg null", change{"alg": null}, false},
		{"alg list", change{"alg": []string{"RS256"}}, false},

		{"use enc", change{"use": "enc"}, false},
		{"use empty", change{"use": ""}, false},
		{"use null", change{"use": null}, false},

		{"key_ops with others", change{"key_ops": []string{"x", "verify"}}, true},
		{"key_ops sign", change{"key_ops": []string{"sign"}}, false},
		{"key_ops empty", change{"key_ops": []string{}}, false},
		{"key_ops twice", change{"key_ops": []string{"verify", "verify"}}, false},
		{"key_ops many", change{"key_ops": strings.Split("verify a b c d e f g h i j k l m n o p q", " ")}, false},
		{"key_ops Verify", change{"key_ops": []string{"Verify"}}, false},
		{"key_ops string", change{"key_ops": "verify"}, false},
		{"key_ops null", change{"key_ops": null}, false},
		{"key_ops number", change{"key_ops": []any{"verify", 1}}, false},

		{"no kid", change{"kid": nil}, false},
		{"kid empty", change{"kid": ""}, false},
		{"kid number", change{"kid": 1}, false},
		{"kid long", change{"kid": strings.Repeat("k", 257)}, false},

		{"private d", change{"d": "AQAB"}, false},
		{"private p", change{"p": "AQAB"}, false},
		{"private q", change{"q": "AQAB"}, false},
		{"private dp", change{"dp": "AQAB"}, false},
		{"private dq", change{"dq": "AQAB"}, false},
		{"private qi", change{"qi": "AQAB"}, false},
		{"private oth", change{"oth": []any{}}, false},
		{"symmetric k", change{"k": ""}, false},
		{"private null", change{"d": null}, false},

		{"no n", change{"n": nil}, false},
		{"n empty", change{"n": ""}, false},
		{"n number", change{"n": 5}, false},
		{"N", change{"n": nil, "N": number(2048)}, false},
		{"n of 2048 bits", change{"n": number(2048)}, true},
		{"n of 2047 bits", change{"n": number(2047)}, false},
		{"n of 1024 bits", change{"n": number(1024)}, false},
		{"n of 8192 bits", change{"n": number(8192)}, true},
		{"n of 8193 bits", change{"n": number(8193)}, false},
		{"n of 100000 bits", change{"n": number(100_000)}, false},
		{"n of 3071 bits", change{"n": number(3071)}, true},
		{"n even", change{"n": base64.RawURLEncoding.EncodeToString(new(big.Int).Lsh(big.NewInt(1), 2047).Bytes())}, false},
		{"n with a leading zero", change{"n": base64.RawURLEncoding.EncodeToString(append([]byte{0}, mainKey().N.Bytes()...))}, false},
		{"n padded", change{"n": number(2048) + "=="}, false},
		{"n in base64", change{"n": strings.Replace(number(2048), "AAAA", "++//", 1)}, false},
		{"n with a line break", change{"n": number(2048)[:64] + "\n" + number(2048)[64:]}, false},
		{"n with bits to spare", change{"n": number(2048)[:341] + "R"}, false}, // the last character was Q

		{"no e", change{"e": nil}, false},
		{"e 3", change{"e": "Aw"}, true},
		{"e 1", change{"e": "AQ"}, false},
		{"e 0", change{"e": "AA"}, false},
		{"e empty", change{"e": ""}, false},
		{"e 2", change{"e": "Ag"}, false},
		{"e 65536", change{"e": "AQAA"}, false},
		{"e 65537 with a leading zero", change{"e": "AAEAAQ"}, false},
		{"e 2^31-1", change{"e": number(31)}, true},
		{"e 2^31+1", change{"e": number(32)}, false},
		{"e 2^32+1", change{"e": number(33)}, false},
		{"e 2^64+1", change{"e": number(65)}, false},
		{"e with bits to spare", change{"e": "Ax"}, false},
		{"e number", change{"e": 65537}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bad := jwk(mainKey(), kid)
				for name, value := range tt.change {
					if value == nil {
						delete(bad, name)
					} else {
						bad[name] = value
					}
				}
				f := start(t, func(_ *jwks.Config, e *endpoint) { e.serve(keySet(bad, jwk(otherKey(), "jwk-test-2"))) })
				// A forged token tells whether the key is there.
				want := "unavailable"
				if tt.usable {
					want = "invalid"
				}
				f.want(t, signed(otherKey(), header(kid), payload(time.Now(), "a")), want)
				if tt.usable && tt.change["n"] == nil && tt.change["e"] == nil {
					f.want(t, token("a"), "accepted")
				}
				f.want(t, signed(otherKey(), header("jwk-test-2"), payload(time.Now(), "a")), "accepted")
				keys := 1
				if tt.usable {
					keys = 2
				} else if !strings.Contains(f.logs.String(), "skipped=1") {
					t.Errorf("the log does not tell of the skipped key: %s", f.logs)
				}
				if s := f.Stats(); s.Keys != keys || !s.FetchedAt.Equal(time.Now()) || s.Failures != 0 {
					t.Errorf("stats %+v, want %d keys", s, keys)
				}
			})
		})
	}
}

// What is no key at all, or not exact JSON, does not spoil the others either.
func TestOneBadKeyBlocksNoOther(t *testing.T) {
	good := strings.TrimSuffix(strings.TrimPrefix(keySet(jwk(mainKey(), kid)), `{"keys":[`), `],"request_id":"r","status_code":200}`)
	for _, bad := range []string{
		`null`, `1`, `"x"`, `[]`, `{}`, `[` + good + `]`,
		`{"kty":"RSA","kty":"RSA"}`,
		`{"kid":"` + "\xff" + `"}`,
		`{"kid":"\ud800"}`,
		`{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
		good, // the same key again is the same key
	} {
		synctest.Test(t, func(t *testing.T) {
			f := start(t, func(_ *jwks.Config, e *endpoint) { e.serve(`{"keys":[` + bad + `,` + good + `,` + bad + `]}`) })
			f.want(t, token("a"), "accepted")
		})
	}
}

func TestKIDThatNamesTwoKeysNamesNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, func(_ *jwks.Config, e *endpoint) {
			e.serve(keySet(jwk(mainKey(), kid), jwk(mainKey(), "jwk-test-2"), jwk(otherKey(), kid), jwk(mainKey(), kid)))
		})
		p := payload(time.Now(), "a")
		f.want(t, signed(mainKey(), header(kid), p), "unavailable")
		f.want(t, signed(otherKey(), header(kid), p), "unavailable")
		f.want(t, signed(mainKey(), header("jwk-test-2"), p), "accepted")
		// A key that may not be used does not take the name from one that may.
		unusable := jwk(otherKey(), kid)
		unusable["use"] = "enc"
		f.serve(keySet(unusable, jwk(mainKey(), kid), unusable))
		advance(10 * time.Second)
		f.want(t, token("a"), "accepted")
	})
}

// badSets are answers that are no key set, or have no usable key.
var badSets = map[string]string{
	"empty":        ``,
	"object":       `{}`,
	"null":         `null`,
	"array":        `[]`,
	"string":       `"keys"`,
	"HTML":         `<!doctype html><title>Maintenance</title>`,
	"no keys":      `{"keys":[]}`,
	"null keys":    `{"keys":null}`,
	"object keys":  `{"keys":{}}`,
	"bad keys":     `{"keys":[{},null,1]}`,
	"Keys":         `{"Keys":KEYS}`,
	"cut":          `{"keys":KEYS`,
	"cut early":    `{"keys":[{"kty`,
	"cut name":     `{"keys"`,
	"cut open":     `{`,
	"trailing":     `{"keys":KEYS}x`,
	"two texts":    `{"keys":KEYS}{"keys":KEYS}`,
	"twice":        `{"keys":KEYS,"keys":KEYS}`,
	"escaped too":  `{"keys":KEYS,"\u006beys":[]}`,
	"wrapped":      `[{"keys":KEYS}]`,
	"bad syntax":   `{"keys":KEYS,}`,
	"bad name":     `{keys:KEYS}`,
	"over 1 MiB":   `{"keys":KEYS,"x":"` + strings.Repeat("x", 1<<20) + `"}`,
	"no good keys": `{"keys":[{"kty":"RSA","kid":"jwk-test-1","n":"AQAB","e":"AQAB"}]}`,
}

func badSet(name string) string {
	good := keySet(jwk(mainKey(), kid))
	return strings.ReplaceAll(badSets[name], "KEYS", good[strings.IndexByte(good, '['):strings.LastIndexByte(good, ']')+1])
}

func TestLastGoodSetStays(t *testing.T) {
	for name := range badSets {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := start(t)
				f.serve(badSet(name))
				advance(20 * time.Minute)
				if n := f.fetches(); n < 2 {
					t.Fatalf("%d fetches", n)
				}
				f.want(t, token("a"), "accepted")
				if s := f.Stats(); s.Keys != 1 || s.Failures == 0 {
					t.Errorf("stats %+v", s)
				}
			})
		})
	}
}

func TestBadFirstSetIsNone(t *testing.T) {
	for name := range badSets {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := start(t, func(_ *jwks.Config, e *endpoint) { e.serve(badSet(name)) })
				f.want(t, token("a"), "unavailable")
				f.serve(keySet(jwk(mainKey(), kid)))
				advance(2 * time.Second)
				f.want(t, token("a"), "accepted")
			})
		})
	}
}
