package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// position is a place in the file, counted from 1.
type position struct{ line, column int }

// section is a stretch of whole lines that belong to one table header, or to the top of the file.
type section struct {
	path  []string // of the header: ["sources"], ["actions", "redeploy"]
	index int      // of an array table: which element of its path; -1 otherwise
	first int      // first line, from 1
	last  int      // last line, inclusive
}

// document is the file with an index of where each key stands.
type document struct {
	text     []byte
	lines    int
	sections []section
	keys     map[string]position // "env.prod.hosts", "sources[1].url"
	values   map[string]string   // the same for plain string values: all that is needed to tell kinds apart
}

// parse reads the file's structure. A syntax error ends it.
func parse(text []byte) (*document, *Mistake) {
	d := &document{
		text: text, lines: bytes.Count(text, []byte("\n")) + 1,
		keys: map[string]position{}, values: map[string]string{},
	}
	// The parser is lenient about meaning (a key given twice); the decoder is not, and knows where.
	var probe map[string]any
	if err := toml.Unmarshal(text, &probe); err != nil {
		return nil, syntaxMistake(err)
	}
	var p unstable.Parser
	p.Reset(text)
	w := walker{doc: d, parser: &p, arrays: map[string]int{}}
	for p.NextExpression() {
		w.expression(p.Expression())
	}
	w.close(d.lines)
	return d, nil
}

func syntaxMistake(err error) *Mistake {
	var de *toml.DecodeError
	if errors.As(err, &de) {
		row, col := de.Position()
		return &Mistake{Line: row, Column: col, Text: strings.TrimPrefix(de.Error(), "toml: ")}
	}
	return &Mistake{Line: 1, Column: 1, Text: err.Error()}
}

// walker fills the index of a document, one expression after the other.
type walker struct {
	doc    *document
	parser *unstable.Parser
	arrays map[string]int // path of an array table to the index of its newest element
	open   *section
	prefix string // path of the open table, array elements with their index
}

func (w *walker) expression(n *unstable.Node) {
	switch n.Kind {
	case unstable.Table, unstable.ArrayTable:
		path, at := w.key(n)
		index := -1
		if n.Kind == unstable.ArrayTable {
			joined := strings.Join(path, ".")
			if last, seen := w.arrays[joined]; seen {
				index = last + 1
			} else {
				index = 0
			}
			w.arrays[joined] = index
		}
		w.close(at.line - 1)
		w.open = &section{path: path, index: index, first: at.line}
		w.prefix = w.indexed(path)
		w.doc.keys[w.prefix] = at
	case unstable.KeyValue:
		path, at := w.key(n)
		full := join(w.prefix, strings.Join(path, "."))
		w.doc.keys[full] = at
		if v := n.Value(); v != nil && v.Kind == unstable.String {
			w.doc.values[full] = string(v.Data)
		}
	default: // comments
	}
}

// key gives the parts of an expression's key and where it begins.
func (w *walker) key(n *unstable.Node) ([]string, position) {
	var path []string
	var at position
	for it := n.Key(); it.Next(); {
		node := it.Node()
		if len(path) == 0 {
			s := w.parser.Shape(node.Raw).Start
			at = position{s.Line, s.Column}
		}
		path = append(path, string(node.Data))
	}
	return path, at
}

// indexed writes a table's path with the index of each array it lies in.
func (w *walker) indexed(path []string) string {
	out := ""
	for i, part := range path {
		out = join(out, part)
		if n, is := w.arrays[strings.Join(path[:i+1], ".")]; is {
			out = fmt.Sprintf("%s[%d]", out, n)
		}
	}
	return out
}

func (w *walker) close(last int) {
	if w.open != nil {
		w.open.last = last
		w.doc.sections = append(w.doc.sections, *w.open)
		w.open = nil
	}
}

func join(prefix, key string) string {
	if prefix == "" {
		return key
	}
	return prefix + "." + key
}

// find gives the place of a key, or of the nearest table or key around it.
func (d *document) find(path string) position {
	for path != "" {
		if at, ok := d.keys[path]; ok {
			return at
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			break
		}
		path = path[:i]
	}
	return position{1, 1}
}

// only gives the file with every line blanked but those that keep chooses, so that
// what is decoded from it has the positions of the whole file.
func (d *document) only(keep func(line int) bool) []byte {
	out := make([]byte, 0, len(d.text))
	for i, line := range bytes.Split(d.text, []byte("\n")) {
		if i > 0 {
			out = append(out, '\n')
		}
		if keep(i + 1) {
			out = append(out, line...)
		}
	}
	return out
}

// element gives the lines of one array element with its sub-tables, its header
// turned from [[name]] into a plain table of the same width.
func (d *document) element(name string, index int) []byte {
	from, to := 0, 0
	at := -1
	for _, s := range d.sections {
		if s.path[0] != name {
			continue
		}
		if len(s.path) == 1 {
			at++
		}
		if at == index {
			if from == 0 {
				from = s.first
			}
			to = s.last
		}
	}
	text := d.only(func(line int) bool { return line >= from && line <= to })
	return bytes.Replace(text, []byte("[["+name+"]]"), []byte("[ "+name+" ]"), 1)
}
