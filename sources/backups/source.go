package backups

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/remote/store"
	"github.com/nexgate-hq/nexops/sources"
)

// Bounds of what is read of one job.
const (
	maxRuns    = 60 // runs that are kept, newest first
	maxRecords = 30 // the newest records, whatever they tell of; besides them those of the files that are shown
	readers    = 4  // records are read so many at a time
)

type source struct {
	id    fleet.SourceID
	label string // "backups offsite"
	poll  time.Duration
	jobs  []job
	now   func() time.Time
	known map[recordKey]record // records do not change once they are written
}

// job is a Spot with its place opened.
type job struct {
	store.Spot
	place   store.Place
	pattern *store.Pattern
}

// recordKey tells one state of a record's file from another.
type recordKey struct {
	job, name string
	size      int64
	modified  time.Time
}

// record is what a file beside a backup says; err is why it says nothing.
type record struct {
	run   fleet.BackupRun
	drill fleet.BackupDrill
	err   error
}

// New makes the source of one place. It does no I/O.
func New(table, group string, poll time.Duration, spots []store.Spot, deps sources.Deps) (sources.Source, error) {
	name := group
	if table != kindName {
		name = table + "-" + group
	}
	s := &source{
		id: fleet.MakeSourceID(kindName, name), label: kindName + " " + name, poll: poll, now: deps.Now,
		known: map[recordKey]record{},
	}
	if s.now == nil {
		s.now = time.Now
	}
	for _, spot := range spots {
		place, err := store.Open(spot.Place, spot.Folder, store.Deps{Host: deps.Host, Secret: deps.Secret})
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", s.label, spot.Job.Name, err)
		}
		j := job{Spot: spot, place: place}
		j.Job.Destination = place.String()
		if spot.Pattern != "" {
			zone, err := time.LoadLocation(spot.Zone)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: zone: %w", s.label, spot.Job.Name, err)
			}
			p, err := store.ParsePattern(spot.Pattern, zone)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: pattern: %w", s.label, spot.Job.Name, err)
			}
			j.pattern = &p
		}
		s.jobs = append(s.jobs, j)
	}
	return s, nil
}

// ID names the source.
func (s *source) ID() fleet.SourceID { return s.id }

// Timing is the configured poll.
func (s *source) Timing() sources.Timing {
	return sources.Timing{Every: s.poll, Timeout: time.Minute, MaxAge: 3 * s.poll}
}

// Observe lists the place and reads the records that are new.
func (s *source) Observe(ctx context.Context) (fleet.Facts, error) {
	facts, err := s.observe(ctx)
	if err != nil {
		return fleet.Facts{}, fmt.Errorf("%s: %w", s.label, err)
	}
	return facts, nil
}

func (s *source) observe(ctx context.Context) (fleet.Facts, error) {
	var facts fleet.Facts
	lists := map[string][]store.Object{} // by place: jobs may share one
	next := map[recordKey]record{}
	for _, j := range s.jobs {
		key := j.place.String()
		list, ok := lists[key]
		if !ok {
			var err error
			if list, err = j.place.List(ctx); err != nil {
				return facts, err //nolint:wrapcheck // it names the place
			}
			lists[key] = list
		}
		if err := s.read(ctx, j, list, next); err != nil {
			return facts, err
		}
		found := j.Job
		if j.pattern != nil {
			found.Runs = foreign(*j.pattern, list)
		} else {
			found.Runs, found.Drill, facts.Warnings = own(j, list, next, facts.Warnings)
		}
		facts.Backups = append(facts.Backups, found)
	}
	s.known = next
	facts.ObservedAt = s.now()
	facts.Detail = "1 job"
	if n := len(s.jobs); n != 1 {
		facts.Detail = fmt.Sprintf("%d jobs", n)
	}
	return facts, nil
}

// foreign are the backups of a folder that somebody else fills.
func foreign(p store.Pattern, list []store.Object) []fleet.BackupRun {
	var out []fleet.BackupRun
	for _, o := range list {
		if at, ok := p.Time(o.Name); ok {
			out = append(out, fleet.BackupRun{File: remote.Clean(o.Name), Started: at, Ended: o.Modified, Size: o.Size, State: fleet.BackupUnverified})
		}
	}
	return newest(out)
}

func newest(runs []fleet.BackupRun) []fleet.BackupRun {
	sort.SliceStable(runs, func(a, b int) bool {
		if !runs[a].Started.Equal(runs[b].Started) {
			return runs[a].Started.After(runs[b].Started)
		}
		return runs[a].File < runs[b].File
	})
	return runs[:min(len(runs), maxRuns)]
}

