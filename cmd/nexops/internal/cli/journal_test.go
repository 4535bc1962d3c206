package cli

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
)

// journalled is a program with a journal of three actions, each with many steps and lines of output.
func journalled(t *testing.T) (run func(args ...string) string) {
	t.Helper()
	state := t.TempDir()
	j, err := actions.OpenJournal(filepath.Join(state, "nexops", "journal"))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-time.Hour).UTC()
	add := func(e actions.Entry) {
		t.Helper()
		at = at.Add(time.Second)
		e.At = at
		if _, err := j.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	for _, plan := range []string{"p1", "p2", "p3"} {
		add(actions.Entry{Kind: actions.EntryPlan, Plan: plan, Record: &actions.PlanRecord{Title: "redeploy ai: " + plan, Who: "ana@laptop", Environment: "prod"}})
		for range 30 {
			add(actions.Entry{Kind: actions.EntryEvent, Plan: plan, Event: &actions.EventRecord{Kind: actions.EventOutput, Text: "pulling"}})
		}
		add(actions.Entry{Kind: actions.EntryOutcome, Plan: plan, Outcome: &actions.OutcomeRecord{Outcome: actions.OutcomeGood}})
	}
	return func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		a := App{
			Getenv: func(name string) string { return map[string]string{"XDG_STATE_HOME": state}[name] }, Home: state,
			Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Now: time.Now,
		}
		if code := a.Main(t.Context(), args); code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, errs.String())
		}
		return out.String()
	}
}

// TestJournalCountsWhatItPrints: -n is the number of lines, whatever lies between them that is not printed.
func TestJournalCountsWhatItPrints(t *testing.T) {
	run := journalled(t)
	for n, want := range map[string]string{"1": "p3", "3": "p2", "4": "p2", "6": "p1", "200": "p1"} {
		lines := strings.Split(strings.TrimSpace(run("journal", "-n", n)), "\n")
		most := map[string]int{"1": 1, "3": 3, "4": 4}[n]
		if most == 0 {
			most = 6
		}
		if len(lines) != most || !strings.Contains(lines[0], want) || !strings.Contains(lines[len(lines)-1], "p3  good") {
			t.Errorf("-n %s: %d lines\n%s", n, len(lines), strings.Join(lines, "\n"))
		}
	}
	// Of one plan the output is printed too, and counts.
	if lines := strings.Split(strings.TrimSpace(run("journal", "-n", "5", "--plan", "p2")), "\n"); len(lines) != 5 || !strings.Contains(lines[0], "pulling") {
		t.Errorf("of one plan: %q", lines)
	}
	if got := strings.Count(run("journal", "-n", "5", "-o", "json"), `"seq"`); got != 5 {
		t.Errorf("json has %d entries", got)
	}
}
