package sessionctx_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stytchware/stytchware/sessionctx"
)

func withClaims(text string) *sessionctx.Session {
	return sessionctx.New(sessionctx.Data{ID: "session-test-1", CustomClaims: text})
}

// decoder is Claims[T] with the type hidden, for tables over many types.
type decoder struct {
	claims func(text string) (any, error)
	std    func(text string) (any, error)
}

func into[T any]() decoder {
	return decoder{
		func(text string) (any, error) { return sessionctx.Claims[T](withClaims(text)) },
		func(text string) (any, error) {
			var t T
			err := json.Unmarshal([]byte(text), &t)
			return t, err
		},
	}
}

type role struct {
	Role string `json:"role"`
}

type untagged struct{ Role string }

type nested struct {
	One   role                      `json:"one"`
	Ptr   *role                     `json:"ptr"`
	Far   **role                    `json:"far"`
	List  []role                    `json:"list"`
	Array [2]role                   `json:"array"`
	Map   map[string]role           `json:"map"`
	Deep  map[string][]map[int]role `json:"deep"`
	Anon  struct{ Role string }     `json:"anon"`
}

type tree struct {
	Role string           `json:"role"`
	Kids []tree           `json:"kids"`
	Next *tree            `json:"next"`
	By   map[string]*tree `json:"by"`
}

type embedded struct {
	role
	Level int `json:"level"`
}

type embeddedPtr struct {
	*Public
	Level int `json:"level"`
}

// Public is exported because encoding/json cannot fill an embedded pointer to
// an unexported struct.
type Public struct {
	Role string `json:"role"`
}

type embeddedNamed struct {
	role  `json:"inner"`
	Other int
}

type hiddenPtr struct {
	*role `json:"inner"`
}

type promotedPtr struct{ *role }

// Shadowing: the shallower wins, at one depth the tagged one, else nobody.
type outerWins struct {
	role
	Role int `json:"role"`
}

type A struct {
	X string
	Y string
}
type B struct {
	X string
	Y string `json:"Y"`
}
type cancels struct {
	A
	B
}
type cancelsLow struct {
	cancels
	Low string `json:"x"` // what encoding/json would take for the cancelled X
}
type C struct{ A }
type D struct{ A }
type twice struct {
	C
	D
}
type twiceLow struct {
	twice
	Low string `json:"x"`
}
type deeper struct {
	C // promotes X and Y from two levels down
	E
}
type E struct {
	X int
}
type deepIn struct {
	In untagged `json:"in"`
}
type shallowIn struct {
	deepIn
	In role `json:"in"`
}
type plainIn struct{ In untagged }
type taggedIn struct {
	In role `json:"In"`
}
type taggedWins struct {
	plainIn
	taggedIn
}
type hiddenField struct {
	secret role
	Secret string
}
type ring struct {
	*ring2
	Name string `json:"name"`
}
type ring2 struct {
	Name string `json:"name"`
	*ring
}

type text string

func (*text) UnmarshalText([]byte) error { panic("never called for an object") }

type tags struct {
	Skipped string `json:"-"`
	//lint:ignore SA5008 this is how encoding/json names a member "-"
	Dash     string `json:"-,"`
	Empty    string `json:"empty,omitempty"`
	Quoted   int    `json:"quoted,string"`
	Bad      string `json:"a€b"`
	OnlyOpts string `json:",omitempty"`
	private  string
	Punct    string `json:"https://example.com/x~1"`
}

// folding reads case-insensitively on purpose.
type folding struct{ Role string }

func (f *folding) UnmarshalJSON(b []byte) error {
	var v struct{ ROLE string }
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	f.Role = "own:" + v.ROLE
	return nil
}

type ownInside struct {
	Own  folding            `json:"own"`
	Ptr  *folding           `json:"ptr"`
	List []folding          `json:"list"`
	Map  map[string]folding `json:"map"`
	Time time.Time          `json:"time"`
	Raw  json.RawMessage    `json:"raw"`
	Any  any                `json:"any"`
	Num  json.Number        `json:"num"`
	Up   upper              `json:"up"`
	Keys map[upper]role     `json:"keys"`
}

type upper string

func (u *upper) UnmarshalText(b []byte) error {
	*u = upper(strings.ToUpper(string(b)))
	return nil
}

