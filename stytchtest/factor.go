package stytchtest

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/stytchware/stytchware/sessionctx"
)

// Factor is one authentication factor of a session. The functions of this
// package that return one fill in what Stytch would say of it; a literal does
// for any other.
type Factor struct {
	Type           string // "magic_link", "otp", "totp", …
	DeliveryMethod string // "email", "sms", "authenticator_app", …
	// LastAuthenticatedAt of zero means: when the factor was added to its
	// session.
	LastAuthenticatedAt time.Time
	// Members are further members of the factor's JSON object, such as
	// "email_factor". They come last, so one called last_authenticated_at
	// replaces the time with any JSON; nil leaves the member out.
	Members map[string]any
}

// At returns f with another LastAuthenticatedAt.
func (f Factor) At(t time.Time) Factor {
	f.LastAuthenticatedAt = t
	return f
}

// Data returns f as a handler sees it, for a [sessionctx.Data] of one's own.
func (f Factor) Data() sessionctx.Factor {
	raw := f.stored(time.Time{}).marshal(false)
	return readFactor(raw)
}

// EmailMagicLink is a link sent by e-mail.
func EmailMagicLink() Factor {
	return emailFactor("magic_link", "email-test-81bf03a8-86e1-4d95-bd44-bb3495224953", "sandbox@stytch.com")
}

// EmailOTP is a code sent by e-mail.
func EmailOTP() Factor {
	return emailFactor("otp", "email-test-81bf03a8-86e1-4d95-bd44-bb3495224953", "sandbox@stytch.com")
}

func emailFactor(typ, id, address string) Factor {
	return Factor{Type: typ, DeliveryMethod: "email", Members: map[string]any{
		"email_factor": map[string]any{"email_id": id, "email_address": address},
	}}
}

// EmbeddedMagicLink is a link whose delivery the project's owner took care of.
func EmbeddedMagicLink() Factor {
	return Factor{Type: "magic_link", DeliveryMethod: "embedded", Members: map[string]any{
		"embeddable_magic_link_factor": map[string]any{"embedded_id": "embeddable-magic-link-test-c6fdc1ab-4d3c-4a9e-a1d5-3d94ff7aeb6f"},
	}}
}

// Password is a password.
func Password() Factor { return Factor{Type: "password", DeliveryMethod: "knowledge"} }

// GoogleOAuth is a login with Google.
func GoogleOAuth() Factor { return OAuth("google") }

// OAuth is a login with a provider: "google", "github", "apple", ….
func OAuth(provider string) Factor {
	return Factor{Type: "oauth", DeliveryMethod: "oauth_" + provider, Members: map[string]any{
		provider + "_oauth_factor": map[string]any{
			"id":               "oauth-user-test-de86770c-911d-463f-80e7-f0b089cbb14d",
			"email_id":         "email-test-81bf03a8-86e1-4d95-bd44-bb3495224953",
			"provider_subject": "10769150350006150715113082367",
		},
	}}
}

// SSO is a login with an organization's own provider: "saml" or "oidc".
func SSO(protocol string) Factor {
	return Factor{Type: "sso", DeliveryMethod: "sso_" + protocol, Members: map[string]any{
		protocol + "_sso_factor": map[string]any{
			"id":          protocol + "-member-registration-test-10f4cd87-5858-416d-b50b-dc6137afd783",
			"provider_id": protocol + "-connection-test-3c086670-abb9-4329-bce8-0e2fc9ad5243",
			"external_id": "00uspw2tf56vBAz0Y697",
		},
	}}
}

// SMS is a code sent to a phone.
func SMS() Factor {
	return phoneFactor("sms", "phone-number-test-d5a3b680-e8a3-40c0-b815-ab79986666d0", "+10000000000")
}

// WhatsApp is a code sent to a phone by WhatsApp.
func WhatsApp() Factor {
	return phoneFactor("whatsapp", "phone-number-test-d5a3b680-e8a3-40c0-b815-ab79986666d0", "+10000000000")
}

func phoneFactor(method, id, number string) Factor {
	return Factor{Type: "otp", DeliveryMethod: method, Members: map[string]any{
		"phone_number_factor": map[string]any{"phone_id": id, "phone_number": number},
	}}
}

// TOTP is a code of an authenticator app.
func TOTP() Factor {
	return Factor{Type: "totp", DeliveryMethod: "authenticator_app", Members: map[string]any{
		"authenticator_app_factor": map[string]any{"totp_id": "totp-test-29aac48a-6d5e-4d9c-a5a4-1b9d1f6b5b4a"},
	}}
}

// WebAuthn is a passkey or a security key.
func WebAuthn() Factor {
	return Factor{Type: "webauthn", DeliveryMethod: "webauthn_registration", Members: map[string]any{
		"webauthn_factor": map[string]any{
			"webauthn_registration_id": "webauthn-registration-test-5c44cc6a-8af7-48d6-8da7-ea821342f5a6",
			"domain":                   "example.com",
			"user_agent":               "",
		},
	}}
}

