package redeploy

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
)

// holdReason begins the reason of a hold that a redeploy has laid, by which a later one knows it.
const holdReason = "redeploy: git desires "

// holdSteps hold the service where git desires another release than the one that was put back, so that no
// sync brings it back; or release that hold again, once git desires what runs.
func (e *execution) holdSteps() []actions.Step {
	holds := actions.NewHolds(e.a.deps.Lock, e.a.deps.Host)
	key := e.t.Key
	steps := holds.ClearSteps(e.ownHolds)
	if e.holds {
		steps = holds.Steps(e.t.HostNames(), actions.HoldRequest{
			Environment: key.Environment, Service: key.Name, Owner: e.intent.Who, Plan: e.id, For: time.Duration(e.a.cfg.Hold),
			Reason: holdReason + e.holdWhy,
		})
	}
	for i := range steps {
		steps[i].Do = unlessHeld(steps[i].Do)
	}
	return steps
}

// readHolds finds the holds that an earlier redeploy of this person's has laid, once git desires what is put back. They are read from their
// hosts: those very ones are released, and no other that comes meanwhile.
func (p *planner) readHolds(ctx context.Context, desired bool) {
	if p.holds || !desired || !ownHold(p.svc, p.intent.Who, p.snap.At) {
		return
	}
	holds := actions.NewHolds(p.a.deps.Lock, p.a.deps.Host)
	for _, host := range p.t.HostNames() {
		ctx, cancel := context.WithTimeout(ctx, compose.AskTimeout)
		h, err := holds.Check(ctx, host, p.t.Key.Environment, p.t.Key.Name)
		cancel()
		switch {
		case err != nil:
			p.check(actions.CheckWarn, "hold on "+host, "it cannot be read, and stays: %v", err)
		case h != nil && isOurs(h, p.intent.Who):
			p.ownHolds = append(p.ownHolds, *h)
		}
	}
}

// unlessHeld leaves somebody else's hold as it is: it is as good as ours, and not ours to take away.
func unlessHeld(do func(context.Context, func(stream, line string)) error) func(context.Context, func(stream, line string)) error {
	return func(ctx context.Context, out func(stream, line string)) error {
		err := do(ctx, out)
		var held *actions.HeldError
		if errors.As(err, &held) {
			out(actions.StreamNexops, held.Error())
			return nil
		}
		return err
	}
}

// ownHold reports whether a redeploy of this person's holds the service.
func ownHold(svc *fleet.Service, who string, now time.Time) bool {
	h := svc.Hold
	return h != nil && h.Service == svc.Key.Name && isOurs(h, who) && !h.Over(now)
}

func isOurs(h *fleet.Hold, who string) bool {
	return h.Owner == who && strings.HasPrefix(h.Reason, holdReason)
}
