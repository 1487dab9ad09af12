package report

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"text/tabwriter"
)

// Text writes r as tables. Ratios are of the median to that of the first row
// of the section that base names, if it is there.
func (r *Report) Text(w io.Writer, base string) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s, %s, %s, a JWT of %d bytes\n", r.When.UTC().Format("2006-01-02"), r.Machine, r.Mode, r.JWTBytes)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	section := ""
	var of Row
	for _, row := range r.Rows {
		if row.Section != section {
			section = row.Section
			_ = t.Flush() // a bytes.Buffer takes everything
			fmt.Fprintf(&b, "\n%s\n", section)
			var there bool
			column := "ratio"
			if of, there = r.Row(section, base); !there {
				of, column = row, "of first"
			}
			fmt.Fprintf(t, "\tmedian\tleast\t%s\t", column)
			if row.Counted {
				fmt.Fprint(t, "allocs\tbytes\t")
			}
			fmt.Fprintln(t)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s×\t", row.Name, Duration(row.Median), Duration(row.Least), Number(row.Median/of.Median))
		if row.Counted {
			fmt.Fprintf(t, "%s\t%s\t", Number(row.Allocs), Number(row.Bytes))
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush()
	section = ""
	for _, f := range r.Figures {
		if f.Section != section {
			section = f.Section
			_ = t.Flush()
			fmt.Fprintf(&b, "\n%s\n", section)
		}
		fmt.Fprintf(t, "%s\t%s\t\n", f.Name, Value(f.Value, f.Unit))
	}
	_ = t.Flush()
	fmt.Fprintf(&b, "\ntargets\n")
	met := 0
	for _, target := range r.Targets {
		bound, verdict := "at most", "NOT MET"
		if target.More {
			bound = "at least"
		}
		if target.Met() {
			verdict = "met"
			met++
		}
		fmt.Fprintf(t, "%s\t%s\t%s %s\t%s\t\n", target.What, Value(target.Got, target.Unit), bound, Value(target.Want, target.Unit), verdict)
	}
	_ = t.Flush()
	fmt.Fprintf(&b, "%d of %d met, in %.0f s\n", met, len(r.Targets), r.Took.Seconds())
	_, err := w.Write(b.Bytes())
	return err
}

// Duration writes nanoseconds with three digits and a unit.
func Duration(ns float64) string {
	switch {
	case ns >= 1e9:
		return Number(ns/1e9) + " s"
	case ns >= 1e6:
		return Number(ns/1e6) + " ms"
	case ns >= 1e3:
		return Number(ns/1e3) + " µs"
	}
	return Number(ns) + " ns"
}

// Number writes v with three digits, but no digit before the point is lost,
// and what is nearly nothing is 0.
func Number(v float64) string {
	if v >= 100 || v <= -100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	if math.Abs(v) < 1e-4 { // an exponent would be all that there is to see
		return "0"
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// Value writes v with its unit; nanoseconds get the one that fits.
func Value(v float64, unit string) string {
	switch unit {
	case "ns":
		return Duration(v)
	case "×":
		return Number(v) + "×"
	case "":
		return Number(v)
	}
	return Number(v) + " " + unit
}
