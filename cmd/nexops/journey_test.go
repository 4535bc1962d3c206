package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/lab/ptytest"
	"github.com/nexgate-hq/nexops/lab/sim"
)

// within is how long a journey waits for something on the screen: long enough for a
// busy machine, and no measure of speed.
const within = 3 * time.Minute

// estate starts an estate in memory and gives a command that opens the console on it.
func estate(t *testing.T, incident string) (*sim.Estate, func(args ...string) *exec.Cmd) {
	t.Helper()
	e, err := sim.Start(t.Context(), sim.Options{Seed: 7, Incident: incident})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close the estate: %v", err)
		}
	})
	home := t.TempDir()
	return e, func(args ...string) *exec.Cmd {
		cmd := exec.Command("nexops", append([]string{"--config", e.ConfigPath()}, args...)...) //nolint:gosec // our own binary
		cmd.Env = append(os.Environ(), "HOME="+home, "XDG_STATE_HOME="+filepath.Join(home, "state"), "XDG_CACHE_HOME="+filepath.Join(home, "cache"))
		return cmd
	}
}

// output runs a command to its end and gives what it printed and its exit code.
func output(t *testing.T, cmd *exec.Cmd) (string, int) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestFindAndUndoTheBadDeploy is the journey this program is for.
func TestFindAndUndoTheBadDeploy(t *testing.T) {
	_, nexops := estate(t, "bad-deploy")
	term := ptytest.Start(t, nexops("--env", "prod"), 120, 40)
	term.WaitUntil(within, "ai on top with its errors", func(s string) bool {
		return strings.Contains(firstRow(s), "ai") && strings.Contains(s, "errors")
	})
	term.Type(ptytest.Enter)
	term.WaitFor(within, "likely", "0.4.2", "R redeploy 0.4.1")
	term.Type("R")
	term.WaitFor(within, "0.4.1", "type ai@prod to run")
	read()
	term.Type("ai@prod", ptytest.Enter)
	term.WaitFor(2*within, "good after")
	term.Type(ptytest.Esc, ptytest.Esc)
	term.WaitUntil(within, "ai on 0.4.1 and no longer first", func(s string) bool {
		return strings.Contains(s, "0.4.1") && !strings.Contains(firstRow(s), " ai ")
	})
	term.Type("q")
	if c := term.WaitEnd(within); c != 0 {
		t.Errorf("exit code %d", c)
	}
	if out, c := output(t, nexops("journal", "verify")); c != 0 {
		t.Errorf("journal verify: %d %s", c, out)
	}
	if out, _ := output(t, nexops("journal")); !strings.Contains(out, "0.4.2 → 0.4.1") || !strings.Contains(out, "good") {
		t.Errorf("journal:\n%s", out)
	}
}

// read is what a person does before typing into a dialog. Keys that come sooner are
// meant for what was there before, and are dropped.
func read() { time.Sleep(time.Second) }

// firstRow is the first row of the attention list: the first line that begins with a severity's mark.
func firstRow(screen string) string {
	for line := range strings.Lines(screen) {
		trimmed := strings.TrimLeft(line, " │▌>")
		for _, mark := range []string{"✖", "▲"} {
			if strings.HasPrefix(trimmed, mark) {
				return line
			}
		}
	}
	return ""
}

// aiOnTop: the culprit is on top, and all is known that R needs. Before that, R says what it still waits for.
func aiOnTop(screen string) bool {
	return strings.Contains(firstRow(screen), "ai") && strings.Contains(screen, "R redeploy 0.4.1")
}

func TestOneHostDeadAtStart(t *testing.T) {
	e, nexops := estate(t, "quiet")
	if err := e.StopHost("prod-2"); err != nil {
		t.Fatal(err)
	}
	term := ptytest.Start(t, nexops("--env", "prod"), 120, 40)
	term.WaitFor(within, "hosts 1/2", "prod-2")
	if err := e.StartHost(t.Context(), "prod-2"); err != nil {
		t.Fatal(err)
	}
	term.WaitFor(within, "hosts 2/2")
	term.Type("q")
	term.WaitEnd(within)
}

