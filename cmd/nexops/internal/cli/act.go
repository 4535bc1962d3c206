package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/exec"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/console"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/ui"
)

// The exit codes of commands that plan or act.
const (
	ExitRefused  = 1 // nothing was done: no plan, a failed preflight, no confirmation, a lock
	ExitDegraded = 2 // done, and not well
	ExitFailed   = 3 // a step failed, or it was cancelled between two
	ExitUnknown  = 4 // nobody knows whether it took effect
)

type actFlags struct {
	args    map[string]*string // those of Spec.Args, by name
	why     string
	yes     bool
	confirm string
	output  string
	timeout time.Duration
}

// planCommand is "plan", with a command of its own for each action.
func (a *App) planCommand(f *flags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "plan", Short: "Print what an action would do, exactly, and do nothing",
		Long: `Print what an action would do, exactly, and do nothing.

Exit codes: 0 it could be run; 1 it could not, with the reason; 64 wrong usage; 78 wrong config;
130 interrupted.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &ExitError{Code: ExitUsage, Err: fmt.Errorf("say which action: %s", strings.Join(a.actionNames(), ", "))}
			}
			return &ExitError{Code: ExitUsage, Err: fmt.Errorf("no action %q: there is %s", args[0], strings.Join(a.actionNames(), ", "))}
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	for _, spec := range a.specs() {
		var p actFlags
		sub := &cobra.Command{
			Use: usageOf(spec), Short: spec.Help, Args: targetArgs(spec), ValidArgsFunction: cobra.NoFileCompletions,
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.withPlan(cmd.Context(), f, p, spec, args, func(_ context.Context, _ *console.Console, plan *actions.Plan) error {
					return a.printPlan(plan, p.output)
				})
			},
		}
		planFlags(sub, &p, spec)
		outputFlag(sub, &p.output)
		cmd.AddCommand(sub)
	}
	cmd.AddCommand(a.undoPlanCommand(f))
	return cmd
}

func planFlags(cmd *cobra.Command, p *actFlags, spec actions.Spec) {
	p.args = map[string]*string{}
	for _, arg := range spec.Args {
		p.args[arg.Name] = cmd.Flags().String(arg.Name, "", arg.Help)
	}
	cmd.Flags().StringVar(&p.why, "why", "", "the reason, for the journal")
	cmd.Flags().DurationVar(&p.timeout, "timeout", 15*time.Second, "how long to wait for the sources' first answers")
}

// actCommands are the headless twins of the capital letters.
func (a *App) actCommands(f *flags) []*cobra.Command {
	var out []*cobra.Command
	for _, spec := range a.specs() {
		if spec.Name == exec.Name {
			out = append(out, a.execCommand(f, spec))
			continue
		}
		var p actFlags
		cmd := &cobra.Command{
			Use: usageOf(spec), Short: spec.Help,
			Long: spec.Help + `

It is watched, and the verdict is the exit code. The policy of the environment decides what
has to be said: --yes where it asks for y, --confirm ` + phraseOf(spec) + ` where it asks to type.

Exit codes: 0 good; 1 refused, nothing was done; 2 degraded; 3 failed or cancelled;
4 unknown; 64 wrong usage; 78 wrong config; 130 interrupted before it began.`,
			Args: targetArgs(spec), ValidArgsFunction: cobra.NoFileCompletions,
			RunE: func(cmd *cobra.Command, args []string) error {
				return a.withPlan(cmd.Context(), f, p, spec, args, func(ctx context.Context, c *console.Console, plan *actions.Plan) error {
					return a.execute(ctx, c, plan, actions.Confirmation{Yes: p.yes, Typed: p.confirm})
				})
			},
		}
		planFlags(cmd, &p, spec)
		confirmFlags(cmd, &p, phraseOf(spec))
		out = append(out, cmd)
	}
	return out
}

func confirmFlags(cmd *cobra.Command, p *actFlags, phrase string) {
	cmd.Flags().BoolVar(&p.yes, "yes", false, "confirm, where the policy asks for y")
	cmd.Flags().StringVar(&p.confirm, "confirm", "", "confirm by name, e.g. "+phrase+", where the policy asks to type")
}

// specs are what the actions say of themselves.
func (a *App) specs() []actions.Spec {
	var out []actions.Spec
	for _, k := range a.Kinds.Actions {
		if spec, err := k.Spec(); err == nil { // an action that cannot be made with its defaults says so when it is opened
			out = append(out, spec)
		}
	}
	return out
}

func (a *App) actionNames() []string {
	var out []string
	for _, s := range a.specs() {
		out = append(out, s.Name)
	}
	return out
}

// wish makes an intent of what was said on the command line, once the estate has been seen.
type wish func(c *console.Console, snap *fleet.Snapshot) (actions.Intent, error)

// withPlan opens the environment, makes the plan of one action and hands it on.
func (a *App) withPlan(ctx context.Context, f *flags, p actFlags, spec actions.Spec, args []string, then func(context.Context, *console.Console, *actions.Plan) error) error {
	return a.withWish(ctx, f, p.timeout, func(c *console.Console, snap *fleet.Snapshot) (actions.Intent, error) {
		intent := actions.Intent{Action: spec.Name, Args: map[string]string{}, Who: c.Who, Why: p.why}
		if arg, ok := subjectOf(spec); ok && len(args) == 1 {
			if *p.args[arg.Name] != "" {
				return intent, &ExitError{Code: ExitUsage, Err: fmt.Errorf("say %s once: %s, or --%s", arg.Name, args[0], arg.Name)}
			}
			intent.Args[arg.Name], args = args[0], nil
		}
		for _, name := range args {
			svc, err := findService(snap, name)
			if err != nil {
				return intent, err
			}
			intent.Targets = append(intent.Targets, fleet.Ref{Service: svc.Key})
		}
		for name, value := range p.args {
			if *value != "" {
				intent.Args[name] = *value
			}
		}
		return intent, nil
	}, then)
}

// withWish opens the environment, plans what is wished for and hands the plan on.
func (a *App) withWish(ctx context.Context, f *flags, timeout time.Duration, wished wish, then func(context.Context, *console.Console, *actions.Plan) error) error {
	c, done, err := a.open(f)
	if err != nil {
		return err
	}
	defer done()
	snap, err := firstSnapshot(ctx, c, timeout)
	if err != nil {
		return err
	}
	if a.tellSettled(ctx, c, timeout) {
		snap = c.Collector.Latest()
	}
	intent, err := wished(c, snap)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(c.Actions, func(one actions.Action) bool { return one.Spec().Name == intent.Action })
	if i < 0 {
		return &ExitError{Code: ExitUsage, Err: fmt.Errorf("no action %q in this console", intent.Action)}
	}
	act := c.Actions[i]
	if err := a.possible(ctx, act, snap, intent); err != nil {
		return err
	}
	plan, err := act.Plan(ctx, snap, intent)
	if stopped := interrupted(ctx); stopped != nil {
		return stopped
	}
	if err != nil {
		return &ExitError{Code: ExitRefused, Err: err}
	}
	return then(ctx, c, plan)
}

// possible says why an intent cannot be planned: it misses an argument, or, where nothing
// more was said than its target, the action does not offer itself.
func (a *App) possible(ctx context.Context, act actions.Action, snap *fleet.Snapshot, intent actions.Intent) error {
	spec := act.Spec()
	if len(intent.Args) == 0 {
		if offer := act.Offer(snap, intent.Targets); !offer.Enabled {
			return &ExitError{Code: ExitRefused, Err: fmt.Errorf("%s is not possible: %s", intentWords(intent, snap), offer.Reason)}
		}
	}
	for _, arg := range spec.Args {
		if !arg.Required || intent.Args[arg.Name] != "" {
			continue
		}
		text := fmt.Sprintf("%s needs --%s: %s", spec.Name, arg.Name, arg.Help)
		if ch, ok := act.(actions.Chooser); ok {
			if choices, err := ch.Choices(ctx, snap, intent.Targets); err == nil && choices.Arg == arg.Name {
				text += choiceWords(choices)
			}
		}
		return &ExitError{Code: ExitUsage, Err: errors.New(text)}
	}
	return nil
}

func intentWords(in actions.Intent, snap *fleet.Snapshot) string {
	if len(in.Targets) == 0 {
		return in.Action + " on " + snap.Environment
	}
	words := in.Action
	for _, t := range in.Targets {
		words += " " + t.Service.String()
	}
	return words
}

// choiceWords lists what there is to choose from, a line each.
func choiceWords(c actions.Choices) string {
	var b strings.Builder
	for _, r := range c.Rows {
		fmt.Fprintf(&b, "\n  %s", strings.Join(append([]string{r.Value}, r.Cells...), "  "))
		if r.Reason != "" {
			fmt.Fprintf(&b, "  (not possible: %s)", r.Reason)
		}
	}
	if c.Free != "" {
		fmt.Fprintf(&b, "\n  or %s", c.Free)
	}
	return b.String()
}

// execute runs a plan and prints its events as they come.
func (a *App) execute(ctx context.Context, c *console.Console, plan *actions.Plan, confirm actions.Confirmation) error {
	if err := planText(a.Stdout, plan); err != nil {
		return &ExitError{Code: ExitRefused, Err: err}
	}
	if err := unconfirmed(c, plan, confirm); err != nil {
		return err
	}
	events, err := c.Runner.Run(ctx, plan, confirm)
	if err != nil {
		return &ExitError{Code: ExitRefused, Err: err}
	}
	defer context.AfterFunc(ctx, func() {
		_, _ = fmt.Fprintln(a.Stderr, "nexops: stopping: a step that changes something is let finish; interrupt again to leave it, which then nobody watches")
	})()
	next, err := a.watch(events, plan)
	if next == nil {
		return err
	}
	_, _ = fmt.Fprintln(a.Stderr, "nexops: "+ui.Sanitize(err.Error()))
	return a.rolledBack(ctx, next)
}

// rolledBack shows the automatic rollback. What was asked for is not there, so it never ends well: degraded
// when the rollback is good, else as the rollback ended.
func (a *App) rolledBack(ctx context.Context, next *actions.Next) error {
	back, events, err := next.Wait(ctx)
	if err != nil {
		return &ExitError{Code: ExitDegraded, Err: err}
	}
	_, _ = fmt.Fprintln(a.Stdout, "\n"+ui.Sanitize(back.Title+": "+back.Intent.Why))
	if _, err = a.watch(events, back); err != nil {
		return err
	}
	return &ExitError{Code: ExitDegraded, Err: fmt.Errorf("rolled back by itself (%s): %s", back.Title, next.Why)}
}

// watch prints the events of a run; the error is its outcome.
func (a *App) watch(events <-chan actions.Event, plan *actions.Plan) (*actions.Next, error) {
	outcome, reasons, locked := actions.OutcomeUnknown, []string(nil), false
	var next *actions.Next
	for e := range events {
		if text := eventText(e, plan); text != "" {
			_, _ = fmt.Fprintln(a.Stdout, ui.Sanitize(text))
		}
		locked = locked || e.Kind == actions.EventLocked
		if e.Kind == actions.EventEnded {
			outcome, reasons, next = e.Outcome, e.Reasons, e.Next
		}
	}
	err := outcomeError(outcome, reasons)
	var exit *ExitError
	if !locked && errors.As(err, &exit) {
		exit.Code = ExitRefused // somebody else holds the lock: nothing began
	}
	return next, err
}

// unconfirmed says what is missing on the command line.
func unconfirmed(c *console.Console, plan *actions.Plan, confirm actions.Confirmation) error {
	if text := c.Runner.Forbidden(plan.Environment, plan.Intent.Action); text != "" {
		return &ExitError{Code: ExitRefused, Err: errors.New("nothing was done: " + text)}
	}
	if need, phrase := c.Runner.Required(plan); need == actions.ConfirmType && confirm.Typed == "" {
		return &ExitError{Code: ExitRefused, Err: fmt.Errorf("nothing was done: %s asks for --confirm %s", plan.Environment, phrase)}
	} else if need == actions.ConfirmY && !confirm.Yes && confirm.Typed == "" {
		return &ExitError{Code: ExitRefused, Err: fmt.Errorf("nothing was done: %s asks for --yes", plan.Environment)}
	}
	return nil
}

func eventText(e actions.Event, plan *actions.Plan) string {
	at := e.At.UTC().Format("15:04:05Z ")
	switch e.Kind {
	case actions.EventStarted:
		return at + "started " + e.Plan
	case actions.EventLocked:
		return at + "locked " + e.Text
	case actions.EventStepBegan:
		if e.Step >= 0 && e.Step < len(plan.Steps) {
			return at + "▶ " + strings.TrimSpace(plan.Steps[e.Step].Name+" "+plan.Steps[e.Step].Host)
		}
		return at + "▶ " + e.Text
	case actions.EventOutput:
		return at + "  " + e.Text
	case actions.EventStepEnded:
		if e.Err != "" {
			return at + "✖ " + e.Err
		}
		return at + "✓ done"
	case actions.EventVerifying:
		return at + "▶ verifying " + e.Text
	case actions.EventEnded:
		return at + "ended: " + string(e.Outcome)
	default:
		return at + string(e.Kind) + " " + e.Text
	}
}

func outcomeError(outcome actions.Outcome, reasons []string) error {
	err := errors.New(string(outcome) + ": " + strings.Join(reasons, "; "))
	switch outcome {
	case actions.OutcomeGood:
		return nil
	case actions.OutcomeDegraded:
		return &ExitError{Code: ExitDegraded, Err: err}
	case actions.OutcomeFailed, actions.OutcomeCancelled:
		return &ExitError{Code: ExitFailed, Err: err}
	case actions.OutcomeUnknown:
		return &ExitError{Code: ExitUnknown, Err: err}
	default:
		return &ExitError{Code: ExitUnknown, Err: err}
	}
}
