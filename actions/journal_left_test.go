package actions

import (
	"context"
	"strings"
	"testing"
	"time"
)

// What was broken off in the middle is told of at the next start, once, with what is true by then.
func TestWhatWasBrokenOffIsToldOfOnce(t *testing.T) {
	b := newBench(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	p := b.plan(Step{Name: "up", Mutates: true, Do: func(context.Context, func(string, string)) error {
		b.w.set(func(w *world) { w.tag = "0.4.1" })
		cancel() // the pane is closed
		return nil
	}}, Step{Name: "after", Mutates: true})
	ch, err := b.r.Run(ctx, p, typed)
	list := finish(t, ch, err)
	if end := list[len(list)-1]; end.Outcome != OutcomeCancelled {
		t.Fatalf("ended %s", end.Outcome)
	}
	left, err := b.j.Left(time.Now())
	if err != nil || len(left) != 1 || left[0].Ended == nil {
		t.Fatalf("left %+v, %v", left, err)
	}
	if words := left[0].Words(); !strings.Contains(words, "was broken off and ended cancelled: cancelled; done: up on prod-1; not done: after on prod-1") {
		t.Errorf("words %q", words)
	}
	states, err := b.r.Settle(context.Background(), left[0])
	if err != nil || strings.Join(states, "") != "ai on prod-1 runs 0.4.1 now" {
		t.Fatalf("settled %q, %v", states, err)
	}
	if left, err := b.j.Left(time.Now()); err != nil || len(left) != 0 {
		t.Errorf("told of again: %+v, %v", left, err)
	}
	entries, err := b.j.Read(Query{Plan: p.ID})
	if err != nil || !strings.HasSuffix(entries[len(entries)-1].Text, "ai on prod-1 runs 0.4.1 now") || b.j.Verify() != nil {
		t.Errorf("on record: %+v, %v", entries[len(entries)-1], err)
	}
}

func TestWhatNeedsNoTellingIsLeft(t *testing.T) {
	b := newBench(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ch, err := b.r.Run(ctx, b.plan(Step{Mutates: true}), typed) // nothing was begun
	finish(t, ch, err)
	if left, err := b.j.Left(time.Now()); err != nil || len(left) != 0 {
		t.Errorf("what changed nothing: %+v, %v", left, err)
	}
	ctx, cancel = context.WithCancel(context.Background())
	ch, err = b.r.Run(ctx, b.plan(Step{Mutates: true, Do: func(context.Context, func(string, string)) error { cancel(); return nil }}, Step{Mutates: true}), typed)
	finish(t, ch, err)
	if left, err := b.j.Left(time.Now().Add(2 * 24 * time.Hour)); err != nil || len(left) != 0 {
		t.Errorf("what is days old: %+v, %v", left, err)
	}
	ch, err = b.r.Run(context.Background(), b.plan(Step{Mutates: true}), typed)
	finish(t, ch, err)
	if left, err := b.j.Left(time.Now()); err != nil || len(left) != 0 {
		t.Errorf("what a later action has changed: %+v, %v", left, err)
	}
}
