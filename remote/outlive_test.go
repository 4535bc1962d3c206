package remote

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// outlivingShells are those of this machine that a host may have as its sh.
func outlivingShells(t *testing.T) [][]string {
	t.Helper()
	var list [][]string
	for _, shell := range [][]string{{"sh"}, {"dash"}, {"bash", "--posix"}, {"busybox", "sh"}} {
		if _, err := exec.LookPath(shell[0]); err == nil {
			list = append(list, shell)
		}
	}
	return list
}

func eachShell(t *testing.T, test func(t *testing.T, command func(argv ...string) *exec.Cmd)) {
	t.Helper()
	for _, shell := range outlivingShells(t) {
		t.Run(shell[0], func(t *testing.T) {
			test(t, func(argv ...string) *exec.Cmd {
				whole := append(append([]string{}, shell...), outlive(argv)[1:]...)
				cmd := exec.CommandContext(t.Context(), whole[0], whole[1:]...) //nolint:gosec // a test's
				cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
				return cmd
			})
		})
	}
}

// TestOutlivingIsTheCommand: output, exit code, arguments and environment are those of the command, and its input is empty.
func TestOutlivingIsTheCommand(t *testing.T) {
	eachShell(t, func(t *testing.T, command func(argv ...string) *exec.Cmd) {
		for _, tt := range []struct {
			script string
			code   int
			out    string
			err    string
		}{
			{`printf "%s|" "$@"; echo err >&2; exit 3`, 3, "a b|it's|*||", "err\n"},
			{`cat; echo "$LEFT"`, 0, "here\n", ""},
			{`i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done`, 0, strings.Repeat("0123456789012345678901234567890123456789\n", 3000), ""},
			{`exit 143`, 143, "", ""}, // what one that was stopped may say
			{`kill -KILL $$`, 137, "", "Killed\n"},
		} {
			cmd := command("sh", "-c", tt.script, "x", "a b", "it's", "*", "")
			var out, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr, cmd.Env = &out, &stderr, append(os.Environ(), "LEFT=here")
			in, err := cmd.StdinPipe() // stays open
			if err != nil {
				t.Fatal(err)
			}
			_ = cmd.Run()
			_ = in.Close()
			if code := cmd.ProcessState.ExitCode(); code != tt.code || out.String() != tt.out || stderr.String() != tt.err && (tt.code != 137 || stderr.Len() > 0) {
				t.Errorf("%s: code %d, %.80q, %q", tt.script, code, out.String(), stderr.String())
			}
		}
		cmd := command("no-such-program-here")
		if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 127 {
			t.Errorf("a program that is not there: %v", err)
		}
	})
}

// TestOutlivingEndsAtOnce: a command that ends before all of what stands around it has begun holds nothing up. Nobody may be left
// who keeps its streams open: then its end would never be told.
func TestOutlivingEndsAtOnce(t *testing.T) {
	eachShell(t, func(t *testing.T, command func(argv ...string) *exec.Cmd) {
		for range 150 {
			cmd := command("true")
			cmd.WaitDelay = 10 * time.Second // counted from its end
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			in, err := cmd.StdinPipe() // stays open
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v: %q", err, out.String())
			}
			_ = in.Close()
		}
	})
}

// talker says something every moment, and then leaves a mark.
func talker(mark string) []string {
	return []string{"sh", "-c", `i=0; while [ $i -lt 20 ]; do echo line $i; echo line $i >&2; sleep 0.02; i=$((i+1)); done; echo done >"$0"`, mark}
}

// TestOutlivingGoesOn: nobody reads any more and nothing comes any more, as after a lost connection: it goes on to its end.
func TestOutlivingGoesOn(t *testing.T) {
	eachShell(t, func(t *testing.T, command func(argv ...string) *exec.Cmd) {
		mark := filepath.Join(t.TempDir(), "mark")
		cmd := command(talker(mark)...)
		in, ierr := cmd.StdinPipe()
		out, oerr := cmd.StdoutPipe()
		stderr, eerr := cmd.StderrPipe()
		if err := errors.Join(ierr, oerr, eerr, cmd.Start()); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		_ = errors.Join(in.Close(), out.Close(), stderr.Close(), syscall.Kill(-cmd.Process.Pid, syscall.SIGHUP))
		_ = cmd.Wait()
		if got, err := os.ReadFile(mark); err != nil || string(got) != "done\n" { //nolint:gosec // a test's
			t.Errorf("it did not come to its end: %q, %v", got, err)
		}
	})
}

