package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

func TestBackupLines(t *testing.T) {
	now := time.Date(2026, 11, 25, 14, 0, 0, 0, time.UTC)
	ago := func(h int) time.Time { return now.Add(-time.Duration(h) * time.Hour) }
	job := fleet.BackupJob{
		Name: "ai-db", Destination: "ops:/srv/backups", Every: 24 * time.Hour, Drill: &fleet.BackupDrill{At: ago(288), Good: true},
		Runs: []fleet.BackupRun{{Started: ago(4), Size: 1288490188, State: fleet.BackupVerified}},
	}
	late, never, stale := job, job, job
	late.Runs = []fleet.BackupRun{{Started: ago(31), Size: 100, State: fleet.BackupUnverified}}
	late.Drill = &fleet.BackupDrill{At: ago(2)}
	never.Runs, never.Drill = nil, nil
	stale.Stale, stale.Seen = true, ago(1)
	cases := []struct {
		jobs []fleet.BackupJob
		want string
	}{
		{nil, ""},
		{[]fleet.BackupJob{job}, "backup      4h old, 1.2G, verified · next in 20h · drill 12d ago · ops:/srv/backups"},
		{[]fleet.BackupJob{late}, "backup      31h old, 100B, unverified · due 7h ago · drill failed 2h ago · ops:/srv/backups"},
		{[]fleet.BackupJob{never}, "backup      never, to ops:/srv/backups"},
		{[]fleet.BackupJob{stale}, "backup      4h old, 1.2G, verified · as of 1h ago · drill 12d ago · ops:/srv/backups"},
		{[]fleet.BackupJob{never, never, never, never, never}, "backup      ai-db  never, to ops:/srv/backups|            ai-db  never, to ops:/srv/backups|            ai-db  never, to ops:/srv/backups|            and 2 more"},
	}
	for _, tt := range cases {
		var got []string
		for _, l := range backupLines(tt.jobs, now, 120) {
			got = append(got, strings.TrimRight(l.String(), " "))
		}
		if strings.Join(got, "|") != tt.want {
			t.Errorf("%q, not %q", strings.Join(got, "|"), tt.want)
		}
	}
	for _, l := range backupLines([]fleet.BackupJob{late}, now, 40) {
		if l.width() > 40 {
			t.Errorf("%d columns wide: %q", l.width(), l.String())
		}
	}
}

// What no row can say is said above them.
func TestBackupsOfTheEnvironmentInTheHeader(t *testing.T) {
	now := time.Date(2026, 11, 25, 14, 0, 0, 0, time.UTC)
	snap := &fleet.Snapshot{At: now, Environment: "prod", Backups: []fleet.BackupJob{{Name: "vault", Destination: "s3 backups"}}}
	if s := backupSegment(snap); len(s) != 1 || s[0].forms[0].String() != "▲ vault: never backed up to s3 backups" {
		t.Errorf("%+v", s)
	}
	snap.Backups[0].Subject.Service = "vault"
	snap.Services = []fleet.Service{{Key: fleet.ServiceKey{Environment: "prod", Name: "vault"}}}
	if s := backupSegment(snap); len(s) != 0 {
		t.Errorf("its row says it already: %+v", s)
	}
}
