package middleware

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// maxRevocations is how many are kept, and at most one more for each shard.
const maxRevocations = 100_000

// revocations are the ids of sessions that ended, each kept until no JWT of the
// session could pass any more: the time it has. Every request asks for one,
// which takes no lock; a log-out copies the few that share its shard.
type revocations struct {
	seed   maphash.Seed
	n      atomic.Int64
	turn   atomic.Uint64 // of the shards, to be swept
	shards [1024]revocationShard
}

type revocationShard struct {
	ended atomic.Pointer[map[string]time.Time]
	mu    sync.Mutex // of writers
}

func newRevocations() *revocations { return &revocations{seed: maphash.MakeSeed()} }

func (rs *revocations) shard(id string) *revocationShard {
	return &rs.shards[maphash.String(rs.seed, id)%uint64(len(rs.shards))]
}

// has tells whether the session has ended.
func (rs *revocations) has(id string) bool {
	if rs.n.Load() == 0 {
		return false
	}
	ended := rs.shard(id).ended.Load()
	if ended == nil {
		return false
	}
	until, there := (*ended)[id]
	return there && time.Now().Before(until)
}

// put notes that the session has ended, until then or longer, and tells whether
// that was known. Where there are too many, one goes for it: of those in its
// shard the one that would have gone first.
func (rs *revocations) put(id string, until time.Time) (known bool) {
	now := time.Now()
	rs.sweep(now)
	s := rs.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	ended, before := s.live(now)
	longer, known := ended[id]
	if until.After(longer) { // a failed log-out's hour is not cut short
		ended[id] = until
	}
	if rs.n.Load()+int64(len(ended)-before) > maxRevocations {
		first := id
		for other, end := range ended {
			if other != id && (first == id || end.Before(ended[first])) {
				first = other
			}
		}
		if first != id {
			delete(ended, first)
		}
	}
	s.ended.Store(&ended)
	rs.n.Add(int64(len(ended) - before))
	return known
}

// sweep forgets what is over in the shard whose turn it is: after as many
// log-outs as there are shards, nothing is kept of what was over before them.
func (rs *revocations) sweep(now time.Time) {
	s := &rs.shards[rs.turn.Add(1)%uint64(len(rs.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.ended.Load()
	if m == nil {
		return
	}
	for _, until := range *m {
		if now.Before(until) {
			continue
		}
		ended, before := s.live(now)
		s.ended.Store(&ended)
		rs.n.Add(int64(len(ended) - before))
		return
	}
}

// live copies what of the shard is not over, and tells how many it keeps. Its
// lock is held.
func (s *revocationShard) live(now time.Time) (ended map[string]time.Time, kept int) {
	var old map[string]time.Time
	if m := s.ended.Load(); m != nil {
		old = *m
	}
	ended = make(map[string]time.Time, len(old)+1)
	for id, until := range old {
		if now.Before(until) {
			ended[id] = until
		}
	}
	return ended, len(old)
}

// count is how many are kept, some of them perhaps past their time.
func (rs *revocations) count() int { return int(rs.n.Load()) }
