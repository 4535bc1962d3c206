package ui

import (
	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"
	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// key takes a key: the foremost thing gets it, and what types gets all of them.
func (m *Model) key(k tea.KeyPressMsg) tea.Cmd {
	switch {
	case m.flow.stage == flowConfirm:
		return m.confirmKey(k)
	case m.flow.stage == flowChoosing:
		return m.pickKey(k)
	case m.flow.stage != flowIdle:
		if s := k.String(); m.flow.stage != flowStarting && (s == "esc" || s == "ctrl+c") {
			m.abandon()
		}
		return nil // nothing typed now is meant for what is behind
	case m.view.overlay != overlayNone:
		return m.overlayKey(k)
	case key.Matches(k, m.keys.Screen.Interrupt):
		return m.quit()
	case m.view.focus == paneList && m.list.typing:
		return m.list.Update(k, &m.keys)
	case m.view.focus == paneDetail && !m.view.run && m.detail.typing():
		return m.detail.Update(k, &m.keys, m.subject())
	}
	if cmd, ok := m.actionKey(k); ok {
		return cmd
	}
	if cmd, ok := m.screenKey(k); ok {
		return cmd
	}
	return m.paneKey(k)
}

// actionKey takes the keys that change the world. Those that can not say why.
func (m *Model) actionKey(k tea.KeyPressMsg) (tea.Cmd, bool) {
	if key.Matches(k, m.keys.Undo) {
		return m.undo(), true
	}
	for i, b := range m.keys.Act {
		if key.Matches(k, b) {
			return m.act(m.o.Actions[i]), true
		}
	}
	return nil, false
}

// act offers an action on the selected service, or on the environment.
func (m *Model) act(a actions.Action) tea.Cmd {
	spec := a.Spec()
	if m.snap == nil {
		return m.toast(tokWarn, spec.Title+": nothing has been seen yet")
	}
	if o := m.offerOf(a); !o.Enabled {
		return m.toast(tokWarn, spec.Title+" is not possible: "+o.Reason)
	}
	var targets []fleet.Ref
	if spec.Scope == actions.ScopeService {
		targets = m.targets()
	}
	in := actions.Intent{Action: spec.Name, Targets: targets, Who: m.o.Who}
	if ch, ok := a.(actions.Chooser); ok {
		return m.choose(a, ch, in)
	}
	return m.begin(a, in)
}

// screenKey takes the keys that go from one place to another.
func (m *Model) screenKey(k tea.KeyPressMsg) (tea.Cmd, bool) {
	s := &m.keys.Screen
	switch {
	case key.Matches(k, s.Quit):
		return m.quit(), true
	case key.Matches(k, s.Help):
		m.view.overlay, m.view.help.top = overlayHelp, 0
	case key.Matches(k, s.Palette):
		m.view.overlay, m.view.palette = overlayPalette, newPalette(m.commands())
	case key.Matches(k, s.Back):
		m.back()
	case key.Matches(k, s.NextPane):
		m.view.focus = map[pane]pane{paneList: paneDetail, paneDetail: paneList}[m.view.focus]
	case key.Matches(k, s.Zoom):
		m.view.zoom = !m.view.zoom
	case key.Matches(k, s.Refresh):
		m.o.Poke()
		m.view.fetched = fetched{}
		return m.toast(tokDim, "the sources look again"), true
	case key.Matches(k, s.Copy):
		return m.copy(), true
	case key.Matches(k, m.keys.ViewRun):
		m.view.run, m.view.focus = true, paneDetail
	default:
		return nil, m.tabKey(k)
	}
	return nil, true
}

// tabKey takes the keys that choose a tab.
func (m *Model) tabKey(k tea.KeyPressMsg) bool {
	t := &m.keys.Tabs
	for i, b := range []key.Binding{t.Overview, t.Logs, t.Metrics, t.Changes, t.Inspect} {
		if key.Matches(k, b) {
			m.open(tab(i))
			return true
		}
	}
	switch {
	case key.Matches(k, t.Next):
		m.open((m.detail.tab + 1) % tabCount)
	case key.Matches(k, t.Prev):
		m.open((m.detail.tab + tabCount - 1) % tabCount)
	default:
		return false
	}
	return true
}

// back goes out one level.
func (m *Model) back() {
	switch {
	case m.view.run:
		m.view.run = false
		m.view.focus = paneList
		m.flow.run.seen = m.flow.run.ended // its verdict has been read; v shows it again
	case m.view.focus == paneDetail && m.detail.back():
	case m.view.zoom:
		m.view.zoom = false
	case m.view.focus == paneDetail:
		m.view.focus = paneList
	case m.list.filter != "":
		m.list.filter = ""
		m.list.refilter()
	case len(m.list.marked) > 0:
		m.list.marked = nil
	default:
		m.view.news = nil
	}
}

// paneKey gives the key to the pane that has the keys.
func (m *Model) paneKey(k tea.KeyPressMsg) tea.Cmd {
	a := m.arrange()
	enter := key.Matches(k, m.keys.Screen.Enter)
	switch {
	case m.view.run:
		r := inside(a.detail, m.bare())
		m.flow.run.Update(k, &m.keys, m.o.Now(), r.w, r.h)
		return nil
	case m.view.focus == paneDetail && enter:
		m.view.zoom = !m.view.zoom && a.split
		return nil
	case m.view.focus == paneDetail:
		return m.detail.Update(k, &m.keys, m.subject())
	case enter && m.list.service() != nil:
		m.view.focus = paneDetail
		return nil
	}
	return m.list.Update(k, &m.keys)
}

// confirmKey gives the key to the dialog, if it can be meant for it.
func (m *Model) confirmKey(msg tea.Msg) tea.Cmd {
	d := &m.flow.dialog
	r := m.dialogRect()
	w, h := r.w-4, m.dialogRoom(r)
	switch d.Update(msg, &m.keys, m.o.Now(), len(planLines(d, w)), h) {
	case answerEarly:
		d.gen++ // the silence begins anew
		return m.life.after(graceTime, armMsg{d.gen})
	case answerCancel:
		m.abandon()
		return m.toast(tokDim, "cancelled, nothing was done")
	case answerRun:
		return m.start(d.plan, d.confirmation())
	case answerNothing:
	}
	return nil
}

// overlayKey gives the key to what stands in front.
func (m *Model) overlayKey(k tea.KeyPressMsg) tea.Cmd {
	switch m.view.overlay {
	case overlaySources:
		r := m.sourcesRect()
		if !m.view.help.Update(k, &m.keys, len(m.sourceLines(r.w-4, m.o.Now())), r.h-2) {
			m.view.overlay = overlayNone
		}
	case overlayHelp:
		r := m.helpRect()
		if !m.view.help.Update(k, &m.keys, len(m.helpLines(r.w-4)), r.h-2) {
			m.view.overlay = overlayNone
		}
	case overlayPalette:
		done, run := m.view.palette.Update(k)
		if done {
			m.view.overlay = overlayNone
		}
		if c := m.view.palette.chosen(); run && c != nil {
			if c.off != "" {
				return m.toast(tokWarn, c.name+" is not possible: "+c.off)
			}
			return c.do(m)
		}
	case overlayQuit:
		return m.quitKey(k)
	case overlayNone:
	}
	return nil
}

// quit leaves, or asks when an action is running.
func (m *Model) quit() tea.Cmd {
	if m.flow.running() != runGoing && m.flow.stage != flowStarting {
		return tea.Quit
	}
	m.view.overlay, m.view.quit = overlayQuit, newInput(8)
	return nil
}

// quitKey is the answer to: wait, or quit and leave it to the journal.
func (m *Model) quitKey(k tea.KeyPressMsg) tea.Cmd {
	switch k.String() {
	case "enter":
		if m.view.quit.value() == "quit" {
			return tea.Quit
		}
		m.view.overlay = overlayNone
	case "esc", "ctrl+c":
		m.view.overlay = overlayNone
	default:
		m.view.quit.Update(k)
	}
	return nil
}

// paste is text for whatever types, and nothing else.
func (m *Model) paste(msg tea.PasteMsg) tea.Cmd {
	one := tea.PasteMsg{Content: trimNewline(msg.Content)}
	switch {
	case m.flow.stage == flowConfirm:
		return m.confirmKey(msg)
	case m.flow.stage == flowChoosing:
		return m.pickKey(one)
	case m.flow.stage != flowIdle:
	case m.view.overlay == overlayPalette:
		m.view.palette.Update(one)
	case m.view.overlay != overlayNone:
	case m.view.focus == paneList && m.list.typing:
		return m.list.Update(one, &m.keys)
	case m.view.focus == paneDetail && !m.view.run && m.detail.typing():
		return m.detail.Update(one, &m.keys, m.subject())
	}
	return nil
}

// wheelRows is how far one turn of the wheel goes.
const wheelRows = 3

// mouse selects by a click and scrolls by the wheel. It never answers a dialog.
func (m *Model) mouse(msg tea.Msg) tea.Cmd {
	if m.flow.stage != flowIdle || m.view.overlay != overlayNone {
		return nil
	}
	a, bare := m.arrange(), m.bare()
	switch msg := msg.(type) {
	case tea.MouseClickMsg:
		if msg.Button != tea.MouseLeft {
			return nil
		}
		if r := inside(a.list, bare); r.contains(msg.X, msg.Y) {
			m.view.focus = paneList
			if i, ok := m.list.rowAt(msg.Y - r.y); ok {
				m.list.moveTo(i)
			}
		} else if a.detail.contains(msg.X, msg.Y) {
			m.view.focus = paneDetail
		}
	case tea.MouseWheelMsg:
		k := tea.KeyPressMsg{Code: tea.KeyDown}
		if msg.Button == tea.MouseWheelUp {
			k = tea.KeyPressMsg{Code: tea.KeyUp}
		}
		return m.wheel(k, a, msg.X, msg.Y)
	}
	return nil
}

func (m *Model) wheel(k tea.KeyPressMsg, a arrangement, x, y int) tea.Cmd {
	var cmds []tea.Cmd
	for range wheelRows {
		switch r := inside(a.detail, m.bare()); {
		case a.list.contains(x, y):
			cmds = append(cmds, m.list.Update(k, &m.keys))
		case a.detail.contains(x, y) && m.view.run:
			m.flow.run.Update(k, &m.keys, m.o.Now(), r.w, r.h)
		case a.detail.contains(x, y):
			cmds = append(cmds, m.detail.Update(k, &m.keys, m.subject()))
		}
	}
	return tea.Batch(cmds...)
}
