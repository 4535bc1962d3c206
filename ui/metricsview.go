package ui

import (
	"sort"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// metricNames are the metrics the service has: those the eye looks for first, then the rest by name.
func metricNames(s *fleet.Service) []fleet.MetricName {
	first := []fleet.MetricName{
		fleet.MetricErrorRatio, fleet.MetricRPS, fleet.MetricP95, fleet.MetricP99, fleet.MetricLogErrors,
		fleet.MetricCPU, fleet.MetricMemory, fleet.MetricMemoryRatio, fleet.MetricProbe, fleet.MetricUp,
	}
	rank := map[fleet.MetricName]int{}
	for i, n := range first {
		rank[n] = i
	}
	names := make([]fleet.MetricName, 0, len(s.Metrics))
	for i := range s.Metrics {
		n := s.Metrics[i].Name
		if _, ok := rank[n]; !ok {
			rank[n] = len(first)
		}
		names = append(names, n)
	}
	sort.Slice(names, func(i, j int) bool {
		if rank[names[i]] != rank[names[j]] {
			return rank[names[i]] < rank[names[j]]
		}
		return names[i] < names[j]
	})
	return names
}

// metricTitle is how a metric is called on the screen.
func metricTitle(n fleet.MetricName) string {
	switch n {
	case fleet.MetricErrorRatio:
		return "errors"
	case fleet.MetricRPS:
		return "requests"
	case fleet.MetricMemoryRatio:
		return "memory of limit"
	case fleet.MetricCPU:
		return "cpu cores"
	default:
		return strings.ReplaceAll(string(n), "_", " ")
	}
}

// metricsView is every metric of the service as a chart over its hour.
func metricsView(s subject, w, h int) []line {
	names := metricNames(s.service)
	if len(names) == 0 {
		return []line{ln(sp(tokDim, "no source reports a metric of "+s.service.Key.Name))}
	}
	cols := max(min(w/36, 4), 1)
	bands := (len(names) + cols - 1) / cols
	rows := min(max((h-bands*3+1)/bands, 2), 10)
	var out []line
	for i := 0; i < len(names); i += cols {
		out = append(out, metricBand(s, names[i:min(i+cols, len(names))], cols, w, rows)...)
		out = append(out, nil)
	}
	return out[:len(out)-1]
}

// metricBand is charts side by side.
func metricBand(s subject, names []fleet.MetricName, cols, w, rows int) []line {
	const gap = 3
	cw := (w - gap*(cols-1)) / cols
	out := make([]line, rows+2)
	for c, n := range names {
		for r, l := range metricCard(s, n, cw, rows) {
			if c > 0 {
				out[r] = out[r].put(tokText, strings.Repeat(" ", gap))
			}
			out[r] = append(out[r], l.pad(cw)...)
		}
	}
	return out
}

// metricCard is one chart: title and figures, bars, time axis with the deploys on it.
func metricCard(s subject, name fleet.MetricName, w, rows int) []line {
	m, _ := s.service.Metrics.Get(name)
	value, tok := none, tokFaint
	if m.Has {
		value, tok = quantity(m.Unit, m.Latest), figureToken(s.service, name, m.Latest)
	}
	head := ln(sp(tokDim, metricTitle(name)+" "), bold(tok, value))
	if !m.Has && m.Note != "" {
		head = head.put(tokDim, " "+m.Note)
	}
	var extremes line
	if lo, hi, ok := extent(m.Series.Values); ok {
		extremes = ln(sp(tokFaint, "min "), sp(tokDim, quantity(m.Unit, lo)), sp(tokFaint, " max "), sp(tokDim, quantity(m.Unit, hi)))
	}
	if head.width()+1+extremes.width() > w {
		extremes = nil // the newest figure is what is looked for
	}
	out := []line{sides(head, extremes, w)}
	st := tokChart
	if tok == tokCrit || tok == tokWarn {
		st = tok
	}
	for _, r := range chart(m.Series.Values, w, rows, sparkFloor(m.Unit)) {
		out = append(out, ln(sp(st, r)))
	}
	return append(out, axis(s, m.Series, w))
}

// axis is the time below a chart, with a mark where a release changed.
func axis(s subject, series fleet.Series, w int) line {
	n := len(series.Values)
	if n < 2 {
		return ln(sp(tokFaint, strings.Repeat("─", w)))
	}
	from, to := series.Start, series.At(n-1)
	ruler := []rune(strings.Repeat("─", w))
	if w >= 20 {
		copy(ruler, []rune(s.o.hour(from)))
		copy(ruler[w-5:], []rune(s.o.hour(to)))
	}
	toks := make([]token, len(ruler))
	for i := range toks {
		toks[i] = tokFaint
	}
	for _, c := range s.service.Changes {
		x := position(c.At, from, to, w)
		if x < 0 || x >= len(ruler) || c.Kind != fleet.ChangeDeploy && c.Kind != fleet.ChangeAction {
			continue
		}
		if x >= w-6 { // the mark says more than the hour it stands on
			copy(ruler[w-5:], []rune("─────"))
		}
		ruler[x], toks[x] = '▲', tokWarn
	}
	var out line
	for i := range ruler {
		if i > 0 && toks[i] == toks[i-1] {
			out[len(out)-1].text += string(ruler[i])
			continue
		}
		out = out.put(toks[i], string(ruler[i]))
	}
	return out
}

// position is the column of a moment, -1 when it is outside.
func position(t, from, to time.Time, w int) int {
	if t.Before(from) || t.After(to) || !to.After(from) {
		return -1
	}
	return int(float64(t.Sub(from)) / float64(to.Sub(from)) * float64(w-1))
}
