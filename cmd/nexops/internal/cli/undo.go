package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/console"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/ui"
)

// undoOf reads the way back for the screen.
func (a *App) undoOf(c *console.Console) func(plan string, key fleet.ServiceKey) (*actions.Undoable, error) {
	return func(plan string, key fleet.ServiceKey) (*actions.Undoable, error) {
		if plan != "" {
			return c.Journal.UndoPlan(a.Now(), plan, c.Who)
		}
		return c.Journal.Undo(a.Now(), key, c.Who)
	}
}

// undoCommand puts back the last action on a service, as the journal has it.
func (a *App) undoCommand(f *flags) *cobra.Command {
	var p actFlags
	cmd := &cobra.Command{
		Use: "undo SERVICE", Short: "Put back what was last done to a service from this user's consoles",
		Long: `Put back what was last done to a service, as the journal of this user has it: also after a
restart of nexops, and what another console of the same user did. It is planned, confirmed and
watched like any other action.

Exit codes: 0 good; 1 refused, nothing was done; 2 degraded; 3 failed or cancelled;
4 unknown; 64 wrong usage; 78 wrong config; 130 interrupted before it began.`,
		Args: exactArgs(1, "a SERVICE"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUndo(cmd.Context(), f, p, args[0], func(ctx context.Context, c *console.Console, plan *actions.Plan) error {
				return a.execute(ctx, c, plan, actions.Confirmation{Yes: p.yes, Typed: p.confirm})
			})
		},
	}
	cmd.Flags().DurationVar(&p.timeout, "timeout", 15*time.Second, "how long to wait for the sources' first answers")
	confirmFlags(cmd, &p, "ai@prod")
	return cmd
}

// undoPlanCommand is "plan undo".
func (a *App) undoPlanCommand(f *flags) *cobra.Command {
	var p actFlags
	cmd := &cobra.Command{
		Use: "undo SERVICE", Short: "Print how the last action on a service would be put back",
		Args: exactArgs(1, "a SERVICE"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withUndo(cmd.Context(), f, p, args[0], func(_ context.Context, _ *console.Console, plan *actions.Plan) error {
				return a.printPlan(plan, p.output)
			})
		},
	}
	cmd.Flags().DurationVar(&p.timeout, "timeout", 15*time.Second, "how long to wait for the sources' first answers")
	outputFlag(cmd, &p.output)
	return cmd
}

// withUndo plans the way back from the last action on a service.
func (a *App) withUndo(ctx context.Context, f *flags, p actFlags, service string, then func(context.Context, *console.Console, *actions.Plan) error) error {
	return a.withWish(ctx, f, p.timeout, func(c *console.Console, snap *fleet.Snapshot) (actions.Intent, error) {
		svc, err := findService(snap, service)
		if err != nil {
			return actions.Intent{}, err
		}
		u, err := c.Journal.Undo(a.Now(), svc.Key, c.Who)
		if err != nil {
			return actions.Intent{}, &ExitError{Code: ExitRefused, Err: fmt.Errorf("undo %s: %w", svc.Key, err)}
		}
		_, _ = fmt.Fprintln(a.Stderr, "nexops: "+ui.Sanitize("undoing "+u.Words()))
		return u.Intent, nil
	}, then)
}
