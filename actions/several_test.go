package actions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// trio is an estate of three services whose tags an action moves.
type trio struct {
	mu    sync.Mutex
	tags  map[string]string
	holds []fleet.Hold
}

func (w *trio) Poke() {}

func (w *trio) set(name, tag string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tags[name] = tag
}

func (w *trio) hold(h fleet.Hold) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holds = append(w.holds, h)
}

func (w *trio) Latest() *fleet.Snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	snap := &fleet.Snapshot{
		Seq: 1, At: now, Environment: "prod", Holds: slices.Clone(w.holds), Hosts: []fleet.Host{{Name: "prod-1", Up: true}},
		Sources: []fleet.SourceStatus{{ID: "docker/prod-1", Hosts: []string{"prod-1"}, State: fleet.SourceOK, LastSuccess: now}},
	}
	for name, tag := range w.tags {
		snap.Services = append(snap.Services, fleet.Service{
			Key: key(name), Hosts: []string{"prod-1"}, Seen: now,
			Instances: []*fleet.Instance{{Host: "prod-1", Name: name, Release: fleet.Release{Image: "img", Tag: tag}, State: fleet.StateRunning}},
		})
	}
	return snap
}

func key(name string) fleet.ServiceKey { return fleet.ServiceKey{Environment: "prod", Name: name} }

func refs(names ...string) []fleet.Ref {
	var out []fleet.Ref
	for _, n := range names {
		out = append(out, fleet.Ref{Service: key(n)})
	}
	return out
}

// mover moves services of a trio to a tag ("to"), watched.
type mover struct {
	w       *trio
	did     []string
	fail    map[string]error   // of the step, by service
	verdict map[string]Outcome // of the watching, by service; good without one
	during  func(name string)  // called in the step
}

func (m *mover) Spec() Spec {
	return Spec{Name: "move", Key: "M", Title: "move", Help: "moves", Args: []Arg{{Name: "to"}}}
}

func (m *mover) Offer(snap *fleet.Snapshot, t []fleet.Ref) Offer {
	if t[0].Service.Name == "postgres" && m.fail["offer"] != nil {
		return Offer{Reason: m.fail["offer"].Error()}
	}
	return Offer{Enabled: true, Title: "move " + t[0].Service.Name}
}

func (m *mover) Plan(_ context.Context, snap *fleet.Snapshot, in Intent) (*Plan, error) {
	name := in.Targets[0].Service.Name
	svc, _ := snap.Find(in.Targets[0].Service)
	from, to := svc.Instances[0].Release, fleet.Release{Image: "img", Tag: in.Args["to"]}
	undo := in
	undo.Args = map[string]string{"to": from.Tag}
	return &Plan{
		ID: NewPlanID(time.Now()), Intent: in, Title: "move " + name, Environment: "prod", Made: time.Now(), Snapshot: snap.Seq,
		Moves: []Move{{Service: svc.Key, Host: "prod-1", From: from, To: to}}, LockHosts: []string{"prod-1"}, Undo: &undo,
		Bases: []Basis{RunningBasis(svc.Key, "prod-1", nil, snap)}, Checks: []Check{{Name: "image", State: CheckOK}},
		Steps: []Step{
			{Name: "look", Host: "prod-1", Argv: []string{"look", name}, Do: nothing},
			{Name: "up", Host: "prod-1", Argv: []string{"up", name}, Mutates: true, Do: func(context.Context, func(string, string)) error {
				m.did = append(m.did, name+" "+to.Tag)
				if m.during != nil {
					m.during(name)
				}
				if err := m.fail[name]; err != nil && !errors.Is(err, ErrUnknown) {
					return err
				}
				m.w.set(name, to.Tag)
				return m.fail[name]
			}},
		},
		Verify: func(context.Context, World, func(string)) (Outcome, []string) {
			if o := m.verdict[name]; o != "" {
				return o, []string{"errors 7 %"}
			}
			return OutcomeGood, nil
		},
	}, nil
}

type severalBench struct {
	*bench
	m *mover
	g *Guard
}

func newSeveral(t *testing.T) *severalBench {
	t.Helper()
	w := &trio{tags: map[string]string{"postgres": "1", "api": "1", "web": "1"}}
	b := newBench(t, func(o *RunnerOptions) { o.World = w })
	return &severalBench{b, &mover{w: w}, &Guard{Order: []string{"postgres", "api", "web"}, Who: "ana@laptop", Now: time.Now}}
}

