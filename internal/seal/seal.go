// Package seal encrypts and authenticates cookie values with
// gorilla/securecookie, and refuses what that package lets pass: weak keys,
// several spellings of one value, time stamps in the future, values of any
// length.
package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/securecookie"
)

const (
	maxKeys    = 16
	minKey     = 32
	maxKey     = 128
	maxSealed  = 8 << 10
	maxAge     = 527040 * time.Minute // the longest session Stytch grants
	maxFuture  = 30 * time.Second     // clocks of one deployment differ
	cipherIV   = 16                   // AES block, before the ciphertext
	macAndSeps = 32 + 2               // HMAC-SHA-256 and the bars between the parts
	stampSize  = 10                   // digits of a Unix time until the year 2286
)

// Sealer seals cookie values with its first key and opens what any of its
// keys sealed. Safe for concurrent use.
type Sealer struct{ codecs []*securecookie.SecureCookie }

// New returns a Sealer of 1 to 16 keys of 32 to 128 bytes each; the first one
// seals. It keeps nothing of keys. A key of another length, one whose bytes
// are all the same and one that occurs twice are refused, each with an error
// that names its index (from 0), all of them joined by [errors.Join].
func New(keys [][]byte) (*Sealer, error) {
	if err := check(keys); err != nil {
		return nil, err
	}
	s := &Sealer{}
	for i, key := range keys {
		// securecookie wants two keys: derive them (RFC 5869).
		hash, err1 := hkdf.Key(sha256.New, key, nil, "stytchware cookie HMAC-SHA-256", 64)
		block, err2 := hkdf.Key(sha256.New, key, nil, "stytchware cookie AES-256-CTR", 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("seal: key %d: %w", i, err)
		}
		// securecookie's limit on the length would not count the cookie's name.
		s.codecs = append(s.codecs, securecookie.New(hash, block).SetSerializer(securecookie.NopEncoder{}).
			MaxLength(0).MaxAge(int(maxAge/time.Second)))
	}
	return s, nil
}

func check(keys [][]byte) error {
	if len(keys) == 0 || len(keys) > maxKeys {
		return fmt.Errorf("seal: %d keys, want 1 to %d", len(keys), maxKeys)
	}
	var errs []error
	for i, key := range keys {
		same := slices.IndexFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) })
		switch {
		case len(key) < minKey || len(key) > maxKey:
			errs = append(errs, fmt.Errorf("seal: key %d has %d bytes, want %d to %d random ones", i, len(key), minKey, maxKey))
		case bytes.Count(key, key[:1]) == len(key):
			errs = append(errs, fmt.Errorf("seal: key %d is one byte repeated, want random ones", i))
		case same < i:
			errs = append(errs, fmt.Errorf("seal: key %d is the same as key %d", i, same))
		}
	}
	return errors.Join(errs...)
}

// Seal seals value for the cookie called name. It is an error if value is
// empty or too long to be opened again, if name is empty or contains a bar,
// and if the system has no randomness.
func (s *Sealer) Seal(name, value string) (string, error) {
	switch {
	case !bindable(name):
		return "", errors.New("seal: a cookie of this name cannot be sealed")
	case value == "":
		return "", errors.New("seal: nothing to seal")
	case sealedLen(len(value)) > maxSealed:
		return "", fmt.Errorf("seal: a value of %d bytes is too long", len(value))
	}
	// The value is encrypted in place: these bytes must be nobody else's.
	sealed, err := s.codecs[0].Encode(name, []byte(value))
	if err != nil {
		return "", errors.New("seal: could not be sealed")
	}
	return sealed, nil
}

// Open returns the value that was sealed for the cookie called name. old says
// that another key than the first one sealed it. ok is false for whatever Seal
// did not make under one of the keys for this name within the longest life of
// a session, and for every other spelling of what it made.
func (s *Sealer) Open(name, sealed string) (value string, old, ok bool) {
	if !bindable(name) || len(sealed) > maxSealed {
		return "", false, false
	}
	b, err := base64.URLEncoding.DecodeString(sealed)
	if err != nil || base64.URLEncoding.EncodeToString(b) != sealed {
		return "", false, false
	}
	for i, codec := range s.codecs {
		var plain []byte
		if codec.Decode(name, sealed, &plain) != nil {
			continue
		}
		stamp, _, _ := bytes.Cut(b, []byte("|")) // securecookie has read it
		at, err := strconv.ParseInt(string(stamp), 10, 64)
		if err != nil || time.Unix(at, 0).After(time.Now().Add(maxFuture)) {
			return "", false, false
		}
		return string(plain), i > 0, true
	}
	return "", false, false
}

// bindable reports whether name can be bound to a value without doubt about
// where the name ends: securecookie authenticates "name|time|value".
func bindable(name string) bool { return name != "" && !strings.Contains(name, "|") }

// sealedLen returns how long a value of n bytes is when it is sealed.
func sealedLen(n int) int {
	return base64.URLEncoding.EncodedLen(stampSize + macAndSeps + base64.URLEncoding.EncodedLen(cipherIV+n))
}
