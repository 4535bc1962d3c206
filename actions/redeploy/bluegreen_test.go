package redeploy

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/actionstest"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

func newBlueGreen(t *testing.T, hosts ...string) *stage {
	t.Helper()
	s := newStage(t, compose.HomeCheckout, hosts...)
	s.front = true
	s.cfg.Strategy = StrategyBlueGreen
	s.cfg.Services = map[string]Override{"nginx": {Fronts: []string{"ai"}}}
	return s
}

func TestContractBlueGreen(t *testing.T) {
	actionstest.Contract(t, func(t *testing.T) actionstest.Case {
		s := newBlueGreen(t, "prod-1")
		c := s.contract()
		return c
	})
}

func TestBlueGreenSteps(t *testing.T) {
	s := newBlueGreen(t, "prod-1")
	s.hosts[0].bothTake = true
	p := s.plan("")
	want := "look at tag file, copy tag file, write tag, switch tag file, look at compose file, start beside, wait until healthy, else remove, " +
		"test nginx, reload nginx, restart if that fails, look at workers of nginx, stop old, " +
		"test nginx, reload nginx, restart if that fails, look at workers of nginx, remove old, look at containers"
	if got := strings.ReplaceAll(steps(p), " prod-1", ""); got != want {
		t.Errorf("steps %s", got)
	}
	_, end := s.run(p)
	if end.Outcome != actions.OutcomeGood {
		t.Fatalf("ended %s: %v", end.Outcome, end.Reasons)
	}
	h := s.hosts[0]
	if h.instance.Release.Tag != "0.4.1" || len(h.beside) != 0 || h.instance.ID == "prod-1-0" {
		t.Errorf("runs %+v beside %+v", h.instance, h.beside)
	}
	var stops [][]string
	looks := 0
	for _, c := range h.Calls() {
		switch {
		case slices.Contains(c, "stop"):
			stops = append(stops, c)
		case slices.Contains(c, "top") && len(stops) == 0:
			looks++
		}
	}
	if looks != 2 {
		t.Errorf("looked %d times at the workers before the old one was stopped: the workers from before the reload still took requests", looks)
	}
	if len(stops) != 1 || !slices.Equal(stops[0], []string{"docker", "stop", "-t", "30", "prod-1-0"}) {
		t.Errorf("stopped %v", stops)
	}
}

func TestBlueGreenRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*stage, *fleet.Service)
		want   string
	}{
		{"a proxy by its image", func(s *stage, svc *fleet.Service) {
			for i := range svc.Instances {
				svc.Instances[i].Release.Image = "registry.lab:5000/nginx-front"
			}
		}, "is a reverse proxy"},
		{"a proxy by config", func(s *stage, _ *fleet.Service) {
			yes := true
			s.cfg.Services["ai"] = Override{Proxy: &yes}
		}, "is a reverse proxy"},
		{"two releases side by side", func(s *stage, svc *fleet.Service) {
			other := *svc.Instances[0]
			other.ID, other.Release = "other", s.hosts[0].release("0.4.1")
			other.Labels = map[string]string{compose.LabelDir: s.hosts[0].dir, compose.LabelFiles: other.Labels[compose.LabelFiles], compose.LabelNumber: "2"}
			svc.Instances = append(svc.Instances, &other)
		}, "docker rm -f"},
		{"an id that is none", func(_ *stage, svc *fleet.Service) { svc.Instances[0].ID = "-f" }, "no id"},
	}
	for _, tt := range tests {
		s := newBlueGreen(t, "prod-1")
		snap := s.Latest()
		tt.change(s, &snap.Services[0])
		_, err := s.action().Plan(context.Background(), snap, s.intent(""))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if o := s.action().Offer(snap, []fleet.Ref{{Service: aiProd}}); o.Enabled {
			t.Errorf("%s: offered", tt.name)
		}
	}
}