// noMethods has fields on which encoding/json calls no methods: one whose type
// has no name, and one that reflection may only read. The two embedded types'
// methods cancel each other.
type noMethods struct {
	Anon    struct{ folding } `json:"anon"`
	folding `json:"a"`
	failing `json:"b"`
}

// plainPtr has no methods, although *folding has: encoding/json calls none.
type plainPtr *folding

type throughPlainPtr struct {
	P plainPtr `json:"p"`
}

func ptr[T any](v T) *T { return &v }

func TestClaims(t *testing.T) {
	for _, c := range []struct {
		name string
		into decoder
		in   string
		want any
	}{
		{"none", into[role](), ``, role{}},
		{"none, map", into[map[string]any](), ``, map[string]any(nil)},
		{"none, pointer", into[*role](), ``, (*role)(nil)},
		{"empty", into[role](), `{}`, role{}},
		{"exact", into[role](), ` {"role" : "admin"} `, role{"admin"}},
		{"escaped name", into[role](), `{"\u0072ole":"admin"}`, role{"admin"}},
		{"upper case", into[role](), `{"ROLE":"admin"}`, role{}},
		{"title case", into[role](), `{"Role":"admin"}`, role{}},
		{"upper case after", into[role](), `{"role":"user","ROLE":"admin","rolE":"root"}`, role{"user"}},
		{"upper case before", into[role](), `{"ROLE":"admin","role":"user"}`, role{"user"}},
		{"long s", into[struct {
			R string `json:"roles"`
		}](), `{"roleſ":"admin","roles":"user"}`, struct {
			R string `json:"roles"`
		}{"user"}},
		{"Kelvin sign", into[struct {
			K string `json:"key"`
		}](), `{"Key":"x"}`, struct {
			K string `json:"key"`
		}{}},
		{"field name", into[untagged](), `{"Role":"a"}`, untagged{"a"}},
		{"field name, lower", into[untagged](), `{"role":"a"}`, untagged{}},
		{"pointer to struct", into[*role](), `{"role":"a","ROLE":"b"}`, &role{"a"}},
		{"map", into[map[string]string](), `{"role":"a","ROLE":"b"}`, map[string]string{"role": "a", "ROLE": "b"}},
		{"any", into[any](), `{"role":"a","ROLE":[1]}`, any(map[string]any{"role": "a", "ROLE": []any{1.0}})},
		{"raw", into[json.RawMessage](), `{"ROLE": 1}`, json.RawMessage(`{"ROLE": 1}`)},
		{"name needing escapes", into[map[string]int](), `{"<\"\\\n\u2028é":1}`, map[string]int{"<\"\\\n\u2028é": 1}},
		{"nested", into[nested](), `{"one":{"role":"1","Role":"x"},"ONE":{"role":"x"},"ptr":{"ROLE":"x","role":"2"},"far":{"role":"3","rOle":"x"},
			"list":[{"role":"4","ROLE":"x"},{"ROLE":"x"}],"array":[{"ROLE":"x"},{"role":"5","ROLE":"x"}],
			"map":{"A":{"role":"6","ROLE":"x"},"a":{"ROLE":"x"}},"deep":{"k":[{"7":{"role":"7","ROLE":"x"}}]},"anon":{"role":"x","Role":"8"}}`,
			nested{role{"1"}, &role{"2"}, ptr(&role{"3"}), []role{{"4"}, {}}, [2]role{{}, {"5"}}, map[string]role{"A": {"6"}, "a": {}},
				map[string][]map[int]role{"k": {{7: {"7"}}}}, struct{ Role string }{"8"}}},
		{"nulls", into[nested](), `{"one":null,"ptr":null,"list":null,"map":null,"array":null}`, nested{}},
		{"recursive", into[tree](), `{"role":"a","kids":[{"role":"b","ROLE":"x","kids":[{"ROLE":"x"}]}],"next":{"ROLE":"x","role":"c"},"by":{"k":{"role":"d","Role":"x"}}}`,
			tree{"a", []tree{{Role: "b", Kids: []tree{{}}}}, &tree{Role: "c"}, map[string]*tree{"k": {Role: "d"}}}},
		{"embedded", into[embedded](), `{"role":"a","ROLE":"x","level":1,"LEVEL":2}`, embedded{role{"a"}, 1}},
		{"embedded pointer", into[embeddedPtr](), `{"role":"a","ROLE":"x","level":1}`, embeddedPtr{&Public{"a"}, 1}},
		{"embedded pointer, folded only", into[embeddedPtr](), `{"ROLE":"x","level":1}`, embeddedPtr{nil, 1}},
		{"embedded with a name", into[embeddedNamed](), `{"inner":{"role":"a","ROLE":"x"},"role":"x","Other":1}`, embeddedNamed{role{"a"}, 1}},
		{"shadowed", into[outerWins](), `{"role":7,"ROLE":"x"}`, outerWins{Role: 7}},
		{"cancelled and tagged", into[cancels](), `{"X":"x","Y":"b"}`, cancels{B: B{Y: "b"}}},
		{"one type twice", into[twice](), `{"X":"x","Y":"y"}`, twice{}},
		{"cancelled, another in lower case", into[cancelsLow](), `{"X":"x"}`, cancelsLow{}},
		{"one type twice, another in lower case", into[twiceLow](), `{"X":"x"}`, twiceLow{}},
		{"depth decides", into[deeper](), `{"X":3,"Y":"y"}`, deeper{C{A{Y: "y"}}, E{3}}},
		{"the shallower one's type", into[shallowIn](), `{"in":{"role":"a","Role":"x"}}`, shallowIn{In: role{"a"}}},
		{"the tagged one's type", into[taggedWins](), `{"In":{"role":"a","Role":"x"}}`, taggedWins{taggedIn: taggedIn{role{"a"}}}},
		{"name of an unexported field", into[hiddenField](), `{"secret":"x"}`, hiddenField{secret: role{}}},
		{"embedding ring", into[ring](), `{"name":"a","Name":"b"}`, ring{Name: "a"}},
		{"tags", into[tags](), `{"Skipped":"x","-":"dash","empty":"e","quoted":"12","Bad":"bad","OnlyOpts":"o","private":"x","https://example.com/x~1":"p"}`,
			tags{private: "", Dash: "dash", Empty: "e", Quoted: 12, Bad: "bad", OnlyOpts: "o", Punct: "p"}},
		{"own ways", into[ownInside](), `{"own":{"role":"1"},"ptr":{"rOLE":"2"},"list":[{"role":"3"}],"map":{"k":{"ROLE":"4"}},"time":"2026-01-02T03:04:05Z",
			"raw":{"ROLE": 1},"any":{"ROLE":"x"},"num":12.50,"up":"shout","keys":{"a":{"role":"5","ROLE":"x"}},"OWN":{"role":"x"}}`,
			ownInside{folding{"own:1"}, &folding{"own:2"}, []folding{{"own:3"}}, map[string]folding{"k": {"own:4"}},
				time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), json.RawMessage(`{"ROLE": 1}`), map[string]any{"ROLE": "x"}, "12.50", "SHOUT", map[upper]role{"A": {"5"}}}},
		{"own way of the whole", into[folding](), `{"rOlE":"a"}`, folding{"own:a"}},
		{"pointer type without methods", into[throughPlainPtr](), `{"p":{"role":"x","Role":"a"}}`, throughPlainPtr{&folding{"a"}}},
		{"methods out of reach", into[noMethods](), `{"anon":{"ROLE":"x"},"a":{"ROLE":"x"}}`, noMethods{}},
		{"methods out of reach, exact", into[noMethods](), `{"anon":{"Role":"1"},"a":{"Role":"2"}}`, noMethods{Anon: struct{ folding }{folding{"1"}}, folding: folding{"2"}, failing: failing{}}},
		{"32 levels", into[map[string]any](), strings.Repeat(`{"a":`, 31) + "{}" + strings.Repeat("}", 31), deep(32)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.into.claims(c.in)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s:\n got %+v, %v\nwant %+v", c.in, got, err, c.want)
			}
		})
	}
}

