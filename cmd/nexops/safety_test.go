package main

import (
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
	term.WaitUntil(within, "ai on top", func(s string) bool { return strings.Contains(firstRow(s), "ai") })
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
