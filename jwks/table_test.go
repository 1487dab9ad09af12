package jwks_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stytchware/stytchware/jwks"
)

func tokenNumber(i int) string {
	return fmt.Sprintf("aGVhZGVy%d.cGF5bG9hZA%d.%s%032d", i%3, i, strings.Repeat("c2ln", 10), i)
}

// The table grows and is emptied under readers and writers; each token is found
// with what was put for it and nothing else, and the counts stay right.
func TestTableUnderReadersAndWriters(t *testing.T) {
	const many, limit = 20_000, 5000
	c := jwks.NewCache(limit)
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for n := range 30_000 {
				i := r.IntN(many) + 1
				if n%3 == w%3 {
					c.Put(tokenNumber(i), int64(i), 0)
				} else if got := c.Get(tokenNumber(i)); got != 0 && got != int64(i) {
					t.Errorf("token %d is taken for %d", i, got)
				}
				if n == 20_000 && w == 0 {
					c.Sweep() // by the real clock all are dead
				}
			}
		})
	}
	all.Wait()
	held, found, longest := c.Len()
	if held != found || held > limit {
		t.Errorf("%d held, %d found, at most %d wanted", held, found, limit)
	}
	if longest > 16 {
		t.Errorf("a chain of %d", longest)
	}
	c.Sweep()
	if held, found, _ := c.Len(); held != 0 || found != 0 {
		t.Errorf("after a sweep %d held, %d found", held, found)
	}
}

// What fits stays, whatever is looked up and however the table grew.
func TestTableKeepsWhatFits(t *testing.T) {
	for _, n := range []int{1, 2, 63, 64, 65, 1000, 4096} {
		c := jwks.NewCache(n)
		for i := range n {
			c.Put(tokenNumber(i), 1+int64(i), 0)
		}
		for i := range n {
			if got := c.Get(tokenNumber(i)); got != 1+int64(i) {
				t.Fatalf("token %d of %d: %d", i, n, got)
			}
		}
		if held, found, _ := c.Len(); held != n || found != n {
			t.Errorf("%d held, %d found, want %d", held, found, n)
		}
		c.Put(tokenNumber(0), 77, 0) // the same again takes the place of the old one
		if got := c.Get(tokenNumber(0)); got != 77 {
			t.Errorf("the newer entry is not found: %d", got)
		}
		c.Put(tokenNumber(n), 99, 0)
		if held, found, _ := c.Len(); held != n || found != n || c.Get(tokenNumber(n)) != 99 {
			t.Errorf("one too many: %d held, %d found, want %d", held, found, n)
		}
		for i := range n {
			like := tokenNumber(i)
			for _, other := range []string{"x" + like, like[1:], like[:9] + "x" + like[10:], strings.Replace(like, ".", "x", 1), like + "x", ""} {
				if got := c.Get(other); got != 0 {
					t.Fatalf("%q is taken for %q", other, like)
				}
			}
		}
	}
}

// A dead token takes no living one's place, and goes first.
func TestTableDropsTheDeadFirst(t *testing.T) {
	const n = 64
	c := jwks.NewCache(n)
	for i := range n {
		until := int64(100)
		if i%2 == 0 {
			until = 10
		}
		c.Put(tokenNumber(i), until, 0)
	}
	c.Put(tokenNumber(n), 5, 50)
	if c.Get(tokenNumber(n)) != 0 {
		t.Error("a dead token was put into a full cache")
	}
	for i := range n / 4 {
		c.Put(tokenNumber(2*n+i), 100, 50)
	}
	living := 0
	for i := 1; i < n; i += 2 {
		if c.Get(tokenNumber(i)) != 0 {
			living++
		}
	}
	if living < n/2-8 { // of eight looked at some are dead, but for bad luck
		t.Errorf("%d of %d living tokens stayed", living, n/2)
	}
}
