package backup

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/lab/real"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/remote/store"
)

const (
	labHost = "prod-1" // has the database
	labOps  = "ops"    // keeps the backups
	labRows = 60_000
	labPath = "/srv/nexops-backups"
)

// labEstate is the lab with a real PostgreSQL on a host and, where asked for, a real S3 server.
type labEstate struct {
	t      *testing.T
	lab    *real.Lab
	db     *real.Database
	s3     *real.S3
	pool   *remote.Pool
	cfg    Config
	redact *actions.Redactor
	dir    string // of the journal
	jobs   []fleet.BackupJob
}

func newLabEstate(t *testing.T) *labEstate {
	t.Helper()
	e := &labEstate{t: t, lab: real.FromEnv(t), cfg: DefaultConfig(), redact: actions.NewRedactor(), dir: filepath.Join(t.TempDir(), "journal")}
	ctx := t.Context()
	t.Cleanup(func() {
		cctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = e.lab.StartSSHD(cctx, labHost)
		_, err := e.lab.SSH(cctx, labOps, "rm", "-rf", labPath)
		if err := errors.Join(err, e.lab.RemoveDatabase(cctx, labHost), e.lab.RemoveS3(cctx)); err != nil {
			t.Error(err)
		}
	})
	var err error
	if e.db, err = e.lab.PutDatabase(ctx, labHost, labRows); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LAB_PGPASSWORD", e.db.Password)
	configs := map[string]remote.Config{}
	for name, h := range e.lab.Hosts {
		configs[name] = remote.Config{
			Address: h.Address, User: "root", IdentityFiles: []string{e.lab.Key}, KnownHosts: []string{e.lab.KnownHosts}, Keepalive: remote.Duration(500 * time.Millisecond),
		}
	}
	e.pool = remote.NewPool(configs, remote.Options{Home: t.TempDir()})
	t.Cleanup(func() {
		if err := e.pool.Close(); err != nil {
			t.Error(err)
		}
	})
	e.cfg.FloorMiB = 1
	e.cfg.Stores = storesOf(labOps, labPath)
	e.cfg.Jobs = map[string]*Job{"ai-db": {
		Kind: KindPostgres, Service: "ai", Environment: "prod", Host: labHost, To: "ops",
		Postgres: &Postgres{Database: e.db.Name, User: e.db.User, Container: e.db.Container, Password: "env:LAB_PGPASSWORD"},
	}}
	return e
}

// bucket makes the S3 server the destination.
func (e *labEstate) bucket() {
	e.t.Helper()
	var err error
	if e.s3, err = e.lab.PutS3(e.t.Context(), "backups", "media"); err != nil {
		e.t.Fatal(err)
	}
	e.t.Setenv("LAB_S3_ACCESS", e.s3.AccessKey)
	e.t.Setenv("LAB_S3_SECRET", e.s3.SecretKey)
	at := func(bucket, prefix string) *store.Config {
		return &store.Config{Endpoint: e.s3.Endpoint, Bucket: bucket, Prefix: prefix, AccessKey: "env:LAB_S3_ACCESS", SecretKey: "env:LAB_S3_SECRET"}
	}
	e.cfg.Stores = map[string]*store.Config{"ops": at("backups", "prod"), "media": at("media", "")}
}

func (e *labEstate) deps() Deps {
	return Deps{Host: e.pool.Host, Watch: 50 * time.Millisecond, Secret: func(ctx context.Context, s remote.Secret) (string, error) {
		v, err := s.Resolve(ctx)
		e.redact.Learn(v)
		return v, err //nolint:wrapcheck // a test's
	}}
}

// Poke and Latest make it a World.
func (e *labEstate) Poke() {}

func (e *labEstate) Latest() *fleet.Snapshot {
	now := time.Now()
	return &fleet.Snapshot{
		Seq: 1, At: now, Environment: "prod", Backups: e.jobs,
		Hosts: []fleet.Host{{Name: labHost, Environment: "prod", Up: true}, {Name: labOps, Up: true}},
		Services: []fleet.Service{{Key: fleet.ServiceKey{Environment: "prod", Name: "ai-postgres"}, Seen: now, Hosts: []string{labHost}, Instances: []*fleet.Instance{
			{ID: "db", Host: labHost, Name: e.db.Container, State: fleet.StateRunning, Release: fleet.Release{Image: "nexgate/postgres"}},
		}}},
	}
}

func (e *labEstate) runner(who string) (*actions.Runner, *actions.Journal) {
	e.t.Helper()
	j, err := actions.OpenJournal(e.dir)
	if err != nil {
		e.t.Fatal(err)
	}
	return actions.NewRunner(actions.RunnerOptions{
		Policy:  actions.Policy{Environments: map[string]actions.EnvironmentPolicy{"prod": {Confirm: actions.ConfirmY}}},
		Journal: j, Locker: actions.NewHostLocker(actions.DefaultLockConfig(), e.pool.Host, nil), World: e, Who: who, Redact: e.redact,
		Timing: actions.Timing{Reread: time.Second, Settle: 20 * time.Millisecond, Lock: 5 * time.Second},
	}), j
}

