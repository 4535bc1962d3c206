package main

import (
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
)

// TestJournalExport: what was done can be taken out, whole or in part, as the journal has it or for a spreadsheet.
func TestJournalExport(t *testing.T) {
	_, nexops := estate(t, "bad-deploy")
	if out, c := output(t, nexops("--env", "prod", "redeploy", "ai", "--why", "=1+1", "--confirm", "ai@prod")); c != 0 {
		t.Fatalf("%d\n%s", c, out)
	}
	whole, _ := output(t, nexops("journal", "export"))
	lines := strings.Split(strings.TrimSpace(whole), "\n")
	kinds := map[string]int{}
	plan := ""
	for _, line := range lines {
		var e struct{ Kind, Plan, Sha256 string }
		if err := json.Unmarshal([]byte(line), &e); err != nil || len(e.Sha256) != 64 {
			t.Fatalf("%s: %v", line, err)
		}
		kinds[e.Kind]++
		plan = e.Plan
	}
	if kinds["plan"] != 1 || kinds["outcome"] != 1 || kinds["event"] < 10 {
		t.Errorf("kinds %v", kinds)
	}
	for _, args := range [][]string{{"--service", "nobody"}, {"--in", "staging"}, {"--plan", "x"}, {"--until", "1h"}, {"--since", "2199-01-01"}} {
		if out, c := output(t, nexops(append([]string{"journal", "export"}, args...)...)); out != "" || c != 0 {
			t.Errorf("%v: %d %q", args, c, out)
		}
	}
	if out, _ := output(t, nexops("journal", "export", "--service", "ai", "--in", "prod", "--since", "1h", "--plan", plan)); out != whole {
		t.Errorf("chosen by all that it is:\n%s", out)
	}
	table, _ := output(t, nexops("journal", "export", "-o", "csv"))
	rows, err := csv.NewReader(strings.NewReader(table)).ReadAll()
	if err != nil || len(rows) != len(lines)+1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if !strings.Contains(table, ",'=1+1,") || strings.Contains(table, ",=1+1,") {
		t.Errorf("a formula in\n%s", table)
	}
	if out, c := output(t, nexops("journal", "show", plan)); c != 0 || !strings.Contains(out, "watched: ") || !strings.Contains(out, "good") {
		t.Errorf("show: %d\n%s", c, out)
	}
}
