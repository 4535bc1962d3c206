package prometheus

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/common/model"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// lay puts the samples of a series into their slots.
func lay(g sources.Grid, samples []model.SamplePair) []float64 {
	values := g.Empty()
	for _, s := range samples {
		g.Put(values, s.Timestamp.Time(), float64(s.Value))
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
func (c *combined) add(values []float64, m sources.Merge) {
	c.series++
	if c.values == nil {
		c.values = values
		return
	}
	m.Into(c.values, values)
}

// reader turns the answer to a query into facts.
type reader struct {
	labels sources.Labels
	deps   sources.Deps
	grid   sources.Grid
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
	matrix = slices.DeleteFunc(matrix, func(s *model.SampleStream) bool { return s == nil }) // a "null" in the answer
	bySubject := map[fleet.Subject]*combined{}
	nameless := 0
	twice := countedTwice(matrix)
	for _, series := range matrix {
		subject, named, ours := r.subject(q, series.Metric)
		if !named {
			nameless++
		}
		if !ours || (twice && series.Metric[labelOrigin] == originProcess) {
			continue
		}
		c := bySubject[subject]
		if c == nil {
			c = &combined{}
			bySubject[subject] = c
		}
		values := lay(r.grid, series.Values)
		if target := string(series.Metric[model.InstanceLabel]); q.targets && values[len(values)-1] == 0 && target != "" {
			c.failing = append(c.failing, target)
		}
		c.add(values, q.merge)
	}
	for subject, c := range bySubject {
		facts = append(facts, fleet.MetricFact{
			Subject: subject, Name: q.name, Unit: q.unit, Detail: failing(c.failing),
			Series: r.grid.Series(c.values),
		})
	}
	slices.SortFunc(facts, func(a, b fleet.MetricFact) int { return compareSubjects(a.Subject, b.Subject) })
	if q.custom {
		warnings = r.complain(q, bySubject, nameless, len(matrix))
	}
	return facts, warnings
}

// countedTwice reports whether cAdvisor knows its containers by name alone, without
// Compose's labels: what their processes say of themselves would be added to the same service.
func countedTwice(matrix model.Matrix) bool {
	byName := false
	for _, series := range matrix {
		switch {
		case series.Metric[labelOrigin] == originProcess:
		case series.Metric[labelContainer] != "":
			byName = true
		case series.Metric[labelService] != "":
			return false
		}
	}
	return byName
}

// complain says what a query of the config should do better.
func (r reader) complain(q query, bySubject map[fleet.Subject]*combined, nameless, all int) []string {
	var warnings []string
	for subject, c := range bySubject {
		if c.series > 1 && q.merge == sources.MergeMax {
			warnings = append(warnings, fmt.Sprintf("%s: %d series for %s, the highest is shown: aggregate in the query",
				q.name, c.series, remote.Clean(cmp.Or(subject.Service, subject.Container))))
		}
	}
	slices.Sort(warnings)
	if nameless > 0 {
		warnings = append([]string{fmt.Sprintf("%s: %d of %d series name no service: let the query keep one of the labels %s",
			q.name, nameless, all, strings.Join(r.labels.Service, ", "))}, warnings...)
	}
	return sources.Bounded(warnings)
}

func compareSubjects(a, b fleet.Subject) int {
	return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Container, b.Container), cmp.Compare(a.Host, b.Host))
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
