package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLabPromote takes what staging really runs to prod: real containers, the real registry, and git over ssh.
func TestLabPromote(t *testing.T) {
	lab, nexops := inLab(t)
	ctx := t.Context()
	text, err := os.ReadFile(lab.Config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.toml")
	with := func(more string) func(args ...string) *exec.Cmd {
		if err := os.WriteFile(file, append(text, "\n[actions.promote]\n"+more...), 0o600); err != nil {
			t.Fatal(err)
		}
		return func(args ...string) *exec.Cmd {
			cmd := nexops(args...)
			cmd.Args[2] = file
			return cmd
		}
	}
	wanted := func(branch string) string {
		t.Helper()
		out, err := lab.SSH(ctx, "ops", "git", "--git-dir=/srv/git/nexgate-infra.git", "show", branch+":services/ai/tag.env")
		if err != nil {
			t.Fatalf("%s: %v", branch, err)
		}
		return strings.TrimSpace(out)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := lab.SSH(ctx, "ops", "git", "--git-dir=/srv/git/nexgate-infra.git", "branch", "-q", "-D", "promote/ai-0.1.2"); err != nil {
			t.Logf("the branch of the promotion: %v", err)
		}
	})
	if err := lab.Deploy(ctx, "ai", "staging", "0.1.2"); err != nil {
		t.Fatal(err)
	}
	plan := with("way = \"push\"\n")("plan", "promote", "ai")
	for deadline := time.Now().Add(within); ; {
		out, code := output(t, plan)
		if code == 0 && strings.Contains(out, "same artifact") && strings.Contains(out, "sha256:") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("plan: exit code %d\n%s", code, out)
		}
		time.Sleep(time.Second) // its health check has to pass first
		plan = with("way = \"push\"\n")("plan", "promote", "ai")
	}
	if got := wanted("master"); !strings.HasSuffix(got, "=0.1.0") {
		t.Errorf("a plan changed master: %s", got)
	}
	const link = "https://github.com/nexgate-hq/infra/compare/master...promote/ai-0.1.2?expand=1"
	request := with("[actions.promote.github]\nrepository = \"nexgate-hq/infra\"\n")
	if out, code := output(t, request("promote", "ai", "--confirm", "ai@prod")); code != 0 || !strings.Contains(out, link) {
		t.Errorf("on a branch: exit code %d\n%s", code, out)
	}
	if got := wanted("promote/ai-0.1.2"); !strings.HasSuffix(got, "=0.1.2") || !strings.HasSuffix(wanted("master"), "=0.1.0") {
		t.Errorf("the branch has %s, master %s", got, wanted("master"))
	}
	if out, code := output(t, with("way = \"push\"\n")("promote", "ai", "--confirm", "ai@prod")); code != 0 {
		t.Errorf("straight: exit code %d\n%s", code, out)
	}
	if got := wanted("master"); !strings.HasSuffix(got, "=0.1.2") {
		t.Errorf("master has %s", got)
	}
	if out, err := lab.SSH(ctx, "prod-1", "docker", "ps", "--filter", "label=com.docker.compose.service=ai", "--format", "{{.Image}}"); err != nil || !strings.Contains(out, ":0.1.0") {
		t.Errorf("a promotion restarted something: %s %v", out, err)
	}
}
