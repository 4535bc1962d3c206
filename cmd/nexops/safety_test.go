package main

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/lab/ptytest"
)

// TestTheNextStartTells: a console that is killed in the middle of an action cannot say how it ended. The
// next one does, on its first screen, with what is true now, and puts that on record.
func TestTheNextStartTells(t *testing.T) {
	_, nexops := estate(t, "bad-deploy")
	first := nexops("--env", "prod")
	term := ptytest.Start(t, first, 120, 40)
	term.WaitUntil(within, "ai on top, with what R does", aiOnTop)
	term.Type("R")
	term.WaitFor(within, "type ai@prod to run")
	read()
	term.Type("ai@prod", ptytest.Enter)
	term.WaitFor(within, "watching for")
	if out, _ := output(t, nexops("journal")); !strings.Contains(out, "is still being run by") {
		t.Errorf("the journal while it runs:\n%s", out)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	term.WaitEnd(within)
	if out, _ := output(t, nexops("journal")); !strings.Contains(out, "ended without an outcome while it was being verified") {
		t.Errorf("the journal after the kill:\n%s", out)
	}

	term = ptytest.Start(t, nexops("--env", "prod"), 120, 40)
	term.WaitFor(within, "ended without an outcome", "runs 0.4.1 now")
	term.Type(ptytest.Esc)
	term.WaitUntil(within, "the news gone", func(s string) bool { return !strings.Contains(s, "ended without an outcome") })
	term.Type("q")
	term.WaitEnd(within)
	if out, _ := output(t, nexops("journal")); !strings.Contains(out, "the console ended before the plan did; ai on prod-1 runs 0.4.1 now") ||
		strings.Contains(out, "ended without an outcome") {
		t.Errorf("the journal after the next start:\n%s", out)
	}
	if out, c := output(t, nexops("journal", "verify")); c != 0 {
		t.Errorf("journal verify: %d %s", c, out)
	}
}

// everyFile gives the text of all files below the folders, by name.
func everyFile(t *testing.T, folders ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, dir := range folders {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path) //nolint:gosec // the test's own folder
			out[path] = string(text)
			return err //nolint:wrapcheck // a test
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

const (
	canary = "canary-4711-bird"    // a secret that the config names
	token  = "ghp-4712-token-bird" // what somebody has put into a URL
	inEnv  = "not-for-screens"     // part of every secret in the simulated containers' environment
)

// withSecrets changes an estate's config to one that names a secret, and gives its path.
func withSecrets(t *testing.T, config string, change ...string) string {
	t.Helper()
	text, err := os.ReadFile(config) //nolint:gosec // the estate's own
	if err != nil {
		t.Fatal(err)
	}
	change = append([]string{"poll   = \"3s\"\nwindow", "username = \"nexops\"\npassword = \"env:NEXOPS_CANARY\"\npoll   = \"3s\"\nwindow"}, change...)
	path := filepath.Join(t.TempDir(), "config.toml")
	changed := strings.NewReplacer(change...).Replace(string(text))
	if strings.Count(changed, "NEXOPS_CANARY") != 1 {
		t.Fatalf("the secret has no place in\n%s", text)
	}
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// quiet fails the test when a secret is in a text.
func quiet(t *testing.T, what, text string) {
	t.Helper()
	for _, secret := range []string{canary, token, inEnv} {
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("%s holds %s: ...%s", what, secret, text[max(0, i-200):i+len(secret)])
		}
	}
}

// TestSecretsAreShownNowhere plants secrets where an estate has them, and looks for them wherever nexops
// shows or writes anything.
func TestSecretsAreShownNowhere(t *testing.T) {
	e, nexops := estate(t, "bad-deploy")
	home := t.TempDir()
	run := func(config string, args ...string) (string, int) {
		cmd := nexops(append([]string{"--log-level", "debug", "--env", "prod"}, args...)...)
		cmd.Args[2] = config
		cmd.Env = append(cmd.Env, "NEXOPS_CANARY="+canary, "XDG_STATE_HOME="+home)
		return output(t, cmd)
	}

	// A step says the secret: the repository refuses the push and tells why.
	hook := filepath.Join(e.GitPath(), "hooks", "pre-receive")
	if err := os.MkdirAll(filepath.Dir(hook), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho \"refused, said "+canary+"\" >&2\nexit 1\n"), 0o700); err != nil { //nolint:gosec // a hook is run
		t.Fatal(err)
	}
	config := withSecrets(t, e.ConfigPath())
	out, code := run(config, "redeploy", "ai", "--confirm", "ai@prod")
	quiet(t, "redeploy", out)
	if code != 3 || !strings.Contains(out, "said [redacted]") {
		t.Errorf("redeploy: exit code %d, %s", code, out)
	}

	// A URL holds one, and the plan shows what would be run and what failed.
	url := "https://" + token + "@127.0.0.1:1/infra.git"
	config2 := withSecrets(t, e.ConfigPath(), `git_url  = "`+e.GitPath(), `git_url  = "`+url)
	for _, args := range [][]string{
		{"plan", "redeploy", "ai"}, {"plan", "redeploy", "ai", "-o", "json"}, {"redeploy", "ai", "--confirm", "ai@prod"},
		{"status", "-o", "json"}, {"journal"}, {"journal", "-o", "yaml"}, {"logs", "nexgate-backend", "-n", "50"},
	} {
		out, code := run(config2, args...)
		quiet(t, strings.Join(args, " "), out)
		if code == 64 || code == 78 || len(out) == 0 {
			t.Errorf("%v: exit code %d, %s", args, code, out)
		}
	}

	// The screen shows the whole record of a container.
	cmd := nexops("--env", "prod", "--log-level", "debug")
	cmd.Args[2] = config2
	cmd.Env = append(cmd.Env, "NEXOPS_CANARY="+canary, "XDG_STATE_HOME="+home)
	term := ptytest.Start(t, cmd, 160, 48)
	term.WaitFor(within, "nexgate-backend", "hosts 2/2")
	term.Type("/", "nexgate-backend", ptytest.Enter, "i")
	term.WaitFor(within, "DB_PASSWORD=[redacted]")
	term.Type(ptytest.CtrlC)
	term.WaitEnd(within)
	quiet(t, "the screen", string(term.Raw()))

	files := everyFile(t, home)
	if len(files) < 2 {
		t.Errorf("neither journal nor log: %v", files)
	}
	for path, text := range files {
		quiet(t, path, text)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: others may read it: %s", path, info.Mode())
		}
	}
}

// TestTheNextCommandTells: the next command that acts tells of what was left without an end as well, also when it has nothing to do itself.
func TestTheNextCommandTells(t *testing.T) {
	_, nexops := estate(t, "bad-deploy")
	first := nexops("--env", "prod", "redeploy", "ai", "--to", "0.4.1", "--confirm", "ai@prod")
	out, err := first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(out); s.Scan() && !strings.Contains(s.Text(), "verifying"); {
	}
	_ = first.Process.Kill()
	_ = first.Wait()
	text, code := output(t, nexops("--env", "prod", "redeploy", "ai", "--to", "0.4.1", "--confirm", "ai@prod"))
	if code != 1 || !strings.Contains(text, "ended without an outcome while it was being verified; ai on prod-1 runs 0.4.1 now") || !strings.Contains(text, "it already runs that release") {
		t.Errorf("the next command: %d\n%s", code, text)
	}
	if text, _ := output(t, nexops("journal")); !strings.Contains(text, "the console ended before the plan did; ai on prod-1 runs 0.4.1 now") {
		t.Errorf("the journal:\n%s", text)
	}
}
