package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/remote/store"
)

// DrillName is the drill's name in the config, on the command line and in the journal.
const DrillName = "drill"

// DrillConfig is [actions.drill]. Which database and where its backups are [actions.backup] says.
type DrillConfig struct {
	// Tolerance is how many fewer tables or rows than the live database a good restore may have, as a ratio: the backup is older.
	Tolerance float64         `toml:"tolerance"`
	Timeout   remote.Duration `toml:"timeout"` // of the restore
}

// DefaultDrillConfig is what an empty [actions.drill] means.
func DefaultDrillConfig() DrillConfig {
	return DrillConfig{Tolerance: 0.2, Timeout: remote.Duration(6 * time.Hour)}
}

// Validate gives every mistake at once.
func (c *DrillConfig) Validate() []error {
	var errs []error
	if c.Tolerance < 0 || c.Tolerance >= 1 {
		errs = append(errs, errors.New("tolerance: 0 or more, and less than 1"))
	}
	if c.Timeout.Std() < time.Minute {
		errs = append(errs, errors.New("timeout: 1m or more"))
	}
	return errs
}

type drill struct {
	action
	drill DrillConfig
}

var (
	_ actions.Action  = (*drill)(nil)
	_ actions.Chooser = (*drill)(nil)
)

// NewDrill makes the action that restores the jobs of a config. It does no I/O.
func NewDrill(cfg DrillConfig, jobs Config, deps Deps) actions.Action {
	return &drill{action: action{cfg: jobs, deps: deps.orDefaults()}, drill: cfg}
}

// Spec describes the action.
func (d *drill) Spec() actions.Spec {
	return actions.Spec{
		Name: DrillName, Key: "V", Title: "restore drill", Risk: actions.RiskHigh, Scope: actions.ScopeEnvironment, Quiet: true,
		Help: "Restores the newest backup of a database into a throw-away one beside it, counts what is in it, and drops it.",
		Args: []actions.Arg{{Name: ArgJob, Help: "which postgres job of [actions.backup.jobs]", Required: true}},
	}
}

// databases are the jobs that can be restored, by name.
func (d *drill) databases(environment string) []string {
	var out []string
	for _, name := range d.jobs(environment) {
		if d.cfg.Jobs[name].Kind == KindPostgres {
			out = append(out, name)
		}
	}
	return out
}

// restorable says why a job cannot be restored now.
func (d *drill) restorable(snap *fleet.Snapshot, name string) error {
	if err := d.possible(snap, name); err != nil {
		return err
	}
	if j, ok := find(snap, name); ok {
		if _, ok := j.LastGood(); !ok {
			return errors.New("there is no backup yet")
		}
	}
	return nil
}

// Offer says whether any database can be restored, by the snapshot alone.
func (d *drill) Offer(snap *fleet.Snapshot, _ []fleet.Ref) actions.Offer {
	return d.offer(snap, "restore in a drill", d.databases(snap.Environment), d.restorable)
}

// Choices are the databases of the environment.
func (d *drill) Choices(_ context.Context, snap *fleet.Snapshot, _ []fleet.Ref) (actions.Choices, error) {
	return d.choices(snap, "restore the newest backup of which job, in a drill?", d.databases(snap.Environment), d.restorable)
}

// Plan preflights one drill.
func (d *drill) Plan(ctx context.Context, snap *fleet.Snapshot, intent actions.Intent) (*actions.Plan, error) {
	name, err := choose(d.databases(snap.Environment), intent)
	if err == nil {
		err = d.restorable(snap, name)
	}
	if err != nil {
		return nil, fmt.Errorf("drill: %w", err)
	}
	w, err := d.newWork(snap, name, intent)
	if err != nil {
		return nil, fmt.Errorf("drill %s: %w", name, err)
	}
	r := &rehearsal{work: w, cfg: d.drill, database: throwAway(snap.Environment, name, w.made)}
	return r.plan(ctx)
}

// rehearsal is one drill, from its plan to its end.
type rehearsal struct {
	*work
	cfg      DrillConfig
	database string // the throw-away one
	backup   fleet.BackupRun
	left     []string // throw-away databases of drills that were cut off
	began    time.Time
	got      counts
	live     counts
	counted  bool
	problem  string // why it is not good
}

// counts are what a database holds.
type counts struct {
	tables int
	rows   int64
}

func (c counts) String() string { return fmt.Sprintf("%d tables, %d rows", c.tables, c.rows) }

// prefixOf begins the names of a job's throw-away databases: "nexops_drill_ai_db_4f1e0a2b9c3d_". What is no letter or digit
// is _, and PostgreSQL keeps 63 bytes, so the beginning is only for people: the sum of job and environment is its own.
func prefixOf(environment, job string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, job)
	const longest, sumBytes = 20, 6
	sum := sha256.Sum256([]byte(environment + "\x00" + job))
	return "nexops_drill_" + clean[:min(len(clean), longest)] + "_" + hex.EncodeToString(sum[:sumBytes]) + "_"
}

// ownDrill reports whether a database is a throw-away one of a job: another one's drill may be at work.
func ownDrill(environment, job, database string) bool {
	stamp, ok := strings.CutPrefix(database, prefixOf(environment, job))
	_, err := time.Parse(drillStamp, stamp)
	return ok && err == nil
}

const drillStamp = "20060102150405"

func throwAway(environment, job string, at time.Time) string {
	return prefixOf(environment, job) + at.UTC().Format(drillStamp)
}

