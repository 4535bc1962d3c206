package sources

import (
	"hash/maphash"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// seamOverlap is how far a log is read again before its newest line: two
// streams of one container may be a little out of order.
const seamOverlap = 2 * time.Second

// Seam remembers the newest lines of a log, so that the log can be read again from
// a moment on without a line coming twice. It is not safe for concurrent use.
type Seam struct {
	seed   maphash.Seed
	ring   []seamKey
	next   int // where the next key goes, once the ring is full
	known  map[seamKey]struct{}
	newest time.Time
	from   time.Time // where the log is read again from; what is older was seen
}

type seamKey struct {
	nano int64
	hash uint64
}

// NewSeam makes a Seam that remembers size lines.
func NewSeam(size int) *Seam {
	return &Seam{seed: maphash.MakeSeed(), ring: make([]seamKey, 0, max(size, 1)), known: map[seamKey]struct{}{}}
}

// Take reports whether a line is new, and remembers it.
func (s *Seam) Take(line fleet.LogLine) bool {
	if line.At.Before(s.from) {
		return false
	}
	key := s.key(line)
	if _, old := s.known[key]; old {
		return false
	}
	s.known[key] = struct{}{}
	if len(s.ring) < cap(s.ring) {
		s.ring = append(s.ring, key)
	} else {
		delete(s.known, s.ring[s.next])
		s.ring[s.next] = key
		s.next = (s.next + 1) % len(s.ring)
	}
	if line.At.After(s.newest) {
		s.newest = line.At
	}
	return true
}

// Newest is the time of the newest line taken; zero before the first.
func (s *Seam) Newest() time.Time { return s.newest }

// Rejoin says from when on to read the log again: a little before the newest
// line, but not before the oldest one that is remembered. It is zero before the first line.
func (s *Seam) Rejoin() time.Time {
	if s.newest.IsZero() {
		return time.Time{}
	}
	from := s.newest.Add(-seamOverlap)
	if len(s.ring) == cap(s.ring) {
		if oldest := time.Unix(0, s.oldest()); oldest.After(from) {
			from = oldest
		}
	}
	s.from = from
	return from
}

func (s *Seam) oldest() int64 {
	least := s.ring[0].nano
	for _, k := range s.ring {
		least = min(least, k.nano)
	}
	return least
}

func (s *Seam) key(line fleet.LogLine) seamKey {
	var h maphash.Hash
	h.SetSeed(s.seed)
	for _, part := range []string{line.Host, line.Instance, line.Stream, line.Text} {
		_, _ = h.WriteString(part) // never fails
		_ = h.WriteByte(0)
	}
	return seamKey{nano: line.At.UnixNano(), hash: h.Sum64()}
}
