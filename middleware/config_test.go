package middleware_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/middleware"
	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

const aSecret = "secret-test-hunter2hunter2hunter2"

var aKey = []byte("a key of thirty-two bytes, no less")

// sound is a configuration without a mistake.
func sound() middleware.Config {
	return middleware.Config{ProjectID: "project-test-11111111-2222", Secret: aSecret, Logger: slog.New(slog.DiscardHandler),
		HTTPClient: &http.Client{Transport: hung{}}}
}

// hung is a network that never answers.
type hung struct{}

func (hung) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// fields are the fields that the error of New names.
func fields(t *testing.T, err error) (names []string) {
	t.Helper()
	if err == nil {
		return nil
	}
	many, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%T does not join the mistakes", err)
	}
	for _, one := range many.Unwrap() {
		var c *middleware.ConfigError
		if !errors.As(one, &c) || one != error(c) {
			t.Fatalf("%T is no *ConfigError: %v", one, one)
		}
		if got := c.Error(); got != "middleware: Config."+c.Field+": "+c.Problem || c.Problem == "" || strings.Contains(got, "\n") {
			t.Errorf("%q", got)
		}
		names = append(names, c.Field)
	}
	return names
}

func TestConfigMistakes(t *testing.T) {
	type cfg = middleware.Config
	weak := []byte("only sixteen byt")
	for name, c := range map[string]struct {
		change func(*cfg)
		want   string // the fields, in order
	}{
		"none":                      {func(c *cfg) {}, ""},
		"no project id":             {func(c *cfg) { c.ProjectID = "" }, "ProjectID"},
		"no project id, live":       {func(c *cfg) { c.ProjectID, c.Secret = "", "secret-live-x" }, "ProjectID"},
		"project id elsewhere":      {func(c *cfg) { c.ProjectID = "project-prod-1" }, "ProjectID"},
		"project id without an end": {func(c *cfg) { c.ProjectID = "project-test-" }, "ProjectID"},
		"project id with a slash":   {func(c *cfg) { c.ProjectID = "project-test-1/../2" }, "ProjectID"},
		"project id and a space":    {func(c *cfg) { c.ProjectID += " " }, "ProjectID"},
		"fields swapped":            {func(c *cfg) { c.ProjectID, c.Secret = c.Secret, c.ProjectID }, "ProjectID Secret"},
		"no secret":                 {func(c *cfg) { c.Secret = "" }, "Secret"},
		"public token as secret":    {func(c *cfg) { c.Secret = "public-token-test-x" }, "Secret"},
		"secret with a newline":     {func(c *cfg) { c.Secret += "\n" }, "Secret"},
		"secret with a space":       {func(c *cfg) { c.Secret = " " + c.Secret }, "Secret"},
		"secret with an umlaut":     {func(c *cfg) { c.Secret += "ü" }, "Secret"},
		"live secret, test project": {func(c *cfg) { c.Secret = "secret-live-x" }, "Secret"},
		"test secret, live project": {func(c *cfg) { c.ProjectID = "project-live-1" }, "Secret"},
		"live secret, live project": {func(c *cfg) { c.ProjectID, c.Secret = "project-live-1", "secret-live-x" }, ""},
		"secret of another form":    {func(c *cfg) { c.Secret = "x" }, ""},
		"neither":                   {func(c *cfg) { c.ProjectID, c.Secret = "", "" }, "ProjectID Secret"},

		"base URL":                {func(c *cfg) { c.BaseURL = "https://login.example.com/" }, ""},
		"base URL, loopback":      {func(c *cfg) { c.BaseURL = "http://127.0.0.1:8080" }, ""},
		"base URL, http":          {func(c *cfg) { c.BaseURL = "http://login.example.com" }, "BaseURL"},
		"base URL, no scheme":     {func(c *cfg) { c.BaseURL = "login.example.com" }, "BaseURL"},
		"base URL with a path":    {func(c *cfg) { c.BaseURL = "https://login.example.com/v1" }, "BaseURL"},
		"base URL with a query":   {func(c *cfg) { c.BaseURL = "https://login.example.com?" }, "BaseURL"},
		"base URL with user info": {func(c *cfg) { c.BaseURL = "https://a:b@login.example.com" }, "BaseURL"},
		"base URL, live, test":    {func(c *cfg) { c.BaseURL = "https://api.stytch.com/" }, "BaseURL"},
		"base URL, test":          {func(c *cfg) { c.BaseURL = "https://test.stytch.com" }, ""},
		"base URL, test, live":    {func(c *cfg) { c.ProjectID, c.BaseURL = "project-live-1", "https://TEST.stytch.com" }, "Secret BaseURL"},
		"base URL, http in name":  {func(c *cfg) { c.BaseURL = "http://127.0.0.1.example.com" }, "BaseURL"},

		"token header":            {func(c *cfg) { c.TokenHeader, c.JWTHeader = "x-stytch-session-token", "X-Stytch-Session-JWT" }, ""},
		"header with a space":     {func(c *cfg) { c.TokenHeader = "X Token" }, "TokenHeader"},
		"header with a line":      {func(c *cfg) { c.JWTHeader = "X-Jwt\r\nX-Evil" }, "JWTHeader"},
		"header with a colon":     {func(c *cfg) { c.JWTHeader = "X-Jwt:" }, "JWTHeader"},
		"Authorization by header": {func(c *cfg) { c.TokenHeader = "authorization" }, "TokenHeader"},
		"Cookie by header":        {func(c *cfg) { c.JWTHeader = "COOKIE" }, "JWTHeader"},
		"one header for both":     {func(c *cfg) { c.TokenHeader, c.JWTHeader = "X-Session", "x-session" }, "JWTHeader"},

		"session duration":             {func(c *cfg) { c.SessionDuration = time.Hour }, ""},
		"session duration, least":      {func(c *cfg) { c.SessionDuration = 5 * time.Minute }, ""},
		"session duration, most":       {func(c *cfg) { c.SessionDuration = 527040 * time.Minute }, ""},
		"session duration, too short":  {func(c *cfg) { c.SessionDuration = 4 * time.Minute }, "SessionDuration"},
		"session duration, too long":   {func(c *cfg) { c.SessionDuration = 527041 * time.Minute }, "SessionDuration"},
		"session duration, seconds":    {func(c *cfg) { c.SessionDuration = 5*time.Minute + time.Second }, "SessionDuration"},
		"session duration, a number":   {func(c *cfg) { c.SessionDuration = 60 }, "SessionDuration"},
		"session duration, negative":   {func(c *cfg) { c.SessionDuration = -time.Hour }, "SessionDuration"},
		"session duration, no minutes": {func(c *cfg) { c.SessionDuration = math.MaxInt64 }, "SessionDuration"},

		"login URL":                {func(c *cfg) { c.LoginURL, c.StepUpURL = "/login?from=guard", "/" }, ""},
		"login URL, absolute":      {func(c *cfg) { c.LoginURL = "https://login.example.com/" }, "LoginURL"},
		"login URL, no scheme":     {func(c *cfg) { c.LoginURL = "//login.example.com/" }, "LoginURL"},
		"login URL, backslash":     {func(c *cfg) { c.LoginURL = `/\login.example.com/` }, "LoginURL"},
		"login URL, relative":      {func(c *cfg) { c.LoginURL = "login" }, "LoginURL"},
		"login URL, fragment":      {func(c *cfg) { c.LoginURL = "/#login" }, "LoginURL"},
		"login URL, space":         {func(c *cfg) { c.LoginURL = "/log in" }, "LoginURL"},
		"login URL, line":          {func(c *cfg) { c.LoginURL = "/login\r\nX: y" }, "LoginURL"},
		"login URL, bad escape":    {func(c *cfg) { c.LoginURL = "/%zz" }, "LoginURL"},
		"step-up URL, script":      {func(c *cfg) { c.StepUpURL = "javascript:alert(1)" }, "StepUpURL"},
		"step-up URL, tab":         {func(c *cfg) { c.StepUpURL = "/\t/example.com" }, "StepUpURL"},
		"step-up URL, very long":   {func(c *cfg) { c.StepUpURL = "/" + strings.Repeat("a", 2048) }, "StepUpURL"},
		"step-up URL, not ASCII":   {func(c *cfg) { c.StepUpURL = "/stéup" }, "StepUpURL"},
		"trusted origins":          {func(c *cfg) { c.TrustedOrigins = []string{"https://a.example.com", "https://b.example.com:8443"} }, ""},
		"trusted origin, host":     {func(c *cfg) { c.TrustedOrigins = []string{"a.example.com"} }, "TrustedOrigins[0]"},
		"trusted origin, path":     {func(c *cfg) { c.TrustedOrigins = []string{"https://a.example.com", "https://b.example.com/"} }, "TrustedOrigins[1]"},
		"trusted origin, null":     {func(c *cfg) { c.TrustedOrigins = []string{"null", ""} }, "TrustedOrigins[0] TrustedOrigins[1]"},
		"trusted origin, anything": {func(c *cfg) { c.TrustedOrigins = []string{"*"} }, "TrustedOrigins[0]"},

		"times": {func(c *cfg) {
			c.MaxTokenAge, c.OpaqueTTL, c.NegativeTTL, c.KeyCooldown = time.Hour, time.Hour, time.Hour, time.Hour
		}, ""},
		"no cache":             {func(c *cfg) { c.OpaqueTTL = middleware.NoCache }, ""},
		"no cache of no":       {func(c *cfg) { c.NegativeTTL = middleware.NoCache }, "NegativeTTL"},
		"no age":               {func(c *cfg) { c.MaxTokenAge = middleware.NoCache }, "MaxTokenAge"},
		"negative times":       {func(c *cfg) { c.MaxTokenAge, c.OpaqueTTL, c.NegativeTTL, c.KeyCooldown = -2, -2, -2, -2 }, "MaxTokenAge OpaqueTTL NegativeTTL KeyCooldown"},
		"times too long":       {func(c *cfg) { c.MaxTokenAge, c.OpaqueTTL = time.Hour+1, time.Hour+1 }, "MaxTokenAge OpaqueTTL"},
		"more times too long":  {func(c *cfg) { c.NegativeTTL, c.KeyCooldown = time.Hour+1, math.MaxInt64 }, "NegativeTTL KeyCooldown"},
		"ahead":                {func(c *cfg) { c.RefreshAhead, c.RefreshAheadBearer = 150*time.Second, true }, ""},
		"ahead, of less age":   {func(c *cfg) { c.MaxTokenAge, c.RefreshAhead = time.Minute, 30*time.Second+1 }, "RefreshAhead"},
		"ahead, too much":      {func(c *cfg) { c.RefreshAhead = 150*time.Second + 1 }, "RefreshAhead"},
		"ahead, of more age":   {func(c *cfg) { c.MaxTokenAge, c.RefreshAhead = time.Hour, 150*time.Second }, ""},
		"ahead, past a JWT":    {func(c *cfg) { c.MaxTokenAge, c.RefreshAhead = time.Hour, 150*time.Second+1 }, "RefreshAhead"},
		"ahead, negative":      {func(c *cfg) { c.RefreshAhead = -1 }, "RefreshAhead"},
		"ahead, bearer alone":  {func(c *cfg) { c.RefreshAheadBearer = true }, "RefreshAheadBearer"},
		"stale":                {func(c *cfg) { c.DangerouslyServeStale = 10 * time.Minute }, ""},
		"stale, too long":      {func(c *cfg) { c.DangerouslyServeStale = 10*time.Minute + 1 }, "DangerouslyServeStale"},
		"stale, negative":      {func(c *cfg) { c.DangerouslyServeStale = -1 }, "DangerouslyServeStale"},
		"numbers":              {func(c *cfg) { c.CacheSize, c.MaxInFlight, c.OpaqueRate, c.OpaqueBurst = 1, 1, 1, 1 }, ""},
		"negative numbers":     {func(c *cfg) { c.CacheSize, c.MaxInFlight, c.OpaqueRate, c.OpaqueBurst = -1, -1, -1, -1 }, "CacheSize MaxInFlight OpaqueRate OpaqueBurst"},
		"large numbers":        {func(c *cfg) { c.CacheSize, c.MaxInFlight = math.MaxInt, math.MaxInt }, ""},
		"no logger, no client": {func(c *cfg) { c.Logger = nil }, ""},
		"posture":              {func(c *cfg) { c.Cookies.Posture = middleware.Private }, ""},
		"posture, sealed":      {func(c *cfg) { c.Cookies = middleware.Cookies{Posture: middleware.Private, Keys: [][]byte{aKey}} }, ""},
		"posture unknown":      {func(c *cfg) { c.Cookies.Posture = 7 }, "Cookies.Posture"},
		"keys for shared":      {func(c *cfg) { c.Cookies.Keys = [][]byte{aKey} }, "Cookies.Keys"},
		"short key":            {func(c *cfg) { c.Cookies = middleware.Cookies{Posture: middleware.Private, Keys: [][]byte{weak}} }, "Cookies.Keys"},
		"two short keys":       {func(c *cfg) { c.Cookies = middleware.Cookies{Posture: middleware.Private, Keys: [][]byte{weak, nil}} }, "Cookies.Keys Cookies.Keys"},
		"zero key": {func(c *cfg) {
			c.Cookies = middleware.Cookies{Posture: middleware.Private, Keys: [][]byte{make([]byte, 32)}}
		}, "Cookies.Keys"},
		"the same key twice": {func(c *cfg) { c.Cookies = middleware.Cookies{Posture: middleware.Private, Keys: [][]byte{aKey, aKey}} }, "Cookies.Keys"},
		"sealed, name": {func(c *cfg) {
			c.Cookies = middleware.Cookies{Posture: middleware.Private, Keys: [][]byte{aKey}, TokenName: "__Host-a|b"}
		}, "Cookies.TokenName"},
		"domain":                {func(c *cfg) { c.Cookies.Domain = ".Example.com" }, ""},
		"domain, private":       {func(c *cfg) { c.Cookies = middleware.Cookies{Posture: middleware.Private, Domain: "example.com"} }, "Cookies.Domain"},
		"domain, one label":     {func(c *cfg) { c.Cookies.Domain = "localhost" }, "Cookies.Domain"},
		"domain, top level":     {func(c *cfg) { c.Cookies.Domain = ".com" }, "Cookies.Domain"},
		"domain, address":       {func(c *cfg) { c.Cookies.Domain = "127.0.0.1" }, "Cookies.Domain"},
		"domain, address 6":     {func(c *cfg) { c.Cookies.Domain = "::1" }, "Cookies.Domain"},
		"domain, dot":           {func(c *cfg) { c.Cookies.Domain = "." }, "Cookies.Domain"},
		"domain, port":          {func(c *cfg) { c.Cookies.Domain = "example.com:80" }, "Cookies.Domain"},
		"domain, attribute":     {func(c *cfg) { c.Cookies.Domain = "example.com; HttpOnly" }, "Cookies.Domain"},
		"domain, URL":           {func(c *cfg) { c.Cookies.Domain = "https://example.com" }, "Cookies.Domain"},
		"names":                 {func(c *cfg) { c.Cookies.TokenName, c.Cookies.JWTName = "token", "jwt" }, ""},
		"one name":              {func(c *cfg) { c.Cookies.TokenName, c.Cookies.JWTName = "x", "x" }, "Cookies.JWTName"},
		"the other's name":      {func(c *cfg) { c.Cookies.JWTName = tokenCookie }, "Cookies.JWTName"},
		"name with a semicolon": {func(c *cfg) { c.Cookies.TokenName = "a;b" }, "Cookies.TokenName"},
		"name with equals":      {func(c *cfg) { c.Cookies.JWTName = "a=b" }, "Cookies.JWTName"},
		"name with a line":      {func(c *cfg) { c.Cookies.JWTName = "a\nb" }, "Cookies.JWTName"},
		"name, long":            {func(c *cfg) { c.Cookies.JWTName = strings.Repeat("a", 129) }, "Cookies.JWTName"},
		"shared, prefix":        {func(c *cfg) { c.Cookies.TokenName = "__host-session" }, "Cookies.TokenName"},
		"shared, other prefix":  {func(c *cfg) { c.Cookies.JWTName = "__Secure-jwt" }, "Cookies.JWTName"},
		"private, no prefix":    {func(c *cfg) { c.Cookies = middleware.Cookies{Posture: middleware.Private, TokenName: "session"} }, "Cookies.TokenName"},
		"private, prefix case":  {func(c *cfg) { c.Cookies = middleware.Cookies{Posture: middleware.Private, JWTName: "__host-jwt"} }, "Cookies.JWTName"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := sound()
			c.change(&cfg)
			auth, err := middleware.New(cfg)
			if auth != nil {
				defer auth.Close()
			}
			if got := strings.Join(fields(t, err), " "); got != c.want || (err == nil) != (auth != nil) {
				t.Errorf("mistakes in %q, want %q: %v", got, c.want, err)
			}
			if err != nil {
				silent(t, err.Error(), cfg)
			}
		})
	}
}