func (b *severalBench) plan(names ...string) *Plan {
	b.t.Helper()
	p, err := b.g.Plan(b.t.Context(), b.m, b.m.w.Latest(), Intent{Action: "move", Targets: refs(names...), Args: map[string]string{"to": "2"}, Who: "ana@laptop"})
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func (b *severalBench) end(p *Plan, c Confirmation) Event {
	b.t.Helper()
	ch, err := b.r.Run(b.t.Context(), p, c)
	list := finish(b.t, ch, err)
	return list[len(list)-1]
}

func TestSeveralTargetsAreOnePlanInTheEstatesOrder(t *testing.T) {
	b := newSeveral(t)
	if o := b.g.Offer(b.m, b.m.w.Latest(), refs("web", "api")); !o.Enabled || o.Title != "move 2 services: api, web" {
		t.Errorf("offer %+v", o)
	}
	p := b.plan("web", "postgres", "api", "web")
	if p.Title != "move 3 services on prod: postgres, then api, then web" || len(p.Steps) != 6 || p.Steps[0].Name != "postgres: look" {
		t.Errorf("plan %q: %+v", p.Title, p.Steps)
	}
	need, phrase := b.r.Required(p)
	if need != ConfirmType || phrase != "api,postgres,web@prod" {
		t.Errorf("it asks for %s %s", need, phrase)
	}
	if _, err := b.r.Run(t.Context(), p, Confirmation{Typed: "web@prod"}); err == nil {
		t.Fatal("it ran on the confirmation of one")
	}
	end := b.end(p, Confirmation{Typed: phrase})
	if end.Outcome != OutcomeGood || strings.Join(end.Reasons, " | ") != "postgres: good | api: good | web: good" {
		t.Errorf("ended %s: %q", end.Outcome, end.Reasons)
	}
	if got := strings.Join(b.m.did, ", "); got != "postgres 2, api 2, web 2" {
		t.Errorf("did %s", got)
	}
}

func TestWhatIsNotGoodStopsThoseAfterIt(t *testing.T) {
	lost := fmt.Errorf("connection lost: %w", ErrUnknown)
	cases := map[string]struct {
		prepare func(b *severalBench)
		outcome Outcome
		did     string
		reasons []string
	}{
		"a step fails": {
			func(b *severalBench) { b.m.fail = map[string]error{"api": errors.New("no space left")} },
			OutcomeFailed, "postgres 2, api 2",
			[]string{"postgres: good", "api: failed: api: up on prod-1: no space left; not done: api: up on prod-1", "web: not begun"},
		},
		"the watching is not good": {
			func(b *severalBench) { b.m.verdict = map[string]Outcome{"postgres": OutcomeDegraded} },
			OutcomeDegraded, "postgres 2", []string{"postgres: degraded: errors 7 %", "api: not begun", "web: not begun"},
		},
		"a connection is lost, and it took effect": {
			func(b *severalBench) { b.m.fail = map[string]error{"api": lost} },
			OutcomeGood, "postgres 2, api 2, web 2", []string{"postgres: good", "api: good: api: up on prod-1: connection lost", "web: good"},
		},
		"somebody moves one meanwhile": {
			func(b *severalBench) {
				b.m.during = func(name string) {
					if name == "api" {
						b.m.w.set("web", "9")
					}
				}
			},
			OutcomeFailed, "postgres 2, api 2",
			[]string{"postgres: good", "api: good", "web: failed: nothing was done: the estate has moved since the plan was made: web on prod-1 runs 9"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newSeveral(t)
			c.prepare(b)
			end := b.end(b.plan("web", "postgres", "api"), Confirmation{Typed: "api,postgres,web@prod"})
			if end.Outcome != c.outcome || len(end.Reasons) != len(c.reasons) {
				t.Fatalf("ended %s: %q", end.Outcome, end.Reasons)
			}
			for i, want := range c.reasons {
				if !strings.HasPrefix(end.Reasons[i], want) {
					t.Errorf("reason %q, wanted %q", end.Reasons[i], want)
				}
			}
			if got := strings.Join(b.m.did, ", "); got != c.did {
				t.Errorf("did %s", got)
			}
		})
	}
}

// A hold that somebody lays after the plan was made stops it before the first target, and before every other.
func TestAHoldLaidSinceThePlan(t *testing.T) {
	bo, own := fleet.Hold{Environment: "prod", Owner: "bo@desk", Reason: "migration"}, fleet.Hold{Environment: "prod", Owner: "ana@laptop"}
	typed := Confirmation{Typed: "api,postgres,web@prod"}
	b := newSeveral(t)
	p := b.plan("web", "postgres", "api")
	b.m.w.hold(bo)
	var refusal *Refusal
	if _, err := b.r.Run(t.Context(), p, typed); !errors.As(err, &refusal) || refusal.Code != RefusedMoved || !strings.Contains(err.Error(), "bo@desk") {
		t.Errorf("run: %v", err)
	}
	if end := b.end(b.plan("web", "postgres", "api"), typed); end.Outcome != OutcomeGood {
		t.Errorf("confirmed against the hold: %s %q", end.Outcome, end.Reasons)
	}
	b = newSeveral(t)
	p = b.plan("web", "postgres", "api")
	b.m.w.hold(own)
	web := bo
	web.Service = "web"
	b.m.during = func(name string) {
		if name == "api" {
			b.m.w.hold(web)
		}
	}
	end := b.end(p, typed)
	if got := strings.Join(b.m.did, ", "); end.Outcome != OutcomeFailed || got != "postgres 2, api 2" || !strings.Contains(end.Reasons[2], "web: failed: nothing was done") {
		t.Errorf("did %s, ended %s: %q", got, end.Outcome, end.Reasons)
	}
}

func TestSeveralIsNotOfferedWhenOneIsNotPossible(t *testing.T) {
	b := newSeveral(t)
	b.m.fail = map[string]error{"offer": errors.New("no previous release")}
	if o := b.g.Offer(b.m, b.m.w.Latest(), refs("web", "postgres")); o.Enabled || o.Reason != "postgres: no previous release" {
		t.Errorf("offer %+v", o)
	}
	if _, err := b.g.Plan(t.Context(), b.m, b.m.w.Latest(), Intent{Action: "move", Targets: refs("web", "gone")}); err == nil || !strings.Contains(err.Error(), "gone@prod has no row") {
		t.Errorf("plan: %v", err)
	}
}

func TestNoPlanOnStaleFacts(t *testing.T) {
	b := newSeveral(t)
	snap := b.m.w.Latest()
	for i := range snap.Services {
		if snap.Services[i].Key.Name == "api" {
			snap.Services[i].Stale, snap.Services[i].Seen = true, snap.At.Add(-3*time.Minute)
		}
	}
	for _, names := range [][]string{{"api"}, {"web", "api"}} {
		const words = "the facts about api@prod are 3 min old"
		if o := b.g.Offer(b.m, snap, refs(names...)); o.Enabled || !strings.Contains(o.Reason, words) {
			t.Errorf("offer %+v", o)
		}
		if _, err := b.g.Plan(t.Context(), b.m, snap, Intent{Action: "move", Targets: refs(names...)}); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("plan: %v", err)
		}
	}
}

