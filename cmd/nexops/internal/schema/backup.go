package schema

import (
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// Backup is one backup job with what its destination holds.
type Backup struct {
	Job          string      `json:"job"`
	Service      string      `json:"service"`
	Kind         string      `json:"kind"`
	Destination  string      `json:"destination"`
	Source       string      `json:"source"`
	EverySeconds float64     `json:"every_seconds"`
	Due          *time.Time  `json:"due"`
	Last         *BackupRun  `json:"last"`
	Runs         []BackupRun `json:"runs"`
	Drill        *Drill      `json:"drill"`
	Stale        bool        `json:"stale"`
	Reasons      []Reason    `json:"reasons"`
}

// BackupRun is one run of a job.
type BackupRun struct {
	File      string     `json:"file"`
	Started   *time.Time `json:"started"`
	Ended     *time.Time `json:"ended"`
	SizeBytes int64      `json:"size_bytes"`
	SHA256    string     `json:"sha256"`
	State     string     `json:"state"`
	Detail    string     `json:"detail"`
	Error     string     `json:"error"`
}

// Drill is one restore drill.
type Drill struct {
	At      *time.Time `json:"at"`
	Seconds float64    `json:"seconds"`
	File    string     `json:"file"`
	Tables  int        `json:"tables"`
	Rows    int64      `json:"rows"`
	Good    bool       `json:"good"`
	Error   string     `json:"error"`
}

func backups(snap *fleet.Snapshot) []Backup {
	out := make([]Backup, 0, len(snap.Backups))
	for i := range snap.Backups {
		j := &snap.Backups[i]
		b := Backup{
			Job: j.Name, Service: j.Subject.Service, Kind: j.Kind, Destination: j.Destination, Source: string(j.Source),
			EverySeconds: j.Every.Seconds(), Due: when(j.Due()), Runs: make([]BackupRun, 0, len(j.Runs)), Stale: j.Stale, Reasons: reasons(j.Reasons(snap.At)),
		}
		for _, r := range j.Runs {
			b.Runs = append(b.Runs, backupRun(r))
		}
		if good, ok := j.LastGood(); ok {
			last := backupRun(good)
			b.Last = &last
		}
		if d := j.Drill; d != nil {
			b.Drill = &Drill{when(d.At), d.Took.Seconds(), d.File, d.Tables, d.Rows, d.Good, d.Error}
		}
		out = append(out, b)
	}
	return out
}

func backupRun(r fleet.BackupRun) BackupRun {
	return BackupRun{r.File, when(r.Started), when(r.Ended), r.Size, r.SHA256, string(r.State), r.Detail, r.Error}
}

func reasons(in []fleet.Reason) []Reason {
	out := make([]Reason, 0, len(in))
	for _, r := range in {
		out = append(out, Reason{Code: r.Code, Severity: r.Severity.String(), Text: r.Text, Since: when(r.Since), Source: string(r.Source)})
	}
	return out
}
