package suite

import (
	"fmt"

	"github.com/stytchware/stytchware/bench/internal/measure"
	"github.com/stytchware/stytchware/bench/internal/peer"
	"github.com/stytchware/stytchware/bench/internal/report"
)

// targets holds what was measured against what is wanted. Ratios are the
// median of the ratios of each round.
func (r *run) targets() {
	target := func(what string, got, want float64, unit string) {
		r.Targets = append(r.Targets, report.Target{What: what, Got: got, Want: want, Unit: unit})
	}
	least := func(what string, got, want float64) {
		r.Targets = append(r.Targets, report.Target{What: what, Got: got, Want: want, Unit: "×", More: true})
	}
	ratio := func(section, a, b string) float64 {
		return measure.Ratio(r.series[section+"/"+a], r.series[section+"/"+b])
	}
	row := func(section, name string) report.Row {
		found, ok := r.Row(section, name)
		if !ok {
			panic("suite: no row " + name)
		}
		return found
	}
	figure := func(section, name string) float64 {
		f, ok := r.Figure(section, name)
		if !ok {
			panic("suite: no figure " + name)
		}
		return f.Value
	}

	for _, name := range []string{peer.Ours, bearer} {
		least("one session, keyfunc by hand against "+name, ratio(Hot, peer.KeyfuncBy, name), 150)
		target(name+": allocations", row(Hot, name).Allocs, 2, "")
		target(name+": bytes allocated", row(Hot, name).Bytes, 400, "")
	}
	least(fmt.Sprintf("%d sessions in turn, keyfunc by hand against %s", r.Turn, peer.Ours), ratio(Turn, peer.KeyfuncBy, peer.Ours), 40)
	least("the same on all cores against one", ratio(Turn, alone, both(peer.Ours)), 1.7)
	target("a session not seen before against RSA verify", ratio(Turn, Unseen, Verifying), 1.25, "×")
	target("whole request over HTTP against no middleware", ratio(HTTP, peer.Ours, nothing), 1.05, "×")
	target("the same in processor time, eight connections", ratio(Throughput, peer.Ours, nothing), 1.05, "×")
	least("throughput over HTTP against keyfunc by hand", ratio(Throughput, peer.KeyfuncBy, peer.Ours), 2.3)
	least("throughput over HTTP against "+peer.StytchBy, ratio(Throughput, peer.StytchBy, peer.Ours), 3)
	for _, how := range []string{seen, notSeen} {
		target(fmt.Sprintf("%d requests with one stale JWT%s: calls", r.Crowd, how), figure(Crowd, callsOf+peer.Ours+how), 1, "")
		target("the same: 99th percentile", figure(Crowd, p99Of+peer.Ours+how), float64(apiLatency)+20e6, "ns")
	}
	target("unknown keys: key fetches per cool-down", figure(Unknown, fetchesPer), 1, "")
	target("unknown keys: slowest of a known key, less than a fetch", figure(Unknown, knownDuring), float64(keyLatency)/2, "ns")
	target("refusing a bad signature against RSA verify", ratio(Refusing, peer.Ours+", "+bad[0], Verifying), 1.1, "×")
	for _, kind := range bad[2:] {
		target("refusing "+kind, row(Refusing, peer.Ours+", "+kind).Median, 1000, "ns")
	}
	target("Load + RequireSession + RequireMFA against Load", ratio(Hot, guarded, loadOnly), 1.3, "×")
	target(fmt.Sprintf("memory of 100,000 sessions, from %d", r.Memory), figure(Memory, perAll), 250, "MB")
	target(perMore, figure(Memory, perMore), 5, "%")
}
