package sources

import (
	"container/heap"
	"fmt"
	"sync"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

const (
	maxQueued = 10_000  // live lines waiting
	maxHeld   = 100_000 // lines of history held to be sorted
	emitBatch = 512     // lines handed over without looking at the clock
)

// merge is the queue between several tailers and one reader: sorted by time,
// bounded, with the history held until every tailer has given its own.
type merge struct {
	follow bool

	mu      sync.Mutex
	space   *sync.Cond // signalled when the queue got shorter or ended
	wake    chan struct{}
	queue   lineHeap
	order   []*queuedLine // in the order of arrival; released ones are skipped
	seq     uint64
	dropped int
	history bool // histories are still being collected
	began   time.Time
	tailers []tailerState
	running int
	stopped bool
}

type tailerState struct {
	settled bool
	pushed  time.Time // the newest line; zero before the first
}

type queuedLine struct {
	line    fleet.LogLine
	arrived time.Time
	seq     uint64
	past    bool // history: it waits for nothing but the other histories
	out     bool // released or dropped
}

func newMerge(tailers int, follow bool) *merge {
	m := &merge{
		follow: follow, wake: make(chan struct{}, 1), history: true, began: time.Now(),
		tailers: make([]tailerState, tailers), running: tailers,
	}
	m.space = sync.NewCond(&m.mu)
	return m
}

// push queues a line. A live line that finds the queue full takes the place of the
// oldest one; in a history, and without follow, nothing may be lost: push waits.
func (m *merge) push(tailer int, line fleet.LogLine) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for !m.stopped && len(m.queue) >= m.limit() {
		if m.follow && !m.history && m.tailers[tailer].settled {
			m.dropOldest()
			break
		}
		if m.history {
			m.endHistory() // it no longer fits: let it flow
		}
		m.poke()
		m.space.Wait()
	}
	if m.stopped {
		return
	}
	now := time.Now()
	m.seq++
	// Who has given its history while others have not gives live lines already.
	q := &queuedLine{line: line, arrived: now, seq: m.seq, past: m.history && !m.tailers[tailer].settled}
	heap.Push(&m.queue, q)
	m.order = append(m.order, q)
	m.tailers[tailer].pushed = now
	m.poke()
}

func (m *merge) limit() int {
	if m.history {
		return maxHeld
	}
	return maxQueued
}

func (m *merge) dropOldest() {
	if old, ok := heap.Pop(&m.queue).(*queuedLine); ok {
		old.out = true
		m.dropped++
	}
}

// settle notes that a tailer has given its history.
func (m *merge) settle(tailer int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tailers[tailer].settled = true
	m.poke()
}

// finish notes that a tailer will give nothing more.
func (m *merge) finish(tailer int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tailers[tailer].settled = true
	m.running--
	m.poke()
}

// stop ends everything; lines still waiting are not emitted.
func (m *merge) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = true
	m.space.Broadcast()
	m.poke()
}

func (m *merge) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// emitAll hands lines over until every tailer has finished, or stop.
func (m *merge) emitAll(emit func(fleet.LogLine)) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		lines, wait, done := m.release(time.Now())
		for _, l := range lines {
			emit(l)
		}
		if done {
			return
		}
		if len(lines) > 0 {
			continue
		}
		timer.Reset(wait)
		select {
		case <-m.wake:
		case <-timer.C:
		}
	}
}

// release takes out the lines that are due, and says when to look again.
func (m *merge) release(now time.Time) (lines []fleet.LogLine, wait time.Duration, done bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped {
		return nil, 0, true
	}
	if m.history && m.historyDone(now) {
		m.endHistory()
	}
	if m.history {
		return nil, historyTick, false
	}
	if m.dropped > 0 {
		lines = append(lines, m.dropNotice(now))
	}
	for len(lines) < emitBatch {
		front := m.front()
		if front == nil {
			break
		}
		if due := front.arrived.Add(reorderWindow); m.running > 0 && !m.queue[0].past && due.After(now) {
			wait = due.Sub(now)
			break
		}
		if next, ok := heap.Pop(&m.queue).(*queuedLine); ok {
			next.out = true
			lines = append(lines, next.line)
		}
	}
	if len(lines) > 0 {
		m.space.Broadcast()
	}
	if wait == 0 {
		wait = time.Hour
	}
	return lines, wait, m.running == 0 && len(m.queue) == 0
}

// front is the line that waits longest.
func (m *merge) front() *queuedLine {
	for len(m.order) > 0 && m.order[0].out {
		m.order[0] = nil
		m.order = m.order[1:]
	}
	if len(m.order) == 0 {
		return nil
	}
	return m.order[0]
}

// historyDone reports whether every tailer has given its history, or a follow has waited enough.
func (m *merge) historyDone(now time.Time) bool {
	if m.running == 0 || (m.follow && now.Sub(m.began) >= historyHold) {
		return true
	}
	for _, t := range m.tailers {
		quiet := m.follow && !t.pushed.IsZero() && now.Sub(t.pushed) >= historyQuiet
		if !t.settled && !quiet {
			return false
		}
	}
	return m.follow
}

// endHistory lets the collected lines go. Who is still at its history now is treated as live.
func (m *merge) endHistory() {
	m.history = false
	for i := range m.tailers {
		m.tailers[i].settled = m.tailers[i].settled || m.follow
	}
}

func (m *merge) dropNotice(now time.Time) fleet.LogLine {
	n := m.dropped
	m.dropped = 0
	return fleet.LogLine{
		At: now, Stream: "nexops",
		Text: fmt.Sprintf("── %d lines dropped: they came faster than they could be shown ──", n),
	}
}

// lineHeap is a heap of lines, the oldest first; lines of one time in the order of arrival.
type lineHeap []*queuedLine

// Len is part of heap.Interface.
func (h lineHeap) Len() int { return len(h) }

// Less is part of heap.Interface.
func (h lineHeap) Less(i, j int) bool {
	if !h[i].line.At.Equal(h[j].line.At) {
		return h[i].line.At.Before(h[j].line.At)
	}
	return h[i].seq < h[j].seq
}

// Swap is part of heap.Interface.
func (h lineHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is part of heap.Interface.
func (h *lineHeap) Push(x any) {
	if q, ok := x.(*queuedLine); ok {
		*h = append(*h, q)
	}
}

// Pop is part of heap.Interface.
func (h *lineHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}
