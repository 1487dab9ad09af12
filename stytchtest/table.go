package stytchtest

import "container/list"

// table is a map that forgets its oldest entry when it is full.
type table[V any] struct {
	max     int
	order   *list.List // of row[V], oldest first
	entries map[string]*list.Element
}

type row[V any] struct {
	key   string
	value V
}

func newTable[V any](max int) table[V] {
	return table[V]{max, list.New(), map[string]*list.Element{}}
}

func (t *table[V]) get(key string) (v V, ok bool) {
	if e := t.entries[key]; e != nil {
		return e.Value.(row[V]).value, true
	}
	return v, false
}

// add adds an entry that is not there yet, and calls forgotten with the one
// that had to go, if any.
func (t *table[V]) add(key string, v V, forgotten func(V)) {
	if t.order.Len() >= t.max {
		oldest := t.order.Front().Value.(row[V])
		t.remove(oldest.key)
		forgotten(oldest.value)
	}
	t.entries[key] = t.order.PushBack(row[V]{key, v})
}

func (t *table[V]) remove(key string) {
	if e := t.entries[key]; e != nil {
		t.order.Remove(e)
		delete(t.entries, key)
	}
}

// all visits the entries, oldest first; the one visited may be removed.
func (t *table[V]) all(yield func(string, V) bool) {
	for e := t.order.Front(); e != nil; {
		next := e.Next()
		if r := e.Value.(row[V]); !yield(r.key, r.value) {
			return
		}
		e = next
	}
}
