package actions

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// Guard is what every action is asked through, so that each gets it for free: no plan on stale facts,
// several targets as one plan, the locks and holds of others in the plan.
type Guard struct {
	Order []string // of the environment's services: several targets are acted on in this order
	Who   string
	// Look gives the locks that are now on what a request would lock; nil looks nowhere.
	Look func(ctx context.Context, req LockRequest) ([]*LockedError, error)
	// Dead reports whether the console that ran a plan is known to be dead; nil knows of none.
	Dead func(plan string) bool
	Now  func() time.Time
}

// Offer says whether the action is possible now on all the targets.
func (g *Guard) Offer(a Action, snap *fleet.Snapshot, targets []fleet.Ref) Offer {
	if err := freshTargets(snap, targets); err != nil {
		return Offer{Reason: err.Error()}
	}
	if err := g.freeTargets(snap, targets); err != nil {
		return Offer{Reason: err.Error()}
	}
	if len(targets) < 2 {
		return a.Offer(snap, targets)
	}
	return g.offerSeveral(a, snap, targets)
}

// Plan makes the plan of an intent, with what others have laid on its services.
func (g *Guard) Plan(ctx context.Context, a Action, snap *fleet.Snapshot, intent Intent) (*Plan, error) {
	if err := freshTargets(snap, intent.Targets); err != nil {
		return nil, fmt.Errorf("%s: %w", intent.Words(), err)
	}
	var p *Plan
	var err error
	if len(intent.Targets) < 2 {
		p, err = a.Plan(ctx, snap, intent)
	} else {
		p, err = g.several(ctx, a, snap, intent)
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // the action's own words
	}
	if strings.HasPrefix(intent.Why, undoOf) {
		p.Title = "undo: " + p.Title
	}
	p.Checks = append(p.Checks, g.holds(snap, p)...)
	if ok, _ := p.Runnable(); ok {
		p.Checks = append(p.Checks, g.locks(ctx, p)...)
	}
	for _, c := range p.Checks {
		if c.Claim != nil {
			p.Risks = append(p.Risks, c.Detail)
		}
	}
	return p, nil
}

// freeTargets refuses services that somebody else acts on now. A lock of one's own may be that of a console that
// is dead: the plan looks into it.
func (g *Guard) freeTargets(snap *fleet.Snapshot, targets []fleet.Ref) error {
	for _, t := range targets {
		if svc, ok := snap.Find(t.Service); ok && svc.Lock != nil && !svc.Lock.Expired(snap.At) && svc.Lock.Owner != g.Who {
			return fmt.Errorf("%s is %s", t.Service.Name, oneLine(svc.Lock.Words(snap.At)))
		}
	}
	return nil
}

// freshTargets refuses services whose facts are past their bound: nobody knows what would be acted on.
func freshTargets(snap *fleet.Snapshot, targets []fleet.Ref) error {
	for _, t := range targets {
		svc, ok := snap.Find(t.Service)
		if !ok {
			return fmt.Errorf("%s has no row: it is not seen any more", t.Service)
		}
		if svc.Stale {
			return fmt.Errorf("the facts about %s are %s old: wait until its hosts answer", t.Service, ageOf(snap, svc))
		}
	}
	return nil
}

// Fresh refuses a service whose facts are older than a bound of the action's own. Every action's Offer
// and Plan may use it; that the facts are not past their source's bound is made sure of for all of them.
func Fresh(snap *fleet.Snapshot, svc *fleet.Service, bound time.Duration) error {
	if age := snap.At.Sub(svc.Seen); svc.Stale || svc.Seen.IsZero() || age > bound {
		return fmt.Errorf("the facts about its hosts are too old (%s, %s are allowed)", ageOf(snap, svc), fleet.Ago(bound))
	}
	return nil
}

func ageOf(snap *fleet.Snapshot, svc *fleet.Service) string {
	if svc.Seen.IsZero() {
		return "never seen"
	}
	return fleet.Ago(snap.At.Sub(svc.Seen))
}

