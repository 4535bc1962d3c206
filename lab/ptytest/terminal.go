// Package ptytest runs a whole program in a pseudo-terminal, types into it and reads its screen.
package ptytest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
)

// Keys that have no letter.
const (
	Enter = "\r"
	Esc   = "\x1b"
	Tab   = "\t"
	Down  = "\x1b[B"
	CtrlC = "\x03"
)

// Terminal is a program on a screen.
type Terminal struct {
	t     *testing.T
	cmd   *exec.Cmd
	pty   *os.File
	began time.Time

	mu     sync.Mutex // guards screen and all: the emulator is not safe to share
	screen *vt.Emulator
	first  time.Time // when the first output came
	raw    bytes.Buffer

	done chan struct{} // closed when the program has ended
	err  error         // how; read after done
}

// maxRaw bounds how much of the program's output is kept for looking at afterwards.
const maxRaw = 4 << 20

// Start runs a program on a screen of that size. It is ended with the test.
func Start(t *testing.T, cmd *exec.Cmd, cols, rows int) *Terminal {
	t.Helper()
	cmd.Env = append(cmd.Environ(), "TERM=xterm-256color", "COLORTERM=truecolor", "LC_ALL=C.UTF-8")
	f, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: uint16(cols), Rows: uint16(rows)}) //nolint:gosec // small numbers
	if err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	p := &Terminal{t: t, cmd: cmd, pty: f, began: time.Now(), screen: vt.NewEmulator(cols, rows), done: make(chan struct{})}
	var workers sync.WaitGroup
	workers.Go(p.show)
	workers.Go(p.answer)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.done
		_ = f.Close()
		// The end of its answers first: Close and Read of the emulator know nothing of each other.
		if answers, ok := p.screen.InputPipe().(io.Closer); ok {
			_ = answers.Close()
		}
		workers.Wait()
		_ = p.screen.Close()
	})
	go func() { // owned by done: the cleanup waits for it
		defer close(p.done)
		p.err = cmd.Wait()
	}()
	return p
}

// show feeds what the program prints to the screen.
func (p *Terminal) show() {
	buf := make([]byte, 32<<10)
	for {
		n, err := p.pty.Read(buf)
		if n > 0 {
			p.mu.Lock()
			if p.first.IsZero() {
				p.first = time.Now()
			}
			_, _ = p.screen.Write(buf[:n])
			if p.raw.Len() < maxRaw {
				p.raw.Write(buf[:n])
			}
			p.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// answer passes on what the terminal itself answers to queries.
func (p *Terminal) answer() {
	buf := make([]byte, 1024)
	for {
		n, err := p.screen.Read(buf)
		if n > 0 {
			if _, werr := p.pty.Write(buf[:n]); werr != nil && !errors.Is(werr, os.ErrClosed) {
				err = werr
			}
		}
		if err != nil {
			return
		}
	}
}

// Screen is what the screen shows now, line by line, without trailing blanks.
func (p *Terminal) Screen() string {
	p.mu.Lock()
	text := p.screen.String()
	p.mu.Unlock()
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \r")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// Raw is everything the program printed, escapes included.
func (p *Terminal) Raw() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.raw.Bytes())
}

// Type sends keys, as they are.
func (p *Terminal) Type(keys ...string) {
	p.t.Helper()
	for _, k := range keys {
		if k == Enter {
			time.Sleep(800 * time.Millisecond) // a program under load must not take it for the end of a paste
		}
		if _, err := p.pty.WriteString(k); err != nil {
			p.t.Fatalf("type %q: %v\n%s", k, err, p.Screen())
		}
		time.Sleep(150 * time.Millisecond) // a person's fingers: two keys are never one escape sequence
	}
}

// WaitFor waits until all texts are on the screen at once; the test fails after the time given.
func (p *Terminal) WaitFor(within time.Duration, texts ...string) string {
	p.t.Helper()
	return p.wait(within, "wait for "+strings.Join(texts, " and "), func(screen string) bool {
		for _, text := range texts {
			if !strings.Contains(screen, text) {
				return false
			}
		}
		return true
	})
}

// WaitUntil waits until the screen is as the condition says.
func (p *Terminal) WaitUntil(within time.Duration, what string, is func(screen string) bool) string {
	p.t.Helper()
	return p.wait(within, what, is)
}

func (p *Terminal) wait(within time.Duration, what string, is func(string) bool) string {
	p.t.Helper()
	deadline := time.Now().Add(within)
	for {
		screen := p.Screen()
		if is(screen) {
			return screen
		}
		select {
		case <-p.done:
			if screen = p.Screen(); is(screen) {
				return screen
			}
			p.t.Fatalf("%s: the program ended (%v); the screen:\n%s", what, p.err, screen)
		default:
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: not within %s; the screen:\n%s", what, within, screen)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// WaitEnd waits until the program has ended by itself and gives its exit code.
func (p *Terminal) WaitEnd(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		p.t.Fatalf("the program did not end within %s; the screen:\n%s", within, p.Screen())
		return -1
	}
}

// Resize changes the size of the screen.
func (p *Terminal) Resize(cols, rows int) {
	p.t.Helper()
	if err := pty.Setsize(p.pty, &pty.Winsize{Cols: uint16(cols), Rows: uint16(rows)}); err != nil { //nolint:gosec // small numbers
		p.t.Fatalf("resize: %v", err)
	}
	p.mu.Lock()
	p.screen.Resize(cols, rows)
	p.mu.Unlock()
}

// Hangup does what closing a tmux pane does.
func (p *Terminal) Hangup() { _ = p.cmd.Process.Signal(syscall.SIGHUP) }

// FirstOutput is how long after its start the program first printed something; 0 when it has not.
func (p *Terminal) FirstOutput() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.first.IsZero() {
		return 0
	}
	return p.first.Sub(p.began)
}
