package ui

import (
	"fmt"
	"strings"
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"
	"github.com/nexgate-hq/nexops/fleet"
)

// spinner are the pictures of something that takes its time.
const spinner = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"

// View draws the screen. It changes nothing but to note that the dialog has been drawn.
func (m *Model) View() tea.View {
	if m.frame.valid {
		return m.frame.view
	}
	v := tea.NewView("")
	if m.w > 0 && m.h > 0 {
		v = tea.NewView(encodeFrame(m.compose(), m.th, m.w))
	}
	v.AltScreen = true
	v.WindowTitle = Sanitize("nexops " + m.o.Environment)
	if m.o.Mouse {
		v.MouseMode = tea.MouseModeCellMotion
	}
	m.frame = frameCache{view: v, valid: true}
	return v
}

// arrange is where everything stands now.
func (m *Model) arrange() arrangement {
	want := wish{focus: m.view.focus, zoom: m.view.zoom, notices: len(notices(m, m.o.Now()))}
	if m.view.run {
		want.focus = paneDetail
	}
	want.listRows = m.list.wantRows(m.h)
	return arrange(m.w, m.h, want)
}

// bare reports whether panes go without a whole border.
func (m *Model) bare() bool { return m.h < roomyHeight }

func (m *Model) subject() subject {
	return subject{service: m.list.service(), offers: m.offers, snap: m.snap, logs: &m.detail.logs, now: m.o.Now(), o: &m.o}
}

// compose is the whole frame as lines.
func (m *Model) compose() []line {
	now := m.o.Now()
	frame := make([]line, m.h)
	a := m.arrange()
	if a.tooSmall {
		frame[m.h/2] = ln(sp(tokWarn, "terminal too small"), sp(tokDim, " "+itoa(m.w)+"x"+itoa(m.h)+", needs "+itoa(minWidth)+"x"+itoa(minHeight)))
		return frame
	}
	frame[0] = header(m, m.w, now)
	stack(frame, a.notice, notices(m, now))
	if !a.list.empty() {
		stack(frame, a.list, m.listBox(a.list, now))
	}
	if !a.detail.empty() {
		stack(frame, a.detail, m.detailBox(a.detail, now))
	}
	frame[m.h-1] = m.footer()
	m.noteOver(frame)
	m.overlays(frame)
	return frame
}

// noteRows bounds how much of the screen a note takes.
const noteRows = 5

// noteOver lays a note over the last lines, as many as it needs: a reason is not cut off.
func (m *Model) noteOver(frame []line) {
	if len(m.view.note) == 0 {
		return
	}
	rows := m.view.note.wrap(m.w - 2)
	if len(rows) > noteRows {
		rows = append(rows[:noteRows-1:noteRows-1], rows[noteRows-1].put(tokFaint, "…"))
	}
	for i, l := range rows {
		frame[m.h-len(rows)+i] = append(ln(sp(tokText, " ")), l...)
	}
}

func (m *Model) border(p pane) token {
	if m.view.focus == p {
		return tokFocus
	}
	return tokBorder
}

// listBox is the attention list in its border.
func (m *Model) listBox(r rect, now time.Time) []line {
	title := ln(bold(tokTitle, "services"), sp(tokDim, " by attention"))
	if n := len(m.list.marked); n > 0 {
		title = ln(bold(tokTitle, "services"), bold(tokAccent, "  + "+itoa(n)+" marked"), sp(tokDim, "  esc unmarks"))
	}
	var status line
	switch {
	case m.list.typing:
		title = append(ln(bold(tokTitle, "services"), bold(tokKey, " /")), m.list.in.view()...)
		status = m.countLine()
	case m.list.filter != "":
		title = ln(bold(tokTitle, "services"), bold(tokKey, " /"+m.list.filter), sp(tokDim, "  esc clears"))
		status = m.countLine()
	case len(m.list.shown) > 0:
		status = ln(sp(tokDim, itoa(m.list.cursor+1)+"/"+itoa(len(m.list.shown))))
	}
	var body []line
	switch {
	case m.snap == nil || len(m.snap.Services) == 0:
		body = m.emptyLines(now)
	case len(m.list.shown) == 0:
		body = []line{nil, ln(sp(tokDim, "  no service matches "), sp(tokText, m.list.filter), sp(tokDim, ", esc shows all"))}
	default:
		body = m.list.View(now)
		if in := inside(r, m.bare()); !m.arrange().split {
			below := m.peek(in.w, in.h-len(body), now)
			body = append(append(body, blank(in.h-len(body)-len(below))...), below...)
		}
	}
	return boxed(title, status, body, r, m.border(paneList), m.bare())
}

func (m *Model) countLine() line {
	all := 0
	if m.snap != nil {
		all = len(m.snap.Services)
	}
	return ln(sp(tokDim, itoa(len(m.list.shown))+" of "+itoa(all)))
}

// emptyLines says why there is no row: nothing has answered yet, or there is nothing.
func (m *Model) emptyLines(now time.Time) []line {
	if m.snap == nil {
		return []line{nil, ln(sp(tokInfo, "  ◌ connecting to "+m.o.Environment+"…")), ln(sp(tokDim, "    rows appear as soon as the first source has answered"))}
	}
	waiting, blind := false, false
	for _, s := range m.snap.Sources {
		waiting = waiting || s.State == fleet.SourceConnecting
		blind = blind || troubled(s, now)
	}
	out := []line{nil}
	switch {
	case waiting:
		out = append(out, ln(sp(tokInfo, "  ◌ connecting to "+m.o.Environment+"…")))
	case blind:
		out = append(out, ln(sp(tokWarn, "  ▲ no service can be seen in "), bold(tokAccent, m.o.Environment), sp(tokWarn, " while these fail:")))
	default:
		out = append(out, ln(sp(tokText, "  no service is seen in "), bold(tokAccent, m.o.Environment), sp(tokDim, ": none is running, none is desired")))
	}
	out = append(out, nil)
	for _, s := range m.snap.Sources {
		row := ln(sp(tokText, "  "), sp(tokDim, string(s.ID))).pad(26)
		switch {
		case s.State == fleet.SourceConnecting:
			row = row.put(tokInfo, "◌ connecting…")
		case troubled(s, now):
			row = row.put(tokCrit, "✖ ").put(tokText, s.Why())
		default:
			row = row.put(tokOK, "● ok ").put(tokDim, s.Detail)
		}
		out = append(out, row)
	}
	return out
}

