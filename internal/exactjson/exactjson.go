// Package exactjson reads JSON without the liberties of encoding/json: names
// match byte for byte, duplicate members at any depth, invalid UTF-8, lone
// surrogates, too much nesting and trailing text are errors (RFC 8259, and
// RFC 7493 for the strictness).
//
// It is a pull reader: the caller ranges over the members of an object and
// takes the values it wants; what it does not take is validated all the same.
package exactjson

import (
	"errors"
	"math/bits"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is the deepest nesting of objects and arrays that is read.
const MaxDepth = 32

// Errors of a Reader; the first one sticks.
var (
	ErrSyntax    = errors.New("exactjson: syntax error")
	ErrDuplicate = errors.New("exactjson: duplicate member")
	ErrDepth     = errors.New("exactjson: nested too deeply")
	ErrUTF8      = errors.New("exactjson: invalid UTF-8")
	ErrType      = errors.New("exactjson: value of another type")
)

// Kind is the kind of a JSON value.
type Kind uint8

// The kinds of values. Invalid is the end of the text, or an error.
const (
	Invalid Kind = iota
	Object
	Array
	String
	Number
	Bool
	Null
)

// Reader reads one JSON text. The strings it returns share the text's memory.
// Once an error occurred every method returns zero values and every loop ends;
// the caller looks at [Reader.End] last. Not for concurrent use.
type Reader struct {
	s     string
	pos   int
	depth int
	err   error
}

// New returns a Reader of s.
func New(s string) Reader { return Reader{s: s} }

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// Fail makes err the Reader's error unless it has one.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// End returns the first error, or ErrSyntax if anything but white space is
// left of the text.
func (r *Reader) End() error {
	if r.err == nil {
		r.space()
		if r.pos != len(r.s) {
			r.err = ErrSyntax
		}
	}
	return r.err
}

// Kind returns the kind of the next value without taking it.
func (r *Reader) Kind() Kind {
	r.space()
	switch c := r.peek(); {
	case c == '{':
		return Object
	case c == '[':
		return Array
	case c == '"':
		return String
	case c == '-' || '0' <= c && c <= '9':
		return Number
	case c == 't' || c == 'f':
		return Bool
	case c == 'n':
		return Null
	}
	return Invalid
}

// Members ranges over the members of the next value, which must be an object.
// The body takes the member's value, or leaves it to be skipped; it must not
// break out of the loop before the object's end.
func (r *Reader) Members(yield func(name string) bool) {
	if !r.open('{', Object) {
		return
	}
	var few [12]string // enough for a session; beyond it a map
	var many map[string]struct{}
	for n := 0; ; n++ {
		r.space()
		if r.peek() == '}' && n == 0 {
			break
		}
		name := r.String()
		r.space()
		r.take(':')
		if r.err != nil {
			return
		}
		switch {
		case n < len(few):
			for _, seen := range few[:n] {
				if seen == name {
					r.err = ErrDuplicate
					return
				}
			}
			few[n] = name
		default:
			if many == nil {
				many = make(map[string]struct{}, 2*len(few))
				for _, seen := range few {
					many[seen] = struct{}{}
				}
			}
			if _, dup := many[name]; dup {
				r.err = ErrDuplicate
				return
			}
			many[name] = struct{}{}
		}
		if !r.value(func() bool { return yield(name) }) {
			return
		}
		if r.peek() != ',' {
			break
		}
		r.pos++
	}
	r.close('}')
}

// Elements ranges over the elements of the next value, which must be an
// array. The body takes the element, or leaves it to be skipped; it must not
// break out of the loop before the array's end.
func (r *Reader) Elements(yield func(i int) bool) {
	if !r.open('[', Array) {
		return
	}
	for n := 0; ; n++ {
		r.space()
		if r.peek() == ']' && n == 0 {
			break
		}
		if !r.value(func() bool { return yield(n) }) {
			return
		}
		if r.peek() != ',' {
			break
		}
		r.pos++
	}
	r.close(']')
}

// value lets body take the next value and skips what it left. It reports
// whether reading may go on, with the position at the next token.
func (r *Reader) value(body func() bool) bool {
	r.space()
	at, depth := r.pos, r.depth
	if !body() {
		r.Fail(ErrSyntax) // the caller broke out: nothing after this is known
		return false
	}
	if r.err == nil && r.pos == at {
		r.Skip()
	}
	if r.err == nil && r.depth != depth {
		r.err = ErrSyntax
	}
	r.space()
	return r.err == nil
}

// Skip takes the next value of any kind.
func (r *Reader) Skip() {
	switch r.Kind() {
	case Object:
		for range r.Members {
		}
	case Array:
		for range r.Elements {
		}
	case String:
		_ = r.String()
	case Number:
		_ = r.Number()
	case Bool:
		_ = r.Bool()
	case Null:
		r.Null()
	default:
		r.Fail(ErrSyntax)
	}
}

// Mark returns the position of the next value, for [Reader.Since].
func (r *Reader) Mark() int {
	r.space()
	return r.pos
}

// Since returns the text between mark and what was taken last.
func (r *Reader) Since(mark int) string {
	if r.err != nil {
		return ""
	}
	return r.s[mark:r.pos]
}

// Raw takes the next value of any kind and returns its text as it stands.
func (r *Reader) Raw() string {
	mark := r.Mark()
	r.Skip()
	return r.Since(mark)
}

// Null takes the next value, which must be null.
func (r *Reader) Null() { r.literal("null", Null) }

// Bool takes the next value, which must be true or false.
func (r *Reader) Bool() bool {
	r.space()
	if r.peek() == 't' {
		return r.literal("true", Bool)
	}
	r.literal("false", Bool)
	return false
}

func (r *Reader) literal(word string, k Kind) bool {
	if !r.want(k) {
		return false
	}
	if !strings.HasPrefix(r.s[r.pos:], word) {
		r.err = ErrSyntax
		return false
	}
	r.pos += len(word)
	return true
}

// Number takes the next value, which must be a number, and returns its text.
func (r *Reader) Number() string {
	if !r.want(Number) {
		return ""
	}
	at := r.pos
	if r.peek() == '-' {
		r.pos++
	}
	if r.peek() == '0' {
		r.pos++
	} else if !r.digits() {
		return ""
	}
	if r.peek() == '.' {
		r.pos++
		if !r.digits() {
			return ""
		}
	}
	if c := r.peek(); c == 'e' || c == 'E' {
		r.pos++
		if c := r.peek(); c == '+' || c == '-' {
			r.pos++
		}
		if !r.digits() {
			return ""
		}
	}
	return r.s[at:r.pos]
}

func (r *Reader) digits() bool {
	at := r.pos
	for c := r.peek(); '0' <= c && c <= '9'; c = r.peek() {
		r.pos++
	}
	if r.pos == at {
		r.Fail(ErrSyntax)
		return false
	}
	return true
}

// String takes the next value, which must be a string, and returns what it
// stands for.
func (r *Reader) String() string {
	if !r.want(String) {
		return ""
	}
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	s, at, plain := r.s, r.pos+1, true
	var wide byte
	i := at
scan:
	for {
		for ; i+8 <= len(s); i += 8 { // eight at a time, while they stand for themselves
			b := s[i : i+8]
			x := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
				uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
			quote, escape := x^ones*'"', x^ones*'\\'
			// The top bit of each byte that does not; above the first of them
			// there may be too many.
			if odd := (x | (x-ones*' ')&^x | (quote-ones)&^quote | (escape-ones)&^escape) & tops; odd != 0 {
				i += bits.TrailingZeros64(odd) / 8
				break
			}
		}
		if i >= len(s) {
			r.err = ErrSyntax
			return ""
		}
		switch c := s[i]; {
		case c == '"':
			break scan
		case c < 0x20:
			r.err = ErrSyntax
			return ""
		case c == '\\':
			plain = false
			i++ // whatever comes then: an escaped quote does not end the string
		default:
			wide |= c
		}
		i++
	}
	r.pos = i
	text := r.s[at:r.pos]
	r.pos++
	if wide >= utf8.RuneSelf && !utf8.ValidString(text) {
		r.err = ErrUTF8
		return ""
	}
	if plain {
		return text
	}
	text, err := unescape(text)
	if err != nil {
		r.err = err
		return ""
	}
	return text
}

func unescape(s string) (string, error) {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		c := s[i]
		if c != '\\' {
			b.WriteByte(c)
			i++
			continue
		}
		i += 2
		switch s[i-1] {
		case '"', '\\', '/':
			b.WriteByte(s[i-1])
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			c1, ok := hex4(s[i:])
			if !ok {
				return "", ErrSyntax
			}
			i += 4
			if utf16.IsSurrogate(c1) {
				if !strings.HasPrefix(s[i:], `\u`) {
					return "", ErrUTF8
				}
				c2, ok := hex4(s[i+2:])
				if !ok {
					return "", ErrSyntax
				}
				if c1 = utf16.DecodeRune(c1, c2); c1 == utf8.RuneError {
					return "", ErrUTF8
				}
				i += 6
			}
			b.WriteRune(c1)
		default:
			return "", ErrSyntax
		}
	}
	return b.String(), nil
}

