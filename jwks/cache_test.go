package jwks_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
	"weak"

	"github.com/stytchware/stytchware/jwks"
	"github.com/stytchware/stytchware/sessionctx"
)

func (f *fixture) session(t *testing.T, token string) *sessionctx.Session {
	t.Helper()
	s, err := f.Verify(context.Background(), token)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTokenIsVerifiedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		good := token("a")
		first := f.session(t, good)
		at := time.Now()
		advance(time.Minute)
		if f.session(t, strings.Clone(good)) != first {
			t.Error("a token was verified twice")
		}
		if !first.VerifiedAt().Equal(at) || first.Source() != sessionctx.Local {
			t.Errorf("verified at %s from %s, want %s", first.VerifiedAt(), first.Source(), at)
		}
		if s := f.Stats(); s.Tokens != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// The cache takes a token for another one only if every byte is the same.
func TestWholeTokenIsCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		good := token("a")
		f.want(t, good, "accepted")
		other := token("b")
		cut, otherCut := strings.LastIndexByte(good, '.'), strings.LastIndexByte(other, '.')
		if len(good) != len(other) {
			t.Fatal("the tokens should be of one length")
		}
		f.want(t, other[:otherCut]+good[cut:], "invalid") // signature of a, claims of b
		f.want(t, good[:cut]+other[otherCut:], "invalid")
		for _, i := range []int{0, 50, 500, cut - 1, cut + 1} {
			c := "A"
			if good[i] == 'A' {
				c = "B"
			}
			if got := f.outcome(t, good[:i]+c+good[i+1:]); got == "accepted" {
				t.Errorf("the token with another character %d is accepted", i)
			}
		}
		f.want(t, good, "accepted")
	})
}

// The caller may go on using the memory of the token it passed.
func TestCacheKeepsItsOwnCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		good := token("a")
		memory := []byte(good)
		passed := unsafe.String(&memory[0], len(memory))
		f.want(t, passed, "accepted")
		first := f.session(t, good)
		memory[len(header(kid))*4/3+200] ^= 1
		f.want(t, passed, "invalid")
		if f.session(t, good) != first || first.ID() != "session-test-a" {
			t.Error("the cache changed with the caller's memory")
		}
	})
}

func TestCacheKeepsItsSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 200
		f := start(t, func(c *jwks.Config, _ *endpoint) { c.CacheSize = size })
		tokens := make([]string, 3*size)
		sessions := make([]*sessionctx.Session, size)
		for i := range tokens {
			tokens[i] = token(fmt.Sprint(i))
		}
		for i := range sessions {
			sessions[i] = f.session(t, tokens[i])
		}
		// As many as it is to keep, it keeps.
		for range 2 {
			for i, s := range sessions {
				if f.session(t, tokens[i]) != s {
					t.Fatalf("token %d of %d was dropped", i, size)
				}
			}
		}
		if s := f.Stats(); s.Tokens != size {
			t.Errorf("stats %+v", s)
		}
		for i, token := range tokens {
			s := f.session(t, token)
			if f.session(t, token) != s {
				t.Errorf("token %d displaced itself", i)
			}
			if s := f.Stats(); s.Tokens != size {
				t.Fatalf("stats %+v", s)
			}
		}
	})
}

func TestCacheOfOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, func(c *jwks.Config, _ *endpoint) { c.CacheSize = 1 })
		for i := range 20 {
			token := token(fmt.Sprint(i))
			first := f.session(t, token)
			if f.session(t, token) != first {
				t.Error("the latest token was dropped")
			}
			if s := f.Stats(); s.Tokens != 1 {
				t.Fatalf("stats %+v", s)
			}
		}
	})
}

