package docker

import (
	"context"
	"sync"

	"github.com/docker/docker/api/types/events"
)

// subscriberQueue is how many events one subscriber may be behind; past it, it
// is told that it missed some.
const subscriberQueue = 256

// hub shares the one event stream of a host between the watch and the log
// tails. The stream runs while anybody listens; the last one to leave waits for its end.
type hub struct {
	run func(ctx context.Context, up func(), fn func(events.Message)) error

	mu     sync.Mutex
	subs   map[*subscription]struct{}
	cancel context.CancelFunc // of the running stream; nil when none runs
	done   chan struct{}      // closed when the newest stream has ended; nil before the first
	up     bool
}

// subscription is one listener's place at the stream.
type subscription struct {
	events chan events.Message
	up     chan struct{} // closed when the engine answered: nothing after it is missed
	ended  chan struct{} // closed when the stream broke; err says why
	missed chan struct{} // holds one token when events did not fit
	err    error
	upOnce sync.Once
}

func newHub(run func(context.Context, func(), func(events.Message)) error) *hub {
	return &hub{run: run, subs: map[*subscription]struct{}{}}
}

// subscribe joins the running stream or starts one. Whoever subscribes must leave.
func (h *hub) subscribe() *subscription {
	sub := &subscription{
		events: make(chan events.Message, subscriberQueue),
		up:     make(chan struct{}), ended: make(chan struct{}), missed: make(chan struct{}, 1),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subs[sub] = struct{}{}
	if h.cancel == nil {
		h.start()
	} else if h.up {
		sub.markUp()
	}
	return sub
}

// start runs the stream, after the end of the one before; h.mu is held.
func (h *hub) start() {
	ctx, cancel := context.WithCancel(context.Background())
	before, done := h.done, make(chan struct{})
	h.cancel, h.done, h.up = cancel, done, false
	go func() {
		defer close(done)
		defer cancel()
		if before != nil {
			<-before
		}
		err := h.run(ctx, h.markUp, h.publish)
		h.end(done, err)
	}()
}

// leave ends a subscription. When it was the last, the stream is ended and waited for.
func (h *hub) leave(sub *subscription) {
	h.mu.Lock()
	delete(h.subs, sub)
	if len(h.subs) > 0 || h.cancel == nil {
		h.mu.Unlock()
		return
	}
	h.cancel()
	h.cancel, h.up = nil, false // who comes now starts another
	done := h.done
	h.mu.Unlock()
	<-done
}

func (h *hub) markUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.up = true
	for sub := range h.subs {
		sub.markUp()
	}
}

func (h *hub) publish(ev events.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for sub := range h.subs {
		select {
		case sub.events <- ev:
		default:
			select {
			case sub.missed <- struct{}{}:
			default:
			}
		}
	}
}

// end tells everybody that the stream is over; the next to subscribe starts another.
func (h *hub) end(done chan struct{}, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.done != done {
		return // another has been started since, these are its listeners
	}
	h.cancel, h.up = nil, false
	for sub := range h.subs {
		sub.err = err
		close(sub.ended)
		delete(h.subs, sub)
	}
}

func (s *subscription) markUp() { s.upOnce.Do(func() { close(s.up) }) }

// Watch pokes whenever the engine tells of something that an observation would show.
func (s *source) Watch(ctx context.Context, changed func()) error {
	sub := s.hub.subscribe()
	defer s.hub.leave(sub)
	up := sub.up
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-up:
			up = nil
			changed() // what was observed before may be old
		case <-sub.events:
			changed()
		case <-sub.missed:
			changed()
		case <-sub.ended:
			return sub.err
		}
	}
}