// silent tells that nothing of cfg's secrets is in s.
func silent(t *testing.T, s string, cfg middleware.Config) {
	t.Helper()
	secrets := []string{"hunter2", fmt.Sprintf("%x", "hunter2"), fmt.Sprintf("%X", "hunter2"), fmt.Sprintf("%v", []byte("hunter2"))}
	for _, key := range cfg.Cookies.Keys {
		if len(key) >= 8 {
			secrets = append(secrets, string(key[:8]), fmt.Sprintf("%x", key[:8]), strings.Trim(fmt.Sprint(key[:8]), "[]"))
		}
	}
	for _, secret := range secrets {
		if strings.Contains(s, secret) {
			t.Errorf("%q gives away %q", s, secret)
		}
	}
}

func TestConfigAllMistakesAtOnce(t *testing.T) {
	cfg := sound()
	cfg.ProjectID, cfg.Secret, cfg.BaseURL = "x", "", "ftp://x"
	cfg.Cookies = middleware.Cookies{Posture: 9, Domain: "x", TokenName: "a b", JWTName: "c d"}
	cfg.TokenHeader, cfg.JWTHeader = "a b", "a\nb"
	cfg.SessionDuration, cfg.LoginURL, cfg.StepUpURL = 1, "x", "y"
	cfg.TrustedOrigins = []string{"https://ok.example.com", "x"}
	cfg.MaxTokenAge, cfg.OpaqueTTL, cfg.NegativeTTL, cfg.KeyCooldown = -1, -2, -1, -1
	cfg.CacheSize, cfg.MaxInFlight, cfg.OpaqueRate, cfg.OpaqueBurst = -1, -1, -1, -1
	_, err := middleware.New(cfg)
	want := []string{"ProjectID", "Secret", "BaseURL", "Cookies.Posture", "Cookies.Domain", "Cookies.TokenName", "Cookies.JWTName",
		"TokenHeader", "JWTHeader", "SessionDuration", "LoginURL", "StepUpURL", "TrustedOrigins[1]",
		"MaxTokenAge", "OpaqueTTL", "NegativeTTL", "KeyCooldown", "CacheSize", "MaxInFlight", "OpaqueRate", "OpaqueBurst"}
	if got := fields(t, err); !slices.Equal(got, want) {
		t.Errorf("mistakes in\n%q, want\n%q", got, want)
	}
	var first *middleware.ConfigError
	if !errors.As(err, &first) || first.Field != "ProjectID" {
		t.Errorf("%v", first)
	}
}

