package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/muesli/cancelreader"

	"github.com/nexgate-hq/nexops/actions"
)

// takenBack undoes what a program may have left a terminal in, whatever it was cut off in: an unfinished sequence,
// the other screen, mouse reports, pasting marks, another keyboard, a hidden cursor, colours.
const takenBack = "\x18\x1b\\\x1b[?1047l\x1b[!p" +
	"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?1004l\x1b[?2004l\x1b[?2026l" +
	"\x1b[=0;1u\x1b[>4;0m\x1b[?1l\x1b>\x1b(B\x0f\x1b[0m\x1b[0 q\x1b[?7h\x1b[?25h"

// quietTime is how long the keyboard is not listened to after a program was cut off: what is
// typed then is still meant for it.
const quietTime = 700 * time.Millisecond

// Borrow lends the terminal, raw, for as long as use runs. It is an error when there is none.
func (t Terminal) Borrow(ctx context.Context, title string, use func(context.Context, actions.TTY) error) (err error) {
	in, inOK := t.Input.(term.File)
	out, outOK := t.Output.(term.File)
	if !inOK || !outOK || !term.IsTerminal(in.Fd()) || !term.IsTerminal(out.Fd()) {
		return errors.New("input and output are no terminal: give a command to run instead")
	}
	before, err := term.MakeRaw(in.Fd())
	if err != nil {
		return fmt.Errorf("the terminal cannot be made raw: %w", err)
	}
	defer func() {
		if rerr := term.Restore(in.Fd(), before); rerr != nil && err == nil {
			err = fmt.Errorf("the terminal cannot be put back as it was: type reset: %w", rerr)
		}
	}()
	reader, err := cancelreader.NewReader(in)
	if err != nil {
		return fmt.Errorf("the keyboard cannot be shared: %w", err)
	}
	keys := &keyboard{r: reader}
	defer keys.shut()
	_, _ = io.WriteString(out, Sanitize(title)+"\r\n")
	sizes, stop := watchSize(out)
	defer stop()
	err = use(ctx, actions.TTY{In: keys, Out: out, Term: t.kind(), Size: sizeOf(out), Resized: sizes})
	_, _ = io.WriteString(out, takenBack+"\r\n")
	if err != nil {
		keys.swallow(ctx, quietTime)
	}
	return err
}

// Streams are the terminal's own: of a screen that draws on it there are none to be had.
func (t Terminal) Streams() actions.Streams {
	return actions.Streams{In: t.Input, Out: t.Output, Err: t.Errors, Piped: !isTerminal(t.Input), Screen: isTerminal(t.Input) && isTerminal(t.Output)}
}

// Ended is for who wants to know.
func (t Terminal) Ended(code int) {
	if t.Code != nil {
		*t.Code = code
	}
}

func isTerminal(v any) bool {
	f, ok := v.(term.File)
	return ok && term.IsTerminal(f.Fd())
}

// kind is the kind of the terminal, as TERM has it.
func (t Terminal) kind() string {
	for _, e := range t.Environ {
		if v, ok := strings.CutPrefix(e, "TERM="); ok {
			return v
		}
	}
	return ""
}

func sizeOf(out term.File) (size actions.Size) {
	if w, h, err := term.GetSize(out.Fd()); err == nil {
		size.Columns, size.Rows = w, h
	}
	return size
}

// keyboard is what a person types, which can be taken from whoever reads it.
type keyboard struct {
	r    cancelreader.CancelReader
	mu   sync.Mutex // held while somebody reads
	once sync.Once
	gone bool // the borrower has it no more
}

// Read is the borrower's.
func (g *keyboard) Read(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone {
		return 0, io.EOF
	}
	n, err := g.r.Read(p)
	if errors.Is(err, cancelreader.ErrCanceled) {
		return 0, io.EOF
	}
	return n, err //nolint:wrapcheck // a reader's error is passed on as it is
}

// swallow takes what is typed for a while, and forgets it.
func (g *keyboard) swallow(ctx context.Context, long time.Duration) {
	go func() { // ends with shut, which waits for it
		buf := make([]byte, 256)
		for {
			if n, err := g.Read(buf); n == 0 || err != nil {
				return
			}
		}
	}()
	t := time.NewTimer(long)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// shut takes the keyboard back: nobody reads it any more when it returns.
func (g *keyboard) shut() {
	g.once.Do(func() {
		if !g.r.Cancel() {
			return // a reader that cannot be stopped: it ends with the program
		}
		g.mu.Lock()
		g.gone = true
		g.mu.Unlock()
		_ = g.r.Close()
	})
}
