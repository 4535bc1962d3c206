package redeploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// StrategyKomodo pushes the tag commit and lets Komodo deploy the service.
const StrategyKomodo = "komodo"

// Deployer is what deploys stacks: Komodo.
type Deployer interface {
	Stacks(ctx context.Context) ([]fleet.Stack, error)
	// RefreshStack lets it read the stack's repository now; nothing is deployed.
	RefreshStack(ctx context.Context, stack string) error
	// DeployStack asks once for a deploy and follows it to its end. An error means that it was not taken on.
	DeployStack(ctx context.Context, stack string, services []string, say func(line string)) (fleet.Execution, error)
}

// deployPatience is how long one deploy is given: Komodo's source follows it for as long as it is configured to.
const deployPatience = 24 * time.Hour

// komodoStrategy leaves hosts and checkouts to Komodo. What it says of itself is told, and what runs afterwards decides.
func komodoStrategy() strategy {
	var stacks []fleet.Stack // of this plan, in the order of its hosts
	return strategy{
		name: StrategyKomodo, offHost: true,
		refuse: func(p *planner) error {
			switch {
			case p.a.deps.Deployer == nil:
				return errors.New("the environment has no source komodo that could deploy it")
			case p.a.cfg.TagHome != compose.HomeGit:
				return errors.New(`strategy komodo needs tag_home = "git": Komodo deploys what the infra repo says`)
			}
			return nil
		},
		prepare: func(p *planner, ctx context.Context) { stacks = p.prepareKomodo(ctx) },
		finish:  func(e *execution) []actions.Step { return e.deployByKomodo(stacks) },
		risks: func(p *planner) []string {
			return []string{
				fmt.Sprintf("Komodo makes %s again on %s, and may make again what it depends on: it does not answer there until the new one is up", p.t.Key.Name, p.where()),
				"Komodo pulls all of the branch there: other services' files are then new in its checkout, and are deployed by the next sync",
			}
		},
	}
}

// prepareKomodo finds the stack of the service on each of its hosts, and says what Komodo would do next.
func (p *planner) prepareKomodo(ctx context.Context) []fleet.Stack {
	const name = "komodo"
	all, err := p.a.deps.Deployer.Stacks(ctx)
	if err != nil {
		p.check(actions.CheckFail, name, "%v", err)
		return nil
	}
	var out []fleet.Stack
	for _, pl := range p.t.Hosts {
		at := slices.IndexFunc(all, func(st fleet.Stack) bool {
			return (st.Host == pl.Host || st.Host == "") && slices.Contains(st.Services, p.t.Service)
		})
		if at < 0 {
			p.check(actions.CheckFail, name, "no stack of Komodo on %s has the service %s: name its server under servers of the source, or choose another strategy", pl.Host, p.t.Service)
			continue
		}
		st := all[at]
		p.check(actions.CheckOK, name, "stack %s (%s) has it on %s", st.Name, orElse(st.State, "state not known"), pl.Host)
		if !slices.ContainsFunc(out, func(o fleet.Stack) bool { return o.Name == st.Name }) {
			out = append(out, st)
		}
	}
	pending := ""
	for _, y := range p.snap.Syncs {
		if y.Pending() > 0 {
			pending += fmt.Sprintf("; pending in %s now: %s, which this does not do", y.Name, y.Words())
		}
	}
	p.check(actions.CheckOK, "komodo next", "the tag commit is what the next sync finds: it keeps %s; Komodo itself deploys nothing until somebody runs a sync%s",
		p.t.to.Version(), remote.Clean(pending))
	return out
}

// deployByKomodo lets Komodo read the commit and deploy the one service, stack by stack.
func (e *execution) deployByKomodo(stacks []fleet.Stack) []actions.Step {
	var list []actions.Step
	for _, st := range stacks {
		list = append(list, actions.Step{
			Name: "refresh stack", Argv: []string{"komodo", "RefreshStackCache", st.Name},
			Do: func(ctx context.Context, _ func(stream, line string)) error {
				return e.a.deps.Deployer.RefreshStack(ctx, st.Name)
			},
		}, actions.Step{
			Name: "deploy stack", Argv: []string{"komodo", "DeployStack", st.Name, e.t.Service}, Mutates: true, Timeout: deployPatience,
			Do: func(ctx context.Context, out func(stream, line string)) error { return e.deployStack(ctx, st, out) },
		})
	}
	return append(list, e.reloadProxies()...)
}

func (e *execution) deployStack(ctx context.Context, st fleet.Stack, out func(stream, line string)) error {
	defer func() {
		for _, pl := range e.t.Hosts {
			if st.Host == pl.Host || st.Host == "" {
				e.watch.Did(e.t.Key, pl.Host)
			}
		}
	}()
	x, err := e.a.deps.Deployer.DeployStack(ctx, st.Name, []string{e.t.Service}, func(line string) { out("stdout", line) })
	if err != nil {
		return err //nolint:wrapcheck // says which and what to do
	}
	why := strings.Join(x.Reasons, "; ")
	switch x.State {
	case fleet.ExecutionSucceeded:
		return nil // it says so as soon as the container has started: what runs now is looked at
	case fleet.ExecutionFailed:
		e.said = "Komodo says: " + why
		out("stderr", e.said)
		return nil // what runs now is looked at
	case fleet.ExecutionRunning, fleet.ExecutionUnknown:
	}
	return fmt.Errorf("%s: %s: %w", x.What, why, actions.ErrUnknown)
}
