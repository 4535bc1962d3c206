package actions

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nexgate-hq/nexops/fleet"
)

// argMark parts the service from the argument in what was said for one target of several: "ai/to".
const argMark = "/"

// ordered are the targets in the estate's order; those that it does not name come last, by name.
func (g *Guard) ordered(targets []fleet.Ref) []fleet.Ref {
	rank := func(t fleet.Ref) int {
		if i := slices.Index(g.Order, t.Service.Name); i >= 0 {
			return i
		}
		return len(g.Order)
	}
	out := slices.Clone(targets)
	slices.SortStableFunc(out, func(a, b fleet.Ref) int {
		if ra, rb := rank(a), rank(b); ra != rb {
			return ra - rb
		}
		return strings.Compare(a.Service.String(), b.Service.String())
	})
	return slices.CompactFunc(out, func(a, b fleet.Ref) bool { return a == b })
}

// offerSeveral is possible when it is for each of them.
func (g *Guard) offerSeveral(a Action, snap *fleet.Snapshot, targets []fleet.Ref) Offer {
	var names []string
	for _, t := range g.ordered(targets) {
		o := a.Offer(snap, []fleet.Ref{t})
		if !o.Enabled {
			return Offer{Reason: t.Service.Name + ": " + o.Reason}
		}
		names = append(names, t.Service.Name)
	}
	return Offer{Enabled: true, Title: fmt.Sprintf("%s %d services: %s", a.Spec().Title, len(names), strings.Join(names, ", "))}
}

// several makes one plan of the plans for each target, in the estate's order.
func (g *Guard) several(ctx context.Context, a Action, snap *fleet.Snapshot, intent Intent) (*Plan, error) {
	if a.Spec().Scope == ScopeEnvironment {
		return nil, fmt.Errorf("%s acts on the environment as a whole, not on services", a.Spec().Name)
	}
	intent.Targets = g.ordered(intent.Targets)
	now := g.Now()
	whole := &Plan{ID: NewPlanID(now), Intent: intent, Made: now, Snapshot: snap.Seq, Environment: snap.Environment}
	var names []string
	undo := &Intent{Action: "", Who: intent.Who, Why: undoOf + whole.ID, Args: map[string]string{}}
	var before *Plan
	for _, t := range intent.Targets {
		in := partIntent(intent, t)
		in.After = before
		part, err := a.Plan(ctx, snap, in)
		before = part
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.Service.Name, err)
		}
		whole.add(t.Service.Name, part)
		names = append(names, t.Service.Name)
		undo = undo.with(t, part.Undo)
	}
	if undo != nil {
		whole.Undo = undo
	}
	whole.Title = fmt.Sprintf("%s %d services on %s: %s", intent.Action, len(names), snap.Environment, strings.Join(names, ", then "))
	whole.Risks = append(whole.Risks, "one after the other, in this order; what is not good stops those after it")
	return whole, nil
}

// partIntent is the intent for one target: what was said for all, and what was said for it alone.
func partIntent(intent Intent, t fleet.Ref) Intent {
	out := intent
	out.Targets, out.Args = []fleet.Ref{t}, map[string]string{}
	for k, v := range intent.Args {
		if !strings.Contains(k, argMark) {
			out.Args[k] = v
		}
	}
	for k, v := range intent.Args {
		if name, ok := strings.CutPrefix(k, t.Service.Name+argMark); ok {
			out.Args[name] = v
		}
	}
	return out
}

// with adds the way back of one target; nil when one of them has none.
func (i *Intent) with(t fleet.Ref, undo *Intent) *Intent {
	if i == nil || undo == nil || i.Action != "" && i.Action != undo.Action {
		return nil
	}
	out := *i
	out.Action, out.Args = undo.Action, maps.Clone(i.Args)
	out.Targets = append(slices.Clone(i.Targets), t)
	for k, v := range undo.Args {
		out.Args[t.Service.Name+argMark+k] = v
	}
	return &out
}

// add puts the plan of one target at the end of the whole.
func (p *Plan) add(name string, part *Plan) {
	p.Moves = append(p.Moves, part.Moves...)
	p.Bases = append(p.Bases, part.Bases...)
	for _, r := range part.Risks {
		p.Risks = append(p.Risks, name+": "+r)
	}
	for _, c := range part.Checks {
		c.Name = name + ": " + c.Name
		p.Checks = append(p.Checks, c)
	}
	for _, s := range part.Steps {
		s.Name, s.Of = name+": "+s.Name, part
		p.Steps = append(p.Steps, s)
	}
	if part.Verify != nil {
		p.Verify = part.Verify // that it is watched is told of the whole; each part is, by its own
	}
	for _, h := range part.LockHosts {
		if !slices.Contains(p.LockHosts, h) {
			p.LockHosts = append(p.LockHosts, h)
		}
	}
}

// stretch is the part of a plan that is about one target: its own plan, and which of the whole's steps are its.
type stretch struct {
	*Plan
	from, to int
}

// stretches are the parts of a plan in their order; a plan for one target is its own only part.
func (p *Plan) stretches() []stretch {
	var out []stretch
	for i := range p.Steps {
		of := p.Steps[i].Of
		if n := len(out); n > 0 && out[n-1].Plan == of {
			out[n-1].to = i + 1
			continue
		}
		if of == nil {
			return []stretch{{p, 0, len(p.Steps)}}
		}
		out = append(out, stretch{of, i, i + 1})
	}
	if len(out) == 0 {
		return []stretch{{p, 0, len(p.Steps)}}
	}
	return out
}

// name is what the part is called in a verdict.
func (s *stretch) name() string {
	var names []string
	for _, t := range s.Intent.Targets {
		names = append(names, t.Service.Name)
	}
	return strings.Join(names, ", ")
}
