package restart

import (
	"context"
	"fmt"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/actions/verify"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// Name is the action's name in the config, on the command line and in the journal.
const Name = "restart"

// Config is [actions.restart].
type Config struct {
	Soak  remote.Duration `toml:"soak"`  // in the place of that of [actions.verify]
	Start remote.Duration `toml:"start"` // likewise
}

// DefaultConfig is what an empty [actions.restart] means.
func DefaultConfig() Config { return Config{} }

// Validate gives every mistake at once.
func (c *Config) Validate() []error {
	var errs []error
	for key, d := range map[string]remote.Duration{"soak": c.Soak, "start": c.Start} {
		if d != 0 && (d < remote.Duration(time.Second) || d > remote.Duration(time.Hour)) {
			errs = append(errs, fmt.Errorf("%s: allowed is 1s to 1h", key))
		}
	}
	return errs
}

// Deps is what the action may use of the program around it.
type Deps struct {
	Host   func(name string) (remote.Host, error)
	Places compose.Places // how services are found on their hosts
	Now    func() time.Time
	Look   time.Duration // how often it is looked; 0 is the usual
	Verify verify.Config
}

type action struct {
	cfg  Config
	deps Deps
}

var _ actions.Action = (*action)(nil)

// New makes the action. It does no I/O.
func New(cfg Config, deps Deps) actions.Action {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	return &action{cfg: cfg, deps: deps}
}

// Spec describes the action.
func (a *action) Spec() actions.Spec {
	return actions.Spec{
		Name: Name, Key: "T", Title: "restart", Risk: actions.RiskHigh, Quiet: true,
		Help: "Restarts a service's containers as they are, one host after the other, each only when the one before is well.",
	}
}

// Offer says whether there is something to restart.
func (a *action) Offer(snap *fleet.Snapshot, targets []fleet.Ref) actions.Offer {
	t, _, err := a.deps.Places.FindSeen(snap, targets)
	if err != nil {
		return actions.Offer{Reason: err.Error()}
	}
	return actions.Offer{Enabled: true, Title: "restart " + t.Key.Name}
}

// Plan asks all hosts whether it can be done, and how.
func (a *action) Plan(ctx context.Context, snap *fleet.Snapshot, intent actions.Intent) (*actions.Plan, error) {
	t, svc, err := a.deps.Places.FindSeen(snap, intent.Targets)
	if err != nil {
		return nil, fmt.Errorf("restart: %w", err)
	}
	now := a.deps.Now()
	set := a.deps.Verify.For(t.Key.Environment).With(a.cfg.Soak, a.cfg.Start)
	plan := &actions.Plan{
		ID: actions.NewPlanID(now), Intent: intent, Environment: t.Key.Environment, Made: now, Snapshot: snap.Seq,
		Title: fmt.Sprintf("restart %s on %s", t.Key.Name, t.Key.Environment), LockHosts: t.HostNames(),
		Checks: []actions.Check{{Name: "facts", State: actions.CheckOK, Detail: fleet.Ago(snap.At.Sub(svc.Seen)) + " old"}},
	}
	var expect []verify.Expect
	all := 0
	for _, pl := range t.Hosts {
		n := count(svc, t, pl.Host)
		all += n
		expect = append(expect, verify.Expect{Service: t.Key, Host: pl.Host, Pick: t.Pick, New: true, Count: n})
		plan.Moves = append(plan.Moves, actions.Move{Service: t.Key, Host: pl.Host, From: pl.From, To: pl.From})
		plan.Bases = append(plan.Bases, actions.RunningBasis(t.Key, pl.Host, t.Pick, snap))
	}
	plan.Risks = risks(t, all)
	watch := verify.New(set, verify.Deps{Now: a.deps.Now, Look: a.deps.Look}, snap, t.Key.Name+" runs again", expect...)
	plan.Verify = watch.Verify
	v := compose.Surveyor{Places: a.deps.Places, Key: t.Key, Hosts: a.deps.Host, Now: a.deps.Now}
	for i, pl := range t.Hosts {
		s, whole := v.Ask(ctx, pl)
		if whole {
			plan.Steps = append(plan.Steps, a.steps(ctx, s, t, expect[i].Count, set.Start, watch)...)
		}
		plan.Checks = append(plan.Checks, s.Checks...)
	}
	return plan, nil
}

func count(svc *fleet.Service, t *compose.Target, host string) (n int) {
	for _, in := range svc.Instances {
		if in.Host == host && t.Pick(in) {
			n++
		}
	}
	return n
}

func risks(t *compose.Target, all int) []string {
	out := []string{fmt.Sprintf("restarts %d of its containers, those of one host at a time", all)}
	if len(t.Hosts) == 1 {
		out = append(out, fmt.Sprintf("%s is not there until they are up again", t.Key.Name))
	}
	return append(out, "the same containers and the same release: changed Compose files and tags do not take effect", "what they hold in memory is lost, and it cannot be undone")
}

// steps restart the containers of one host, and wait until they are well: only then comes the next host.
func (a *action) steps(ctx context.Context, s *compose.Survey, t *compose.Target, n int, start time.Duration, watch *verify.Watch) []actions.Step {
	list := s.Place.ContainersArgv(t.Service)
	there, err := s.Probe.Containers(ctx, list)
	switch {
	case err != nil:
		s.Fail("containers", "%v", err)
		return nil
	case len(there) != n:
		s.Fail("containers", "%d are there, the screen shows %d: somebody is at work, look again", len(there), n)
		return nil
	}
	s.OK("containers", "%s", compose.ContainerWords(there))
	again := s.Mutate("restart", s.Place.Argv(a.deps.Places.Program, "restart", "--no-deps", t.Service))
	wait := s.Step("wait until well", false, list, func(ctx context.Context, cmd remote.Command, out func(stream, line string)) error {
		defer watch.Did(t.Key, s.Place.Host)
		return compose.Await{Now: a.deps.Now, Look: a.deps.Look, Start: start}.Well(ctx, s.Probe, cmd.Argv, n, out)
	})
	wait.Timeout = start + time.Minute
	return []actions.Step{again, wait}
}
