package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/lab/ptytest"
	"github.com/nexgate-hq/nexops/lab/real"
)

// birds are secrets, one for each place in which an estate has them. They are made up, and found nowhere afterwards.
type birds struct {
	env, file, cmd string // what the three forms of a secret in the config give
	url            string // in the URL of a webhook, which is a secret itself
	container      string // in the environment of a container
	neighbour      string // in the file in which the tag stands
	subject        string // in a URL in a commit's subject
	user           string // in the URL of the infra repo
	said           string // what a program says, under a name that tells
}

func (b birds) all() map[string]string {
	return map[string]string{
		"env": b.env, "file": b.file, "cmd": b.cmd, "url": b.url, "container": b.container, "neighbour": b.neighbour,
		"subject": b.subject, "user": b.user, "said": b.said,
	}
}

// quiet fails the test when one of them is in a text.
func (b birds) quiet(t *testing.T, what, text string) {
	t.Helper()
	for name, secret := range b.all() {
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("%s holds the secret %q: ...%s", what, name, text[max(0, i-160):i+len(secret)])
		}
	}
}

// plant puts the secrets where an estate has them, and gives the config that names those of the console.
func (b birds) plant(t *testing.T, lab *real.Lab) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte(b.file+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	printer := filepath.Join(dir, "printer")
	if err := os.WriteFile(printer, []byte("#!/bin/sh\necho "+b.cmd+"\n"), 0o700); err != nil { //nolint:gosec // a program is run
		t.Fatal(err)
	}
	config := quick(t, lab,
		"kind   = \"prometheus\"", "kind   = \"prometheus\"\nusername = \"nexops\"\npassword = \"env:NEXOPS_BIRD\"",
		"kind = \"loki\"", "kind = \"loki\"\nbearer_token = \"file:"+file+"\"")
	text, err := os.ReadFile(config) //nolint:gosec // just written
	if err != nil {
		t.Fatal(err)
	}
	text = fmt.Appendf(text, `
[[actions.notify.to]]
name       = "hook"
kind       = "webhook"
secret_url = "env:NEXOPS_HOOK"
headers    = { Authorization = "cmd:%s" }
on         = ["started", "ended"]
`, printer)
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	// What the host's own git says during the pull.
	hook := lab.Hosts["prod-1"].Checkout + "/.git/hooks/post-merge"
	said := "#!/bin/sh\necho \"deploying with " + b.env + "\"\necho \"DB_PASSWORD=" + b.said + "\"\n"
	if _, err := lab.SSH(t.Context(), "prod-1", "sh", "-c", `mkdir -p "${0%/*}"; printf %s "$1" >"$0"; chmod 755 "$0"`, hook, said); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := lab.SSH(context.WithoutCancel(t.Context()), "prod-1", "rm", "-f", hook); err != nil {
			t.Error(err)
		}
	})
	err = lab.Commit(t.Context(), "master", "ai: fetched from https://bot:"+b.subject+"@git.example.com/ai.git with "+b.env, map[string]string{
		"services/ai/tag.env":    "AI_API_KEY=" + b.neighbour + "\nAI_TAG=0.0.9\n",
		"services/ai/config.env": "LOG_LEVEL=info\nTZ=UTC\nDB_PASSWORD=" + b.container + "\nAMQP_URL=amqp://app:" + b.container + "@queue:5672/\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// TestLabSecretsAreFoundNowhere plants secrets in the config, in a container's environment, in what programs say and in git, does
// with the real estate whatever one does, and looks for them on the screen and on the disk.
func TestLabSecretsAreFoundNowhere(t *testing.T) {
	lab, _ := inLab(t)
	ctx := t.Context()
	b := birds{
		env: "bird-env-5501-magpie", file: "bird-file-5502-heron", cmd: "bird-cmd-5503-plover", url: "bird-url-5504-osprey",
		container: "bird-ctr-5505-curlew", neighbour: "bird-nbr-5506-dunlin", subject: "bird-sub-5507-avocet", user: "bird-usr-5508-fulmar", said: "bird-said-5509-gannet",
	}
	p := newPerson(t, "ana", b.plant(t, lab))
	if err := lab.Deploy(ctx, "notification", "prod", real.GoodTag); err != nil {
		t.Fatal(err)
	}
	pulled(t, lab, real.GoodTag)
	h := lab.Hosts["prod-1"]
	for _, argv := range [][]string{
		{"git", "-C", h.Checkout, "pull", "--quiet", "--ff-only"},
		{"docker", "compose", "-p", h.Project, "-f", h.Checkout + "/" + h.Compose, "up", "-d", "--no-deps", "ai"},
	} {
		if _, err := lab.SSH(ctx, "prod-1", argv...); err != nil {
			t.Fatal(err)
		}
	}
	nexops := func(args ...string) *exec.Cmd {
		cmd := p.nexops(append([]string{"--log-level", "debug"}, args...)...)
		cmd.Env = append(cmd.Env, "NEXOPS_BIRD="+b.env, "NEXOPS_HOOK=http://127.0.0.1:1/hooks/"+b.url)
		return cmd
	}
	elsewhere := filepath.Join(t.TempDir(), "config.toml") // an infra repo whose URL holds a token
	text, err := os.ReadFile(p.config)                     //nolint:gosec // the test's own
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), `git_url  = "`+lab.Repo, `git_url  = "https://`+b.user+`@127.0.0.1:1/infra.git`, 1))
	if err := os.WriteFile(elsewhere, text, 0o600); err != nil {
		t.Fatal(err)
	}
	said := func() { // to the container that runs now, when it is up
		for end := time.Now().Add(within); ; time.Sleep(200 * time.Millisecond) {
			_, err := lab.App(ctx, "ai", "prod-1", "/line", "logging in with "+b.env+" and token="+b.said)
			if err == nil {
				return
			}
			if time.Now().After(end) {
				t.Fatal(err)
			}
		}
	}
	said()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"status"}, -1, "ai"},
		{[]string{"status", "-o", "json"}, -1, `"tag"`},
		{[]string{"plan", "redeploy", "ai", "--to", real.GoodTag}, 0, "AI_TAG="},
		{[]string{"plan", "redeploy", "ai", "--to", real.GoodTag, "-o", "json"}, 0, "AI_TAG="},
		{[]string{"--config", elsewhere, "plan", "redeploy", "ai", "--to", real.GoodTag}, 1, "infra repo"},
		{[]string{"redeploy", "ai", "--to", real.GoodTag, "--confirm", "ai@prod", "--why", "said " + b.env}, 0, "deploying with [redacted]"},
		{[]string{"logs", "ai", "-n", "200"}, -1, "level"},
		{[]string{"journal"}, 0, "good"},
		{[]string{"journal", "-o", "json", "-n", "1000"}, 0, "[redacted]"},
		{[]string{"journal", "-o", "yaml", "-n", "1000"}, 0, "[redacted]"},
		{[]string{"journal", "verify"}, 0, "whole"},
	} {
		out, code := output(t, nexops(c.args...))
		what := strings.Join(c.args, " ")
		b.quiet(t, what, out)
		if c.code >= 0 && code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("%s: exit code %d\n%s", what, code, out)
		}
	}
	said()
	if out, _ := output(t, nexops("logs", "ai", "-n", "200")); !strings.Contains(out, "logging in with [redacted] and token=[redacted]") {
		b.quiet(t, "logs", out)
		t.Errorf("the log of ai:\n%s", out)
	}
	b.screen(t, nexops(), said)
	b.disk(t, p)
}

