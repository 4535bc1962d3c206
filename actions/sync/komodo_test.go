package sync

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// fake is a reconciler whose sync deploys ai.
type fake struct {
	s       *stage
	pending []fleet.Sync
	state   fleet.ExecutionState
	effect  bool
	refused error
	asked   [][]string
}

func (f *fake) Pending(context.Context) ([]fleet.Sync, error) { return f.pending, nil }

func (f *fake) RunSync(_ context.Context, name string, resources []string, say func(string)) (fleet.Execution, error) {
	f.asked = append(f.asked, append([]string{name}, resources...))
	say("[Sync Resources]")
	if f.refused != nil {
		return fleet.Execution{}, f.refused
	}
	if f.effect {
		f.s.mu.Lock()
		for _, h := range f.s.hosts {
			f.s.runs[h.Name()]["ai"] = "1.1.0"
			f.s.made[h.Name()+"ai"]++
		}
		f.s.mu.Unlock()
		f.pending = nil
	}
	return fleet.Execution{ID: "1", What: "RunSync " + name, State: f.state, Reasons: []string{"why"}}, nil
}

func newFake(t *testing.T) *fake {
	s := newStage(t)
	return &fake{s: s, state: fleet.ExecutionSucceeded, effect: true, pending: []fleet.Sync{{
		Name: "nexgate-prod", Environment: "prod", State: "Pending", Commit: "8f3c1e2", Subject: "ai 1.1.0",
		Changes: []fleet.SyncChange{{Verb: "update", Resource: "stack two", Name: "two", Before: "a = 1\n", After: "a = 2\n"}},
		Deploys: []fleet.SyncDeploy{{
			Stack: "nexgate-prod", Reason: "contents changed", Services: []string{"ai"},
			Files: []fleet.SyncFile{{Path: "services/ai/tag.env", Before: "AI_TAG=1.0.0\n", After: "AI_TAG=1.1.0\n"}},
		}},
	}}}
}

func (f *fake) plan(part string) (*actions.Plan, error) {
	snap := f.s.Latest()
	snap.Services[0].Releases.Desired = fleet.Release{Image: "reg/ai", Tag: "1.1.0"}
	return f.s.action(f).Plan(context.Background(), snap, actions.Intent{Action: Name, Who: "ana@laptop", Args: map[string]string{ArgPart: part}})
}

func TestKomodoSync(t *testing.T) {
	f := newFake(t)
	p, err := f.plan("")
	if err != nil {
		t.Fatal(err)
	}
	if want := "stack two: update\n-a = 1\n+a = 2\nservices/ai/tag.env: for nexgate-prod\n-AI_TAG=1.0.0\n+AI_TAG=1.1.0\n"; diffs(p) != want {
		t.Errorf("shown\n%s", diffs(p))
	}
	if len(f.asked) != 0 || len(p.Moves) != 2 || p.Moves[0].To.Tag != "1.1.0" || !slices.Equal(p.LockHosts, []string{"prod-1", "prod-2"}) {
		t.Errorf("asked %v, moves %+v, locks %v", f.asked, p.Moves, p.LockHosts)
	}
	if end, _ := f.s.run(p); end.Outcome != actions.OutcomeGood || len(f.asked) != 1 {
		t.Errorf("%s %v, asked %v", end.Outcome, end.Reasons, f.asked)
	}
	if _, err := f.plan(""); !errors.Is(err, errNothing) {
		t.Errorf("after it: %v", err)
	}
}

// What is not shown is said where it is cut.
func TestKomodoFilesThatAreNotShown(t *testing.T) {
	f := newFake(t)
	f.pending[0].Deploys[0].More = 12
	p, err := f.plan("")
	if err != nil {
		t.Fatal(err)
	}
	if !hasCheck(p, actions.CheckWarn, "stack nexgate-prod", "12 more of its files differ and are not shown") {
		t.Errorf("%+v", p.Checks)
	}
}

