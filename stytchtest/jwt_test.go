package stytchtest_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

func TestJWTIsByteForByteAsStytchMakesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// A bubble begins at 2000-01-01T00:00:00Z.
		p := stytchtest.New(stytchtest.Options{ProjectID: "project-test-1"})
		login := p.Login(stytchtest.Login{
			UserID:       "user-test-1",
			Factors:      []stytchtest.Factor{stytchtest.EmailMagicLink(), stytchtest.TOTP().At(time.Now().Add(-time.Hour))},
			CustomClaims: object{"claim1": "value1", "zone": "eu"},
			Attributes:   sessionctx.Attributes{IPAddress: "203.0.113.1", UserAgent: "Mozilla/5.0"},
		})
		parts := strings.Split(login.Tokens.SessionJWT, ".")
		if got, want := string(decodeSegment(t, parts[0])), `{"alg":"RS256","kid":"`+p.KeyID()+`","typ":"JWT"}`; got != want {
			t.Errorf("header\n%s, want\n%s", got, want)
		}
		want := `{"aud":["project-test-1"],"claim1":"value1","exp":946685100,` +
			`"https://stytch.com/session":{"id":"` + login.ID + `","started_at":"2000-01-01T00:00:00Z","last_accessed_at":"2000-01-01T00:00:00Z","expires_at":"2000-01-01T01:00:00Z",` +
			`"attributes":{"user_agent":"Mozilla/5.0","ip_address":"203.0.113.1"},` +
			`"authentication_factors":[` +
			`{"type":"magic_link","delivery_method":"email","last_authenticated_at":"2000-01-01T00:00:00Z","email_factor":{"email_address":"sandbox@stytch.com","email_id":"email-test-81bf03a8-86e1-4d95-bd44-bb3495224953"}},` +
			`{"type":"totp","delivery_method":"authenticator_app","last_authenticated_at":"1999-12-31T23:00:00Z","authenticator_app_factor":{"totp_id":"totp-test-29aac48a-6d5e-4d9c-a5a4-1b9d1f6b5b4a"}}],` +
			`"roles":["stytch_user"]},` +
			`"iat":946684800,"iss":"stytch.com/project-test-1","nbf":946684800,"sub":"user-test-1","zone":"eu"}`
		if got := string(decodeSegment(t, parts[1])); got != want {
			t.Errorf("claims\n%s, want\n%s", got, want)
		}
		if !verifies(t, p.KeySet(), login.Tokens.SessionJWT) {
			t.Error("the signature is not the key's")
		}
	})
}

func TestB2BJWT(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	login := p.Login(stytchtest.Login{OrganizationID: "organization-test-1", OrganizationSlug: "together"})
	claims := claimsOf(t, login.Tokens.SessionJWT)
	if got, want := fmt.Sprint(claims["https://stytch.com/organization"]), "map[organization_id:organization-test-1 slug:together]"; got != want {
		t.Errorf("organization %s, want %s", got, want)
	}
	session := claims["https://stytch.com/session"].(object)
	if sub := claims["sub"].(string); !strings.HasPrefix(sub, "member-test-") || !strings.HasPrefix(session["id"].(string), "member-session-test-") {
		t.Errorf("sub %q, session id %q", sub, session["id"])
	}
	if got := fmt.Sprint(session["roles"]); got != "[stytch_member]" {
		t.Errorf("roles %s", got)
	}
	s, live := p.Session(login.ID)
	if !live || s.MemberID() != login.UserID || s.OrganizationID() != "organization-test-1" || s.OrganizationSlug() != "together" {
		t.Errorf("session %+v, live %v", s.Data(), live)
	}
}

func TestCustomDomainIsTheIssuer(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{CustomDomain: "https://login.example.com/"})
	jwt := p.Login(stytchtest.Login{}).Tokens.SessionJWT
	if got := claimsOf(t, jwt)["iss"]; got != "https://login.example.com" {
		t.Errorf("iss %v", got)
	}
	// Both issuers are the project's, at both addresses.
	if p.BaseURL() != "https://login.example.com" || p.Config().BaseURL != p.BaseURL() {
		t.Errorf("base URLs %q, %q", p.BaseURL(), p.Config().BaseURL)
	}
	answer := post(t, p, authenticatePath, object{"session_jwt": jwt})
	old := p.MintJWT(answer["session"].(object)["session_id"].(string), stytchtest.Mint{Issuer: "stytch.com/" + p.ID()})
	r := newRequest(t, p, "POST", authenticatePath, object{"session_jwt": old})
	r.URL.Host = "test.stytch.com"
	if status, answer := send(t, p, r); status != 200 {
		t.Errorf("status %d: %v", status, answer)
	}
}

func TestLiveProject(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{ProjectID: "project-live-1", Secret: "s3cret"})
	login := p.Login(stytchtest.Login{})
	if p.BaseURL() != "https://api.stytch.com" || !strings.HasPrefix(login.ID, "session-live-") || !strings.HasPrefix(p.KeyID(), "jwk-live-") || p.Secret() != "s3cret" {
		t.Errorf("base URL %q, session %q, key %q", p.BaseURL(), login.ID, p.KeyID())
	}
	post(t, p, authenticatePath, object{"session_token": login.Tokens.SessionToken})
}

