// Package cli is the command line: flags, subcommands and exit codes.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/config"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/console"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/place"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/ui"
)

// The exit codes that every command shares.
const (
	ExitOK     = 0
	ExitUsage  = 64 // the command line is wrong
	ExitConfig = 78 // the config is wrong or missing

	ExitInterrupted = 130 // Ctrl-C, before anything was known or done
)

// ExitError ends the program with a code of its own. Err may be nil: then nothing is printed.
type ExitError struct {
	Code int
	Err  error
}

// Error is the text of what went wrong.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap gives what went wrong.
func (e *ExitError) Unwrap() error { return e.Err }

// App is the program's surroundings, passed in once by main.
type App struct {
	Version string
	Kinds   console.Kinds
	// Demo starts the estate in memory.
	Demo func(ctx context.Context, o DemoOptions) (Demo, error)
	// Local is the source that opens when there is no config.
	Local func(getenv func(string) string) config.Source

	Getenv         func(string) string
	Environ        []string
	Home           string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Now            func() time.Time
}

// Demo is a running estate in memory.
type Demo interface {
	ConfigPath() string
	Close() error
}

// DemoOptions say which estate in memory to start.
type DemoOptions struct {
	Incident string
	Seed     uint64
}

// flags are those of every command.
type flags struct {
	config   string
	env      string
	logLevel string
	demo     bool // what is done in the demo has a journal of its own
}

// Main runs the program and gives its exit code.
func (a *App) Main(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitOK
	}
	var exit *ExitError
	if !errors.As(err, &exit) {
		exit = &ExitError{Code: ExitUsage, Err: err}
	}
	if exit.Err != nil {
		for line := range strings.Lines(exit.Err.Error()) {
			_, _ = fmt.Fprintln(a.Stderr, "nexops: "+ui.Sanitize(strings.TrimRight(line, "\n")))
		}
	}
	return exit.Code
}

func (a *App) root() *cobra.Command {
	f := &flags{}
	root := &cobra.Command{
		Use:   "nexops",
		Short: "The console that on-call engineers open first",
		Long: `nexops joins in one terminal pane what should be running (git), what is running
(Docker), how well it runs (Prometheus, Loki) and what changed, and puts it back
with one key and a safe plan.

Without a config file it opens on this machine's Docker Engine.`,
		SilenceUsage: true, SilenceErrors: true, Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.screen(cmd.Context(), f) },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &ExitError{Code: ExitUsage, Err: fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.SuggestionsMinimumDistance = 2
	p := root.PersistentFlags()
	p.StringVar(&f.config, "config", "", "config file (default: $NEXOPS_CONFIG, then nexops/config.toml in the XDG config folder)")
	p.StringVarP(&f.env, "env", "e", "", "environment to open (default: default_env of the config)")
	p.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error; the log is nexops.log in the XDG state folder")
	root.AddCommand(
		a.statusCommand(f), a.logsCommand(f), a.planCommand(f), a.journalCommand(f),
		a.configCommand(f), a.demoCommand(f), a.versionCommand(),
	)
	root.AddCommand(append(a.actCommands(f), a.undoCommand(f))...)
	a.completeEnvironments(root, f)
	return root
}

// noSuchCommand is what is said of a word that is none, with the nearest one: cobra's own says it in lines of its own.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	near := cmd.SuggestionsFor(args[0])
	if len(near) == 0 {
		return fmt.Errorf("unknown command %q; see %s --help", args[0], cmd.CommandPath())
	}
	return fmt.Errorf("unknown command %q; did you mean %s? see %s --help", args[0], strings.Join(near, " or "), cmd.CommandPath())
}

// stateDir is where the journal and the locks are. Those of the demo are apart: its "prod" is not the real one.
func (a *App) stateDir(f *flags) string {
	if f.demo {
		return filepath.Join(a.place().State(), "demo")
	}
	return a.place().State()
}

func (a *App) place() place.Env { return place.Env{Getenv: a.Getenv, Home: a.Home} }

// load reads the config; without any it is the local Docker Engine.
func (a *App) load(f *flags) (*config.Config, error) {
	path, err := a.place().Config(f.config)
	if errors.Is(err, place.ErrNoConfig) {
		return console.LocalConfig(a.Kinds, a.Local(a.Getenv)), nil
	}
	if err != nil {
		return nil, &ExitError{Code: ExitConfig, Err: err}
	}
	text, err := os.ReadFile(path) //nolint:gosec // the user names the file
	if err != nil {
		return nil, &ExitError{Code: ExitConfig, Err: fmt.Errorf("config: %w", err)}
	}
	cfg, err := config.Load(path, text, a.Kinds.Config())
	if err != nil {
		return nil, &ExitError{Code: ExitConfig, Err: err}
	}
	return cfg, nil
}

// open loads the config and assembles the environment that the flags name.
func (a *App) open(f *flags) (*console.Console, func(), error) {
	cfg, err := a.load(f)
	if err != nil {
		return nil, nil, err
	}
	return a.openWith(f, cfg)
}

func (a *App) openWith(f *flags, cfg *config.Config) (*console.Console, func(), error) {
	if err := a.place().Own(); err != nil {
		return nil, nil, &ExitError{Code: ExitConfig, Err: err}
	}
	redact := actions.NewRedactor()
	log, closeLog, err := a.openLog(f.logLevel, redact)
	if err != nil {
		return nil, nil, err
	}
	opts := remote.ProcessOptions()
	opts.Home, opts.Log = a.Home, log
	opts.LookupEnv = func(name string) (string, bool) { v := a.Getenv(name); return v, v != "" }
	c, err := console.Open(console.Options{
		Config: cfg, Environment: f.env, Kinds: a.Kinds, Remote: opts, Now: a.Now, Log: log, Who: who(),
		CacheDir: a.place().Cache(), StateDir: a.stateDir(f), Redact: redact,
	})
	if err != nil {
		closeLog()
		return nil, nil, &ExitError{Code: ExitConfig, Err: err}
	}
	return c, func() {
		if err := c.Close(); err != nil {
			log.Warn("close", "error", err)
		}
		for _, text := range c.Troubles() {
			_, _ = fmt.Fprintln(a.Stderr, "nexops: "+ui.Sanitize(text))
		}
		closeLog()
	}, nil
}

// who is the person at this console, for locks and the journal.
func who() string {
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	if sudo := os.Getenv("SUDO_USER"); sudo != "" && sudo != name {
		name = sudo + "(" + name + ")"
	}
	return strings.TrimSpace(name) + "@" + host
}
