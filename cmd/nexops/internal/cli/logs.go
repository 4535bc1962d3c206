package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
	"github.com/nexgate-hq/nexops/ui"
)

type logsFlags struct {
	follow bool
	tail   int
	since  time.Duration
	raw    bool
	wait   time.Duration
}

func (a *App) logsCommand(f *flags) *cobra.Command {
	var l logsFlags
	cmd := &cobra.Command{
		Use: "logs SERVICE", Short: "Print or follow the log of a service, all its instances merged by time",
		Long: `Print or follow the log of a service, all its instances merged by time.

Control characters in the lines are made visible, so that a log can never drive the terminal.
Exit codes: 0 fine; 1 the log could not be read; 64 wrong usage or no such service;
78 wrong config; 130 interrupted before the service was found.`,
		Args: exactArgs(1, "SERVICE"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error { return a.logs(cmd.Context(), f, l, args[0]) },
	}
	cmd.Flags().BoolVarP(&l.follow, "follow", "f", false, "go on with new lines, across restarts and re-creations")
	cmd.Flags().IntVarP(&l.tail, "tail", "n", 200, "lines of history")
	cmd.Flags().DurationVar(&l.since, "since", 0, "history of that long instead, e.g. 10m")
	cmd.Flags().BoolVar(&l.raw, "no-prefix", false, "only the lines, without time and instance")
	cmd.Flags().DurationVar(&l.wait, "timeout", 15*time.Second, "how long to wait for the sources' first answers")
	return cmd
}

func exactArgs(n int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return &ExitError{Code: ExitUsage, Err: fmt.Errorf("%s takes %s; see %s --help", cmd.CommandPath(), names, cmd.CommandPath())}
		}
		return nil
	}
}

// someArgs wants at least one.
func someArgs(names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return &ExitError{Code: ExitUsage, Err: fmt.Errorf("%s takes %s; see %s --help", cmd.CommandPath(), names, cmd.CommandPath())}
		}
		return nil
	}
}

func (a *App) logs(ctx context.Context, f *flags, l logsFlags, name string) error {
	c, done, err := a.open(f)
	if err != nil {
		return err
	}
	defer done()
	snap, err := firstSnapshot(ctx, c, l.wait)
	if err != nil {
		return err
	}
	svc, err := findService(snap, name)
	if err != nil {
		return err
	}
	q := sources.LogQuery{Service: svc.Key, Subjects: svc.Subjects(), Tail: l.tail, Follow: l.follow}
	if l.since > 0 {
		q.Since, q.Tail = a.Now().Add(-l.since), 0
	}
	w := bufio.NewWriter(a.Stdout)
	err = c.Tail(ctx, q, func(line fleet.LogLine) {
		_, _ = w.WriteString(logText(line, l.raw))
		if l.follow {
			_ = w.Flush()
		}
	})
	if flushErr := w.Flush(); err == nil {
		err = flushErr
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return &ExitError{Code: 1, Err: err}
	}
	return nil
}

func logText(line fleet.LogLine, bare bool) string {
	text := ui.Sanitize(line.Text)
	if bare {
		return text + "\n"
	}
	name := ui.Sanitize(line.Instance)
	if name == "" {
		name = line.Stream
	}
	return line.At.UTC().Format("2006-01-02T15:04:05.000Z") + " " + name + " " + text + "\n"
}

// findService finds a row by name, and says the nearest ones otherwise.
func findService(snap *fleet.Snapshot, name string) (*fleet.Service, error) {
	name, _, _ = strings.Cut(name, "@"+snap.Environment)
	if svc, ok := snap.Find(fleet.ServiceKey{Environment: snap.Environment, Name: name}); ok {
		return svc, nil
	}
	var all []string
	for i := range snap.Services {
		all = append(all, snap.Services[i].Key.Name)
	}
	text := fmt.Sprintf("no service %q in %s", name, snap.Environment)
	if len(all) > 0 {
		text += ": there is " + strings.Join(all, ", ")
	}
	for _, s := range snap.Sources {
		if s.State != fleet.SourceOK {
			text += fmt.Sprintf("\n%s %s: %s", s.ID, s.State, s.Error)
		}
	}
	return nil, &ExitError{Code: ExitUsage, Err: errors.New(text)}
}