// Stale tokens are remembered, so that a crowd of requests with one costs one
// verification, but they take no live token's place and go with the next
// refresh.
func TestStaleTokensGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, func(c *jwks.Config, _ *endpoint) { c.CacheSize = 3; c.MaxTokenAge = time.Hour })
		old := func(id string) string { return signed(mainKey(), header(kid), payload(time.Now().Add(-time.Hour), id)) }
		f.want(t, old("x"), "stale")
		f.want(t, old("x"), "stale")
		f.want(t, old("y"), "stale")
		if s := f.Stats(); s.Tokens != 2 {
			t.Errorf("stats %+v", s)
		}
		a, b, c := token("a"), token("b"), token("c")
		first := []*sessionctx.Session{f.session(t, a), f.session(t, b), f.session(t, c)}
		for i, token := range []string{a, b, c} {
			if s := f.session(t, token); s != first[i] {
				t.Errorf("token %d made way for a stale one", i)
			}
		}
		f.want(t, old("z"), "stale")
		for i, token := range []string{a, b, c} {
			if s := f.session(t, token); s != first[i] {
				t.Errorf("token %d made way for a stale one", i)
			}
		}
		if s := f.Stats(); s.Tokens != 3 {
			t.Errorf("stats %+v", s)
		}
		advance(17 * time.Minute)
		if s := f.Stats(); s.Tokens != 0 {
			t.Errorf("after a refresh the cache still has %d tokens, all expired", s.Tokens)
		}
	})
}

// Sessions are never swapped, whatever happens at once.
func TestConcurrentUse(t *testing.T) {

	synctest.Test(t, func(t *testing.T) {
		f := start(t, func(c *jwks.Config, _ *endpoint) {
			c.CacheSize = 20
			c.RefreshInterval = time.Millisecond
			c.Cooldown = time.Millisecond
		})
		ids := make(map[string]string)
		var tokens []string
		for i := range 60 {
			tokens = append(tokens, token(fmt.Sprint(i)))
			ids[tokens[i]] = fmt.Sprintf("session-test-%d", i)
		}
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				for i := range 150 {
					token := tokens[(i*7+g*13)%len(tokens)]
					s, err := f.Verify(context.Background(), token)
					if err != nil || s.ID() != ids[token] {
						t.Errorf("Verify = %v, %v; want %s", s, err, ids[token])
					}
					if i%50 == 0 {
						f.outcome(t, tokenOf("jwk-test-x"))
					}
				}
			})
		}
		wg.Wait()
		if s := f.Stats(); s.Tokens > 20 || s.Tokens < 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// What a session is seldom asked for is read from the token when it is, from
// the cache's own copy, and by many at once.
func TestTextsAreReadLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		memory := []byte(token("a"))
		s := f.session(t, unsafe.String(&memory[0], len(memory)))
		clear(memory)
		proofs := func() {
			if s.ID() != "session-test-a" || s.UserID() != "user-test-16d9ba61-97a1-4ba4-9720-b03761dc50c6" || !s.HasRole("admin") ||
				s.Proof(0).Class() != sessionctx.Account || s.Proof(1).Class() != sessionctx.Phone {
				t.Errorf("%s %s %v", s.ID(), s.UserID(), s.Roles())
			}
		}
		if n := testing.AllocsPerRun(100, proofs); n != 0 {
			t.Errorf("%v allocations", n)
		}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				d := s.Data()
				if d.Attributes != (sessionctx.Attributes{IPAddress: "203.0.113.1", UserAgent: "Mozilla/5.0"}) ||
					d.CustomClaims != `{"plan":"pro","limits":{"seats":12345678901234567890},"beta":true}` || len(d.Factors) != 2 ||
					!strings.HasPrefix(d.Factors[1].Raw, `{"type":"otp",`) || !strings.HasSuffix(d.Factors[1].Raw, `"phone_number":"+12025550162"}}`) {
					t.Errorf("%+v", d)
				}
			})
		}
		all.Wait()
		proofs()
	})
}

// A session that outlives its Verifier keeps nothing of it but what its texts
// are read with.
func TestSessionDoesNotKeepTheVerifier(t *testing.T) {
	var s *sessionctx.Session
	var gone weak.Pointer[jwks.Verifier]
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		s, gone = f.session(t, token("a")), weak.Make(f.Verifier)
	})
	for i := 0; gone.Value() != nil; i++ {
		if i == 10 {
			t.Fatal("the Verifier is still there")
		}
		runtime.GC()
	}
	if s.CustomClaims() != `{"plan":"pro","limits":{"seats":12345678901234567890},"beta":true}` {
		t.Error(s.CustomClaims())
	}
}
