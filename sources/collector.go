package sources

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

const (
	// joinDelay is how long the join waits for more to change.
	joinDelay = 30 * time.Millisecond
	// joinEvery is how often it runs when nothing changes: ages become reasons.
	joinEvery = 5 * time.Second
)

// CollectorOptions is what a Collector works on.
type CollectorOptions struct {
	Environment string
	Hosts       []fleet.Host
	Rules       fleet.Rules
	Sources     []Source
	SourceHosts func(fleet.SourceID) []string // the hosts a source observes; nil: none does
	Now         func() time.Time              // nil: the clock
	Log         *slog.Logger                  // nil: silent
	Redact      func(string) string           // takes secrets out of what people and programs wrote; nil: nothing is taken out
}

// Collector asks every source on the source's own clock, keeps each one's last whole
// report, and joins them into snapshots. No source waits for another.
type Collector struct {
	opts  CollectorOptions
	feeds []*feed

	changed chan struct{} // one slot: something is worth a join
	running atomic.Bool
	ended   chan struct{}

	latest atomic.Pointer[fleet.Snapshot]
	mu     sync.Mutex // of what follows, and of making snapshots
	seq    uint64
	joiner *fleet.Joiner
	subs   map[int]chan *fleet.Snapshot
	nextID int
}

// NewCollector makes a Collector that has asked nobody yet: its first snapshot
// shows the configured hosts, and every source as connecting.
func NewCollector(o CollectorOptions) *Collector {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.SourceHosts == nil {
		o.SourceHosts = func(fleet.SourceID) []string { return nil }
	}
	c := &Collector{
		opts:    o,
		changed: make(chan struct{}, 1),
		ended:   make(chan struct{}),
		subs:    map[int]chan *fleet.Snapshot{},
		joiner:  fleet.NewJoiner(o.Environment, slices.Clone(o.Hosts), o.Rules),
	}
	for _, s := range o.Sources {
		c.feeds = append(c.feeds, newFeed(s, c))
	}
	c.join()
	return c
}

// Sources are the sources it asks.
func (c *Collector) Sources() []Source { return slices.Clone(c.opts.Sources) }

// Run asks the sources until ctx ends, and returns when everything it started has
// ended. Sources that are an io.Closer are closed then. It runs once.
func (c *Collector) Run(ctx context.Context) error {
	if !c.running.CompareAndSwap(false, true) {
		return errors.New("the collector runs already, or has run")
	}
	defer close(c.ended)
	var wg sync.WaitGroup
	for _, f := range c.feeds {
		wg.Go(func() { f.observeLoop(ctx) })
		if w, ok := f.src.(Watcher); ok {
			wg.Go(func() { f.watchLoop(ctx, w) })
		}
	}
	c.joinLoop(ctx)
	wg.Wait()
	for _, closer := range Capability[io.Closer](c.opts.Sources) {
		if err := closer.Close(); err != nil {
			c.opts.Log.Debug("close of a source failed", "error", err)
		}
	}
	return nil
}

// joinLoop makes a snapshot soon after something changed, and now and then when nothing did.
func (c *Collector) joinLoop(ctx context.Context) {
	tick := time.NewTicker(joinEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.changed:
			if !pause(ctx, joinDelay, nil) {
				return
			}
			c.take()
		}
		c.join()
		tick.Reset(joinEvery)
	}
}

// touch says that something is worth a join. It never blocks.
func (c *Collector) touch() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// take forgets that something is worth a join: it is about to happen.
func (c *Collector) take() {
	select {
	case <-c.changed:
	default:
	}
}

// join makes a snapshot of what is known now and hands it to everybody who asked for it.
func (c *Collector) join() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	reports := make([]fleet.Report, 0, len(c.feeds))
	now := c.opts.Now()
	for _, f := range c.feeds {
		reports = append(reports, f.report())
	}
	snap := c.joiner.Join(c.seq, now, reports)
	c.latest.Store(snap)
	for _, ch := range c.subs {
		offer(ch, snap)
	}
}

// offer puts the newest snapshot into a slot that nobody else fills.
func offer(ch chan *fleet.Snapshot, snap *fleet.Snapshot) {
	select {
	case <-ch: // nobody took the older one
	default:
	}
	ch <- snap
}

// Latest is the newest snapshot; never nil.
func (c *Collector) Latest() *fleet.Snapshot { return c.latest.Load() }

// Subscribe gives a channel with one slot: it holds the newest snapshot not yet
// taken, at first the current one. The function ends the subscription and closes the channel.
func (c *Collector) Subscribe() (<-chan *fleet.Snapshot, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := make(chan *fleet.Snapshot, 1)
	ch <- c.Latest()
	id := c.nextID
	c.nextID++
	c.subs[id] = ch
	return ch, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if _, ok := c.subs[id]; ok {
			delete(c.subs, id)
			close(ch)
		}
	}
}

// Poke asks the named sources, or all, to look again now. It does not wait; pokes
// that come while a source looks make it look once more.
func (c *Collector) Poke(ids ...fleet.SourceID) {
	for _, f := range c.feeds {
		if len(ids) == 0 || slices.Contains(ids, f.id) {
			f.poke()
		}
	}
}

// WaitFirst waits until every source has answered or failed once; the Latest
// snapshot then shows it. When ctx ends first, Latest shows what there is.
func (c *Collector) WaitFirst(ctx context.Context) error {
	defer c.join()
	for _, f := range c.feeds {
		select {
		case <-f.answered:
			continue
		default:
		}
		select {
		case <-f.answered:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.ended:
			return errors.New("the collector ended before every source had answered")
		}
	}
	return nil
}
