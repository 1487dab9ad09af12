package suite_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stytchware/stytchware/bench/internal/peer"
	"github.com/stytchware/stytchware/bench/internal/suite"
)

// TestRun runs everything with tiny counts: no figure means anything, but
// every contestant answers, and what is counted is counted.
func TestRun(t *testing.T) {
	const crowd = 30
	r, err := suite.Run(suite.Options{
		Mode: "test", Rounds: 2, Batch: 100 * time.Microsecond, Turn: 20, Large: 30,
		Crowd: crowd, Crowds: 1, Flood: 1200 * time.Millisecond, Memory: 30, Log: io.Discard,
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.JWTBytes < 1500 || r.JWTBytes > 1900 {
		t.Errorf("a JWT of %d bytes is not the workload", r.JWTBytes)
	}
	rows := map[string]int{}
	for _, row := range r.Rows {
		rows[row.Section]++
		if row.Median <= 0 || row.Least <= 0 || row.Least > row.Median || len(row.Rounds) != 2 {
			t.Errorf("%s, %s: %+v", row.Section, row.Name, row)
		}
	}
	for section, want := range map[string]int{
		suite.Floors: 6, suite.Hot: 14, suite.Turn: 14, suite.Large: 4, suite.Refusing: 21, suite.HTTP: 9, suite.Throughput: 9,
	} {
		if rows[section] != want {
			t.Errorf("%s: %d rows, want %d", section, rows[section], want)
		}
	}
	if row, ok := r.Row(suite.Hot, peer.Ours); !ok || !row.Counted || row.Allocs < 1 || row.Bytes < 100 {
		t.Errorf("allocations of one session: %+v", row)
	}

	figures := map[string]float64{}
	for _, f := range r.Figures {
		figures[f.Name] = f.Value
	}
	for name, want := range map[string]float64{
		"calls to Stytch, " + peer.Ours + ", seen before":     1,
		"calls to Stytch, " + peer.Ours + ", not seen before": 1,
		"calls to Stytch, " + peer.StytchBy + ", seen before": crowd,
	} {
		if got, ok := figures[name]; !ok || got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if n := figures["key fetches per cool-down"]; n <= 0 || n > 1 {
		t.Errorf("%v key fetches per cool-down", n)
	}
	if n := figures["requests of the flood answered"]; n < 100 {
		t.Errorf("only %v requests in the flood", n)
	}
	if n := figures["a session"]; n < 100 || n > 100_000 {
		t.Errorf("a session takes %v bytes", n)
	}

	var text strings.Builder
	if err := r.Text(&text, peer.KeyfuncBy); err != nil {
		t.Fatal(err)
	}
	for _, target := range r.Targets {
		if !strings.Contains(text.String(), target.What) {
			t.Errorf("the text does not have the target %q", target.What)
		}
		if target.Want <= 0 {
			t.Errorf("the target %q wants %v", target.What, target.Want)
		}
	}
	if len(r.Targets) != 26 {
		t.Errorf("%d targets, want 26", len(r.Targets))
	}
}

func TestSizes(t *testing.T) {
	for _, o := range []suite.Options{suite.Quick(), suite.Default(), suite.Full()} {
		if o.Rounds < 5 {
			t.Errorf("%s: a median of %d rounds", o.Mode, o.Rounds)
		}
		if o.Crowd != 1000 {
			t.Errorf("%s: a crowd of %d, want 1000", o.Mode, o.Crowd)
		}
	}
	if suite.Full().Large != 100_000 || suite.Full().Memory != 100_000 || suite.Default().Turn != 10_000 {
		t.Error("the sizes are not those of the table")
	}
}
