package exec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// Name is the action's name in the config, on the command line and in the journal.
const Name = "exec"

// The arguments of the action.
const (
	ArgInstance = "instance" // a container's name, name@host, or the beginning of its id
	ArgCommand  = "command"  // what to run in the place of a shell, as Argument writes it
	ArgTerminal = "tty"      // "yes": what is run in the place of a shell wants a terminal
)

// Argument is a command as ArgCommand has it.
func Argument(argv []string) (string, error) {
	b, err := json.Marshal(argv)
	if err != nil {
		return "", fmt.Errorf("exec: %w", err)
	}
	return string(b), nil
}

// Deps is what the action may use of the program around it.
type Deps struct {
	// Host gives the connection to a host by config name.
	Host func(name string) (remote.Host, error)
	Now  func() time.Time
	Look time.Duration // how often the end looks at the estate; 0 is 200 ms
	Wait time.Duration // how long the end waits for new facts; 0 is 20 s
}

type action struct {
	cfg  Config
	deps Deps
}

var (
	_ actions.Action  = (*action)(nil)
	_ actions.Chooser = (*action)(nil)
)

// New makes the action. It does no I/O.
func New(cfg Config, deps Deps) actions.Action {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Wait <= 0 {
		deps.Wait = 20 * time.Second
	}
	return &action{cfg: cfg, deps: deps}
}

// Spec describes the action.
func (a *action) Spec() actions.Spec {
	return actions.Spec{
		Name: Name, Key: "X", Title: "open a shell", Risk: actions.RiskHigh, Quiet: true,
		Help: "Opens a shell in an instance of a service, on its host, and gives the terminal back when it ends.",
		Args: []actions.Arg{
			{Name: ArgInstance, Help: "which container: its name, name@host, or the beginning of its id (default: the only one that runs)"},
			{Name: ArgCommand, Help: `what to run in the place of the shell, as a JSON list: '["ls", "-l"]'`},
			{Name: ArgTerminal, Help: "yes: that command gets a terminal"},
		},
	}
}

// Offer says whether there is an instance to open a shell in.
func (a *action) Offer(snap *fleet.Snapshot, targets []fleet.Ref) actions.Offer {
	svc, err := find(snap, targets)
	if err == nil && len(running(svc)) == 0 {
		err = fmt.Errorf("no container of %s runs", svc.Key.Name)
	}
	if err != nil {
		return actions.Offer{Reason: err.Error()}
	}
	return actions.Offer{Enabled: true, Title: "open a shell in " + svc.Key.Name}
}

// find gives the one service that is meant.
func find(snap *fleet.Snapshot, targets []fleet.Ref) (*fleet.Service, error) {
	if len(targets) != 1 {
		return nil, fmt.Errorf("a shell is opened in one service, not in %d", len(targets))
	}
	svc, ok := snap.Find(targets[0].Service)
	if !ok {
		return nil, fmt.Errorf("there is no service %s", targets[0].Service)
	}
	if svc.Stale || svc.Seen.IsZero() {
		return nil, errors.New("its hosts cannot be seen now: the facts about it are too old")
	}
	return svc, nil
}

// idPattern is what an engine calls a container: it ends in an argv.
var idPattern = regexp.MustCompile(`^[0-9a-f]{12,64}$`)

// whyNot says why no shell can be opened in an instance; "" when one can.
func whyNot(in *fleet.Instance) string {
	switch {
	case in.State != fleet.StateRunning:
		return "it is " + remote.Clean(string(in.State)) + ", not running"
	case !idPattern.MatchString(in.ID):
		return "its engine gives no id for it"
	default:
		return ""
	}
}

func running(svc *fleet.Service) []*fleet.Instance {
	var out []*fleet.Instance
	for _, in := range svc.Instances {
		if whyNot(in) == "" {
			out = append(out, in)
		}
	}
	return out
}

// Choices are the instances.
func (a *action) Choices(_ context.Context, snap *fleet.Snapshot, targets []fleet.Ref) (actions.Choices, error) {
	svc, err := find(snap, targets)
	if err != nil {
		return actions.Choices{}, err
	}
	out := actions.Choices{
		Title: "a shell in which instance of " + svc.Key.Name + "?", Arg: ArgInstance,
		Columns: []string{"instance", "host", "release", "health", "up"},
	}
	for _, in := range svc.Instances {
		up := ""
		if in.State == fleet.StateRunning && !in.Life.StartedAt.IsZero() {
			up = fleet.Ago(snap.At.Sub(in.Life.StartedAt))
		}
		out.Rows = append(out.Rows, actions.Choice{
			Value:  value(in),
			Cells:  []string{remote.Clean(in.Name), in.Host, in.Release.Version(), string(in.Health), up},
			Reason: whyNot(in),
		})
	}
	return out, nil
}

// value names an instance among those of all hosts.
func value(in *fleet.Instance) string { return remote.Clean(in.Name) + "@" + in.Host }

// choose gives the instance that is meant.
func choose(svc *fleet.Service, asked string) (*fleet.Instance, error) {
	const shortest = 6 // of an id: less is a guess
	var meant, there []*fleet.Instance
	names := make([]string, 0, len(svc.Instances))
	for _, in := range svc.Instances {
		names = append(names, value(in))
		if whyNot(in) == "" {
			there = append(there, in)
		}
		if asked == in.Name || asked == value(in) || len(asked) >= shortest && strings.HasPrefix(in.ID, asked) {
			meant = append(meant, in)
		}
	}
	if asked == "" {
		meant = there
	}
	switch {
	case len(meant) == 1 && whyNot(meant[0]) != "":
		return nil, fmt.Errorf("%s: %s", value(meant[0]), whyNot(meant[0]))
	case len(meant) == 1:
		return meant[0], nil
	case asked == "" && len(meant) == 0:
		return nil, fmt.Errorf("no container of it runs")
	case len(meant) == 0:
		return nil, fmt.Errorf("it has no instance %s: there is %s", remote.Clean(asked), strings.Join(names, ", "))
	default:
		return nil, fmt.Errorf("say which instance: %s", strings.Join(names, ", "))
	}
}
