package fleet

import (
	"fmt"
	"math"
	"time"
)

// metricReasons are those that the series give. A stale series gives none.
func (j *joiner) metricReasons(r *row, t Thresholds) []Reason {
	fresh := func(name MetricName) (*Metric, bool) {
		m := r.svc.Metrics.named(name)
		return m, m != nil && m.Has && !m.stale
	}
	var out []Reason
	if m, ok := fresh(MetricErrorRatio); ok && enoughTraffic(r.svc.Metrics, t) {
		out = append(out, bounded(m, "errors", t.ErrorRatioWarning, t.ErrorRatioCritical, Percent)...)
	}
	if m, ok := fresh(MetricP95); ok {
		out = append(out, bounded(m, "latency", t.P95Warning.Seconds(), t.P95Critical.Seconds(), Seconds)...)
	}
	if m, ok := fresh(MetricMemoryRatio); ok {
		out = append(out, ofLimit(m, "memory", t.MemoryWarning, t.MemoryCritical)...)
	}
	if m, ok := fresh(MetricCPU); ok {
		out = append(out, cpuReason(m, j.main, t)...)
	}
	if m, ok := fresh(MetricLogErrors); ok {
		out = append(out, bounded(m, "log_errors", t.LogErrorsWarning, math.Inf(1), Rate)...)
	}
	if m, ok := fresh(MetricProbe); ok && m.Latest < 1 {
		out = append(out, Reason{Code: "probe_down", Severity: SeverityCritical, Text: withDetail("probe fails", m.Note), Source: m.Source})
	}
	if m, ok := fresh(MetricUp); ok && m.Latest < 1 {
		out = append(out, Reason{Code: "scrape_down", Severity: SeverityWarning, Text: withDetail("metrics cannot be scraped", m.Note), Source: m.Source})
	}
	return out
}

func withDetail(text, detail string) string {
	if detail == "" {
		return text
	}
	return text + ": " + detail
}

// enoughTraffic keeps a single failed request at night from being 100 % errors.
func enoughTraffic(ms Metrics, t Thresholds) bool {
	rps := ms.named(MetricRPS)
	return rps == nil || !rps.Has || rps.Latest*60 >= t.MinRequestsPerMin
}

// reasonNoun is how a reason's figure is introduced.
func reasonNoun(code string) (noun, unit string) {
	switch code {
	case "latency":
		return "p95 ", ""
	case "log_errors":
		return "log errors ", "/min"
	default:
		return code + " ", ""
	}
}

// bounded compares the newest sample with two bounds and says since when it is over the milder.
func bounded(m *Metric, code string, warn, crit float64, figure func(float64) string) []Reason {
	if m.Latest <= warn {
		return nil
	}
	sev, bound := SeverityWarning, warn
	if m.Latest > crit {
		sev, bound = SeverityCritical, crit
	}
	noun, unit := reasonNoun(code)
	text := noun + figure(m.Latest) + unit + " > " + figure(bound) + unit
	var since time.Time
	if up, ok := findRise(m.Series, warn); ok {
		since = up.onset
		if !math.IsNaN(up.before) && up.before <= warn {
			text = noun + figure(up.before) + " → " + figure(m.Latest) + unit + " (bound " + figure(bound) + ")"
		}
	}
	return []Reason{{Code: code, Severity: sev, Text: text, Since: since, Source: m.Source}}
}

func ofLimit(m *Metric, code string, warn, crit float64) []Reason {
	if m.Latest <= warn {
		return nil
	}
	sev := SeverityWarning
	if m.Latest > crit {
		sev = SeverityCritical
	}
	var since time.Time
	if up, ok := findRise(m.Series, warn); ok {
		since = up.onset
	}
	return []Reason{{Code: code, Severity: sev, Text: fmt.Sprintf("%s %s of limit", code, Percent(m.Latest)), Since: since, Source: m.Source}}
}

func cpuReason(m *Metric, list []*Instance, t Thresholds) []Reason {
	limit := 0.0
	for _, in := range list {
		if in.State != StateRunning {
			continue
		}
		if in.Limits.CPU == 0 {
			return nil
		}
		limit += in.Limits.CPU
	}
	if limit == 0 {
		return nil
	}
	if m.Latest/limit <= t.CPUWarning {
		return nil
	}
	part := *m
	part.Series = cloneSeries(m.Series)
	for i := range part.Series.Values {
		part.Series.Values[i] /= limit
	}
	part.Latest /= limit
	return ofLimit(&part, "cpu", t.CPUWarning, math.Inf(1))
}

// thresholds are the defaults, overridden by the estate's and then by the service's own.
func (r Rules) thresholds(service string) Thresholds {
	t := DefaultThresholds()
	t.override(r.Thresholds)
	if own, ok := r.Services[service]; ok {
		t.override(own)
	}
	return t
}

// DefaultThresholds are those used where the config says nothing.
func DefaultThresholds() Thresholds {
	return Thresholds{
		ErrorRatioWarning: 0.01, ErrorRatioCritical: 0.05,
		P95Warning: time.Second, P95Critical: 5 * time.Second,
		MemoryWarning: 0.90, MemoryCritical: 0.97, CPUWarning: 0.90,
		LogErrorsWarning: 10, RestartsWarning: 1, RestartsCritical: 3,
		MinRequestsPerMin: 3, StartingGrace: 2 * time.Minute,
	}
}

// override takes over what o sets.
func (t *Thresholds) override(o Thresholds) {
	set(&t.ErrorRatioWarning, o.ErrorRatioWarning)
	set(&t.ErrorRatioCritical, o.ErrorRatioCritical)
	set(&t.P95Warning, o.P95Warning)
	set(&t.P95Critical, o.P95Critical)
	set(&t.MemoryWarning, o.MemoryWarning)
	set(&t.MemoryCritical, o.MemoryCritical)
	set(&t.CPUWarning, o.CPUWarning)
	set(&t.LogErrorsWarning, o.LogErrorsWarning)
	set(&t.RestartsWarning, o.RestartsWarning)
	set(&t.RestartsCritical, o.RestartsCritical)
	set(&t.MinRequestsPerMin, o.MinRequestsPerMin)
	set(&t.StartingGrace, o.StartingGrace)
}

func set[T comparable](to *T, from T) {
	var zero T
	if from != zero {
		*to = from
	}
}
