package remote

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Run runs one command to its end. A program that does not exist is one that
// ended with code 127: the host's shell began, and says so.
func (h *sshHost) Run(ctx context.Context, cmd Command) (Result, error) {
	var res Result
	err := h.withLink(ctx, func(l *link) error {
		var err error
		res, err = h.runOn(ctx, l, cmd, nil)
		return err
	})
	if err == nil {
		return res, nil
	}
	return res, h.runError(cmd, err)
}

// runError says what became of a command that has not ended with a code.
func (h *sshHost) runError(cmd Command, err error) error {
	var began *begunError
	if !errors.As(err, &began) {
		err = &notStarted{err}
	}
	if len(cmd.Argv) > 0 {
		err = fmt.Errorf("run %s: %w", Clean(cmd.Argv[0]), err)
	}
	return h.fail(err)
}

// begunError is a failure after the command was sent: it may have run.
type begunError struct{ err error }

func (e *begunError) Error() string { return e.err.Error() }
func (e *begunError) Unwrap() error { return e.err }

// runOn runs a command on a connection, on a terminal when there is one. An error that is no begunError
// came before the command was sent.
func (h *sshHost) runOn(ctx context.Context, l *link, cmd Command, tty *TTY) (Result, error) {
	line, err := shellLine(cmd)
	if err != nil {
		return Result{}, err
	}
	select {
	case h.execs <- struct{}{}:
		defer func() { <-h.execs }()
	case <-ctx.Done():
		return Result{}, fmt.Errorf("waiting for one of %d running commands to end: %w", maxExecs, context.Cause(ctx))
	}
	ch, err := l.open(ctx, h, "session", nil)
	if err != nil {
		return Result{}, sessionError(err)
	}
	s := &session{h: h, l: l, ch: ch, tty: tty, outlives: cmd.Outlives}
	if tty != nil { // a terminal has one stream, and nothing of it is kept
		s.stdout, s.stderr = newCapture(tty.Out, 0), newCapture(tty.Out, 0)
		defer s.stdout.mute() // the terminal is somebody else's again
		defer s.stderr.mute()
		return s.run(ctx, line, tty.In)
	}
	s.stdout, s.stderr = newCapture(cmd.Stdout, maxOutput), newCapture(cmd.Stderr, maxOutput)
	return s.run(ctx, line, cmd.Stdin)
}

func sessionError(err error) error {
	var refused *ssh.OpenChannelError
	if errors.As(err, &refused) {
		return fmt.Errorf("the host opened no session: %w", errForeign(refused.Message))
	}
	return err
}

// session is one command on its way.
type session struct {
	h              *sshHost
	l              *link
	ch             channel
	tty            *TTY // nil: no terminal
	outlives       bool // its input stays open, for the word that ends it
	stdout, stderr *capture
	code           int
	ended          bool // the host said how it ended
}

func (s *session) run(ctx context.Context, line string, stdin io.Reader) (Result, error) {
	// What may block for as long as the connection lives has goroutines of its
	// own; they end with the channel.
	done, accepted := make(chan struct{}), make(chan error, 1)
	ok := s.h.spawn(func() { accepted <- s.ask(line) })
	if !ok || !s.h.spawn(func() { s.follow(done) }) {
		_ = s.ch.Close()
		return Result{}, ErrClosed
	}
	select {
	case err := <-accepted:
		if err != nil {
			s.abandon()
			if errors.Is(err, errNoExec) || errors.Is(err, errNoTerminal) {
				return Result{}, err
			}
			return Result{}, &begunError{s.lost(err)}
		}
	case <-ctx.Done():
		return s.cancel(ctx, done)
	case <-s.l.dead:
		return result(-1, s.stdout, s.stderr), &begunError{s.l.cause}
	}
	s.feed(stdin)
	if s.tty != nil {
		s.h.spawn(func() { s.resize(done) })
	}
	select {
	case <-done:
	case <-ctx.Done():
		return s.cancel(ctx, done)
	}
	s.abandon()
	if !s.ended {
		return result(-1, s.stdout, s.stderr), &begunError{s.lost(errors.New("the session ended without saying how the command did"))}
	}
	return result(s.code, s.stdout, s.stderr), nil
}