func deep(n int) map[string]any {
	m := map[string]any{}
	for range n - 1 {
		m = map[string]any{"a": m}
	}
	return m
}

// Where every name is spelled exactly, Claims is encoding/json.
func TestClaimsAgreesWithEncodingJSON(t *testing.T) {
	texts := []string{
		`{"role":"a","level":1,"inner":{"role":"b"},"Other":2}`, `{"X":"1","Y":"2"}`, `{"X":1}`, `{"name":"n"}`,
		`{"one":{"role":"1"},"list":[{"role":"2"},null],"array":[{"role":"3"},{"role":"4"},{"role":"5"}],"deep":{"k":[{"1":{"role":"6"}}]},"anon":{"Role":"7"}}`,
		`{"-":"d","empty":"","quoted":"3","Bad":"b","OnlyOpts":"o"}`, `{"quoted":3}`, `{"quoted":null}`, `{"one":[]}`, `{"list":{}}`, `{"map":{"a":1}}`,
		`{"deep":{"k":[{"x":{}}]}}`, `{"kids":[{"kids":[{"role":"x"}]}],"by":{"a":null}}`, `{"p":{"Role":"x"}}`, `{"array":[{"role":"x"}]}`,
	}
	for i, d := range []decoder{
		into[role](), into[nested](), into[*nested](), into[tree](), into[embedded](), into[embeddedPtr](), into[embeddedNamed](), into[outerWins](), into[cancels](),
		into[twice](), into[deeper](), into[ring](), into[tags](), into[throughPlainPtr](), into[map[string]json.RawMessage](), into[string](), into[[]any](), into[int](),
		into[fmt.Stringer](), into[text](), into[promotedPtr](), into[map[bool]int](),
	} {
		for _, text := range texts {
			got, err := d.claims(text)
			want, wantErr := d.std(text)
			if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(got, want) {
				t.Errorf("type %d, %s:\n got %+v, %v\nwant %+v, %v", i, text, got, err, want, wantErr)
			}
		}
	}
}

