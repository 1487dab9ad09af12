package jwks

import (
	"context"
	"crypto/rsa"
	"time"
)

// Keys reads a key set as a fetch does and returns what keyfunc then finds.
func Keys(body []byte) (map[string]*rsa.PublicKey, error) {
	found, _, err := readKeySet(body)
	if err != nil {
		return nil, err
	}
	set, err := newKeySet(found, nil, time.Now())
	if err != nil {
		return nil, err
	}
	keys := make(map[string]*rsa.PublicKey)
	for _, k := range set.keys {
		public, err := set.lookup.Keyfunc(k.asked)
		if err != nil {
			return nil, err
		}
		keys[k.kid] = public.(*rsa.PublicKey)
	}
	return keys, nil
}

// Signed reads a key set as a fetch does and tells whether sig is the signature
// of text by the key named kid, as Verify decides it for a token. The first
// result is false if the key set has no such key that is usable.
func Signed(keySet []byte, kid, text string, sig []byte) (usable, signed bool) {
	found, _, err := readKeySet(keySet)
	if err != nil {
		return false, false
	}
	set, err := newKeySet(found, nil, time.Now())
	if err != nil {
		return false, false
	}
	k := set.byKID(kid, time.Now().UnixNano())
	if k == nil {
		return false, false
	}
	return true, set.signed(k, text, sig)
}

// AwaitLate looks for a key as Verify does for a caller that found no key set
// at all, when the first one came in the meantime.
func (v *Verifier) AwaitLate(ctx context.Context, kid string) error {
	_, _, err := v.keys.await(ctx, kid, nil)
	return err
}
