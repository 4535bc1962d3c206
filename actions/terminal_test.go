package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

type fakeTerminal struct{ borrowed int }

func (f *fakeTerminal) Borrow(ctx context.Context, _ string, use func(context.Context, TTY) error) error {
	f.borrowed++
	return use(ctx, TTY{})
}

func (f *fakeTerminal) Ended(int) {}

func (f *fakeTerminal) Streams() Streams { return Streams{} }

// A step finds the terminal of whoever runs the plan, and nobody's when nobody sits there.
func TestTerminalReachesTheStep(t *testing.T) {
	b, term := newBench(t, nil), &fakeTerminal{}
	var found []Terminal
	step := func(ctx context.Context, _ func(string, string)) error {
		found = append(found, TerminalOf(ctx))
		return nil
	}
	for _, ctx := range []context.Context{WithTerminal(context.Background(), term), context.Background()} {
		ch, err := b.r.Run(ctx, b.plan(Step{Mutates: true, Do: step}), typed)
		finish(t, ch, err)
	}
	if len(found) != 2 || found[0] != Terminal(term) || found[1] != nil {
		t.Errorf("found %v", found)
	}
}

// A step that a person sits at is not hurried by the patience for steps, and not waited for when the person leaves.
func TestAttendedStep(t *testing.T) {
	b := newBench(t, func(o *RunnerOptions) {
		o.Timing.Step, o.Timing.Grace, o.Timing.Settle = time.Millisecond, 30*time.Second, 30*time.Second
	})
	quick := Step{Mutates: true, Attended: true, Do: func(ctx context.Context, _ func(string, string)) error {
		time.Sleep(50 * time.Millisecond)
		return ctx.Err()
	}}
	ch, err := b.r.Run(t.Context(), b.plan(quick), typed)
	if list := finish(t, ch, err); list[len(list)-1].Outcome != OutcomeGood {
		t.Errorf("it ended %+v", list[len(list)-1])
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := b.plan(Step{Mutates: true, Attended: true, Do: func(ctx context.Context, _ func(string, string)) error {
		cancel()
		select {
		case <-ctx.Done():
			return fmt.Errorf("taken away: %w", ctx.Err())
		case <-time.After(20 * time.Second):
			return errors.New("nobody told it that the person has gone")
		}
	}})
	p.Moves, p.Bases = nil, nil
	began := time.Now()
	ch, err = b.r.Run(ctx, p, typed)
	list := finish(t, ch, err)
	if end := list[len(list)-1]; end.Outcome != OutcomeUnknown {
		t.Errorf("what a shell did that was cut off is %s: %v", end.Outcome, end.Reasons)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %s: there is nothing to wait for", took)
	}
}

// A plan that takes no lock neither waits for one nor keeps anybody from acting.
func TestUnlockedPlan(t *testing.T) {
	b := newBench(t, nil)
	held, err := b.locker.Lock(t.Context(), LockRequest{Services: []fleet.ServiceKey{aiProd}, Hosts: []string{"prod-1"}, Owner: "ben@desk", Reason: "deploy"})
	if err != nil {
		t.Fatal(err)
	}
	inside, proceed := make(chan struct{}), make(chan struct{})
	p := b.plan(Step{Mutates: true, Attended: true, Do: func(context.Context, func(string, string)) error {
		close(inside)
		<-proceed
		return nil
	}})
	ch, err := b.r.Run(t.Context(), p, typed)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan []Event)
	go func() { done <- finish(t, ch, nil) }()
	<-inside
	if err := held.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	beside, err := b.r.Run(t.Context(), b.plan(Step{Mutates: true}), typed)
	if list := finish(t, beside, err); list[len(list)-1].Outcome != OutcomeGood {
		t.Errorf("beside it: %+v", list)
	}
	close(proceed)
	list := <-done
	if slices.ContainsFunc(list, func(e Event) bool { return e.Kind == EventLocked }) || list[len(list)-1].Outcome != OutcomeGood {
		t.Errorf("%+v", list)
	}
}
