package ui

import (
	"io"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
)

// ends is a screen that ends at its first key.
type ends struct{}

func (ends) Init() tea.Cmd { return func() tea.Msg { return tea.KeyPressMsg{Code: 'q', Text: "q"} } }

func (e ends) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	if _, ok := msg.(tea.KeyPressMsg); ok {
		return e, tea.Quit
	}
	return e, nil
}

func (ends) View() tea.View { return tea.NewView("nothing") }

// TestPaceOfTheRenderer holds that the library still has the ticker that is slowed down when nobody is at the screen.
func TestPaceOfTheRenderer(t *testing.T) {
	var steps pace
	steps.program = tea.NewProgram(ends{}, tea.WithInput(nil), tea.WithOutput(io.Discard), tea.WithoutSignalHandler(), tea.WithFPS(framesPerSecond),
		tea.WithFilter(steps.filter))
	if _, err := steps.program.Run(); err != nil {
		t.Fatal(err)
	}
	defer steps.end()
	if steps.ticker == nil || steps.idle == nil {
		t.Fatal("the renderer's ticker was not found: has the library changed?")
	}
	steps.ticker.Reset(idleFrame) // it is one
	<-steps.ticker.C
	steps.ticker.Stop()
	if idleAfter < 10*time.Second/framesPerSecond {
		t.Error("it slows down between two keys")
	}
}
