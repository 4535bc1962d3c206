package actions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// RunnerOptions is what a Runner is made of. Journal, Locker and World are required.
type RunnerOptions struct {
	Policy  Policy
	Journal *Journal
	Locker  Locker
	World   World
	Now     func() time.Time
	Who     string    // "ana@laptop"
	Redact  *Redactor // nil: by key names only
	Log     *slog.Logger
	Timing  Timing
	// Planner plans what the Runner does by itself, an automatic rollback; nil: it does nothing by itself.
	Planner func(ctx context.Context, snap *fleet.Snapshot, intent Intent) (*Plan, error)
}

// Timing is the patience of a Runner. Zero means the default.
type Timing struct {
	PlanAge time.Duration // an older plan is not run; default 5 min
	Step    time.Duration // a step may take that long; default 15 min
	Grace   time.Duration // a mutating step may go on that long after a cancel; default 2 min
	Reread  time.Duration // how long new facts are waited for after an unknown step; default 45 s
	Settle  time.Duration // how long an unknown step is given to become true; default 15 s
	Lock    time.Duration // how long taking the lock may take; default 30 s
	Look    time.Duration // how often a snapshot is looked at; default 200 ms
}

func (t Timing) orDefaults() Timing {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&t.PlanAge, 5*time.Minute)
	def(&t.Step, 15*time.Minute)
	def(&t.Grace, 2*time.Minute)
	def(&t.Reread, 45*time.Second)
	def(&t.Settle, 15*time.Second)
	def(&t.Lock, 30*time.Second)
	def(&t.Look, 200*time.Millisecond)
	return t
}

// Runner confirms, locks, journals, executes and verifies plans. It is the only
// thing of nexops that changes the world.
type Runner struct {
	RunnerOptions
	console string

	mu     sync.Mutex
	ran    map[string]bool               // plans that were started
	busy   map[fleet.ServiceKey]string   // services acted on now, by plan
	closed bool                          // no more plans
	quit   chan struct{}                 // closed when nobody listens any more
	runs   sync.WaitGroup                // plans under way
	flows  sync.WaitGroup                // streams not yet delivered
	cancel map[string]context.CancelFunc // of the plans under way
	unlock map[string]time.Time          // read-only environments that are unlocked, until when
}

