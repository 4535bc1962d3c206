package main_test

import (
	"bytes"
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Long files and wide structs hide ideas that want a name of their own. Records of a
// documented format are as wide as it is.
func TestSizes(t *testing.T) {
	const maxLines, maxFields = 400, 14
	wide := map[string]string{
		"cmd/nexops/internal/schema": "the versioned JSON of the headless commands, flat for whoever reads it with jq",
	}
	for _, f := range goFiles(t) {
		if f.test || ast.IsGenerated(f.ast) {
			continue
		}
		if f.lines > maxLines {
			t.Errorf("%s has %d lines, more than %d", f.name, f.lines, maxLines)
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if _, may := wide[f.dir]; may {
				return false
			}
			if s, ok := n.(*ast.StructType); ok && s.Fields.NumFields() > maxFields {
				t.Errorf("%s: a struct of %d fields, more than %d", f.fset.Position(s.Pos()), s.Fields.NumFields(), maxFields)
			}
			return true
		})
	}
}

// A package that needs two sentences to say what it is has two ideas in it.
func TestPackageComments(t *testing.T) {
	docs := map[string][]string{}
	sentenceEnd := regexp.MustCompile(`[.!?]\s+[A-Z]`)
	for _, f := range goFiles(t) {
		if _, seen := docs[f.dir]; !seen {
			docs[f.dir] = nil
		}
		if f.test || f.ast.Doc == nil {
			continue
		}
		text := strings.TrimSpace(f.ast.Doc.Text())
		docs[f.dir] = append(docs[f.dir], f.name)
		first, _, _ := strings.Cut(text, "\n\n")
		first = strings.Join(strings.Fields(first), " ")
		begin := "Package " + f.ast.Name.Name + " "
		if f.ast.Name.Name == "main" {
			begin = "Command "
		}
		if !strings.HasPrefix(first, begin) || !strings.HasSuffix(first, ".") || sentenceEnd.MatchString(first) || len(first) > 300 {
			t.Errorf("%s: the package comment should begin with one sentence, %q...: %s", f.name, begin, first)
		}
	}
	for dir, files := range docs {
		if len(files) != 1 {
			t.Errorf("package %s has %d package comments, not 1: %q", dir, len(files), files)
		}
	}
}

// What changes behind everybody's back cannot be tested or reasoned about: no
// registration in init, no variables of a package that anything assigns to.
func TestNoHiddenState(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		for _, decl := range f.ast.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					t.Errorf("%s: no init functions: who needs something made gets it passed in", f.fset.Position(d.Pos()))
				}
			case *ast.GenDecl:
				if d.Tok == token.VAR {
					checkVariables(t, f, d)
				}
			}
		}
	}
}

// constructors make values that nothing can change afterwards.
var constructors = map[string]bool{
	"errors.New": true, "fmt.Errorf": true, "regexp.MustCompile": true, "strings.NewReplacer": true,
	"template.Must": true, "netip.MustParsePrefix": true, "netip.MustParseAddr": true,
}

func checkVariables(t *testing.T, f goFile, d *ast.GenDecl) {
	t.Helper()
	for _, spec := range d.Specs {
		v, ok := spec.(*ast.ValueSpec)
		if !ok || embeds(d.Doc) || embeds(v.Doc) {
			continue
		}
		for i, name := range v.Names {
			switch {
			case name.Name == "_":
			case i >= len(v.Values) || !constant(v.Values[i], !name.IsExported()):
				t.Errorf("%s: package variable %s: allowed are errors, compiled patterns, embedded files and unexported tables",
					f.fset.Position(name.Pos()), name.Name)
			}
		}
	}
}

func embeds(doc *ast.CommentGroup) bool {
	if doc == nil {
		return false
	}
	for _, c := range doc.List {
		if strings.HasPrefix(c.Text, "//go:embed ") {
			return true
		}
	}
	return false
}

// constant reports whether an initial value is one of those allowed; tables may be, too.
func constant(value ast.Expr, table bool) bool {
	switch v := value.(type) {
	case *ast.CompositeLit:
		return table
	case *ast.BasicLit:
		return table // a version, set by the linker
	case *ast.CallExpr:
		if s, ok := v.Fun.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok {
				return constructors[x.Name+"."+s.Sel.Name]
			}
		}
	}
	return false
}

