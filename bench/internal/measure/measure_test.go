package measure_test

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/bench/internal/measure"
)

// advance lets time pass in a synctest bubble; no real time passes.
func advance(d time.Duration) { time.Sleep(d) }

func TestContest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took := func(d time.Duration) func(int) {
			return func(n int) { advance(time.Duration(n) * d) }
		}
		var sink []byte
		entries := []measure.Entry{
			{Name: "fast", Do: took(time.Microsecond)},
			{Name: "slow", Do: took(3 * time.Microsecond)},
			{Name: "allocating", Do: func(n int) {
				for range n {
					sink = make([]byte, 1024)
				}
				advance(time.Duration(n) * time.Microsecond)
			}},
		}
		got := measure.Contest(entries, measure.Options{Rounds: 5, Batch: 10 * time.Millisecond, Counts: 100})
		_ = sink
		for i, want := range []struct {
			name string
			ns   float64
		}{{"fast", 1000}, {"slow", 3000}, {"allocating", 1000}} {
			s := got[i]
			if s.Name != want.name || len(s.NS) != 5 || s.Median() != want.ns {
				t.Errorf("%q: %v, want 5 rounds of %v ns under the name %q", s.Name, s.NS, want.ns, want.name)
			}
		}
		if r := measure.Ratio(got[1], got[0]); r != 3 {
			t.Errorf("slow took %v times as long as fast, want 3", r)
		}
		if a := got[2]; a.Allocs < 1 || a.Allocs > 1.5 || a.Bytes < 1024 || a.Bytes > 1500 {
			t.Errorf("%v allocations of %v bytes an operation, want about 1 of 1024", a.Allocs, a.Bytes)
		}
	})
}

func TestRatioWithinRounds(t *testing.T) {
	// The machine got ten times as slow in the middle: the medians say 5 and
	// 20, each round says 2.
	a := measure.Series{NS: []float64{2, 20, 200}}
	b := measure.Series{NS: []float64{1, 10, 100}}
	if r := measure.Ratio(a, b); r != 2 {
		t.Errorf("ratio %v, want 2", r)
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{7}, 7}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := measure.Median(tt.in); got != tt.want {
			t.Errorf("Median(%v) = %v, want %v", tt.in, got, tt.want)
		}
	}
}

func TestPercentile(t *testing.T) {
	var hundred []time.Duration
	for i := 100; i > 0; i-- {
		hundred = append(hundred, time.Duration(i))
	}
	for _, tt := range []struct {
		in   []time.Duration
		p    int
		want time.Duration
	}{{hundred, 99, 99}, {hundred, 50, 50}, {hundred, 100, 100}, {hundred[:1], 1, 100}, {[]time.Duration{3}, 99, 3}} {
		if got := measure.Percentile(tt.in, tt.p); got != tt.want {
			t.Errorf("Percentile(%d values, %d) = %v, want %v", len(tt.in), tt.p, got, tt.want)
		}
	}
}

// TestClocks holds that processor time is charged to who takes it.
func TestClocks(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has the clocks of the processor")
	}
	spin := func(n int) {
		var x uint64
		for i := range n * 100_000 {
			x = x*31 + uint64(i)
		}
		if x == 1 {
			t.Error("cannot be, and keeps the loop")
		}
	}
	elsewhere := func(n int) {
		done := make(chan bool)
		go func() {
			spin(n)
			close(done)
		}()
		<-done
	}
	got := measure.Contest([]measure.Entry{
		{Name: "here", Clock: measure.Thread, Do: spin},
		{Name: "a fifth here", Clock: measure.Thread, Do: func(n int) { elsewhere(4 * n); spin(n) }},
		{Name: "process", Clock: measure.Process, Do: func(n int) { elsewhere(4 * n); spin(n) }},
	}, measure.Options{Rounds: 5, Batch: 4 * time.Millisecond})
	if r := measure.Ratio(got[1], got[0]); r < 0.5 || r > 2.5 {
		t.Errorf("a thread is charged %v times what it took", r)
	}
	if r := measure.Ratio(got[2], got[0]); r < 2.5 || r > 10 {
		t.Errorf("the process is charged %v times what a thread took, want about 5", r)
	}
}
