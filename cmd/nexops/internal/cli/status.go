package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nexgate-hq/nexops/cmd/nexops/internal/console"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/schema"
	"github.com/nexgate-hq/nexops/fleet"
)

// The exit codes of "nexops status".
const (
	ExitAttention = 1 // something needs attention
	ExitBlind     = 2 // nothing was found, but not everything could be seen
)

func (a *App) statusCommand(f *flags) *cobra.Command {
	var output string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "status", Short: "Print one joined snapshot of an environment", Args: cobra.NoArgs,
		Long: `Print one joined snapshot of an environment.

Exit codes: 0 nothing needs attention; 1 something does; 2 nothing was found, but not
everything could be seen; 64 wrong usage; 78 wrong config; 130 interrupted.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, err := parseFormat(output)
			if err != nil {
				return err
			}
			return a.status(cmd.Context(), f, format, timeout)
		},
	}
	outputFlag(cmd, &output)
	cmd.Flags().DurationVar(&timeout, "timeout", 15*time.Second, "how long to wait for the sources' first answers")
	return cmd
}

func outputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", string(schema.FormatTable), "table, json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(schema.Formats(), cobra.ShellCompDirectiveNoFileComp))
}

func parseFormat(s string) (schema.Format, error) {
	if !slices.Contains(schema.Formats(), s) {
		return "", &ExitError{Code: ExitUsage, Err: fmt.Errorf("--output %q: it is %s", s, strings.Join(schema.Formats(), ", "))}
	}
	return schema.Format(s), nil
}

func (a *App) status(ctx context.Context, f *flags, format schema.Format, timeout time.Duration) error {
	c, done, err := a.open(f)
	if err != nil {
		return err
	}
	defer done()
	snap, err := firstSnapshot(ctx, c, timeout)
	if err != nil {
		return err
	}
	doc := schema.MakeStatus(snap)
	if format == schema.FormatTable {
		err = statusTable(a.Stdout, snap)
	} else {
		err = schema.Write(a.Stdout, format, doc)
	}
	if err != nil {
		return &ExitError{Code: ExitUsage, Err: err}
	}
	switch doc.Verdict {
	case schema.VerdictAttention:
		return &ExitError{Code: ExitAttention}
	case schema.VerdictBlind:
		return &ExitError{Code: ExitBlind}
	case schema.VerdictOK:
	}
	return nil
}

// firstSnapshot starts the console and waits until every source has answered or
// failed once, at most for the time given. It gives what is known then. It is an error
// when the person did not want to wait.
func firstSnapshot(ctx context.Context, c *console.Console, timeout time.Duration) (*fleet.Snapshot, error) {
	c.Start(ctx)
	wait, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// Too late is no error here: the snapshot itself says which source has not answered.
	_ = c.Collector.WaitFirst(wait)
	return c.Collector.Latest(), interrupted(ctx)
}

// interrupted is an error when the person, or the system, has asked the program to end.
func interrupted(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return &ExitError{Code: ExitInterrupted, Err: errors.New("interrupted: nothing was done")}
}
