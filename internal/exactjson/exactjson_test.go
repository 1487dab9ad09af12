package exactjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stytchware/stytchware/internal/exactjson"
)

func check(s string) error {
	r := exactjson.New(s)
	r.Skip()
	return r.End()
}

func TestText(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	many := func(last string) string {
		var b strings.Builder
		b.WriteString("{")
		for i := range 40 {
			b.WriteString(`"` + strings.Repeat("k", i+1) + `":0,`)
		}
		return b.String() + `"` + last + `":0}`
	}
	for _, c := range []struct {
		in   string
		want error
	}{
		{`{}`, nil}, {` [ ] `, nil}, {`{"a":1,"b":[true,false,null,"x",-0.5e+7]}`, nil},
		{"", exactjson.ErrSyntax}, {" ", exactjson.ErrSyntax}, {"{", exactjson.ErrSyntax}, {"}", exactjson.ErrSyntax},
		{"{}x", exactjson.ErrSyntax}, {"{} {}", exactjson.ErrSyntax}, {`{"a":1,}`, exactjson.ErrSyntax},
		{`[1,]`, exactjson.ErrSyntax}, {`[,1]`, exactjson.ErrSyntax}, {`{,}`, exactjson.ErrSyntax}, {`[1 2]`, exactjson.ErrSyntax},
		{`{"a" 1}`, exactjson.ErrSyntax}, {`{"a":}`, exactjson.ErrSyntax}, {`{a:1}`, exactjson.ErrSyntax}, {`{1:1}`, exactjson.ErrType},
		{`[}`, exactjson.ErrSyntax}, {`{"a":1]`, exactjson.ErrSyntax},
		{`01`, exactjson.ErrSyntax}, {`-`, exactjson.ErrSyntax}, {`1.`, exactjson.ErrSyntax}, {`.5`, exactjson.ErrSyntax},
		{`+1`, exactjson.ErrSyntax}, {`1e`, exactjson.ErrSyntax}, {`1e+`, exactjson.ErrSyntax}, {`NaN`, exactjson.ErrSyntax}, {`0x1`, exactjson.ErrSyntax},
		{`tru`, exactjson.ErrSyntax}, {`falsy`, exactjson.ErrSyntax}, {`nul`, exactjson.ErrSyntax},
		{`"`, exactjson.ErrSyntax}, {`"a`, exactjson.ErrSyntax}, {`"\`, exactjson.ErrSyntax}, {`"\"`, exactjson.ErrSyntax}, {`"\x"`, exactjson.ErrSyntax},
		{"\"\n\"", exactjson.ErrSyntax}, {"\"\x00\"", exactjson.ErrSyntax}, {"\"\x1f\"", exactjson.ErrSyntax}, {"\"\x7f\"", nil},
		{`"\u12"`, exactjson.ErrSyntax}, {`"\u12g4"`, exactjson.ErrSyntax}, {`"\ud83d\u00"`, exactjson.ErrSyntax}, {`"\ud83dx"`, exactjson.ErrUTF8},
		{`"\ud800"`, exactjson.ErrUTF8}, {`"\udc00\ud800"`, exactjson.ErrUTF8}, {`"\ud83d\ude00"`, nil},
		{"\"\xff\"", exactjson.ErrUTF8}, {"\"\xc0\x80\"", exactjson.ErrUTF8}, {"\"\xed\xa0\x80\"", exactjson.ErrUTF8}, {"\"é€😀\"", nil},
		{"\ufeff{}", exactjson.ErrSyntax}, {"\u00a0{}", exactjson.ErrSyntax}, {"\v{}", exactjson.ErrSyntax}, {"{}\x00", exactjson.ErrSyntax}, {"[\x00]", exactjson.ErrSyntax},
		{`{"a":1,"a":2}`, exactjson.ErrDuplicate}, {`{"a":1,"\u0061":2}`, exactjson.ErrDuplicate}, {`[{"b":{"a":1,"c":0,"a":2}}]`, exactjson.ErrDuplicate},
		{`{"a":{"a":1},"b":{"a":1}}`, nil}, {`{"a":1,"A":2}`, nil}, {`{"":1,"":2}`, exactjson.ErrDuplicate},
		{many("k"), exactjson.ErrDuplicate}, {many(strings.Repeat("k", 40)), exactjson.ErrDuplicate}, {many("z"), nil},
		{deep(exactjson.MaxDepth), nil}, {deep(exactjson.MaxDepth + 1), exactjson.ErrDepth},
		{strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33), exactjson.ErrDepth},
	} {
		if err := check(c.in); !errors.Is(err, c.want) {
			t.Errorf("%.60q: %v, want %v", c.in, err, c.want)
		}
	}
}

