package sync

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/verify"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// patience is how long a sync is given: its reconciler follows it for as long as the source is configured to.
const patience = 24 * time.Hour

// due is one sync with something to do, and who does it.
type due struct {
	fleet.Sync
	by   Reconciler
	only []string // resources; none is all
}

// reconciled plans what the reconcilers' syncs would do.
func (p *planner) reconciled(ctx context.Context) (*actions.Plan, error) {
	list, err := p.due(ctx)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errNothing
	}
	var names []string
	for i := range list {
		names = append(names, list[i].Name)
		p.tell(&list[i])
	}
	plan := p.plan(fmt.Sprintf("sync %s: %s", p.snap.Environment, strings.Join(names, ", ")))
	services := p.services(list)
	plan.Risks = p.risks(list, services)
	plan.LockHosts = p.lockHosts(list, services)
	for i := range list {
		plan.Bases = append(plan.Bases, pendingBasis(p.snap, list[i].Name))
	}
	watch, moves := p.watch(services)
	plan.Moves = moves
	// The part names the services, so that they are locked: the whole was asked for without any.
	part := p.plan(plan.Title)
	part.Moves, part.LockHosts = moves, plan.LockHosts
	for _, w := range services {
		plan.Bases = append(plan.Bases, actions.RunningBasis(p.key(w.service), w.host, nil, p.snap))
		part.Intent.Targets = append(part.Intent.Targets, fleet.Ref{Service: p.key(w.service)})
	}
	if watch != nil {
		plan.Verify, part.Verify = watch.Verify, watch.Verify
	}
	plan.Checks = p.checks
	if ok, _ := plan.Runnable(); !ok {
		return plan, nil
	}
	for i := range list {
		for _, step := range []actions.Step{p.run(&list[i], watch, services), p.look(&list[i])} {
			step.Of = part
			plan.Steps = append(plan.Steps, step)
		}
	}
	return plan, nil
}

