package actions

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// run is one plan under way.
type run struct {
	r       *Runner
	p       *Plan
	s       *stream
	held    Held
	at      stretch    // the target that is acted on now
	mutated bool       // a mutating step of that target has begun
	trip    *tripWorld // nil: it is not rolled back by itself
}

// verdict is how a run ended.
type verdict struct {
	outcome Outcome
	reasons []string
}

// live is the whole life of a plan: lock, steps, verify, unlock, and the last word. It gives what
// follows by itself, nil for nothing.
func (x *run) live(ctx context.Context) *Next {
	v := x.guarded(ctx)
	if x.held != nil {
		rctx, cancel := releaseContext(ctx)
		if err := x.held.Release(rctx); err != nil {
			v.reasons = append(v.reasons, oneLine(err.Error()))
		}
		cancel()
	}
	if err := x.s.flush(); err != nil {
		v.reasons = append(v.reasons, "the record is not whole: "+oneLine(err.Error()))
	}
	next := x.follow(&v)
	x.send(Event{Kind: EventEnded, Step: -1, Outcome: v.outcome, Reasons: v.reasons, Next: next})
	if err := x.s.flush(); err != nil {
		x.r.Log.Error("outcome not on record", "plan", x.p.ID, "err", err)
	}
	return next
}

// guarded turns a panic of the engine or of a verification into an outcome.
func (x *run) guarded(ctx context.Context) (v verdict) {
	defer func() {
		if cause := recover(); cause != nil {
			x.r.Log.Error("panic in a running plan", "plan", x.p.ID, "cause", cause, "stack", string(debug.Stack()))
			v = verdict{OutcomeFailed, []string{fmt.Sprintf("internal error: %v", cause)}}
			if x.mutated || x.at.from > 0 {
				v.outcome = OutcomeUnknown
			}
		}
	}()
	x.send(Event{Kind: EventStarted, Step: -1, Text: x.p.Title})
	if err := x.s.flush(); err != nil {
		return x.untouched(OutcomeFailed, "it cannot be put on record: "+err.Error())
	}
	if !x.p.unlocked() {
		if v, ok := x.lock(ctx); !ok {
			return v
		}
	}
	return x.targets(ctx)
}

// untouched is the verdict of a run that has not changed anything.
func (x *run) untouched(o Outcome, why string) verdict {
	return verdict{o, []string{"nothing was done: " + plain(why)}}
}

// lock takes the lock, and then looks whether somebody was faster.
func (x *run) lock(ctx context.Context) (verdict, bool) {
	lctx, cancel := context.WithTimeout(ctx, x.r.Timing.Lock)
	defer cancel()
	held, err := x.r.Locker.Lock(lctx, LockRequest{
		Services: x.p.changed(), Hosts: x.p.lockHosts(), Places: x.p.places(), Owner: x.p.Intent.Who, Reason: x.p.Title, Plan: x.p.ID,
		TakeOver: x.p.takeOver(),
	})
	if err != nil {
		if ctx.Err() != nil {
			return x.untouched(OutcomeCancelled, "cancelled while the lock was being taken"), false
		}
		return x.untouched(OutcomeFailed, err.Error()), false
	}
	x.held = held
	text := x.p.lockedOn()
	for _, l := range x.p.takeOver() {
		text += fmt.Sprintf("; on %s taken over from %s (plan %s)", l.Subject.Host, orNothing(l.Owner), orNothing(l.Plan))
	}
	x.send(Event{Kind: EventLocked, Step: -1, Text: text})
	if err := x.r.checkFresh(x.p); err != nil {
		return x.untouched(OutcomeFailed, err.Error()), false
	}
	return verdict{}, true
}

// steps runs the target's steps in order. The first that fails stops; then those that always run do.
func (x *run) steps(ctx context.Context) verdict {
	next := x.at.from
	v := x.inOrder(ctx, &next)
	for _, why := range x.always(ctx, next) {
		v.reasons = append(v.reasons, plain(why))
	}
	return v
}

// always runs what clears up after the plan, from a step on. It is not cut when the run is cancelled.
func (x *run) always(ctx context.Context, next int) []string {
	if !x.mutated {
		return nil
	}
	var why []string
	for i := next; i < x.at.to; i++ {
		if !x.p.Steps[i].Always {
			continue
		}
		if err := x.step(context.WithoutCancel(ctx), i); err != nil {
			why = append(why, fmt.Sprintf("%s: %s", stepName(x.p.Steps[i]), err))
		}
	}
	return why
}

// inOrder runs the steps and then verifies. next is the first that was not begun.
func (x *run) inOrder(ctx context.Context, next *int) verdict {
	for i := x.at.from; i < x.at.to; i++ {
		if why, o := x.stop(ctx); why != "" {
			return x.stopped(i, o, why)
		}
		*next = i + 1
		err := x.step(ctx, i)
		if err == nil {
			continue
		}
		step := x.p.Steps[i]
		switch {
		case errors.Is(err, ErrUnknown):
			return x.unknown(ctx, i, err)
		case !step.Mutates && ctx.Err() != nil:
			return x.stopped(i, OutcomeCancelled, "cancelled during "+stepName(step))
		default:
			return x.failed(ctx, i, err)
		}
	}
	return x.verify(ctx, nil)
}

// stop says why the next step may not begin; "" when it may.
func (x *run) stop(ctx context.Context) (string, Outcome) {
	if ctx.Err() != nil {
		return "cancelled", OutcomeCancelled
	}
	if x.held != nil {
		select {
		case err := <-x.held.Lost():
			return plain(err.Error()), OutcomeFailed
		default:
		}
	}
	if err := x.s.flush(); err != nil {
		return "it can no longer be put on record: " + plain(err.Error()), OutcomeFailed
	}
	return "", ""
}

