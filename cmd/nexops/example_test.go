package main

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/cmd/nexops/internal/config"
)

// TestExampleConfigLoads holds the promise that the example is complete and always loads.
func TestExampleConfigLoads(t *testing.T) {
	const path = "../../config.example.toml"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path, text, kinds().Config())
	if err != nil {
		t.Fatalf("the example has mistakes:\n%v", err)
	}
	used := map[string]bool{}
	for _, s := range cfg.Sources {
		used[s.Kind] = true
	}
	for _, k := range kinds().Sources {
		if !used[k.Name] {
			t.Errorf("the example does not show a %s source", k.Name)
		}
	}
}

// TestExampleNamesEveryKey holds the promise that the example is complete: every key that a config may
// hold is named in it, commented or not, below the table it belongs to.
func TestExampleNamesEveryKey(t *testing.T) {
	text, err := os.ReadFile("../../config.example.toml")
	if err != nil {
		t.Fatal(err)
	}
	named := keysInExample(string(text))
	check := func(table string, keys map[string]bool) {
		if table == "join.services.*" {
			table = "join.thresholds" // the same keys
		}
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if !named[table][key] {
				t.Errorf("the example does not name %s below %s", key, table)
			}
		}
	}
	for table, keys := range tomlKeys(reflect.TypeFor[config.File](), "") {
		check(table, keys)
	}
	for _, k := range kinds().Sources {
		for table, keys := range tomlKeys(reflect.TypeOf(k.NewConfig()), "sources:"+k.Name) {
			check(table, keys)
		}
	}
	for name, makeConfig := range kinds().Config().Actions {
		for table, keys := range tomlKeys(reflect.TypeOf(makeConfig()), "actions."+name) {
			check(table, keys)
		}
	}
}

// anyName stands for a name that the person chooses: [hosts.NAME].
const anyName = "*"

// tomlKeys gives the keys of a struct and of the tables below it, by table.
func tomlKeys(t reflect.Type, table string) map[string]map[string]bool {
	out := map[string]map[string]bool{}
	var walk func(t reflect.Type, table string)
	walk = func(t reflect.Type, table string) {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
			if name == "" || name == "-" {
				continue
			}
			below, inner := strings.TrimPrefix(table+"."+name, "."), f.Type
			for inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			switch {
			case inner.Kind() == reflect.Map && structOf(inner.Elem()) != nil:
				walk(structOf(inner.Elem()), below+"."+anyName)
				continue
			case inner.Kind() == reflect.Slice && inner.Elem().Kind() == reflect.Struct: // [[name]]
				walk(inner.Elem(), below)
				continue
			case inner.Kind() == reflect.Map:
				name = anyName // any key may stand in it: the table itself has to be there
			case inner.Kind() == reflect.Struct:
				walk(inner, below)
				continue
			default:
				below = table
			}
			if out[below] == nil {
				out[below] = map[string]bool{}
			}
			out[below][name] = true
		}
	}
	walk(t, table)
	return out
}

var (
	exampleTable = regexp.MustCompile(`^(?:# ?)?\[\[?([\w.*-]+)\]\]?`)
	exampleKey   = regexp.MustCompile(`^(?:# ?)?([\w-]+)\s*=`)
	exampleKind  = regexp.MustCompile(`^kind\s*=\s*"(\w+)"`)
)

// structOf gives the struct that a type is, or points to; nil when it is none.
func structOf(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return t
}

// keysInExample gives the keys of the example, commented or not, by table. A table of a source is
// "sources:docker.sockets"; names that a person chooses are anyName as well.
func keysInExample(text string) map[string]map[string]bool {
	out := map[string]map[string]bool{}
	table, kind := "", ""
	note := func(table, key string) {
		if out[table] == nil {
			out[table] = map[string]bool{}
		}
		out[table][key], out[table][anyName] = true, true
	}
	for line := range strings.Lines(text) {
		if m := exampleTable.FindStringSubmatch(line); m != nil {
			table = m[1]
			if table == "sources" {
				kind = ""
			}
			continue
		}
		if m := exampleKind.FindStringSubmatch(line); m != nil {
			kind = m[1]
		}
		m := exampleKey.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		at := table
		if rest, ok := strings.CutPrefix(table, "sources"); ok {
			at = "sources:" + kind + rest
		}
		note(at, m[1])
		parts := strings.Split(at, ".")
		for i := 1; i < len(parts); i++ {
			general := slices.Clone(parts)
			general[i] = anyName
			note(strings.Join(general, "."), m[1])
		}
	}
	return out
}
