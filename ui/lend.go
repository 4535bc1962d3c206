package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	tea "charm.land/bubbletea/v2"

	"github.com/nexgate-hq/nexops/actions"
)

// lender lets a running action borrow the terminal that the screen is drawn on.
type lender struct {
	ctx  context.Context // of the screen
	asks chan *loan
	env  []string
}

// loan is one borrowing: the screen steps aside while it runs.
type loan struct {
	ctx   context.Context
	title string
	use   func(context.Context, actions.TTY) error
	term  Terminal

	mu      sync.Mutex
	begun   bool
	revoked bool
	done    chan struct{}
	err     error // read after done
}

type (
	loanMsg     struct{ loan *loan }
	loanOverMsg struct{}
)

var errNoScreen = errors.New("the screen has ended: there is no terminal any more")

// Borrow asks the screen to step aside, and returns when the screen stands again.
func (l *lender) Borrow(ctx context.Context, title string, use func(context.Context, actions.TTY) error) error {
	b := &loan{ctx: ctx, title: title, use: use, term: Terminal{Environ: l.env}, done: make(chan struct{})}
	select {
	case l.asks <- b:
	case <-ctx.Done():
		return errNoScreen
	case <-l.ctx.Done():
		return errNoScreen
	}
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
	case <-l.ctx.Done():
	}
	if b.revoke() {
		return errNoScreen
	}
	<-b.done // it has begun, and ends with its context
	return b.err
}

// Streams are none: the screen has them.
func (l *lender) Streams() actions.Streams { return actions.Streams{Screen: true} }

// Ended is not asked for: the run view says it.
func (l *lender) Ended(int) {}

// revoke takes a loan back that has not begun.
func (b *loan) revoke() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.revoked = !b.begun
	return b.revoked
}

// refuse ends a loan that could not begin: the terminal was not to be had.
func (b *loan) refuse(err error) {
	if err != nil && b.revoke() {
		b.err = fmt.Errorf("the terminal cannot be lent: %w", err)
		close(b.done)
	}
}

// Run is the loan, while the program does not draw.
func (b *loan) Run() error {
	b.mu.Lock()
	if b.revoked {
		b.mu.Unlock()
		return nil
	}
	b.begun = true
	b.mu.Unlock()
	defer close(b.done)
	b.err = b.term.Borrow(b.ctx, b.title, b.use)
	return nil // what came of it is the action's to tell
}

// SetStdin is told where the program reads.
func (b *loan) SetStdin(r io.Reader) { b.term.Input = r }

// SetStdout is told where the program draws.
func (b *loan) SetStdout(w io.Writer) { b.term.Output = w }

// SetStderr is not needed: a terminal has one stream.
func (b *loan) SetStderr(io.Writer) {}

// waitLoan waits until an action asks for the terminal.
func (l *life) waitLoan(asks <-chan *loan) tea.Cmd {
	return l.do(func() tea.Msg {
		select {
		case b := <-asks:
			return loanMsg{b}
		case <-l.ctx.Done():
			return nil
		}
	})
}

// lend steps aside for a loan.
func (m *Model) lend(b *loan) tea.Cmd {
	over := func(err error) tea.Msg {
		b.refuse(err)
		return loanOverMsg{}
	}
	return tea.Batch(tea.Exec(b, over), m.life.waitLoan(m.life.lender.asks))
}
