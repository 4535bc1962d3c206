package actions

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/nexgate-hq/nexops/fleet"
)

// Confirm is what a person has to do before an action runs.
type Confirm string

// The ways to confirm, mildest first.
const (
	ConfirmNone  Confirm = "none"  // runs at once
	ConfirmY     Confirm = "y"     // one key
	ConfirmType  Confirm = "type"  // the service and environment are typed: "ai@prod"
	ConfirmNever Confirm = "never" // not from this console
)

// Confirms are the ways to confirm, mildest first, for config messages.
func Confirms() []Confirm {
	return []Confirm{ConfirmNone, ConfirmY, ConfirmType, ConfirmNever}
}

// Valid reports whether c is one of the four ways.
func (c Confirm) Valid() bool { return c.rank() >= 0 }

func (c Confirm) rank() int {
	for i, known := range Confirms() {
		if c == known {
			return i
		}
	}
	return -1
}

// stricter is the one of two that asks more. An empty one asks nothing of its own.
func (c Confirm) stricter(other Confirm) Confirm {
	if other != "" && other.rank() > c.rank() {
		return other
	}
	return c
}

// Confirmation is what the person did.
type Confirmation struct {
	Yes   bool   // pressed y, or --yes
	Typed string // what was typed, exactly; one trailing newline is forgiven
}

// Policy says what may be done where.
type Policy struct {
	Environments map[string]EnvironmentPolicy
	// Actions are what single actions ask for at least, by their name, whatever an environment says.
	Actions map[string]Confirm
}

// EnvironmentPolicy is the policy of one environment, from [env.NAME].
type EnvironmentPolicy struct {
	Confirm  Confirm // "" is ConfirmType: who says nothing gets the careful one
	ReadOnly bool    // no action is possible until it is unlocked for a while
	// AutoRollback has a change that turns out badly while it is watched taken back without asking.
	AutoRollback bool
	// Actions are what single actions ask for here, by their name, in the place of Confirm: more, or less.
	Actions map[string]Confirm
}

// confirm is what the environment asks for an action.
func (e EnvironmentPolicy) confirm(action string) Confirm {
	if c := e.Actions[action]; c.Valid() {
		return c
	}
	if e.Confirm.Valid() {
		return e.Confirm
	}
	return ConfirmType
}

// Required is what a plan's environment and action ask for. An environment
// that the policy does not know may not be touched.
func (p Policy) Required(environment, action string) Confirm {
	env, known := p.Environments[environment]
	if !known || env.ReadOnly {
		return ConfirmNever
	}
	return env.confirm(action).stricter(p.Actions[action])
}

// forbidden says in words why nothing may run, "" when something may.
func (p Policy) forbidden(environment, action string) string {
	env, known := p.Environments[environment]
	switch {
	case !known:
		return fmt.Sprintf("environment %s is not in the policy of this console", environment)
	case env.ReadOnly:
		return fmt.Sprintf("%s is read only (read_only of [env.%s]): %s on the screen unlocks it for a while", environment, environment, unlockKey)
	case p.Required(environment, action) == ConfirmNever:
		return fmt.Sprintf("%s is not allowed on %s from this console (\"never\" in [env.%s])", action, environment, environment)
	}
	return ""
}

// Phrase is what has to be typed for a plan: "ai@prod", "ai,backend@prod" for several services, and
// "sync@prod" for one that was asked for the environment as a whole. A plan that takes over the lock
// of a dead console has a phrase of its own, so that nobody types it out of habit.
func Phrase(p *Plan) string {
	if len(p.takeOver()) > 0 {
		return "takeover:" + phrase(p)
	}
	return phrase(p)
}

func phrase(p *Plan) string {
	if len(p.Intent.Targets) == 0 {
		return p.Intent.Action + "@" + p.Environment
	}
	seen := map[string]bool{}
	var names []string
	for _, key := range p.services() {
		if !seen[key.Name] {
			seen[key.Name] = true
			names = append(names, key.Name)
		}
	}
	sort.Strings(names)
	return strings.Join(names, ",") + "@" + p.Environment
}

// services are the services a plan is about: those it was asked for, those it moves, and those of its parts.
func (p *Plan) services() []fleet.ServiceKey {
	var keys []fleet.ServiceKey
	seen := map[fleet.ServiceKey]bool{}
	add := func(k fleet.ServiceKey) {
		if !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
	}
	for _, t := range p.Intent.Targets {
		add(t.Service)
	}
	for _, m := range p.Moves {
		add(m.Service)
	}
	for i := range p.Steps {
		if of := p.Steps[i].Of; of != nil && of != p {
			for _, t := range of.Intent.Targets {
				add(t.Service)
			}
		}
	}
	return sortedKeys(keys)
}

// changed are the services a plan is about and those that its steps touch besides.
func (p *Plan) changed() []fleet.ServiceKey {
	keys := p.services()
	for i := range p.Steps {
		if k := p.Steps[i].Touches; k != (fleet.ServiceKey{}) && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return sortedKeys(keys)
}

// lockHosts are the hosts where all of them are locked, in the one order in which every console takes its locks: of two
// that want the same ones one has the first, and the other none.
func (p *Plan) lockHosts() []string {
	hosts := slices.Clone(p.LockHosts)
	for i := range p.Steps {
		if p.Steps[i].Touches != (fleet.ServiceKey{}) && p.Steps[i].Host != "" {
			hosts = append(hosts, p.Steps[i].Host)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// unlocked reports whether a plan takes no lock. One that only hands somebody a terminal does not: a
// deploy need not wait until a shell is left.
func (p *Plan) unlocked() bool {
	attended := false
	for _, s := range p.Steps {
		if s.Mutates && !s.Attended {
			return false
		}
		attended = attended || s.Attended
	}
	return attended
}

// locked are the services that nobody else may act on while the plan runs.
func (p *Plan) locked() []fleet.ServiceKey {
	if p.unlocked() {
		return nil
	}
	return p.changed()
}

// confirmed checks what the person did against what is required.
func confirmed(need Confirm, phrase string, c Confirmation) error {
	typed := strings.TrimSuffix(strings.TrimSuffix(c.Typed, "\n"), "\r")
	switch need {
	case ConfirmNone:
		return nil
	case ConfirmY:
		if c.Yes || typed == phrase {
			return nil
		}
		return errors.New("not confirmed: press y, or pass --yes")
	case ConfirmType:
		if typed == phrase {
			return nil
		}
		if typed == "" {
			return fmt.Errorf("not confirmed: type %s, or pass --confirm %s", phrase, phrase)
		}
		return fmt.Errorf("not confirmed: what was typed is not %s", phrase)
	case ConfirmNever:
		return errors.New("not allowed from this console")
	case ConfirmPolicy: // not asked of anybody
	}
	return fmt.Errorf("not confirmed: %q is no way to confirm", string(need))
}
