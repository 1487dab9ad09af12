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
	shards [1024]struct {
		ended atomic.Pointer[map[string]time.Time]
		mu    sync.Mutex // of writers
	}
}

func newRevocations() *revocations { return &revocations{seed: maphash.MakeSeed()} }

func (rs *revocations) shard(id string) int {
	return int(maphash.String(rs.seed, id) % uint64(len(rs.shards)))
}

// has tells whether the session has ended.
func (rs *revocations) has(id string) bool {
	if rs.n.Load() == 0 {
		return false
	}
	ended := rs.shards[rs.shard(id)].ended.Load()
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
	s := &rs.shards[rs.shard(id)]
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var old map[string]time.Time
	if m := s.ended.Load(); m != nil {
		old = *m
	}
	ended := make(map[string]time.Time, len(old)+1)
	for id, until := range old {
		if now.Before(until) {
			ended[id] = until
		}
	}
	longer, known := ended[id]
	if until.After(longer) { // a failed log-out's hour is not cut short
		ended[id] = until
	}
	if rs.n.Load()+int64(len(ended)-len(old)) > maxRevocations {
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
	rs.n.Add(int64(len(ended) - len(old)))
	return known
}

// count is how many are kept, some of them perhaps past their time.
func (rs *revocations) count() int { return int(rs.n.Load()) }
