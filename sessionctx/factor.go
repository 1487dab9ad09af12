package sessionctx

import (
	"strings"
	"time"
)

// Class groups the ways of authenticating by what is proved. Two factors of
// one class are one proof: an e-mail link and a Google login both prove the
// mail account.
type Class uint8

const (
	// None never counts towards MFA: impersonation, imported factors, token
	// exchanges, recovery codes, crypto wallets, and whatever is not known.
	None Class = iota
	// Account is e-mail, OAuth, SSO and passwords.
	Account
	// Phone is SMS and WhatsApp.
	Phone
	// Device is WebAuthn, authenticator apps and biometrics.
	Device
)

// String returns "none", "account", "phone" or "device".
func (c Class) String() string {
	switch c {
	case Account:
		return "account"
	case Phone:
		return "phone"
	case Device:
		return "device"
	}
	return "none"
}

// MarshalText is String.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Factor is one authentication factor of a session.
type Factor struct {
	Type           string // as Stytch sent it: "magic_link", "otp", "totp", …
	DeliveryMethod string // as Stytch sent it: "email", "sms", "authenticator_app", …
	// LastAuthenticatedAt is zero where Stytch sent none, or one that is no
	// RFC 3339 time.
	LastAuthenticatedAt time.Time
	Raw                 string // the factor's whole JSON object as Stytch sent it
}

// Class classifies f by its delivery method; the type decides only where it
// names something that never counts.
func (f Factor) Class() Class {
	switch f.Type {
	case "imported", "impersonated", "trusted_auth_token", "recovery_codes":
		return None
	}
	switch m := f.DeliveryMethod; m {
	case "email", "embedded", "knowledge":
		return Account
	case "sms", "whatsapp":
		return Phone
	case "webauthn_registration", "authenticator_app", "biometric":
		return Device
	default:
		// A session got for somebody's token proves no login of the user.
		if after, ok := strings.CutPrefix(m, "oauth_"); ok && after != "" && !strings.Contains(after, "exchange") {
			return Account
		}
		if after, ok := strings.CutPrefix(m, "sso_"); ok && after != "" {
			return Account
		}
	}
	return None
}
