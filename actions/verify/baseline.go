package verify

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// baseline is how a service did before, so that it can be said whether it does as well after.
type baseline struct {
	prefix  string // "ai: " when several services are compared
	limits  Limits
	targets Targets
	figures map[fleet.MetricName]figure
}

// figure is one metric before.
type figure struct {
	had    bool    // there were numbers at all
	usual  float64 // what it was in its good times of the last hour
	latest float64 // what it was when the plan was made
	limit  float64 // above it, it is worse
	never  bool    // a check that never succeeded
}

// watched are the metrics that are compared. Health and restarts are not metrics: they come from the engine.
func watched() []fleet.MetricName {
	return []fleet.MetricName{
		fleet.MetricErrorRatio, fleet.MetricP95, fleet.MetricP99, fleet.MetricLogErrors, fleet.MetricMemoryRatio,
		fleet.MetricProbe, fleet.MetricUp,
	}
}

// check reports whether a metric is 0 or 1, and 1 is well.
func check(name fleet.MetricName) bool { return name == fleet.MetricProbe || name == fleet.MetricUp }

// ofRequests reports whether a metric has no number without traffic.
func ofRequests(name fleet.MetricName) bool {
	return name == fleet.MetricErrorRatio || name == fleet.MetricP95 || name == fleet.MetricP99
}

// baselineOf reads the figures before. The usual value is that of the better quarter of the last
// hour: what runs now is most likely bad, which is why somebody redeploys.
func baselineOf(snap *fleet.Snapshot, key fleet.ServiceKey, several bool, set Settings) baseline {
	limits := set.Limits
	b := baseline{limits: limits, targets: set.Targets, figures: map[fleet.MetricName]figure{}}
	if several {
		b.prefix = key.Name + ": "
	}
	svc, ok := snap.Find(key)
	if !ok {
		return b
	}
	for _, name := range watched() {
		m, ok := svc.Metrics.Get(name)
		if !ok {
			continue
		}
		f := figure{latest: math.NaN(), usual: quartile(m.Series.Values)}
		if m.Has {
			f.latest = m.Latest
		}
		f.had = !math.IsNaN(f.usual) || m.Has
		if math.IsNaN(f.usual) {
			f.usual = f.latest
		}
		f.limit = limitOf(name, f.usual, limits)
		f.never = check(name) && f.had && !math.IsNaN(f.latest) && !ever(m.Series.Values, f.latest)
		b.figures[name] = f
	}
	return b
}

// ever reports whether a check has succeeded in the last hour.
func ever(values []float64, latest float64) bool {
	return latest >= 1 || slices.ContainsFunc(values, func(v float64) bool { return v >= 1 })
}

// quartile is the value that a quarter of the numbers stays under; NaN when there is none.
func quartile(values []float64) float64 {
	var v []float64
	for _, x := range values {
		if !math.IsNaN(x) && !math.IsInf(x, 0) {
			v = append(v, x)
		}
	}
	if len(v) == 0 {
		return math.NaN()
	}
	sort.Float64s(v)
	const part = 4
	return v[len(v)/part]
}

// limitOf is how high a figure may be: about twice the usual, with room for noise, and never above the
// configured limits. Memory is bounded by those alone.
func limitOf(name fleet.MetricName, usual float64, l Limits) float64 {
	const (
		twice      = 2
		noErrors   = 0.01 // of requests
		noiseP95   = 0.25 // seconds
		noiseP99   = 0.5  // seconds
		noiseLines = 10   // error lines a minute
	)
	if math.IsNaN(usual) {
		usual = 0
	}
	switch name {
	case fleet.MetricErrorRatio:
		return capped(math.Max(twice*usual, noErrors), l.ErrorRatio)
	case fleet.MetricP95:
		return capped(math.Max(twice*usual, usual+noiseP95), time.Duration(l.P95).Seconds())
	case fleet.MetricP99:
		return capped(math.Max(twice*usual, usual+noiseP99), time.Duration(l.P99).Seconds())
	case fleet.MetricMemoryRatio:
		return capped(math.Inf(1), l.Memory)
	default:
		return capped(math.Max(twice*usual, usual+noiseLines), l.LogErrors)
	}
}

// capped is the lower of two bounds; the second says nothing when it is 0.
func capped(limit, most float64) float64 {
	if most > 0 {
		return math.Min(limit, most)
	}
	return limit
}

// comparison is the figures after against those before.
type comparison struct {
	words  []string // all of them, for the progress
	worse  []string // reasons
	notes  []string // what a good verdict does not rest on
	unseen []string // what was there before and cannot be seen now
}

// add takes in the comparison of another service.
func (c *comparison) add(o comparison) {
	c.words, c.worse = append(c.words, o.words...), append(c.worse, o.worse...)
	c.notes, c.unseen = append(c.notes, o.notes...), append(c.unseen, o.unseen...)
}

// compare looks at the figures as they are now.
func (b baseline) compare(snap *fleet.Snapshot, key fleet.ServiceKey, up, now time.Time) comparison {
	c := b.figuresNow(snap, key, up, now)
	for _, list := range [][]string{c.words, c.worse, c.notes, c.unseen} {
		for i := range list {
			list[i] = b.prefix + list[i]
		}
	}
	return c
}

