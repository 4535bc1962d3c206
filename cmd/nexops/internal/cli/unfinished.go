package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/cmd/nexops/internal/console"
	"github.com/nexgate-hq/nexops/ui"
)

// news tells the screen of actions that began and whose end is not on record: at once that they are
// there, and what is true now when it is known, which then is put on record as their end. The function
// ends the telling. Nothing of it is waited for by the first frame.
func (a *App) news(ctx context.Context, c *console.Console) (<-chan []string, func()) {
	ctx, cancel := context.WithCancel(ctx)
	out := make(chan []string, 1)
	var telling sync.WaitGroup
	telling.Go(func() {
		defer close(out)
		var last []string
		tell := func(lines []string) {
			select {
			case out <- lines:
			case <-ctx.Done():
			}
		}
		a.settle(ctx, c, func(lines []string) {
			last = lines
			tell(lines)
		})
		troubles(ctx, c, func(lines []string) { tell(slices.Concat(last, lines)) })
	})
	return out, func() {
		cancel()
		telling.Wait()
	}
}

// troublesEvery is how often it is looked at who is not told of what is done.
const troublesEvery = 2 * time.Second

// troubles tells when somebody is not told of what is done, until the screen ends.
func troubles(ctx context.Context, c *console.Console, tell func(lines []string)) {
	tick := time.NewTicker(troublesEvery)
	defer tick.Stop()
	var last []string
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if now := c.Troubles(); !slices.Equal(now, last) {
			last = now
			tell(now)
		}
	}
}

// settle finds the unfinished actions, tells of them, and settles those of this environment.
func (a *App) settle(ctx context.Context, c *console.Console, tell func(lines []string)) {
	list, err := c.Journal.Left(a.Now())
	if err != nil {
		tell([]string{"journal: " + err.Error()})
		return
	}
	if len(list) == 0 {
		return
	}
	lines := make([]string, len(list))
	for i, u := range list {
		lines[i] = u.Words() + whatNext(u, c.Environment)
	}
	tell(slices.Clone(lines))
	var looking sync.WaitGroup
	var mu sync.Mutex
	for i, u := range list {
		if u.Running || u.Record == nil || u.Record.Environment != c.Environment {
			continue
		}
		looking.Go(func() {
			states, err := c.Runner.Settle(ctx, u)
			if errors.Is(ctx.Err(), context.Canceled) {
				return // leaving: the next start looks again
			}
			text := u.Words()
			for _, s := range states {
				text += "; " + s
			}
			if err != nil {
				text += "; " + err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			lines[i] = text
			tell(slices.Clone(lines))
		})
	}
	looking.Wait()
}

// tellSettled prints, before anything new is planned, what was left without an end and what is true of it now. It reports
// whether there was any. What cannot be seen within the time given, the next start looks at again; what a dead console sent a moment ago is
// given its time to become true besides.
func (a *App) tellSettled(ctx context.Context, c *console.Console, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience+c.Runner.Timing.Settle)
	defer cancel()
	var last []string
	a.settle(ctx, c, func(lines []string) { last = lines })
	for _, text := range last {
		_, _ = fmt.Fprintln(a.Stderr, "nexops: "+ui.Sanitize(text))
	}
	return len(last) > 0
}

// whatNext says what follows from an action without an end, before anything has been read.
func whatNext(u actions.Unfinished, environment string) string {
	switch {
	case u.Running:
		return ""
	case u.Record != nil && u.Record.Environment != environment:
		return ": open --env " + u.Record.Environment + " to see what is true now"
	default:
		return ": looking what is true now"
	}
}
