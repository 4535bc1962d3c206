package schema

import (
	"time"

	"github.com/nexgate-hq/nexops/actions"
)

// The versions of the documents of "nexops plan" and "nexops journal".
const (
	PlanVersion    = "nexops.plan/v1"
	JournalVersion = "nexops.journal/v1"
)

// Plan is everything an action would do.
type Plan struct {
	Schema      string    `json:"schema"`
	ID          string    `json:"id"`
	Action      string    `json:"action"`
	Title       string    `json:"title"`
	Environment string    `json:"environment"`
	Made        time.Time `json:"made"`
	Runnable    bool      `json:"runnable"`
	Refusal     string    `json:"refusal"`
	Moves       []Move    `json:"moves"`
	Risks       []string  `json:"risks"`
	Preflights  []Check   `json:"preflights"`
	Steps       []Step    `json:"steps"`
	UndoTo      string    `json:"undo_to"`
}

// Move is one service on one host going from one release to another.
type Move struct {
	Service string   `json:"service"`
	Host    string   `json:"host"`
	From    *Release `json:"from"`
	To      *Release `json:"to"`
}

// Check is one preflight.
type Check struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Detail string `json:"detail"`
	// Diff is left out of what is no change of files or resources.
	Diff []string `json:"diff,omitempty"`
}

// Step is one thing the plan does.
type Step struct {
	Name    string   `json:"name"`
	Host    string   `json:"host"`
	Argv    []string `json:"argv"`
	Dir     string   `json:"dir"`
	Mutates bool     `json:"mutates"`
	Into    *Pipe    `json:"into"`
}

// Pipe is the command that a step's output goes into.
type Pipe struct {
	Host string   `json:"host"`
	Argv []string `json:"argv"`
}

// MakePlan turns a plan into its document.
func MakePlan(p *actions.Plan) Plan {
	ok, why := p.Runnable()
	out := Plan{
		Schema: PlanVersion, ID: p.ID, Action: p.Intent.Action, Title: p.Title, Environment: p.Environment,
		Made: p.Made.UTC(), Runnable: ok, Refusal: why, Moves: []Move{}, Risks: list(p.Risks), Preflights: []Check{}, Steps: []Step{},
	}
	for _, m := range p.Moves {
		out.Moves = append(out.Moves, Move{m.Service.Name, m.Host, release(m.From), release(m.To)})
	}
	for _, c := range p.Checks {
		out.Preflights = append(out.Preflights, Check{c.Name, string(c.State), c.Detail, c.Diff})
	}
	for _, s := range p.Steps {
		step := Step{s.Name, s.Host, list(s.Argv), s.Dir, s.Mutates, nil}
		if s.Into != nil {
			step.Into = &Pipe{s.Into.Host, list(s.Into.Argv)}
		}
		out.Steps = append(out.Steps, step)
	}
	if p.Undo != nil {
		out.UndoTo = p.Undo.Args["to"]
	}
	return out
}

// Journal is a list of journal entries, oldest first, each as it is on disk.
type Journal struct {
	Schema  string          `json:"schema"`
	Entries []actions.Entry `json:"entries"`
}

// MakeJournal turns entries into their document.
func MakeJournal(entries []actions.Entry) Journal {
	if entries == nil {
		entries = []actions.Entry{}
	}
	return Journal{Schema: JournalVersion, Entries: entries}
}
