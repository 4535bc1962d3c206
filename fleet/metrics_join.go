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

func (j *joiner) addMetrics(rep *Report, p *places) {
	stale := rep.Status.Stale(j.in.Now)
	for i := range p.metrics {
		at := &p.metrics[i]
		if at.row == nil {
			continue
		}
		j.touch(at.row)
		at.row.series.add(metricInput{fact: &rep.Facts.Metrics[i], source: rep.Status.ID, companion: at.companion, stale: stale})
	}
}

// settleMetrics puts the metrics into the row: those of the last join where nothing they are made of has changed,
// which it reports.
func (j *joiner) settleMetrics(r *row, sameInstances bool) (same bool) {
	list, anew := r.series.end()
	if !anew && sameInstances && r.svc.Metrics != nil {
		return true
	}
	j.metrics = j.metrics[:0]
	j.joinMetrics(list)
	r.svc.Metrics = j.metricRoom.take(len(j.metrics))
	copy(r.svc.Metrics, j.metrics)
	return false
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
func (j *joiner) joinMetrics(series []metricInput) {
	for i := range series {
		in := &series[i]
		if name := in.fact.Name; !in.companion || name == MetricMemoryRatio || name == MetricLogErrors {
			j.addSeries(in)
		}
	}
	for i := range series {
		if in := &series[i]; in.stale {
			if m := j.metrics.named(in.fact.Name); m != nil {
				m.stale = true
			}
		}
	}
	noTraffic(j.metrics)
	if m, ok := memoryRatio(j.metrics, j.main); ok {
		j.metrics = append(j.metrics, m)
	}
}

func (j *joiner) addSeries(in *metricInput) {
	m := j.metrics.named(in.fact.Name)
	if m == nil {
		j.metrics = append(j.metrics, Metric{Name: in.fact.Name, Unit: in.fact.Unit, Source: in.source, Series: in.fact.Series})
		m = &j.metrics[len(j.metrics)-1]
	} else {
		if !m.own {
			m.Series, m.own = cloneSeries(m.Series), true
		}
		m.Series = foldSeries(m.Series, in.fact.Series, combiner(in.fact.Name))
	}
	if m.Note == "" {
		m.Note = in.fact.Detail
	}
	if m.Latest, m.Has = m.Series.Last(); !m.Has {
		m.Latest = 0
	}
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
func noTraffic(list Metrics) {
	rps := list.named(MetricRPS)
	idle := rps != nil && rps.Has && rps.Latest == 0
	for i := range list {
		m := &list[i]
		if m.Has || m.Name != MetricErrorRatio && m.Name != MetricP95 && m.Name != MetricP99 {
			continue
		}
		m.Note = "no data"
		if idle {
			m.Note = "no traffic"
		}
	}
	if idle && rps.Note == "" {
		rps.Note = "no traffic"
	}
}

// memoryRatio computes memory against the limit from the engine's limits
// when no source reports it.
func memoryRatio(have Metrics, list []*Instance) (Metric, bool) {
	mem := have.named(MetricMemory)
	if mem == nil || have.named(MetricMemoryRatio) != nil {
		return Metric{}, false
	}
	var limit int64
	for _, in := range list {
		if in.State != StateRunning {
			continue
		}
		if in.Limits.Memory == 0 {
			return Metric{}, false
		}
		limit += in.Limits.Memory
	}
	if limit == 0 {
		return Metric{}, false
	}
	m := *mem
	m.Name, m.Unit, m.Series = MetricMemoryRatio, UnitRatio, cloneSeries(mem.Series)
	for i := range m.Series.Values {
		m.Series.Values[i] /= float64(limit)
	}
	m.Latest, m.Has = m.Series.Last()
	return m, true
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
