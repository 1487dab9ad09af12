package seal_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/securecookie"
	"github.com/stytchware/stytchware/internal/seal"
)

const name = "__Host-stytch_session"

// key returns a key of n bytes, another one for every seed.
func key(seed byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = seed + byte(i)*7
	}
	return b
}

func sealer(t testing.TB, seeds ...byte) *seal.Sealer {
	t.Helper()
	var keys [][]byte
	for _, s := range seeds {
		keys = append(keys, key(s, 32))
	}
	s, err := seal.New(keys)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustSeal(t testing.TB, s *seal.Sealer, name, value string) string {
	t.Helper()
	sealed, err := s.Seal(name, value)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestNew(t *testing.T) {
	zero, ones := make([]byte, 32), bytes.Repeat([]byte{0xff}, 64)
	many := func(n int) (keys [][]byte) {
		for i := range n {
			keys = append(keys, key(byte(i), 32))
		}
		return keys
	}
	for _, c := range []struct {
		name string
		keys [][]byte
		want []string // one error each
	}{
		{"32 bytes", [][]byte{key(1, 32)}, nil},
		{"128 bytes", [][]byte{key(1, 128)}, nil},
		{"almost one byte", [][]byte{append(make([]byte, 31), 1)}, nil},
		{"16 keys", many(16), nil},
		{"one the beginning of another", [][]byte{key(1, 33), key(1, 32)}, nil},
		{"none", nil, []string{"seal: 0 keys, want 1 to 16"}},
		{"17 keys", many(17), []string{"seal: 17 keys, want 1 to 16"}},
		{"nil key", [][]byte{nil}, []string{"seal: key 0 has 0 bytes, want 32 to 128 random ones"}},
		{"one byte", [][]byte{key(1, 32), {7}}, []string{"seal: key 1 has 1 bytes, want 32 to 128 random ones"}},
		{"31 bytes", [][]byte{key(1, 31)}, []string{"seal: key 0 has 31 bytes, want 32 to 128 random ones"}},
		{"129 bytes", [][]byte{key(1, 129)}, []string{"seal: key 0 has 129 bytes, want 32 to 128 random ones"}},
		{"zeros", [][]byte{key(1, 32), key(2, 32), zero}, []string{"seal: key 2 is one byte repeated, want random ones"}},
		{"ones", [][]byte{ones}, []string{"seal: key 0 is one byte repeated, want random ones"}},
		{"twice", [][]byte{key(1, 32), key(2, 32), key(1, 32)}, []string{"seal: key 2 is the same as key 0"}},
		{"everything", [][]byte{zero, key(1, 32), []byte("hunter2"), key(1, 32)}, []string{
			"seal: key 0 is one byte repeated, want random ones", "seal: key 2 has 7 bytes, want 32 to 128 random ones", "seal: key 3 is the same as key 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := seal.New(c.keys)
			if want := strings.Join(c.want, "\n"); (s == nil) != (want != "") || want != "" && (err == nil || err.Error() != want) || want == "" && err != nil {
				t.Errorf("got %v, want %q", err, want)
			}
			var joined interface{ Unwrap() []error }
			if len(c.want) > 1 && (!errors.As(err, &joined) || len(joined.Unwrap()) != len(c.want)) {
				t.Error("the mistakes cannot be taken apart")
			}
		})
	}
}

func TestRoundTrip(t *testing.T) {
	s := sealer(t, 1, 2)
	for _, value := range []string{"x", "WJtR5BCy38Szd5AfoDpf0iqFKEt4EE5JhjlWUY7l3FtY", "a|b|c", "\x00\xff", strings.Repeat("j", 2200), strings.Repeat("é", 2000)} {
		one, two := mustSeal(t, s, name, value), mustSeal(t, s, name, value)
		if one == two {
			t.Errorf("%.20q is sealed twice in one way", value)
		}
		if len(value) > 8 && strings.Contains(one, value) || strings.Trim(one, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=") != "" {
			t.Errorf("%.20q is sealed as %s", value, one)
		}
		for _, sealed := range []string{one, two} {
			if got, old, ok := s.Open(name, sealed); got != value || old || !ok {
				t.Errorf("%.20q: %.20q, %t, %t", value, got, old, ok)
			}
		}
	}
}

// twin seals as Seal does, by its own derivation and without its refusals.
func twin(t *testing.T, key []byte) *securecookie.SecureCookie {
	t.Helper()
	derive := func(info string, n int) []byte {
		b, err := hkdf.Key(sha256.New, key, nil, info, n)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return securecookie.New(derive("stytchware cookie HMAC-SHA-256", 64), derive("stytchware cookie AES-256-CTR", 32)).
		SetSerializer(securecookie.NopEncoder{}).MaxLength(0)
}

// The format is pinned: another one would log everybody out on an update.
func TestFormat(t *testing.T) {
	s, other := sealer(t, 1), twin(t, key(1, 32))
	for _, c := range []struct {
		what, name, value string
		ok                bool
	}{
		{"a value", name, "value", true},
		{"a name with a bar", "a|b", "value", false},
		{"no name", "", "value", false},
		{"a value over 8 KiB", name, strings.Repeat("x", 5000), false},
	} {
		sealed, err := other.Encode(c.name, []byte(c.value))
		if err != nil {
			t.Fatal(err)
		}
		if got, old, ok := s.Open(c.name, sealed); ok != c.ok || old || ok && got != c.value {
			t.Errorf("%s: %.20q, %t, %t", c.what, got, old, ok)
		}
	}
	var plain []byte
	if err := other.Decode(name, mustSeal(t, s, name, "value"), &plain); err != nil || string(plain) != "value" {
		t.Errorf("sealed in another format: %q, %v", plain, err)
	}
}

func TestSealRefuses(t *testing.T) {
	s := sealer(t, 1)
	// The longest value that can be sealed can be opened; no longer one is sealed.
	longest := 0
	for n := 4000; n < 6000; n++ {
		sealed, err := s.Seal(name, strings.Repeat("x", n))
		if err != nil {
			break
		}
		if _, _, ok := s.Open(name, sealed); !ok {
			t.Fatalf("%d bytes are sealed as %d and cannot be opened", n, len(sealed))
		}
		longest = n
	}
	if longest < 4500 || longest > 4600 {
		t.Errorf("the longest value is %d bytes", longest)
	}
	for _, c := range []struct{ name, value, want string }{
		{name, "", "seal: nothing to seal"},
		{"", "v", "seal: a cookie of this name cannot be sealed"},
		{"a|b", "v", "seal: a cookie of this name cannot be sealed"},
		{name, strings.Repeat("x", longest+1), fmt.Sprintf("seal: a value of %d bytes is too long", longest+1)},
		{name, strings.Repeat("x", 1<<20), "seal: a value of 1048576 bytes is too long"},
	} {
		if sealed, err := s.Seal(c.name, c.value); sealed != "" || err == nil || err.Error() != c.want {
			t.Errorf("%q, %d bytes: %.20q, %v, want %s", c.name, len(c.value), sealed, err, c.want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	s := sealer(t, 1, 2)
	const value = "WJtR5BCy38Szd5AfoDpf0iqFKEt4EE5JhjlWUY7l3FtY"
	sealed := mustSeal(t, s, name, value)
	raw, _ := base64.URLEncoding.DecodeString(sealed)
	for _, c := range []struct{ name, cookie, sealed string }{
		{"nothing", name, ""},
		{"another cookie", "__Host-stytch_session_jwt", sealed},
		{"another case", strings.ToUpper(name), sealed},
		{"no name", "", sealed},
		{"name with a bar", name + "|", sealed},
		{"another key", name, mustSeal(t, sealer(t, 3), name, value)},
		{"line feed", name, sealed[:10] + "\n" + sealed[10:]},
		{"carriage return at the end", name, sealed + "\r"},
		{"space", name, " " + sealed},
		{"no padding", name, strings.TrimRight(sealed, "=")},
		{"more padding", name, sealed + "="},
		{"standard alphabet", name, base64.StdEncoding.EncodeToString(append(bytes.Clone(raw), 0xff, 0xff, 0xff))},
		{"not base64", name, "%%%%"},
		{"the value itself", name, value},
		{"the text inside", name, string(raw)},
		{"one part", name, base64.URLEncoding.EncodeToString([]byte("123"))},
		{"empty parts", name, base64.URLEncoding.EncodeToString([]byte("||"))},
		{"cut off", name, base64.URLEncoding.EncodeToString(raw[:len(raw)-1])},
		{"longer", name, base64.URLEncoding.EncodeToString(append(bytes.Clone(raw), 0))},
		{"twice", name, sealed + sealed},
		{"8 KiB and one", name, strings.Repeat("A", 8<<10+1)},
	} {
		if got, old, ok := s.Open(c.cookie, c.sealed); got != "" || old || ok {
			t.Errorf("%s: %q, %t, %t", c.name, got, old, ok)
		}
	}
}

// One spelling: no byte of a sealed value can be another one.
func TestEveryByteCounts(t *testing.T) {
	s := sealer(t, 1)
	for _, value := range []string{"abc", "abcd", "abcde"} { // every length of padding
		sealed := mustSeal(t, s, name, value)
		for i := range sealed {
			for _, c := range []byte("ABCDwxyz0189-_=+/\n\r \x00\xff") {
				other := []byte(sealed)
				if other[i] == c {
					continue
				}
				other[i] = c
				if got, _, ok := s.Open(name, string(other)); ok {
					t.Fatalf("byte %d as %q: opened as %q", i, c, got)
				}
			}
		}
		raw, _ := base64.URLEncoding.DecodeString(sealed)
		for i := range raw {
			for bit := range 8 {
				other := bytes.Clone(raw)
				other[i] ^= 1 << bit
				if got, _, ok := s.Open(name, base64.URLEncoding.EncodeToString(other)); ok {
					t.Fatalf("bit %d of byte %d: opened as %q", bit, i, got)
				}
			}
		}
	}
}

func TestRotation(t *testing.T) {
	before, during, after := sealer(t, 1), sealer(t, 2, 1), sealer(t, 2)
	old, fresh := mustSeal(t, before, name, "value"), mustSeal(t, during, name, "value")
	for _, c := range []struct {
		name    string
		s       *seal.Sealer
		sealed  string
		old, ok bool
	}{
		{"old value, old key only", before, old, false, true},
		{"new value, old key only", before, fresh, false, false},
		{"old value, both keys", during, old, true, true},
		{"new value, both keys", during, fresh, false, true},
		{"old value, new key only", after, old, false, false},
		{"new value, new key only", after, fresh, false, true},
	} {
		value, old, ok := c.s.Open(name, c.sealed)
		if old != c.old || ok != c.ok || (value == "value") != c.ok {
			t.Errorf("%s: %q, %t, %t", c.name, value, old, ok)
		}
	}
}

func advance(d time.Duration) { time.Sleep(d) }

func TestAge(t *testing.T) {
	const year = 527040 * time.Minute
	for _, c := range []struct {
		name  string
		after time.Duration
		ok    bool
	}{
		{"at once", 0, true}, {"a day", 24 * time.Hour, true}, {"the longest session", year, true}, {"longer", year + time.Second, false}, {"ten years", 10 * year, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := sealer(t, 1, 2)
				sealed := mustSeal(t, s, name, "value")
				advance(c.after)
				if _, _, ok := s.Open(name, sealed); ok != c.ok {
					t.Errorf("after %v: %t", c.after, ok)
				}
			})
		})
	}
}

// A bubble's clock starts at one instant: what was sealed later in one bubble
// comes from the future in the next.
func TestFuture(t *testing.T) {
	for _, c := range []struct {
		ahead time.Duration
		ok    bool
	}{
		{0, true}, {time.Second, true}, {30 * time.Second, true}, {31 * time.Second, false}, {time.Hour, false}, {40 * 365 * 24 * time.Hour, false},
	} {
		t.Run(c.ahead.String(), func(t *testing.T) {
			s := sealer(t, 1)
			var sealed string
			synctest.Test(t, func(t *testing.T) {
				advance(c.ahead)
				sealed = mustSeal(t, s, name, "value")
			})
			synctest.Test(t, func(t *testing.T) {
				if _, _, ok := s.Open(name, sealed); ok != c.ok {
					t.Errorf("from %v ahead: %t", c.ahead, ok)
				}
				advance(c.ahead)
				if value, _, ok := s.Open(name, sealed); value != "value" || !ok {
					t.Errorf("at its own time: %q, %t", value, ok)
				}
			})
		})
	}
}

func TestConcurrent(t *testing.T) {
	s := sealer(t, 1, 2)
	other := mustSeal(t, sealer(t, 2), name, "old")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 50 {
				value := fmt.Sprintf("value %d %d", i, j)
				sealed, err := s.Seal(name, value)
				if got, old, ok := s.Open(name, sealed); err != nil || got != value || old || !ok {
					t.Errorf("%s: %s, %t, %t, %v", value, got, old, ok, err)
				}
				if got, old, ok := s.Open(name, other); got != "old" || !old || !ok {
					t.Errorf("old key: %s, %t, %t", got, old, ok)
				}
			}
		})
	}
	all.Wait()
}

