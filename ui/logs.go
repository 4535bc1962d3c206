package ui

import (
	"slices"
	"sort"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"
	"github.com/nexgate-hq/nexops/fleet"
)

// logPane shows the newest lines of a service's log, and a place in it.
type logPane struct {
	o      *Options
	ring   *ring
	key    fleet.ServiceKey
	names  logNames
	place  place
	look   logLook
	find   finder
	hits   []uint64 // numbers of the lines that match, ascending
	levels levels
	state  string // why nothing is coming, in words
	w, h   int
}

// logNames is how the instances seen are called.
type logNames struct {
	seen   []instanceID
	labels map[instanceID]string
	width  int
}

// see takes an instance in.
func (n *logNames) see(service string, id instanceID) {
	if id.name == "" || len(n.seen) == maxNames || slices.Contains(n.seen, id) {
		return
	}
	n.seen = append(n.seen, id)
	n.labels, n.width = instanceLabels(service, n.seen), 0
	for _, label := range n.labels {
		n.width = max(n.width, min(textWidth(label), 22))
	}
}

// place is what part of the log is on the screen.
type place struct {
	follow bool
	top    uint64 // number of the first line on the screen
	sub    int    // rows of that line that are above the screen
	fresh  int    // lines that came since following stopped
}

// logLook is how lines are shown.
type logLook struct {
	wrap, raw bool
	only      bool // only lines that match
}

func newLogPane(o *Options) logPane {
	return logPane{o: o, ring: newRing(o.LogLines), place: place{follow: true}, look: logLook{wrap: true}}
}

// reset empties the pane for another service.
func (p *logPane) reset(k fleet.ServiceKey) {
	p.ring, p.key, p.names, p.hits = newRing(p.o.LogLines), k, logNames{}, nil
	p.place, p.state = place{follow: true}, "waiting for lines…"
}

// SetSize says how much room the lines have.
func (p *logPane) SetSize(w, h int) {
	p.w, p.h = w, h
	p.settle()
}

// add takes lines that came.
func (p *logPane) add(lines []fleet.LogLine, dropped int) {
	for _, l := range lines {
		p.push(l)
	}
	if dropped > 0 {
		p.push(fleet.LogLine{At: p.o.Now(), Stream: "nexops", Text: "dropped " + plural(dropped, "line") + ": they came faster than they can be shown"})
	}
	if len(lines) > 0 {
		p.state = ""
	}
	for len(p.hits) > 0 && p.hits[0] < p.ring.first {
		p.hits = p.hits[1:]
	}
	p.settle()
}

func (p *logPane) push(l fleet.LogLine) {
	n := p.ring.next
	p.ring.add(l)
	p.names.see(p.key.Name, instanceID{l.Host, l.Instance})
	match := p.find.query != "" && foldContains(l.Text, p.find.query)
	if match {
		p.hits = append(p.hits, n)
	}
	if !p.place.follow && (match || !p.only()) {
		p.place.fresh++
	}
}

// only reports whether lines that do not match are hidden.
func (p *logPane) only() bool { return p.look.only && p.find.query != "" }

// count, number and index see the log as the list of lines that may be shown.
func (p *logPane) count() int {
	if p.only() {
		return len(p.hits)
	}
	return p.ring.len()
}

func (p *logPane) number(i int) uint64 {
	if p.only() {
		return p.hits[i]
	}
	return p.ring.first + uint64(i)
}

// index is the place of a line in the list, or of the next one that is in it.
func (p *logPane) index(n uint64) int {
	if p.only() {
		return sort.Search(len(p.hits), func(i int) bool { return p.hits[i] >= n })
	}
	if n < p.ring.first {
		return 0
	}
	return int(min(n-p.ring.first, uint64(p.ring.len())))
}

// rows is how one line looks now.
func (p *logPane) rows(n uint64) []line {
	text, fields := p.format(p.ring.at(n))
	whole := append(text, fields...)
	switch {
	case !p.look.wrap:
		return []line{whole}
	case len(fields) > 0 && p.quiet(n, fields) && text.width() <= p.w:
		// The fields of a line that nobody has to worry about do not take rows of their own.
		return []line{whole.truncate(p.w)}
	}
	return wrapIndent(whole, p.w, 2)
}

// quiet reports a line that is no warning and has nothing in its fields that is searched for.
func (p *logPane) quiet(n uint64, fields line) bool {
	switch parseLog(p.ring.at(n).Text).level {
	case "ERROR", "FATAL", "WARN":
		return false
	}
	return p.find.query == "" || !foldContains(fields.String(), p.find.query)
}

// wrapIndent wraps a line and sets what follows the first row in a little.
func wrapIndent(l line, w, indent int) []line {
	if l.width() <= w || w <= indent+8 {
		return []line{l}
	}
	first := l.wrap(w)[0]
	out := []line{first}
	from := first.width()
	if l.cut(from, from+1).String() == " " {
		from++
	}
	for _, rest := range l.cut(from, l.width()).wrap(w - indent) {
		out = append(out, append(ln(sp(tokText, "  ")), rest...))
	}
	return out
}

// bottom is the place from which the last screen begins.
func (p *logPane) bottom() (top uint64, sub int) {
	room := p.h
	for i := p.count() - 1; i >= 0; i-- {
		n := p.number(i)
		h := len(p.rows(n))
		if h >= room {
			return n, h - room
		}
		room -= h
	}
	if p.count() == 0 {
		return p.ring.first, 0
	}
	return p.number(0), 0
}

