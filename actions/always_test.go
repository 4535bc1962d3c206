package actions

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// What clears up after a plan runs at its end however the plan ended, once, and not when nothing was changed.
func TestStepsThatAlwaysRun(t *testing.T) {
	cases := []struct {
		name    string
		second  func(ctx context.Context, cancel func()) error
		mutates bool // the first step
		want    Outcome
		runs    int
	}{
		{"in order", func(context.Context, func()) error { return nil }, true, OutcomeGood, 1},
		{"after a failure", func(context.Context, func()) error { return errors.New("no") }, true, OutcomeFailed, 1},
		{"after one nobody knows of", func(context.Context, func()) error { return ErrUnknown }, true, OutcomeUnknown, 1},
		{"after a cancel", func(_ context.Context, cancel func()) error { cancel(); return nil }, true, OutcomeCancelled, 1},
		{"nothing was changed", func(context.Context, func()) error { return errors.New("no") }, false, OutcomeFailed, 0},
	}
	for _, tt := range cases {
		b := newBench(t, nil)
		ctx, cancel := context.WithCancel(context.Background())
		runs := 0
		p := b.plan(
			Step{Mutates: tt.mutates},
			Step{Do: func(ctx context.Context, _ func(string, string)) error { return tt.second(ctx, cancel) }, Mutates: tt.mutates},
			Step{Mutates: true, Name: "after"},
			Step{Mutates: true, Always: true, Name: "clear up", Do: func(ctx context.Context, _ func(string, string)) error {
				runs++
				return ctx.Err()
			}},
		)
		p.Verify = func(context.Context, World, func(string)) (Outcome, []string) { return OutcomeGood, nil }
		ch, err := b.r.Run(ctx, p, typed)
		list := finish(t, ch, err)
		end := list[len(list)-1]
		if end.Outcome != tt.want || runs != tt.runs {
			t.Errorf("%s: ended %s %v, ran %d times", tt.name, end.Outcome, end.Reasons, runs)
		}
		if why := strings.Join(end.Reasons, "; "); strings.Contains(why, "clear up") {
			t.Errorf("%s: what was cleared up is said not to be: %s", tt.name, why)
		}
		cancel()
	}
}

func TestAClearingUpThatFailsIsSaid(t *testing.T) {
	b := newBench(t, nil)
	_, end := b.run(b.plan(Step{Mutates: true, Do: fails(errors.New("no"))}, Step{Name: "drop it", Mutates: true, Always: true, Do: fails(errors.New("in use"))}))
	if end.Outcome != OutcomeFailed || !strings.Contains(strings.Join(end.Reasons, "; "), "drop it on prod-1: in use") {
		t.Errorf("ended %s %v", end.Outcome, end.Reasons)
	}
}
