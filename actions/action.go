// Package actions holds the contract of everything that changes the world, and
// the Runner that confirms, locks, journals, executes and verifies a plan.
package actions

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// Action is one thing that may be done to an estate.
type Action interface {
	Spec() Spec
	// Offer says whether the action is possible now; if not, the reason in words. No I/O.
	Offer(snap *fleet.Snapshot, targets []fleet.Ref) Offer
	// Plan reads and preflights, and changes nothing. An error means that no plan can be
	// made; a plan whose preflights fail is still a plan, and cannot be run.
	Plan(ctx context.Context, snap *fleet.Snapshot, intent Intent) (*Plan, error)
}

// Risk says how much can go wrong.
type Risk string

// The risks of actions.
const (
	RiskLow  Risk = "low"
	RiskHigh Risk = "high"
)

// Scope says what an action is asked to act on.
type Scope string

// The scopes of actions.
const (
	ScopeService     Scope = ""            // one or more services
	ScopeEnvironment Scope = "environment" // the environment as a whole: it is offered and planned without targets
)

// Spec describes an action to screens and command lines.
type Spec struct {
	Name  string // "redeploy": the config table, the subcommand, the journal's word
	Key   string // capital letter on the screen: "R"
	Title string // "redeploy previous"
	Help  string // one sentence
	Risk  Risk
	Scope Scope
	Args  []Arg // what may be said besides the targets; each is a flag on the command line
	Quiet bool  // not among the keys of the last line: help and palette have it
}

// Arg is one argument of an action: Intent.Args[Name].
type Arg struct {
	Name     string // "to"
	Help     string // "the tag to go to (default: the previous good release)"
	Required bool   // no plan can be made without it; the screen gets it from Choices
}

// Chooser is an Action that a person has to choose something for before it can be planned.
type Chooser interface {
	// Choices reads what there is to choose from. It may ask the network and changes nothing.
	Choices(ctx context.Context, snap *fleet.Snapshot, targets []fleet.Ref) (Choices, error)
}

// Choices is what a person may choose from; the value chosen becomes one argument.
type Choices struct {
	Title   string   // "deploy which release of ai?"
	Arg     string   // the argument the value is for
	Columns []string // the headings of Choice.Cells
	Rows    []Choice
	Free    string // what else may be typed, in words: "a number from 1 to 8"; "" when only a row will do
}

// Choice is one row.
type Choice struct {
	Value  string
	Cells  []string
	Reason string // why it cannot be chosen; "" when it can
}

// Offer is whether an action is possible now.
type Offer struct {
	Enabled bool
	Title   string // when enabled, what it would do: "redeploy ai 0.4.1"
	Reason  string // when not, why not
}

// Intent is what somebody wants.
type Intent struct {
	Action  string
	Targets []fleet.Ref
	Args    map[string]string // action's own: "to" = "0.4.1"
	Who     string            // "ana@laptop"
	Why     string
	Say     string `json:",omitempty"` // what it is in words, where its arguments do not tell
	// RollbackOf is the plan that this takes back without anybody having been asked; "" for what people want.
	RollbackOf string
	// After is, in a plan for several targets, the plan for the target before: it will have run when this one
	// begins. An action whose plans build on one another (commits to one branch) looks at it.
	After *Plan `json:"-"`
}

// Words say an intent in a few words: "redeploy ai to 0.4.1".
func (i *Intent) Words() string {
	if i.Say != "" {
		return i.Say
	}
	rest := maps.Clone(i.Args)
	said := func(prefix string) (out string) {
		for _, name := range slices.Sorted(maps.Keys(rest)) {
			own, ok := strings.CutPrefix(name, prefix)
			if v := rest[name]; ok && v != "" {
				out += " " + own + " " + v
				delete(rest, name)
			}
		}
		return out
	}
	var each []string
	for _, t := range i.Targets {
		each = append(each, t.Service.Name+said(t.Service.Name+argMark))
	}
	sep := " "
	if len(rest) < len(i.Args) {
		sep = ", " // each has words of its own
	}
	return strings.TrimRight(i.Action+" "+strings.Join(each, sep), " ") + said("")
}

// CheckState is the result of one preflight.
type CheckState string

// The states of a preflight.
const (
	CheckOK   CheckState = "ok"
	CheckWarn CheckState = "warn" // said, does not stop
	CheckFail CheckState = "fail" // the plan cannot be run
)

// Check is one preflight with its result.
type Check struct {
	Name   string // "previous image on prod-1"
	State  CheckState
	Detail string // "sha256:1f2e..., 12 MB" or what is wrong and what to do
	Claim  *Claim // somebody else's claim that was found; nil when none was
	// Diff is what would change, line by line, each with "+", "-" or a blank before it. It holds no secrets.
	Diff []string
}

// Move is one instance set going from one release to another.
type Move struct {
	Service fleet.ServiceKey
	Host    string
	From    fleet.Release
	To      fleet.Release
}

