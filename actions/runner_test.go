package actions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// world is an estate of one service on one host whose facts are always new.
type world struct {
	mu    sync.Mutex
	tag   string
	down  string // why the host cannot be seen
	stale bool
	state fleet.State
	pokes int
}

func (w *world) set(change func(*world)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w)
}

func (w *world) Poke() { w.set(func(w *world) { w.pokes++ }) }

func (w *world) Latest() *fleet.Snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	return &fleet.Snapshot{
		At: now, Environment: "prod",
		Hosts:   []fleet.Host{{Name: "prod-1", Up: w.down == "", Error: w.down}},
		Sources: []fleet.SourceStatus{{ID: "docker/prod-1", Hosts: []string{"prod-1"}, State: fleet.SourceOK, LastSuccess: now}},
		Services: []fleet.Service{{
			Key: aiProd, Hosts: []string{"prod-1"}, Seen: now, Stale: w.stale,
			Instances: []*fleet.Instance{{Host: "prod-1", Name: "ai-1", State: w.state, Release: fleet.Release{Image: "img", Tag: w.tag}}},
		}},
	}
}

type bench struct {
	t      *testing.T
	r      *Runner
	w      *world
	j      *Journal
	locker *MemoryLocker
}

func newBench(t *testing.T, change func(*RunnerOptions)) *bench {
	t.Helper()
	b := &bench{t: t, w: &world{tag: "0.4.2"}, j: openJournal(t), locker: NewMemoryLocker(time.Now)}
	o := RunnerOptions{
		Policy:  Policy{Environments: map[string]EnvironmentPolicy{"prod": {Confirm: ConfirmType}}},
		Journal: b.j, Locker: b.locker, World: b.w, Who: "ana@laptop", Redact: NewRedactor("canary-4711"),
		Timing: Timing{Grace: 5 * time.Second, Reread: 200 * time.Millisecond, Settle: 500 * time.Millisecond, Look: time.Millisecond},
	}
	if change != nil {
		change(&o)
	}
	b.r = NewRunner(o)
	return b
}

var typed = Confirmation{Typed: "ai@prod"}

// nothing is a step that succeeds.
func nothing(context.Context, func(stream, line string)) error { return nil }

func (b *bench) plan(steps ...Step) *Plan {
	snap := b.w.Latest()
	for i := range steps {
		if steps[i].Name == "" {
			steps[i].Name = fmt.Sprintf("s%d", i+1)
		}
		if steps[i].Do == nil {
			steps[i].Do = nothing
		}
		steps[i].Host, steps[i].Argv = "prod-1", []string{"true", steps[i].Name}
	}
	return &Plan{
		ID: NewPlanID(time.Now()), Title: "redeploy ai", Environment: "prod", Made: time.Now(),
		Intent: Intent{Action: "redeploy", Targets: []fleet.Ref{{Service: aiProd}}, Who: "ana@laptop"},
		Steps:  steps, Bases: []Basis{RunningBasis(aiProd, "prod-1", nil, snap)},
		Moves: []Move{{
			Service: aiProd, Host: "prod-1",
			From: fleet.Release{Image: "img", Tag: "0.4.2"}, To: fleet.Release{Image: "img", Tag: "0.4.1"},
		}},
		LockHosts: []string{"prod-1"},
	}
}

// finish reads a run to its end.
func finish(t *testing.T, ch <-chan Event, err error) []Event {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var list []Event
	for ev := range ch {
		list = append(list, ev)
	}
	if len(list) == 0 || list[len(list)-1].Kind != EventEnded {
		t.Fatalf("the last event is not the end: %+v", list)
	}
	return list
}

func (b *bench) run(p *Plan) ([]Event, Event) {
	b.t.Helper()
	ch, err := b.r.Run(context.Background(), p, typed)
	list := finish(b.t, ch, err)
	b.r.Wait()
	if _, err := b.locker.Lock(context.Background(), request("after")); err != nil {
		b.t.Errorf("the lock was not given back: %v", err)
	}
	if err := b.j.Verify(); err != nil {
		b.t.Errorf("the journal: %v", err)
	}
	if left := entries(b.t, b.j.Dir()+"/"+runningDir); len(left) != 0 {
		b.t.Errorf("still marked as running: %v", left)
	}
	return list, list[len(list)-1]
}

func kinds(list []Event) string {
	var out []string
	for _, ev := range list {
		out = append(out, string(ev.Kind))
	}
	return strings.Join(out, " ")
}

