// Package sync brings an environment to what its infra repo says, where a person has to start that: through Komodo,
// or on the hosts' own Compose checkouts.
package sync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/actions/verify"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// Name is the action's name in the config, on the command line and in the journal.
const Name = "sync"

// ArgPart is the argument that names what alone is synced: stacks of a Komodo sync, or services, by commas.
const ArgPart = "part"

// Reconciler is what syncs: Komodo.
type Reconciler interface {
	// Pending reads what the syncs of the environment would do, looking at the repository once more.
	Pending(ctx context.Context) ([]fleet.Sync, error)
	// RunSync asks for a sync once, whole or for some resources, and follows it and all it begins to the end. An
	// error means that it was not taken on.
	RunSync(ctx context.Context, sync string, resources []string, say func(line string)) (fleet.Execution, error)
}

// Deps is what the action may use of the program around it.
type Deps struct {
	Reconcilers []Reconciler // none: the hosts' checkouts are synced
	Host        func(name string) (remote.Host, error)
	Places      compose.Places // how services are found on their hosts
	// TagOf says where a service's tag stands in the infra repo, and under which name.
	TagOf func(key fleet.ServiceKey) (file, variable string)
	Order []string // of the environment's services
	// Row gives the row of the screen that a Compose service belongs to; ok is false for one that is not shown. nil: its own name.
	Row    func(service string) (row string, ok bool)
	Verify verify.Config
	Now    func() time.Time
	Look   time.Duration // how often a verification looks; 0 is 200 ms
	Who    string        // whose own hold does not refuse
	Log    *slog.Logger
}

type action struct {
	cfg  Config
	deps Deps
}

// New makes the action. It does no I/O.
func New(cfg Config, deps Deps) actions.Action {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Row == nil {
		deps.Row = func(service string) (string, bool) { return service, true }
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	return &action{cfg: cfg, deps: deps}
}

// Spec describes the action.
func (a *action) Spec() actions.Spec {
	return actions.Spec{
		Name: Name, Key: "S", Title: "sync", Risk: actions.RiskHigh, Scope: actions.ScopeEnvironment,
		Help: "Brings the environment to what its infra repo says: shows what would change, does it in order, and watches every service.",
		Args: []actions.Arg{{Name: ArgPart, Help: "only these stacks (Komodo) or services (Compose), by commas (default: all that is pending)"}},
	}
}

// Offer says whether a sync can be planned, by the snapshot alone.
func (a *action) Offer(snap *fleet.Snapshot, _ []fleet.Ref) actions.Offer {
	if len(snap.Services) == 0 {
		return actions.Offer{Reason: "nothing is seen of the environment yet"}
	}
	if err := fresh(snap); err != nil {
		return actions.Offer{Reason: err.Error()}
	}
	if why := held(snap, a.deps.Who); why != "" {
		return actions.Offer{Reason: why + ": H releases it"}
	}
	title := "sync " + snap.Environment
	if len(a.deps.Reconcilers) > 0 {
		var words []string
		for _, y := range snap.Syncs {
			if y.Pending() > 0 {
				words = append(words, y.Name+" "+y.Words())
			}
		}
		if len(words) == 0 {
			return actions.Offer{Reason: "nothing is pending"}
		}
		title += ": " + strings.Join(words, "; ")
	}
	return actions.Offer{Enabled: true, Title: remote.Clean(title)}
}

// fresh refuses an environment of which some facts are past their bound: nobody knows what would be changed.
func fresh(snap *fleet.Snapshot) error {
	for i := range snap.Services {
		if s := &snap.Services[i]; s.Stale {
			return fmt.Errorf("the facts about %s are too old: wait until its hosts answer", s.Key.Name)
		}
	}
	return nil
}

// held says who holds the environment, unless that is oneself.
func held(snap *fleet.Snapshot, who string) string {
	for i := range snap.Holds {
		if h := &snap.Holds[i]; h.Service == "" && !h.Over(snap.At) && h.Owner != who {
			return remote.Clean(h.Words(snap.At))
		}
	}
	return ""
}

// Plan reads what would change, and makes the steps that do it.
func (a *action) Plan(ctx context.Context, snap *fleet.Snapshot, intent actions.Intent) (*actions.Plan, error) {
	if err := fresh(snap); err != nil {
		return nil, err
	}
	p := &planner{action: a, snap: snap, intent: intent, made: a.deps.Now(), parts: parts(intent)}
	p.id = actions.NewPlanID(p.made)
	if why := held(snap, intent.Who); why != "" {
		p.check(actions.CheckFail, "hold", "%s: a sync is refused while somebody else holds it; H releases or takes over the hold", why)
	}
	if len(a.deps.Reconcilers) > 0 {
		return p.reconciled(ctx)
	}
	return p.composed(ctx)
}

func parts(intent actions.Intent) []string {
	var out []string
	for name := range strings.SplitSeq(intent.Args[ArgPart], ",") {
		if name = strings.TrimSpace(name); name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// planner makes one plan.
type planner struct {
	*action
	snap   *fleet.Snapshot
	intent actions.Intent
	id     string
	made   time.Time
	parts  []string
	checks []actions.Check
	left   []string // what git has removed, and still runs
}

func (p *planner) check(state actions.CheckState, name, format string, args ...any) {
	p.checks = append(p.checks, actions.Check{Name: name, State: state, Detail: fmt.Sprintf(format, args...)})
}

// plan is a plan without what is its own.
func (p *planner) plan(title string) *actions.Plan {
	return &actions.Plan{
		ID: p.id, Intent: p.intent, Environment: p.snap.Environment, Made: p.made, Snapshot: p.snap.Seq, Title: title,
	}
}

// settings are how a service is watched.
func (p *planner) settings() verify.Settings {
	return p.deps.Verify.For(p.snap.Environment).With(p.cfg.Soak, p.cfg.Start)
}

// key is a service of the environment.
func (p *planner) key(name string) fleet.ServiceKey {
	return fleet.ServiceKey{Environment: p.snap.Environment, Name: name}
}

// ordered puts services in the estate's order; those that it does not name come last, by name.
func (p *planner) ordered(names []string) []string {
	rank := func(n string) int {
		if i := slices.Index(p.deps.Order, n); i >= 0 {
			return i
		}
		return len(p.deps.Order)
	}
	out := slices.Clone(names)
	slices.Sort(out)
	out = slices.Compact(out)
	slices.SortStableFunc(out, func(a, b string) int { return rank(a) - rank(b) })
	return out
}

var errNothing = errors.New("nothing is pending: the environment is as its infra repo says")
