package chart

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/stytchware/stytchware/bench/internal/peer"
	"github.com/stytchware/stytchware/bench/internal/report"
	"github.com/stytchware/stytchware/bench/internal/suite"
)

// Results draws what a request of one of many sessions costs, by r: this
// library, the peers and the floor, the quickest first.
func Results(w io.Writer, r *report.Report) error {
	var rows []report.Row
	for _, name := range append([]string{peer.Ours, suite.Unseen, suite.Verifying}, peer.Names()...) {
		row, ok := r.Row(suite.Turn, name)
		if !ok {
			return errors.New("chart: the results have no row " + name)
		}
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b report.Row) int { return cmp.Compare(a.Median, b.Median) })
	return SVG(w, Bars{
		Title: "Authenticating a request, many sessions in turn (log scale, shorter is better)",
		Note:  fmt.Sprintf("%s, %s; JWT of %d bytes, RS256", r.When.UTC().Format("2006-01-02"), r.Machine, r.JWTBytes),
		Rows:  rows,
		Ours:  peer.Ours,
	})
}
