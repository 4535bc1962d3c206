package ui

import (
	"strings"
	"time"
	"unicode/utf8"

	"charm.land/bubbles/v2/key"
)

// overlays lays over the frame what stands in front of it.
func (m *Model) overlays(frame []line) {
	switch {
	case m.flow.stage == flowConfirm:
		m.dialogOverlay(frame)
		return
	case m.flow.stage == flowChoosing:
		m.pickerOverlay(frame)
		return
	case m.flow.stage != flowIdle:
		m.planningOverlay(frame)
		return
	}
	switch m.view.overlay {
	case overlayHelp:
		r := m.helpRect()
		m.scrolled(frame, r, "keys", m.helpLines(r.w-4))
	case overlaySources:
		r := m.sourcesRect()
		m.scrolled(frame, r, "sources", m.sourceLines(r.w-4, m.o.Now()))
	case overlayPalette:
		r := rect{max((m.w-72)/2, 1), min(2, m.h/6), min(72, m.w-2), min(16, m.h-4)}
		body := m.view.palette.View(r.w-4, r.h-2)
		over(frame, r, boxed(ln(bold(tokTitle, "command")), ln(sp(tokDim, "tab completes")), body, r, tokFocus, false), m.w)
	case overlayQuit:
		r := centered(m.w, m.h, 68, 8)
		ask := append(ln(sp(tokText, "or type "), bold(tokAccent, "quit"), sp(tokText, " to stop it and leave: ")), m.view.quit.view()...)
		body := []line{
			ln(bold(tokWarn, "▲ an action is running")), ln(sp(tokText, m.running())),
			ln(sp(tokDim, "leaving stops it after this step, no verdict; the journal has it")), nil,
			ln(bold(tokKey, "enter"), sp(tokText, " stays and lets it go on")), ask,
		}
		over(frame, r, boxed(ln(bold(tokTitle, "quit?")), nil, body, r, tokWarn, false), m.w)
	case overlayNone:
	}
}

// scrolled is a box of lines that may be longer than it.
func (m *Model) scrolled(frame []line, r rect, title string, lines []line) {
	body := m.view.help.window(lines, r.h-2)
	status := ln(sp(tokDim, "any other key closes"))
	if below := len(lines) - m.view.help.top - len(body); below > 0 {
		status = ln(bold(tokWarn, "↓ "+itoa(below)+" more"), sp(tokDim, "  any other key closes"))
	}
	over(frame, r, boxed(ln(bold(tokTitle, title)), status, body, r, tokFocus, false), m.w)
}

func (m *Model) running() string {
	if m.flow.run != nil {
		return m.flow.run.plan.Title
	}
	return m.flow.intent.Action
}

// askedFor is what the making of a plan waits for, and how long it has waited.
func (m *Model) askedFor() string {
	hosts := ""
	if m.snap != nil {
		for _, t := range m.flow.intent.Targets {
			if s, ok := m.snap.Find(t.Service); ok {
				hosts = strings.Join(s.Hosts, ", ")
			}
		}
	}
	out := "asking"
	if hosts != "" {
		out = "asking " + hosts
	}
	if d := time.Duration(m.flow.spin) * spinEvery; d >= time.Second {
		out += ", " + age(d)
	}
	return out
}

func (m *Model) planningOverlay(frame []line) {
	what, gives := "making the plan: "+m.askedFor(), "  nothing is changed by this; esc gives up"
	switch m.flow.stage {
	case flowReading:
		what = "reading what there is to choose from: " + m.askedFor()
	case flowStarting:
		what, gives = "starting: confirmation, lock, journal", ""
	case flowIdle, flowChoosing, flowPlanning, flowConfirm:
	}
	n := utf8.RuneCountInString(spinner)
	body := []line{ln(sp(tokAccent, string([]rune(spinner)[m.flow.spin%n])+" "), sp(tokText, what)), ln(sp(tokDim, gives))}
	r := centered(m.w, m.h, 64, 4)
	title := m.flow.intent.Action
	for _, t := range m.flow.intent.Targets {
		title += " " + t.Service.String()
	}
	over(frame, r, boxed(ln(bold(tokTitle, title)), nil, body, r, tokFocus, false), m.w)
}

