package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/exp/golden"
	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// press makes the message of a key by its name.
func press(k string) tea.KeyPressMsg {
	switch k {
	case "enter":
		return tea.KeyPressMsg{Code: tea.KeyEnter}
	case "esc":
		return tea.KeyPressMsg{Code: tea.KeyEscape}
	case "tab":
		return tea.KeyPressMsg{Code: tea.KeyTab}
	case "up":
		return tea.KeyPressMsg{Code: tea.KeyUp}
	case "down":
		return tea.KeyPressMsg{Code: tea.KeyDown}
	case "pgup":
		return tea.KeyPressMsg{Code: tea.KeyPgUp}
	case "ctrl+c":
		return tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl}
	case "ctrl+d":
		return tea.KeyPressMsg{Code: 'd', Mod: tea.ModCtrl}
	}
	return tea.KeyPressMsg{Code: []rune(k)[0], Text: k}
}

// console is a screen of a size on the sample estate; its commands are not run.
func console(t testing.TB, w, h int, change ...func(*Options)) *Model {
	t.Helper()
	o := sampleOptions()
	for _, c := range change {
		c(&o)
	}
	m := New(o)
	t.Cleanup(m.life.end)
	send(m, tea.WindowSizeMsg{Width: w, Height: h})
	return m
}

func send(m *Model, msgs ...tea.Msg) {
	for _, msg := range msgs {
		m.Update(msg)
		m.View()
	}
}

func keys(m *Model, names ...string) {
	for _, n := range names {
		send(m, press(n))
	}
}

// screen is the frame as text, every line as wide as the terminal.
func screen(t testing.TB, m *Model) string {
	t.Helper()
	s := ansi.Strip(m.View().Content)
	lines := strings.Split(s, "\n")
	if len(lines) != m.h {
		t.Errorf("the frame has %d lines, want %d", len(lines), m.h)
	}
	for i, l := range lines {
		if w := ansi.StringWidth(l); w != m.w {
			t.Errorf("line %d takes %d columns, want %d: %q", i, w, m.w, l)
		}
	}
	return s + "\n"
}

// planFor brings the console to the plan that its key has asked for.
func planFor(t testing.TB, m *Model) *actions.Plan {
	t.Helper()
	p, err := m.flow.action.Plan(t.Context(), m.snap, m.flow.intent)
	if err != nil {
		t.Fatal(err)
	}
	send(m, plannedMsg{m.flow.seq, p, nil})
	return p
}

// closedEvents are the events of an action that has nothing more to say.
func closedEvents() chan actions.Event {
	ch := make(chan actions.Event)
	close(ch)
	return ch
}

func arm(m *Model) { send(m, armMsg{m.flow.dialog.gen}) }

// withLog shows the sample log.
func withLog(m *Model) {
	keys(m, "l")
	m.detail.logs.add(sampleLog(), 0)
	send(m, tickMsg(sampleNow))
}

