// Package console assembles one open environment: its hosts, sources, collector, actions and journal.
package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/notify"
	"github.com/nexgate-hq/nexops/actions/verify"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/config"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// Options say which environment to open, and in what surroundings.
type Options struct {
	Config      *config.Config
	Environment string // "" is the config's default
	Kinds       Kinds
	Remote      remote.Options
	CacheDir    string
	StateDir    string
	Who         string // "ana@laptop"
	Now         func() time.Time
	Log         *slog.Logger
	Redact      *actions.Redactor // learns the secrets of the config as they are read
}

// Console is one open environment. Open does no I/O on the network; Start does.
type Console struct {
	Environment string
	Config      *config.Config
	Collector   *sources.Collector
	Actions     []actions.Action
	Runner      *actions.Runner
	Journal     *actions.Journal
	Who         string

	notifier *notify.Notifier
	pool     *remote.Pool
	redact   *actions.Redactor
	secrets  remote.Options
	log      *slog.Logger
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// Open builds everything and starts nothing.
func Open(o Options) (*Console, error) {
	env, err := chooseEnvironment(o.Config, o.Environment)
	if err != nil {
		return nil, err
	}
	if o.Redact == nil {
		o.Redact = actions.NewRedactor()
	}
	o.Remote.Learned = func(secret string) { o.Redact.Learn(secret) }
	c := &Console{Environment: env, Config: o.Config, Who: o.Who, redact: o.Redact, secrets: o.Remote, log: o.Log}
	c.pool = remote.NewPool(o.Config.Hosts, o.Remote)
	if err := c.build(o); err != nil {
		return nil, errors.Join(err, c.pool.Close())
	}
	return c, nil
}

func (c *Console) build(o Options) error {
	list, err := c.sources(o)
	if err != nil {
		return err
	}
	c.Collector = sources.NewCollector(sources.CollectorOptions{
		Environment: c.Environment, Hosts: c.hosts(), Rules: o.Config.Join.Rules(), Sources: list,
		SourceHosts: observedHosts(list), Now: o.Now, Log: o.Log, Redact: c.redact.Text,
	})
	if c.Journal, err = actions.OpenJournal(filepath.Join(o.StateDir, "journal")); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	watch := verify.DefaultConfig()
	if v, ok := o.Config.Actions[verifyTable].(*verify.Config); ok {
		watch = *v
	}
	rules := policy(o.Config)
	var made []actions.Action
	for _, kind := range o.Kinds.Actions {
		a, err := kind.Build(o.Config.Actions[kind.Name], ActionDeps{
			Environment: c.Environment, Order: o.Config.Env[c.Environment].Order, Config: o.Config, Sources: list, Secret: c.secret, Verify: watch,
			Host: c.pool.Host, CacheDir: o.CacheDir, Who: o.Who, Now: o.Now, Log: o.Log,
		})
		if err != nil {
			return fmt.Errorf("actions.%s: %w", kind.Name, err)
		}
		made = append(made, a)
	}
	lock := actions.NewHostLocker(lockConfig(o.Config), c.pool.Host, o.Log)
	c.Runner = actions.NewRunner(actions.RunnerOptions{
		Policy: rules, Journal: c.Journal, World: world{c.Collector},
		Locker: actions.Lockers{
			actions.NewLocalLocker(filepath.Join(o.StateDir, "locks"), o.Now),
			lock,
		},
		Now: o.Now, Who: o.Who, Redact: c.redact, Log: o.Log, Planner: c.plan,
	})
	if o.Config.Env[c.Environment].ReadOnly {
		made = append(made, actions.NewUnlock(c.Runner, c.Environment))
	}
	guard := &actions.Guard{
		Order: o.Config.Env[c.Environment].Order, Who: o.Who, Now: o.Now, Look: lock.Look,
		Dead: func(plan string) bool { return c.Journal.Dead(o.Now(), plan) },
	}
	for _, a := range made {
		c.Actions = append(c.Actions, warning{makeDiscreet(a, guard, c.redact), rules, watch.For(c.Environment).Rollback}.whole())
	}
	return c.notify(o)
}

// notify makes what passes the journal on.
func (c *Console) notify(o Options) error {
	n := notify.Options{
		Journal: c.Journal, Host: c.pool.Host, Secret: c.secret, Redact: c.redact, Now: o.Now, Log: o.Log,
	}
	for name := range o.Config.Env {
		n.Environments = append(n.Environments, name)
	}
	if cfg, ok := o.Config.Actions[notifyTable].(*notify.Config); ok {
		n.Config = *cfg
	}
	if cfg, ok := o.Config.Actions[journalTable].(*notify.JournalConfig); ok {
		n.Record = *cfg
	}
	var err error
	c.notifier, err = notify.New(n)
	return err //nolint:wrapcheck // it names itself
}

// Troubles says who is not told of what is done, and why.
func (c *Console) Troubles() []string { return c.notifier.Troubles() }

// plan makes the plan of an intent with the action it names.
func (c *Console) plan(ctx context.Context, snap *fleet.Snapshot, intent actions.Intent) (*actions.Plan, error) {
	for _, a := range c.Actions {
		if a.Spec().Name == intent.Action {
			return a.Plan(ctx, snap, intent) //nolint:wrapcheck // its errors name themselves
		}
	}
	return nil, fmt.Errorf("this console has no action %q", intent.Action)
}

// secret reads a secret; the redactor learns it.
func (c *Console) secret(ctx context.Context, s remote.Secret) (string, error) {
	return s.ResolveIn(ctx, c.secrets)
}

// chooseEnvironment is the one asked for, else the config's default, else the only one.
func chooseEnvironment(cfg *config.Config, asked string) (string, error) {
	names := make([]string, 0, len(cfg.Env))
	for name := range cfg.Env {
		names = append(names, name)
	}
	sort.Strings(names)
	switch {
	case asked != "":
		if _, ok := cfg.Env[asked]; !ok {
			return "", fmt.Errorf("no environment %q in %s: there is %s", asked, cfg.Path, strings.Join(names, ", "))
		}
		return asked, nil
	case cfg.DefaultEnv != "":
		return cfg.DefaultEnv, nil
	case len(names) == 1:
		return names[0], nil
	default:
		return "", fmt.Errorf("say which environment with --env: there is %s (default_env in %s makes one the default)", strings.Join(names, ", "), cfg.Path)
	}
}

// hosts are the configured hosts of all environments, so that the join knows where each belongs.
func (c *Console) hosts() []fleet.Host {
	var out []fleet.Host
	for env, e := range c.Config.Env {
		for _, name := range e.Hosts {
			out = append(out, fleet.Host{Name: name, Environment: env, Address: c.Config.Hosts[name].Address})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

func (c *Console) sources(o Options) ([]sources.Source, error) {
	environments := make([]string, 0, len(c.Config.Env))
	for name := range c.Config.Env {
		environments = append(environments, name)
	}
	sort.Strings(environments)
	deps := sources.Deps{
		LockDir:     lockConfig(o.Config).Dir,
		Environment: c.Environment, Environments: environments, Hosts: c.Config.Env[c.Environment].Hosts,
		HostEnvironment: c.hostEnvironment, Actions: c.Config.Actions, Host: c.pool.Host, CacheDir: o.CacheDir, Now: o.Now, Log: o.Log,
		Secret: c.secret, Redact: c.redact.Text,
	}
	var out []sources.Source
	for _, s := range withImplicit(c.Config.Sources, o.Kinds.Sources) {
		kind, ok := o.Kinds.source(s.Kind)
		if !ok {
			return nil, fmt.Errorf("source %s: unknown kind %q", s.Name, s.Kind)
		}
		made, err := kind.Build(s.Name, s.Config, deps)
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", s.Name, err)
		}
		out = append(out, made...)
	}
	return out, nil
}

// withImplicit adds the sources that are there without being named.
func withImplicit(named []config.Source, kinds []sources.Kind) []config.Source {
	out := slices.Clone(named)
	for _, k := range kinds {
		if k.Implicit && !slices.ContainsFunc(named, func(s config.Source) bool { return s.Kind == k.Name }) {
			out = append(out, config.Source{Kind: k.Name, Name: k.Name, Config: k.NewConfig()})
		}
	}
	return out
}

func lockConfig(cfg *config.Config) actions.LockConfig {
	if l, ok := cfg.Actions[lockTable].(*actions.LockConfig); ok {
		return *l
	}
	return actions.DefaultLockConfig()
}

func (c *Console) hostEnvironment(host string) string {
	for name, e := range c.Config.Env {
		if slices.Contains(e.Hosts, host) {
			return name
		}
	}
	return ""
}

func observedHosts(list []sources.Source) func(fleet.SourceID) []string {
	by := map[fleet.SourceID][]string{}
	for _, s := range list {
		if h, ok := s.(sources.HostObserver); ok {
			by[s.ID()] = h.ObservedHosts()
		}
	}
	return func(id fleet.SourceID) []string { return by[id] }
}

func policy(cfg *config.Config) actions.Policy {
	p := actions.Policy{Environments: map[string]actions.EnvironmentPolicy{}}
	for name, e := range cfg.Env {
		p.Environments[name] = actions.EnvironmentPolicy{
			Confirm: e.Confirm, ReadOnly: e.ReadOnly, Actions: e.ConfirmActions, AutoRollback: e.AutoRollback,
		}
	}
	return p
}

// Start lets the collector run until Close.
func (c *Console) Start(ctx context.Context) {
	ctx, c.cancel = context.WithCancel(ctx)
	c.running.Go(func() { c.learnSecrets(ctx) })
	c.notifier.Start(context.WithoutCancel(ctx)) // the last word of an interrupted action is passed on as well
	c.running.Go(func() {
		if err := c.Collector.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			c.log.Error("collector ended", "error", err)
		}
	})
}

// Close ends everything that Start and the actions began, in order.
func (c *Console) Close() error {
	err := c.Runner.Close()
	c.notifier.Close()
	if c.cancel != nil {
		c.cancel()
	}
	c.running.Wait()
	return errors.Join(err, c.pool.Close())
}

// Tail follows the log of a service through every source that can.
func (c *Console) Tail(ctx context.Context, q sources.LogQuery, emit func(fleet.LogLine)) error {
	tailers := sources.Capability[sources.LogTailer](c.tailSources())
	if len(tailers) == 0 {
		return errors.New("no source of this environment can read logs: configure docker or loki")
	}
	discreetly := func(line fleet.LogLine) {
		line.Text = c.redact.Text(line.Text)
		emit(line)
	}
	if err := sources.TailAll(ctx, tailers, q, discreetly); err != nil {
		return fmt.Errorf("logs of %s: %w", q.Service, err)
	}
	return nil
}

// tailSources are the sources that see the containers themselves, where there are any:
// reading the same lines from a log store as well would show each of them twice.
func (c *Console) tailSources() []sources.Source {
	var direct []sources.Source
	for _, s := range c.Collector.Sources() {
		if _, ok := s.(sources.HostObserver); ok {
			direct = append(direct, s)
		}
	}
	if len(direct) > 0 {
		return direct
	}
	return c.Collector.Sources()
}

// Inspect shows the raw record of an instance.
func (c *Console) Inspect(ctx context.Context, in *fleet.Instance) ([]byte, error) {
	var last error
	for _, s := range c.Collector.Sources() {
		i, ok := s.(sources.Inspector)
		if h, hosts := s.(sources.HostObserver); !ok || (hosts && !slices.Contains(h.ObservedHosts(), in.Host)) {
			continue
		}
		out, err := i.Inspect(ctx, in)
		if err == nil {
			return []byte(c.redact.Known(string(out))), nil
		}
		last = err
	}
	if last == nil {
		return nil, fmt.Errorf("no source can inspect %s on %s", in.Name, in.Host)
	}
	return nil, fmt.Errorf("inspect %s on %s: %w", in.Name, in.Host, last)
}

// world is the estate as a running action sees it.
type world struct{ c *sources.Collector }

func (w world) Latest() *fleet.Snapshot { return w.c.Latest() }
func (w world) Poke()                   { w.c.Poke() }