func TestRunIsOnRecordBeforeItIsSeen(t *testing.T) {
	b := newBench(t, nil)
	p := b.plan(
		Step{Do: func(_ context.Context, out func(stream, line string)) error {
			out("stdout", "the canary-4711 sings\x1b]0;title\a")
			return nil
		}},
		Step{Mutates: true},
	)
	p.Verify = func(_ context.Context, _ World, out func(string)) (Outcome, []string) {
		out("looking")
		return OutcomeGood, nil
	}
	ch, err := b.r.Run(context.Background(), p, Confirmation{Typed: "ai@prod\n"})
	if err != nil {
		t.Fatal(err)
	}
	var list []Event
	for ev := range ch {
		list = append(list, ev)
		onRecord, err := b.j.Read(Query{Plan: p.ID})
		if err != nil {
			t.Fatal(err)
		}
		if len(onRecord) < len(list)+1 { // the plan itself comes first
			t.Errorf("%s was seen before it was on record", ev.Kind)
		}
	}
	want := "started locked step_began output step_ended step_began step_ended verifying output ended"
	if got := kinds(list); got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	if end := list[len(list)-1]; end.Outcome != OutcomeGood || end.Step != -1 {
		t.Errorf("end %+v", end)
	}
	if text := list[3].Text; text != "the [redacted] sings]0;title" {
		t.Errorf("output %q", text)
	}
	rec, err := b.j.Read(Query{Plan: p.ID})
	if err != nil {
		t.Fatal(err)
	}
	if r := rec[0].Record; r == nil || r.Who != "ana@laptop" || !slices.Equal(r.Steps[1].Argv, []string{"true", "s2"}) || r.Confirm != ConfirmType {
		t.Errorf("the plan on record: %+v", r)
	}
	if last := rec[len(rec)-1]; last.Kind != EntryOutcome || last.Outcome.Outcome != OutcomeGood {
		t.Errorf("the outcome on record: %+v", last)
	}
	b.r.Wait()
}

func TestRefusals(t *testing.T) {
	env := func(p EnvironmentPolicy) func(*RunnerOptions) {
		return func(o *RunnerOptions) { o.Policy.Environments["prod"] = p }
	}
	tests := []struct {
		name    string
		options func(*RunnerOptions)
		plan    func(*bench, *Plan)
		confirm Confirmation
		want    RefusalCode
	}{
		{"no confirmation", nil, nil, Confirmation{}, RefusedConfirmation},
		{"yes where typing is asked for", nil, nil, Confirmation{Yes: true}, RefusedConfirmation},
		{"another phrase", nil, nil, Confirmation{Typed: "ai@staging"}, RefusedConfirmation},
		{"two newlines", nil, nil, Confirmation{Typed: "ai@prod\n\n"}, RefusedConfirmation},
		{"blank before", nil, nil, Confirmation{Typed: " ai@prod"}, RefusedConfirmation},
		{"no yes", env(EnvironmentPolicy{Confirm: ConfirmY}), nil, Confirmation{}, RefusedConfirmation},
		{"nothing said is careful", env(EnvironmentPolicy{}), nil, Confirmation{Yes: true}, RefusedConfirmation},
		{"the action asks for more", func(o *RunnerOptions) {
			o.Policy.Environments["prod"] = EnvironmentPolicy{Confirm: ConfirmNone}
			o.Policy.Actions = map[string]Confirm{"redeploy": ConfirmType}
		}, nil, Confirmation{Yes: true}, RefusedConfirmation},
		{"never", env(EnvironmentPolicy{Confirm: ConfirmNever}), nil, typed, RefusedForbidden},
		{"read only", env(EnvironmentPolicy{Confirm: ConfirmNone, ReadOnly: true}), nil, typed, RefusedForbidden},
		{"an environment nobody knows", nil, func(_ *bench, p *Plan) { p.Environment = "dev" }, typed, RefusedForbidden},
		{"a failed preflight", nil, func(_ *bench, p *Plan) {
			p.Checks = []Check{{Name: "image", State: CheckFail, Detail: "is gone"}}
		}, typed, RefusedPreflight},
		{"no steps", nil, func(_ *bench, p *Plan) { p.Steps = nil }, typed, RefusedPreflight},
		{"an old plan", nil, func(_ *bench, p *Plan) { p.Made = p.Made.Add(-time.Hour) }, typed, RefusedOld},
		{"stale facts", nil, func(b *bench, _ *Plan) { b.w.stale = true }, typed, RefusedOld},
		{"the estate moved", nil, func(b *bench, _ *Plan) { b.w.tag = "0.4.3" }, typed, RefusedMoved},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, tt.options)
			p := b.plan(Step{Mutates: true, Do: func(context.Context, func(stream, line string)) error {
				t.Error("it ran")
				return nil
			}})
			if tt.plan != nil {
				tt.plan(b, p)
			}
			_, err := b.r.Run(context.Background(), p, tt.confirm)
			var refusal *Refusal
			if !errors.As(err, &refusal) || refusal.Code != tt.want {
				t.Fatalf("refused with %v, want %s", err, tt.want)
			}
			if tt.want == RefusedMoved && (len(refusal.Moved) != 1 || !strings.Contains(refusal.Moved[0], "ai on prod-1 runs 0.4.3, it was 0.4.2")) {
				t.Errorf("moved: %v", refusal.Moved)
			}
			if rec, _ := b.j.Read(Query{Plan: p.ID}); len(rec) != 1 || rec[0].Kind != EntryRefused {
				t.Errorf("on record: %+v", rec)
			}
		})
	}
}