// spellings are the ways in which a value gets into a log.
func spellings(v any) map[string]string {
	out := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%t", "%T", "%08.3f", "%c", "%U"} {
		out[verb] = fmt.Sprintf(verb, v)
	}
	var text, jsonLog bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v)
	slog.New(slog.NewJSONHandler(&jsonLog, nil)).Info("m", "v", v)
	out["slog text"], out["slog json"] = text.String(), jsonLog.String()
	if b, err := json.Marshal(v); err == nil {
		out["json"] = string(b)
	} else {
		out["json"] = err.Error()
	}
	if b, err := xml.Marshal(v); err == nil {
		out["xml"] = string(b)
	}
	out["error"] = fmt.Errorf("%v %w", v, errors.New("x")).Error()
	return out
}

func TestConfigPrintsNoSecret(t *testing.T) {
	cfg := sound()
	cfg.Cookies = middleware.Cookies{Posture: middleware.Private, Keys: [][]byte{aKey}}
	auth, err := middleware.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer auth.Close()
	swapped := cfg
	swapped.ProjectID, swapped.Secret = cfg.Secret, cfg.ProjectID
	type holder struct {
		Config  middleware.Config
		Pointer *middleware.Config
		Any     any
		Auth    *middleware.Authenticator
		auth    *middleware.Authenticator
	}
	for name, v := range map[string]any{
		"Config": cfg, "*Config": &cfg, "[]Config": []middleware.Config{cfg}, "map": map[string]*middleware.Config{"x": &cfg},
		"holder": holder{cfg, &cfg, cfg, auth, auth}, "*holder": &holder{cfg, &cfg, &cfg, auth, auth},
		"Authenticator": auth, "swapped": swapped, "*swapped": &swapped,
	} {
		for how, s := range spellings(v) {
			silent(t, s, cfg)
			if (name == "Config" || name == "Authenticator") && how == "%+v" && !strings.Contains(s, cfg.ProjectID) {
				t.Errorf("%s %s: %q does not name the project", name, how, s)
			}
		}
	}
	if cfg.GoString() != cfg.String() || cfg.LogValue().String() != cfg.String() {
		t.Errorf("%q %q", cfg.GoString(), cfg.LogValue())
	}
	if s := fmt.Sprint(swapped); s != `middleware.Config("no project id", secrets redacted)` {
		t.Errorf("%s", s)
	}
	var zero *middleware.Authenticator
	for v, want := range map[*middleware.Authenticator]string{zero: "middleware.Authenticator(zero)", {}: "middleware.Authenticator(zero)",
		auth: "middleware.Authenticator(" + cfg.ProjectID + ")"} {
		if got := []string{fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v), v.String(), v.GoString(), v.LogValue().String()}; slices.ContainsFunc(got, func(s string) bool { return s != want }) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestTokensPrintRedacted(t *testing.T) {
	tokens := middleware.Tokens{SessionToken: "hunter2", SessionJWT: "a.hunter2.c"}
	type holder struct {
		T   middleware.Tokens
		P   *middleware.Tokens
		Any any
		M   map[string]middleware.Tokens
	}
	h := holder{tokens, &tokens, tokens, map[string]middleware.Tokens{"x": tokens}}
	for name, v := range map[string]any{"Tokens": tokens, "*Tokens": &tokens, "slice": []middleware.Tokens{tokens},
		"holder": h, "*holder": &h, "key": map[middleware.Tokens]int{tokens: 1}} {
		for how, s := range spellings(v) {
			silent(t, s, middleware.Config{})
			if name == "Tokens" && how != "%T" && !strings.Contains(s, "[redacted]") {
				t.Errorf("%s: %q", how, s)
			}
		}
	}
	for _, s := range []string{tokens.String(), tokens.GoString(), tokens.LogValue().String()} {
		if s != "[redacted]" {
			t.Errorf("%q", s)
		}
	}
}

func TestNewWithoutNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		auth, err := middleware.New(sound())
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("New took %s", took)
		}
		// Meanwhile nobody gets in, and nobody is logged out.
		r := httptest.NewRequest("GET", "/", nil)
		stytchtest.AddCookies(r, middleware.Tokens{SessionJWT: stytchtest.New(stytchtest.Options{}).Login(stytchtest.Login{}).Tokens.SessionJWT})
		rec := httptest.NewRecorder()
		auth.RequireSession(unreachable(t)).ServeHTTP(rec, r)
		if rec.Code != 401 && rec.Code != 503 || rec.Header()["Set-Cookie"] != nil {
			t.Errorf("%d %v", rec.Code, rec.Header())
		}
		if err := auth.Close(); err != nil {
			t.Error(err)
		}
		if err := auth.Close(); err != nil {
			t.Error("again:", err)
		}
	})
}

