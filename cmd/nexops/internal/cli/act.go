package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/console"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/schema"
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
	to      string
	why     string
	yes     bool
	confirm string
	output  string
	timeout time.Duration
}

func (a *App) planCommand(f *flags) *cobra.Command {
	var p actFlags
	cmd := &cobra.Command{
		Use: "plan ACTION SERVICE", Short: "Print what an action would do, exactly, and do nothing",
		Long: `Print what an action would do, exactly, and do nothing.

Exit codes: 0 it could be run; 1 it could not, with the reason; 64 wrong usage; 78 wrong config;
130 interrupted.`,
		Args: exactArgs(2, "an ACTION and a SERVICE"), ValidArgs: a.actionNames(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withPlan(cmd.Context(), f, p, args[0], args[1], func(_ context.Context, _ *console.Console, plan *actions.Plan) error {
				return a.printPlan(plan, p.output)
			})
		},
	}
	planFlags(cmd, &p)
	outputFlag(cmd, &p.output)
	return cmd
}

func planFlags(cmd *cobra.Command, p *actFlags) {
	cmd.Flags().StringVar(&p.to, "to", "", "the tag to go to (default: the previous good release)")
	cmd.Flags().StringVar(&p.why, "why", "", "the reason, for the journal")
	cmd.Flags().DurationVar(&p.timeout, "timeout", 15*time.Second, "how long to wait for the sources' first answers")
}

func (a *App) redeployCommand(f *flags) *cobra.Command {
	var p actFlags
	cmd := &cobra.Command{
		Use: "redeploy SERVICE", Short: "Put a service back to its previous release, watched",
		Long: `Put a service back to its previous release, watched, with the verdict as the exit code.

The policy of the environment decides what has to be said: --yes where it asks for y,
--confirm SERVICE@ENVIRONMENT where it asks to type.

Exit codes: 0 good; 1 refused, nothing was done; 2 degraded; 3 failed or cancelled;
4 unknown; 64 wrong usage; 78 wrong config; 130 interrupted before it began.`,
		Args: exactArgs(1, "a SERVICE"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withPlan(cmd.Context(), f, p, "redeploy", args[0], func(ctx context.Context, c *console.Console, plan *actions.Plan) error {
				return a.execute(ctx, c, plan, actions.Confirmation{Yes: p.yes, Typed: p.confirm})
			})
		},
	}
	planFlags(cmd, &p)
	cmd.Flags().BoolVar(&p.yes, "yes", false, "confirm, where the policy asks for y")
	cmd.Flags().StringVar(&p.confirm, "confirm", "", "confirm by name, e.g. ai@prod, where the policy asks to type")
	return cmd
}

func (a *App) actionNames() []string {
	var out []string
	for _, k := range a.Kinds.Actions {
		out = append(out, k.Name)
	}
	return out
}

