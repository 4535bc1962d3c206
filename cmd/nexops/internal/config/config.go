// Package config reads the one file that describes an estate, and finds every mistake in it.
package config

import (
	"fmt"
	"reflect"
	"sort"
	"strings"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// File is the part of the file that is the same for every estate. [[sources]] and
// [actions.*] are decoded by the folders that own them.
type File struct {
	DefaultEnv string                   `toml:"default_env"`
	Env        map[string]Environment   `toml:"env"`
	Hosts      map[string]remote.Config `toml:"hosts"`
	Join       Join                     `toml:"join"`
	UI         UI                       `toml:"ui"`
}

// Environment is one [env.NAME] table.
type Environment struct {
	Hosts    []string        `toml:"hosts"`
	Confirm  actions.Confirm `toml:"confirm"`
	ReadOnly bool            `toml:"read_only"`
	// AutoRollback takes a change that turns out badly back without asking: [actions.verify.auto_rollback] says on what.
	AutoRollback bool `toml:"auto_rollback"`
	// Order of services, in which several at once are acted on.
	Order []string `toml:"order"`
	// ConfirmActions are single actions' own, by their name, in the place of Confirm.
	ConfirmActions map[string]actions.Confirm `toml:"confirm_actions"`
}

// UI is the [ui] table.
type UI struct {
	Theme    string `toml:"theme"`
	Mouse    bool   `toml:"mouse"`
	LogLines int    `toml:"log_lines"`
	UTC      bool   `toml:"utc"`
}

// Source is one [[sources]] table, decoded by its kind.
type Source struct {
	Kind   string
	Name   string
	Config sources.Config
}

// Config is a whole file without mistakes.
type Config struct {
	File
	Path    string
	Sources []Source
	Actions map[string]any // table name to what Kinds.Actions made, filled in
}

// Kinds are what a file may name.
type Kinds struct {
	Sources []sources.Kind
	// Actions maps the name of an [actions.NAME] table to what makes its config with
	// defaults: a pointer to a struct. One with Validate() []error is validated.
	Actions map[string]func() any
	// ActionNames are the actions themselves: those of Actions that are no table of the engine's own.
	ActionNames []string
}

func defaults() File {
	return File{UI: UI{Theme: "auto", Mouse: true, LogLines: 50_000, UTC: true}}
}

// Load reads a file's text. The error is Mistakes with all of them.
func Load(path string, text []byte, kinds Kinds) (*Config, error) {
	doc, syntax := parse(text)
	if syntax != nil {
		return nil, Mistakes{*syntax}.sorted(path)
	}
	l := loader{doc: doc, kinds: kinds, cfg: &Config{File: defaults(), Path: path, Actions: map[string]any{}}}
	l.main()
	l.sources()
	l.actions()
	l.check()
	if len(l.mistakes) > 0 {
		return nil, l.mistakes.sorted(path)
	}
	return l.cfg, nil
}

type loader struct {
	doc      *document
	kinds    Kinds
	cfg      *Config
	mistakes Mistakes
}

func (l *loader) add(key, format string, args ...any) {
	at := l.doc.find(key)
	l.mistakes = append(l.mistakes, Mistake{Line: at.line, Column: at.column, Key: key, Text: fmt.Sprintf(format, args...)})
}

// main decodes everything that is neither [[sources]] nor [actions.*].
func (l *loader) main() {
	own := func(line int) bool {
		for _, s := range l.doc.sections {
			if line >= s.first && line <= s.last {
				return s.path[0] != "sources" && s.path[0] != "actions"
			}
		}
		return true
	}
	l.mistakes = append(l.mistakes, l.doc.decode(l.doc.only(own), &l.cfg.File, "", "")...)
	for _, key := range []string{"sources", "actions"} {
		if _, inline := l.doc.keys[key]; inline && !l.hasSection(key) {
			l.add(key, "write it as tables: [[sources]], [actions.redeploy]")
		}
	}
}

func (l *loader) hasSection(name string) bool {
	for _, s := range l.doc.sections {
		if s.path[0] == name {
			return true
		}
	}
	return false
}

func (l *loader) sources() {
	n := -1
	for _, s := range l.doc.sections {
		if s.path[0] != "sources" || len(s.path) > 1 {
			continue
		}
		n++
		if s.index < 0 {
			l.add("sources", "write [[sources]], with double brackets: there may be several")
			return
		}
		l.source(n)
	}
}

func (l *loader) source(n int) {
	base := fmt.Sprintf("sources[%d]", n)
	name, found := l.doc.values[base+".kind"]
	if !found {
		l.add(base, "kind is missing%s", choose("", l.kindNames()))
		return
	}
	kind, ok := l.kind(name)
	if !ok {
		l.add(base+".kind", "unknown kind %q%s", name, choose(name, l.kindNames()))
		return
	}
	text := l.doc.element("sources", n)
	text = l.without(text, base+".kind", base+".name")
	holder := wrap("sources", kind.NewConfig())
	found2 := l.doc.decode(text, holder, base, "sources")
	l.mistakes = append(l.mistakes, found2...)
	cfg, _ := unwrap(holder).(sources.Config)
	src := Source{Kind: name, Name: l.doc.values[base+".name"], Config: cfg}
	if src.Name == "" {
		src.Name = name
	}
	l.cfg.Sources = append(l.cfg.Sources, src)
	if len(found2) == 0 {
		l.validate(base, cfg.Validate())
	}
}

// without blanks the lines of keys that are read already.
func (l *loader) without(text []byte, keys ...string) []byte {
	for _, key := range keys {
		if at, ok := l.doc.keys[key]; ok {
			if blanked, changed := l.doc.blank(text, at.line); changed {
				text = blanked
			}
		}
	}
	return text
}

func (l *loader) kind(name string) (sources.Kind, bool) {
	for _, k := range l.kinds.Sources {
		if k.Name == name {
			return k, true
		}
	}
	return sources.Kind{}, false
}

func (l *loader) kindNames() []string {
	var names []string
	for _, k := range l.kinds.Sources {
		names = append(names, k.Name)
	}
	return names
}

func (l *loader) actions() {
	seen := map[string]bool{}
	for _, s := range l.doc.sections {
		if s.path[0] != "actions" {
			continue
		}
		if len(s.path) == 1 {
			l.add("actions", "write one table an action: [actions.redeploy]")
			continue
		}
		name := s.path[1]
		if seen[name] {
			continue
		}
		seen[name] = true
		if l.kinds.Actions[name] == nil {
			l.add("actions."+name, "unknown action%s", choose(name, l.actionNames()))
		}
	}
	for _, name := range l.actionNames() {
		l.action(name)
	}
}

func (l *loader) actionNames() []string {
	var names []string
	for name := range l.kinds.Actions {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func (l *loader) action(name string) {
	text := l.doc.only(func(line int) bool {
		for _, s := range l.doc.sections {
			if line >= s.first && line <= s.last {
				return len(s.path) > 1 && s.path[0] == "actions" && s.path[1] == name
			}
		}
		return false
	})
	inner := wrap(name, l.kinds.Actions[name]())
	outer := wrap("actions", inner)
	found := l.doc.decode(text, outer, "", "")
	l.mistakes = append(l.mistakes, found...)
	cfg := unwrap(unwrap(outer))
	l.cfg.Actions[name] = cfg
	if v, ok := cfg.(interface{ Validate() []error }); ok && len(found) == 0 {
		l.validate("actions."+name, v.Validate())
	}
}

// validate places what a part of the file says of itself: "url: ..." at that part's url.
func (l *loader) validate(base string, errs []error) {
	for _, err := range errs {
		key, text, ok := strings.Cut(err.Error(), ": ")
		if !ok || strings.ContainsAny(key, " \t") {
			key, text = "", err.Error()
		}
		path := base
		if key != "" {
			path = base + "." + key
		}
		l.add(path, "%s", text)
	}
}

func names[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// isNil tells a typed nil pointer from a config that is there.
func isNil(v any) bool {
	return v == nil || (reflect.ValueOf(v).Kind() == reflect.Pointer && reflect.ValueOf(v).IsNil())
}
