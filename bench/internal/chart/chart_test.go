package chart_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stytchware/stytchware/bench/internal/chart"
	"github.com/stytchware/stytchware/bench/internal/report"
)

// read returns the text elements and the bars' widths by class.
func read(t *testing.T, svg []byte) (texts []string, widths map[string][]float64) {
	t.Helper()
	widths = map[string][]float64{}
	d := xml.NewDecoder(bytes.NewReader(svg))
	in := ""
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return texts, widths
		}
		if err != nil {
			t.Fatalf("not XML: %v", err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			in = e.Name.Local
			attr := map[string]string{}
			for _, a := range e.Attr {
				attr[a.Name.Local] = a.Value
			}
			if in == "rect" {
				w, err := strconv.ParseFloat(attr["width"], 64)
				if err != nil {
					t.Fatal(err)
				}
				widths[attr["class"]] = append(widths[attr["class"]], w)
			}
		case xml.CharData:
			if in == "text" {
				texts = append(texts, string(e))
			}
		case xml.EndElement:
			in = ""
		}
	}
}

func TestSVG(t *testing.T) {
	var b bytes.Buffer
	err := chart.SVG(&b, chart.Bars{Title: "a < b & c", Note: "n", Ours: "us", Rows: []report.Row{
		{Name: "us", Median: 1000}, {Name: "us, too", Median: 10_000}, {Name: "them", Median: 100_000},
	}})
	if err != nil {
		t.Fatal(err)
	}
	texts, widths := read(t, b.Bytes())
	for _, want := range []string{"a < b & c", "us", "us, too", "them", "1 µs", "10 µs", "100 µs", "n"} {
		if !strings.Contains(strings.Join(texts, "\n"), want) {
			t.Errorf("no text %q in %q", want, texts)
		}
	}
	if len(widths["ours"]) != 2 || len(widths["other"]) != 1 {
		t.Fatalf("bars %v", widths)
	}
	// A decade each: the third bar is twice as long as the second, and the
	// first one is the shortest that is drawn.
	if w := widths["ours"]; w[0] != 1 || w[1]*2 != widths["other"][0] {
		t.Errorf("bars %v are not logarithmic", widths)
	}
	if !strings.Contains(b.String(), "prefers-color-scheme:dark") {
		t.Error("no colours for a dark page")
	}
}

func TestOneDecade(t *testing.T) {
	var b bytes.Buffer
	if err := chart.SVG(&b, chart.Bars{Rows: []report.Row{{Name: "a", Median: 100}}}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
		t.Errorf("drew %s", b.String())
	}
}

func TestNothingToDraw(t *testing.T) {
	for _, rows := range [][]report.Row{nil, {{Name: "a"}}} {
		if err := chart.SVG(io.Discard, chart.Bars{Rows: rows}); err == nil {
			t.Errorf("%v was drawn", rows)
		}
	}
	if err := chart.Results(io.Discard, new(report.Report)); err == nil {
		t.Error("no results were drawn")
	}
}

// TestPicture holds the picture in the documents to the results it is drawn
// from.
func TestPicture(t *testing.T) {
	r, err := report.Read("../../results.json")
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := chart.Results(&want, r); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../docs/images/bench.svg")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("docs/images/bench.svg is not what go run ./draw draws from results.json")
	}
	if texts, widths := read(t, got); len(widths["ours"]) != 2 || len(widths["other"]) != 8 || len(texts) < 20 {
		t.Errorf("the picture has %v and %d texts", widths, len(texts))
	}
}
