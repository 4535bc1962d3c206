package ui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/exp/golden"
	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// choosing is an action that has something to choose.
type choosing struct {
	*fakeAction
	choices actions.Choices
}

func (c choosing) Choices(context.Context, *fleet.Snapshot, []fleet.Ref) (actions.Choices, error) {
	return c.choices, nil
}

func sampleChoices() actions.Choices {
	c := actions.Choices{
		Title: "deploy which release of ai?", Arg: "to",
		Columns: []string{"release", "digest", "age", "ran", "errors", "image"},
	}
	for i, r := range []struct{ tag, errors, why string }{
		{"0.4.2", "7.1 %", "runs now"}, {"0.4.1", "0.1 %", ""}, {"0.4.0", "<0.1 %", ""}, {"0.3.9\x1b[2J", "0.2 %", ""}, {"0.3.8", "–", "its image is neither on the hosts nor in the registry"},
	} {
		c.Rows = append(c.Rows, actions.Choice{
			Value: r.tag, Reason: r.why,
			Cells: []string{r.tag, fmt.Sprintf("%012x", i*7919), age(time.Duration(i) * 31 * time.Hour), "3 d", r.errors, "on prod-1"},
		})
	}
	return c
}

// picking brings a console to the picker of an action.
func picking(t *testing.T, w, h int, choices actions.Choices) *Model {
	t.Helper()
	c := &clock{sampleNow}
	m := console(t, w, h, func(o *Options) {
		o.Actions = []actions.Action{choosing{newRedeploy(), choices}}
		o.Now = c.now
	})
	keys(m, "R")
	if m.flow.stage != flowReading {
		t.Fatal("R did not ask what there is to choose from")
	}
	send(m, choicesMsg{m.flow.seq, choices, nil})
	keys(m, "enter") // typed before anything could be seen
	if m.flow.stage != flowChoosing {
		t.Fatal("a key typed ahead chose a row")
	}
	c.t = c.t.Add(time.Second)
	return m
}

func TestPickerGolden(t *testing.T) {
	for _, size := range [][2]int{{60, 15}, {80, 24}, {120, 40}, {160, 48}} {
		t.Run(fmt.Sprintf("picker-%dx%d", size[0], size[1]), func(t *testing.T) {
			golden.RequireEqual(t, []byte(screen(t, picking(t, size[0], size[1], sampleChoices()))))
		})
	}
}

func TestPickerChoosesARow(t *testing.T) {
	m := picking(t, 120, 40, sampleChoices())
	keys(m, "down", "enter") // the cursor begins on the first that can be chosen
	if m.flow.stage != flowPlanning || m.flow.intent.Args["to"] != "0.4.0" {
		t.Fatalf("stage %d, args %v", m.flow.stage, m.flow.intent.Args)
	}
}

func TestPickerRefusesWhatCannotBeChosen(t *testing.T) {
	m := picking(t, 120, 40, sampleChoices())
	keys(m, "up", "enter")
	if m.flow.stage != flowChoosing || !strings.Contains(m.flow.picker.note, "runs now") {
		t.Fatalf("stage %d, note %q", m.flow.stage, m.flow.picker.note)
	}
	keys(m, "0", ".", "3", ".", "8", "enter")
	if m.flow.stage != flowChoosing || !strings.Contains(m.flow.picker.note, "neither on the hosts") {
		t.Fatalf("stage %d, note %q", m.flow.stage, m.flow.picker.note)
	}
	keys(m, "z", "enter")
	if m.flow.stage != flowChoosing || !strings.Contains(m.flow.picker.note, "nothing matches") {
		t.Fatalf("stage %d, note %q", m.flow.stage, m.flow.picker.note)
	}
	keys(m, "esc")
	if m.flow.stage != flowIdle {
		t.Fatal("esc did not leave it")
	}
}

func TestPickerTakesWhatIsTyped(t *testing.T) {
	c := actions.Choices{Title: "how many?", Arg: "count", Rows: []actions.Choice{{Value: "1", Cells: []string{"1"}}, {Value: "2", Cells: []string{"2"}}}, Free: "a number from 1 to 8"}
	m := picking(t, 80, 24, c)
	send(m, tea.PasteMsg{Content: "7\n"})
	if m.flow.stage != flowChoosing {
		t.Fatal("a pasted newline is no answer")
	}
	keys(m, "enter")
	if m.flow.intent.Args["count"] != "7" {
		t.Fatalf("args %v", m.flow.intent.Args)
	}
}

// However long it takes to say what may be typed, what is typed can be read.
// TestWhatWasTypedIsNotLost: a plan that cannot be made of what was typed says why, and leaves it there to be mended.
func TestWhatWasTypedIsNotLost(t *testing.T) {
	choices := sampleChoices()
	choices.Free = "a tag"
	m := picking(t, 120, 40, choices)
	keys(m, "n", "o", "n", "e", "enter")
	send(m, plannedMsg{m.flow.seq, nil, errors.New("there is no such release: write a tag")})
	if m.flow.stage != flowChoosing || !strings.Contains(screen(t, m), "none") || !strings.Contains(screen(t, m), "there is no such release: write a tag") {
		t.Fatalf("stage %d\n%s", m.flow.stage, screen(t, m))
	}
	keys(m, "x", "enter")
	if m.flow.stage != flowPlanning || m.flow.intent.Args["to"] != "nonex" {
		t.Fatalf("stage %d, args %v", m.flow.stage, m.flow.intent.Args)
	}
	keys(m, "esc")
	keys(m, "R")
	send(m, choicesMsg{m.flow.seq, choices, nil})
	if m.flow.picker.in.value() != "" {
		t.Error("the next one begins with it")
	}
}

func TestWhatIsTypedIntoThePickerIsSeen(t *testing.T) {
	c := actions.Choices{
		Title: "hold prod for how long?", Arg: "for", Rows: []actions.Choice{{Value: "30m", Cells: []string{"30m"}}},
		Free: `how long and why: "2h migration of orders"; "ai: 2h load test" holds one service alone`,
	}
	for _, w := range []int{60, 120} {
		m := picking(t, w, 24, c)
		send(m, tea.PasteMsg{Content: "ai: 3h the invoices are written"})
		s := screen(t, m)
		for _, want := range []string{"> ai: 3h the invoices are written", "service alone", "enter takes what is typed"} {
			if !strings.Contains(s, want) {
				t.Errorf("%d columns: no %q in\n%s", w, want, s)
			}
		}
	}
}

func TestPickerThatCannotBeRead(t *testing.T) {
	m := console(t, 80, 24, func(o *Options) { o.Actions = []actions.Action{choosing{newRedeploy(), sampleChoices()}} })
	keys(m, "R")
	send(m, choicesMsg{m.flow.seq, actions.Choices{}, errors.New("prod-1 cannot be reached")})
	if m.flow.stage != flowIdle || !strings.Contains(m.view.note.String(), "prod-1 cannot be reached") {
		t.Fatalf("stage %d, note %q", m.flow.stage, m.view.note)
	}
}
