package ui

import (
	tea "charm.land/bubbletea/v2"
	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// undoMsg is the way back that was read.
type undoMsg struct {
	seq  int
	undo *actions.Undoable
	err  error
}

// mayUndo reports whether there may be something to put back: the run on the screen, or what the
// journal has of the selected service.
func (m *Model) mayUndo() bool {
	if m.view.run {
		return m.flow.running() == runEnded && m.flow.run.wayBack() != nil
	}
	return m.o.Undo != nil && m.list.service() != nil || m.flow.running() == runEnded && m.flow.run.wayBack() != nil
}

// undo offers to put back what the run on the screen did, else what was last done to the selected service,
// whichever console did it.
func (m *Model) undo() tea.Cmd {
	f := &m.flow
	if !m.mayUndo() {
		return nil
	}
	if why := f.busy(); why != "" {
		return m.toast(tokWarn, why)
	}
	if m.o.Undo == nil {
		return m.beginUndo(*f.run.plan.Undo)
	}
	plan, read := "", m.o.Undo
	if m.view.run {
		plan = f.run.plan.ID
	}
	s := m.list.service()
	if s == nil && plan == "" {
		return m.toast(tokWarn, "undo: no service is selected")
	}
	var key fleet.ServiceKey
	if s != nil {
		key = s.Key
	}
	f.seq++
	seq := f.seq
	return m.life.do(func() tea.Msg {
		u, err := read(plan, key)
		return undoMsg{seq, u, err}
	})
}

// undoRead takes the way back that was read, and plans it.
func (m *Model) undoRead(msg undoMsg) tea.Cmd {
	if msg.seq != m.flow.seq || m.flow.stage != flowIdle {
		return nil // something else has begun meanwhile
	}
	if msg.err != nil {
		return m.toast(tokWarn, "undo is not possible: "+msg.err.Error())
	}
	return m.beginUndo(msg.undo.Intent)
}

func (m *Model) beginUndo(in actions.Intent) tea.Cmd {
	if in.Who == "" {
		in.Who = m.o.Who
	}
	for _, a := range m.o.Actions {
		if a.Spec().Name == in.Action {
			return m.begin(a, in)
		}
	}
	return m.toast(tokWarn, "undo: this console has no action "+in.Action)
}