// The Sealer keeps nothing of the caller's slice and shows no key.
func TestKeysStayInside(t *testing.T) {
	keys := [][]byte{[]byte("0123456789abcdefghijklmnopqrstuv")}
	s, err := seal.New(keys)
	if err != nil {
		t.Fatal(err)
	}
	sealed := mustSeal(t, s, name, "value")
	text := fmt.Sprintf("%v %+v %#v %+v", s, s, s, *s)
	if strings.Contains(text, "0123456789") || strings.Contains(text, "ghijkl") || strings.Contains(text, "48 49 50") || strings.Contains(text, "hashKey") {
		t.Errorf("printed as %s", text)
	}
	clear(keys[0])
	if _, _, ok := s.Open(name, sealed); !ok {
		t.Error("the Sealer's key changed with the caller's slice")
	}
}

// Open never panics, and opens what Seal made, for its cookie, and nothing else.
func FuzzOpen(f *testing.F) {
	s := sealer(f, 1, 2)
	values := map[string]bool{"a": true, "ab": true, "abc": true, "a|b|c": true}
	for value := range values {
		for _, s := range []*seal.Sealer{s, sealer(f, 2)} {
			sealed := mustSeal(f, s, name, value)
			f.Add(name, sealed)
			f.Add(name, sealed+"\n")
			f.Add("other", sealed)
		}
	}
	f.Add(name, base64.URLEncoding.EncodeToString([]byte("1|AAAA|x")))
	f.Fuzz(func(t *testing.T, cookie, sealed string) {
		got, old, ok := s.Open(cookie, sealed)
		switch {
		case !ok && (got != "" || old):
			t.Errorf("%q, %q: refused as %q, %t", cookie, sealed, got, old)
		case ok && (cookie != name || !values[got]):
			t.Errorf("%q, %q: opened as %q", cookie, sealed, got)
		case ok:
			if b, err := base64.URLEncoding.Strict().DecodeString(sealed); err != nil || base64.URLEncoding.EncodeToString(b) != sealed {
				t.Errorf("%q: opened from another spelling", sealed)
			}
		}
		if again, err := s.Seal(cookie, sealed); err == nil {
			if back, old, ok := s.Open(cookie, again); back != sealed || old || !ok {
				t.Errorf("%q, %q: sealed and opened as %q, %t, %t", cookie, sealed, back, old, ok)
			}
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	s, value := sealer(b, 1), strings.Repeat("j", 1600)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Seal(name, value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	one, two := sealer(b, 1), sealer(b, 2, 1)
	sealed := mustSeal(b, one, name, strings.Repeat("j", 1600))
	for _, c := range []struct {
		name   string
		s      *seal.Sealer
		sealed string
		ok     bool
	}{{"first key", one, sealed, true}, {"second key", two, sealed, true}, {"no key", sealer(b, 3), sealed, false}, {"garbage", one, sealed[1:], false}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, ok := c.s.Open(name, c.sealed); ok != c.ok {
					b.Fatal(ok)
				}
			}
		})
	}
}
