package ui

import (
	"slices"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// What a large overview has room for besides what is always said.
const (
	overviewLogHeight = 24 // of the pane, from here the newest lines of the log
	overviewLogRows   = 12
	fewErrors         = 3
	elsewhereRows     = 3
	elsewhereMany     = 12
	elsewhereAge      = 24 * time.Hour
)

// overviewRest fills what is left of a large screen: the figures that decide most as
// charts, what else changed lately, and the newest lines of the log.
func overviewRest(s subject, w, room int) []line {
	if room < 6 || w < 60 {
		return nil
	}
	other := elsewhereLines(s, w, elsewhereRows)
	rows := 5
	if room < 4+len(other)+rows {
		other = nil
	}
	rows = min(rows, room-3)
	out := overviewCharts(s, w, rows)
	if len(other) > 0 && len(out)+len(other)+1 <= room {
		out = append(append(out, nil), other...)
	}
	if log := overviewLog(s, w, min(room-len(out)-1, overviewLogRows)); len(log) > 0 {
		out = append(append(out, nil), log...)
	}
	return out
}

// overviewCharts are the figures that decide most, side by side.
func overviewCharts(s subject, w, rows int) []line {
	names := metricNames(s.service)
	names = names[:min(len(names), min(max(w/38, 2), 6))]
	if len(names) == 0 {
		return nil
	}
	return append([]line{nil}, metricBand(s, names, len(names), w, rows)...)
}

// elsewhereLines are the newest changes of a day of other services and of hosts.
func elsewhereLines(s subject, w, rows int) []line {
	if s.snap == nil {
		return nil
	}
	name := 0
	var found []*fleet.Change
	for i := range s.snap.Changes {
		c := &s.snap.Changes[i]
		if s.now.Sub(c.At) > elsewhereAge || len(found) == rows {
			break
		}
		told := slices.ContainsFunc(found, func(f *fleet.Change) bool {
			return f.Kind == c.Kind && subjectName(f) == subjectName(c) // a crash loop is told once
		})
		if told || subjectName(c) == s.service.Key.Name {
			continue
		}
		found = append(found, c)
		name = max(name, min(textWidth(subjectName(c)), 24))
	}
	var out []line
	for i, c := range found {
		label := ""
		if i == 0 {
			label = "elsewhere"
		}
		row := ln(sp(tokDim, since(s.now, c.At))).right(5).put(tokText, "  ")
		row = append(row, ln(sp(tokText, subjectName(c))).pad(name)...)
		row = row.put(tokDim, "  "+string(c.Kind)+"  ").put(tokText, changeText(c))
		if c.Who != "" {
			row = row.put(tokDim, "  "+c.Who)
		}
		out = append(out, labelled(tokDim, label, row).truncate(w))
	}
	return out
}

// subjectName is what a change is about.
func subjectName(c *fleet.Change) string {
	for _, n := range []string{c.Subject.Service, c.Subject.Host, c.Subject.Container} {
		if n != "" {
			return n
		}
	}
	return string(c.Source)
}

// overviewLog is the newest lines that complain, or the newest at all when none does.
func overviewLog(s subject, w, rows int) []line {
	p := s.logs
	if rows < 2 || p == nil || p.key != s.service.Key || p.ring.len() == 0 {
		return nil
	}
	label, picked := "log errors", newestLines(p, rows, true)
	if len(picked) < min(rows, fewErrors) { // what is said last matters more than an old complaint
		label, picked = "log", newestLines(p, rows, false)
	}
	var out []line
	for i := len(picked) - 1; i >= 0; i-- {
		text, fields := p.format(p.ring.at(picked[i]))
		out = append(out, labelled(tokDim, label, append(text, fields...)).truncate(w))
		label = ""
	}
	return out
}

// lookBack bounds how many lines are read to find those that complain.
const lookBack = 300

// levels remember what was read of the newest lines: they are looked at with every frame.
type levels [lookBack]struct{ text, level string }

// of is the level of a line with a number.
func (l *levels) of(n uint64, text string) string {
	at := &l[n%lookBack]
	if at.text != text || text == "" {
		at.text, at.level = text, parseLog(text).level
	}
	return at.level
}

// newestLines are the numbers of the newest lines, newest first.
func newestLines(p *logPane, rows int, complaints bool) []uint64 {
	var out []uint64
	for i := 0; i < min(p.ring.len(), lookBack) && len(out) < rows; i++ {
		n := p.ring.next - 1 - uint64(i)
		if complaints {
			if level := p.levels.of(n, p.ring.at(n).Text); level != "ERROR" && level != "FATAL" {
				continue
			}
		}
		out = append(out, n)
	}
	return out
}