func TestJWTLifetime(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{JWTLifetime: 7 * time.Second})
	claims := claimsOf(t, p.Login(stytchtest.Login{}).Tokens.SessionJWT)
	if got := claims["exp"].(float64) - claims["iat"].(float64); got != 7 {
		t.Errorf("exp − iat = %v s", got)
	}
}

func TestMintJWT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stytchtest.New(stytchtest.Options{})
		login := p.Login(stytchtest.Login{CustomClaims: object{"plan": "pro"}})
		issued := time.Now().Add(-10 * time.Minute)
		const session = "https://stytch.com/session"
		tests := []struct {
			name  string
			mint  stytchtest.Mint
			good  bool // signed by the key that is named
			check func(header, claims object) bool
		}{
			{"as it would be now", stytchtest.Mint{}, true, func(_, c object) bool {
				return c["sub"] == login.UserID && c[session].(object)["id"] == login.ID && c["plan"] == "pro" && c["jti"] == nil
			}},
			{"stale", stytchtest.Mint{IssuedAt: issued}, true, func(_, c object) bool {
				at := float64(issued.Unix())
				return c["iat"] == at && c["nbf"] == at && c["exp"] == at+300
			}},
			{"lifetime", stytchtest.Mint{Lifetime: time.Hour}, true, func(_, c object) bool { return c["exp"].(float64)-c["iat"].(float64) == 3600 }},
			{"foreign", stytchtest.Mint{ProjectID: "project-test-other"}, true, func(_, c object) bool {
				return c["iss"] == "stytch.com/project-test-other" && fmt.Sprint(c["aud"]) == "[project-test-other]"
			}},
			{"issuer", stytchtest.Mint{Issuer: "https://example.com"}, true, func(_, c object) bool {
				return c["iss"] == "https://example.com" && fmt.Sprint(c["aud"]) == "["+p.ID()+"]"
			}},
			{"M2M", stytchtest.Mint{NoSessionClaim: true}, true, func(_, c object) bool { return c[session] == nil && c["sub"] != nil }},
			{"claims", stytchtest.Mint{Claims: object{"sub": nil, "exp": "soon", "x": 1}}, true, func(_, c object) bool {
				_, sub := c["sub"]
				return !sub && c["exp"] == "soon" && c["x"] == 1.0
			}},
			{"session claim", stytchtest.Mint{SessionClaim: object{"roles": nil, "id": 7}}, true, func(_, c object) bool {
				s := c[session].(object)
				_, roles := s["roles"]
				return !roles && s["id"] == 7.0 && s["expires_at"] != nil
			}},
			{"header", stytchtest.Mint{Header: object{"crit": []string{"x"}, "typ": nil}}, true, func(h, _ object) bool {
				_, typ := h["typ"]
				return !typ && h["crit"] != nil && h["kid"] == p.KeyID()
			}},
			{"forged", stytchtest.Mint{Forged: true}, false, func(h, c object) bool { return h["kid"] == p.KeyID() && c["sub"] == login.UserID }},
			{"unknown key", stytchtest.Mint{UnknownKey: true}, false, func(h, _ object) bool {
				return h["kid"] != p.KeyID() && strings.HasPrefix(h["kid"].(string), "jwk-test-")
			}},
		}
		for _, test := range tests {
			jwt := p.MintJWT(login.ID, test.mint)
			if !test.check(headerOf(t, jwt), claimsOf(t, jwt)) {
				t.Errorf("%s: header %v, claims %v", test.name, headerOf(t, jwt), claimsOf(t, jwt))
			}
			if got := verifies(t, p.KeySet(), jwt); got != test.good {
				t.Errorf("%s: verifies %v, want %v", test.name, got, test.good)
			}
		}
		invented := claimsOf(t, p.MintJWT("session-test-x", stytchtest.Mint{}))
		if id := invented[session].(object)["id"]; id != "session-test-x" || invented["sub"] == login.UserID {
			t.Errorf("invented session %v of %v", id, invented["sub"])
		}
		if a, b := p.MintJWT("", stytchtest.Mint{}), p.MintJWT("", stytchtest.Mint{}); claimsOf(t, a)[session].(object)["id"] == claimsOf(t, b)[session].(object)["id"] {
			t.Error("two invented sessions have one id")
		}
	})
}

