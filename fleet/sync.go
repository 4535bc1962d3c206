package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Sync is what a reconciler would do at its next sync, where a person has to start it.
type Sync struct {
	Name        string // "nexgate-prod"
	Environment string
	State       string // the reconciler's own word: "Pending"
	Commit      string // what it would apply; "" when not known
	Subject     string // that commit's subject line
	Problem     string // why what is pending cannot be told, in words
	Changes     []SyncChange
	Deploys     []SyncDeploy
	Source      SourceID
}

// SyncChange is one resource that the sync would create, update or delete. Its texts hold no secrets.
type SyncChange struct {
	Verb     string // "create", "update", "delete"
	Resource string // "stack nexgate-prod-1"
	Name     string // "nexgate-prod-1"; "" for what cannot be synced by itself
	Before   string
	After    string
}

// SyncDeploy is one stack that the sync would deploy.
type SyncDeploy struct {
	Stack    string
	Host     string // config name; "" when not known
	Reason   string
	After    []string   // stacks that are deployed before it
	Services []string   // whose files differ; none: it cannot be told which
	Files    []SyncFile // that differ from what was deployed
	More     int        // how many more differ, whose texts are not here
}

// SyncFile is one file that differs from what was deployed. Its texts hold no secrets.
type SyncFile struct {
	Path   string // in the infra repo
	Before string
	After  string
}

// Pending is how many things the sync would do.
func (s *Sync) Pending() int { return len(s.Changes) + len(s.Deploys) }

// Words say in a few words what is pending: "3 changes, 1 deploy".
func (s *Sync) Words() string {
	var parts []string
	if n := len(s.Changes); n > 0 {
		parts = append(parts, plural(n, "change", "changes"))
	}
	if n := len(s.Deploys); n > 0 {
		parts = append(parts, plural(n, "deploy", "deploys"))
	}
	return strings.Join(parts, ", ")
}

// ExecutionState is how far something has come that a reconciler was asked to do.
type ExecutionState string

// The states of an execution.
const (
	ExecutionRunning   ExecutionState = "running"
	ExecutionSucceeded ExecutionState = "succeeded" // the reconciler says so, of itself and of all that it began
	ExecutionFailed    ExecutionState = "failed"
	ExecutionUnknown   ExecutionState = "unknown"
)

// Execution is something that a reconciler was asked to do.
type Execution struct {
	ID      string
	What    string // "DeployStack nexgate-prod-1"
	State   ExecutionState
	Reasons []string // why it failed, or is not known
	Began   time.Time
}

// addSyncs takes over what is pending in this environment. What two sources say of one sync, the first by id says.
func (j *joiner) addSyncs(rep Report) {
	for _, s := range rep.Facts.Syncs {
		known := func(o Sync) bool { return o.Name == s.Name }
		if s.Environment != j.in.Environment || slices.ContainsFunc(j.syncs, known) {
			continue
		}
		s.Source = rep.Status.ID
		j.syncs = append(j.syncs, s)
		if rep.Status.Stale(j.in.Now) {
			continue // it may long have been done: it raises nothing
		}
		for _, d := range s.Deploys {
			j.notePending(s.Name, d, rep.Status.ID)
		}
	}
}

// notePending gives the services that a sync would deploy their reason.
func (j *joiner) notePending(sync string, d SyncDeploy, source SourceID) {
	for _, name := range d.Services {
		key, _, ok := j.resolver.resolve(&Subject{Environment: j.in.Environment, Host: d.Host, Service: name})
		if !ok {
			continue
		}
		files := 0
		for _, f := range d.Files {
			if strings.Contains("/"+f.Path, "/"+name+"/") {
				files++
			}
		}
		what := "it is deployed by the next sync"
		if files > 0 {
			what = plural(files, "file differs", "files differ") + " from what was deployed"
			if d.More > 0 {
				what = "at least " + what
			}
		}
		text := fmt.Sprintf("sync pending: %s, %s", sync, what)
		if j.pending == nil {
			j.pending = map[string][]Reason{}
		}
		if !slices.ContainsFunc(j.pending[key.Name], func(o Reason) bool { return o.Text == text }) {
			j.pending[key.Name] = append(j.pending[key.Name], Reason{Code: "sync_pending", Severity: SeverityInfo, Text: text, Source: source})
		}
	}
}

func sortSyncs(list []Sync) {
	slices.SortFunc(list, func(a, b Sync) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Source, b.Source)) })
}

// Stack is a group of services that a reconciler deploys together.
type Stack struct {
	Name        string
	Environment string
	Host        string // config name; "" when not known
	State       string // the reconciler's own word
	Services    []string
}
