package ui

import (
	"slices"
	"strings"
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/sahilm/fuzzy"
)

// listPane is the attention list. The selection is a service, not a place: it
// stays on its service when the rows are sorted anew. Until the person has touched
// anything it is whatever needs attention most: the first answers come one by one.
type listPane struct {
	snap     *fleet.Snapshot
	shown    []int // into snap.Services, in the order of the screen
	selected fleet.ServiceKey
	held     bool // the person has pressed a key or a button: the selection is theirs
	marked   []fleet.ServiceKey
	cursor   int // into shown
	top      int // first row on the screen, into shown
	filter   string
	typing   bool
	in       input
	w, h     int
	ext      extents
}

// SetSize says how much room the rows have.
func (p *listPane) SetSize(w, h int) {
	p.w, p.h = w, h
	p.reveal()
}

// SetSnapshot shows a newer snapshot.
func (p *listPane) SetSnapshot(s *fleet.Snapshot) {
	p.snap = s
	p.ext = measure(s)
	p.unmark()
	p.refilter()
}

// service is the selected service, nil when there is none.
func (p *listPane) service() *fleet.Service {
	if p.snap == nil || p.cursor >= len(p.shown) {
		return nil
	}
	return &p.snap.Services[p.shown[p.cursor]]
}

// find selects a service by its name.
func (p *listPane) find(name string) bool {
	if p.snap == nil {
		return false
	}
	for i := range p.snap.Services {
		if p.snap.Services[i].Key.Name == name {
			p.filter = ""
			p.selected = p.snap.Services[i].Key
			p.refilter()
			return true
		}
	}
	return false
}

// refilter makes the rows anew and finds the selected service among them.
func (p *listPane) refilter() {
	p.shown = p.shown[:0]
	if p.snap != nil {
		p.shown = matchServices(p.snap.Services, p.filter, p.shown)
	}
	if !p.held {
		p.moveTo(0)
		return
	}
	at := -1
	for i, j := range p.shown {
		if p.snap.Services[j].Key == p.selected {
			at = i
			break
		}
	}
	if at < 0 {
		at = min(p.cursor, max(len(p.shown)-1, 0))
		// The selected service is gone for now, maybe for one snapshot: without a filter the
		// selection moves on, so that keys act on what is seen to be selected.
	}
	p.moveTo(at)
}

// matchServices gives the services that match, in the list's own order: attention matters more than likeness.
func matchServices(all []fleet.Service, filter string, out []int) []int {
	invert := strings.HasPrefix(filter, "!")
	needle := strings.TrimSpace(strings.TrimPrefix(filter, "!"))
	if needle == "" {
		for i := range all {
			out = append(out, i)
		}
		return out
	}
	hits := map[int]bool{}
	for _, m := range fuzzy.FindFromNoSort(needle, haystack(all)) {
		if m.Score > -len(needle)*20 {
			hits[m.Index] = true
		}
	}
	for i := range all {
		if hits[i] != invert {
			out = append(out, i)
		}
	}
	return out
}

// haystack is what a filter looks at: the name, the hosts, the health.
type haystack []fleet.Service

func (h haystack) Len() int { return len(h) }

func (h haystack) String(i int) string {
	s := &h[i]
	return s.Key.Name + " " + strings.Join(s.Hosts, " ") + " " + string(s.Health)
}

func (p *listPane) moveTo(i int) {
	p.cursor = min(max(i, 0), max(len(p.shown)-1, 0))
	if s := p.service(); s != nil {
		p.selected = s.Key
	}
	p.reveal()
}

// rowHeight is 2 for a row that has something to say.
func rowHeight(s *fleet.Service) int {
	if s.Severity >= fleet.SeverityWarning && len(s.Reasons) > 0 || s.Stale || s.Lock != nil || s.Hold != nil && s.Hold.Service != "" {
		return 2
	}
	return 1
}

// wantRows is how many lines all the rows and the titles take, at most limit.
func (p *listPane) wantRows(limit int) int {
	n := 1
	for _, i := range p.shown {
		if n >= limit {
			return limit
		}
		n += rowHeight(&p.snap.Services[i])
	}
	return n
}

// reveal scrolls so that the selected row is on the screen.
func (p *listPane) reveal() {
	room := max(p.h-1, 1)
	p.top = min(p.top, p.cursor)
	used := 0
	for i := p.cursor; i >= 0 && i < len(p.shown); i-- {
		used += rowHeight(&p.snap.Services[p.shown[i]])
		if used > room {
			p.top = max(p.top, min(i+1, p.cursor))
			return
		}
		if i == p.top {
			break
		}
	}
	// Do not leave room below the last row while rows are hidden above.
	used, i := 0, len(p.shown)-1
	for ; i >= 0; i-- {
		if used += rowHeight(&p.snap.Services[p.shown[i]]); used > room {
			break
		}
	}
	p.top = max(min(p.top, i+1), 0)
}

