package sessionctx_test

import (
	"testing"

	"github.com/stytchware/stytchware/sessionctx"
)

// The values are those of Stytch's API reference and SDK sources.
func TestClass(t *testing.T) {
	const None, Account, Phone, Device = sessionctx.None, sessionctx.Account, sessionctx.Phone, sessionctx.Device
	for _, c := range []struct {
		delivery string
		want     sessionctx.Class
	}{
		{"email", Account}, {"embedded", Account}, {"knowledge", Account},
		{"oauth_google", Account}, {"oauth_microsoft", Account}, {"oauth_apple", Account}, {"oauth_github", Account}, {"oauth_facebook", Account},
		{"oauth_discord", Account}, {"oauth_salesforce", Account}, {"oauth_slack", Account}, {"oauth_gitlab", Account}, {"oauth_amazon", Account}, {"oauth_bitbucket", Account},
		{"oauth_linkedin", Account}, {"oauth_coinbase", Account}, {"oauth_twitch", Account}, {"oauth_hubspot", Account},
		{"sso_saml", Account}, {"sso_oidc", Account},
		{"sms", Phone}, {"whatsapp", Phone},
		{"webauthn_registration", Device}, {"authenticator_app", Device}, {"biometric", Device},
		{"impersonation", None}, {"imported_auth0", None}, {"imported_other", None}, {"trusted_token_exchange", None}, {"recovery_code", None}, {"crypto_wallet", None},
		{"oauth_access_token_exchange", None}, {"oauth_exchange", None}, {"oauth_exchange_slack", None}, {"oauth_exchange_hubspot", None},
		{"oauth_exchange_github", None}, {"oauth_exchange_google", None}, {"oauth_exchange_new", None}, {"oauth_exchanged", None}, {"oauth_refresh_token_exchange", None},
		{"", None}, {"oauth", None}, {"oauth_", None}, {"sso", None}, {"sso_", None}, {"unknown", None}, {"Email", None}, {"SMS", None}, {"ſms", None}, {" sms", None}, {"sms ", None},
		{"email_", None}, {"OAuth_google", None}, {"xoauth_google", None}, {"totp", None},
	} {
		for _, typ := range []string{"", "magic_link", "otp", "email_otp", "oauth", "webauthn", "totp", "crypto", "password", "signature_challenge", "sso", "new"} {
			if got := (sessionctx.Factor{Type: typ, DeliveryMethod: c.delivery}).Class(); got != c.want {
				t.Errorf("type %q, delivery %q: %v, want %v", typ, c.delivery, got, c.want)
			}
		}
		for _, typ := range []string{"imported", "impersonated", "trusted_auth_token", "recovery_codes"} {
			if got := (sessionctx.Factor{Type: typ, DeliveryMethod: c.delivery}).Class(); got != None {
				t.Errorf("type %q, delivery %q: %v, want none", typ, c.delivery, got)
			}
		}
	}
}

func TestClassText(t *testing.T) {
	for c, want := range map[sessionctx.Class]string{
		sessionctx.None: "none", sessionctx.Account: "account", sessionctx.Phone: "phone", sessionctx.Device: "device", 99: "none",
	} {
		if b, err := c.MarshalText(); c.String() != want || string(b) != want || err != nil {
			t.Errorf("%d: %s, %s, %v", c, c, b, err)
		}
	}
}
