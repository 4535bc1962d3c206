package config

import (
	"fmt"
	"reflect"
	"sort"
	"strings"
)

// Mistake is one thing that is wrong in the file, and where.
type Mistake struct {
	File   string
	Line   int
	Column int
	Key    string // "sources[1].url"; "" when it is not about a key
	Text   string // what is wrong and what is allowed
}

// Error is the mistake in the form editors understand: file:line:column: text.
func (m Mistake) Error() string {
	text := m.Text
	if m.Key != "" {
		text = m.Key + ": " + text
	}
	return fmt.Sprintf("%s:%d:%d: %s", m.File, m.Line, m.Column, text)
}

// Mistakes are all that is wrong, in the order of the file.
type Mistakes []Mistake

// Error lists every mistake, one a line.
func (ms Mistakes) Error() string {
	lines := make([]string, len(ms))
	for i, m := range ms {
		lines[i] = m.Error()
	}
	return strings.Join(lines, "\n")
}

func (ms Mistakes) sorted(file string) Mistakes {
	for i := range ms {
		ms[i].File = file
	}
	sort.SliceStable(ms, func(a, b int) bool {
		if ms[a].Line != ms[b].Line {
			return ms[a].Line < ms[b].Line
		}
		return ms[a].Column < ms[b].Column
	})
	return ms
}

// choose words a wrong name: the nearest right one, and all that are allowed.
func choose(wrong string, allowed []string) string {
	allowed = append([]string(nil), allowed...)
	sort.Strings(allowed)
	switch near := nearest(wrong, allowed); {
	case len(allowed) == 0:
		return "; there is none to choose from"
	case near != "":
		return fmt.Sprintf("; did you mean %q? allowed: %s", near, strings.Join(allowed, ", "))
	default:
		return "; allowed: " + strings.Join(allowed, ", ")
	}
}

// nearest is the allowed name that differs least, if it differs little.
func nearest(wrong string, allowed []string) string {
	best, bestDistance := "", len(wrong)/2+1
	for _, a := range allowed {
		if d := distance(strings.ToLower(wrong), strings.ToLower(a)); d < bestDistance {
			best, bestDistance = a, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, replace or swap between neighbours.
func distance(a, b string) int {
	prev2, prev := []int(nil), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur := make([]int, len(b)+1)
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev = prev, cur
	}
	return prev[len(b)]
}

// keysOf lists the toml keys of the struct that a key path leads to.
func keysOf(t reflect.Type, path []string) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Map, reflect.Slice:
		if len(path) == 0 {
			return nil
		}
		return keysOf(t.Elem(), path[1:])
	case reflect.Struct:
	default:
		return nil
	}
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if name := tomlName(f); name != "" {
			if len(path) > 0 && strings.EqualFold(name, path[0]) {
				return keysOf(f.Type, path[1:])
			}
			names = append(names, name)
		}
	}
	return names
}

func tomlName(f reflect.StructField) string {
	if !f.IsExported() || f.Anonymous {
		return ""
	}
	name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
	if name == "-" {
		return ""
	}
	if name == "" {
		return f.Name
	}
	return name
}
