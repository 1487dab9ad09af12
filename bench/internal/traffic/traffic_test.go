package traffic_test

import (
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/bench/internal/load"
	"github.com/stytchware/stytchware/bench/internal/peer"
	"github.com/stytchware/stytchware/bench/internal/report"
	"github.com/stytchware/stytchware/bench/internal/traffic"
	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

// advance lets time pass in a synctest bubble; no real time passes.
func advance(d time.Duration) { time.Sleep(d) }

// TestAgainstMiddleware lets each person use a real middleware for an hour.
func TestAgainstMiddleware(t *testing.T) {
	people := append(traffic.People(),
		traffic.Person{Name: "views between renewals", Every: 50 * time.Second, Fan: 3, SDK: true, Processes: 2},
		traffic.Person{Name: "more processes than requests", Every: 70 * time.Second, Fan: 2, Processes: 5},
		traffic.Person{Name: "session token at several processes", Every: 7 * time.Second, Fan: 5, Processes: 3, Opaque: true},
		traffic.Person{Name: "a view an hour", Every: time.Hour, Fan: 9})
	for _, p := range people {
		t.Run(p.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls, requests := use(t, p)
				if requests != p.Requests() {
					t.Errorf("%d requests, the model says %d", requests, p.Requests())
				}
				if want := p.Calls(traffic.Library); calls != want {
					t.Errorf("%d calls, the model says %d", calls, want)
				}
			})
		})
	}
}

// use is the hour of p at a real middleware, and a browser that keeps cookies.
func use(t *testing.T, p traffic.Person) (calls, requests int) {
	project := stytchtest.New(stytchtest.Options{})
	project.FailAPI(stytchtest.Slow(50 * time.Millisecond))
	var processes []http.Handler
	for range max(1, p.Processes) {
		auth, err := middleware.New(project.Config())
		if err != nil {
			t.Fatal(err)
		}
		defer auth.Close()
		processes = append(processes, auth.RequireSession(peer.Greet()))
	}
	session := project.Login(stytchtest.Login{Duration: 2 * time.Hour})
	tokens := session.Tokens
	start := time.Now()
	renewed := start
	for at := time.Duration(0); at < time.Hour; at += p.Every {
		advance(time.Until(start.Add(at)))
		for p.SDK && time.Since(renewed) >= 3*time.Minute {
			renewed = renewed.Add(3 * time.Minute)
			tokens.SessionJWT = project.MintJWT(session.ID, stytchtest.Mint{IssuedAt: renewed})
		}
		var mu sync.Mutex
		var view sync.WaitGroup
		next := tokens
		for i := range p.Fan {
			requests++
			view.Go(func() {
				r, w := load.Request(), load.NewWriter()
				if p.Opaque {
					stytchtest.AddBearer(r, tokens.SessionToken)
				} else {
					stytchtest.AddCookies(r, tokens)
				}
				processes[i%len(processes)].ServeHTTP(w, r)
				if w.Status != http.StatusNoContent {
					t.Errorf("status %d after %v", w.Status, at)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, c := range (&http.Response{Header: w.Header()}).Cookies() {
					if c.Name == load.JWTCookie && c.MaxAge >= 0 {
						next.SessionJWT = c.Value
					}
				}
			})
		}
		view.Wait()
		tokens = next
	}
	return project.Calls().Authenticate, requests
}

// TestByHand works the other ways out with pencil and paper.
func TestByHand(t *testing.T) {
	page := traffic.Person{Every: 30 * time.Second, Fan: 6}
	sdk := traffic.Person{Every: 30 * time.Second, Fan: 6, SDK: true}
	app := traffic.Person{Every: 10 * time.Second, Fan: 1, Opaque: true}
	for _, tt := range []struct {
		name string
		p    traffic.Person
		by   traffic.Server
		want int
	}{
		{"each of 120 views asks 6 times", page, traffic.Asking, 720},
		{"the 110 views after the first 5 minutes do", page, traffic.Local, 660},
		{"11 views find the JWT 5 minutes old", page, traffic.Keeping, 66},
		{"of which one request asks", page, traffic.Library, 11},
		{"a JWT of 3 minutes is never stale", sdk, traffic.Local, 0},
		{"nor to the library", sdk, traffic.Library, 0},
		{"but who asks always asks", sdk, traffic.Asking, 720},
		{"a session token says nothing by itself", app, traffic.Local, 360},
		{"every fourth view finds the answer 30 s old", app, traffic.Library, 90},
	} {
		if got := tt.p.Calls(tt.by); got != tt.want {
			t.Errorf("%s: %d calls, want %d", tt.name, got, tt.want)
		}
	}
	if got := sdk.SDKCalls(); got != 19 {
		t.Errorf("the SDK calls %d times between login and the end of the hour, want 19", got)
	}
	if got := page.SDKCalls(); got != 0 {
		t.Errorf("no SDK calls %d times", got)
	}
}

// TestDocument holds the figures in the document to those that were measured.
func TestDocument(t *testing.T) {
	r, err := report.Read("../../results.json")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := traffic.Text(&text, r); err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../../docs/cost.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(doc), "$ go run ./simulate\n")
	block, _, ok := strings.Cut(block, "```")
	if !ok || block != text.String() {
		t.Errorf("docs/cost.md does not show what go run ./simulate prints:\n%s", text.String())
	}
	if err := traffic.Text(&text, &report.Report{}); err == nil {
		t.Error("a table was made of no results")
	}
}
