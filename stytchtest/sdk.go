package stytchtest

import (
	"encoding/json"
	"net/http"
	"strings"
)

// sdkPath is where the calls of Stytch's front-end SDK go.
const sdkPath = "/sdk/v1/"

func (p *Project) sdkRoute(path string) route {
	c := &p.calls
	switch path {
	case "sessions/authenticate":
		return route{method: "POST", calls: &c.sdkAuthenticate, sdk: p.authenticateSDK}
	case "sessions/revoke":
		return route{method: "POST", calls: &c.sdkRevoke, sdk: p.revokeSDK}
	case "events":
		return route{method: "POST", calls: &c.sdkEvents, sdk: p.takeEvents}
	}
	if strings.HasPrefix(path, bootstrapPath) {
		return route{method: "GET", calls: &c.sdkBootstrap, sdk: p.bootstrap}
	}
	return route{calls: &c.other}
}

const bootstrapPath = "projects/bootstrap/"

// answeredByCORS lets pages of any origin read the answer, errors and faulty
// ones included, and reports whether r was a preflight request and is answered.
// The real API knows the origins a project allows; here the only credential is
// the one in the Authorization header, which no other page has.
// https://fetch.spec.whatwg.org/#http-cors-protocol
func answeredByCORS(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	h.Set("Access-Control-Allow-Headers", "authorization, content-type, x-sdk-client, x-sdk-parent-host")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// serveSDK wraps what answer returns in data; errors are not wrapped.
func (p *Project) serveSDK(w http.ResponseWriter, r *http.Request, answer func(*http.Request) (any, *apiError)) {
	data, err := answer(r)
	if err != nil {
		p.answerError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, mustMarshal(map[string]any{"data": data}))
}

var (
	errUnauthenticated = &apiError{401, "user_unauthenticated", "The user is not authenticated."}
	errPublicToken     = &apiError{404, "public_token_not_found", "The public token could not be found."}
)

// sdkPassword returns what a call of the SDK carries beside the public token:
// the session token, or where there is none the public token again.
func (p *Project) sdkPassword(r *http.Request) (string, *apiError) {
	public, password, ok := r.BasicAuth()
	if !ok || public != p.publicToken {
		return "", errCredentials
	}
	return password, nil
}

// sdkToken returns the session token of a call that needs one.
func (p *Project) sdkToken(r *http.Request) (string, *apiError) {
	password, err := p.sdkPassword(r)
	switch {
	case err != nil:
		return "", err
	case password == p.publicToken:
		return "", errUnauthenticated
	case !wellFormedToken(password): // to the SDK a session token is its password
		return "", errCredentials
	}
	return password, nil
}

func (p *Project) authenticateSDK(r *http.Request) (any, *apiError) {
	token, err := p.sdkToken(r)
	if err != nil {
		return nil, err
	}
	var body struct {
		Duration json.RawMessage `json:"session_duration_minutes"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	return p.authenticateSession(&sessionArguments{SessionToken: token, Duration: body.Duration})
}

func (p *Project) revokeSDK(r *http.Request) (any, *apiError) {
	token, err := p.sdkToken(r)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.find(token, "", now())
	if err != nil {
		return nil, err
	}
	s.revoked = true
	return p.done(), nil
}

// takeEvents takes the SDK's telemetry, which comes without credentials, and
// forgets it.
func (p *Project) takeEvents(*http.Request) (any, *apiError) { return p.done(), nil }

// done is the answer of a call that has nothing to say.
type done struct {
	StatusCode int    `json:"status_code"`
	RequestID  string `json:"request_id"`
}

func (p *Project) done() done { return done{http.StatusOK, p.newRequestID()} }

// bootstrap tells the SDK how the project is configured. A session that is
// over is no obstacle to that.
func (p *Project) bootstrap(r *http.Request) (any, *apiError) {
	if _, err := p.sdkPassword(r); err != nil {
		return nil, err
	}
	if strings.TrimPrefix(r.URL.Path, sdkPath+bootstrapPath) != p.publicToken {
		return nil, errPublicToken
	}
	return bootstrap{
		RequestID: p.newRequestID(), StatusCode: http.StatusOK, ProjectName: "stytchtest",
		DisableWatermark: true, EmailDomains: []string{}, Vertical: "CONSUMER",
	}, nil
}

// bootstrap has every member that the SDK reads. null is what a project has
// that never set it.
type bootstrap struct {
	RequestID        string   `json:"request_id"`
	StatusCode       int      `json:"status_code"`
	ProjectName      string   `json:"project_name"`
	DisableWatermark bool     `json:"disable_sdk_watermark"`
	CNAMEDomain      *string  `json:"cname_domain"`
	EmailDomains     []string `json:"email_domains"`
	CaptchaSettings  struct {
		Enabled bool `json:"enabled"`
	} `json:"captcha_settings"`
	PKCEForMagicLinks  bool      `json:"pkce_required_for_email_magic_links"`
	PKCEForPasswords   bool      `json:"pkce_required_for_password_resets"`
	PKCEForOAuth       bool      `json:"pkce_required_for_oauth"`
	PKCEForSSO         bool      `json:"pkce_required_for_sso"`
	SlugPattern        *string   `json:"slug_pattern"`
	CreateOrganization bool      `json:"create_organization_enabled"`
	PasswordConfig     *struct{} `json:"password_config"`
	DFPProtectedAuth   bool      `json:"dfp_protected_auth_enabled"`
	RBACPolicy         *struct{} `json:"rbac_policy"`
	SIWERequired       bool      `json:"siwe_required_for_crypto_wallets"`
	Vertical           string    `json:"vertical"`
}
