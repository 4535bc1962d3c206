// Package actionstest holds what every action has to keep, as a test that each of them runs.
package actionstest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/nexgate-hq/nexops/remote"
)

// Host is a remote.Host for tests: it records what is run on it, answers by a
// function, and breaks the connection where it is told to.
type Host struct {
	name   string
	answer func(ctx context.Context, cmd remote.Command) (remote.Result, error)

	mu    sync.Mutex
	calls [][]string
	cuts  []cut
}

// cut is a broken connection.
type cut struct {
	match  func(argv []string) bool
	effect bool // the command takes effect all the same
	err    error
}

var (
	_ remote.Host        = (*Host)(nil)
	_ remote.Interactive = (*Host)(nil)
)

// NewHost makes a host that answers by a function.
func NewHost(name string, answer func(ctx context.Context, cmd remote.Command) (remote.Result, error)) *Host {
	return &Host{name: name, answer: answer}
}

// Name is the config name.
func (h *Host) Name() string { return h.name }

// Address is how it would be reached.
func (h *Host) Address() string { return "test@" + h.name + ":22" }

// Close does nothing.
func (h *Host) Close() error { return nil }

// Dial is not possible.
func (h *Host) Dial(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("test host: nothing to dial")
}

// Run records the command and answers it.
func (h *Host) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	c := h.record(cmd.Argv)
	if c != nil && !c.effect {
		return remote.Result{}, fmt.Errorf("%s: %w", h.name, c.err)
	}
	if err := ctx.Err(); err != nil {
		return remote.Result{}, fmt.Errorf("%s: %w: %w", h.name, remote.ErrNotStarted, err)
	}
	res, err := h.answer(ctx, cmd)
	if err == nil && cmd.Stdout != nil {
		_, _ = cmd.Stdout.Write(res.Stdout)
	}
	if err == nil && cmd.Stderr != nil {
		_, _ = cmd.Stderr.Write(res.Stderr)
	}
	if c != nil {
		return remote.Result{}, fmt.Errorf("%s: %w", h.name, c.err)
	}
	return res, err
}

// Interact is Run with the terminal for its streams.
func (h *Host) Interact(ctx context.Context, cmd remote.Command, tty remote.TTY) (int, error) {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty.In, tty.Out, tty.Out
	res, err := h.Run(ctx, cmd)
	return res.Code, err
}

func (h *Host) record(argv []string) *cut {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, slices.Clone(argv))
	for i := range h.cuts {
		if h.cuts[i].match(argv) {
			return &h.cuts[i]
		}
	}
	return nil
}

// Lose breaks the connection while a command runs that match knows. effect says whether it took effect.
func (h *Host) Lose(match func(argv []string) bool, effect bool) {
	h.Refuse(match, effect, remote.ErrConnectionLost)
}

// Refuse makes Run fail with err for the commands that match knows.
func (h *Host) Refuse(match func(argv []string) bool, effect bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cuts = append(h.cuts, cut{match: match, effect: effect, err: err})
}

// Calls are the commands so far.
func (h *Host) Calls() [][]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}

// Forget empties the record.
func (h *Host) Forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = nil
}

// Has matches commands that have all these words, in this order.
func Has(words ...string) func(argv []string) bool {
	return func(argv []string) bool {
		i := 0
		for _, a := range argv {
			if i < len(words) && a == words[i] {
				i++
			}
		}
		return i == len(words)
	}
}

// Is matches exactly one argv.
func Is(want []string) func(argv []string) bool {
	return func(argv []string) bool { return slices.Equal(argv, want) }
}

func words(argv []string) string { return strings.Join(argv, " ") }
