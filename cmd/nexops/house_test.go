package main_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The rules of the house, each with its reason. docs/architecture.md tells them in
// prose; these tests hold them.

const module = "github.com/nexgate-hq/nexops/"

// rule says what one room may import. A room that has no rule of its own may not exist.
type rule struct {
	room    string   // "sources/*" is every folder in sources
	own     []string // rooms of ours
	foreign []string // modules of others; nil is any that the rules below let in
	why     string
}

var rules = []rule{
	{
		room: "fleet", own: nil, foreign: []string{},
		why: "the nouns and the join are pure: they can be tested with nothing and understood with nothing else",
	},
	{
		room: "remote", own: nil, foreign: []string{"golang.org/x/crypto", "github.com/skeema/knownhosts", "golang.org/x/sync", "github.com/creack/pty"},
		why: "it reaches hosts and does not know what for: any room may use it without pulling in another",
	},
	{
		room: "remote/store", own: []string{"remote", "fleet"},
		why: "the places of backups are written by an action and read by a source: both know them, neither the other",
	},
	{
		room: "sources", own: []string{"fleet", "remote"},
		why: "the contract must not know the systems that fulfil it, nor what is done about what they say",
	},
	{
		room: "sources/*", own: []string{"sources", "fleet", "remote", "remote/store"},
		why: "a source that knows its sibling, an action or the screen cannot be added or removed as one folder",
	},
	{
		room: "actions", own: []string{"fleet", "remote"},
		why: "what may be done is decided on snapshots; an action that asks a source itself acts on what nobody saw",
	},
	{
		room: "actions/notify", own: []string{"actions", "fleet", "remote"},
		why: "it passes on what the journal has, whatever did it: beside the actions, never in their way",
	},
	{
		room: "actions/verify", own: []string{"actions", "fleet", "remote"},
		why: "it watches what any action has done; if it knew one of them, the others could not use it",
	},
	{
		room: "actions/compose", own: []string{"actions", "fleet", "remote"},
		why: "a mechanism that several actions share must not know any of them",
	},
	{
		room: "actions/*", own: []string{"actions", "actions/compose", "actions/verify", "fleet", "remote", "remote/store"},
		why: "an action that knows its sibling or a source cannot be added or removed as one folder",
	},
	{
		room: "ui", own: []string{"fleet", "sources", "actions"},
		why: "screens show snapshots, offers, plans and events; one that knows a vendor must change with each",
	},
	{
		room: "lab", own: []string{"lab", "fleet", "remote"},
		why: "a world to work against must not share code with what is tried in it, or both are wrong together",
	},
	{
		room: "cmd", own: []string{"cmd", "ui", "sources", "sources/*", "actions", "actions/*", "fleet", "remote", "lab"},
		why: "main assembles; it is the only one that knows them all",
	},
}

// contracts are the tests of a contract, which every folder that fulfils it runs on itself.
var contracts = []string{"sources/sourcestest", "actions/actionstest"}

// keeper is a foreign module that only some rooms may import.
type keeper struct {
	prefixes []string
	rooms    []string
	why      string
}

var keepers = []keeper{
	{
		prefixes: []string{"charm.land/", "github.com/charmbracelet/bubble", "github.com/charmbracelet/lipgloss", "github.com/NimbleMarkets/"},
		rooms:    []string{"ui", "cmd", "lab"},
		why:      "only the screen knows how it is drawn, so that everything also works without one",
	},
	{
		prefixes: []string{"github.com/docker/", "github.com/moby/"},
		rooms:    []string{"sources/docker", "lab"},
		why:      "the Docker client has a successor: moving to it must be one folder",
	},
	{
		prefixes: []string{"github.com/prometheus/client_golang", "github.com/prometheus/prometheus"},
		rooms:    []string{"sources/prometheus", "lab"},
		why:      "a vendor's types stop at the folder that speaks to the vendor",
	},
	{
		prefixes: []string{"github.com/prometheus/common"},
		rooms:    []string{"sources/prometheus", "sources/loki", "lab"},
		why:      "Loki answers in Prometheus' sample types; beyond those two they are a vendor's",
	},
	{
		prefixes: []string{"github.com/minio/"},
		rooms:    []string{"remote/store"},
		why:      "a vendor's types stop at the folder that speaks to the vendor",
	},
	{
		prefixes: []string{"github.com/grafana/"},
		rooms:    nil, // only tests, which hold our own against it
		why:      "any package of Loki links most of it: 20 ms at every start of the program, and 40 MB of binary",
	},
}

