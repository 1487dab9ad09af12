// Package measure times contestants against each other on a machine that is
// not quiet: in turns, several times over, so that a ratio is taken between
// what ran at nearly the same moment.
package measure

import (
	"runtime"
	"slices"
	"time"
)

// Clock says what time a contestant is charged for.
type Clock int

// The clocks. Processor time leaves out what other programs take meanwhile.
const (
	Wall    Clock = iota
	Thread        // processor time of the goroutine that calls Do; on an idle machine the same as Wall
	Process       // processor time of the whole process
)

// now reads c, from some moment on.
func (c Clock) now(start time.Time) time.Duration {
	switch c {
	case Thread:
		return threadTime()
	case Process:
		return processTime()
	}
	return time.Since(start)
}

// Entry is a contestant. Do does its operation n times, and panics if one goes
// wrong.
type Entry struct {
	Name  string
	Clock Clock
	Do    func(n int)
}

// Series is what a contestant took.
type Series struct {
	Name   string
	NS     []float64 // nanoseconds an operation, round by round
	Allocs float64   // an operation
	Bytes  float64   // an operation
}

// Median is the middle of the rounds.
func (s Series) Median() float64 { return Median(s.NS) }

// Options says how long a contest is.
type Options struct {
	Rounds int           // at least 1
	Batch  time.Duration // about how long one contestant runs in one round
	Counts int           // the most operations for counting allocations; 0: none are counted
}

// Contest lets every entry run once in each round.
func Contest(entries []Entry, o Options) []Series {
	all := make([]Series, len(entries))
	counts := make([]int, len(entries))
	for i, e := range entries {
		all[i].Name = e.Name
		counts[i] = calibrate(e, o.Batch)
		if o.Counts > 0 {
			all[i].Allocs, all[i].Bytes = allocations(e.Do, min(counts[i], o.Counts))
		}
	}
	for range o.Rounds {
		for i, e := range entries {
			// Nobody pays for what another left: caches that it filled, branches
			// that it taught, and memory of other sizes or returned to the system,
			// which a short operation would pay for with a third of its time.
			e.Do(counts[i])
			runtime.GC()
			all[i].NS = append(all[i].NS, float64(took(e, counts[i]))/float64(counts[i]))
		}
	}
	return all
}

// took does n operations of e and returns what its clock says.
func took(e Entry, n int) time.Duration {
	if e.Clock == Thread {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	start := time.Now()
	before := e.Clock.now(start)
	e.Do(n)
	return e.Clock.now(start) - before
}

// calibrate returns how many operations fill a batch.
func calibrate(e Entry, batch time.Duration) int {
	for n := 1; ; n *= 4 {
		if took := took(e, n); took >= batch/8 {
			return max(1, int(float64(n)*float64(batch)/float64(took)))
		}
	}
}

func allocations(do func(int), n int) (count, bytes float64) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	do(n)
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n), float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
}

// Ratio is how many times as long a took as b: the median of the rounds'
// ratios, which a change of the machine's load between rounds leaves alone.
func Ratio(a, b Series) float64 {
	ratios := make([]float64, min(len(a.NS), len(b.NS)))
	for i := range ratios {
		ratios[i] = a.NS[i] / b.NS[i]
	}
	return Median(ratios)
}

// Median returns the middle of values, 0 if there are none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// Percentile returns the smallest value that p per cent of values do not
// exceed; values must not be empty.
func Percentile(values []time.Duration, p int) time.Duration {
	s := slices.Sorted(slices.Values(values))
	return s[max(0, (len(s)*p+99)/100-1)]
}
