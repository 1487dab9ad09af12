package stytchtest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"sync"
	"time"
)

// maxKeys bounds the key set; beyond it the oldest key is dropped.
const maxKeys = 16

// keyMaterial is an RSA key and its certificate. Making one takes a tenth of a
// second, so a process makes each once, when it is first needed.
type keyMaterial struct {
	private     *rsa.PrivateKey
	certificate []byte
}

// The projects of a process share this material; a rotation moves on to the
// next. Only the key ids, which a project never shares, say whose a key is.
var materials = [...]func() keyMaterial{
	sync.OnceValue(newKeyMaterial),
	sync.OnceValue(newKeyMaterial),
	sync.OnceValue(newKeyMaterial),
}

// foreignMaterial signs what no project signed.
var foreignMaterial = sync.OnceValue(newKeyMaterial)

func newKeyMaterial() keyMaterial {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic("stytchtest: making an RSA key: " + err.Error())
	}
	// The certificate is shaped like Stytch's own. Its dates hold in a
	// synctest bubble as well, where it is the year 2000.
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Issuer:                pkix.Name{Organization: []string{"Stytch"}},
		Subject:               pkix.Name{Organization: []string{"Stytch"}},
		NotBefore:             time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2049, 12, 31, 0, 0, 0, 0, time.UTC),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic("stytchtest: making a certificate: " + err.Error())
	}
	return keyMaterial{key, certificate}
}

// signingKey is a key of one project.
type signingKey struct {
	kid      string
	slot     int // which of materials
	material func() keyMaterial
}

func (p *Project) newKey(slot int) signingKey {
	slot %= len(materials)
	return signingKey{p.newKeyID(), slot, materials[slot]}
}

func (p *Project) newKeyID() string { return p.newID("jwk") }

// KeyID returns the id of the key that signs now.
func (p *Project) KeyID() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[0].kid
}

// RotateKey makes a new key that signs from now on, and returns its id. The
// old keys stay in the key set, as they do at Stytch for a month.
func (p *Project) RotateKey() string {
	p.mu.Lock()
	p.rotate()
	key := p.keys[0]
	p.mu.Unlock()
	key.material() // made here, where no request waits for it
	return key.kid
}

// RotateKeyHard is RotateKey and DropOldKeys in one step: no JWT signed before
// verifies any more.
func (p *Project) RotateKeyHard() string {
	p.mu.Lock()
	p.rotate()
	p.keys = p.keys[:1]
	key := p.keys[0]
	p.mu.Unlock()
	key.material()
	return key.kid
}

// DropOldKeys takes every key but the one that signs out of the key set.
func (p *Project) DropOldKeys() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = p.keys[:1]
}

// rotate is called with p.mu held. It replaces p.keys and never writes to the
// old slice, which may still be read.
func (p *Project) rotate() {
	keys := append([]signingKey{p.newKey(p.keys[0].slot + 1)}, p.keys...)
	p.keys = keys[:min(len(keys), maxKeys)]
}

func (p *Project) currentKeys() []signingKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys
}

// jwk is a key as Stytch serves it (RFC 7517, but for the name x5tS256).
type jwk struct {
	Kty     string   `json:"kty"`
	Use     string   `json:"use"`
	KeyOps  []string `json:"key_ops"`
	Alg     string   `json:"alg"`
	Kid     string   `json:"kid"`
	X5c     []string `json:"x5c"`
	X5tS256 string   `json:"x5tS256"`
	N       string   `json:"n"`
	E       string   `json:"e"`
}

// KeySet returns the key set as it would be served now, faults aside. To serve
// another one, an older one say, pass it to [Reply] and that to
// [Project.FailKeys].
func (p *Project) KeySet() []byte {
	set := struct {
		Keys       []jwk  `json:"keys"`
		RequestID  string `json:"request_id"`
		StatusCode int    `json:"status_code"`
	}{[]jwk{}, p.newRequestID(), 200}
	for _, k := range p.currentKeys() {
		m := k.material()
		thumbprint := sha256.Sum256(m.certificate)
		set.Keys = append(set.Keys, jwk{
			Kty: "RSA", Use: "sig", KeyOps: []string{"verify"}, Alg: "RS256", Kid: k.kid,
			X5c:     []string{base64.StdEncoding.EncodeToString(m.certificate)},
			X5tS256: base64.StdEncoding.EncodeToString(thumbprint[:]),
			N:       base64.RawURLEncoding.EncodeToString(m.private.N.Bytes()),
			E:       base64.RawURLEncoding.EncodeToString(big.NewInt(int64(m.private.E)).Bytes()),
		})
	}
	return mustMarshal(set)
}

func mustMarshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("stytchtest: " + err.Error())
	}
	return b
}
