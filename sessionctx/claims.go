package sessionctx

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/stytchware/stytchware/internal/exactjson"
)

// Claims decodes the custom claims of s into a T by the rules of
// encoding/json, except that member names match byte for byte: a claim "ROLE"
// never fills the field "role". A type with its own UnmarshalJSON or
// UnmarshalText reads its part of the claims by its own rules.
//
// A session without custom claims gives the zero T. A nil session, claims that
// are not one strict JSON object (RFC 8259: no duplicate members, valid UTF-8,
// 32 levels deep) and claims that do not fit T are errors, with the zero T.
// The errors never contain a claim's value.
func Claims[T any](s *Session) (T, error) {
	var t, zero T
	if s == nil {
		return zero, errors.New("sessionctx: no session to read claims from")
	}
	text := s.texts().claims
	if text == "" {
		return zero, nil
	}
	if err := decodeExact(text, &t); err != nil {
		return zero, err
	}
	return t, nil
}

// decodeExact decodes the JSON object text into dst, a non-nil pointer.
func decodeExact(text string, dst any) error {
	r := exactjson.New(text)
	if r.Kind() != exactjson.Object {
		return errors.New("sessionctx: custom claims are not a JSON object")
	}
	p := pruner{r: r, out: make([]byte, 0, len(text)), names: map[reflect.Type]map[string]member{}}
	p.value(reflect.TypeOf(dst), true)
	if err := p.r.End(); err != nil {
		return fmt.Errorf("sessionctx: custom claims: %w", err)
	}
	err := json.Unmarshal(p.out, dst)
	if err == nil {
		return nil
	}
	// The decoder's own text quotes values, so it goes no further; and a type's
	// own UnmarshalJSON can have put anything into its error.
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) && mismatch.Type != nil {
		switch kind, _, _ := strings.Cut(mismatch.Value, " "); {
		case !slices.Contains([]string{"object", "array", "string", "number", "bool"}, kind):
		case mismatch.Field == "":
			return fmt.Errorf("sessionctx: custom claims: a JSON %s does not fit %v", kind, mismatch.Type)
		default:
			return fmt.Errorf("sessionctx: custom claim %q: a JSON %s does not fit %v", mismatch.Field, kind, mismatch.Type)
		}
	}
	return fmt.Errorf("sessionctx: custom claims do not fit %v", reflect.TypeOf(dst).Elem())
}

// pruner copies a JSON text without the members that no struct field of the
// Go type beside it names exactly. encoding/json would match them with
// Unicode case folding.
type pruner struct {
	r     exactjson.Reader
	out   []byte
	names map[reflect.Type]map[string]member // per struct type; types can be recursive
}

// value copies the next value, which encoding/json will decode into a t.
// custom reports whether methods of t have a say: they have none on a field
// that reflection may only read.
func (p *pruner) value(t reflect.Type, custom bool) {
	if !custom && t.Kind() == reflect.Pointer {
		// encoding/json would panic (golang.org/issue/21357).
		p.r.Fail(fmt.Errorf("cannot set the embedded pointer to an unexported struct, %v", t))
		return
	}
	t, own := target(t, custom)
	switch kind := p.r.Kind(); {
	case own:
		p.out = append(p.out, p.r.Raw()...)
	case kind == exactjson.Object && t.Kind() == reflect.Struct:
		p.object(p.fields(t))
	case kind == exactjson.Object && t.Kind() == reflect.Map:
		p.object(func(string) (member, bool) { return member{t.Elem(), true}, true })
	case kind == exactjson.Array && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array):
		p.out = append(p.out, '[')
		for i := range p.r.Elements {
			if i > 0 {
				p.out = append(p.out, ',')
			}
			p.value(t.Elem(), true)
		}
		p.out = append(p.out, ']')
	default:
		p.out = append(p.out, p.r.Raw()...)
	}
}

// object copies the next value, an object, without the members that lookup
// does not know.
func (p *pruner) object(lookup func(name string) (member, bool)) {
	p.out = append(p.out, '{')
	empty := true
	for name := range p.r.Members {
		m, ok := lookup(name)
		if !ok {
			continue
		}
		if !empty {
			p.out = append(p.out, ',')
		}
		empty = false
		quoted, _ := json.Marshal(name) // a string that is valid UTF-8 has no error
		p.out = append(append(p.out, quoted...), ':')
		p.value(m.typ, m.custom)
	}
	p.out = append(p.out, '}')
}

// target returns the type that encoding/json ends at when it decodes into a
// t, and whether that type reads its JSON by itself. It asks the methods where
// encoding/json does: a named type's address, then every pointer on the way.
func target(t reflect.Type, custom bool) (reflect.Type, bool) {
	if t.Kind() != reflect.Pointer {
		return t, custom && t.Name() != "" && unmarshals(reflect.PointerTo(t))
	}
	for t.Kind() == reflect.Pointer {
		if unmarshals(t) {
			return t, true
		}
		t = t.Elem()
	}
	return t, false
}

func unmarshals(t reflect.Type) bool {
	return t.Implements(reflect.TypeFor[json.Unmarshaler]()) || t.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// member is what a member of a JSON object is decoded into.
type member struct {
	typ    reflect.Type
	custom bool
}

func (p *pruner) fields(t reflect.Type) func(name string) (member, bool) {
	names, ok := p.names[t]
	if !ok {
		names = members(t)
		p.names[t] = names
	}
	return func(name string) (member, bool) {
		m, ok := names[name]
		return m, ok
	}
}

// members returns the members of a struct type by their exact names, as
// encoding/json sees them: fields of embedded structs are promoted; of several
// with one name the shallowest wins, at one depth the only tagged one, else
// none of them.
func members(t reflect.Type) map[string]member {
	found := map[string]member{}
	decided := map[string]bool{} // also names that cancelled each other
	visited := map[reflect.Type]bool{}
	for level := map[reflect.Type]int{t: 1}; len(level) > 0; {
		next := map[reflect.Type]int{}
		var plain, tagged = map[string][]member{}, map[string][]member{}
		for t, times := range level {
			if visited[t] {
				continue
			}
			visited[t] = true
			for i := range t.NumField() {
				f := t.Field(i)
				name, ok := memberName(f)
				if !ok {
					continue
				}
				ft := f.Type
				if ft.Name() == "" && ft.Kind() == reflect.Pointer {
					ft = ft.Elem()
				}
				if name == "" && f.Anonymous && ft.Kind() == reflect.Struct {
					next[ft]++
					continue
				}
				into := tagged
				if name == "" {
					name, into = f.Name, plain
				}
				m := member{f.Type, f.IsExported()}
				into[name] = append(into[name], m)
				if times > 1 { // embedded twice at this depth: the two cancel
					into[name] = append(into[name], m)
				}
			}
		}
		for _, into := range []map[string][]member{tagged, plain} {
			for name, m := range into {
				if !decided[name] && len(m) == 1 {
					found[name] = m[0]
				}
				decided[name] = true
			}
		}
		level = next
	}
	return found
}

// memberName returns the name that f's tag gives it, "" for none, and whether
// encoding/json looks at f at all.
func memberName(f reflect.StructField) (name string, ok bool) {
	tag := f.Tag.Get("json")
	if tag == "-" {
		return "", false
	}
	if !f.IsExported() {
		t := f.Type
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if !f.Anonymous || t.Kind() != reflect.Struct {
			return "", false
		}
	}
	name, _, _ = strings.Cut(tag, ",")
	for _, c := range name {
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) && !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", c) {
			return "", true // encoding/json ignores such a name
		}
	}
	return name, true
}
