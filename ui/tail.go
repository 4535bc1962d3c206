package ui

import (
	"context"
	"fmt"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

// The bounds of a tail: how many lines may wait for the screen, how long a line
// may be, and how often the screen takes what has come.
const (
	tailBuffer   = 10_000
	maxLineBytes = 16 << 10
	tailEvery    = 50 * time.Millisecond
	tailIdle     = time.Second // while no log is looked at
)

// tailFunc is Options.Tail.
type tailFunc func(ctx context.Context, q sources.LogQuery, emit func(fleet.LogLine)) error

// tailer stands between a tail, which must never wait, and the screen, which
// takes what has come every 50 ms, or every second when it is not looked at. What does not fit is dropped, and that is said.
type tailer struct {
	id     int
	cancel context.CancelFunc
	wake   chan struct{} // capacity 1: something has come
	done   chan struct{} // closed when the tail has ended

	mu      sync.Mutex
	lines   []fleet.LogLine
	dropped int
	err     error
	ended   bool
}

// tailMsg is what has come since the last one.
type tailMsg struct {
	id      int
	lines   []fleet.LogLine
	dropped int
	ended   bool
	err     error
}

// startTail begins to follow a log. The goroutine ends with the context and is waited for by group.
func startTail(ctx context.Context, group *sync.WaitGroup, id int, tail tailFunc, q sources.LogQuery) *tailer {
	ctx, cancel := context.WithCancel(ctx)
	t := &tailer{id: id, cancel: cancel, wake: make(chan struct{}, 1), done: make(chan struct{})}
	group.Go(func() {
		defer close(t.done)
		err := tail(ctx, q, t.emit)
		if ctx.Err() != nil {
			err = nil
		}
		t.mu.Lock()
		t.err, t.ended = err, true
		t.mu.Unlock()
		t.poke()
	})
	return t
}

// emit takes one line and never blocks.
func (t *tailer) emit(l fleet.LogLine) {
	if len(l.Text) > maxLineBytes {
		l.Text = l.Text[:maxLineBytes] + fmt.Sprintf(" … %d bytes more", len(l.Text)-maxLineBytes)
	}
	t.mu.Lock()
	if len(t.lines) >= tailBuffer {
		t.dropped++
	} else {
		t.lines = append(t.lines, l)
	}
	t.mu.Unlock()
	t.poke()
}

func (t *tailer) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// next waits for lines, lets more of them gather, and gives them all. Only one next may wait at a time.
func (t *tailer) next(l *life, every time.Duration) tea.Cmd {
	ctx := l.ctx
	return l.do(func() tea.Msg {
		select {
		case <-t.wake:
		case <-ctx.Done():
			return nil
		}
		gather := time.NewTimer(every)
		defer gather.Stop()
		select {
		case <-gather.C:
		case <-t.done:
		case <-ctx.Done():
			return nil
		}
		return t.take()
	})
}

func (t *tailer) take() tailMsg {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := tailMsg{id: t.id, lines: t.lines, dropped: t.dropped, ended: t.ended, err: t.err}
	t.lines, t.dropped = nil, 0
	return m
}
