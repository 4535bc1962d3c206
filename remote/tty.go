package remote

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"
)

// Interactive is a Host on which a program can be given a terminal.
type Interactive interface {
	// Interact runs one program on a terminal of its own, joined to the one in tty, and gives
	// the code it ended with. Streams of cmd are not used. Errors are those of Run.
	// What reads tty.In goes on until that reader ends: end it when Interact has returned.
	Interact(ctx context.Context, cmd Command, tty TTY) (code int, err error)
}

// TTY is the terminal of a person: raw, so that every key reaches the program.
type TTY struct {
	In      io.Reader
	Out     io.Writer
	Term    string // its kind, as TERM has it: "xterm-256color"
	Size    Size
	Resized <-chan Size // may be nil
}

// Size is how large a terminal is, in characters.
type Size struct{ Columns, Rows int }

// fit keeps a size within what a terminal can have: one that does not know its own says 0.
func (s Size) fit() Size {
	one := func(n, otherwise int) int {
		if n <= 0 {
			return otherwise
		}
		return min(n, 1<<15)
	}
	return Size{one(s.Columns, 80), one(s.Rows, 24)}
}

// term is the kind of terminal that the far side is told.
func (t TTY) term() string {
	if t.Term == "" {
		return "dumb"
	}
	return t.Term
}

// Interact runs a program on a terminal of the host.
func (h *sshHost) Interact(ctx context.Context, cmd Command, tty TTY) (int, error) {
	code := -1
	err := h.withLink(ctx, func(l *link) error {
		res, err := h.runOn(ctx, l, cmd, &tty)
		code = res.Code
		return err
	})
	if err == nil {
		return code, nil
	}
	return -1, h.runError(cmd, err)
}

var errNoTerminal = errors.New("the host gives no terminal: see PermitTTY in its sshd_config and no-pty in its authorized_keys")

// terminal asks for a terminal of the host, before the program is sent.
func (s *session) terminal() error {
	size := s.tty.Size.fit()
	ok, err := s.ch.SendRequest("pty-req", true, ssh.Marshal(&struct {
		Term          string
		Columns, Rows uint32
		Width, Height uint32
		Modes         string
	}{s.tty.term(), uint32(size.Columns), uint32(size.Rows), 0, 0, "\x00"})) // #nosec G115 -- fit bounds both
	switch {
	case err != nil:
		return fmt.Errorf("ask for a terminal: %w", err)
	case !ok:
		return errNoTerminal
	default:
		return nil
	}
}

// resize tells the host of every new size, until the session has ended.
func (s *session) resize(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case size, ok := <-s.tty.Resized:
			if !ok {
				return
			}
			size = size.fit()
			_, err := s.ch.SendRequest("window-change", false, ssh.Marshal(&struct {
				Columns, Rows, Width, Height uint32
			}{uint32(size.Columns), uint32(size.Rows), 0, 0})) // #nosec G115 -- fit bounds both
			if err != nil {
				return
			}
		}
	}
}
