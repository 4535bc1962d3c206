// Package schema is the documented, versioned form in which the headless commands print what nexops knows.
package schema

import (
	"math"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// StatusVersion is the version of the Status document. Fields may be added within a
// version; none is renamed, removed or given another meaning.
const StatusVersion = "nexops.status/v1"

// Verdict is what the exit code of "nexops status" says.
type Verdict string

// The verdicts.
const (
	VerdictOK        Verdict = "ok"        // exit 0: nothing needs attention
	VerdictAttention Verdict = "attention" // exit 1: something does
	VerdictBlind     Verdict = "blind"     // exit 2: nothing was found, but not everything could be seen
)

// Status is one whole joined snapshot. Times are RFC 3339 in UTC; a time, number or
// object that is not known is null; durations are seconds; ratios are 0 to 1.
type Status struct {
	Schema      string    `json:"schema"`
	At          time.Time `json:"at"`
	Environment string    `json:"environment"`
	Verdict     Verdict   `json:"verdict"`
	Sources     []Source  `json:"sources"`
	Hosts       []Host    `json:"hosts"`
	Services    []Service `json:"services"`
	Changes     []Change  `json:"changes"`
	Backups     []Backup  `json:"backups"`
	Holds       []Hold    `json:"holds"`
}

// Source is the health and age of one source.
type Source struct {
	ID             string     `json:"id"`
	Kind           string     `json:"kind"`
	Name           string     `json:"name"`
	State          string     `json:"state"`
	Stale          bool       `json:"stale"`
	Error          string     `json:"error"`
	AgeSeconds     *float64   `json:"age_seconds"`
	LatencySeconds float64    `json:"latency_seconds"`
	LastSuccess    *time.Time `json:"last_success"`
	FailingSince   *time.Time `json:"failing_since"`
	Detail         string     `json:"detail"`
	Hosts          []string   `json:"hosts"`
	Warnings       []string   `json:"warnings"`
}

// Host is one machine of the environment.
type Host struct {
	Name        string     `json:"name"`
	Environment string     `json:"environment"`
	Address     string     `json:"address"`
	Up          bool       `json:"up"`
	Error       string     `json:"error"`
	Since       *time.Time `json:"since"`
	Engine      string     `json:"engine"`
	CPUs        int        `json:"cpus"`
	MemoryBytes int64      `json:"memory_bytes"`
}

// Hold says that the environment, or one service of it, is to be left as it is.
type Hold struct {
	Service string     `json:"service"`
	Owner   string     `json:"owner"`
	Reason  string     `json:"reason"`
	Since   *time.Time `json:"since"`
	Until   *time.Time `json:"until"`
	Stale   bool       `json:"stale"`
}

// Lock says that somebody acts on a service, or did until their console died.
type Lock struct {
	Owner   string     `json:"owner"`
	Reason  string     `json:"reason"`
	Plan    string     `json:"plan"`
	Host    string     `json:"host"`
	Since   *time.Time `json:"since"`
	Until   *time.Time `json:"until"`
	Expired bool       `json:"expired"`
	Stale   bool       `json:"stale"`
}

// Service is one row.
type Service struct {
	Name        string            `json:"name"`
	Environment string            `json:"environment"`
	Hosts       []string          `json:"hosts"`
	Instances   []Instance        `json:"instances"`
	Desired     *Release          `json:"desired"`
	Running     *Release          `json:"running"`
	Previous    *Release          `json:"previous"`
	Mixed       bool              `json:"mixed"`
	Health      string            `json:"health"`
	Severity    string            `json:"severity"`
	Reasons     []Reason          `json:"reasons"`
	Suspect     *Suspect          `json:"suspect"`
	Metrics     map[string]Metric `json:"metrics"`
	Changes     []Change          `json:"changes"`
	Lock        *Lock             `json:"lock"`
	Hold        *Hold             `json:"hold"`
	Stale       bool              `json:"stale"`
	SeenAt      *time.Time        `json:"seen_at"`
}

// Instance is one container.
type Instance struct {
	ID               string     `json:"id"`
	Name             string     `json:"name"`
	Kind             string     `json:"kind"`
	Host             string     `json:"host"`
	State            string     `json:"state"`
	Health           string     `json:"health"`
	HealthOutput     string     `json:"health_output"`
	Release          Release    `json:"release"`
	Restarts         int        `json:"restarts"`
	ExitCode         int        `json:"exit_code"`
	OOMKilled        bool       `json:"oom_killed"`
	Error            string     `json:"error"`
	CreatedAt        *time.Time `json:"created_at"`
	StartedAt        *time.Time `json:"started_at"`
	FinishedAt       *time.Time `json:"finished_at"`
	LimitCPU         float64    `json:"limit_cpu"`
	LimitMemoryBytes int64      `json:"limit_memory_bytes"`
}

// Release is one version of an artifact.
type Release struct {
	Image   string     `json:"image"`
	Tag     string     `json:"tag"`
	Digest  string     `json:"digest"`
	Commit  string     `json:"commit"`
	Author  string     `json:"author"`
	Subject string     `json:"subject"`
	At      *time.Time `json:"at"`
}

// Reason is why a service needs attention.
type Reason struct {
	Code     string     `json:"code"`
	Severity string     `json:"severity"`
	Text     string     `json:"text"`
	Since    *time.Time `json:"since"`
	Source   string     `json:"source"`
}

// Suspect is the likely cause.
type Suspect struct {
	Text  string     `json:"text"`
	Onset *time.Time `json:"onset"`
}

// Metric is the newest value of a series; null when there is none, with the reason in note.
type Metric struct {
	Unit   string   `json:"unit"`
	Latest *float64 `json:"latest"`
	Note   string   `json:"note"`
	Source string   `json:"source"`
}

// Change is something that happened.
type Change struct {
	Kind    string     `json:"kind"`
	At      *time.Time `json:"at"`
	Service string     `json:"service"`
	Host    string     `json:"host"`
	Who     string     `json:"who"`
	What    string     `json:"what"`
	From    *Release   `json:"from"`
	To      *Release   `json:"to"`
	Source  string     `json:"source"`
}

// MakeStatus turns a snapshot into its document.
func MakeStatus(snap *fleet.Snapshot) Status {
	s := Status{
		Schema: StatusVersion, At: snap.At.UTC(), Environment: snap.Environment, Verdict: verdict(snap),
		Sources: make([]Source, 0, len(snap.Sources)), Hosts: make([]Host, 0, len(snap.Hosts)),
		Services: make([]Service, 0, len(snap.Services)), Changes: changes(snap.Changes),
		Backups: backups(snap), Holds: make([]Hold, 0, len(snap.Holds)),
	}
	for _, h := range snap.Holds {
		s.Holds = append(s.Holds, *hold(&h))
	}
	for _, src := range snap.Sources {
		s.Sources = append(s.Sources, source(src, snap.At))
	}
	for _, h := range snap.Hosts {
		s.Hosts = append(s.Hosts, Host{
			Name: h.Name, Environment: h.Environment, Address: h.Address, Up: h.Up, Error: h.Error,
			Since: when(h.Since), Engine: h.Engine, CPUs: h.CPUs, MemoryBytes: h.Memory,
		})
	}
	for i := range snap.Services {
		s.Services = append(s.Services, service(&snap.Services[i], snap.At))
	}
	return s
}

// verdict prefers what is known to be wrong to what could not be seen.
func verdict(snap *fleet.Snapshot) Verdict {
	for i := range snap.Services {
		if snap.Services[i].Severity >= fleet.SeverityWarning {
			return VerdictAttention
		}
	}
	for i := range snap.Backups {
		for _, r := range snap.Backups[i].Reasons(snap.At) {
			if r.Severity >= fleet.SeverityWarning {
				return VerdictAttention
			}
		}
	}
	for _, s := range snap.Sources {
		if s.State != fleet.SourceOK || s.Stale(snap.At) {
			return VerdictBlind
		}
	}
	return VerdictOK
}

func source(s fleet.SourceStatus, now time.Time) Source {
	out := Source{
		ID: string(s.ID), Kind: s.Kind, Name: s.Name, State: string(s.State), Stale: s.Stale(now), Error: s.Error,
		LatencySeconds: s.Latency.Seconds(), LastSuccess: when(s.LastSuccess), FailingSince: when(s.FailingFrom),
		Detail: s.Detail, Hosts: list(s.Hosts), Warnings: list(s.Warnings),
	}
	if age, ok := s.Age(now); ok {
		seconds := age.Seconds()
		out.AgeSeconds = &seconds
	}
	return out
}

func service(s *fleet.Service, now time.Time) Service {
	out := Service{
		Name: s.Key.Name, Environment: s.Key.Environment, Hosts: list(s.Hosts), Instances: make([]Instance, 0, len(s.Instances)),
		Desired: release(s.Releases.Desired), Running: release(s.Releases.Running), Previous: release(s.Releases.Previous),
		Mixed: s.Releases.Mixed, Health: string(s.Health), Severity: s.Severity.String(),
		Metrics: make(map[string]Metric, len(s.Metrics)),
		Changes: changes(s.Changes), Lock: lock(s.Lock, now), Hold: hold(s.Hold), Stale: s.Stale, SeenAt: when(s.Seen),
	}
	for _, in := range s.Instances {
		out.Instances = append(out.Instances, instance(in))
	}
	out.Reasons = reasons(s.Reasons)
	if s.Suspect != nil {
		out.Suspect = &Suspect{Text: s.Suspect.Text, Onset: when(s.Suspect.Onset)}
	}
	for _, m := range s.Metrics {
		doc := Metric{Unit: string(m.Unit), Note: m.Note, Source: string(m.Source)}
		if m.Has && !math.IsInf(m.Latest, 0) {
			v := m.Latest
			doc.Latest = &v
		}
		out.Metrics[string(m.Name)] = doc
	}
	return out
}

func lock(l *fleet.Lock, now time.Time) *Lock {
	if l == nil {
		return nil
	}
	return &Lock{
		Owner: l.Owner, Reason: l.Reason, Plan: l.Plan, Host: l.Subject.Host, Since: when(l.Since), Until: when(l.Until), Expired: l.Expired(now), Stale: l.Stale,
	}
}

func hold(h *fleet.Hold) *Hold {
	if h == nil {
		return nil
	}
	return &Hold{h.Service, h.Owner, h.Reason, when(h.Since), when(h.Until), h.Stale}
}

func instance(in *fleet.Instance) Instance {
	return Instance{
		ID: in.ID, Name: in.Name, Kind: in.Kind, Host: in.Host, State: string(in.State), Health: string(in.Health),
		HealthOutput: in.HealthOutput, Release: *orEmpty(release(in.Release)), Restarts: in.Life.Restarts,
		ExitCode: in.Life.ExitCode, OOMKilled: in.Life.OOMKilled, Error: in.Life.Error,
		CreatedAt: when(in.Life.CreatedAt), StartedAt: when(in.Life.StartedAt), FinishedAt: when(in.Life.FinishedAt),
		LimitCPU: in.Limits.CPU, LimitMemoryBytes: in.Limits.Memory,
	}
}

func orEmpty(r *Release) *Release {
	if r == nil {
		return &Release{}
	}
	return r
}

func release(r fleet.Release) *Release {
	if r.IsZero() {
		return nil
	}
	return &Release{
		Image: r.Image, Tag: r.Tag, Digest: r.Digest, Commit: r.Commit, Author: r.Author, Subject: r.Subject, At: when(r.At),
	}
}

func changes(in []fleet.Change) []Change {
	out := make([]Change, 0, len(in))
	for _, c := range in {
		out = append(out, Change{
			Kind: string(c.Kind), At: when(c.At), Service: c.Subject.Service, Host: c.Subject.Host, Who: c.Who, What: c.What,
			From: release(c.From), To: release(c.To), Source: string(c.Source),
		})
	}
	return out
}

func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func list(in []string) []string {
	if in == nil {
		return []string{}
	}
	return in
}