// A table of a package is written once, where it is declared.
func TestTablesAreNotChanged(t *testing.T) {
	variables := map[string]bool{} // "dir name"
	files := goFiles(t)
	for _, f := range files {
		for _, decl := range f.ast.Decls {
			d, ok := decl.(*ast.GenDecl)
			if !ok || d.Tok != token.VAR || f.test {
				continue
			}
			for _, spec := range d.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names {
					if name.Name == "_" {
						continue
					}
					variables[f.dir+" "+name.Name] = true
				}
			}
		}
	}
	for _, f := range files {
		if f.test {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			for _, target := range assigned(n) {
				// A name that the parser resolved inside a function is a local one.
				if id := base(target); id != nil && variables[f.dir+" "+id.Name] && !local(f.ast, id) {
					t.Errorf("%s: package variable %s is changed", f.fset.Position(id.Pos()), id.Name)
				}
			}
			return true
		})
	}
}

func assigned(n ast.Node) []ast.Expr {
	switch s := n.(type) {
	case *ast.AssignStmt:
		if s.Tok != token.DEFINE {
			return s.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{s.X}
	case *ast.UnaryExpr:
		if s.Op == token.AND {
			return []ast.Expr{s.X}
		}
	case *ast.CallExpr:
		if f, ok := s.Fun.(*ast.Ident); ok && len(s.Args) > 0 && (f.Name == "delete" || f.Name == "clear") {
			return s.Args[:1]
		}
	}
	return nil
}

// base is the variable that x[i], x.f or *x belongs to.
func base(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

func local(file *ast.File, id *ast.Ident) bool {
	return id.Obj != nil && file.Scope.Lookup(id.Name) != id.Obj
}

// What is written here must make sense to whoever clones it: no path of the
// machine it was written on.
func TestNoMachinePaths(t *testing.T) {
	paths := [][]byte{[]byte("/wo" + "rk/"), []byte("/tmp/n" + "x"), []byte("/home/" + "runner")}
	rootHome := []byte("/ro" + "ot/")
	for _, name := range sourceFiles(t) {
		raw, err := os.ReadFile(filepath.Join(root(t), name))
		if err != nil {
			t.Fatal(err)
		}
		forbidden := paths
		if !strings.HasPrefix(name, "lab/") { // a lab's hosts have such a folder
			forbidden = append([][]byte{rootHome}, paths...)
		}
		for _, p := range forbidden {
			if at := bytes.Index(raw, p); at >= 0 {
				t.Errorf("%s:%d names %s", name, 1+bytes.Count(raw[:at], []byte("\n")), p)
			}
		}
	}
}

// CI runs the lab's tests by their names: one that needs the lab and does not say so would never be run with it.
func TestWhatNeedsTheServersSaysSo(t *testing.T) {
	files := goFiles(t)
	users := map[string]map[string]bool{} // by package: the functions of its tests through which the lab is reached
	for _, f := range files {
		if f.test && users[f.dir] == nil {
			users[f.dir] = labUsers(files, f.dir)
		}
	}
	if !users["cmd/nexops"]["inLab"] {
		t.Fatal("inLab of cmd/nexops is not seen to use the lab: nothing is checked")
	}
	for _, f := range files {
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !f.test || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Test") || fn.Name.Name == "TestMain" {
				continue
			}
			name := fn.Name.Name
			if strings.Contains(name, "Lab") || strings.Contains(name, "Real") {
				continue
			}
			if strings.HasSuffix(f.name, "_lab_test.go") || users[f.dir][name] {
				t.Errorf("%s: %s needs the lab: without Lab or Real in its name CI does not run it with one", f.name, name)
			}
		}
	}
}

// labUsers are the functions of a folder's tests that call real.FromEnv, themselves or through one another.
func labUsers(files []goFile, dir string) map[string]bool {
	calls := map[string]map[string]bool{}
	for _, f := range files {
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil || !f.test || f.dir != dir {
				continue
			}
			of := calls[fn.Name.Name]
			if of == nil {
				of = map[string]bool{}
				calls[fn.Name.Name] = of
			}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if c, ok := n.(*ast.CallExpr); ok {
					of[callee(c)] = true
				}
				return true
			})
		}
	}
	users := map[string]bool{"real.FromEnv": true}
	if dir == "lab/real" {
		users["FromEnv"] = true
	}
	for more := true; more; {
		more = false
		for name, of := range calls {
			for c := range of {
				if users[c] && !users[name] {
					users[name], more = true, true
				}
			}
		}
	}
	return users
}

// callee is what is called: f, or x.f where x is a name.
func callee(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			return x.Name + "." + f.Sel.Name
		}
	}
	return ""
}