func unreachable(t *testing.T) http.Handler {
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") })
}

func TestConfigIsFrozen(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		key := bytes.Clone(aKey)
		cfg := w.project.Config()
		origins := []string{"https://good.example.com"}
		keys := [][]byte{key}
		cfg.TrustedOrigins, cfg.Cookies = origins, middleware.Cookies{Posture: middleware.Private, Keys: keys}
		client := &http.Client{Transport: w.project.Transport()}
		cfg.HTTPClient = client
		auth, err := middleware.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer auth.Close()
		same, err := middleware.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer same.Close()
		origins[0] = "https://evil.example.com"
		clear(key)
		keys[0] = nil
		client.Transport = hung{}
		s := w.login()
		hydrate := func(a *middleware.Authenticator, origin string) (*httptest.ResponseRecorder, error) {
			rec, r := httptest.NewRecorder(), httptest.NewRequest("POST", "https://app.example.com/", nil)
			r.Header.Set("Origin", origin)
			_, err := a.Hydrate(rec, r, s.Tokens)
			return rec, err
		}
		rec, err := hydrate(auth, "https://good.example.com")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := hydrate(auth, "https://evil.example.com"); !errors.Is(err, middleware.ErrCrossSite) {
			t.Errorf("%v", err)
		}
		// What one sealed with the key, the other opens: neither has the zeros.
		r := httptest.NewRequest("GET", "https://app.example.com/", nil)
		for _, c := range rec.Result().Cookies() {
			r.AddCookie(c)
		}
		out := httptest.NewRecorder()
		same.RequireSession(w.report()).ServeHTTP(out, r)
		if out.Code != 200 {
			t.Errorf("%d", out.Code)
		}
	})
}

