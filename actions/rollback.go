package actions

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// ConfirmPolicy is on record as the confirmation of an automatic rollback: nobody was asked, the
// environment's policy (auto_rollback) had said yes before. It cannot be configured.
const ConfirmPolicy Confirm = "auto_rollback"

// RollsBack is what the World of a verification also is where the policy has a bad change taken back without
// asking. A verification that finds what calls for it says so here and ends, degraded; the Runner then plans the
// undo and runs it, as a plan of its own.
type RollsBack interface {
	World
	RollBack(reason string)
}

// Next is what the Runner does by itself after a plan has ended: its automatic rollback.
type Next struct {
	Of  string // the plan that is taken back
	Why string

	undo   *Intent
	ready  chan struct{} // closed when the rest is known
	plan   *Plan
	events <-chan Event
	err    error
}

// Wait gives the plan of the rollback and its events when it has begun, or why it has not. The events must be
// read to the end, like those of every plan.
func (n *Next) Wait(ctx context.Context) (*Plan, <-chan Event, error) {
	select {
	case <-n.ready:
		return n.plan, n.events, n.err
	case <-ctx.Done():
		return nil, nil, fmt.Errorf("automatic rollback of %s: %w", n.Of, ctx.Err())
	}
}

// RollsBack reports whether a plan is taken back by itself when it turns out badly: the policy of the environment
// says so, there is something to go back to, and it is no automatic rollback itself, so that there is never a second.
func (p Policy) RollsBack(plan *Plan) bool {
	return p.Environments[plan.Environment].AutoRollback && plan.Undo != nil && plan.Verify != nil &&
		plan.Intent.RollbackOf == "" && p.forbidden(plan.Environment, plan.Undo.Action) == ""
}

// tripWorld is the world of a verification that may call for a rollback.
type tripWorld struct {
	World
	mu  sync.Mutex
	why string
}

// RollBack notes that the change is to be taken back.
func (w *tripWorld) RollBack(reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.why == "" {
		w.why = plain(reason)
	}
}

func (w *tripWorld) reason() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.why
}

// world is the world for the verification of this plan.
func (x *run) world() World {
	if x.r.Planner == nil || !x.r.policy(x.p.Intent.Action).RollsBack(x.at.Plan) {
		return x.r.World
	}
	x.trip = &tripWorld{World: x.r.World}
	return x.trip
}

// follow says what comes after the verdict: nothing, or the rollback that the verification has called for.
func (x *run) follow(v *verdict) *Next {
	if x.trip == nil || x.trip.reason() == "" || v.outcome == OutcomeGood {
		return nil
	}
	why := x.r.Redact.Text(x.trip.reason())
	v.reasons = append(v.reasons, "it is rolled back by itself, as the policy of "+x.p.Environment+" says (auto_rollback)")
	return &Next{Of: x.p.ID, Why: why, undo: x.at.Undo, ready: make(chan struct{})}
}

// rollBack plans the undo of a plan that has ended and starts it: with its own lock, its own entries in the
// journal, and the policy's word in the place of a person's.
func (r *Runner) rollBack(planning, running context.Context, p *Plan, n *Next) {
	defer close(n.ready)
	n.plan, n.events, n.err = r.beginRollback(planning, running, p, n)
	if n.err == nil {
		return
	}
	n.err = errors.New("the automatic rollback has not begun: " + oneLine(r.Redact.Text(n.err.Error())))
	_, err := r.Journal.Append(Entry{At: r.Now(), Kind: EntryNote, Plan: p.ID, Console: r.console, Text: n.err.Error()})
	if err != nil {
		r.Log.Error("that there is no rollback is not on record", "plan", p.ID, "err", err)
	}
}

// beginRollback tries until the facts are new enough for a plan that can be run, for as long as a reread may take.
func (r *Runner) beginRollback(planning, running context.Context, p *Plan, n *Next) (*Plan, <-chan Event, error) {
	ctx, cancel := context.WithTimeout(planning, r.Timing.Reread)
	defer cancel()
	in := *n.undo
	in.Who, in.RollbackOf, in.Why = p.Intent.Who, p.ID, "automatic rollback of "+p.ID+": "+n.Why
	since := r.Now()
	last := errors.New("no new facts came of its hosts")
	for {
		r.World.Poke()
		snap := r.World.Latest()
		if newFacts(snap, p.LockHosts, since) {
			plan, events, err := r.tryRollback(ctx, running, snap, in, p)
			var refusal *Refusal
			switch {
			case err == nil:
				return plan, events, nil
			case errors.As(err, &refusal) && refusal.Code != RefusedMoved && refusal.Code != RefusedOld && refusal.Code != RefusedPreflight:
				return nil, nil, err // waiting changes nothing
			case ctx.Err() == nil:
				last = err
			}
		}
		t := time.NewTimer(5 * r.Timing.Look)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, nil, last
		case <-t.C:
		}
	}
}

func newFacts(snap *fleet.Snapshot, hosts []string, since time.Time) bool {
	for _, h := range hosts {
		if !FactsAfter(snap, h, since) {
			return false
		}
	}
	return true
}

func (r *Runner) tryRollback(planning, running context.Context, snap *fleet.Snapshot, in Intent, first *Plan) (*Plan, <-chan Event, error) {
	plan, err := r.Planner(planning, snap, in)
	if err != nil {
		return nil, nil, err
	}
	plan.Intent.RollbackOf = in.RollbackOf // whatever the action made of the intent: never a rollback of a rollback
	if ok, reason := plan.Runnable(); !ok {
		return nil, nil, refuse(RefusedPreflight, reason)
	}
	if err := r.allowed(plan, first); err != nil {
		return nil, nil, err
	}
	events, err := r.start(running, plan, ConfirmPolicy)
	return plan, events, err
}
