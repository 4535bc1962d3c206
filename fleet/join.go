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
	j := &joiner{in: in, reports: reports, resolver: newResolver(in), rows: map[ServiceKey]*row{}}
	j.hosts = joinHosts(in, reports)
	for _, r := range reports {
		j.addInstances(r)
		j.images = append(j.images, r.Facts.Images...)
	}
	for _, r := range reports {
		j.addHistories(r)
		j.addMetrics(r)
		j.addChanges(r)
		j.addLocks(r)
		j.addBackups(r)
		j.addHolds(r)
	}
	return j.snapshot()
}

// row is a service while it is being joined.
type row struct {
	svc       Service
	found     []*Instance // all of the service's, companions included
	main      []*Instance // without companions; after finish they point into svc.Instances
	helpers   []*Instance // the companions among found
	metrics   []metricInput
	history   []Release
	problem   string // of the desired release
	changes   []Change
	desiredBy SourceID
	gitSeen   time.Time // when the desired releases were read
	gitStale  bool
}

type joiner struct {
	in       Input
	reports  []Report
	resolver *resolver
	hosts    map[string]*hostView
	rows     map[ServiceKey]*row
	images   []Image
	tagged   map[[2]string]string // {host, reference} to image id, made on first use
	changes  []*Change            // of hosts, and of all services
	backups  []backup
	holds    []Hold
}

func (j *joiner) row(key ServiceKey) *row {
	r := j.rows[key]
	if r == nil {
		r = &row{svc: Service{Key: key}}
		j.rows[key] = r
	}
	return r
}

func (j *joiner) addInstances(rep Report) {
	for i := range rep.Facts.Instances {
		in := &rep.Facts.Instances[i]
		if in.OneOff {
			continue
		}
		key, companion, ok := j.resolver.resolve(in.Subject)
		if !ok {
			continue
		}
		r := j.row(key)
		r.found = append(r.found, in)
		if companion {
			r.helpers = append(r.helpers, in)
		}
	}
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
	for _, r := range j.reports {
		snap.Sources = append(snap.Sources, r.Status)
	}
	for _, h := range j.hosts {
		if h.host.Environment == "" || h.host.Environment == j.in.Environment {
			snap.Hosts = append(snap.Hosts, h.host)
		}
	}
	sort.Slice(snap.Hosts, func(a, b int) bool { return snap.Hosts[a].Name < snap.Hosts[b].Name })
	refs := imageDigests(j.images)
	byRepo := imagesByRepository(j.images)
	list := make([]*Service, 0, len(j.rows))
	for _, r := range j.rows {
		if len(r.found) == 0 && r.desiredBy == "" {
			continue // only a metric or a change knows the name: no row of its own
		}
		j.finish(r, refs, byRepo)
		list = append(list, &r.svc)
		for i := range r.svc.Changes {
			j.changes = append(j.changes, &r.svc.Changes[i])
		}
	}
	sortByAttention(list)
	snap.Services = make([]Service, len(list))
	for i, svc := range list {
		snap.Services[i] = *svc
	}
	slices.SortStableFunc(j.changes, compareChanges)
	for _, c := range j.changes[:min(len(j.changes), maxSnapshotChanges)] {
		snap.Changes = append(snap.Changes, *c)
	}
	return snap
}

func (j *joiner) finish(r *row, refs map[string]string, byRepo map[string][]Image) {
	svc := &r.svc
	j.settleInstances(r)
	j.see(svc)
	svc.Releases = joinReleases(r, refs, byRepo)
	svc.Health = worstHealth(svc.Instances)
	if len(svc.Instances) == 0 && !j.allSeen() {
		svc.Health = HealthUnknown // it may run where nobody can look
	}
	svc.Metrics = joinMetrics(r)
	svc.Changes = joinChanges(r)
	svc.Hold = j.holdOf(svc.Key.Name)
	t := j.in.Rules.thresholds(svc.Key.Name)
	svc.Reasons = j.reasons(r, t)
	for _, reason := range svc.Reasons {
		svc.Severity = max(svc.Severity, reason.Severity)
	}
	svc.Suspect = suspect(svc, t, j.in.Now)
}

// settleInstances copies the reported instances into the row, in order, without
// touching the report: on a host that cannot be seen their health is unknown.
func (j *joiner) settleInstances(r *row) {
	sortInstances(r.found)
	svc := &r.svc
	svc.Instances = make([]Instance, len(r.found))
	for i, in := range r.found {
		svc.Instances[i] = *in
		if h := j.hosts[in.Host]; h != nil && h.unseen {
			svc.Instances[i].Health = HealthUnknown
		}
		if !slices.Contains(r.helpers, in) {
			r.main = append(r.main, &svc.Instances[i])
		}
		if !slices.Contains(svc.Hosts, in.Host) {
			svc.Hosts = append(svc.Hosts, in.Host)
		}
	}
	sort.Strings(svc.Hosts)
}

// see sets how fresh the facts are on which the row stands.
func (j *joiner) see(svc *Service) {
	for _, name := range svc.Hosts {
		h := j.hosts[name]
		if h == nil {
			continue
		}
		if svc.Seen.IsZero() || h.seen.Before(svc.Seen) {
			svc.Seen = h.seen
		}
		svc.Stale = svc.Stale || h.unseen
	}
}

func sortInstances(list []*Instance) {
	slices.SortFunc(list, func(x, y *Instance) int {
		return cmp.Or(cmp.Compare(x.Host, y.Host), cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID))
	})
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
	return cmp.Or(y.At.Compare(x.At), compareSubjects(x.Subject, y.Subject), cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.What, y.What), cmp.Compare(x.Source, y.Source))
}

func compareSubjects(a, b Subject) int {
	return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Project, b.Project),
		cmp.Compare(a.Container, b.Container), cmp.Compare(a.Environment, b.Environment))
}

func sortByAttention(list []*Service) {
	slices.SortFunc(list, func(x, y *Service) int {
		return cmp.Or(cmp.Compare(y.Severity, x.Severity), cmp.Compare(worstRank(x), worstRank(y)), cmp.Compare(x.Key.Name, y.Key.Name))
	})
}

func worstRank(s *Service) int {
	if len(s.Reasons) == 0 {
		return len(reasonOrder)
	}
	return reasonRank(s.Reasons[0].Code)
}
