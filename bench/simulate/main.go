// Command simulate prints how often a server asks Stytch for one user in an
// hour, with this library and without, and what a rate of requests costs by
// the figures in results.json. Run it in the folder that holds that file.
package main

import (
	"fmt"
	"os"

	"github.com/stytchware/stytchware/bench/internal/report"
	"github.com/stytchware/stytchware/bench/internal/traffic"
)

func main() {
	r, err := report.Read("results.json")
	if err == nil {
		err = traffic.Text(os.Stdout, r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
