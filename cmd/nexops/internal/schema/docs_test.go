package schema

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// TestDocs compares docs/schema.md with the documents, in both directions: every key is
// in the table of its type, with its type in the table's words, and no table has another.
func TestDocs(t *testing.T) {
	tables := readTables(t, "../../../../docs/schema.md")
	types := map[string]reflect.Type{}
	for _, doc := range []any{Status{}, Plan{}, Journal{}} {
		collect(t, types, reflect.TypeOf(doc))
	}
	if len(types) < 20 {
		t.Fatalf("found only %d types: %v", len(types), slices.Sorted(maps.Keys(types)))
	}
	for name, typ := range types {
		table, ok := tables[name]
		if !ok {
			t.Errorf("there is no section %q", name)
			continue
		}
		for _, field := range reflect.VisibleFields(typ) {
			if field.Anonymous {
				continue // its fields stand among the others, in the file as well
			}
			key, option, _ := strings.Cut(field.Tag.Get("json"), ",")
			want := words(field.Type)
			if option == "omitempty" {
				want = strings.TrimSuffix(want, " or null") + ", may be absent"
			}
			if got, ok := table[key]; !ok {
				t.Errorf("%s has no %q", name, key)
			} else if got != want {
				t.Errorf("%s: %q is %q, not %q", name, key, want, got)
			}
			delete(table, key)
		}
		for key := range table {
			t.Errorf("%s: there is no %q any more", name, key)
		}
	}
}

// collect finds the struct types of a document. Two of one name could not be told apart.
func collect(t *testing.T, into map[string]reflect.Type, typ reflect.Type) {
	t.Helper()
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[time.Time]() || into[typ.Name()] == typ {
		return
	}
	if other, ok := into[typ.Name()]; ok {
		t.Fatalf("%s and %s have one name", typ, other)
	}
	into[typ.Name()] = typ
	for _, field := range reflect.VisibleFields(typ) {
		if !field.Anonymous {
			collect(t, into, field.Type)
		}
	}
}

// words is a type as the tables write it.
func words(typ reflect.Type) string {
	switch {
	case typ == reflect.TypeFor[time.Time]():
		return "time"
	case typ.Kind() == reflect.Pointer:
		return words(typ.Elem()) + " or null"
	case typ.Kind() == reflect.Slice:
		return "list of " + words(typ.Elem())
	case typ.Kind() == reflect.Map:
		return "object of " + words(typ.Elem())
	case typ.Kind() == reflect.Struct:
		return typ.Name()
	case typ.Kind() == reflect.String:
		return "string"
	case typ.Kind() == reflect.Bool:
		return "boolean"
	case typ.Kind() == reflect.Float64:
		return "number"
	default:
		return "integer"
	}
}

var (
	keyCell = regexp.MustCompile("`([a-z0-9_]+)`")
	link    = regexp.MustCompile(`\[([A-Za-z]+)\]\(#([a-z]+)\)`)
)

// readTables reads, of every section "### Name", the first table: key to type.
func readTables(t *testing.T, path string) map[string]map[string]string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]string{}
	var table map[string]string
	for line := range strings.Lines(string(raw)) {
		if name, ok := strings.CutPrefix(line, "### "); ok {
			table = map[string]string{}
			out[strings.TrimSpace(name)] = table
			continue
		}
		cells := strings.Split(line, "|")
		if table == nil || len(cells) != 5 { // "", key, type, meaning, ""
			if strings.TrimSpace(line) == "" && len(table) > 0 {
				table = nil // what follows in the section are other tables
			}
			continue
		}
		for _, m := range link.FindAllStringSubmatch(cells[2], -1) {
			if !strings.EqualFold(m[1], m[2]) {
				t.Errorf("%s leads to #%s", m[1], m[2])
			}
		}
		for _, m := range keyCell.FindAllStringSubmatch(cells[1], -1) {
			if _, ok := table[m[1]]; ok {
				t.Errorf("%q is there twice: %s", m[1], line)
			}
			table[m[1]] = link.ReplaceAllString(strings.TrimSpace(cells[2]), "$1")
		}
	}
	return out
}

// TestDocsNameEveryReason: whoever reads the JSON finds what a code means.
func TestDocsNameEveryReason(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/schema.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range fleet.ReasonCodes() {
		if !strings.Contains(string(text), "`"+code+"`") {
			t.Errorf("docs/schema.md does not say what %s means", code)
		}
	}
}
