package ui

import (
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// tab is one view of the selected service.
type tab uint8

const (
	tabOverview tab = iota
	tabLogs
	tabMetrics
	tabChanges
	tabInspect
	tabCount
)

// String is the tab's name.
func (t tab) String() string {
	return [...]string{"overview", "logs", "metrics", "changes", "inspect"}[t]
}

// detailPane shows one service, one tab at a time.
type detailPane struct {
	tab     tab
	logs    logPane
	inspect textPane
	scroll  scroller
	journal []string
	w, h    int
}

// subject is what the detail is about.
type subject struct {
	service *fleet.Service
	offers  []offer
	snap    *fleet.Snapshot
	logs    *logPane
	now     time.Time
	o       *Options
}

// offer is an action with what it says about the selected service.
type offer struct {
	spec  actions.Spec
	offer actions.Offer
}

// SetSize says how much room the tab has inside its border.
func (p *detailPane) SetSize(w, h int) {
	p.w, p.h = w, h
	logs, text := h, h
	if p.logs.find.typing {
		logs--
	}
	if p.inspect.find.typing {
		text--
	}
	p.logs.SetSize(w, logs)
	p.inspect.SetSize(w, text)
}

// show changes the tab.
func (p *detailPane) show(t tab) {
	if p.tab != t {
		p.tab, p.scroll.top = t, 0
	}
}

// typing reports whether a search has the keys.
func (p *detailPane) typing() bool {
	return p.tab == tabLogs && p.logs.find.typing || p.tab == tabInspect && p.inspect.find.typing
}

// searched reports whether the tab has a search that n and N move in.
func (p *detailPane) searched() bool {
	return p.tab == tabLogs && p.logs.find.query != "" || p.tab == tabInspect && p.inspect.find.query != ""
}

// back leaves a search; it reports whether there was one to leave.
func (p *detailPane) back() bool {
	switch {
	case p.tab == tabLogs && p.logs.find.query != "":
		p.logs.look.only = false
		p.logs.search("")
		return true
	case p.tab == tabInspect && p.inspect.find.query != "":
		p.inspect.search("")
		return true
	}
	return false
}

// Update gives the key to the tab.
func (p *detailPane) Update(msg tea.Msg, keys *KeyMap, s subject) tea.Cmd {
	var cmd tea.Cmd
	switch p.tab {
	case tabLogs:
		cmd = p.logs.Update(msg, keys)
	case tabInspect:
		p.inspect.Update(msg, keys)
	case tabOverview, tabMetrics, tabChanges, tabCount:
		if k, ok := msg.(tea.KeyPressMsg); ok {
			p.scroll.Update(k, keys, len(p.content(s)), p.h)
		}
	}
	p.SetSize(p.w, p.h) // a search line may have come or gone
	return cmd
}

// content is the whole text of a tab that is made of lines.
func (p *detailPane) content(s subject) []line {
	switch p.tab {
	case tabOverview:
		return overview(s, p.w, p.h)
	case tabMetrics:
		return metricsView(s, p.w, p.h)
	case tabChanges:
		return changesView(s, p.journal, p.w)
	case tabLogs, tabInspect, tabCount:
	}
	return nil
}

// View is what is on the screen now.
func (p *detailPane) View(s subject) []line {
	if s.service == nil {
		return []line{ln(sp(tokDim, "no service selected"))}
	}
	switch p.tab {
	case tabLogs:
		return p.withFinder(p.logs.View(), &p.logs.find)
	case tabInspect:
		return p.withFinder(p.inspect.View(), &p.inspect.find)
	case tabOverview, tabMetrics, tabChanges, tabCount:
	}
	lines := p.content(s)
	out := p.scroll.window(lines, p.h)
	if below := len(lines) - p.scroll.top - len(out); below > 0 && len(out) > 0 {
		more := ln(sp(tokFaint, " ↓ "+itoa(below)+" more"))
		last := len(out) - 1
		out = append(append([]line{}, out[:last]...), sides(out[last], more, p.w))
	}
	return out
}

func (p *detailPane) withFinder(lines []line, f *finder) []line {
	if !f.typing {
		return lines
	}
	lines = append(lines, blank(p.h-1-len(lines))...)
	return append(lines[:p.h-1], f.view())
}

// title is the service and its tabs, for the border: by name where they fit.
func (p *detailPane) title(s *fleet.Service, w int) line {
	if s == nil {
		return nil
	}
	const frame = 10 // the border around it
	if long := p.tabs(s, true); long.width() <= w-frame {
		return long
	}
	return p.tabs(s, false)
}

func (p *detailPane) tabs(s *fleet.Service, named bool) line {
	mark, tok := severityMark(s.Severity)
	out := ln(bold(tok, mark+" "), bold(tokTitle, s.Key.Name), sp(tokFaint, " ── "))
	for t := range tabCount {
		label := itoa(int(t) + 1)
		if named || t == p.tab {
			label += " " + t.String()
		}
		switch t {
		case p.tab:
			out = out.add(bold(tokAccent, label))
		default:
			out = out.put(tokDim, label)
		}
		out = out.put(tokFaint, "  ")
	}
	return out[:len(out)-1]
}

// status is what the tab says about itself, for the border.
func (p *detailPane) status() line {
	switch p.tab {
	case tabLogs:
		return p.logs.status()
	case tabInspect:
		return p.inspect.status()
	case tabOverview, tabMetrics, tabChanges, tabCount:
	}
	return nil
}
