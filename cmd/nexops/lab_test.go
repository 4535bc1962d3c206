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

// inLab gives the real lab, as it was at the beginning, and a command that opens the console on it.
func inLab(t *testing.T) (*real.Lab, func(args ...string) *exec.Cmd) {
	t.Helper()
	lab := real.FromEnv(t)
	if err := lab.Reset(t.Context()); err != nil {
		t.Fatalf("reset the lab: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := lab.Reset(ctx); err != nil {
			t.Errorf("reset the lab: %v", err)
		}
	})
	home := t.TempDir()
	return lab, func(args ...string) *exec.Cmd {
		cmd := exec.Command("nexops", append([]string{"--config", lab.Config, "--env", "prod"}, args...)...) //nolint:gosec // our own binary
		cmd.Env = append(os.Environ(), "HOME="+home, "XDG_STATE_HOME="+filepath.Join(home, "state"), "XDG_CACHE_HOME="+filepath.Join(home, "cache"))
		return cmd
	}
}

// TestLabFindAndUndoTheBadDeploy is the promise of the first screen, against real servers:
// a release that answers 500 is on top with its figures, R puts the old one back, and the
// estate's own "docker compose up -d" then has nothing to do.
func TestLabFindAndUndoTheBadDeploy(t *testing.T) {
	lab, nexops := inLab(t)
	ctx := t.Context()
	term := ptytest.Start(t, nexops(), 120, 40)
	term.WaitFor(within, "hosts 2/2", "notification", "file-thunder", "backend", "0.1.0")

	if err := lab.Deploy(ctx, "ai", "prod", "0.1.1"); err != nil {
		t.Fatal(err)
	}
	deployed := time.Now()
	term.WaitUntil(within, "ai on top with its errors", func(s string) bool {
		row := firstRow(s)
		return strings.Contains(row, "ai") && strings.Contains(s, "errors") && strings.Contains(s, "0.1.0→0.1.1")
	})
	t.Logf("on top, with the reason in figures and the deploy as the latest change, %.1f s after the deploy", time.Since(deployed).Seconds())

	// A plan made before git was read again is made anew under the person's eyes; that is another test's matter.
	term.WaitFor(within, "desired     0.1.1", "R redeploy")
	term.Type("R")
	term.WaitFor(within, "type ai@prod to run", "0.1.0")
	read()
	term.Type("ai@prod", ptytest.Enter)
	term.WaitFor(2*within, "good after")

	out, err := lab.SSH(ctx, "prod-1", "docker", "ps", "--filter", "label=com.docker.compose.service=ai", "--format", "{{.ID}} {{.Image}}")
	if err != nil || !strings.Contains(out, ":0.1.0") {
		t.Fatalf("ai on prod-1 runs %q, %v", out, err)
	}
	h := lab.Hosts["prod-1"]
	if _, err := lab.SSH(ctx, "prod-1", "git", "-C", h.Checkout, "pull", "--quiet", "--ff-only"); err != nil {
		t.Fatal(err)
	}
	if _, err := lab.SSH(ctx, "prod-1", "docker", "compose", "-p", h.Project, "-f", filepath.Join(h.Checkout, h.Compose), "up", "-d"); err != nil {
		t.Fatal(err)
	}
	after, err := lab.SSH(ctx, "prod-1", "docker", "ps", "--filter", "label=com.docker.compose.service=ai", "--format", "{{.ID}} {{.Image}}")
	if err != nil || after != out {
		t.Errorf("the next up changed %q to %q, %v", out, after, err)
	}
	if text, code := output(t, nexops("journal", "verify")); code != 0 {
		t.Errorf("journal verify: %d\n%s", code, text)
	}
	if text, _ := output(t, nexops("journal")); !strings.Contains(text, "0.1.1 → 0.1.0") || !strings.Contains(text, "good") {
		t.Errorf("journal:\n%s", text)
	}
	term.Type("q")
	term.WaitEnd(within)
}

// TestLabRedeployHeadless does the same from a script.
func TestLabRedeployHeadless(t *testing.T) {
	lab, nexops := inLab(t)
	if err := lab.Deploy(t.Context(), "backend", "prod", "0.1.1"); err != nil {
		t.Fatal(err)
	}
	if text, code := output(t, nexops("plan", "redeploy", "backend")); code != 0 || !strings.Contains(text, "prod-1") || !strings.Contains(text, "prod-2") {
		t.Fatalf("plan: %d\n%s", code, text)
	}
	if text, code := output(t, nexops("redeploy", "backend", "--yes")); code != 1 || !strings.Contains(text, "--confirm backend@prod") {
		t.Errorf("--yes must not do where the policy asks to type: %d\n%s", code, text)
	}
	if text, code := output(t, nexops("redeploy", "backend", "--confirm", "backend@prod")); code != 0 {
		t.Errorf("redeploy: %d\n%s", code, text)
	}
	for _, host := range []string{"prod-1", "prod-2"} {
		out, err := lab.SSH(t.Context(), host, "docker", "ps", "--filter", "label=com.docker.compose.service=backend", "--format", "{{.Image}}")
		if err != nil || !strings.Contains(out, ":0.1.0") {
			t.Errorf("backend on %s runs %q, %v", host, out, err)
		}
	}
}