func TestKomodoSyncEnds(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(f *fake)
		outcome actions.Outcome
		want    string
	}{
		{"a child failed", func(f *fake) { f.state, f.effect = fleet.ExecutionFailed, false }, actions.OutcomeFailed, "RunSync nexgate-prod: why"},
		{"refused", func(f *fake) { f.refused, f.effect = errors.New("komodo x: no rights"), false }, actions.OutcomeFailed, "no rights"},
		{"lost, and nothing came of it", func(f *fake) { f.state, f.effect = fleet.ExecutionUnknown, false }, actions.OutcomeUnknown, "still runs 1.0.0"},
		{"lost, and it took effect", func(f *fake) { f.state = fleet.ExecutionUnknown }, actions.OutcomeGood, "runs what the plan wanted"},
		{"says success and has done nothing", func(f *fake) { f.effect = false }, actions.OutcomeFailed, "are still pending in nexgate-prod"},
		{"unhealthy afterwards", func(f *fake) { f.s.sick = "ai" }, actions.OutcomeDegraded, "unhealthy"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			tt.change(f)
			p, err := f.plan("")
			if err != nil {
				t.Fatal(err)
			}
			end, _ := f.s.run(p)
			if text := strings.Join(end.Reasons, "\n"); end.Outcome != tt.outcome || !strings.Contains(text, tt.want) {
				t.Errorf("%s\n%s", end.Outcome, text)
			}
			if len(f.asked) != 1 {
				t.Errorf("asked %v", f.asked)
			}
		})
	}
}

func TestKomodoPart(t *testing.T) {
	f := newFake(t)
	p, err := f.plan("two")
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Moves) != 0 || !slices.Equal(p.Steps[0].Argv, []string{"komodo", "RunSync", "nexgate-prod", "two"}) || strings.Contains(diffs(p), "AI_TAG") {
		t.Errorf("%+v\n%s", p.Steps[0].Argv, diffs(p))
	}
	if _, err := f.plan("nosuch"); err == nil || !strings.Contains(err.Error(), "nothing of nosuch is pending") {
		t.Errorf("%v", err)
	}
}

// One's own hold keeps others away, and nobody else's: a sync of one's own is possible.
func TestOnesOwnHold(t *testing.T) {
	f := newFake(t)
	snap := f.s.Latest()
	snap.Syncs = f.pending
	snap.Holds = []fleet.Hold{{Environment: "prod", Owner: "ana@laptop", Reason: "migration"}}
	if o := f.s.action(f).Offer(snap, nil); !o.Enabled {
		t.Errorf("%+v", o)
	}
}

func TestKomodoRefused(t *testing.T) {
	f := newFake(t)
	f.pending[0].Problem = "komodo.toml: expected newline"
	p, err := f.plan("")
	if err != nil {
		t.Fatal(err)
	}
	if ok, why := p.Runnable(); ok || !strings.Contains(why, "expected newline") {
		t.Errorf("%v %s", ok, why)
	}
	snap := f.s.Latest()
	if o := f.s.action(f).Offer(snap, nil); o.Enabled || o.Reason != "nothing is pending" {
		t.Errorf("%+v", o)
	}
	snap.Syncs = f.pending
	if o := f.s.action(f).Offer(snap, nil); !o.Enabled || o.Title != "sync prod: nexgate-prod 1 change, 1 deploy" {
		t.Errorf("%+v", o)
	}
	snap.Holds = []fleet.Hold{{Environment: "prod", Owner: "bo@desk", Reason: "freeze"}}
	if o := f.s.action(f).Offer(snap, nil); o.Enabled || !strings.Contains(o.Reason, "bo@desk") {
		t.Errorf("%+v", o)
	}
}

func TestUnified(t *testing.T) {
	for _, tt := range []struct{ before, after, want string }{
		{"a\nb\nc\n", "a\nx\nc\n", " a|-b|+x| c"},
		{"", "a\nb", "+a|+b"},
		{"a", "", "-a"},
		{"1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nx\n6\n7\n8\n9\n", " 2| 3| 4|-5|+x| 6| 7| 8"},
		{"same", "same", ""},
		{"\x1b[31mred", "x", "-\ufffd[31mred|+x"},
	} {
		if got := strings.Join(unified(tt.before, tt.after), "|"); got != tt.want {
			t.Errorf("%q to %q: %q, not %q", tt.before, tt.after, got, tt.want)
		}
	}
}
