package securitytest_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stytchware/stytchware/middleware"
)

const (
	root     = "../.."
	promises = 31
)

// advisories must each have a row.
var advisories = []string{
	"CVE-2020-26160", "CVE-2024-51744", "CVE-2025-30204", "CVE-2025-22149", "CVE-2025-59420", "CVE-2021-32701", "CVE-2026-40155",
	"CVE-2025-48947", "CVE-2025-64762", "CVE-2025-29927", "CVE-2026-41248", "CVE-2026-34454", "CVE-2025-53826", "GHSA-hp74-gm6m-2qm5",
	"CVE-2026-26998", "CVE-2024-38513", "CVE-2020-4037", "CVE-2020-11053",
}

var (
	promiseHeading = regexp.MustCompile(`(?m)^### (\d+)\. \S.*$`)
	heldBy         = regexp.MustCompile(`(?m)^Held by: (.+)$`)
	advisoryRow    = regexp.MustCompile(`(?m)^\| ((?:CVE|GHSA)-\S+) \| (.*) \| (.*) \|$`)
	reference      = regexp.MustCompile("^`([a-z/0-9]+)\\.((?:Test|Fuzz)[A-Za-z0-9_]*)`$")
)

// problems says what is wrong with a SECURITY.md. exists reports whether a
// package has a test.
func problems(text string, exists func(pkg, test string) bool) (all []string) {
	complain := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	check := func(where, list string) {
		names := strings.Split(list, ", ")
		for i, name := range names {
			m := reference.FindStringSubmatch(name)
			switch {
			case m == nil:
				complain("%s: %q is not of the form `package.TestName`", where, name)
			case slices.Contains(names[:i], name):
				complain("%s: %s is named twice", where, name)
			case !exists(m[1], m[2]):
				complain("%s: there is no test %s.%s", where, m[1], m[2])
			}
		}
	}

	headings := promiseHeading.FindAllStringSubmatchIndex(text, -1)
	for i, h := range headings {
		number := text[h[2]:h[3]]
		where := "promise " + number
		if number != strconv.Itoa(i+1) {
			complain("%s comes as number %d", where, i+1)
		}
		section := text[h[1]:]
		if end := strings.Index(section, "\n#"); end >= 0 {
			section = section[:end]
		}
		lines := heldBy.FindAllStringSubmatch(section, -1)
		if len(lines) != 1 {
			complain("%s has %d lines of Held by", where, len(lines))
			continue
		}
		if len(strings.TrimSpace(heldBy.ReplaceAllString(section, ""))) < 20 {
			complain("%s says nothing", where)
		}
		check(where, lines[0][1])
	}
	if len(headings) != promises {
		complain("%d promises, want %d", len(headings), promises)
	}
	if n := len(heldBy.FindAllString(text, -1)); n != len(headings) {
		complain("%d lines of Held by for %d promises", n, len(headings))
	}

	seen := map[string]bool{}
	for _, row := range advisoryRow.FindAllStringSubmatch(text, -1) {
		if seen[row[1]] || !slices.Contains(advisories, row[1]) {
			complain("%s is there twice, or not in the list", row[1])
		}
		seen[row[1]] = true
		check(row[1], row[3])
	}
	for _, a := range advisories {
		if !seen[a] {
			complain("%s has no test", a)
		}
	}
	return all
}

// tests are the names of the tests in a package's folder.
func tests(t *testing.T, pkg string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && isTest(f) {
				names[f.Name.Name] = true
			}
		}
	}
	return names
}

// isTest reports whether go test runs f: a function of one *testing.T or F.
func isTest(f *ast.FuncDecl) bool {
	if f.Recv != nil || f.Body == nil || len(f.Body.List) == 0 || f.Type.Params.NumFields() != 1 {
		return false
	}
	star, ok := f.Type.Params.List[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	of, ok := star.X.(*ast.SelectorExpr)
	return ok && (of.Sel.Name == "T" && strings.HasPrefix(f.Name.Name, "Test") || of.Sel.Name == "F" && strings.HasPrefix(f.Name.Name, "Fuzz"))
}

// finder looks tests up in the source.
func finder(t *testing.T) func(pkg, test string) bool {
	known := map[string]map[string]bool{}
	return func(pkg, test string) bool {
		if known[pkg] == nil {
			known[pkg] = tests(t, pkg)
		}
		return known[pkg][test]
	}
}

func document(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "SECURITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every promise and every advisory has a test, and every test named exists.
func TestPromisesAreHeld(t *testing.T) {
	for _, p := range problems(document(t), finder(t)) {
		t.Error(p)
	}
}

// The test above would notice.
func TestBrokenPromisesAreFound(t *testing.T) {
	good, exists := document(t), finder(t)
	first := heldBy.FindString(good)
	for name, c := range map[string]struct{ old, new, want string }{
		"a test that does not exist":    {"`jwks.TestVerify`", "`jwks.TestVerily`", "there is no test jwks.TestVerily"},
		"a helper":                      {"`jwks.TestVerify`", "`jwks.FuzzVerily`", "there is no test jwks.FuzzVerily"},
		"a package that does not exist": {"`jwks.TestVerify`", "`keys.TestVerify`", "there is no test keys.TestVerify"},
		"an example":                    {"`jwks.TestVerify`", "`jwks.ExampleVerifier_Verify`", "is not of the form"},
		"a promise without a test":      {first, "", "promise 1 has 0 lines"},
		"an empty list":                 {first, "Held by: ", "lines of Held by"},
		"a test named twice":            {"`jwks.TestVerify`", "`jwks.TestVerify`, `jwks.TestVerify`", "named twice"},
		"a promise left out":            {"### 7. ", "#### ", "comes as number 7"},
		"an advisory without a row":     {"| CVE-2025-30204 |", "| CVE-2025-30205 |", "CVE-2025-30204 has no test"},
		"an advisory without a test":    {"| `internal/securitytest.TestCVE_2026_26998` |", "| none |", "is not of the form"},
	} {
		if strings.Count(good, c.old) == 0 {
			t.Errorf("%s: nothing to replace", name)
			continue
		}
		found := problems(strings.Replace(good, c.old, c.new, 1), exists)
		if !slices.ContainsFunc(found, func(p string) bool { return strings.Contains(p, c.want) }) {
			t.Errorf("%s: found %q, want %q", name, found, c.want)
		}
	}
}

// SECURITY.md describes every field of the configuration that weakens a
// default.
func TestDangerousFieldsAreDescribed(t *testing.T) {
	text, found := document(t), 0
	for _, of := range []reflect.Type{reflect.TypeFor[middleware.Config](), reflect.TypeFor[middleware.Cookies]()} {
		for i := range of.NumField() {
			if name := of.Field(i).Name; strings.HasPrefix(name, "Dangerously") {
				if found++; !strings.Contains(text, "`"+name+"`") {
					t.Errorf("%s is not described", name)
				}
			}
		}
	}
	if found < 3 {
		t.Errorf("%d fields were found", found)
	}
}