func TestConfirmations(t *testing.T) {
	tests := []struct {
		confirm Confirm
		given   Confirmation
	}{
		{ConfirmNone, Confirmation{}},
		{ConfirmY, Confirmation{Yes: true}},
		{ConfirmY, typed},
		{ConfirmType, typed},
		{ConfirmType, Confirmation{Typed: "ai@prod\r\n"}},
	}
	for _, tt := range tests {
		b := newBench(t, func(o *RunnerOptions) { o.Policy.Environments["prod"] = EnvironmentPolicy{Confirm: tt.confirm} })
		p := b.plan(Step{})
		if need, phrase := b.r.Required(p); need != tt.confirm || phrase != "ai@prod" {
			t.Errorf("required %s %s", need, phrase)
		}
		ch, err := b.r.Run(context.Background(), p, tt.given)
		finish(t, ch, err)
		b.r.Wait()
	}
}

func TestAPlanRunsOnce(t *testing.T) {
	b := newBench(t, nil)
	p := b.plan(Step{})
	b.run(p)
	_, err := b.r.Run(context.Background(), p, typed)
	var refusal *Refusal
	if !errors.As(err, &refusal) || refusal.Code != RefusedTwice {
		t.Errorf("second run: %v", err)
	}
}

func TestOneRunAServiceAndNoMoreAfterClose(t *testing.T) {
	b := newBench(t, nil)
	gate, in := make(chan struct{}), make(chan struct{})
	ch, err := b.r.Run(context.Background(), b.plan(Step{Do: func(context.Context, func(stream, line string)) error {
		close(in)
		<-gate
		return nil
	}}), typed)
	if err != nil {
		t.Fatal(err)
	}
	<-in
	var refusal *Refusal
	if _, err := b.r.Run(context.Background(), b.plan(Step{}), typed); !errors.As(err, &refusal) || refusal.Code != RefusedBusy {
		t.Errorf("second plan: %v", err)
	}
	close(gate)
	finish(t, ch, nil)
	if err := b.r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := b.r.Run(context.Background(), b.plan(Step{}), typed); !errors.As(err, &refusal) || refusal.Code != RefusedClosed {
		t.Errorf("after close: %v", err)
	}
}

func TestNoEventIsDroppedForASlowReader(t *testing.T) {
	b := newBench(t, nil)
	const lines = 5000
	p := b.plan(Step{Do: func(_ context.Context, out func(stream, line string)) error {
		for i := range lines {
			out("stdout", fmt.Sprint(i))
		}
		return nil
	}})
	ch, err := b.r.Run(context.Background(), p, typed)
	if err != nil {
		t.Fatal(err)
	}
	b.r.Wait() // nobody has read anything: the run is over all the same
	next := 0
	for _, ev := range finish(t, ch, nil) {
		if ev.Kind == EventOutput {
			if ev.Text != fmt.Sprint(next) {
				t.Fatalf("line %s, want %d", ev.Text, next)
			}
			next++
		}
	}
	if next != lines {
		t.Errorf("%d lines, want %d", next, lines)
	}
}

func TestCloseEndsWhatNobodyReads(t *testing.T) {
	b := newBench(t, nil)
	if _, err := b.r.Run(context.Background(), b.plan(Step{}), typed); err != nil {
		t.Fatal(err)
	}
	if err := b.r.Close(); err != nil { // goleak sees whether all has ended
		t.Error(err)
	}
}