func TestBlueGreenFaults(t *testing.T) {
	tests := []struct {
		name    string
		fault   func(*stage, *engineHost)
		outcome actions.Outcome
		want    []string
		runs    string
		beside  int
	}{
		{"the new one is unhealthy", func(_ *stage, h *engineHost) { h.health = fleet.HealthUnhealthy },
			actions.OutcomeFailed, []string{"nexgate-ai-2 is unhealthy", "the new ones were removed again, the old ones answer as before"}, "0.4.2", 0},
		{"the new one never gets healthy", func(_ *stage, h *engineHost) { h.health = "health: starting" },
			actions.OutcomeFailed, []string{"is not healthy yet", "removed again"}, "0.4.2", 0},
		{"the new one runs something else", func(_ *stage, h *engineHost) {
			h.after = func(in *fleet.Instance) { in.Release.Tag = "0.4.0" }
		}, actions.OutcomeFailed, []string{"runs registry.lab:5000/nexgate/ai-service:0.4.0, not", "removed again"}, "0.4.2", 0},
		{"somebody else makes the old one again meanwhile", func(_ *stage, h *engineHost) {
			h.after = func(*fleet.Instance) { h.instance.ID = "somebody-elses" }
		}, actions.OutcomeFailed, []string{"1 of the old containers are gone", "nothing was removed"}, "0.4.2", 1},
		{"somebody else scales it up meanwhile", func(_ *stage, h *engineHost) {
			h.after = func(in *fleet.Instance) {
				more := *in
				more.ID, more.Name = "somebody-elses", "nexgate-ai-3"
				h.beside = append(h.beside, more)
			}
		}, actions.OutcomeFailed, []string{"2 new containers are there, 1 were started", "nothing was removed"}, "0.4.2", 2},
		{"the connection is cut while it waits", func(_ *stage, h *engineHost) {
			h.Refuse(actionstest.Has("docker", "ps"), false, errNeverBegan)
		}, actions.OutcomeFailed, []string{"what was started beside the old containers is still there"}, "0.4.2", 1},
		{"nginx cannot be reloaded", func(_ *stage, h *engineHost) { h.noLoad = true }, actions.OutcomeGood, nil, "0.4.1", 0},
		{"the configuration of nginx is broken meanwhile", func(_ *stage, h *engineHost) { h.badConf = true },
			actions.OutcomeFailed, []string{"test nginx on prod-1", "test failed", "not done: reload nginx"}, "0.4.2", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newBlueGreen(t, "prod-1")
			if !strings.Contains(tt.name, "nginx") { // it waits in vain: not for long
				s.cfg.Start = remote.Duration(300 * time.Millisecond)
			}
			h := s.hosts[0]
			p := s.plan("")
			h.Forget()
			s.set(func() { tt.fault(s, h) })
			_, end := s.run(p)
			all := strings.Join(end.Reasons, "\n")
			if end.Outcome != tt.outcome {
				t.Errorf("ended %s: %s", end.Outcome, all)
			}
			for _, want := range tt.want {
				if !strings.Contains(all, want) {
					t.Errorf("reasons lack %q:\n%s", want, all)
				}
			}
			if h.instance.Release.Tag != tt.runs || h.instance.State != fleet.StateRunning || len(h.beside) != tt.beside {
				t.Errorf("runs %s (%s), %d beside", h.instance.Release.Tag, h.instance.State, len(h.beside))
			}
		})
	}
}

func TestBrokenProxyIsSeenBefore(t *testing.T) {
	s := newBlueGreen(t, "prod-1")
	s.hosts[0].badConf = true
	if ok, why := s.plan("").Runnable(); ok || !strings.Contains(why, "does not hold even now") {
		t.Errorf("runnable %v: %s", ok, why)
	}
}

func TestWorkersOf(t *testing.T) {
	table := "PID ELAPSED COMMAND\n1 900 nginx: master process nginx\n7 900 nginx: worker process\n8 1 nginx: worker process\n9 1 nginx: worker process is shutting down\n10 x nginx: worker process\n"
	if young, old := workersOf(table, 3*time.Second); young != 1 || old != 1 {
		t.Errorf("%d young workers, %d old ones", young, old)
	}
}

// A container that nothing checks has to run for a while without a break: what was seen before it was starting does not count.
func TestARunWithABreakBeginsAnew(t *testing.T) {
	s := newBlueGreen(t, "prod-1")
	a := s.action().(*action) //nolint:forcetypeassert // New makes one
	now := time.Now()
	a.deps.Now = func() time.Time { return now }
	tg, svc, err := findTarget(&a.cfg, s.Latest(), s.intent("").Targets)
	must(s, err)
	p, err := newPlanner(a, s.Latest(), svc, tg, s.intent(""))
	must(s, err)
	e := &execution{planner: p}
	c := compose.Container{ID: "new", Names: "ai-2", Image: p.t.to.Ref(), State: "running", Status: "Up 1 second"}
	var since time.Time
	look := func(state string, after time.Duration) string {
		now = now.Add(after)
		c.State = state
		why, hopeless := e.notReady([]compose.Container{c}, 1, &since)
		if hopeless {
			t.Errorf("%s is hopeless: %s", state, why)
		}
		return why
	}
	if look("running", 0) == "" || look("created", time.Second) == "" || look("running", settle) == "" {
		t.Error("taken for well at once")
	}
	if why := look("running", settle); why != "" {
		t.Errorf("not taken for well: %s", why)
	}
}
