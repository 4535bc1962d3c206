// Package fleet holds the nouns of an estate and the pure join of what the
// sources report into one immutable Snapshot.
package fleet

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// SourceID names one configured source: "docker/prod-1", "git/infra".
type SourceID string

// MakeSourceID builds the id of a source from its kind and its configured name.
func MakeSourceID(kind, name string) SourceID { return SourceID(kind + "/" + name) }

// ServiceKey identifies one joined row: a service in one environment.
type ServiceKey struct {
	Environment string
	Name        string
}

// String gives the form people type in confirmations: "ai@prod".
func (k ServiceKey) String() string { return k.Name + "@" + k.Environment }

// Ref points at something an action may be asked to act on.
// Instance and Host are optional and narrow the service down.
type Ref struct {
	Service  ServiceKey
	Host     string
	Instance string
}

// Severity orders attention.
type Severity int

// The severities, mildest first.
const (
	SeverityOK Severity = iota
	SeverityInfo
	SeverityWarning
	SeverityCritical
)

// String is the word used on screens, in JSON and in exit-code decisions.
func (s Severity) String() string {
	switch s {
	case SeverityOK:
		return "ok"
	case SeverityInfo:
		return "info"
	case SeverityWarning:
		return "warning"
	case SeverityCritical:
		return "critical"
	default:
		return fmt.Sprintf("severity(%d)", int(s))
	}
}

// Reason is one reason why a service needs attention, in words with figures.
type Reason struct {
	Code     string // stable, snake case: "crash_loop", "tag_drift"
	Severity Severity
	Text     string    // "errors 7.1 % > 5 %"
	Since    time.Time // zero when not known
	Source   SourceID
}

// Metric is one series of a service with its newest value.
type Metric struct {
	Name   MetricName
	Unit   Unit
	Latest float64 // meaningful when Has
	Has    bool    // false: no sample, or no traffic
	Note   string  // "no traffic", "no data"
	Series Series
	Source SourceID
	stale  bool // some series of it, of companions too, is past its source's bound
	own    bool // the samples were put together here: the report's own stay untouched
}

// Metrics are those of a service, each name once.
type Metrics []Metric

// MetricsOf makes them of a map, in the order of their names: for who makes a service by hand.
func MetricsOf(byName map[MetricName]Metric) Metrics {
	out := make(Metrics, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		m := byName[name]
		m.Name = name
		out = append(out, m)
	}
	return out
}

// Get gives the metric of that name.
func (m Metrics) Get(name MetricName) (Metric, bool) {
	if found := m.named(name); found != nil {
		return *found, true
	}
	return Metric{}, false
}

func (m Metrics) named(name MetricName) *Metric {
	for i := range m {
		if m[i].Name == name {
			return &m[i]
		}
	}
	return nil
}

// Suspect is the likely cause of a service's trouble, with its evidence.
type Suspect struct {
	Text   string // "likely deploy 0.4.1 → 0.4.2 (8f3c1e2, 6 min ago): errors rose 40 s after it"
	Onset  time.Time
	Change Change
}

// Releases are the three releases of a service, and where they come from.
type Releases struct {
	Desired  Release   // zero when nothing says what is desired
	Running  Release   // of the newest running instance, or the newest at all
	Mixed    bool      // instances run different releases
	Previous Release   // the previous good release; zero when none is known
	History  []Release // newest first
}

// Service is one joined row.
type Service struct {
	Key       ServiceKey
	Hosts     []string    // sorted
	Instances []*Instance // as they were reported, or copies: nobody may change them
	Releases  Releases
	Health    Health
	Severity  Severity
	Reasons   []Reason // worst first
	Suspect   *Suspect
	Metrics   Metrics
	Changes   []Change // newest first
	Claims
	Seen  time.Time // age of the oldest fact the row stands on (its hosts' docker facts)
	Stale bool      // those facts are past their bound
}

// Snapshot is one immutable joined view of an environment.
type Snapshot struct {
	Seq         uint64 // grows with each snapshot of one process
	At          time.Time
	Environment string
	Sources     []SourceStatus // sorted by ID
	Hosts       []Host         // sorted by name
	Services    []Service      // in the order of attention
	Images      []Image
	Changes     []Change    // of the whole environment, newest first, bounded
	Backups     []BackupJob // of the whole environment, by name; BackupsOf gives a service's own
	Holds       []Hold      // of the whole environment first, then by service; none that is over
	Syncs       []Sync      // by name
}

// Find gives the service with that key.
func (s *Snapshot) Find(key ServiceKey) (*Service, bool) {
	for i := range s.Services {
		if s.Services[i].Key == key {
			return &s.Services[i], true
		}
	}
	return nil, false
}

// Subjects are the ways the sources name the instances of the service, without
// doubles. A re-created instance has the same subject, but for its container name.
func (s *Service) Subjects() []Subject {
	var out []Subject
	seen := map[Subject]bool{}
	for _, in := range s.Instances {
		if !seen[in.Subject] {
			seen[in.Subject] = true
			out = append(out, in.Subject)
		}
	}
	return out
}
