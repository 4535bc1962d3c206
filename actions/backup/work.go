package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/remote/store"
)

// work is one run of a job, from its plan to its end.
type work struct {
	a      *action
	name   string
	job    *Job
	snap   *fleet.Snapshot
	intent actions.Intent
	place  store.Place
	at     *site
	prod   *product
	bases  []actions.Basis
	checks []actions.Check
	list   []store.Object // what the place held when it was planned
	made   time.Time
	result result
}

// result is what has become of the run so far.
type result struct {
	size     int64
	sum      string
	verified string
	shrunken string // why the older ones all stay
}

func (a *action) newWork(snap *fleet.Snapshot, name string, intent actions.Intent) (*work, error) {
	j := a.cfg.Jobs[name]
	to := a.cfg.Stores[j.To]
	if to == nil {
		return nil, fmt.Errorf("no store %q", j.To)
	}
	place, err := store.Open(*to, j.Folder, store.Deps{Host: a.deps.Host, Secret: a.deps.Secret})
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the host
	}
	at, bases, err := a.site(snap, j)
	if err != nil {
		return nil, err
	}
	return &work{
		a: a, name: name, job: j, snap: snap, intent: intent, place: place, at: at,
		bases: append(bases, newestBasis(name, snap)), made: a.deps.Now(),
	}, nil
}

func (w *work) check(state actions.CheckState, name, format string, args ...any) {
	w.checks = append(w.checks, actions.Check{Name: name, State: state, Detail: fmt.Sprintf(format, args...)})
}

func (w *work) floor() int64 { return int64(w.a.cfg.FloorMiB) << 20 }

// file is the name the backup gets.
func (w *work) file() string { return store.FileName(w.name, w.made, w.prod.ext) }

// target is the name it is written under: a bucket shows an object only when it is whole, a folder does not.
func (w *work) target() string {
	if _, ok := w.place.Rename("", ""); ok {
		return w.file() + store.Partial
	}
	return w.file()
}

// plan asks source and destination, and puts the plan together.
func (w *work) plan(ctx context.Context) (*actions.Plan, error) {
	w.prod = w.a.produce(ctx, w.job, w.at)
	broken, names, gone := w.survey(ctx)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("backup %s: not asked to the end: %w", w.name, err)
	}
	p := w.newPlan(fmt.Sprintf("back up %s on %s to %s", w.name, w.snap.Environment, w.place))
	p.Checks = append(w.checks, w.prod.checks...)
	p.Risks = append(p.Risks, w.prod.risks...)
	if len(names) > 0 {
		p.Risks = append(p.Risks, "removes what a run that was cut off has left: "+strings.Join(names, ", "))
	}
	p.Risks = append(p.Risks, w.goneRisks(gone)...)
	if ok, _ := p.Runnable(); ok {
		p.Steps = w.steps(broken, gone)
		w.lock(p)
	}
	p.Verify = w.verify
	return p, nil
}

// lock makes the bucket keep the lock of a job that no host keeps.
func (w *work) lock(p *actions.Plan) {
	if len(p.LockHosts) > 0 {
		return
	}
	locks, ok := store.LocksOf(w.place)
	if !ok {
		if w.a.cfg.Stores[w.job.To].IsBucket() {
			p.Checks = append(p.Checks, actions.Check{
				Name: "lock", State: actions.CheckWarn, Detail: fmt.Sprintf(
					`on this machine alone, as lock = "local" of store %s says: a console on another one may run %s at the same time`, w.job.To, w.name),
			})
		}
		return
	}
	for i := range p.Steps {
		if p.Steps[i].Mutates {
			p.Steps[i].At = locks
		}
	}
}

// newPlan is what all plans of a job have in common.
func (w *work) newPlan(title string) *actions.Plan {
	intent := w.intent
	// What is locked is the job: two consoles that run it exclude one another, and nobody else.
	intent.Targets = []fleet.Ref{{Service: fleet.ServiceKey{Environment: w.snap.Environment, Name: w.name}}}
	intent.Args = map[string]string{ArgJob: w.name}
	p := &actions.Plan{
		ID: actions.NewPlanID(w.made), Intent: intent, Title: title, Environment: w.snap.Environment, Made: w.made,
		Snapshot: w.snap.Seq, Bases: w.bases,
	}
	for _, h := range []string{w.at.name, w.place.Host()} {
		if h != "" && (len(p.LockHosts) == 0 || p.LockHosts[0] != h) {
			p.LockHosts = append(p.LockHosts, h)
		}
	}
	return p
}

// survey looks at the destination: what is there, what goes, what a run that was cut off has left.
func (w *work) survey(ctx context.Context) (broken []store.Call, names, gone []string) {
	list, err := w.place.List(ctx)
	if err != nil {
		w.check(actions.CheckFail, "destination", "%v", err)
		return nil, nil, nil
	}
	w.list = list
	if broken, names, err = w.place.Broken(ctx, w.name); err != nil {
		w.check(actions.CheckFail, "destination", "%v", err)
		return nil, nil, nil
	}
	own := 0
	for _, o := range list {
		if _, ext, ok := store.Own(w.name, o.Name); ok && ext != store.RecordExt && ext != store.DrillExt {
			own++
		}
	}
	w.check(actions.CheckOK, "destination", "%s holds %d backups of %s", w.place, own, w.name)
	w.checkRoom(ctx)
	zone, err := time.LoadLocation(w.a.cfg.Zone)
	if err != nil {
		w.check(actions.CheckFail, "retention", "%v", err)
		return nil, nil, nil
	}
	verified := map[string]bool{}
	if j, ok := find(w.snap, w.name); ok {
		for _, r := range j.Runs {
			verified[r.File] = r.State == fleet.BackupVerified
		}
	}
	newest := copyOf{name: w.file(), at: w.made, verified: true}
	return broken, names, outdated(w.name, list, verified, newest, w.a.cfg.Keep, zone)
}

