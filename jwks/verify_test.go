package jwks_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stytchware/stytchware/jwks"
	"github.com/stytchware/stytchware/sessionctx"
)

func TestVerify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		now := time.Now().UTC().Round(0)
		s, err := f.Verify(context.Background(), token("a"))
		if err != nil {
			t.Fatal(err)
		}
		got, want := s.Data(), sessionctx.Data{
			ID:             "session-test-a",
			UserID:         "user-test-16d9ba61-97a1-4ba4-9720-b03761dc50c6",
			StartedAt:      now.Add(-time.Hour),
			LastAccessedAt: now,
			ExpiresAt:      now.Add(time.Hour),
			Attributes:     sessionctx.Attributes{IPAddress: "203.0.113.1", UserAgent: "Mozilla/5.0"},
			Factors: []sessionctx.Factor{
				{Type: "magic_link", DeliveryMethod: "email", LastAuthenticatedAt: now.Add(-time.Hour), Raw: s.Factor(0).Raw},
				{Type: "otp", DeliveryMethod: "sms", LastAuthenticatedAt: now, Raw: s.Factor(1).Raw},
			},
			Roles:        []string{"stytch_user", "admin"},
			CustomClaims: `{"plan":"pro","limits":{"seats":12345678901234567890},"beta":true}`,
			Source:       sessionctx.Local,
			VerifiedAt:   now,
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		if !strings.Contains(s.Factor(1).Raw, `"+12025550162"`) {
			t.Errorf("factor 1 is %s", s.Factor(1).Raw)
		}
	})
}

