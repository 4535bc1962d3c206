package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"gopkg.in/yaml.v3"
)

// Format is how a document is printed.
type Format string

// The formats. A table is printed by whoever knows its columns.
const (
	FormatTable Format = "table"
	FormatJSON  Format = "json"
	FormatYAML  Format = "yaml"
)

// Formats are all of them, for messages and completion.
func Formats() []string {
	return []string{string(FormatTable), string(FormatJSON), string(FormatYAML)}
}

// Write prints a document as JSON or YAML. Both have the same keys in the same order.
func Write(w io.Writer, f Format, doc any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("print %s: %w", f, err)
	}
	out := buf.Bytes()
	if f == FormatYAML {
		var err error
		if out, err = toYAML(out); err != nil {
			return fmt.Errorf("print yaml: %w", err)
		}
	}
	if _, err := w.Write(out); err != nil {
		return fmt.Errorf("print %s: %w", f, err)
	}
	return nil
}

// toYAML rewrites JSON, which is YAML already, in YAML's block style.
func toYAML(text []byte) ([]byte, error) {
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		return nil, fmt.Errorf("read back: %w", err)
	}
	block(&node)
	out, err := yaml.Marshal(&node)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return out, nil
}

// block drops JSON's braces and quotes where YAML does not need them.
func block(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!str" {
		n.Style = 0
	}
	for _, c := range n.Content {
		block(c)
	}
}
