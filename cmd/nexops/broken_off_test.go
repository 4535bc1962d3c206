package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nexgate-hq/nexops/lab/ptytest"
)

// runningTag is what a service runs now, as a fresh console sees it.
func runningTag(t *testing.T, nexops func(args ...string) *exec.Cmd, service string) string {
	t.Helper()
	cmd := nexops("status", "--env", "prod", "-o", "json")
	out, err := cmd.Output()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	var doc struct {
		Services []struct {
			Name    string `json:"name"`
			Running *struct {
				Tag string `json:"tag"`
			} `json:"running"`
		} `json:"services"`
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		t.Fatalf("status: %v\n%s", err, out)
	}
	for _, s := range doc.Services {
		if s.Name == service && s.Running != nil {
			return s.Running.Tag
		}
	}
	t.Fatalf("nothing runs of %s", service)
	return ""
}

// killedAt runs a redeploy and kills it, by SIGKILL, as soon as its output has a line with each of the words in turn.
func killedAt(t *testing.T, cmd *exec.Cmd, words ...string) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for len(words) > 0 && lines.Scan() {
		if strings.Contains(lines.Text(), words[0]) {
			words = words[1:]
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if len(words) > 0 {
		t.Fatalf("it ended before %q", words)
	}
}

// TestKilledAtEveryMoment: SIGKILL at each moment that is on record. The next start says where it was and what is
// true now, the lock is a dead console's and is taken over only by who says so, and the journal is whole.
func TestKilledAtEveryMoment(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts an estate for each moment")
	}
	for name, moment := range map[string]struct {
		words []string
		where []string // any of these: the process may have come a little further
	}{
		"started":        {[]string{"Z started"}, []string{"before its first step", "in the middle of push tag commit"}},
		"locked":         {[]string{"Z locked"}, []string{"before its first step", "push tag commit", "pull checkout"}},
		"push begun":     {[]string{"▶ push tag commit"}, []string{"push tag commit", "pull checkout", "look at compose file"}},
		"push ended":     {[]string{"▶ push tag commit", "✓ done"}, []string{"push tag commit", "pull checkout", "look at compose file"}},
		"pull begun":     {[]string{"▶ pull checkout"}, []string{"pull checkout", "look at compose file", "up on prod-1"}},
		"up begun":       {[]string{"▶ up"}, []string{"up on prod-1"}},
		"up ended":       {[]string{"▶ up", "✓ done"}, []string{"up on prod-1", "while it was being verified"}},
		"being verified": {[]string{"watching for"}, []string{"while it was being verified"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, nexops := estate(t, "bad-deploy")
			killedAt(t, nexops("redeploy", "ai", "--env", "prod", "--confirm", "ai@prod"), moment.words...)
			said, c := output(t, nexops("redeploy", "ai", "--env", "prod", "--confirm", "wrong@prod"))
			if c != 1 {
				t.Errorf("the next start: exit code %d", c)
			}
			told := ""
			for line := range strings.Lines(said) {
				if strings.Contains(line, "ended without an outcome") {
					told = line
				}
			}
			found := false
			for _, w := range moment.where {
				found = found || strings.Contains(told, w)
			}
			if !strings.Contains(told, "redeploy ai on prod: 0.4.2 → 0.4.1") || !found {
				t.Errorf("the next start does not tell where it was:\n%s", said)
			}
			tag := runningTag(t, nexops, "ai")
			if want := map[string]string{"0.4.2": "still runs 0.4.2", "0.4.1": "runs 0.4.1 now"}[tag]; want == "" || !strings.Contains(told, want) {
				t.Errorf("ai runs %s, and the next start says: %s", tag, told)
			}
			if name != "started" && !strings.Contains(said, "takeover:ai@prod") {
				t.Errorf("it does not ask for the takeover:\n%s", said)
			}
			if out, c := output(t, nexops("journal", "verify")); c != 0 {
				t.Errorf("journal verify: %d %s", c, out)
			}
			if out, _ := output(t, nexops("journal")); strings.Contains(out, "ended without an outcome") || !strings.Contains(out, "the console ended before the plan did") {
				t.Errorf("it is not settled:\n%s", out)
			}
		})
	}
}

