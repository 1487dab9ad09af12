package stytchtest_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stytchware/stytchware/sessionctx"
	"github.com/stytchware/stytchware/stytchtest"
)

func TestFactors(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 890, time.FixedZone("", 3600))
	tests := []struct {
		f                   stytchtest.Factor
		typ, method, member string
		class               sessionctx.Class
	}{
		{stytchtest.EmailMagicLink(), "magic_link", "email", "email_factor", sessionctx.Account},
		{stytchtest.EmailOTP(), "otp", "email", "email_factor", sessionctx.Account},
		{stytchtest.EmbeddedMagicLink(), "magic_link", "embedded", "embeddable_magic_link_factor", sessionctx.Account},
		{stytchtest.Password(), "password", "knowledge", "", sessionctx.Account},
		{stytchtest.GoogleOAuth(), "oauth", "oauth_google", "google_oauth_factor", sessionctx.Account},
		{stytchtest.OAuth("github"), "oauth", "oauth_github", "github_oauth_factor", sessionctx.Account},
		{stytchtest.SSO("saml"), "sso", "sso_saml", "saml_sso_factor", sessionctx.Account},
		{stytchtest.SMS(), "otp", "sms", "phone_number_factor", sessionctx.Phone},
		{stytchtest.WhatsApp(), "otp", "whatsapp", "phone_number_factor", sessionctx.Phone},
		{stytchtest.TOTP(), "totp", "authenticator_app", "authenticator_app_factor", sessionctx.Device},
		{stytchtest.WebAuthn(), "webauthn", "webauthn_registration", "webauthn_factor", sessionctx.Device},
		{stytchtest.Biometric(), "signature_challenge", "biometric", "biometric_factor", sessionctx.Device},
		{stytchtest.RecoveryCode(), "recovery_codes", "recovery_code", "recovery_code_factor", sessionctx.None},
		{stytchtest.CryptoWallet(), "crypto", "crypto_wallet", "crypto_wallet_factor", sessionctx.None},
		{stytchtest.Imported(), "imported", "imported_auth0", "", sessionctx.None},
		{stytchtest.Impersonation(), "impersonated", "impersonation", "impersonated_factor", sessionctx.None},
		{stytchtest.Unknown("telepathy", "brainwave"), "telepathy", "brainwave", "", sessionctx.None},
	}
	for _, test := range tests {
		got := test.f.At(at).Data()
		if got.Type != test.typ || got.DeliveryMethod != test.method || got.Class() != test.class {
			t.Errorf("got %s, %s, %v; want %s, %s, %v", got.Type, got.DeliveryMethod, got.Class(), test.typ, test.method, test.class)
		}
		if !got.LastAuthenticatedAt.Equal(at.Truncate(time.Second)) {
			t.Errorf("%s: last authenticated at %v, want %v", test.method, got.LastAuthenticatedAt, at)
		}
		members := parse(t, []byte(got.Raw))
		if want := map[bool]int{true: 4, false: 3}[test.member != ""]; len(members) != want {
			t.Errorf("%s: %s has %d members, want %d", test.method, got.Raw, len(members), want)
		}
		if _, ok := members[test.member].(object); test.member != "" && !ok {
			t.Errorf("%s has no %s", got.Raw, test.member)
		}
	}
}

func TestFactorMembers(t *testing.T) {
	tests := []struct {
		name string
		f    stytchtest.Factor
		want string
	}{
		{"no time", stytchtest.Password(), `{"type":"password","delivery_method":"knowledge"}`},
		{"no known time", stytchtest.Factor{Type: "totp", DeliveryMethod: "authenticator_app", Members: object{"last_authenticated_at": nil}}.At(time.Now()), `{"type":"totp","delivery_method":"authenticator_app"}`},
		{"another time", stytchtest.Factor{Type: "totp", DeliveryMethod: "authenticator_app", Members: object{"last_authenticated_at": "yesterday", "b": 1, "a": json.RawMessage(`{"x":1.50}`)}}, `{"type":"totp","delivery_method":"authenticator_app","a":{"x":1.50},"b":1,"last_authenticated_at":"yesterday"}`},
		{"nothing", stytchtest.Factor{Members: object{"type": nil, "delivery_method": nil}}, `{}`},
		{"other types", stytchtest.Factor{Members: object{"type": 1, "delivery_method": nil}}, `{"type":1}`},
	}
	for _, test := range tests {
		if got := test.f.Data(); got.Raw != test.want {
			t.Errorf("%s: %s, want %s", test.name, got.Raw, test.want)
		}
	}
	// The time of a session's factor can be left out too.
	p := stytchtest.New(stytchtest.Options{})
	f := stytchtest.SMS()
	f.Members["last_authenticated_at"] = nil
	s, _ := p.Session(p.Login(stytchtest.Login{Factors: []stytchtest.Factor{f}}).ID)
	if at := s.Factor(0).LastAuthenticatedAt; !at.IsZero() {
		t.Errorf("last authenticated at %v", at)
	}
}
