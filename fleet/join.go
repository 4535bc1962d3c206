package fleet

import (
	"cmp"
	"slices"
	"sort"
	"time"
)

// Bounds of what one snapshot carries.
const (
	maxServiceChanges  = 50
	maxSnapshotChanges = 300
	maxHistory         = 100
)

// Join makes one Snapshot of what the sources reported. It is pure: the same
// Input gives the same Snapshot, whatever the order of its reports.
func Join(in Input) *Snapshot {
	reports := slices.Clone(in.Reports)
	sort.Slice(reports, func(i, j int) bool { return reports[i].Status.ID < reports[j].Status.ID })
	j := &joiner{in: in, reports: reports, resolver: newResolver(in), rows: map[string]*row{}}
	j.hosts = joinHosts(in, reports)
	j.makeRoom()
	for i := range reports {
		j.addInstances(&reports[i])
		j.images = append(j.images, reports[i].Facts.Images...)
	}
	for _, r := range reports {
		j.addHistories(r)
		j.addMetrics(r)
		j.addChanges(r)
		j.addLocks(r)
		j.addBackups(r)
		j.addHolds(r)
		j.addSyncs(r)
	}
	return j.snapshot()
}

// row is a service while it is being joined.
type row struct {
	svc       Service
	first     int       // in joiner.members, of all its instances, companions included; 0 is none
	series    int       // first in joiner.series; 0 is none
	last      int       // in joiner.series
	history   []Release // of its report
	problem   string    // of the desired release
	changes   []Change
	desiredBy SourceID
	gitSeen   time.Time // when the desired releases were read
	gitStale  bool
	rank      int // of its worst reason
}

// joiner holds what a join is in the middle of. With ten thousand instances nearly all of its time is
// memory: what is needed only for one row at a time is used again for the next, and what goes
// into the snapshot in many small slices is cut from few large ones.
type joiner struct {
	in       Input
	reports  []Report
	resolver *resolver
	hosts    map[string]*hostView
	rows     map[string]*row // by name: they are all of one environment
	images   []Image
	index    *imageIndex
	changes  []*Change // of hosts, and of all services
	backups  []BackupJob
	holds    []Hold
	syncs    []Sync
	pending  map[string][]Reason // by service: what the next sync would do to it
	scratch
	room
}

func (j *joiner) row(key ServiceKey) *row {
	r := j.rows[key.Name]
	if r == nil {
		r = &j.rowRoom.take(1)[0]
		r.svc.Key = key
		j.rows[key.Name] = r
	}
	return r
}

func (j *joiner) addHistories(rep Report) {
	stale := rep.Status.Stale(j.in.Now)
	for _, h := range rep.Facts.Histories {
		if h.Subject.Environment != j.in.Environment {
			continue
		}
		key, companion, ok := j.resolver.resolve(h.Subject)
		if !ok || companion {
			continue
		}
		r := j.row(key)
		if r.desiredBy != "" { // two sources speak of it: the first by id wins, whatever the order of arrival
			continue
		}
		r.history, r.problem, r.desiredBy = h.Releases, h.Problem, rep.Status.ID
		r.gitSeen, r.gitStale = rep.Status.LastSuccess, stale
	}
}

func (j *joiner) addChanges(rep Report) {
	for _, c := range rep.Facts.Changes {
		if c.Source == "" {
			c.Source = rep.Status.ID
		}
		key, _, ok := j.resolver.resolve(c.Subject)
		if !ok {
			if c.Subject.Service == "" && j.resolver.here(c.Subject) {
				j.changes = append(j.changes, &c)
			}
			continue
		}
		r := j.row(key)
		c.Subject.Environment, c.Subject.Service = key.Environment, key.Name
		r.changes = append(r.changes, c)
	}
}

func (j *joiner) snapshot() *Snapshot {
	snap := &Snapshot{Seq: j.in.Seq, At: j.in.Now, Environment: j.in.Environment, Images: sortedImages(j.images), Holds: j.holds}
	snap.Backups = j.settleBackups()
	sortHolds(snap.Holds)
	sortSyncs(j.syncs)
	snap.Syncs = j.syncs
	for _, r := range j.reports {
		snap.Sources = append(snap.Sources, r.Status)
	}
	for _, h := range j.hosts {
		if h.host.Environment == "" || h.host.Environment == j.in.Environment {
			snap.Hosts = append(snap.Hosts, h.host)
		}
	}
	sort.Slice(snap.Hosts, func(a, b int) bool { return snap.Hosts[a].Name < snap.Hosts[b].Name })
	j.index = newImageIndex(j.images)
	list := make([]*row, 0, len(j.rows))
	for _, r := range j.rows {
		if r.first == 0 && r.desiredBy == "" {
			continue // only a metric or a change knows the name: no row of its own
		}
		j.finish(r)
		list = append(list, r)
	}
	sortByAttention(list)
	snap.Services = make([]Service, len(list))
	for i, r := range list {
		snap.Services[i] = r.svc
		for k := range r.svc.Changes {
			j.changes = append(j.changes, &r.svc.Changes[k])
		}
	}
	snap.Changes = newestChanges(j.changes)
	return snap
}