type failing struct{}

func (*failing) UnmarshalJSON(b []byte) error { return fmt.Errorf("cannot read %s", b) }

type typed struct{}

func (*typed) UnmarshalJSON(b []byte) error {
	return &json.UnmarshalTypeError{Value: string(b), Type: reflect.TypeFor[typed]()}
}

type untyped struct{}

func (*untyped) UnmarshalJSON(b []byte) error {
	return fmt.Errorf("wrapped: %w", &json.UnmarshalTypeError{Value: "string " + string(b)})
}

func TestClaimsErrors(t *testing.T) {
	if got, err := sessionctx.Claims[map[string]any](nil); got != nil || err == nil || !strings.HasPrefix(err.Error(), "sessionctx: ") {
		t.Errorf("nil session: %v, %v", got, err)
	}
	const secret = "hunter2"
	for _, c := range []struct {
		name string
		into decoder
		in   string
		want string
	}{
		{"not an object", into[[]string](), `["hunter2"]`, "sessionctx: custom claims are not a JSON object"},
		{"null", into[role](), `null`, "sessionctx: custom claims are not a JSON object"},
		{"string", into[string](), `"hunter2"`, "sessionctx: custom claims are not a JSON object"},
		{"cut off", into[role](), `{"role":"hunter2"`, "sessionctx: custom claims: exactjson: syntax error"},
		{"more text", into[role](), `{"role":"hunter2"}{}`, "sessionctx: custom claims: exactjson: syntax error"},
		{"duplicate", into[role](), `{"role":"hunter2","role":"b"}`, "sessionctx: custom claims: exactjson: duplicate member"},
		{"duplicate, escaped", into[role](), `{"role":"hunter2","r\u006fle":"b"}`, "sessionctx: custom claims: exactjson: duplicate member"},
		{"duplicate where nobody looks", into[role](), `{"other":[{"a":{"b":"hunter2","b":2}}]}`, "sessionctx: custom claims: exactjson: duplicate member"},
		{"duplicate in a type's own part", into[ownInside](), `{"own":{"a":1,"a":2}}`, "sessionctx: custom claims: exactjson: duplicate member"},
		{"UTF-8", into[role](), "{\"role\":\"hunter2\xff\"}", "sessionctx: custom claims: exactjson: invalid UTF-8"},
		{"lone surrogate", into[role](), `{"role":"hunter2\ud800"}`, "sessionctx: custom claims: exactjson: invalid UTF-8"},
		{"depth 33", into[map[string]any](), strings.Repeat(`{"a":`, 32) + "{}" + strings.Repeat("}", 32), "sessionctx: custom claims: exactjson: nested too deeply"},
		{"kind", into[role](), `{"role":{"x":"hunter2"}}`, `sessionctx: custom claim "role": a JSON object does not fit string`},
		{"number", into[embedded](), `{"level":77777777777777777777777}`, `sessionctx: custom claim "level": a JSON number does not fit int`},
		{"string for number", into[nested](), `{"one":{"role":7777}}`, `sessionctx: custom claim "one.role": a JSON number does not fit string`},
		{"string option", into[tags](), `{"quoted":"hunter2"}`, "sessionctx: custom claims do not fit sessionctx_test.tags"},
		{"whole", into[int](), `{"role":"hunter2"}`, "sessionctx: custom claims: a JSON object does not fit int"},
		{"own error", into[struct{ F failing }](), `{"F":"hunter2"}`, "sessionctx: custom claims do not fit struct { F sessionctx_test.failing }"},
		{"own mismatch", into[struct{ F typed }](), `{"F":"hunter2"}`, "sessionctx: custom claims do not fit struct { F sessionctx_test.typed }"},
		{"own mismatch without a type", into[struct{ F untyped }](), `{"F":"hunter2"}`, "sessionctx: custom claims do not fit struct { F sessionctx_test.untyped }"},
		{"array", into[role](), `{"role":["hunter2"]}`, `sessionctx: custom claim "role": a JSON array does not fit string`},
		{"bool", into[role](), `{"role":true}`, `sessionctx: custom claim "role": a JSON bool does not fit string`},
		{"string", into[embedded](), `{"level":"hunter2"}`, `sessionctx: custom claim "level": a JSON string does not fit int`},
		{"embedded pointer, unexported", into[promotedPtr](), `{"role":"hunter2"}`, "sessionctx: custom claims do not fit sessionctx_test.promotedPtr"},
		{"the same with a name", into[hiddenPtr](), `{"inner":{"role":"hunter2"}}`, "sessionctx: custom claims: cannot set the embedded pointer to an unexported struct, *sessionctx_test.role"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.into.claims(c.in)
			if err == nil || err.Error() != c.want {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if v := reflect.ValueOf(got); v.IsValid() && !v.IsZero() {
				t.Errorf("a value beside the error: %+v", got)
			}
			for e := range chain(err) {
				if s := e.Error(); strings.Contains(s, secret) || strings.Contains(s, "7777") || strings.Contains(s, "\n") {
					t.Errorf("the error shows a claim: %s", s)
				}
			}
		})
	}
}

