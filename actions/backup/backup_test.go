package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/actionstest"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote/store"
)

func storesOf(host, path string) map[string]*store.Config {
	return map[string]*store.Config{"ops": {Host: host, Path: path}}
}

func TestBackupContract(t *testing.T) {
	actionstest.Contract(t, func(t *testing.T) actionstest.Case {
		t.Helper()
		s := newStage(t)
		return actionstest.Case{
			Action: New(s.cfg, s.deps()), Snapshot: s.Latest(), Intent: intent(Name), World: s,
			Hosts: []*actionstest.Host{s.host}, State: s.State, Secret: canary,
		}
	})
}

func TestDrillContract(t *testing.T) {
	actionstest.Contract(t, func(t *testing.T) actionstest.Case {
		t.Helper()
		s := newStage(t)
		s.keep("dump", 24*time.Hour, s.dump)
		return actionstest.Case{
			Action: NewDrill(DefaultDrillConfig(), s.cfg, s.deps()), Snapshot: s.Latest(), Intent: intent(DrillName), World: s,
			Hosts: []*actionstest.Host{s.host}, State: s.State, Secret: canary,
		}
	})
}

// keep puts a file of the job into the folder, as if it had been made so long ago.
func (s *stage) keep(ext string, ago time.Duration, content []byte) string {
	s.t.Helper()
	name := store.FileName("ai-db", time.Now().Add(-ago), ext)
	if err := os.MkdirAll(s.folder(), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.folder(), name), content, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// record reads the newest record of the folder.
func (s *stage) record(ext string) (run fleet.BackupRun, drill fleet.BackupDrill) {
	s.t.Helper()
	var newest string
	for _, name := range s.files() {
		if _, e, ok := store.Own("ai-db", name); ok && e == ext {
			newest = max(newest, name)
		}
	}
	b, err := os.ReadFile(filepath.Join(s.folder(), newest))
	if err != nil {
		s.t.Fatal(err)
	}
	if ext == store.DrillExt {
		drill, err = store.DecodeDrill(b)
	} else {
		run, err = store.DecodeRun(b)
	}
	if err != nil {
		s.t.Fatalf("%s: %v: %s", newest, err, b)
	}
	return run, drill
}

func TestBackupIsVerifiedAndOnRecord(t *testing.T) {
	s := newStage(t)
	if _, end := s.run(New(s.cfg, s.deps())); end.Outcome != actions.OutcomeGood {
		t.Fatalf("ended %s %v", end.Outcome, end.Reasons)
	}
	run, _ := s.record(store.RecordExt)
	if run.State != fleet.BackupVerified || run.Size != int64(len(s.dump)) || run.Detail != "pg_restore lists 2 entries" {
		t.Errorf("record %+v", run)
	}
	got, err := os.ReadFile(filepath.Join(s.folder(), run.File))
	if err != nil || !bytes.Equal(got, s.dump) {
		t.Errorf("the backup is not what was dumped: %v", err)
	}
	if files := s.files(); len(files) != 2 {
		t.Errorf("in the folder are %v", files)
	}
}

// What fails leaves no file that could be taken for a backup, and says why beside the others.
func TestFailedRuns(t *testing.T) {
	cases := []struct {
		name  string
		spoil func(s *stage)
		want  string
	}{
		{"pg_dump fails half way", func(s *stage) { s.breaks = "pg_dump: error: query failed" }, "pg_dump: error: query failed"},
		{"nothing comes", func(s *stage) { s.dump = nil }, "the backup is empty"},
		{"the disk is full", func(s *stage) {
			s.host = actionstest.NewHost("ops", refuse(s, "dd", "dd: error writing: No space left on device"))
		}, "No space left on device"},
		{"what is read back is something else", func(s *stage) {
			s.host = actionstest.NewHost("ops", damage(s))
		}, "not verified"},
	}
	for _, tt := range cases {
		s := newStage(t)
		old := s.keep("dump", 400*24*time.Hour, []byte("old"))
		s.cfg.Keep = Keep{Daily: 1}
		tt.spoil(s)
		_, end := s.run(New(s.cfg, s.deps()))
		if end.Outcome != actions.OutcomeFailed || !strings.Contains(strings.Join(end.Reasons, " "), tt.want) {
			t.Errorf("%s: ended %s %v", tt.name, end.Outcome, end.Reasons)
		}
		left := strings.Join(s.files(), " ")
		if strings.Contains(left, store.Partial) && !strings.Contains(left, ".json.partial") || strings.Count(left, ".dump") != 1 || !strings.Contains(left, old) {
			t.Errorf("%s: in the folder are %s", tt.name, left)
		}
		if tt.name == "the disk is full" {
			continue // not even the record can be written
		}
		if run, _ := s.record(store.RecordExt); run.State != fleet.BackupFailed || run.File != "" || !strings.Contains(run.Error, tt.want) {
			t.Errorf("%s: record %+v", tt.name, run)
		}
	}
}

func TestTheFloorStopsABackup(t *testing.T) {
	s := newStage(t)
	s.slow, s.watch = 30*time.Second, 5*time.Millisecond
	p, err := New(s.cfg, s.deps()).Plan(t.Context(), s.Latest(), intent(Name))
	if err != nil {
		t.Fatal(err)
	}
	s.free = 100 // KiB: while it is being written, somebody else fills the disk
	began := time.Now()
	_, end := s.execute(t.Context(), p)
	if why := strings.Join(end.Reasons, " "); end.Outcome != actions.OutcomeFailed || !strings.Contains(why, "only 100K are left") {
		t.Errorf("ended %s %v", end.Outcome, end.Reasons)
	}
	if time.Since(began) > 15*time.Second {
		t.Errorf("it went on for %s", time.Since(began))
	}
	if left := strings.Join(s.files(), " "); strings.Contains(left, ".dump") {
		t.Errorf("left behind: %s", left)
	}
	p, err = New(s.cfg, s.deps()).Plan(t.Context(), s.Latest(), intent(Name))
	if err != nil {
		t.Fatal(err)
	}
	if ok, why := p.Runnable(); ok || !strings.Contains(why, "room") {
		t.Errorf("with a full disk the plan can be run: %s", why)
	}
}

func TestPreflights(t *testing.T) {
	cases := []struct {
		name  string
		spoil func(s *stage)
		want  string
	}{
		{"an older client", func(s *stage) { s.client = "pg_dump (PostgreSQL) 14.9" }, "versions: pg_dump 14.9 is older than the server, 15.14"},
		{"no client", func(s *stage) { s.client = "whatever" }, `pg_dump --version says "whatever"`},
		{"a wrong password", func(s *stage) { s.t.Setenv("CANARY", strings.Repeat("x", len(canary))) }, "password authentication failed"},
		{"a newer client is well", func(s *stage) { s.client = "pg_dump (PostgreSQL) 17.2" }, ""},
	}
	for _, tt := range cases {
		s := newStage(t)
		tt.spoil(s)
		p, err := New(s.cfg, s.deps()).Plan(t.Context(), s.Latest(), intent(Name))
		if err != nil {
			t.Fatal(err)
		}
		if ok, why := p.Runnable(); ok != (tt.want == "") || !strings.Contains(why, tt.want) {
			t.Errorf("%s: %v %q", tt.name, ok, why)
		}
	}
}

// What goes is named in the plan, and goes only after the new one was verified.
func TestRetentionIsShownAndApplied(t *testing.T) {
	s := newStage(t)
	s.cfg.Keep = Keep{Daily: 2}
	old := s.keep("dump", 72*time.Hour, []byte("old"))
	s.keep("json", 72*time.Hour, []byte("{}"))
	kept := s.keep("dump", 24*time.Hour, []byte("old"))
	a := New(s.cfg, s.deps())
	p, err := a.Plan(t.Context(), s.Latest(), intent(Name))
	if err != nil {
		t.Fatal(err)
	}
	if risks := strings.Join(p.Risks, " "); !strings.Contains(risks, old) || strings.Contains(risks, kept) {
		t.Errorf("the plan says %q", risks)
	}
	if _, end := s.execute(t.Context(), p); end.Outcome != actions.OutcomeGood {
		t.Fatalf("ended %s %v", end.Outcome, end.Reasons)
	}
	if left := strings.Join(s.files(), " "); strings.Contains(left, old) || !strings.Contains(left, kept) {
		t.Errorf("left: %s", left)
	}
}

// A backup that is much smaller than usual is no reason to throw older ones away.
func TestAShrunkenBackupRemovesNothing(t *testing.T) {
	s := newStage(t)
	s.cfg.Keep = Keep{Daily: 1}
	job := fleet.BackupJob{Name: "ai-db", Destination: "ops"}
	for i := range 5 {
		name := s.keep("dump", time.Duration(i+1)*24*time.Hour, []byte("old"))
		at, _, _ := store.Own("ai-db", name)
		job.Runs = append(job.Runs, fleet.BackupRun{File: name, Started: at, Size: 1 << 30, State: fleet.BackupVerified})
	}
	s.backups = []fleet.BackupJob{job}
	s.free = 100 << 20
	a := New(s.cfg, s.deps())
	p, err := a.Plan(t.Context(), s.Latest(), intent(Name))
	if err != nil {
		t.Fatal(err)
	}
	shown := job
	shown.Runs = append([]fleet.BackupRun{{Started: p.Made, Size: 1, State: fleet.BackupVerified}}, job.Runs...)
	last := &p.Steps[len(p.Steps)-1]
	do := last.Do
	last.Do = func(ctx context.Context, out func(string, string)) error {
		s.backups = []fleet.BackupJob{shown}
		return do(ctx, out)
	}
	_, end := s.execute(t.Context(), p)
	if end.Outcome != actions.OutcomeDegraded || !strings.Contains(strings.Join(end.Reasons, " "), "usually 1.0G") {
		t.Errorf("ended %s %v", end.Outcome, end.Reasons)
	}
	if n := strings.Count(strings.Join(s.files(), " "), ".dump"); n != 6 {
		t.Errorf("%d backups are left of 6", n)
	}
}

// What a run that was cut off has left is cleared away by the next, and nobody waits for it.
func TestABrokenRunIsClearedAway(t *testing.T) {
	s := newStage(t)
	a := New(s.cfg, s.deps())
	p, err := a.Plan(t.Context(), s.Latest(), intent(Name))
	if err != nil {
		t.Fatal(err)
	}
	s.host.Lose(actionstest.Has("pg_dump", "--format=custom"), false)
	if _, end := s.execute(t.Context(), p); end.Outcome != actions.OutcomeUnknown {
		t.Errorf("ended %s %v", end.Outcome, end.Reasons)
	}
	if left := strings.Join(s.files(), " "); !strings.Contains(left, ".dump.partial") {
		t.Fatalf("left: %s", left)
	}
	s.host = actionstest.NewHost("ops", s.answer)
	if _, end := s.run(a); end.Outcome != actions.OutcomeGood {
		t.Errorf("ended %s %v", end.Outcome, end.Reasons)
	}
	if left := strings.Join(s.files(), " "); strings.Contains(left, store.Partial) {
		t.Errorf("left: %s", left)
	}
}

func TestDrillDropsItsDatabaseWhateverHappens(t *testing.T) {
	cases := []struct {
		name   string
		backup []byte
		spoil  func(s *stage)
		want   actions.Outcome
		good   bool
	}{
		{"all is well", nil, nil, actions.OutcomeGood, true},
		{"it cannot be restored", []byte("rubbish"), nil, actions.OutcomeFailed, false},
		{"the connection is lost", nil, func(s *stage) { s.host.Lose(actionstest.Has("pg_restore", "--exit-on-error"), false) }, actions.OutcomeUnknown, false},
	}
	for _, tt := range cases {
		s := newStage(t)
		content := s.dump
		if tt.backup != nil {
			content = tt.backup
		}
		file := s.keep("dump", 24*time.Hour, content)
		s.databases[prefixOf("prod", "ai-db")+"20200101000000"] = true
		if tt.spoil != nil {
			tt.spoil(s)
		}
		_, end := s.run(NewDrill(DefaultDrillConfig(), s.cfg, s.deps()))
		if end.Outcome != tt.want {
			t.Errorf("%s: ended %s %v", tt.name, end.Outcome, end.Reasons)
		}
		if len(s.databases) != 1 || !s.databases["ai"] {
			t.Errorf("%s: databases %v", tt.name, s.databases)
		}
		_, drill := s.record(store.DrillExt)
		if drill.Good != tt.good || drill.File != file || drill.Good && (drill.Tables != 2 || drill.Rows != 1000) || !drill.Good && drill.Error == "" {
			t.Errorf("%s: record %+v", tt.name, drill)
		}
	}
}

// The names of a job may begin with the name of another one, whose drill may be at work.
func TestADrillDropsNoOtherJobsDatabase(t *testing.T) {
	s := newStage(t)
	s.keep("dump", 24*time.Hour, s.dump)
	others := []string{throwAway("prod", "ai-db-media", time.Now()), throwAway("staging", "ai-db", time.Now()), throwAway("prod", "ai.db", time.Now()), prefixOf("prod", "ai-db") + "notes", prefixOf("prod", "ai-db") + "20200101000000x"}
	for _, name := range others {
		s.databases[name] = true
	}
	if _, end := s.run(NewDrill(DefaultDrillConfig(), s.cfg, s.deps())); end.Outcome != actions.OutcomeGood {
		t.Errorf("ended %s %v", end.Outcome, end.Reasons)
	}
	for _, name := range others {
		if !s.databases[name] {
			t.Errorf("%s was dropped", name)
		}
	}
}

func TestTwoBackupsAtOnce(t *testing.T) {
	s := newStage(t)
	a := New(s.cfg, s.deps())
	p, err := a.Plan(t.Context(), s.Latest(), intent(Name))
	if err != nil {
		t.Fatal(err)
	}
	if got := actions.Phrase(p); got != "ai-db@prod" {
		t.Errorf("to be typed is %q", got)
	}
	if len(p.LockHosts) != 1 || p.LockHosts[0] != "ops" || p.Intent.Targets[0].Service.Name != "ai-db" {
		t.Errorf("locks %v on %v", p.Intent.Targets, p.LockHosts)
	}
}

func TestChoices(t *testing.T) {
	s := newStage(t)
	s.backups = []fleet.BackupJob{{Name: "ai-db", Runs: []fleet.BackupRun{{Started: time.Now().Add(-4 * time.Hour), Size: 1 << 20, State: fleet.BackupVerified}}}}
	c, err := New(s.cfg, s.deps()).(actions.Chooser).Choices(t.Context(), s.Latest(), nil)
	if err != nil || len(c.Rows) != 1 || c.Rows[0].Cells[3] != "4 h ago" || c.Rows[0].Cells[4] != "1.0M" || len(c.Rows[0].Cells) != len(c.Columns) {
		b, _ := json.Marshal(c)
		t.Errorf("%s %v", b, err)
	}
}

// No two jobs have throw-away databases that could be taken for one another's, and each name fits.
func TestNamesOfThrowAwayDatabases(t *testing.T) {
	at := time.Now()
	long := strings.Repeat("x", 62)
	jobs := [][2]string{
		{"prod", "a.b"}, {"prod", "a-b"}, {"prod", "a_b"}, {"staging", "a-b"}, {"prod", "a"}, {"prod", "a-b-c"}, {"prod", long + "1"}, {"prod", long + "2"},
	}
	const kept = 63
	for i, one := range jobs {
		name := throwAway(one[0], one[1], at)
		if len(name) > kept || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			t.Errorf("%v: %q, %d bytes", one, name, len(name))
		}
		for k, other := range jobs {
			if ownDrill(other[0], other[1], name) != (i == k) {
				t.Errorf("%q of %v is taken for one of %v", name, one, other)
			}
		}
	}
}
