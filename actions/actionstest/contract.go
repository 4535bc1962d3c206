package actionstest

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// Case is an action in a small estate in which it is possible and succeeds.
type Case struct {
	Action   actions.Action
	Snapshot *fleet.Snapshot
	Intent   actions.Intent
	World    actions.World
	Hosts    []*Host
	// State is a fingerprint of everything outside the console that the action could change.
	State func() string
	// Secret is a value that is planted in the estate (in files, environments, outputs)
	// and must be found nowhere afterwards.
	Secret string
	// NoTrace: what the action changes leaves no other release behind, so that after a step whose connection was lost the estate
	// is as the plan wanted it either way, and only the verification tells. Then that may end it as failed, by new facts.
	NoTrace bool
	// Beside knows the commands that a step may run besides the one it shows, like those that make and guard the folder of a hold; nil: none.
	Beside func(argv []string) bool
	// Terminal is what a step may borrow; nil: nobody sits at one.
	Terminal actions.Terminal
	// Budget is how long one run may take to its end; 0 is a minute.
	Budget time.Duration
}

// Contract runs all that an action has to keep. setup makes a new case each time.
func Contract(t *testing.T, setup func(t *testing.T) Case) {
	t.Helper()
	tests := []struct {
		name string
		test func(*testing.T, func(*testing.T) Case)
	}{
		{"its spec is whole", testSpec},
		{"an offer is pure", testOfferPure},
		{"a disabled offer has a reason", testOfferReasons},
		{"a plan changes nothing", testPlanChangesNothing},
		{"a plan is whole", testPlanWhole},
		{"what is shown is what runs", testShownIsRun},
		{"no secret gets out", testNoSecret},
		{"a cancel is safe before every step", testCancel},
		{"a lost connection never repeats a change", testLostConnection},
		{"a failing journal stops it before any change", testNoJournal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, setup) })
	}
}

func testSpec(t *testing.T, setup func(*testing.T) Case) {
	s := setup(t).Action.Spec()
	if s.Name == "" || s.Title == "" || s.Help == "" || strings.ToLower(s.Name) != s.Name {
		t.Errorf("spec %+v", s)
	}
	if key := []rune(s.Key); len(key) != 1 || !unicode.IsUpper(key[0]) {
		t.Errorf("key %q: what changes the world is a capital letter", s.Key)
	}
	if s.Risk != actions.RiskLow && s.Risk != actions.RiskHigh {
		t.Errorf("risk %q", s.Risk)
	}
}

func testOfferPure(t *testing.T, setup func(*testing.T) Case) {
	c := setup(t)
	before, state := fingerprint(t, c.Snapshot), c.State()
	first := c.Action.Offer(c.Snapshot, c.Intent.Targets)
	for range 100 {
		if again := c.Action.Offer(c.Snapshot, c.Intent.Targets); again != first {
			t.Fatalf("offers %+v, then %+v", first, again)
		}
	}
	if !first.Enabled || first.Title == "" {
		t.Errorf("offer %+v in an estate where it is possible", first)
	}
	if fingerprint(t, c.Snapshot) != before {
		t.Error("the snapshot was changed")
	}
	for _, h := range c.Hosts {
		if calls := h.Calls(); len(calls) > 0 {
			t.Errorf("an offer ran %v on %s", calls[0], h.Name())
		}
	}
	if c.State() != state {
		t.Error("an offer changed the estate")
	}
}

