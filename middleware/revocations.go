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

// suspicionRest is for how long Stytch is not asked again about a session that
// is suspect, once it was: who makes it suspect again and again, with an old
// JWT and made-up tokens, does not make it ask all the time.
const suspicionRest = 10 * time.Second

// verdict is a standing and when it ends.
type verdict struct {
	standing standing
	until    time.Time
	first    time.Time // when a suspicion arose
	since    time.Time // when it arose last
	rest     time.Time // until when nobody is asked about it
}

func newRevocations() *revocations { return &revocations{seed: maphash.MakeSeed()} }

func (rs *revocations) shard(id string) *revocationShard {
	return &rs.shards[maphash.String(rs.seed, id)%uint64(len(rs.shards))]
}

// of tells how the session stands; a suspicion that rests is none.
func (rs *revocations) of(id string) standing {
	v := rs.verdict(id)
	if v.standing == suspect && time.Now().Before(v.rest) {
		return unheard
	}
	return v.standing
}

// suspected reports whether the session is suspect, resting or not.
func (rs *revocations) suspected(id string) bool { return rs.verdict(id).standing == suspect }

// doubted reports whether the session is suspect, or was a moment ago: to ask about
// it then is not free for strangers.
func (rs *revocations) doubted(id string) bool {
	v := rs.verdict(id)
	return v.standing == suspect || time.Now().Before(v.rest)
}

func (rs *revocations) verdict(id string) (v verdict) {
	if rs.n.Load() == 0 {
		return v
	}
	ended := rs.shard(id).ended.Load()
	if ended == nil {
		return v
	}
	if known, there := (*ended)[id]; there && time.Now().Before(known.until) {
		v = known
	}
	return v
}

// put records how the session stands until at least the given time, and reports
// how it stood before; one that is over stays so. When there are too many, the
// one of the same shard goes that would have gone first.
func (rs *revocations) put(id string, now standing, until time.Time) (before standing) {
	rs.sweep(time.Now())
	rs.change(id, func(old verdict) verdict {
		before = old.standing
		if old.standing > now {
			return old
		}
		if old.standing == now && old.until.After(until) { // a failed logout's hour is not cut short
			until = old.until
		}
		since := time.Now()
		first := since
		if old.standing == suspect {
			first = old.first
		}
		return verdict{standing: now, until: until, first: first, since: since, rest: old.rest}
	})
	return before
}

// clear takes a suspicion back that arose before Stytch was asked, at began, and
// said that the session lives. Another one rests for a while.
func (rs *revocations) clear(id string, began time.Time) {
	if !rs.suspected(id) {
		return
	}
	rs.change(id, func(old verdict) verdict {
		if old.standing != suspect {
			return old
		}
		rest := time.Now().Add(suspicionRest)
		if old.since.After(began) { // put off, not taken back
			if !old.first.After(began) { // it lived when it had been suspect already
				old.rest = rest
			}
			return old
		}
		return verdict{until: rest, rest: rest}
	})
}

// pause lets a suspicion rest for a while, because Stytch could not be asked.
func (rs *revocations) pause(id string) {
	rs.change(id, func(old verdict) verdict {
		old.rest = time.Now().Add(suspicionRest)
		return old
	})
}

// change replaces what is known of the session; an end that is not to come is
// forgotten.
func (rs *revocations) change(id string, f func(old verdict) verdict) {
	s := rs.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	ended, kept := s.live(now)
	if v := f(ended[id]); now.Before(v.until) {
		ended[id] = v
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
