package sources

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

const (
	defaultEvery   = 15 * time.Second
	defaultTimeout = 10 * time.Second
	defaultMaxAge  = 60 * time.Second

	// minGap keeps a storm of pokes from becoming a storm of observations.
	minGap = 50 * time.Millisecond
	// maxRetry bounds the wait after a failure: a system that comes back shows within 5 s.
	maxRetry   = 3 * time.Second
	firstRetry = 250 * time.Millisecond
	// overrun is how long an observation may take to notice its timeout.
	overrun = time.Second
	// maxError bounds an error on the screen. It may hold a command to copy.
	maxError = 1000
)

// feed is one source in the Collector: its clock, and its last whole report.
type feed struct {
	src  Source
	id   fleet.SourceID
	c    *Collector
	wake chan struct{} // one slot: look again

	answered chan struct{} // closed when it has answered or failed once
	once     sync.Once

	mu  sync.Mutex
	rep fleet.Report
}

func newFeed(s Source, c *Collector) *feed {
	id := s.ID()
	kind, name, _ := strings.Cut(string(id), "/")
	guest := ""
	if g, ok := s.(Guest); ok {
		guest = g.GuestOf()
	}
	return &feed{
		src: s, id: id, c: c,
		wake:     make(chan struct{}, 1),
		answered: make(chan struct{}),
		rep: fleet.Report{Status: fleet.SourceStatus{
			ID: id, Kind: kind, Name: name, Hosts: c.opts.SourceHosts(id), Guest: guest,
			State: fleet.SourceConnecting, MaxAge: timing(s).MaxAge,
		}},
	}
}

// timing is the clock of a source, with the defaults where it has no opinion.
func timing(s Source) Timing {
	var t Timing
	if timed, ok := s.(Timed); ok {
		t = timed.Timing()
	}
	if t.Every <= 0 {
		t.Every = defaultEvery
	}
	if t.Timeout <= 0 {
		t.Timeout = defaultTimeout
	}
	if t.MaxAge <= 0 {
		t.MaxAge = max(defaultMaxAge, 3*t.Every)
	}
	return t
}

func (f *feed) report() fleet.Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rep
}

func (f *feed) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// observeLoop asks at once, then on the clock and whenever poked.
func (f *feed) observeLoop(ctx context.Context) {
	fails := 0
	for {
		began := time.Now()
		if f.observe(ctx) {
			fails = 0
		} else {
			fails++
		}
		if !f.rest(ctx, began, fails) {
			return
		}
	}
}

// rest waits for the next observation; false when there is none any more.
func (f *feed) rest(ctx context.Context, began time.Time, fails int) bool {
	wait := timing(f.src).Every
	if fails > 0 {
		wait = retryWait(fails, min(wait, maxRetry))
	}
	gap := max(0, time.Until(began.Add(minGap)))
	if !pause(ctx, gap, nil) || !pause(ctx, wait-gap, f.wake) {
		return false
	}
	select {
	case <-f.wake: // what it asked for is about to happen
	default:
	}
	return true
}

// retryWait grows with each failure in a row, up to last, and is spread out.
func retryWait(fails int, last time.Duration) time.Duration {
	wait := last
	if fails <= 8 {
		wait = min(last, firstRetry<<(fails-1))
	}
	// #nosec G404 -- spreads load, guards nothing
	return wait - time.Duration(rand.Int64N(int64(wait/4)+1))
}

// pause waits for a time or for wake; false when ctx is done.
func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-t.C:
	}
	return ctx.Err() == nil
}

type observation struct {
	facts   fleet.Facts
	err     error
	latency time.Duration
}

// observe asks the source once and keeps what it says. It returns when the
// source has: there is never a second question beside the first.
func (f *feed) observe(ctx context.Context) bool {
	bound := timing(f.src).Timeout
	octx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	result := make(chan observation, 1)
	go func() { result <- f.ask(octx) }() // waited for below
	late := time.NewTimer(bound + overrun)
	defer late.Stop()
	var o observation
	select {
	case o = <-result:
	case <-late.C:
		f.failed(fmt.Errorf("%s: no answer within %s, and it does not stop asking", f.id, bound))
		o = <-result
		if o.err == nil {
			o.err = fmt.Errorf("%s: the answer took %s, longer than %s", f.id, o.latency.Round(time.Millisecond), bound)
		}
	}
	if o.err == nil {
		f.succeeded(o)
		return true
	}
	if ctx.Err() == nil { // the end of the Collector is no failure of the source
		f.failed(inTime(octx, o.err, bound))
	}
	return false
}

// inTime puts the bound into an error that says only that there was one.
func inTime(octx context.Context, err error, bound time.Duration) error {
	if octx.Err() == nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	text := err.Error()
	words := context.DeadlineExceeded.Error()
	if !strings.Contains(text, words) {
		return fmt.Errorf("%w: no answer within %s", err, bound)
	}
	return errors.New(strings.ReplaceAll(text, words, "no answer within "+bound.String()))
}

// ask is Observe, with a panic as an error.
func (f *feed) ask(ctx context.Context) (o observation) {
	began := time.Now()
	defer func() {
		o.latency = time.Since(began)
		if p := recover(); p != nil {
			f.c.opts.Log.Error("a source panicked", "source", f.id, "panic", p, "stack", string(debug.Stack()))
			o.facts, o.err = fleet.Facts{}, fmt.Errorf("%s: this is a bug in nexops: %v", f.id, p)
		}
	}()
	o.facts, o.err = f.src.Observe(ctx)
	o.facts = discreet(o.facts, f.c.opts.Redact)
	return o
}

func (f *feed) succeeded(o observation) {
	now := f.c.opts.Now()
	if o.facts.ObservedAt.IsZero() {
		o.facts.ObservedAt = now
	}
	maxAge := timing(f.src).MaxAge
	f.mu.Lock()
	s := &f.rep.Status
	if s.State != fleet.SourceOK {
		f.c.opts.Log.Info("source answers", "source", f.id, "latency", o.latency)
	}
	s.State, s.Error, s.FailingFrom = fleet.SourceOK, "", time.Time{}
	s.LastSuccess, s.LastAttempt, s.Latency, s.MaxAge = o.facts.ObservedAt, now, o.latency, maxAge
	s.Detail, s.Warnings = o.facts.Detail, o.facts.Warnings
	f.rep.Facts = o.facts
	f.mu.Unlock()
	f.told()
}

// failed keeps the last facts, and says since when there are no newer ones.
func (f *feed) failed(err error) {
	now := f.c.opts.Now()
	text := err.Error()
	if f.c.opts.Redact != nil {
		text = f.c.opts.Redact(text)
	}
	text = remote.CleanTo(text, maxError)
	f.mu.Lock()
	s := &f.rep.Status
	if s.Error != text {
		f.c.opts.Log.Warn("source fails", "source", f.id, "error", text)
	}
	if s.FailingFrom.IsZero() {
		s.FailingFrom = now
	}
	s.State, s.Error, s.LastAttempt = fleet.SourceFailing, text, now
	f.mu.Unlock()
	f.told()
}

func (f *feed) told() {
	f.once.Do(func() { close(f.answered) })
	f.c.touch()
}
