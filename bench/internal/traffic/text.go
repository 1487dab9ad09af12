package traffic

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/stytchware/stytchware/bench/internal/peer"
	"github.com/stytchware/stytchware/bench/internal/report"
	"github.com/stytchware/stytchware/bench/internal/suite"
)

// rates are the requests a second of the second table.
var rates = [...]int{10, 1000, 100_000}

// Text writes the two tables: the calls of each of People, and what a process
// at each rate costs by the figures of r.
func Text(w io.Writer, r *report.Report) error {
	ours, ok1 := r.Row(suite.Turn, peer.Ours)
	fresh, ok2 := r.Row(suite.Turn, suite.Unseen)
	hand, ok3 := r.Row(suite.Turn, peer.KeyfuncBy)
	memory, ok4 := r.Figure(suite.Memory, suite.PerSession)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return errors.New("traffic: the results have no rows for it")
	}

	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprint(&b, "calls to Stytch per user and hour, by the server\n\n")
	fmt.Fprintln(t, "a user's client\trequests\tasking\tby hand\tkeeping\tstytchware")
	for _, p := range People() {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\n", p.Name, p.Requests(), p.Calls(Asking), p.Calls(Local), p.Calls(Keeping), p.Calls(Library))
	}
	_ = t.Flush() // a bytes.Buffer takes everything
	p := People()[1]
	users := func(rate int) float64 { return float64(rate) * hour.Seconds() / float64(p.Requests()) }
	fmt.Fprintf(&b, "\none server at a rate of requests, its users each a %q\n\n", p.Name)
	fmt.Fprintln(t, "requests/s\tusers\tcores: stytchware\tif none fits the cache\tby hand\tsessions in memory\tcalls/s: stytchware\tasking")
	for _, rate := range rates {
		n := users(rate)
		fmt.Fprintf(t, "%d\t%.0f\t%s\t%s\t%s\t%s\t%s\t%d\n", rate, n,
			cores(rate, ours), cores(rate, fresh), cores(rate, hand), megabytes(n*memory.Value),
			significant(n*float64(p.Calls(Library))/hour.Seconds()), rate)
	}
	_ = t.Flush()
	_, err := w.Write(b.Bytes())
	return err
}

func cores(rate int, row report.Row) string { return significant(float64(rate) * row.Median / 1e9) }

func megabytes(bytes float64) string { return significant(bytes/1e6) + " MB" }

// significant writes two digits, or all before the point.
func significant(v float64) string {
	if v >= 10 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	s := strconv.FormatFloat(v, 'g', 2, 64)
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return strconv.FormatFloat(f, 'f', -1, 64) // no exponent
	}
	return s
}