// TestOutlivingIsStopped by the word, and by a signal to all of it: the command and what it has started end, and its last words are heard.
func TestOutlivingIsStopped(t *testing.T) {
	eachShell(t, func(t *testing.T, command func(argv ...string) *exec.Cmd) {
		for name, stop := range map[string]func(in io.Writer, pid int) error{
			"word":   func(in io.Writer, _ int) error { _, err := io.WriteString(in, stopWord); return err },
			"signal": func(_ io.Writer, pid int) error { return syscall.Kill(-pid, syscall.SIGTERM) },
		} {
			cmd := command("sh", "-c", `trap "echo last words; exit 5" TERM; sleep 60 & sleep 0.2; echo ready; wait`)
			var rest bytes.Buffer
			in, ierr := cmd.StdinPipe()
			out, oerr := cmd.StdoutPipe()
			if err := errors.Join(ierr, oerr, cmd.Start()); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if err := stop(in, cmd.Process.Pid); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(&rest, out)
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 5 || rest.String() != "last words\n" || time.Since(began) > 10*time.Second {
				t.Errorf("%s: code %d after %s, said %q", name, code, time.Since(began), rest.String())
			}
		}
	})
}

func TestOutlivingHasNoInput(t *testing.T) {
	_, err := shellLine(Command{Argv: []string{"tee", "x"}, Outlives: true, Stdin: strings.NewReader("x")})
	if err == nil {
		t.Error("it was given an input that it cannot have")
	}
	argv := []string{"docker", "compose", "up"}
	if got := Outlived(outlive(argv)); strings.Join(got, " ") != "docker compose up" || strings.Join(Outlived(argv), " ") != "docker compose up" {
		t.Errorf("%q", got)
	}
	if got := Outlived([]string{"sh", "-c", "true", "nexops", "x"}); len(got) != 5 {
		t.Errorf("another script: %q", got)
	}
}

// TestRealSSHDOutliving: with a real sshd. Its output and code come while the connection holds; when sshd and with it the connection dies
// in the middle, it goes on; a cancel ends it, root's as well.
func TestRealSSHDOutliving(t *testing.T) {
	s := startSSHD(t)
	h := one(t, s.config(t), Options{})
	res, err := h.Run(within(t), Command{Argv: []string{"sh", "-c", `pwd; cat; echo "$V"; echo bad >&2; exit 7`}, Dir: s.dir, Env: map[string]string{"V": "a 'b'"}, Outlives: true})
	if err != nil || res.Code != 7 || string(res.Stdout) != s.dir+"\na 'b'\n" || string(res.Stderr) != "bad\n" {
		t.Fatalf("%+v %q %q, %v", res, res.Stdout, res.Stderr, err)
	}
	if res, err = h.Run(within(t), Command{Argv: []string{"/no/such/program"}, Outlives: true}); err != nil || res.Code != 127 {
		t.Fatalf("%+v %v, want code 127", res, err)
	}

	ended := filepath.Join(s.dir, "ended")
	ctx, cancel := context.WithCancel(within(t))
	_, err = h.Run(ctx, Command{
		Argv:   []string{"sh", "-c", `trap 'echo ended >"$0"; exit' TERM; echo x; for i in 1 2 3 4 5 6 7 8 9; do sleep 0.5; done`, ended},
		Stdout: &firstByte{seen: cancel}, Outlives: true,
	})
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrNotStarted) || !strings.Contains(err.Error(), "stopped before its end") {
		t.Errorf("err = %v", err)
	}
	if _, err := os.Stat(ended); err != nil {
		t.Errorf("cancelled, and it goes on: %v", err)
	}

	mark := filepath.Join(s.dir, "mark")
	_, err = h.Run(within(t), Command{Argv: talker(mark), Stdout: &firstByte{seen: sync.OnceFunc(s.stop)}, Outlives: true})
	if !errors.Is(err, ErrConnectionLost) {
		t.Errorf("err = %v", err)
	}
	for range 100 {
		if got, err := os.ReadFile(mark); err == nil && string(got) == "done\n" { //nolint:gosec // a test's
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Error("it ended with the connection")
}