// withPlan opens the environment, makes the plan and hands it on.
func (a *App) withPlan(ctx context.Context, f *flags, p actFlags, action, service string, then func(context.Context, *console.Console, *actions.Plan) error) error {
	c, done, err := a.open(f)
	if err != nil {
		return err
	}
	defer done()
	var act actions.Action
	for _, one := range c.Actions {
		if one.Spec().Name == action {
			act = one
		}
	}
	if act == nil {
		return &ExitError{Code: ExitUsage, Err: fmt.Errorf("no action %q: there is %s", action, strings.Join(a.actionNames(), ", "))}
	}
	snap, err := firstSnapshot(ctx, c, p.timeout)
	if err != nil {
		return err
	}
	svc, err := findService(snap, service)
	if err != nil {
		return err
	}
	intent := actions.Intent{Action: action, Targets: []fleet.Ref{{Service: svc.Key}}, Args: map[string]string{}, Who: c.Who, Why: p.why}
	if p.to != "" {
		intent.Args["to"] = p.to
	} else if offer := act.Offer(snap, intent.Targets); !offer.Enabled {
		return &ExitError{Code: ExitRefused, Err: fmt.Errorf("%s %s is not possible: %s", action, svc.Key, offer.Reason)}
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

func (a *App) printPlan(plan *actions.Plan, output string) error {
	format, err := parseFormat(output)
	if err != nil {
		return err
	}
	if format == schema.FormatTable {
		err = planText(a.Stdout, plan)
	} else {
		err = schema.Write(a.Stdout, format, schema.MakePlan(plan))
	}
	if err != nil {
		return &ExitError{Code: ExitRefused, Err: err}
	}
	if ok, _ := plan.Runnable(); !ok {
		return &ExitError{Code: ExitRefused}
	}
	return nil
}

// planText prints a whole plan for people.
func planText(w io.Writer, plan *actions.Plan) error {
	var b strings.Builder
	line := func(format string, args ...any) { b.WriteString(ui.Sanitize(fmt.Sprintf(format, args...)) + "\n") }
	line("%s", plan.Title)
	for _, m := range plan.Moves {
		line("  %s on %s: %s → %s", m.Service.Name, m.Host, releaseWords(m.From), releaseWords(m.To))
	}
	for _, r := range plan.Risks {
		line("  risk: %s", r)
	}
	line("preflights")
	for _, c := range plan.Checks {
		line("  %s %-4s %s: %s", checkMark(c.State), c.State, c.Name, c.Detail)
	}
	line("steps")
	for i, s := range plan.Steps {
		where := s.Host
		if where == "" {
			where = "here"
		}
		line("  %d. %s (%s)", i+1, s.Name, where)
		line("     %s", strings.Join(s.Argv, " "))
	}
	if plan.Undo != nil {
		line("undo: %s to %s", plan.Undo.Action, plan.Undo.Args["to"])
	}
	if ok, reason := plan.Runnable(); !ok {
		line("cannot be run: %s", reason)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func releaseWords(r fleet.Release) string {
	if r.Tag != "" && r.Digest != "" {
		return r.Tag + " (" + fleet.ShortDigest(r.Digest) + ")"
	}
	return r.Version()
}

func checkMark(s actions.CheckState) string {
	switch s {
	case actions.CheckOK:
		return "✓"
	case actions.CheckWarn:
		return "▲"
	case actions.CheckFail:
		return "✖"
	default:
		return "?"
	}
}

// execute runs a plan and prints its events as they come.
func (a *App) execute(ctx context.Context, c *console.Console, plan *actions.Plan, confirm actions.Confirmation) error {
	if err := planText(a.Stdout, plan); err != nil {
		return &ExitError{Code: ExitRefused, Err: err}
	}
	if need, phrase := c.Runner.Required(plan); need == actions.ConfirmType && confirm.Typed == "" {
		return &ExitError{Code: ExitRefused, Err: fmt.Errorf("nothing was done: %s asks for --confirm %s", plan.Environment, phrase)}
	} else if need == actions.ConfirmY && !confirm.Yes && confirm.Typed == "" {
		return &ExitError{Code: ExitRefused, Err: fmt.Errorf("nothing was done: %s asks for --yes", plan.Environment)}
	}
	if err := a.tellUnfinished(c.Journal, ""); err != nil {
		return err
	}
	events, err := c.Runner.Run(ctx, plan, confirm)
	if err != nil {
		return &ExitError{Code: ExitRefused, Err: err}
	}
	defer context.AfterFunc(ctx, func() {
		_, _ = fmt.Fprintln(a.Stderr, "nexops: stopping: a step that changes something is let finish; interrupt again to leave it, which then nobody watches")
	})()
	outcome, reasons, locked := actions.OutcomeUnknown, []string(nil), false
	for e := range events {
		if text := eventText(e, plan); text != "" {
			_, _ = fmt.Fprintln(a.Stdout, ui.Sanitize(text))
		}
		locked = locked || e.Kind == actions.EventLocked
		if e.Kind == actions.EventEnded {
			outcome, reasons = e.Outcome, e.Reasons
		}
	}
	err = outcomeError(outcome, reasons)
	var exit *ExitError
	if !locked && errors.As(err, &exit) {
		exit.Code = ExitRefused // somebody else holds the lock: nothing began
	}
	return err
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
