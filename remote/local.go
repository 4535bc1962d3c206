package remote

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// termGrace is how long a cancelled command has to end by itself.
const termGrace = 2 * time.Second

// localHost is this machine. It holds nothing open.
type localHost struct{ name string }

// Local gives this machine under a config name.
func Local(name string) Host { return localHost{name: name} }

func (h localHost) Name() string    { return h.name }
func (h localHost) Address() string { return LocalAddress }
func (h localHost) Close() error    { return nil }

// spoken is what errors call it: "local this machine", and "local" alone where it has no other name.
func (h localHost) spoken() string {
	if h.name == LocalAddress {
		return h.name
	}
	return LocalAddress + " " + h.name
}

func (h localHost) Run(ctx context.Context, cmd Command) (Result, error) {
	c, fail, err := h.command(ctx, cmd)
	if err != nil {
		return Result{}, err
	}
	if len(cmd.Env) > 0 {
		c.Env = append(c.Environ(), envList(cmd.Env)...)
	}
	stdout, stderr := newCapture(cmd.Stdout, maxOutput), newCapture(cmd.Stderr, maxOutput)
	c.Stdin, c.Stdout, c.Stderr = cmd.Stdin, stdout, stderr
	c.WaitDelay = termGrace
	ownGroup(c)
	if err := c.Start(); err != nil {
		return Result{}, fail(&notStarted{cause(err)})
	}
	err = c.Wait()
	if ctx.Err() != nil {
		killGroup(c) // what the command left behind
		return result(-1, stdout, stderr), fail(fmt.Errorf("stopped before its end: %w", context.Cause(ctx)))
	}
	code := exitCode(c.ProcessState)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return result(code, stdout, stderr), fail(err)
	}
	return result(code, stdout, stderr), nil
}

// command is the call of a program on this machine, not yet begun, and how its errors are said.
func (h localHost) command(ctx context.Context, cmd Command) (*exec.Cmd, func(error) error, error) {
	prog := "command"
	if len(cmd.Argv) > 0 {
		prog = Clean(cmd.Argv[0])
	}
	fail := func(err error) error { return fmt.Errorf("%s: run %s: %w", h.spoken(), prog, err) }
	if err := checkCommand(cmd); err != nil {
		return nil, fail, fail(&notStarted{err})
	}
	if err := ctx.Err(); err != nil {
		return nil, fail, fail(&notStarted{err})
	}
	c := exec.CommandContext(ctx, cmd.Argv[0], cmd.Argv[1:]...) // #nosec G204 -- running what the caller planned is the purpose
	c.Dir = ProcessOptions().expand(cmd.Dir)
	return c, fail, nil
}

// exitCode is the code a shell would give.
func exitCode(s *os.ProcessState) int {
	if sig, ok := signalOf(s); ok {
		return 128 + sig
	}
	return s.ExitCode()
}

func (h localHost) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err == nil {
		return conn, nil
	}
	if network != "unix" {
		return nil, fmt.Errorf("%s: %w", h.spoken(), err)
	}
	return nil, fmt.Errorf("%s: %w", h.spoken(), &SocketError{
		Host: h.name, Path: address, User: ProcessOptions().User, Problem: socketProblem(err), Err: err,
	})
}

func socketProblem(err error) SocketProblem {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return SocketMissing
	case errors.Is(err, fs.ErrPermission):
		return SocketDenied
	case errors.Is(err, syscall.ECONNREFUSED):
		return SocketDead
	default:
		return SocketUnknown
	}
}
