// Package chart draws the bars of a report as SVG: text as text, readable on
// light and dark pages.
package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/stytchware/stytchware/bench/internal/report"
)

// Bars says what is drawn.
type Bars struct {
	Title string
	Note  string       // below the bars
	Rows  []report.Row // one bar each, as long as the logarithm of its median
	Ours  string       // the rows of this name and those that begin with it stand out
}

// The sizes, in pixels.
const (
	width, left, right = 760, 280, 90
	top, step, bar     = 64, 30, 18
)

// style follows the page's colours where the viewer tells them.
const style = `text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-size:16px;font-weight:600}.axis{font-size:11px;fill:#59636e}` +
	`.grid{stroke:#8b949e;stroke-opacity:.35}.other{fill:#8b949e}.ours{fill:#1a7f64}` +
	`@media(prefers-color-scheme:dark){text{fill:#e6edf3}.axis{fill:#9198a1}.ours{fill:#3fb98f}}`

// SVG draws b.
func SVG(w io.Writer, b Bars) error {
	if len(b.Rows) == 0 {
		return errors.New("chart: there is nothing to draw")
	}
	least, most := math.Inf(1), 0.0
	for _, row := range b.Rows {
		if row.Median <= 0 {
			return fmt.Errorf("chart: %q took no time", row.Name)
		}
		least, most = min(least, row.Median), max(most, row.Median)
	}
	// Whole decades, with some length left for the shortest bar.
	low, high := math.Floor(math.Log10(least)), math.Ceil(math.Log10(most))
	if high == low {
		high++
	}
	x := func(ns float64) float64 {
		return left + (math.Log10(ns)-low)/(high-low)*(width-left-right)
	}
	height := top + step*len(b.Rows) + 58

	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n", width, height, escape(b.Title))
	fmt.Fprintf(&out, "<style>%s</style>\n", style)
	fmt.Fprintf(&out, `<text class="title" x="16" y="28">%s</text>`+"\n", escape(b.Title))
	bottom := top + step*len(b.Rows)
	for decade := low; decade <= high; decade++ {
		ns := math.Pow(10, decade)
		fmt.Fprintf(&out, `<line class="grid" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`+"\n", x(ns), top-8, x(ns), bottom)
		fmt.Fprintf(&out, `<text class="axis" x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x(ns), bottom+16, escape(report.Duration(ns)))
	}
	for i, row := range b.Rows {
		y := top + step*i
		class := "other"
		if len(row.Name) >= len(b.Ours) && row.Name[:len(b.Ours)] == b.Ours && b.Ours != "" {
			class = "ours"
		}
		fmt.Fprintf(&out, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", left-10, y+14, escape(row.Name))
		fmt.Fprintf(&out, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`+"\n", class, left, y, max(1, x(row.Median)-left), bar)
		fmt.Fprintf(&out, `<text x="%.1f" y="%d">%s</text>`+"\n", x(row.Median)+8, y+14, escape(report.Duration(row.Median)))
	}
	fmt.Fprintf(&out, `<text class="axis" x="16" y="%d">%s</text>`+"\n</svg>\n", bottom+42, escape(b.Note))
	_, err := w.Write(out.Bytes())
	return err
}

func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a bytes.Buffer takes everything
	return b.String()
}
