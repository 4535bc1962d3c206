// Package hold lets a person say that an environment, or one service of it, is to be left as it is.
package hold

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// Name is the action's name in the config, on the command line and in the journal.
const Name = "hold"

// ArgFor is the argument that says what, how long and why.
const ArgFor = "for"

// What may stand in the place of a time.
const (
	wordRelease = "release"
	wordOpen    = "until-released"
)

// Config is [actions.hold].
type Config struct {
	Max remote.Duration `toml:"max"` // no hold is longer, but for one that somebody releases
}

// DefaultConfig is what an empty [actions.hold] means.
func DefaultConfig() Config { return Config{Max: remote.Duration(14 * 24 * time.Hour)} }

// Validate gives every mistake at once.
func (c *Config) Validate() []error {
	if c.Max < remote.Duration(time.Minute) {
		return []error{fmt.Errorf("max: %s is too short: 1m or longer", c.Max)}
	}
	return nil
}

// Deps is what the action may use of the program around it.
type Deps struct {
	Host func(name string) (remote.Host, error)
	Lock actions.LockConfig // holds are kept beside the locks
	Now  func() time.Time
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
	return &action{cfg: cfg, deps: deps}
}

// Spec describes the action.
func (a *action) Spec() actions.Spec {
	return actions.Spec{
		Name: Name, Key: "H", Title: "hold", Risk: actions.RiskLow, Scope: actions.ScopeEnvironment, Quiet: true,
		Help: "Says on every row that the environment, or one service, is to be left as it is: by whom, until when and why.",
		Args: []actions.Arg{{Name: ArgFor, Help: `how long and why, "2h migration of orders"; "ai: 2h load test" is one service alone; "release" ends it`, Required: true}},
	}
}

// hosts are those of the environment, where holds are kept.
func hosts(snap *fleet.Snapshot) []string {
	var out []string
	for _, h := range snap.Hosts {
		if h.Environment == snap.Environment || h.Environment == "" {
			out = append(out, h.Name)
		}
	}
	slices.Sort(out)
	return out
}

func holdOf(snap *fleet.Snapshot, service string) *fleet.Hold {
	for i := range snap.Holds {
		if h := snap.Holds[i]; h.Service == service && !h.Over(snap.At) {
			return &h
		}
	}
	return nil
}

// Offer says whether something can be held.
func (a *action) Offer(snap *fleet.Snapshot, _ []fleet.Ref) actions.Offer {
	if len(hosts(snap)) == 0 {
		return actions.Offer{Reason: "the environment has no host where a hold could be kept"}
	}
	if len(snap.Services) > 0 && !slices.ContainsFunc(snap.Services, func(svc fleet.Service) bool { return !svc.Stale }) {
		return actions.Offer{Reason: "its hosts cannot be seen now: nobody would know of the hold there"}
	}
	if h := holdOf(snap, ""); h != nil {
		return actions.Offer{Enabled: true, Title: "extend or release the hold (" + remote.Clean(h.Words(snap.At)) + ")"}
	}
	return actions.Offer{Enabled: true, Title: "hold " + snap.Environment}
}

// Choices are the usual times, and what can be released.
func (a *action) Choices(_ context.Context, snap *fleet.Snapshot, _ []fleet.Ref) (actions.Choices, error) {
	c := actions.Choices{
		Title: "hold " + snap.Environment + " for how long?", Arg: ArgFor, Columns: []string{"for", ""},
		Free: `how long and why: "2h migration of orders"; "ai: 2h load test" holds one service alone`,
	}
	for i := range snap.Holds {
		h := snap.Holds[i]
		c.Rows = append(c.Rows, actions.Choice{Value: said(h.Service, wordRelease), Cells: []string{wordRelease, remote.Clean(h.Words(snap.At))}})
	}
	for _, d := range []string{"30m", "2h", "8h", "24h"} {
		c.Rows = append(c.Rows, actions.Choice{Value: d, Cells: []string{d, "all of " + snap.Environment}})
	}
	c.Rows = append(c.Rows, actions.Choice{Value: wordOpen, Cells: []string{wordOpen, "all of " + snap.Environment}})
	return c, nil
}

func said(service, rest string) string {
	if service == "" {
		return rest
	}
	return service + ": " + rest
}

// wish is what somebody wants.
type wish struct {
	service string
	release bool
	time    time.Duration // 0: until it is released
	why     string
}

