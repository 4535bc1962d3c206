package backups

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/remote/store"
	"github.com/nexgate-hq/nexops/sources"
	"github.com/nexgate-hq/nexops/sources/sourcestest"
)

var now = time.Date(2026, 11, 25, 14, 0, 0, 0, time.UTC)

// yard is a folder of backups on this machine.
type yard struct {
	t   *testing.T
	dir string
}

func newYard(t *testing.T) *yard {
	t.Helper()
	return &yard{t, t.TempDir()}
}

func (y *yard) put(name, content string) {
	y.t.Helper()
	if err := os.WriteFile(filepath.Join(y.dir, name), []byte(content), 0o600); err != nil {
		y.t.Fatal(err)
	}
}

// run puts a backup and its record; change spoils the record.
func (y *yard) run(at time.Time, content string, change func(*store.Record)) string {
	y.t.Helper()
	name := store.FileName("ai-db", at, "dump")
	y.put(name, content)
	r := store.Record{V: 1, Job: "ai-db", File: name, Started: at, Ended: at.Add(time.Minute), Size: int64(len(content)), Verified: "lists 3 entries"}
	if change != nil {
		change(&r)
	}
	b, err := store.Encode(r)
	if err != nil {
		y.t.Fatal(err)
	}
	y.put(store.FileName("ai-db", at, "json"), string(b))
	return name
}

// counting is this machine, counting the commands.
type counting struct {
	remote.Host
	mu  sync.Mutex
	ran []string
	err error
}

func (c *counting) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	c.mu.Lock()
	c.ran = append(c.ran, cmd.Argv[0])
	c.mu.Unlock()
	if c.err != nil {
		return remote.Result{}, c.err
	}
	return c.Host.Run(ctx, cmd) //nolint:wrapcheck // a test's
}

func (c *counting) Dial(context.Context, string, string) (net.Conn, error) { return nil, c.err }

func (y *yard) source(c *counting, spots ...store.Spot) sources.Source {
	y.t.Helper()
	if len(spots) == 0 {
		spots = []store.Spot{{Job: fleet.BackupJob{Name: "ai-db", Subject: fleet.Subject{Service: "ai"}, Kind: "postgres", Every: 24 * time.Hour}}}
	}
	for i := range spots {
		spots[i].Store, spots[i].Place = "ops", store.Config{Host: "ops", Path: y.dir}
	}
	s, err := New("backups", "ops", time.Minute, spots, sources.Deps{Now: time.Now, Host: func(string) (remote.Host, error) { return c, nil }})
	if err != nil {
		y.t.Fatal(err)
	}
	return s
}

func machine() *counting { return &counting{Host: remote.Local("ops")} }

func (y *yard) observe(s sources.Source) fleet.Facts {
	y.t.Helper()
	f, err := s.Observe(y.t.Context())
	if err != nil {
		y.t.Fatal(err)
	}
	return f
}

func TestContract(t *testing.T) {
	sourcestest.Contract(t, func(t *testing.T) sources.Source {
		t.Helper()
		y := newYard(t)
		y.run(now, "dump", nil)
		return y.source(machine())
	}, func(t *testing.T) sources.Source {
		t.Helper()
		return newYard(t).source(&counting{Host: remote.Local("ops"), err: errors.New("ssh ops: no route")})
	}, func(t *testing.T) sources.Source {
		t.Helper()
		y := newYard(t)
		y.put("file", "")
		y.dir = filepath.Join(y.dir, "file", "below")
		return y.source(machine())
	})
}

func TestOwnBackups(t *testing.T) {
	y := newYard(t)
	newest := y.run(now, "dump", nil)
	y.run(now.Add(-24*time.Hour), "dump", func(r *store.Record) { r.Size = 400 })
	y.run(now.Add(-48*time.Hour), "dump", func(r *store.Record) { r.File, r.Size, r.Verified, r.Error = "", 0, "", "pg_dump: no" })
	lone := store.FileName("ai-db", now.Add(-72*time.Hour), "dump")
	y.put(lone, "dump")
	y.put(store.FileName("ai-db", now.Add(-96*time.Hour), "json"), "{broken\x1b")
	y.put(store.FileName("ai-db", now.Add(time.Hour), "dump.partial"), "half")
	gone := y.run(now.Add(-5*24*time.Hour), "dump", nil)
	if err := os.Remove(filepath.Join(y.dir, gone)); err != nil {
		t.Fatal(err)
	}
	y.put(store.FileName("ai-db", now.Add(-time.Hour), "drill.json"), `{"v":1,"started":"2026-11-13T14:00:00Z","seconds":3.5,"tables":4,"rows":12,"good":true}`)
	f := y.observe(y.source(machine()))
	if len(f.Backups) != 1 {
		t.Fatalf("%+v", f)
	}
	j := f.Backups[0]
	var got []string
	for _, r := range j.Runs {
		got = append(got, r.Started.Format("02 ")+string(r.State))
	}
	// What failed on the 23rd left its file in this test: it stands for itself, unverified.
	want := "25 verified,24 unverified,23 failed,23 unverified,22 unverified"
	if strings.Join(got, ",") != want || j.Runs[0].File != newest {
		t.Errorf("runs %q, not %q", strings.Join(got, ","), want)
	}
	if j.Runs[1].Size != 4 || !strings.Contains(j.Runs[1].Detail, "its record says 400 bytes") {
		t.Errorf("%+v", j.Runs[1])
	}
	if j.Drill == nil || !j.Drill.Good || j.Drill.Rows != 12 || j.Drill.Took != 3500*time.Millisecond {
		t.Errorf("drill %+v", j.Drill)
	}
	if len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "no record") || j.Destination != "ops:"+y.dir {
		t.Errorf("warnings %q, destination %q", f.Warnings, j.Destination)
	}
}