// countSQL counts what is there: in the throw-away database each row, in the live one what the statistics say.
const (
	ofTables = ` FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'`
	exactSQL = `SELECT count(*) || ' ' || coalesce(sum((xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %I.%I', n.nspname, c.relname), false, true, '')))[1]::text::bigint), 0)` + ofTables
	roughSQL = `SELECT count(*) || ' ' || coalesce(sum(pg_stat_get_live_tuples(c.oid)), 0)::bigint` + ofTables
)

func readCounts(out string) (counts, error) {
	tables, rows, _ := strings.Cut(strings.TrimSpace(out), " ")
	var c counts
	var err, rerr error
	c.tables, err = strconv.Atoi(tables)
	c.rows, rerr = strconv.ParseInt(rows, 10, 64)
	if err != nil || rerr != nil || c.tables < 0 || c.rows < 0 {
		return c, fmt.Errorf("psql counts %q", remote.Clean(out))
	}
	return c, nil
}

// plan asks server and destination, and puts the plan together.
func (r *rehearsal) plan(ctx context.Context) (*actions.Plan, error) {
	r.findBackup(ctx)
	r.checkServer(ctx)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("drill %s: not asked to the end: %w", r.name, err)
	}
	p := r.newPlan(fmt.Sprintf("restore drill of %s on %s into %s", r.name, r.snap.Environment, r.at))
	p.Intent.Action = DrillName
	p.Checks = r.checks
	p.Risks = []string{
		fmt.Sprintf("the database server of %s works for the restore beside its own load, and holds %s twice meanwhile", r.name, r.job.Postgres.name()),
		"the throw-away database " + r.database + " is dropped at the end, whatever happens",
	}
	if len(r.left) > 0 {
		p.Risks = append(p.Risks, "drops what a drill that was cut off has left: "+strings.Join(r.left, ", "))
	}
	if ok, _ := p.Runnable(); ok {
		p.Steps = r.steps()
		r.lock(p)
	}
	p.Verify = r.verify
	return p, nil
}

// findBackup takes the newest verified backup that is at the destination, else the newest.
func (r *rehearsal) findBackup(ctx context.Context) {
	const name = "backup"
	list, err := r.place.List(ctx)
	if err != nil {
		r.check(actions.CheckFail, name, "%v", err)
		return
	}
	for _, o := range list {
		at, ext, ok := store.Own(r.work.name, o.Name)
		if !ok || ext != "dump" || o.Size == 0 || at.Before(r.backup.Started) {
			continue
		}
		r.backup = fleet.BackupRun{File: o.Name, Started: at, Size: o.Size, State: fleet.BackupUnverified}
	}
	if r.backup.File == "" {
		r.check(actions.CheckFail, name, "%s holds no backup of %s: make one first", r.place, r.work.name)
		return
	}
	state := actions.CheckWarn
	record, err := r.place.Get(ctx, store.FileName(r.work.name, r.backup.Started, store.RecordExt), store.MaxRecord)
	if err == nil {
		if run, err := store.DecodeRun(record); err == nil && run.File == r.backup.File {
			r.backup = run
			state = actions.CheckOK
		}
	}
	r.check(state, name, "%s, %s, %s old, %s", r.backup.File, fleet.Bytes(float64(r.backup.Size)), fleet.Ago(r.made.Sub(r.backup.Started)), r.backup.State)
}

// checkServer asks whether the server can take a second database of this size.
func (r *rehearsal) checkServer(ctx context.Context) {
	pg := r.job.Postgres
	v, err := readVersions(ctx, pg, r.at)
	if err != nil {
		r.check(actions.CheckFail, "database", "%s: %v", r.at, err)
		return
	}
	r.check(actions.CheckOK, "database", "%s on %s, server %s, %s", pg.name(), r.at, v.serverText, fleet.Bytes(float64(v.size)))
	r.checkDisk(ctx, v.size)
	out, err := r.at.read(ctx, nil, pg.psql("", "SELECT datname FROM pg_database WHERE starts_with(datname, '"+prefixOf(r.snap.Environment, r.work.name)+"') ORDER BY 1")...)
	if err != nil {
		r.check(actions.CheckFail, "throw-away database", "%v", err)
		return
	}
	for _, name := range strings.Fields(out) {
		if ownDrill(r.snap.Environment, r.work.name, name) {
			r.left = append(r.left, name)
		}
	}
	r.check(actions.CheckOK, "throw-away database", "%s", r.database)
}

// restoreFactor is how much larger than the live database its restore may be for a while: indexes are built, and the log grows.
const restoreFactor = 1.5

func (r *rehearsal) checkDisk(ctx context.Context, size int64) {
	const name = "room for a second one"
	dir, err := r.at.read(ctx, nil, r.job.Postgres.psql("", "SELECT current_setting('data_directory')")...)
	if err != nil {
		r.check(actions.CheckFail, name, "the server does not say where its data is: %v", err)
		return
	}
	out, err := r.at.plain().read(ctx, nil, "df", "-Pk", "--", dir)
	var free int64
	if err == nil {
		free, err = store.ParseFree([]byte(out))
	}
	need := int64(float64(size) * restoreFactor)
	switch {
	case err != nil:
		r.check(actions.CheckFail, name, "%s: %v", remote.Clean(dir), err)
	case free-need < r.floor():
		r.check(actions.CheckFail, name, "%s are free in %s of %s, %s are needed and %s always stay free: make room first",
			fleet.Bytes(float64(free)), remote.Clean(dir), r.at, fleet.Bytes(float64(need)), fleet.Bytes(float64(r.floor())))
	default:
		r.check(actions.CheckOK, name, "%s are free, %s are needed", fleet.Bytes(float64(free)), fleet.Bytes(float64(need)))
	}
}
