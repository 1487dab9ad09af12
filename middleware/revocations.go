package middleware

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// maxRevocations is how many are kept, and at most one more for each shard.
const maxRevocations = 100_000

// revocations are the sessions that ended, or may have, by id, each kept until no
// JWT of it could pass any more: the time it has. Every request asks for one,
// which takes no lock; a logout copies the few that share its shard.
type revocations struct {
	seed   maphash.Seed
	n      atomic.Int64
	turn   atomic.Uint64 // of the shards, to be swept
	shards [1024]revocationShard
}

type revocationShard struct {
	ended atomic.Pointer[map[string]verdict]
	mu    sync.Mutex // of writers
}

// standing is what is known of a session.
type standing uint8

const (
	unheard standing = iota // nothing: what its JWT says counts
	suspect                 // it may be over: Stytch is to be asked
	over                    // it is over
)

// verdict is a standing and when it ends.
type verdict struct {
	standing standing
	until    time.Time
}

func newRevocations() *revocations { return &revocations{seed: maphash.MakeSeed()} }

func (rs *revocations) shard(id string) *revocationShard {
	return &rs.shards[maphash.String(rs.seed, id)%uint64(len(rs.shards))]
}

// of tells how the session stands.
func (rs *revocations) of(id string) standing {
	if rs.n.Load() == 0 {
		return unheard
	}
	ended := rs.shard(id).ended.Load()
	if ended == nil {
		return unheard
	}
	v, there := (*ended)[id]
	if !there || !time.Now().Before(v.until) {
		return unheard
	}
	return v.standing
}

// put records how the session stands until at least the given time, and reports
// how it stood before; one that is over stays so. When there are too many, the
// one of the same shard goes that would have gone first.
func (rs *revocations) put(id string, now standing, until time.Time) (before standing) {
	at := time.Now()
	rs.sweep(at)
	s := rs.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	ended, kept := s.live(at)
	old := ended[id]
	if old.standing < now || old.standing == now && old.until.Before(until) { // a failed logout's hour is not cut short
		ended[id] = verdict{now, until}
	}
	if rs.n.Load()+int64(len(ended)-kept) > maxRevocations {
		first := id
		for other, v := range ended {
			if other != id && (first == id || v.until.Before(ended[first].until)) {
				first = other
			}
		}
		if first != id {
			delete(ended, first)
		}
	}
	s.ended.Store(&ended)
	rs.n.Add(int64(len(ended) - kept))
	return old.standing
}

// clear forgets that the session is suspect.
func (rs *revocations) clear(id string) {
	s := rs.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.ended.Load(); m == nil || (*m)[id].standing != suspect {
		return
	}
	ended, kept := s.live(time.Now())
	delete(ended, id)
	s.ended.Store(&ended)
	rs.n.Add(int64(len(ended) - kept))
}

// sweep forgets what is over in the shard whose turn it is: after as many
// logouts as there are shards, nothing is kept of what was over before them.
func (rs *revocations) sweep(now time.Time) {
	s := &rs.shards[rs.turn.Add(1)%uint64(len(rs.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.ended.Load()
	if m == nil {
		return
	}
	for _, v := range *m {
		if now.Before(v.until) {
			continue
		}
		ended, kept := s.live(now)
		s.ended.Store(&ended)
		rs.n.Add(int64(len(ended) - kept))
		return
	}
}

// live copies what of the shard is not over, and tells how many it keeps. Its
// lock is held.
func (s *revocationShard) live(now time.Time) (ended map[string]verdict, kept int) {
	var old map[string]verdict
	if m := s.ended.Load(); m != nil {
		old = *m
	}
	ended = make(map[string]verdict, len(old)+1)
	for id, v := range old {
		if now.Before(v.until) {
			ended[id] = v
		}
	}
	return ended, len(old)
}

// count is how many are kept, some of them perhaps past their time.
func (rs *revocations) count() int { return int(rs.n.Load()) }
