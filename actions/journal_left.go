package actions

import (
	"slices"
	"strings"
	"time"
)

// brokenOff begins the note that says what was true after a plan that was broken off.
const brokenOff = "what came of it, seen at a later start: "

// leftHours is how far back the next start tells of plans that were broken off.
const leftHours = 24

// Left gives what the next start has to tell of, oldest first: the plans without an end, and those of the last day
// that were broken off in the middle (cancelled, or not known how they ended) when no later action has changed
// the same services, and nobody has looked since what came of them.
func (j *Journal) Left(now time.Time) ([]Unfinished, error) {
	open, err := j.Unfinished(now)
	if err != nil {
		return nil, err
	}
	list, err := j.deeds(now)
	if err != nil {
		return nil, err
	}
	for i, d := range list {
		broken := d.end != nil && (d.outcome == OutcomeCancelled || d.outcome == OutcomeUnknown) && !d.settled
		if !broken || len(d.changed()) == 0 || d.Began.Before(now.Add(-leftHours*time.Hour)) || d.overtaken(list[i+1:]) {
			continue
		}
		u := d.Unfinished
		u.Ended = d.end
		open = append(open, u)
	}
	slices.SortStableFunc(open, func(a, b Unfinished) int { return a.Began.Compare(b.Began) })
	return open, nil
}

// overtaken reports whether a later deed has changed what this one changed.
func (d *deed) overtaken(later []*deed) bool {
	for _, l := range later {
		if l.Record.Environment != d.Record.Environment {
			continue
		}
		for _, name := range l.changed() {
			if slices.Contains(d.changed(), name) {
				return true
			}
		}
	}
	return false
}

// settledBy reports whether an entry says what came of a plan that had ended.
func settledBy(e Entry) bool { return e.Kind == EntryNote && strings.HasPrefix(e.Text, brokenOff) }

// note puts a sentence about a plan on record.
func (j *Journal) note(plan string, now time.Time, console, text string) error {
	_, err := j.Append(Entry{At: now, Kind: EntryNote, Plan: plan, Console: console, Text: text})
	return err
}