// locks looks whether somebody else acts on the services, or died while they did.
func (g *Guard) locks(ctx context.Context, p *Plan) []Check {
	req := LockRequest{Services: p.changed(), Hosts: p.lockHosts(), Places: p.places()}
	if g.Look == nil || len(req.Hosts) == 0 && len(req.Places) == 0 {
		return nil
	}
	found, err := g.Look(ctx, req)
	if err != nil {
		return []Check{{Name: "lock", State: CheckWarn, Detail: "it cannot be seen whether somebody else acts on it now: " + oneLine(err.Error())}}
	}
	var out []Check
	for _, l := range found {
		out = append(out, g.lockCheck(l))
	}
	return out
}

func (g *Guard) lockCheck(l *LockedError) Check {
	c := Check{Name: fmt.Sprintf("lock of %s on %s", l.Service.Name, l.Host), State: CheckFail}
	dead := g.Dead != nil && l.Plan != "" && g.Dead(l.Plan)
	what := ""
	if l.Reason != "" {
		what = " (" + l.Reason + ")"
	}
	owner := l.Owner
	if owner == "" {
		owner = "a console that did not say whose it is"
	}
	switch {
	case dead:
		c.Detail = fmt.Sprintf("takes over the lock of %s%s: its console is dead, and may have left it half done", owner, what)
	case l.Expired():
		c.Detail = fmt.Sprintf("takes over the lock of %s%s, not renewed for %s: its console is likely dead, and may have left it half done",
			owner, what, fleet.Ago(l.Now.Sub(l.Until)))
	default:
		c.Detail = l.Error()
		return c
	}
	lock := l.Lock()
	c.State, c.Claim = CheckWarn, &Claim{TakeOver: &lock}
	return c
}

// holds are those that the plan goes against. One's own is only told of.
func (g *Guard) holds(snap *fleet.Snapshot, p *Plan) []Check {
	var out []Check
	for i := range snap.Holds {
		h := snap.Holds[i]
		if !p.touchedBy(&h) {
			continue
		}
		c := Check{Name: "hold", State: CheckWarn, Detail: oneLine(h.Words(snap.At))}
		if h.Owner != g.Who {
			c.Claim = &Claim{Against: &h}
		}
		out = append(out, c)
	}
	return out
}

// touchedBy reports whether a hold is on something that the plan changes.
func (p *Plan) touchedBy(h *fleet.Hold) bool {
	return h.Service == "" || slices.ContainsFunc(p.changed(), func(key fleet.ServiceKey) bool { return key.Name == h.Service })
}

// against reports whether it is known that the plan goes against a hold.
func (p *Plan) against(h *fleet.Hold) bool {
	return slices.ContainsFunc(p.Checks, func(c Check) bool {
		return c.Claim != nil && c.Claim.Against != nil && c.Claim.Against.Service == h.Service && c.Claim.Against.Owner == h.Owner
	})
}

// heldSince tells, one sentence each, which holds of others are in the way of a part of the plan that the plan does not know of.
func (p *Plan) heldSince(part *Plan, snap *fleet.Snapshot, who string) []string {
	var out []string
	for i := range snap.Holds {
		if h := &snap.Holds[i]; h.Owner != who && !h.Over(snap.At) && part.touchedBy(h) && !p.against(h) {
			out = append(out, oneLine(h.Words(snap.At))+", which was not so when the plan was made")
		}
	}
	return out
}

// takeOver are the locks that the plan was confirmed to take over.
func (p *Plan) takeOver() []fleet.Lock {
	var out []fleet.Lock
	for _, c := range p.Checks {
		if c.Claim != nil && c.Claim.TakeOver != nil {
			out = append(out, *c.Claim.TakeOver)
		}
	}
	return out
}

// claimed reports whether the plan takes over or goes against what is somebody else's.
func (p *Plan) claimed() bool {
	for _, c := range p.Checks {
		if c.Claim != nil {
			return true
		}
	}
	return false
}
