package jwks

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/stytchware/stytchware/internal/exactjson"
)

// keyLife is how long a key is used after it was last seen in the key set.
const keyLife = 24 * time.Hour

// key is one RSA public key of the project. It lives on from one key set to
// the next as long as it is the same key, so that the tokens it verified can
// tell whether it is still good.
type key struct {
	kid, n, e string
	size      int        // of the modulus and of a signature, in bytes
	asked     *jwt.Token // the header keyfunc is asked with; read only

	goodUntil atomic.Int64 // Unix nanoseconds; 0 once it left the key set
	header    atomic.Pointer[string]
}

func (k *key) good(now int64) bool { return now < k.goodUntil.Load() }

// remember returns the header segment of a token that k verified, and keeps the
// first one: the next token with the same header need not be parsed, and the
// string is shared.
func (k *key) remember(header string) string {
	h := k.header.Load()
	if h == nil {
		own := strings.Clone(header)
		k.header.CompareAndSwap(nil, &own)
		h = k.header.Load()
	}
	if *h == header {
		return *h
	}
	return strings.Clone(header)
}

// keySet is one answer of the key endpoint. It is immutable, and a
// [jwkset.Storage] that keyfunc reads without a lock. A nil keySet is empty.
type keySet struct {
	readOnly
	keys    []*key
	jwks    map[string]jwkset.JWK
	lookup  keyfunc.Keyfunc
	fetched time.Time
}

// usable reports whether any key is good.
func (s *keySet) usable(now int64) bool {
	return s != nil && slices.ContainsFunc(s.keys, func(k *key) bool { return k.good(now) })
}

// byHeader returns the key that has verified a token with this very header.
func (s *keySet) byHeader(segment string, now int64) *key {
	if s != nil {
		for _, k := range s.keys {
			if h := k.header.Load(); h != nil && *h == segment && k.good(now) {
				return k
			}
		}
	}
	return nil
}

// byKID returns the key of that name, nil if there is none or it is too old.
func (s *keySet) byKID(kid string, now int64) *key {
	if s != nil {
		for _, k := range s.keys {
			if k.kid == kid && k.good(now) {
				return k
			}
		}
	}
	return nil
}

// newKeySet makes a key set of found, taking over from old the keys that are
// the same, and marks the keys that are gone.
func newKeySet(found []publicKey, old *keySet, fetched time.Time) (*keySet, error) {
	all := jwkset.NewMemoryStorage()
	s := &keySet{readOnly: readOnly{all}, jwks: make(map[string]jwkset.JWK), fetched: fetched}
	var err error
	s.lookup, err = keyfunc.New(keyfunc.Options{Storage: s, UseWhitelist: []jwkset.USE{jwkset.UseSig}})
	if err != nil {
		return nil, err
	}
	for _, p := range found {
		// Only what makes the key goes in: certificates and URLs of the key
		// set never reach jwkset.
		jwk, err := jwkset.NewJWKFromMarshal(jwkset.JWKMarshal{
			KTY: jwkset.KtyRSA, N: p.n, E: p.e, KID: p.kid, ALG: jwkset.AlgRS256, USE: jwkset.UseSig,
		}, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{StrictPadding: true})
		if err == nil {
			err = all.KeyWrite(context.Background(), jwk)
		}
		if err != nil {
			continue
		}
		s.jwks[p.kid] = jwk
		var k *key
		if old != nil {
			if i := slices.IndexFunc(old.keys, func(k *key) bool { return k.kid == p.kid && k.n == p.n && k.e == p.e }); i >= 0 {
				k = old.keys[i]
			}
		}
		if k == nil {
			k = &key{kid: p.kid, n: p.n, e: p.e, size: (p.bits + 7) / 8, asked: &jwt.Token{
				Method: jwt.SigningMethodRS256,
				Header: map[string]any{"alg": jwt.SigningMethodRS256.Alg(), "kid": p.kid},
			}}
		}
		s.keys = append(s.keys, k)
	}
	if len(s.keys) == 0 {
		return nil, errNoKeys
	}
	for _, k := range s.keys {
		k.goodUntil.Store(fetched.Add(keyLife).UnixNano())
	}
	if old != nil {
		for _, k := range old.keys {
			if !slices.Contains(s.keys, k) {
				k.goodUntil.Store(0)
			}
		}
	}
	return s, nil
}

// KeyRead implements [jwkset.Storage] without the lock of what it embeds.
func (s *keySet) KeyRead(_ context.Context, kid string) (jwkset.JWK, error) {
	if jwk, ok := s.jwks[kid]; ok {
		return jwk, nil
	}
	return jwkset.JWK{}, jwkset.ErrKeyNotFound
}

var (
	errNotASet = errors.New("answer is not a JSON object with an array of keys")
	errNoKeys  = errors.New("no usable key in the answer")
)

// publicKey is a usable member of a key set (RFC 7517, RFC 7518 section 6.3).
type publicKey struct {
	kid, n, e string
	bits      int
}

