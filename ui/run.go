package ui

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	tea "charm.land/bubbletea/v2"
)

// Run shows the screen until the person leaves or ctx ends. It returns after
// everything that the screen started has ended.
func Run(ctx context.Context, o Options) error {
	if _, err := NewTheme(o.Theme, true); err != nil {
		return err
	}
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	m := newModel(ctx, o)
	opts := []tea.ProgramOption{tea.WithContext(ctx), tea.WithFPS(framesPerSecond), tea.WithEnvironment(o.Environ),
		tea.WithoutSignalHandler()} // whoever calls ends ctx at a signal; two that do hang the program's end
	if o.Input != nil {
		opts = append(opts, tea.WithInput(o.Input))
	}
	if o.Output != nil {
		opts = append(opts, tea.WithOutput(o.Output))
	}
	return m.run(ctx, opts...)
}

// run is the program around the screen.
func (m *Model) run(ctx context.Context, opts ...tea.ProgramOption) error {
	var p pace
	p.program = tea.NewProgram(m, append(opts, tea.WithFilter(p.filter))...)
	_, err := p.program.Run()
	p.end()
	m.life.end()
	if err != nil && !(ctx.Err() != nil && errors.Is(err, ctx.Err())) {
		return fmt.Errorf("screen: %w", err)
	}
	return nil
}

// noColor reports whether the environment asks for no colours (no-color.org).
func noColor(environ []string) bool {
	for _, e := range environ {
		if v, ok := strings.CutPrefix(e, "NO_COLOR="); ok && v != "" {
			return true
		}
	}
	return false
}