// roomFactor is how much larger than the last one a backup may be before there is said to be too little room.
const roomFactor = 1.25

// checkRoom compares the room with what is likely to come.
func (w *work) checkRoom(ctx context.Context) {
	const name = "room"
	free, known, err := w.place.Free(ctx)
	if err != nil {
		w.check(actions.CheckFail, name, "%v", err)
		return
	}
	if !known {
		return
	}
	need, why := w.need()
	if free-need < w.floor() {
		w.check(actions.CheckFail, name, "%s are free on %s, %s are needed (%s) and %s always stay free: make room, or choose another store",
			fleet.Bytes(float64(free)), w.place, fleet.Bytes(float64(need)), why, fleet.Bytes(float64(w.floor())))
		return
	}
	w.check(actions.CheckOK, name, "%s are free on %s, about %s are needed (%s)", fleet.Bytes(float64(free)), w.place, fleet.Bytes(float64(need)), why)
}

// need is how much room the backup is likely to take.
func (w *work) need() (int64, string) {
	if j, ok := find(w.snap, w.name); ok {
		if last, ok := j.LastGood(); ok {
			return int64(float64(last.Size) * roomFactor), "the last one was " + fleet.Bytes(float64(last.Size))
		}
	}
	if w.prod.expected > 0 {
		return w.prod.expected, "as large as what is backed up"
	}
	return 0, "how large it gets is not known"
}

// goneRisks names what is removed, all of it.
func (w *work) goneRisks(gone []string) []string {
	if len(gone) == 0 {
		return nil
	}
	k := w.a.cfg.Keep
	return []string{fmt.Sprintf("once it is verified, what is no longer kept (%d daily, %d weekly, %d monthly) is removed: %s",
		k.Daily, k.Weekly, k.Monthly, strings.Join(gone, ", "))}
}

// verify waits until the sources see the backup, and compares its size with what is usual.
func (w *work) verify(ctx context.Context, world actions.World, out func(string)) (actions.Outcome, []string) {
	if w.result.verified == "" {
		return actions.OutcomeUnknown, []string{"nobody has read the backup back"}
	}
	out(fmt.Sprintf("%s, %s", fleet.Bytes(float64(w.result.size)), w.result.verified))
	if ctx.Err() != nil {
		return actions.OutcomeCancelled, []string{"cancelled at its very end: the backup is there, and verified"}
	}
	if _, shown := find(w.snap, w.name); shown {
		if err := w.awaitSeen(ctx, world); err != nil {
			return actions.OutcomeUnknown, []string{err.Error()}
		}
		out("the sources see it")
	}
	if w.result.shrunken != "" {
		return actions.OutcomeDegraded, []string{w.result.shrunken, "no older backup was removed"}
	}
	return actions.OutcomeGood, nil
}

var errNotSeen = errors.New("it was written and read back, but the destination does not show it as verified yet")

func (w *work) awaitSeen(ctx context.Context, world actions.World) error {
	ctx, cancel := context.WithTimeout(ctx, w.a.deps.Seen)
	defer cancel()
	const look = 200 * time.Millisecond
	poke := time.Now()
	world.Poke()
	for {
		if j, ok := find(world.Latest(), w.name); ok {
			if run, ok := j.LastVerified(); ok && run.Started.Unix() == w.made.Unix() {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errNotSeen
		case <-time.After(look):
		}
		if time.Since(poke) > 2*time.Second {
			poke = time.Now()
			world.Poke()
		}
	}
}

// shrink notes that a backup is much smaller than usual: perhaps not all of it is there, and then the older ones are worth more.
func (w *work) shrink() {
	j, ok := find(w.snap, w.name)
	if !ok {
		return
	}
	c := *j
	c.Runs = append([]fleet.BackupRun{{Started: w.made, Size: w.result.size, State: fleet.BackupVerified}}, j.Runs...)
	for _, r := range c.Reasons(w.made) {
		if r.Code == "backup_shrunken" {
			w.result.shrunken = r.Text
		}
	}
}

// record is what is written beside the backup; failed is why there is none.
func (w *work) record(failed error) ([]byte, error) {
	r := store.Record{
		V: store.RecordVersion, Job: w.name, Kind: w.job.Kind, File: w.file(), Started: w.made.UTC(), Ended: w.a.deps.Now().UTC(),
		Size: w.result.size, SHA256: w.result.sum, Verified: w.result.verified, Versions: w.prod.versions, By: remote.Clean(w.intent.Who),
	}
	if failed != nil {
		r.File, r.Size, r.SHA256, r.Verified = "", 0, "", ""
		r.Error = remote.Clean(failed.Error())
	}
	return store.Encode(r) //nolint:wrapcheck // it says what it is
}
