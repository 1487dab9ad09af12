package jwks

import (
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/stytchware/stytchware/internal/exactjson"
	"github.com/stytchware/stytchware/sessionctx"
)

const (
	maxToken = 16 << 10
	maxKID   = 256
	// maxSignature is that of the largest key, in bytes.
	maxSignature = maxBits / 8
)

// verify does everything but the look at the clock. The result is a token
// that is well signed, ours and well formed.
func (v *Verifier) verify(ctx context.Context, token string) (*entry, error) {
	header, payload, signature, ok := split(token)
	if !ok {
		return nil, errSpelling
	}
	now := time.Now().UnixNano()
	set := v.keys.current()
	k, kid := set.byHeader(header, now), ""
	if k == nil {
		var err error
		if kid, err = readHeader(header); err != nil {
			return nil, err
		}
	}
	var sigRoom [maxSignature + 3]byte // decode wants some room at the end
	var sig []byte
	if len(signature) <= maxSignature/3*4+2 {
		sig, ok = decode(sigRoom[:0], signature)
	} else {
		ok = canonical(signature) // and no key's
	}
	if !ok || !endsWell(payload) {
		return nil, errSpelling
	}
	if k == nil {
		k = set.byKID(kid, now)
	}
	if k == nil {
		if !canonical(payload) { // nothing malformed makes us fetch
			return nil, errSpelling
		}
		var err error
		if set, k, err = v.keys.await(ctx, kid, set); err != nil {
			return nil, err
		}
	}

	if !set.signed(k, token[:len(header)+1+len(payload)], sig) {
		return nil, errSignature
	}

	var room [1536]byte // a usual payload fits
	text, ok := decode(room[:0], payload)
	if !ok {
		return nil, errSpelling
	}
	c, err := v.rules.read(string(text), false)
	if err != nil {
		return nil, err
	}
	c.data.Source, c.data.VerifiedAt = sessionctx.Local, time.Now().UTC().Round(0)
	e := newEntry(header, token, k, c.issuedAt)
	e.session = v.rules.session(c, e.rest[:len(payload)])
	e.from, e.until = v.rules.window(c)
	return e, nil
}

// signed reports whether sig is k's signature of text. golang-jwt's Parser would
// decode the payload before it verifies the signature; so only its signing
// method is used.
func (s *keySet) signed(k *key, text string, sig []byte) bool {
	if len(sig) != k.size {
		return false
	}
	public, err := s.lookup.Keyfunc(k.asked)
	return err == nil && jwt.SigningMethodRS256.Verify(text, sig, public) == nil
}

// split cuts a token in its three segments (RFC 7515 section 3.1). Where there
// are more, the last one has a dot in it.
func split(token string) (header, payload, signature string, ok bool) {
	i := strings.IndexByte(token, '.')
	if i < 0 {
		return "", "", "", false
	}
	header, rest := token[:i], token[i+1:]
	j := strings.IndexByte(rest, '.')
	if j < 0 {
		return "", "", "", false
	}
	return header, rest[:j], rest[j+1:], true
}

// canonical reports whether s is not empty and base64url in the one spelling
// that encoding its bytes gives.
func canonical(s string) bool {
	var all byte
	for i := range len(s) {
		all |= sextet[s[i]]
	}
	return all < 64 && endsWell(s)
}

// endsWell reports whether s is not empty and, if it is base64url at all, is
// canonical: it has a length that encoding gives, and no bits are left over.
func endsWell(s string) bool {
	if s == "" {
		return false
	}
	last := sextet[s[len(s)-1]]
	switch len(s) % 4 {
	case 1:
		return false
	case 2:
		return last&0b1111 == 0
	case 3:
		return last&0b11 == 0
	}
	return true
}

// decode appends to dst what s stands for, and reports whether s is canonical.
func decode(dst []byte, s string) ([]byte, bool) {
	if !endsWell(s) {
		return dst, false
	}
	n := len(dst)
	dst = slices.Grow(dst, len(s)/4*3+4)
	to := dst[n:cap(dst)]
	var all byte
	for len(s) >= 8 && len(to) >= 8 { // six bytes at a time, and two that are overwritten
		a, b, c, d := sextet[s[0]], sextet[s[1]], sextet[s[2]], sextet[s[3]]
		e, f, g, h := sextet[s[4]], sextet[s[5]], sextet[s[6]], sextet[s[7]]
		all |= a | b | c | d | e | f | g | h
		binary.BigEndian.PutUint64(to,
			uint64(a)<<58|uint64(b)<<52|uint64(c)<<46|uint64(d)<<40|uint64(e)<<34|uint64(f)<<28|uint64(g)<<22|uint64(h)<<16)
		s, to, n = s[8:], to[6:], n+6
	}
	dst = dst[:n]
	for ; len(s) >= 4; s = s[4:] {
		a, b, c, d := sextet[s[0]], sextet[s[1]], sextet[s[2]], sextet[s[3]]
		all |= a | b | c | d
		dst = append(dst, a<<2|b>>4, b<<4|c>>2, c<<6|d)
	}
	if len(s) > 1 {
		all |= sextet[s[0]] | sextet[s[1]]
		dst = append(dst, sextet[s[0]]<<2|sextet[s[1]]>>4)
	}
	if len(s) > 2 {
		all |= sextet[s[2]]
		dst = append(dst, sextet[s[1]]<<4|sextet[s[2]]>>2)
	}
	return dst, all < 64
}

// sextet is what each letter of the base64url alphabet stands for; 64 for all
// others.
var sextet = func() (t [256]byte) {
	for i := range t {
		t[i] = 64
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		t[c] = byte(i)
	}
	return t
}()

// readHeader returns the kid of a header that asks for nothing but RS256. Of
// the other members those that change how a token is to be read, or name a
// key source, are refused, and the rest are ignored (RFC 7515 section 4.1).
func readHeader(segment string) (kid string, err error) {
	var room [512]byte // a usual header fits
	text, ok := decode(room[:0], segment)
	if !ok {
		return "", errSpelling
	}
	r := exactjson.New(string(text))
	var alg string
	typ := "JWT"
	extended := false
	for name := range r.Members {
		switch name {
		case "alg":
			alg = r.String()
		case "kid":
			kid = r.String()
		case "typ":
			typ = r.String()
		case "crit", "cty", "b64", "zip", "enc", "jku", "x5u", "jwk", "x5c":
			extended = true
		}
	}
	switch {
	case r.End() != nil:
		return "", errHeader
	case alg != "RS256":
		return "", errAlgorithm
	case typ != "JWT":
		return "", errType
	case extended:
		return "", errExtension
	case kid == "" || len(kid) > maxKID:
		return "", errKID
	}
	return kid, nil
}
