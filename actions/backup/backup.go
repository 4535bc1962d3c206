package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/remote/store"
)

// Name is the action's name in the config, on the command line and in the journal.
const Name = "backup"

// ArgJob is the argument that says which job.
const ArgJob = "job"

// Deps is what the actions may use of the program around them.
type Deps struct {
	// Host gives the connection to a host by config name.
	Host func(name string) (remote.Host, error)
	// HostEnvironment says which environment a host is of; "" when unknown.
	HostEnvironment func(host string) string
	// Secret reads a secret, so that the program around knows what must not be shown.
	Secret func(ctx context.Context, s remote.Secret) (string, error)
	Now    func() time.Time
	Log    *slog.Logger
	Watch  time.Duration // how often the room is looked at while a backup is written; 0 is 5 s
	Seen   time.Duration // how long a verification waits until the sources see the backup; 0 is 20 s
}

func (d Deps) orDefaults() Deps {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.HostEnvironment == nil {
		d.HostEnvironment = func(string) string { return "" }
	}
	if d.Secret == nil {
		d.Secret = func(ctx context.Context, s remote.Secret) (string, error) { return s.Resolve(ctx) }
	}
	if d.Watch <= 0 {
		d.Watch = watchEvery
	}
	if d.Seen <= 0 {
		d.Seen = 20 * time.Second
	}
	return d
}

type action struct {
	cfg  Config
	deps Deps
}

var (
	_ actions.Action  = (*action)(nil)
	_ actions.Chooser = (*action)(nil)
)

// New makes the action. It does no I/O.
func New(cfg Config, deps Deps) actions.Action {
	return &action{cfg: cfg, deps: deps.orDefaults()}
}

// Spec describes the action.
func (a *action) Spec() actions.Spec {
	return actions.Spec{
		Name: Name, Key: "B", Title: "back up", Risk: actions.RiskLow, Scope: actions.ScopeEnvironment,
		Help: "Makes a backup, reads it back to verify it, and then removes those that are no longer kept.",
		Args: []actions.Arg{{Name: ArgJob, Help: "which of [actions.backup.jobs]", Required: true}},
	}
}

// jobs are those of an environment, by name.
func (a *action) jobs(environment string) []string {
	var out []string
	for _, name := range sortedKeys(a.cfg.Jobs) {
		env := a.cfg.Jobs[name].Environment
		if env == "" {
			env = a.deps.HostEnvironment(a.cfg.Jobs[name].Host)
		}
		if environment != "" && (env == "" || env == environment) {
			out = append(out, name)
		}
	}
	return out
}

var errNoJobs = errors.New("no job of this environment is configured: write [actions.backup.jobs.NAME]")

// Offer says whether any job can be planned, by the snapshot alone.
func (a *action) Offer(snap *fleet.Snapshot, _ []fleet.Ref) actions.Offer {
	return a.offer(snap, "back up", a.jobs(snap.Environment), a.possible)
}

func (a *action) offer(snap *fleet.Snapshot, verb string, names []string, possible func(*fleet.Snapshot, string) error) actions.Offer {
	if len(names) == 0 {
		return actions.Offer{Reason: errNoJobs.Error()}
	}
	var can []string
	var why error
	for _, name := range names {
		if err := possible(snap, name); err == nil {
			can = append(can, name)
		} else if why == nil {
			why = fmt.Errorf("%s: %w", name, err)
		}
	}
	switch len(can) {
	case 0:
		return actions.Offer{Reason: why.Error()}
	case 1:
		return actions.Offer{Enabled: true, Title: verb + " " + can[0]}
	default:
		return actions.Offer{Enabled: true, Title: fmt.Sprintf("%s one of %d jobs", verb, len(can))}
	}
}

// possible says why a job cannot be planned now.
func (a *action) possible(snap *fleet.Snapshot, name string) error {
	j := a.cfg.Jobs[name]
	host := j.Host
	if j.Kind == KindPostgres && j.Postgres.Container != "-" {
		in, svc, err := findContainer(snap, j)
		if err != nil {
			return err
		}
		if age := snap.At.Sub(svc.Seen); svc.Stale || svc.Seen.IsZero() || age > a.cfg.MaxAge.Std() {
			return fmt.Errorf("the facts about %s are too old (%s, %s are allowed)", in.Host, fleet.Ago(age), fleet.Ago(a.cfg.MaxAge.Std()))
		}
		host = in.Host
	}
	for _, h := range snap.Hosts {
		if h.Name == host && !h.Up {
			return fmt.Errorf("%s cannot be seen: %s", host, remote.Clean(h.Error))
		}
	}
	return nil
}

