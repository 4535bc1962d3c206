package main

import (
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/lab/ptytest"
)

// TestShellAndBack is the way into a container and out of it: the screen is intact again.
func TestShellAndBack(t *testing.T) {
	e, nexops := estate(t, "quiet")
	cmd := nexops("--env", "prod")
	// The race detector finds Bubble Tea v2.0.10 at odds with itself: what restores the terminal writes what its
	// listener for resizes reads. It is told of, and is not this test's failure.
	cmd.Env = append(cmd.Env, "GORACE=exitcode=0")
	term := ptytest.Start(t, cmd, 120, 40)
	openShell := func() {
		t.Helper()
		term.Type("X")
		term.WaitFor(within, "docker exec -it", "type ai@prod to run")
		read()
		term.Type("ai@prod", ptytest.Enter)
		term.WaitFor(within, "exit or ctrl-d leaves it", "/ #")
	}
	term.WaitFor(within, "nexgate-backend", "file-thunder", "hosts 2/2")
	term.Type("/", "ai", ptytest.Enter)
	openShell()
	term.Type("echo hi", ptytest.Enter)
	term.WaitUntil(within, "the answer of the shell", func(s string) bool { return strings.Count(s, "hi") == 2 })
	term.Resize(100, 30)
	term.Type("exit 3", ptytest.Enter)
	term.WaitFor(within, "exit code 3 after", "good after", "hosts 2/2")
	whole(t, term.Screen())

	term.Type(ptytest.Esc)
	term.WaitUntil(within, "the list again", func(s string) bool { return !strings.Contains(s, "good after") })
	openShell()
	if err := e.StopHost("prod-1"); err != nil {
		t.Fatal(err)
	}
	term.WaitFor(within, "unknown after", "docker top", "hosts 1/2")
	whole(t, term.Screen())
	if err := e.StartHost(t.Context(), "prod-1"); err != nil {
		t.Fatal(err)
	}
	term.WaitFor(within, "hosts 2/2")
	term.Type("q")
	if c := term.WaitEnd(within); c != 0 {
		t.Errorf("exit code %d", c)
	}
	out, _ := output(t, nexops("journal"))
	if !strings.Contains(out, "shell in nexgate-prod-ai-1 on prod-1") || strings.Contains(out, "echo hi") {
		t.Errorf("journal:\n%s", out)
	}
}

// TestHangupInAShell is a tmux pane that is closed while a shell is open in it.
func TestHangupInAShell(t *testing.T) {
	_, nexops := estate(t, "quiet")
	term := ptytest.Start(t, nexops("--env", "prod", "exec", "ai", "--confirm", "ai@prod"), 100, 30)
	term.WaitFor(within, "/ #")
	term.Hangup()
	if c := term.WaitEnd(within); c != 255 {
		t.Errorf("exit code %d", c)
	}
	if out, _ := output(t, nexops("journal")); !strings.Contains(out, "unknown") {
		t.Errorf("journal:\n%s", out)
	}
}

// whole checks that the screen is the console's and nothing else.
func whole(t *testing.T, screen string) {
	t.Helper()
	first, _, _ := strings.Cut(screen, "\n")
	if !strings.Contains(first, "nexops") || strings.Contains(screen, "/ #") {
		t.Errorf("not intact:\n%s", screen)
	}
}

// TestExecHeadless holds the command line: streams and exit code are the command's own.
func TestExecHeadless(t *testing.T) {
	_, nexops := estate(t, "quiet")
	run := func(args ...string) (string, int) {
		cmd := nexops(append([]string{"--env", "prod", "exec", "ai"}, args...)...)
		var out, errs strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &errs
		_ = cmd.Run()
		return out.String() + "|" + errs.String(), cmd.ProcessState.ExitCode()
	}
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-q", "--confirm", "ai@prod", "--", "echo", "a  b"}, 0, "a  b\n|"},
		{[]string{"-q", "--confirm", "ai@prod", "--", "sh", "-c", "exit 7"}, 7, "|"},
		{[]string{"-q", "--confirm", "ai@prod", "--", "vi"}, 127, "|OCI runtime exec failed"},
		{[]string{"--", "ls"}, 255, "nothing was done: prod asks for --confirm ai@prod"},
		{[]string{"--confirm", "ai@prod"}, 64, "no terminal"},
		{[]string{"--instance", "nope", "--confirm", "ai@prod", "--", "ls"}, 255, "no instance nope"},
	} {
		out, code := run(tc.args...)
		if code != tc.code || !strings.Contains(out, tc.want) {
			t.Errorf("%v: exit code %d, want %d\n%s", tc.args, code, tc.code, out)
		}
	}
}