// What several targets have done is put back from the journal by another console: all that was begun, or one of it.
func TestUndoOfSeveralFromTheJournal(t *testing.T) {
	b := newSeveral(t)
	b.m.w.set("api", "1.5")
	b.m.fail = map[string]error{"api": fmt.Errorf("cut: %w", ErrUnknown)}
	b.m.verdict = map[string]Outcome{"api": OutcomeDegraded}
	p := b.plan("web", "postgres", "api")
	b.end(p, Confirmation{Typed: "api,postgres,web@prod"})
	later, err := OpenJournal(b.j.Dir())
	if err != nil {
		t.Fatal(err)
	}
	u, err := later.UndoPlan(time.Now(), p.ID, "bo@desk")
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"postgres/to": "1", "api/to": "1.5"}; !maps.Equal(u.Intent.Args, want) || len(u.Intent.Targets) != 2 || u.Intent.Who != "bo@desk" {
		t.Errorf("undo of what was begun: %+v", u.Intent)
	}
	if u.Outcome != OutcomeDegraded || !strings.Contains(u.Words(), "move 3 services") || !strings.HasSuffix(u.Words(), "by ana@laptop, degraded") {
		t.Errorf("words %q", u.Words())
	}
	one, err := later.Undo(time.Now(), key("api"), "bo@desk")
	if err != nil || one.Intent.Args["to"] != "1.5" || len(one.Intent.Targets) != 1 {
		t.Fatalf("undo of one: %+v, %v", one, err)
	}
	if _, err := later.Undo(time.Now(), key("web"), "bo@desk"); err == nil || !strings.Contains(err.Error(), "nothing to undo") {
		t.Errorf("what was never begun: %v", err)
	}
	b.m.fail, b.m.verdict = nil, nil
	back, err := b.g.Plan(t.Context(), b.m, b.m.w.Latest(), u.Intent)
	if err != nil {
		t.Fatal(err)
	}
	if back.Title != "undo: move 2 services on prod: postgres, then api" {
		t.Errorf("title %q", back.Title)
	}
	b.end(back, Confirmation{Typed: "api,postgres@prod"})
	if b.m.w.tags["postgres"] != "1" || b.m.w.tags["api"] != "1.5" || b.m.w.tags["web"] != "1" {
		t.Errorf("tags %v", b.m.w.tags)
	}
	// The last action on api is the undo by now: undoing that goes forward again.
	if redo, err := later.Undo(time.Now(), key("api"), "bo@desk"); err != nil || redo.Intent.Args["to"] != "2" {
		t.Errorf("undo of the undo: %+v, %v", redo, err)
	}
}

