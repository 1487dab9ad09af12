package jwks_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/jwks"
)

// tokenOf is a good token signed with otherKey, which the endpoint does not
// serve at first.
func tokenOf(kid string) string { return signed(otherKey(), header(kid), payload(time.Now(), "b")) }

// retryAfter is what an UnavailableError asks for.
func retryAfter(t *testing.T, err error) time.Duration {
	t.Helper()
	var unavailable *jwks.UnavailableError
	if !errors.As(err, &unavailable) {
		t.Fatalf("error %v, want an UnavailableError", err)
	}
	return unavailable.RetryAfter
}

// all verifies token n times at once, each under its own context, and returns
// how often there was each outcome.
func (f *fixture) all(t *testing.T, n int, token string) map[string]int {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := make(map[string]int)
	for range n {
		wg.Go(func() {
			_, err := f.Verify(t.Context(), token)
			mu.Lock()
			defer mu.Unlock()
			got[outcome(t, err)]++
		})
	}
	wg.Wait()
	return got
}

func TestNewDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		f := start(t, func(_ *jwks.Config, e *endpoint) { e.slow(2500*time.Millisecond, keySet(jwk(mainKey(), kid))) })
		if d := time.Since(began); d != 0 {
			t.Errorf("New took %s", d)
		}
		// A token that comes early waits for the first fetch.
		f.want(t, token("a"), "accepted")
		if d := time.Since(began); d != 2500*time.Millisecond {
			t.Errorf("the first token took %s", d)
		}
		if n := f.fetches(); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

func TestVerifyDoesNotMissTheFirstFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := new(endpoint)
		e.slow(time.Second, keySet(jwk(mainKey(), kid)))
		v, err := jwks.New(jwks.Config{ProjectID: project, HTTPClient: &http.Client{Transport: e}})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		if _, err := v.Verify(context.Background(), token("a")); err != nil { // perhaps before the background has begun
			t.Error(err)
		}
		if n := e.fetches(); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

func TestOutageAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, func(_ *jwks.Config, e *endpoint) { e.fail() })
		began := time.Now()
		_, err := f.Verify(context.Background(), token("a"))
		if d := retryAfter(t, err); d != 2*time.Second {
			t.Errorf("retry after %s, want 2s", d)
		}
		advance(1500 * time.Millisecond)
		_, err = f.Verify(context.Background(), token("a"))
		if d := retryAfter(t, err); d != time.Second {
			t.Errorf("retry after %s, want 1s", d)
		}
		advance(118 * time.Second)
		if n := f.fetches(); n != 60 {
			t.Errorf("%d fetches in two minutes, want 60", n)
		}
		for _, d := range f.gaps() {
			if d != 2*time.Second {
				t.Errorf("%s between two fetches, want 2s", d)
			}
		}
		f.serve(keySet(jwk(mainKey(), kid)))
		f.want(t, token("a"), "unavailable")
		advance(500 * time.Millisecond)
		f.want(t, token("a"), "accepted")
		if d := time.Since(began); d != 2*time.Minute {
			t.Error(d)
		}
		log := f.logs.String()
		if n := strings.Count(log, "cannot fetch the key set"); n != 2 {
			t.Errorf("%d lines about an outage of two minutes, want 2:\n%s", n, log)
		}
		if n := strings.Count(log, "fetched again"); n != 1 || !strings.Contains(log, "failures=60") {
			t.Errorf("the log does not tell of the outage's end:\n%s", log)
		}
	})
}

func TestBackgroundRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		advance(24 * time.Hour)
		gaps := f.gaps()
		if len(gaps) < 24*60/17 {
			t.Fatalf("%d fetches in a day", len(gaps)+1)
		}
		for _, d := range gaps {
			if d < 13*time.Minute+30*time.Second || d > 16*time.Minute+30*time.Second {
				t.Errorf("%s between two fetches, want 15 min ± 10 %%", d)
			}
		}
		if slices.Max(gaps)-slices.Min(gaps) < time.Minute {
			t.Errorf("no jitter: %s to %s", slices.Min(gaps), slices.Max(gaps))
		}
		f.want(t, token("a"), "accepted")
		if log := f.logs.String(); log != "" {
			t.Errorf("the log says %s", log)
		}
	})
}

