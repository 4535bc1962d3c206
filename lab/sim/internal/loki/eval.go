package loki

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

const (
	settled  = 10 * time.Second // older lines do not change any more
	maxParts = 50_000
)

// run gives what the pipeline leaves of a line of the stream.
func (x *logExpr) run(st *stream, l world.Line) (*entry, bool) {
	e := &entry{at: l.At, text: l.Text, stream: st.labels, extra: map[string]string{detectedLevel: level(l.Text)}}
	for _, s := range x.stages {
		if !s(e) {
			return nil, false
		}
	}
	return e, true
}

// sample is what one line counts for.
type sample struct {
	at    int64 // nanoseconds
	value float64
}

// series are the samples of one set of labels, in order of time.
type series struct {
	labels  labels.Labels
	samples []sample
}

// part names what a range makes of one minute of one stream.
type part struct {
	query  string
	stream string
	minute int64
}

// memory keeps the parts that were made. A console asks the same hour again and again,
// and only its last minute is ever new.
type memory struct {
	mu    sync.Mutex
	parts map[part][]series
}

func (m *memory) get(p part) ([]series, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list, ok := m.parts[p]
	return list, ok
}

func (m *memory) put(p part, list []series) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.parts) >= maxParts || m.parts == nil {
		m.parts = map[part][]series{}
	}
	m.parts[p] = list
}

// grid are the moments at which a metric query is answered.
type grid struct {
	start, end time.Time
	step       time.Duration // 0 is one moment
}

func (g grid) moments() int {
	if g.step <= 0 {
		return 1
	}
	return int(g.end.Sub(g.start)/g.step) + 1
}

func (g grid) at(i int) time.Time { return g.start.Add(time.Duration(i) * g.step) }

// row is a series of answers, one a moment; NaN is none.
type row struct {
	labels labels.Labels
	values []float64
}

// evaluate answers a metric query.
func (s *Server) evaluate(ctx context.Context, m *metricExpr, g grid) (model.Matrix, error) {
	found, err := s.selectSamples(ctx, m.rangeOf(), g)
	if err != nil {
		return nil, err
	}
	rows := m.rows(found, g)
	if len(rows) > maxSeries {
		return nil, fmt.Errorf("maximum of series (%d) reached for a single query", maxSeries)
	}
	out := model.Matrix{}
	for _, r := range rows {
		stream := &model.SampleStream{Metric: metricOf(r.labels)}
		for i, v := range r.values {
			if !math.IsNaN(v) {
				stream.Values = append(stream.Values, model.SamplePair{Timestamp: model.TimeFromUnixNano(g.at(i).UnixNano()), Value: model.SampleValue(v)})
			}
		}
		if len(stream.Values) > 0 {
			out = append(out, stream)
		}
	}
	sort.Sort(out)
	return out, nil
}

func metricOf(ls labels.Labels) model.Metric {
	out := model.Metric{}
	ls.Range(func(l labels.Label) { out[model.LabelName(l.Name)] = model.LabelValue(l.Value) })
	return out
}

// selectSamples reads the lines that the range looks at, in parts of a minute, most of which are remembered.
func (s *Server) selectSamples(ctx context.Context, m *metricExpr, g grid) ([]*series, error) {
	now := s.world.Now()
	found := map[string]*series{}
	var out []*series
	for _, st := range streams(s.world, m.logs.matchers) {
		if ctx.Err() != nil {
			return nil, ctx.Err() //nolint:wrapcheck // the client has gone
		}
		name := part{query: m.op + m.logs.text, stream: st.labels.String()}
		begin := g.start.Add(-m.window).Truncate(time.Minute)
		for from := begin; !from.After(g.end); from = from.Add(time.Minute) {
			list, err := s.minute(name, st, m, from, now)
			if err != nil {
				return nil, err
			}
			for _, one := range list {
				key := one.labels.String()
				if found[key] == nil {
					found[key] = &series{labels: one.labels}
					out = append(out, found[key])
				}
				found[key].samples = append(found[key].samples, one.samples...)
			}
		}
	}
	for _, one := range out {
		slices.SortStableFunc(one.samples, func(a, b sample) int { return int(a.at - b.at) })
	}
	return out, nil
}

