package ui

import (
	"context"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// picker is where a person chooses what an action needs before it can be planned: one of
// some rows, or, where the action allows it, what is typed.
type picker struct {
	choices actions.Choices
	in      input
	shown   []int // rows that match what is typed
	at      int
	note    string
	opened  time.Time
}

// pick is what a key meant for the picker.
type pick uint8

const (
	pickNothing pick = iota
	pickCancel
	pickChosen
)

func newPicker(c actions.Choices, now time.Time) picker {
	p := picker{choices: c, in: newInput(120), opened: now}
	p.match()
	if i := slices.IndexFunc(c.Rows, func(r actions.Choice) bool { return r.Reason == "" }); i > 0 {
		p.at = i
	}
	return p
}

// match keeps the rows that have what is typed in one of their words.
func (p *picker) match() {
	p.shown, p.at = p.shown[:0], 0
	want := strings.ToLower(strings.TrimSpace(p.in.value()))
	for i, r := range p.choices.Rows {
		if want == "" || strings.Contains(strings.ToLower(r.Value+" "+strings.Join(r.Cells, " ")), want) {
			p.shown = append(p.shown, i)
		}
	}
}

// Update takes a key or a paste. What was typed before the picker could be seen is not for it.
func (p *picker) Update(msg tea.Msg, now time.Time) pick {
	if now.Sub(p.opened) < graceTime {
		return pickNothing
	}
	if k, ok := msg.(tea.KeyPressMsg); ok {
		switch k.String() {
		case "esc", "ctrl+c":
			return pickCancel
		case "enter":
			return p.enter()
		case "up", "ctrl+p", "shift+tab":
			p.at = max(p.at-1, 0)
			return pickNothing
		case "down", "ctrl+n", "tab":
			p.at = min(p.at+1, max(len(p.shown)-1, 0))
			return pickNothing
		}
	}
	before := p.in.value()
	p.in.Update(msg)
	if p.in.value() != before {
		p.note = ""
		p.match()
	}
	return pickNothing
}

func (p *picker) enter() pick {
	switch r := p.row(); {
	case r != nil && r.Reason != "":
		p.note = r.Value + " is not possible: " + r.Reason
	case p.value() != "":
		return pickChosen
	case p.choices.Free != "":
		p.note = "type " + p.choices.Free
	default:
		p.note = "nothing matches: clear what is typed"
	}
	return pickNothing
}

// row is the one under the cursor; nil when none matches.
func (p *picker) row() *actions.Choice {
	if p.at >= len(p.shown) {
		return nil
	}
	return &p.choices.Rows[p.shown[p.at]]
}

// value is what Enter would choose: the row, else what is typed where that is allowed.
func (p *picker) value() string {
	if typed := strings.TrimSpace(p.in.value()); p.choices.Free != "" && typed != "" {
		if r := p.row(); r == nil || r.Value != typed {
			return typed
		}
	}
	if r := p.row(); r != nil {
		return r.Value
	}
	return ""
}

// typed reports whether what is chosen is text of the person's own.
func (p *picker) typed() bool {
	text := strings.TrimSpace(p.in.value())
	return p.choices.Free != "" && text != "" && p.value() == text
}

// View is the line of typing, the headings and what fits of the rows.
func (p *picker) View(w, h int) []line {
	ask := ln(sp(tokDim, "filter "))
	if p.choices.Free != "" {
		ask = ln(bold(tokKey, "> "))
	}
	out := append(p.help(w), append(ask, p.in.view()...))
	out = append(out, p.noted(w)...)
	widths := p.widths()
	if len(p.choices.Columns) > 0 && (len(p.shown) > 0 || p.choices.Free == "") {
		out = append(out, p.cells(p.choices.Columns, widths, tokDim, "  ").truncate(w))
	}
	room := max(h-len(out), 1)
	from := max(p.at-room+1, 0)
	for i := from; i < len(p.shown) && i < from+room; i++ {
		r := &p.choices.Rows[p.shown[i]]
		mark, tok := "  ", tokText
		if i == p.at {
			mark = "▸ "
		}
		if r.Reason != "" {
			tok = tokFaint
		}
		row := p.cells(r.Cells, widths, tok, mark)
		if r.Reason != "" {
			row = row.put(tokFaint, "  "+r.Reason)
		}
		if row = row.truncate(w); i == p.at {
			row = row.pad(w).with(modSel)
		}
		out = append(out, row)
	}
	switch {
	case len(p.choices.Rows) == 0 && p.choices.Free == "":
		out = append(out, ln(sp(tokDim, "  there is nothing to choose from")))
	case len(p.shown) == 0 && p.choices.Free != "" && p.value() != "":
		out = append(out, ln(sp(tokDim, "  enter takes what is typed")))
	}
	return out
}

// help says what may be typed beside the rows: on lines of its own, so that what is typed has room.
func (p *picker) help(w int) []line {
	if p.choices.Free == "" {
		return nil
	}
	return hangingLine(nil, ln(sp(tokDim, "choose, or type "+p.choices.Free)), w)
}

// noted is why what was chosen is not taken.
func (p *picker) noted(w int) []line {
	if p.note == "" {
		return nil
	}
	return hangingLine(ln(sp(tokWarn, "▲ ")), ln(sp(tokWarn, p.note)), w)
}

func (p *picker) cells(cells []string, widths []int, tok token, mark string) line {
	out := ln(sp(tok, mark))
	at := textWidth(mark)
	for i, c := range cells {
		out = out.put(tok, c)
		if at += widths[i] + 2; i < len(cells)-1 {
			out = out.pad(at)
		}
	}
	return out
}

func (p *picker) widths() []int {
	var out []int
	grow := func(cells []string) {
		for i, c := range cells {
			if i == len(out) {
				out = append(out, 0)
			}
			out[i] = max(out[i], textWidth(c))
		}
	}
	grow(p.choices.Columns)
	for _, r := range p.choices.Rows {
		grow(r.Cells)
	}
	return out
}

// choose asks an action what there is to choose from.
func (m *Model) choose(a actions.Action, ch actions.Chooser, in actions.Intent) tea.Cmd {
	f := &m.flow
	if why := f.busy(); why != "" {
		return m.toast(tokWarn, why)
	}
	f.action, f.intent, f.dialog, f.spin = a, in, dialog{}, 0
	f.stage = flowReading
	if f.stop != nil {
		f.stop()
	}
	ctx, stop := context.WithCancel(m.life.ctx)
	f.stop = stop
	f.seq++
	return tea.Batch(m.life.choices(ctx, f.seq, ch, m.snap, in), m.life.after(spinEvery, spinMsg{f.seq}))
}

func (l *life) choices(ctx context.Context, seq int, ch actions.Chooser, snap *fleet.Snapshot, in actions.Intent) tea.Cmd {
	return l.do(func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, planTimeout)
		defer cancel()
		c, err := ch.Choices(ctx, snap, in.Targets)
		return choicesMsg{seq, c, err}
	})
}

