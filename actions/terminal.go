package actions

import (
	"context"
	"io"

	"github.com/nexgate-hq/nexops/remote"
)

// TTY is a terminal that was borrowed.
type TTY = remote.TTY

// Size is how large it is.
type Size = remote.Size

// Streams are the plain input and output of a command line.
type Streams struct {
	In     io.Reader
	Out    io.Writer // nil where there are none, as on a screen
	Err    io.Writer
	Piped  bool // In is no terminal: what it holds is meant for the program
	Screen bool // a terminal can be borrowed
}

// Terminal is the terminal of the person who acts. A step that needs it borrows it.
type Terminal interface {
	// Borrow hands the terminal, raw, to use, and takes it back intact when use returns, however that
	// ends. ctx is done when the person has gone. title is one line that says to the person what it is.
	Borrow(ctx context.Context, title string, use func(ctx context.Context, tty TTY) error) error
	// Streams are for a program that needs no terminal.
	Streams() Streams
	// Ended is told the exit code of the program, once it is known.
	Ended(code int)
}

// terminalKey is where a context keeps the terminal of the person who acts.
type terminalKey struct{}

// WithTerminal gives the plan that is run with the context a terminal to borrow.
func WithTerminal(ctx context.Context, t Terminal) context.Context {
	return context.WithValue(ctx, terminalKey{}, t)
}

// TerminalOf is the terminal that a step may borrow; nil when nobody sits at one.
func TerminalOf(ctx context.Context) Terminal {
	t, _ := ctx.Value(terminalKey{}).(Terminal)
	return t
}
