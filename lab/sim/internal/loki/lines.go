package loki

import (
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// answerStream are the lines of one set of labels, as they are answered.
type answerStream struct {
	Labels map[string]string `json:"stream"`
	Values [][2]string       `json:"values"`
}

// streamed groups entries by their labels and keeps their order.
func streamed(list []*entry) []answerStream {
	out := []answerStream{}
	index := map[string]int{}
	for _, e := range list {
		ls := e.labels()
		i, known := index[ls.String()]
		if !known {
			i = len(out)
			index[ls.String()] = i
			out = append(out, answerStream{Labels: mapOf(ls)})
		}
		out[i].Values = append(out[i].Values, [2]string{strconv.FormatInt(e.at.UnixNano(), 10), e.text})
	}
	return out
}

func mapOf(ls labels.Labels) map[string]string {
	out := map[string]string{}
	ls.Range(func(l labels.Label) { out[l.Name] = l.Value })
	return out
}

// entries are the lines that a query chooses, in order of time.
func (s *Server) entries(x *logExpr, from, to time.Time) []*entry {
	now := s.world.Now()
	var out []*entry
	for _, st := range streams(s.world, x.matchers) {
		for _, l := range st.lines(from, to, now) {
			if e, ok := x.run(st, l); ok {
				out = append(out, e)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b *entry) int { return a.at.Compare(b.at) })
	return out
}

// lines answers a log query: the first or the last limit entries of [from, to).
func (s *Server) lines(x *logExpr, from, to time.Time, forward bool, limit int) []answerStream {
	list := s.entries(x, from, to)
	if !forward {
		slices.Reverse(list)
	}
	return streamed(list[:min(len(list), limit)])
}