// minute makes the samples of a minute, or remembers them.
func (s *Server) minute(name part, st *stream, m *metricExpr, from, now time.Time) ([]series, error) {
	to := from.Add(time.Minute)
	whole := to.Before(now.Add(-settled))
	name.minute = from.Unix()
	if whole {
		if list, ok := s.known.get(name); ok {
			return list, nil
		}
	}
	var list []series
	index := map[string]int{}
	for _, l := range st.lines(from, to, now) {
		e, ok := m.logs.run(st, l)
		if !ok {
			continue
		}
		ls := e.labels()
		if kind := e.label(errorLabel); kind != "" {
			return nil, fmt.Errorf("pipeline error: '%s' for series: '%s'.\nUse a label filter to intentionally skip this error. (e.g | __error__!=%q)", kind, ls, kind)
		}
		i, known := index[ls.String()]
		if !known {
			i = len(list)
			index[ls.String()] = i
			list = append(list, series{labels: ls})
		}
		value := 1.0
		if m.op == "bytes_over_time" || m.op == "bytes_rate" {
			value = float64(len(e.text))
		}
		list[i].samples = append(list[i].samples, sample{at: l.At.UnixNano(), value: value})
	}
	if whole {
		s.known.put(name, list)
	}
	return list, nil
}

// rows evaluates the expression over the samples of its range.
func (m *metricExpr) rows(found []*series, g grid) []row {
	out := m.plain(found, g)
	if m.factor != 0 {
		for _, r := range out {
			for i := range r.values {
				r.values[i] *= m.factor
			}
		}
	}
	return out
}

// plain is the expression without its factor.
func (m *metricExpr) plain(found []*series, g grid) []row {
	if m.inner == nil {
		out := make([]row, len(found))
		for i, one := range found {
			out[i] = row{labels: one.labels, values: m.windows(one.samples, g)}
		}
		return out
	}
	type group struct {
		labels labels.Labels
		values []float64
		counts []int
	}
	groups := map[string]*group{}
	var order []*group
	for _, r := range m.inner.rows(found, g) {
		ls := m.group(r.labels)
		at := groups[ls.String()]
		if at == nil {
			at = &group{labels: ls, values: make([]float64, g.moments()), counts: make([]int, g.moments())}
			groups[ls.String()] = at
			order = append(order, at)
		}
		for i, v := range r.values {
			if math.IsNaN(v) {
				continue
			}
			at.values[i] = m.fold(at.values[i], v, at.counts[i])
			at.counts[i]++
		}
	}
	out := make([]row, len(order))
	for i, at := range order {
		for k, n := range at.counts {
			switch {
			case n == 0:
				at.values[k] = math.NaN()
			case m.op == "avg":
				at.values[k] /= float64(n)
			}
		}
		out[i] = row{labels: at.labels, values: at.values}
	}
	return out
}

// fold adds the next value of a group that has had n.
func (m *metricExpr) fold(sum, v float64, n int) float64 {
	switch {
	case m.op == "count":
		return sum + 1
	case n == 0:
		return v
	case m.op == "min":
		return math.Min(sum, v)
	case m.op == "max":
		return math.Max(sum, v)
	default:
		return sum + v
	}
}

func (m *metricExpr) group(ls labels.Labels) labels.Labels {
	b := labels.NewBuilder(ls)
	if m.without {
		return b.Del(m.by...).Labels()
	}
	return b.Keep(m.by...).Labels()
}

// windows counts, at each moment, what lies within the window that ends there.
func (m *metricExpr) windows(list []sample, g grid) []float64 {
	out := make([]float64, g.moments())
	first, next, sum := 0, 0, 0.0
	for i := range out {
		to := g.at(i).UnixNano()
		for ; next < len(list) && list[next].at <= to; next++ {
			sum += list[next].value
		}
		for ; first < next && list[first].at <= to-int64(m.window); first++ {
			sum -= list[first].value
		}
		switch {
		case first == next:
			out[i] = math.NaN()
		case m.op == "rate" || m.op == "bytes_rate":
			out[i] = sum / m.window.Seconds()
		default:
			out[i] = sum
		}
	}
	return out
}
