package stytchtest

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxBody         = 1 << 20
	maxCustomClaims = 4 << 10
	// Session durations, in minutes.
	minDuration, maxDuration = 5, 527040
)

// ServeHTTP answers as Stytch's API does:
//
//	GET  /v1/sessions/jwks/{project_id}          no credentials
//	POST /v1/sessions/authenticate
//	POST /v1/sessions/revoke
//	GET  /v1/sessions?user_id=
//	POST /v1/magic_links/email/login_or_create
//	POST /v1/magic_links/authenticate
//	POST /v1/otps/sms/send
//	POST /v1/otps/authenticate
//
// and as the part of it that Stytch's front-end SDK calls, with cross-origin
// requests from any origin:
//
//	GET  /sdk/v1/projects/bootstrap/{public_token}
//	POST /sdk/v1/sessions/authenticate
//	POST /sdk/v1/sessions/revoke
//	POST /sdk/v1/events
func (p *Project) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The body is read at once: a fault may pass the request on late, and a
	// server notices that its client has left only when nothing is left to read.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if strings.HasPrefix(r.URL.Path, sdkPath) && answeredByCORS(w, r) {
		return
	}
	if err != nil {
		p.answerError(w, &apiError{http.StatusRequestEntityTooLarge, "request_too_large", "The request body could not be read."})
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))

	route := p.route(r.URL.Path)
	route.calls.Add(1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, route) })
	if fault := p.faults.of(route.keySet).Load(); fault != nil {
		(*fault)(w, r, handler)
		return
	}
	handler(w, r)
}

// route is one path of the API.
type route struct {
	method string // "" for none: there is nothing there
	calls  *atomic.Int64
	keySet bool
	answer func(*http.Request) (any, *apiError)
	sdk    func(*http.Request) (any, *apiError) // a call of the front-end SDK
}

func (p *Project) route(path string) route {
	c := &p.calls
	switch path {
	case "/v1/sessions/authenticate":
		return route{method: "POST", calls: &c.authenticate, answer: p.authenticate}
	case "/v1/sessions/revoke":
		return route{method: "POST", calls: &c.revoke, answer: p.revoke}
	case "/v1/sessions":
		return route{method: "GET", calls: &c.list, answer: p.list}
	case "/v1/magic_links/email/login_or_create":
		return route{method: "POST", calls: &c.send, answer: p.sendMagicLink}
	case "/v1/magic_links/authenticate":
		return route{method: "POST", calls: &c.login, answer: p.authenticateMagicLink}
	case "/v1/otps/sms/send":
		return route{method: "POST", calls: &c.send, answer: p.sendSMS}
	case "/v1/otps/authenticate":
		return route{method: "POST", calls: &c.login, answer: p.authenticateOTP}
	}
	if strings.HasPrefix(path, keySetPath) {
		return route{method: "GET", calls: &c.keySet, keySet: true}
	}
	if strings.HasPrefix(path, sdkPath) {
		return p.sdkRoute(strings.TrimPrefix(path, sdkPath))
	}
	return route{calls: &c.other}
}

const keySetPath = "/v1/sessions/jwks/"

