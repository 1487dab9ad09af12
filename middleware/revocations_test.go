package middleware_test

import (
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

func TestRevocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := middleware.NewRevocations()
		is := func(id string, want bool) {
			t.Helper()
			if got := r.Has(id); got != want {
				t.Errorf("%s: %v at %s", id, got, time.Now())
			}
		}
		start := time.Now()
		is("a", false)
		if r.Put("a", start.Add(time.Minute)) || !r.Put("a", start.Add(time.Second)) {
			t.Error("Put does not tell what was known")
		}
		is("a", true)
		is("b", false)
		advance(time.Minute - 1)
		is("a", true) // the longer time counts
		advance(1)
		is("a", false)
		if r.Put("a", time.Now().Add(time.Hour)) {
			t.Error("one whose time was over is known")
		}
		is("a", true)
		if n := r.Count(); n != 1 {
			t.Errorf("%d kept", n)
		}
	})
}

// A suspicion ends with its time, when it is taken back, and in the session's
// end, which it never shortens or takes back.
func TestSuspects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := middleware.NewRevocations()
		later := func(d time.Duration) time.Time { return time.Now().Add(d) }
		is := func(id string, suspect, over bool) {
			t.Helper()
			if r.Suspected(id) != suspect || r.Has(id) != over {
				t.Errorf("%s: suspect %v, over %v", id, r.Suspected(id), r.Has(id))
			}
		}
		r.Clear("nobody")
		for _, id := range []string{"a", "b", "c"} {
			r.Suspect(id, later(time.Minute))
			is(id, true, false)
		}
		r.Clear("a")
		is("a", false, false)
		r.Clear("a")
		if r.Put("b", later(time.Second)) {
			t.Error("a suspicion is no end")
		}
		is("b", false, true)
		r.Suspect("b", later(time.Hour))
		is("b", false, true)
		r.Clear("b")
		is("b", false, true)
		advance(time.Second)
		is("b", false, false)
		is("c", true, false)
		advance(time.Minute)
		is("c", false, false)
	})
}

// They are bounded, those that would go first go first, and time makes room.
func TestRevocationsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := middleware.NewRevocations()
		for i := range 100_000 {
			r.Put("session-test-"+strconv.Itoa(i), time.Now().Add(time.Hour+time.Duration(i)*time.Microsecond))
		}
		for i := range 100_000 {
			if !r.Has("session-test-" + strconv.Itoa(i)) {
				t.Fatalf("%d is forgotten, though there is room", i)
			}
		}
		for i := 100_000; i < 150_000; i++ {
			id := "session-test-" + strconv.Itoa(i)
			r.Put(id, time.Now().Add(time.Hour+time.Duration(i)*time.Microsecond))
			if !r.Has(id) {
				t.Fatalf("%s was not kept", id)
			}
		}
		if n := r.Count(); n < 100_000 || n > 101_024 {
			t.Errorf("%d kept", n)
		}
		last := 0
		for i := 100_000; i < 150_000; i++ {
			if r.Has("session-test-" + strconv.Itoa(i)) {
				last++
			}
		}
		if last < 49_900 {
			t.Errorf("%d of the last 50,000 kept", last)
		}
		advance(2 * time.Hour)
		for i := range 1024 { // as many as there are shards: each has its turn
			r.Put("later-"+strconv.Itoa(i), time.Now().Add(time.Minute))
		}
		if n := r.Count(); n != 1024 {
			t.Errorf("%d kept, want the 1,024 that are not over", n)
		}
	})
}

func TestRevocationsAtOnce(t *testing.T) {
	r := middleware.NewRevocations()
	until := time.Now().Add(time.Hour)
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range 2000 {
				id := strconv.Itoa(w) + "-" + strconv.Itoa(i)
				r.Put(id, until)
				if !r.Has(id) || r.Has(id+"x") {
					t.Errorf("%s: %v", id, r.Has(id))
				}
				r.Put("shared", until)
			}
		})
	}
	all.Wait()
	if n := r.Count(); n != 8001 {
		t.Errorf("%d kept", n)
	}
}

// A session that was logged out here stays so for as long as a JWT of it could
// pass, stale ones included.
func TestRevocationOutlivesTheGrace(t *testing.T) {
	inWorld(t, func(c *middleware.Config) { c.DangerouslyServeStale = 10 * time.Minute }, func(w *world) {
		s, other := w.login(), w.login()
		for _, s := range []stytchtest.Session{s, other} {
			w.get(nil, bearer(s.Tokens.SessionJWT))
		}
		if _, err := w.revoke(bearer(s.Tokens.SessionJWT)); err != nil {
			t.Fatal(err)
		}
		w.project.FailAPI(stytchtest.Down())
		served := false
		for range 80 {
			if got := w.get(nil, bearer(s.Tokens.SessionJWT)); got.seen.SessionID != "" {
				t.Fatalf("served after its logout: %+v", got.seen)
			}
			served = served || w.get(nil, bearer(other.Tokens.SessionJWT)).seen.Source == "stale"
			advance(15 * time.Second)
		}
		if !served {
			t.Error("no stale session was served: this shows nothing")
		}
	})
}