// screen looks at what is drawn: the list, the whole record of a container, its log, the plan, the journal.
func (b birds) screen(t *testing.T, cmd *exec.Cmd, said func()) {
	t.Helper()
	s := ptytest.Start(t, cmd, 200, 60)
	s.WaitFor(within, "hosts 2/2", "notification", real.GoodTag)
	s.Type("/", "ai", ptytest.Enter)
	s.WaitFor(within, "desired     "+real.GoodTag)
	s.Type("i")
	s.WaitFor(within, "DB_PASSWORD=[redacted]")
	s.Type(ptytest.Esc, "c")
	s.WaitFor(within, "https://bot:[redacted]@git.example.com")
	s.Type(ptytest.Esc, "l")
	s.WaitFor(within, "request service=ai")
	said()
	s.WaitFor(within, "logging in with [redacted]")
	s.Type(ptytest.Esc, "R")
	s.WaitFor(within, "type ai@prod to run")
	read()
	s.Type(ptytest.Esc)
	s.WaitUntil(within, "the dialog gone", func(text string) bool { return !strings.Contains(text, "type ai@prod to run") })
	s.Type(ptytest.CtrlC)
	s.WaitEnd(within)
	b.quiet(t, "the screen", string(s.Raw()))
}

// disk looks at every file that nexops has left, and who may read it. What git keeps in its own form is the infra repo
// itself, in the console's own copy.
func (b birds) disk(t *testing.T, p person) {
	t.Helper()
	files := everyFile(t, p.home)
	kinds := map[string]bool{}
	for path, text := range files {
		b.quiet(t, path, text)
		kinds[filepath.Ext(path)] = true
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(path, ".git/") && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: others may read it: %s", path, info.Mode())
		}
	}
	if !kinds[".jsonl"] || !kinds[".log"] {
		t.Errorf("neither journal nor log among %d files: %v", len(files), kinds)
	}
}
