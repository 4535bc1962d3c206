package promote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// Name is the action's name in the config, on the command line and in the journal.
const Name = "promote"

// Deps is what the action may use of the program around it.
type Deps struct {
	Host     func(name string) (remote.Host, error)
	HostsOf  func(environment string) []string // the hosts of any environment, not only of the open one
	Home     compose.Config                    // where the estate keeps its tags
	Override func(service string) compose.Override
	Secret   func(ctx context.Context, s remote.Secret) (string, error)
	CacheDir string
	Environ  []string // of the git program; nil is this process's
	Now      func() time.Time
	Client   *http.Client // to GitHub; nil is an ordinary one
}

type action struct {
	cfg  Config
	deps Deps
	home compose.Config
}

var _ actions.Action = (*action)(nil)

// New makes the action. It does no I/O.
func New(cfg Config, deps Deps) actions.Action {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Environ == nil {
		deps.Environ = os.Environ()
	}
	if deps.Override == nil {
		deps.Override = func(string) compose.Override { return compose.Override{} }
	}
	if deps.Client == nil {
		deps.Client = &http.Client{
			Timeout: 30 * time.Second,
			// A redirect would take the token along, and a POST is not sent twice.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return &action{cfg: cfg, deps: deps, home: cfg.home(deps.Home)}
}

// Spec describes the action.
func (a *action) Spec() actions.Spec {
	return actions.Spec{
		Name: Name, Key: "P", Title: "promote", Risk: actions.RiskHigh, Quiet: true,
		Help: "Makes the very artifact that staging runs the release that prod wants, by a commit that is pushed.",
		Args: []actions.Arg{{Name: ArgRevert, Help: "the commit of a promotion that was pushed and is taken back"}},
	}
}

// Offer says whether a promotion can be planned, by the snapshot alone.
func (a *action) Offer(snap *fleet.Snapshot, targets []fleet.Ref) actions.Offer {
	svc, err := a.find(snap, targets)
	if err != nil {
		return actions.Offer{Reason: err.Error()}
	}
	return actions.Offer{Enabled: true, Title: fmt.Sprintf("promote %s from %s", svc.Key.Name, a.cfg.From)}
}

func (a *action) find(snap *fleet.Snapshot, targets []fleet.Ref) (*fleet.Service, error) {
	if len(targets) != 1 {
		return nil, fmt.Errorf("one service is promoted at a time, not %d", len(targets))
	}
	svc, ok := snap.Find(targets[0].Service)
	switch {
	case !ok:
		return nil, fmt.Errorf("there is no service %s", targets[0].Service)
	case svc.Key.Environment != a.cfg.To:
		return nil, fmt.Errorf("it is promoted to %s: open that environment (to in [actions.promote])", a.cfg.To)
	case !namePattern.MatchString(svc.Key.Name):
		return nil, fmt.Errorf("%q cannot be part of a path or branch", remote.Clean(svc.Key.Name))
	case svc.Stale || svc.Seen.IsZero():
		return nil, errors.New("its hosts cannot be seen now: the facts about it are too old")
	case svc.Releases.Running.Image == "" || len(svc.Hosts) == 0:
		return nil, errors.New("what it runs is not known: there is nothing to compare with")
	case a.home.GitURL == "":
		return nil, errors.New("git_url is missing: say in [actions.promote] where the tags are kept")
	case a.home.Branches[a.cfg.To] == "" || a.home.Branches[a.cfg.From] == "":
		return nil, fmt.Errorf("branches in [actions.promote] has to name those of %s and %s", a.cfg.From, a.cfg.To)
	}
	return svc, nil
}
