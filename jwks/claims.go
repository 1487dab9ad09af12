package jwks

import (
	"math"
	"strings"
	"time"

	"github.com/stytchware/stytchware/internal/exactjson"
	"github.com/stytchware/stytchware/internal/sessionjson"
	"github.com/stytchware/stytchware/sessionctx"
)

// Stytch's own claims; everything else under the prefix is reserved.
const (
	stytchClaims = "https://stytch.com/"
	sessionClaim = stytchClaims + "session"
	orgClaim     = stytchClaims + "organization"
)

// rules are what a project asks of its tokens.
type rules struct {
	project      string
	issuer       string
	customIssuer string // of sessions made through a custom domain; "" for none
	maxAge       time.Duration
	skew         time.Duration
}

// claims are those of one token.
type claims struct {
	data                           sessionctx.Data
	expiresAt, issuedAt, notBefore time.Time
}

// read reads a payload in one pass and applies every rule but those of time. The
// custom claims are put together only if they are wanted.
func (u *rules) read(payload string, wanted bool) (claims, error) {
	var (
		c                    claims
		org                  sessionctx.Data
		issuer, subject      string
		audience             bool
		exp, iat, nbf        bool
		hasSession, validOrg bool
		scratch              [512]byte
		custom               = scratch[:0]
		taken                int // of the payload, up to the last member's end
	)
	validOrg = true
	r := exactjson.New(payload)
	for name := range r.Members {
		at := r.Mark()
		switch name {
		case "iss":
			issuer = r.String()
		case "sub":
			subject = r.String()
		case "aud":
			audience = u.hasAudience(&r)
		case "exp":
			c.expiresAt, exp = numericDate(r.Number())
		case "iat":
			c.issuedAt, iat = numericDate(r.Number())
		case "nbf":
			c.notBefore, nbf = numericDate(r.Number())
		case sessionClaim:
			if r.Kind() != exactjson.Object {
				r.Skip()
				break
			}
			c.data, hasSession = sessionjson.Claim(&r), true
		case orgClaim:
			if r.Kind() != exactjson.Object {
				r.Skip()
				validOrg = false
				break
			}
			org = organization(&r)
			validOrg = org.OrganizationID != ""
		case "jti":
			r.Skip()
		default:
			raw := r.Raw()
			if strings.HasPrefix(name, stytchClaims) || !wanted {
				break
			}
			// Between the last member's end and this value stands the
			// name as the token spells it, which need not be name.
			between := payload[taken:at]
			custom = append(custom, "{,"[min(len(custom), 1)])
			custom = append(custom, between[strings.IndexByte(between, '"'):strings.LastIndexByte(between, '"')+1]...)
			custom = append(custom, ':')
			custom = append(custom, raw...)
		}
		taken = len(r.Since(0))
	}
	switch err := r.End(); {
	case err == sessionjson.ErrShape:
		return claims{}, errSession
	case err == exactjson.ErrType:
		return claims{}, errClaim
	case err != nil:
		return claims{}, errPayload
	case issuer != u.issuer && (u.customIssuer == "" || issuer != u.customIssuer):
		return claims{}, errIssuer
	case !audience:
		return claims{}, errAudience
	case subject == "":
		return claims{}, errSubject
	case !exp || !iat || !nbf:
		return claims{}, errDates
	case !hasSession:
		return claims{}, errSession
	case !validOrg:
		return claims{}, errOrg
	}
	// Who it is stands in sub alone; the session claim has no say in it.
	c.data.UserID = subject
	c.data.MemberID, c.data.OrganizationID, c.data.OrganizationSlug = "", "", ""
	if org.OrganizationID != "" {
		c.data.MemberID = subject
		c.data.OrganizationID, c.data.OrganizationSlug = org.OrganizationID, org.OrganizationSlug
	}
	c.data.CustomClaims = ""
	if len(custom) > 0 {
		c.data.CustomClaims = string(append(custom, '}'))
	}
	if c.data.ExpiresAt.IsZero() {
		c.data.ExpiresAt = c.expiresAt
	}
	return c, nil
}

