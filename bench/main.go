// Command bench compares this library with other ways to authenticate a
// session JWT, prints what came out, and writes it to results.json.
//
//	go run .          a few minutes
//	go run . -quick   less than a minute, rough figures
//	go run . -full    also 100,000 sessions; signing them alone takes minutes
//
// What one core does is charged by processor time (on Linux), all else by the
// wall clock: close what else runs. Absolute figures are the machine's; the
// ratios travel.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/stytchware/stytchware/bench/internal/peer"
	"github.com/stytchware/stytchware/bench/internal/suite"
)

func main() {
	quick := flag.Bool("quick", false, "take less than a minute")
	full := flag.Bool("full", false, "also 100,000 sessions")
	out := flag.String("o", "results.json", "where the results go; empty: nowhere")
	flag.Parse()
	o := suite.Default()
	switch {
	case *quick:
		o = suite.Quick()
	case *full:
		o = suite.Full()
	}
	o.Log = os.Stderr
	if err := run(o, *out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(o suite.Options, out string) error {
	r, err := suite.Run(o)
	if err != nil {
		return err
	}
	if err := r.Text(os.Stdout, peer.KeyfuncBy); err != nil {
		return err
	}
	if out == "" {
		return nil
	}
	return r.Write(out)
}