func TestZeroAuthenticator(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	tokens := p.Login(stytchtest.Login{}).Tokens
	for name, auth := range map[string]*middleware.Authenticator{"zero": {}, "nil": nil} {
		t.Run(name, func(t *testing.T) {
			request := func() *http.Request {
				r := httptest.NewRequest("GET", "https://app.example.com/", nil)
				stytchtest.AddCookies(r, tokens)
				return r
			}
			loaded := false
			rec := httptest.NewRecorder()
			auth.Load(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				loaded = true
				if _, ok := sessionctx.From(r.Context()); ok {
					t.Error("there is a session")
				}
				if err := auth.Err(r); !errors.Is(err, middleware.ErrUnavailable) || middleware.Status(err) != 503 || middleware.RetryAfter(err) != time.Second {
					t.Errorf("%v", err)
				}
				if _, ok := auth.Tokens(r); ok {
					t.Error("there are tokens")
				}
				ctx, cancel := auth.Follow(r.Context())
				defer cancel()
				if ctx.Err() == nil {
					t.Error("there is something to follow")
				}
				if e := auth.Explain(r); e.Status != 503 {
					t.Errorf("%+v", e)
				}
			})).ServeHTTP(rec, request())
			if !loaded {
				t.Error("Load denied")
			}
			for kind, guard := range map[string]func(http.Handler) http.Handler{"session": auth.RequireSession, "MFA": auth.RequireMFA,
				"none": auth.Require(), "fresh": auth.Require(middleware.Fresh), "loaded": func(h http.Handler) http.Handler { return auth.Load(auth.RequireSession(h)) }} {
				for _, page := range []string{"", "document"} {
					rec, r := httptest.NewRecorder(), request()
					r.Header.Set("Sec-Fetch-Dest", page)
					guard(unreachable(t)).ServeHTTP(rec, r)
					if rec.Code != 503 || rec.Header().Get("Retry-After") != "1" || rec.Header()["Set-Cookie"] != nil {
						t.Errorf("%s: %d %v", kind, rec.Code, rec.Header())
					}
				}
			}
			if _, err := auth.Hydrate(rec, request(), tokens); !errors.Is(err, middleware.ErrUnavailable) {
				t.Errorf("Hydrate: %v", err)
			}
			if _, err := auth.Refresh(rec, request(), time.Hour); !errors.Is(err, middleware.ErrUnavailable) {
				t.Errorf("Refresh: %v", err)
			}
			if err := auth.Revoke(rec, request()); !errors.Is(err, middleware.ErrUnavailable) {
				t.Errorf("Revoke: %v", err)
			}
			auth.Clear(rec, request())
			if e := auth.Explain(request()); e.Status != 503 || e.Outcome != "unavailable" {
				t.Errorf("%+v", e)
			}
			if err := auth.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if rec.Header()["Set-Cookie"] != nil {
				t.Errorf("%v", rec.Header())
			}
		})
	}
}

