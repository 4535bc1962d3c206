package ui

import (
	"sort"
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"
)

// scroller is a place in lines that are longer than the screen.
type scroller struct{ top int }

// window gives the lines on the screen, and keeps the place within bounds.
func (s *scroller) window(lines []line, h int) []line {
	s.clamp(len(lines), h)
	return lines[s.top:min(s.top+h, len(lines))]
}

func (s *scroller) clamp(n, h int) { s.top = max(min(s.top, n-h), 0) }

// Update moves; it reports whether the key was for it.
func (s *scroller) Update(k tea.KeyPressMsg, keys *KeyMap, n, h int) bool {
	switch {
	case key.Matches(k, keys.Move.Up):
		s.top--
	case key.Matches(k, keys.Move.Down):
		s.top++
	case key.Matches(k, keys.Move.Top):
		s.top = 0
	case key.Matches(k, keys.Move.Bottom):
		s.top = n
	case key.Matches(k, keys.Move.HalfUp):
		s.top -= h / 2
	case key.Matches(k, keys.Move.HalfDown):
		s.top += h / 2
	case key.Matches(k, keys.Move.PageUp):
		s.top -= h
	case key.Matches(k, keys.Move.PageDown):
		s.top += h
	default:
		return false
	}
	s.clamp(n, h)
	return true
}

// textPane shows a text that can be scrolled and searched: an inspected record.
type textPane struct {
	lines  []string
	scroll scroller
	find   finder
	hits   []int
	wrap   bool
	w, h   int
}

// SetText shows another text from its beginning, or the same one where it was.
func (p *textPane) SetText(text string, keep bool) {
	p.lines = strings.Split(strings.TrimRight(text, "\n"), "\n")
	if !keep {
		p.scroll.top = 0
	}
	p.search(p.find.query)
}

// SetSize says how much room the text has.
func (p *textPane) SetSize(w, h int) { p.w, p.h = w, h }

func (p *textPane) search(query string) {
	p.find.query, p.hits = lower(query), nil
	for i, l := range p.lines {
		if p.find.query != "" && foldContains(l, p.find.query) {
			p.hits = append(p.hits, i)
		}
	}
}

func (p *textPane) jump(down bool) {
	if len(p.hits) == 0 {
		return
	}
	at := sort.SearchInts(p.hits, int(p.find.at))
	switch {
	case down && at < len(p.hits) && p.hits[at] == int(p.find.at):
		at++
	case !down:
		at--
	}
	line := p.hits[min(max(at, 0), len(p.hits)-1)]
	p.find.at, p.scroll.top = uint64(line), line-p.h/3
	p.scroll.clamp(len(p.lines), p.h)
}

// Update takes keys, and the words of a search while it is typed.
func (p *textPane) Update(msg tea.Msg, keys *KeyMap) {
	if p.find.typing {
		switch p.find.Update(msg) {
		case findChanged:
			p.search(p.find.in.value())
		case findDone:
			p.find.at = uint64(p.scroll.top)
			p.jump(true)
		case findCancelled:
			p.search("")
		case findTyping:
		}
		return
	}
	k, ok := msg.(tea.KeyPressMsg)
	if !ok || p.scroll.Update(k, keys, len(p.lines), p.h) {
		return
	}
	switch {
	case key.Matches(k, keys.Log.Search):
		p.find.begin()
	case key.Matches(k, keys.Log.Next):
		p.jump(true)
	case key.Matches(k, keys.Log.Prev):
		p.jump(false)
	case key.Matches(k, keys.Log.Wrap):
		p.wrap = !p.wrap
	}
}

// View is what is on the screen now.
func (p *textPane) View() []line {
	p.scroll.clamp(len(p.lines), p.h)
	var out []line
	for i := p.scroll.top; i < len(p.lines) && len(out) < p.h; i++ {
		l := jsonLine(p.lines[i]).highlight(p.find.query)
		rows := []line{l}
		if p.wrap {
			rows = wrapIndent(l, p.w, 4)
		}
		for _, r := range rows {
			if p.find.query != "" && uint64(i) == p.find.at {
				r = r.pad(p.w).with(modSel)
			}
			out = append(out, r)
		}
	}
	return out[:min(len(out), p.h)]
}

// status says what is looked for.
func (p *textPane) status() line {
	if p.find.query == "" {
		return nil
	}
	return ln(sp(tokAccent, "/"+p.find.query+" "), sp(tokDim, matches(len(p.hits))))
}

// jsonLine tells the key of an indented JSON line from its value.
func jsonLine(text string) line {
	if strings.HasPrefix(text, "── ") {
		return ln(bold(tokAccent, text))
	}
	rest := strings.TrimLeft(text, " ")
	indent := text[:len(text)-len(rest)]
	if strings.HasPrefix(rest, `"`) {
		if i := strings.Index(rest, `": `); i > 0 {
			return ln(sp(tokText, indent), sp(tokAccent, rest[:i+1]), sp(tokFaint, ": "), sp(tokText, rest[i+3:]))
		}
	}
	if rest != "" && strings.Trim(rest, "{}[],") == "" {
		return ln(sp(tokFaint, text))
	}
	return plain(text)
}
