package redeploy

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// holding is a stage whose redeploys hold what git desires otherwise.
func holding(t *testing.T) (*stage, *action, *actions.Holds) {
	t.Helper()
	s := newStage(t, compose.HomeCheckout, "prod-1", "prod-2")
	s.cfg.Hold = remote.Duration(24 * time.Hour)
	a := s.action().(*action) //nolint:forcetypeassert // New makes one
	a.deps.Lock = actions.LockConfig{Dir: filepath.Join(t.TempDir(), "locks"), Expiry: remote.Duration(time.Minute)}
	return s, a, actions.NewHolds(a.deps.Lock, a.deps.Host)
}

func stepNames(p *actions.Plan) (out []string) {
	for _, st := range p.Steps {
		out = append(out, st.Name)
	}
	return out
}

func TestWhatGitDesiresOtherwiseIsHeld(t *testing.T) {
	s, a, holds := holding(t)
	p, err := a.Plan(t.Context(), s.Latest(), s.intent("0.4.1"))
	if err != nil {
		t.Fatal(err)
	}
	if names := stepNames(p); len(names) < 2 || names[len(names)-1] != "hold ai@prod" || names[len(names)-2] != "hold ai@prod" {
		t.Fatalf("steps %q", names)
	}
	if i := slices.IndexFunc(p.Checks, func(c actions.Check) bool { return c.Name == "reconciler" }); i < 0 || !strings.Contains(p.Checks[i].Detail, "ai@prod is held for 1 d") {
		t.Errorf("checks %+v", p.Checks)
	}
	if _, end := s.run(p); end.Outcome != actions.OutcomeGood {
		t.Fatalf("%+v", end)
	}
	for _, host := range []string{"prod-1", "prod-2"} {
		h, err := holds.Check(t.Context(), host, "prod", "ai")
		if err != nil || h == nil || h.Owner != "ana@laptop" || !strings.Contains(h.Reason, "git desires 0.4.2, 0.4.1 was put back") || h.Until.IsZero() {
			t.Fatalf("%s: %+v, %v", host, h, err)
		}
	}
	// Going to what git desires takes the hold away again.
	snap := s.Latest()
	held, _ := holds.Check(t.Context(), "prod-1", "prod", "ai")
	snap.Services[0].Hold = held
	back, err := a.Plan(t.Context(), snap, s.intent("0.4.2"))
	if err != nil {
		t.Fatal(err)
	}
	if names := stepNames(back); names[len(names)-1] != "release ai@prod" {
		t.Fatalf("steps %q", names)
	}
	// One that somebody has laid since in its place is left, and told of.
	bo := actions.HoldRequest{Environment: "prod", Service: "ai", Owner: "bo@desk", Reason: "load test", For: time.Hour, Replace: []fleet.Hold{*held}}
	must(s, holds.Put(t.Context(), "prod-1", bo))
	last, told := back.Steps[len(back.Steps)-2], ""
	if err := last.Do(t.Context(), func(_, line string) { told += line }); last.Host != "prod-1" || err != nil || !strings.Contains(told, "held by bo@desk") {
		t.Errorf("release on %s: %v, told %q", last.Host, err, told)
	}
	if h, err := holds.Check(t.Context(), "prod-1", "prod", "ai"); err != nil || h == nil || h.Owner != "bo@desk" {
		t.Errorf("held by %+v, %v", h, err)
	}
	must(s, holds.Clear(t.Context(), *mustHold(t, holds)))
	if _, end := s.run(back); end.Outcome != actions.OutcomeGood {
		t.Fatalf("%+v", end)
	}
	if h, err := holds.Check(t.Context(), "prod-2", "prod", "ai"); err != nil || h != nil {
		t.Errorf("still held: %+v, %v", h, err)
	}
}

func mustHold(t *testing.T, holds *actions.Holds) *fleet.Hold {
	t.Helper()
	h, err := holds.Check(t.Context(), "prod-1", "prod", "ai")
	if err != nil || h == nil {
		t.Fatalf("held by %+v, %v", h, err)
	}
	return h
}

func TestSomebodyElsesHoldStays(t *testing.T) {
	s, a, holds := holding(t)
	req := actions.HoldRequest{Environment: "prod", Service: "ai", Owner: "bo@desk", Reason: "load test", For: time.Hour}
	if err := holds.Put(t.Context(), "prod-1", req); err != nil {
		t.Fatal(err)
	}
	p, err := a.Plan(t.Context(), s.Latest(), s.intent("0.4.1"))
	if err != nil {
		t.Fatal(err)
	}
	events, end := s.run(p)
	if end.Outcome != actions.OutcomeGood {
		t.Fatalf("%+v", end)
	}
	said := slices.ContainsFunc(events, func(e actions.Event) bool { return strings.Contains(e.Text, "held by bo@desk") })
	if h, err := holds.Check(t.Context(), "prod-1", "prod", "ai"); err != nil || h == nil || h.Owner != "bo@desk" || !said {
		t.Errorf("%+v, %v, said %v", h, err, said)
	}
	// A hold that no redeploy has laid is not taken away by one either.
	svc := fleet.Service{Key: aiProd, Claims: fleet.Claims{Hold: &fleet.Hold{Environment: "prod", Service: "ai", Owner: "ana@laptop", Reason: "mine"}}}
	if ownHold(&svc, "ana@laptop", time.Now()) {
		t.Error("a hold laid by hand passes for one of a redeploy")
	}
}
