package doctest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stytchware/stytchware/middleware"
)

// guides returns the text of each guide by its path.
func guides(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d guides, %v", len(files), err)
	}
	all := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[file] = string(text)
	}
	return all
}

// TestExcerpts compares code that is of another module, and so not compiled
// here, with the tested file it was taken from.
func TestExcerpts(t *testing.T) {
	marked := regexp.MustCompile("(?s)<!-- from (\\S+) -->\n```text\n(.*?)```")
	found := 0
	for guide, text := range guides(t) {
		all := marked.FindAllStringSubmatch(text, -1)
		if len(all) != strings.Count(text, "<!-- from ") {
			t.Errorf("%s: a marker has no text block after it", guide)
		}
		for _, m := range all {
			found++
			source, err := os.ReadFile(filepath.Join("../../docs", m[1]))
			if err != nil {
				t.Errorf("%s: %v", guide, err)
				continue
			}
			if !strings.Contains(string(source), m[2]) {
				t.Errorf("%s shows what is not in %s:\n%s", guide, m[1], m[2])
			}
		}
	}
	if found < 2 {
		t.Errorf("%d excerpts", found)
	}
}

// TestLinks looks up every relative link of the guides, anchors included.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	code := regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	for guide, text := range guides(t) {
		text = code.ReplaceAllString(text, "")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			path, anchor, _ := strings.Cut(m[1], "#")
			target := guide
			if path != "" {
				target = filepath.Join(filepath.Dir(guide), path)
			}
			body, err := os.ReadFile(target)
			if _, missing := os.Stat(target); missing != nil || anchor != "" && err != nil {
				t.Errorf("%s: %s leads nowhere", guide, m[1])
				continue
			}
			if anchor != "" && !anchors(string(body))[anchor] {
				t.Errorf("%s: %s has no heading %s", guide, target, anchor)
			}
		}
	}
}

// anchors are the headings of a document as GitHub names them.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all[strings.ReplaceAll(name, " ", "-")] = true
	}
	return all
}

// TestOperatingIsComplete finds every line that is logged and every reason for
// a 503 in the source, and wants each of them in the operator's guide.
func TestOperatingIsComplete(t *testing.T) {
	guide := guides(t)["../../docs/operating.md"]
	said := map[string]int{} // by kind
	want := func(kind, text string) {
		said[kind]++
		if !strings.Contains(guide, "`"+text) {
			t.Errorf("docs/operating.md does not explain the %s %q", kind, text)
		}
	}
	for _, dir := range []string{"middleware", "jwks", "internal/stytchapi"} {
		files, _ := filepath.Glob("../../" + dir + "/*.go")
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					switch name := called(n); {
					case name == "Info" || name == "Warn" || name == "LogAttrs" && dir == "middleware":
						for _, s := range literals(n.Args) {
							if strings.Contains(s, ": ") && !strings.HasSuffix(s, ": ") {
								want("log line", s)
							}
						}
					case name == "say" || name == "nonsense":
						for _, s := range literals(n.Args[:min(2, len(n.Args))]) {
							want("log line", "stytchware: "+s)
						}
					case name == "panicked":
						for _, s := range literals(n.Args) {
							want("panic in", s)
						}
					case name == "unavailable":
						for _, s := range literals(n.Args) {
							want("reason", s)
						}
					case name == "refused" && dir == "internal/stytchapi":
						for _, s := range literals(n.Args) {
							want("reason", "not sent: "+s)
						}
					}
				case *ast.AssignStmt: // of stytchapi: level, text = …
					if id, ok := n.Lhs[len(n.Lhs)-1].(*ast.Ident); ok && id.Name == "text" && dir == "internal/stytchapi" {
						for _, s := range literals(n.Rhs) {
							want("log line", s)
						}
					}
				case *ast.FuncDecl:
					if n.Name.Name == "reason" && dir == "internal/stytchapi" {
						ast.Inspect(n, func(n ast.Node) bool {
							if r, ok := n.(*ast.ReturnStmt); ok {
								for _, s := range literals(r.Results) {
									want("reason", s)
								}
							}
							return true
						})
					}
				case *ast.CompositeLit: // &denial{kind: ErrUnavailable, why: …}
					fields := map[string]ast.Expr{}
					for _, e := range n.Elts {
						if kv, ok := e.(*ast.KeyValueExpr); ok {
							if key, ok := kv.Key.(*ast.Ident); ok {
								fields[key.Name] = kv.Value
							}
						}
					}
					if kind, ok := fields["kind"].(*ast.Ident); ok && kind.Name == "ErrUnavailable" && fields["why"] != nil {
						for _, s := range literals([]ast.Expr{fields["why"]}) {
							want("reason", s)
						}
					}
				}
				return true
			})
		}
	}
	// What this test looks for must be there to be found.
	for kind, least := range map[string]int{"log line": 12, "panic in": 5, "reason": 22} {
		if said[kind] < least {
			t.Errorf("%d of the kind %q found in the source, want at least %d: the source is written differently now", said[kind], kind, least)
		}
	}
}

func called(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// literals returns the string literals among some expressions, those that are
// the left part of a + included.
func literals(all []ast.Expr) (found []string) {
	for _, e := range all {
		if sum, ok := e.(*ast.BinaryExpr); ok {
			e = sum.X
		}
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				found = append(found, s)
			}
		}
	}
	return found
}

// TestEveryFieldIsExplained wants every field of the configuration in a guide.
func TestEveryFieldIsExplained(t *testing.T) {
	var all strings.Builder
	for _, text := range guides(t) {
		all.WriteString(text)
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[middleware.Config](), reflect.TypeFor[middleware.Cookies]()} {
		for i := range typ.NumField() {
			if f := typ.Field(i); f.IsExported() && !regexp.MustCompile(`\b`+f.Name+`\b`).MatchString(all.String()) {
				t.Errorf("no guide mentions %s.%s", typ.Name(), f.Name)
			}
		}
	}
}
