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

// put keeps e, and drops another entry, a dead one rather than a live one,
// when there are too many. A dead e never displaces another.
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
	for i := h; c.count.Load() > c.limit && i-h < uint64(len(c.shards)); i++ {
		c.evict(c.shard(i), h, now)
	}
}

// evict drops one entry of s, but not keep: the first dead one among a few,
// in the random order in which a map is ranged over, or else one of those.
func (c *cache) evict(s *shard, keep uint64, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	victim, found, looked := uint64(0), false, 0
	for h, e := range s.entries {
		if h == keep {
			continue
		}
		victim, found = h, true
		if looked++; looked == 8 || e.dead(now) {
			break
		}
	}
	if found && c.count.Load() > c.limit {
		delete(s.entries, victim)
		c.count.Add(-1)
	}
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
