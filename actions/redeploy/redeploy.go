package redeploy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
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
const Name = "redeploy"

// ArgTo is the argument that says which tag to go to; without it, the previous release.
const ArgTo = "to"

// ArgStrategy is the argument that says how; without it, what the config says.
const ArgStrategy = "strategy"

// Deps is what the action may use of the program around it.
type Deps struct {
	// Host gives the connection to a host by config name.
	Host     func(name string) (remote.Host, error)
	CacheDir string // this program's own cache folder, for a copy of the infra repo
	Now      func() time.Time
	Log      *slog.Logger
	Environ  []string      // of the git program; nil is this process's
	Look     time.Duration // how often a verification looks; 0 is 200 ms
	Past     Historian     // how releases did; nil when nothing tells
	Verify   verify.Config
	Deployer Deployer           // of strategy komodo; nil when the environment has none
	Lock     actions.LockConfig // where holds are kept
}

type action struct {
	cfg  Config
	deps Deps
}

var _ actions.Action = (*action)(nil)

// New makes the action. It does no I/O.
func New(cfg Config, deps Deps) actions.Action { return newAction(cfg, deps) }

func newAction(cfg Config, deps Deps) *action {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Environ == nil {
		deps.Environ = os.Environ()
	}
	return &action{cfg: cfg, deps: deps}
}

// Spec describes the action.
func (a *action) Spec() actions.Spec {
	return actions.Spec{
		Name: Name, Key: "R", Title: "redeploy previous", Risk: actions.RiskHigh,
		Help: "Puts a service back to the release before, on all its hosts and where its tag is kept.",
		Args: []actions.Arg{
			{Name: ArgTo, Help: "the tag to go to (default: the previous good release)"},
			{Name: ArgStrategy, Help: "how (default: as configured): " + strings.Join(strategyNames(), ", ")},
		},
	}
}

// Offer says whether the previous release can be planned for, by the snapshot alone.
func (a *action) Offer(snap *fleet.Snapshot, targets []fleet.Ref) actions.Offer {
	t, svc, err := findTarget(&a.cfg, snap, targets)
	if err == nil {
		err = a.possible(snap, svc, t)
	}
	var p *planner
	if err == nil {
		p, err = newPlanner(a, snap, svc, t, actions.Intent{})
	}
	if err == nil && !p.way.keepsRelease && t.there(svc) {
		err = fmt.Errorf("%s already runs %s", t.Key, t.to.Version())
	}
	if err != nil {
		return actions.Offer{Reason: err.Error()}
	}
	if p.way.keepsRelease {
		return actions.Offer{Enabled: true, Title: fmt.Sprintf("%s %s", p.way.name, t.Key.Name)}
	}
	return actions.Offer{Enabled: true, Title: fmt.Sprintf("redeploy %s %s", t.Key.Name, t.to.Version())}
}

// possible says why nothing can be planned now, whatever the release.
func (a *action) possible(snap *fleet.Snapshot, svc *fleet.Service, t *target) error {
	if err := a.fresh(snap, svc); err != nil {
		return err
	}
	if len(t.Hosts) == 0 {
		return fmt.Errorf("no container of the Compose service %s is there", t.Service)
	}
	var tags []string
	for _, p := range t.Hosts {
		if !slices.Contains(tags, p.From.Tag) {
			tags = append(tags, p.From.Tag)
		}
	}
	const usual = 2 // a deploy that stopped half-way leaves two
	if len(tags) > usual {
		return fmt.Errorf("its hosts run %d different releases: look into that first", len(tags))
	}
	way, err := a.wayOf(t.Key, "")
	if err == nil && !way.ownTag && a.cfg.TagHome == compose.HomeGit && a.cfg.Branches[t.Key.Environment] == "" {
		return fmt.Errorf("[actions.redeploy.branches] names no branch for %s", t.Key.Environment)
	}
	return nil
}

// fresh refuses facts that are past their bound: those of the service's hosts, and
// what git says when the history comes from there.
func (a *action) fresh(snap *fleet.Snapshot, svc *fleet.Service) error {
	bound := time.Duration(a.cfg.MaxAge)
	if err := actions.Fresh(snap, svc, bound); err != nil {
		return err //nolint:wrapcheck // in the words of every action
	}
	if svc.Releases.Previous.Commit == "" {
		return nil
	}
	for _, s := range snap.Sources {
		if s.Kind != "git" {
			continue
		}
		if age, ok := s.Age(snap.At); !ok || age > bound {
			return fmt.Errorf("what %s says is too old (%s, %s are allowed): %s", s.ID, ageWords(s.LastSuccess, age), fleet.Ago(bound), remote.Clean(s.Error))
		}
	}
	return nil
}

func ageWords(seen time.Time, age time.Duration) string {
	if seen.IsZero() {
		return "never seen"
	}
	return fleet.Ago(age)
}

// Plan preflights a redeploy of one service.
func (a *action) Plan(ctx context.Context, snap *fleet.Snapshot, intent actions.Intent) (*actions.Plan, error) {
	t, svc, err := findTarget(&a.cfg, snap, intent.Targets)
	if err == nil {
		err = a.possible(snap, svc, t)
	}
	if err != nil {
		return nil, fmt.Errorf("redeploy %s: %w", targetName(intent.Targets), err)
	}
	p, err := newPlanner(a, snap, svc, t, intent)
	if err != nil {
		return nil, fmt.Errorf("redeploy %s: %w", t.Key, err)
	}
	plan, err := p.plan(ctx)
	if err != nil {
		return nil, fmt.Errorf("redeploy %s: %w", t.Key, err)
	}
	return plan, nil
}

func targetName(refs []fleet.Ref) string {
	if len(refs) == 0 {
		return "nothing"
	}
	return refs[0].Service.String()
}

// errThere says that there is nothing to do.
var errThere = errors.New("it already runs that release, and its tag is where it belongs")
