package ttlmap_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/internal/ttlmap"
)

func advance(d time.Duration) { time.Sleep(d) } // in a synctest bubble: no real time passes

func TestEntriesExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := ttlmap.New[string, int](4)
		if _, ok := m.Get("a"); ok {
			t.Error("an empty map has an entry")
		}
		m.Put("a", 1, time.Now().Add(10*time.Second))
		m.Put("b", 2, time.Now())
		if _, ok := m.Get("b"); ok {
			t.Error("an entry that ends now is still there")
		}
		advance(10*time.Second - 1)
		if v, ok := m.Get("a"); !ok || v != 1 {
			t.Errorf("before its end: %d, %v", v, ok)
		}
		advance(1)
		if _, ok := m.Get("a"); ok {
			t.Error("an entry outlived its end")
		}
		m.Put("a", 3, time.Now().Add(time.Second))
		if v, _ := m.Get("a"); v != 3 {
			t.Errorf("replaced: %d", v)
		}
		m.Delete("a")
		if _, ok := m.Get("a"); ok {
			t.Error("a deleted entry is there")
		}
	})
}

func TestBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := ttlmap.New[int, int](100)
		m.Put(-1, 0, time.Now().Add(time.Hour)) // the one that ends last
		for i := range 10_000 {
			m.Put(i, i, time.Now().Add(time.Minute))
			if m.Len() > 100 {
				t.Fatalf("%d entries", m.Len())
			}
			if v, ok := m.Get(i); !ok || v != i {
				t.Fatalf("what was just put in is gone: %d", i)
			}
		}
		if _, ok := m.Get(-1); !ok {
			t.Error("the entry that ends last went before those that end first")
		}
		advance(time.Minute)
		m.Put(10_000, 0, time.Now().Add(time.Minute))
		if m.Len() > 100-8 {
			t.Errorf("expired entries stay: %d", m.Len())
		}
	})
}

func TestConcurrent(t *testing.T) {
	m := ttlmap.New[int, int](64)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				m.Put(i%100, i%100, time.Now().Add(time.Minute))
				if v, ok := m.Get((i + g) % 100); ok && v != (i+g)%100 {
					t.Error("another key's value")
				}
				if i%7 == 0 {
					m.Delete(i % 100)
				}
			}
		})
	}
	wg.Wait()
	if m.Len() > 64 {
		t.Errorf("%d entries", m.Len())
	}
}
