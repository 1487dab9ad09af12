// Command draw draws ../docs/images/bench.svg from results.json. Run it in the
// folder that holds that file.
package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/stytchware/stytchware/bench/internal/chart"
	"github.com/stytchware/stytchware/bench/internal/report"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	r, err := report.Read("results.json")
	if err != nil {
		return err
	}
	var picture bytes.Buffer
	if err := chart.Results(&picture, r); err != nil {
		return err
	}
	return os.WriteFile("../docs/images/bench.svg", picture.Bytes(), 0o644)
}
