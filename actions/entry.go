package actions

import (
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// JournalVersion is the version of the journal's lines.
const JournalVersion = 1

// EntryKind says what a line of the journal records.
type EntryKind string

// The kinds of entry. Of one plan they come in this order: plan, events, outcome.
const (
	EntryPlan    EntryKind = "plan"    // what was confirmed: who, what, why, the exact argv
	EntryEvent   EntryKind = "event"   // one Event of the run
	EntryOutcome EntryKind = "outcome" // how it ended; the event "ended" is this entry
	EntryRefused EntryKind = "refused" // a plan that was not started, and why
	EntryNote    EntryKind = "note"    // something about the journal itself
)

// Entry is one line of the journal: one JSON object, snake case, "v" first, "sha256" last.
//
// The chain: "sha256" is the SHA-256, in hexadecimal, of the line with
// `,"sha256":"..."` cut out, and "prev" is the "sha256" of the entry before, over
// the borders of files; it is empty in the first entry of all.
type Entry struct {
	V       int       `json:"v"`
	Seq     uint64    `json:"seq"` // 1, 2, 3... through all files
	At      time.Time `json:"at"`
	Kind    EntryKind `json:"kind"`
	Plan    string    `json:"plan,omitempty"` // the plan's id
	Console string    `json:"console"`        // which process wrote it: "ana@laptop 4711"
	Text    string    `json:"text,omitempty"` // of a note or a refusal
	// RollbackOf is, of a plan that is an automatic rollback, the plan that it takes back.
	RollbackOf string         `json:"rollback_of,omitempty"`
	Record     *PlanRecord    `json:"record,omitempty"` // of a plan: intent, checks and exact argv
	Event      *EventRecord   `json:"event,omitempty"`
	Outcome    *OutcomeRecord `json:"outcome,omitempty"`
	Torn       *TornRecord    `json:"torn,omitempty"`
	Prev       string         `json:"prev"`
	SHA256     string         `json:"sha256,omitempty"`
}

// PlanRecord is a plan as it was confirmed.
type PlanRecord struct {
	Action      string            `json:"action"`
	Title       string            `json:"title"`
	Environment string            `json:"environment"`
	Services    []string          `json:"services"` // "ai"
	Who         string            `json:"who"`
	Why         string            `json:"why,omitempty"`
	Args        map[string]string `json:"args,omitempty"`
	Made        time.Time         `json:"made"`
	Confirm     Confirm           `json:"confirm"` // what was asked for, and given
	Moves       []MoveRecord      `json:"moves"`
	Risks       []string          `json:"risks"`
	Checks      []CheckRecord     `json:"checks"`
	Steps       []StepRecord      `json:"steps"`
	WayBack
}

// WayBack is what would undo a plan. Without an action there is none.
type WayBack struct {
	Undo       map[string]string `json:"undo,omitempty"`        // the args that would put it back
	UndoAction string            `json:"undo_action,omitempty"` // of an older console: "", and the same action
}

// MoveRecord is a Move on record.
type MoveRecord struct {
	Service string        `json:"service"`
	Host    string        `json:"host"`
	From    ReleaseRecord `json:"from"`
	To      ReleaseRecord `json:"to"`
}

// ReleaseRecord names an artifact.
type ReleaseRecord struct {
	Image  string `json:"image"`
	Tag    string `json:"tag"`
	Digest string `json:"digest"`
}

// CheckRecord is a Check on record.
type CheckRecord struct {
	Name   string     `json:"name"`
	State  CheckState `json:"state"`
	Detail string     `json:"detail"`
}

// StepRecord is a Step on record.
type StepRecord struct {
	Name    string   `json:"name"`
	Host    string   `json:"host"`
	Argv    []string `json:"argv"`
	Dir     string   `json:"dir,omitempty"`
	Mutates bool     `json:"mutates"`
	Service string   `json:"service,omitempty"` // in a plan for several: whose step it is
	// Into is the command that its output is piped into.
	Into *PipeRecord `json:"into,omitempty"`
}

// PipeRecord is a Pipe on record.
type PipeRecord struct {
	Host string   `json:"host"`
	Argv []string `json:"argv"`
}

// EventRecord is an Event on record.
type EventRecord struct {
	Kind   EventKind `json:"kind"`
	Step   int       `json:"step"` // index into the plan's steps; -1 when none
	Stream string    `json:"stream,omitempty"`
	Text   string    `json:"text,omitempty"`
	Err    string    `json:"err,omitempty"`
}

// OutcomeRecord is how a plan ended.
type OutcomeRecord struct {
	Outcome Outcome  `json:"outcome"`
	Reasons []string `json:"reasons"`
}

// TornRecord owns up to a line that was cut short by a crash.
type TornRecord struct {
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"` // of the torn bytes
}

// planRecord puts a plan on paper, secrets redacted.
func planRecord(p *Plan, confirm Confirm, r *Redactor) *PlanRecord {
	rec := &PlanRecord{
		Action: p.Intent.Action, Title: r.Text(p.Title), Environment: p.Environment,
		Services: []string{}, Who: r.Text(p.Intent.Who), Why: r.Text(p.Intent.Why), Args: redactArgs(p.Intent.Args, r),
		Made: p.Made.UTC(), Confirm: confirm,
		Moves: []MoveRecord{}, Risks: r.texts(p.Risks), Checks: []CheckRecord{}, Steps: []StepRecord{},
	}
	for _, key := range p.services() {
		rec.Services = append(rec.Services, key.Name)
	}
	for _, m := range p.Moves {
		rec.Moves = append(rec.Moves, MoveRecord{m.Service.Name, m.Host, releaseRecord(m.From), releaseRecord(m.To)})
	}
	for _, c := range p.Checks {
		rec.Checks = append(rec.Checks, CheckRecord{r.Text(c.Name), c.State, r.Text(c.Detail)})
	}
	for _, s := range p.Steps {
		step := StepRecord{Name: r.Text(s.Name), Host: s.Host, Argv: r.Argv(s.Argv), Dir: r.Text(s.Dir), Mutates: s.Mutates}
		if s.Of != nil && len(s.Of.Intent.Targets) > 0 {
			step.Service = s.Of.Intent.Targets[0].Service.Name
		}
		if s.Into != nil {
			step.Into = &PipeRecord{s.Into.Host, r.Argv(s.Into.Argv)}
		}
		rec.Steps = append(rec.Steps, step)
	}
	if p.Undo != nil {
		rec.Undo, rec.UndoAction = redactArgs(p.Undo.Args, r), p.Undo.Action
	}
	return rec
}

func releaseRecord(r fleet.Release) ReleaseRecord {
	return ReleaseRecord{Image: r.Image, Tag: r.Tag, Digest: r.Digest}
}

func redactArgs(args map[string]string, r *Redactor) map[string]string {
	if args == nil {
		return nil
	}
	out := make(map[string]string, len(args))
	for k, v := range args {
		out[k] = r.named(k, v)
	}
	return out
}

// eventEntry puts an event on paper. The last one becomes the outcome.
func eventEntry(ev Event, console string) Entry {
	e := Entry{At: ev.At, Plan: ev.Plan, Console: console}
	if ev.Kind == EventEnded {
		e.Kind = EntryOutcome
		reasons := ev.Reasons
		if reasons == nil {
			reasons = []string{}
		}
		e.Outcome = &OutcomeRecord{Outcome: ev.Outcome, Reasons: reasons}
		return e
	}
	e.Kind = EntryEvent
	e.Event = &EventRecord{Kind: ev.Kind, Step: ev.Step, Stream: ev.Stream, Text: ev.Text, Err: ev.Err}
	return e
}
