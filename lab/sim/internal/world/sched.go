package world

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// scheduler runs things at their time, all on one goroutine.
type scheduler struct {
	now  func() time.Time
	wake chan struct{}

	mu    sync.Mutex
	queue jobQueue
	next  uint64
}

type job struct {
	at  time.Time
	seq uint64
	do  func(ctx context.Context, at time.Time)
}

func newScheduler(now func() time.Time) *scheduler {
	return &scheduler{now: now, wake: make(chan struct{}, 1)}
}

// At has do called at its time by Run, not under any lock. ctx is Run's.
func (w *World) At(at time.Time, do func(ctx context.Context, at time.Time)) {
	s := w.sched
	s.mu.Lock()
	s.next++
	heap.Push(&s.queue, job{at: at, seq: s.next, do: do})
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run lets time pass until ctx ends. One goroutine calls it.
func (w *World) Run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		w.CatchUp(ctx)
		timer.Reset(w.sched.wait())
		select {
		case <-ctx.Done():
			return
		case <-w.sched.wake:
		case <-timer.C:
		}
	}
}

// CatchUp does what is due by now.
func (w *World) CatchUp(ctx context.Context) {
	for ctx.Err() == nil {
		j, ok := w.sched.due()
		if !ok {
			return
		}
		j.do(ctx, j.at)
	}
}

func (s *scheduler) due() (job, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 || s.queue[0].at.After(s.now()) {
		return job{}, false
	}
	j, _ := heap.Pop(&s.queue).(job)
	return j, true
}

func (s *scheduler) wait() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return time.Hour
	}
	return max(0, s.queue[0].at.Sub(s.now()))
}

type jobQueue []job

func (q jobQueue) Len() int { return len(q) }
func (q jobQueue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].seq < q[j].seq
}
func (q jobQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *jobQueue) Push(x any) {
	if j, ok := x.(job); ok {
		*q = append(*q, j)
	}
}
func (q *jobQueue) Pop() any {
	old := *q
	j := old[len(old)-1]
	old[len(old)-1] = job{}
	*q = old[:len(old)-1]
	return j
}
