package ui

import (
	tea "charm.land/bubbletea/v2"
	"github.com/sahilm/fuzzy"
)

// command is one thing the palette can do.
type command struct {
	name string // what is typed
	help string
	off  string // why it can not be done now, or nothing
	do   func(m *Model) tea.Cmd
}

// palette is the command line: typed words, and what they complete to.
type palette struct {
	in    input
	all   []command
	shown []int
	at    int
}

func newPalette(all []command) palette {
	p := palette{in: newInput(80), all: all}
	p.match()
	return p
}

func (p *palette) match() {
	p.shown, p.at = p.shown[:0], 0
	if p.in.value() == "" {
		for i := range p.all {
			p.shown = append(p.shown, i)
		}
		return
	}
	for _, m := range fuzzy.FindFrom(p.in.value(), commandNames(p.all)) {
		p.shown = append(p.shown, m.Index)
	}
}

type commandNames []command

func (c commandNames) Len() int            { return len(c) }
func (c commandNames) String(i int) string { return c[i].name }

// chosen is the command that Enter would do, nil when nothing matches.
func (p *palette) chosen() *command {
	if p.at >= len(p.shown) {
		return nil
	}
	return &p.all[p.shown[p.at]]
}

// Update takes a key or a paste; done tells that the palette is to be closed, run that the chosen command is to be done.
func (p *palette) Update(msg tea.Msg) (done, run bool) {
	if k, ok := msg.(tea.KeyPressMsg); ok {
		switch k.String() {
		case "esc", "ctrl+c":
			return true, false
		case "enter":
			return true, true
		case "up", "ctrl+p", "shift+tab":
			p.at = max(p.at-1, 0)
			return false, false
		case "down", "ctrl+n":
			p.at = min(p.at+1, max(len(p.shown)-1, 0))
			return false, false
		case "tab":
			if c := p.chosen(); c != nil {
				p.in.set(c.name)
				p.match()
			}
			return false, false
		}
	}
	before := p.in.value()
	p.in.Update(msg)
	if p.in.value() != before {
		p.match()
	}
	return false, false
}

// View is the typed words and what fits below them.
func (p *palette) View(w, h int) []line {
	out := []line{append(ln(bold(tokKey, ":")), p.in.view()...)}
	from := max(p.at-(h-2), 0)
	name := 26
	for _, i := range p.shown {
		name = max(name, textWidth(p.all[i].name))
	}
	name = min(name, max(w/2, 20))
	for i := from; i < len(p.shown) && len(out) < h; i++ {
		c := &p.all[p.shown[i]]
		row := ln(sp(tokText, " "+c.name)).pad(name+1).put(tokText, "  ")
		if c.off != "" {
			row = ln(sp(tokFaint, " "+c.name)).pad(name+1).put(tokFaint, "  "+c.off)
		} else {
			row = row.put(tokDim, c.help)
		}
		if i == p.at {
			row = row.pad(w).with(modSel)
		}
		out = append(out, row)
	}
	if len(p.shown) == 0 {
		out = append(out, ln(sp(tokDim, " no such command")))
	}
	return out
}

// commands are what the palette offers now.
func (m *Model) commands() []command {
	var out []command
	for i, o := range m.offers {
		a := m.o.Actions[i]
		c := command{name: o.spec.Name, help: o.offer.Title, do: func(m *Model) tea.Cmd { return m.act(a) }}
		if !o.offer.Enabled {
			c.off = o.offer.Reason
		}
		out = append(out, c)
	}
	for t := range tabCount {
		out = append(out, command{name: t.String(), help: "tab of the selected service", do: func(m *Model) tea.Cmd {
			m.open(t)
			return nil
		}})
	}
	if m.snap != nil {
		for i := range m.snap.Services {
			s := &m.snap.Services[i]
			out = append(out, command{name: "service " + s.Key.Name, help: s.Severity.String(), do: func(m *Model) tea.Cmd {
				m.list.find(s.Key.Name)
				return nil
			}})
		}
	}
	for _, name := range Themes() {
		out = append(out, command{name: "theme " + name, help: "colours", do: func(m *Model) tea.Cmd {
			return m.setTheme(name)
		}})
	}
	return append(out,
		command{name: "refresh", help: "the sources look again now", do: func(m *Model) tea.Cmd {
			m.o.Poke()
			return nil
		}},
		command{name: "sources", help: "how each of them is doing, and what it could not understand", do: func(m *Model) tea.Cmd {
			m.view.overlay, m.view.help.top = overlaySources, 0
			return nil
		}},
		command{name: "help", help: "every key", do: func(m *Model) tea.Cmd {
			m.view.overlay = overlayHelp
			return nil
		}},
		command{name: "quit", help: "leave nexops", do: func(m *Model) tea.Cmd { return m.quit() }},
	)
}
