package actionstest

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
)

// result is what came of a run.
type result struct {
	plan    *actions.Plan
	events  []actions.Event
	end     actions.Event
	journal string // the folder
	calls   map[string][][]string
}

// options change a run.
type options struct {
	before func(*actions.Plan)                                                     // after the plan was made
	event  func(ev actions.Event, cancel context.CancelFunc, steps []actions.Step) // at every event
}

// run plans and runs a case with an ordinary Runner.
func run(t *testing.T, c Case, o options) result {
	t.Helper()
	res := result{plan: plan(t, c), journal: filepath.Join(t.TempDir(), "journal"), calls: map[string][][]string{}}
	if o.before != nil {
		o.before(res.plan)
	}
	for _, h := range c.Hosts {
		h.Forget()
	}
	j, err := actions.OpenJournal(res.journal)
	if err != nil {
		t.Fatal(err)
	}
	r := runner(c, j)
	ctx, cancel := context.WithTimeout(context.Background(), budget(c))
	defer cancel()
	if c.Terminal != nil {
		ctx = actions.WithTerminal(ctx, c.Terminal)
	}
	ch, err := r.Run(ctx, res.plan, actions.Confirmation{Yes: true})
	if err != nil {
		t.Fatal(err)
	}
	for ev := range ch {
		res.events = append(res.events, ev)
		if o.event != nil {
			o.event(ev, cancel, res.plan.Steps)
		}
	}
	res.end = res.events[len(res.events)-1]
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := j.Verify(); err != nil {
		t.Error(err)
	}
	for _, h := range c.Hosts {
		res.calls[h.Name()] = h.Calls()
	}
	return res
}

func budget(c Case) time.Duration {
	if c.Budget > 0 {
		return c.Budget
	}
	return time.Minute
}

func runner(c Case, j *actions.Journal) *actions.Runner {
	return actions.NewRunner(actions.RunnerOptions{
		Policy:  actions.Policy{Environments: map[string]actions.EnvironmentPolicy{c.Snapshot.Environment: {Confirm: actions.ConfirmY}}},
		Journal: j, Locker: actions.NewMemoryLocker(time.Now), World: c.World, Who: c.Intent.Who,
		Timing: actions.Timing{Reread: time.Second, Settle: 20 * time.Millisecond, Grace: 10 * time.Second, Look: 5 * time.Millisecond},
	})
}