func TestLogLineFullOfEscapes(t *testing.T) {
	e, nexops := estate(t, "quiet")
	term := ptytest.Start(t, nexops("--env", "prod"), 120, 40)
	term.WaitFor(within, "nexgate-backend")
	term.Type("/", "nexgate-backend", ptytest.Enter, "l")
	evil := "before\x1b]0;owned\x07\x1b[2J\x1b]52;c;b3duZWQ=\x07\x1b[31mafter\x9b1;1H\r\x08"
	if err := e.EmitLog("prod", "nexgate-backend", evil); err != nil {
		t.Fatal(err)
	}
	term.WaitFor(within, "before", "after")
	for _, bad := range []string{"\x1b]0;owned", "\x1b]52;c;b3duZWQ="} {
		if strings.Contains(string(term.Raw()), bad) {
			t.Errorf("the terminal was sent %q", bad)
		}
	}
	term.WaitFor(within, "nexops", "prod") // the header is still there
	term.Type(ptytest.CtrlC)
	term.WaitEnd(within)
}

func TestSmallTerminal(t *testing.T) {
	_, nexops := estate(t, "bad-deploy")
	term := ptytest.Start(t, nexops("--env", "prod"), 60, 15)
	term.WaitUntil(within, "ai on top", func(s string) bool { return strings.Contains(firstRow(s), "ai") })
	for i, line := range strings.Split(term.Screen(), "\n") {
		if n := len([]rune(line)); n > 60 {
			t.Errorf("line %d has %d columns: %q", i, n, line)
		}
	}
	term.Type(ptytest.Enter)
	term.WaitFor(within, "likely")
	term.Type(ptytest.Esc)
	term.WaitUntil(within, "the list again", func(s string) bool { return strings.Contains(firstRow(s), "ai") })
	term.Resize(120, 40)
	term.WaitFor(within, "notification-server")
	term.Type("q")
	term.WaitEnd(within)
}

func TestQuitInTheMiddleOfAnAction(t *testing.T) {
	_, nexops := estate(t, "bad-deploy")
	term := ptytest.Start(t, nexops("--env", "prod"), 120, 40)
	term.WaitUntil(within, "ai on top, with what R does", aiOnTop)
	term.Type("R")
	term.WaitFor(within, "type ai@prod to run")
	read()
	term.Type("ai@prod", ptytest.Enter)
	term.WaitFor(within, "watching for") // it is being verified
	term.Type("q")
	term.WaitFor(within, "running")
	term.Type("quit", ptytest.Enter)
	term.WaitEnd(within)
	out, _ := output(t, nexops("journal"))
	if !strings.Contains(out, "0.4.2 → 0.4.1") {
		t.Errorf("the journal does not know of the action:\n%s", out)
	}
	if out, c := output(t, nexops("journal", "verify")); c != 0 {
		t.Errorf("journal verify: %d %s", c, out)
	}
}

// TestDemoServe holds what scripts rely on: the first line is the path of a config that another nexops uses.
func TestDemoServe(t *testing.T) {
	home := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "nexops", "demo", "serve")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Env = append(os.Environ(), "HOME="+home)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("first line: %v", err)
	}
	path := strings.TrimSpace(line)
	status := exec.Command("nexops", "status", "--config", path, "--env", "prod", "-o", "json") //nolint:gosec // our own binary
	status.Env = append(os.Environ(), "HOME="+home)
	text, c := output(t, status)
	if c != 1 || !strings.Contains(text, `"schema": "nexops.status/v1"`) || !strings.Contains(text, `"code": "errors"`) {
		t.Errorf("status of the demo: exit code %d\n%s", c, text)
	}
	cancel()
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait()
	if _, err := os.Stat(path); err == nil {
		t.Errorf("%s is left behind", path)
	}
}
