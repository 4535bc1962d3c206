package actions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// Unfinished is a plan that began and has no outcome on record.
type Unfinished struct {
	Plan    string
	Began   time.Time
	Console string      // which process ran it
	Record  *PlanRecord // what it was
	Last    Entry       // the last thing on record
	Running bool        // its console is alive and still at it
	// Ended is the end of one that was broken off in the middle, when its console was left or closed: it is on
	// record, and what is true now is not.
	Ended *OutcomeRecord
}

// Words says in one line what was going on.
func (u Unfinished) Words() string {
	at := "before its first step"
	if e := u.Last.Event; e != nil && u.Record != nil && e.Step >= 0 && e.Step < len(u.Record.Steps) {
		step := u.Record.Steps[e.Step]
		where := step.Name
		if step.Host != "" {
			where += " on " + step.Host
		}
		switch e.Kind {
		case EventStepEnded:
			at = "after " + where
		default:
			at = "in the middle of " + where
		}
	} else if e != nil && (e.Kind == EventVerifying || e.Stream == StreamVerify) {
		at = "while it was being verified"
	}
	title := u.Plan
	if u.Record != nil {
		title = u.Record.Title
	}
	if u.Ended != nil {
		return fmt.Sprintf("%s, begun %s by %s, was broken off and ended %s: %s", title, u.Began.UTC().Format("2006-01-02 15:04:05Z"), u.Console,
			u.Ended.Outcome, strings.Join(u.Ended.Reasons, "; "))
	}
	if u.Running {
		return fmt.Sprintf("%s, begun %s, is still being run by %s", title, u.Began.UTC().Format("2006-01-02 15:04:05Z"), u.Console)
	}
	return fmt.Sprintf("%s, begun %s by %s, ended without an outcome %s", title, u.Began.UTC().Format("2006-01-02 15:04:05Z"), u.Console, at)
}

// unfinishedDays is how far back unfinished plans are looked for.
const unfinishedDays = 30

// Unfinished gives the plans that began and never ended, oldest first, so that the next start can tell.
func (j *Journal) Unfinished(now time.Time) ([]Unfinished, error) {
	entries, err := j.Read(Query{Since: now.AddDate(0, 0, -unfinishedDays), Limit: 1_000_000})
	if err != nil {
		return nil, err
	}
	open := map[string]*Unfinished{}
	var order []string
	for _, e := range entries {
		switch {
		case e.Kind == EntryPlan:
			open[e.Plan] = &Unfinished{Plan: e.Plan, Began: e.At, Console: e.Console, Record: e.Record, Last: e}
			order = append(order, e.Plan)
		case e.Kind == EntryOutcome:
			delete(open, e.Plan)
		case open[e.Plan] != nil:
			open[e.Plan].Last = e
		}
	}
	var out []Unfinished
	for _, id := range order {
		if u := open[id]; u != nil {
			u.Running = j.alive(id)
			out = append(out, *u)
		}
	}
	return out, nil
}

// settledEnd is the first reason of an end that was recorded by another console than the plan's own.
const settledEnd = "the console ended before the plan did"

// Settle records the end of a plan whose console is gone, with what is true now.
func (j *Journal) Settle(u Unfinished, now time.Time, console string, state []string) error {
	if u.Running {
		return fmt.Errorf("journal: plan %s is still running in %s", u.Plan, u.Console)
	}
	reasons := append([]string{settledEnd}, state...)
	_, err := j.Append(Entry{
		At: now, Kind: EntryOutcome, Plan: u.Plan, Console: console,
		Outcome: &OutcomeRecord{Outcome: OutcomeUnknown, Reasons: reasons},
	})
	if err == nil {
		_ = os.Remove(j.runningFile(u.Plan)) // left by the console that is gone
	}
	return err
}

// changing reports whether its console died in the middle of a step that changes the world.
func (u Unfinished) changing() bool {
	e := u.Last.Event
	return e != nil && u.Record != nil && (e.Kind == EventStepBegan || e.Kind == EventOutput) &&
		e.Step >= 0 && e.Step < len(u.Record.Steps) && u.Record.Steps[e.Step].Mutates
}

// moves are what the plan was to move.
func (u Unfinished) moves() []Move {
	if u.Record == nil {
		return nil
	}
	var out []Move
	for _, m := range u.Record.Moves {
		out = append(out, Move{
			Service: fleet.ServiceKey{Environment: u.Record.Environment, Name: m.Service}, Host: m.Host,
			From: fleet.Release{Image: m.From.Image, Tag: m.From.Tag, Digest: m.From.Digest},
			To:   fleet.Release{Image: m.To.Image, Tag: m.To.Tag, Digest: m.To.Digest},
		})
	}
	return out
}

// Settle says what is true now about a plan whose console is gone, and puts it on record as the plan's
// end. When it cannot all be read, nothing is recorded and the error says so: the next start looks again.
func (r *Runner) Settle(ctx context.Context, u Unfinished) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timing.Reread)
	defer cancel()
	now := r.now(ctx, u.moves())
	// What the dead console sent may still be at work: it is given as long as after a lost connection.
	for end := u.Last.At.Add(r.Timing.Settle); u.changing() && !now.reached && ctx.Err() == nil && r.Now().Before(end); {
		select {
		case <-ctx.Done():
		case <-time.After(r.Timing.Look):
		}
		now = r.now(ctx, u.moves())
	}
	for i, s := range now.states {
		now.states[i] = r.Redact.Text(plain(s))
	}
	if !now.whole {
		return now.states, errors.New("not all of it can be seen now: the next start looks again")
	}
	if u.Ended != nil {
		return now.states, r.Journal.note(u.Plan, r.Now(), r.console, brokenOff+strings.Join(now.states, "; "))
	}
	// Another console may have been as fast.
	open, err := r.Journal.Unfinished(r.Now())
	if err != nil {
		return now.states, err
	}
	for _, o := range open {
		if o.Plan == u.Plan {
			return now.states, r.Journal.Settle(u, r.Now(), r.console, now.states)
		}
	}
	return now.states, nil
}

func (j *Journal) runningFile(plan string) string {
	return filepath.Join(j.dir, runningDir, safeName(plan))
}

// begin marks a plan as running for as long as this process lives or until done is called.
func (j *Journal) begin(plan string) (done func(), err error) {
	name := j.runningFile(plan)
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // in the journal's own folder
	if err != nil {
		return nil, fmt.Errorf("journal %s: %w", j.dir, err)
	}
	if err := lockFile(f, false); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("journal %s: plan %s: %w", j.dir, plan, err)
	}
	return func() {
		_ = os.Remove(name)
		_ = f.Close()
	}, nil
}

// alive reports whether the process that runs a plan still lives.
func (j *Journal) alive(plan string) bool {
	f, err := os.OpenFile(j.runningFile(plan), os.O_RDWR, 0o600) //nolint:gosec // in the journal's own folder
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	return errors.Is(lockFile(f, false), errLocked)
}

// safeName makes a file name of a name from outside: letters, digits, ".", "-" and "_" stay.
func safeName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		default:
			return '_'
		}
	}, s)
	if s = strings.TrimLeft(s, "."); s == "" {
		return "_"
	}
	const longest = 100
	if len(s) > longest {
		s = s[:longest]
	}
	return s
}
