package sources

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

const (
	// reorderWindow is how long a live line waits for an older one of another host.
	reorderWindow = 150 * time.Millisecond
	// historyHold is how long a follow waits for the history of the slowest host.
	historyHold = 3 * time.Second
	// historyQuiet settles the history of a tailer that does not say when it is caught up.
	historyQuiet = 250 * time.Millisecond
	historyTick  = 25 * time.Millisecond

	tailRetryMin = 100 * time.Millisecond
	tailRetryMax = 2 * time.Second
	// tailSteady is how long a tailer must have run for its next failure to be a first one.
	tailSteady = 10 * time.Second
	seamLines  = 4096
)

// TailAll runs several tailers as one: their histories sorted into one, their live lines
// merged by time within a small window. What goes wrong with one of them is said in the stream
// itself and, while following, tried again. emit is called from the calling goroutine alone; a
// follow that it cannot keep up with loses its oldest waiting lines, and says how many.
// Without Follow it is an error when every tailer failed.
func TailAll(ctx context.Context, tailers []LogTailer, q LogQuery, emit func(fleet.LogLine)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := newMerge(len(tailers), q.Follow)
	errs := make([]error, len(tailers))
	var wg sync.WaitGroup
	for i, t := range tailers {
		wg.Go(func() {
			errs[i] = (&tailRun{merge: m, index: i, query: q, seam: NewSeam(seamLines)}).run(ctx, t)
			m.finish(i)
		})
	}
	wg.Go(func() {
		<-ctx.Done()
		m.stop()
	})
	m.emitAll(emit)
	cancel()
	wg.Wait()
	for _, err := range errs {
		if err == nil {
			return nil
		}
	}
	return errors.Join(errs...)
}

// tailRun keeps one tailer going.
type tailRun struct {
	merge *merge
	index int
	query LogQuery
	seam  *Seam
	said  string // the last failure told
}

func (r *tailRun) run(ctx context.Context, t LogTailer) error {
	delay := tailRetryMin
	q := r.query
	q.CaughtUp = func() { r.merge.settle(r.index) }
	for {
		began := time.Now()
		err := t.Tail(ctx, q, func(line fleet.LogLine) {
			if line.At.IsZero() {
				line.At = time.Now()
			}
			if r.seam.Take(line) {
				r.merge.push(r.index, line)
			}
		})
		if err == nil || ctx.Err() != nil {
			return nil
		}
		r.say(err)
		if !q.Follow {
			return fmt.Errorf("read log: %w", err)
		}
		r.merge.settle(r.index)
		if time.Since(began) > tailSteady {
			delay, r.said = tailRetryMin, ""
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(delay):
		}
		delay = min(2*delay, tailRetryMax)
		if from := r.seam.Rejoin(); !from.IsZero() {
			q.Since, q.Tail = from, 0
		}
	}
}

// say tells of a failure in the stream, once for as long as it stays the same.
func (r *tailRun) say(err error) {
	text := remote.Clean(err.Error())
	if text == r.said {
		return
	}
	r.said = text
	if r.query.Follow {
		text += "; trying again"
	}
	r.merge.push(r.index, fleet.LogLine{
		At: time.Now(), Service: r.query.Service.Name, Stream: "nexops", Text: "── " + text + " ──",
	})
}