// detailBox is the selected service, or the running action, in its border.
func (m *Model) detailBox(r rect, now time.Time) []line {
	in := inside(r, m.bare())
	if m.view.run && m.flow.run != nil {
		run := m.flow.run
		title := ln(bold(tokTitle, run.plan.Title))
		mark, tok := "▶", tokAccent
		if run.ended {
			mark, tok = outcomeMark(run.outcome)
		}
		status := ln(bold(tok, mark+" "+run.note), sp(tokDim, " "+age(run.elapsed(now))))
		return boxed(title, status, run.View(now, in.w, in.h), r, m.border(paneDetail), m.bare())
	}
	return boxed(m.detail.title(m.list.service(), r.w-m.detail.status().width()), m.detail.status(), m.detail.View(m.subject()), r, m.border(paneDetail), m.bare())
}

// footer is the keys that matter now.
func (m *Model) footer() line {
	if m.modal() {
		return nil // what stands in front says its own keys
	}
	if m.typing() {
		return ln(bold(tokKey, " enter"), sp(tokDim, " keeps it  "), bold(tokKey, "esc"), sp(tokDim, " clears it")) // all else is text
	}
	tail := ln(sp(tokText, "  "))
	for _, b := range []key.Binding{m.keys.Screen.Palette, m.keys.Screen.Help, m.keys.Screen.Quit} {
		tail = append(tail, hint(b)...)
	}
	out := ln(sp(tokText, " "))
	for _, l := range m.hints() {
		if out.width()+l.width()+tail.width() <= m.w {
			out = append(out, l...)
		}
	}
	return append(out, tail[1:]...)
}

// typing reports whether letters are text for one of the panes.
func (m *Model) typing() bool {
	return m.view.focus == paneList && m.list.typing || m.view.focus == paneDetail && !m.view.run && m.detail.typing()
}

func hint(b key.Binding) line {
	if !b.Enabled() {
		return nil
	}
	h := b.Help()
	return ln(bold(tokKey, firstWord(h.Key)), sp(tokDim, " "+h.Desc+"  "))
}

func firstWord(s string) string {
	w, _, _ := strings.Cut(s, " ")
	return w
}

// offerBrief is what an action would do, without the service: that one is selected.
func (m *Model) offerBrief(o offer, s *fleet.Service) string {
	if o.offer.Title == "" || s == nil {
		return o.spec.Title
	}
	if n := len(m.list.marked); n > 0 {
		return fmt.Sprintf("%s %d marked", o.spec.Name, n) // their names are in the overview, and in the plan
	}
	if m.view.run {
		return o.offer.Title // beside a run, which may be of another service
	}
	return strings.Replace(o.offer.Title, " "+s.Key.Name, "", 1)
}

// modal reports whether something stands in front of the panes and has the keys.
func (m *Model) modal() bool {
	return m.flow.stage != flowIdle || m.view.overlay != overlayNone
}

// hints are the keys of the situation, the most useful first.
func (m *Model) hints() []line {
	var out []line
	k := &m.keys
	if m.flow.running() == runEnded && m.view.run {
		out = append(out, hint(k.Undo))
	}
	busy := m.flow.busy() != ""
	for i, o := range m.offers {
		if o.spec.Quiet || i > 0 && !o.offer.Enabled {
			continue // the help has it, and why
		}
		if o.offer.Enabled && !busy {
			what := o.spec.Title
			if i == 0 {
				what = m.offerBrief(o, m.list.service())
			}
			out = append(out, ln(bold(tokKey, o.spec.Key), sp(tokDim, " "+what+"  ")))
			continue
		}
		out = append(out, ln(sp(tokFaint, o.spec.Key+" "+o.spec.Title+"  ")))
	}
	var list []key.Binding
	switch {
	case m.view.run:
		list = []key.Binding{k.Screen.Back, k.Screen.Copy}
	case m.view.focus == paneDetail && m.detail.tab == tabLogs:
		list = []key.Binding{k.Log.Follow, k.Log.Search, k.Log.Next, k.Log.Only, k.Log.Wrap, k.Log.Raw, k.Screen.Zoom, k.Screen.Back}
	case m.view.focus == paneDetail && m.detail.tab == tabInspect:
		list = []key.Binding{k.Log.Search, k.Log.Next, k.Log.Wrap, k.Screen.Copy, k.Screen.Zoom, k.Screen.Back}
	case m.view.focus == paneDetail:
		list = []key.Binding{k.Tabs.Logs, k.Tabs.Metrics, k.Tabs.Changes, k.Tabs.Inspect, k.Screen.Zoom, k.Screen.Copy, k.Screen.Back}
	default:
		list = []key.Binding{k.Screen.Enter, k.Tabs.Logs, k.Screen.Filter, k.Screen.Mark, k.Tabs.Metrics, k.Tabs.Changes, k.ViewRun}
	}
	for _, b := range list {
		out = append(out, hint(b))
	}
	return out
}
