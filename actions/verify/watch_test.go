package verify

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

var (
	ai   = fleet.ServiceKey{Environment: "prod", Name: "ai"}
	api  = fleet.ServiceKey{Environment: "prod", Name: "api"}
	rel1 = fleet.Release{Image: "r/ai", Tag: "0.4.1", ImageID: "sha256:1111"}
	rel2 = fleet.Release{Image: "r/ai", Tag: "0.4.2", ImageID: "sha256:2222"}
)

// estate is a world whose facts are always new.
type estate struct {
	mu       sync.Mutex
	services map[fleet.ServiceKey][]fleet.Instance
	metrics  map[fleet.ServiceKey]map[fleet.MetricName]fleet.Metric
	look     func(e *estate) // before each look, with mu held
}

func newEstate() *estate {
	return &estate{services: map[fleet.ServiceKey][]fleet.Instance{}, metrics: map[fleet.ServiceKey]map[fleet.MetricName]fleet.Metric{}}
}

var started = time.Date(2025, 11, 21, 14, 0, 0, 0, time.UTC)

func (e *estate) run(key fleet.ServiceKey, host, id string, r fleet.Release) {
	e.services[key] = append(e.services[key], fleet.Instance{
		ID: id, Name: id, Host: host, Release: r, State: fleet.StateRunning, Health: fleet.HealthHealthy, Life: fleet.Life{StartedAt: started},
	})
}

func (e *estate) Poke() {}

func (e *estate) Latest() *fleet.Snapshot {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.look != nil {
		e.look(e)
	}
	now := time.Now()
	snap := &fleet.Snapshot{At: now, Environment: "prod"}
	for _, host := range []string{"prod-1", "prod-2"} {
		snap.Hosts = append(snap.Hosts, fleet.Host{Name: host, Up: true})
		snap.Sources = append(snap.Sources, fleet.SourceStatus{ID: fleet.MakeSourceID("docker", host), Hosts: []string{host}, State: fleet.SourceOK, LastSuccess: now})
	}
	for key, list := range e.services {
		svc := fleet.Service{Key: key, Metrics: fleet.MetricsOf(e.metrics[key])}
		for _, in := range list {
			svc.Instances = append(svc.Instances, &in)
		}
		snap.Services = append(snap.Services, svc)
	}
	return snap
}

// figure sets what a metric of ai is now.
func (e *estate) figure(name fleet.MetricName, v float64) {
	if e.metrics[ai] == nil {
		e.metrics[ai] = map[fleet.MetricName]fleet.Metric{}
	}
	e.metrics[ai][name] = metric(v)
}

func metric(latest float64, values ...float64) fleet.Metric {
	return fleet.Metric{Latest: latest, Has: true, Series: fleet.Series{Values: values}}
}

func quick() Settings {
	c := DefaultConfig()
	s := c.For("prod")
	s.Soak, s.Start = 20*time.Millisecond, 100*time.Millisecond
	s.Limits.Settle = remote.Duration(10 * time.Millisecond)
	return s
}

func again(e *estate, key fleet.ServiceKey, ids ...string) {
	list := e.services[key]
	for i := range list {
		list[i].Life.StartedAt = started.Add(time.Hour)
		if i < len(ids) {
			list[i].ID = ids[i]
		}
	}
}