func fails(err error) func(context.Context, func(stream, line string)) error {
	return func(context.Context, func(stream, line string)) error { return err }
}

func TestOutcomes(t *testing.T) {
	lost := fmt.Errorf("connection lost: %w", ErrUnknown)
	tests := []struct {
		name    string
		steps   []Step
		world   func(*world)
		outcome Outcome
		reasons []string // each is found in the reasons
	}{
		{"all well", []Step{{Mutates: true}}, nil, OutcomeGood, nil},
		{"a reading step fails first", []Step{{Do: fails(errors.New("file changed"))}, {Mutates: true}}, nil, OutcomeFailed,
			[]string{"nothing was done: s1 on prod-1: file changed"}},
		{"a changing step fails", []Step{{Mutates: true}, {Mutates: true, Do: fails(errors.New("exit code 1"))}, {Mutates: true}}, nil, OutcomeFailed,
			[]string{"s2 on prod-1: exit code 1", "done: s1 on prod-1", "not done: s2 on prod-1, s3 on prod-1", "ai on prod-1 still runs 0.4.2"}},
		{"the connection is lost", []Step{{Mutates: true, Do: fails(lost)}}, nil, OutcomeUnknown,
			[]string{"s1 on prod-1: connection lost", "ai on prod-1 still runs 0.4.2"}},
		{"the connection is lost, more was to do", []Step{{Mutates: true, Do: fails(lost)}, {Mutates: true}}, func(w *world) { w.tag = "0.4.1" }, OutcomeUnknown,
			[]string{"not done: s2 on prod-1", "ai on prod-1 runs 0.4.1 now"}},
		{"the connection is lost, it took effect", []Step{{Mutates: true, Do: fails(lost)}}, func(w *world) { w.tag = "0.4.1" }, OutcomeGood,
			[]string{"connection lost", "the state was read again"}},
		{"the connection is lost, the host too", []Step{{Mutates: true, Do: fails(lost)}}, func(w *world) { w.down = "no route" }, OutcomeUnknown,
			[]string{"ai on prod-1 cannot be read: the host cannot be seen: no route"}},
		{"the connection is lost, it takes effect a little later", []Step{{Mutates: true, Do: fails(lost)}}, func(w *world) {
			go w.set(func(w *world) { w.tag = "0.4.1" })
		}, OutcomeGood, []string{"the state was read again"}},
		{"the connection is lost half-way", []Step{{Mutates: true, Do: fails(lost)}}, func(w *world) { w.tag, w.state = "0.4.1", fleet.StateCreated }, OutcomeUnknown,
			[]string{"ai on prod-1 has 0.4.1 now, but is created, not running"}},
		{"a reading step panics", []Step{{Do: func(context.Context, func(stream, line string)) error { panic("oops") }}}, nil, OutcomeFailed,
			[]string{"nothing was done", "oops"}},
		{"a changing step panics", []Step{{Mutates: true, Do: func(context.Context, func(stream, line string)) error { panic("oops") }}}, nil, OutcomeUnknown,
			[]string{"oops", "still runs 0.4.2"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, nil)
			p := b.plan(tt.steps...)
			if tt.world != nil {
				first := p.Steps[0].Do
				p.Steps[0].Do = func(ctx context.Context, out func(stream, line string)) error {
					b.w.set(tt.world)
					return first(ctx, out)
				}
			}
			_, end := b.run(p)
			all := strings.Join(end.Reasons, "\n")
			if end.Outcome != tt.outcome {
				t.Errorf("outcome %s, want %s: %s", end.Outcome, tt.outcome, all)
			}
			for _, want := range tt.reasons {
				if !strings.Contains(all, want) {
					t.Errorf("reasons lack %q:\n%s", want, all)
				}
			}
		})
	}
}

