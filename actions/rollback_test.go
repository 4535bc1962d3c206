package actions

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// bad is a verification that calls for a rollback, as often as it may.
func bad(_ context.Context, w World, _ func(string)) (Outcome, []string) {
	if rb, ok := w.(RollsBack); ok {
		rb.RollBack("errors 9 % > 5 % of canary-4711")
	}
	return OutcomeDegraded, []string{"errors 9 %"}
}

// rollbackBench is a bench whose policy rolls back, and whose planner plans an undo that verifies as badly.
func rollbackBench(t *testing.T, change func(*RunnerOptions)) (b *bench, planned *[]Intent) {
	t.Helper()
	planned = &[]Intent{}
	b = newBench(t, func(o *RunnerOptions) {
		o.Policy.Environments["prod"] = EnvironmentPolicy{Confirm: ConfirmType, AutoRollback: true}
		o.Planner = func(_ context.Context, _ *fleet.Snapshot, in Intent) (*Plan, error) {
			*planned = append(*planned, in)
			p := b.plan(Step{Name: "back", Mutates: true})
			p.Intent, p.Title, p.Verify = in, "redeploy ai back", bad
			p.Undo = &Intent{Action: "redeploy", Targets: in.Targets}
			return p, nil
		}
		if change != nil {
			change(o)
		}
	})
	return b, planned
}

func (b *bench) badPlan() *Plan {
	p := b.plan(Step{Mutates: true})
	p.Verify = bad
	p.Undo = &Intent{Action: "redeploy", Targets: p.Intent.Targets, Args: map[string]string{"to": "0.4.2"}}
	return p
}

func TestRollsBackByItself(t *testing.T) {
	b, planned := rollbackBench(t, nil)
	p := b.badPlan()
	ch, err := b.r.Run(context.Background(), p, typed)
	list := finish(t, ch, err)
	end := list[len(list)-1]
	if end.Outcome != OutcomeDegraded || end.Next == nil || end.Next.Of != p.ID || !strings.Contains(strings.Join(end.Reasons, "\n"), "auto_rollback") {
		t.Fatalf("ended %s %q, next %+v", end.Outcome, end.Reasons, end.Next)
	}
	back, events, err := end.Next.Wait(context.Background())
	second := finish(t, events, err)
	last := second[len(second)-1]
	if last.Outcome != OutcomeDegraded || last.Next != nil {
		t.Errorf("the rollback ended %s and is followed by %+v", last.Outcome, last.Next)
	}
	b.r.Wait()
	if len(*planned) != 1 {
		t.Fatalf("%d rollbacks were planned", len(*planned))
	}
	in := (*planned)[0]
	if in.RollbackOf != p.ID || in.Args["to"] != "0.4.2" || in.Who != "ana@laptop" || strings.Contains(in.Why, "canary") || !strings.Contains(in.Why, "errors 9 %") {
		t.Errorf("the rollback's intent is %+v", in)
	}
	all, err := b.j.Read(Query{})
	if err != nil {
		t.Fatal(err)
	}
	order := ""
	for _, e := range all {
		if e.Kind == EntryPlan || e.Kind == EntryOutcome {
			order += string(e.Kind) + " " + map[string]string{p.ID: "first", back.ID: "second"}[e.Plan] + " "
		}
		if r := e.Record; r != nil && e.Plan == back.ID && (e.RollbackOf != p.ID || r.Confirm != ConfirmPolicy) {
			t.Errorf("on record: rollback of %q, confirmed by %q", e.RollbackOf, r.Confirm)
		}
	}
	if order != "plan first outcome first plan second outcome second " {
		t.Errorf("on record in the order %s", order)
	}
	locks := slices.ContainsFunc(second, func(e Event) bool { return e.Kind == EventLocked })
	if err := b.j.Verify(); err != nil || !locks {
		t.Errorf("journal %v, the rollback's own lock %v", err, locks)
	}
}

