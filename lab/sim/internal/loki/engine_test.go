package loki

import (
	"context"
	"sort"
	"time"

	"github.com/grafana/loki/v3/pkg/iter"
	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logql"
	"github.com/grafana/loki/v3/pkg/logql/log"
	"github.com/grafana/loki/v3/pkg/util/validation"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

// metadata are the labels of one line beside its stream's.
func metadata(l world.Line) labels.Labels {
	return labels.FromStrings(detectedLevel, level(l.Text))
}

// store lets Loki's own engine read the world.
type store struct {
	world *world.World
}

// SelectLogs gives the lines that a query asks for.
func (s *store) SelectLogs(_ context.Context, p logql.SelectLogParams) (iter.EntryIterator, error) {
	expr, err := p.LogSelector()
	if err != nil {
		return nil, err //nolint:wrapcheck // the engine's own
	}
	pipeline, err := expr.Pipeline()
	if err != nil {
		return nil, err //nolint:wrapcheck // the engine's own
	}
	now := s.world.Now()
	var its []iter.EntryIterator
	for _, st := range streams(s.world, expr.Matchers()) {
		found := map[string]*logproto.Stream{}
		sp := pipeline.ForStream(st.labels)
		for _, l := range st.lines(p.Start, p.End, now) {
			text, ls, ok := sp.Process(l.At.UnixNano(), []byte(l.Text), metadata(l))
			if !ok {
				continue
			}
			out := found[ls.String()]
			if out == nil {
				out = &logproto.Stream{Labels: ls.String(), Hash: ls.Hash()}
				found[ls.String()] = out
			}
			out.Entries = append(out.Entries, logproto.Entry{Timestamp: l.At, Line: string(text)})
		}
		for _, one := range found {
			it := iter.NewStreamIterator(*one)
			if p.Direction == logproto.BACKWARD {
				if it, err = iter.NewEntryReversedIter(it); err != nil {
					return nil, err //nolint:wrapcheck // the engine's own
				}
			}
			its = append(its, it)
		}
	}
	return iter.NewSortEntryIterator(its, p.Direction), nil
}

// SelectSamples gives the numbers that a metric query makes of lines.
func (s *store) SelectSamples(ctx context.Context, p logql.SelectSampleParams) (iter.SampleIterator, error) {
	selector, err := p.LogSelector()
	if err != nil {
		return nil, err //nolint:wrapcheck // the engine's own
	}
	expr, err := p.Expr()
	if err != nil {
		return nil, err //nolint:wrapcheck // the engine's own
	}
	extractors, err := expr.Extractors()
	if err != nil {
		return nil, err //nolint:wrapcheck // the engine's own
	}
	now := s.world.Now()
	found := map[string]*logproto.Series{}
	for _, st := range streams(s.world, selector.Matchers()) {
		if ctx.Err() != nil {
			return nil, ctx.Err() //nolint:wrapcheck // the client has gone
		}
		for from := p.Start; from.Before(p.End); {
			to := from.Truncate(time.Minute).Add(time.Minute)
			if to.After(p.End) {
				to = p.End
			}
			for _, one := range extract(st.lines(from, to, now), st, extractors) {
				if out := found[one.Labels]; out != nil {
					out.Samples = append(out.Samples, one.Samples...)
				} else {
					own := one
					own.Samples = append([]logproto.Sample(nil), one.Samples...)
					found[one.Labels] = &own
				}
			}
			from = to
		}
	}
	list := make([]logproto.Series, 0, len(found))
	for _, one := range found {
		sort.Sort(one)
		list = append(list, *one)
	}
	return iter.NewMultiSeriesIterator(list), nil
}

func extract(lines []world.Line, st *stream, extractors []log.SampleExtractor) []logproto.Series {
	var out []logproto.Series
	index := map[string]int{}
	for _, extractor := range extractors {
		ex := extractor.ForStream(st.labels)
		for n, l := range lines {
			samples, ok := ex.Process(l.At.UnixNano(), []byte(l.Text), metadata(l))
			if !ok {
				continue
			}
			for _, sample := range samples {
				key := sample.Labels.String()
				i, known := index[key]
				if !known {
					i = len(out)
					index[key] = i
					out = append(out, logproto.Series{Labels: key, StreamHash: ex.BaseLabels().Hash()})
				}
				// The hash tells doubles of one moment apart.
				hash := st.labels.Hash() + uint64(n) //nolint:gosec // not negative
				out[i].Samples = append(out[i].Samples, logproto.Sample{Timestamp: l.At.UnixNano(), Value: sample.Value, Hash: hash})
			}
		}
	}
	return out
}

// limits are the engine's.
type limits struct{}

// MaxQuerySeries is how many series an answer may have.
func (limits) MaxQuerySeries(context.Context, string) int { return maxSeries }

// MaxQueryRange is not limited.
func (limits) MaxQueryRange(context.Context, string) time.Duration { return 0 }

// QueryTimeout bounds a query.
func (limits) QueryTimeout(context.Context, string) time.Duration { return timeout }

// BlockedQueries are none.
func (limits) BlockedQueries(context.Context, string) []*validation.BlockedQuery { return nil }

// EnableMultiVariantQueries is off, as by default.
func (limits) EnableMultiVariantQueries(string) bool { return false }