// beside are the records of a job in a listing, newest first, with their ends: the newest, and those of
// files that still lie there. Without its record a file would be called unverified.
func beside(j job, list []store.Object) []store.Object {
	var all, out []store.Object
	files := map[time.Time]bool{}
	for _, o := range list {
		switch at, ext, ok := store.Own(j.Job.Name, o.Name); {
		case !ok:
		case ext == store.RecordExt || ext == store.DrillExt:
			all = append(all, o)
		default:
			files[at] = true
		}
	}
	sort.Slice(all, func(a, b int) bool { return all[a].Name > all[b].Name })
	for i, o := range all {
		at, ext, _ := store.Own(j.Job.Name, o.Name)
		if i < maxRecords || files[at] && ext == store.RecordExt {
			out = append(out, o)
		}
	}
	return out[:min(len(out), maxRuns)]
}

func keyOf(j job, o store.Object) recordKey {
	return recordKey{j.Job.Name + " " + j.place.String(), o.Name, o.Size, o.Modified}
}

// read reads the records that were not read before.
func (s *source) read(ctx context.Context, j job, list []store.Object, into map[recordKey]record) error {
	if j.pattern != nil {
		return nil
	}
	records := beside(j, list)
	found := make([]record, len(records))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, o := range records {
		if old, ok := s.known[keyOf(j, o)]; ok {
			found[i] = old
			continue
		}
		g.Go(func() error {
			b, err := j.place.Get(gctx, o.Name, store.MaxRecord)
			if gone(err) {
				found[i].err = errGone // retention of another console was faster
				return nil
			}
			if err != nil {
				return fmt.Errorf("read %s: %w", remote.Clean(o.Name), err)
			}
			if strings.HasSuffix(o.Name, "."+store.DrillExt) {
				found[i].drill, found[i].err = store.DecodeDrill(b)
			} else {
				found[i].run, found[i].err = store.DecodeRun(b)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err //nolint:wrapcheck // made above
	}
	for i, o := range records {
		into[keyOf(j, o)] = found[i]
	}
	return nil
}

var errGone = errors.New("it is gone")

// gone reports an object that was removed since the listing.
func gone(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "No such file") || strings.Contains(err.Error(), "NoSuchKey"))
}

// own are the runs of one of nexops' own jobs: each file with its record, and the records of runs that left no file.
func own(j job, list []store.Object, records map[recordKey]record, warnings []string) ([]fleet.BackupRun, *fleet.BackupDrill, []string) {
	var runs []fleet.BackupRun
	var drill *fleet.BackupDrill
	said := map[string]bool{} // files that a record speaks of
	sizes := map[string]int64{}
	for _, o := range list {
		sizes[o.Name] = o.Size
	}
	for _, o := range beside(j, list) {
		r := records[keyOf(j, o)]
		switch {
		case errors.Is(r.err, errGone):
		case r.err != nil:
			warnings = append(warnings, fmt.Sprintf("%s: %s: %v", j.place, remote.Clean(o.Name), r.err))
		case strings.HasSuffix(o.Name, "."+store.DrillExt):
			if drill == nil || r.drill.At.After(drill.At) {
				drill = &r.drill
			}
		default:
			run, ok := settle(r.run, sizes)
			said[run.File] = true
			if ok {
				runs = append(runs, run)
			}
		}
	}
	for _, o := range list {
		at, ext, ok := store.Own(j.Job.Name, o.Name)
		if !ok || said[o.Name] || ext == store.RecordExt || ext == store.DrillExt || strings.HasSuffix(ext, store.Partial) {
			continue
		}
		runs = append(runs, fleet.BackupRun{File: o.Name, Started: at, Ended: o.Modified, Size: o.Size, State: fleet.BackupUnverified})
	}
	return newest(runs), drill, warnings
}

// settle compares a record with what is there. A backup that is gone is none any more.
func settle(run fleet.BackupRun, sizes map[string]int64) (fleet.BackupRun, bool) {
	if run.File == "" {
		return run, true
	}
	size, ok := sizes[run.File]
	if ok && size != run.Size {
		run.State, run.Detail = fleet.BackupUnverified, fmt.Sprintf("its record says %d bytes, it has %d", run.Size, size)
		run.Size = size
	}
	return run, ok
}
