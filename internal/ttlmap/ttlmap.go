// Package ttlmap is a bounded map whose entries expire.
package ttlmap

import (
	"sync"
	"sync/atomic"
	"time"
)

// Map holds at most a fixed number of entries; each is gone once its time is
// over. Safe for concurrent use. It runs no goroutine: expired entries make
// room when a new one needs it.
type Map[K comparable, V any] struct {
	max int
	n   atomic.Int64 // len(m), readable without the lock
	mu  sync.RWMutex
	m   map[K]entry[V]
}

type entry[V any] struct {
	v   V
	end time.Time
}

// New returns a Map of at most max entries, at least one.
func New[K comparable, V any](max int) *Map[K, V] {
	return &Map[K, V]{max: max, m: make(map[K]entry[V])}
}

// Get returns the value under k unless it has expired.
func (t *Map[K, V]) Get(k K) (v V, ok bool) {
	if t.n.Load() == 0 {
		return v, false
	}
	t.mu.RLock()
	e, ok := t.m[k]
	t.mu.RUnlock()
	if !ok || !time.Now().Before(e.end) {
		return v, false
	}
	return e.v, true
}

// Put stores v under k until end. If the map is full something goes that has
// expired or, of a few entries, ends first.
func (t *Map[K, V]) Put(k K, v V, end time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, there := t.m[k]; !there && len(t.m) >= t.max {
		t.evict()
	}
	t.m[k] = entry[V]{v, end}
	t.n.Store(int64(len(t.m)))
}

// sample is how many entries an eviction looks at. Iteration starts at a
// random place, so that over time all are looked at.
const sample = 16

func (t *Map[K, V]) evict() {
	now := time.Now()
	var first K
	var end time.Time
	seen, gone := 0, false
	for k, e := range t.m {
		if !now.Before(e.end) {
			delete(t.m, k)
			gone = true
		} else if end.IsZero() || e.end.Before(end) {
			first, end = k, e.end
		}
		if seen++; seen == sample {
			break
		}
	}
	if !gone {
		delete(t.m, first)
	}
}

// Delete removes k.
func (t *Map[K, V]) Delete(k K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.m, k)
	t.n.Store(int64(len(t.m)))
}

// Len returns the number of entries, expired ones that still take room
// included.
func (t *Map[K, V]) Len() int { return int(t.n.Load()) }