func TestImports(t *testing.T) {
	for _, f := range goFiles(t) {
		room, r := ruleOf(f.dir)
		if r == nil {
			t.Errorf("%s: there is no rule for the folder %s", f.name, f.dir)
			continue
		}
		for _, imp := range f.ast.Imports {
			p, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if ours, ok := strings.CutPrefix(p, module); ok {
				checkOwn(t, f, room, r, ours)
			} else if strings.Contains(strings.Split(p, "/")[0], ".") {
				checkForeign(t, f, room, r, p)
			}
		}
	}
}

func checkOwn(t *testing.T, f goFile, room string, r *rule, imported string) {
	t.Helper()
	there, _ := ruleOf(imported)
	switch {
	case there == room:
	case f.test && (there == "lab" || slices.Contains(contracts, there)):
	case slices.ContainsFunc(r.own, func(may string) bool { return covers(may, there) }):
	default:
		t.Errorf("%s: %s may not import %s: %s", f.name, room, imported, r.why)
	}
}

func checkForeign(t *testing.T, f goFile, room string, r *rule, imported string) {
	t.Helper()
	if f.test {
		return // tests may use whatever checks best
	}
	if r.foreign != nil && !slices.ContainsFunc(r.foreign, func(may string) bool { return strings.HasPrefix(imported+"/", may+"/") }) {
		t.Errorf("%s: %s may not import %s: %s", f.name, room, imported, r.why)
	}
	for _, k := range keepers {
		if slices.ContainsFunc(k.prefixes, func(prefix string) bool { return strings.HasPrefix(imported, prefix) }) && !slices.Contains(k.rooms, room) {
			t.Errorf("%s: %s may not import %s, only %s may: %s", f.name, room, imported, strings.Join(k.rooms, ", "), k.why)
		}
	}
}

// ruleOf gives the room that a folder belongs to ("sources/docker" for all below it) and its rule.
func ruleOf(dir string) (string, *rule) {
	parts := strings.Split(dir, "/")
	for n := min(2, len(parts)); n > 0; n-- {
		room := strings.Join(parts[:n], "/")
		for i := range rules {
			if covers(rules[i].room, room) {
				return room, &rules[i]
			}
		}
	}
	return dir, nil
}

func covers(pattern, room string) bool {
	ok, err := path.Match(pattern, room)
	return err == nil && ok
}

// The top of the repository is its table of contents.
func TestTopFolders(t *testing.T) {
	want := []string{"actions", "cmd", "docs", "fleet", "lab", "remote", "sources", "ui"}
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		ignored := strings.HasPrefix(e.Name(), ".") || e.Name() == "bin" || e.Name() == "dist"
		if e.IsDir() && !ignored {
			got = append(got, e.Name())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the top folders are %q, not %q: a new one is a decision about the house, made in docs/architecture.md", got, want)
	}
}

// goFile is one Go file of the repository.
type goFile struct {
	name  string // from the root: "fleet/join.go"
	dir   string
	test  bool
	lines int
	fset  *token.FileSet
	ast   *ast.File
}

// goFiles parses every Go file of the module.
func goFiles(t *testing.T) []goFile {
	t.Helper()
	var out []goFile
	for _, name := range sourceFiles(t) {
		if path.Ext(name) != ".go" {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(root(t), name))
		if err != nil {
			t.Fatal(err)
		}
		fset := token.NewFileSet()
		parsed, err := parser.ParseFile(fset, name, raw, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, goFile{
			name: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"),
			lines: strings.Count(string(raw), "\n"), fset: fset, ast: parsed,
		})
	}
	if len(out) < 20 {
		t.Fatalf("found only %d Go files", len(out))
	}
	return out
}

// sourceFiles lists the files of the module, without what is hidden, built or another module.
func sourceFiles(t *testing.T) []string {
	t.Helper()
	top := root(t)
	var out []string
	err := filepath.WalkDir(top, func(full string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(top, full)
		if err != nil || name == "." {
			return err
		}
		hidden := strings.HasPrefix(e.Name(), ".") && e.Name() != ".ci"
		built := name == "bin" || name == "dist" || e.Name() == "testdata"
		switch {
		case e.IsDir() && (hidden || built || isModule(full)):
			return fs.SkipDir
		case e.Type().IsRegular() && name != ".git": // in a worktree it is a file that says where the folder is
			out = append(out, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for !isModule(dir) {
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal(errors.New("no go.mod above the test"))
		}
		dir = parent
	}
	return dir
}
