package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote/store"
)

// plainStep is a call that needs nothing and gives nothing.
func plainStep(name string, c store.Call) actions.Step {
	return actions.Step{Name: name, Host: c.Host, Argv: c.Argv, Mutates: true, Do: func(ctx context.Context, _ func(string, string)) error {
		return outcome(c.Run(ctx, nil, nil))
	}}
}

// steps are all of a run: write, read back, give it its name, put the record beside it, thin out.
func (w *work) steps(broken []store.Call, gone []string) []actions.Step {
	var out []actions.Step
	if len(w.list) == 0 {
		for _, c := range w.place.Make() {
			out = append(out, plainStep("make the folder", c))
		}
	}
	for _, c := range broken {
		out = append(out, plainStep("clear away a broken run", c))
	}
	writes := w.place.Write(w.target())
	for _, c := range writes[:len(writes)-1] {
		out = append(out, w.guarded(plainStep("make an empty file", c)))
	}
	out = append(out, w.guarded(w.dumpStep(writes[len(writes)-1])), w.guarded(w.readStep()))
	if c, ok := w.place.Rename(w.target(), w.file()); ok {
		out = append(out, w.guarded(plainStep("give it its name", c)))
	}
	record := store.FileName(w.name, w.made, store.RecordExt)
	out = append(out, writeSteps(w.place, "record", record, func() ([]byte, error) { return w.record(nil) })...)
	for _, c := range w.place.Remove(gone...) {
		if len(gone) > 0 {
			out = append(out, w.thinStep(c))
		}
	}
	return out
}

// dumpStep streams the backup into its place.
func (w *work) dumpStep(into store.Call) actions.Step {
	from := w.prod.dump
	return actions.Step{
		Name: "dump", Host: from.Host, Argv: from.Argv, Mutates: true, Into: &actions.Pipe{Host: into.Host, Argv: into.Argv}, Timeout: w.a.cfg.Timeout.Std(),
		Do: func(ctx context.Context, out func(string, string)) error {
			m := newMeter()
			began := time.Now()
			gctx, stop := guard(ctx, w.place, w.floor(), w.a.deps.Watch, m, func(s string) { out(actions.StreamNexops, s) })
			err := pour(gctx, from, into, m, nil)
			if low := stop(); low != nil {
				return low
			}
			if err != nil {
				return outcome(err)
			}
			if m.size() == 0 {
				return errors.New("the backup is empty")
			}
			w.result.size, w.result.sum = m.size(), m.digest()
			out(actions.StreamNexops, fmt.Sprintf("%s in %s, sha256 %s", fleet.Bytes(float64(m.size())), fleet.Seconds(time.Since(began).Seconds()), w.result.sum))
			return nil
		},
	}
}

// readStep reads the written backup back, all of it, and lets what knows its form judge it.
func (w *work) readStep() actions.Step {
	from := w.place.Read(w.target())
	s := actions.Step{Name: "read it back", Host: from.Host, Argv: from.Argv, Timeout: w.a.cfg.Timeout.Std()}
	if w.prod.lister != nil {
		s.Into = &actions.Pipe{Host: w.prod.lister.Host, Argv: w.prod.lister.Argv}
	}
	s.Do = func(ctx context.Context, out func(string, string)) error {
		m := newMeter()
		told, err := w.judge(ctx, from, m)
		if err != nil {
			return fmt.Errorf("not verified: %w", err)
		}
		if m.size() != w.result.size || m.digest() != w.result.sum {
			return fmt.Errorf("not verified: %d bytes with sha256 %s were written, %d with %s were read back", w.result.size, w.result.sum, m.size(), m.digest())
		}
		w.result.verified = told
		w.shrink()
		out(actions.StreamNexops, told+"; what was read back has the same sha256")
		return nil
	}
	return s
}

// judge runs the job's own check over what it reads.
func (w *work) judge(ctx context.Context, from store.Call, m *meter) (string, error) {
	if w.prod.lister != nil {
		var n lineCounter
		if err := pour(ctx, from, *w.prod.lister, m, &n); err != nil {
			return "", err
		}
		return w.prod.told(n.n), nil
	}
	told := ""
	look := store.Call{Run: func(_ context.Context, in io.Reader, _ io.Writer) (err error) {
		told, err = w.prod.look(in)
		return err
	}}
	err := pour(ctx, from, look, m, nil)
	return told, err
}

// thinStep removes what is no longer kept. It never does when the new backup gives reason to doubt it.
func (w *work) thinStep(c store.Call) actions.Step {
	return actions.Step{Name: "remove what is no longer kept", Host: c.Host, Argv: c.Argv, Mutates: true, Do: func(ctx context.Context, out func(string, string)) error {
		switch {
		case w.result.verified == "":
			return errors.New("the new backup is not verified: nothing is removed")
		case w.result.shrunken != "":
			out(actions.StreamNexops, w.result.shrunken+": nothing is removed")
			return nil
		}
		return outcome(c.Run(ctx, nil, nil))
	}}
}

// writeSteps put a small file into a place, whole or not at all.
func writeSteps(p store.Place, what, name string, content func() ([]byte, error)) []actions.Step {
	target := name
	move, ok := p.Rename(name+store.Partial, name)
	if ok {
		target += store.Partial
	}
	var out []actions.Step
	writes := p.Write(target)
	for _, c := range writes[:len(writes)-1] {
		out = append(out, plainStep("make the "+what, c))
	}
	last := writes[len(writes)-1]
	out = append(out, actions.Step{Name: "write the " + what, Host: last.Host, Argv: last.Argv, Mutates: true, Do: func(ctx context.Context, _ func(string, string)) error {
		b, err := content()
		if err != nil {
			return err
		}
		return outcome(last.Run(ctx, bytes.NewReader(b), nil))
	}})
	if ok {
		out = append(out, plainStep("put the "+what+" beside it", move))
	}
	return out
}

// cleanTime is how long clearing up after a failure may take.
const cleanTime = 30 * time.Second

// guarded clears up after a step that failed, and leaves a record of it for every console. After one of which nobody knows
// how it ended nothing is touched: it may still be at work. What it leaves the next run clears away.
func (w *work) guarded(s actions.Step) actions.Step {
	do := s.Do
	s.Do = func(ctx context.Context, out func(string, string)) error {
		err := do(ctx, out)
		if err == nil || errors.Is(err, actions.ErrUnknown) {
			return err
		}
		cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
		defer cancel()
		if cerr := w.clear(cctx, err); cerr != nil {
			out(actions.StreamNexops, "clearing up: "+cerr.Error())
			return fmt.Errorf("%w; %s may be left behind, the next run clears it away", err, w.target())
		}
		out(actions.StreamNexops, w.target()+" is removed, what failed is on record beside the backups")
		return err
	}
	return s
}

// clear removes what was written, and writes why.
func (w *work) clear(ctx context.Context, why error) error {
	var errs []error
	for _, c := range w.place.Remove(w.target()) {
		errs = append(errs, c.Run(ctx, nil, nil))
	}
	record := store.FileName(w.name, w.made, store.RecordExt)
	for _, s := range writeSteps(w.place, "record", record, func() ([]byte, error) { return w.record(why) }) {
		if err := s.Do(ctx, func(string, string) {}); err != nil {
			errs = append(errs, err)
			break
		}
	}
	return errors.Join(errs...)
}
