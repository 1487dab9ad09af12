package jwks_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/jwks"
)

// Keys rotate while 500 tokens a second name keys that do not exist: the new
// key is accepted within the cool-down and a second, wherever in the cool-down
// it begins to sign, and the known one never waits.
func TestRotationUnderFlood(t *testing.T) {
	const second = "jwk-test-2"
	both := keySet(jwk(mainKey(), kid), jwk(otherKey(), second))
	for name, after := range map[string]string{"with overlap": both, "without overlap": keySet(jwk(otherKey(), second))} {
		for _, at := range []time.Duration{12 * time.Second, 16 * time.Second, 19900 * time.Millisecond, 20200 * time.Millisecond} {
			t.Run(fmt.Sprintf("%s at %s", name, at), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := start(t)
					f.slow(300*time.Millisecond, keySet(jwk(mainKey(), kid)))
					began := time.Now()
					ctx, stop := context.WithCancel(context.Background())
					var flood sync.WaitGroup
					var told [2]atomic.Int64
					flood.Go(func() {
						for i := 0; ctx.Err() == nil; i++ {
							flood.Go(func() {
								switch got := f.outcome(t, unsigned(fmt.Sprintf("jwk-test-x%d", i))); got {
								case "unknown":
									told[0].Add(1)
								case "unavailable":
									told[1].Add(1)
								default:
									t.Errorf("an unknown key is %s", got)
								}
							})
							advanceAlone(2 * time.Millisecond)
						}
					})
					known := func() {
						since := time.Now()
						f.want(t, token("a"), "accepted")
						if d := time.Since(since); d != 0 {
							t.Errorf("a known key waited %s", d)
						}
					}
					for time.Since(began) < at {
						known()
						advanceAlone(100 * time.Millisecond)
					}
					f.slow(300*time.Millisecond, after)
					turned := time.Now()
					fresh := signed(otherKey(), header(second), payload(time.Now(), "b"))
					for f.outcome(t, fresh) != "accepted" {
						if name == "with overlap" {
							known()
						}
						if time.Since(turned) > 20*time.Second {
							break
						}
						advanceAlone(100 * time.Millisecond)
					}
					if d := time.Since(turned); d > 11*time.Second {
						t.Errorf("the new key was accepted after %s, want 11s", d)
					}
					want := map[string]string{"with overlap": "accepted", "without overlap": "unavailable"}[name]
					f.want(t, token("a"), want)
					stop()
					flood.Wait()
					for _, d := range f.gaps() {
						if d < 10*time.Second {
							t.Errorf("%s between two fetches", d)
						}
					}
					t.Logf("%d unknown keys were told so, %d were put off; %d fetches", told[0].Load(), told[1].Load(), f.fetches())
				})
			})
		}
	}
}

// unsigned is a token that names a key and is signed with none.
func unsigned(kid string) string { return b64(header(kid)) + ".e30." + noSignature }

var noSignature = b64(string(make([]byte, 256)))

// advanceAlone lets d pass without waiting for the goroutines that make the
// flood.
func advanceAlone(d time.Duration) { <-time.After(d) }

// Whatever is sent, nothing of it is kept but verified tokens, up to the size
// of the cache, and no goroutine waits for long.
func TestFloodIsNotKept(t *testing.T) {
	requests := 100_000
	if testing.Short() {
		requests = 20_000
	}
	synctest.Test(t, func(t *testing.T) {
		f := start(t, func(c *jwks.Config, _ *endpoint) { c.CacheSize = 100 })
		f.want(t, token("a"), "accepted")
		head := b64(header(kid))
		before := inUse()
		for i := range requests {
			var garbage string
			switch i % 4 {
			case 0:
				garbage = unsigned(fmt.Sprintf("jwk-test-%d", i))
			case 1:
				garbage = b64(fmt.Sprintf(`{"alg":"RS256","kid":"%d","jku":"https://attacker.example/%d"}`, i, i)) + ".e30." + noSignature
			case 2:
				garbage = head + "." + b64(fmt.Sprintf(`{"sub":"%d"}`, i)) + ".AAAA"
			default:
				garbage = fmt.Sprintf("%d.%d.%d", i, i, i)
			}
			if _, err := f.Verify(context.Background(), garbage); err == nil {
				t.Fatal("garbage was accepted")
			}
			if i%1000 == 0 {
				advance(time.Second)
			}
		}
		for i := range 200 {
			f.want(t, token(fmt.Sprint(i)), "accepted")
		}
		grown := int64(inUse()) - int64(before)
		t.Logf("%d tokens of garbage, 200 good ones: %d kept, %d key fetches, heap %+d kB", requests, f.Stats().Tokens, f.fetches(), grown>>10)
		if n := f.Stats().Tokens; n > 100 {
			t.Errorf("%d tokens are kept, want at most 100", n)
		}
		if grown > 2<<20 { // 100 tokens of some 6 kB
			t.Errorf("the heap grew by %d kB", grown>>10)
		}
		if most := 2 + requests/1000/10; f.fetches() > most {
			t.Errorf("%d fetches, want at most %d", f.fetches(), most)
		}
	})
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A set of a hundred thousand keys, or of huge ones, is a fault like others:
// the good keys before it stay, and the body is not read beyond its limit.
func TestHugeKeySets(t *testing.T) {
	for name, set := range map[string]func() string{
		"many keys": func() string {
			all := make([]map[string]any, 10_000)
			for i := range all {
				all[i] = jwk(otherKey(), fmt.Sprintf("jwk-test-%d", i))
			}
			return keySet(all...)
		},
		"a long kid": func() string { return keySet(jwk(otherKey(), string(make([]byte, 2<<20)))) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := start(t)
				body := set()
				f.do(func(*http.Request) (*http.Response, error) { return ok(body), nil })
				advance(17 * time.Minute)
				f.want(t, token("a"), "accepted")
				if s := f.Stats(); s.Keys != 1 || s.Failures == 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}
