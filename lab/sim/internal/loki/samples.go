package loki

import (
	"context"
	"sort"
	"sync"
	"time"

	"github.com/grafana/loki/v3/pkg/iter"
	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logql"
	"github.com/grafana/loki/v3/pkg/logql/log"

	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

const (
	settled  = 10 * time.Second // older lines do not change any more
	maxParts = 50_000
)

// part names what a metric query makes of one minute of one stream.
type part struct {
	query  string
	stream string
	minute int64
}

// memory keeps the parts that were made. A console asks the same hour again and again,
// and only its last minute is ever new.
type memory struct {
	mu    sync.Mutex
	parts map[part][]logproto.Series
}

func (m *memory) get(p part) ([]logproto.Series, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list, ok := m.parts[p]
	return list, ok
}

func (m *memory) put(p part, list []logproto.Series) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.parts) >= maxParts || m.parts == nil {
		m.parts = map[part][]logproto.Series{}
	}
	m.parts[p] = list
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
		name := part{query: expr.String(), stream: st.labels.String()}
		for from := p.Start; from.Before(p.End); {
			to := from.Truncate(time.Minute).Add(time.Minute)
			if to.After(p.End) {
				to = p.End
			}
			for _, one := range s.minute(name, st, extractors, from, to, now) {
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

// minute makes the samples of at most a minute, or remembers them.
func (s *store) minute(name part, st *stream, extractors []log.SampleExtractor, from, to, now time.Time) []logproto.Series {
	whole := to.Sub(from) == time.Minute && to.Before(now.Add(-settled))
	name.minute = from.Unix()
	if whole {
		if list, ok := s.known.get(name); ok {
			return list
		}
	}
	list := extract(st.lines(from, to, now), st, extractors)
	if whole {
		s.known.put(name, list)
	}
	return list
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