// Biometric is a key that a phone unlocks with a fingerprint or a face.
func Biometric() Factor {
	return Factor{Type: "signature_challenge", DeliveryMethod: "biometric", Members: map[string]any{
		"biometric_factor": map[string]any{"biometric_registration_id": "biometric-registration-test-6f5b0e0c-2d8f-4a3e-9a39-2f7b0b1c1a54"},
	}}
}

// RecoveryCode is a code kept for the loss of another factor. It never counts
// towards MFA.
func RecoveryCode() Factor {
	return Factor{Type: "recovery_codes", DeliveryMethod: "recovery_code", Members: map[string]any{
		"recovery_code_factor": map[string]any{"totp_recovery_code_id": "totp-recovery-code-test-bc2b9f6a-7c1f-4f63-9d8a-3f2a6d1e0b7c"},
	}}
}

// CryptoWallet is a signature of a crypto wallet. It never counts towards MFA.
func CryptoWallet() Factor {
	return Factor{Type: "crypto", DeliveryMethod: "crypto_wallet", Members: map[string]any{
		"crypto_wallet_factor": map[string]any{
			"crypto_wallet_id":      "crypto-wallet-test-83e1dbba-9f1c-4b1b-9e2c-6c1d0a7a3e2f",
			"crypto_wallet_address": "0x6df2dB4Fb3DA35d241901Bd53367770BF03123f1",
			"crypto_wallet_type":    "ethereum",
		},
	}}
}

// Imported is a session brought along from Auth0. It never counts towards MFA.
func Imported() Factor { return Factor{Type: "imported", DeliveryMethod: "imported_auth0"} }

// Impersonation is an administrator acting as the user. It never counts
// towards MFA.
func Impersonation() Factor {
	return Factor{Type: "impersonated", DeliveryMethod: "impersonation", Members: map[string]any{
		"impersonated_factor": map[string]any{"impersonator_id": "impersonator-test-1", "impersonator_email_address": "admin@example.com"},
	}}
}

// Unknown is a factor that only has a type and a delivery method, such as one
// that Stytch may invent tomorrow.
func Unknown(typ, deliveryMethod string) Factor {
	return Factor{Type: typ, DeliveryMethod: deliveryMethod}
}

// storedFactor is a factor of a session. It shares no memory with its Factor.
type storedFactor struct {
	typ, method string
	at          time.Time
	createdAt   time.Time
	members     map[string]json.RawMessage // never written to
}

func (f Factor) stored(added time.Time) storedFactor {
	s := storedFactor{f.Type, f.DeliveryMethod, f.LastAuthenticatedAt, added, map[string]json.RawMessage{}}
	if s.at.IsZero() {
		s.at = added
	}
	for name, v := range f.Members {
		s.members[name] = nil
		if v != nil {
			s.members[name] = mustMarshal(v)
		}
	}
	return s
}

// same reports whether f and g are one factor, authenticated twice.
func (f storedFactor) same(g storedFactor) bool {
	return f.typ == g.typ && f.method == g.method &&
		maps.EqualFunc(f.members, g.members, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) })
}

// marshal writes the members in Stytch's order. Only the API's answers carry
// created_at and updated_at.
func (f storedFactor) marshal(api bool) json.RawMessage {
	type member struct {
		name  string
		value json.RawMessage
	}
	times := []member{{"last_authenticated_at", mustMarshal(formatTime(f.at))}}
	if f.at.IsZero() {
		times = nil
	}
	list := append([]member{
		{"type", mustMarshal(f.typ)},
		{"delivery_method", mustMarshal(f.method)},
	}, times...)
	if api {
		list = append(list, member{"created_at", mustMarshal(formatTime(f.createdAt))},
			member{"updated_at", mustMarshal(formatTime(f.createdAt))})
	}
	list = slices.DeleteFunc(list, func(m member) bool { _, replaced := f.members[m.name]; return replaced })
	for _, name := range slices.Sorted(maps.Keys(f.members)) {
		if v := f.members[name]; v != nil {
			list = append(list, member{name, v})
		}
	}
	var b bytes.Buffer
	for i, m := range list {
		b.WriteByte("{,"[min(i, 1)])
		b.Write(mustMarshal(m.name))
		b.WriteByte(':')
		b.Write(m.value)
	}
	if len(list) == 0 {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	return b.Bytes()
}

// readFactor reads what a session's reader reads of a factor's JSON.
func readFactor(raw json.RawMessage) sessionctx.Factor {
	var members map[string]any
	f := sessionctx.Factor{Raw: string(raw)}
	if json.Unmarshal(raw, &members) != nil {
		return f
	}
	f.Type, _ = members["type"].(string)
	f.DeliveryMethod, _ = members["delivery_method"].(string)
	if at, ok := members["last_authenticated_at"].(string); ok {
		f.LastAuthenticatedAt, _ = time.Parse(time.RFC3339, at)
	}
	return f
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