func TestCancel(t *testing.T) {
	tests := []struct {
		name    string
		mutates bool
		outcome Outcome
		reason  string
	}{
		{"in a reading step", false, OutcomeCancelled, "nothing was done: cancelled"},
		{"in a changing step, which is let finish", true, OutcomeCancelled, "not done: s2 on prod-1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, nil)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			cut := make(chan bool, 1)
			p := b.plan(Step{Mutates: tt.mutates, Do: func(sctx context.Context, _ func(stream, line string)) error {
				cancel()
				if tt.mutates {
					cut <- sctx.Err() != nil
					return nil
				}
				<-sctx.Done()
				cut <- true
				return sctx.Err()
			}}, Step{Mutates: true, Do: func(context.Context, func(stream, line string)) error {
				t.Error("the step after the cancel ran")
				return nil
			}})
			ch, err := b.r.Run(ctx, p, typed)
			list := finish(t, ch, err)
			end := list[len(list)-1]
			if end.Outcome != tt.outcome || !strings.Contains(strings.Join(end.Reasons, "\n"), tt.reason) {
				t.Errorf("ended %s %v", end.Outcome, end.Reasons)
			}
			if got := <-cut; got == tt.mutates {
				t.Errorf("the step's context was cut: %v", got)
			}
			b.r.Wait()
		})
	}
}

func TestAChangingStepThatNeverEndsIsCutAfterItsGrace(t *testing.T) {
	b := newBench(t, func(o *RunnerOptions) { o.Timing.Grace = 10 * time.Millisecond })
	ctx, cancel := context.WithCancel(context.Background())
	p := b.plan(Step{Mutates: true, Do: func(sctx context.Context, _ func(stream, line string)) error {
		cancel()
		<-sctx.Done()
		return sctx.Err()
	}})
	ch, err := b.r.Run(ctx, p, typed)
	list := finish(t, ch, err)
	if end := list[len(list)-1]; end.Outcome != OutcomeUnknown {
		t.Errorf("ended %s %v", end.Outcome, end.Reasons)
	}
	b.r.Wait()
}

func TestLockHeldByAnother(t *testing.T) {
	b := newBench(t, nil)
	other, err := b.locker.Lock(context.Background(), LockRequest{Services: []fleet.ServiceKey{aiProd}, Owner: "bo@desk"})
	if err != nil {
		t.Fatal(err)
	}
	ch, err := b.r.Run(context.Background(), b.plan(Step{Mutates: true, Do: fails(errors.New("it ran"))}), typed)
	list := finish(t, ch, err)
	end := list[len(list)-1]
	if end.Outcome != OutcomeFailed || len(end.Reasons) != 1 || !strings.Contains(end.Reasons[0], "nothing was done: ai@prod is locked by bo@desk since") {
		t.Errorf("ended %s %v", end.Outcome, end.Reasons)
	}
	b.r.Wait()
	release(t, other)
}

// hooked is a locker that lets something happen while the lock is taken.
type hooked struct {
	Locker
	taken func()
	lost  chan error
}

func (h hooked) Lock(ctx context.Context, req LockRequest) (Held, error) {
	held, err := h.Locker.Lock(ctx, req)
	if err == nil && h.taken != nil {
		h.taken()
	}
	return losable{held, h.lost}, err //nolint:wrapcheck // a test's
}

type losable struct {
	Held
	lost chan error
}

func (l losable) Lost() <-chan error { return l.lost }

func TestTheEstateIsLookedAtAgainUnderTheLock(t *testing.T) {
	b := newBench(t, nil)
	b.r.Locker = hooked{Locker: b.locker, taken: func() { b.w.set(func(w *world) { w.tag = "0.4.3" }) }}
	_, end := b.run(b.plan(Step{Mutates: true, Do: fails(errors.New("it ran"))}))
	if end.Outcome != OutcomeFailed || !strings.Contains(end.Reasons[0], "nothing was done: the estate has moved") {
		t.Errorf("ended %s %v", end.Outcome, end.Reasons)
	}
}

func TestALostLockStopsBeforeTheNextStep(t *testing.T) {
	b := newBench(t, nil)
	lost := make(chan error, 1)
	b.r.Locker = hooked{Locker: b.locker, lost: lost}
	_, end := b.run(b.plan(
		Step{Mutates: true, Do: func(context.Context, func(stream, line string)) error {
			lost <- errors.New("the lock was lost: taken over by bo@desk")
			return nil
		}},
		Step{Mutates: true, Do: fails(errors.New("it ran"))},
	))
	all := strings.Join(end.Reasons, "\n")
	if end.Outcome != OutcomeFailed || !strings.Contains(all, "bo@desk") || !strings.Contains(all, "not done: s2 on prod-1") {
		t.Errorf("ended %s %v", end.Outcome, end.Reasons)
	}
}

