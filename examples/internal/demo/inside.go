package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

// demo serves /demo/: the login that a program with an account would have
// elsewhere, and the handles on the Stytch project in memory. With an account
// there is nothing there.
func (a *app) demo() http.HandlerFunc {
	if a.project == nil {
		return http.NotFound
	}
	in := &inside{app: a, used: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /demo/state", in.state)
	mux.HandleFunc("POST /demo/login", in.login)
	mux.HandleFunc("GET /demo/authenticate", in.authenticate)
	mux.Handle("POST /demo/step-up", a.auth.RequireSession(http.HandlerFunc(in.stepUp)))
	mux.Handle("POST /demo/step-up/verify", a.auth.RequireSession(http.HandlerFunc(in.verify)))
	mux.HandleFunc("POST /demo/outage", in.outage)
	mux.HandleFunc("POST /demo/rotate", in.rotate)
	mux.Handle("POST /demo/stale", a.auth.RequireSession(http.HandlerFunc(in.stale)))
	mux.Handle("POST /demo/revoke", a.auth.RequireSession(http.HandlerFunc(in.revoke)))
	return http.NewCrossOriginProtection().Handler(mux).ServeHTTP
}

// inside is the back end of the demo. It logs people in by calling the Stytch
// API of the project in memory, as a back end of its own would.
type inside struct {
	*app
	down atomic.Bool // whether the project was made unavailable

	mu   sync.Mutex
	used map[string]bool // tokens and codes of the inbox that did their work
}

// spent takes a message out of the inbox.
func (in *inside) spent(secret string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.used[secret] = true
}

// unread returns the messages nobody used yet, newest first.
func (in *inside) unread() []message {
	in.mu.Lock()
	defer in.mu.Unlock()
	messages, used := []message{}, map[string]bool{}
	for _, m := range slices.Backward(in.project.Inbox()) {
		// A message has one of the two.
		if secret := m.Token + m.Code; in.used[secret] {
			used[secret] = true
		} else if len(messages) < shownMessages {
			messages = append(messages, message{To: m.To, At: m.SentAt, Token: m.Token, Code: m.Code})
		}
	}
	in.used = used // what has left the inbox needs no memory
	return messages
}

// message is a letter or text in the inbox on the page.
type message struct {
	To    string    `json:"to"`
	At    time.Time `json:"at"`
	Token string    `json:"token,omitempty"` // of a magic link
	Code  string    `json:"code,omitempty"`  // of a text
}

// shownMessages is how many messages the page shows.
const shownMessages = 3

// state shows the inbox and how Stytch is doing.
func (in *inside) state(w http.ResponseWriter, r *http.Request) {
	c := in.project.Calls()
	reply(w, http.StatusOK, struct {
		Inbox       []message `json:"inbox"`
		Unavailable bool      `json:"unavailable"`
		Calls       int       `json:"calls"` // by the middleware; not those of a login
	}{in.unread(), in.down.Load(), c.KeySet + c.Authenticate + c.Revoke})
}

// login sends a magic link.
func (in *inside) login(w http.ResponseWriter, r *http.Request) {
	body, err := readObject(w, r, true)
	var email string
	if err == nil {
		email, err = text(body, "email")
	}
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	if _, err := in.call(r.Context(), "/v1/magic_links/email/login_or_create", map[string]any{"email": email}); err != nil {
		in.refuse(w, err, "That is no e-mail address.")
		return
	}
	reply(w, http.StatusAccepted, struct{}{})
}

// authenticate is where a magic link leads: its token becomes a session.
func (in *inside) authenticate(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Referrer-Policy", "no-referrer") // the token is in the URL
	back, token := middleware.ReturnTo(r), r.URL.Query().Get("token")
	answer, err := in.call(r.Context(), "/v1/magic_links/authenticate", map[string]any{
		"token":                    token,
		"session_duration_minutes": 60,
	})
	if err == nil {
		if _, err = in.auth.Hydrate(w, r, answer.tokens()); err != nil {
			in.log.Warn("login by magic link", "error", err)
		}
	}
	if err == nil {
		in.spent(token)
		http.Redirect(w, r, back, http.StatusSeeOther)
		return
	}
	// Back to the page, which says what happened.
	query := url.Values{"link": {"dead"}}
	if errors.Is(err, errUnavailable) || errors.Is(err, middleware.ErrUnavailable) {
		query.Set("link", "later")
	}
	if back != "/" {
		query.Set("return_to", back)
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, "/?"+query.Encode(), http.StatusSeeOther)
}

// stepUp sends a code to a phone.
func (in *inside) stepUp(w http.ResponseWriter, r *http.Request) {
	body, err := readObject(w, r, true)
	var phone string
	if err == nil {
		phone, err = text(body, "phone_number")
	}
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	s, _ := sessionctx.From(r.Context())
	answer, err := in.call(r.Context(), "/v1/otps/sms/send", map[string]any{"phone_number": phone, "user_id": s.UserID()})
	if err != nil {
		in.refuse(w, err, "No code can be sent to that number: it belongs to another user, or is none.")
		return
	}
	reply(w, http.StatusAccepted, map[string]string{"phone_id": answer.PhoneID})
}

// verify adds the phone to the session as its second factor.
func (in *inside) verify(w http.ResponseWriter, r *http.Request) {
	body, err := readObject(w, r, true)
	var phoneID, code string
	if err == nil {
		phoneID, err = text(body, "phone_id")
	}
	if err == nil {
		code, err = text(body, "code")
	}
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	request := map[string]any{"method_id": phoneID, "code": code, "session_duration_minutes": 60}
	switch held, _ := in.auth.Tokens(r); {
	case held.SessionToken != "":
		request["session_token"] = held.SessionToken
	default:
		request["session_jwt"] = held.SessionJWT
	}
	answer, err := in.call(r.Context(), "/v1/otps/authenticate", request)
	if err != nil {
		in.refuse(w, err, "That code is wrong, used or too old.")
		return
	}
	in.spent(code)
	s, err := in.auth.Hydrate(w, r, answer.tokens())
	in.answer(w, r, s, err)
}

// outage takes the whole project away, or brings it back.
func (in *inside) outage(w http.ResponseWriter, r *http.Request) {
	body, err := readObject(w, r, true)
	if err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	switch string(body["unavailable"]) {
	case "true":
		in.project.FailAPI(stytchtest.Down())
		in.project.FailKeys(stytchtest.Down())
		in.down.Store(true)
	case "false":
		in.project.FailAPI(nil)
		in.project.FailKeys(nil)
		in.down.Store(false)
	default:
		problem(w, http.StatusBadRequest, "unavailable must be true or false")
		return
	}
	done(w)
}

// rotate makes the project sign with a new key.
func (in *inside) rotate(w http.ResponseWriter, r *http.Request) {
	in.project.RotateKey()
	done(w)
}

// stale replaces the JWT in the cookie with one of the same session that
// expired a minute ago, as happens to a page left open.
func (in *inside) stale(w http.ResponseWriter, r *http.Request) {
	if in.Config.Cookies.Posture != middleware.Shared {
		problem(w, http.StatusConflict, "Only cookies shared with the front-end SDK can be replaced from outside.")
		return
	}
	s, _ := sessionctx.From(r.Context())
	http.SetCookie(w, &http.Cookie{
		Name: "stytch_session_jwt", Value: in.project.MintJWT(s.ID(), stytchtest.Mint{IssuedAt: time.Now().Add(-6 * time.Minute)}),
		Path: "/", Domain: in.Config.Cookies.Domain, Expires: s.ExpiresAt(), SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil,
	})
	done(w)
}

// revoke ends the session at Stytch without telling this process.
func (in *inside) revoke(w http.ResponseWriter, r *http.Request) {
	s, _ := sessionctx.From(r.Context())
	in.project.Revoke(s.ID())
	done(w)
}

func done(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
}

// errUnavailable and errRefused are what a call to Stytch can fail with.
var (
	errUnavailable = errors.New("demo: Stytch is unavailable")
	errRefused     = errors.New("demo: Stytch refused")
)

func (in *inside) refuse(w http.ResponseWriter, err error, detail string) {
	if errors.Is(err, errUnavailable) {
		w.Header().Set("Retry-After", "2")
		problem(w, http.StatusServiceUnavailable, "")
		return
	}
	problem(w, http.StatusBadRequest, detail)
}

// loginAnswer is what the calls below need of Stytch's answers.
type loginAnswer struct {
	SessionToken string `json:"session_token"`
	SessionJWT   string `json:"session_jwt"`
	PhoneID      string `json:"phone_id"`
}

func (l loginAnswer) tokens() middleware.Tokens {
	return middleware.Tokens{SessionToken: l.SessionToken, SessionJWT: l.SessionJWT}
}

// call makes one call to the API of the project.
func (in *inside) call(ctx context.Context, path string, body any) (loginAnswer, error) {
	var answer loginAnswer
	payload, err := json.Marshal(body)
	if err != nil {
		return answer, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, in.Config.BaseURL+path, bytes.NewReader(payload))
	if err != nil {
		return answer, err
	}
	req.SetBasicAuth(in.Config.ProjectID, in.Config.Secret)
	req.Header.Set("Content-Type", "application/json")
	res, err := in.Config.HTTPClient.Do(req)
	if err != nil {
		return answer, errUnavailable
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode >= 500, res.StatusCode == http.StatusTooManyRequests:
		return answer, errUnavailable
	case res.StatusCode != http.StatusOK && res.StatusCode != http.StatusCreated:
		return answer, errRefused
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&answer); err != nil {
		return answer, errUnavailable
	}
	return answer, nil
}
