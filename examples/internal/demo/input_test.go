package demo_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stytchware/stytchware/examples/internal/demo"
)

func TestParseObject(t *testing.T) {
	tests := []struct {
		body string
		want int // members; -1 for a refusal
	}{
		{`{}`, 0},
		{" {\"a\":1,\n\"b\":{\"a\":[null]}} \n", 2},
		{`{"a":1,"A":2}`, 2},
		{`{"a":{"x":1,"x":2}}`, 1}, // a member nobody asks for is nobody's concern
		{``, -1},
		{`null`, -1},
		{`[]`, -1},
		{`"a"`, -1},
		{`{"a":1}{}`, -1},
		{`{"a":1} x`, -1},
		{`{"a":1,}`, -1},
		{`{"a" 1}`, -1},
		{`{"a":01}`, -1},
		{`{"a":1,"a":1}`, -1},
		{`{"a":1,"\u0061":1}`, -1},
		{"{\"a\":\"\xff\"}", -1},
		{`{"a":` + strings.Repeat("[", 20000), -1},
	}
	for _, test := range tests {
		obj, err := demo.ParseObject([]byte(test.body))
		got := len(obj)
		if err != nil {
			got = -1
			if !utf8.ValidString(err.Error()) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%.40q: error repeats foreign text: %q", test.body, err)
			}
		}
		if got != test.want {
			t.Errorf("%.40q: got %d (%v), want %d", test.body, got, err, test.want)
		}
	}
}

func TestText(t *testing.T) {
	obj, err := demo.ParseObject([]byte(`{"s":"x\u0079","empty":"","null":null,"n":1,"o":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"s": "xy", "empty": "", "null": "", "absent": "", "S": ""} {
		if got, err := demo.Text(obj, name); got != want || err != nil {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"n", "o"} {
		if got, err := demo.Text(obj, name); err == nil {
			t.Errorf("%s: got %q, want a refusal", name, got)
		}
	}
}

func TestMinutes(t *testing.T) {
	tests := []struct {
		value string
		want  time.Duration // -1 for a refusal
	}{
		{`5`, 5 * time.Minute},
		{`60`, time.Hour},
		{`527040`, 366 * 24 * time.Hour},
		{`4`, -1},
		{`527041`, -1},
		{`0`, -1},
		{`-5`, -1},
		{`60.5`, -1},
		{`6e1`, -1},
		{`"60"`, -1},
		{`null`, -1},
		{`true`, -1},
		{`[60]`, -1},
		{`9223372036854775808`, -1},
	}
	for _, test := range tests {
		obj, err := demo.ParseObject([]byte(`{"m":` + test.value + `}`))
		if err != nil {
			t.Fatal(err)
		}
		got, err := demo.Minutes(obj, "m")
		if err != nil {
			got = -1
		}
		if got != test.want {
			t.Errorf("%s: got %v (%v), want %v", test.value, got, err, test.want)
		}
	}
	if got, err := demo.Minutes(nil, "m"); got != 0 || err != nil {
		t.Errorf("absent: got %v, %v; want 0", got, err)
	}
}