// genuine is a session JWT and key set that Stytch made, from the folder that
// STYTCHWARE_FIXTURES names.
func genuine(t *testing.T) (token, keys string) {
	dir := os.Getenv("STYTCHWARE_FIXTURES")
	if dir == "" {
		t.Skip("STYTCHWARE_FIXTURES names no folder with genuine_session.jwt and genuine_jwks.json")
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	return read("genuine_session.jwt"), read("genuine_jwks.json")
}

const genuineProject = "project-test-f202edb0-3f48-452b-a6df-83b516342bbe"

var genuineIssuedAt = time.Unix(1750996292, 0)

func startGenuine(t *testing.T, keys string) *fixture {
	advance(time.Until(genuineIssuedAt))
	return start(t, func(c *jwks.Config, e *endpoint) {
		c.ProjectID = genuineProject
		e.serve(keys)
	})
}

func TestGenuine(t *testing.T) {
	token, keys := genuine(t)
	synctest.Test(t, func(t *testing.T) {
		f := startGenuine(t, keys)
		s, err := f.Verify(context.Background(), token)
		if err != nil {
			t.Fatal(err)
		}
		at := genuineIssuedAt.UTC()
		want := sessionctx.Data{
			ID:               "member-session-test-3a429516-3bce-45bb-b679-faefddcedcfa",
			UserID:           "member-test-5de01109-bae1-4a4d-908f-f7a26720f4f2",
			MemberID:         "member-test-5de01109-bae1-4a4d-908f-f7a26720f4f2",
			OrganizationID:   "organization-test-a0afea0f-0dbe-4ef5-88bf-7e9e7a06dab8",
			OrganizationSlug: "together",
			StartedAt:        at,
			LastAccessedAt:   at,
			ExpiresAt:        at.Add(time.Hour),
			Factors: []sessionctx.Factor{{Type: "sso", DeliveryMethod: "sso_oidc", LastAuthenticatedAt: at,
				Raw: `{"type":"sso","delivery_method":"sso_oidc","last_authenticated_at":"2025-06-27T03:51:32Z","oidc_sso_factor":` +
					`{"id":"oidc-member-registration-test-10f4cd87-5858-416d-b50b-dc6137afd783","provider_id":"oidc-connection-test-3c086670-abb9-4329-bce8-0e2fc9ad5243",` +
					`"external_id":"00uspw2tf56vBAz0Y697"}}`}},
			Roles:      []string{"stytch_member"},
			Source:     sessionctx.Local,
			VerifiedAt: at,
		}
		if got := s.Data(); !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		advance(300*time.Second - 1)
		f.want(t, token, "accepted")
		advance(1)
		f.want(t, token, "stale")
	})
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// No character of a genuine token can be another one, not even where base64
// has bits to spare.
func TestGenuineHasOneSpelling(t *testing.T) {
	token, keys := genuine(t)
	synctest.Test(t, func(t *testing.T) {
		f := startGenuine(t, keys)
		f.want(t, token, "accepted") // so that it is in the cache
		signature := strings.LastIndexByte(token, '.')
		others := func(i int) []string {
			v := strings.IndexByte(alphabet, token[i])
			if v < 0 {
				return []string{"A", "_", "\n", ""}
			}
			o := []string{string(alphabet[v^1]), string(alphabet[v^0b100000]), "\n", "="}
			if i == len(token)-1 || i == signature-1 {
				o = strings.Split(strings.Replace(alphabet, string(token[i]), "", 1), "")
			}
			return o
		}
		payload := strings.IndexByte(token, '.')
		for i := range len(token) {
			for _, c := range others(i) {
				got := f.outcome(t, token[:i]+c+token[i+1:])
				// A changed header can name another key.
				if got != "invalid" && !(i < payload && got == "unavailable") {
					t.Errorf("with %q at %d of %d the token is %s", c, i, len(token), got)
				}
			}
		}
		for _, other := range []string{token + "A", token + "=", token + "\n", " " + token, token + ".", "." + token, token[1:], token[:len(token)-1]} {
			f.want(t, other, "invalid")
		}
		f.want(t, token, "accepted")
	})
}

func TestSpelling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		key := mainKey()
		h, p := b64(header(kid)), payload(time.Now(), "a")
		// Payloads of each length, so that each kind of last character occurs.
		for i := range 12 {
			good := signedRaw(key, h+"."+b64(p+strings.Repeat(" ", i)))
			f.want(t, good, "accepted")
		}
		// Other spellings are refused even where somebody with the key signed them.
		padded := func(spare int) string { // base64url whose last character has bits to spare
			s := p
			for len(b64(s))*6-len(s)*8 != spare {
				s += " "
			}
			return b64(s)
		}
		changed := func(s string, bits int) string { // bits of the last character are others
			return s[:len(s)-1] + string(alphabet[strings.IndexByte(alphabet, s[len(s)-1])^bits])
		}
		enc := padded(4)
		for _, text := range []string{
			h + "." + changed(enc, 1), h + "." + changed(enc, 2), h + "." + changed(enc, 4), h + "." + changed(enc, 8),
			h + "." + changed(padded(2), 1), h + "." + changed(padded(2), 2), h + "." + padded(0) + "A", h + "." + enc + "==", h + "." + enc[:40] + "\n" + enc[40:], h + "." + enc + "\r\n", h + "." + enc + "A",
			h + "=." + enc, h + "\n." + enc, " " + h + "." + enc, h + "." + enc + ".e30", h + ".", "." + enc, h + "..", h, h + "." + enc[:20] + "+" + enc[20:], h + "." + enc[:20] + "/" + enc[20:],
			h + "." + enc[:20] + "é" + enc[20:], h + "." + enc[:20] + "\x00" + enc[20:],
		} {
			f.want(t, signedRaw(key, text), "invalid")
		}
		for _, token := range []string{"", ".", "..", "...", "undefined", "null", "a.b.c", "e30.e30.", ".e30.e30", strings.Repeat(".", 1000)} {
			f.want(t, token, "invalid")
		}
		// The size limit is on the token; 16 KiB still pass.
		long := func(total int) string {
			empty := len(signedRaw(key, h+"."+b64(p)))
			pad := (total - empty) * 3 / 4
			for n := max(0, pad-3); ; n++ {
				tok := h + "." + b64(p+strings.Repeat(" ", n))
				if len(tok)+1+342 >= total {
					return signedRaw(key, tok)
				}
			}
		}
		at := long(16<<10 - 2)
		if len(at) > 16<<10 || len(at) < 16<<10-2 {
			t.Fatal(len(at))
		}
		f.want(t, at, "accepted")
		f.want(t, long(16<<10+1), "invalid")
	})
}