// read takes "ai: 2h load test" apart.
func (a *action) read(snap *fleet.Snapshot, intent actions.Intent) (wish, error) {
	var w wish
	text := strings.TrimSpace(intent.Args[ArgFor])
	if name, rest, ok := strings.Cut(text, ":"); ok && !strings.Contains(name, " ") {
		if _, there := snap.Find(fleet.ServiceKey{Environment: snap.Environment, Name: name}); !there && holdOf(snap, name) == nil {
			return w, fmt.Errorf("%s is no service of %s", remote.Clean(name), snap.Environment)
		}
		w.service, text = name, strings.TrimSpace(rest)
	}
	long, why, _ := strings.Cut(text, " ")
	w.why = remote.Clean(strings.TrimSpace(why))
	if w.why == "" {
		w.why = remote.Clean(intent.Why)
	}
	switch long {
	case "":
		return w, errors.New(`say for how long, and why: "2h migration of orders"`)
	case wordRelease:
		w.release = true
		return w, nil
	case wordOpen:
		return w, nil
	}
	d, err := time.ParseDuration(long)
	if err != nil || d < time.Minute || d > time.Duration(a.cfg.Max) {
		return w, fmt.Errorf(`%q is no time from 1m to %s, nor %q or %q: write "2h why", or "SERVICE: 2h why" for one service alone`,
			remote.Clean(long), fleet.Ago(time.Duration(a.cfg.Max)), wordOpen, wordRelease)
	}
	w.time = d
	return w, nil
}

// Plan puts a hold on every host of the environment, or takes it away.
func (a *action) Plan(ctx context.Context, snap *fleet.Snapshot, intent actions.Intent) (*actions.Plan, error) {
	w, err := a.read(snap, intent)
	if err != nil {
		return nil, err
	}
	where := hosts(snap)
	if len(where) == 0 {
		return nil, errors.New("the environment has no host where a hold could be kept")
	}
	now := a.deps.Now()
	there := holdOf(snap, w.service)
	if w.release && there == nil {
		return nil, errors.New("nothing is held there")
	}
	what := snap.Environment
	if w.service != "" {
		what = fleet.ServiceKey{Environment: snap.Environment, Name: w.service}.String()
	}
	p := &actions.Plan{
		ID: actions.NewPlanID(now), Intent: intent, Environment: snap.Environment, Made: now, Snapshot: snap.Seq, LockHosts: where,
		Bases: []actions.Basis{basis(snap, what, w.service)},
	}
	holds := actions.NewHolds(a.deps.Lock, a.deps.Host)
	p.Checks = append(p.Checks, checks(snap, where, there, intent.Who)...)
	p.Undo = undo(intent, w, there, now, what)
	var read []fleet.Hold
	if there != nil {
		var odd []actions.Check
		read, odd = readAll(ctx, holds, where, there, intent.Who)
		p.Checks = append(p.Checks, odd...)
	}
	if w.release {
		p.Title = "release the hold of " + what
		p.Steps = holds.ClearSteps(read)
	} else {
		until := "until it is released"
		if w.time > 0 {
			until = "for " + fleet.Ago(w.time)
		}
		p.Title = fmt.Sprintf("hold %s %s: %s", what, until, orNone(w.why))
		p.Risks = []string{"every other person's plan there has to be typed to go against it, and a sync is refused"}
		p.Steps = holds.Steps(where, actions.HoldRequest{
			Environment: snap.Environment, Service: w.service, Owner: intent.Who, Reason: w.why, For: w.time, Plan: p.ID, Replace: read,
		})
	}
	if ok, _ := p.Runnable(); !ok {
		p.Steps = nil
	} else if len(p.Steps) == 0 {
		return nil, errors.New("nothing is held there any more: look again")
	}
	p.Verify = func(ctx context.Context, world actions.World, out func(string)) (actions.Outcome, []string) {
		defer world.Poke()
		return verdict(ctx, holds, where, snap.Environment, w, intent.Who, out)
	}
	return p, nil
}

func orNone(why string) string {
	if why == "" {
		return "no reason given"
	}
	return why
}

func basis(snap *fleet.Snapshot, what, service string) actions.Basis {
	now := func(snap *fleet.Snapshot) string {
		if h := holdOf(snap, service); h != nil {
			return remote.Clean(h.Owner + ": " + h.Reason)
		}
		return ""
	}
	return actions.Basis{What: "the hold of " + what + " is of", Value: now(snap), Now: now}
}

