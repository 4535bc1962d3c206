package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/remote"
)

// Options is what a Notifier is made of. Journal is required.
type Options struct {
	Config       Config
	Record       JournalConfig
	Journal      *actions.Journal
	Environments []string // whose entries are passed on
	Host         func(name string) (remote.Host, error)
	Secret       func(ctx context.Context, s remote.Secret) (string, error)
	Redact       *actions.Redactor
	Now          func() time.Time
	Log          *slog.Logger
	Timing       Timing
}

// Timing is the patience of a Notifier. Zero means the default.
type Timing struct {
	Look  time.Duration // how often the journal is looked at; default 500 ms
	First time.Duration // before the second try; it doubles from there; default 1 s
	Last  time.Duration // and is at most that; default 1 min
	Grace time.Duration // how long Close waits for what is not yet passed on; default 3 s
}

// Notifier passes the journal on until it is closed. Nothing of it is ever waited for by an action.
type Notifier struct {
	o       Options
	sinks   []sink
	closing chan struct{}
	cancel  context.CancelFunc
	workers sync.WaitGroup

	mu      sync.Mutex
	trouble map[string]string // by sink: why it gets nothing now
}

// New makes a Notifier. It does no I/O.
func New(o Options) (*Notifier, error) {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.Timing.Look, 500*time.Millisecond)
	def(&o.Timing.First, time.Second)
	def(&o.Timing.Last, time.Minute)
	def(&o.Timing.Grace, 3*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	n := &Notifier{o: o, closing: make(chan struct{}), trouble: map[string]string{}}
	for _, t := range o.Config.To {
		c, err := newChat(t)
		if err != nil {
			return nil, err
		}
		n.sinks = append(n.sinks, c)
	}
	if o.Record.Loki.URL != "" {
		n.sinks = append(n.sinks, &n.o.Record.Loki)
	}
	if o.Record.Grafana.URL != "" {
		n.sinks = append(n.sinks, &n.o.Record.Grafana)
	}
	return n, nil
}

// ReachHost gives the connection to a host.
func (n *Notifier) ReachHost(name string) (remote.Host, error) { return n.o.Host(name) }

// ReachSecret reads a secret; what is read is never shown from then on.
func (n *Notifier) ReachSecret(ctx context.Context, s remote.Secret) (string, error) {
	value, err := n.o.Secret(ctx, s)
	if err == nil {
		n.o.Redact.Learn(value)
	}
	return value, err
}

// Start begins to pass on what the journal gets from now on, and what was left over.
func (n *Notifier) Start(ctx context.Context) {
	ctx, n.cancel = context.WithCancel(ctx)
	for _, s := range n.sinks {
		n.workers.Go(func() { n.serve(ctx, s) })
	}
}

// Close gives what is under way a little time, and ends. What is not passed on then is left to the next process.
func (n *Notifier) Close() {
	if n.cancel == nil {
		return
	}
	close(n.closing)
	t := time.AfterFunc(n.o.Timing.Grace, n.cancel)
	n.workers.Wait()
	t.Stop()
	n.cancel()
}

// Troubles says, one sentence each, who gets nothing now and why.
func (n *Notifier) Troubles() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for _, text := range n.trouble {
		out = append(out, text)
	}
	sort.Strings(out)
	return out
}

// tell notes and logs what is wrong with a receiver; "" is that it is well again.
func (n *Notifier) tell(s sink, what string, args ...any) {
	text := ""
	if what != "" {
		text = n.o.Redact.Text(remote.Clean(title(s) + ": " + fmt.Sprintf(what, args...)))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	was := n.trouble[s.name()]
	switch {
	case text == "":
		delete(n.trouble, s.name())
		if was != "" {
			n.o.Log.Info("notify: well again", "to", s.name())
		}
	case text != was:
		n.trouble[s.name()] = text
		n.o.Log.Warn("notify", "problem", text)
	}
}

func title(s sink) string {
	if name, ok := strings.CutPrefix(s.name(), "to-"); ok {
		return "notify " + name
	}
	return "journal to " + s.name()
}

func (n *Notifier) isClosing() bool {
	select {
	case <-n.closing:
		return true
	default:
		return false
	}
}

// sleep waits; it reports whether to go on. A Notifier that closes waits for nothing.
func (n *Notifier) sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-n.closing:
		return false
	case <-t.C:
		return true
	}
}

// serve follows the journal for one receiver. While another console does so, it waits for its turn.
func (n *Notifier) serve(ctx context.Context, s sink) {
	for {
		f, err := n.o.Journal.Follow(s.name())
		if err == nil {
			n.follow(ctx, s, f)
			if err := f.Close(); err != nil {
				n.o.Log.Warn("notify: cursor not closed", "to", s.name(), "err", err)
			}
		} else if !errors.Is(err, actions.ErrFollowed) {
			n.tell(s, "%v", err)
		}
		if !n.sleep(ctx, 4*n.o.Timing.Look) {
			return
		}
	}
}

