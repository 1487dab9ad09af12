package doctest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// preamble is what a snippet that is not a whole program may use.
const preamble = `
var (
	auth    *middleware.Authenticator
	cfg     middleware.Config
	mux     = http.NewServeMux()
	handler http.Handler
	w       http.ResponseWriter
	r       *http.Request
	t       *testing.T
	token, jwt string
)
`

// imports maps a package's name in a snippet to its path.
var imports = map[string]string{
	"middleware": "github.com/stytchware/stytchware/middleware", "sessionctx": "github.com/stytchware/stytchware/sessionctx",
	"jwks": "github.com/stytchware/stytchware/jwks", "stytchtest": "github.com/stytchware/stytchware/stytchtest",
	"http": "net/http", "httptest": "net/http/httptest", "time": "time", "errors": "errors", "fmt": "fmt", "log": "log", "os": "os",
	"context": "context", "testing": "testing", "slog": "log/slog", "json": "encoding/json", "hex": "encoding/hex", "synctest": "testing/synctest",
	"chi": "github.com/go-chi/chi/v5", "strings": "strings", "strconv": "strconv", "io": "io", "url": "net/url", "rand": "crypto/rand",
}

func TestDocumentsCompile(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(root, "*.md"))
	guides, _ := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	files = append(files, guides...)
	fence := regexp.MustCompile("(?ms)^```go\n(.*?)^```")
	temp := t.TempDir()
	overlay := map[string]map[string]string{"Replace": {}}
	var packages []string
	names := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range fence.FindAllStringSubmatch(string(text), -1) {
			name := fmt.Sprintf("snippet%d", len(packages))
			source := filepath.Join(temp, name+".go")
			if err := os.WriteFile(source, []byte(complete(m[1])), 0o600); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(root, "internal", "doctest", name)
			overlay["Replace"][filepath.Join(dir, "main.go")] = source
			packages = append(packages, "./internal/doctest/"+name)
			names[name] = fmt.Sprintf("%s, Go block %d", filepath.Base(file), i+1)
		}
	}
	if len(packages) < 5 {
		t.Fatalf("only %d Go blocks found in %d documents", len(packages), len(files))
	}
	data, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(temp, "overlay.json")
	if err := os.WriteFile(at, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", append([]string{"build", "-overlay", at}, packages...)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		said := string(out)
		for name, where := range names {
			said = regexp.MustCompile(name+`\b`).ReplaceAllString(said, name+" ("+where+")")
		}
		t.Errorf("%v\n%s", err, said)
	}
}

// complete makes a package of a snippet; not a program, which would be linked.
func complete(code string) string {
	if program, ok := strings.CutPrefix(code, "package main\n"); ok {
		return "package snippet\n" + program
	}
	decls, body := "", code
	if regexp.MustCompile(`(?m)^func `).MatchString(code) {
		decls, body = code, ""
	}
	var b strings.Builder
	b.WriteString("package snippet\n\nimport (\n")
	for name, path := range imports {
		if regexp.MustCompile(`\b` + name + `\.[A-Z]`).MatchString(preamble + code) {
			fmt.Fprintf(&b, "\t%s %q\n", name, path)
		}
	}
	b.WriteString(")\n" + preamble + decls + "\nfunc main() {\n" + body + "}\n")
	return b.String()
}
