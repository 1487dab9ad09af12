// Package apigolden lists what a package exports, one line each, so that a
// change of the public surface shows in review as a change of a text file.
package apigolden

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// API is what one package exports.
type API struct {
	// Lines has one sorted line for every exported constant, variable,
	// function, type, method and struct field.
	Lines []string
	// Undocumented names what has no doc comment, sorted; the package's own
	// name stands for its package comment.
	Undocumented []string
}

// Dir reads the package whose sources, tests aside, lie in dir. Files of all
// platforms are read alike.
func Dir(dir string) (API, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return API{}, err
	}
	sources := map[string][]byte{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if sources[name], err = os.ReadFile(name); err != nil {
			return API{}, err
		}
	}
	return Read(sources)
}

// Read reads the package that has these files, by name.
func Read(sources map[string][]byte) (API, error) {
	if len(sources) == 0 {
		return API{}, errors.New("apigolden: no Go files")
	}
	l := lister{fset: token.NewFileSet()}
	name, documented := "", false
	for file, source := range sources {
		f, err := parser.ParseFile(l.fset, file, source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return API{}, fmt.Errorf("apigolden: %w", err)
		}
		name = f.Name.Name
		documented = documented || strings.HasPrefix(f.Doc.Text(), "Package "+name+" ")
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				l.function(d)
			case *ast.GenDecl:
				l.general(d)
			}
		}
	}
	if !documented {
		l.undocumented = append(l.undocumented, "package "+name)
	}
	slices.Sort(l.lines)
	slices.Sort(l.undocumented)
	return API{l.lines, l.undocumented}, nil
}

type lister struct {
	fset                *token.FileSet
	lines, undocumented []string
}

// add adds a line for name; docs are the places where its comment may stand.
func (l *lister) add(name, line string, docs ...*ast.CommentGroup) {
	l.lines = append(l.lines, line)
	for _, doc := range docs {
		if doc.Text() != "" {
			return
		}
	}
	l.undocumented = append(l.undocumented, name)
}

func (l *lister) function(d *ast.FuncDecl) {
	if !d.Name.IsExported() {
		return
	}
	name := d.Name.Name
	if d.Recv != nil {
		recv := receiver(d.Recv.List[0].Type)
		if !ast.IsExported(recv) {
			return
		}
		name = recv + "." + name
	}
	// How the parameters are broken over lines is no part of the API.
	line := strings.NewReplacer("( ", "(", ", )", ")").Replace(l.text(&ast.FuncDecl{Recv: d.Recv, Name: d.Name, Type: d.Type}))
	l.add(name, line, d.Doc)
}

// receiver returns the name of a method's type.
func receiver(e ast.Expr) string {
	for {
		switch t := e.(type) {
		case *ast.StarExpr:
			e = t.X
		case *ast.IndexExpr:
			e = t.X
		case *ast.IndexListExpr:
			e = t.X
		case *ast.Ident:
			return t.Name
		default:
			return ""
		}
	}
}

func (l *lister) general(d *ast.GenDecl) {
	// A comment on a parenthesised group is about all of it, a comment on a
	// declaration of its own about that one.
	var typ ast.Expr      // of the constant before: an empty one repeats it
	var values []ast.Expr // likewise
	for i, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() {
				l.typ(s, d.Doc)
			}
		case *ast.ValueSpec:
			if len(s.Values) > 0 || s.Type != nil {
				typ, values = s.Type, s.Values
			}
			for j, name := range s.Names {
				if !name.IsExported() {
					continue
				}
				line := d.Tok.String() + " " + name.Name
				if d.Tok == token.CONST {
					if typ != nil {
						line += " " + l.text(typ)
					}
					line += " = " + l.text(values[j])
					if mentionsIota(values[j]) {
						line += fmt.Sprintf(" (iota %d)", i)
					}
				} else if t := l.varType(s, j); t != "" {
					line += " " + t
				}
				l.add(name.Name, line, s.Doc, s.Comment, d.Doc)
			}
		}
	}
}

func mentionsIota(e ast.Expr) (found bool) {
	ast.Inspect(e, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		found = found || ok && id.Name == "iota"
		return true
	})
	return found
}

// varType returns the type of variable i of s, "" where only a type checker
// could tell.
func (l *lister) varType(s *ast.ValueSpec, i int) string {
	if s.Type != nil {
		return l.text(s.Type)
	}
	if i >= len(s.Values) {
		return ""
	}
	switch v := s.Values[i].(type) {
	case *ast.CompositeLit:
		return l.text(v.Type)
	case *ast.CallExpr:
		if f := l.text(v.Fun); f == "errors.New" || f == "fmt.Errorf" {
			return "error"
		}
	}
	return ""
}

func (l *lister) typ(s *ast.TypeSpec, group *ast.CommentGroup) {
	name := s.Name.Name
	head := "type " + l.text(&ast.TypeSpec{Name: s.Name, TypeParams: s.TypeParams, Assign: s.Assign, Type: ast.NewIdent("•")})
	head = strings.TrimSuffix(head, "•")
	st, ok := s.Type.(*ast.StructType)
	if !ok {
		l.add(name, head+l.text(s.Type), s.Doc, s.Comment, group)
		return
	}
	hidden := ""
	for i, f := range st.Fields.List {
		tag := ""
		if f.Tag != nil {
			tag = " " + f.Tag.Value
		}
		// A comment above a run of fields is about all of them.
		block := f
		for j := i; j > 0 && block.Doc == nil && l.line(block.Pos()) == l.line(st.Fields.List[j-1].End())+1; j-- {
			block = st.Fields.List[j-1]
		}
		if len(f.Names) == 0 {
			embedded := receiver(f.Type)
			if sel, ok := f.Type.(*ast.SelectorExpr); ok {
				embedded = sel.Sel.Name
			}
			line := fmt.Sprintf("field %s embeds %s%s", name, l.text(f.Type), tag)
			if ast.IsExported(embedded) {
				l.add(name+"."+embedded, line, f.Doc, f.Comment, block.Doc)
			} else {
				l.lines = append(l.lines, line) // it may promote what is exported
			}
		}
		for _, n := range f.Names {
			if !n.IsExported() {
				hidden = " with unexported fields"
				continue
			}
			l.add(name+"."+n.Name, fmt.Sprintf("field %s.%s %s%s", name, n.Name, l.text(f.Type), tag), f.Doc, f.Comment, block.Doc)
		}
	}
	l.add(name, head+"struct"+hidden, s.Doc, s.Comment, group)
}

func (l *lister) line(p token.Pos) int { return l.fset.Position(p).Line }

// text prints a node on one line.
func (l *lister) text(n any) string {
	var b bytes.Buffer
	if err := printer.Fprint(&b, l.fset, n); err != nil {
		return fmt.Sprintf("(%v)", err)
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