func TestExpectations(t *testing.T) {
	tests := []struct {
		name    string
		expect  func(*fleet.Snapshot) []Expect
		after   func(*estate)
		outcome actions.Outcome
		want    string
	}{
		{"well stays well", func(s *fleet.Snapshot) []Expect { return Well(s, ai) }, nil, actions.OutcomeGood, ""},
		{"well, one host is down", func(s *fleet.Snapshot) []Expect { return Well(s, ai) }, func(e *estate) { e.services[ai][1].State = fleet.StateExited },
			actions.OutcomeFailed, "prod-2 is down"},
		{"restarted: made again", func(s *fleet.Snapshot) []Expect { return Restarted(s, ai) }, func(e *estate) { again(e, ai, "x", "y") }, actions.OutcomeGood, ""},
		{"restarted: started again", func(s *fleet.Snapshot) []Expect { return Restarted(s, ai) }, func(e *estate) { again(e, ai) }, actions.OutcomeGood, ""},
		{"restarted: not at all", func(s *fleet.Snapshot) []Expect { return Restarted(s, ai) }, nil, actions.OutcomeFailed, "prod-1 still runs the ai-1 of before"},
		{"restarted: one host only", func(s *fleet.Snapshot) []Expect { return Restarted(s, ai, "prod-1") },
			func(e *estate) { e.services[ai][0].ID = "x" }, actions.OutcomeGood, ""},
		{"restarted: with another release", func(s *fleet.Snapshot) []Expect { return Restarted(s, ai) },
			func(e *estate) { again(e, ai); e.services[ai][1].Release = rel2 }, actions.OutcomeFailed, "prod-2 runs 0.4.2, not what it has to"},
		{"restarted: one did not come back", func(s *fleet.Snapshot) []Expect { return Restarted(s, ai) },
			func(e *estate) { again(e, ai); e.services[ai] = e.services[ai][:1] }, actions.OutcomeFailed, "prod-2 runs nothing"},
		{"scaled up", func(s *fleet.Snapshot) []Expect { return Scaled(s, ai, "prod-1", 2) }, func(e *estate) { e.run(ai, "prod-1", "ai-3", rel1) }, actions.OutcomeGood, ""},
		{"scaled up, not yet", func(s *fleet.Snapshot) []Expect { return Scaled(s, ai, "prod-1", 3) }, func(e *estate) { e.run(ai, "prod-1", "ai-3", rel1) },
			actions.OutcomeFailed, "prod-1 has 2 instances, not 3"},
		{"scaled to nothing", func(s *fleet.Snapshot) []Expect { return Scaled(s, ai, "prod-1", 0) }, func(e *estate) { e.services[ai] = e.services[ai][1:] }, actions.OutcomeGood, ""},
		{"scaled to nothing, still there", func(s *fleet.Snapshot) []Expect { return Scaled(s, ai, "prod-1", 0) }, nil, actions.OutcomeFailed, "prod-1 still runs ai-1"},
		{"two services", func(s *fleet.Snapshot) []Expect { return append(Well(s, ai), Restarted(s, api)...) }, func(e *estate) { again(e, api) }, actions.OutcomeGood, "ai: no metrics"},
		{"two services, the second is not well", func(s *fleet.Snapshot) []Expect { return append(Well(s, ai), Restarted(s, api)...) },
			func(e *estate) { again(e, api); e.services[api][0].Health = fleet.HealthUnhealthy }, actions.OutcomeDegraded, "api on prod-1 is unhealthy"},
		{"two services, the second is slower", func(s *fleet.Snapshot) []Expect { return append(Well(s, ai), Restarted(s, api)...) },
			func(e *estate) {
				again(e, api)
				e.metrics[api] = map[fleet.MetricName]fleet.Metric{fleet.MetricErrorRatio: {Latest: 0.3, Has: true}}
			}, actions.OutcomeDegraded, "api: errors 30 % > 1.0 %"},
		{"the row goes away", func(s *fleet.Snapshot) []Expect { return Well(s, ai) }, func(e *estate) {
			looks := 0
			e.look = func(e *estate) {
				if looks++; looks > 3 {
					delete(e.services, ai)
				}
			}
		}, actions.OutcomeDegraded, "prod-1 runs nothing, not anything"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := newEstate()
			e.run(ai, "prod-1", "ai-1", rel1)
			e.run(ai, "prod-2", "ai-2", rel1)
			e.run(api, "prod-1", "api-1", rel2)
			snap := e.Latest()
			w := New(quick(), Deps{Look: time.Millisecond}, snap, "it runs", tt.expect(snap)...)
			for _, p := range w.places {
				w.Did(p.Service, p.Host)
			}
			if tt.after != nil {
				tt.after(e)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
			defer cancel()
			o, reasons := w.Verify(ctx, e, func(string) {})
			if all := fmt.Sprint(reasons); o != tt.outcome || !strings.Contains(all, tt.want) {
				t.Errorf("judged %s: %s\nwant %s: %s", o, all, tt.outcome, tt.want)
			}
		})
	}
}

func TestWantsAreKept(t *testing.T) {
	e := newEstate()
	e.run(ai, "prod-1", "ai-1", rel1)
	w := New(quick(), Deps{}, e.Latest(), "0.4.2 runs", Expect{Service: ai, Host: "prod-1", Release: fleet.Release{Tag: "0.4.2"}})
	w.Wants(ai, "prod-1", rel2)
	if got := w.Wanted(ai, "prod-1"); got != rel2 {
		t.Errorf("wanted is %+v", got)
	}
	if got := w.Wanted(ai, "prod-2"); !got.IsZero() {
		t.Errorf("of another host: %+v", got)
	}
}

func TestConfig(t *testing.T) {
	c := DefaultConfig()
	if errs := c.Validate(); len(errs) > 0 {
		t.Errorf("the default is refused: %v", errs)
	}
	c.Soak, c.Start, c.Limits.ErrorRatio, c.Preset = remote.Duration(time.Millisecond), remote.Duration(2*time.Hour), 3, "x"
	c.Env = map[string]Rules{"prod": {Rollback: Triggers{HealthFailures: -1, HealthEvery: 1}, Limits: Limits{LogErrors: -1}}}
	if errs := c.Validate(); len(errs) != 7 || !strings.HasPrefix(errs[0].Error(), "preset: ") || !strings.HasPrefix(errs[6].Error(), "env.prod.auto_rollback.health_every: ") {
		t.Errorf("found %d mistakes: %v", len(errs), errs)
	}
	s := c.For("prod").With(remote.Duration(time.Minute), 0)
	if s.Soak != time.Minute || s.Start != 2*time.Hour {
		t.Errorf("settings %+v", s)
	}
}

func TestQuartile(t *testing.T) {
	nan := math.NaN()
	tests := []struct {
		in   []float64
		want float64
	}{
		{[]float64{4, 1, 3, 2}, 2},
		{[]float64{nan, 5, nan}, 5},
		{[]float64{0.001, 0.001, 0.07, 0.07}, 0.001},
	}
	for _, tt := range tests {
		if got := quartile(tt.in); got != tt.want {
			t.Errorf("quartile(%v) = %v, want %v", tt.in, got, tt.want)
		}
	}
	if !math.IsNaN(quartile([]float64{nan})) || !math.IsNaN(quartile(nil)) {
		t.Error("a quartile of nothing")
	}
}