func TestHeader(t *testing.T) {
	for _, tt := range []struct{ header, reason string }{
		{`{"alg":"RS256","kid":"jwk-test-1","typ":"JWT"}`, ""},
		{`{"alg":"RS256","kid":"jwk-test-1"}`, ""},
		{` {"kid" : "jwk-test-1" , "alg":"RS256", "x":{"crit":[1]},"x5t":"a","iss":null} `, ""},
		{`{"alg":"RS256","kid":"jwk-test-\u0031"}`, ""},
		{`{"alg":"RS256","kid":"jwk-test-1","Crit":["b64"],"ALG":"none"}`, ""},
		{`{"kid":"jwk-test-1"}`, "algorithm is not RS256"},
		{`{"Alg":"RS256","kid":"jwk-test-1"}`, "algorithm is not RS256"},
		{`{"alg":"rs256","kid":"jwk-test-1"}`, "algorithm is not RS256"},
		{`{"alg":"RS256 ","kid":"jwk-test-1"}`, "algorithm is not RS256"},
		{`{"alg":"none","kid":"jwk-test-1"}`, "algorithm is not RS256"},
		{`{"alg":"HS256","kid":"jwk-test-1"}`, "algorithm is not RS256"},
		{`{"alg":"PS256","kid":"jwk-test-1"}`, "algorithm is not RS256"},
		{`{"alg":"RS512","kid":"jwk-test-1"}`, "algorithm is not RS256"},
		{`{"alg":["RS256"],"kid":"jwk-test-1"}`, "malformed header"},
		{`{"alg":null,"kid":"jwk-test-1"}`, "malformed header"},
		{`{"alg":"RS256"}`, "no usable key id"},
		{`{"alg":"RS256","KID":"jwk-test-1"}`, "no usable key id"},
		{`{"alg":"RS256","\u212Aid":"jwk-test-1"}`, "no usable key id"}, // the Kelvin sign folds to k
		{`{"alg":"RS256","kid":""}`, "no usable key id"},
		{`{"alg":"RS256","kid":"` + strings.Repeat("k", 257) + `"}`, "no usable key id"},
		{`{"alg":"RS256","kid":1}`, "malformed header"},
		{`{"alg":"RS256","kid":null}`, "malformed header"},
		{`{"alg":"RS256","kid":["jwk-test-1"]}`, "malformed header"},
		{`{"alg":"RS256","kid":"jwk-test-1","typ":"jwt"}`, "header type is not JWT"},
		{`{"alg":"RS256","kid":"jwk-test-1","typ":"at+jwt"}`, "header type is not JWT"},
		{`{"alg":"RS256","kid":"jwk-test-1","typ":""}`, "header type is not JWT"},
		{`{"alg":"RS256","kid":"jwk-test-1","typ":null}`, "malformed header"},
		{`{"alg":"RS256","kid":"jwk-test-1","crit":[]}`, "header member that is not supported"},
		{`{"alg":"RS256","kid":"jwk-test-1","crit":["exp"]}`, "header member that is not supported"},
		{`{"alg":"RS256","kid":"jwk-test-1","crit":null}`, "header member that is not supported"},
		{`{"alg":"RS256","kid":"jwk-test-1","cty":"JWT"}`, "header member that is not supported"},
		{`{"alg":"RS256","kid":"jwk-test-1","b64":true}`, "header member that is not supported"},
		{`{"alg":"RS256","kid":"jwk-test-1","zip":"DEF"}`, "header member that is not supported"},
		{`{"alg":"RS256","kid":"jwk-test-1","enc":"A128GCM"}`, "header member that is not supported"},
		{`{"alg":"RS256","kid":"jwk-test-1","jku":"https://attacker.example/"}`, "header member that is not supported"},
		{`{"alg":"RS256","kid":"jwk-test-1","x5u":"https://attacker.example/"}`, "header member that is not supported"},
		{`{"alg":"RS256","kid":"jwk-test-1","jwk":{}}`, "header member that is not supported"},
		{`{"alg":"RS256","kid":"jwk-test-1","x5c":[]}`, "header member that is not supported"},
		{`{"alg":"RS256","kid":"jwk-test-1","alg":"RS256"}`, "malformed header"},
		{`{"alg":"RS256","kid":"jwk-test-1","x":{"a":1,"a":1}}`, "malformed header"},
		{`{"alg":"RS256","kid":"jwk-test-1"}{}`, "malformed header"},
		{`{"alg":"RS256","kid":"jwk-test-1",}`, "malformed header"},
		{`{"alg":"RS256","kid":"jwk-test-1","x":"` + "\xff" + `"}`, "malformed header"},
		{`{"alg":"RS256","kid":"jwk-test-1","x":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`, "malformed header"},
		{`["RS256"]`, "malformed header"},
		{`null`, "malformed header"},
		{` `, "malformed header"},
	} {
		t.Run(tt.header[:min(60, len(tt.header))], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := start(t)
				token := signed(mainKey(), tt.header, payload(time.Now(), "a"))
				for range 2 { // the second time from whatever was remembered
					_, err := f.Verify(context.Background(), token)
					checkReason(t, err, tt.reason)
				}
				if n := f.fetches(); n != 1 {
					t.Errorf("%d fetches, want 1", n)
				}
			})
		})
	}
}

// checkReason checks that err is an InvalidError with that reason, nil for "".
func checkReason(t *testing.T, err error, reason string) {
	t.Helper()
	if reason == "" {
		if err != nil {
			t.Errorf("error %v, want none", err)
		}
		return
	}
	var invalid *jwks.InvalidError
	if outcome(t, err) != "invalid" || !errors.As(err, &invalid) {
		t.Errorf("error %v, want it to be invalid", err)
		return
	}
	if invalid.Reason() != reason || err.Error() != "jwks: token is not valid: "+reason {
		t.Errorf("error %q, reason %q, want %q", err, invalid.Reason(), reason)
	}
}

func TestSignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, func(_ *jwks.Config, e *endpoint) {
			e.serve(keySet(jwk(mainKey(), kid), jwk(otherKey(), "jwk-test-2")))
		})
		p := payload(time.Now(), "a")
		good := signed(mainKey(), header(kid), p)
		text, sig := good[:strings.LastIndexByte(good, '.')], good[strings.LastIndexByte(good, '.')+1:]
		foreign := signed(otherKey(), header(kid), p)
		for _, token := range []string{
			foreign, // the key is in the set, under another name
			text + foreign[strings.LastIndexByte(foreign, '.'):],
			text + "." + b64("short"),
			text + "." + sig[:len(sig)-2],
			text + "." + "AAAA" + sig, // the same number with more octets
			text + "." + strings.Repeat("A", 342),
			text + "." + strings.Repeat("_", 341) + "w",
			text + "." + strings.Repeat("_", 8000),
			signed(mainKey(), header(kid), payload(time.Now(), "b"))[:len(text)] + "." + sig,
			signed(newKey(1024), header(kid), p),
		} {
			_, err := f.Verify(context.Background(), token)
			checkReason(t, err, "wrong signature")
		}
		f.want(t, signed(otherKey(), header("jwk-test-2"), p), "accepted")
		f.want(t, good, "accepted")
		// A forged payload is not looked at, whatever is in it.
		_, err := f.Verify(context.Background(), b64(header(kid))+"."+b64(`{"a":1,"a":`)+"."+sig)
		checkReason(t, err, "wrong signature")
	})
}

