package actions

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// undoOf begins the reason of an intent that undoes a plan; the plan's id follows.
const undoOf = "undo of "

// Undoable is something that was done and can be put back.
type Undoable struct {
	Intent  Intent
	Title   string // of what was done
	Began   time.Time
	Who     string
	Outcome Outcome // "" when its end is not on record
}

// Words say what would be undone: "redeploy ai on prod: 0.4.2 → 0.4.1, of 2026-11-21 14:03:22Z by ana@laptop, good".
func (u *Undoable) Words() string {
	outcome := string(u.Outcome)
	if outcome == "" {
		outcome = "its end is not on record"
	}
	return fmt.Sprintf("%s, of %s by %s, %s", u.Title, u.Began.UTC().Format("2006-01-02 15:04:05Z"), u.Who, outcome)
}

// deed is a plan on record, and how far it came.
type deed struct {
	Unfinished
	began   map[int]bool // steps
	outcome Outcome
	end     *OutcomeRecord
	settled bool // what came of it after its end is on record
}

// deeds are the plans of the last days, oldest first.
func (j *Journal) deeds(now time.Time) ([]*deed, error) {
	entries, err := j.Read(Query{Since: now.AddDate(0, 0, -unfinishedDays), Limit: 1_000_000})
	if err != nil {
		return nil, err
	}
	by := map[string]*deed{}
	var out []*deed
	for _, e := range entries {
		d := by[e.Plan]
		switch {
		case e.Kind == EntryPlan && e.Record != nil:
			d = &deed{Unfinished: Unfinished{Plan: e.Plan, Began: e.At, Console: e.Console, Record: e.Record}, began: map[int]bool{}}
			by[e.Plan], out = d, append(out, d)
		case d == nil:
		case e.Kind == EntryOutcome && e.Outcome != nil:
			d.outcome, d.end = e.Outcome.Outcome, e.Outcome
			d.settled = len(e.Outcome.Reasons) > 0 && e.Outcome.Reasons[0] == settledEnd
		case settledBy(e):
			d.settled = true
		case e.Event != nil && e.Event.Kind == EventStepBegan:
			d.began[e.Event.Step] = true
		}
	}
	return out, nil
}

// changed are the services that the deed began to change, in the order of its plan.
func (d *deed) changed() []string {
	var out []string
	for i, s := range d.Record.Steps {
		if !s.Mutates || !d.began[i] {
			continue
		}
		names := d.Record.Services
		if s.Service != "" {
			names = []string{s.Service}
		}
		for _, n := range names {
			if !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out
}

// release reports whether the deed was about what runs. A backup or a restart has no way back, and needs
// none: it does not stand before the deploy that came before it.
func (d *deed) release() bool { return len(d.Record.Moves) > 0 || d.Record.Undo != nil }

// Undo is the way back from the last action that changed a service, whichever console of this user did it.
func (j *Journal) Undo(now time.Time, key fleet.ServiceKey, who string) (*Undoable, error) {
	list, err := j.deeds(now)
	if err != nil {
		return nil, err
	}
	for _, d := range slices.Backward(list) {
		if d.Record.Environment == key.Environment && d.release() && slices.Contains(d.changed(), key.Name) {
			return j.undoable(d, []string{key.Name}, who)
		}
	}
	return nil, fmt.Errorf("there is nothing to undo: no action of the last %d days in this journal changed %s", unfinishedDays, key)
}

// UndoPlan is the way back from one plan: from all that it began to change.
func (j *Journal) UndoPlan(now time.Time, plan, who string) (*Undoable, error) {
	list, err := j.deeds(now)
	if err != nil {
		return nil, err
	}
	for _, d := range list {
		if d.Plan != plan {
			continue
		}
		changed := d.changed()
		if len(changed) == 0 && len(d.Record.Services) > 0 {
			return nil, fmt.Errorf("there is nothing to undo: %s changed nothing", d.Record.Title)
		}
		return j.undoable(d, changed, who)
	}
	return nil, fmt.Errorf("plan %s is not in this journal", plan)
}

func (j *Journal) undoable(d *deed, services []string, who string) (*Undoable, error) {
	rec := d.Record
	if d.outcome == "" && j.alive(d.Plan) {
		return nil, fmt.Errorf("%s is still being run by %s: wait for its end", rec.Title, d.Console)
	}
	if rec.Undo == nil && rec.UndoAction == "" {
		return nil, fmt.Errorf("the last action, %s (%s), has no undo", rec.Title, orNothing(string(d.outcome)))
	}
	in := Intent{Action: rec.UndoAction, Args: map[string]string{}, Who: who, Why: undoOf + d.Plan}
	if in.Action == "" {
		in.Action = rec.Action
	}
	for _, name := range services {
		in.Targets = append(in.Targets, fleet.Ref{Service: fleet.ServiceKey{Environment: rec.Environment, Name: name}})
	}
	maps.Copy(in.Args, rec.Undo)
	if len(services) == 1 {
		in = partIntent(in, in.Targets[0])
	} else {
		maps.DeleteFunc(in.Args, func(k, _ string) bool {
			name, _, of := strings.Cut(k, argMark)
			return of && !slices.Contains(services, name)
		})
	}
	return &Undoable{Intent: in, Title: rec.Title, Began: d.Began, Who: rec.Who, Outcome: d.outcome}, nil
}

// Dead reports whether the console that ran a plan of this journal is gone without an end on record, or
// has ended the plan and still left its lock behind.
func (j *Journal) Dead(now time.Time, plan string) bool {
	entries, err := j.Read(Query{Since: now.AddDate(0, 0, -1), Plan: plan, Limit: 1_000_000})
	return err == nil && len(entries) > 0 && !j.alive(plan)
}
