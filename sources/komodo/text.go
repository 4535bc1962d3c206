package komodo

import (
	"html"
	"regexp"
	"strings"

	"github.com/nexgate-hq/nexops/sources"
)

// Bounds of what is taken of foreign texts.
const (
	maxLine = 400
	maxText = 64 << 10 // of one file or one resource
	maxLog  = 256 << 10
)

//nolint:gochecknoglobals // patterns, never assigned to
var (
	tags = regexp.MustCompile(`(?i)</?(?:span|b|i|br|div|p|code|pre)(?:\s[^<>]*)?/?>`)
	ansi = regexp.MustCompile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[@-Z\\\\-_])")
	// secretLine is "token = abc", "DB_PASSWORD: abc", "- DB_PASSWORD=abc" and the like in TOML, YAML and env files.
	secretLine = regexp.MustCompile(`(?i)^(\s*(?:-\s+|export\s+)*["']?(?:[\w.-]*)(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?|authorization|signature|salt|webhook)[\w.-]*["']?\s*[=:]\s*)(\S.*)$`)
	// secretURL is a password within a URL.
	secretURL = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@]*):[^\s/@]+@`)
)

const redacted = "[redacted]"

// strip takes the markup of Komodo's web interface and a terminal's colours out of a text.
func strip(text string) string {
	text = ansi.ReplaceAllString(text, "")
	text = tags.ReplaceAllString(text, "")
	return html.UnescapeString(text)
}

// line is foreign text for one line on a screen.
func line(text string) string { return sources.OneLine(strip(text), maxLine) }

// lines are the lines of a log, for people.
func lines(text string) []string {
	text = strip(text)
	if len(text) > maxLog {
		text = text[len(text)-maxLog:]
	}
	var out []string
	for l := range strings.SplitSeq(text, "\n") {
		// A progress bar writes over its own line: what stands last is what is seen.
		l = strings.TrimRight(l, "\r")
		l = l[strings.LastIndexByte(l, '\r')+1:]
		if l = sources.OneLine(l, maxLine); l != "" {
			out = append(out, hide(l))
		}
	}
	return out
}

// hide takes the value of a secret out of one line, by the name of its key.
func hide(l string) string {
	if m := secretLine.FindStringSubmatch(l); m != nil && !numeric(m[2]) {
		return m[1] + redacted
	}
	return secretURL.ReplaceAllString(l, "${1}:"+redacted+"@")
}

// numeric is a value that can be no secret: true, false, a small number.
func numeric(v string) bool {
	v = strings.TrimSuffix(strings.TrimSpace(v), ",")
	if strings.HasPrefix(v, `"`) && strings.HasSuffix(v, `"`) && len(v) > 1 && !strings.HasPrefix(v, `"""`) {
		v = v[1 : len(v)-1]
	}
	return v == "true" || v == "false" || v == "" || len(v) < 4 && strings.Trim(v, "0123456789") == ""
}

// clean makes a file or a resource fit to be shown line by line: bounded, no control characters, secrets redacted.
// What a key says over several lines goes as a whole.
func clean(text string) string {
	if len(text) > maxText {
		text = text[:maxText] + "\n... the rest is too long to be shown"
	}
	var out []string
	variable := false
	var in *block
	for l := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		plain := printable(l)
		if in != nil {
			if !in.ends(plain) {
				continue
			}
			with := in.with
			in = nil
			if with {
				continue
			}
		}
		trimmed := strings.TrimSpace(plain)
		if strings.HasPrefix(trimmed, "[") {
			variable = strings.HasPrefix(trimmed, "[[variable]]")
		}
		shown := hide(plain)
		if variable && strings.HasPrefix(trimmed, "value") {
			key, _, _ := strings.Cut(plain, "=")
			shown = key + "= " + redacted // any variable may be a secret: its name does not say
		}
		if strings.HasSuffix(shown, redacted) {
			in = lasting(plain)
		}
		out = append(out, shown)
	}
	return strings.Join(out, "\n")
}

// block is the rest of a secret whose value goes on over several lines.
type block struct {
	ends func(l string) bool // with this line
	with bool                // which is of the value itself
}

// lasting says of the first line of a secret whether its value goes on: TOML's triple quotes and lists, YAML's blocks.
func lasting(l string) *block {
	for _, quote := range []string{`"""`, "'''"} {
		if strings.Count(l, quote)%2 == 1 {
			return &block{func(l string) bool { return strings.Contains(l, quote) }, true}
		}
	}
	value := strings.TrimSpace(l[strings.IndexAny(l, "=:")+1:])
	depth := func(l string) int { return len(l) - len(strings.TrimLeft(l, " ")) }
	switch indent := depth(l); {
	case strings.HasPrefix(value, "|") || strings.HasPrefix(value, ">"):
		return &block{func(l string) bool { return strings.TrimSpace(l) != "" && depth(l) <= indent }, false}
	case strings.HasPrefix(value, "[") && !strings.Contains(value, "]"):
		return &block{func(l string) bool { return strings.Contains(l, "]") }, true}
	}
	return nil
}

func printable(l string) string {
	l = strings.ReplaceAll(strip(l), "\t", "    ")
	indent := len(l) - len(strings.TrimLeft(l, " "))
	return l[:min(indent, maxLine)] + sources.OneLine(l, maxLine)
}