func (b baseline) figuresNow(snap *fleet.Snapshot, key fleet.ServiceKey, up, now time.Time) comparison {
	var c comparison
	svc, ok := snap.Find(key)
	if !ok {
		return c // that it is gone is said by its views
	}
	for _, name := range watched() {
		if name == fleet.MetricMemoryRatio && b.limits.Memory <= 0 {
			continue // nobody bounds it
		}
		before, known := b.figures[name]
		m, ok := svc.Metrics.Get(name)
		if !known && !ok {
			continue
		}
		if why := blindMetric(snap, m, up, now); ok && why != "" {
			if before.had {
				c.unseen = append(c.unseen, fmt.Sprintf("%s cannot be seen: %s", nameOf(name), why))
			}
			c.words = append(c.words, nameOf(name)+" not seen")
			continue
		}
		if !ok || !m.Has {
			c.without(name, m, before)
			continue
		}
		if check(name) {
			c.checked(name, m, before)
			continue
		}
		limit := before.limit
		if !known {
			limit = limitOf(name, math.NaN(), b.limits)
		}
		c.figure(name, m.Latest, before, limit)
		if target := b.target(name); target > 0 && m.Latest > target && m.Latest <= limit {
			c.notes = append(c.notes, fmt.Sprintf("%s %s, the target is %s", nameOf(name), value(name, m.Latest), value(name, target)))
		}
	}
	c.cpu(svc, b.limits.CPU)
	if len(c.words) == 0 {
		c.words = []string{"no metrics"}
		c.notes = []string{"no metrics: health and restarts decided"}
	}
	return c
}

// figure takes in one that has a number.
func (c *comparison) figure(name fleet.MetricName, latest float64, before figure, limit float64) {
	c.words = append(c.words, fmt.Sprintf("%s %s", nameOf(name), value(name, latest)))
	if latest > limit {
		c.worse = append(c.worse, worseWords(name, latest, before, limit))
	}
}

// checked takes in a check from outside. One that never succeeded before says nothing of what was done.
func (c *comparison) checked(name fleet.MetricName, m fleet.Metric, before figure) {
	if m.Latest >= 1 {
		if name == fleet.MetricProbe {
			c.words = append(c.words, "probe ok")
		}
		return
	}
	text := nameOf(name)
	if d := remote.Clean(m.Note); d != "" {
		text += ": " + d
	}
	c.words = append(c.words, text)
	if before.never {
		c.notes = append(c.notes, text+", as it did before")
		return
	}
	c.worse = append(c.worse, text)
}

// cpu compares the cores in use with those that the instances may use.
func (c *comparison) cpu(svc *fleet.Service, most float64) {
	m, ok := svc.Metrics.Get(fleet.MetricCPU)
	if most <= 0 || !ok || !m.Has {
		return
	}
	limit := 0.0
	for _, in := range svc.Instances {
		if in.State == fleet.StateRunning && !in.OneOff {
			if in.Limits.CPU <= 0 {
				return
			}
			limit += in.Limits.CPU
		}
	}
	if limit <= 0 {
		return
	}
	c.words = append(c.words, "cpu "+fleet.Percent(m.Latest/limit))
	if m.Latest/limit > most {
		c.worse = append(c.worse, fmt.Sprintf("cpu %s of limit > %s", fleet.Percent(m.Latest/limit), fleet.Percent(most)))
	}
}

// target is what a figure should stay under; 0 when there is none.
func (b baseline) target(name fleet.MetricName) float64 {
	switch name {
	case fleet.MetricErrorRatio:
		return b.targets.ErrorRatio
	case fleet.MetricP95:
		return time.Duration(b.targets.P95).Seconds()
	case fleet.MetricP99:
		return time.Duration(b.targets.P99).Seconds()
	default:
		return 0
	}
}

// without takes in a figure that has no number. No traffic is said, and counts neither way; figures of requests
// that were there and are gone while there is traffic cannot be compared.
func (c *comparison) without(name fleet.MetricName, m fleet.Metric, before figure) {
	if name == fleet.MetricMemoryRatio || (check(name) && !before.had) {
		return
	}
	note := fmt.Sprintf("%s: %s", nameOf(name), orElse(remote.Clean(m.Note), "no data"))
	c.words = append(c.words, note)
	if before.had && ofRequests(name) && !strings.Contains(m.Note, "no traffic") {
		c.unseen = append(c.unseen, note)
		return
	}
	c.notes = append(c.notes, note)
}

// blindMetric says why a metric shows nothing from after the change; "" when it does.
func blindMetric(snap *fleet.Snapshot, m fleet.Metric, up, now time.Time) string {
	for _, s := range snap.Sources {
		if s.ID != m.Source {
			continue
		}
		switch {
		case s.State == fleet.SourceFailing:
			return remote.Clean(string(s.ID) + " fails: " + s.Error)
		case s.Stale(now) || !s.LastSuccess.After(up):
			return string(s.ID) + " has said nothing since"
		}
	}
	return ""
}

func worseWords(name fleet.MetricName, latest float64, before figure, limit float64) string {
	was := "no figures before"
	if before.had {
		was = value(name, before.usual) + " usually"
		if !math.IsNaN(before.latest) && before.latest > limit {
			was += ", " + value(name, before.latest) + " right before"
		}
	}
	return fmt.Sprintf("%s %s > %s (%s)", nameOf(name), value(name, latest), value(name, limit), was)
}

func nameOf(name fleet.MetricName) string {
	switch name {
	case fleet.MetricErrorRatio:
		return "errors"
	case fleet.MetricP95:
		return "p95"
	case fleet.MetricLogErrors:
		return "log errors"
	case fleet.MetricMemoryRatio:
		return "memory"
	case fleet.MetricProbe:
		return "probe fails"
	case fleet.MetricUp:
		return "metrics cannot be scraped"
	default:
		return string(name)
	}
}

func value(name fleet.MetricName, v float64) string {
	switch name {
	case fleet.MetricErrorRatio, fleet.MetricMemoryRatio:
		return fleet.Percent(v)
	case fleet.MetricP95, fleet.MetricP99:
		return fleet.Seconds(v)
	default:
		return fleet.Rate(v) + "/min"
	}
}
