// Package wellformed tells what can be a credential by its bytes alone. It says
// nothing about what a value holds.
package wellformed

import "strings"

const (
	maxJWT          = 16 << 10
	maxSessionToken = 512
)

// SessionToken reports whether s can be a session token: 1 to 512 characters of
// [A-Za-z0-9_-].
func SessionToken(s string) bool {
	return s != "" && len(s) <= maxSessionToken && inBase64url.all(s)
}

// JWT reports whether s can be a JWT: at most 16 KiB, two dots between base64url
// segments, none of them empty.
func JWT(s string) bool {
	if len(s) > maxJWT {
		return false
	}
	i := strings.IndexByte(s, '.')
	if i <= 0 {
		return false
	}
	rest := s[i+1:]
	j := strings.IndexByte(rest, '.')
	return j > 0 && j < len(rest)-1 && strings.IndexByte(rest[j+1:], '.') < 0 && inJWT.all(s)
}

// CookieValue reports whether net/http lets all of s through in a cookie.
func CookieValue(s string) bool { return inCookie.all(s) }

// alphabet is a set of bytes: 0 for those in it.
type alphabet [256]byte

func newAlphabet(in func(c byte) bool) *alphabet {
	var t alphabet
	for i := range t {
		if !in(byte(i)) {
			t[i] = 1
		}
	}
	return &t
}

// all reports whether every byte of s is in t, eight at a time: values are long
// and come from strangers. (Arithmetic on words of eight bytes is slower.)
func (t *alphabet) all(s string) bool {
	for ; len(s) >= 8; s = s[8:] {
		if t[s[0]]|t[s[1]]|t[s[2]]|t[s[3]]|t[s[4]]|t[s[5]]|t[s[6]]|t[s[7]] != 0 {
			return false
		}
	}
	for i := range len(s) {
		if t[s[i]] != 0 {
			return false
		}
	}
	return true
}

var (
	// inBase64url is the alphabet of RFC 4648, section 5.
	inBase64url = newAlphabet(func(c byte) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
	})
	// inJWT has the dot, too.
	inJWT = newAlphabet(func(c byte) bool { return inBase64url[c] == 0 || c == '.' })
	// inCookie is what net/http lets through in a cookie's value.
	inCookie = newAlphabet(func(c byte) bool {
		return 0x20 <= c && c < 0x7f && c != '"' && c != ';' && c != '\\'
	})
)
