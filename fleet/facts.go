package fleet

import (
	"slices"
	"strings"
	"time"
)

// Facts is the whole truth of one source at one moment. A source fills what it knows.
type Facts struct {
	ObservedAt time.Time // when the observation was complete, on the console's clock
	Detail     string    // the few characters worth a place in the header: "8f3c1e2", "29.0.1"
	Hosts      []Host
	Instances  []Instance
	Images     []Image
	Histories  []History
	Tags       []Tag
	Metrics    []MetricFact
	Changes    []Change
	Locks      []Lock
	Backups    []BackupJob
	Holds      []Hold
	Syncs      []Sync   // of reconcilers that a person starts
	Warnings   []string // what could not be understood, in words, each naming the thing
}

// SourceState is how a source is doing.
type SourceState string

// The states of a source.
const (
	SourceConnecting SourceState = "connecting" // no whole answer yet, none failed
	SourceOK         SourceState = "ok"
	SourceFailing    SourceState = "failing" // the last observation failed; older facts may be shown
)

// SourceStatus is the health and age of one source.
type SourceStatus struct {
	ID          SourceID
	Kind        string // "docker"
	Name        string // "prod-1"
	Hosts       []string
	Guest       string // the host through which it reads, when it is not about that host's instances
	State       SourceState
	Error       string        // why it fails, in words and with what to do next
	LastSuccess time.Time     // ObservedAt of the facts shown; zero when never
	LastAttempt time.Time     // when the last observation ended; zero when never
	FailingFrom time.Time     // first failure since the last success; zero when ok
	Latency     time.Duration // of the last successful observation
	MaxAge      time.Duration // past it the facts are stale even if nothing failed
	Detail      string
	Warnings    []string
}

// Age is how old the facts of the source are; ok is false when there are none.
func (s SourceStatus) Age(now time.Time) (age time.Duration, ok bool) {
	if s.LastSuccess.IsZero() {
		return 0, false
	}
	return now.Sub(s.LastSuccess), true
}

// Stale reports whether the facts are older than the source's bound, or were never there.
func (s SourceStatus) Stale(now time.Time) bool {
	age, ok := s.Age(now)
	return !ok || (s.MaxAge > 0 && age > s.MaxAge)
}

// Follows reports whether a source is in trouble only because the host that it reads through cannot be seen.
func (s SourceStatus) Follows(hosts []Host) bool {
	return s.Guest != "" && slices.ContainsFunc(hosts, func(h Host) bool { return h.Name == s.Guest && !h.Up })
}

// Why is its error without its own name, for where that stands beside it.
func (s SourceStatus) Why() string { return strings.TrimPrefix(s.Error, s.Kind+" "+s.Name+": ") }

// Report is what the Collector keeps of one source: its status and its last whole facts.
type Report struct {
	Status SourceStatus
	Facts  Facts
}
