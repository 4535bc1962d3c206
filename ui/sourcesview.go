package ui

import (
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// sourceLines is each source with its state, age and figures, what it could not understand, and
// why it fails: all that the header has no room for.
func (m *Model) sourceLines(w int, now time.Time) []line {
	if m.snap == nil || len(m.snap.Sources) == 0 {
		return []line{ln(sp(tokDim, "no source has answered yet"))}
	}
	name, state, old, took := 0, 0, 0, 0
	for _, s := range m.snap.Sources {
		_, _, word := sourceState(s, now)
		a, l := sourceFigures(s, now)
		name, state = max(name, textWidth(string(s.ID))), max(state, textWidth(word))
		old, took = max(old, textWidth(a)), max(took, textWidth(l))
	}
	name = min(name, max(w/2, 10))
	var out []line
	for _, s := range m.snap.Sources {
		mark, tok, word := sourceState(s, now)
		row := ln(bold(tok, mark+" "), sp(tokText, string(s.ID))).truncate(name+2).pad(name+4).put(tok, word).pad(name + 4 + state)
		a, l := sourceFigures(s, now)
		row = append(row, ln(sp(tokDim, a)).right(old)...)
		row = append(row, ln(sp(tokDim, l)).right(took)...)
		if s.Detail != "" {
			row = row.put(tokText, "  "+s.Detail)
		}
		out = append(out, row.truncate(w))
		if s.Error != "" {
			out = append(out, hangingLine(plain("    "), ln(sp(tokText, s.Why())), w)...)
		}
		for _, text := range s.Warnings {
			out = append(out, hangingLine(ln(sp(tokWarn, "  ▲ ")), ln(sp(tokText, text)), w)...)
		}
	}
	return out
}

// sourceFigures are how old what it said is, and how long it took to say it.
func sourceFigures(s fleet.SourceStatus, now time.Time) (old, took string) {
	if a, ok := s.Age(now); ok {
		old = "  " + age(a) + " old"
	}
	if l := latency(s.Latency); l != "" {
		took = "  took " + l
	}
	return old, took
}

// sourceState is how a source is doing: a mark, its colour and a word.
func sourceState(s fleet.SourceStatus, now time.Time) (mark string, tok token, word string) {
	switch {
	case s.State == fleet.SourceFailing:
		return "✖", tokCrit, "failing"
	case s.State == fleet.SourceConnecting:
		return "◌", tokInfo, "connecting"
	case s.Stale(now):
		return "✖", tokCrit, "stale"
	case len(s.Warnings) > 0:
		return "▲", tokWarn, plural(len(s.Warnings), "warning")
	default:
		return "●", tokOK, "ok"
	}
}

// sourcesRect is the place of the list of sources.
func (m *Model) sourcesRect() rect {
	w := centered(m.w, m.h, 110, 1).w
	return centered(m.w, m.h, w, len(m.sourceLines(w-4, m.o.Now()))+2)
}
