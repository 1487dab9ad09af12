package jwks_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAllocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		good := token("a")
		f.want(t, good, "accepted")
		dot := strings.IndexByte(good, '.')
		for _, tt := range []struct {
			name, token string
			want        string
			max         float64
		}{
			{"hit", good, "accepted", 0},
			{"stale again", signed(mainKey(), header(kid), payload(time.Now().Add(-time.Hour), "a")), "stale", 1},
			{"empty", "", "invalid", 0},
			{"word", "undefined", "invalid", 0},
			{"16 KiB of letters", strings.Repeat("A", 16<<10), "invalid", 0},
			{"over-long", strings.Repeat("A", 1<<20), "invalid", 0},
			{"bad alphabet", good[:dot] + ".é." + good[dot:], "invalid", 0},
			{"no kid", b64(`{"alg":"RS256"}`) + good[dot:], "invalid", 2},
			{"alg none", b64(`{"alg":"none"}`) + good[dot:], "invalid", 2},
			{"noise", strings.Repeat("Zm9v", 100) + good[dot:], "invalid", 2},
			{"unknown kid", b64(header("jwk-test-x")) + good[dot:], "unavailable", 2},
		} {
			f.want(t, tt.token, tt.want)
			n := testing.AllocsPerRun(20, func() { _, _ = f.Verify(context.Background(), tt.token) })
			if n > tt.max {
				t.Errorf("%s: %v allocations, want at most %v", tt.name, n, tt.max)
			}
		}
	})
}