func TestKeySetIsAsStytchServesIt(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	r := newRequest(t, p, "GET", keySetPath+p.ID(), nil)
	r.Header.Del("Authorization")
	res, err := p.Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Cache-Control"); res.StatusCode != 200 || got != "public, max-age=900" {
		t.Errorf("status %d, Cache-Control %q", res.StatusCode, got)
	}
	var set struct {
		Keys       []json.RawMessage
		RequestID  string `json:"request_id"`
		StatusCode int    `json:"status_code"`
	}
	if err := json.NewDecoder(res.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 1 || set.RequestID == "" || set.StatusCode != 200 {
		t.Fatalf("key set %+v", set)
	}
	form := regexp.MustCompile(`^{"kty":"RSA","use":"sig","key_ops":\["verify"\],"alg":"RS256","kid":"jwk-test-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",` +
		`"x5c":\["[A-Za-z0-9+/=]+"\],"x5tS256":"[A-Za-z0-9+/=]+","n":"[A-Za-z0-9_-]{342}","e":"AQAB"}$`)
	if !form.Match(set.Keys[0]) {
		t.Errorf("key %s", set.Keys[0])
	}
	var key struct {
		X5c     [][]byte
		X5tS256 []byte
		N       string
	}
	if err := json.Unmarshal(set.Keys[0], &key); err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(key.X5c[0])
	if err != nil {
		t.Fatal(err)
	}
	public, ok := certificate.PublicKey.(*rsa.PublicKey)
	if !ok || !bytes.Equal(public.N.Bytes(), decodeSegment(t, key.N)) {
		t.Error("the certificate is of another key")
	}
	if sum := sha256.Sum256(certificate.Raw); !bytes.Equal(sum[:], key.X5tS256) {
		t.Error("x5tS256 is not the certificate's")
	}
	if got := certificate.Subject.String() + certificate.Issuer.String(); got != "O=StytchO=Stytch" {
		t.Errorf("subject and issuer %s", got)
	}
}

func kids(t *testing.T, keySet []byte) (ids []string) {
	t.Helper()
	for _, k := range parse(t, keySet)["keys"].([]any) {
		ids = append(ids, k.(object)["kid"].(string))
	}
	return ids
}

func TestKeyRotation(t *testing.T) {
	p := stytchtest.New(stytchtest.Options{})
	first := p.KeyID()
	login := p.Login(stytchtest.Login{})

	second := p.RotateKey()
	if got, want := kids(t, p.KeySet()), []string{second, first}; !slices.Equal(got, want) || p.KeyID() != second {
		t.Fatalf("keys %q, want %q", got, want)
	}
	fresh := p.Login(stytchtest.Login{}).Tokens.SessionJWT
	if headerOf(t, fresh)["kid"] != second || !verifies(t, p.KeySet(), fresh) || !verifies(t, p.KeySet(), login.Tokens.SessionJWT) {
		t.Error("after a rotation both keys verify, and the new one signs")
	}
	post(t, p, authenticatePath, object{"session_jwt": login.Tokens.SessionJWT})

	p.DropOldKeys()
	if got, want := kids(t, p.KeySet()), []string{second}; !slices.Equal(got, want) {
		t.Fatalf("keys %q, want %q", got, want)
	}
	status, answer := call(t, p, "POST", authenticatePath, object{"session_jwt": login.Tokens.SessionJWT})
	wantError(t, status, answer, 400, "unable_to_parse_session_jwt")

	third := p.RotateKeyHard()
	if got, want := kids(t, p.KeySet()), []string{third}; !slices.Equal(got, want) {
		t.Fatalf("keys %q, want %q", got, want)
	}
	if verifies(t, p.KeySet(), fresh) {
		t.Error("a JWT of a dropped key verifies")
	}
	// Neighbours in time are different RSA keys, not only different names.
	n := func() any { return parse(t, p.KeySet())["keys"].([]any)[0].(object)["n"] }
	before := n()
	p.RotateKeyHard()
	if n() == before {
		t.Error("the new key is the old one")
	}
	for range 40 {
		p.RotateKey()
	}
	if got := kids(t, p.KeySet()); len(got) != 16 || got[0] != p.KeyID() {
		t.Errorf("%d keys, the first %s", len(got), got[0])
	}
}

func TestProjectsDoNotAcceptEachOther(t *testing.T) {
	a, b := stytchtest.New(stytchtest.Options{}), stytchtest.New(stytchtest.Options{})
	if a.ID() == b.ID() || a.Secret() == b.Secret() || a.KeyID() == b.KeyID() {
		t.Error("two projects share an id, a secret or a key id")
	}
	login := a.Login(stytchtest.Login{})
	if verifies(t, b.KeySet(), login.Tokens.SessionJWT) {
		t.Error("b's key set verifies a's JWT")
	}
	status, answer := call(t, b, "POST", authenticatePath, object{"session_token": login.Tokens.SessionToken})
	wantError(t, status, answer, 404, "session_not_found")
}

func TestNewPanicsAtWhatIsNoProject(t *testing.T) {
	for _, o := range []stytchtest.Options{
		{ProjectID: "project-prod-1"},
		{PublicToken: "public-token-live-1"},
		{CustomDomain: "login.example.com"},
		{CustomDomain: "https://exa mple.com"},
	} {
		func() {
			defer func() {
				if v := recover(); v == nil || !strings.HasPrefix(fmt.Sprint(v), "stytchtest: ") {
					t.Errorf("%+v: recovered %v", o, v)
				}
			}()
			stytchtest.New(o)
		}()
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		stytchtest.New(stytchtest.Options{})
	}
}