// readKeySet returns the usable keys of a JWK Set, at least one, and how many
// others there were. A kid that names two different keys names none.
func readKeySet(body []byte) (usable []publicKey, skipped int, err error) {
	members, err := readMembers(body)
	if err != nil {
		return nil, 0, err
	}
	var raw []json.RawMessage
	if json.Unmarshal(members["keys"], &raw) != nil {
		return nil, 0, errNotASet
	}
	byKID := make(map[string]publicKey)
	ambiguous := make(map[string]bool)
	for _, text := range raw {
		k, ok := readKey(string(text))
		if !ok {
			skipped++
			continue
		}
		if other, dup := byKID[k.kid]; dup {
			if other != k {
				ambiguous[k.kid] = true
				skipped++
			}
			continue
		}
		byKID[k.kid] = k
		usable = append(usable, k)
	}
	usable = slices.DeleteFunc(usable, func(k publicKey) bool {
		if ambiguous[k.kid] {
			skipped++
		}
		return ambiguous[k.kid]
	})
	if len(usable) == 0 {
		return nil, skipped, errNoKeys
	}
	return usable, skipped, nil
}

// readMembers reads a JSON object member by member. encoding/json does it,
// because a key that exactjson would stumble over must not spoil the others;
// but not into a struct, whose names match in any case.
func readMembers(body []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, errNotASet
	}
	members := make(map[string]json.RawMessage)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, errNotASet
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil, errNotASet
		}
		if _, dup := members[name.(string)]; dup {
			return nil, errNotASet
		}
		members[name.(string)] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, errNotASet
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errNotASet
	}
	return members, nil
}

// readKey reads one JWK and reports whether it is an RSA public key that may
// verify RS256 signatures.
func readKey(text string) (k publicKey, ok bool) {
	r := exactjson.New(text)
	var kty string
	alg, use := "RS256", "sig" // each may be missing
	verify, private := true, false
	for name := range r.Members {
		switch name {
		case "kty":
			kty = r.String()
		case "alg":
			alg = r.String()
		case "use":
			use = r.String()
		case "key_ops":
			verify = readOps(&r)
		case "kid":
			k.kid = r.String()
		case "n":
			k.n = r.String()
		case "e":
			k.e = r.String()
		case "d", "p", "q", "dp", "dq", "qi", "oth", "k":
			private = true
		}
	}
	if r.End() != nil || kty != "RSA" || alg != "RS256" || use != "sig" || !verify || private ||
		k.kid == "" || len(k.kid) > maxKID {
		return publicKey{}, false
	}
	n, okN := readUint(k.n)
	e, okE := readUint(k.e)
	if !okN || !okE {
		return publicKey{}, false
	}
	k.bits = n.BitLen()
	if k.bits < 2048 || k.bits > maxBits || n.Bit(0) == 0 ||
		e.BitLen() < 2 || e.BitLen() > 31 || e.Bit(0) == 0 || factorable(n) {
		return publicKey{}, false
	}
	return k, true
}

// factorable reports whether n looks like a modulus of the Infineon library
// whose keys can be factored (ROCA, CVE-2017-15361): modulo each of these
// primes it is a power of 65537, as one modulus in some hundred million is by
// chance (Nemec et al., The Return of Coppersmith's Attack, CCS 2017).
func factorable(n *big.Int) bool {
	for _, p := range [...]uint64{11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157} {
		rest := new(big.Int).Mod(n, new(big.Int).SetUint64(p)).Uint64()
		power := uint64(1)
		for power != rest {
			if power = power * 65537 % p; power == 1 {
				return false
			}
		}
	}
	return true
}

const maxOps = 16 // twice as many as RFC 7517 defines

// readOps reports whether key_ops, an array of distinct strings, has "verify"
// (RFC 7517 section 4.3).
func readOps(r *exactjson.Reader) (verify bool) {
	var seen []string
	for range r.Elements {
		op := r.String()
		if len(seen) == maxOps || slices.Contains(seen, op) {
			r.Fail(exactjson.ErrDuplicate)
		}
		seen = append(seen, op)
		verify = verify || op == "verify"
	}
	return verify
}

const maxBits = 8192 // of a modulus

// readUint reads a Base64urlUInt: canonical base64url of the fewest octets
// (RFC 7518 section 2).
func readUint(s string) (*big.Int, bool) {
	if len(s) > base64.RawURLEncoding.EncodedLen(maxBits/8) {
		return nil, false
	}
	b, ok := decode(nil, s)
	if !ok || b[0] == 0 {
		return nil, false
	}
	return new(big.Int).SetBytes(b), true
}

// readOnly is a [jwkset.Storage] that nothing can be written to.
type readOnly struct{ jwkset.Storage }

var errReadOnly = errors.New("jwks: key set is read only")

func (readOnly) KeyDelete(context.Context, string) (bool, error)   { return false, errReadOnly }
func (readOnly) KeyReplaceAll(context.Context, []jwkset.JWK) error { return errReadOnly }
func (readOnly) KeyWrite(context.Context, jwkset.JWK) error        { return errReadOnly }