func chain(err error) func(yield func(error) bool) {
	return func(yield func(error) bool) {
		for err != nil && yield(err) {
			u, ok := err.(interface{ Unwrap() error })
			if !ok {
				return
			}
			err = u.Unwrap()
		}
	}
}

// A claim fills a field if and only if a member has exactly its name.
func FuzzClaims(f *testing.F) {
	for _, s := range []string{
		`{"role":"a"}`, `{"ROLE":"a","role":null}`, `{"in":{"role":"b"},"IN":{"role":"c"}}`, `{"in":{"Role":"b"}}`, `{"roleſ":"x","ſ":"y"}`, `{"K":"k","k":"k"}`, `{"a":[{}]}`,
	} {
		f.Add(s)
	}
	type probe struct {
		Role *json.RawMessage `json:"role"`
		S    *json.RawMessage `json:"s"`
		K    *json.RawMessage `json:"k"`
		In   *struct {
			Role *json.RawMessage `json:"role"`
		} `json:"in"`
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := withClaims(text)
		got, err := sessionctx.Claims[probe](s)
		all, allErr := sessionctx.Claims[map[string]json.RawMessage](s)
		if allErr != nil {
			if err == nil {
				t.Fatalf("%q: a struct is decoded, a map not: %v", text, allErr)
			}
			return
		}
		if !json.Valid([]byte(s.CustomClaims())) {
			t.Fatalf("%q accepted", text)
		}
		if err != nil {
			if raw := string(all["in"]); raw == "" || strings.HasPrefix(raw, "{") {
				t.Fatalf("%q refused: %v", text, err)
			}
			return
		}
		same := func(name string, field *json.RawMessage, in map[string]json.RawMessage) {
			raw, ok := in[name]
			// A null leaves a pointer nil, whatever it points to.
			if ok = ok && string(raw) != "null"; ok != (field != nil) || ok && string(*field) != string(raw) {
				t.Fatalf("%q: %s", text, name)
			}
		}
		same("role", got.Role, all)
		same("s", got.S, all)
		same("k", got.K, all)
		if got.In != nil {
			var in map[string]json.RawMessage
			if err := json.Unmarshal(all["in"], &in); err != nil {
				t.Fatal(err)
			}
			same("role", got.In.Role, in)
		}
	})
}
