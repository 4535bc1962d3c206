package ui

import (
	"bytes"
	"encoding/json"
	"strings"
)

// parsed is a log line as its writer meant it.
type parsed struct {
	level   string // upper case, "" when it does not say
	message string
	fields  []field // the rest, in its own order
}

type field struct{ key, value string }

// maxFields bounds what is read of one line.
const maxFields = 64

// parseLog reads JSON and logfmt; any other line is its own message.
func parseLog(text string) parsed {
	t := strings.TrimSpace(text)
	if strings.HasPrefix(t, "{") {
		if fields, ok := jsonFields(t); ok {
			return fromFields(fields, text)
		}
	}
	if fields, ok := logfmtFields(t); ok {
		return fromFields(fields, text)
	}
	return parsed{message: text}
}

// fromFields takes level and message out of the fields and drops the time, which every line has already.
func fromFields(all []field, text string) parsed {
	var p parsed
	found := false
	for _, f := range all {
		switch strings.ToLower(f.key) {
		case "level", "lvl", "severity", "log.level", "loglevel", "levelname":
			if p.level == "" {
				p.level = levelWord(f.value)
				continue
			}
		case "message", "msg":
			if !found {
				p.message, found = f.value, true
				continue
			}
		case "time", "ts", "timestamp", "@timestamp", "t":
			continue
		}
		p.fields = append(p.fields, f)
	}
	if !found && p.level == "" || p.level == "" && p.message == "" && len(p.fields) == 0 {
		return parsed{message: text} // nothing was understood, or nothing would be left
	}
	return p
}

// levelWord is the usual word of a level.
func levelWord(s string) string {
	switch l := strings.ToUpper(s); l {
	case "WARNING":
		return "WARN"
	case "ERR", "SEVERE":
		return "ERROR"
	case "INFORMATION", "NOTICE":
		return "INFO"
	case "CRITICAL", "EMERGENCY", "ALERT", "PANIC":
		return "FATAL"
	case "10":
		return "TRACE"
	case "20":
		return "DEBUG"
	case "30":
		return "INFO"
	case "40":
		return "WARN"
	case "50":
		return "ERROR"
	case "60":
		return "FATAL"
	default:
		return l
	}
}

// levelToken is how loud a level is.
func levelToken(level string) token {
	switch level {
	case "ERROR", "FATAL":
		return tokCrit
	case "WARN":
		return tokWarn
	case "INFO":
		return tokInfo
	default:
		return tokDim
	}
}

// jsonFields reads the members of one JSON object, nested values as JSON.
func jsonFields(t string) ([]field, bool) {
	d := json.NewDecoder(strings.NewReader(t))
	d.UseNumber()
	if tok, err := d.Token(); err != nil || tok != json.Delim('{') {
		return nil, false
	}
	var out []field
	for d.More() && len(out) < maxFields {
		k, err := d.Token()
		if err != nil {
			return nil, false
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, false
		}
		key, ok := k.(string)
		if !ok {
			return nil, false
		}
		out = append(out, field{key, jsonText(raw)})
	}
	if len(out) < maxFields {
		if tok, err := d.Token(); err != nil || tok != json.Delim('}') {
			return nil, false // cut off: shown as it came
		}
	}
	return out, true
}

func jsonText(raw json.RawMessage) string {
	var s string
	if len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &s) == nil {
		return s
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) == nil {
		return b.String()
	}
	return string(raw)
}

// logfmtFields reads key=value pairs. A line counts as logfmt when it starts
// with a pair and has at least two.
func logfmtFields(t string) ([]field, bool) {
	var out []field
	for t != "" && len(out) < maxFields {
		eq := strings.IndexByte(t, '=')
		if eq <= 0 || !isKey(t[:eq]) {
			return nil, false
		}
		key := t[:eq]
		value, rest, ok := logfmtValue(t[eq+1:])
		if !ok {
			return nil, false
		}
		out = append(out, field{key, value})
		t = strings.TrimLeft(rest, " ")
	}
	return out, len(out) >= 2
}

func isKey(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-' || c == '@' || c == '/'
		if !ok {
			return false
		}
	}
	return true
}

func logfmtValue(t string) (value, rest string, ok bool) {
	if !strings.HasPrefix(t, `"`) {
		if i := strings.IndexByte(t, ' '); i >= 0 {
			return t[:i], t[i:], true
		}
		return t, "", true
	}
	var b strings.Builder
	for i := 1; i < len(t); i++ {
		switch c := t[i]; {
		case c == '"':
			return b.String(), t[i+1:], true
		case c == '\\' && i+1 < len(t):
			i++
			b.WriteByte(unescaped(t[i]))
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}

func unescaped(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 't':
		return '\t'
	default:
		return c
	}
}
