package wellformed_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stytchware/stytchware/internal/wellformed"
)

// Every byte is judged the same at every place of a value.
func TestBytesOfCredentials(t *testing.T) {
	base64url := func(c byte) bool {
		return strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", c) >= 0
	}
	for length := 1; length < 36; length++ {
		for at := range length {
			for i := range 256 {
				c := byte(i)
				b := bytes.Repeat([]byte("x"), length)
				b[at] = c
				if got, want := wellformed.SessionToken(string(b)), base64url(c); got != want {
					t.Fatalf("opaque %q: %v", b, got)
				}
				if got, want := wellformed.CookieValue(string(b)), ' ' <= c && c < 0x7f && c != '"' && c != ';' && c != '\\'; got != want {
					t.Fatalf("cookie %q: %v", b, got)
				}
				for _, dots := range [][2]int{{1, 3}, {length / 3, length - 2}} {
					if length < 5 || dots[0] < 1 || dots[1] <= dots[0]+1 || at == dots[0] || at == dots[1] {
						continue
					}
					jwt := bytes.Clone(b)
					jwt[dots[0]], jwt[dots[1]] = '.', '.'
					if got, want := wellformed.JWT(string(jwt)), base64url(c); got != want {
						t.Fatalf("JWT %q: %v", jwt, got)
					}
				}
			}
		}
	}
	for _, s := range []string{"", ".", "..", "...", "a..", ".a.", "..a", "a.b", "a.b.", ".b.c", "a..c", "a.b.c.d", "a.b.c.", "abc"} {
		if wellformed.JWT(s) {
			t.Errorf("%q is a JWT", s)
		}
	}
	if !wellformed.JWT("a.b.c") {
		t.Error("a.b.c is no JWT")
	}
	for length, want := range map[int]bool{0: false, 1: true, 512: true, 513: false} {
		if wellformed.SessionToken(strings.Repeat("x", length)) != want {
			t.Errorf("a session token of %d characters: %v", length, !want)
		}
	}
	for length, want := range map[int]bool{16 << 10: true, 16<<10 + 1: false} {
		if wellformed.JWT("a.b."+strings.Repeat("x", length-4)) != want {
			t.Errorf("a JWT of %d characters: %v", length, !want)
		}
	}
}