// stopped says why, and exactly what was done and what was not. next is the first step that did not succeed.
func (x *run) stopped(next int, o Outcome, why string) verdict {
	if !x.mutated {
		return x.untouched(o, why)
	}
	v := verdict{o, []string{why}}
	if done := x.names(x.at.from, next); done != "" {
		v.reasons = append(v.reasons, "done: "+done)
	}
	v.reasons = append(v.reasons, "not done: "+x.names(next, x.at.to))
	return v
}

// failed is what follows a step that says it failed. When it was one that changes the world
// its own word is not enough: the state is read again, and said.
func (x *run) failed(ctx context.Context, i int, err error) verdict {
	step := x.p.Steps[i]
	v := x.stopped(i, OutcomeFailed, fmt.Sprintf("%s: %s", stepName(step), plain(err.Error())))
	if !x.mutated {
		return v
	}
	states, _ := x.reread(ctx)
	for _, line := range states {
		x.send(Event{Kind: EventOutput, Step: i, Stream: StreamNexops, Text: line})
	}
	v.reasons = append(v.reasons, states...)
	return v
}

// names lists the mutating steps of a range.
func (x *run) names(from, to int) string {
	var names []string
	for _, s := range x.p.Steps[from:to] {
		if s.Mutates && !(s.Always && to == x.at.to) {
			names = append(names, stepName(s))
		}
	}
	if len(names) == 0 && to == x.at.to {
		return "the checks that follow"
	}
	return strings.Join(names, ", ")
}

func stepName(s Step) string {
	if s.Host == "" {
		return s.Name
	}
	return s.Name + " on " + s.Host
}

// step runs one step, its begin on the disk before it does anything.
func (x *run) step(ctx context.Context, i int) error {
	step := x.p.Steps[i]
	x.send(Event{Kind: EventStepBegan, Step: i, Text: strings.Join(x.r.Redact.Argv(step.Argv), " ")})
	if err := x.s.flush(); err != nil {
		return fmt.Errorf("not begun, it cannot be put on record: %w", err)
	}
	sctx, cancel := x.stepContext(ctx, step)
	defer cancel()
	x.mutated = x.mutated || step.Mutates
	err := x.do(sctx, i)
	if err != nil && step.Mutates && sctx.Err() != nil && !errors.Is(err, ErrUnknown) {
		// It was cut off in the middle: whatever it says, nobody knows how far it got.
		err = fmt.Errorf("%w: %w", err, ErrUnknown)
	}
	ev := Event{Kind: EventStepEnded, Step: i}
	if err != nil {
		ev.Err = err.Error()
	}
	x.send(ev)
	return err
}

// do calls the step; a panic is its error.
func (x *run) do(ctx context.Context, i int) (err error) {
	step := x.p.Steps[i]
	var mu sync.Mutex
	over := false
	defer func() {
		mu.Lock()
		over = true
		mu.Unlock()
		if cause := recover(); cause != nil {
			x.r.Log.Error("panic in a step", "plan", x.p.ID, "step", step.Name, "cause", cause, "stack", string(debug.Stack()))
			err = fmt.Errorf("internal error in %s: %v", step.Name, cause)
			if step.Mutates {
				err = fmt.Errorf("%w: %w", err, ErrUnknown)
			}
		}
	}()
	return step.Do(ctx, func(stream, line string) {
		mu.Lock()
		defer mu.Unlock()
		if !over { // a step that goes on talking after its end is not heard: its end is on record
			x.send(Event{Kind: EventOutput, Step: i, Stream: stream, Text: line})
		}
	})
}

// stepContext bounds a step. One that changes the world is not cut when the run is
// cancelled: it gets time to end by itself.
func (x *run) stepContext(ctx context.Context, step Step) (context.Context, context.CancelFunc) {
	if step.Attended {
		return context.WithCancel(ctx)
	}
	bound := x.r.Timing.Step
	if step.Timeout > 0 {
		bound = step.Timeout
	}
	if !step.Mutates {
		return context.WithTimeout(ctx, bound)
	}
	sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bound)
	stopGrace := context.AfterFunc(ctx, func() {
		t := time.NewTimer(x.r.Timing.Grace)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-sctx.Done():
		}
	})
	return sctx, func() { stopGrace(); cancel() }
}

// verify watches the world and gives the verdict. before are reasons that are true whatever it finds.
func (x *run) verify(ctx context.Context, before []string) verdict {
	if x.at.Verify == nil {
		return verdict{OutcomeGood, before}
	}
	x.send(Event{Kind: EventVerifying, Step: -1})
	x.r.World.Poke()
	o, reasons := x.at.Verify(ctx, x.world(), func(line string) {
		x.send(Event{Kind: EventOutput, Step: -1, Stream: StreamVerify, Text: line})
	})
	all := append([]string(nil), before...)
	for _, reason := range reasons {
		all = append(all, plain(reason))
	}
	return verdict{o, all}
}

// send redacts an event and sends it on its way.
func (x *run) send(ev Event) {
	ev.At, ev.Plan = x.r.Now(), x.p.ID
	// Secrets go before the line is cut: half of one is not found any more.
	ev.Text = bounded(x.r.Redact.Text(printable(ev.Text)))
	ev.Err = bounded(x.r.Redact.Text(printable(ev.Err)))
	ev.Reasons = x.r.Redact.texts(ev.Reasons)
	x.s.send(ev)
}
