package fleet

import (
	"slices"
	"time"
)

// memory is what a Joiner keeps from one join to the next.
type memory struct {
	round  uint64
	rows   map[string]*row // by name: they are all of one environment
	hosts  map[string]*hostView
	places map[SourceID]*places
	images images
	moved  bool // an instance was reported anew since the last join: names of containers may mean others
}

// begin looks at what was reported anew.
func (m *memory) begin(reports []Report) {
	m.round++
	old := m.places
	m.places = make(map[SourceID]*places, len(reports))
	m.moved = len(old) != len(reports)
	var lists [][]Image
	for i := range reports {
		rep := &reports[i]
		p := old[rep.Status.ID]
		m.places[rep.Status.ID] = p
		m.moved = m.moved || p == nil || !sameSlice(p.ofInstances, rep.Facts.Instances)
		lists = append(lists, rep.Facts.Images)
	}
	m.images.settle(lists)
}

// rowsExpected is about how many rows reports are of: most have a history.
func rowsExpected(reports []Report) int {
	most := 0
	for i := range reports {
		most = max(most, len(reports[i].Facts.Histories))
	}
	return most
}

// place is where an instance or a series belongs.
type place struct {
	row       *row // nil: nowhere
	companion bool
}

// places are where the instances, series and histories of one report belong: looked up once, not at every join.
type places struct {
	ofInstances []Instance
	ofMetrics   []MetricFact
	ofHistories []History
	instances   []place
	metrics     []place
	histories   []place
	byName      bool // some by the name of a container, which other reports' instances decide
}

// placesOf gives the places of a report, those of the last join where they still hold.
func (m *memory) placesOf(rep *Report, j *joiner) *places {
	p := m.places[rep.Status.ID]
	if p != nil && (!p.byName || !m.moved) && sameSlice(p.ofInstances, rep.Facts.Instances) && sameSlice(p.ofMetrics, rep.Facts.Metrics) && sameSlice(p.ofHistories, rep.Facts.Histories) {
		return p
	}
	p = &places{
		ofInstances: rep.Facts.Instances, ofMetrics: rep.Facts.Metrics, ofHistories: rep.Facts.Histories,
		instances: make([]place, len(rep.Facts.Instances)), metrics: make([]place, len(rep.Facts.Metrics)),
		histories: make([]place, len(rep.Facts.Histories)),
	}
	j.resolver.asked = false
	for i := range rep.Facts.Instances {
		if in := &rep.Facts.Instances[i]; !in.OneOff {
			p.instances[i] = j.place(&in.Subject)
		}
	}
	for i := range rep.Facts.Metrics {
		p.metrics[i] = j.place(&rep.Facts.Metrics[i].Subject)
	}
	for i := range rep.Facts.Histories {
		if h := &rep.Facts.Histories[i]; h.Subject.Environment == j.in.Environment {
			p.histories[i] = j.place(&h.Subject)
		}
	}
	p.byName = j.resolver.asked
	m.places[rep.Status.ID] = p
	return p
}

func (j *joiner) place(s *Subject) place {
	key, companion, ok := j.resolver.resolve(s)
	if !ok {
		return place{}
	}
	return place{row: j.row(key), companion: companion}
}

// heard is what the reports say of a row in one of its parts, in their order. It is written over what they
// said at the last join, and notices when that was something else.
type heard[T comparable] struct {
	list []T
	n    int  // how many of the list are of this join
	anew bool // not what it was at the last join
}

func (h *heard[T]) begin() { h.n, h.anew = 0, false }

func (h *heard[T]) add(v T) {
	switch {
	case h.n == len(h.list):
		if h.list == nil {
			h.list = make([]T, 0, 8)
		}
		h.list, h.anew = append(h.list, v), true
	case h.list[h.n] != v:
		h.list[h.n], h.anew = v, true
	}
	h.n++
}

// end gives what was said.
func (h *heard[T]) end() (list []T, anew bool) {
	if h.n < len(h.list) {
		clear(h.list[h.n:])
		h.list, h.anew = h.list[:h.n], true
	}
	return h.list, h.anew
}

// kept is, beside what is in its Service, what of a row was made in an earlier join. The slices and maps that a
// snapshot has too are never written to again.
type kept struct {
	main  []*Instance // without companions
	views []*hostView // of svc.Hosts; nil where nobody knows it
	madeOf
	reasonsKept
}

// reasonsKept are those that instances, metrics and releases give, and what they also depend on.
type reasonsKept struct {
	reasons  []Reason
	calm     bool
	gitSeen  time.Time
	gitStale bool
}

// madeOf is what the releases of a row were made of.
type madeOf struct {
	history   []Release
	problem   string
	desiredBy SourceID
	index     *imageIndex // nil: they have not been made
}

// same reports whether the releases of a row were made of what is there now.
func (k *madeOf) same(r *row, index *imageIndex) bool {
	return k.index == index && k.problem == r.problem && k.desiredBy == r.desiredBy &&
		(sameSlice(k.history, r.history) || slices.Equal(k.history, r.history))
}

// sameSlice reports whether two slices are one and the same piece of memory. As long as a slice is
// kept its memory is not used for anything else.
func sameSlice[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}
