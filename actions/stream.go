package actions

import (
	"sync"
)

// stream brings the events of one run to the journal and then to whoever listens. No
// event is dropped, none is seen before it is on the disk, and neither a slow disk nor a slow
// listener holds up a step. Two goroutines own it; both end after the last event.
type stream struct {
	out     chan Event
	quit    <-chan struct{} // closed when nobody will listen any more
	journal *Journal
	console string

	mu      sync.Mutex
	changed *sync.Cond
	pending []Event // not yet on record
	written []Event // on record, not yet delivered
	put     int     // events ever put
	kept    int     // events that are through the journal, or could not be
	err     error   // the journal's first error
	ended   bool    // no more will be put
	closed  bool    // no more will be written
	owners  sync.WaitGroup
}

func newStream(j *Journal, console string, quit <-chan struct{}) *stream {
	s := &stream{out: make(chan Event), quit: quit, journal: j, console: console}
	s.changed = sync.NewCond(&s.mu)
	s.owners.Go(s.record)
	s.owners.Go(s.deliver)
	return s
}

// send puts an event on its way and does not wait.
func (s *stream) send(ev Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(s.pending, ev)
	s.put++
	s.changed.Broadcast()
}

// flush waits until all that was sent is on the disk, and tells when the journal has failed.
func (s *stream) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := s.put
	for s.kept < want {
		s.changed.Wait()
	}
	return s.err
}

// end says that nothing more will be sent.
func (s *stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.changed.Broadcast()
}

// record takes what is pending, all at once, to the journal: one write and one sync for a burst of output.
func (s *stream) record() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.pending) == 0 && !s.ended {
			s.changed.Wait()
		}
		if len(s.pending) == 0 {
			s.closed = true
			s.changed.Broadcast()
			return
		}
		batch := s.pending
		s.pending = nil
		s.mu.Unlock()
		err := s.append(batch)
		s.mu.Lock()
		if err != nil && s.err == nil {
			s.err = err
		}
		// Also what could not be put on record is shown: a person has to know how it goes on.
		s.written = append(s.written, batch...)
		s.kept += len(batch)
		s.changed.Broadcast()
	}
}

func (s *stream) append(batch []Event) error {
	entries := make([]Entry, len(batch))
	for i, ev := range batch {
		entries[i] = eventEntry(ev, s.console)
	}
	_, err := s.journal.Append(entries...)
	return err
}

// deliver hands the events over, one by one, and closes the channel after the last.
func (s *stream) deliver() {
	defer close(s.out)
	for {
		s.mu.Lock()
		for len(s.written) == 0 && !s.closed {
			s.changed.Wait()
		}
		batch := s.written
		s.written = nil
		s.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, ev := range batch {
			select {
			case s.out <- ev:
			case <-s.quit:
				return
			}
		}
	}
}
