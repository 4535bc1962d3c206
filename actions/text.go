package actions

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLine bounds one line of output on record and on the screen.
const maxLine = 4096

// plain takes control characters and broken UTF-8 out of a line from outside, and bounds it.
func plain(s string) string { return bounded(printable(s)) }

// printable takes control characters and broken UTF-8 out of a text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == utf8.RuneError, unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return -1
		default:
			return r
		}
	}, s)
}

// bounded cuts a text that is too long for a line.
func bounded(s string) string {
	if len(s) > maxLine {
		cut := maxLine
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return s
}

// oneLine makes one short line of what a program said.
func oneLine(s string) string {
	s = plain(strings.Join(strings.Fields(s), " "))
	const longest = 300
	if len(s) > longest {
		cut := longest
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return s
}