func fingerprint(t *testing.T, snap *fleet.Snapshot) string {
	t.Helper()
	b, err := json.Marshal(snap)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func testOfferReasons(t *testing.T, setup func(*testing.T) Case) {
	c := setup(t)
	key := fleet.ServiceKey{Environment: "prod", Name: "nobody-has-this"}
	stale := *c.Snapshot
	stale.At = stale.At.Add(24 * time.Hour)
	stale.Services = slices.Clone(stale.Services)
	for i := range stale.Services {
		stale.Services[i].Stale = true
	}
	tests := []struct {
		name    string
		snap    *fleet.Snapshot
		targets []fleet.Ref
	}{
		{"an empty estate", &fleet.Snapshot{}, c.Intent.Targets},
		{"no target", c.Snapshot, nil},
		{"an unknown target", c.Snapshot, []fleet.Ref{{Service: key}}},
		{"stale facts", &stale, c.Intent.Targets},
	}
	for _, tt := range tests {
		if c.Action.Spec().Scope == actions.ScopeEnvironment && tt.snap == c.Snapshot {
			continue // it has no targets: none, or another, is the same to it
		}
		if o := c.Action.Offer(tt.snap, tt.targets); o.Enabled || o.Reason == "" {
			t.Errorf("%s: %+v", tt.name, o)
		}
	}
}

func plan(t *testing.T, c Case) *actions.Plan {
	t.Helper()
	p, err := c.Action.Plan(context.Background(), c.Snapshot, c.Intent)
	if err != nil {
		t.Fatal(err)
	}
	if ok, reason := p.Runnable(); !ok {
		t.Fatalf("a preflight fails in an estate where it is possible: %s", reason)
	}
	return p
}

func testPlanChangesNothing(t *testing.T, setup func(*testing.T) Case) {
	c := setup(t)
	state := c.State()
	p := plan(t, c)
	if now := c.State(); now != state {
		t.Errorf("planning changed the estate:\n%s\nwas\n%s", now, state)
	}
	for _, h := range c.Hosts {
		for _, call := range h.Calls() {
			for _, s := range p.Steps {
				if s.Mutates && slices.Equal(s.Argv, call) {
					t.Errorf("planning ran the changing step %s: %s", s.Name, words(call))
				}
			}
		}
	}
}

func testPlanWhole(t *testing.T, setup func(*testing.T) Case) {
	c := setup(t)
	p := plan(t, c)
	if p.ID == "" || p.Title == "" || p.Environment == "" || p.Made.IsZero() || len(p.Steps) == 0 {
		t.Errorf("plan %+v", p)
	}
	mutates := false
	for i, s := range p.Steps {
		if s.Name == "" || len(s.Argv) == 0 || s.Do == nil {
			t.Errorf("step %d is not whole: %+v", i, s)
		}
		mutates = mutates || s.Mutates
	}
	if !mutates {
		t.Error("no step is said to change anything")
	}
	for _, check := range p.Checks {
		if check.Name == "" || check.Detail == "" {
			t.Errorf("check %+v says nothing", check)
		}
	}
	unlocked := !slices.ContainsFunc(p.Steps, func(s actions.Step) bool { return s.Mutates && !s.Attended })
	if len(p.LockHosts) == 0 != unlocked || len(p.Bases) == 0 {
		t.Errorf("locks on %v, stands on %v", p.LockHosts, p.Bases)
	}
	if moved := actions.Moved(p, c.Snapshot); len(moved) > 0 {
		t.Errorf("moved against its own snapshot: %v", moved)
	}
	again := plan(t, c)
	if again.ID == p.ID {
		t.Error("two plans have one id")
	}
}

func testShownIsRun(t *testing.T, setup func(*testing.T) Case) {
	c := setup(t)
	res := run(t, c, options{})
	if res.end.Outcome != actions.OutcomeGood {
		t.Fatalf("ended %s: %v", res.end.Outcome, res.end.Reasons)
	}
	for _, h := range c.Hosts {
		var shown [][]string
		for _, s := range res.plan.Steps {
			if s.Host == h.Name() {
				shown = append(shown, s.Argv)
			}
			if s.Into != nil && s.Into.Host == h.Name() {
				shown = append(shown, s.Into.Argv)
			}
		}
		ran := slices.DeleteFunc(res.calls[h.Name()], func(call []string) bool {
			return c.Beside != nil && c.Beside(call) && !slices.ContainsFunc(shown, func(s []string) bool { return slices.Equal(s, call) })
		})
		for i := range max(len(shown), len(ran)) {
			switch {
			case i >= len(shown):
				t.Errorf("%s: not shown, but run: %s", h.Name(), words(ran[i]))
			case i >= len(ran):
				t.Errorf("%s: shown, but not run: %s", h.Name(), words(shown[i]))
			case !slices.Equal(shown[i], ran[i]):
				t.Errorf("%s: shown %s, run %s", h.Name(), words(shown[i]), words(ran[i]))
			}
		}
	}
}

func testNoSecret(t *testing.T, setup func(*testing.T) Case) {
	c := setup(t)
	if c.Secret == "" {
		t.Fatal("the case plants no secret")
	}
	res := run(t, c, options{})
	shown, err := json.Marshal([]any{res.plan, res.events})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(shown), c.Secret) {
		t.Error("the secret is in the plan or its events")
	}
	err = filepath.WalkDir(res.journal, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path) //nolint:gosec // a folder of the test's own
		if strings.Contains(string(b), c.Secret) {
			t.Errorf("the secret is in %s", path)
		}
		return err //nolint:wrapcheck // a test's
	})
	if err != nil {
		t.Error(err)
	}
}

