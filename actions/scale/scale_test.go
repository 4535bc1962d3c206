package scale

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/actionstest"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/actions/verify"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func actionOf(e *actionstest.Estate) actions.Action {
	cfg := DefaultConfig()
	cfg.Soak, cfg.Start = remote.Duration(20*time.Millisecond), remote.Duration(time.Second)
	set := verify.DefaultConfig()
	set.Limits.Settle = remote.Duration(10 * time.Millisecond)
	return New(cfg, Deps{
		Host: e.Host, Verify: set, Look: 2 * time.Millisecond,
		Places: compose.Places{Program: []string{"docker", "compose"}, Table: "actions.redeploy"},
	})
}

func intent(e *actionstest.Estate, count string) actions.Intent {
	return actions.Intent{Action: Name, Targets: []fleet.Ref{{Service: e.Key}}, Args: map[string]string{ArgCount: count}, Who: "ana@laptop"}
}

func TestContract(t *testing.T) {
	for _, count := range []string{"prod-1=4", "prod-1=1"} {
		t.Run(count, func(t *testing.T) {
			actionstest.Contract(t, func(*testing.T) actionstest.Case {
				e := actionstest.NewEstate(3, "prod-1", "prod-2")
				return actionstest.Case{
					NoTrace: true,
					Action:  actionOf(e), Snapshot: e.Latest(), Intent: intent(e, count), World: e, Hosts: e.Hosts, State: e.State, Secret: e.Secret,
				}
			})
		})
	}
}

func plan(t *testing.T, e *actionstest.Estate, count string) *actions.Plan {
	t.Helper()
	p, err := actionOf(e).Plan(t.Context(), e.Latest(), intent(e, count))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func run(t *testing.T, p *actions.Plan) {
	t.Helper()
	if ok, why := p.Runnable(); !ok {
		t.Fatal(why)
	}
	for _, s := range p.Steps {
		if err := s.Do(t.Context(), func(string, string) {}); err != nil {
			t.Fatal(err)
		}
	}
}

// The containers that go are those of the highest numbers, and the plan names them.
func TestDownTakesTheHighestNumbers(t *testing.T) {
	e := actionstest.NewEstate(4, "prod-1")
	before := e.Containers("prod-1")
	p := plan(t, e, "2")
	if !strings.Contains(fmt.Sprint(p.Risks), "nexgate-ai-4, nexgate-ai-3") {
		t.Errorf("risks %v", p.Risks)
	}
	if want := []string{"docker", "rm", before[3].ID, before[2].ID}; !slices.Equal(p.Steps[1].Argv, want) {
		t.Errorf("runs %v", p.Steps[1].Argv)
	}
	if p.Undo.Args[ArgCount] != "prod-1=4" {
		t.Errorf("undo %+v", p.Undo)
	}
	run(t, p)
	if after := e.Containers("prod-1"); !slices.Equal(after, before[:2]) {
		t.Errorf("left: %+v", after)
	}
	if o, reasons := p.Verify(t.Context(), e, func(string) {}); o != actions.OutcomeGood {
		t.Errorf("%s %v", o, reasons)
	}
}

func TestUpLeavesWhatIsThere(t *testing.T) {
	e := actionstest.NewEstate(1, "prod-1")
	before := e.Containers("prod-1")
	p := plan(t, e, "3")
	if got := strings.Join(p.Steps[0].Argv, " "); !strings.HasSuffix(got, "up -d --no-deps --no-recreate --scale ai=3 ai") {
		t.Errorf("runs %s", got)
	}
	run(t, p)
	if after := e.Containers("prod-1"); len(after) != 3 || after[0] != before[0] {
		t.Errorf("now: %+v", after)
	}
}

func TestRefused(t *testing.T) {
	for want, tc := range map[string]struct {
		count  string
		change func(*actionstest.Estate)
	}{
		"2 × 286M (its limit)": {"3", func(e *actionstest.Estate) { e.Limit, e.Available = 300e6, 500e6 }},
		"publishes port 8080 of the host": {"2", func(e *actionstest.Estate) {
			e.Rendered = map[string]any{"ports": []any{map[string]any{"published": "8080"}}}
		}},
		"new ones would be other:1": {"2", func(e *actionstest.Estate) { e.Rendered = map[string]any{"image": "other:1"} }},
	} {
		e := actionstest.NewEstate(1, "prod-1")
		tc.change(e)
		if ok, why := plan(t, e, tc.count).Runnable(); ok || !strings.Contains(why, want) {
			t.Errorf("%s: %v %s", want, ok, why)
		}
	}
	e := actionstest.NewEstate(2, "prod-1", "prod-2")
	for count, want := range map[string]string{
		"": "is no count", "-1": "is no count", "0": "is not allowed: 1 to 8", "prod-1=9": "is not allowed", "3": "write prod-1=3 or prod-2=3",
		"prod-9=3": "does not run on prod-9", "prod-1=2": "there are 2 on prod-1 already", "3; rm -rf /": "is no count",
	} {
		if _, err := actionOf(e).Plan(t.Context(), e.Latest(), intent(e, count)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", count, err)
		}
	}
}

func TestChoices(t *testing.T) {
	e := actionstest.NewEstate(1, "prod-1")
	c, err := actionOf(e).(actions.Chooser).Choices(t.Context(), e.Latest(), intent(e, "").Targets)
	if err != nil || c.Free != "a number from 1 to 8" || len(c.Rows) != 3 {
		t.Fatalf("%+v %v", c, err)
	}
	if r := c.Rows[0]; r.Value != "2" || r.Cells[1] != "1" || !strings.HasPrefix(r.Cells[3], "1 × ") || r.Cells[4] == "not known" {
		t.Errorf("%+v", r)
	}
	if r := c.Rows[2]; r.Value != "0" || r.Reason == "" {
		t.Errorf("%+v", r)
	}
}

func TestConfig(t *testing.T) {
	c := Config{Max: 0, Drain: 0, Limit: map[string]int{"x": 0}, Soak: 1}
	if errs := c.Validate(); len(errs) != 4 {
		t.Errorf("%v", errs)
	}
	c = DefaultConfig()
	c.Limit = map[string]int{"gw-pool": 12}
	if errs := c.Validate(); len(errs) != 0 || c.maxOf("gw-pool") != 12 || c.maxOf("ai") != 8 {
		t.Errorf("%v", errs)
	}
}
