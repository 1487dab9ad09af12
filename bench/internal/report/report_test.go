package report_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stytchware/stytchware/bench/internal/report"
)

var sample = report.Report{
	When: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), Machine: "a machine", Mode: "quick", JWTBytes: 1600, Took: 3 * time.Second,
	Rows: []report.Row{
		{Section: "first", Name: "us", Median: 500, Least: 400, Rounds: []float64{500, 400, 600}, Counted: true, Allocs: 2, Bytes: 400},
		{Section: "first", Name: "them", Median: 100_000, Least: 90_000, Rounds: []float64{100_000}, Counted: true, Allocs: 96, Bytes: 10_856},
		{Section: "second", Name: "us", Median: 2e6, Least: 1e6, Rounds: []float64{2e6}},
	},
	Figures: []report.Figure{{Section: "third", Name: "calls", Value: 1}, {Section: "third", Name: "slowest", Value: 5.25e7, Unit: "ns"}},
	Targets: []report.Target{
		{What: "calls", Got: 1, Want: 1},
		{What: "ratio", Got: 149, Want: 150, Unit: "×", More: true},
	},
}

func TestText(t *testing.T) {
	var b strings.Builder
	if err := sample.Text(&b, "them"); err != nil {
		t.Fatal(err)
	}
	const want = `2026-03-01, a machine, quick, a JWT of 1600 bytes

first
      median   least   ratio  allocs  bytes
  us  500 ns  400 ns  0.005×       2    400
them  100 µs   90 µs      1×      96  10856

second
    median  least  of first
us    2 ms   1 ms        1×

third
  calls        1
slowest  52.5 ms

targets
calls     1      at most 1      met
ratio  149×  at least 150×  NOT MET
1 of 2 met, in 3 s
`
	trimmed := ""
	for line := range strings.Lines(b.String()) {
		trimmed += strings.TrimRight(strings.TrimPrefix(line, "  "), " \n") + "\n"
	}
	if strip(trimmed) != strip(want) {
		t.Errorf("got:\n%s\nwant:\n%s", trimmed, want)
	}
}

// strip leaves out how wide the columns are.
func strip(s string) string {
	var out []string
	for line := range strings.Lines(s) {
		out = append(out, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(out, "\n")
}

func TestMet(t *testing.T) {
	for _, tt := range []struct {
		in   report.Target
		want bool
	}{
		{report.Target{Got: 1, Want: 1}, true},
		{report.Target{Got: 1.01, Want: 1}, false},
		{report.Target{Got: 1, Want: 1, More: true}, true},
		{report.Target{Got: 0.99, Want: 1, More: true}, false},
	} {
		if got := tt.in.Met(); got != tt.want {
			t.Errorf("%+v: %v", tt.in, got)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{report.Duration(0.5), "0.5 ns"},
		{report.Duration(999), "999 ns"},
		{report.Duration(1234), "1.23 µs"},
		{report.Duration(52_500_000), "52.5 ms"},
		{report.Duration(2.9e9), "2.9 s"},
		{report.Number(33_179), "33179"},
		{report.Number(0.0109), "0.0109"},
		{report.Number(2.028), "2.03"},
		{report.Number(-2.3e-5), "0"},
		{report.Number(-12.34), "-12.3"},
		{report.Value(3, "bytes"), "3 bytes"},
		{report.Value(3, "×"), "3×"},
		{report.Value(1e6, "ns"), "1 ms"},
		{report.Value(1, ""), "1"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.json")
	if err := sample.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := report.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(*got, sample) {
		t.Errorf("read %+v, wrote %+v", *got, sample)
	}
	if row, ok := got.Row("first", "them"); !ok || row.Median != 100_000 {
		t.Errorf("row %+v, %v", row, ok)
	}
	if _, ok := got.Row("second", "them"); ok {
		t.Error("there is a row that there is not")
	}
	if f, ok := got.Figure("third", "slowest"); !ok || f.Unit != "ns" {
		t.Errorf("figure %+v, %v", f, ok)
	}
	if _, ok := got.Figure("first", "slowest"); ok {
		t.Error("there is a figure that there is not")
	}

	if _, err := report.Read(path + "x"); err == nil || !strings.HasPrefix(err.Error(), "report: ") {
		t.Errorf("reading no file: %v", err)
	}
	if err := os.WriteFile(path, []byte("["), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := report.Read(path); err == nil || !strings.HasPrefix(err.Error(), "report: ") {
		t.Errorf("reading half a file: %v", err)
	}
	if err := sample.Write(t.TempDir()); err == nil {
		t.Error("a folder was written over")
	}
}
