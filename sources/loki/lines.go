package loki

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

// streamLabels are where agents put stdout or stderr.
func streamLabels() []string { return []string{"stream", "source", "log_stream"} }

// reader turns streams into lines of one service.
type reader struct {
	labels   sources.Labels
	service  string                   // of lines whose labels name none
	subjects map[string]fleet.Subject // by container name
	onlyOne  fleet.Subject            // the one subject there is, when there is one
}

func newReader(labels sources.Labels, q sources.LogQuery) reader {
	r := reader{labels: labels, service: q.Service.Name, subjects: map[string]fleet.Subject{}}
	for _, s := range q.Subjects {
		if s.Container != "" {
			r.subjects[s.Container] = s
		}
	}
	if len(q.Subjects) == 1 {
		r.onlyOne = q.Subjects[0]
	}
	return r
}

// line gives one entry. What the labels leave open, the known instances fill in.
func (r reader) line(set labelSet, e logEntry) fleet.LogLine {
	get := func(name string) string { return set[name] }
	container := strings.TrimPrefix(sources.First(r.labels.Container, get), "/")
	known, ok := r.subjects[container]
	if !ok {
		known = r.onlyOne
	}
	return fleet.LogLine{
		At:       e.At,
		Host:     cmp.Or(sources.First(r.labels.Host, get), known.Host),
		Service:  cmp.Or(sources.First(r.labels.Service, get), r.service),
		Instance: cmp.Or(container, known.Container),
		Stream:   stream(sources.First(streamLabels(), get)),
		Text:     strings.TrimRight(e.Line, "\r\n"),
	}
}

// stream keeps what the fleet knows; agents also use the label for other things.
func stream(value string) string {
	if value == "stderr" {
		return "stderr"
	}
	return "stdout"
}

// lines gives all entries of the streams in the order of time. Those of one moment keep
// the order in which they were written, which a backward answer turns round.
func (r reader) lines(streams []logStream, backward bool) []fleet.LogLine {
	n := 0
	for _, s := range streams {
		n += len(s.Entries)
	}
	out := make([]fleet.LogLine, 0, n)
	for _, s := range streams {
		from := len(out)
		for _, e := range s.Entries {
			out = append(out, r.line(s.Labels, e))
		}
		if backward {
			slices.Reverse(out[from:])
		}
	}
	slices.SortStableFunc(out, func(a, b fleet.LogLine) int { return a.At.Compare(b.At) })
	return out
}

// memory is how many lines are remembered to tell a line that comes twice.
const memory = 1 << 15

// memo remembers the newest lines, bounded.
type memo struct {
	seed maphash.Seed
	seen map[uint64]struct{}
	ring []memoEntry
	next int
}

type memoEntry struct {
	key uint64
	at  time.Time
}

func newMemo() *memo {
	return &memo{seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
}

// first reports whether the line was not seen yet, and remembers it.
func (m *memo) first(l fleet.LogLine) bool {
	key := m.key(l)
	if _, ok := m.seen[key]; ok {
		return false
	}
	m.seen[key] = struct{}{}
	if len(m.ring) < memory {
		m.ring = append(m.ring, memoEntry{key, l.At})
		return true
	}
	delete(m.seen, m.ring[m.next].key)
	m.ring[m.next] = memoEntry{key, l.At}
	m.next = (m.next + 1) % memory
	return true
}

// since is the moment from which on every line is remembered; zero when all are.
func (m *memo) since() time.Time {
	if len(m.ring) < memory {
		return time.Time{}
	}
	return m.ring[m.next].at
}

func (m *memo) key(l fleet.LogLine) uint64 {
	var h maphash.Hash
	h.SetSeed(m.seed)
	var at [8]byte
	for i, n := 0, uint64(l.At.UnixNano()); i < len(at); i++ { //nolint:gosec // only the bits matter
		at[i] = byte(n >> (8 * i))
	}
	_, _ = h.Write(at[:])
	for _, s := range []string{l.Host, l.Service, l.Instance, l.Stream, l.Text} {
		_, _ = h.WriteString(s)
		_ = h.WriteByte(0)
	}
	return h.Sum64()
}