func TestRollsBackOnlyWhereThePolicySaysSo(t *testing.T) {
	tests := []struct {
		name   string
		policy EnvironmentPolicy
		plan   func(*Plan)
	}{
		{"not in the policy", EnvironmentPolicy{Confirm: ConfirmType}, nil},
		{"nothing to go back to", EnvironmentPolicy{Confirm: ConfirmType, AutoRollback: true}, func(p *Plan) { p.Undo = nil }},
		{"a rollback itself", EnvironmentPolicy{Confirm: ConfirmType, AutoRollback: true}, func(p *Plan) { p.Intent.RollbackOf = "x" }},
		{"good after all", EnvironmentPolicy{Confirm: ConfirmType, AutoRollback: true}, func(p *Plan) {
			p.Verify = func(ctx context.Context, w World, out func(string)) (Outcome, []string) {
				bad(ctx, w, out)
				return OutcomeGood, nil
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, planned := rollbackBench(t, func(o *RunnerOptions) { o.Policy.Environments["prod"] = tt.policy })
			p := b.badPlan()
			if tt.plan != nil {
				tt.plan(p)
			}
			_, end := b.run(p)
			if end.Next != nil || len(*planned) != 0 {
				t.Errorf("rolled back: %+v, %d plans", end.Next, len(*planned))
			}
		})
	}
}

func TestRollbackThatCannotBegin(t *testing.T) {
	tests := []struct {
		name  string
		fault func(b *bench, o *RunnerOptions)
		want  string
	}{
		{"cannot be planned", func(_ *bench, o *RunnerOptions) {
			o.Planner = func(context.Context, *fleet.Snapshot, Intent) (*Plan, error) {
				return nil, errors.New("no image 0.4.2 of canary-4711")
			}
		}, "no image 0.4.2 of [redacted]"},
		{"a preflight fails", func(_ *bench, o *RunnerOptions) {
			o.Planner = func(context.Context, *fleet.Snapshot, Intent) (*Plan, error) {
				return &Plan{Checks: []Check{{Name: "disk", State: CheckFail, Detail: "full"}}}, nil
			}
		}, "disk: full"},
		{"somebody holds it since", func(_ *bench, o *RunnerOptions) {
			inner := o.Planner
			o.Planner = func(ctx context.Context, s *fleet.Snapshot, in Intent) (*Plan, error) {
				p, err := inner(ctx, s, in)
				p.Checks = append(p.Checks, Check{
					Name: "hold", State: CheckWarn, Detail: "held by bo@desk: migration", Claim: &Claim{Against: &fleet.Hold{Owner: "bo@desk"}},
				})
				return p, err
			}
		}, "only a person may confirm: held by bo@desk"},
		{"what is planned may not be done", func(_ *bench, o *RunnerOptions) {
			inner := o.Planner
			o.Planner = func(ctx context.Context, s *fleet.Snapshot, in Intent) (*Plan, error) {
				p, err := inner(ctx, s, in)
				p.Environment = "elsewhere"
				return p, err
			}
		}, "environment elsewhere is not in the policy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b *bench
			b, _ = rollbackBench(t, func(o *RunnerOptions) { tt.fault(b, o) })
			p := b.badPlan()
			_, end := b.run(p)
			_, _, err := end.Next.Wait(context.Background())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
			list, rerr := b.j.Read(Query{Plan: p.ID})
			if rerr != nil || list[len(list)-1].Kind != EntryNote || !strings.Contains(list[len(list)-1].Text, tt.want) {
				t.Errorf("not on record: %+v, %v", list[len(list)-1], rerr)
			}
		})
	}
}

func TestRollbackEndsWithTheConsole(t *testing.T) {
	b, planned := rollbackBench(t, nil)
	b.r.Timing.Reread = time.Minute
	p := b.badPlan()
	p.LockHosts = []string{"prod-9"} // whose facts never come
	ch, err := b.r.Run(context.Background(), p, typed)
	list := finish(t, ch, err)
	if err := b.r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := list[len(list)-1].Next.Wait(context.Background()); err == nil || len(*planned) != 0 {
		t.Errorf("begun in a console that closes: %v", err)
	}
}
