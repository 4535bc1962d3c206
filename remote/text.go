package remote

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxForeign bounds foreign text inside an error: an error is one line on a screen.
const maxForeign = 300

// Clean makes foreign text fit for an error or a line on a screen: one line,
// without control characters or the characters that reorder text, and bounded.
func Clean(s string) string { return CleanTo(s, maxForeign) }

// CleanTo is Clean with a bound of its own, in bytes.
func CleanTo(s string, limit int) string {
	var b strings.Builder
	space := false
	for _, r := range s {
		switch {
		case r == '\n' || r == '\r' || r == '\t' || r == ' ':
			space = b.Len() > 0
			continue
		case r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			r = '\uFFFD'
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		if b.Len()+utf8.RuneLen(r) > limit {
			b.WriteString("…")
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
