package komodo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

const (
	syncUser    = "000000000000000000000005" // who deploys what a sync begins
	taskError   = "Task Error"
	rendering   = "Compose Config"
	maxChildren = 100
)

// follow polls an update until it is complete. Success means nothing before that. A lost connection is no end: reading may be repeated.
func (f *follower) follow(ctx context.Context, u update) (update, error) {
	gone := 0
	for {
		var now update
		err := f.get(ctx, u.ID, &now)
		switch {
		case err == nil:
			if f.deaf {
				f.say("Komodo answers again")
			}
			f.deaf, gone = false, 0
			u = now
			f.tell(u)
		case ctx.Err() != nil:
		case missing(err):
			if gone++; gone > 3 {
				return u, fmt.Errorf("its update %s is not there any more", line(string(u.ID)))
			}
		case !f.deaf:
			f.deaf = true
			f.say("Komodo does not answer (" + line(err.Error()) + "): asking on")
		}
		if u.Status == complete {
			return u, nil
		}
		if !pause(ctx, pollEvery) {
			return u, fmt.Errorf("it was not followed to its end (%w): it may still be at work, update %s in Komodo tells", ctx.Err(), line(string(u.ID)))
		}
	}
}

func (f *follower) get(ctx context.Context, which id, out *update) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return f.s.client.read(ctx, "GetUpdate", map[string]any{"id": string(which)}, out)
}

// tell passes on what is new in the logs. Those of a deploy come all at once, at its end.
func (f *follower) tell(u update) {
	for ; f.said < len(u.Logs); f.said++ {
		l := u.Logs[f.said]
		head := "[" + line(l.Stage) + "]"
		if !l.Success {
			head += " failed"
		}
		if l.Command != "" {
			head += " " + hide(line(l.Command))
		}
		f.say(head)
		said := l.Stdout
		if l.Stage == rendering {
			said = "" // the whole project, with the secrets of its environments
		}
		for _, text := range append(lines(said), lines(l.Stderr)...) {
			f.say("  " + text)
		}
	}
}

// ended is what a complete update says of itself.
func ended(u update) (fleet.ExecutionState, []string) {
	if u.Success {
		return fleet.ExecutionSucceeded, nil
	}
	reason := line(u.Operation) + " failed"
	for _, l := range u.Logs {
		if l.Success {
			continue
		}
		if text := append(lines(l.Stderr), lines(l.Stdout)...); len(text) > 0 {
			reason += ": " + line(l.Stage) + ": " + strings.TrimPrefix(strings.Join(text[:min(len(text), 3)], "; "), "ERROR: ")
		} else {
			reason += ": " + line(l.Stage)
		}
		if l.Stage == taskError && strings.Contains(strings.ToLower(l.Stderr), "busy") {
			reason += " (somebody else's execution is at work there: wait for its end)"
		}
		break
	}
	return fleet.ExecutionFailed, []string{reason}
}

// children looks at the deploys that a sync began: the sync says success whatever came of them.
func (f *follower) children(ctx context.Context, sync update) (fleet.ExecutionState, []string) {
	list, err := f.began(ctx, sync)
	if err != nil {
		return fleet.ExecutionUnknown, []string{"what the sync has deployed could not be read: " + line(err.Error())}
	}
	state, reasons := fleet.ExecutionSucceeded, []string(nil)
	for _, it := range list[:min(len(list), maxChildren)] {
		name := orElse(f.s.nameOf(it.Target), it.Target.ID)
		child := &follower{s: f.s, say: func(text string) { f.say(line(name) + ": " + text) }, o: order{call: it.Operation, name: line(name)}}
		u, err := child.follow(ctx, update{ID: it.ID, Operation: it.Operation, StartTS: it.StartTS})
		if err != nil {
			reasons = append(reasons, child.o.words()+": "+err.Error())
			if state != fleet.ExecutionFailed {
				state = fleet.ExecutionUnknown
			}
			continue
		}
		s, why := ended(u)
		f.say(child.o.words() + " " + string(s))
		if s != fleet.ExecutionSucceeded {
			state = fleet.ExecutionFailed
			for _, w := range why {
				reasons = append(reasons, line(name)+": "+w)
			}
		}
	}
	return state, reasons
}

// began are the executions that Komodo's sync user has begun since the sync's own update: both times are Core's.
func (f *follower) began(ctx context.Context, sync update) ([]updateItem, error) {
	var got updateList
	var err error
	for range 5 { // reading may be repeated
		actx, cancel := context.WithTimeout(ctx, askTimeout)
		err = f.s.client.read(actx, "ListUpdates", map[string]any{"query": map[string]any{"start_ts": map[string]any{"$gte": sync.StartTS}}, "page": 0}, &got)
		cancel()
		if err == nil || !pause(ctx, pollEvery) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(got.Updates, func(u updateItem) bool {
		deploys := strings.HasPrefix(u.Operation, "Deploy") && (u.Target.Type == "Stack" || u.Target.Type == "Deployment")
		return !deploys || u.StartTS < sync.StartTS || u.Operator != syncUser && u.Operator != sync.Operator
	}), nil
}

func (s *Source) nameOf(t target) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stacks[t.ID].Name
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