func (p *Project) serve(w http.ResponseWriter, r *http.Request, route route) {
	switch {
	case route.method == "":
		p.answerError(w, &apiError{http.StatusNotFound, "route_not_found", "The requested route could not be found."})
		return
	case r.Method != route.method:
		w.Header().Set("Allow", route.method)
		p.answerError(w, &apiError{http.StatusMethodNotAllowed, "method_not_allowed", "The method is not allowed on this route."})
		return
	case route.keySet:
		if strings.TrimPrefix(r.URL.Path, keySetPath) != p.id {
			p.answerError(w, &apiError{http.StatusNotFound, "project_not_found", "Project could not be found."})
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=900")
		writeJSON(w, http.StatusOK, p.KeySet())
		return
	case route.sdk != nil:
		p.serveSDK(w, r, route.sdk)
		return
	}
	if err := p.authorize(r); err != nil {
		p.answerError(w, err)
		return
	}
	answer, err := route.answer(r)
	if err != nil {
		p.answerError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, mustMarshal(answer))
}

func (p *Project) authorize(r *http.Request) *apiError {
	id, secret, ok := r.BasicAuth()
	switch {
	case ok && id != p.id:
		return errProjectID
	case !ok || subtle.ConstantTimeCompare([]byte(secret), []byte(p.secret)) != 1:
		return errCredentials
	case r.Method == http.MethodPost && r.Header.Get("Content-Type") != "application/json":
		return &apiError{http.StatusBadRequest, "invalid_content_type", "The Content-Type must be exactly application/json."}
	}
	return nil
}

// apiError is an error as the API answers it.
type apiError struct {
	status       int
	typ, message string
}

var (
	errCredentials       = &apiError{401, "unauthorized_credentials", "Unauthorized credentials."}
	errProjectID         = &apiError{401, "invalid_project_id_authentication", "The project_id is not the one of this project."}
	errMalformed         = &apiError{400, "invalid_request_value", "The request body is not a JSON object of this request."}
	errNoSession         = &apiError{400, "no_session_arguments", "Please include a session_token or a session_jwt."}
	errTooManySessions   = &apiError{400, "too_many_session_arguments", "Please include at most one of session_token or session_jwt in an authenticate request, not multiple."}
	errNoRevokeArgument  = &apiError{400, "no_session_revoke_arguments", "Please include a session_id, a session_token or a session_jwt."}
	errTooManyRevokeArgs = &apiError{400, "too_many_session_revoke_arguments", "Please include exactly one of session_id, session_token or session_jwt."}
	errDuration          = &apiError{400, "invalid_session_duration", "session_duration_minutes must be between 5 and 527040."}
	errClaimsTooLarge    = &apiError{400, "custom_claims_too_large", "The custom claims are larger than 4 KB."}
	errReservedClaim     = &apiError{400, "invalid_session_custom_claims", "A custom claim has a reserved name."}
	errSessionToken      = &apiError{400, "invalid_session_token", "The session_token is not valid."}
	errSessionID         = &apiError{400, "invalid_session_id", "The session_id is not valid."}
	errUnparsableJWT     = &apiError{400, "unable_to_parse_session_jwt", "The session_jwt could not be parsed."}
	errJWTIssuer         = &apiError{400, "jwt_invalid_issuer", "The issuer of the session_jwt is not this project."}
	errJWTAudience       = &apiError{400, "jwt_invalid_audience", "The audience of the session_jwt is not this project."}
	errJWTClaims         = &apiError{400, "jwt_invalid_claims", "The claims of the session_jwt are not those of a session."}
	errSessionType       = &apiError{400, "incompatible_session_type", "The session is of another kind of project."}
	errSessionNotFound   = &apiError{404, "session_not_found", "Session could not be found."}
	errSessionUser       = &apiError{403, "session_authorization_error", "The session is another user's."}
	errInvalidUserID     = &apiError{400, "invalid_user_id", "The user_id is not valid."}
	errUserNotFound      = &apiError{404, "user_not_found", "User could not be found."}
)

func (p *Project) answerError(w http.ResponseWriter, e *apiError) {
	writeJSON(w, e.status, mustMarshal(struct {
		StatusCode   int    `json:"status_code"`
		RequestID    string `json:"request_id"`
		ErrorType    string `json:"error_type"`
		ErrorMessage string `json:"error_message"`
		ErrorURL     string `json:"error_url"`
	}{e.status, p.newRequestID(), e.typ, e.message, "https://stytch.com/docs/api/errors/" + strconv.Itoa(e.status)}))
}

func (p *Project) newRequestID() string { return "request-id-" + p.env + "-" + newUUID() }

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body) // a client that left needs no answer
}

// decode reads a request's body into v.
func decode(r *http.Request, v any) *apiError {
	if !decodeJSON(r.Body, v) {
		return errMalformed
	}
	return nil
}

// sessionArguments are what every call that makes or changes a session takes.
type sessionArguments struct {
	SessionToken string          `json:"session_token"`
	SessionJWT   string          `json:"session_jwt"`
	Duration     json.RawMessage `json:"session_duration_minutes"`
	CustomClaims map[string]any  `json:"session_custom_claims"`
}

// check returns the duration; 0 stands for none.
func (a *sessionArguments) check() (time.Duration, *apiError) {
	if a.SessionToken != "" && a.SessionJWT != "" {
		return 0, errTooManySessions
	}
	for name := range a.CustomClaims {
		if reserved(name) {
			return 0, errReservedClaim
		}
	}
	if len(a.Duration) == 0 || string(a.Duration) == "null" {
		return 0, nil
	}
	minutes, err := strconv.Atoi(string(a.Duration))
	if err != nil || minutes < minDuration || minutes > maxDuration {
		return 0, errDuration
	}
	return time.Duration(minutes) * time.Minute, nil
}

// find returns the live session that one of the tokens names; it is called
// with p.mu held. The id is what sessionOfJWT found, or "".
func (p *Project) find(token, id string, at time.Time) (*session, *apiError) {
	var s *session
	switch {
	case token == sandboxToken:
		return p.sandboxSession(at), nil
	case token != "":
		if !wellFormedToken(token) {
			return nil, errSessionToken
		}
		s = p.byToken[token]
	default:
		s, _ = p.sessions.get(id)
	}
	switch {
	case s == nil || !s.live(at):
		return nil, errSessionNotFound
	case s.orgID != "":
		return nil, errSessionType
	}
	return s, nil
}

