package jwks

import (
	"context"
	"crypto/rsa"
	"time"
)

// Keys reads a key set as a fetch does and returns what keyfunc then finds.
func Keys(body []byte) (map[string]*rsa.PublicKey, error) {
	found, _, err := readKeySet(body)
	if err != nil {
		return nil, err
	}
	set, err := newKeySet(found, nil, time.Now())
	if err != nil {
		return nil, err
	}
	keys := make(map[string]*rsa.PublicKey)
	for _, k := range set.keys {
		public, err := set.lookup.Keyfunc(k.asked)
		if err != nil {
			return nil, err
		}
		keys[k.kid] = public.(*rsa.PublicKey)
	}
	return keys, nil
}

// Signed reads a key set as a fetch does and reports whether sig is the signature
// of text by the key named kid, as Verify decides it for a token. The first
// result is false if the key set has no such key that is usable.
func Signed(keySet []byte, kid, text string, sig []byte) (usable, signed bool) {
	found, _, err := readKeySet(keySet)
	if err != nil {
		return false, false
	}
	set, err := newKeySet(found, nil, time.Now())
	if err != nil {
		return false, false
	}
	k := set.byKID(kid, time.Now().UnixNano())
	if k == nil {
		return false, false
	}
	return true, set.signed(k, text, sig)
}

// AwaitLate looks for a key as Verify does for a caller that found no key set
// at all, when the first one came in the meantime.
func (v *Verifier) AwaitLate(ctx context.Context, kid string) error {
	_, _, err := v.keys.await(ctx, kid, nil)
	return err
}

// Cache is the cache of verified tokens by itself.
type Cache struct {
	c   *cache
	key *key
}

// NewCache returns one of that size, whose entries' key is good.
func NewCache(limit int) *Cache {
	k := &key{}
	k.goodUntil.Store(1 << 62)
	return &Cache{newCache(limit), k}
}

// Put keeps a token until then, as if it had been verified at now.
func (c *Cache) Put(token string, until, now int64) {
	header, _, _, _ := split(token)
	e := newEntry(header, token, c.key, time.Time{})
	e.until = until
	c.c.put(e, now)
}

// Get returns until when a token is kept, 0 if it is not.
func (c *Cache) Get(token string) int64 {
	if e := c.c.get(token); e != nil {
		return e.until
	}
	return 0
}

// Sweep drops what is dead by the clock.
func (c *Cache) Sweep() { c.c.sweep() }

// Len is how many tokens the cache believes it holds, Found how many there
// are, and Longest how many are in the longest chain.
func (c *Cache) Len() (held, found, longest int) {
	for i := range c.c.shards {
		for j := range *c.c.shards[i].table.Load() {
			n := 0
			for e := (*c.c.shards[i].table.Load())[j].Load(); e != nil; e = e.next.Load() {
				n++
			}
			found, longest = found+n, max(longest, n)
		}
	}
	return c.c.len(), found, longest
}
