package demo

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"io/fs"
	"net/http"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
)

//go:embed assets
var embedded embed.FS

var pageTemplate = template.Must(template.ParseFS(embedded, "assets/page.html"))

// contentPolicy lets the page load what this server serves and nothing else:
// no inline script or style, no frame around it, no form to elsewhere.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// view is what the page needs to know before its script runs.
type view struct {
	Router   string // the program's name
	Mode     string // "demo" or "account"
	State    string // "authenticated", "anonymous" or "unavailable"
	ReturnTo string // a path on this server
	Sent     bool   // a guard sent the person here
	Shared   bool   // cookies are shared with the front-end SDK
	Link     string // "dead" or "later" after a magic link that did not work
}

// page shows the page to anybody.
func (a *app) page(w http.ResponseWriter, r *http.Request) {
	v := view{
		Router:   a.name,
		Mode:     "account",
		State:    "authenticated",
		ReturnTo: middleware.ReturnTo(r),
		Shared:   a.Config.Cookies.Posture == middleware.Shared,
		Link:     r.URL.Query().Get("link"),
	}
	v.Sent = v.ReturnTo != "/"
	if a.project != nil {
		v.Mode = "demo"
	}
	if _, ok := sessionctx.From(r.Context()); !ok {
		v.State = a.stateWithout(r)
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, v); err != nil {
		a.log.Error("page", "error", err)
		problem(w, http.StatusInternalServerError, "")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	w.Write(b.Bytes())
}

// assets serves the files the page asks for. The browser asks each time and
// is mostly told that nothing changed.
func (a *app) assets(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path[1:]
	content, err := fs.ReadFile(embedded, name)
	if err != nil || name == "assets/page.html" { // the template is no page
		http.NotFound(w, r)
		return
	}
	sum := sha256.Sum256(content)
	h := w.Header()
	h.Set("ETag", `"`+base64.RawURLEncoding.EncodeToString(sum[:12])+`"`)
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	http.ServeFileFS(w, r, embedded, name)
}
