package peer_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stytchware/stytchware/bench/internal/load"
	"github.com/stytchware/stytchware/bench/internal/peer"
	"github.com/stytchware/stytchware/stytchtest"
)

// TestEveryPeer holds that the contest is one between programs that accept and
// refuse the same tokens.
func TestEveryPeer(t *testing.T) {
	project := load.NewProject(10)
	api := peer.Serve(project)
	defer api.Close()
	auth, err := peer.Authenticator(load.Config(project))
	if err != nil {
		t.Fatal(err)
	}
	defer auth.Close()
	peers, err := peer.Others(api)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range peer.Names() {
		if peers[i].Name != name {
			t.Fatalf("peer %d is %q, want %q", i, peers[i].Name, name)
		}
	}
	peers = append(peers,
		peer.Peer{Name: peer.Ours, Handler: auth.RequireSession(peer.Greet())},
		peer.Peer{Name: peer.Ours + " bearer", Bearer: true, Handler: auth.RequireSession(peer.Greet())})

	session := load.Session(project)
	over := load.Session(project)
	project.Revoke(over.ID)
	for _, p := range peers {
		for _, tt := range []struct {
			name, jwt string
			ok        bool
		}{
			{"good", session.Tokens.SessionJWT, true},
			{"forged", project.MintJWT(over.ID, stytchtest.Mint{Forged: true}), false},
			{"expired", project.MintJWT(over.ID, stytchtest.Mint{IssuedAt: time.Now().Add(-2 * time.Hour), Lifetime: time.Minute}), false},
			{"garbage", "a.b.c", false},
		} {
			r, w := load.Request(), load.NewWriter()
			name, value := p.Header(tt.jwt)
			r.Header.Set(name, value)
			p.Handler.ServeHTTP(w, r)
			switch {
			case tt.ok && w.Status != http.StatusNoContent:
				t.Errorf("%s refuses a %s JWT with %d", p.Name, tt.name, w.Status)
			case !tt.ok && (w.Status < 400 || w.Status >= 500):
				t.Errorf("%s answers %d to a %s JWT", p.Name, w.Status, tt.name)
			}
		}
	}
}

func TestNothing(t *testing.T) {
	w := load.NewWriter()
	peer.Nothing().ServeHTTP(w, load.Request())
	if w.Status != http.StatusNoContent {
		t.Errorf("status %d", w.Status)
	}
	for name, h := range map[string]http.Handler{"Greet": peer.Greet(), "GreetAnybody": peer.GreetAnybody()} {
		w.Reset()
		h.ServeHTTP(w, load.Request())
		if want := map[string]int{"Greet": 500, "GreetAnybody": 204}[name]; w.Status != want {
			t.Errorf("%s without a session answers %d, want %d", name, w.Status, want)
		}
	}
}
