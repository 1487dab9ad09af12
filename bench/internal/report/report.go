// Package report is what a run of the comparison found out: rows, figures and
// targets, as JSON and as text.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Report is one run.
type Report struct {
	When     time.Time     `json:"when"`
	Machine  string        `json:"machine"` // processor, cores, Go
	Mode     string        `json:"mode"`    // the flags
	JWTBytes int           `json:"jwt_bytes"`
	Took     time.Duration `json:"took_ns"`
	Rows     []Row         `json:"rows"`
	Figures  []Figure      `json:"figures"`
	Targets  []Target      `json:"targets"`
}

// Row is what one contestant took for one operation.
type Row struct {
	Section string    `json:"section"`
	Name    string    `json:"name"`
	Median  float64   `json:"median_ns"`
	Least   float64   `json:"least_ns"`
	Rounds  []float64 `json:"rounds_ns"`
	Counted bool      `json:"counted"` // the allocations were
	Allocs  float64   `json:"allocs"`
	Bytes   float64   `json:"bytes"`
}

// Figure is something counted or timed once.
type Figure struct {
	Section string  `json:"section"`
	Name    string  `json:"name"`
	Value   float64 `json:"value"`
	Unit    string  `json:"unit"`
}

// Target is what this library wants to be, and is.
type Target struct {
	What string  `json:"what"`
	Got  float64 `json:"got"`
	Want float64 `json:"want"`
	Unit string  `json:"unit"`     // "×" for a ratio
	More bool    `json:"at_least"` // Want is the least, not the most
}

// Met reports whether it is.
func (t Target) Met() bool {
	if t.More {
		return t.Got >= t.Want
	}
	return t.Got <= t.Want
}

// Row returns the row of that name.
func (r *Report) Row(section, name string) (Row, bool) {
	for _, row := range r.Rows {
		if row.Section == section && row.Name == name {
			return row, true
		}
	}
	return Row{}, false
}

// Figure returns the figure of that name.
func (r *Report) Figure(section, name string) (Figure, bool) {
	for _, f := range r.Figures {
		if f.Section == section && f.Name == name {
			return f, true
		}
	}
	return Figure{}, false
}

// Write writes r to a file.
func (r *Report) Write(path string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// Read reads what Write wrote.
func Read(path string) (*Report, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	r := new(Report)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("report: %s: %w", path, err)
	}
	return r, nil
}
