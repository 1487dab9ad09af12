package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

//go:embed assets
var assets embed.FS

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"left": func(t time.Time) string { return time.Until(t).Round(time.Second).String() },
	"at":   func(t time.Time) string { return t.UTC().Format("15:04:05") },
}).ParseFS(assets, "assets/page.html"))

const contentPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// local is the page beside the API: what a test does by calling the methods of
// a Project, a person does here.
type local struct {
	project *stytchtest.Project
	env     []variable
	page    http.Handler

	mu     sync.Mutex
	last   *stytchtest.Session // the newest login made here
	fault  string              // a name of faults, "" for none
	target string              // a name of targets
}

// newLocal returns the API with the page at / in front of it.
func newLocal(project *stytchtest.Project, env []variable, anywhere bool) http.Handler {
	l := &local{project: project, env: env}
	page := http.NewServeMux()
	page.HandleFunc("GET /{$}", l.show)
	page.HandleFunc("GET /local/assets/{name}", asset)
	for path, do := range map[string]func(*http.Request) error{
		"login": l.login, "revoke": l.revoke, "expire": l.expire, "step-up": l.stepUp,
		"rotate": l.rotate, "fault": l.setFault,
	} {
		page.HandleFunc("POST /local/"+path, func(w http.ResponseWriter, r *http.Request) {
			if err := do(r); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.Header().Set("Cache-Control", "no-store")
			http.Redirect(w, r, "/", http.StatusSeeOther)
		})
	}
	// The page shows tokens: no other site may press its buttons, nor give
	// itself this machine's address to read it (DNS rebinding).
	l.page = http.NewCrossOriginProtection().Handler(page)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/" && !strings.HasPrefix(r.URL.Path, "/local/"):
			project.ServeHTTP(w, r)
		case !anywhere && !loopback(hostname(r.Host)):
			http.Error(w, "stytch-local: open the page by the address it printed", http.StatusForbidden)
		default:
			l.page.ServeHTTP(w, r)
		}
	})
}

func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return strings.Trim(host, "[]")
}

// asset serves the files of the page.
func asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if name != "page.css" && name != "page.js" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeFileFS(w, r, assets, "assets/"+name)
}

// choice is something to pick on the page.
type choice struct{ Name, Label string }

var factorChoices = []choice{
	{"email", "E-mail link"}, {"password", "Password"}, {"google", "Google"},
	{"sms", "SMS code"}, {"whatsapp", "WhatsApp code"}, {"totp", "Authenticator app"},
	{"webauthn", "Passkey"}, {"biometric", "Biometric"},
	{"recovery", "Recovery code"}, {"impersonation", "Impersonation"},
}

func factor(name string) (f stytchtest.Factor, ok bool) {
	switch name {
	case "email":
		return stytchtest.EmailMagicLink(), true
	case "password":
		return stytchtest.Password(), true
	case "google":
		return stytchtest.GoogleOAuth(), true
	case "sms":
		return stytchtest.SMS(), true
	case "whatsapp":
		return stytchtest.WhatsApp(), true
	case "totp":
		return stytchtest.TOTP(), true
	case "webauthn":
		return stytchtest.WebAuthn(), true
	case "biometric":
		return stytchtest.Biometric(), true
	case "recovery":
		return stytchtest.RecoveryCode(), true
	case "impersonation":
		return stytchtest.Impersonation(), true
	}
	return f, false
}

var faultChoices = []choice{
	{"", "None"}, {"down", "Closes the connection"}, {"500", "500"}, {"429", "429, Retry-After 5"}, {"502", "502 with HTML"},
	{"401", "401 unauthorized_credentials"}, {"404", "404 session_not_found"}, {"slow", "Two seconds late"}, {"hang", "Never answers"},
}

func faultOf(name string) (f stytchtest.Fault, ok bool) {
	switch name {
	case "":
		return nil, true
	case "down":
		return stytchtest.Down(), true
	case "500":
		return stytchtest.Error(http.StatusInternalServerError, "internal_server_error"), true
	case "429":
		return stytchtest.TooManyRequests("5"), true
	case "502":
		return stytchtest.HTML(http.StatusBadGateway), true
	case "401":
		return stytchtest.Error(http.StatusUnauthorized, "unauthorized_credentials"), true
	case "404":
		return stytchtest.Error(http.StatusNotFound, "session_not_found"), true
	case "slow":
		return stytchtest.Slow(2 * time.Second), true
	case "hang":
		return stytchtest.Hang(), true
	}
	return nil, false
}

