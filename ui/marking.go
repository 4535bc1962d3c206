package ui

import (
	"slices"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// toggle marks the selected service, or takes its mark away, and goes on to the next: what is marked is
// acted on together.
func (p *listPane) toggle() {
	s := p.service()
	if s == nil {
		return
	}
	if i := slices.Index(p.marked, s.Key); i >= 0 {
		p.marked = slices.Delete(p.marked, i, i+1)
	} else {
		p.marked = append(p.marked, s.Key)
	}
	p.moveTo(p.cursor + 1)
}

// unmark takes the marks of services away that are not there any more: nothing may be acted on unseen.
func (p *listPane) unmark() {
	p.marked = slices.DeleteFunc(p.marked, func(k fleet.ServiceKey) bool {
		_, there := p.snap.Find(k)
		return !there
	})
}

// targets are what an action would act on: the marked services, else the selected one.
func (m *Model) targets() []fleet.Ref {
	var out []fleet.Ref
	for _, k := range m.list.marked {
		out = append(out, fleet.Ref{Service: k})
	}
	if s := m.list.service(); len(out) == 0 && s != nil {
		out = append(out, fleet.Ref{Service: s.Key})
	}
	return out
}

// offerOf asks an action what it says now. What the policy of the environment forbids is not asked.
func (m *Model) offerOf(a actions.Action) actions.Offer {
	spec := a.Spec()
	if m.snap == nil {
		return actions.Offer{Reason: "nothing has been seen yet"}
	}
	if g, ok := m.o.Runner.(gate); ok {
		if why := g.Forbidden(m.o.Environment, spec.Name); why != "" {
			return actions.Offer{Reason: why}
		}
	}
	if spec.Scope == actions.ScopeEnvironment {
		return a.Offer(m.snap, nil)
	}
	targets := m.targets()
	if len(targets) == 0 {
		return actions.Offer{Reason: "no service is selected"}
	}
	return a.Offer(m.snap, targets)
}
