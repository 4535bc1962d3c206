package ui

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// tabStop is the distance of tab stops in foreign text.
const tabStop = 8

// Sanitize makes one line of foreign text safe to print. Colour sequences (SGR)
// are dropped, every other control character is made visible instead of being
// sent, tabs become spaces, and what the terminal and the console could measure
// differently (joiners, variation selectors, marks without end) is removed. The
// result has no control character, and sanitising it again changes nothing.
func Sanitize(s string) string {
	if _, ok := plainWidth(s); ok {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	col, marks := 0, 0
	for i := 0; i < len(s); {
		if n := sgrLen(s[i:]); n > 0 {
			i += n
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		if r == '\r' && (i == len(s) || s[i:] == "\n") {
			continue // the end of a line that was written on another system
		}
		if r == '\n' && i == len(s) {
			continue
		}
		out := visible(r, col)
		if unicode.In(r, unicode.Mn, unicode.Me) {
			if marks++; marks > 3 || col == 0 {
				continue
			}
		} else if out != "" {
			marks = 0
		}
		b.WriteString(out)
		col += utf8.RuneCountInString(out)
	}
	return b.String()
}

// isPlain reports whether the text is printable ASCII only.
func isPlain(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// plainWidth is the width of a text of which every rune takes one column and none
// needs care. That is nearly every text; ok is false for the rest.
func plainWidth(s string) (w int, ok bool) {
	for i := 0; i < len(s); w++ {
		if c := s[i]; c < utf8.RuneSelf {
			if c < 0x20 || c > 0x7e {
				return 0, false
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if !isSingle(r) {
			return 0, false
		}
		i += size
	}
	return w, true
}

// isSingle reports the runes beyond ASCII that the screen itself draws with: lines,
// blocks, marks, arrows, dashes. Each takes one column everywhere.
func isSingle(r rune) bool {
	switch {
	case r >= 0x2500 && r <= 0x25fc, r >= 0x2010 && r <= 0x2027, r >= 0x2190 && r <= 0x2193:
		return true
	}
	return r == '≠' || r == '↻' || r == '✖' || r == '✓' || r == '’' || r == '›' || r == '‹'
}

// visible is how one rune is shown at a column.
func visible(r rune, col int) string {
	switch {
	case r == '\t':
		return strings.Repeat(" ", tabStop-col%tabStop)
	case r < 0x20:
		return string(0x2400 + r) // ␛, ␇, ␀: the pictures of the control characters
	case r == 0x7f:
		return "␡"
	case r >= 0x80 && r <= 0x9f, isBidi(r), r == 0x2028, r == 0x2029:
		return fmt.Sprintf("‹%04X›", r)
	case isInvisible(r):
		return ""
	default:
		return string(r)
	}
}

// isBidi reports the marks that turn the direction of text, with which a line
// can show something else than it says.
func isBidi(r rune) bool {
	return r == 0x061c || r == 0x200e || r == 0x200f || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069)
}

// isInvisible reports the runes that terminals and width tables disagree about,
// or that print nothing and can hide text.
func isInvisible(r rune) bool {
	switch {
	case r == 0xad, r == 0x034f, r == 0x115f, r == 0x1160, r == 0x180e, r == 0x3164, r == 0xfeff, r == 0xffa0:
		return true
	case r >= 0x200b && r <= 0x200d, r >= 0x2060 && r <= 0x206f:
		return true
	case r >= 0xfe00 && r <= 0xfe0f, r >= 0xe0000 && r <= 0xe0fff: // variation selectors, tags
		return true
	case r >= 0x1f3fb && r <= 0x1f3ff: // skin tones
		return true
	case r >= 0xfff0 && r <= 0xfffb:
		return true
	}
	return unicode.Is(unicode.Cf, r)
}

// sgrLen is the length of a colour sequence at the start of the text, 0 when there is none.
func sgrLen(s string) int {
	if len(s) < 3 || s[0] != 0x1b || s[1] != '[' {
		return 0
	}
	for i := 2; i < len(s) && i < 64; i++ {
		switch c := s[i]; {
		case c == 'm':
			return i + 1
		case c >= '0' && c <= '9', c == ';', c == ':':
		default:
			return 0
		}
	}
	return 0
}