var targetChoices = []choice{{"all", "Everything"}, {"api", "All but the key set"}, {"keys", "The key set"}}

// view is what the page shows.
type view struct {
	Project       string
	Env           []variable
	Last          *stytchtest.Session
	Sessions      []*sessionctx.Session
	Inbox         []stytchtest.Message
	KeyID         string
	Calls         []count
	Fault, Target string

	FactorChoices, FaultChoices, TargetChoices []choice
}

type count struct {
	Name string
	N    int
}

// shown bounds each list of the page.
const shown = 50

func (l *local) show(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	v := view{Last: l.last, Fault: l.fault, Target: l.target}
	l.mu.Unlock()
	v.Project, v.Env, v.KeyID = l.project.ID(), l.env, l.project.KeyID()
	v.Sessions = l.project.Sessions()
	v.Sessions = v.Sessions[:min(len(v.Sessions), shown)]
	v.Inbox = l.project.Inbox()
	slices.Reverse(v.Inbox)
	v.Inbox = v.Inbox[:min(len(v.Inbox), shown)]
	c := l.project.Calls()
	v.Calls = []count{
		{"Key set", c.KeySet}, {"Authenticate", c.Authenticate}, {"Revoke", c.Revoke}, {"List", c.List}, {"Send", c.Send}, {"Log in", c.Login},
		{"SDK bootstrap", c.SDKBootstrap}, {"SDK authenticate", c.SDKAuthenticate}, {"SDK revoke", c.SDKRevoke}, {"SDK events", c.SDKEvents}, {"Other", c.Other},
	}
	v.FactorChoices, v.FaultChoices, v.TargetChoices = factorChoices, faultChoices, targetChoices

	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, v); err != nil {
		http.Error(w, "stytch-local: the page cannot be shown", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	w.Write(b.Bytes()) // a client that left needs no page
}

func (l *local) login(r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return err
	}
	a := stytchtest.Login{Factors: []stytchtest.Factor{}, UserID: strings.TrimSpace(r.PostForm.Get("user_id"))}
	for _, name := range r.PostForm["factor"] {
		f, ok := factor(name)
		if !ok {
			return fmt.Errorf("there is no factor %q", name)
		}
		a.Factors = append(a.Factors, f)
	}
	if text := r.PostForm.Get("minutes"); text != "" {
		d, err := time.ParseDuration(text + "m")
		if err != nil || d <= 0 {
			return fmt.Errorf("%q is no number of minutes", text)
		}
		a.Duration = d
	}
	if text := strings.TrimSpace(r.PostForm.Get("claims")); text != "" {
		if err := json.Unmarshal([]byte(text), &a.CustomClaims); err != nil {
			return fmt.Errorf("the custom claims are no JSON object: %w", err)
		}
	}
	s, err := l.newSession(a)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.last = &s
	l.mu.Unlock()
	return nil
}

// newSession is Project.Login, which panics at reserved claims.
func (l *local) newSession(a stytchtest.Login) (s stytchtest.Session, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%v", v)
		}
	}()
	return l.project.Login(a), nil
}

// done says what to do about a session that is not live.
func done(live bool) error {
	if !live {
		return errors.New("there is no such live session")
	}
	return nil
}

func (l *local) revoke(r *http.Request) error {
	return done(l.project.Revoke(r.PostFormValue("session_id")))
}

func (l *local) expire(r *http.Request) error {
	return done(l.project.Expire(r.PostFormValue("session_id")))
}

func (l *local) stepUp(r *http.Request) error {
	f, ok := factor(r.PostFormValue("factor"))
	if !ok {
		return fmt.Errorf("there is no factor %q", r.PostFormValue("factor"))
	}
	return done(l.project.AddFactor(r.PostFormValue("session_id"), f))
}

func (l *local) rotate(r *http.Request) error {
	if r.PostFormValue("drop") != "" {
		l.project.RotateKeyHard()
	} else {
		l.project.RotateKey()
	}
	return nil
}

func (l *local) setFault(r *http.Request) error {
	name, target := r.PostFormValue("fault"), r.PostFormValue("target")
	f, ok := faultOf(name)
	if !ok {
		return fmt.Errorf("there is no fault %q", name)
	}
	if !slices.ContainsFunc(targetChoices, func(c choice) bool { return c.Name == target }) {
		return fmt.Errorf("there is no target %q", target)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.project.FailAPI(nil)
	l.project.FailKeys(nil)
	if target != "keys" {
		l.project.FailAPI(f)
	}
	if target != "api" {
		l.project.FailKeys(f)
	}
	l.fault, l.target = name, target
	return nil
}