func TestFetchForUnknownKeyPutsTheNextOneOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		advance(10 * time.Minute)
		f.want(t, tokenOf("jwk-test-x"), "unknown")
		advance(13 * time.Minute)
		if gaps := f.gaps(); len(gaps) != 1 || gaps[0] != 10*time.Minute {
			t.Errorf("the fetches are %s apart", gaps)
		}
		advance(4 * time.Minute)
		if n := f.fetches(); n != 3 {
			t.Errorf("%d fetches, want 3", n)
		}
	})
}

func TestFailedFetchForUnknownKeyIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		advance(time.Minute)
		f.fail()
		f.want(t, tokenOf("jwk-test-x"), "unavailable")
		advance(12 * time.Second)
		if gaps := f.gaps(); len(gaps) != 2 || gaps[1] < 9*time.Second || gaps[1] > 11*time.Second {
			t.Errorf("the fetches are %s apart, want 1m and 10s ± 10 %%", gaps)
		}
	})
}

func TestBackOffAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, func(c *jwks.Config, _ *endpoint) { c.RefreshInterval = 2 * time.Minute })
		f.fail()
		advance(20 * time.Minute)
		gaps := f.gaps()
		for i, want := range []time.Duration{120, 10, 20, 40, 80, 120, 120, 120} {
			want *= time.Second
			if d := gaps[i]; d < want*9/10 || d > want*11/10 {
				t.Errorf("fetch %d came after %s, want %s ± 10 %%: %s", i+1, d, want, gaps)
			}
		}
		f.serve(keySet(jwk(mainKey(), kid)))
		advance(5 * time.Minute)
		f.fail()
		advance(5 * time.Minute)
		gaps = f.gaps()
		if n := len(gaps); n < 12 || !slices.ContainsFunc(gaps[8:], func(d time.Duration) bool { return d < 12*time.Second }) {
			t.Errorf("the back-off did not begin anew: %s", gaps)
		}
		f.want(t, token("a"), "accepted")
	})
}

func TestUnknownKeyCoolsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		// The first background fetch counts as the last one's start.
		advance(2500 * time.Millisecond)
		_, err := f.Verify(context.Background(), tokenOf("jwk-test-x"))
		if d := retryAfter(t, err); d != 8*time.Second || outcome(t, err) != "unavailable" {
			t.Errorf("%v, retry after %s, want 8s", err, d)
		}
		advance(7500*time.Millisecond - 1)
		f.want(t, tokenOf("jwk-test-x"), "unavailable")
		if n := f.fetches(); n != 1 {
			t.Errorf("%d fetches", n)
		}
		advance(1)
		f.want(t, tokenOf("jwk-test-x"), "unknown")
		f.want(t, tokenOf("jwk-test-x"), "unavailable")
		if n := f.fetches(); n != 2 {
			t.Errorf("%d fetches", n)
		}
		f.want(t, token("a"), "accepted")
	})
}

// A fetch that ends between a caller's look at the keys and its wait for new
// ones is as good as one that it joined, though the cool-down runs.
func TestFetchThatEndsInBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		if err := f.AwaitLate(context.Background(), kid); err != nil {
			t.Error(err)
		}
		if err := f.AwaitLate(context.Background(), "jwk-test-x"); outcome(t, err) != "unknown" {
			t.Error(err)
		}
		if n := f.fetches(); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

func TestFloodOfUnknownKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		flood := make([]string, 50)
		for i := range flood {
			flood[i] = tokenOf(fmt.Sprintf("jwk-test-x%d", i))
		}
		for range 600 { // 5 minutes, 100 a second
			for _, token := range flood {
				if got := f.outcome(t, token); got != "unavailable" && got != "unknown" {
					t.Fatalf("a forged kid is %s", got)
				}
			}
			advance(500 * time.Millisecond)
		}
		if n := f.fetches(); n > 31 {
			t.Errorf("%d fetches in 5 minutes, want one per 10 s", n)
		}
		for _, d := range f.gaps() {
			if d < 10*time.Second {
				t.Errorf("%s between two fetches", d)
			}
		}
	})
}