func (e *labEstate) plan(a actions.Action) *actions.Plan {
	e.t.Helper()
	p, err := a.Plan(e.t.Context(), e.Latest(), intent(a.Spec().Name))
	if err != nil {
		e.t.Fatal(err)
	}
	if ok, why := p.Runnable(); !ok {
		e.t.Fatalf("it cannot be run: %s", why)
	}
	return p
}

// execute runs a plan to its end; during is called with every event.
func (e *labEstate) execute(p *actions.Plan, during func(actions.Event)) actions.Event {
	e.t.Helper()
	r, j := e.runner("ana@laptop")
	ch, err := r.Run(e.t.Context(), p, actions.Confirmation{Yes: true})
	if err != nil {
		e.t.Fatal(err)
	}
	var end actions.Event
	for ev := range ch {
		if ev.Text != "" || ev.Err != "" {
			e.t.Logf("%s %s %s", ev.Kind, ev.Text, ev.Err)
		}
		if during != nil {
			during(ev)
		}
		end = ev
	}
	if err := errors.Join(r.Close(), j.Verify()); err != nil {
		e.t.Error(err)
	}
	return end
}

func (e *labEstate) good(a actions.Action) *actions.Plan {
	e.t.Helper()
	p := e.plan(a)
	if end := e.execute(p, nil); end.Outcome != actions.OutcomeGood {
		e.t.Fatalf("%s ended %s: %v", p.Title, end.Outcome, end.Reasons)
	}
	return p
}

// reachable waits until the console has its connection to a host again: it does not try at every moment.
func (e *labEstate) reachable(name string) {
	e.t.Helper()
	host, err := e.deps().Host(name)
	if err != nil {
		e.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		_, err := host.Run(e.t.Context(), remote.Command{Argv: []string{"hostname"}})
		if err == nil {
			return
		}
		if time.Now().After(end) {
			e.t.Fatalf("%s does not come back: %v", name, err)
		}
	}
}

