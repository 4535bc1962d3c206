package fleet

import (
	"slices"
	"sort"
	"time"
)

// BackupState is what is known of one backup.
type BackupState string

// The states of a backup.
const (
	BackupVerified   BackupState = "verified"   // read back, and what was read is whole
	BackupUnverified BackupState = "unverified" // it is there, nobody has read it back
	BackupFailed     BackupState = "failed"     // the run failed: there is nothing to restore from it
)

// BackupRun is one run of a job, or one file of a folder that somebody else fills.
type BackupRun struct {
	File    string // name at the destination; "" when the run left none
	Started time.Time
	Ended   time.Time // zero when not known
	Size    int64     // bytes
	SHA256  string    // of the whole, computed while it was written; "" when not known
	State   BackupState
	Detail  string // how it was verified, with figures: "pg_restore lists 214 entries"
	Error   string // of a failed run
}

// Good reports whether there is something to restore.
func (r BackupRun) Good() bool { return r.State != BackupFailed && r.Size > 0 }

// BackupDrill is one restore of a backup into a throw-away database.
type BackupDrill struct {
	At     time.Time // when it began
	Took   time.Duration
	File   string // what was restored
	Tables int
	Rows   int64
	Good   bool
	Error  string // why it is not good
}

// BackupJob is one thing that is backed up, with what its destination holds.
type BackupJob struct {
	Name        string
	Subject     Subject // Environment; Service, or "" for a job of the whole environment
	Kind        string  // "postgres", "files"...; "folder" for one that nexops only reads
	Destination string  // for people: "ops:/srv/backups/ai", "s3 backups/ai"
	Every       time.Duration
	Grace       time.Duration // how late it may be; 0 is an eighth of Every
	Runs        []BackupRun   // newest first, bounded
	Drill       *BackupDrill  // the newest; nil when there was none
	DrillEvery  time.Duration // how often one is expected; 0 is never
	Source      SourceID      // set by Join
	Seen        time.Time     // when the destination was read; set by Join
	Stale       bool          // that is too long ago: the job raises nothing; set by Join
}

// Last is the newest run, good or not.
func (j *BackupJob) Last() (BackupRun, bool) {
	if len(j.Runs) == 0 {
		return BackupRun{}, false
	}
	return j.Runs[0], true
}

// LastGood is the newest backup there is something to restore from.
func (j *BackupJob) LastGood() (BackupRun, bool) {
	for _, r := range j.Runs {
		if r.Good() {
			return r, true
		}
	}
	return BackupRun{}, false
}

// LastVerified is the newest backup that was read back.
func (j *BackupJob) LastVerified() (BackupRun, bool) {
	for _, r := range j.Runs {
		if r.Good() && r.State == BackupVerified {
			return r, true
		}
	}
	return BackupRun{}, false
}

// Due is when the next backup should begin; zero when there is no schedule or no backup yet.
func (j *BackupJob) Due() time.Time {
	last, ok := j.LastGood()
	if !ok || j.Every <= 0 {
		return time.Time{}
	}
	return last.Started.Add(j.Every)
}

// usualRuns is how many earlier backups say what size is usual.
const usualRuns = 7

// Usual is the median size of the good backups before the newest; ok is false when there are too few to say.
func (j *BackupJob) Usual() (size int64, ok bool) {
	var sizes []int64
	for _, r := range j.Runs {
		if r.Good() {
			sizes = append(sizes, r.Size)
		}
	}
	if len(sizes) < 3 {
		return 0, false
	}
	sizes = sizes[1:min(len(sizes), usualRuns+1)]
	slices.Sort(sizes)
	return sizes[len(sizes)/2], true
}

func (j *BackupJob) grace() time.Duration {
	if j.Grace > 0 {
		return j.Grace
	}
	return j.Every / 8
}

// addBackups takes over what destinations hold. What two sources say of one job, the first by id says.
func (j *joiner) addBackups(rep Report) {
	for _, job := range rep.Facts.Backups {
		if job.Subject.Environment != "" && job.Subject.Environment != j.in.Environment {
			continue
		}
		if slices.ContainsFunc(j.backups, func(b BackupJob) bool { return b.Name == job.Name }) {
			continue
		}
		job.Subject.Environment = j.in.Environment
		job.Source, job.Seen, job.Stale = rep.Status.ID, rep.Status.LastSuccess, rep.Status.Stale(j.in.Now)
		if key, _, ok := j.resolver.resolve(&job.Subject); ok {
			job.Subject.Service = key.Name
		}
		j.backups = append(j.backups, job)
	}
}

// settleBackups puts the jobs in order of name.
func (j *joiner) settleBackups() []BackupJob {
	sort.Slice(j.backups, func(a, b int) bool { return j.backups[a].Name < j.backups[b].Name })
	return j.backups
}

// BackupsOf are the jobs of a service, in order of name.
func (s *Snapshot) BackupsOf(key ServiceKey) []BackupJob {
	var out []BackupJob
	for _, b := range s.Backups {
		if b.Subject.Service != "" && b.Subject.Service == key.Name && b.Subject.Environment == key.Environment {
			out = append(out, b)
		}
	}
	return out
}