// chosen takes what there is to choose from.
func (m *Model) chosen(msg choicesMsg) tea.Cmd {
	f := &m.flow
	if msg.seq != f.seq || f.stage != flowReading {
		return nil
	}
	f.stop()
	if msg.err != nil {
		f.stage = flowIdle
		return m.toast(tokCrit, f.intent.Action+": "+msg.err.Error())
	}
	f.stage, f.picker = flowChoosing, newPicker(msg.choices, m.o.Now())
	if rows := msg.choices.Rows; msg.choices.Free == "" && len(rows) == 1 && rows[0].Reason == "" {
		return m.pickValue(rows[0].Value) // nothing to choose: the plan says what it is about
	}
	return nil
}

// pickKey gives a key or a paste to the picker.
func (m *Model) pickKey(msg tea.Msg) tea.Cmd {
	f := &m.flow
	switch f.picker.Update(msg, m.o.Now()) {
	case pickCancel:
		m.abandon()
		return m.toast(tokDim, "cancelled, nothing was done")
	case pickChosen:
		return m.pickValue(f.picker.value())
	case pickNothing:
	}
	return nil
}

// pickValue goes on with what was chosen.
func (m *Model) pickValue(value string) tea.Cmd {
	f := &m.flow
	args := map[string]string{}
	for k, v := range f.intent.Args {
		args[k] = v
	}
	args[f.picker.choices.Arg] = value
	in := f.intent
	in.Args = args
	f.stage = flowIdle
	asked := f.picker
	cmd := m.begin(f.action, in)
	f.picker = asked // until the plan is there
	return cmd
}

func (m *Model) pickerOverlay(frame []line) {
	p := &m.flow.picker
	w := min(110, m.w-2)
	inner := min(w, m.w) - 4
	h := len(p.choices.Rows) + 3 + len(p.help(inner)) + max(1, len(p.noted(inner))) // the border, what is typed, and a note
	if len(p.choices.Columns) > 0 {
		h++
	}
	h = min(h, m.h-2)
	r := centered(m.w, m.h, w, max(h, 6))
	body := p.View(r.w-4, r.h-2)
	status := ln(bold(tokKey, "enter"), sp(tokDim, " chooses  "), bold(tokKey, "esc"), sp(tokDim, " cancels"))
	over(frame, r, boxed(ln(bold(tokTitle, p.choices.Title)), status, body, r, tokFocus, false), m.w)
}