// ssh runs a command on a host and gives what it prints.
func (e *labEstate) ssh(host string, argv ...string) string {
	e.t.Helper()
	out, err := e.lab.SSH(e.t.Context(), host, argv...)
	if err != nil {
		e.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// place is where the job's backups are.
func (e *labEstate) place() store.Place {
	e.t.Helper()
	p, err := store.Open(*e.cfg.Stores["ops"], "", store.Deps{Host: e.pool.Host})
	if err != nil {
		e.t.Fatal(err)
	}
	return p
}

// held are the names at the destination, and the newest record and drill.
func (e *labEstate) held() (names []string, run fleet.BackupRun, drill fleet.BackupDrill) {
	e.t.Helper()
	list, err := e.place().List(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	for _, o := range list {
		names = append(names, o.Name)
		_, ext, ok := store.Own("ai-db", o.Name)
		if !ok || ext != store.RecordExt && ext != store.DrillExt {
			continue
		}
		b, err := e.place().Get(e.t.Context(), o.Name, store.MaxRecord)
		if err != nil {
			e.t.Fatal(err)
		}
		if ext == store.DrillExt {
			drill, err = store.DecodeDrill(b)
		} else if r, derr := store.DecodeRun(b); derr != nil || r.Started.After(run.Started) {
			run, err = r, derr
		}
		if err != nil {
			e.t.Fatalf("%s: %v: %s", o.Name, err, b)
		}
	}
	return names, run, drill
}

// databases are all that the server has.
func (e *labEstate) databases() string {
	e.t.Helper()
	out, err := e.lab.SQL(e.t.Context(), e.db, "postgres", "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate")
	if err != nil {
		e.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

func (e *labEstate) checkDrill() {
	e.t.Helper()
	e.good(NewDrill(DefaultDrillConfig(), e.cfg, e.deps()))
	_, _, drill := e.held()
	if !drill.Good || drill.Tables != 3 || drill.Rows != labRows+2 {
		e.t.Errorf("drill %+v", drill)
	}
	if got := e.databases(); got != "ai postgres" {
		e.t.Errorf("databases %s", got)
	}
}

func TestLabPostgresToAHost(t *testing.T) {
	e := newLabEstate(t)
	a := New(e.cfg, e.deps())
	e.good(a)
	names, run, _ := e.held()
	if len(names) != 2 || run.State != fleet.BackupVerified || run.Size < 1<<20 || !strings.Contains(run.Detail, "pg_restore lists") {
		t.Errorf("%v %+v", names, run)
	}
	file := labPath + "/" + run.File
	if sum := e.ssh(labOps, "sha256sum", file); !strings.HasPrefix(sum, run.SHA256+" ") {
		t.Errorf("sha256 %s, on record is %s", sum, run.SHA256)
	}
	if mode := e.ssh(labOps, "stat", "-c", "%a", file, labPath); mode != "600\n700" {
		t.Errorf("modes %q", mode)
	}
	e.checkDrill()
	// The password is nowhere on disk: not in the journal, not beside the backups, not in what runs.
	j, err := actions.OpenJournal(e.dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := filepath.Glob(filepath.Join(j.Dir(), "*"))
	if err != nil || len(entries) == 0 {
		t.Fatal(err, entries)
	}
	for _, host := range []string{labOps, labHost} {
		if out, err := e.lab.SSH(t.Context(), host, "grep", "-rl", "--", e.db.Password, labPath, "/tmp"); err == nil {
			t.Errorf("the password is in %s of %s", out, host)
		}
	}
	// Of two days the older one goes, when one day is kept.
	old := store.FileName("ai-db", time.Now().Add(-48*time.Hour), "dump")
	e.ssh(labOps, "touch", labPath+"/"+old)
	e.cfg.Keep = Keep{Daily: 1}
	time.Sleep(time.Until(run.Started.Add(time.Second))) // the names are of whole seconds
	e.good(New(e.cfg, e.deps()))
	if names, _, _ := e.held(); strings.Contains(strings.Join(names, " "), old) || strings.Contains(strings.Join(names, " "), run.File) {
		t.Errorf("not thinned out: %v", names)
	}
}

func TestLabPostgresToS3(t *testing.T) {
	e := newLabEstate(t)
	e.bucket()
	e.good(New(e.cfg, e.deps()))
	names, run, _ := e.held()
	if len(names) != 2 || run.State != fleet.BackupVerified || run.Size < 1<<20 {
		t.Errorf("%v %+v", names, run)
	}
	e.checkDrill()
	// A mirror copies what is new, once.
	for i := range 5 {
		c := e.store("media").Write(fmt.Sprintf("a/photo %d.jpg", i))[0]
		if err := c.Run(t.Context(), strings.NewReader(strings.Repeat("x", 1000*i)), nil); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(1100 * time.Millisecond) // S3's times are of whole seconds
	e.cfg.Jobs["ai-db"] = &Job{Kind: KindS3, Environment: "prod", To: "ops", S3: &S3{From: "media"}}
	p := e.good(New(e.cfg, e.deps()))
	if got := fmt.Sprint(p.Checks); !strings.Contains(got, "5 objects, 9.8K; 5 of them are new") {
		t.Errorf("checks %s", got)
	}
	_, run, _ = e.held()
	if run.State != fleet.BackupVerified || run.Size != 10_000 || run.Detail != "5 objects, all there with the same sizes and tags" {
		t.Errorf("%+v", run)
	}
	if p := e.plan(New(e.cfg, e.deps())); !strings.Contains(fmt.Sprint(p.Checks), "0 of them are new") {
		t.Errorf("copied again: %v", p.Checks)
	}
}

func (e *labEstate) store(name string) store.Place {
	e.t.Helper()
	p, err := store.Open(*e.cfg.Stores[name], "", store.Deps{Host: e.pool.Host})
	if err != nil {
		e.t.Fatal(err)
	}
	return p
}

func TestLabFiles(t *testing.T) {
	e := newLabEstate(t)
	e.cfg.Jobs["ai-db"] = &Job{Kind: KindFiles, Environment: "prod", Host: labHost, To: "ops", Files: &Files{Paths: []string{"/opt/nexgate-infra"}, Exclude: []string{".git"}}}
	e.good(New(e.cfg, e.deps()))
	_, run, _ := e.held()
	listed := e.ssh(labOps, "tar", "-tzf", labPath+"/"+run.File)
	if run.Detail != fmt.Sprintf("tar lists %d entries", len(strings.Split(listed, "\n"))) || strings.Contains(listed, ".git/") || !strings.Contains(listed, "opt/nexgate-infra/services/ai/tag.env") {
		t.Errorf("%s, and in it: %s", run.Detail, listed)
	}
}

func TestLabAnOlderClientIsRefused(t *testing.T) {
	e := newLabEstate(t)
	e.cfg.Jobs["ai-db"].Postgres.Bin = e.db.OldBin
	p, err := New(e.cfg, e.deps()).Plan(t.Context(), e.Latest(), intent(Name))
	if err != nil {
		t.Fatal(err)
	}
	if ok, why := p.Runnable(); ok || !strings.Contains(why, "pg_dump 13.16 is older than the server, 15.") {
		t.Errorf("%v %q", ok, why)
	}
}

// A destination that fills up: what is there stays, and nothing is left that looks like a backup.
func TestLabADestinationThatFillsUp(t *testing.T) {
	e := newLabEstate(t)
	e.ssh(labOps, "mkdir", "-p", labPath)
	e.ssh(labOps, "mount", "-t", "tmpfs", "-o", "size=2m", "tiny", labPath)
	t.Cleanup(func() { _, _ = e.lab.SSH(context.Background(), labOps, "umount", labPath) })
	// The preflight believes the last one, which was small.
	e.jobs = []fleet.BackupJob{{Name: "ai-db", Runs: []fleet.BackupRun{{Started: time.Now().Add(-time.Hour), Size: 1000, State: fleet.BackupVerified}}}}
	end := e.execute(e.plan(New(e.cfg, e.deps())), nil)
	why := strings.Join(end.Reasons, "; ")
	if end.Outcome != actions.OutcomeFailed || !strings.Contains(why, "are left on") && !strings.Contains(why, "No space left on device") {
		t.Errorf("ended %s: %v", end.Outcome, end.Reasons)
	}
	names, run, _ := e.held()
	if len(names) != 1 || run.State != fleet.BackupFailed {
		t.Errorf("%v %+v", names, run)
	}
	e.jobs = nil
	p, err := New(e.cfg, e.deps()).Plan(t.Context(), e.Latest(), intent(Name))
	if err != nil {
		t.Fatal(err)
	}
	if ok, why := p.Runnable(); ok || !strings.Contains(why, "room: ") {
		t.Errorf("planned on a full disk: %q", why)
	}
}

// The connection is cut while pg_dump waits for a lock: nobody knows, nothing is sent twice, the next run clears away.
func TestLabAConnectionCutInTheStream(t *testing.T) {
	e := newLabEstate(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	locked := make(chan struct{})
	go func() {
		defer close(locked)
		_, _ = e.lab.SQL(ctx, e.db, e.db.Name, "BEGIN; LOCK TABLE answers; SELECT pg_sleep(20)")
	}()
	defer func() { <-locked }()
	p := e.plan(New(e.cfg, e.deps()))
	began := time.Now()
	end := e.execute(p, func(ev actions.Event) {
		if ev.Kind == actions.EventStepBegan && p.Steps[ev.Step].Name == "dump" {
			time.Sleep(500 * time.Millisecond)
			if err := e.lab.KillSSHD(t.Context(), labHost); err != nil {
				t.Error(err)
			}
		}
	})
	if end.Outcome != actions.OutcomeUnknown || !strings.Contains(strings.Join(end.Reasons, " "), "dump on prod-1") {
		t.Errorf("ended %s after %s: %v", end.Outcome, time.Since(began), end.Reasons)
	}
	cancel()
	if err := e.lab.StartSSHD(t.Context(), labHost); err != nil {
		t.Fatal(err)
	}
	names, _, _ := e.held()
	if len(names) != 1 || !strings.HasSuffix(names[0], ".dump.partial") {
		t.Errorf("left behind: %v", names)
	}
	e.ssh(labHost, "rm", "-rf", actions.DefaultLockConfig().Dir+"/prod.ai-db")
	e.reachable(labHost)
	e.good(New(e.cfg, e.deps()))
	if names, _, _ := e.held(); len(names) != 2 {
		t.Errorf("after the next run: %v", names)
	}
}

// atOnce runs a plan and, as soon as that has its lock, another one with a second runner. That one has to fail, and to say those words.
func (e *labEstate) atOnce(mine, theirs *actions.Plan, second *actions.Runner, words ...string) (tried bool, end actions.Event) {
	t := e.t
	t.Helper()
	end = e.execute(mine, func(ev actions.Event) {
		if ev.Kind != actions.EventLocked || tried {
			return
		}
		tried = true
		ch, err := second.Run(t.Context(), theirs, actions.Confirmation{Yes: true})
		if err != nil {
			t.Error(err)
			return
		}
		var last actions.Event
		for last = range ch { //nolint:revive // the last one counts
		}
		why := strings.Join(last.Reasons, " ")
		if last.Outcome != actions.OutcomeFailed || slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(why, w) }) {
			t.Errorf("the second ended %s: %v", last.Outcome, last.Reasons)
		}
	})
	return tried, end
}

func TestLabTwoConsolesAtOnce(t *testing.T) {
	e := newLabEstate(t)
	mine, theirs := e.plan(New(e.cfg, e.deps())), e.plan(New(e.cfg, e.deps()))
	second, _ := e.runner("jonas@desk")
	defer func() { _ = second.Close() }()
	tried, end := e.atOnce(mine, theirs, second, "ana@laptop")
	if !tried || end.Outcome != actions.OutcomeGood {
		t.Errorf("the first ended %s: %v", end.Outcome, end.Reasons)
	}
}
