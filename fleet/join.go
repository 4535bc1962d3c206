package fleet

import (
	"cmp"
	"runtime"
	"slices"
	"sort"
	"sync"
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
	return NewJoiner(in.Environment, in.Hosts, in.Rules).Join(in.Seq, in.Now, in.Reports)
}

// Joiner joins the reports of one environment again and again, each time as Join does. It keeps what of a
// row has not changed since the last time, and hands the same slices and maps out again: of ten thousand instances
// one host's are new at a time. So neither a report's facts nor a Snapshot may be changed once they
// were given to or by a Joiner. It is for one goroutine at a time.
type Joiner struct {
	base   Input // what is the same every time
	memory memory
}

// NewJoiner makes a Joiner that remembers nothing yet.
func NewJoiner(environment string, hosts []Host, rules Rules) *Joiner {
	return &Joiner{
		base:   Input{Environment: environment, Hosts: hosts, Rules: rules},
		memory: memory{rows: map[string]*row{}, hosts: map[string]*hostView{}},
	}
}

// Join makes one Snapshot of what the sources reported.
func (k *Joiner) Join(seq uint64, now time.Time, given []Report) *Snapshot {
	in := k.base
	in.Seq, in.Now, in.Reports = seq, now, given
	reports := slices.Clone(given)
	sort.Slice(reports, func(i, j int) bool { return reports[i].Status.ID < reports[j].Status.ID })
	j := &joiner{in: in, reports: reports, resolver: newResolver(in), memory: &k.memory}
	j.memory.begin(reports)
	if len(j.memory.rows) == 0 {
		j.memory.rows = make(map[string]*row, rowsExpected(reports))
	}
	j.memory.hosts = joinHosts(in, reports, j.memory.hosts)
	for i := range reports {
		places := j.memory.placesOf(&reports[i], j)
		j.addInstances(&reports[i], places)
		j.addMetrics(&reports[i], places)
		j.addHistories(&reports[i], places)
	}
	for _, r := range reports {
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
	round     uint64                // of the join that filled it last
	members   heard[member]         // all its instances, companions included
	series    heard[metricInput]    // likewise
	reported  heard[reportedChange] // the changes of the service
	history   []Release             // of its report
	problem   string                // of the desired release
	desiredBy SourceID
	gitSeen   time.Time // when the desired releases were read
	gitStale  bool
	rank      int // of its worst reason
	kept      kept
}

// joiner holds what a join is in the middle of. With ten thousand instances nearly all of its time is
// memory: what has not changed is taken from the join before, what is needed only for one row at a time is used again for the
// next, and what goes into the snapshot in many small slices is cut from few large ones.
type joiner struct {
	in       Input
	reports  []Report
	resolver *resolver
	memory   *memory
	changes  []*Change // of hosts, and of all services
	backups  []BackupJob
	holds    []Hold
	syncs    []Sync
	pending  map[string][]Reason // by service: what the next sync would do to it
	unseen   *bool               // whether some host of the environment cannot be seen; nil: not looked yet
	rowRoom  carver[row]
	scratch
	room
}

// row gives the row of a service, emptied when this join meets it for the first time.
func (j *joiner) row(key ServiceKey) *row {
	r := j.memory.rows[key.Name]
	if r == nil {
		r = &j.rowRoom.take(1)[0]
		r.svc.Key = key
		j.memory.rows[key.Name] = r
	}
	j.touch(r)
	return r
}

func (j *joiner) touch(r *row) {
	if r.round == j.memory.round {
		return
	}
	r.round = j.memory.round
	svc := &r.svc // what is not set here is kept, until what it is made of has changed
	svc.Health, svc.Severity, svc.Reasons, svc.Suspect = "", SeverityOK, nil, nil
	svc.Claims, svc.Seen, svc.Stale = Claims{}, time.Time{}, false
	r.members.begin()
	r.series.begin()
	r.reported.begin()
	r.history, r.problem, r.desiredBy = nil, "", ""
	r.gitSeen, r.gitStale, r.rank = time.Time{}, false, 0
}

func (j *joiner) addHistories(rep *Report, p *places) {
	stale := rep.Status.Stale(j.in.Now)
	for i := range p.histories {
		r := p.histories[i].row
		if r == nil || p.histories[i].companion {
			continue
		}
		j.touch(r)
		if r.desiredBy != "" { // two sources speak of it: the first by id wins, whatever the order of arrival
			continue
		}
		h := &rep.Facts.Histories[i]
		r.history, r.problem, r.desiredBy = h.Releases, h.Problem, rep.Status.ID
		r.gitSeen, r.gitStale = rep.Status.LastSuccess, stale
	}
}

func (j *joiner) addChanges(rep Report) {
	for i := range rep.Facts.Changes {
		c := &rep.Facts.Changes[i]
		key, _, ok := j.resolver.resolve(&c.Subject)
		if ok {
			r := j.row(key)
			r.reported.add(reportedChange{c, rep.Status.ID})
			continue
		}
		if c.Subject.Service == "" && j.resolver.here(&c.Subject) {
			own := reportedChange{c, rep.Status.ID}.change(c.Subject)
			j.changes = append(j.changes, &own)
		}
	}
}

func (j *joiner) snapshot() *Snapshot {
	snap := &Snapshot{Seq: j.in.Seq, At: j.in.Now, Environment: j.in.Environment, Images: j.memory.images.list, Holds: j.holds}
	snap.Backups = j.settleBackups()
	sortHolds(snap.Holds)
	sortSyncs(j.syncs)
	snap.Syncs = j.syncs
	for _, r := range j.reports {
		snap.Sources = append(snap.Sources, r.Status)
	}
	for _, h := range j.memory.hosts {
		if h.host.Environment == "" || h.host.Environment == j.in.Environment {
			snap.Hosts = append(snap.Hosts, h.host)
		}
	}
	sort.Slice(snap.Hosts, func(a, b int) bool { return snap.Hosts[a].Name < snap.Hosts[b].Name })
	list := make([]*row, 0, len(j.memory.rows))
	for name, r := range j.memory.rows {
		if r.round != j.memory.round {
			delete(j.memory.rows, name) // nobody speaks of it any more
			continue
		}
		if r.members.n == 0 && r.desiredBy == "" {
			continue // only a metric or a change knows the name: no row of its own
		}
		list = append(list, r)
	}
	j.finishAll(list)
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

// What is worth a further goroutine, and how many there are at most.
const (
	rowsEach    = 250
	mostWorkers = 4
)

// finishAll finishes the rows, those of a large estate several at a time: none looks at another.
func (j *joiner) finishAll(list []*row) {
	j.allSeen() // before there are several who ask
	workers := max(1, min(runtime.GOMAXPROCS(0), mostWorkers, len(list)/rowsEach))
	var working sync.WaitGroup
	for w := range workers {
		own := *j
		own.scratch, own.room = scratch{}, room{}
		part := list[w*len(list)/workers : (w+1)*len(list)/workers]
		work := func() {
			for _, r := range part {
				own.finish(r)
			}
		}
		if w == workers-1 {
			work()
			break
		}
		working.Go(work)
	}
	working.Wait()
}

func (j *joiner) finish(r *row) {
	svc := &r.svc
	same := j.settleInstances(r)
	j.main = r.kept.main
	sameReleases, sameMetrics := j.settleReleases(r, same), j.settleMetrics(r, same)
	svc.Health = worstHealth(svc.Instances)
	if len(svc.Instances) == 0 && !j.allSeen() {
		svc.Health = HealthUnknown // it may run where nobody can look
	}
	svc.Hold = j.holdOf(svc.Key.Name)
	t := j.in.Rules.thresholds(svc.Key.Name)
	svc.Reasons = j.reasons(r, t, same && sameReleases && sameMetrics)
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

func worstHealth(list []*Instance) Health {
	if len(list) == 0 {
		return HealthDown
	}
	worst := HealthHealthy
	for _, in := range list {
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
	if len(list) == 0 {
		return nil
	}
	out := make([]Change, 0, min(len(list), maxSnapshotChanges))
	for _, c := range list[:cap(out)] {
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
