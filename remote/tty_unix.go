//go:build unix

package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
)

// Interact runs a program on a terminal of its own on this machine, as a host behind SSH would. The
// person's terminal itself stays with nexops, which can then take it back whatever the program does.
func (h localHost) Interact(ctx context.Context, cmd Command, tty TTY) (int, error) {
	c, fail, err := h.command(ctx, cmd)
	if err != nil {
		return -1, err
	}
	c.Env = append(c.Environ(), append(envList(cmd.Env), "TERM="+tty.term())...)
	// A shell ignores TERM; what hangs up a terminal is HUP.
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGHUP) }
	c.WaitDelay = termGrace
	master, err := pty.StartWithSize(c, winsize(tty.Size)) // in a session of its own, so also in a group of its own
	if err != nil {
		return -1, fail(&notStarted{cause(err)})
	}
	done := make(chan struct{})
	out := newCapture(tty.Out, 0)
	var work sync.WaitGroup
	work.Go(func() { _, _ = io.Copy(out, master) })
	work.Go(func() { resizePTY(master, tty.Resized, done) })
	// Not waited for: nothing ends a Read of the caller's. It ends with his reader.
	go func() { _, _ = io.Copy(master, tty.In) }()
	err = c.Wait()
	close(done)
	// What is left to read is read, but not what a program left behind goes on to say.
	_ = master.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	work.Wait()
	_ = master.Close()
	if ctx.Err() != nil {
		killGroup(c)
		return -1, fail(fmt.Errorf("the terminal was taken away: %w", context.Cause(ctx)))
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return -1, fail(err)
	}
	return exitCode(c.ProcessState), nil
}

func winsize(s Size) *pty.Winsize {
	s = s.fit()
	return &pty.Winsize{Cols: uint16(s.Columns), Rows: uint16(s.Rows)} // #nosec G115 -- fit bounds both
}

// resizePTY follows the size of the person's terminal until the program has ended.
func resizePTY(master *os.File, sizes <-chan Size, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case size, ok := <-sizes:
			if !ok || pty.Setsize(master, winsize(size)) != nil {
				return
			}
		}
	}
}
