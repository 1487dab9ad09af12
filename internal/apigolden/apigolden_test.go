package apigolden_test

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stytchware/stytchware/internal/apigolden"
)

var update = flag.Bool("update", false, "rewrite the golden files in api/")

var public = []string{"sessionctx", "jwks", "middleware", "stytchtest"}

const root = "../.."

func TestGolden(t *testing.T) {
	for _, pkg := range public {
		t.Run(pkg, func(t *testing.T) {
			api, err := apigolden.Dir(filepath.Join(root, pkg))
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(root, "api", pkg+".txt")
			got := strings.Join(api.Lines, "\n") + "\n"
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("api/%s.txt does not exist; write it with: go test ./internal/apigolden -update", pkg)
			}
			if err != nil {
				t.Fatal(err)
			}
			if got == string(want) {
				return
			}
			before := strings.Split(strings.TrimSuffix(string(want), "\n"), "\n")
			for _, line := range before {
				if !slices.Contains(api.Lines, line) {
					t.Errorf("- %s", line)
				}
			}
			for _, line := range api.Lines {
				if !slices.Contains(before, line) {
					t.Errorf("+ %s", line)
				}
			}
			t.Errorf("the API of %s is not what api/%[1]s.txt says; if that is meant: go test ./internal/apigolden -update", pkg)
		})
	}
}

func TestDocumented(t *testing.T) {
	for _, pkg := range public {
		api, err := apigolden.Dir(filepath.Join(root, pkg))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range api.Undocumented {
			t.Errorf("%s: %s has no doc comment", pkg, name)
		}
	}
}

// Every public package is covered: nothing else outside internal and examples
// can be imported.
func TestPublic(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		files, _ := filepath.Glob(filepath.Join(root, e.Name(), "*.go"))
		module, _ := filepath.Glob(filepath.Join(root, e.Name(), "go.mod"))
		if e.IsDir() && len(files) > 0 && len(module) == 0 && !slices.Contains(public, e.Name()) {
			t.Errorf("package %s is public and has no golden file", e.Name())
		}
	}
}

func TestRead(t *testing.T) {
	api, err := apigolden.Read(map[string][]byte{
		"one.go": []byte(`// Package p is a package.
package p

import ("errors"; "io"; "net/http")

// A has a comment.
const A, B uint8 = 1, iota

// The kinds.
const (
	First Kind = iota + 1
	second
	Third // has its own
	Plain = "x"
)

const Bare = 1

var (
	// ErrX is an error.
	ErrX = errors.New("x")
	V = T{}     // has a comment
	N int
	F = f()
	X, Y = f2()
	hidden = 1
)

// T is a type.
type T struct {
	// One has a comment.
	One, Two int
	Three string

	Four string ` + "`json:\"four\"`" + `
	Five struct {
		A int
	} // has a comment
	six int
}

type U[K comparable, V any] struct{ M map[K]V }
type Alias = T
type (
	// I is an interface.
	I interface { Do(x int) error }
	Kind uint8
	lower struct{ Exported int }
)

// E embeds.
type E struct {
	*T
	io.Reader // has a comment
	lower
}
`),
		"two.go": []byte(`package p

// Do does it.
func Do[T any](a int, b ...string) (x T, err error) { return }
func Undocumented(
	w http.ResponseWriter,
	r *http.Request,
) {}
func private() {}

// Get gets.
func (t *T) Get() int { return 0 }
func (t T) Set(int) {}
func (t *T) unset() {}
func (l lower) Exported() {}

// Len is how long it is.
func (u *U[K, V]) Len() int { return 0 }
`)})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(`
const A uint8 = 1
const B uint8 = iota (iota 0)
const Bare = 1
const First Kind = iota + 1 (iota 0)
const Plain = "x"
const Third Kind = iota + 1 (iota 2)
field E embeds *T
field E embeds io.Reader
field E embeds lower
field T.Five struct { A int }
field T.Four string `+"`json:\"four\"`"+`
field T.One int
field T.Three string
field T.Two int
field U.M map[K]V
func (t *T) Get() int
func (t T) Set(int)
func (u *U[K, V]) Len() int
func Do[T any](a int, b ...string) (x T, err error)
func Undocumented(w http.ResponseWriter, r *http.Request)
type Alias = T
type E struct
type I interface{ Do(x int) error }
type Kind uint8
type T struct with unexported fields
type U[K comparable, V any] struct
var ErrX error
var F
var N int
var V T
var X
var Y`), "\n")
	if !slices.Equal(api.Lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(api.Lines, "\n"), strings.Join(want, "\n"))
	}
	undocumented := []string{"Alias", "Bare", "E.T", "F", "Kind", "N", "T.Four", "T.Set", "U", "U.M", "Undocumented", "X", "Y"}
	if !slices.Equal(api.Undocumented, undocumented) {
		t.Errorf("undocumented:\n got %q\nwant %q", api.Undocumented, undocumented)
	}
}

func TestReadFails(t *testing.T) {
	if api, err := apigolden.Read(map[string][]byte{"x.go": []byte("package")}); err == nil {
		t.Errorf("no Go: %v", api)
	}
	if api, err := apigolden.Dir(t.TempDir()); err == nil {
		t.Errorf("an empty folder: %v", api)
	}
	api, err := apigolden.Read(map[string][]byte{"x.go": []byte("// Something else.\npackage p")})
	if err != nil || !slices.Equal(api.Undocumented, []string{"package p"}) {
		t.Errorf("no package comment: %v, %v", api, err)
	}
}
