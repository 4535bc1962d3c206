package fleet

import (
	"strings"
	"testing"
	"time"
)

// runs are verified backups of 1.1 GB, one a day, the newest so old.
func dailyRuns(newest time.Duration, n int) []BackupRun {
	var out []BackupRun
	for i := range n {
		at := ago(newest + time.Duration(i)*24*time.Hour)
		out = append(out, BackupRun{File: at.Format("20060102") + ".dump", Started: at, Ended: at.Add(time.Minute), Size: 1181116006, State: BackupVerified})
	}
	return out
}

func job(change func(*BackupJob)) BackupJob {
	j := BackupJob{
		Name: "ai-db", Subject: Subject{Environment: "prod", Service: "ai"}, Kind: "postgres",
		Destination: "ops:/srv/backups", Every: 24 * time.Hour, Runs: dailyRuns(4*time.Hour, 9),
	}
	if change != nil {
		change(&j)
	}
	return j
}

func backups(jobs ...BackupJob) Report {
	return Report{Status: status("backups/ops"), Facts: Facts{Backups: jobs}}
}

func TestBackupReasons(t *testing.T) {
	cases := []struct {
		name   string
		change func(*BackupJob)
		want   string // every reason's text
	}{
		{"well", nil, ""},
		{"inside the grace", func(j *BackupJob) { j.Runs = dailyRuns(26*time.Hour, 9) }, ""},
		{"stale", func(j *BackupJob) { j.Runs = dailyRuns(31*time.Hour, 9) }, "backup 31 h old, expected 24 h"},
		{"its own grace", func(j *BackupJob) { j.Runs, j.Grace = dailyRuns(31*time.Hour, 9), 8*time.Hour }, ""},
		{"very stale", func(j *BackupJob) { j.Runs = dailyRuns(100*time.Hour, 9) }, "backup 4 d 4 h old, expected 24 h"},
		{"no schedule", func(j *BackupJob) { j.Runs, j.Every = dailyRuns(100*time.Hour, 9), 0 }, ""},
		{"shrunken", func(j *BackupJob) { j.Runs[0].Size = 12 << 20 }, "backup 12M, usually 1.1G"},
		{"too few to say", func(j *BackupJob) { j.Runs = j.Runs[:2]; j.Runs[0].Size = 1 }, ""},
		{"one odd one in the past", func(j *BackupJob) { j.Runs[3].Size = 12 }, ""},
		{"unverified", func(j *BackupJob) { j.Runs[0].State = BackupUnverified }, "backup of 4 h ago not verified"},
		{"failed after a good one", func(j *BackupJob) {
			j.Runs = append([]BackupRun{{Started: ago(time.Hour), State: BackupFailed, Error: "pg_dump: no space"}}, j.Runs...)
		}, "backup failed 1 h ago: pg_dump: no space"},
		{"never", func(j *BackupJob) { j.Runs = nil }, "never backed up to ops:/srv/backups"},
		{"an empty file is none", func(j *BackupJob) { j.Runs = j.Runs[:1]; j.Runs[0].Size = 0 }, "never backed up to ops:/srv/backups"},
		{"drill failed", func(j *BackupJob) { j.Drill = &BackupDrill{At: ago(48 * time.Hour), Error: "pg_restore: bad"} }, "restore drill failed 2 d ago: pg_restore: bad"},
		{"drill overdue", func(j *BackupJob) {
			j.Drill, j.DrillEvery = &BackupDrill{At: ago(40 * 24 * time.Hour), Good: true}, 30*24*time.Hour
		}, "last restore drill 40 d ago, expected every 30 d"},
		{"no drill", func(j *BackupJob) { j.DrillEvery = 30 * 24 * time.Hour }, "backup never restored in a drill"},
	}
	for _, tt := range cases {
		s := Join(prod(docker("prod-1", instance("prod-1", "ai", "0.4.2")), backups(job(tt.change))))
		var got []string
		for _, r := range service(t, s, "ai").Reasons {
			got = append(got, r.Text)
		}
		if strings.Join(got, "; ") != tt.want {
			t.Errorf("%s: %q, not %q", tt.name, strings.Join(got, "; "), tt.want)
		}
	}
}

func TestBackupsFindTheirService(t *testing.T) {
	alias := prod(docker("prod-1", instance("prod-1", "ai", "0.4.2")),
		backups(job(func(j *BackupJob) { j.Subject.Service = "nexgate-ai" }),
			job(func(j *BackupJob) { j.Name, j.Subject.Service = "vault", "" }),
			job(func(j *BackupJob) { j.Name, j.Subject.Environment = "staging-db", "staging" })))
	alias.Rules.Aliases = map[string]string{"nexgate-ai": "ai"}
	s := Join(alias)
	if got := s.BackupsOf(ServiceKey{"prod", "ai"}); len(got) != 1 || got[0].Name != "ai-db" || got[0].Source != "backups/ops" || got[0].Seen.IsZero() {
		t.Errorf("of ai: %+v", got)
	}
	if len(s.Backups) != 2 || s.Backups[1].Name != "vault" {
		t.Errorf("of the environment: %+v", s.Backups)
	}
	if due := s.Backups[0].Due(); !due.Equal(ago(4 * time.Hour).Add(24 * time.Hour)) {
		t.Errorf("due %s", due)
	}
}

// What cannot be read now raises no alarm of its own.
func TestStaleBackupsAreSilent(t *testing.T) {
	rep := backups(job(func(j *BackupJob) { j.Runs = dailyRuns(31*time.Hour, 9) }))
	rep.Status.LastSuccess = ago(time.Hour)
	s := Join(prod(docker("prod-1", instance("prod-1", "ai", "0.4.2")), rep))
	if r := service(t, s, "ai").Reasons; len(r) != 0 {
		t.Errorf("reasons %+v", r)
	}
	if len(s.Backups) != 1 {
		t.Errorf("what was known is gone: %+v", s.Backups)
	}
}

func TestTwoSourcesOfOneJob(t *testing.T) {
	a, b := backups(job(nil)), backups(job(func(j *BackupJob) { j.Runs = nil }))
	b.Status.ID = "backups/zzz"
	for _, reports := range [][]Report{{a, b}, {b, a}} {
		s := Join(prod(append(reports, docker("prod-1", instance("prod-1", "ai", "0.4.2")))...))
		if len(s.Backups) != 1 || len(s.Backups[0].Runs) == 0 {
			t.Errorf("backups %+v", s.Backups)
		}
	}
}
