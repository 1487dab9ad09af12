package jwks_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stytchware/stytchware/jwks"
)

func benchVerifier(b *testing.B, size int) *jwks.Verifier {
	e := new(endpoint)
	e.serve(keySet(jwk(mainKey(), kid)))
	v, err := jwks.New(jwks.Config{ProjectID: project, HTTPClient: &http.Client{Transport: e}, CacheSize: size, MaxTokenAge: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = v.Close() })
	return v
}

func verifyAll(b *testing.B, v *jwks.Verifier, tokens ...string) {
	for _, token := range tokens {
		if _, err := v.Verify(context.Background(), token); err != nil {
			b.Fatal(err)
		}
	}
}

func tokens(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = token(strconv.Itoa(i))
	}
	return all
}

func BenchmarkHit(b *testing.B) {
	for _, bm := range []struct {
		name string
		n    int
	}{{"one", 1}, {"10000-in-turn", 10_000}} {
		v := benchVerifier(b, 10_000)
		all := tokens(bm.n)
		verifyAll(b, v, all...)
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				_, err := v.Verify(context.Background(), all[i%len(all)])
				if err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
		b.Run(bm.name+"-parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if _, err := v.Verify(context.Background(), all[i%len(all)]); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// BenchmarkMiss verifies more tokens in turn than the cache keeps.
func BenchmarkMiss(b *testing.B) {
	v := benchVerifier(b, 100)
	all := tokens(2000) // so that hardly any is still there when its turn comes
	verifyAll(b, v, all...)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := v.Verify(context.Background(), all[i%len(all)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkRSA is the floor of a miss: the signature of the same token.
func BenchmarkRSA(b *testing.B) {
	t := token("1")
	text, signature := t[:strings.LastIndexByte(t, '.')], t[strings.LastIndexByte(t, '.')+1:]
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		b.Fatal(err)
	}
	public := &mainKey().PublicKey
	b.Run("verify", func(b *testing.B) {
		sum := sha256.Sum256([]byte(text))
		b.ReportAllocs()
		for b.Loop() {
			if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], sig); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("hash-and-verify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sum := sha256.Sum256([]byte(text))
			if err := rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], sig); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkRefuse(b *testing.B) {
	v := benchVerifier(b, 10_000)
	good := token("1")
	verifyAll(b, v, good)
	forged := good[:len(good)-200] + "AAAAAAAA" + good[len(good)-192:]
	stale := signed(mainKey(), header(kid), payload(time.Now().Add(-6*time.Minute), "1"))
	for _, bm := range []struct {
		name, token string
		want        error
	}{
		{"bad-signature", forged, jwks.ErrInvalid},
		{"stale-again", stale, jwks.ErrStale},
		{"empty", "", jwks.ErrInvalid},
		{"word", "undefined", jwks.ErrInvalid},
		{"no-kid", signed(mainKey(), `{"alg":"RS256","typ":"JWT"}`, payload(time.Now(), "1")), jwks.ErrInvalid},
		{"alg-none", b64(`{"alg":"none"}`) + "." + b64(payload(time.Now(), "1")) + ".AAAA", jwks.ErrInvalid},
		{"noise", strings.Repeat("Zm9v", 100) + "." + strings.Repeat("Zm9v", 200) + "." + strings.Repeat("Zm9v", 85), jwks.ErrInvalid},
		{"16KiB-of-dots", strings.Repeat(".", 16<<10), jwks.ErrInvalid},
		{"16KiB-of-letters", strings.Repeat("A", 16<<10), jwks.ErrInvalid},
		{"over-long", strings.Repeat("A", 1<<20), jwks.ErrInvalid},
		{"unknown-kid", signed(mainKey(), header("jwk-test-x"), payload(time.Now(), "1")), jwks.ErrUnavailable},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(context.Background(), bm.token); !errors.Is(err, bm.want) && !errors.Is(err, jwks.ErrKeyUnknown) {
					b.Fatal(err)
				}
			}
		})
	}
}
