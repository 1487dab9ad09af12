package demo

import (
	"bytes"
	"encoding/json"
	"expvar"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// vars serves the process's expvar variables, and in demo mode how often the
// Stytch project was called, to clients on this machine.
func (a *app) vars(w http.ResponseWriter, r *http.Request) {
	if !fromLoopback(r) {
		problem(w, http.StatusForbidden, "")
		return
	}
	// Not expvar.Publish, which is for the whole process: there may be several
	// Sites in one.
	var b bytes.Buffer
	b.WriteByte('{')
	expvar.Do(func(kv expvar.KeyValue) { fmt.Fprintf(&b, "%q: %s,\n", kv.Key, kv.Value) })
	calls := []byte("null") // with an account nobody counts
	if a.project != nil {
		calls, _ = json.Marshal(a.project.Calls())
	}
	fmt.Fprintf(&b, "%q: %s}\n", "stytch_calls", calls)

	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(b.Bytes())
}

// fromLoopback reports whether r came from this machine, and for it: a page of
// another site whose name leads here (DNS rebinding) names itself. Behind a
// proxy on the same machine that keeps no Host every request does.
func fromLoopback(r *http.Request) bool {
	client, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !client.Addr().Unmap().IsLoopback() {
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}