func hex4(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var v rune
	for i := range 4 {
		c := s[i]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		v = v<<4 | rune(c)
	}
	return v, true
}

func (r *Reader) open(c byte, k Kind) bool {
	if !r.want(k) {
		return false
	}
	if r.depth == MaxDepth {
		r.err = ErrDepth
		return false
	}
	r.depth++
	r.take(c)
	return true
}

func (r *Reader) close(c byte) {
	r.take(c)
	r.depth--
}

// want moves to the next value and checks its kind.
func (r *Reader) want(k Kind) bool {
	got := r.Kind()
	switch {
	case r.err != nil:
		return false
	case got == k:
		return true
	case got == Invalid:
		r.err = ErrSyntax
	default:
		r.err = ErrType
	}
	return false
}

func (r *Reader) take(c byte) {
	if r.peek() != c {
		r.Fail(ErrSyntax)
		return
	}
	r.pos++
}

// peek returns the byte at the position, 0 at the end and after an error.
// Zero itself occurs in no token outside a string.
func (r *Reader) peek() byte {
	if r.err != nil || r.pos >= len(r.s) {
		return 0
	}
	return r.s[r.pos]
}

// space moves past white space; there seldom is any.
func (r *Reader) space() {
	if r.pos < len(r.s) && r.s[r.pos] <= ' ' {
		r.blank()
	}
}

func (r *Reader) blank() {
	for r.pos < len(r.s) {
		switch r.s[r.pos] {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return
		}
	}
}
