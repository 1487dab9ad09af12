// Package sessionjson reads a session as Stytch writes it: as the session
// claim of a JWT, and as the session object of an API answer. Names match
// byte for byte.
package sessionjson

import (
	"errors"
	"time"

	"github.com/stytchware/stytchware/internal/exactjson"
	"github.com/stytchware/stytchware/sessionctx"
)

// ErrShape is a session that is JSON but not well formed.
var ErrShape = errors.New("sessionjson: not a well-formed session")

// Claim reads the JWT claim https://stytch.com/session. The user and the
// custom claims stand elsewhere in the JWT; ExpiresAt is zero where the claim
// has none. Failures are r's.
func Claim(r *exactjson.Reader) sessionctx.Data { return read(r, "id", "id") }

// API reads session (or, in B2B, member_session) of an API answer. ExpiresAt
// is zero where the answer has none. Failures are r's.
func API(r *exactjson.Reader) sessionctx.Data { return read(r, "session_id", "member_session_id") }

func read(r *exactjson.Reader, id, memberID string) (d sessionctx.Data) {
	for name := range r.Members {
		switch name {
		case id, memberID:
			d.ID = r.String()
		case "user_id":
			d.UserID = optional(r)
		case "member_id":
			d.MemberID = optional(r)
			d.UserID = d.MemberID
		case "organization_id":
			d.OrganizationID = optional(r)
		case "organization_slug":
			d.OrganizationSlug = optional(r)
		case "started_at":
			d.StartedAt, _ = instant(optional(r))
		case "last_accessed_at":
			d.LastAccessedAt, _ = instant(optional(r))
		case "expires_at":
			if s := optional(r); s != "" {
				var ok bool
				if d.ExpiresAt, ok = instant(s); !ok {
					r.Fail(ErrShape)
				}
			}
		case "attributes":
			d.Attributes = attributes(r)
		case "authentication_factors":
			if !null(r) {
				for range r.Elements {
					if d.Factors == nil {
						d.Factors = make([]sessionctx.Factor, 0, 2)
					}
					d.Factors = append(d.Factors, factor(r))
				}
			}
		case "roles":
			if !null(r) {
				for range r.Elements {
					d.Roles = append(d.Roles, r.String())
				}
			}
		case "custom_claims":
			if !null(r) {
				if r.Kind() != exactjson.Object {
					r.Fail(ErrShape)
				}
				d.CustomClaims = r.Raw()
			}
		}
	}
	if d.ID == "" {
		r.Fail(ErrShape)
	}
	return d
}

func attributes(r *exactjson.Reader) (a sessionctx.Attributes) {
	if null(r) {
		return a
	}
	for name := range r.Members {
		switch name {
		case "ip_address":
			a.IPAddress = optional(r)
		case "user_agent":
			a.UserAgent = optional(r)
		}
	}
	return a
}

func factor(r *exactjson.Reader) (f sessionctx.Factor) {
	mark := r.Mark()
	for name := range r.Members {
		switch name {
		case "type":
			f.Type = optional(r)
		case "delivery_method":
			f.DeliveryMethod = optional(r)
		case "last_authenticated_at":
			// A time that cannot be read is no time: it never satisfies a guard.
			if r.Kind() == exactjson.String {
				f.LastAuthenticatedAt, _ = instant(r.String())
			}
		}
	}
	f.Raw = r.Since(mark)
	return f
}

// optional takes a string, or null for "".
func optional(r *exactjson.Reader) string {
	if null(r) {
		return ""
	}
	return r.String()
}

// null takes the next value if it is null.
func null(r *exactjson.Reader) bool {
	if r.Kind() != exactjson.Null {
		return false
	}
	r.Null()
	return true
}

// instant reads an RFC 3339 time as UTC.
func instant(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, false
	}
	return t.UTC(), true
}
