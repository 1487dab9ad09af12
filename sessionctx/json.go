package sessionctx

import (
	"encoding/json"
	"log/slog"
	"time"
)

// LogValue is the ids, the source and the end of s: no personal data, so that a
// session may be passed to log/slog as it is.
func (s *Session) LogValue() slog.Value {
	if s == nil {
		return slog.StringValue("none")
	}
	all := []slog.Attr{slog.String("session_id", s.id), slog.String("user_id", s.userID)}
	if id := s.OrganizationID(); id != "" {
		all = append(all, slog.String("organization_id", id))
	}
	return slog.GroupValue(append(all, slog.String("source", s.source.String()), slog.Time("expires_at", s.expiresAt.UTC()))...)
}

// MarshalJSON writes the session as one JSON object, with the names Stytch's
// API uses and beside them source and verified_at. Times are RFC 3339 in UTC
// and left out where there is none, the B2B ids likewise; lists and custom
// claims are never null. Factors and custom claims appear as Stytch sent them.
func (s *Session) MarshalJSON() ([]byte, error) {
	factors, roles := s.Factors(), s.roles
	if factors == nil {
		factors = []Factor{}
	}
	if roles == nil {
		roles = []string{}
	}
	return json.Marshal(struct {
		ID               string          `json:"session_id"`
		UserID           string          `json:"user_id"`
		MemberID         string          `json:"member_id,omitempty"`
		OrganizationID   string          `json:"organization_id,omitempty"`
		OrganizationSlug string          `json:"organization_slug,omitempty"`
		StartedAt        time.Time       `json:"started_at,omitzero"`
		LastAccessedAt   time.Time       `json:"last_accessed_at,omitzero"`
		ExpiresAt        time.Time       `json:"expires_at,omitzero"`
		Attributes       Attributes      `json:"attributes"`
		Factors          []Factor        `json:"authentication_factors"`
		Roles            []string        `json:"roles"`
		CustomClaims     json.RawMessage `json:"custom_claims"`
		Source           Source          `json:"source"`
		VerifiedAt       time.Time       `json:"verified_at,omitzero"`
	}{
		s.id, s.userID, s.MemberID(), s.OrganizationID(), s.OrganizationSlug(),
		s.startedAt.UTC(), s.lastAccessedAt.UTC(), s.expiresAt.UTC(),
		s.Attributes(), factors, roles, json.RawMessage(s.CustomClaims()),
		s.source, s.verifiedAt.UTC(),
	})
}

// String is the session as MarshalJSON writes it.
func (s *Session) String() string {
	if s == nil {
		return "null"
	}
	text, err := s.MarshalJSON()
	if err != nil { // a year or a Raw that no JSON can hold
		return "session " + s.id
	}
	return string(text)
}

// MarshalJSON writes Raw, the object Stytch sent; for a factor built without
// one, its type, delivery_method and last_authenticated_at.
func (f Factor) MarshalJSON() ([]byte, error) {
	if f.Raw != "" {
		return []byte(f.Raw), nil
	}
	return json.Marshal(struct {
		Type                string    `json:"type"`
		DeliveryMethod      string    `json:"delivery_method"`
		LastAuthenticatedAt time.Time `json:"last_authenticated_at,omitzero"`
	}{f.Type, f.DeliveryMethod, f.LastAuthenticatedAt.UTC()})
}
