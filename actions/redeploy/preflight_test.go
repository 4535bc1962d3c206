package redeploy

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// TestMorePreflights: disk, dependencies, migrations, backups and holds. A check that is looked for has a state and words;
// "" says that there must be none of that name.
func TestMorePreflights(t *testing.T) {
	migrations := func(on string) func(*stage, *fleet.Snapshot) {
		return func(s *stage, snap *fleet.Snapshot) {
			s.cfg.Migrations.Paths, s.cfg.Migrations.On = []string{"services/{service}/migrations"}, on
			h := s.hosts[0]
			before := s.git(h.dir, "rev-parse", "HEAD")
			s.somebodyPushes("services/ai/migrations/0042_drop.sql", "DROP TABLE x;\n", "ai: drop x")
			s.git(h.dir, "pull", "-q")
			rel := snap.Services[0].Releases
			rel.History[0].Commit, rel.History[1].Commit = s.git(h.dir, "rev-parse", "HEAD"), before
			snap.Services[0].Releases.Desired, snap.Services[0].Releases.Previous = rel.History[0], rel.History[1]
		}
	}
	backup := func(age time.Duration) fleet.BackupJob {
		return fleet.BackupJob{Name: "ai-db", Subject: fleet.Subject{Environment: "prod", Service: "ai"}, Every: 24 * time.Hour, Runs: []fleet.BackupRun{
			{Started: time.Now().Add(-age - 30*time.Second), Size: 1, State: fleet.BackupVerified},
		}}
	}
	tests := []struct {
		name   string
		change func(*stage, *fleet.Snapshot)
		why    string
		state  actions.CheckState
		want   string
	}{
		{"room", func(s *stage, _ *fleet.Snapshot) { s.hosts[0].root = "/" }, "", actions.CheckOK, "disk on prod-1: "},
		{"little room, nothing pulled", func(s *stage, _ *fleet.Snapshot) {
			s.hosts[0].root, s.cfg.MinFreeMiB = "/", 1<<20
		}, "", actions.CheckWarn, "1.0T needed: nothing is pulled"},
		{"no room to pull", func(s *stage, _ *fleet.Snapshot) {
			s.hosts[0].root, s.cfg.MinFreeMiB = "/", 1<<20
			delete(s.hosts[0].images, "0.4.1")
		}, "", actions.CheckFail, "make room first"},
		{"df is gone", func(s *stage, _ *fleet.Snapshot) { s.hosts[0].root = "/nowhere/at-all" }, "", actions.CheckWarn, "how much is free is not known"},
		{"a dependency is missing", func(s *stage, _ *fleet.Snapshot) { s.hosts[0].depends = []string{"redis"} }, "", actions.CheckWarn, "redis is not there"},
		{"a dependency is well", func(s *stage, snap *fleet.Snapshot) {
			s.hosts[0].depends = []string{"nginx"}
			snap.Services = append(snap.Services, s.nginx(snap.At))
		}, "", actions.CheckOK, "nginx well"},
		{"a dependency is ill", func(s *stage, snap *fleet.Snapshot) {
			s.hosts[0].depends = []string{"nginx"}
			svc := s.nginx(snap.At)
			svc.Instances[0].Health = fleet.HealthUnhealthy
			snap.Services = append(snap.Services, svc)
		}, "", actions.CheckWarn, "nginx is unhealthy"},
		{"migrations are said", migrations(MigrationsWarn), "", actions.CheckWarn, "1 between 0.4.2 and 0.4.1, which stay as they are in the database: services/ai/migrations/0042_drop.sql"},
		{"migrations want a reason", migrations(MigrationsWhy), "", actions.CheckFail, "--why"},
		{"migrations with a reason", func(s *stage, snap *fleet.Snapshot) {
			migrations(MigrationsWhy)(s, snap)
			snap.Backups = []fleet.BackupJob{backup(10 * time.Minute)}
		}, "the column is not read any more", actions.CheckWarn, "1 between"},
		{"migrations with a reason and an old backup", func(s *stage, snap *fleet.Snapshot) {
			migrations(MigrationsWhy)(s, snap)
			snap.Backups = []fleet.BackupJob{backup(5 * time.Hour)}
		}, "because", actions.CheckFail, "the last good backup ai-db is 5 h old, 1 h are allowed: make one first"},
		{"migrations are forbidden", migrations(MigrationsFail), "because", actions.CheckFail, "forbids it"},
		{"no migrations", func(s *stage, snap *fleet.Snapshot) {
			migrations(MigrationsFail)(s, snap)
			s.cfg.Migrations.Paths = []string{"elsewhere"}
		}, "", actions.CheckOK, "none between"},
		{"commits that are not known", func(s *stage, _ *fleet.Snapshot) { s.cfg.Migrations.Paths = []string{"x"} }, "", actions.CheckWarn, "not known"},
		{"a backup", func(_ *stage, snap *fleet.Snapshot) { snap.Backups = []fleet.BackupJob{backup(2 * time.Hour)} }, "", actions.CheckOK, "backup ai-db: the last good one is 2 h old, verified"},
		{"a backup that is late", func(_ *stage, snap *fleet.Snapshot) { snap.Backups = []fleet.BackupJob{backup(31 * time.Hour)} }, "", actions.CheckWarn, "one was due 7 h ago"},
		{"held", func(_ *stage, snap *fleet.Snapshot) {
			snap.Services[0].Hold = &fleet.Hold{Owner: "bo@desk", Reason: "release freeze", Until: snap.At.Add(time.Hour)}
		}, "", actions.CheckWarn, "release freeze"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStage(t, compose.HomeGit, "prod-1")
			snap := s.Latest()
			tt.change(s, snap)
			in := s.intent("0.4.1")
			in.Why = tt.why
			p, err := s.action().Plan(context.Background(), snap, in)
			if err != nil {
				t.Fatal(err)
			}
			var all []string
			found := false
			for _, c := range p.Checks {
				line := string(c.State) + " " + c.Name + ": " + c.Detail
				all = append(all, line)
				found = found || (c.State == tt.state && strings.Contains(line, tt.want))
			}
			if !found {
				t.Errorf("no check is %s and says %q:\n%s", tt.state, tt.want, strings.Join(all, "\n"))
			}
			if ok, reason := p.Runnable(); ok == (tt.state == actions.CheckFail) {
				t.Errorf("runnable %v %s", ok, reason)
			}
		})
	}
	if errs := (Migrations{On: "maybe", Repo: "x", Backup: remote.Duration(-1)}).validate(); len(errs) != 3 {
		t.Errorf("mistakes: %v", errs)
	}
}
