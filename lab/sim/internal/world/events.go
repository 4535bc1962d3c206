package world

import (
	"sort"
	"sync"
	"time"
)

// Event is something that happened on a host, as its engine tells it.
type Event struct {
	At         time.Time
	Type       string // "container", "image"
	Action     string // "start", "die", "health_status: healthy"
	ID         string
	Attributes map[string]string
}

const (
	keepEvents = 1000 // a host remembers, as an engine's own ring (256) is not enough for an hour of demo
	lagEvents  = 256  // a reader may be behind before it is cut off
)

// Subscription is one reader of a host's events. C is closed when the reader was too slow.
type Subscription struct {
	C    <-chan Event
	ch   chan Event
	from *eventLog
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.from.mu.Lock()
	defer s.from.mu.Unlock()
	delete(s.from.subs, s)
}

// eventLog is a bounded memory of events with readers. A reader that falls
// behind is cut off rather than waited for: it has to read again from the start,
// as with a real engine whose connection broke.
type eventLog struct {
	mu   sync.Mutex
	past []Event
	subs map[*Subscription]bool
}

func newEventLog() *eventLog { return &eventLog{subs: map[*Subscription]bool{}} }

func (l *eventLog) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.past) >= keepEvents {
		l.past = append(l.past[:0:0], l.past[len(l.past)-keepEvents/2:]...)
	}
	l.past = append(l.past, e)
	for s := range l.subs {
		select {
		case s.ch <- e:
		default:
			close(s.ch)
			delete(l.subs, s)
		}
	}
}

// subscribe gives the remembered events not older than since (none when since is zero) and all later ones.
func (l *eventLog) subscribe(since time.Time) ([]Event, *Subscription) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ch := make(chan Event, lagEvents)
	s := &Subscription{C: ch, ch: ch, from: l}
	l.subs[s] = true
	if since.IsZero() {
		return nil, s
	}
	var out []Event
	for _, e := range l.past {
		if !e.At.Before(since) {
			out = append(out, e)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].At.Before(out[j].At) })
	return out, s
}
