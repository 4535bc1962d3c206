package redeploy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
)

// fakeKomodo is a Komodo that deploys what the infra repo says, by pulling it.
type fakeKomodo struct {
	s       *stage
	stacks  []fleet.Stack
	state   fleet.ExecutionState
	effect  bool
	refused error
	asked   []string
}

func (d *fakeKomodo) Stacks(context.Context) ([]fleet.Stack, error) { return d.stacks, nil }
func (d *fakeKomodo) RefreshStack(context.Context, string) error    { return nil }
func (d *fakeKomodo) DeployStack(_ context.Context, stack string, services []string, say func(string)) (fleet.Execution, error) {
	d.asked = append(d.asked, stack+" "+strings.Join(services, ","))
	say("[Compose Up]")
	if d.refused != nil {
		return fleet.Execution{}, d.refused
	}
	if d.effect {
		d.s.mu.Lock()
		h := d.s.hosts[0]
		tag := "0.4.1"
		in := h.instance
		in.ID, in.Release = in.ID+"x", h.release(tag)
		in.Life = fleet.Life{CreatedAt: time.Now(), StartedAt: time.Now()}
		h.instance = in
		d.s.mu.Unlock()
	}
	return fleet.Execution{ID: "1", What: "DeployStack " + stack, State: d.state, Reasons: []string{"the reason"}}, nil
}

func newKomodo(t *testing.T) *fakeKomodo {
	t.Helper()
	s := newStage(t, compose.HomeGit, "prod-1")
	s.cfg.Strategy = StrategyKomodo
	s.cfg.Start = 300e6
	d := &fakeKomodo{s: s, state: fleet.ExecutionSucceeded, effect: true, stacks: []fleet.Stack{
		{Name: "other", Host: "prod-2", Services: []string{"ai"}}, {Name: "nexgate-prod-1", Host: "prod-1", State: "running", Services: []string{"ai", "web"}},
	}}
	s.komodo = d
	return d
}

func TestKomodoDeploys(t *testing.T) {
	d := newKomodo(t)
	p := d.s.plan("")
	var got []string
	for _, step := range p.Steps {
		got = append(got, step.Name)
	}
	if !slices.Equal(got, []string{"push tag commit", "refresh stack", "deploy stack"}) || !slices.Equal(p.Steps[2].Argv, []string{"komodo", "DeployStack", "nexgate-prod-1", "ai"}) {
		t.Errorf("steps %q, %q", got, p.Steps[len(p.Steps)-1].Argv)
	}
	_, end := d.s.run(p)
	if end.Outcome != actions.OutcomeGood || !slices.Equal(d.asked, []string{"nexgate-prod-1 ai"}) {
		t.Errorf("%s %v, asked %q", end.Outcome, end.Reasons, d.asked)
	}
	if log := d.s.git(d.s.cfg.GitURL, "log", "-1", "--format=%s", "master"); !strings.Contains(log, "0.4.1") {
		t.Errorf("the tag commit is not pushed: %s", log)
	}
}

// What runs decides, not what Komodo says of itself.
func TestKomodosWordIsNotBelieved(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(d *fakeKomodo)
		outcome actions.Outcome
		want    string
	}{
		{"success, and nothing changed", func(d *fakeKomodo) { d.effect = false }, actions.OutcomeFailed, "runs 0.4.2"},
		{"failed, though it runs", func(d *fakeKomodo) { d.state = fleet.ExecutionFailed }, actions.OutcomeDegraded, "Komodo says: the reason"},
		{"failed", func(d *fakeKomodo) { d.state, d.effect = fleet.ExecutionFailed, false }, actions.OutcomeFailed, "Komodo says: the reason"},
		{"lost", func(d *fakeKomodo) { d.state, d.effect = fleet.ExecutionUnknown, false }, actions.OutcomeUnknown, "still runs 0.4.2"},
		{"lost, and it took effect", func(d *fakeKomodo) { d.state = fleet.ExecutionUnknown }, actions.OutcomeGood, "runs what the plan wanted"},
		{"not taken on", func(d *fakeKomodo) { d.refused, d.effect = errors.New("komodo: no rights"), false }, actions.OutcomeFailed, "no rights"},
	} {
		d := newKomodo(t)
		tt.change(d)
		_, end := d.s.run(d.s.plan(""))
		if all := strings.Join(end.Reasons, "\n"); end.Outcome != tt.outcome || !strings.Contains(all, tt.want) || len(d.asked) != 1 {
			t.Errorf("%s: %s, asked %q\n%s", tt.name, end.Outcome, d.asked, all)
		}
	}
}

func TestKomodoRefuses(t *testing.T) {
	d := newKomodo(t)
	d.stacks = d.stacks[:1]
	if ok, why := d.s.plan("").Runnable(); ok || !strings.Contains(why, "no stack of Komodo on prod-1") {
		t.Errorf("%v %s", ok, why)
	}
}
