package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/exec"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/console"
	"github.com/nexgate-hq/nexops/ui"
)

// ExitExec is the exit code of "exec" when there is none of the command's own, as ssh has it.
const ExitExec = 255

// execFlags are those of "exec".
type execFlags struct {
	actFlags
	instance string
	tty      bool
	quiet    bool
}

func (a *App) execCommand(f *flags, spec actions.Spec) *cobra.Command {
	var p execFlags
	cmd := &cobra.Command{
		Use: "exec SERVICE [-- COMMAND [ARG]...]", Short: "Open a shell in an instance of a service, or run one command in it",
		Long: `Open a shell in an instance of a service, or run one command in it, over SSH.

Without a COMMAND it needs a terminal, which it gives back intact. With one, input, output and exit
code are the command's own; what nexops has to say goes to the error stream. What is typed and shown
is not recorded; who, where, when, the command and the exit code are.

The policy of the environment decides what has to be said: --yes where it asks for y,
--confirm ai@prod where it asks to type.

Exit codes: the command's own; 255 when there is none, or when the command ended with 0 and the
container is not well afterwards: the error stream says why; 64 wrong usage; 78 wrong config;
130 interrupted before it began.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if n := cmd.ArgsLenAtDash(); n == 1 || n < 0 && len(args) == 1 {
				return nil
			}
			return &ExitError{Code: ExitUsage, Err: errors.New("exec takes a SERVICE, and a COMMAND after --; see nexops exec --help")}
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.exec(cmd.Context(), f, p, spec, args)
		},
	}
	p.register(cmd)
	cmd.Flags().StringVar(&p.instance, exec.ArgInstance, "", spec.Args[0].Help)
	cmd.Flags().BoolVarP(&p.tty, exec.ArgTerminal, "t", false, "the COMMAND gets a terminal")
	cmd.Flags().BoolVarP(&p.quiet, "quiet", "q", false, "do not print the plan")
	return cmd
}

func (p *execFlags) register(cmd *cobra.Command) {
	planFlags(cmd, &p.actFlags, actions.Spec{})
	cmd.Flags().BoolVar(&p.yes, "yes", false, "confirm, where the policy asks for y")
	cmd.Flags().StringVar(&p.confirm, "confirm", "", "confirm by name, e.g. ai@prod, where the policy asks to type")
}

// execCode keeps nexops' own exit codes apart from the command's.
func execCode(err error) error {
	var exit *ExitError
	if errors.As(err, &exit) {
		switch exit.Code {
		case ExitUsage, ExitConfig, ExitInterrupted:
		default:
			exit.Code = ExitExec
		}
	}
	return err
}

func (a *App) exec(ctx context.Context, f *flags, p execFlags, spec actions.Spec, args []string) error {
	code := -1
	t := ui.Terminal{Input: a.Stdin, Output: a.Stdout, Errors: a.Stderr, Environ: a.Environ, Code: &code}
	command, tty := "", ""
	if len(args) > 1 {
		var err error
		if command, err = exec.Argument(args[1:]); err != nil {
			return &ExitError{Code: ExitUsage, Err: err}
		}
	}
	if p.tty {
		tty = "yes"
	}
	if (command == "" || p.tty) && !t.Streams().Screen {
		return &ExitError{Code: ExitUsage, Err: errors.New("input and output are no terminal: give a COMMAND after --, without --tty")}
	}
	p.args = map[string]*string{exec.ArgInstance: &p.instance, exec.ArgCommand: &command, exec.ArgTerminal: &tty}
	var end actions.Event
	err := a.withPlan(ctx, f, p.actFlags, spec, args[:1], func(ctx context.Context, c *console.Console, plan *actions.Plan) error {
		if !p.quiet {
			if err := planText(a.Stderr, plan); err != nil {
				return &ExitError{Code: ExitRefused, Err: err}
			}
		}
		confirm := actions.Confirmation{Yes: p.yes, Typed: p.confirm}
		if err := unconfirmed(c, plan, confirm); err != nil {
			return err
		}
		var err error
		end, err = attend(actions.WithTerminal(ctx, t), c, plan, confirm)
		return err
	})
	if err != nil {
		return execCode(err)
	}
	return ended(code, end, command == "")
}

// attend runs a plan that a person sits at, and gives its end.
func attend(ctx context.Context, c *console.Console, plan *actions.Plan, confirm actions.Confirmation) (actions.Event, error) {
	events, err := c.Runner.Run(ctx, plan, confirm)
	if err != nil {
		return actions.Event{}, &ExitError{Code: ExitRefused, Err: err}
	}
	var end actions.Event
	for e := range events {
		if e.Kind == actions.EventEnded {
			end = e
		}
	}
	return end, nil
}

// ended makes the exit code of how it ended.
func ended(code int, end actions.Event, shell bool) error {
	why := errors.New(string(end.Outcome) + ": " + strings.Join(end.Reasons, "; "))
	switch {
	case code < 0:
		return &ExitError{Code: ExitExec, Err: why}
	case end.Outcome == actions.OutcomeGood && code == 0:
		return nil
	case end.Outcome == actions.OutcomeGood, !shell && end.Outcome == actions.OutcomeFailed:
		return &ExitError{Code: code} // its own, and its own words have been said
	case code == 0:
		return &ExitError{Code: ExitExec, Err: fmt.Errorf("it ended with 0, and then: %w", why)}
	default:
		return &ExitError{Code: code, Err: why}
	}
}
