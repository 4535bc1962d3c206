package ui

import "github.com/nexgate-hq/nexops/fleet"

// ring keeps the newest lines of a log. Each line has a number that grows for
// ever, so that a place in the log stays the same place while older lines go.
type ring struct {
	lines []fleet.LogLine
	limit int
	first uint64 // number of the oldest line kept
	next  uint64 // number the next line will get
}

func newRing(limit int) *ring { return &ring{limit: max(limit, 1)} }

// add keeps a line, and forgets the oldest one when full.
func (r *ring) add(l fleet.LogLine) {
	if len(r.lines) < r.limit {
		r.lines = append(r.lines, l)
	} else {
		r.lines[r.next%uint64(r.limit)] = l
		r.first++
	}
	r.next++
}

// at gives the line of a number that is kept.
func (r *ring) at(n uint64) *fleet.LogLine { return &r.lines[n%uint64(r.limit)] }

func (r *ring) len() int { return len(r.lines) }
