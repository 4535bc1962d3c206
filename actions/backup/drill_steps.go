package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/remote/store"
)

// maintenance are the flags of createdb and dropdb.
func (p *Postgres) maintenance(program, database string, flags ...string) []string {
	argv := append([]string{p.program(program)}, flags...)
	if p.DSN != "" {
		return append(argv, "--no-password", "--maintenance-db", p.DSN, database)
	}
	return append(argv, "--no-password", "--username", p.user(), "--maintenance-db", p.Database, database)
}

// steps are all of a drill. From the making of the throw-away database on, dropping it and the record always follow.
func (r *rehearsal) steps() []actions.Step {
	pg := r.job.Postgres
	var out []actions.Step
	for _, name := range r.left {
		out = append(out, plainStep("drop what was left", r.at.call(pg.maintenance("dropdb", name, "--if-exists"), nil)))
	}
	create := r.at.call(pg.maintenance("createdb", r.database, "--template=template0"), nil)
	out = append(out, r.noted(plainStep("make the throw-away database", create)), r.noted(r.restoreStep()),
		r.noted(r.countStep("count what was restored", pg.psql(r.database, exactSQL), &r.got)),
		r.noted(r.countStep("count the live one", pg.psql("", roughSQL), &r.live)))
	drop := plainStep("drop the throw-away database", r.at.call(pg.maintenance("dropdb", r.database, "--if-exists"), nil))
	drop.Always = true
	out = append(out, drop)
	for _, s := range writeSteps(r.place, "result", store.FileName(r.work.name, r.made, store.DrillExt), r.result) {
		s.Always = true
		out = append(out, s)
	}
	return out
}

// noted keeps why the drill is not good.
func (r *rehearsal) noted(s actions.Step) actions.Step {
	do := s.Do
	s.Do = func(ctx context.Context, out func(string, string)) error {
		if r.began.IsZero() {
			r.began = r.a.deps.Now()
		}
		err := do(ctx, out)
		if err != nil && r.problem == "" {
			r.problem = s.Name + ": " + remote.Clean(err.Error())
		}
		return err
	}
	return s
}

// restoreStep streams the backup into pg_restore, and holds it to the checksum of its record.
func (r *rehearsal) restoreStep() actions.Step {
	pg := r.job.Postgres
	from := r.place.Read(r.backup.File)
	words := append([]string{pg.program("pg_restore"), "--no-owner", "--no-privileges", "--exit-on-error"}, pg.login(r.database)...)
	into := r.at.call(words, nil)
	return actions.Step{
		Name: "restore", Host: from.Host, Argv: from.Argv, Mutates: true, Into: &actions.Pipe{Host: into.Host, Argv: into.Argv}, Timeout: r.cfg.Timeout.Std(),
		Do: func(ctx context.Context, out func(string, string)) error {
			m := newMeter()
			if err := pour(ctx, from, into, m, nil); err != nil {
				return outcome(err)
			}
			if r.backup.SHA256 != "" && m.digest() != r.backup.SHA256 {
				return fmt.Errorf("%s has sha256 %s, its record says %s", r.backup.File, m.digest(), r.backup.SHA256)
			}
			out(actions.StreamNexops, fleet.Bytes(float64(m.size()))+" restored")
			return nil
		},
	}
}

// countStep asks a database what it holds.
func (r *rehearsal) countStep(name string, words []string, into *counts) actions.Step {
	c := r.at.call(words, nil)
	return actions.Step{Name: name, Host: c.Host, Argv: c.Argv, Do: func(ctx context.Context, out func(string, string)) error {
		var b bytes.Buffer
		if err := c.Run(ctx, nil, &b); err != nil {
			return err
		}
		got, err := readCounts(b.String())
		if err != nil {
			return err
		}
		*into = got
		r.counted = into == &r.live
		out(actions.StreamNexops, got.String())
		return nil
	}}
}

// judged says why the drill is not good; nil when it is.
func (r *rehearsal) judged() error {
	least := 1 - r.cfg.Tolerance
	switch {
	case r.problem != "":
		return errors.New(r.problem)
	case !r.counted:
		return errors.New("it did not come to its end")
	case r.got.tables == 0:
		return errors.New("the restored database has no table")
	case float64(r.got.tables) < least*float64(r.live.tables):
		return fmt.Errorf("restored %d tables, the live database has %d", r.got.tables, r.live.tables)
	case float64(r.got.rows) < least*float64(r.live.rows):
		return fmt.Errorf("restored %d rows, the live database has about %d", r.got.rows, r.live.rows)
	}
	return nil
}

// result is the record that is put beside the backup, for every console.
func (r *rehearsal) result() ([]byte, error) {
	rec := store.DrillRecord{
		V: store.RecordVersion, Job: r.work.name, File: r.backup.File, Started: r.made.UTC(), Tables: r.got.tables, Rows: r.got.rows,
		Seconds: r.a.deps.Now().Sub(r.began).Round(time.Millisecond).Seconds(), By: remote.Clean(r.intent.Who), Good: true,
	}
	if err := r.judged(); err != nil {
		rec.Good, rec.Error = false, err.Error()
	}
	return store.Encode(rec) //nolint:wrapcheck // it says what it is
}

// verify judges what was counted.
func (r *rehearsal) verify(ctx context.Context, world actions.World, out func(string)) (actions.Outcome, []string) {
	world.Poke() // the date of this drill is shown from now on
	out(fmt.Sprintf("restored %s from %s; the live database has about %s", r.got, r.backup.File, r.live))
	if err := r.judged(); err != nil {
		return actions.OutcomeDegraded, []string{err.Error()}
	}
	if ctx.Err() != nil {
		return actions.OutcomeCancelled, []string{"cancelled at its very end: the drill itself was good"}
	}
	return actions.OutcomeGood, nil
}
