package ui

import (
	"errors"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// gated is a runner with a say about the environment.
type gated struct {
	*fakeRunner
	access    actions.Access
	forbidden string
}

func (g *gated) Access(string) actions.Access { return g.access }

func (g *gated) Forbidden(_, action string) string {
	if action == actions.UnlockName {
		return ""
	}
	return g.forbidden
}

func withGate(g *gated) func(*Options) {
	g.fakeRunner = &fakeRunner{confirm: actions.ConfirmType, events: closedEvents()}
	return func(o *Options) { o.Runner = g }
}

func TestReadOnlyIsSaidAndGreysWhatItForbids(t *testing.T) {
	g := &gated{access: actions.Access{ReadOnly: true}, forbidden: "prod is read only: L on the screen unlocks it for a while"}
	for _, size := range [][2]int{{80, 24}, {120, 40}, {160, 48}} {
		m := console(t, size[0], size[1], withGate(g))
		if first, _, _ := strings.Cut(screen(t, m), "\n"); !strings.Contains(first, "read-only") {
			t.Errorf("%v: the header does not say read-only: %s", size, first)
		}
		keys(m, "R")
		if m.flow.stage != flowIdle || !strings.Contains(screen(t, m), "prod is read only") {
			t.Errorf("%v: R began, or does not say why not", size)
		}
	}
	g.access.Until, g.forbidden = sampleNow.Add(14*time.Minute+32*time.Second), ""
	m := console(t, 120, 40, withGate(g))
	if first, _, _ := strings.Cut(screen(t, m), "\n"); !strings.Contains(first, "unlocked 14:32 left") {
		t.Errorf("header %s", first)
	}
	keys(m, "R")
	if m.flow.stage != flowPlanning {
		t.Error("R does not plan while it is unlocked")
	}
}

func TestMarkedServicesAreActedOnTogether(t *testing.T) {
	m := console(t, 120, 40)
	all := append([]fleet.Service{}, m.snap.Services...)
	for i := range all { // the previous release of each is known
		all[i].Releases.Previous = all[0].Releases.Previous
	}
	snap := *m.snap
	snap.Seq, snap.Services = snap.Seq+1, all
	send(m, snapshotMsg{&snap})
	space := tea.KeyPressMsg{Code: ' ', Text: " "}
	send(m, space, space)
	if got := len(m.targets()); got != 2 || m.list.cursor != 2 {
		t.Fatalf("%d marked, cursor at %d", got, m.list.cursor)
	}
	text := screen(t, m)
	if !strings.Contains(text, "+ 2 marked") || !strings.Contains(text, "✖+ai") || !strings.Contains(text, "▲+notification") {
		t.Errorf("the marks are not seen:\n%s", text)
	}
	keys(m, "R")
	if in := m.flow.intent; len(in.Targets) != 2 || in.Targets[0].Service.Name != "ai" || in.Targets[1].Service.Name != "notification" {
		t.Errorf("intent %+v", in)
	}
	keys(m, "esc")
	// A service that has gone takes its mark with it.
	gone := snap
	gone.Seq, gone.Services = snap.Seq+1, all[1:]
	send(m, snapshotMsg{&gone})
	if got := m.targets(); len(got) != 1 || got[0].Service.Name != "notification" {
		t.Errorf("targets %+v", got)
	}
	keys(m, "esc")
	if len(m.list.marked) != 0 {
		t.Error("esc does not unmark")
	}
	keys(m, "enter")
	send(m, space)
	if len(m.list.marked) != 0 {
		t.Error("space marks where there are no rows")
	}
}

func TestUndoIsReadFromTheJournal(t *testing.T) {
	var asked []string
	undo := func(plan string, key fleet.ServiceKey) (*actions.Undoable, error) {
		asked = append(asked, plan+" "+key.String())
		if key.Name != "ai" {
			return nil, errors.New("there is nothing to undo")
		}
		return &actions.Undoable{Intent: actions.Intent{Action: "redeploy", Targets: []fleet.Ref{{Service: key}}, Args: map[string]string{"to": "0.4.2"}, Why: "undo of p0"}}, nil
	}
	m := console(t, 120, 40, func(o *Options) { o.Undo = undo })
	_, cmd := m.Update(press("U"))
	deliver(m, cmd)
	if m.flow.stage != flowPlanning || m.flow.intent.Args["to"] != "0.4.2" || m.flow.intent.Who != "ana@laptop" {
		t.Fatalf("stage %d, intent %+v, asked %q", m.flow.stage, m.flow.intent, asked)
	}
	keys(m, "esc", "j")
	_, cmd = m.Update(press("U"))
	deliver(m, cmd)
	if m.flow.stage != flowIdle || !strings.Contains(screen(t, m), "undo is not possible: there is nothing to undo") {
		t.Errorf("what cannot be undone does not say why")
	}
}

// deliver runs a command and gives the screen the undo that it read.
func deliver(m *Model, cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	switch msg := cmd().(type) {
	case tea.BatchMsg:
		for _, c := range msg {
			if c == nil {
				continue
			}
			if got, ok := c().(undoMsg); ok {
				send(m, got)
				return
			}
		}
	case undoMsg:
		send(m, msg)
	}
}

func TestClockThatRunsDown(t *testing.T) {
	for d, want := range map[time.Duration]string{
		14*time.Minute + 32*time.Second: "14:32", time.Hour: "60:00", 500 * time.Millisecond: "00:01", -time.Second: "00:00",
	} {
		if got := clockLeft(d); got != want {
			t.Errorf("%s is %s, not %s", d, got, want)
		}
	}
}
