package ui

import (
	"strconv"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

func itoa(n int) string { return strconv.Itoa(n) }

// column is one column of the attention list.
type column struct {
	title  string
	width  int
	figure bool // right-aligned
	drawn  int  // width of its sparkline
	cell   func(s *fleet.Service, now time.Time, w int) line
}

// The widths of what is measured, and of a sparkline.
const (
	sparkWidth = 6
	sparkWide  = 16 // on a screen with room to spare
	gapWidth   = 2
)

// extents are the widest texts among all services, so that columns do not jump while scrolling.
type extents struct{ service, host, version, change int }

func measure(snap *fleet.Snapshot) extents {
	e := extents{service: 7, host: 4, version: 7, change: 11}
	if snap == nil {
		return e
	}
	for i := range snap.Services {
		s := &snap.Services[i]
		e.service = max(e.service, serviceCell(s, snap.At, 0).width())
		e.host = max(e.host, textWidth(hostText(s)))
		e.version = max(e.version, versionLine(s).width())
		if len(s.Changes) > 0 {
			e.change = max(e.change, textWidth(lastChange(&s.Changes[0]))+5)
		}
	}
	return extents{min(e.service, 24), min(e.host, 16), min(e.version, 28), min(e.change, 19)}
}

// candidate is a column that may be shown.
type candidate struct {
	column
	priority int
	spark    int // priority of its sparkline, 0 for none
	metric   fleet.MetricName
	taken    bool
}

// draw gives the column a sparkline of a width, out of what is free.
func (c *candidate) draw(w int, free *int) {
	more := w + 1
	if c.drawn > 0 {
		more = w - c.drawn
	}
	c.drawn, c.width = w, c.width+more
	*free -= more
	c.cell = metricCell(c.metric, w)
}

// chooseColumns picks the columns that fit, by priority, in their order on the screen.
func chooseColumns(w int, e extents) []column {
	e.version = min(e.version, max(w/8, 12)) // one odd name does not push the figures out
	// The priorities: what is it, which version, does it fail, what changed; then the state, the
	// place, and the figures by how often they decide something.
	all := []candidate{
		{column: column{title: "service", width: e.service, cell: serviceCell}, priority: 0},
		{column: column{title: "host", width: e.host, cell: hostCell}, priority: 5},
		{column: column{title: "state", width: 14, cell: stateCell}, priority: 4},
		{column: column{title: "version", width: e.version, cell: versionCell}, priority: 1},
		{column: metricColumn("rps", 6, fleet.MetricRPS), priority: 6, spark: 12, metric: fleet.MetricRPS},
		{column: metricColumn("errors", 6, fleet.MetricErrorRatio), priority: 2, spark: 8, metric: fleet.MetricErrorRatio},
		{column: metricColumn("p95", 6, fleet.MetricP95), priority: 7},
		{column: column{title: "cpu", width: 8, cell: cpuCell, figure: true}, priority: 11},
		{column: column{title: "memory", width: 9, cell: memoryCell, figure: true}, priority: 10},
		{column: column{title: "↻", width: 3, cell: restartCell, figure: true}, priority: 14},
		{column: metricColumn("log err", 7, fleet.MetricLogErrors), priority: 9, spark: 13, metric: fleet.MetricLogErrors},
		{column: column{title: "last change", width: e.change, cell: changeCell}, priority: 3},
	}
	free := w - 2 // the mark and its space
	for p := range len(all) + 4 {
		for i := range all {
			c := &all[i]
			switch {
			case c.priority == p && c.width+gapWidth <= free:
				c.taken, free = true, free-c.width-gapWidth
			case c.spark == p && p > 0 && c.taken && sparkWidth+1 <= free:
				c.draw(sparkWidth, &free)
			}
		}
	}
	var out []column
	for i := range all {
		if c := &all[i]; c.drawn > 0 && free >= sparkWide-sparkWidth {
			c.draw(sparkWide, &free)
		}
		if all[i].taken {
			out = append(out, all[i].column)
		}
	}
	return out
}

func metricColumn(title string, w int, name fleet.MetricName) column {
	return column{title: title, width: w, figure: true, cell: metricCell(name, 0)}
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

// serviceCell is the name, and in a word what somebody has laid on the service.
func serviceCell(s *fleet.Service, now time.Time, _ int) line {
	out := plain(s.Key.Name)
	if s.Severity >= fleet.SeverityWarning {
		out = ln(bold(tokTitle, s.Key.Name))
	}
	if s.Lock != nil && !s.Lock.Expired(now) {
		return out.put(tokInfo, " locked")
	}
	if s.Hold != nil {
		return out.put(tokInfo, " held")
	}
	return out
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

// metricCell is the newest figure of a metric, with a sparkline of a width beside it.
func metricCell(name fleet.MetricName, drawn int) func(*fleet.Service, time.Time, int) line {
	return func(s *fleet.Service, _ time.Time, w int) line {
		m, ok := s.Metrics.Get(name)
		if drawn > 0 {
			w -= drawn + 1
		}
		value, tok := none, tokFaint
		if ok && m.Has {
			value, tok = quantity(m.Unit, m.Latest), figureToken(s, name, m.Latest)
		}
		out := ln(sp(tok, value)).right(w)
		if drawn == 0 {
			return out
		}
		st := tokChart
		if tok == tokCrit || tok == tokWarn {
			st = tok
		}
		return out.add(sp(tokText, " "), sp(st, spark(recentValues(m.Series, drawn), drawn, sparkFloor(m.Unit))))
	}
}

// sparkFloor is what a full sparkline means at least: 5 % of requests, 10 lines a minute, 200 ms.
func sparkFloor(u fleet.Unit) float64 {
	switch u {
	case fleet.UnitRatio:
		return 0.05
	case fleet.UnitPerMinute:
		return 10
	case fleet.UnitSeconds:
		return 0.2
	case fleet.UnitPerSecond, fleet.UnitCores, fleet.UnitBytes, fleet.UnitBool, fleet.UnitNone:
	}
	return 0
}

// recentValues are the samples of the last quarter of a series: what a short sparkline can tell.
func recentValues(s fleet.Series, w int) []float64 {
	n := len(s.Values)
	return s.Values[n-min(n, max(n/4, w)):]
}

// cpuCell is the cores used, of those it may use when every instance has a limit.
func cpuCell(s *fleet.Service, _ time.Time, _ int) line {
	m, ok := s.Metrics.Get(fleet.MetricCPU)
	if !ok || !m.Has {
		return ln(sp(tokFaint, none))
	}
	out := ln(sp(figureToken(s, fleet.MetricCPU, m.Latest), figure(m.Latest)))
	limit := 0.0
	for _, in := range s.Instances {
		if in.Limits.CPU == 0 {
			return out
		}
		limit += in.Limits.CPU
	}
	if limit > 0 {
		out = out.put(tokDim, "/"+strings.TrimSuffix(figure(limit), ".0"))
	}
	return out
}

func memoryCell(s *fleet.Service, _ time.Time, _ int) line {
	m, ok := s.Metrics.Get(fleet.MetricMemory)
	if !ok || !m.Has {
		return ln(sp(tokFaint, none))
	}
	out := ln(sp(figureToken(s, fleet.MetricMemory, m.Latest), size(m.Latest)))
	var limit int64
	for _, in := range s.Instances {
		if in.Limits.Memory == 0 {
			return out
		}
		limit += in.Limits.Memory
	}
	if limit > 0 {
		out = out.put(tokDim, "/"+size(float64(limit)))
	}
	return out
}

func restartCell(s *fleet.Service, _ time.Time, _ int) line {
	n := 0
	for _, in := range s.Instances {
		n += in.Life.Restarts
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