// changesOnce fails when a changing command was sent more often than the plan has it.
func changesOnce(t *testing.T, res result) {
	t.Helper()
	allowed := map[string]int{}
	for _, s := range res.plan.Steps {
		if s.Mutates {
			allowed[s.Host+"\x00"+words(s.Argv)]++
		}
	}
	for host, calls := range res.calls {
		sent := map[string]int{}
		for _, call := range calls {
			key := host + "\x00" + words(call)
			sent[key]++
			if n, mutates := allowed[key]; mutates && sent[key] > n {
				t.Errorf("%s: sent %d times: %s", host, sent[key], words(call))
			}
		}
	}
}

func testCancel(t *testing.T, setup func(*testing.T) Case) {
	steps := len(plan(t, setup(t)).Steps)
	for at := range steps {
		c := setup(t)
		cancelled := make(chan struct{})
		res := run(t, c, options{
			before: func(p *actions.Plan) {
				do := p.Steps[at].Do
				p.Steps[at].Do = func(ctx context.Context, out func(stream, line string)) error {
					<-cancelled // events are not waited for: the step could be over before its begin is read
					return do(ctx, out)
				}
			},
			event: func(ev actions.Event, cancel context.CancelFunc, _ []actions.Step) {
				if ev.Kind == actions.EventStepBegan && ev.Step == at {
					cancel()
					close(cancelled)
				}
			},
		})
		changesOnce(t, res)
		// The step that is under way may end before the cancel is seen; but the verification never does.
		switch res.end.Outcome {
		case actions.OutcomeGood:
			t.Errorf("cancelled in step %d, ended %s", at, res.end.Outcome)
		case actions.OutcomeCancelled, actions.OutcomeUnknown, actions.OutcomeDegraded, actions.OutcomeFailed:
			if len(res.end.Reasons) == 0 {
				t.Errorf("cancelled in step %d, ended %s without a reason", at, res.end.Outcome)
			}
		}
	}
}

func testLostConnection(t *testing.T, setup func(*testing.T) Case) {
	for i, s := range plan(t, setup(t)).Steps {
		if !s.Mutates || s.Host == "" {
			continue
		}
		for _, effect := range []bool{false, true} {
			c := setup(t)
			res := run(t, c, options{before: func(p *actions.Plan) {
				for _, h := range c.Hosts {
					if h.Name() == p.Steps[i].Host {
						h.Lose(Is(p.Steps[i].Argv), effect)
					}
				}
			}})
			changesOnce(t, res)
			// Failed is a stronger word than unknown: new facts were looked at, and it is not there.
			decided := c.NoTrace && res.end.Outcome == actions.OutcomeFailed && slices.ContainsFunc(res.events, func(ev actions.Event) bool { return ev.Kind == actions.EventVerifying }) &&
				slices.Contains(res.end.Reasons, "the state was read again: the estate runs what the plan wanted")
			if !effect && res.end.Outcome != actions.OutcomeUnknown && !decided {
				t.Errorf("step %d (%s) was lost, ended %s: %v", i, s.Name, res.end.Outcome, res.end.Reasons)
			}
			if effect && res.end.Outcome != actions.OutcomeUnknown && res.end.Outcome != actions.OutcomeGood {
				t.Errorf("step %d (%s) was lost but took effect, ended %s: %v", i, s.Name, res.end.Outcome, res.end.Reasons)
			}
			if len(res.end.Reasons) == 0 {
				t.Errorf("step %d (%s) was lost, and no reason says so", i, s.Name)
			}
		}
	}
}

func testNoJournal(t *testing.T, setup func(*testing.T) Case) {
	c := setup(t)
	p := plan(t, c)
	j, err := actions.OpenJournal(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(j.Dir()); err != nil {
		t.Fatal(err)
	}
	state := c.State()
	r := runner(c, j)
	_, err = r.Run(context.Background(), p, actions.Confirmation{Yes: true})
	var refusal *actions.Refusal
	if !errors.As(err, &refusal) || refusal.Code != actions.RefusedJournal {
		t.Errorf("run without a journal: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if c.State() != state {
		t.Error("something was changed without being on record")
	}
}
