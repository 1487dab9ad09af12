package demo

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
)

// sessionBody is a session as the API shows it. Nothing in it is ever null.
type sessionBody struct {
	State        string          `json:"state"`
	UserID       string          `json:"user_id"`
	SessionID    string          `json:"session_id"`
	FromCache    bool            `json:"from_cache"` // no call to Stytch was made or joined
	VerifiedAt   time.Time       `json:"verified_at"`
	ExpiresAt    time.Time       `json:"expires_at"`
	Factors      []factorBody    `json:"factors"`
	Roles        []string        `json:"roles"`
	CustomClaims json.RawMessage `json:"custom_claims"`
}

type factorBody struct {
	Type                string           `json:"type"`
	DeliveryMethod      string           `json:"delivery_method"`
	LastAuthenticatedAt string           `json:"last_authenticated_at"` // as Stytch sent it
	Class               sessionctx.Class `json:"class"`
}

func bodyOf(s *sessionctx.Session) sessionBody {
	b := sessionBody{
		State:        "authenticated",
		UserID:       s.UserID(),
		SessionID:    s.ID(),
		FromCache:    s.Source() == sessionctx.Local,
		VerifiedAt:   s.VerifiedAt().UTC(),
		ExpiresAt:    s.ExpiresAt().UTC(),
		Factors:      make([]factorBody, s.NumFactors()),
		Roles:        append([]string{}, s.Roles()...),
		CustomClaims: json.RawMessage(s.CustomClaims()),
	}
	for i := range b.Factors {
		f := s.Factor(i)
		b.Factors[i] = factorBody{f.Type, f.DeliveryMethod, lastAuthenticatedAt(f), f.Class()}
	}
	return b
}

// lastAuthenticatedAt returns the time as Stytch spelled it, "" for none. A
// map, because encoding/json matches struct fields in any case.
func lastAuthenticatedAt(f sessionctx.Factor) string {
	var raw map[string]any
	if json.Unmarshal([]byte(f.Raw), &raw) != nil {
		return ""
	}
	at, _ := raw["last_authenticated_at"].(string)
	return at
}

// optional answers 200 whether or not there is a session.
func (a *app) optional(w http.ResponseWriter, r *http.Request) {
	if s, ok := sessionctx.From(r.Context()); ok {
		reply(w, http.StatusOK, bodyOf(s))
		return
	}
	reply(w, http.StatusOK, map[string]string{"state": a.stateWithout(r)})
}

// stateWithout names the state of a request that has no session. An outage is
// not the same as being logged out.
func (a *app) stateWithout(r *http.Request) string {
	if errors.Is(a.auth.Err(r), middleware.ErrUnavailable) {
		return "unavailable"
	}
	return "anonymous"
}

// session answers with the session a guard let through.
func (a *app) session(w http.ResponseWriter, r *http.Request) {
	s, ok := sessionctx.From(r.Context())
	if !ok {
		// Only a route mounted without its guard gets here.
		problem(w, http.StatusInternalServerError, "")
		return
	}
	reply(w, http.StatusOK, bodyOf(s))
}

// hydrate takes over the tokens of a login made by another back end.
func (a *app) hydrate(w http.ResponseWriter, r *http.Request) {
	var t middleware.Tokens
	body, err := readObject(w, r, true)
	if err == nil {
		t.SessionToken, err = text(body, "session_token")
	}
	if err == nil {
		t.SessionJWT, err = text(body, "session_jwt")
	}
	if err == nil && t.SessionToken == "" && t.SessionJWT == "" {
		err = errors.New("session_token or session_jwt is needed")
	}
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	s, err := a.auth.Hydrate(w, r, t)
	a.answer(w, r, s, err)
}

// refresh authenticates the session anew, and extends it if asked.
func (a *app) refresh(w http.ResponseWriter, r *http.Request) {
	var extend time.Duration
	body, err := readObject(w, r, false)
	if err == nil {
		extend, err = minutes(body, "session_duration_minutes")
	}
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	s, err := a.auth.Refresh(w, r, extend)
	a.answer(w, r, s, err)
}

func (a *app) answer(w http.ResponseWriter, r *http.Request, s *sessionctx.Session, err error) {
	if err != nil {
		a.auth.Deny(w, r, err)
		return
	}
	reply(w, http.StatusOK, bodyOf(s))
}

// logout ends the session here whatever Stytch says: a person who logs out
// during an outage is logged out of this program.
func (a *app) logout(w http.ResponseWriter, r *http.Request) {
	err := a.auth.Revoke(w, r)
	if errors.Is(err, middleware.ErrUnavailable) {
		a.log.Warn("logged out here, but Stytch could not be told", "error", err)
	} else if err != nil {
		a.auth.Deny(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

// reply writes v as JSON. What these routes say is one person's and of this
// moment, so nothing may keep it.
func reply(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		problem(w, http.StatusInternalServerError, "")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

// problem writes an RFC 9457 problem. detail is ours, never a client's text.
func problem(w http.ResponseWriter, status int, detail string) {
	body, _ := json.Marshal(struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail,omitempty"`
	}{http.StatusText(status), status, strings.TrimSpace(detail)})
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
