package redeploy

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/actionstest"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
)

// past is a metrics server that knows how long it was asked about.
type past struct {
	mu    sync.Mutex
	asked []time.Duration
}

func (p *past) ErrorRatio(_ context.Context, names []string, from, to time.Time) (float64, bool, error) {
	p.mu.Lock()
	p.asked = append(p.asked, to.Sub(from).Round(time.Minute))
	p.mu.Unlock()
	switch {
	case names[0] != "ai":
		return 0, false, errors.New("asked about another service")
	case to.Sub(from) > 48*time.Hour:
		return 0, false, errors.New("it does not answer")
	case to.Sub(from) > time.Hour:
		return 0.001, true, nil
	default:
		return 0.071, true, nil
	}
}

func (s *stage) deployer() actions.Action {
	a := s.action().(*action) //nolint:forcetypeassert // New makes one
	return deploy{a}
}

func TestContractDeploy(t *testing.T) {
	actionstest.Contract(t, func(t *testing.T) actionstest.Case {
		s := newStage(t, compose.HomeCheckout, "prod-1")
		c := s.contract()
		c.Action, c.Intent = s.deployer(), s.intent("0.4.1")
		c.Intent.Action = DeployName
		return c
	})
}

func TestChoices(t *testing.T) {
	s := newStage(t, compose.HomeCheckout, "prod-1", "prod-2")
	asked := &past{}
	a := s.action().(*action) //nolint:forcetypeassert // New makes one
	a.deps.Past = asked
	snap := s.Latest()
	svc := &snap.Services[0]
	for i, ago := range []time.Duration{6 * time.Minute, 30 * time.Hour, 100 * time.Hour} {
		svc.Releases.History[i].At = snap.At.Add(-ago)
		svc.Releases.History[i].Subject = "ai: deploy \x1b[31mit"
	}
	image := func(host, tag, digest string) fleet.Image {
		return fleet.Image{Host: host, Tags: []string{imageName + ":" + tag}, Digests: []string{imageName + "@" + digest}}
	}
	snap.Images = []fleet.Image{
		image("prod-1", "0.4.1", digestOf("0.4.1")), image("prod-2", "0.4.1", digestOf("0.4.1")),
		image("prod-1", "0.4.0", digestOf("x")),
		image("prod-1", "0.3.9", digestOf("0.3.9")), image("prod-2", "0.3.9", digestOf("0.3.9")),
	}
	c, err := deploy{a}.Choices(context.Background(), snap, []fleet.Ref{{Service: aiProd}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"0.4.2|32323232|6 min ago|6 min|7.1 %|to be pulled|it runs now",
		"0.4.1|31313131|1 d 6 h ago|1 d 5 h|0.1 %|on its hosts|",
		"0.4.0|30303030|4 d 4 h ago|2 d 22 h|not known|tag moved|",
		"0.3.9|||||on its hosts|",
	}
	if c.Arg != ArgTo || len(c.Rows) != len(want) || !strings.Contains(c.Title, "ai@prod") {
		t.Fatalf("%+v", c)
	}
	for i, row := range c.Rows {
		if len(row.Cells) != len(c.Columns) {
			t.Errorf("%d cells below %d headings", len(row.Cells), len(c.Columns))
		}
		cells := row.Cells
		if len(cells[1]) > 8 {
			cells[1] = cells[1][:8]
		}
		got := strings.Join(append(cells[:6:6], row.Reason), "|")
		if got != want[i] {
			t.Errorf("row %d\n%s, want\n%s", i, got, want[i])
		}
		if strings.Contains(cells[6], "\x1b") {
			t.Error("a subject is shown raw")
		}
	}
	if len(asked.asked) != 3 {
		t.Errorf("asked for %v", asked.asked)
	}
}

func TestDeployNeedsARelease(t *testing.T) {
	s := newStage(t, compose.HomeCheckout, "prod-1")
	if _, err := s.deployer().Plan(context.Background(), s.Latest(), s.intent("")); err == nil || !strings.Contains(err.Error(), "no release is chosen") {
		t.Errorf("planned: %v", err)
	}
	snap := s.Latest()
	snap.Services[0].Releases = fleet.Releases{Running: snap.Services[0].Releases.Running}
	if o := s.deployer().Offer(snap, []fleet.Ref{{Service: aiProd}}); o.Enabled || !strings.Contains(o.Reason, "no release but the one that runs") {
		t.Errorf("%+v", o)
	}
}

func TestConfigurationChoices(t *testing.T) {
	s := newReload(t, compose.HomeGit)
	d := s.deployer().(deploy) //nolint:forcetypeassert // it is
	c, err := d.Choices(context.Background(), s.Latest(), nginxIntent("").Targets)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Rows) != 3 || c.Rows[0].Reason == "" || c.Rows[2].Cells[3] != "nginx: one" {
		t.Errorf("%+v", c)
	}
}
