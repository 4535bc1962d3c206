package fleet

import (
	"fmt"
	"time"
)

// shrunken is how much smaller than usual a backup may be.
const shrunken = 0.5

// backupReasons are those of the service's own jobs.
func (j *joiner) backupReasons(r *row) []Reason {
	var out []Reason
	many := 0
	for i := range j.backups {
		if j.backups[i].Subject.Service == r.svc.Key.Name {
			many++
		}
	}
	for i := range j.backups {
		b := &j.backups[i]
		if b.Subject.Service != r.svc.Key.Name {
			continue
		}
		for _, reason := range b.Reasons(j.in.Now) {
			if many > 1 {
				reason.Text = b.Name + ": " + reason.Text
			}
			out = append(out, reason)
		}
	}
	return out
}

// Reasons say what is wrong with the backups of a job, in words with figures.
func (j *BackupJob) Reasons(now time.Time) []Reason {
	if j.Stale {
		return nil
	}
	var out []Reason
	add := func(code string, sev Severity, since time.Time, format string, args ...any) {
		out = append(out, Reason{Code: code, Severity: sev, Since: since, Source: j.Source, Text: fmt.Sprintf(format, args...)})
	}
	last, any := j.Last()
	if any && last.State == BackupFailed {
		add("backup_failed", SeverityWarning, last.Started, "%s", withDetail("backup failed "+Ago(now.Sub(last.Started))+" ago", last.Error))
	}
	good, ok := j.LastGood()
	if !ok {
		add("backup_never", SeverityWarning, time.Time{}, "never backed up to %s", j.Destination)
		return append(out, j.drillReasons(now)...)
	}
	if age := now.Sub(good.Started); j.Every > 0 && age > j.Every+j.grace() {
		add("backup_stale", SeverityWarning, good.Started.Add(j.Every), "backup %s old, expected %s", hours(age), hours(j.Every))
	}
	if usual, ok := j.Usual(); ok && float64(good.Size) < shrunken*float64(usual) {
		add("backup_shrunken", SeverityWarning, good.Started, "backup %s, usually %s", Bytes(float64(good.Size)), Bytes(float64(usual)))
	}
	if good.State == BackupUnverified {
		sev := SeverityWarning
		if j.Foreign() {
			sev = SeverityInfo // nobody promised that it is: nexops only reads that folder
		}
		add("backup_unverified", sev, good.Started, "backup of %s ago not verified", Ago(now.Sub(good.Started)))
	}
	return append(out, j.drillReasons(now)...)
}

// BackupFolder is the kind of a job that nexops only reads.
const BackupFolder = "folder"

// Foreign reports whether somebody else makes the backups.
func (j *BackupJob) Foreign() bool { return j.Kind == BackupFolder }

func (j *BackupJob) drillReasons(now time.Time) []Reason {
	d := j.Drill
	switch {
	case d != nil && !d.Good:
		return []Reason{{Code: "drill_failed", Severity: SeverityWarning, Since: d.At, Source: j.Source, Text: withDetail("restore drill failed "+Ago(now.Sub(d.At))+" ago", d.Error)}}
	case j.DrillEvery <= 0:
	case d == nil:
		return []Reason{{Code: "drill_stale", Severity: SeverityInfo, Source: j.Source, Text: "backup never restored in a drill"}}
	case now.Sub(d.At) > j.DrillEvery:
		return []Reason{{Code: "drill_stale", Severity: SeverityInfo, Source: j.Source, Text: fmt.Sprintf("last restore drill %s ago, expected every %s", Ago(now.Sub(d.At)), Ago(j.DrillEvery))}}
	}
	return nil
}

// hours is a length of time as people speak of backups: "31 h", not "1 d 7 h", until it is several days.
func hours(d time.Duration) string {
	const several = 72 * time.Hour
	if d >= time.Hour && d < several {
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return Ago(d)
}