func TestGolden(t *testing.T) {
	screens := []struct {
		name string
		show func(t *testing.T, m *Model)
	}{
		{"list", func(*testing.T, *Model) {}},
		{"filter", func(_ *testing.T, m *Model) { keys(m, "/", "t", "r", "a", "e") }},
		{"overview", func(_ *testing.T, m *Model) { keys(m, "enter") }},
		{"logs", func(_ *testing.T, m *Model) { withLog(m) }},
		{"search", func(_ *testing.T, m *Model) {
			withLog(m)
			keys(m, "/", "l", "o", "a", "d", "enter")
		}},
		{"metrics", func(_ *testing.T, m *Model) { keys(m, "m") }},
		{"changes", func(_ *testing.T, m *Model) {
			keys(m, "c")
			send(m, journalMsg{m.list.selected, m.o.Journal(m.list.selected)})
		}},
		{"inspect", func(_ *testing.T, m *Model) {
			keys(m, "i")
			send(m, inspectMsg{m.list.selected, sampleJSON})
		}},
		{"help", func(_ *testing.T, m *Model) { keys(m, "?") }},
		{"sources", func(_ *testing.T, m *Model) {
			m.snap.Sources[0].Warnings = []string{"services/ai/tag.env: two keys, AI_TAG and TAG: the first is taken\x1b[2J"}
			keys(m, ":", "s", "o", "u", "r", "c", "e", "s", "enter")
		}},
		{"palette", func(_ *testing.T, m *Model) { keys(m, ":", "r", "e") }},
		{"planning", func(_ *testing.T, m *Model) { keys(m, "R") }},
		{"confirm", func(t *testing.T, m *Model) {
			keys(m, "R")
			planFor(t, m)
		}},
		{"run", func(t *testing.T, m *Model) {
			keys(m, "R")
			p := planFor(t, m)
			send(m, runStartedMsg{p, closedEvents(), nil}, eventsMsg{p.ID, sampleEvents("")[:6], false})
		}},
		{"verdict", func(t *testing.T, m *Model) {
			keys(m, "R")
			p := planFor(t, m)
			send(m, runStartedMsg{p, closedEvents(), nil}, eventsMsg{p.ID, sampleEvents(actions.OutcomeDegraded, "errors 2.3 %, baseline 0.1 %"), true})
		}},
		{"marked", func(_ *testing.T, m *Model) {
			m.o.Runner = &gated{access: actions.Access{ReadOnly: true, Until: sampleNow.Add(14*time.Minute + 32*time.Second)}}
			send(m, tea.KeyPressMsg{Code: ' ', Text: " "}, tea.KeyPressMsg{Code: ' ', Text: " "})
		}},
		{"quit", func(t *testing.T, m *Model) {
			keys(m, "R")
			p := planFor(t, m)
			send(m, runStartedMsg{p, closedEvents(), nil})
			keys(m, "esc", "q")
		}},
	}
	for _, size := range [][2]int{{60, 15}, {80, 24}, {120, 40}, {160, 48}} {
		for _, s := range screens {
			t.Run(fmt.Sprintf("%s-%dx%d", s.name, size[0], size[1]), func(t *testing.T) {
				m := console(t, size[0], size[1])
				s.show(t, m)
				golden.RequireEqual(t, []byte(screen(t, m)))
			})
		}
	}
}

// TestGoldenEstates are the estates that are not as one would like.
func TestGoldenEstates(t *testing.T) {
	for name, snap := range map[string]*fleet.Snapshot{
		"first":      nil,
		"empty":      {Seq: 1, Environment: "prod", Sources: sampleSources(false)},
		"blind":      {Seq: 1, Environment: "prod", Sources: sampleSources(true), Hosts: []fleet.Host{{Name: "prod-2", Error: "connection refused"}}},
		"connecting": {Seq: 1, Environment: "prod", Sources: []fleet.SourceStatus{{ID: "docker/prod-1", Kind: "docker", Name: "prod-1", Hosts: []string{"prod-1"}, State: fleet.SourceConnecting}}},
		"forty":      sampleMany(40, 3),
		"claims":     sampleClaims(),
	} {
		for _, size := range [][2]int{{80, 24}, {120, 40}} {
			t.Run(fmt.Sprintf("%s-%dx%d", name, size[0], size[1]), func(t *testing.T) {
				m := console(t, size[0], size[1], func(o *Options) { o.Latest = func() *fleet.Snapshot { return snap } })
				golden.RequireEqual(t, []byte(screen(t, m)))
			})
		}
	}
}

// TestEverySizeIsFilled draws every screen at every odd size: no line may be longer or shorter than the terminal.
func TestEverySizeIsFilled(t *testing.T) {
	for w := 20; w <= 200; w += 13 {
		for h := 5; h <= 60; h += 7 {
			m := console(t, w, h)
			screen(t, m)
			for _, k := range []string{"enter", "l", "m", "c", "i", "?", "esc", ":", "esc", "/", "esc", "z"} {
				keys(m, k)
				screen(t, m)
			}
			if t.Failed() {
				t.Fatalf("at %dx%d", w, h)
			}
		}
	}
}
