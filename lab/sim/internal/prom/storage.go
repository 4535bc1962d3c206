package prom

import (
	"context"
	"math"
	"sort"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

const (
	scrapeEvery = 2 * time.Second
	lookback    = 5 * time.Minute
	retention   = 2 * time.Hour // of the past that is known at the start and later
)

// queryable makes up the series of the world when they are asked for.
type queryable struct {
	world *world.World
	dense bool // the query holds a subquery: the hints do not say which samples it needs
}

// Querier gives access to a range of time.
func (q queryable) Querier(mint, maxt int64) (storage.Querier, error) {
	return &querier{queryable: q, mint: mint, maxt: maxt}, nil
}

type querier struct {
	queryable
	mint, maxt int64
}

// Close does nothing.
func (*querier) Close() error { return nil }

// Select makes up the series that match.
func (q *querier) Select(ctx context.Context, _ bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	stamps := q.stamps(hints)
	list := q.collect(ctx, stamps, matchers)
	return &seriesSet{list: list, i: -1}
}

// collect gives the matching series, sorted by labels.
func (q *querier) collect(ctx context.Context, stamps []int64, matchers []*labels.Matcher) []*series {
	b := &builder{world: q.world, matchers: matchers, stamps: stamps, oldest: time.UnixMilli(q.mint).Add(-time.Minute)}
	for _, f := range families() {
		if ctx.Err() != nil {
			break
		}
		if b.wants(f.names) {
			f.make(b)
		}
	}
	sort.Slice(b.out, func(i, j int) bool { return labels.Compare(b.out[i].labels, b.out[j].labels) < 0 })
	return b.out
}

// stamps are the scrape times that the query looks at. A range query whose step is longer
// than its window looks only at the windows, so that only these samples are made.
func (q *querier) stamps(hints *storage.SelectHints) []int64 {
	now := q.world.Now().UnixMilli()
	from, to, window, step := q.mint, q.maxt, int64(0), int64(0)
	if hints != nil {
		from, to, window, step = hints.Start, hints.End, hints.Range, hints.Step
	}
	every := scrapeEvery.Milliseconds()
	from, to = max(from, now-retention.Milliseconds()), min(to, now)
	look := window
	if window == 0 {
		look = lookback.Milliseconds()
		window = 2 * every
	}
	if hints == nil || q.dense || step <= window {
		return grid(nil, from, to, every)
	}
	var out []int64
	for at := hints.Start + look - 1; at <= to; at += step {
		begin := max(from, at-window+1)
		if n := len(out); n > 0 {
			begin = max(begin, out[n-1]+1)
		}
		out = grid(out, begin, at, every)
	}
	return out
}

// grid appends the multiples of every within [from, to].
func grid(out []int64, from, to, every int64) []int64 {
	for t := (from + every - 1) / every * every; t <= to; t += every {
		out = append(out, t)
	}
	return out
}

// LabelValues gives the values of a label.
func (q *querier) LabelValues(ctx context.Context, name string, _ *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.distinct(ctx, matchers, func(add func(string), ls labels.Labels) {
		if v := ls.Get(name); v != "" {
			add(v)
		}
	}), nil, nil
}

// LabelNames gives the names of labels.
func (q *querier) LabelNames(ctx context.Context, _ *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.distinct(ctx, matchers, func(add func(string), ls labels.Labels) {
		ls.Range(func(l labels.Label) { add(l.Name) })
	}), nil, nil
}

func (q *querier) distinct(ctx context.Context, matchers []*labels.Matcher, visit func(add func(string), ls labels.Labels)) []string {
	seen := map[string]bool{}
	for _, s := range q.collect(ctx, nil, matchers) {
		visit(func(v string) { seen[v] = true }, s.labels)
	}
	out := make([]string, 0, len(seen))
	for v := range seen {
		out = append(out, v)
	}
	sort.Strings(out)
	return out
}

// series is one series of one select; its samples are computed as they are read.
type series struct {
	labels labels.Labels
	stamps []int64
	value  func(i int) (float64, bool)
}

// Labels of the series.
func (s *series) Labels() labels.Labels { return s.labels }

// Iterator over its samples. Where the series ends it has the marker of staleness.
func (s *series) Iterator(chunkenc.Iterator) chunkenc.Iterator {
	out := make(samples, 0, len(s.stamps))
	there := false
	for i, t := range s.stamps {
		v, ok := s.value(i)
		if ok {
			out = append(out, sample{t, v})
		} else if there {
			out = append(out, sample{t, math.Float64frombits(value.StaleNaN)})
		}
		there = ok
	}
	return storage.NewListSeriesIterator(out)
}

type samples []sample

// Get gives the i-th sample.
func (s samples) Get(i int) chunks.Sample { return &s[i] }

// Len is their number.
func (s samples) Len() int { return len(s) }

type sample struct {
	t int64
	v float64
}

// T is its time.
func (s *sample) T() int64 { return s.t }

// F is its value.
func (s *sample) F() float64 { return s.v }

// H is none: all samples are floats.
func (s *sample) H() *histogram.Histogram { return nil }

// FH is none.
func (s *sample) FH() *histogram.FloatHistogram { return nil }

// Type is a float.
func (s *sample) Type() chunkenc.ValueType { return chunkenc.ValFloat }

// Copy is another one.
func (s *sample) Copy() chunks.Sample { c := *s; return &c }

type seriesSet struct {
	list []*series
	i    int
}

// Next goes to the next series.
func (s *seriesSet) Next() bool { s.i++; return s.i < len(s.list) }

// At is the series.
func (s *seriesSet) At() storage.Series { return s.list[s.i] }

// Err is never one.
func (s *seriesSet) Err() error { return nil }

// Warnings are none.
func (s *seriesSet) Warnings() annotations.Annotations { return nil }
