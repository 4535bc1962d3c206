package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nexgate-hq/nexops/cmd/nexops/internal/config"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/console"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/place"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/ui"
)

// screen opens the full pane.
func (a *App) screen(ctx context.Context, f *flags) error {
	cfg, err := a.load(f)
	if err != nil {
		return err
	}
	return a.show(ctx, f, cfg)
}

func (a *App) show(ctx context.Context, f *flags, cfg *config.Config) error {
	c, done, err := a.openWith(f, cfg)
	if err != nil {
		return err
	}
	defer done()
	snapshots, stop := c.Collector.Subscribe()
	defer stop()
	c.Start(ctx)
	news, told := a.news(ctx, c)
	defer told()
	err = ui.Run(ctx, ui.Options{
		Environment: c.Environment, Version: a.Version, Who: c.Who, Now: a.Now,
		Snapshots: snapshots, Latest: c.Collector.Latest, Poke: func() { c.Collector.Poke() },
		Actions: c.Actions, Runner: c.Runner, Tail: c.Tail, Inspect: c.Inspect,
		Record:   ui.Record{Journal: a.journalLines(c), Undo: a.undoOf(c), News: news},
		Look:     ui.Look{Theme: cfg.UI.Theme, Mouse: cfg.UI.Mouse, UTC: cfg.UI.UTC, LogLines: cfg.UI.LogLines},
		Terminal: ui.Terminal{Input: a.Stdin, Output: a.Stdout, Environ: a.Environ},
	})
	if n := len(c.Runner.Running()); n > 0 {
		_, _ = fmt.Fprintf(a.Stderr, "nexops: stopping %d action(s): a step that changes something is let finish; interrupt twice to leave it, which then nobody watches\n", n)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return &ExitError{Code: 1, Err: err}
	}
	return nil
}

// journalLines gives the screen the newest entries about a service.
func (a *App) journalLines(c *console.Console) func(fleet.ServiceKey) []string {
	return func(key fleet.ServiceKey) []string {
		lines, err := recentEntries(c.Journal, key, 20)
		if err != nil {
			return []string{"journal: " + err.Error()}
		}
		return lines
	}
}

func (a *App) demoCommand(f *flags) *cobra.Command {
	var o DemoOptions
	cmd := &cobra.Command{
		Use: "demo", Short: "Open the console on an estate in memory", Args: cobra.NoArgs,
		Long: `Open the console on an estate in memory: its hosts, engines, metrics, logs and repository
speak the real protocols on loopback, and actions work in it. Nothing outside is touched.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withDemo(cmd.Context(), o, func(ctx context.Context, d Demo) error {
				df := *f
				df.config, df.demo = d.ConfigPath(), true
				if df.env == "" {
					df.env = "prod"
				}
				return a.screen(ctx, &df)
			})
		},
	}
	serve := &cobra.Command{
		Use: "serve", Short: "Run the estate without the screen; the first line printed is the path of its config", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withDemo(cmd.Context(), o, func(ctx context.Context, d Demo) error {
				_, _ = fmt.Fprintf(a.Stdout, "%s\n", d.ConfigPath())
				_, _ = fmt.Fprintf(a.Stdout, "Open it with: nexops --config %s --env prod\nIt runs until it is interrupted.\n", d.ConfigPath())
				<-ctx.Done()
				return nil
			})
		},
	}
	cmd.PersistentFlags().StringVar(&o.Incident, "incident", "", "what goes wrong in it: bad-deploy (default), crash-loop, host-down, quiet")
	cmd.PersistentFlags().Uint64Var(&o.Seed, "seed", 1, "the same seed gives the same estate")
	cmd.AddCommand(serve)
	return cmd
}

// withDemo runs f on an estate in memory and takes it down after.
func (a *App) withDemo(ctx context.Context, o DemoOptions, f func(context.Context, Demo) error) error {
	d, err := a.Demo(ctx, o)
	if err != nil {
		return &ExitError{Code: 1, Err: fmt.Errorf("demo: %w", err)}
	}
	err = f(ctx, d)
	if closeErr := d.Close(); err == nil && closeErr != nil {
		err = &ExitError{Code: 1, Err: fmt.Errorf("demo: %w", closeErr)}
	}
	return err
}

func (a *App) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(a.Stdout, "nexops "+a.Version)
			if err != nil {
				return fmt.Errorf("print: %w", err)
			}
			return nil
		},
	}
}

// counted is "1 host", "2 hosts".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (a *App) configCommand(f *flags) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check the config file, or say where it is"}
	cmd.AddCommand(&cobra.Command{
		Use: "check", Short: "Print every mistake in the config at once", Args: cobra.NoArgs,
		Long: "Print every mistake in the config at once, each with file, line and column.\n\nExit codes: 0 none; 78 some.",
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.load(f)
			if err != nil {
				return err
			}
			_, _ = fmt.Fprintf(a.Stdout, "%s: no mistakes; %s, %s, %s\n", cfg.Path,
				counted(len(cfg.Env), "environment"), counted(len(cfg.Hosts), "host"), counted(len(cfg.Sources), "source"))
			return nil
		},
	}, &cobra.Command{
		Use: "path", Short: "Print which config file is used", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path, err := a.place().Config(f.config)
			if errors.Is(err, place.ErrNoConfig) {
				return &ExitError{Code: ExitConfig, Err: fmt.Errorf("no config file: write %s/config.toml", a.place().ConfigFolder())}
			}
			if err != nil {
				return &ExitError{Code: ExitConfig, Err: err}
			}
			_, _ = fmt.Fprintln(a.Stdout, path)
			return nil
		},
	})
	return cmd
}

// completeEnvironments completes --env from the config.
func (a *App) completeEnvironments(root *cobra.Command, f *flags) {
	_ = root.RegisterFlagCompletionFunc("env", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		cfg, err := a.load(f)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []cobra.Completion
		for name := range cfg.Env {
			out = append(out, name)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	})
}