func TestClosed(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		s := w.login(stytchtest.EmailMagicLink())
		w.get(nil, bearer(s.Tokens.SessionJWT)) // the keys are here
		_ = w.auth.Close()
		if got := w.get(w.auth.RequireSession(w.report()), bearer(s.Tokens.SessionJWT)); got.StatusCode != 200 {
			t.Errorf("a fresh JWT: %d", got.StatusCode)
		}
		for name, h := range map[string]http.Handler{"stale": w.auth.RequireSession(unreachable(t)),
			"fresh": w.auth.Require(middleware.Fresh)(unreachable(t)), "step-up": w.auth.RequireMFA(unreachable(t))} {
			o := bearer(s.Tokens.SessionJWT)
			if name == "stale" {
				o = cookies(w.stale(s))
			}
			if got := w.get(h, o); got.StatusCode != 503 || got.Header.Get("Retry-After") != "1" || got.setCookies() != 0 {
				t.Errorf("%s: %d %v", name, got.StatusCode, got.Header)
			}
		}
		w.calls(0)
	})
}

// Nothing is shared: not keys, not answers, not revocations, not what a
// request was found to be.
func TestTwoAuthenticators(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		theirs := newWorld(w.T, stytchtest.New(stytchtest.Options{}), func(c *middleware.Config) {
			c.Cookies.TokenName, c.Cookies.JWTName = "their_session", "their_session_jwt"
		})
		mine := w.login(stytchtest.EmailMagicLink(), stytchtest.SMS())
		other := theirs.login(stytchtest.EmailMagicLink())
		both := func(r *http.Request) {
			stytchtest.AddCookies(r, mine.Tokens)
			r.AddCookie(&http.Cookie{Name: "their_session", Value: other.Tokens.SessionToken})
			r.AddCookie(&http.Cookie{Name: "their_session_jwt", Value: other.Tokens.SessionJWT})
		}
		sees := func(want string) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				s, ok := sessionctx.From(r.Context())
				if !ok || s.ID() != want {
					t.Errorf("the handler sees %v, want %s", s, want)
				}
				if a, ok := w.auth.Tokens(r); !ok || a != mine.Tokens {
					t.Error("w: other tokens")
				}
				if b, ok := theirs.auth.Tokens(r); !ok || b != other.Tokens {
					t.Error("theirs: other tokens")
				}
				if w.auth.Err(r) != nil || theirs.auth.Err(r) != nil {
					t.Error(w.auth.Err(r), theirs.auth.Err(r))
				}
				_, _ = io.WriteString(rw, "ok")
			})
		}
		load := func(h http.Handler) http.Handler { return w.auth.Load(theirs.auth.Load(h)) }
		for name, c := range map[string]struct {
			h      http.Handler
			status int
		}{
			"their Load is the inner one":       {load(sees(other.ID)), 200},
			"my guard, my session":              {load(w.auth.RequireMFA(sees(mine.ID))), 200},
			"my guard without needs":            {load(w.auth.RequireSession(sees(mine.ID))), 200},
			"my Load again":                     {load(w.auth.Load(sees(mine.ID))), 200},
			"their guard, their session":        {load(theirs.auth.RequireSession(sees(other.ID))), 200},
			"their guard inside of mine":        {load(w.auth.RequireMFA(theirs.auth.RequireSession(sees(other.ID)))), 200},
			"my guard inside of theirs":         {load(theirs.auth.RequireSession(w.auth.RequireMFA(sees(mine.ID)))), 200},
			"my factors do not count for them":  {load(theirs.auth.RequireMFA(unreachable(t))), 401},
			"nor behind my guard":               {load(w.auth.RequireMFA(theirs.auth.RequireMFA(unreachable(t)))), 401},
			"their session opens none of mine":  {load(w.auth.Require(middleware.MinFactors(3))(unreachable(t))), 401},
			"guards alone":                      {w.auth.RequireMFA(theirs.auth.RequireSession(sees(other.ID))), 200},
			"guards alone, the other way round": {theirs.auth.RequireSession(w.auth.RequireMFA(sees(mine.ID))), 200},
		} {
			if got := w.get(c.h, both); got.StatusCode != c.status {
				t.Errorf("%s: %d, want %d", name, got.StatusCode, c.status)
			}
		}
		// One project's credentials are nothing to the other.
		advance(10 * time.Second) // the cool-down after the first fetch of their keys
		if got := theirs.get(theirs.auth.RequireSession(unreachable(t)), bearer(mine.Tokens.SessionJWT)); got.StatusCode != 401 {
			t.Errorf("%d", got.StatusCode)
		}
		// A second Authenticator of one project knows nothing of the first one's
		// revocations and answers.
		twin := newWorld(w.T, w.project, nil)
		w.get(nil, bearer(mine.Tokens.SessionToken))
		before := w.project.Calls().Authenticate
		twin.get(nil, bearer(mine.Tokens.SessionToken))
		w.calls(before + 1)
		if err := w.auth.Revoke(httptest.NewRecorder(), func() *http.Request {
			r := httptest.NewRequest("POST", "https://app.example.com/", nil)
			stytchtest.AddCookies(r, mine.Tokens)
			return r
		}()); err != nil {
			t.Fatal(err)
		}
		if got := w.get(w.auth.RequireSession(unreachable(t)), bearer(mine.Tokens.SessionJWT)); got.StatusCode != 401 {
			t.Errorf("%d", got.StatusCode)
		}
		if got := twin.get(nil, bearer(mine.Tokens.SessionJWT)); got.seen.SessionID != mine.ID {
			t.Errorf("%+v", got.seen)
		}
	})
}

// A program that is wired up wrongly ends where it is wired up.
func TestNilHandlers(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for name, wrap := range w.guards() {
			func() {
				defer func() {
					if p := recover(); p != "middleware: nil handler" {
						t.Errorf("%s: %v", name, p)
					}
				}()
				wrap(nil)
			}()
		}
	})
}