// dialogRect is the place of the confirmation: as large as the plan, at most nearly the screen.
func (m *Model) dialogRect() rect {
	d := &m.flow.dialog
	w := centered(m.w, m.h, 110, 1).w
	h := len(planLines(d, w-4)) + len(d.promptLines(w-4)) + 3
	return centered(m.w, m.h, w, h)
}

// dialogRoom is how many lines of the plan fit above the question.
func (m *Model) dialogRoom(r rect) int {
	return max(r.h-3-len(m.flow.dialog.promptLines(r.w-4)), 1)
}

func (m *Model) dialogOverlay(frame []line) {
	d := &m.flow.dialog
	r := m.dialogRect()
	w := r.w - 4
	lines := planLines(d, w)
	room := m.dialogRoom(r)
	body := append([]line{}, d.scroll.window(lines, room)...)
	body = append(body, blank(room-len(body))...)
	rule := ln(sp(tokBorder, strings.Repeat("─", w)))
	if below := len(lines) - d.scroll.top - room; below > 0 {
		more := bold(tokWarn, "↓ "+itoa(below)+" more, down shows ")
		rule = ln(more, sp(tokBorder, strings.Repeat("─", max(w-textWidth(more.text), 0))))
	}
	body = append(append(body, rule), d.promptLines(w)...)
	border := tokFocus
	if ok, _ := d.runnable(); !ok {
		border = tokCrit
	}
	over(frame, r, boxed(ln(bold(tokTitle, d.plan.Title)), ln(sp(tokDim, "plan")), body, r, border, false), m.w)
	d.drawn = true
}

// helpRect is the place of the help.
func (m *Model) helpRect() rect {
	w := centered(m.w, m.h, 100, 1).w
	return centered(m.w, m.h, w, len(m.helpLines(w-4))+2)
}

// helpLines is every key, made from the very key map, in as many columns as fit.
func (m *Model) helpLines(w int) []line {
	cols := max(w/24, 1)
	cw := w / cols
	airy := m.h >= helpAiry
	var out []line
	for gi, g := range m.keys.groups() {
		if gi > 0 && airy {
			out = append(out, nil)
		}
		out = append(out, ln(bold(tokAccent, g.title)))
		var row line
		for i, b := range g.keys {
			row = append(row, m.helpCell(gi, i, b).pad(cw)...)
			if (i+1)%cols == 0 || i == len(g.keys)-1 {
				out = append(out, row)
				row = nil
			}
		}
	}
	if airy {
		out = append(out, nil)
	}
	out = append(out, m.offLines(w)...)
	return append(out, ln(sp(tokFaint, "greyed: not here and now · a capital letter shows its plan first")).truncate(w))
}

// helpAiry is the screen height from which the help has room between its groups.
const helpAiry = 34

// offLines say why actions are not possible.
func (m *Model) offLines(w int) []line {
	var out []line
	for _, o := range m.offers {
		if !o.offer.Enabled {
			out = append(out, hangingLine(ln(sp(tokFaint, o.spec.Key+" ")), ln(sp(tokDim, "is not possible: "+o.offer.Reason)), w)...)
		}
	}
	return out
}

// helpCell is one key, greyed when it does nothing here and now.
func (m *Model) helpCell(group, i int, b key.Binding) line {
	h := b.Help()
	head := ln(bold(tokKey, h.Key)).pad(6)
	if !b.Enabled() || group == 0 && i < len(m.offers) && !m.offers[i].offer.Enabled {
		return ln(sp(tokFaint, h.Key)).pad(6).put(tokFaint, h.Desc)
	}
	return head.put(tokText, h.Desc)
}
