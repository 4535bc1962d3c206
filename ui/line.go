package ui

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// span is text of one meaning. Its text is foreign until it is drawn: drawing
// sanitises it, so that nothing reaches the terminal any other way.
type span struct {
	text string
	tok  token
	mod  mod
}

// line is one row of a screen, made of spans.
type line []span

func sp(tok token, text string) span        { return span{text: text, tok: tok} }
func bold(tok token, text string) span      { return span{text: text, tok: tok, mod: modBold} }
func ln(spans ...span) line                 { return line(spans) }
func plain(text string) line                { return line{sp(tokText, text)} }
func (l line) add(spans ...span) line       { return append(l, spans...) }
func (l line) put(tok token, s string) line { return append(l, sp(tok, s)) }

// textWidth is how many columns a text takes once it is drawn.
func textWidth(s string) int {
	if w, ok := plainWidth(s); ok {
		return w
	}
	return ansi.StringWidth(Sanitize(s))
}

func (l line) width() int {
	n := 0
	for _, s := range l {
		n += textWidth(s.text)
	}
	return n
}

// String is the text without its colours.
func (l line) String() string {
	var b strings.Builder
	for _, s := range l {
		b.WriteString(Sanitize(s.text))
	}
	return b.String()
}

// with lays a modifier over the whole line.
func (l line) with(m mod) line {
	out := make(line, len(l))
	for i, s := range l {
		s.mod |= m
		out[i] = s
	}
	return out
}

// toned gives the whole line one token: a stale row is all faint.
func (l line) toned(tok token) line {
	out := make(line, len(l))
	for i, s := range l {
		s.tok = tok
		out[i] = s
	}
	return out
}

// truncate cuts the line to a width, with an ellipsis when something is lost.
func (l line) truncate(w int) line {
	if l.width() <= w {
		return l
	}
	if w <= 0 {
		return nil
	}
	out := l.cut(0, w-1)
	last := span{text: "…", tok: tokFaint}
	if len(out) > 0 {
		last.tok, last.mod = out[len(out)-1].tok, out[len(out)-1].mod
	}
	return append(out, last)
}

// dotted ends the line with an ellipsis, because more would follow.
func (l line) dotted(w int) line {
	if l.width() < w {
		return l.put(tokFaint, "…")
	}
	return l.cut(0, w-1).put(tokFaint, "…")
}

// middle cuts the line to a width, leaving out of its middle: both ends of a command matter.
func (l line) middle(w int) line {
	n := l.width()
	if n <= w || w < 8 {
		return l.truncate(w)
	}
	head := (w - 3) / 2
	out := append(l.cut(0, head), sp(tokFaint, " … "))
	return append(out, l.cut(n-(w-head-3), n)...)
}

// cut gives the columns from up to to.
func (l line) cut(from, to int) line {
	var out line
	pos := 0
	for _, s := range l {
		text := Sanitize(s.text)
		w := textWidth(text)
		lo, hi := max(from-pos, 0), min(to-pos, w)
		pos += w
		if lo >= hi {
			continue
		}
		if lo > 0 || hi < w {
			text = cutText(text, lo, hi)
		}
		out = append(out, span{text: text, tok: s.tok, mod: s.mod})
	}
	return out
}

// cutText gives some columns of a text that has been sanitised.
func cutText(text string, from, to int) string {
	if isPlain(text) {
		return text[from:to]
	}
	return ansi.Cut(text, from, to)
}

// pad fills or cuts the line to exactly a width.
func (l line) pad(w int) line {
	n := l.width()
	if n > w {
		l = l.truncate(w)
		n = l.width()
	}
	if gap := w - n; gap > 0 {
		var m mod
		if len(l) > 0 {
			m = l[len(l)-1].mod & modSel
		}
		return append(l[:len(l):len(l)], span{text: strings.Repeat(" ", gap), tok: tokText, mod: m})
	}
	return l
}

// right pads on the left, for figures.
func (l line) right(w int) line {
	l = l.truncate(w)
	if gap := w - l.width(); gap > 0 {
		return append(line{sp(tokText, strings.Repeat(" ", gap))}, l...)
	}
	return l
}

// sides puts one line at the left and one at the right of a width; the left one gives way.
func sides(left, right line, w int) line {
	rw := right.width()
	if rw+1 >= w {
		return left.pad(w)
	}
	return append(left.truncate(w-rw-1).pad(w-rw), right...)
}

// encode turns the line into bytes for the terminal, padded to a width.
func (l line) encode(th *Theme, w int, b *strings.Builder) {
	current := ""
	for _, s := range l.pad(w) {
		seq := th.seq[s.tok][s.mod]
		if seq != current {
			if current != "" {
				b.WriteString(ansi.ResetStyle)
			}
			b.WriteString(seq)
			current = seq
		}
		b.WriteString(Sanitize(s.text))
	}
	if current != "" {
		b.WriteString(ansi.ResetStyle)
	}
}

// wrap breaks the line into lines of at most a width, at a space when one is near.
func (l line) wrap(w int) []line {
	if w <= 0 {
		return nil
	}
	total := l.width()
	if total <= w {
		return []line{l}
	}
	text := l.String()
	var out []line
	for from := 0; from < total; {
		to := breakAt(text, from, w, total)
		out = append(out, l.cut(from, to))
		from = to
		if ansi.Cut(text, from, from+1) == " " {
			from++ // the end of the row stands for the space
		}
	}
	return out
}

// breakAt is where a row that begins at a column ends: before a word that does not fit,
// unless the word is longer than what it would leave empty allows.
func breakAt(text string, from, w, total int) int {
	to := min(from+w, total)
	if to == total || ansi.Cut(text, to, to+1) == " " {
		return to
	}
	part := ansi.Cut(text, from, to)
	got := ansi.StringWidth(part)
	if i := strings.LastIndexByte(part, ' '); i > 0 {
		begun := ansi.StringWidth(part[i+1:])
		if i > len(part)/2 || begun+wordWidth(ansi.Cut(text, to, to+w)) <= w {
			return from + got - begun
		}
	}
	return from + max(got, 1)
}

// wordWidth is the width of the rest of the word a text begins with.
func wordWidth(text string) int {
	word, _, _ := strings.Cut(text, " ")
	return ansi.StringWidth(word)
}

// blank is n empty lines.
func blank(n int) []line { return make([]line, max(n, 0)) }