func TestWithoutAJournalNothingRuns(t *testing.T) {
	b := newBench(t, nil)
	if err := os.RemoveAll(b.j.Dir()); err != nil {
		t.Fatal(err)
	}
	_, err := b.r.Run(context.Background(), b.plan(Step{Mutates: true, Do: fails(errors.New("it ran"))}), typed)
	var refusal *Refusal
	if !errors.As(err, &refusal) || refusal.Code != RefusedJournal {
		t.Errorf("refused with %v", err)
	}
	if err := b.r.Close(); err != nil {
		t.Error(err)
	}
}

func TestAJournalThatFailsMidwayStopsTheRun(t *testing.T) {
	b := newBench(t, nil)
	ch, err := b.r.Run(context.Background(), b.plan(
		Step{Mutates: true, Do: func(context.Context, func(stream, line string)) error {
			return os.RemoveAll(b.j.Dir())
		}},
		Step{Mutates: true, Do: fails(errors.New("it ran"))},
	), typed)
	list := finish(t, ch, err)
	end := list[len(list)-1]
	all := strings.Join(end.Reasons, "\n")
	if end.Outcome != OutcomeFailed || !strings.Contains(all, "put on record") || strings.Contains(all, "it ran") {
		t.Errorf("ended %s %v", end.Outcome, end.Reasons)
	}
	b.r.Wait()
}

func TestPlanIDsSortByTime(t *testing.T) {
	a, b := NewPlanID(day), NewPlanID(day.Add(time.Millisecond))
	if a >= b || a == NewPlanID(day) {
		t.Errorf("%s, %s", a, b)
	}
}

func TestSettleSaysWhatIsTrueNow(t *testing.T) {
	b := newBench(t, nil)
	p := b.plan(Step{Mutates: true})
	// A console that died in the middle: its plan is on record, its end is not.
	record := planRecord(p, ConfirmType, b.r.Redact)
	if _, err := b.j.Append(Entry{At: time.Now(), Kind: EntryPlan, Plan: p.ID, Console: "bo@desk 7", Record: record}); err != nil {
		t.Fatal(err)
	}
	open := func() []Unfinished {
		t.Helper()
		list, err := b.j.Unfinished(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	left := open()
	if len(left) != 1 {
		t.Fatalf("unfinished: %+v", left)
	}
	b.w.set(func(w *world) { w.down = "no route to canary-4711" })
	states, err := b.r.Settle(context.Background(), left[0])
	if err == nil || len(states) != 1 || !strings.Contains(states[0], "cannot be read") || strings.Contains(states[0], "canary") {
		t.Errorf("with the host down: %v, %v", states, err)
	}
	if len(open()) != 1 {
		t.Error("settled without having seen the host")
	}
	b.w.set(func(w *world) { w.down, w.tag = "", "0.4.1" })
	for range 2 { // a second console is as fast
		if states, err = b.r.Settle(context.Background(), left[0]); err != nil || len(states) != 1 || states[0] != "ai on prod-1 runs 0.4.1 now" {
			t.Errorf("with the host up: %v, %v", states, err)
		}
	}
	list, err := b.j.Read(Query{Plan: p.ID})
	if err != nil || len(list) != 2 || list[1].Outcome == nil || list[1].Outcome.Outcome != OutcomeUnknown {
		t.Errorf("on record: %+v, %v", list, err)
	}
}

// TestSettleWaitsForWhatIsStillAtWork: a console killed in the middle of a change may be followed at once by another, sooner than the host is done.
func TestSettleWaitsForWhatIsStillAtWork(t *testing.T) {
	b := newBench(t, func(o *RunnerOptions) { o.Timing.Settle, o.Timing.Reread = 30*time.Second, time.Minute })
	p := b.plan(Step{Mutates: true})
	for _, e := range []Entry{
		{Kind: EntryPlan, Record: planRecord(p, ConfirmType, b.r.Redact)},
		{Kind: EntryEvent, Event: &EventRecord{Kind: EventStepBegan}},
	} {
		e.At, e.Plan, e.Console = time.Now(), p.ID, "bo@desk 7"
		if _, err := b.j.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	left, err := b.j.Unfinished(time.Now())
	if err != nil || len(left) != 1 {
		t.Fatalf("unfinished: %+v, %v", left, err)
	}
	go func() {
		time.Sleep(50 * time.Millisecond)
		b.w.set(func(w *world) { w.tag = "0.4.1" })
	}()
	states, err := b.r.Settle(context.Background(), left[0])
	if err != nil || len(states) != 1 || states[0] != "ai on prod-1 runs 0.4.1 now" {
		t.Errorf("settled too soon: %v, %v", states, err)
	}
}