// checks say whose hold is changed, and which hosts cannot be told now. Going against somebody else's hold of the whole
// environment has to be typed, as for every action; that of one service is asked for here.
func checks(snap *fleet.Snapshot, where []string, there *fleet.Hold, who string) []actions.Check {
	var out []actions.Check
	switch {
	case there == nil:
		out = append(out, actions.Check{Name: "held now", State: actions.CheckOK, Detail: "nothing is held there"})
	case there.Owner == who:
		out = append(out, actions.Check{Name: "held now", State: actions.CheckOK, Detail: remote.Clean(there.Words(snap.At))})
	default:
		c := actions.Check{Name: "held now", State: actions.CheckWarn, Detail: "takes the place of another's: " + remote.Clean(there.Words(snap.At))}
		if there.Service != "" {
			c.Claim = &actions.Claim{Against: there}
		}
		out = append(out, c)
	}
	for _, h := range snap.Hosts {
		if slices.Contains(where, h.Name) && !h.Up {
			out = append(out, actions.Check{Name: "host " + h.Name, State: actions.CheckFail, Detail: "it cannot be seen: those who look there would not know of it"})
		}
	}
	return out
}

// readAll reads from each host the hold that is shown: it is that one, by the words and the clock of its host, that the plan changes, and no
// other that comes meanwhile. One that is neither the shown person's nor one's own was not shown.
func readAll(ctx context.Context, holds *actions.Holds, where []string, shown *fleet.Hold, who string) ([]fleet.Hold, []actions.Check) {
	found, errs := make([]*fleet.Hold, len(where)), make([]error, len(where))
	var asking sync.WaitGroup
	for i, host := range where {
		asking.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			found[i], errs[i] = holds.Check(ctx, host, shown.Environment, shown.Service)
		})
	}
	asking.Wait()
	var out []fleet.Hold
	var odd []actions.Check
	for i, host := range where {
		h := found[i]
		switch {
		case errs[i] != nil:
			odd = append(odd, actions.Check{Name: "hold on " + host, State: actions.CheckFail, Detail: "it cannot be read: " + errs[i].Error()})
		case h == nil:
		case h.Owner != shown.Owner && h.Owner != who:
			odd = append(odd, actions.Check{Name: "hold on " + host, State: actions.CheckFail, Detail: (&actions.HeldError{Hold: *h}).Error() + ", which the screen did not show: look again"})
		default:
			out = append(out, *h)
		}
	}
	return out, odd
}

// patience bounds one reading of a host.
const patience = 20 * time.Second

// undo is what was there before.
func undo(intent actions.Intent, w wish, there *fleet.Hold, now time.Time, what string) *actions.Intent {
	back := intent
	back.Why, back.Say = "", ""
	switch {
	case there == nil:
		back.Args, back.Say = map[string]string{ArgFor: said(w.service, wordRelease)}, "release the hold of "+what
	case there.Owner != intent.Who:
		return nil // it cannot be put back in another's name
	case there.Until.IsZero():
		back.Args = map[string]string{ArgFor: said(w.service, wordOpen+" "+there.Reason)}
	default:
		left := there.Until.Sub(now).Truncate(time.Minute)
		if left < time.Minute {
			return nil
		}
		back.Args = map[string]string{ArgFor: said(w.service, left.String()+" "+there.Reason)}
	}
	return &back
}

// verdict reads every host again: what is written there is what others see.
func verdict(ctx context.Context, holds *actions.Holds, where []string, env string, w wish, who string, out func(string)) (actions.Outcome, []string) {
	var wrong, unread []string
	for _, host := range where {
		h, err := holds.Check(ctx, host, env, w.service)
		switch {
		case err != nil:
			unread = append(unread, fmt.Sprintf("%s cannot be read: %v", host, err))
		case w.release && h != nil:
			wrong = append(wrong, fmt.Sprintf("on %s it is still held by %s", host, h.Owner))
		case !w.release && h == nil:
			wrong = append(wrong, "on "+host+" nothing is held")
		case !w.release && h.Owner != who:
			wrong = append(wrong, fmt.Sprintf("on %s it is held by %s", host, h.Owner))
		case w.release:
			out(host + ": released")
		default:
			out(host + ": held by " + h.Owner)
		}
	}
	switch {
	case len(wrong) > 0:
		return actions.OutcomeFailed, append(wrong, unread...)
	case len(unread) > 0:
		return actions.OutcomeUnknown, unread
	default:
		return actions.OutcomeGood, nil
	}
}