func TestClaims(t *testing.T) {
	const (
		inexact  = "payload is not exact JSON"
		wrong    = "claim of the wrong JSON type"
		audience = "wrong audience"
		issuer   = "wrong issuer"
		subject  = "no subject"
		dates    = "exp, iat or nbf is missing or out of range"
		session  = "no well-formed session claim"
		org      = "malformed organization claim"
	)
	const (
		aud = `"aud":["` + project + `"]`
		iss = `"iss":"stytch.com/` + project + `"`
		exp = `"exp":946685100`
		iat = `"iat":946684800`
		nbf = `"nbf":946684800`
		sub = `"sub":"user-test-16d9ba61-97a1-4ba4-9720-b03761dc50c6"`
		ses = `"https://stytch.com/session":`
		id  = `"id":"session-test-a"`
		end = `"beta":true}`
	)
	for _, tt := range []struct{ old, new, reason string }{
		{end, `"beta":true}`, ""},
		{`{"aud"`, ` { "aud"`, ""},

		// aud
		{aud, `"aud":"` + project + `"`, ""},
		{aud, `"aud":["x","` + project + `"]`, ""},
		{aud, `"aud":["` + project + `","` + project + `"]`, ""},
		{aud, `"aud":["` + project + `0"]`, audience},
		{aud, `"aud":["` + strings.ToUpper(project) + `"]`, audience},
		{aud, `"aud":[]`, audience},
		{aud, `"aud":""`, audience},
		{aud, `"AUD":["` + project + `"]`, audience},
		{aud, `"aud":null`, wrong},
		{aud, `"aud":{"` + project + `":1}`, wrong},
		{aud, `"aud":["` + project + `",1]`, wrong},
		{aud, `"aud":[["` + project + `"]]`, wrong},
		{aud, `"x":1`, audience},

		// iss
		{iss, `"iss":"stytch.com/project-test-1"`, issuer},
		{iss, `"iss":"https://stytch.com/` + project + `"`, issuer},
		{iss, `"iss":"stytch.com/` + project + `/"`, issuer},
		{iss, `"iss":"Stytch.com/` + project + `"`, issuer},
		{iss, `"iss":"https://test.stytch.com"`, issuer},
		{iss, `"iss":""`, issuer},
		{iss, `"ISS":"stytch.com/` + project + `"`, issuer},
		{iss, `"iss":["stytch.com/` + project + `"]`, wrong},
		{iss, `"x":1`, issuer},

		// sub
		{sub, `"sub":""`, subject},
		{sub, `"sub":null`, wrong},
		{sub, `"sub":1`, wrong},
		{sub, `"SUB":"user-test-1"`, subject},
		{sub, `"\u017fub":"user-test-1"`, subject}, // the long s folds to s
		{sub, `"x":1`, subject},

		// dates
		{exp, `"exp":946684800.000000001`, ""},
		{exp, `"exp":946685100.5`, ""},
		{exp, `"exp":253402300799`, ""},
		{exp, `"exp":253402300799.0`, ""},
		{exp, `"exp":253402300799.000000000000000000000`, ""},
		{exp, `"exp":253402300799.1`, dates},
		{exp, `"exp":253402300799.0000000000000000000001`, dates},
		{exp, `"exp":253402300800`, dates},
		{exp, `"exp":946685100000`, dates}, // milliseconds
		{exp, `"exp":99999999999999999999999999999999999`, dates},
		{exp, `"exp":18446744074656236716`, dates}, // 946685100 + 2^64
		{exp, `"exp":1e300`, dates},
		{exp, `"exp":9.466851e8`, dates},
		{exp, `"exp":946685100E0`, dates},
		{exp, `"exp":946685100.5e1`, dates},
		{exp, `"exp":-1`, dates},
		{exp, `"exp":-0`, dates},
		{exp, `"exp":0946685100`, inexact},
		{exp, `"exp":+946685100`, inexact},
		{exp, `"exp":946685100.`, inexact},
		{exp, `"exp":.5`, inexact},
		{exp, `"exp":0x386d43bc`, inexact},
		{exp, `"exp":NaN`, inexact},
		{exp, `"exp":"946685100"`, wrong},
		{exp, `"exp":null`, wrong},
		{exp, `"exp":true`, wrong},
		{exp, `"exp":[946685100]`, wrong},
		{exp, `"Exp":946685100`, dates},
		{exp, `"x":1`, dates},
		{iat, `"iat":946684799.999999999`, ""},
		{iat, `"iat":"946684800"`, wrong},
		{iat, `"iat":null`, wrong},
		{iat, `"iat":-1`, dates},
		{iat, `"iat":1e300`, dates},
		{iat, `"x":1`, dates},
		{nbf, `"nbf":0`, ""},
		{nbf, `"nbf":0.0`, ""},
		{nbf, `"nbf":"946684800"`, wrong},
		{nbf, `"nbf":null`, wrong},
		{nbf, `"nbf":1e300`, dates},
		{nbf, `"nbf":-1`, dates},
		{nbf, `"x":1`, dates},

		// The session claim tells a session from the M2M, Connected-App and ID
		// tokens that the same keys sign.
		{ses, `"x":`, session},
		{ses, `"https://stytch.com/Session":`, session},
		{ses, `"HTTPS://STYTCH.COM/SESSION":`, session},
		{ses, `"https://stytch.com/session":null,"x":`, session},
		{ses, `"https://stytch.com/session":"session-test-a","x":`, session},
		{ses, `"https://stytch.com/session":[],"x":`, session},
		{ses, `"https://stytch.com/session":{},"x":`, session},
		{id, `"id":""`, session},
		{id, `"id":null`, wrong},
		{id, `"id":1`, wrong},
		{id, `"Id":"session-test-a"`, session},
		{id, `"session_id":"session-test-a"`, session},
		{`"expires_at":"2000-01-01T01:00:00Z"`, `"expires_at":"tomorrow"`, session},
		{`"expires_at":"2000-01-01T01:00:00Z"`, `"expires_at":1`, wrong},
		{`"expires_at":"2000-01-01T01:00:00Z"`, `"expires_at":"9999-12-31T23:59:59.999999999Z"`, ""},
		{`"expires_at":"2000-01-01T01:00:00Z"`, `"expires_at":"2000-01-01T02:00:00.5+01:30"`, ""},
		{`"roles":["stytch_user","admin"]`, `"roles":"admin"`, wrong},
		{`"roles":["stytch_user","admin"]`, `"roles":[1]`, wrong},

		// B2B
		{end, `"https://stytch.com/organization":{"organization_id":"o","slug":"s"}}`, ""},
		{end, `"https://stytch.com/organization":{"organization_id":"o","slug":null,"x":1}}`, ""},
		{end, `"https://stytch.com/organization":{"organization_id":"","slug":"s"}}`, org},
		{end, `"https://stytch.com/organization":{"slug":"s"}}`, org},
		{end, `"https://stytch.com/organization":{}}`, org},
		{end, `"https://stytch.com/organization":null}`, org},
		{end, `"https://stytch.com/organization":"o"}`, org},
		{end, `"https://stytch.com/organization":{"organization_id":1}}`, wrong},
		{end, `"https://stytch.com/organization":{"organization_id":"o","slug":1}}`, wrong},

		// exactness
		{end, `"beta":true,"beta":true}`, inexact},
		{end, `"beta":true,"sub":"user-test-other"}`, inexact},
		{end, `"beta":true,"\u0073ub":"user-test-other"}`, inexact},
		{end, `"beta":[{"x":{"a":1,"a":1}}]}`, inexact},
		{end, `"jti":{"a":1,"a":1}}`, inexact},
		{end, `"https://stytch.com/x":{"a":1,"a":1}}`, inexact},
		{id, id + `,` + id, inexact},
		{`"type":"otp"`, `"type":"otp","type":"totp"`, inexact},
		{end, `"beta":"` + "\xc3\x28" + `"}`, inexact},
		{end, `"beta":"\ud800"}`, inexact},
		{end, `"beta":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}`, ""},
		{end, `"beta":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`, inexact},
		{end, `"beta":true}}`, inexact},
		{end, `"beta":true} x`, inexact},
		{end, `"beta":true`, inexact},
		{end, `"beta":true,}`, inexact},
		{end, `"beta":tru}`, inexact},
		{end, `"beta":undefined}`, inexact},
		{end, `"beta":true} ` + "\x00", inexact},
		{`{"aud"`, "\ufeff" + `{"aud"`, inexact},
		{`{"aud"`, `[{"aud"`, wrong},
	} {
		t.Run(tt.new, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := start(t)
				token := signed(mainKey(), header(kid), edit(t, payload(time.Now(), "a"), tt.old, tt.new))
				_, err := f.Verify(context.Background(), token)
				checkReason(t, err, tt.reason)
				advance(10 * time.Minute) // what is not ours never becomes stale
				want := "invalid"
				if tt.reason == "" {
					want = "stale"
				}
				f.want(t, token, want)
			})
		})
	}
}

