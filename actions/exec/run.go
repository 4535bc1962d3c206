package exec

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// atOnce is how soon a shell ends that never was one.
const atOnce = 2 * time.Second

// The exit codes of docker exec when the program cannot be run, or is not in the image.
const (
	codeCannotRun = 126
	codeNotFound  = 127
)

// run runs the program on the terminal, or the streams, of the person who acts.
func (s *session) run(ctx context.Context, argv []string, out func(stream, line string)) error {
	t := actions.TerminalOf(ctx)
	if t == nil {
		return errors.New("nobody sits at a terminal: nothing was run")
	}
	began := s.a.deps.Now()
	code, err := s.join(ctx, t, argv)
	s.ended = s.a.deps.Now()
	took := fleet.Ago(s.ended.Sub(began))
	if errors.Is(err, remote.ErrNotStarted) {
		return fmt.Errorf("nothing was run: %w", err)
	}
	if err != nil {
		return fmt.Errorf("after %s: %w: the %s may still run in the container, %s top %.12s on %s shows it: %w",
			took, err, s.what(), strings.Join(s.a.cfg.Docker, " "), s.in.ID, s.in.Host, actions.ErrUnknown)
	}
	t.Ended(code)
	out(actions.StreamNexops, fmt.Sprintf("exit code %d after %s", code, took))
	switch {
	case !s.shell && code != 0:
		return fmt.Errorf("the command ended with exit code %d", code)
	case (code == codeCannotRun || code == codeNotFound) && s.ended.Sub(began) < atOnce:
		return fmt.Errorf("it ended at once with exit code %d: the image may have no %s; [actions.exec.shells] says what to open in %s instead",
			code, remote.Clean(s.command[0]), s.key.Name)
	}
	return nil
}

// join gives the exit code of the program.
func (s *session) join(ctx context.Context, t actions.Terminal, argv []string) (int, error) {
	cmd := remote.Command{Argv: argv}
	if !s.terminal {
		io := t.Streams()
		if io.Out == nil {
			return -1, fmt.Errorf("%w: a command without a terminal is for the command line, not for the screen", remote.ErrNotStarted)
		}
		cmd.Stdout, cmd.Stderr = io.Out, io.Err
		if io.Piped {
			cmd.Stdin = io.In
		}
		res, err := s.host.Run(ctx, cmd)
		return res.Code, err //nolint:wrapcheck // the host's error names it
	}
	h, ok := s.host.(remote.Interactive)
	if !ok {
		return -1, fmt.Errorf("%w: this kind of host gives no terminals", remote.ErrNotStarted)
	}
	code, joined := -1, false
	title := fmt.Sprintf("── nexops: %s of %s on %s: exit or ctrl-d leaves it; what is typed and shown is not on record ──",
		remote.Clean(s.in.Name), remote.Clean(s.key.String()), remote.Clean(s.in.Host))
	err := t.Borrow(ctx, title, func(ctx context.Context, tty actions.TTY) error {
		var err error
		joined = true
		code, err = h.Interact(ctx, cmd, tty)
		return err //nolint:wrapcheck // the host's error names it
	})
	if err != nil && !joined {
		return -1, fmt.Errorf("%w: %w", remote.ErrNotStarted, err)
	}
	return code, err //nolint:wrapcheck // as above
}
