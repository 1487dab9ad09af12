// Package world makes what one case of the interoperability tests needs: a
// Stytch project in memory and a small site that uses the middleware in front
// of it.
package world

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/stytchtest"
)

// settings are what a test asks of its world. Zero means the default.
type settings struct {
	JWTLifetime int             `json:"jwt_lifetime"` // seconds
	TLS         bool            `json:"tls"`          // the site is https
	Private     bool            `json:"private"`
	Sealed      bool            `json:"sealed"`
	Domain      string          `json:"domain"`
	Headers     bool            `json:"headers"` // X-Stytch-Session-Token and -Jwt are read
	Options     json.RawMessage `json:"options"` // of the SDK, a JSON object
	Untouched   bool            `json:"untouched"`
}

// world is one project and one site.
type world struct {
	project *stytchtest.Project
	auth    *middleware.Authenticator
	servers []*http.Server
	options map[string]any
	sdk     string
}

type worlds struct {
	tls *tls.Config
	sdk string

	mu  sync.Mutex
	n   int
	all map[string]*world
}

// Handler makes worlds on demand, one for each POST /worlds, and steers them.
// sdk is the folder of the shipped browser SDK.
func Handler(certificate *tls.Config, sdk string) http.Handler {
	ws := &worlds{tls: certificate, sdk: sdk, all: map[string]*world{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /worlds", ws.open)
	mux.HandleFunc("DELETE /worlds/{id}", ws.close)
	for path, do := range map[string]func(*world, *http.Request) (any, error){
		"GET /worlds/{id}/calls":   (*world).calls,
		"POST /worlds/{id}/login":  (*world).login,
		"POST /worlds/{id}/change": (*world).change,
		"POST /worlds/{id}/mint":   (*world).mint,
		"POST /worlds/{id}/fault":  (*world).fault,
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			ws.mu.Lock()
			world := ws.all[r.PathValue("id")]
			ws.mu.Unlock()
			if world == nil {
				http.NotFound(w, r)
				return
			}
			answer, err := do(world, r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			reply(w, answer)
		})
	}
	return mux
}

func (ws *worlds) open(w http.ResponseWriter, r *http.Request) {
	var s settings
	answer, err := map[string]any(nil), decode(r, &s)
	if err == nil {
		answer, err = ws.start(s)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	reply(w, answer)
}

func (ws *worlds) start(s settings) (map[string]any, error) {
	world := &world{sdk: ws.sdk}
	world.project = stytchtest.New(stytchtest.Options{JWTLifetime: time.Duration(s.JWTLifetime) * time.Second})
	api, err := world.serve(world.project, nil)
	if err != nil {
		return nil, err
	}
	apiTLS, err := world.serve(world.project, ws.tls)
	if err != nil {
		return nil, err
	}

	world.options = map[string]any{}
	if len(s.Options) > 0 {
		if err := json.Unmarshal(s.Options, &world.options); err != nil {
			return nil, err
		}
	}
	if !s.Untouched {
		base := "http://" + api
		world.options["endpoints"] = map[string]string{
			"testAPIURL": base, "liveAPIURL": base, "dfpBackendURL": base, "clientsideServicesIframeURL": base,
		}
	}

	cfg := middleware.Config{
		ProjectID: world.project.ID(), Secret: world.project.Secret(), BaseURL: "http://" + api,
		Logger:  slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Cookies: middleware.Cookies{Domain: s.Domain},
	}
	if s.Private {
		cfg.Cookies.Posture = middleware.Private
	}
	if s.Sealed {
		key := make([]byte, 32)
		rand.Read(key)
		cfg.Cookies.Keys = [][]byte{key}
	}
	if s.Headers {
		cfg.TokenHeader, cfg.JWTHeader = "X-Stytch-Session-Token", "X-Stytch-Session-Jwt"
	}
	if world.auth, err = middleware.New(cfg); err != nil {
		return nil, err
	}
	siteTLS := (*tls.Config)(nil)
	if s.TLS {
		siteTLS = ws.tls
	}
	site, err := world.serve(world.site(), siteTLS)
	if err != nil {
		return nil, err
	}

	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.n++
	id := fmt.Sprint(ws.n)
	ws.all[id] = world
	return map[string]any{
		"id": id, "site": site, "api": api, "api_tls": apiTLS,
		"project_id": world.project.ID(), "secret": world.project.Secret(), "public_token": world.project.PublicToken(),
	}, nil
}

// serve serves h on a port of its own and returns the address.
func (w *world) serve(h http.Handler, cfg *tls.Config) (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	w.servers = append(w.servers, server)
	if cfg != nil {
		server.TLSConfig = cfg.Clone()
		go server.ServeTLS(ln, "", "")
	} else {
		go server.Serve(ln)
	}
	return ln.Addr().String(), nil
}

func (ws *worlds) close(w http.ResponseWriter, r *http.Request) {
	ws.mu.Lock()
	world := ws.all[r.PathValue("id")]
	delete(ws.all, r.PathValue("id"))
	ws.mu.Unlock()
	if world == nil {
		http.NotFound(w, r)
		return
	}
	for _, s := range world.servers {
		s.Close()
	}
	world.auth.Close()
	w.WriteHeader(http.StatusNoContent)
}

func (w *world) calls(*http.Request) (any, error) { return w.project.Calls(), nil }

// login makes a session at Stytch, as a back end of its own would.
func (w *world) login(r *http.Request) (any, error) {
	var a struct {
		Claims  map[string]any `json:"claims"`
		Factors []string       `json:"factors"`
	}
	if err := decode(r, &a); err != nil {
		return nil, err
	}
	login := stytchtest.Login{CustomClaims: a.Claims}
	for _, name := range a.Factors {
		f, ok := factors[name]
		if !ok {
			return nil, fmt.Errorf("no factor %q", name)
		}
		login.Factors = append(login.Factors, f())
	}
	s := w.project.Login(login)
	return map[string]string{
		"session_id": s.ID, "user_id": s.UserID,
		"session_token": s.Tokens.SessionToken, "session_jwt": s.Tokens.SessionJWT,
	}, nil
}

var factors = map[string]func() stytchtest.Factor{"email": stytchtest.EmailMagicLink, "sms": stytchtest.SMS, "totp": stytchtest.TOTP}

// change does something to a session at Stytch, behind everybody's back.
func (w *world) change(r *http.Request) (any, error) {
	var a struct {
		Session string `json:"session_id"`
		What    string `json:"what"`
	}
	if err := decode(r, &a); err != nil {
		return nil, err
	}
	var was bool
	switch a.What {
	case "look":
		_, was = w.project.Session(a.Session)
	case "revoke":
		was = w.project.Revoke(a.Session)
	case "expire":
		was = w.project.Expire(a.Session)
	case "step up":
		was = w.project.AddFactor(a.Session, stytchtest.SMS())
	default:
		return nil, fmt.Errorf("no change %q", a.What)
	}
	return map[string]bool{"live": was}, nil
}

// mint makes a JWT of a session that was issued some seconds ago.
func (w *world) mint(r *http.Request) (any, error) {
	var a struct {
		Session string `json:"session_id"`
		Age     int    `json:"age"`
		Forged  bool   `json:"forged"`
	}
	if err := decode(r, &a); err != nil {
		return nil, err
	}
	return map[string]string{"session_jwt": w.project.MintJWT(a.Session, stytchtest.Mint{
		IssuedAt: time.Now().Add(-time.Duration(a.Age) * time.Second), Lifetime: 5 * time.Minute, Forged: a.Forged,
	})}, nil
}

// fault makes the API fail from now on, or for one path only; a status of 0
// ends it.
func (w *world) fault(r *http.Request) (any, error) {
	var a struct {
		Status     int    `json:"status"` // 0 with Down unset ends all faults
		Type       string `json:"error_type"`
		RetryAfter string `json:"retry_after"`
		Path       string `json:"path"`
		Down       bool   `json:"down"`
	}
	if err := decode(r, &a); err != nil {
		return nil, err
	}
	var f stytchtest.Fault
	switch {
	case a.Down:
		f = stytchtest.Down()
	case a.Status == http.StatusTooManyRequests:
		f = stytchtest.TooManyRequests(a.RetryAfter)
	case a.Status != 0 && a.Type == "":
		f = stytchtest.HTML(a.Status)
	case a.Status != 0:
		f = stytchtest.Error(a.Status, a.Type)
	}
	if f != nil && a.Path != "" {
		f = f.On(a.Path)
	}
	w.project.FailAPI(f)
	return struct{}{}, nil
}

func decode(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	return d.Decode(v)
}

func reply(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(b)
}
