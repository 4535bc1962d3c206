package console

import (
	"context"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/verify"
	"github.com/nexgate-hq/nexops/fleet"
)

// warning is an action whose plans say, before anything is done, on what they are rolled back by themselves.
type warning struct {
	actions.Action
	policy   actions.Policy
	triggers verify.Triggers
}

// whole keeps what the action can do besides.
func (w warning) whole() actions.Action {
	if c, ok := w.Action.(actions.Chooser); ok {
		return warningChooser{w, c}
	}
	return w
}

// warningChooser is a warning that also has something to choose.
type warningChooser struct {
	warning
	actions.Chooser
}

// Plan is the action's own, with what the policy adds.
func (w warning) Plan(ctx context.Context, snap *fleet.Snapshot, intent actions.Intent) (*actions.Plan, error) {
	p, err := w.Action.Plan(ctx, snap, intent)
	if err != nil {
		return nil, err //nolint:wrapcheck // its errors name themselves
	}
	p.Intent.RollbackOf = intent.RollbackOf
	if w.policy.RollsBack(p) {
		p.Risks = append(p.Risks, "rolls back by itself, without asking, while this console watches, on: "+w.triggers.Words())
	}
	return p, nil
}