// ask sends the command, after the wish for a terminal when there is one.
func (s *session) ask(line string) error {
	if s.tty != nil {
		if err := s.terminal(); err != nil {
			return err
		}
	}
	ok, err := s.ch.SendRequest("exec", true, ssh.Marshal(&struct{ Line string }{line}))
	if err == nil && !ok {
		return errNoExec
	}
	if err != nil {
		return fmt.Errorf("send the command: %w", err)
	}
	return nil
}

var errNoExec = errors.New("the host refused to run the command")

// lost prefers what is known about the connection to what the channel made of it.
func (s *session) lost(err error) error {
	select {
	case <-s.l.dead:
		return s.l.cause
	default:
		return fmt.Errorf("%w: %w", ErrConnectionLost, err)
	}
}

// follow reads both streams and the requests until the channel ends.
func (s *session) follow(done chan<- struct{}) {
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(s.stdout, s.ch) })
	wg.Go(func() { _, _ = io.Copy(s.stderr, s.ch.Stderr()) })
	for req := range s.ch.reqs {
		switch req.Type {
		case "exit-status":
			if len(req.Payload) >= 4 {
				s.code, s.ended = int(binary.BigEndian.Uint32(req.Payload)), true
			}
		case "exit-signal":
			var sig struct {
				Name string
				Rest []byte `ssh:"rest"`
			}
			if ssh.Unmarshal(req.Payload, &sig) == nil {
				s.code, s.ended = 128+signalNumber(sig.Name), true
			}
		}
		if req.WantReply {
			_ = req.Reply(false, nil)
		}
	}
	wg.Wait()
	close(done)
}

// feed gives the command its input, and then the end of it.
func (s *session) feed(stdin io.Reader) {
	switch {
	case s.outlives:
		return
	case stdin == nil:
		s.h.spawn(func() { _ = s.ch.CloseWrite() })
		return
	}
	// Not spawned: nothing ends a Read of the caller's. It ends with his reader.
	go func() {
		_, _ = io.Copy(s.ch, stdin)
		_ = s.ch.CloseWrite()
	}()
}

// cancel asks the command to end, and stops waiting when it does not.
func (s *session) cancel(ctx context.Context, done <-chan struct{}) (Result, error) {
	if s.tty != nil {
		s.abandon() // the host hangs up what runs on the terminal: a shell would ignore TERM
		return Result{Code: -1}, &begunError{fmt.Errorf("the terminal was taken away: %w", context.Cause(ctx))}
	}
	s.h.spawn(func() {
		if s.outlives {
			_, _ = s.ch.Write([]byte(stopWord))
		}
		_, _ = s.ch.SendRequest("signal", false, ssh.Marshal(&struct{ Name string }{"TERM"}))
	})
	wait := time.NewTimer(termGrace)
	defer wait.Stop()
	state := "no longer waited for, it may still run on the host"
	select {
	case <-done:
		state = "stopped before its end"
	case <-wait.C: // sshd hands no signals on to the commands of root
	case <-s.l.dead:
	case <-s.h.ctx.Done():
	}
	s.abandon()
	return result(-1, s.stdout, s.stderr), &begunError{fmt.Errorf("%s: %w", state, context.Cause(ctx))}
}

// abandon closes the channel without waiting for the host.
func (s *session) abandon() { s.h.spawn(func() { _ = s.ch.Close() }) }

// signalNumber is the number that shells add to 128.
func signalNumber(name string) int {
	numbers := map[string]int{
		"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "BUS": 7, "FPE": 8, "KILL": 9,
		"USR1": 10, "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15,
	}
	return numbers[name]
}
