// Package suite runs the comparison: every contest, one after the other, in
// one process.
package suite

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/stytchware/stytchware/bench/internal/load"
	"github.com/stytchware/stytchware/bench/internal/measure"
	"github.com/stytchware/stytchware/bench/internal/peer"
	"github.com/stytchware/stytchware/bench/internal/report"
	"github.com/stytchware/stytchware/stytchtest"
)

// Options says how large a run is.
type Options struct {
	Mode   string        // what the report calls it
	Rounds int           // of every contest
	Batch  time.Duration // about how long a contestant runs in a round
	Turn   int           // sessions taken in turn
	Large  int           // the same with a larger cache; 0: left out
	Crowd  int           // requests at once with one stale JWT
	Crowds int           // how often
	Flood  time.Duration // how long JWTs of unknown keys arrive
	Memory int           // sessions whose memory is measured
	Log    io.Writer     // what goes on
}

// Full, Default and Quick are the sizes that the command offers.
func Full() Options {
	o := Default()
	o.Mode, o.Large, o.Memory = "full", 100_000, 100_000
	return o
}

// Default takes a few minutes.
func Default() Options {
	return Options{Mode: "default", Rounds: 9, Batch: 30 * time.Millisecond, Turn: 10_000,
		Crowd: 1000, Crowds: 5, Flood: 5 * time.Second, Memory: 10_000}
}

// Quick takes less than a minute, and its figures are rough.
func Quick() Options {
	return Options{Mode: "quick", Rounds: 5, Batch: 8 * time.Millisecond, Turn: 1000,
		Crowd: 1000, Crowds: 2, Flood: 2 * time.Second, Memory: 1000}
}

// run is a run in progress.
type run struct {
	Options
	*report.Report
	project  *stytchtest.Project
	api      *peer.API
	peers    []peer.Peer
	sessions []stytchtest.Session // as many as a step has needed so far
	closers  []func()
	series   map[string]measure.Series // by section and name
}

// Run runs the comparison. An error says what could not be set up; a
// contestant that answers wrongly is a panic, because its figures would be
// worth nothing.
func Run(o Options) (*report.Report, error) {
	start := time.Now()
	r := &run{
		Options: o,
		Report:  &report.Report{When: start, Machine: machine(), Mode: o.Mode},
		project: load.NewProject(max(o.Turn, o.Large, o.Memory+extra(o.Memory))),
		series:  map[string]measure.Series{},
	}
	defer func() {
		for _, f := range r.closers {
			f()
		}
	}()
	r.api = peer.Serve(r.project)
	r.closers = append(r.closers, r.api.Close)
	var err error
	if r.peers, err = peer.Others(r.api); err != nil {
		return nil, fmt.Errorf("suite: %w", err)
	}
	for _, step := range []struct {
		name     string
		sessions int
		do       func() error
	}{
		{"in process", o.Turn, r.inProcess},
		{"over HTTP", 1, r.overHTTP},
		{"a thousand at once", 1, r.crowds},
		{"unknown keys", 1, r.flood},
		{"memory", o.Memory + extra(o.Memory), r.memory},
		{"in process, more sessions", o.Large, r.large},
	} {
		if step.sessions == 0 {
			continue // not in this mode
		}
		r.sign(step.sessions)
		r.say("%s", step.name)
		if err := step.do(); err != nil {
			return nil, fmt.Errorf("suite: %s: %w", step.name, err)
		}
	}
	r.targets()
	r.Took = time.Since(start)
	return r.Report, nil
}

// sign makes the sessions that there are not yet. They come when they are
// needed: what ran before ran with a smaller heap.
func (r *run) sign(n int) {
	if more := n - len(r.sessions); more > 0 {
		r.say("signing %d JWTs", more)
		r.sessions = append(r.sessions, load.Sessions(r.project, more)...)
		r.JWTBytes = len(r.sessions[0].Tokens.SessionJWT)
	}
}

func (r *run) say(format string, args ...any) {
	fmt.Fprintf(r.Log, format+" …\n", args...)
}

// contest runs entries against each other and keeps the rows.
func (r *run) contest(section string, entries []measure.Entry, allocations bool) {
	o := measure.Options{Rounds: r.Rounds, Batch: r.Batch}
	if allocations {
		o.Counts = max(2000, r.Turn)
	}
	for _, s := range measure.Contest(entries, o) {
		r.series[section+"/"+s.Name] = s
		row := report.Row{Section: section, Name: s.Name, Median: s.Median(), Rounds: s.NS,
			Counted: allocations, Allocs: s.Allocs, Bytes: s.Bytes}
		row.Least = row.Rounds[0]
		for _, ns := range row.Rounds {
			row.Least = min(row.Least, ns)
		}
		r.Rows = append(r.Rows, row)
	}
}

func (r *run) figure(section, name string, value float64, unit string) {
	r.Figures = append(r.Figures, report.Figure{Section: section, Name: name, Value: value, Unit: unit})
}

func machine() string {
	cpu := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d cores, %s %s", cpu, runtime.GOMAXPROCS(0), runtime.GOOS, runtime.Version())
}
