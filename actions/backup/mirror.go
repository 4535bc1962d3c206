package backup

import (
	"context"
	"fmt"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote/store"
)

// sayEvery is how often a mirror says how far it is, in objects.
const sayEvery = 100

// planMirror is the plan of a job that copies a bucket: what is new there is copied, nothing is ever removed.
func (w *work) planMirror(ctx context.Context) (*actions.Plan, error) {
	w.prod = &product{}
	from := w.a.cfg.Stores[w.job.S3.From]
	if from == nil {
		return nil, fmt.Errorf("backup %s: no store %q", w.name, w.job.S3.From)
	}
	source, err := store.Open(*from, w.job.S3.Folder, store.Deps{Host: w.a.deps.Host, Secret: w.a.deps.Secret})
	var m *store.Mirror
	if err == nil {
		m, err = store.NewMirror(source, w.place, w.name)
	}
	if err != nil {
		return nil, fmt.Errorf("backup %s: %w", w.name, err)
	}
	p := w.newPlan(fmt.Sprintf("mirror %s", m))
	todo, err := m.Compare(ctx, time.Time{})
	if err != nil {
		w.check(actions.CheckFail, "buckets", "%v", err)
	} else {
		w.check(actions.CheckOK, "buckets", "%d objects, %s; %d of them are new or have changed", todo.Objects, fleet.Bytes(float64(todo.Bytes)), len(todo.Copy))
		if todo.Objects == 0 {
			w.check(actions.CheckFail, "source", "%s is empty: that is no backup", source)
		}
	}
	if todo.Extra > 0 {
		p.Risks = append(p.Risks, fmt.Sprintf("%d objects that are no longer in the source stay at the destination", todo.Extra))
	}
	p.Checks = w.checks
	if ok, _ := p.Runnable(); ok {
		p.Steps = append([]actions.Step{w.copyStep(m, todo), w.compareStep(m)}, writeSteps(w.place, "record",
			store.FileName(w.name, w.made, store.RecordExt), func() ([]byte, error) { return w.mirrorRecord() })...)
		w.lock(p)
	}
	p.Verify = w.verify
	return p, nil
}

func (w *work) copyStep(m *store.Mirror, todo store.Todo) actions.Step {
	return actions.Step{Name: "copy", Argv: m.Argv(), Mutates: true, Timeout: w.a.cfg.Timeout.Std(), Do: func(ctx context.Context, out func(string, string)) error {
		return outcome(m.Copy(ctx, todo.Copy, func(n int) {
			if n%sayEvery == 0 || n == len(todo.Copy) {
				out(actions.StreamNexops, fmt.Sprintf("%d of %d objects", n, len(todo.Copy)))
			}
		}))
	}}
}

// compareStep lists both ends again: what was copied is judged by what is there.
func (w *work) compareStep(m *store.Mirror) actions.Step {
	argv := append([]string{}, m.Argv()...)
	argv[1] = "compare"
	return actions.Step{Name: "compare", Argv: argv, Timeout: w.a.cfg.Timeout.Std(), Do: func(ctx context.Context, out func(string, string)) error {
		todo, err := m.Compare(ctx, w.made)
		if err != nil {
			return err //nolint:wrapcheck // it names the bucket
		}
		if n := len(todo.Copy); n > 0 {
			return fmt.Errorf("not verified: %d objects differ or are missing, the first is %s", n, todo.Copy[0])
		}
		w.result.size = todo.Bytes
		w.result.verified = fmt.Sprintf("%d objects, all there with the same sizes and tags", todo.Objects)
		w.shrink()
		out(actions.StreamNexops, w.result.verified)
		return nil
	}}
}

// mirrorRecord is the record of a run that left many objects and no file of its own.
func (w *work) mirrorRecord() ([]byte, error) {
	return store.Encode(store.Record{ //nolint:wrapcheck // it says what it is
		V: store.RecordVersion, Job: w.name, Kind: w.job.Kind, Started: w.made.UTC(), Ended: w.a.deps.Now().UTC(),
		Size: w.result.size, Verified: w.result.verified, By: w.intent.Who,
	})
}
