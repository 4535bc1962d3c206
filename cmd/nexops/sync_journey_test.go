package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/lab/sim"
)

// headless runs nexops on an estate, with folders of the test's own.
func headless(t *testing.T, e *sim.Estate, args ...string) (code int, out string) {
	t.Helper()
	cmd := exec.Command("nexops", append([]string{"--config", e.ConfigPath(), "--env", "prod"}, args...)...) //nolint:gosec // a test's
	cmd.Env = append(cmd.Environ(), "XDG_STATE_HOME="+filepath.Join(e.Dir(), "state"), "XDG_CACHE_HOME="+filepath.Join(e.Dir(), "cache"))
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(text)
}

// TestHoldAndSyncThroughKomodo: prod waits for a person. It is held, released, and synced through Komodo; a sync whose
// deploy fails has failed, whatever Komodo says of it.
func TestHoldAndSyncThroughKomodo(t *testing.T) {
	e, err := sim.Start(t.Context(), sim.Options{Seed: 7, Still: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	code, out := headless(t, e, "plan", "sync")
	for _, want := range []string{"notification-server on prod-2: 1.7.9", "-NOTIFICATION_SERVER_TAG=1.7.9", "+NOTIFICATION_SERVER_TAG=1.8.0", "komodo RunSync nexgate-prod"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Fatalf("code %d, %q is not in\n%s", code, want, out)
		}
	}
	if code, out = headless(t, e, "hold", "--for", "2h migration of orders", "--confirm", "hold@prod"); code != 0 || !strings.Contains(out, "ended: good") {
		t.Fatalf("hold: code %d\n%s", code, out)
	}
	if code, out = headless(t, e, "hold", "--for", "release", "--confirm", "hold@prod"); code != 0 {
		t.Fatalf("release: code %d\n%s", code, out)
	}
	e.Komodo().Switch(sim.TrapFailDeploy, true)
	code, out = headless(t, e, "sync", "--confirm", "sync@prod")
	if code == 0 || !strings.Contains(out, "ended: failed") || !strings.Contains(out, "nexgate-prod-2: DeployStack failed: Compose Up") || e.Komodo().Calls("RunSync") != 1 {
		t.Fatalf("a failed deploy: code %d, asked %d times\n%s", code, e.Komodo().Calls("RunSync"), out)
	}
	e.Komodo().Switch(sim.TrapFailDeploy, false)
	// A sync alone counts here; how a service is watched afterwards has tests of its own.
	code, out = headless(t, e, "redeploy", "notification-server", "--to", "1.8.0", "--strategy", "komodo", "--confirm", "notification-server@prod")
	if code != 0 || !strings.Contains(out, "ended: good") || e.Komodo().Calls("DeployStack") != 1 {
		t.Fatalf("redeploy by Komodo: code %d, asked %d times\n%s", code, e.Komodo().Calls("DeployStack"), out)
	}
	if strings.Contains(out, "not-for-screens") {
		t.Errorf("a secret is shown:\n%s", out)
	}
	if code, out = headless(t, e, "sync", "--confirm", "sync@prod"); code == 0 || !strings.Contains(out, "nothing is pending") {
		t.Errorf("after it: code %d\n%s", code, out)
	}
}
