package ui

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

// life is what commands live in: when it ends they end, and it waits for them.
type life struct {
	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup
	lender *lender

	mu     sync.Mutex
	ended  bool
	events <-chan actions.Event // of the newest run
}

func newLife(ctx context.Context) *life {
	ctx, cancel := context.WithCancel(ctx)
	return &life{ctx: ctx, cancel: cancel, lender: &lender{ctx: ctx, asks: make(chan *loan)}}
}

// lastWords bounds how long the end waits for what has been told to end.
const lastWords = 10 * time.Second

// end ends everything and waits for it. A running action is told to end; its events are
// taken to the last one, so that it can put its end on record.
func (l *life) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.cancel()
	done := make(chan struct{})
	go func() {
		l.group.Wait()
		close(done)
	}()
	limit := time.NewTimer(lastWords)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
		return
	}
	l.mu.Lock()
	events := l.events
	l.mu.Unlock()
	for events != nil {
		select {
		case _, ok := <-events:
			if !ok {
				return
			}
		case <-limit.C:
			return
		}
	}
}

// enter counts a goroutine in; it reports false when the end has begun.
func (l *life) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.group.Add(1)
	return true
}

// do makes a command that the end waits for.
func (l *life) do(f func() tea.Msg) tea.Cmd {
	return func() tea.Msg {
		if !l.enter() {
			return nil
		}
		defer l.group.Done()
		return f()
	}
}

// waitSnapshot gives the newest snapshot once there is one.
func (l *life) waitSnapshot(ch <-chan *fleet.Snapshot) tea.Cmd {
	if ch == nil {
		return nil
	}
	return l.do(func() tea.Msg {
		var got *fleet.Snapshot
		select {
		case s, ok := <-ch:
			if !ok {
				return nil
			}
			got = s
		case <-l.ctx.Done():
			return nil
		}
		for {
			select {
			case s, ok := <-ch:
				if !ok {
					return snapshotMsg{got}
				}
				got = s
			default:
				return snapshotMsg{got}
			}
		}
	})
}

// after sends a message when a time has passed, or nothing when the screen ends.
func (l *life) after(d time.Duration, msg tea.Msg) tea.Cmd {
	return l.do(func() tea.Msg {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return msg
		case <-l.ctx.Done():
			return nil
		}
	})
}

// tick wakes the screen when the next second of the clock begins.
func (l *life) tick(now time.Time) tea.Cmd {
	next := now.Truncate(time.Second).Add(time.Second)
	return l.after(max(next.Sub(now), time.Millisecond), tickMsg(next))
}

func (l *life) startTail(id int, tail tailFunc, q sources.LogQuery) tea.Cmd {
	return l.do(func() tea.Msg {
		if l.ctx.Err() != nil {
			return nil
		}
		return tailStartedMsg{startTail(l.ctx, &l.group, id, tail, q)}
	})
}

// inspectLimit bounds how many instances are inspected at once.
const inspectLimit = 8

// inspectAll reads the raw record of each instance, one after the other.
func (l *life) inspectAll(o *Options, s *fleet.Service) tea.Cmd {
	key, list := s.Key, s.Instances
	return l.do(func() tea.Msg {
		var b strings.Builder
		for i, in := range list {
			if i == inspectLimit {
				fmt.Fprintf(&b, "── and %d more ──\n", len(list)-i)
				break
			}
			fmt.Fprintf(&b, "── %s on %s ──\n", in.Name, in.Host)
			ctx, cancel := context.WithTimeout(l.ctx, 15*time.Second)
			raw, err := o.Inspect(ctx, in)
			cancel()
			if err != nil {
				fmt.Fprintf(&b, "cannot be read: %v\n\n", err)
				continue
			}
			b.Write(raw)
			b.WriteString("\n\n")
		}
		if len(list) == 0 {
			b.WriteString("no instance on any host that can be seen")
		}
		return inspectMsg{key, b.String()}
	})
}

func (l *life) readJournal(read func(fleet.ServiceKey) []string, key fleet.ServiceKey) tea.Cmd {
	return l.do(func() tea.Msg { return journalMsg{key, read(key)} })
}

// planTimeout bounds the making of a plan: its preflights go over the network.
const planTimeout = 60 * time.Second

func (l *life) plan(ctx context.Context, seq int, a actions.Action, snap *fleet.Snapshot, in actions.Intent) tea.Cmd {
	return l.do(func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, planTimeout)
		defer cancel()
		p, err := a.Plan(ctx, snap, in)
		return plannedMsg{seq, p, err}
	})
}

func (l *life) run(r Runner, p *actions.Plan, c actions.Confirmation) tea.Cmd {
	return l.do(func() tea.Msg {
		if l.ctx.Err() != nil {
			return nil
		}
		events, err := r.Run(actions.WithTerminal(l.ctx, l.lender), p, c)
		if err == nil {
			l.mu.Lock()
			l.events = events
			l.mu.Unlock()
		}
		return runStartedMsg{p, events, err}
	})
}

// follow waits for what the runner does by itself after a plan.
func (l *life) follow(n *actions.Next) tea.Cmd {
	return l.do(func() tea.Msg {
		p, events, err := n.Wait(l.ctx)
		if err == nil {
			l.mu.Lock()
			l.events = events
			l.mu.Unlock()
		}
		return runStartedMsg{p, events, err}
	})
}

// eventBatch bounds how many events are shown at once; the rest comes with the next message.
const eventBatch = 512

// nextEvents waits for events of a running plan. It takes every one until the channel is closed,
// also after the screen has ended: none is lost, and the one who sends them is never held up.
func (l *life) nextEvents(plan string, ch <-chan actions.Event) tea.Cmd {
	return l.do(func() tea.Msg {
		first, ok := <-ch
		if !ok {
			return eventsMsg{plan: plan, closed: true}
		}
		list := []actions.Event{first}
		for len(list) < eventBatch {
			select {
			case e, ok := <-ch:
				if !ok {
					return eventsMsg{plan, list, true}
				}
				list = append(list, e)
			default:
				return eventsMsg{plan: plan, events: list}
			}
		}
		return eventsMsg{plan: plan, events: list}
	})
}
