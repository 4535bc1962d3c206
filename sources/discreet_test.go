package sources

import (
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/fleet"
)

// TestDiscreetFactsLeaveTheSourcesOwn: what is shown is without secrets, and what the source keeps is untouched.
func TestDiscreetFactsLeaveTheSourcesOwn(t *testing.T) {
	const said = "with canary-4711"
	own := fleet.Facts{
		Histories: []fleet.History{{Releases: []fleet.Release{{Subject: said}}, Problem: said}},
		Changes:   []fleet.Change{{What: said, To: fleet.Release{Subject: said}}},
		Locks:     []fleet.Lock{{Reason: said}},
		Holds:     []fleet.Hold{{Reason: said}},
		Syncs:     []fleet.Sync{{Subject: said}},
		Warnings:  []string{said},
	}
	got := discreet(own, func(s string) string { return strings.ReplaceAll(s, "canary-4711", "[redacted]") })
	const want = "with [redacted]"
	for i, text := range []string{
		got.Histories[0].Releases[0].Subject, got.Histories[0].Problem, got.Changes[0].What, got.Changes[0].To.Subject,
		got.Locks[0].Reason, got.Holds[0].Reason, got.Syncs[0].Subject, got.Warnings[0],
	} {
		if text != want {
			t.Errorf("%d: %q", i, text)
		}
	}
	if own.Histories[0].Releases[0].Subject != said || own.Changes[0].To.Subject != said || own.Warnings[0] != said {
		t.Error("the source's own facts were changed")
	}
}
