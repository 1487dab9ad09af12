package middleware

import (
	"fmt"
	"log/slog"
)

// Tokens are the two credentials of a session, as Stytch's client SDKs name
// them. Either may be empty. Printed, logged or marshalled they are
// "[redacted]"; only the fields themselves hold the secrets. Inside an
// unexported field of another struct, and with %p, package fmt cannot be kept
// from printing them.
type Tokens struct {
	SessionToken string // opaque, does not change while the session lives
	SessionJWT   string // valid for five minutes, then exchanged
}

const redacted = "[redacted]"

// String returns "[redacted]".
func (Tokens) String() string { return redacted }

// GoString returns "[redacted]".
func (Tokens) GoString() string { return redacted }

// Format prints "[redacted]" whatever the verb.
func (Tokens) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(redacted)) }

// MarshalText returns "[redacted]".
func (Tokens) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns "[redacted]".
func (Tokens) LogValue() slog.Value { return slog.StringValue(redacted) }