func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		advance(time.Minute)
		f.slow(time.Second, keySet(jwk(mainKey(), kid), jwk(otherKey(), "jwk-test-2")))
		if got := f.all(t, 1000, tokenOf("jwk-test-2")); got["accepted"] != 1000 {
			t.Errorf("a thousand tokens of a new key: %v", got)
		}
		if n := f.fetches(); n != 2 {
			t.Errorf("%d fetches, want 2", n)
		}
		f.want(t, token("a"), "accepted")
	})
}

func TestThousandUnknownKeysAreOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		advance(time.Minute)
		f.slow(time.Second, keySet(jwk(mainKey(), kid)))
		if got := f.all(t, 1000, tokenOf("jwk-test-2")); got["unknown"] != 1000 {
			t.Errorf("a thousand tokens of an unknown key: %v", got)
		}
		if n := f.fetches(); n != 2 {
			t.Errorf("%d fetches, want 2", n)
		}
	})
}

func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		advance(time.Minute)
		f.slow(4*time.Second, keySet(jwk(mainKey(), kid), jwk(otherKey(), "jwk-test-2")))
		began := time.Now()
		if got := f.all(t, 10, tokenOf("jwk-test-2")); got["unavailable"] != 10 {
			t.Errorf("ten tokens while a fetch takes long: %v", got)
		}
		if d := time.Since(began); d != 3*time.Second {
			t.Errorf("they waited %s, want 3s", d)
		}
		// Joining the same fetch late, it ends in time.
		f.want(t, tokenOf("jwk-test-2"), "accepted")
		if d := time.Since(began); d != 4*time.Second {
			t.Errorf("the fetch ended after %s", d)
		}
		if n := f.fetches(); n != 2 {
			t.Errorf("%d fetches, want 2", n)
		}
	})
}

func TestRetryAfterIsAtLeastASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, func(c *jwks.Config, _ *endpoint) { c.Cooldown = 100 * time.Millisecond })
		advance(time.Minute)
		f.slow(time.Minute, "")
		_, err := f.Verify(context.Background(), tokenOf("jwk-test-2")) // waits for longer than the cool-down
		if d := retryAfter(t, err); d != time.Second {
			t.Errorf("retry after %s, want 1s", d)
		}
	})
}

func TestFetchTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		advance(time.Minute)
		f.slow(time.Hour, "")
		f.want(t, tokenOf("jwk-test-2"), "unavailable")
		advance(2*time.Second - 1)
		if s := f.Stats(); s.Failures != 0 {
			t.Errorf("the fetch failed early: %+v", s)
		}
		began := time.Now()
		_, err := f.Verify(context.Background(), tokenOf("jwk-test-2"))
		if d := retryAfter(t, err); d != 5*time.Second {
			t.Errorf("retry after %s, want the rest of the cool-down, 5s", d)
		}
		if d := time.Since(began); d != 1 {
			t.Errorf("the fetch took %s longer", d)
		}
		if s := f.Stats(); s.Failures != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestCallerWhoLeavesHurtsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		advance(time.Minute)
		f.slow(2*time.Second, keySet(jwk(mainKey(), kid), jwk(otherKey(), "jwk-test-2")))
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { // starts the fetch
			_, err := f.Verify(ctx, tokenOf("jwk-test-2"))
			if outcome(t, err) != "unavailable" || !errors.Is(err, context.Canceled) {
				t.Errorf("the caller that left got %v", err)
			}
			if d := retryAfter(t, err); d < time.Second {
				t.Errorf("retry after %s", d)
			}
		})
		synctest.Wait()
		wg.Go(func() { f.want(t, tokenOf("jwk-test-2"), "accepted") })
		advance(time.Second)
		cancel()
		wg.Wait()
		if n := f.fetches(); n != 2 {
			t.Errorf("%d fetches, want 2", n)
		}
		// Who has left already can still have what needs no waiting.
		if _, err := f.Verify(ctx, token("a")); err != nil {
			t.Error(err)
		}
		// A caller that is cut off by its deadline is told so too.
		advance(time.Minute)
		f.slow(2*time.Second, "")
		late, stop := context.WithTimeout(context.Background(), time.Second)
		defer stop()
		if _, err := f.Verify(late, tokenOf("jwk-test-3")); outcome(t, err) != "unavailable" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the caller with a deadline got %v", err)
		}
	})
}

func TestKnownKeyNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		f.slow(time.Hour, "")
		advance(17 * time.Minute) // into or after the background's attempt
		go f.outcome(t, tokenOf("jwk-test-x"))
		synctest.Wait()
		began := time.Now()
		for i := range 10 {
			f.want(t, token(fmt.Sprint(i)), "accepted")
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("known keys waited %s", d)
		}
		advance(10 * time.Second)
	})
}

func TestRetiredKeyKillsItsTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		both := keySet(jwk(mainKey(), kid), jwk(otherKey(), "jwk-test-2"))
		f := start(t, func(c *jwks.Config, e *endpoint) {
			e.serve(both)
			c.RefreshInterval = time.Minute
		})
		mine, other := token("a"), tokenOf("jwk-test-2")
		f.want(t, mine, "accepted")
		f.want(t, other, "accepted")
		first := f.session(t, mine)

		f.serve(keySet(jwk(mainKey(), kid)))
		advance(66 * time.Second)
		f.want(t, mine, "accepted")
		if f.session(t, mine) != first {
			t.Error("the token of the key that stayed was verified again")
		}
		if got := f.outcome(t, other); got != "unavailable" && got != "unknown" {
			t.Errorf("the token of the retired key is %s", got)
		}
		// The key comes back; then its tokens are verified anew.
		f.serve(both)
		advance(66 * time.Second)
		if at := f.session(t, other).VerifiedAt(); !at.Equal(time.Now()) {
			t.Errorf("verified at %s, now it is %s", at, time.Now())
		}
		// Another key takes the name.
		f.serve(keySet(jwk(mainKey(), kid), jwk(mainKey(), "jwk-test-2")))
		advance(66 * time.Second)
		f.want(t, other, "invalid")
	})
}

// A token that has gone stale in the cache is told to be stale only while its
// key is good.
func TestStaleTokenOfRetiredKeyIsNotStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, func(c *jwks.Config, e *endpoint) {
			e.serve(keySet(jwk(mainKey(), kid), jwk(otherKey(), "jwk-test-2")))
			c.RefreshInterval = 10 * time.Minute
		})
		other := tokenOf("jwk-test-2")
		f.want(t, other, "accepted")
		advance(6 * time.Minute)
		f.want(t, other, "stale")
		f.serve(keySet(jwk(mainKey(), kid)))
		advance(6 * time.Minute)
		if got := f.outcome(t, other); got != "unavailable" && got != "unknown" {
			t.Errorf("the stale token of the retired key is %s", got)
		}
	})
}

func TestKeysAreNotUsedAfterADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, func(c *jwks.Config, _ *endpoint) { c.MaxTokenAge = time.Hour })
		f.fail()
		advance(24*time.Hour - time.Minute)
		long := signed(mainKey(), header(kid), edit(t, payload(time.Now(), "a"), fmt.Sprintf(`"exp":%d`, time.Now().Unix()+300), `"exp":253402300799`))
		f.want(t, long, "accepted")
		advance(time.Minute - 1)
		f.want(t, long, "accepted")
		f.want(t, token("b"), "accepted")
		advance(1)
		f.want(t, long, "unavailable")
		f.want(t, token("b"), "unavailable")
		if s := f.Stats(); s.Keys != 0 || s.Failures == 0 {
			t.Errorf("stats %+v", s)
		}
		// Now it is as if there had never been a key: a try every 2 s.
		advance(20 * time.Minute)
		before := f.fetches()
		advance(time.Minute)
		if n := f.fetches() - before; n != 30 {
			t.Errorf("%d fetches in a minute, want 30", n)
		}
		f.serve(keySet(jwk(mainKey(), kid)))
		advance(2 * time.Second)
		f.want(t, long, "accepted")
	})
}

