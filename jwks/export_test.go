package jwks

import (
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