func TestCustomClaims(t *testing.T) {
	for _, tt := range []struct{ members, want string }{
		{`"x":1`, `{"x":1}`},
		{`"jti":"a"`, `{}`},
		{`"https://stytch.com/other":{"a":1}`, `{}`},
		{`"https://stytch.com":1,"https://stytch.com.example/":2`, `{"https://stytch.com":1,"https://stytch.com.example/":2}`},
		{`"SUB":"x","ſub":"y"`, `{"SUB":"x","ſub":"y"}`},
		{`"b":1.0,"a":1e400`, `{"b":1.0,"a":1e400}`},
		{`  "b"  :  { "x" : [ 1 , 2 ] }  ,  "a" : null  `, `{"b":{ "x" : [ 1 , 2 ] },"a":null}`},
		{`"a\"b":1,"c\\":"\"","\u0064,{":2`, `{"a\"b":1,"c\\":"\"","\u0064,{":2}`},
		{`"":""`, `{"":""}`},
		{`"big":"` + strings.Repeat("x", 4000) + `"`, `{"big":"` + strings.Repeat("x", 4000) + `"}`},
	} {
		t.Run(tt.members[:min(40, len(tt.members))], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := start(t)
				p := edit(t, payload(time.Now(), "a"), `,"plan":"pro","limits":{"seats":12345678901234567890},"beta":true}`, "}")
				for _, p := range []string{
					edit(t, p, `c6"}`, `c6",`+tt.members+`}`),
					edit(t, p, `{"aud"`, `{`+tt.members+`,"aud"`),
				} {
					s, err := f.Verify(context.Background(), signed(mainKey(), header(kid), p))
					if err != nil {
						t.Fatal(err)
					}
					if got := s.CustomClaims(); got != tt.want || !json.Valid([]byte(got)) {
						t.Errorf("custom claims %s\nwant %s", got, tt.want)
					}
				}
			})
		})
	}
}

// Who a session belongs to stands in the claims of the token, whatever the
// session claim says.
func TestIdentityIsTheTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		p := edit(t, payload(time.Now(), "a"), `"id":"session-test-a"`, `"id":"session-test-a","user_id":"other","member_id":"other","organization_id":"other",`+
			`"organization_slug":"other","custom_claims":{"other":1}`)
		s, err := f.Verify(context.Background(), signed(mainKey(), header(kid), p))
		if err != nil {
			t.Fatal(err)
		}
		if d := s.Data(); d.UserID != "user-test-16d9ba61-97a1-4ba4-9720-b03761dc50c6" || d.MemberID+d.OrganizationID+d.OrganizationSlug != "" || strings.Contains(d.CustomClaims, "other") {
			t.Errorf("session %+v", d)
		}
		bare := edit(t, p, `,"plan":"pro","limits":{"seats":12345678901234567890},"beta":true}`, "}")
		s, err = f.Verify(context.Background(), signed(mainKey(), header(kid), bare))
		if err != nil {
			t.Fatal(err)
		}
		if d := s.Data(); d.CustomClaims != "" {
			t.Errorf("custom claims %s", d.CustomClaims)
		}
		p = edit(t, p, `"beta":true`, `"https://stytch.com/organization":{"organization_id":"o","slug":"s"}`)
		s, err = f.Verify(context.Background(), signed(mainKey(), header(kid), p))
		if err != nil {
			t.Fatal(err)
		}
		if d := s.Data(); d.MemberID != d.UserID || d.UserID != "user-test-16d9ba61-97a1-4ba4-9720-b03761dc50c6" || d.OrganizationID != "o" || d.OrganizationSlug != "s" {
			t.Errorf("session %+v", d)
		}
	})
}

func TestIssuer(t *testing.T) {
	const ours = "stytch.com/" + project
	for _, tt := range []struct {
		base   string
		accept []string
		refuse []string
	}{
		{"", []string{ours}, []string{"https://test.stytch.com", "https://login.example.com", ""}},
		{"https://test.stytch.com/", []string{ours}, []string{"https://test.stytch.com"}},
		{"https://login.example.com/", []string{ours, "https://login.example.com"}, []string{"https://login.example.com/", "http://login.example.com", "login.example.com", "https://login.example.com:443"}},
		{"http://127.0.0.1:8080", []string{ours, "http://127.0.0.1:8080"}, []string{"https://127.0.0.1:8080", "http://127.0.0.1"}},
	} {
		t.Run(tt.base, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked string
				f := start(t, func(c *jwks.Config, e *endpoint) {
					c.BaseURL = tt.base
					e.do(func(r *http.Request) (*http.Response, error) {
						asked = r.URL.String()
						return ok(keySet(jwk(mainKey(), kid))), nil
					})
				})
				base := strings.TrimSuffix(tt.base, "/")
				if base == "" {
					base = "https://test.stytch.com"
				}
				if want := base + "/v1/sessions/jwks/" + project; asked != want {
					t.Errorf("asked %s, want %s", asked, want)
				}
				from := func(iss string) string {
					return signed(mainKey(), header(kid), edit(t, payload(time.Now(), "a"), ours+`"`, iss+`"`))
				}
				for _, iss := range tt.accept {
					f.want(t, from(iss), "accepted")
				}
				for _, iss := range tt.refuse {
					_, err := f.Verify(context.Background(), from(iss))
					checkReason(t, err, "wrong issuer")
				}
			})
		})
	}
}