func TestValues(t *testing.T) {
	r := exactjson.New(` {"s":"a\"\\\/\b\f\n\r\té\u00e9\ud83d\ude00","n":-1.5E3,"t":true,"f":false,"z":null,"raw": [1, {"x":2}] ,"left":{"deep":[1]},"list":["a","b","c"]} `)
	got := map[string]any{}
	for name := range r.Members {
		switch name {
		case "s":
			got[name] = r.String()
		case "n":
			got[name] = r.Number()
		case "t", "f":
			got[name] = r.Bool()
		case "z":
			r.Null()
			got[name] = nil
		case "raw":
			got[name] = r.Raw()
		case "list":
			var s string
			for i := range r.Elements {
				if i != 1 {
					s += r.String()
				}
			}
			got[name] = s
		}
	}
	if err := r.End(); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"s": "a\"\\/\b\f\n\r\téé😀", "n": "-1.5E3", "t": true, "f": false, "z": nil, "raw": `[1, {"x":2}]`, "list": "ac"}
	if len(got) != len(want) {
		t.Errorf("members %v", got)
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %q, want %q", k, got[k], v)
		}
	}
}

func TestWrongType(t *testing.T) {
	takes := map[string]func(*exactjson.Reader){
		"object": func(r *exactjson.Reader) {
			for range r.Members {
			}
		},
		"array": func(r *exactjson.Reader) {
			for range r.Elements {
			}
		},
		"string": func(r *exactjson.Reader) { _ = r.String() },
		"number": func(r *exactjson.Reader) { _ = r.Number() },
		"bool":   func(r *exactjson.Reader) { _ = r.Bool() },
		"null":   func(r *exactjson.Reader) { r.Null() },
	}
	values := map[string]string{"object": "{}", "array": "[]", "string": `""`, "number": "0", "bool": "true", "null": "null"}
	for want, take := range takes {
		for is, text := range values {
			r := exactjson.New(text)
			take(&r)
			err := r.End()
			if (want == is) != (err == nil) || want != is && !errors.Is(err, exactjson.ErrType) {
				t.Errorf("%s taken as %s: %v", is, want, err)
			}
		}
	}
}

func TestBreakingOutIsAnError(t *testing.T) {
	r := exactjson.New(`{"a":1,"b":2}`)
	for range r.Members {
		break
	}
	if r.End() == nil {
		t.Error("a reader left in the middle of an object reported no error")
	}
	r = exactjson.New(`[1,2]`)
	for range r.Elements {
		break
	}
	if r.End() == nil {
		t.Error("a reader left in the middle of an array reported no error")
	}
}

func TestFailSticks(t *testing.T) {
	mine := errors.New("mine")
	r := exactjson.New(`{"a":1}`)
	for range r.Members {
		r.Fail(mine)
		r.Fail(errors.New("later"))
		if r.Kind() != exactjson.Invalid || r.String() != "" || r.Raw() != "" {
			t.Error("a failed reader still returns values")
		}
	}
	if r.Err() != mine || r.End() != mine {
		t.Errorf("error %v", r.End())
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	text := `{"sub":"user","list":["a","b"],"x":{"y":[1,2,3]},"n":12}`
	if n := testing.AllocsPerRun(100, func() {
		r := exactjson.New(text)
		for name := range r.Members {
			if name == "sub" {
				_ = r.String()
			}
		}
		if r.End() != nil {
			t.Error("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzReader holds the reader against encoding/json: whatever it accepts is
// valid JSON with the same meaning.
func FuzzReader(f *testing.F) {
	for _, s := range []string{`{"a":[1,2,{"b":null}]}`, `"\ud83d\ude00"`, `-0.0e-1`, `{"a":1,"a":2}`, "\"\xff\"", `[[[]]]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		err := check(s)
		if err == nil && !json.Valid([]byte(s)) {
			t.Fatalf("accepted %q", s)
		}
		if err == nil {
			r := exactjson.New(s)
			if r.Kind() == exactjson.String {
				var want string
				if err := json.Unmarshal([]byte(s), &want); err != nil || want != r.String() {
					t.Fatalf("%q differs", s)
				}
			}
		}
		if errors.Is(err, exactjson.ErrSyntax) && json.Valid([]byte(s)) {
			t.Fatalf("called %q a syntax error", s)
		}
	})
}

// Every byte at every place of a string is judged as encoding/json judges it,
// but for invalid UTF-8, which that lets pass.
func TestEveryByteEverywhere(t *testing.T) {
	for length := range 20 {
		for at := range length {
			for c := range 256 {
				b := bytes.Repeat([]byte("x"), length)
				b[at] = byte(c)
				text := `"` + string(b) + `"`
				var want string
				valid := json.Unmarshal([]byte(text), &want) == nil && c < 0x80
				r := exactjson.New(text)
				got := r.String()
				if ok := r.End() == nil; ok != valid || ok && got != want {
					t.Fatalf("%q: %q %v, want %q %v", text, got, ok, want, valid)
				}
			}
		}
	}
}