// Claim is what somebody else has laid on a service, and what the plan does all the same. It has to be
// confirmed by typing, whatever the policy says.
type Claim struct {
	TakeOver *fleet.Lock // the lock of a console that is dead: the plan takes it over
	Against  *fleet.Hold // a hold that the plan goes against
}

// Step is one thing that a plan does. Steps run in order; the first failure stops.
type Step struct {
	Name    string        // "pull", "set tag", "up"
	Host    string        // "" when it runs on this machine
	Argv    []string      // exactly what runs, shown and journalled; for a step that is no process, what it does in words
	Dir     string        // folder it runs in
	Mutates bool          // it changes the world: never sent twice
	Into    *Pipe         // what its output is piped into, through this machine; nil: nothing
	Timeout time.Duration // how long it may take; 0 is the Runner's own bound
	// Attended: a person sits at it. It takes as long as that person wants, and
	// ends at once when the run is cancelled. A plan that changes nothing by itself, only by
	// such steps, takes no lock.
	Attended bool
	// Touches is a service besides the plan's own that it changes, like the proxy that it reloads: it is locked as well,
	// where the step runs. Zero: none.
	Touches fleet.ServiceKey
	Of      *Plan // in a plan for several targets: the plan of the target it belongs to
	// Always: it runs at the end also when a step before it failed, was cancelled or is not known to have ended, once
	// anything was changed. It clears away what the plan made for itself, or puts on record what came of it.
	Always bool
	// At is the place, no host, that the step changes and that keeps the plan's lock; nil: none.
	At LockPlace `json:"-"`
	// Do runs the step. It writes output, line by line, to out. An error for which
	// errors.Is(err, ErrUnknown) means nobody knows whether it took effect.
	Do func(ctx context.Context, out func(stream, line string)) error `json:"-"`
}

// Pipe is the command that the output of a step goes into. It runs beside the step's own.
type Pipe struct {
	Host string // "" when it runs on this machine
	Argv []string
}

// Basis is a fact that the plan stands on. When a newer snapshot no longer
// agrees with it, the plan is made again and the difference shown.
type Basis struct {
	What  string // "ai on prod-1 runs"
	Value string // "0.4.2 sha256:ab12..."
	// Now gives the value in another snapshot. No I/O. nil: the basis is only shown.
	Now func(snap *fleet.Snapshot) string `json:"-"`
}

// Plan is everything an action would do, before anything is done.
type Plan struct {
	ID          string // unique, sortable by time
	Intent      Intent
	Title       string // "redeploy ai on prod: 0.4.2 → 0.4.1"
	Environment string
	Made        time.Time
	Snapshot    uint64 // Seq of the snapshot it was made on
	Moves       []Move
	Risks       []string // in words: "restarts 1 container; ~5 s without ai"
	Checks      []Check
	Steps       []Step
	Bases       []Basis
	Undo        *Intent // what would put it back; nil when nothing would
	// Verify watches the world after the steps and gives the verdict. nil: no verification.
	Verify func(ctx context.Context, w World, out func(line string)) (Outcome, []string) `json:"-"`
	// LockHosts are the hosts where the lock of the service is taken, besides those of steps that touch another one.
	LockHosts []string
}

// Runnable reports whether no preflight failed; if not, the first failure in words.
func (p *Plan) Runnable() (ok bool, reason string) {
	for _, c := range p.Checks {
		if c.State == CheckFail {
			return false, c.Name + ": " + c.Detail
		}
	}
	return true, ""
}

// World is how a running action sees the estate: through the snapshots, like everybody else.
type World interface {
	// Latest is the newest snapshot; never nil.
	Latest() *fleet.Snapshot
	// Poke asks the sources to look again now. It does not wait.
	Poke()
}

// Outcome is how an action ended, truthfully.
type Outcome string

// The outcomes.
const (
	OutcomeGood      Outcome = "good"
	OutcomeDegraded  Outcome = "degraded"
	OutcomeFailed    Outcome = "failed"
	OutcomeCancelled Outcome = "cancelled"
	OutcomeUnknown   Outcome = "unknown"
)

// EventKind says what an Event tells.
type EventKind string

// The kinds of event, in the order of an action's life.
const (
	EventStarted   EventKind = "started"
	EventLocked    EventKind = "locked"
	EventStepBegan EventKind = "step_began"
	EventOutput    EventKind = "output"
	EventStepEnded EventKind = "step_ended"
	EventVerifying EventKind = "verifying"
	EventEnded     EventKind = "ended" // the last one, always
)

// Event is one moment of a running plan. Events are journalled before anyone sees them, and none is dropped.
type Event struct {
	At      time.Time
	Plan    string // Plan.ID
	Kind    EventKind
	Step    int    // index into Plan.Steps; -1 when none
	Stream  string // of an output: "stdout", "stderr"
	Text    string
	Err     string
	Outcome Outcome  // of EventEnded
	Reasons []string // of EventEnded: why it is not good
	Next    *Next    // of EventEnded: what follows by itself; nil is nothing
}

// The streams of outputs that are no process's own.
const (
	StreamVerify = "verify" // what the verification says while it watches
	StreamNexops = "nexops" // what the Runner itself has to say
)