// TestLabFaults takes one server after the other away: the pane stays usable, says what
// is stale, and recovers by itself.
func TestLabFaults(t *testing.T) {
	lab, nexops := inLab(t)
	ctx := t.Context()
	term := ptytest.Start(t, nexops(), 120, 40)
	whole := func() {
		term.WaitUntil(2*within, "all is well", func(s string) bool {
			return strings.Contains(s, "hosts 2/2") && !strings.Contains(head(s), "✖") && strings.Contains(s, "notification")
		})
	}
	whole()
	faults := []struct {
		name       string
		take, give func() error
		says       string
	}{
		{"sshd of prod-2", func() error { return lab.KillSSHD(ctx, "prod-2") }, func() error { return lab.StartSSHD(ctx, "prod-2") }, "hosts 1/2"},
		{"engine of prod-2", func() error { return lab.StopEngine("prod-2") }, func() error { return lab.ContEngine("prod-2") }, "hosts 1/2"},
		{"prometheus", func() error { return lab.StopPrometheus(ctx) }, func() error { return lab.StartPrometheus(ctx) }, "prom"},
		{"loki", func() error { return lab.StopLoki(ctx) }, func() error { return lab.StartLoki(ctx) }, "loki"},
	}
	for _, f := range faults {
		if err := f.take(); err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		term.WaitUntil(within, f.name+" gone: "+f.says+" in the header", func(s string) bool {
			return strings.Contains(head(s), "✖") && strings.Contains(head(s), f.says)
		})
		term.Type("j", "k", "?") // it still answers
		term.WaitFor(within, "help")
		term.Type(ptytest.Esc)
		if err := f.give(); err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		back := time.Now()
		whole()
		t.Logf("%s: recovered %.1f s after the return", f.name, time.Since(back).Seconds())
	}
	term.Type("q")
	term.WaitEnd(within)
}

// head is what stands above the list: the header, and a line for each source that fails.
func head(screen string) string {
	above, _, _ := strings.Cut(screen, "╭")
	return above
}

// TestLabStatus reads one whole snapshot of real servers.
func TestLabStatus(t *testing.T) {
	_, nexops := inLab(t)
	var text string
	for deadline := time.Now().Add(within); ; time.Sleep(time.Second) {
		out, code := output(t, nexops("status", "-o", "json"))
		text = fmt.Sprintf("exit code %d\n%s", code, out)
		if code == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the lab as it was at the beginning needs no attention:\n%s", text)
		}
	}
	for _, want := range []string{`"digest": "sha256:`, `"rps"`, `"error_ratio"`, `"log_errors"`, `"tag": "0.1.0"`, `"commit": "`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// TestLabABadDeployIsTakenBackByItself: a release that answers 500, deployed by nexops where the policy says
// auto_rollback, is gone again without anybody doing anything, and both plans are on record.
func TestLabABadDeployIsTakenBackByItself(t *testing.T) {
	lab, nexops := inLab(t)
	ctx := t.Context()
	// The release has to be one that git knows.
	if err := lab.Deploy(ctx, "ai", "prod", "0.1.1"); err != nil {
		t.Fatal(err)
	}
	config := rollingBack(t, lab.Config, "110s")
	appendTo(t, config, fmt.Sprintf("\n[actions.journal.loki]\nurl = %q\nvia = \"ops\"\n", lab.Loki))
	args := func(more ...string) []string { return append([]string{"--config", config}, more...) }
	if text, code := output(t, nexops(args("redeploy", "ai", "--to", "0.1.0", "--confirm", "ai@prod")...)); code != 0 {
		t.Fatalf("to the good release: %d\n%s", code, text)
	}
	began := time.Now()
	text, code := output(t, nexops(args("redeploy", "ai", "--to", "0.1.1", "--confirm", "ai@prod")...))
	if code != 2 || !strings.Contains(text, "rolled back by itself (redeploy ai on prod: 0.1.1 → 0.1.0)") || !strings.Contains(text, "ended: good") {
		t.Fatalf("to the bad release: %d\n%s", code, text)
	}
	t.Logf("deployed, found bad and taken back in %.0f s", time.Since(began).Seconds())
	out, err := lab.SSH(ctx, "prod-1", "docker", "ps", "--filter", "label=com.docker.compose.service=ai", "--format", "{{.Image}}")
	if err != nil || !strings.Contains(out, ":0.1.0") {
		t.Errorf("ai on prod-1 runs %q, %v", out, err)
	}
	if text, code := output(t, nexops("journal", "verify")); code != 0 {
		t.Errorf("journal verify: %d\n%s", code, text)
	}
	if text, _ := output(t, nexops("journal")); !strings.Contains(text, "automatic rollback of ") {
		t.Errorf("journal:\n%s", text)
	}
	lines, err := lab.LogQuery(ctx, `sum by (service) (count_over_time({job="nexops", env="prod", action="redeploy"} [30m]))`, "service")
	exported, _ := output(t, nexops("journal", "export"))
	if want := strings.Count(exported, "\n"); err != nil || int(lines["ai"]) != want {
		t.Errorf("Loki has %v lines, %v; the journal has %d", lines, err, want)
	}
}

// pulled has a release of ai on prod-1, so that it is known there: a new lab has only what it runs.
func pulled(t *testing.T, lab *real.Lab, tag string) {
	t.Helper()
	if _, err := lab.SSH(t.Context(), "prod-1", "docker", "pull", "--quiet", lab.Registry+"/nexgate/ai-service:"+tag); err != nil {
		t.Fatal(err)
	}
}
