package middleware

import (
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Ready returns nil if this process could decide about a fresh session JWT:
// the key set has been fetched, and not too long ago. Otherwise it returns an
// error that is ErrUnavailable. It makes no call; it is meant for readiness
// probes. A process that is not ready still answers, with 503 where it must.
func (a *Authenticator) Ready() error {
	switch {
	case a.zero():
		return denyZero
	case a.verifier.Stats().Keys == 0:
		return denyNoKeys
	}
	return nil
}

var denyNoKeys = unavailable("the key set has not been fetched", time.Second)

// Debug returns a handler that shows an operator, as a page, how a is doing:
// decisions, calls to Stytch, key set, limits and caches, since New. It shows
// no id and no token, but guard it all the same: it is for operators only.
func (a *Authenticator) Debug() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if a.zero() {
			a.Deny(w, r, denyZero)
			return
		}
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		var b strings.Builder
		if err := debugPage.Execute(&b, a.report(time.Now())); err != nil {
			a.log.say(slog.LevelError, "the debug page could not be made", slog.String("type", fmt.Sprintf("%T", err)))
			http.Error(w, "the page could not be made", http.StatusInternalServerError)
			return
		}
		_, _ = w.Write([]byte(b.String()))
	})
}

// section is a table of the debug page.
type section struct {
	Title string
	Rows  []row
}

type row struct {
	Name  string
	Value any
	Bad   bool // an operator should look at it
}

func (a *Authenticator) report(now time.Time) []section {
	t, keys, api := &a.tally, a.verifier.Stats(), a.stytch.api.State()
	since := func(at time.Time) string {
		if at.IsZero() {
			return "never"
		}
		return now.Sub(at).Truncate(time.Second).String() + " ago"
	}
	paused := "no"
	if api.PausedUntil.After(now) {
		paused = "for another " + api.PausedUntil.Sub(now).Truncate(time.Second).String()
	}
	breaker := "closed"
	if api.BreakerOpen {
		breaker = "open: one call a second tries"
	}
	subscribers, followed, later, level := a.changes.count(), a.follow.count(), a.stytch.waiting(), a.stytch.left(now)
	return []section{
		{"Decisions", []row{
			{"session, decided here", t.local.sum(), false},
			{"session, Stytch asked", t.remote.sum(), false},
			{"session, past its time in an outage", t.stale.sum(), t.stale.sum() > 0},
			{"no session", t.noSession.sum(), false},
			{"step-up demanded", t.stepUp.sum(), false},
			{"invalid request", t.invalidRequest.sum(), false},
			{"cross-site request", t.crossSite.sum(), false},
			{"could not be decided (503)", t.unavailable.sum(), false},
		}},
		{"Stytch", []row{
			{"authenticate calls", api.Authenticates, false},
			{"revoke calls", api.Revokes, false},
			{"retries after a broken connection", api.Retries, false},
			{"calls refused by a limit here", api.Refused, api.Refused > 0},
			{"calls under way", api.InFlight, false},
			{"paused after a 429", paused, paused != "no"},
			{"breaker", breaker, api.BreakerOpen},
			{"logouts waiting to be repeated", later, later > 0},
		}},
		{"Key set", []row{
			{"usable keys", keys.Keys, keys.Keys == 0},
			{"fetched", since(keys.FetchedAt), keys.FetchedAt.IsZero()},
			{"fetches that failed since", keys.Failures, keys.Failures > 0},
		}},
		{"Limits and caches", []row{
			{"budget left for tokens never seen", level, level == 0},
			{"refused by that budget", t.budget.sum(), false},
			{"verified tokens", keys.Tokens, false},
			{"answers", a.stytch.results.Len(), false},
			{"revocations", a.revocations.count(), false},
		}},
		{"Cookies and listeners", []row{
			{"session cookies set", t.cookiesSet.sum(), false},
			{"session cookies cleared", t.cookiesCleared.sum(), false},
			{"session cookies too large to set", t.cookiesTooLarge.sum(), t.cookiesTooLarge.sum() > 0},
			{"subscribers of OnChange", subscribers, false},
			{"events dropped for slow subscribers", a.changes.dropped.Load(), a.changes.dropped.Load() > 0},
			{"contexts that follow a session", followed, false},
		}},
	}
}

var debugPage = template.Must(template.New("debug").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>stytchware</title>
<style>body{font:15px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}h1{font-size:1.3rem}h2{font-size:1rem;margin:1.5rem 0 .3rem}
table{border-collapse:collapse;width:100%}td{border-top:1px solid #8884;padding:.25rem 0}td:last-child{text-align:right;font-variant-numeric:tabular-nums}.bad{color:#c33;font-weight:600}</style>
</head><body><h1>stytchware</h1>
{{range .}}<h2>{{.Title}}</h2><table>
{{range .Rows}}<tr{{if .Bad}} class="bad"{{end}}><td>{{.Name}}</td><td>{{.Value}}</td></tr>
{{end}}</table>
{{end}}</body></html>
`))