// Update moves, or types the filter.
func (p *listPane) Update(msg tea.Msg, keys *KeyMap) tea.Cmd {
	if p.typing {
		return p.updateFilter(msg)
	}
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return nil
	}
	half := max(p.h/2, 1)
	switch {
	case key.Matches(k, keys.Move.Up):
		p.moveTo(p.cursor - 1)
	case key.Matches(k, keys.Move.Down):
		p.moveTo(p.cursor + 1)
	case key.Matches(k, keys.Move.Top):
		p.moveTo(0)
	case key.Matches(k, keys.Move.Bottom):
		p.moveTo(len(p.shown) - 1)
	case key.Matches(k, keys.Move.HalfUp):
		p.moveTo(p.cursor - half)
	case key.Matches(k, keys.Move.HalfDown):
		p.moveTo(p.cursor + half)
	case key.Matches(k, keys.Move.PageUp):
		p.moveTo(p.cursor - 2*half)
	case key.Matches(k, keys.Move.PageDown):
		p.moveTo(p.cursor + 2*half)
	case key.Matches(k, keys.Screen.Mark):
		p.toggle()
	case key.Matches(k, keys.Screen.Filter):
		p.typing, p.in = true, newInput(80)
		p.in.set(p.filter)
	}
	return nil
}

func (p *listPane) updateFilter(msg tea.Msg) tea.Cmd {
	if k, ok := msg.(tea.KeyPressMsg); ok {
		switch k.String() {
		case "enter":
			p.typing = false
			return nil
		case "esc":
			p.typing, p.filter = false, ""
			p.refilter()
			return nil
		case "up":
			p.moveTo(p.cursor - 1)
			return nil
		case "down":
			p.moveTo(p.cursor + 1)
			return nil
		}
	}
	p.in.Update(msg)
	p.filter = p.in.value()
	p.refilter()
	return nil
}

// rowAt gives the row at a line of the pane, titles being line 0.
func (p *listPane) rowAt(y int) (int, bool) {
	at := 1
	for i := p.top; i < len(p.shown); i++ {
		at += rowHeight(&p.snap.Services[p.shown[i]])
		if y < at {
			return i, y >= 1
		}
	}
	return 0, false
}

// View is the titles and the rows that are on the screen; nothing else is drawn.
func (p *listPane) View(now time.Time) []line {
	cols := chooseColumns(p.w, p.ext)
	out := []line{titleRow(cols)}
	for i := p.top; i < len(p.shown) && len(out) < p.h; i++ {
		s := &p.snap.Services[p.shown[i]]
		var m mod
		if i == p.cursor {
			m = modSel
		}
		out = append(out, p.row(s, cols, now).pad(p.w).with(m))
		if rowHeight(s) == 2 && len(out) < p.h {
			out = append(out, reasonRow(s, now, p.w).pad(p.w).with(m))
		}
	}
	return out
}

func titleRow(cols []column) line {
	out := ln(sp(tokFaint, "  "))
	for i, c := range cols {
		if i > 0 {
			out = out.put(tokFaint, "  ")
		}
		t := ln(sp(tokFaint, c.title))
		if c.figure {
			t = alignFigure(t, c)
		}
		out = append(out, t.pad(c.width)...)
	}
	return out
}

// alignFigure sets the title over the figures, not over their sparkline.
func alignFigure(t line, c column) line {
	if c.drawn > 0 {
		return t.right(c.width - c.drawn - 1)
	}
	return t.right(c.width)
}

func (p *listPane) row(s *fleet.Service, cols []column, now time.Time) line {
	mark, tok := severityMark(s.Severity)
	out := ln(bold(tok, mark), sp(tokText, " "))
	if slices.Contains(p.marked, s.Key) {
		out = ln(bold(tok, mark), bold(tokAccent, "+"))
	}
	for i, c := range cols {
		if i > 0 {
			out = out.put(tokText, "  ")
		}
		cell := c.cell(s, now, c.width)
		if c.figure {
			cell = cell.right(c.width)
		}
		out = append(out, cell.pad(c.width)...)
	}
	if s.Stale {
		return append(out[:2:2], line(out[2:]).toned(tokFaint)...)
	}
	return out
}

// claimsFirst puts who acts on the service now before what is wrong with it: that is the first thing
// whoever wants to act has to know.
func claimsFirst(all []fleet.Reason) []fleet.Reason {
	for i, r := range all {
		if i > 0 && (r.Code == "locked" || r.Code == "lock_expired") {
			out := append([]fleet.Reason{r}, all[:i]...)
			return append(out, all[i+1:]...)
		}
	}
	return all
}

// claimWords are who holds the lock, for how long already, and what for.
func claimWords(s *fleet.Service, now time.Time) string {
	words := s.Lock.Words(now)
	by, what, ok := strings.Cut(words, ": ")
	if s.Lock.Since.IsZero() || s.Lock.Stale || s.Lock.Expired(now) || !ok {
		return words
	}
	return by + " " + since(now, s.Lock.Since) + ": " + what
}

// reasonRow says in words what is wrong, the worst first.
func reasonRow(s *fleet.Service, now time.Time, w int) line {
	out := ln(sp(tokFaint, "  └ "))
	if s.Stale && (len(s.Reasons) == 0 || s.Reasons[0].Code != "host_unreachable") {
		out = out.put(tokDim, "as of "+since(now, s.Seen)+" ago · ")
	}
	reasons := claimsFirst(s.Reasons)
	for i, r := range reasons {
		_, tok := severityMark(r.Severity)
		piece := ln(sp(tok, r.Text))
		if r.Code == "locked" && s.Lock != nil {
			piece = ln(bold(tokInfo, claimWords(s, now)))
		}
		if i > 0 {
			rest := len(reasons) - i
			piece = ln(sp(tokFaint, " · "), sp(tokDim, r.Text))
			if out.width()+piece.width() > w-8 {
				return out.put(tokDim, " +"+itoa(rest))
			}
		}
		out = append(out, piece...)
	}
	return out
}