// follow passes entries on until the Notifier ends or the journal cannot be read.
func (n *Notifier) follow(ctx context.Context, s sink, f *actions.Follower) {
	plans := plans{journal: n.o.Journal, known: map[string]item{}}
	for ctx.Err() == nil {
		last := n.isClosing() // what came until then is still passed on
		entries, err := f.Next(maxEntries)
		if err != nil {
			n.tell(s, "%v", err)
			return
		}
		if len(entries) == 0 && last {
			return
		}
		if len(entries) == 0 {
			n.sleep(ctx, n.o.Timing.Look)
			continue
		}
		if !n.passAll(ctx, s, f, n.items(&plans, entries)) {
			return
		}
		if err := f.Done(entries[len(entries)-1].Seq); err != nil {
			n.tell(s, "%v", err)
			return
		}
	}
}

// maxEntries bounds how much of the journal is held at a time.
const maxEntries = 200

// passAll passes entries on, as many at a time as the receiver takes, and notes how far it came.
func (n *Notifier) passAll(ctx context.Context, s sink, f *actions.Follower, items []item) bool {
	for chunk := range slices.Chunk(items, s.batch()) {
		last := chunk[len(chunk)-1].entry.Seq
		sent, ok := n.pass(ctx, s, slices.Clone(chunk))
		if !ok {
			return false
		}
		if !sent {
			continue
		}
		if err := f.Done(last); err != nil {
			n.tell(s, "%v", err)
			return false
		}
	}
	return true
}

// items are the entries that may be passed on: those of our environments.
func (n *Notifier) items(p *plans, entries []actions.Entry) []item {
	var out []item
	for _, e := range entries {
		it := p.of(e)
		if it.record != nil && slices.Contains(n.o.Environments, it.record.Environment) {
			out = append(out, it)
		}
	}
	return out
}

// pass sends until it is taken, refused for good, or too old. It reports whether something was sent, and whether
// the cursor may move on.
func (n *Notifier) pass(ctx context.Context, s sink, items []item) (sent, ok bool) {
	wait := n.o.Timing.First
	for {
		all := len(items)
		items = slices.DeleteFunc(items, func(it item) bool { return n.o.Now().Sub(it.entry.At) > s.fresh() })
		if len(items) < all {
			n.o.Log.Warn("notify: given up what is too old", "to", s.name(), "entries", all-len(items))
		}
		if len(items) == 0 {
			return false, true
		}
		r, wanted, err := s.request(ctx, n, n.o.Redact, items)
		if err == nil && !wanted {
			return false, true
		}
		if err == nil {
			err = send(ctx, n, r)
		}
		var no *refused
		var busy *later
		switch {
		case err == nil:
			n.tell(s, "")
			return true, true
		case errors.As(err, &no):
			n.tell(s, "not sent, and not tried again: %v", err)
			return true, true
		case ctx.Err() != nil || n.isClosing():
			n.tell(s, "not sent: %v; the next start tries again", err)
			return false, false
		}
		pause := wait
		if errors.As(err, &busy) {
			pause = max(wait, busy.wait)
		}
		n.tell(s, "not sent: %v; it is tried again", err)
		n.sleep(ctx, pause)
		wait = min(2*wait, n.o.Timing.Last)
	}
}

// plans remembers what the plans of entries were. It is bounded: a plan that has ended is forgotten.
type plans struct {
	journal *actions.Journal
	known   map[string]item
}

// maxPlans bounds how many plans are remembered that never end.
const maxPlans = 100

func (p *plans) of(e actions.Entry) item {
	if e.Plan == "" {
		return item{entry: e}
	}
	it, known := p.known[e.Plan]
	switch {
	case e.Record != nil:
		it = item{record: e.Record, began: e.At, rollbackOf: e.RollbackOf}
	case !known:
		it = p.find(e)
	}
	if e.Kind == actions.EntryOutcome {
		delete(p.known, e.Plan)
	} else {
		if len(p.known) >= maxPlans {
			clear(p.known)
		}
		p.known[e.Plan] = it
	}
	it.entry = e
	return it
}

// find reads the plan of an entry whose begin is behind the cursor.
func (p *plans) find(e actions.Entry) item {
	const days = 30
	list, err := p.journal.Read(actions.Query{Plan: e.Plan, Since: e.At.AddDate(0, 0, -days)})
	if err != nil {
		return item{}
	}
	for _, one := range list {
		if one.Record != nil {
			return item{record: one.Record, began: one.At, rollbackOf: one.RollbackOf}
		}
	}
	return item{}
}