// Choices are the jobs of the environment.
func (a *action) Choices(_ context.Context, snap *fleet.Snapshot, _ []fleet.Ref) (actions.Choices, error) {
	return a.choices(snap, "back up which job?", a.jobs(snap.Environment), a.possible)
}

func (a *action) choices(snap *fleet.Snapshot, title string, names []string, possible func(*fleet.Snapshot, string) error) (actions.Choices, error) {
	c := actions.Choices{Title: title, Arg: ArgJob, Columns: []string{"job", "service", "kind", "last good", "size", "drill"}}
	for _, name := range names {
		j := a.cfg.Jobs[name]
		row := actions.Choice{Value: name, Cells: []string{name, orDash(j.Service), j.Kind, "-", "-", "-"}}
		if seen, ok := find(snap, name); ok {
			if run, ok := seen.LastGood(); ok {
				row.Cells[3] = fleet.Ago(snap.At.Sub(run.Started)) + " ago"
				row.Cells[4] = fleet.Bytes(float64(run.Size))
			} else {
				row.Cells[3] = "never"
			}
			if d := seen.Drill; d != nil {
				row.Cells[5] = fleet.Ago(snap.At.Sub(d.At)) + " ago"
			}
		}
		if err := possible(snap, name); err != nil {
			row.Reason = err.Error()
		}
		c.Rows = append(c.Rows, row)
	}
	if len(c.Rows) == 0 {
		return c, errNoJobs
	}
	return c, nil
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// find gives what the sources know of a job.
func find(snap *fleet.Snapshot, name string) (*fleet.BackupJob, bool) {
	for i := range snap.Backups {
		if snap.Backups[i].Name == name {
			return &snap.Backups[i], true
		}
	}
	return nil, false
}

// choose gives the job of an intent.
func choose(names []string, intent actions.Intent) (string, error) {
	name := intent.Args[ArgJob]
	for _, n := range names {
		if n == name || name == "" && len(names) == 1 {
			return n, nil
		}
	}
	switch {
	case len(names) == 0:
		return "", errNoJobs
	case name == "":
		return "", fmt.Errorf("say which job: %s", orNone(names))
	default:
		return "", fmt.Errorf("no job %q in this environment: there is %s", remote.Clean(name), orNone(names))
	}
}

// Plan preflights one run of a job.
func (a *action) Plan(ctx context.Context, snap *fleet.Snapshot, intent actions.Intent) (*actions.Plan, error) {
	name, err := choose(a.jobs(snap.Environment), intent)
	if err == nil {
		err = a.possible(snap, name)
	}
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	w, err := a.newWork(snap, name, intent)
	if err != nil {
		return nil, fmt.Errorf("backup %s: %w", name, err)
	}
	if w.job.Kind == KindS3 {
		return w.planMirror(ctx)
	}
	return w.plan(ctx)
}

// site is where the programs of a job run.
func (a *action) site(snap *fleet.Snapshot, j *Job) (*site, []actions.Basis, error) {
	at := &site{host: remote.Local(""), name: j.Host}
	var bases []actions.Basis
	if j.Kind == KindPostgres {
		if j.Postgres.Password != "" {
			at.secret = func(ctx context.Context) (string, error) { return a.deps.Secret(ctx, j.Postgres.Password) }
		}
		if j.Postgres.Container != "-" {
			in, _, err := findContainer(snap, j)
			if err != nil {
				return nil, nil, err
			}
			at.name, at.prefix = in.Host, []string{"docker", "exec", "-i", in.Name}
			bases = append(bases, containerBasis(j, in))
		}
	}
	if at.name != "" {
		h, err := a.deps.Host(at.name)
		if err != nil {
			return nil, nil, fmt.Errorf("host %s: %w", at.name, err)
		}
		at.host = h
	}
	return at, bases, nil
}

// containerBasis holds a plan to the very container it was made for.
func containerBasis(j *Job, in *fleet.Instance) actions.Basis {
	now := func(snap *fleet.Snapshot) string {
		found, _, err := findContainer(snap, j)
		if err != nil {
			return ""
		}
		return found.Name + " " + fleet.ShortDigest(found.ID)
	}
	return actions.Basis{What: "its database runs in", Value: in.Name + " " + fleet.ShortDigest(in.ID), Now: now}
}

// newestBasis holds a plan to the backups that were there: what is removed was decided on them.
func newestBasis(name string, snap *fleet.Snapshot) actions.Basis {
	now := func(snap *fleet.Snapshot) string {
		j, ok := find(snap, name)
		if !ok {
			return ""
		}
		if run, ok := j.LastGood(); ok {
			return run.Started.Format(store.Stamp)
		}
		return "none"
	}
	return actions.Basis{What: "the newest backup of " + name + " is of", Value: now(snap), Now: now}
}
