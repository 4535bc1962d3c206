package actions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// UnlockName is the name of the action that lets one console act on a read-only environment for a while.
const UnlockName = "unlock"

const (
	unlockKey   = "L"
	argUnlock   = "for"
	unlockUsual = 15 * time.Minute
	unlockMost  = time.Hour
	again       = "0"
)

// Access is whether an environment may be acted on from this console.
type Access struct {
	ReadOnly bool      // by the config
	Until    time.Time // unlocked until then; zero when it is not
}

// Access says whether an environment is read only, and until when it is unlocked.
func (r *Runner) Access(environment string) Access {
	a := Access{ReadOnly: r.Policy.Environments[environment].ReadOnly}
	r.mu.Lock()
	defer r.mu.Unlock()
	if until := r.unlock[environment]; a.ReadOnly && r.Now().Before(until) {
		a.Until = until
	}
	return a
}

// policy is the policy as it is now: environments that are unlocked are not read only. Unlocking itself
// is possible where it is wanted.
func (r *Runner) policy(action string) Policy {
	p := r.Policy
	p.Environments = maps.Clone(r.Policy.Environments)
	for name, env := range p.Environments {
		if env.ReadOnly && (action == UnlockName || !r.Access(name).Until.IsZero()) {
			env.ReadOnly = false
			p.Environments[name] = env
		}
	}
	return p
}

// unlockFor opens an environment to this console until then.
func (r *Runner) unlockFor(environment string, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unlock[environment] = until
}

// unlockConfirm is what unlocking asks for: to be typed, always. To lock again asks for nothing.
func unlockConfirm(p *Plan, need Confirm) Confirm {
	if p.Intent.Args[argUnlock] == again && need != ConfirmNever {
		return ConfirmNone
	}
	return need.stricter(ConfirmType)
}

// unlockAction is the action. It changes nothing but what this console may do.
type unlockAction struct {
	r           *Runner
	environment string
}

// NewUnlock makes the action for a read-only environment. It is the screen's alone: what it opens is this
// console, and it ends by itself.
func NewUnlock(r *Runner, environment string) Action {
	return &unlockAction{r: r, environment: environment}
}

// Spec describes the action.
func (u *unlockAction) Spec() Spec {
	return Spec{
		Name: UnlockName, Key: unlockKey, Title: "unlock", Scope: ScopeEnvironment, Risk: RiskHigh, Quiet: true,
		Help: "Lets this console act on a read-only environment for a while; it ends by itself.",
		Args: []Arg{{Name: argUnlock, Help: "how long, 15m to 1h, and why", Required: true}},
	}
}

// Offer says what L would do.
func (u *unlockAction) Offer(*fleet.Snapshot, []fleet.Ref) Offer {
	a := u.r.Access(u.environment)
	switch {
	case !a.ReadOnly:
		return Offer{Reason: u.environment + " is not read only"}
	case !a.Until.IsZero():
		return Offer{Enabled: true, Title: "unlock " + u.environment + " for longer, or lock it again"}
	default:
		return Offer{Enabled: true, Title: "unlock " + u.environment + " for a while"}
	}
}

// Choices are the usual times.
func (u *unlockAction) Choices(context.Context, *fleet.Snapshot, []fleet.Ref) (Choices, error) {
	c := Choices{
		Title: "unlock " + u.environment + " for how long?", Arg: argUnlock,
		Free: "a time up to 1h and why, like \"30m the index is rebuilt\"",
	}
	for _, d := range []time.Duration{unlockUsual, unlockUsual / 3, 2 * unlockUsual, unlockMost} {
		c.Rows = append(c.Rows, Choice{Value: short(d), Cells: []string{"for " + fleet.Ago(d)}})
	}
	if !u.r.Access(u.environment).Until.IsZero() {
		c.Rows = append(c.Rows, Choice{Value: again, Cells: []string{"lock it again now"}})
	}
	return c, nil
}

// short writes a duration as it is typed: "15m", "1h".
func short(d time.Duration) string {
	s := strings.TrimSuffix(d.String(), "0s")
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// unlockArg reads "15m" and "30m the index is rebuilt".
func unlockArg(arg string) (d time.Duration, why string, err error) {
	word, why, _ := strings.Cut(strings.TrimSpace(arg), " ")
	if word == again {
		return 0, "", nil
	}
	d, perr := time.ParseDuration(word)
	if perr != nil || d < time.Minute || d > unlockMost {
		return 0, "", fmt.Errorf("%q is no time from 1m to %s", word, short(unlockMost))
	}
	return d, strings.TrimSpace(why), nil
}

// Plan is one step, on this machine.
func (u *unlockAction) Plan(_ context.Context, snap *fleet.Snapshot, intent Intent) (*Plan, error) {
	if !u.r.Access(u.environment).ReadOnly {
		return nil, errors.New(u.environment + " is not read only: nothing is to be unlocked")
	}
	d, why, err := unlockArg(intent.Args[argUnlock])
	if err != nil {
		return nil, fmt.Errorf("unlock %s: %w", u.environment, err)
	}
	if why != "" {
		intent.Why = why
	}
	now := u.r.Now()
	p := &Plan{ID: NewPlanID(now), Intent: intent, Environment: u.environment, Made: now, Snapshot: snap.Seq}
	until := now.Add(d)
	if d == 0 {
		until = time.Time{}
		p.Title = "lock " + u.environment + " again"
		p.Steps = []Step{{Name: "lock again", Argv: []string{"this console acts on " + u.environment + " no more"}, Mutates: true}}
	} else {
		p.Title = fmt.Sprintf("unlock %s for %s", u.environment, fleet.Ago(d))
		p.Risks = []string{fmt.Sprintf("until %s every action on %s is possible from this console, each with its own confirmation; then it is read only again",
			until.UTC().Format("15:04:05Z"), u.environment)}
		p.Steps = []Step{{
			Name: "unlock", Mutates: true,
			Argv: []string{fmt.Sprintf("this console may act on %s until %s", u.environment, until.UTC().Format("2006-01-02 15:04:05Z"))},
		}}
	}
	p.Steps[0].Do = func(context.Context, func(stream, line string)) error {
		u.r.unlockFor(u.environment, until)
		return nil
	}
	return p, nil
}
