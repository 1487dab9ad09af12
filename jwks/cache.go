package jwks

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stytchware/stytchware/sessionctx"
)

// entry is a token whose signature verified and whose claims are well formed.
// It is immutable. Whether it is accepted now is [entry.at].
type entry struct {
	token       string
	session     *sessionctx.Session
	key         *key
	issuedAt    time.Time
	from, until int64 // Unix nanoseconds: accepted from ≤ now < until
}

// at decides by the clock.
func (e *entry) at(now int64) (*sessionctx.Session, error) {
	if now >= e.until || now < e.from {
		return nil, &StaleError{Session: e.session, IssuedAt: e.issuedAt, Ahead: now < e.until}
	}
	return e.session, nil
}

// dead tells whether e can no longer be accepted.
func (e *entry) dead(now int64) bool { return now >= e.until || !e.key.good(now) }

// cache keeps verified tokens, at most limit of them. Entries that are dead
// may stay until they are in the way: a stale token that comes again is then
// told to be stale without verifying it again.
type cache struct {
	seed   maphash.Seed
	limit  int64
	count  atomic.Int64
	shards [64]shard
}

type shard struct {
	mu      sync.RWMutex
	entries map[uint64]*entry
	_       [32]byte // one shard per cache line
}

func newCache(limit int) *cache {
	c := &cache{seed: maphash.MakeSeed(), limit: int64(limit)}
	for i := range c.shards {
		c.shards[i].entries = make(map[uint64]*entry)
	}
	return c
}

// tail is how much of a token is hashed: the end of its signature, which
// differs between any two tokens that verify. What a forger makes of it does
// not matter, because get compares the whole token and only verified ones are
// put.
const tail = 64

func (c *cache) hash(token string) uint64 {
	return maphash.String(c.seed, token[max(0, len(token)-tail):])
}

func (c *cache) shard(hash uint64) *shard { return &c.shards[hash%uint64(len(c.shards))] }

func (c *cache) len() int { return int(c.count.Load()) }

// get returns the entry of exactly this token, or nil.
func (c *cache) get(token string) *entry {
	h := c.hash(token)
	s := c.shard(h)
	s.mu.RLock()
	e := s.entries[h]
	s.mu.RUnlock()
	if e == nil || e.token != token {
		return nil
	}
	return e
}

// put keeps e, and drops another entry, preferably a dead one, when there are
// too many. A dead e never displaces another.
func (c *cache) put(e *entry, now int64) {
	h := c.hash(e.token)
	s := c.shard(h)
	s.mu.Lock()
	_, had := s.entries[h]
	if !had {
		if c.count.Load() >= c.limit && e.dead(now) {
			s.mu.Unlock()
			return
		}
		c.count.Add(1)
	}
	s.entries[h] = e
	s.mu.Unlock()
	for c.count.Load() > c.limit && c.evict(h, now) {
	}
}

// sample is how many entries evict looks at.
const sample = 8

// evict drops one entry, but not keep: the first dead one among a few, taken
// from the shard of keep and the ones after it in the random order in which a
// map is ranged over, or else the last of those. It reports whether it found
// any.
func (c *cache) evict(keep uint64, now int64) bool {
	var victim uint64
	looked := 0
	for i := uint64(0); i < uint64(len(c.shards)) && looked < sample; i++ {
		s := c.shard(keep + i)
		s.mu.Lock()
		for h, e := range s.entries {
			if h == keep {
				continue
			}
			victim = h
			if looked++; looked >= sample || e.dead(now) {
				looked = sample
				break
			}
		}
		s.mu.Unlock()
	}
	if looked == 0 {
		return false
	}
	s := c.shard(victim)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.entries[victim]; there && c.count.Load() > c.limit {
		delete(s.entries, victim)
		c.count.Add(-1)
	}
	return true
}

// sweep drops every dead entry.
func (c *cache) sweep() {
	now := time.Now().UnixNano()
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for h, e := range s.entries {
			if e.dead(now) {
				delete(s.entries, h)
				c.count.Add(-1)
			}
		}
		s.mu.Unlock()
	}
}
