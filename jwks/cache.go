package jwks

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stytchware/stytchware/sessionctx"
)

// entry is a token whose signature verified and whose claims are well formed.
// But for its place in the cache it is immutable. Whether it is accepted now
// is [entry.at].
type entry struct {
	hash        uint64
	next        atomic.Pointer[entry] // in the bucket
	head        string                // the token's header segment, shared by all with the same one
	rest        string                // the token after the first dot
	session     *sessionctx.Session
	key         *key
	from, until int64 // Unix nanoseconds: accepted from ≤ now < until
	iat         int64 // in seconds
	iatNanos    int32 // the rest of it
}

// is reports whether e is exactly token.
func (e *entry) is(token string) bool {
	h := len(e.head)
	return len(token) == h+1+len(e.rest) && token[h+1:] == e.rest && token[h] == '.' && token[:h] == e.head
}

func (e *entry) issuedAt() time.Time { return time.Unix(e.iat, int64(e.iatNanos)).UTC() }

// at decides by the clock.
func (e *entry) at(now int64) (*sessionctx.Session, error) {
	if now >= e.until || now < e.from {
		return nil, &StaleError{Session: e.session, IssuedAt: e.issuedAt(), Ahead: now < e.until}
	}
	return e.session, nil
}

// dead reports whether e can no longer be accepted.
func (e *entry) dead(now int64) bool { return now >= e.until || !e.key.good(now) }

// cache keeps verified tokens, at most limit of them but for those that are
// being put. Entries that are dead may stay until they are in the way: a stale
// token that comes again is then told to be stale without verifying it again.
//
// It is a hash table with chains, in shards. Reading takes no lock and writes
// nothing, so that cores that read the same entry do not wait for each other.
// A reader may miss an entry that is being moved; its token is then verified
// again. It never finds another's: the whole token is compared.
type cache struct {
	seed   maphash.Seed
	limit  int64
	count  atomic.Int64
	shards [64]shard
}

// shard is the entries whose hashes have the same lowest bits.
type shard struct {
	table atomic.Pointer[table]
	mu    sync.Mutex // of writers
	count int
	_     [40]byte // one shard per cache line
}

// table is the first entry of each bucket; their number is a power of two.
type table []atomic.Pointer[entry]

func (t table) bucket(hash uint64) *atomic.Pointer[entry] {
	return &t[hash>>shardBits&uint64(len(t)-1)]
}

const shardBits = 6

func newCache(limit int) *cache {
	c := &cache{seed: maphash.MakeSeed(), limit: int64(limit)}
	for i := range c.shards {
		t := make(table, 1)
		c.shards[i].table.Store(&t)
	}
	return c
}

// tail is how much of a token is hashed: the end of its signature, which
// differs between any two tokens that verify. What a forger makes of it does
// not matter, because get compares the whole token and only verified ones are
// put.
const tail = 32

func (c *cache) hash(token string) uint64 {
	return maphash.String(c.seed, token[max(0, len(token)-tail):])
}

func (c *cache) shard(hash uint64) *shard { return &c.shards[hash%uint64(len(c.shards))] }

func (c *cache) len() int { return int(c.count.Load()) }

// get returns the entry of exactly this token, or nil.
func (c *cache) get(token string) *entry {
	h := c.hash(token)
	for e := c.shard(h).table.Load().bucket(h).Load(); e != nil; e = e.next.Load() {
		if e.hash == h {
			if e.is(token) {
				return e
			}
			return nil
		}
	}
	return nil
}

// put keeps a new e, and drops another entry, preferably a dead one, when
// there are too many. A dead e never displaces another.
func (c *cache) put(e *entry, now int64) {
	e.hash = c.hash(e.rest)
	s := c.shard(e.hash)
	s.mu.Lock()
	if at := s.find(e.hash); at != nil {
		e.next.Store(at.Load().next.Load())
		at.Store(e)
		s.mu.Unlock()
		return
	}
	if c.count.Load() >= c.limit && e.dead(now) {
		s.mu.Unlock()
		return
	}
	c.count.Add(1)
	s.push(e)
	s.mu.Unlock()
	for c.count.Load() > c.limit && c.evict(e.hash, now) {
	}
}

// find returns where the entry with this hash hangs, or nil.
func (s *shard) find(hash uint64) *atomic.Pointer[entry] {
	at := s.table.Load().bucket(hash)
	for e := at.Load(); e != nil; e = at.Load() {
		if e.hash == hash {
			return at
		}
		at = &e.next
	}
	return nil
}

// push adds e, which is not there, to a table that has room for it.
func (s *shard) push(e *entry) {
	t := *s.table.Load()
	if s.count++; s.count > len(t) {
		larger := make(table, 2*len(t))
		for i := range t {
			for e := t[i].Load(); e != nil; {
				next := e.next.Load()
				to := larger.bucket(e.hash)
				e.next.Store(to.Load())
				to.Store(e)
				e = next
			}
		}
		s.table.Store(&larger)
		t = larger
	}
	to := t.bucket(e.hash)
	e.next.Store(to.Load())
	to.Store(e)
}

// drop takes the entry out that hangs at at. Its next stays: a reader may be
// on its way through it.
func (c *cache) drop(s *shard, at *atomic.Pointer[entry]) {
	at.Store(at.Load().next.Load())
	s.count--
	c.count.Add(-1)
}

// sample is how many entries evict looks at.
const sample = 8

// evict drops one entry other than keep. It samples a few entries after keep,
// which is effectively at random, and drops the first dead one, or else the last
// it looked at. It reports whether it found any.
func (c *cache) evict(keep uint64, now int64) bool {
	var victim uint64
	looked := 0
	for i := uint64(0); i < uint64(len(c.shards)) && looked < sample; i++ {
		t := *c.shard(keep + i).table.Load()
		for j := uint64(0); j < uint64(len(t)) && looked < sample; j++ {
			for e := t.bucket(keep + (j+1)<<shardBits).Load(); e != nil && looked < sample; e = e.next.Load() {
				if e.hash == keep {
					continue
				}
				victim = e.hash
				if looked++; e.dead(now) {
					looked = sample
				}
			}
		}
	}
	if looked == 0 {
		return false
	}
	s := c.shard(victim)
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.find(victim); at != nil && c.count.Load() > c.limit {
		c.drop(s, at)
	}
	return true
}

// sweep drops every dead entry.
func (c *cache) sweep() {
	now := time.Now().UnixNano()
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		t := *s.table.Load()
		for j := range t {
			for at := &t[j]; at.Load() != nil; {
				if e := at.Load(); e.dead(now) {
					c.drop(s, at)
				} else {
					at = &e.next
				}
			}
		}
		s.mu.Unlock()
	}
}

// newEntry returns the entry of a token that k verified. The caller's string
// may be a slice of a larger one, so it is copied.
func newEntry(header, token string, k *key, issuedAt time.Time) *entry {
	return &entry{
		head:     k.remember(header),
		rest:     strings.Clone(token[len(header)+1:]),
		key:      k,
		iat:      issuedAt.Unix(),
		iatNanos: int32(issuedAt.Nanosecond()),
	}
}
