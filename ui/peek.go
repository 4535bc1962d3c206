package ui

import (
	"strings"
	"time"
)

// The rows of the peek: the most it takes, and below which it says nothing useful.
const (
	peekRows    = 8
	peekMinRows = 4
)

// peek is what stands below the list where the detail has no room of its own: the selected
// service's reasons, its suspect and what can be done, so that the first screen names the culprit.
func (m *Model) peek(w, room int, now time.Time) []line {
	svc := m.list.service()
	if svc == nil || room < peekMinRows {
		return nil
	}
	room = min(room, peekRows) - 1
	s := m.subject()
	why := reasonLines(svc, now, w)
	rest := append(suspectLines(svc, w), offerLines(s.offers, w)...)
	if len(why)+len(rest) > room {
		why = why[:max(room-len(rest), 0)] // the worst stands in the row itself
	}
	out := append(why, rest...)
	out = out[:min(len(out), room)]
	name := " " + svc.Key.Name + " "
	rule := ln(sp(tokBorder, "──"), bold(tokTitle, name), sp(tokBorder, strings.Repeat("─", max(w-2-textWidth(name), 0))))
	return append(append([]line{rule}, out...), blank(room-len(out))...)
}
