//go:build !linux

package measure

import "time"

var epoch = time.Now()

// Without clocks for the processor the wall's has to do: close what else runs.
func threadTime() time.Duration  { return time.Since(epoch) }
func processTime() time.Duration { return time.Since(epoch) }