// TestClosedPane: SIGHUP, as a tmux pane that is closed sends it, and SIGTERM, while an action runs. What changes something
// is let finish, the end is on record, and the next start tells of it with what is true now.
func TestClosedPane(t *testing.T) {
	for name, sig := range map[string]os.Signal{"SIGHUP": syscall.SIGHUP, "SIGTERM": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			_, nexops := estate(t, "bad-deploy")
			cmd := nexops("--env", "prod")
			term := ptytest.Start(t, cmd, 120, 40)
			term.WaitUntil(within, "ai on top, with what R does", aiOnTop)
			term.Type("R")
			term.WaitFor(within, "type ai@prod to run")
			read()
			term.Type("ai@prod", ptytest.Enter)
			term.WaitFor(within, "watching for")
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			term.WaitEnd(within)
			out, _ := output(t, nexops("journal"))
			if strings.Contains(out, "ended without an outcome") || !strings.Contains(out, "0.4.2 → 0.4.1") {
				t.Errorf("the end is not on record:\n%s", out)
			}
			again := ptytest.Start(t, nexops("--env", "prod"), 160, 48)
			again.WaitFor(within, "was broken off", "ai on prod-1 runs 0.4.1 now")
			again.Type("q")
			again.WaitEnd(within)
			if out, c := output(t, nexops("journal", "verify")); c != 0 {
				t.Errorf("journal verify: %d %s", c, out)
			}
		})
	}
}

// TestReadOnlyIsUnlockedForAWhile: the header says it, capital letters say why not, L opens it for this console alone.
func TestReadOnlyIsUnlockedForAWhile(t *testing.T) {
	e, nexops := estate(t, "bad-deploy")
	text, err := os.ReadFile(e.ConfigPath())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "config.toml")
	readOnly := strings.Replace(string(text), "[env.prod]\n", "[env.prod]\nread_only = true\n", 1)
	if err := os.WriteFile(path, []byte(readOnly), 0o600); err != nil {
		t.Fatal(err)
	}
	term := ptytest.Start(t, nexops("--config", path, "--env", "prod"), 120, 40)
	term.WaitUntil(within, "ai on top", func(s string) bool { return strings.Contains(firstRow(s), "ai") && strings.Contains(s, "sources 9/9") })
	term.WaitFor(within, "read-only")
	term.Type("R")
	term.WaitFor(within, "L on the screen unlocks it")
	term.Type("L")
	term.WaitFor(within, "unlock prod for how long?")
	read()
	term.Type("30m the index is rebuilt", ptytest.Enter)
	term.WaitFor(within, "type unlock@prod to run")
	read()
	term.Type("unlock@prod", ptytest.Enter)
	term.WaitFor(within, "unlocked 29:")
	if out, c := output(t, nexops("--config", path, "redeploy", "ai", "--env", "prod", "--confirm", "ai@prod")); c != 1 || !strings.Contains(out, "read only") {
		t.Errorf("another console acted: exit code %d\n%s", c, out)
	}
	term.Type(ptytest.Esc)
	term.Type("R")
	term.WaitFor(within, "type ai@prod to run")
	read()
	term.Type(ptytest.Esc)
	term.WaitFor(within, "cancelled, nothing was done")
	term.Type("q")
	term.WaitEnd(within)
	if out, _ := output(t, nexops("journal")); !strings.Contains(out, "unlock prod for 30 min") || !strings.Contains(out, "the index is rebuilt") {
		t.Errorf("journal:\n%s", out)
	}
}

// TestTwoConsolesAtOnce: two machines' consoles act on one service at the same moment. One wins, the other is told
// who, and the estate is changed once.
func TestTwoConsolesAtOnce(t *testing.T) {
	_, nexops := estate(t, "bad-deploy")
	type end struct {
		out  string
		code int
	}
	ends := make(chan end, 2)
	for range 2 {
		cmd := nexops("redeploy", "ai", "--env", "prod", "--confirm", "ai@prod")
		home := t.TempDir() // a machine of its own: nothing but the host is shared
		cmd.Env = append(cmd.Env, "HOME="+home, "XDG_STATE_HOME="+filepath.Join(home, "state"), "XDG_CACHE_HOME="+filepath.Join(home, "cache"))
		go func() { // ends with its process, which is waited for below
			out, _ := cmd.CombinedOutput()
			ends <- end{string(out), cmd.ProcessState.ExitCode()}
		}()
	}
	one, two := <-ends, <-ends
	if one.code == 0 {
		one, two = two, one
	}
	if two.code != 0 || one.code == 0 {
		t.Fatalf("exit codes %d and %d\n%s\n%s", one.code, two.code, one.out, two.out)
	}
	if !strings.Contains(one.out, "locked") && !strings.Contains(one.out, "somebody was faster") && !strings.Contains(one.out, "moved since the plan was made") {
		t.Errorf("the loser is not told why:\n%s", one.out)
	}
	if tag := runningTag(t, nexops, "ai"); tag != "0.4.1" {
		t.Errorf("ai runs %s", tag)
	}
}
