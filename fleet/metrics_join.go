package fleet

import (
	"math"
	"time"
)

// metricInput is one series on its way into a service.
type metricInput struct {
	fact      *MetricFact
	source    SourceID
	companion bool
	stale     bool
}

func (j *joiner) addMetrics(rep Report) {
	stale := rep.Status.Stale(j.in.Now)
	for i := range rep.Facts.Metrics {
		f := &rep.Facts.Metrics[i]
		key, companion, ok := j.resolver.resolve(f.Subject)
		if !ok {
			continue
		}
		r := j.row(key)
		if r.metrics == nil {
			r.metrics = make([]metricInput, 0, 8) // about as many metrics as a service has
		}
		r.metrics = append(r.metrics, metricInput{fact: f, source: rep.Status.ID, companion: companion, stale: stale})
	}
}

// combine says how several series of one metric of one service become one.
type combine func(a, b float64) float64

func combiner(name MetricName) combine {
	switch name {
	case MetricRPS, MetricCPU, MetricMemory, MetricLogErrors:
		return func(a, b float64) float64 { return a + b }
	case MetricUp, MetricProbe:
		return math.Min
	case MetricErrorRatio, MetricP95, MetricP99, MetricMemoryRatio:
		return math.Max
	default:
		return math.Max
	}
}

// joinMetrics makes one metric of all the series of a name. Companions count only where
// adding them does not mislead: a helper's memory ratio and its log errors.
func joinMetrics(r *row) map[MetricName]Metric {
	out := make(map[MetricName]Metric, len(r.metrics)+1)
	var own map[MetricName]bool // whose samples are a copy already: the report's own stay untouched
	for _, in := range r.metrics {
		name := in.fact.Name
		if in.companion && name != MetricMemoryRatio && name != MetricLogErrors {
			continue
		}
		m, found := out[name]
		if found && !own[name] {
			if own == nil {
				own = map[MetricName]bool{}
			}
			m.Series, own[name] = cloneSeries(m.Series), true
		}
		if found {
			m.Series = foldSeries(m.Series, in.fact.Series, combiner(name))
		} else {
			m = Metric{Name: name, Unit: in.fact.Unit, Source: in.source, Series: in.fact.Series}
		}
		if m.Note == "" {
			m.Note = in.fact.Detail
		}
		if m.Latest, m.Has = m.Series.Last(); !m.Has {
			m.Latest = 0
		}
		out[name] = m
	}
	noTraffic(out)
	deriveMemoryRatio(out, r.main)
	return out
}

// staleMetric reports whether some series of the metric is past its source's bound.
func (r *row) staleMetric(name MetricName) bool {
	for _, in := range r.metrics {
		if in.stale && in.fact.Name == name {
			return true
		}
	}
	return false
}

func cloneSeries(s Series) Series {
	s.Values = append([]float64(nil), s.Values...)
	return s
}

// foldSeries combines two series slot by slot; a missing sample leaves the other's.
// Series on different grids are aligned to the one that ends later.
func foldSeries(a, b Series, fold combine) Series {
	if a.Step != b.Step || a.Step <= 0 {
		if b.At(len(b.Values)).After(a.At(len(a.Values))) {
			return cloneSeries(b)
		}
		return a
	}
	shift := int(math.Round(float64(b.Start.Sub(a.Start)) / float64(a.Step)))
	for i, v := range b.Values {
		k := i + shift
		if k < 0 || k >= len(a.Values) || math.IsNaN(v) {
			continue
		}
		if math.IsNaN(a.Values[k]) {
			a.Values[k] = v
			continue
		}
		a.Values[k] = fold(a.Values[k], v)
	}
	return a
}

// noTraffic says of a ratio or latency without a newest sample why it has none.
func noTraffic(ms map[MetricName]Metric) {
	rps, known := ms[MetricRPS]
	for _, name := range []MetricName{MetricErrorRatio, MetricP95, MetricP99} {
		m, ok := ms[name]
		if !ok || m.Has {
			continue
		}
		m.Note = "no data"
		if known && rps.Has && rps.Latest == 0 {
			m.Note = "no traffic"
		}
		ms[name] = m
	}
	if known && rps.Has && rps.Latest == 0 && rps.Note == "" {
		rps.Note = "no traffic"
		ms[MetricRPS] = rps
	}
}

// deriveMemoryRatio computes memory against the limit from the engine's limits
// when no source reports it.
func deriveMemoryRatio(ms map[MetricName]Metric, list []*Instance) {
	mem, ok := ms[MetricMemory]
	if _, has := ms[MetricMemoryRatio]; has || !ok {
		return
	}
	var limit int64
	for _, in := range list {
		if in.State != StateRunning {
			continue
		}
		if in.Limits.Memory == 0 {
			return
		}
		limit += in.Limits.Memory
	}
	if limit == 0 {
		return
	}
	m := mem
	m.Name, m.Unit, m.Series = MetricMemoryRatio, UnitRatio, cloneSeries(mem.Series)
	for i := range m.Series.Values {
		m.Series.Values[i] /= float64(limit)
	}
	m.Latest, m.Has = m.Series.Last()
	ms[MetricMemoryRatio] = m
}

// rise is where a series last went over a bound and stayed there.
type rise struct {
	onset  time.Time // first sample over the bound
	before float64   // typical value before it; NaN when there was none
	at     time.Time // last sample that was not over it
}

// findRise walks back from the newest sample while it is over the bound.
func findRise(s Series, bound float64) (rise, bool) {
	n := len(s.Values)
	if n == 0 || math.IsNaN(s.Values[n-1]) || s.Values[n-1] <= bound {
		return rise{}, false
	}
	first := n - 1
	for i := n - 1; i >= 0; i-- {
		v := s.Values[i]
		if math.IsNaN(v) {
			continue
		}
		if v <= bound {
			break
		}
		first = i
	}
	out := rise{onset: s.At(first), before: math.NaN(), at: s.At(max(first-1, 0))}
	sum, count := 0.0, 0
	for i := max(0, first-15); i < first; i++ {
		if v := s.Values[i]; !math.IsNaN(v) {
			sum, count = sum+v, count+1
		}
	}
	if count > 0 {
		out.before = sum / float64(count)
	}
	return out, true
}