func (j *joiner) finish(r *row) {
	svc := &r.svc
	j.settleInstances(r)
	svc.Releases = j.joinReleases(r)
	svc.Health = worstHealth(svc.Instances)
	if len(svc.Instances) == 0 && !j.allSeen() {
		svc.Health = HealthUnknown // it may run where nobody can look
	}
	j.joinMetrics(r)
	svc.Metrics = metricMap(j.metrics)
	svc.Changes = j.joinChanges(r)
	svc.Hold = j.holdOf(svc.Key.Name)
	t := j.in.Rules.thresholds(svc.Key.Name)
	svc.Reasons = j.reasons(r, t)
	for _, reason := range svc.Reasons {
		svc.Severity = max(svc.Severity, reason.Severity)
	}
	r.rank = worstRank(svc)
	svc.Suspect = suspect(svc, t, j.in.Now)
}

// healthRank orders healths from harmless to bad.
func healthRank(h Health) int {
	switch h {
	case HealthHealthy:
		return 0
	case HealthNone:
		return 1
	case HealthStarting:
		return 2
	case HealthUnknown:
		return 3
	case HealthUnhealthy:
		return 4
	case HealthDown:
		return 5
	default:
		return 3
	}
}

func worstHealth(list []Instance) Health {
	if len(list) == 0 {
		return HealthDown
	}
	worst := HealthHealthy
	for i := range list {
		in := &list[i]
		if finished(in) && len(list) > 1 {
			continue // a one-shot helper that ended well says nothing of its service
		}
		if h := effectiveHealth(in); healthRank(h) > healthRank(worst) {
			worst = h
		}
	}
	return worst
}

// effectiveHealth is the health of an instance, its state included.
func effectiveHealth(in *Instance) Health {
	if in.Health == HealthUnknown {
		return HealthUnknown
	}
	switch in.State {
	case StateRunning:
		if in.Health == "" {
			return HealthNone
		}
		return in.Health
	case StatePaused:
		return HealthUnhealthy
	case StateRestarting, StateExited, StateDead, StateRemoving, StateCreated:
		return HealthDown
	case StateUnknown:
		return HealthUnknown
	default:
		return HealthUnknown
	}
}

// finished reports an instance that ended well and was not meant to stay.
func finished(in *Instance) bool {
	return in.State == StateExited && in.Life.ExitCode == 0 && !in.Life.OOMKilled
}

func sortChanges(list []Change) {
	if len(list) < 2 {
		return
	}
	order := make([]*Change, len(list))
	for i := range list {
		c := list[i]
		order[i] = &c
	}
	slices.SortStableFunc(order, compareChanges)
	for i, c := range order {
		list[i] = *c
	}
}

// compareChanges puts the newest first, and changes of one moment in a fixed order.
func compareChanges(x, y *Change) int {
	if by := y.At.Compare(x.At); by != 0 {
		return by
	}
	if by := compareSubjects(x.Subject, y.Subject); by != 0 {
		return by
	}
	return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.What, y.What), cmp.Compare(x.Source, y.Source))
}

func compareSubjects(a, b Subject) int {
	if by := cmp.Compare(a.Service, b.Service); by != 0 {
		return by
	}
	return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Project, b.Project),
		cmp.Compare(a.Container, b.Container), cmp.Compare(a.Environment, b.Environment))
}

// newestChanges are the newest of all, in order. Most of a large estate's are older than those.
func newestChanges(list []*Change) []Change {
	if len(list) > maxSnapshotChanges {
		times := make([]time.Time, len(list))
		for i, c := range list {
			times[i] = c.At
		}
		slices.SortFunc(times, func(a, b time.Time) int { return b.Compare(a) })
		oldest := times[maxSnapshotChanges-1]
		list = slices.DeleteFunc(list, func(c *Change) bool { return c.At.Before(oldest) })
	}
	slices.SortStableFunc(list, compareChanges)
	var out []Change
	for _, c := range list[:min(len(list), maxSnapshotChanges)] {
		out = append(out, *c)
	}
	return out
}

func sortByAttention(list []*row) {
	slices.SortFunc(list, func(x, y *row) int {
		if by := cmp.Compare(y.svc.Severity, x.svc.Severity); by != 0 {
			return by
		}
		if x.rank != y.rank {
			return cmp.Compare(x.rank, y.rank)
		}
		return cmp.Compare(x.svc.Key.Name, y.svc.Key.Name)
	})
}

func worstRank(s *Service) int {
	if len(s.Reasons) == 0 {
		return len(reasonOrder)
	}
	return reasonRank(s.Reasons[0].Code)
}
