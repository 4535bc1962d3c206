package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/lab/ptytest"
)

// rollingBack changes a config to one whose prod takes bad changes back by itself, and gives its path.
func rollingBack(t *testing.T, config, settle string) string {
	t.Helper()
	text, err := os.ReadFile(config) //nolint:gosec // the estate's own
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "[env.prod]\n", "[env.prod]\nauto_rollback = true\n", 1)
	if changed == string(text) {
		t.Fatalf("no [env.prod] in\n%s", text)
	}
	// As long as the longest window that the world is looked at through.
	changed += "\n[actions.verify.limits]\nsettle = \"" + settle + "\"\n"
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestABadDeployIsTakenBackByItself: where the policy says auto_rollback, a release that answers 500 is put back
// without anybody asking, as a plan of its own, once; and the dialog had said so.
func TestABadDeployIsTakenBackByItself(t *testing.T) {
	e, nexops := estate(t, "bad-deploy")
	config := rollingBack(t, e.ConfigPath(), "25s")
	args := func(more ...string) []string { return append([]string{"--config", config, "--env", "prod"}, more...) }
	term := ptytest.Start(t, nexops(args()...), 120, 40)
	term.WaitUntil(within, "ai on top", func(s string) bool { return strings.Contains(firstRow(s), "ai") && strings.Contains(s, "hosts 2/2") })
	confirm := func(key, tag string) {
		term.Type(key)
		term.WaitFor(within, "rolls back by itself", "type ai@prod to run", tag)
		read()
		term.Type("ai@prod", ptytest.Enter)
	}
	confirm("R", "0.4.1")
	term.WaitFor(2*within, "good after")
	confirm("U", "0.4.2") // the undo of what was good is bad
	term.WaitFor(2*within, "by itself", "automatic rollback of", "0.4.2 → 0.4.1", "good after")
	term.Type(ptytest.Esc, ptytest.Esc, "q")
	term.WaitEnd(within)

	out, c := output(t, nexops(args("redeploy", "ai", "--to", "0.4.2", "--confirm", "ai@prod")...))
	if c != 2 || !strings.Contains(out, "rolled back by itself (redeploy ai on prod: 0.4.2 → 0.4.1): ") || !strings.Contains(out, "ended: good") {
		t.Fatalf("to the bad release: %d\n%s", c, out)
	}
	text, _ := output(t, nexops(args("journal", "-o", "json")...))
	var journal struct {
		Entries []struct {
			Plan, Kind string
			RollbackOf string `json:"rollback_of"`
			Record     *struct{ Confirm string }
		}
	}
	if err := json.Unmarshal([]byte(text), &journal); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var plans []string
	for _, entry := range journal.Entries {
		if r := entry.Record; r != nil {
			plans = append(plans, entry.Plan)
			if automatic := len(plans) == 3 || len(plans) == 5; automatic != (r.Confirm == "auto_rollback") || automatic && entry.RollbackOf != plans[len(plans)-2] {
				t.Errorf("plan %d on record: confirmed by %s, rollback of %q", len(plans), r.Confirm, entry.RollbackOf)
			}
		}
	}
	if len(plans) != 5 {
		t.Errorf("%d plans on record, want the way there, and twice the bad one and its rollback", len(plans))
	}
	if out, c := output(t, nexops(args("journal", "verify")...)); c != 0 {
		t.Errorf("journal verify: %d %s", c, out)
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	was, err := os.ReadFile(path) //nolint:gosec // the test's own
	if err == nil {
		err = os.WriteFile(path, append(was, text...), 0o600) //nolint:gosec // the test's own
	}
	if err != nil {
		t.Fatal(err)
	}
}
