package actions

import (
	"context"
	"fmt"
	"strings"

	"github.com/nexgate-hq/nexops/fleet"
)

// targets acts on one target after the other. The first that does not end well stops those after it,
// and the verdict says of each what was done.
func (x *run) targets(ctx context.Context) verdict {
	parts := x.p.stretches()
	if len(parts) == 1 {
		x.at = parts[0]
		return x.steps(ctx)
	}
	v := verdict{outcome: OutcomeGood}
	for i, part := range parts {
		x.at, x.mutated = part, false
		x.send(Event{Kind: EventOutput, Step: part.from, Stream: StreamNexops, Text: fmt.Sprintf("%s: %d of %d", part.name(), i+1, len(parts))})
		one := x.target(ctx, i)
		v.reasons = append(v.reasons, strings.TrimSuffix(fmt.Sprintf("%s: %s: %s", part.name(), one.outcome, strings.Join(one.reasons, "; ")), ": "))
		if one.outcome == OutcomeGood {
			continue
		}
		v.outcome = one.outcome
		for _, rest := range parts[i+1:] {
			v.reasons = append(v.reasons, rest.name()+": not begun")
		}
		break
	}
	return v
}

// target acts on one target, when the world is still what its plan stands on: those before it took their time.
func (x *run) target(ctx context.Context, i int) verdict {
	if i > 0 {
		snap := x.r.World.Latest()
		if moved := append(Moved(x.at.Plan, snap), x.p.heldSince(x.at.Plan, snap, x.r.Who)...); len(moved) > 0 {
			return x.untouched(OutcomeFailed, "the estate has moved since the plan was made: "+strings.Join(moved, "; "))
		}
		for _, key := range x.at.services() {
			if svc, ok := snap.Find(key); ok && svc.Stale {
				return x.untouched(OutcomeFailed, fmt.Sprintf("the facts about %s are %s old", key, fleet.Ago(snap.At.Sub(svc.Seen))))
			}
		}
	}
	return x.steps(ctx)
}
