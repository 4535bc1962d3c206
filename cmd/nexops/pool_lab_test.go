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

// poolInLab puts a pool of two gateways beside the lab's services on prod-1, with a shell in each, and gives
// a console that watches for a short time.
func poolInLab(t *testing.T) (*real.Lab, func(args ...string) *exec.Cmd) {
	t.Helper()
	lab, nexops := inLab(t)
	text, err := os.ReadFile(lab.Config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.toml")
	more := "\n[actions.verify]\nsoak = \"3s\"\n[actions.scale]\nmax = 4\ndrain = \"2s\"\n"
	if err := os.WriteFile(file, append(text, more...), 0o600); err != nil {
		t.Fatal(err)
	}
	image := strings.TrimSpace(on(t, lab, `docker ps --filter label=com.docker.compose.service=ai --format '{{.Image}}'`))
	on(t, lab, fmt.Sprintf(`mkdir -p /opt/pool && printf 'name: pool\nservices:\n  gw-pool:\n    image: %s\n    mem_limit: 64m\n    scale: 2\n' > /opt/pool/compose.yml
docker compose -f /opt/pool/compose.yml up -d
for c in $(docker ps -q --filter label=com.docker.compose.service=gw-pool); do
  tar -chf - -C / bin/sh bin/stty lib64/ld-linux-x86-64.so.2 lib/x86_64-linux-gnu/libc.so.6 | docker cp - $c:/
done`, image))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if out, err := lab.SSH(ctx, "prod-1", "sh", "-c", "docker compose -f /opt/pool/compose.yml down -t 1; rm -rf /opt/pool"); err != nil {
			t.Errorf("take the pool away: %v %s", err, out)
		}
	})
	return lab, func(args ...string) *exec.Cmd {
		cmd := nexops(args...)
		cmd.Args[2] = file
		return cmd
	}
}

// on runs a line on prod-1.
func on(t *testing.T, lab *real.Lab, line string) string {
	t.Helper()
	out, err := lab.SSH(t.Context(), "prod-1", "sh", "-c", line)
	if err != nil {
		t.Fatalf("%s: %v %s", line, err, out)
	}
	return out
}

func poolIDs(t *testing.T, lab *real.Lab) []string {
	t.Helper()
	return strings.Fields(on(t, lab, `docker ps --no-trunc --filter label=com.docker.compose.service=gw-pool --format '{{.Label "com.docker.compose.container-number"}}:{{.ID}}' | sort`))
}

// TestLabPool restarts and scales a real pool: what was named goes, and nothing else.
func TestLabPool(t *testing.T) {
	lab, nexops := poolInLab(t)
	before := poolIDs(t, lab)
	if len(before) != 2 {
		t.Fatalf("the pool is %v", before)
	}
	run := func(code int, want string, args ...string) {
		t.Helper()
		if text, c := output(t, nexops(args...)); c != code || !strings.Contains(text, want) {
			t.Errorf("%v: exit code %d, want %d and %q\n%s", args, c, code, want, text)
		}
	}
	started := func() string {
		return on(t, lab, `docker inspect --format '{{.State.StartedAt}}' $(docker ps -q --filter label=com.docker.compose.service=gw-pool | sort)`)
	}
	at := started()
	run(0, "ended: good", "restart", "gw-pool", "--confirm", "gw-pool@prod")
	if same := poolIDs(t, lab); fmt.Sprint(same) != fmt.Sprint(before) || started() == at {
		t.Errorf("restarted: %v, was %v", same, before)
	}
	run(0, "ended: good", "scale", "gw-pool", "--count", "4", "--confirm", "gw-pool@prod")
	four := poolIDs(t, lab)
	if len(four) != 4 || four[0] != before[0] || four[1] != before[1] {
		t.Errorf("scaled up: %v, was %v", four, before)
	}
	run(1, "1 to 4", "scale", "gw-pool", "--count", "5", "--confirm", "gw-pool@prod")
	run(0, "pool-gw-pool-4, pool-gw-pool-3, pool-gw-pool-2", "scale", "gw-pool", "--count", "1", "--confirm", "gw-pool@prod")
	if one := poolIDs(t, lab); len(one) != 1 || one[0] != before[0] {
		t.Errorf("scaled down: %v, was %v", one, before)
	}
	run(1, "publishes port", "scale", "ai", "--count", "2", "--confirm", "ai@prod")
}

// TestLabShell opens a real shell over a real sshd, and loses it.
func TestLabShell(t *testing.T) {
	lab, nexops := poolInLab(t)
	if text, code := output(t, nexops("exec", "ai", "-q", "--confirm", "ai@prod", "--", "/app", "-healthcheck")); code != 0 {
		t.Errorf("a command: %d %s", code, text)
	}
	if text, code := output(t, nexops("exec", "ai", "-q", "--confirm", "ai@prod", "--", "sh")); code != 126 && code != 127 || !strings.Contains(text, "not found") {
		t.Errorf("an image without a shell: %d %s", code, text)
	}
	args := []string{"exec", "gw-pool", "--instance", "pool-gw-pool-2", "-q", "--confirm", "gw-pool@prod"}
	term := ptytest.Start(t, nexops(args...), 100, 30)
	term.WaitFor(within, "exit or ctrl-d leaves it", "\n#")
	term.Type("stty size; echo hi from $((40+2))", ptytest.Enter)
	term.WaitFor(within, "30 100", "hi from 42")
	term.Type("exit 5", ptytest.Enter)
	if code := term.WaitEnd(within); code != 5 {
		t.Errorf("exit code %d", code)
	}
	term = ptytest.Start(t, nexops(args...), 100, 30)
	term.WaitFor(within, "exit or ctrl-d", "\n#")
	t.Cleanup(func() {
		if err := lab.StartSSHD(context.Background(), "prod-1"); err != nil {
			t.Error(err)
		}
	})
	if err := lab.KillSSHD(t.Context(), "prod-1"); err != nil {
		t.Fatal(err)
	}
	term.WaitFor(within, "unknown", "connection lost")
	if code := term.WaitEnd(within); code != 255 {
		t.Errorf("exit code %d", code)
	}
	if err := lab.StartSSHD(t.Context(), "prod-1"); err != nil {
		t.Fatal(err)
	}
	t.Logf("in the container afterwards:\n%s", on(t, lab, "docker top pool-gw-pool-2"))
	if text, code := output(t, nexops("journal", "verify")); code != 0 {
		t.Errorf("journal verify: %d\n%s", code, text)
	}
}
