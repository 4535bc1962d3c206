package redeploy

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// holdReason begins the reason of a hold that a redeploy has laid, by which a later one knows it.
const holdReason = "redeploy: git desires "

// holdSteps hold the service where git desires another release than the one that was put back, so that no
// sync brings it back; or release that hold again, once git desires what runs.
func (e *execution) holdSteps() []actions.Step {
	holds := actions.NewHolds(e.a.deps.Lock, e.a.deps.Host)
	key, hosts := e.t.Key, e.t.HostNames()
	switch {
	case e.holds:
		steps := holds.Steps(hosts, actions.HoldRequest{
			Environment: key.Environment, Service: key.Name, Owner: e.intent.Who, Plan: e.id, For: time.Duration(e.a.cfg.Hold),
			Reason: holdReason + e.svc.Releases.Desired.Version() + ", " + e.t.to.Version() + " was put back",
		})
		for i := range steps {
			steps[i].Do = unlessHeld(steps[i].Do)
		}
		return steps
	case ownHold(e.svc, e.intent.Who, e.snap.At) && e.svc.Releases.Desired.Tag == e.t.to.Tag:
		return holds.ClearSteps(hosts, key.Environment, key.Name)
	default:
		return nil
	}
}

// unlessHeld takes somebody else's hold for as good as ours: the service is left alone either way.
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
	return h != nil && h.Service == svc.Key.Name && h.Owner == who && strings.HasPrefix(h.Reason, holdReason) && !h.Over(now)
}