func TestTimes(t *testing.T) {
	// The clock stands at 946684800 when the token is first seen.
	const (
		exp     = `"exp":946685100`
		iat     = `"iat":946684800`
		nbf     = `"nbf":946684800`
		expires = `"expires_at":"2000-01-01T01:00:00Z"`
	)
	type edits [][2]string
	for _, tt := range []struct {
		name   string
		edits  edits
		maxAge time.Duration
		want   []string // outcome at once, and after each step
		steps  []time.Duration
	}{
		{"five minutes", nil, 0, []string{"accepted", "accepted", "stale"}, []time.Duration{300*time.Second - 1, 1}},
		{"expired now", edits{{exp, `"exp":946684800`}}, 0, []string{"stale"}, nil},
		{"expires in a nanosecond", edits{{exp, `"exp":946684800.000000001`}}, 0, []string{"accepted", "stale"}, []time.Duration{1}},
		{"expires at a fraction", edits{{exp, `"exp":946684800.25`}}, 0, []string{"accepted", "accepted", "stale"}, []time.Duration{250*time.Millisecond - 1, 1}},
		{"long token, default age", edits{{exp, `"exp":253402300799`}}, 0, []string{"accepted", "accepted", "stale"}, []time.Duration{300 * time.Second, 1}},
		{"long token, own age", edits{{exp, `"exp":253402300799`}}, time.Minute, []string{"accepted", "accepted", "stale"}, []time.Duration{time.Minute, 1}},
		{"age beyond all bounds", edits{{exp, `"exp":253402300799`}, {expires, `"expires_at":null`}}, 1<<63 - 1, []string{"accepted", "accepted"}, []time.Duration{2 * time.Hour}},
		{"age just reached", edits{{iat, `"iat":946684500`}}, 0, []string{"accepted", "stale"}, []time.Duration{1}},
		{"too old", edits{{iat, `"iat":946684499.999999999`}}, 0, []string{"stale"}, nil},
		{"from 1970", edits{{iat, `"iat":0`}, {nbf, `"nbf":0`}}, 0, []string{"stale"}, nil},
		{"session over", edits{{expires, `"expires_at":"2000-01-01T00:00:00Z"`}}, 0, []string{"stale"}, nil},
		{"session over soon", edits{{expires, `"expires_at":"2000-01-01T00:01:00Z"`}}, 0, []string{"accepted", "accepted", "stale"}, []time.Duration{time.Minute - 1, 1}},
		{"session without end", edits{{expires, `"expires_at":null`}}, 0, []string{"accepted", "accepted", "stale"}, []time.Duration{300*time.Second - 1, 1}},
		{"session until 9999", edits{{expires, `"expires_at":"9999-12-31T23:59:59Z"`}}, 0, []string{"accepted"}, nil},
		{"session over long ago", edits{{expires, `"expires_at":"0001-01-01T00:00:01Z"`}}, 0, []string{"stale"}, nil},
		{"issued just inside the skew", edits{{iat, `"iat":946684830`}}, 0, []string{"accepted"}, nil},
		{"issued outside the skew", edits{{iat, `"iat":946684830.000000001`}}, 0, []string{"ahead", "accepted"}, []time.Duration{1}},
		{"begins just inside the skew", edits{{nbf, `"nbf":946684830`}}, 0, []string{"accepted"}, nil},
		{"begins outside the skew", edits{{nbf, `"nbf":946684831`}}, 0, []string{"ahead", "ahead", "accepted", "stale"}, []time.Duration{time.Second - 1, 1, 5 * time.Minute}},
		{"issued in 9999", edits{{iat, `"iat":253402300799`}}, 0, []string{"ahead", "stale"}, []time.Duration{300 * time.Second}},
		{"begins in 9999", edits{{nbf, `"nbf":253402300799`}, {exp, `"exp":253402300799`}}, 0, []string{"ahead", "stale"}, []time.Duration{300*time.Second + 1}},
		{"ahead and expired", edits{{iat, `"iat":946684900`}, {exp, `"exp":946684700`}}, 0, []string{"stale"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := start(t, func(c *jwks.Config, _ *endpoint) { c.MaxTokenAge = tt.maxAge })
				p := payload(time.Now(), "a")
				for _, e := range tt.edits {
					p = edit(t, p, e[0], e[1])
				}
				token := signed(mainKey(), header(kid), p)
				check := func(want string) {
					t.Helper()
					_, err := f.Verify(context.Background(), token)
					got := outcome(t, err)
					var stale *jwks.StaleError
					if errors.As(err, &stale) {
						if stale.Session.ID() != "session-test-a" || stale.IssuedAt.IsZero() {
							t.Errorf("the error tells of %+v", stale)
						}
						if stale.Ahead {
							got = "ahead"
						}
					}
					if got != want {
						t.Errorf("%s after the token was issued it is %s, want %s", time.Since(time.Unix(946684800, 0)), got, want)
					}
				}
				check(tt.want[0])
				check(tt.want[0])
				for i, d := range tt.steps {
					advance(d)
					check(tt.want[i+1])
				}
			})
		})
	}
}

func TestSkewIsConfigurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, func(c *jwks.Config, _ *endpoint) { c.Skew = time.Minute })
		f.want(t, signed(mainKey(), header(kid), payload(time.Now().Add(time.Minute), "a")), "accepted")
		f.want(t, signed(mainKey(), header(kid), payload(time.Now().Add(61*time.Second), "a")), "stale")
		// The skew is not for exp.
		f.want(t, signed(mainKey(), header(kid), payload(time.Now().Add(-5*time.Minute), "a")), "stale")
	})
}

func TestStaleErrorTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		issued := time.Now().Add(-400 * time.Second)
		_, err := f.Verify(context.Background(), signed(mainKey(), header(kid), payload(issued, "a")))
		var stale *jwks.StaleError
		if !errors.As(err, &stale) {
			t.Fatal(err)
		}
		if !stale.IssuedAt.Equal(issued) || stale.Ahead || stale.Session.ID() != "session-test-a" || stale.Session.NumFactors() != 2 || err.Error() != "jwks: token is stale" {
			t.Errorf("%v tells %+v", err, stale)
		}
	})
}

func TestZeroVerifierHasNoKeys(t *testing.T) {
	var zero jwks.Verifier
	for _, v := range []*jwks.Verifier{&zero, nil} {
		_, err := v.Verify(context.Background(), token("a"))
		var unavailable *jwks.UnavailableError
		if !errors.As(err, &unavailable) || outcome(t, err) != "unavailable" || unavailable.RetryAfter < time.Second {
			t.Errorf("error %v", err)
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
		if s := v.Stats(); s != (jwks.Stats{}) {
			t.Errorf("stats %+v", s)
		}
	}
}

func TestNewReportsEveryMistake(t *testing.T) {
	v, err := jwks.New(jwks.Config{
		ProjectID: "p", BaseURL: "http://example.com", MaxTokenAge: -1, Skew: -1, RefreshInterval: -1, Cooldown: -1, CacheSize: -1,
	})
	if v != nil || err == nil {
		t.Fatalf("New = %v, %v", v, err)
	}
	lines := strings.Split(err.Error(), "\n")
	fields := []string{"ProjectID", "BaseURL", "MaxTokenAge", "Skew", "RefreshInterval", "Cooldown", "CacheSize"}
	if len(lines) != len(fields) {
		t.Fatalf("%d mistakes: %v", len(lines), err)
	}
	for i, field := range fields {
		if !strings.HasPrefix(lines[i], "jwks: Config."+field+": must ") {
			t.Errorf("mistake %d is %q, want one about %s", i, lines[i], field)
		}
	}
	for _, cfg := range []jwks.Config{{}, {ProjectID: project, RefreshInterval: 12*time.Hour + 1}, {ProjectID: project, BaseURL: "x"}} {
		if v, err := jwks.New(cfg); v != nil || err == nil {
			t.Errorf("New = %v, %v", v, err)
		}
	}
}

// Nothing that is printed holds a token or a key.
func TestErrorsHoldNothingOfTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t)
		good := token("a")
		cut := strings.LastIndexByte(good, '.')
		for _, token := range []string{
			good[:cut], good[:cut] + ".AAAA", signed(mainKey(), header("jwk-test-x"), payload(time.Now(), "a")),
			signed(mainKey(), header(kid), payload(time.Now().Add(-time.Hour), "a")), signed(mainKey(), header(kid), `{"secret":1}`),
			signed(otherKey(), header(kid), payload(time.Now(), "a")),
		} {
			_, err := f.Verify(context.Background(), token)
			text := fmt.Sprintf("%v %+v %s", err, err, f.logs)
			for _, part := range append(strings.Split(token, "."), "jwk-test-x", "secret") {
				if strings.Contains(text, part) {
					t.Errorf("%q holds %q", text, part)
				}
			}
		}
	})
}