// session returns the session of claims that were read from payload. It keeps
// nothing of the text that they were read from, only the token's own payload
// segment, from which what is seldom asked for is read again.
func (u *rules) session(c claims, payload string) *sessionctx.Session {
	d := c.data
	d.Attributes = sessionctx.Attributes{}
	ids := d.ID + d.UserID // one allocation
	d.ID, d.UserID = ids[:len(d.ID)], ids[len(d.ID):]
	if d.MemberID != "" { // the user's
		d.MemberID = d.UserID
	}
	d.OrganizationID, d.OrganizationSlug = strings.Clone(d.OrganizationID), strings.Clone(d.OrganizationSlug)
	for i := range d.Factors {
		f := &d.Factors[i]
		f.Type, f.DeliveryMethod, f.Raw = own(f.Type), own(f.DeliveryMethod), ""
	}
	for i := range d.Roles {
		d.Roles[i] = own(d.Roles[i])
	}
	d.Later = func() sessionctx.Data {
		text, _ := decode(nil, payload)
		c, _ := u.read(string(text), true) // as before: it was read already
		return c.data
	}
	return sessionctx.New(d)
}

// own returns a copy of s, and the same one for what most sessions have.
func own(s string) string {
	if usual, ok := usuals[s]; ok {
		return usual
	}
	return strings.Clone(s)
}

var usuals = func() map[string]string {
	m := make(map[string]string)
	for _, s := range [...]string{
		"magic_link", "otp", "totp", "oauth", "password", "webauthn", "sso",
		"email", "sms", "whatsapp", "authenticator_app", "webauthn_registration", "biometric", "knowledge", "oauth_google",
		"stytch_user", "stytch_member",
	} {
		m[s] = s
	}
	return m
}()

// hasAudience reports whether the project is in aud, which is one string or an
// array of them (RFC 7519 section 4.1.3).
func (u *rules) hasAudience(r *exactjson.Reader) (ours bool) {
	if r.Kind() == exactjson.String {
		return r.String() == u.project
	}
	for range r.Elements {
		if r.String() == u.project {
			ours = true
		}
	}
	return ours
}

func organization(r *exactjson.Reader) (d sessionctx.Data) {
	for name := range r.Members {
		switch name {
		case "organization_id":
			d.OrganizationID = r.String()
		case "slug":
			if r.Kind() != exactjson.Null {
				d.OrganizationSlug = r.String()
			}
		}
	}
	return d
}

// maxDate is the last second of the year 9999.
const maxDate = 253402300799

// numericDate reads a JSON number of seconds since 1970 (RFC 7519 section 2).
// Digits after the ninth decimal are dropped. Numbers with an exponent are
// refused, though the RFC allows them: no issuer writes a date so.
func numericDate(text string) (time.Time, bool) {
	whole, fraction, _ := strings.Cut(text, ".")
	if whole == "" || len(whole) > len("253402300799") {
		return time.Time{}, false
	}
	var sec, nsec int64
	for _, c := range []byte(whole) {
		if c < '0' || c > '9' {
			return time.Time{}, false
		}
		sec = sec*10 + int64(c-'0')
	}
	for i, unit := 0, int64(100_000_000); i < len(fraction); i, unit = i+1, unit/10 {
		c := fraction[i]
		if c < '0' || c > '9' || sec == maxDate && c != '0' {
			return time.Time{}, false
		}
		nsec += int64(c-'0') * unit
	}
	if sec > maxDate {
		return time.Time{}, false
	}
	return time.Unix(sec, nsec).UTC(), true
}

// window is when a token with these claims is accepted, in Unix nanoseconds:
// from ≤ now < until.
func (u *rules) window(c claims) (from, until int64) {
	from = plus(max(nanos(c.issuedAt), nanos(c.notBefore)), -u.skew)
	until = plus(plus(nanos(c.issuedAt), u.maxAge), 1) // an age of exactly maxAge is accepted
	return from, min(until, nanos(c.expiresAt), nanos(c.data.ExpiresAt))
}

// nanos is t in Unix nanoseconds, or the nearest that fits an int64: the years
// before 1678 and after 2262 do not.
func nanos(t time.Time) int64 {
	switch sec := t.Unix(); {
	case sec > math.MaxInt64/int64(time.Second)-1:
		return math.MaxInt64
	case sec < math.MinInt64/int64(time.Second)+1:
		return math.MinInt64
	}
	return t.UnixNano()
}

// plus is t + d, or the latest that fits. It cannot be too early: no date of a
// token is before 1970.
func plus(t int64, d time.Duration) int64 {
	if sum := t + int64(d); d < 0 || sum >= t {
		return sum
	}
	return math.MaxInt64
}