func TestUndoSaysWhyThereIsNone(t *testing.T) {
	b := newBench(t, nil)
	if _, err := b.j.Undo(time.Now(), aiProd, "ana"); err == nil || !strings.Contains(err.Error(), "nothing to undo") {
		t.Errorf("an empty journal: %v", err)
	}
	b.run(b.plan(Step{Name: "up", Mutates: true}))
	if _, err := b.j.Undo(time.Now(), aiProd, "ana"); err == nil || !strings.Contains(err.Error(), "redeploy ai (good), has no undo") {
		t.Errorf("an action without a way back: %v", err)
	}
	b = newBench(t, nil)
	p := b.plan(Step{Name: "look"}, Step{Name: "up", Mutates: true})
	p.Undo = &Intent{Action: "restart", Targets: p.Intent.Targets}
	b.run(p)
	u, err := b.j.Undo(time.Now(), aiProd, "ana")
	if err != nil || u.Intent.Action != "restart" || u.Intent.Targets[0].Service != aiProd {
		t.Errorf("a way back by another action, without arguments: %+v, %v", u, err)
	}
	backup := &PlanRecord{Action: "backup", Environment: "prod", Services: []string{"ai"}, Steps: []StepRecord{{Name: "dump", Mutates: true}}}
	if _, err := b.j.Append(Entry{At: time.Now(), Kind: EntryPlan, Plan: "b1", Record: backup},
		Entry{At: time.Now(), Kind: EntryEvent, Plan: "b1", Event: &EventRecord{Kind: EventStepBegan}},
		Entry{At: time.Now(), Kind: EntryOutcome, Plan: "b1", Outcome: &OutcomeRecord{Outcome: OutcomeGood}}); err != nil {
		t.Fatal(err)
	}
	if u, err = b.j.Undo(time.Now(), aiProd, "ana"); err != nil || u.Intent.Action != "restart" {
		t.Errorf("a backup stands before what came before it: %+v, %v", u, err)
	}
	if _, err := b.j.UndoPlan(time.Now(), "none", "ana"); err == nil {
		t.Error("a plan that is not there")
	}
}

// What undoes several is said service by service.
func TestWordsOfAnIntent(t *testing.T) {
	for want, in := range map[string]Intent{
		"redeploy ai to 0.4.2":                      {Action: "redeploy", Targets: refs("ai"), Args: map[string]string{"to": "0.4.2"}},
		"redeploy ai to 0.4.2, api to 2.0.0":        {Action: "redeploy", Targets: refs("ai", "api"), Args: map[string]string{"ai/to": "0.4.2", "api/to": "2.0.0"}},
		"redeploy ai to 0.4.2, api strategy reload": {Action: "redeploy", Targets: refs("ai", "api"), Args: map[string]string{"ai/to": "0.4.2", "strategy": "reload"}},
		"restart ai api":                            {Action: "restart", Targets: refs("ai", "api")},
		"sync":                                      {Action: "sync", Args: map[string]string{"part": ""}},
	} {
		if got := in.Words(); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