// A record is read once: what a poll costs does not grow with the years.
// Many failures and drills after the last good backup: it is there still, and verified.
func TestOldRecordsOfFilesAreRead(t *testing.T) {
	y := newYard(t)
	good := y.run(now.Add(-90*time.Hour), "dump", nil)
	for i := range maxRecords + 5 {
		at := now.Add(-time.Duration(i) * time.Hour)
		name := y.run(at, "", func(r *store.Record) { r.File, r.Size, r.Verified, r.Error = "", 0, "", "pg_dump: no" })
		if err := os.Remove(filepath.Join(y.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	j := y.observe(y.source(machine())).Backups[0]
	if last, ok := j.LastVerified(); !ok || last.File != good {
		t.Errorf("the last one that is whole: %+v of %d runs", last, len(j.Runs))
	}
}

func TestRecordsAreReadOnce(t *testing.T) {
	y, c := newYard(t), machine()
	for i := range 50 {
		y.run(now.Add(-time.Duration(i)*24*time.Hour), "dump", nil)
	}
	s := y.source(c)
	y.observe(s)
	if len(c.ran) != 1+50 {
		t.Errorf("%d commands at first", len(c.ran))
	}
	c.ran = nil
	if f := y.observe(s); len(f.Backups[0].Runs) != 50 {
		t.Errorf("%d runs", len(f.Backups[0].Runs))
	}
	if len(c.ran) != 1 {
		t.Errorf("then %v", c.ran)
	}
}

func TestForeignFolder(t *testing.T) {
	y := newYard(t)
	y.put("ganymede_20261125-0300.sql.gz", "12345")
	y.put("ganymede_20261124-0300.sql.gz", "123")
	y.put("ganymede_20261124-0300.sql.gz.tmp", "123")
	y.put("README", "")
	f := y.observe(y.source(machine(), store.Spot{Job: fleet.BackupJob{Name: "ganymede", Kind: fleet.BackupFolder}, Pattern: "ganymede_{date:20060102-1504}.sql.gz", Zone: "Europe/Berlin"}))
	j := f.Backups[0]
	if len(j.Runs) != 2 || !j.Runs[0].Started.Equal(time.Date(2026, 11, 25, 2, 0, 0, 0, time.UTC)) || j.Runs[0].Size != 5 || j.Runs[0].State != fleet.BackupUnverified {
		t.Errorf("%+v", j.Runs)
	}
}

type keeper []store.Spot

func (k keeper) BackupSpots() []store.Spot { return k }

func TestBuild(t *testing.T) {
	spot := func(name, env, host, in string) store.Spot {
		return store.Spot{Job: fleet.BackupJob{Name: name, Subject: fleet.Subject{Environment: env}}, Host: host, Store: in, Place: store.Config{Path: "/b"}}
	}
	cfg := NewConfig()
	cfg.Folders = map[string]*Folder{"old": {Config: store.Config{Host: "prod-1", Path: "/b"}, Pattern: "{date:20060102}"}}
	if errs := cfg.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	deps := sources.Deps{
		Environment: "prod", Host: func(string) (remote.Host, error) { return machine(), nil },
		HostEnvironment: func(h string) string { return map[string]string{"prod-1": "prod", "stage": "staging"}[h] },
		Actions:         map[string]any{"backup": keeper{spot("a", "", "stage", "ops"), spot("b", "", "prod-1", "ops"), spot("c", "prod", "", "s3"), spot("d", "staging", "", "s3")}},
	}
	list, err := Kind().Build("backups", cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, s := range list {
		ids = append(ids, string(s.ID()))
	}
	if strings.Join(ids, " ") != "backups/ops backups/prod-1 backups/s3" {
		t.Errorf("sources %v", ids)
	}
	bad := &Config{Folders: map[string]*Folder{"x": {Zone: "Moon", Pattern: "x"}}}
	if errs := bad.Validate(); len(errs) != 4 {
		t.Errorf("mistakes %v", errs)
	}
}