func TestBrokenTransport(t *testing.T) {
	for name, broken := range map[string]func(*http.Request) (*http.Response, error){
		"panic":     func(*http.Request) (*http.Response, error) { panic("\x1b[31mboom\nlevel=INFO msg=forged") },
		"nil panic": func(*http.Request) (*http.Response, error) { panic(error(nil)) },
		"goexit":    func(*http.Request) (*http.Response, error) { runtime.Goexit(); return nil, nil },
		"nothing":   func(*http.Request) (*http.Response, error) { return nil, nil },
		"error": func(*http.Request) (*http.Response, error) {
			return nil, errors.New("\x1b[31mboom\nlevel=INFO msg=forged")
		},
		"body":        func(*http.Request) (*http.Response, error) { r := ok(""); r.Body = panicBody{}; return r, nil },
		"long error":  func(*http.Request) (*http.Response, error) { return nil, errors.New(strings.Repeat("é", 10_000)) },
		"status 500":  status(500),
		"status 404":  status(404),
		"status 201":  status(201),
		"status 204":  status(204),
		"status 206":  status(206),
		"status 301":  status(301),
		"status 1000": status(1000),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := start(t)
				good := token("a")
				f.want(t, good, "accepted")
				advance(time.Minute)
				f.do(broken)
				f.want(t, tokenOf("jwk-test-2"), "unavailable")
				f.want(t, good, "accepted")
				f.want(t, token("b"), "accepted")
				synctest.Wait() // for the log, which nobody waits for
				log := f.logs.String()
				if strings.Count(log, "\n") != 1 || strings.ContainsAny(log, "\x1b") || len(log) > 2000 {
					t.Errorf("the log is %q", log)
				}
				f.serve(keySet(jwk(otherKey(), "jwk-test-2")))
				advance(12 * time.Second)
				f.want(t, tokenOf("jwk-test-2"), "accepted")
			})
		})
	}
}

func status(code int) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		r := ok(keySet(jwk(otherKey(), "jwk-test-2")))
		r.StatusCode = code
		r.Header.Set("Location", "https://attacker.example/")
		return r, nil
	}
}

type panicBody struct{}

func (panicBody) Read([]byte) (int, error) { panic("boom") }
func (panicBody) Close() error             { return nil }

func TestLoggerThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, func(c *jwks.Config, e *endpoint) {
			c.Logger = slog.New(panicHandler{})
			e.fail()
		})
		f.serve(keySet(jwk(mainKey(), kid)))
		advance(2 * time.Second)
		f.want(t, token("a"), "accepted")
	})
}

type panicHandler struct{ slog.Handler }

func (panicHandler) Enabled(context.Context, slog.Level) bool  { return true }
func (panicHandler) Handle(context.Context, slog.Record) error { panic("boom") }

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		good := token("a")
		f.want(t, good, "accepted")
		advance(time.Minute)
		f.slow(time.Hour, "")
		began := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { f.want(t, tokenOf("jwk-test-x"), "unavailable") }) // waits for a fetch
		synctest.Wait()
		for range 3 {
			wg.Go(func() {
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		f.want(t, good, "accepted")
		f.want(t, token("b"), "accepted")
		f.want(t, tokenOf("jwk-test-x"), "unavailable")
		if d := time.Since(began); d != 0 {
			t.Errorf("Close and what it ended took %s", d)
		}
		if log := f.logs.String(); log != "" {
			t.Errorf("the log says %s", log)
		}
		before := f.fetches()
		advance(time.Hour) // the bubble would not end if a goroutine were left
		if n := f.fetches(); n != before {
			t.Errorf("%d fetches after Close", n-before)
		}
		f.want(t, tokenOf("jwk-test-x"), "unavailable")
	})
}

func TestCloseAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := new(endpoint)
		e.slow(time.Hour, "")
		v, err := jwks.New(jwks.Config{ProjectID: project, HTTPClient: &http.Client{Transport: e}})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
		if _, err := v.Verify(context.Background(), token("a")); outcome(t, err) != "unavailable" {
			t.Error(err)
		}
	})
}

func TestVerifiersShareNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := start(t)
		b := start(t, func(_ *jwks.Config, e *endpoint) { e.serve(keySet(jwk(otherKey(), kid))) })
		good := token("a")
		a.want(t, good, "accepted")
		b.want(t, good, "invalid")
		if s := b.Stats(); s.Tokens != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}
