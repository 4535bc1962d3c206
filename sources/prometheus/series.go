package prometheus

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// grid is the evenly spaced moments of one observation; the last one is its end.
type grid struct {
	start time.Time
	step  time.Duration
	slots int
}

func newGrid(end time.Time) grid {
	end = end.Truncate(time.Millisecond) // as fine as Prometheus counts
	return grid{start: end.Add(-span), step: step, slots: int(span/step) + 1}
}

func (g grid) end() time.Time { return g.start.Add(time.Duration(g.slots-1) * g.step) }

// slot is the place of a moment; a server that rounds its own way is followed to half a step.
func (g grid) slot(at time.Time) (int, bool) {
	d := at.Sub(g.start)
	if d < -g.step/2 || d > time.Duration(g.slots)*g.step {
		return 0, false
	}
	i := int((d + g.step/2) / g.step)
	return i, i >= 0 && i < g.slots
}

func (g grid) empty() []float64 {
	values := make([]float64, g.slots)
	for i := range values {
		values[i] = math.NaN()
	}
	return values
}

// lay puts samples into their slots. A slot without one, and what is no number a
// person could read (0/0 of no traffic, ±Inf), is NaN.
func (g grid) lay(samples []model.SamplePair) []float64 {
	values := g.empty()
	for _, s := range samples {
		i, ok := g.slot(s.Timestamp.Time())
		if v := float64(s.Value); ok && !math.IsInf(v, 0) {
			values[i] = v
		}
	}
	return values
}

// combined is the one series of a subject, made of one or more.
type combined struct {
	values  []float64
	series  int
	failing []string // targets that are 0 now
}

// add merges further values in; a missing sample says nothing.
func (c *combined) add(values []float64, m merge) {
	c.series++
	if c.values == nil {
		c.values = values
		return
	}
	for i, v := range values {
		switch old := c.values[i]; {
		case math.IsNaN(v):
		case math.IsNaN(old):
			c.values[i] = v
		case m == mergeSum:
			c.values[i] = old + v
		case m == mergeMax:
			c.values[i] = max(old, v)
		default:
			c.values[i] = min(old, v)
		}
	}
}

// reader turns the answer to a query into facts.
type reader struct {
	labels sources.Labels
	deps   sources.Deps
	grid   grid
}

// subject says what a series is about, and whether it is of the open environment.
func (r reader) subject(q query, metric model.Metric) (subject fleet.Subject, named, ours bool) {
	get := func(name string) string { return string(metric[model.LabelName(name)]) }
	labels, deps := r.labels, r.deps
	if !q.custom {
		labels = sources.Labels{
			Service: []string{labelService}, Environment: []string{labelEnvironment},
			Host: []string{labelHost}, Container: []string{labelContainer},
		}
	}
	if q.scoped && sources.First(labels.Environment, get) == "" {
		deps.Environments = nil // the query itself has chosen the environment
	}
	subject, ours = labels.Subject(get, deps)
	return subject, subject.Service != "" || subject.Container != "", ours
}

// read gives one fact a subject, sorted, and what could not be understood.
func (r reader) read(q query, matrix model.Matrix) (facts []fleet.MetricFact, warnings []string) {
	bySubject := map[fleet.Subject]*combined{}
	nameless := 0
	for _, series := range matrix {
		subject, named, ours := r.subject(q, series.Metric)
		if !named {
			nameless++
		}
		if !ours {
			continue
		}
		c := bySubject[subject]
		if c == nil {
			c = &combined{}
			bySubject[subject] = c
		}
		values := r.grid.lay(series.Values)
		if target := string(series.Metric[model.InstanceLabel]); q.targets && values[len(values)-1] == 0 && target != "" {
			c.failing = append(c.failing, target)
		}
		c.add(values, q.merge)
	}
	if nameless > 0 && q.custom {
		warnings = append(warnings, fmt.Sprintf(
			"%s: %d of %d series name no service: let the query keep one of the labels %s",
			q.name, nameless, len(matrix), strings.Join(r.labels.Service, ", ")))
	}
	for subject, c := range bySubject {
		facts = append(facts, fleet.MetricFact{
			Subject: subject, Name: q.name, Unit: q.unit, Detail: failing(c.failing),
			Series: fleet.Series{Start: r.grid.start, Step: r.grid.step, Values: c.values},
		})
		if q.custom && c.series > 1 && q.merge == mergeMax {
			warnings = append(warnings, fmt.Sprintf(
				"%s: %d series for %s, the highest is shown: aggregate in the query",
				q.name, c.series, cmp.Or(subject.Service, subject.Container)))
		}
	}
	slices.SortFunc(facts, func(a, b fleet.MetricFact) int { return compareSubjects(a.Subject, b.Subject) })
	slices.Sort(warnings)
	return facts, bounded(warnings)
}

func compareSubjects(a, b fleet.Subject) int {
	return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Container, b.Container), cmp.Compare(a.Host, b.Host))
}

// bounded keeps a wrong query from filling the screen with the same complaint.
func bounded(warnings []string) []string {
	const most = 3
	if len(warnings) <= most {
		return warnings
	}
	return append(warnings[:most:most], fmt.Sprintf("and %d more like it", len(warnings)-most))
}

// failing names the targets that fail, a few of many.
func failing(targets []string) string {
	const most = 3
	slices.Sort(targets)
	targets = slices.Compact(targets)
	for i, t := range targets {
		targets[i] = remote.Clean(t)
	}
	if len(targets) > most {
		return strings.Join(targets[:most], ", ") + fmt.Sprintf(" and %d more", len(targets)-most)
	}
	return strings.Join(targets, ", ")
}
