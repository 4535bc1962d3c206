package ui

import (
	"math"
	"strconv"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

func itoa(n int) string { return strconv.Itoa(n) }

// column is one column of the attention list.
type column struct {
	title  string
	width  int
	figure bool // right-aligned
	cell   func(s *fleet.Service, now time.Time, w int) line
}

// The widths of what is measured, and of a sparkline.
const (
	sparkWidth = 6
	gapWidth   = 2
)

// extents are the widest texts among all services, so that columns do not jump while scrolling.
type extents struct{ service, host, version, change int }

func measure(snap *fleet.Snapshot) extents {
	e := extents{service: 7, host: 4, version: 7, change: 10}
	if snap == nil {
		return e
	}
	for i := range snap.Services {
		s := &snap.Services[i]
		e.service = max(e.service, textWidth(s.Key.Name))
		e.host = max(e.host, textWidth(hostText(s)))
		e.version = max(e.version, versionLine(s).width())
		if len(s.Changes) > 0 {
			e.change = max(e.change, textWidth(lastChange(&s.Changes[0]))+5)
		}
	}
	return extents{min(e.service, 24), min(e.host, 16), min(e.version, 20), min(e.change, 24)}
}

// chooseColumns picks the columns that fit, by priority, in their order on the screen.
func chooseColumns(w int, e extents) []column {
	type candidate struct {
		column
		priority int
		spark    int // priority of its sparkline, 0 for none
		metric   fleet.MetricName
	}
	e.version = min(e.version, max(w/8, 12)) // one odd name does not push the figures out
	// The priorities: what is it, which version, does it fail, what changed; then the state, the
	// place, and the figures by how often they decide something.
	all := []candidate{
		{column: column{"service", e.service, false, serviceCell}, priority: 0},
		{column: column{"host", e.host, false, hostCell}, priority: 5},
		{column: column{"state", 14, false, stateCell}, priority: 4},
		{column: column{"version", e.version, false, versionCell}, priority: 1},
		{metricColumn("rps", 6, fleet.MetricRPS), 6, 12, fleet.MetricRPS},
		{metricColumn("errors", 6, fleet.MetricErrorRatio), 2, 8, fleet.MetricErrorRatio},
		{column: metricColumn("p95", 6, fleet.MetricP95), priority: 7},
		{column: column{"cpu", 5, true, cpuCell}, priority: 11},
		{column: column{"memory", 10, true, memoryCell}, priority: 10},
		{column: column{"↻", 3, true, restartCell}, priority: 14},
		{metricColumn("log err", 7, fleet.MetricLogErrors), 9, 13, fleet.MetricLogErrors},
		{column: column{"last change", e.change, false, changeCell}, priority: 3},
	}
	free := w - 2 // the mark and its space
	taken := make([]bool, len(all))
	for p := range len(all) + 4 {
		for i := range all {
			c := &all[i]
			switch {
			case c.priority == p && c.width+gapWidth <= free:
				taken[i], free = true, free-c.width-gapWidth
			case c.spark == p && p > 0 && taken[i] && sparkWidth+1 <= free:
				c.width, free = c.width+sparkWidth+1, free-sparkWidth-1
				c.cell = metricCell(c.metric, true)
			}
		}
	}
	var out []column
	for i := range all {
		if taken[i] {
			out = append(out, all[i].column)
		}
	}
	return out
}

func metricColumn(title string, w int, name fleet.MetricName) column {
	return column{title, w, true, metricCell(name, false)}
}

func hostText(s *fleet.Service) string {
	switch len(s.Hosts) {
	case 0:
		return none
	case 1:
		return s.Hosts[0]
	default:
		return s.Hosts[0] + " +" + itoa(len(s.Hosts)-1)
	}
}

func serviceCell(s *fleet.Service, _ time.Time, _ int) line {
	if s.Severity >= fleet.SeverityWarning {
		return ln(bold(tokTitle, s.Key.Name))
	}
	return plain(s.Key.Name)
}

func hostCell(s *fleet.Service, _ time.Time, _ int) line { return ln(sp(tokDim, hostText(s))) }

func stateCell(s *fleet.Service, now time.Time, w int) line {
	word, from, tok := stateWord(s)
	ago := since(now, from)
	if s.Stale && s.Health != fleet.HealthUnknown {
		word, ago, tok = "as of", since(now, s.Seen)+" ago", tokDim
	}
	return sides(ln(sp(tok, word)), ln(sp(tokDim, ago)), w)
}

func versionLine(s *fleet.Service) line {
	r := &s.Releases
	version := r.Running.Version()
	if r.Running.IsZero() {
		version = none
	}
	if r.Mixed {
		version = "mixed"
	}
	out := plain(version)
	if r.Mixed {
		out = ln(sp(tokWarn, version))
	}
	if want := drift(r); want != "" {
		out = out.add(sp(tokWarn, "≠"+want))
	}
	return out
}

func versionCell(s *fleet.Service, _ time.Time, _ int) line { return versionLine(s) }

// reasonCode says which reason makes a figure stand out.
func reasonCode(name fleet.MetricName) string {
	switch name {
	case fleet.MetricErrorRatio:
		return "errors"
	case fleet.MetricP95:
		return "latency"
	case fleet.MetricMemory, fleet.MetricMemoryRatio:
		return "memory"
	case fleet.MetricUp:
		return "scrape_down"
	case fleet.MetricProbe:
		return "probe_down"
	default:
		return string(name)
	}
}

// figureToken is how a figure is said: loud when a reason is about it, soft when it is nothing.
func figureToken(s *fleet.Service, name fleet.MetricName, v float64) token {
	for _, r := range s.Reasons {
		if r.Code == reasonCode(name) {
			_, tok := severityMark(r.Severity)
			return tok
		}
	}
	if v == 0 {
		return tokFaint
	}
	return tokText
}

func metricCell(name fleet.MetricName, withSpark bool) func(*fleet.Service, time.Time, int) line {
	return func(s *fleet.Service, _ time.Time, w int) line {
		m, ok := s.Metrics[name]
		if withSpark {
			w -= sparkWidth + 1
		}
		value, tok := none, tokFaint
		if ok && m.Has {
			value, tok = quantity(m.Unit, m.Latest), figureToken(s, name, m.Latest)
		}
		out := ln(sp(tok, value)).right(w)
		if !withSpark {
			return out
		}
		st := tokChart
		if tok == tokCrit || tok == tokWarn {
			st = tok
		}
		return out.add(sp(tokText, " "), sp(st, spark(recentValues(m.Series), sparkWidth, sparkFloor(m.Unit))))
	}
}

// sparkFloor is what a full sparkline means at least: 5 % of requests, 10 lines a minute.
func sparkFloor(u fleet.Unit) float64 {
	switch u {
	case fleet.UnitRatio:
		return 0.05
	case fleet.UnitPerMinute:
		return 10
	case fleet.UnitPerSecond, fleet.UnitSeconds, fleet.UnitCores, fleet.UnitBytes, fleet.UnitBool, fleet.UnitNone:
	}
	return 0
}

// recentValues are the samples of the last quarter of a series: what a short sparkline can tell.
func recentValues(s fleet.Series) []float64 {
	n := len(s.Values)
	return s.Values[n-min(n, max(n/4, sparkWidth)):]
}

func cpuCell(s *fleet.Service, _ time.Time, _ int) line {
	m, ok := s.Metrics[fleet.MetricCPU]
	if !ok || !m.Has {
		return ln(sp(tokFaint, none))
	}
	return ln(sp(figureToken(s, fleet.MetricCPU, m.Latest), strconv.Itoa(int(math.Round(m.Latest*100)))+"%"))
}

func memoryCell(s *fleet.Service, _ time.Time, _ int) line {
	m, ok := s.Metrics[fleet.MetricMemory]
	if !ok || !m.Has {
		return ln(sp(tokFaint, none))
	}
	out := ln(sp(figureToken(s, fleet.MetricMemory, m.Latest), size(m.Latest)))
	var limit int64
	for i := range s.Instances {
		if s.Instances[i].Limits.Memory == 0 {
			return out
		}
		limit += s.Instances[i].Limits.Memory
	}
	if limit > 0 {
		out = out.put(tokDim, "/"+size(float64(limit)))
	}
	return out
}

func restartCell(s *fleet.Service, _ time.Time, _ int) line {
	n := 0
	for i := range s.Instances {
		n += s.Instances[i].Life.Restarts
	}
	tok := tokFaint
	if n > 0 {
		tok = tokWarn
	}
	return ln(sp(tok, itoa(n)))
}

func changeCell(s *fleet.Service, now time.Time, w int) line {
	if len(s.Changes) == 0 {
		return ln(sp(tokFaint, none))
	}
	c := &s.Changes[0]
	tok := tokDim
	if now.Sub(c.At) < time.Hour {
		tok = tokText
	}
	return sides(ln(sp(tok, lastChange(c))), ln(sp(tokDim, since(now, c.At))), w)
}
