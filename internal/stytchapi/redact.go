package stytchapi

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Whatever holds a credential implements fmt.Formatter, because Stringer and
// GoStringer do not cover every verb, and encoding.TextMarshaler, because a
// JSON log handler marshals what it finds inside other values.

func (Credential) String() string               { return redacted }
func (Credential) GoString() string             { return redacted }
func (Credential) Format(s fmt.State, _ rune)   { _, _ = io.WriteString(s, redacted) }
func (Credential) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Credential) MarshalText() ([]byte, error) { return []byte(redacted), nil }

func (Answer) String() string               { return redacted }
func (Answer) GoString() string             { return redacted }
func (Answer) Format(s fmt.State, _ rune)   { _, _ = io.WriteString(s, redacted) }
func (Answer) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Answer) MarshalText() ([]byte, error) { return []byte(redacted), nil }

func (c Config) String() string {
	return fmt.Sprintf("{ProjectID:%q Secret:%s}", c.ProjectID, redacted)
}
func (c Config) GoString() string             { return c.String() }
func (c Config) Format(s fmt.State, _ rune)   { _, _ = io.WriteString(s, c.String()) }
func (c Config) LogValue() slog.Value         { return slog.StringValue(c.String()) }
func (c Config) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

func (*Client) String() string               { return redacted }
func (*Client) GoString() string             { return redacted }
func (*Client) Format(s fmt.State, _ rune)   { _, _ = io.WriteString(s, redacted) }
func (*Client) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (*Client) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format writes the same line for every verb; %#v would go into the cause.
func (e *Error) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, e.Error()) }
