package jwks_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/jwks"
	"github.com/stytchware/stytchware/stytchtest"
)

func TestCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stytchtest.New(stytchtest.Options{})
		v, err := jwks.New(jwks.Config{ProjectID: p.ID(), HTTPClient: p.Config().HTTPClient})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		s := p.Login(stytchtest.Login{})
		token := s.Tokens.SessionJWT
		if _, _, ok := v.Cached(token); ok {
			t.Error("a token never verified is cached")
		}
		want, err := v.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		got, until, ok := v.Cached(token)
		if !ok || got != want || !until.Equal(time.Now().Add(5*time.Minute)) {
			t.Errorf("%v %v %v", got, until, ok)
		}
		for _, other := range []string{token + "A", token[1:], token[:len(token)-1], "A" + token[1:], ""} {
			if _, _, ok := v.Cached(other); ok {
				t.Errorf("another token was taken for it")
			}
		}
		if n := testing.AllocsPerRun(100, func() { v.Cached(token) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
		advance(5*time.Minute - 1)
		if _, _, ok := v.Cached(token); !ok {
			t.Error("gone before its time")
		}
		advance(1)
		if _, _, ok := v.Cached(token); ok {
			t.Error("outlived its time")
		}
		// The key that verified it leaves the key set.
		token = p.MintJWT(s.ID, stytchtest.Mint{})
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		p.RotateKeyHard()
		advance(11 * time.Second)
		if _, err := v.Verify(t.Context(), p.MintJWT(s.ID, stytchtest.Mint{})); err != nil {
			t.Fatal(err)
		}
		if _, _, ok := v.Cached(token); ok {
			t.Error("outlived its key")
		}
		var zero jwks.Verifier
		if _, _, ok := zero.Cached(token); ok {
			t.Error("the zero Verifier knows a token")
		}
	})
}
