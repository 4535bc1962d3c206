package loki

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// entry is a line on its way through a pipeline.
type entry struct {
	at     time.Time
	text   string
	stream labels.Labels
	extra  map[string]string // of this line alone: structured metadata, and what was parsed out of it
}

func (e *entry) label(name string) string {
	if v, ok := e.extra[name]; ok {
		return v
	}
	return e.stream.Get(name)
}

// labels are the stream's and the line's.
func (e *entry) labels() labels.Labels {
	b := labels.NewBuilder(e.stream)
	for name, value := range e.extra {
		b.Set(name, value)
	}
	return b.Labels()
}

// found adds a label that was parsed out of the line; one that the stream has as well gets another name.
func (e *entry) found(name, value string) {
	name = labelName(name)
	if name == "" {
		return
	}
	if e.stream.Has(name) || name == detectedLevel {
		name += "_extracted"
	}
	if _, again := e.extra[name]; !again {
		e.extra[name] = value
	}
}

func labelName(text string) string {
	out := []byte(text)
	for i, c := range out {
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			out[i] = '_'
		}
	}
	if len(out) > 0 && out[0] >= '0' && out[0] <= '9' {
		return "_" + string(out)
	}
	return string(out)
}

// errorLabel marks a line that a parser could not read.
const errorLabel = "__error__"

func parseJSON(e *entry) bool {
	var fields map[string]any
	d := json.NewDecoder(strings.NewReader(e.text))
	d.UseNumber()
	if d.Decode(&fields) != nil {
		e.extra[errorLabel], e.extra["__error_details__"] = "JSONParserErr", "Value looks like object, but can't find closing '}' symbol"
		return true
	}
	e.fields("", fields)
	return true
}

func (e *entry) fields(prefix string, fields map[string]any) {
	for name, v := range fields {
		name = prefix + name
		switch v := v.(type) {
		case map[string]any:
			e.fields(name+"_", v)
		case string:
			e.found(name, v)
		case json.Number:
			e.found(name, v.String())
		case bool:
			e.found(name, strconv.FormatBool(v))
		}
	}
}

func parseLogfmt(e *entry) bool {
	for rest := strings.TrimSpace(e.text); rest != ""; rest = strings.TrimLeft(rest, " \t") {
		n := strings.IndexAny(rest, "= \t")
		if n < 0 || rest[n] != '=' { // a bare word
			_, rest, _ = strings.Cut(rest, " ")
			continue
		}
		name := rest[:n]
		rest = rest[n+1:]
		value := rest
		if raw, err := strconv.QuotedPrefix(rest); err == nil {
			value, _ = strconv.Unquote(raw)
			rest = rest[len(raw):]
		} else if end := strings.IndexAny(rest, " \t"); end >= 0 {
			value, rest = rest[:end], rest[end:]
		} else {
			rest = ""
		}
		if value != "" {
			e.found(name, value)
		}
	}
	return true
}
