package demo

import (
	"bytes"
	"encoding/json"
	"expvar"
	"fmt"
	"net/http"
	"net/netip"
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
	calls := []byte("null")
	if a.project != nil {
		calls, _ = json.Marshal(a.project.Calls())
	}
	fmt.Fprintf(&b, "%q: %s}\n", "stytch_calls", calls)

	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(b.Bytes())
}

// fromLoopback tells whether r came from this machine. Behind a proxy on the
// same machine every request does.
func fromLoopback(r *http.Request) bool {
	client, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && client.Addr().Unmap().IsLoopback()
}