// settle puts the place in order after lines came or went, or the size changed.
func (p *logPane) settle() {
	if p.h <= 0 || p.w <= 0 {
		return
	}
	if p.place.follow {
		p.place.top, p.place.sub = p.bottom()
		p.place.fresh = 0
		return
	}
	if p.place.top < p.ring.first {
		p.place.top, p.place.sub = p.ring.first, 0
	}
	p.fill()
}

// scroll moves by rows on the screen; upwards it stops following, at the end it follows again.
func (p *logPane) scroll(delta int) {
	i := p.index(p.place.top)
	if delta < 0 {
		p.stop()
		p.up(i, -delta)
		return
	}
	for ; delta > 0 && i < p.count(); delta-- {
		p.place.sub++
		if p.place.sub >= len(p.rows(p.number(i))) {
			i, p.place.sub = i+1, 0
		}
	}
	top, sub := p.bottom()
	if i >= p.count() || p.number(i) > top || p.number(i) == top && p.place.sub >= sub {
		p.place.follow = true
		p.settle()
		return
	}
	p.place.top = p.number(i)
}

func (p *logPane) up(i, delta int) {
	for ; delta > 0; delta-- {
		if p.place.sub > 0 {
			p.place.sub--
			continue
		}
		if i == 0 {
			break
		}
		i--
		p.place.sub = len(p.rows(p.number(i))) - 1
	}
	if i < p.count() {
		p.place.top = p.number(i)
	}
}

func (p *logPane) stop() {
	if p.place.follow {
		p.place.follow, p.place.fresh = false, 0
	}
}

// search sets what is looked for and finds it in the lines that are kept.
func (p *logPane) search(query string) {
	p.find.query = lower(query)
	p.hits = nil
	if p.find.query != "" {
		for n := p.ring.first; n < p.ring.next; n++ {
			if foldContains(p.ring.at(n).Text, p.find.query) {
				p.hits = append(p.hits, n)
			}
		}
	}
	p.settle()
}

// jump goes to the next match below (or above) the line that was found before.
func (p *logPane) jump(down bool) {
	if len(p.hits) == 0 {
		return
	}
	at := sort.Search(len(p.hits), func(i int) bool { return p.hits[i] >= p.find.at })
	switch {
	case down && at < len(p.hits) && p.hits[at] == p.find.at:
		at++
	case !down:
		at--
	}
	at = min(max(at, 0), len(p.hits)-1)
	p.show(p.hits[at])
}

// show brings a line to the middle of the screen.
func (p *logPane) show(n uint64) {
	p.find.at = n
	p.stop()
	p.place.top, p.place.sub = n, 0
	p.up(p.index(n), p.h/2)
	p.fill()
}

// fill leaves no room below the last line.
func (p *logPane) fill() {
	if top, sub := p.bottom(); p.place.top > top || p.place.top == top && p.place.sub > sub {
		p.place.top, p.place.sub = top, sub
	}
}

// Update takes keys, and the words of a search while it is typed.
func (p *logPane) Update(msg tea.Msg, keys *KeyMap) tea.Cmd {
	if p.find.typing {
		switch p.find.Update(msg) {
		case findChanged:
			p.search(p.find.in.value())
		case findDone:
			p.find.at = p.ring.next
			p.jump(false)
		case findCancelled:
			p.search("")
			p.look.only = false
		case findTyping:
		}
		return nil
	}
	k, ok := msg.(tea.KeyPressMsg)
	if !ok {
		return nil
	}
	if !p.move(k, keys) {
		p.set(k, keys)
	}
	return nil
}

func (p *logPane) move(k tea.KeyPressMsg, keys *KeyMap) bool {
	switch {
	case key.Matches(k, keys.Move.Up):
		p.scroll(-1)
	case key.Matches(k, keys.Move.Down):
		p.scroll(1)
	case key.Matches(k, keys.Move.HalfUp):
		p.scroll(-p.h / 2)
	case key.Matches(k, keys.Move.HalfDown):
		p.scroll(p.h / 2)
	case key.Matches(k, keys.Move.PageUp):
		p.scroll(-p.h)
	case key.Matches(k, keys.Move.PageDown):
		p.scroll(p.h)
	case key.Matches(k, keys.Move.Top):
		p.stop()
		p.place.top, p.place.sub = p.ring.first, 0
	case key.Matches(k, keys.Move.Bottom):
		p.place.follow = true
	default:
		return false
	}
	p.settle()
	return true
}

func (p *logPane) set(k tea.KeyPressMsg, keys *KeyMap) {
	switch {
	case key.Matches(k, keys.Log.Follow):
		if p.place.follow {
			p.stop()
		} else {
			p.place.follow = true
		}
	case key.Matches(k, keys.Log.Wrap):
		p.look.wrap, p.place.sub = !p.look.wrap, 0
	case key.Matches(k, keys.Log.Raw):
		p.look.raw, p.place.sub = !p.look.raw, 0
	case key.Matches(k, keys.Log.Only):
		p.look.only, p.place.sub = !p.look.only, 0
		if p.find.query == "" {
			p.find.begin()
		}
	case key.Matches(k, keys.Log.Search):
		p.find.begin()
	case key.Matches(k, keys.Log.Next):
		p.jump(true)
	case key.Matches(k, keys.Log.Prev):
		p.jump(false)
	}
	p.settle()
}