// NewRunner makes a Runner. It starts nothing by itself.
func NewRunner(o RunnerOptions) *Runner {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Redact == nil {
		o.Redact = NewRedactor()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Timing = o.Timing.orDefaults()
	return &Runner{
		RunnerOptions: o, console: fmt.Sprintf("%s %d", o.Who, os.Getpid()),
		ran: map[string]bool{}, busy: map[fleet.ServiceKey]string{}, quit: make(chan struct{}),
		cancel: map[string]context.CancelFunc{}, unlock: map[string]time.Time{},
	}
}

// Required is what a person has to do before a plan runs, and the phrase to type where typing is asked for.
func (r *Runner) Required(p *Plan) (need Confirm, phrase string) {
	need = r.policy(p.Intent.Action).Required(p.Environment, p.Intent.Action)
	switch {
	case p.Intent.Action == UnlockName:
		need = unlockConfirm(p, need)
	case p.claimed():
		need = need.stricter(ConfirmType)
	}
	return need, Phrase(p)
}

// Forbidden says in words why no such action may run in an environment; "" when it may.
func (r *Runner) Forbidden(environment, action string) string {
	return r.policy(action).forbidden(environment, action)
}

// Run starts a plan and gives its events, the last of which is EventEnded. An
// error is a *Refusal: nothing was done. Cancelling ctx stops between steps; a step that
// changes the world is let finish. The events must be read to the end, or Close called.
func (r *Runner) Run(ctx context.Context, p *Plan, c Confirmation) (<-chan Event, error) {
	if err := r.check(p, c); err != nil {
		r.recordRefusal(p, err)
		return nil, err
	}
	need, _ := r.Required(p)
	return r.start(ctx, p, need)
}

// start begins a plan that was checked and confirmed.
func (r *Runner) start(ctx context.Context, p *Plan, how Confirm) (<-chan Event, error) {
	if err := r.reserve(p); err != nil {
		r.recordRefusal(p, err)
		return nil, err
	}
	done, err := r.record(p, how)
	if err != nil {
		r.free(p)
		r.runs.Done()
		return nil, refuse(RefusedJournal, fmt.Sprintf("nothing was done: it cannot be put on record: %v", err))
	}
	rctx, cancel := context.WithCancel(ctx)
	r.mu.Lock()
	r.cancel[p.ID] = cancel
	r.mu.Unlock()
	s := newStream(r.Journal, r.console, r.quit)
	r.flows.Go(s.owners.Wait)
	go func() { // owned by runs: Wait waits for it
		defer r.runs.Done()
		defer cancel()
		defer r.forget(p)
		if next := r.alone(rctx, p, s, done); next != nil {
			r.rollBack(rctx, ctx, p, next)
		}
	}()
	return s.out, nil
}

// alone runs a plan to its end and gives its services free. What follows by itself is for the caller.
func (r *Runner) alone(ctx context.Context, p *Plan, s *stream, done func()) *Next {
	defer done()
	defer r.free(p)
	defer s.end()
	return (&run{r: r, p: p, s: s}).live(ctx)
}

// record puts the plan on record and marks it as running.
func (r *Runner) record(p *Plan, how Confirm) (done func(), err error) {
	done, err = r.Journal.begin(p.ID)
	if err != nil {
		return nil, err
	}
	_, err = r.Journal.Append(Entry{
		At: r.Now(), Kind: EntryPlan, Plan: p.ID, Console: r.console, RollbackOf: p.Intent.RollbackOf, Record: planRecord(p, how, r.Redact),
	})
	if err != nil {
		done()
		return nil, err
	}
	return done, nil
}

// check gives the first reason not to run a plan.
func (r *Runner) check(p *Plan, c Confirmation) error {
	if err := r.possible(p); err != nil {
		return err
	}
	need, phrase := r.Required(p)
	if err := confirmed(need, phrase, c); err != nil {
		return refuse(RefusedConfirmation, err.Error())
	}
	return r.checkFresh(p)
}

// allowed is check for what the policy itself has confirmed: to take back a plan that a person has.
func (r *Runner) allowed(p, first *Plan) error {
	if err := r.possible(p); err != nil {
		return err
	}
	if len(p.takeOver()) > 0 {
		return refuse(RefusedConfirmation, "it would take over a lock, which only a person may confirm")
	}
	for _, c := range p.Checks {
		if c.Claim != nil && c.Claim.Against != nil && !first.against(c.Claim.Against) {
			return refuse(RefusedConfirmation, "it would go against a hold, which only a person may confirm: "+c.Detail)
		}
	}
	return r.checkFresh(p)
}

// possible gives the first reason not to run a plan, whoever has confirmed it.
func (r *Runner) possible(p *Plan) error {
	if text := r.Forbidden(p.Environment, p.Intent.Action); text != "" {
		return refuse(RefusedForbidden, text)
	}
	if ok, reason := p.Runnable(); !ok {
		return refuse(RefusedPreflight, reason)
	}
	if len(p.Steps) == 0 || p.ID == "" {
		return refuse(RefusedPreflight, "the plan has no steps")
	}
	for i, s := range p.Steps {
		if s.Do == nil {
			return refuse(RefusedPreflight, fmt.Sprintf("step %d, %s, cannot be run", i+1, s.Name))
		}
	}
	return nil
}

// checkFresh refuses a plan that is old, or of a world that is gone.
func (r *Runner) checkFresh(p *Plan) error {
	if age := r.Now().Sub(p.Made); age > r.Timing.PlanAge {
		return refuse(RefusedOld, fmt.Sprintf("the plan is %s old, %s are allowed: make it again", fleet.Ago(age), fleet.Ago(r.Timing.PlanAge)))
	}
	snap := r.World.Latest()
	if moved := append(Moved(p, snap), p.heldSince(p, snap, r.Who)...); len(moved) > 0 {
		return &Refusal{
			Code: RefusedMoved, Moved: moved,
			Text: "the estate has moved since the plan was made: " + strings.Join(moved, "; ") + ": make the plan again",
		}
	}
	for _, key := range p.services() {
		if svc, ok := snap.Find(key); ok && svc.Stale {
			return refuse(RefusedOld, fmt.Sprintf("the facts about %s are %s old: wait until its hosts answer", key, fleet.Ago(snap.At.Sub(svc.Seen))))
		}
	}
	return nil
}

// reserve takes the plan's id for ever and its services until free.
func (r *Runner) reserve(p *Plan) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return refuse(RefusedClosed, "nexops is closing: nothing was done")
	}
	if r.ran[p.ID] {
		return refuse(RefusedTwice, "this plan has run: make a new one")
	}
	for _, key := range p.locked() {
		if other, is := r.busy[key]; is {
			return refuse(RefusedBusy, fmt.Sprintf("another plan (%s) is running on %s: wait for its end", other, key))
		}
	}
	r.ran[p.ID] = true
	for _, key := range p.locked() {
		r.busy[key] = p.ID
	}
	r.runs.Add(1)
	return nil
}

func (r *Runner) free(p *Plan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range p.locked() {
		delete(r.busy, key)
	}
}

// forget takes a plan out of those under way.
func (r *Runner) forget(p *Plan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.cancel, p.ID)
}

// recordRefusal leaves a trace of what was wanted and not done. That it cannot be written changes nothing.
func (r *Runner) recordRefusal(p *Plan, err error) {
	_, werr := r.Journal.Append(Entry{
		At: r.Now(), Kind: EntryRefused, Plan: p.ID, Console: r.console, Text: r.Redact.Text(p.Title + ": " + err.Error()),
	})
	if werr != nil {
		r.Log.Warn("refusal not on record", "plan", p.ID, "err", werr)
	}
}

// Running gives the ids of the plans that are under way.
func (r *Runner) Running() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []string
	for id := range r.cancel {
		ids = append(ids, id)
	}
	return ids
}

// Wait returns when no plan is under way.
func (r *Runner) Wait() { r.runs.Wait() }

// Close takes no more plans, cancels those under way (a mutating step still ends by itself), waits for their
// end, and then ends the event channels that nobody reads.
func (r *Runner) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return errors.New("runner: closed twice")
	}
	r.closed = true
	for _, cancel := range r.cancel {
		cancel()
	}
	r.mu.Unlock()
	r.runs.Wait()
	close(r.quit)
	r.flows.Wait()
	return nil
}
