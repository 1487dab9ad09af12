package jwks_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/jwks"
	"github.com/stytchware/stytchware/stytchtest"
)

func TestOnFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stytchtest.New(stytchtest.Options{})
		p.FailKeys(stytchtest.Slow(time.Second).Then(stytchtest.Down()).Times(1))
		var mu sync.Mutex
		var got []jwks.Fetch
		v, err := jwks.New(jwks.Config{ProjectID: p.ID(), HTTPClient: p.Config().HTTPClient, OnFetch: func(f jwks.Fetch) {
			mu.Lock()
			got = append(got, f)
			mu.Unlock()
			panic("a hook's own affair")
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		began := time.Now()
		advance(5 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if len(got) != 2 {
			t.Fatalf("%d fetches: %+v", len(got), got)
		}
		if f := got[0]; f.Err == nil || f.Keys != 0 || f.Took != time.Second || !f.Began.Equal(began) {
			t.Errorf("%+v", f)
		}
		if f := got[1]; f.Err != nil || f.Keys != 1 || f.Skipped != 0 {
			t.Errorf("%+v", f)
		}
	})
}
