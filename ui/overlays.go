package ui

import (
	"strings"
	"unicode/utf8"

	"charm.land/bubbles/v2/key"
)

// overlays lays over the frame what stands in front of it.
func (m *Model) overlays(frame []line) {
	switch {
	case m.flow.stage == flowConfirm:
		m.dialogOverlay(frame)
		return
	case m.flow.stage == flowPlanning || m.flow.stage == flowStarting:
		m.planningOverlay(frame)
		return
	}
	switch m.view.overlay {
	case overlayHelp:
		r := m.helpRect()
		lines := m.helpLines(r.w - 4)
		body := m.view.help.window(lines, r.h-2)
		over(frame, r, boxed(ln(bold(tokTitle, "keys")), ln(sp(tokDim, "any other key closes")), body, r, tokFocus, false), m.w)
	case overlayPalette:
		r := rect{max((m.w-72)/2, 1), min(2, m.h/6), min(72, m.w-2), min(16, m.h-4)}
		body := m.view.palette.View(r.w-4, r.h-2)
		over(frame, r, boxed(ln(bold(tokTitle, "command")), ln(sp(tokDim, "tab completes")), body, r, tokFocus, false), m.w)
	case overlayQuit:
		r := centered(m.w, m.h, 64, 7)
		ask := append(ln(sp(tokText, "or type "), bold(tokAccent, "quit"), sp(tokText, " and leave it to the journal: ")), m.view.quit.view()...)
		body := []line{ln(bold(tokWarn, "▲ an action is running")), ln(sp(tokText, m.running())), nil, ln(bold(tokKey, "enter"), sp(tokText, " waits")), ask}
		over(frame, r, boxed(ln(bold(tokTitle, "quit?")), nil, body, r, tokWarn, false), m.w)
	case overlayNone:
	}
}

func (m *Model) running() string {
	if m.flow.run != nil {
		return m.flow.run.plan.Title
	}
	return m.flow.intent.Action
}

func (m *Model) planningOverlay(frame []line) {
	what := "making the plan: reads and preflights, changes nothing"
	if m.flow.stage == flowStarting {
		what = "starting"
	}
	n := utf8.RuneCountInString(spinner)
	body := []line{ln(sp(tokAccent, string([]rune(spinner)[m.flow.spin%n])+" "), sp(tokText, what)), ln(sp(tokDim, "  esc gives up"))}
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
	cols := max(w/36, 1)
	cw := w / cols
	var out []line
	for gi, g := range m.keys.groups() {
		if gi > 0 {
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
	return append(out, nil, ln(sp(tokFaint, "greyed: not here and now · what changes the world is a capital letter and shows its plan first")).truncate(w))
}

// helpCell is one key; a disabled action says why.
func (m *Model) helpCell(group, i int, b key.Binding) line {
	h := b.Help()
	head := ln(bold(tokKey, h.Key)).pad(6)
	if group == 0 && i < len(m.offers) && !m.offers[i].offer.Enabled {
		return ln(sp(tokFaint, h.Key)).pad(6).put(tokFaint, h.Desc+": "+m.offers[i].offer.Reason)
	}
	if !b.Enabled() {
		return ln(sp(tokFaint, h.Key)).pad(6).put(tokFaint, h.Desc)
	}
	return head.put(tokText, h.Desc)
}
