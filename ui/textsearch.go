package ui

import (
	"unicode"
	"unicode/utf8"
)

// foldIndex finds needle in s, blind to case, from a byte on; -1 when it is not
// there. The needle is in lower case (see lower). It allocates nothing.
func foldIndex(s, needle string, from int) (at, end int) {
	if needle == "" {
		return -1, -1
	}
	first := needle[0]
	for i := from; i < len(s); i++ {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c < utf8.RuneSelf && first < utf8.RuneSelf && c != first {
			continue
		}
		if end := foldPrefix(s[i:], needle); end >= 0 {
			return i, i + end
		}
	}
	return -1, -1
}

// foldPrefix is the length in s of a match of needle at its start, -1 when it is none.
func foldPrefix(s, needle string) int {
	i, j := 0, 0
	for j < len(needle) {
		if i >= len(s) {
			return -1
		}
		a, an := utf8.DecodeRuneInString(s[i:])
		b, bn := utf8.DecodeRuneInString(needle[j:])
		if unicode.ToLower(a) != b {
			return -1
		}
		i, j = i+an, j+bn
	}
	return i
}

// lower makes a needle for foldIndex.
func lower(s string) string {
	r := []rune(s)
	for i := range r {
		r[i] = unicode.ToLower(r[i])
	}
	return string(r)
}

func foldContains(s, needle string) bool {
	at, _ := foldIndex(s, needle, 0)
	return at >= 0
}

// highlight marks every place of the needle in the line.
func (l line) highlight(needle string) line {
	if needle == "" {
		return l
	}
	var out line
	for _, s := range l {
		text, from := Sanitize(s.text), 0
		for {
			at, end := foldIndex(text, needle, from)
			if at < 0 || end <= at {
				break
			}
			if at > from {
				out = append(out, span{text[from:at], s.tok, s.mod})
			}
			out = append(out, span{text[at:end], s.tok, s.mod | modMatch})
			from = end
		}
		if from < len(text) {
			out = append(out, span{text[from:], s.tok, s.mod})
		}
	}
	return out
}