// due asks the reconcilers what is pending, and keeps the part that was asked for.
func (p *planner) due(ctx context.Context) ([]due, error) {
	var out []due
	known := map[string]bool{}
	for _, r := range p.deps.Reconcilers {
		list, err := r.Pending(ctx)
		if err != nil {
			return nil, err //nolint:wrapcheck // says which and what to do
		}
		for _, y := range list {
			d := due{Sync: y, by: r}
			for _, c := range y.Changes {
				known[c.Name] = known[c.Name] || c.Name != ""
			}
			for _, one := range y.Deploys {
				known[one.Stack] = true
			}
			if len(p.parts) > 0 {
				d = d.part(p.parts)
			}
			if d.Pending() > 0 || d.Problem != "" && len(p.parts) == 0 {
				out = append(out, d)
			}
		}
	}
	for _, name := range p.parts {
		if !known[name] {
			return nil, fmt.Errorf("nothing of %s is pending", remote.Clean(name))
		}
	}
	slices.SortFunc(out, func(a, b due) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// part is the sync of some resources alone.
func (d due) part(names []string) due {
	d.Changes = slices.DeleteFunc(slices.Clone(d.Changes), func(c fleet.SyncChange) bool { return !slices.Contains(names, c.Name) })
	d.Deploys = slices.DeleteFunc(slices.Clone(d.Deploys), func(s fleet.SyncDeploy) bool { return !slices.Contains(names, s.Stack) })
	for _, n := range names {
		of := func(c fleet.SyncChange) bool { return c.Name == n }
		if slices.ContainsFunc(d.Changes, of) || slices.ContainsFunc(d.Deploys, func(s fleet.SyncDeploy) bool { return s.Stack == n }) {
			d.only = append(d.only, n)
		}
	}
	return d
}

// tell puts what is pending into the checks, as a diff.
func (p *planner) tell(d *due) {
	at := strings.TrimSpace(d.Commit + " " + d.Subject)
	if d.Problem != "" {
		p.check(actions.CheckFail, "sync "+d.Name, "what is pending cannot be told: %s: mend that in the infra repo first", d.Problem)
		return
	}
	p.check(actions.CheckOK, "sync "+d.Name, "%s pending, at %s", d.Words(), at)
	for _, c := range d.Changes {
		p.checks = append(p.checks, actions.Check{Name: c.Resource, State: actions.CheckOK, Detail: c.Verb, Diff: unified(c.Before, c.After)})
	}
	for _, s := range d.Deploys {
		detail := "is deployed"
		if s.Host != "" {
			detail += " on " + s.Host
		}
		if s.Reason != "" {
			detail += ": " + s.Reason
		}
		if len(s.After) > 0 {
			detail += "; after " + strings.Join(s.After, ", ")
		}
		p.check(actions.CheckOK, "stack "+s.Stack, "%s", detail)
		for _, f := range s.Files {
			p.checks = append(p.checks, actions.Check{Name: f.Path, State: actions.CheckOK, Detail: "for " + s.Stack, Diff: unified(f.Before, f.After)})
		}
		if s.More > 0 {
			p.check(actions.CheckWarn, "stack "+s.Stack, "%d more of its files differ and are not shown: look at them in Komodo, or in the infra repo, before you say yes", s.More)
		}
		if len(s.Services) == 0 {
			p.check(actions.CheckWarn, "stack "+s.Stack, "it cannot be told which of its services change: all of them are watched")
		}
	}
}

// where is a service on a host that a sync would deploy.
type where struct {
	service, host string
}

// services are those that would be deployed, in the estate's order.
func (p *planner) services(list []due) []where {
	var out []where
	for _, d := range list {
		for _, s := range d.Deploys {
			names := s.Services
			if len(names) == 0 {
				names = p.runningOn(s.Host)
			}
			for _, n := range names {
				svc, ok := p.snap.Find(p.key(n))
				if !ok {
					continue
				}
				for _, host := range svc.Hosts {
					if w := (where{n, host}); (s.Host == "" || s.Host == host) && !slices.Contains(out, w) {
						out = append(out, w)
					}
				}
			}
		}
	}
	var names []string
	for _, w := range out {
		names = append(names, w.service)
	}
	order := p.ordered(names)
	slices.SortStableFunc(out, func(a, b where) int { return slices.Index(order, a.service) - slices.Index(order, b.service) })
	return out
}

func (p *planner) runningOn(host string) []string {
	var out []string
	for i := range p.snap.Services {
		if s := &p.snap.Services[i]; slices.Contains(s.Hosts, host) {
			out = append(out, s.Key.Name)
		}
	}
	return out
}

func (p *planner) risks(list []due, services []where) []string {
	var out []string
	if len(services) > 0 {
		var words []string
		for _, w := range services {
			words = append(words, w.service+" on "+w.host)
		}
		out = append(out, "Komodo makes again what differs: "+strings.Join(words, ", ")+", and may make again what they depend on")
	}
	for _, d := range list {
		if len(d.only) == 0 {
			out = append(out, "all that is pending in "+d.Name+" at the moment of the sync is done, also what is pushed after this plan was made")
		}
	}
	return append(out, "nothing takes a sync back: the way back is a commit that reverts, and another sync")
}

func (p *planner) lockHosts(list []due, services []where) []string {
	var out []string
	add := func(host string) {
		if host != "" && !slices.Contains(out, host) {
			out = append(out, host)
		}
	}
	for _, w := range services {
		add(w.host)
	}
	for _, d := range list {
		for _, s := range d.Deploys {
			add(s.Host)
		}
	}
	if len(out) == 0 {
		for _, h := range p.snap.Hosts {
			if h.Environment == p.snap.Environment {
				add(h.Name)
			}
		}
	}
	slices.Sort(out)
	return out
}

// pendingBasis is what the last snapshot says is pending: when that moves, the plan is made again.
func pendingBasis(snap *fleet.Snapshot, name string) actions.Basis {
	now := func(snap *fleet.Snapshot) string {
		for i := range snap.Syncs {
			if y := &snap.Syncs[i]; y.Name == name {
				return strings.TrimSpace(y.Words() + " " + y.Commit)
			}
		}
		return ""
	}
	return actions.Basis{What: "pending in " + name, Value: now(snap), Now: now}
}

// watch is what has to be well afterwards: what changes runs what the infra repo says.
func (p *planner) watch(services []where) (*verify.Watch, []actions.Move) {
	var expect []verify.Expect
	var moves []actions.Move
	for _, w := range services {
		key := p.key(w.service)
		svc, ok := p.snap.Find(key)
		if !ok {
			continue
		}
		from, to := runsOn(svc, w.host), svc.Releases.Desired
		e := verify.Expect{Service: key, Host: w.host}
		if to.Tag != "" && (from.Image == to.Image || to.Image == "") {
			to.Image = from.Image
			e.Release = to
			e.Pick = func(in *fleet.Instance) bool { return !in.OneOff && in.Release.Image == to.Image }
			if from.Tag != to.Tag {
				moves = append(moves, actions.Move{Service: key, Host: w.host, From: from, To: to})
			}
		}
		expect = append(expect, e)
	}
	if len(expect) == 0 {
		return nil, nil
	}
	return verify.New(p.settings(), verify.Deps{Now: p.deps.Now, Look: p.deps.Look}, p.snap, "what the infra repo says runs", expect...), moves
}

// runsOn is what a service runs on a host: of the row's own image, for it may have companions.
func runsOn(svc *fleet.Service, host string) fleet.Release {
	var out fleet.Release
	for _, in := range svc.Instances {
		if in.Host == host && !in.OneOff && (out.IsZero() || in.Release.Image == svc.Releases.Running.Image) {
			out = in.Release
		}
	}
	return out
}

// run asks for one sync and follows it to its end. What it says of itself is believed only when it is bad.
func (p *planner) run(d *due, watch *verify.Watch, services []where) actions.Step {
	argv := []string{"komodo", "RunSync", d.Name}
	return actions.Step{
		Name: "run sync", Argv: append(argv, d.only...), Mutates: true, Timeout: patience,
		Do: func(ctx context.Context, out func(stream, line string)) error {
			x, err := d.by.RunSync(ctx, d.Name, d.only, func(line string) { out("stdout", line) })
			for _, w := range services {
				if watch != nil {
					watch.Did(p.key(w.service), w.host)
				}
			}
			if err != nil {
				return err //nolint:wrapcheck // says which and what to do
			}
			return Outcome(x)
		},
	}
}

// Outcome is what an execution means for the step that asked for it.
func Outcome(x fleet.Execution) error {
	why := strings.Join(x.Reasons, "; ")
	switch x.State {
	case fleet.ExecutionSucceeded:
		return nil
	case fleet.ExecutionFailed:
		return fmt.Errorf("%s: %s", x.What, why)
	case fleet.ExecutionRunning, fleet.ExecutionUnknown:
	}
	return fmt.Errorf("%s: %s: %w", x.What, why, actions.ErrUnknown)
}

// look makes sure that what was to be done is not still pending.
func (p *planner) look(d *due) actions.Step {
	return actions.Step{
		Name: "look at what is pending", Argv: []string{"komodo", "GetResourceSync", d.Name},
		Do: func(ctx context.Context, out func(stream, line string)) error {
			list, err := d.by.Pending(ctx)
			if err != nil {
				return err //nolint:wrapcheck // says which and what to do
			}
			at := slices.IndexFunc(list, func(y fleet.Sync) bool { return y.Name == d.Name })
			if at < 0 {
				out("stdout", "nothing is pending in "+d.Name)
				return nil
			}
			left := due{Sync: list[at]}
			if len(d.only) > 0 {
				left = left.part(d.only)
			}
			if left.Pending() == 0 {
				out("stdout", "nothing is pending of it in "+d.Name)
				return nil
			}
			if left.Commit != d.Commit {
				out("stdout", "pending in "+d.Name+", from a commit that came meanwhile: "+left.Words())
				return nil
			}
			return fmt.Errorf("the sync ended, and %s of it are still pending in %s", left.Words(), d.Name)
		},
	}
}
