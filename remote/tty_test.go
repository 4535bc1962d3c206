package remote

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// person is somebody at a terminal: what is typed, and what is seen.
type person struct {
	t     *testing.T
	hands *io.PipeWriter
	tty   TTY
	sizes chan Size

	mu   sync.Mutex
	seen strings.Builder
}

func newPerson(t *testing.T) *person {
	t.Helper()
	r, w := io.Pipe()
	t.Cleanup(func() { _ = w.Close() })
	p := &person{t: t, hands: w, sizes: make(chan Size)}
	p.tty = TTY{In: r, Out: p, Term: "xterm-256color", Size: Size{100, 30}, Resized: p.sizes}
	return p
}

func (p *person) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.Write(b)
}

func (p *person) screen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.String()
}

func (p *person) types(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.hands, text); err != nil {
		p.t.Errorf("type %q: %v", text, err)
	}
}

func (p *person) waits(text string) {
	p.t.Helper()
	for range 3000 {
		if strings.Contains(p.screen(), text) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.t.Errorf("no %q on the screen: %q", text, p.screen())
}

type ended struct {
	code int
	err  error
}

func (p *person) shell(ctx context.Context, h Host, argv ...string) <-chan ended {
	out := make(chan ended, 1)
	i, ok := h.(Interactive)
	if !ok {
		p.t.Fatalf("%s gives no terminals", h.Name())
	}
	go func() {
		code, err := i.Interact(ctx, Command{Argv: argv, Env: map[string]string{"PS1": "ready> ", "ENV": ""}}, p.tty)
		out <- ended{code, err}
	}()
	return out
}

func (p *person) end(ch <-chan ended) ended {
	p.t.Helper()
	select {
	case e := <-ch:
		return e
	case <-time.After(20 * time.Second):
		p.t.Fatalf("it does not end; the screen: %q", p.screen())
		return ended{}
	}
}

// bothHosts runs a test behind a real sshd, and on this machine.
func bothHosts(t *testing.T, f func(t *testing.T, h Host)) {
	t.Run("ssh", func(t *testing.T) { f(t, one(t, startSSHD(t).config(t), Options{})) })
	t.Run("local", func(t *testing.T) { f(t, Local("here")) })
}

func TestInteract(t *testing.T) {
	bothHosts(t, func(t *testing.T, h Host) {
		p := newPerson(t)
		ch := p.shell(within(t), h, "sh")
		p.waits("ready> ")
		p.types("stty size; echo \"kind=$TERM\"; test -t 0 && test -t 1 && echo a-terminal\r")
		p.waits("30 100")
		p.waits("kind=xterm-256color")
		p.waits("a-terminal")
		p.sizes <- Size{132, 50}
		for range 100 { // the size travels on its own
			p.types("stty size\r")
			time.Sleep(20 * time.Millisecond)
			if strings.Contains(p.screen(), "50 132") {
				break
			}
		}
		p.waits("50 132")
		p.types("sleep 100\r")
		time.Sleep(100 * time.Millisecond)
		p.types("\x03") // reaches the program there, not the one here
		p.types("echo still-here\r")
		p.waits("still-here\r\n")
		p.types("exit 7\r")
		if e := p.end(ch); e.err != nil || e.code != 7 {
			t.Errorf("%d %v", e.code, e.err)
		}
	})
}

func TestInteractCommandThatIsMissing(t *testing.T) {
	p := newPerson(t)
	if e := p.end(p.shell(within(t), one(t, startSSHD(t).config(t), Options{}), "/no/such/shell")); e.err != nil || e.code != 127 {
		t.Errorf("%d %v", e.code, e.err)
	}
	if e := p.end(p.shell(within(t), Local("here"), "/no/such/shell")); !errors.Is(e.err, ErrNotStarted) {
		t.Errorf("%d %v", e.code, e.err)
	}
}

// Whoever takes the terminal away gets it at once and alone, and what ran on it is hung up.
func TestInteractTakenAway(t *testing.T) {
	bothHosts(t, func(t *testing.T, h Host) {
		p := newPerson(t)
		ctx, cancel := context.WithCancel(within(t))
		ch := p.shell(ctx, h, "sh")
		p.waits("ready> ")
		p.types("echo pid=$$; while :; do echo noise; sleep 0.01; done\r")
		p.waits("noise\r\n")
		began := time.Now()
		cancel()
		e := p.end(ch)
		if !errors.Is(e.err, context.Canceled) || errors.Is(e.err, ErrNotStarted) {
			t.Errorf("err = %v", e.err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %s", took)
		}
		before := p.screen()
		time.Sleep(200 * time.Millisecond)
		if after := p.screen(); after != before {
			t.Errorf("still written to: %q", after[len(before):])
		}
		gone(t, before)
	})
}

// gone waits until the shell that told its pid is gone.
func gone(t *testing.T, screen string) {
	t.Helper()
	var pid int
	for line := range strings.Lines(screen) {
		if rest, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "pid="); ok {
			for _, r := range rest {
				pid = pid*10 + int(r-'0')
			}
		}
	}
	if pid == 0 {
		t.Fatalf("no pid in %q", screen)
	}
	for range 3000 {
		if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	state, _ := os.ReadFile("/proc/" + itoa(uint32(pid)) + "/status")
	t.Errorf("the shell still runs: %.80q", state)
}

func TestInteractConnectionLost(t *testing.T) {
	s := startSSHD(t)
	p := newPerson(t)
	ch := p.shell(within(t), one(t, s.config(t), Options{}), "sh")
	p.waits("ready> ")
	s.stop()
	if e := p.end(ch); !errors.Is(e.err, ErrConnectionLost) || errors.Is(e.err, ErrNotStarted) {
		t.Errorf("%d %v", e.code, e.err)
	}
}

func TestInteractNoTerminalToBeHad(t *testing.T) {
	p := newPerson(t)
	e := p.end(p.shell(within(t), one(t, startSSHD(t, "PermitTTY no").config(t), Options{}), "sh"))
	if !errors.Is(e.err, ErrNotStarted) || !strings.Contains(e.err.Error(), "PermitTTY") {
		t.Errorf("%d %v", e.code, e.err)
	}
}

// What a terminal that does not know its size says does not break the program's.
func TestSizeFits(t *testing.T) {
	for _, tc := range []struct{ in, want Size }{
		{Size{0, 0}, Size{80, 24}}, {Size{-1, 1 << 30}, Size{80, 1 << 15}}, {Size{100, 30}, Size{100, 30}},
	} {
		if got := tc.in.fit(); got != tc.want {
			t.Errorf("%v fits as %v", tc.in, got)
		}
	}
}