func wellFormedToken(token string) bool {
	return len(token) == len(sandboxToken) && strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// Stytch's sandbox token, for which every project has a session. Its
// counterpart, 59cnLELtq5cFVS6uYK9f-pAWzBkhqZl8AvLhbhOvKNWw, is no project's
// and so not found.
const (
	sandboxToken   = "WJtR5BCy38Szd5AfoDpf0iqFKEt4EE5JhjlWUY7l3FtY"
	sandboxSession = "-fe6c042b-6286-479f-8a4f-b046a6c46509"
	sandboxUser    = "-16d9ba61-97a1-4ba4-9720-b03761dc50c6"
)

// sandboxSession is called with p.mu held.
func (p *Project) sandboxSession(at time.Time) *session {
	id := "session-" + p.env + sandboxSession
	if s, ok := p.sessions.get(id); ok {
		if s.live(at) {
			return s
		}
		p.sessions.remove(id)
	}
	s := &session{
		id: id, userID: "user-" + p.env + sandboxUser, token: sandboxToken,
		startedAt: at, lastAccessed: at, expiresAt: at.Add(time.Hour),
		factors: []storedFactor{EmailMagicLink().stored(at)}, roles: []string{"stytch_user"},
	}
	p.addSession(s)
	return s
}

// sessionAnswer is the answer of every call that makes or changes a session.
type sessionAnswer struct {
	StatusCode   int         `json:"status_code"`
	RequestID    string      `json:"request_id"`
	MethodID     string      `json:"method_id,omitempty"`
	UserID       string      `json:"user_id,omitempty"`
	Session      *apiSession `json:"session"`
	SessionToken string      `json:"session_token"`
	SessionJWT   string      `json:"session_jwt"`
	User         *apiUser    `json:"user"`
}

// use renews s by what a asks for and by a factor, and returns the answer; it
// is called with p.mu held, and what it returns must be called without. After
// an error s is as it was.
func (p *Project) use(s *session, a *sessionArguments, d time.Duration, at time.Time, factors ...storedFactor) (func() *sessionAnswer, *apiError) {
	claims := s.claims
	if a.CustomClaims != nil {
		claims = mergeClaims(claims, a.CustomClaims)
		if len(mustMarshal(claims)) > maxCustomClaims {
			return nil, errClaimsTooLarge
		}
	}
	s.claims, s.lastAccessed = claims, at
	for _, f := range factors {
		s.addFactor(f)
	}
	if d > 0 {
		s.expiresAt = at.Add(d)
	}
	answer := &sessionAnswer{
		StatusCode: 200, RequestID: p.newRequestID(),
		Session: s.api(), SessionToken: s.token, User: p.apiUser(s.userID),
	}
	jwt, key := p.claims(s, at), p.keys[0]
	// Signing takes a millisecond, too long to keep everybody waiting.
	return func() *sessionAnswer {
		answer.SessionJWT = sign(key, nil, jwt)
		return answer
	}, nil
}

func (p *Project) authenticate(r *http.Request) (any, *apiError) {
	var a sessionArguments
	if err := decode(r, &a); err != nil {
		return nil, err
	}
	return p.authenticateSession(&a)
}

func (p *Project) authenticateSession(a *sessionArguments) (any, *apiError) {
	d, err := a.check()
	if err != nil {
		return nil, err
	}
	if a.SessionToken == "" && a.SessionJWT == "" {
		return nil, errNoSession
	}
	id, err := p.idOf(a.SessionJWT)
	if err != nil {
		return nil, err
	}
	answer, err := func() (func() *sessionAnswer, *apiError) {
		p.mu.Lock()
		defer p.mu.Unlock()
		at := now()
		s, err := p.find(a.SessionToken, id, at)
		if err != nil {
			return nil, err
		}
		return p.use(s, a, d, at)
	}()
	if err != nil {
		return nil, err
	}
	return answer(), nil
}

// idOf is sessionOfJWT for a JWT that may be missing.
func (p *Project) idOf(jwt string) (string, *apiError) {
	if jwt == "" {
		return "", nil
	}
	return p.sessionOfJWT(jwt)
}

func (p *Project) revoke(r *http.Request) (any, *apiError) {
	var a struct {
		SessionID    string `json:"session_id"`
		SessionToken string `json:"session_token"`
		SessionJWT   string `json:"session_jwt"`
	}
	if err := decode(r, &a); err != nil {
		return nil, err
	}
	n := 0
	for _, argument := range []string{a.SessionID, a.SessionToken, a.SessionJWT} {
		if argument != "" {
			n++
		}
	}
	switch {
	case n == 0:
		return nil, errNoRevokeArgument
	case n > 1:
		return nil, errTooManyRevokeArgs
	case a.SessionID != "" && !strings.HasPrefix(a.SessionID, "session-"+p.env+"-"):
		return nil, errSessionID
	}
	id, err := p.idOf(a.SessionJWT)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.find(a.SessionToken, id+a.SessionID, now())
	if err != nil {
		return nil, err
	}
	s.revoked = true
	return p.done(), nil
}

func (p *Project) list(r *http.Request) (any, *apiError) {
	userID := r.URL.Query().Get("user_id")
	if userID == "" {
		return nil, errInvalidUserID
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	at := now()
	sessions := []*apiSession{}
	for _, s := range p.sessions.all {
		if s.userID == userID && s.orgID == "" && s.live(at) {
			sessions = append(sessions, s.api())
		}
	}
	return struct {
		StatusCode int           `json:"status_code"`
		RequestID  string        `json:"request_id"`
		Sessions   []*apiSession `json:"sessions"`
	}{200, p.newRequestID(), sessions}, nil
}
