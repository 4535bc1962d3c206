package restart

import (
	"context"
	"fmt"
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
	cfg := Config{Soak: remote.Duration(20 * time.Millisecond), Start: remote.Duration(time.Second)}
	set := verify.DefaultConfig()
	set.Limits.Settle = remote.Duration(10 * time.Millisecond)
	return New(cfg, Deps{
		Host: e.Host, Verify: set, Look: 2 * time.Millisecond,
		Places: compose.Places{Program: []string{"docker", "compose"}, Table: "actions.redeploy"},
	})
}

func intent(e *actionstest.Estate) actions.Intent {
	return actions.Intent{Action: Name, Targets: []fleet.Ref{{Service: e.Key}}, Who: "ana@laptop"}
}

func TestContract(t *testing.T) {
	actionstest.Contract(t, func(*testing.T) actionstest.Case {
		e := actionstest.NewEstate(2, "prod-1", "prod-2")
		return actionstest.Case{
			NoTrace: true,
			Action:  actionOf(e), Snapshot: e.Latest(), Intent: intent(e), World: e, Hosts: e.Hosts, State: e.State, Secret: e.Secret,
		}
	})
}

func steps(t *testing.T, p *actions.Plan) (done []string, err error) {
	t.Helper()
	if ok, why := p.Runnable(); !ok {
		t.Fatal(why)
	}
	for _, s := range p.Steps {
		if err = s.Do(t.Context(), func(string, string) {}); err != nil {
			return done, err //nolint:wrapcheck // a test's
		}
		done = append(done, s.Name+" "+s.Host)
	}
	return done, nil
}

func TestArgv(t *testing.T) {
	e := actionstest.NewEstate(1, "prod-1", "prod-2")
	p, err := actionOf(e).Plan(t.Context(), e.Latest(), intent(e))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(p.Steps[0].Argv, " ")
	if want := "docker compose --project-directory /opt/nexgate -p nexgate -f /opt/nexgate/compose.yml restart --no-deps ai"; got != want {
		t.Errorf("runs %s", got)
	}
	done, err := steps(t, p)
	if want := "[restart prod-1 wait until well prod-1 restart prod-2 wait until well prod-2]"; err != nil || fmt.Sprint(done) != want {
		t.Errorf("%v %v", done, err)
	}
}

// The next host is not touched when the one before does not become well.
func TestStopsAtTheFirstHostThatIsNotWell(t *testing.T) {
	e := actionstest.NewEstate(1, "prod-1", "prod-2")
	p, err := actionOf(e).Plan(t.Context(), e.Latest(), intent(e))
	if err != nil {
		t.Fatal(err)
	}
	e.Change = func(c *actionstest.Container) { c.Health = "unhealthy" }
	before := e.Containers("prod-2")
	done, err := steps(t, p)
	if err == nil || !strings.Contains(err.Error(), "not well after 1s") || fmt.Sprint(done) != "[restart prod-1]" {
		t.Errorf("%v %v", done, err)
	}
	if e.Containers("prod-2")[0] != before[0] {
		t.Error("the second host was restarted as well")
	}
}

// A restart that does nothing is no good restart.
func TestVerifyWantsANewStart(t *testing.T) {
	e := actionstest.NewEstate(1, "prod-1")
	p, err := actionOf(e).Plan(t.Context(), e.Latest(), intent(e))
	if err != nil {
		t.Fatal(err)
	}
	if o, reasons := p.Verify(context.Background(), e, func(string) {}); o == actions.OutcomeGood {
		t.Errorf("good, and nothing was started anew: %v", reasons)
	}
}

func TestSomebodyIsAtWork(t *testing.T) {
	e := actionstest.NewEstate(2, "prod-1")
	snap := e.Latest()
	snap.Services[0].Instances = snap.Services[0].Instances[:1]
	p, err := actionOf(e).Plan(t.Context(), snap, intent(e))
	if err != nil {
		t.Fatal(err)
	}
	if ok, why := p.Runnable(); ok || !strings.Contains(why, "2 are there, the screen shows 1") {
		t.Errorf("%v %s", ok, why)
	}
}

func TestConfig(t *testing.T) {
	c := Config{Soak: 1, Start: remote.Duration(2 * time.Hour)}
	if errs := c.Validate(); len(errs) != 2 {
		t.Errorf("%v", errs)
	}
}
