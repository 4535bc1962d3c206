package redeploy

import (
	"context"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

func metric(latest float64, values ...float64) fleet.Metric {
	return fleet.Metric{Latest: latest, Has: true, Series: fleet.Series{Values: values}}
}

func TestVerdicts(t *testing.T) {
	errors, p95, logs := fleet.MetricErrorRatio, fleet.MetricP95, fleet.MetricLogErrors
	tests := []struct {
		name    string
		before  map[fleet.MetricName]fleet.Metric
		after   func(*stage, *engineHost)
		made    func(*fleet.Instance)
		outcome actions.Outcome
		want    string // in the reasons
	}{
		{"healthy, no metrics", nil, nil, nil, actions.OutcomeGood, "no metrics: health and restarts decided"},
		{"running without a health check", nil, nil, func(in *fleet.Instance) { in.Health = fleet.HealthNone }, actions.OutcomeGood, ""},
		{"as good as it used to be", map[fleet.MetricName]fleet.Metric{errors: metric(0.07, 0.001, 0.001, 0.001, 0.07)},
			func(s *stage, _ *engineHost) { s.metrics[errors] = metric(0.002) }, nil, actions.OutcomeGood, ""},
		{"errors stay", map[fleet.MetricName]fleet.Metric{errors: metric(0.07, 0.001, 0.001, 0.001, 0.07)},
			func(s *stage, _ *engineHost) { s.metrics[errors] = metric(0.06) }, nil, actions.OutcomeDegraded, "errors 6.0 % > 1.0 % (0.1 % usually, 7.0 % right before)"},
		{"errors as ever are still too many", map[fleet.MetricName]fleet.Metric{errors: metric(0.5, 0.5, 0.5)},
			func(s *stage, _ *engineHost) { s.metrics[errors] = metric(0.5) }, nil, actions.OutcomeDegraded, "errors 50 % > 5.0 %"},
		{"slower", map[fleet.MetricName]fleet.Metric{p95: metric(0.1, 0.1, 0.1)},
			func(s *stage, _ *engineHost) { s.metrics[p95] = metric(1.9) }, nil, actions.OutcomeDegraded, "p95 1.9 s > 350 ms (100 ms usually)"},
		{"more errors in the log", map[fleet.MetricName]fleet.Metric{logs: metric(1, 1, 1)},
			func(s *stage, _ *engineHost) { s.metrics[logs] = metric(312) }, nil, actions.OutcomeDegraded, "log errors 312/min > 11/min"},
		{"no traffic is said", map[fleet.MetricName]fleet.Metric{errors: metric(0.07, 0.001)},
			func(s *stage, _ *engineHost) {
				s.metrics[errors] = fleet.Metric{Note: "no traffic", Latest: math.NaN()}
			}, nil, actions.OutcomeGood, "errors: no traffic"},
		{"no traffic saves nobody", map[fleet.MetricName]fleet.Metric{errors: metric(0.07, 0.001)},
			func(s *stage, _ *engineHost) { s.metrics[errors] = fleet.Metric{Note: "no traffic"} },
			func(in *fleet.Instance) { in.Health = fleet.HealthUnhealthy }, actions.OutcomeDegraded, "prod-1 is unhealthy"},
		{"metrics gone", map[fleet.MetricName]fleet.Metric{errors: metric(0.001, 0.001)},
			func(s *stage, _ *engineHost) { s.failing = "connection refused" }, nil, actions.OutcomeUnknown, "errors cannot be seen: prometheus/prometheus fails: connection refused"},
		{"unhealthy", nil, nil, func(in *fleet.Instance) { in.Health = fleet.HealthUnhealthy }, actions.OutcomeDegraded, "prod-1 is unhealthy"},
		{"never starts", nil, nil, func(in *fleet.Instance) { in.State, in.Health = fleet.StateExited, fleet.HealthDown }, actions.OutcomeFailed, "prod-1 is down"},
		{"starting for ever", nil, nil, func(in *fleet.Instance) { in.Health = fleet.HealthStarting }, actions.OutcomeDegraded, "prod-1 is starting"},
		{"crash loop", nil, nil, func(in *fleet.Instance) { in.Life.Restarts = 4 }, actions.OutcomeFailed, "crash loop on prod-1: 4 restarts"},
		{"one restart", nil, nil, func(in *fleet.Instance) { in.Life.Restarts = 1 }, actions.OutcomeDegraded, "restarted on prod-1"},
		{"another release came up", nil, nil, func(in *fleet.Instance) { in.Release.ImageID, in.Release.Digest = idOf("x"), digestOf("x") }, actions.OutcomeFailed, "prod-1 runs 0.4.1, not"},
		{"the host is lost", nil, func(s *stage, h *engineHost) { s.blind[h.Name()] = "no route" }, nil, actions.OutcomeUnknown, "prod-1 cannot be seen: no route"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStage(t, compose.HomeCheckout, "prod-1")
			s.cfg.Start = remote.Duration(300 * time.Millisecond)
			h := s.hosts[0]
			s.metrics = tt.before
			if s.metrics == nil {
				s.metrics = map[fleet.MetricName]fleet.Metric{}
			}
			p := s.plan("")
			h.after = func(in *fleet.Instance) {
				if tt.made != nil {
					tt.made(in)
				}
				if tt.after != nil {
					tt.after(s, h)
				}
			}
			list, end := s.run(p)
			all := strings.Join(end.Reasons, "\n")
			if end.Outcome != tt.outcome || !strings.Contains(all, tt.want) {
				t.Errorf("ended %s: %s\nwant %s: %s", end.Outcome, all, tt.outcome, tt.want)
			}
			said := 0
			for _, ev := range list {
				if ev.Stream == actions.StreamVerify {
					said++
				}
			}
			if said == 0 {
				t.Error("the verification said nothing")
			}
		})
	}
}

// frozen is a world that tells nothing new.
type frozen struct{ snap *fleet.Snapshot }

func (f frozen) Latest() *fleet.Snapshot { return f.snap }
func (f frozen) Poke()                   {}

func TestOldFactsAreNeverJudged(t *testing.T) {
	s := newStage(t, compose.HomeCheckout, "prod-1")
	p := s.plan("")
	snap := s.Latest()
	for _, step := range p.Steps {
		if err := step.Do(context.Background(), func(string, string) {}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	o, reasons := p.Verify(ctx, frozen{snap}, func(string) {})
	if o != actions.OutcomeUnknown || !strings.Contains(fmt.Sprint(reasons), "not verified to the end") {
		t.Errorf("judged %s: %v by facts from before", o, reasons)
	}
}

func TestPushFaults(t *testing.T) {
	tests := []struct {
		name    string
		fault   func(*stage)
		outcome actions.Outcome
		want    string
	}{
		{"refused by the server", func(s *stage) {
			hook := s.cfg.GitURL + "/hooks/pre-receive"
			s.write(hook, "#!/bin/sh\necho protected branch >&2\nexit 1\n")
			must(s, os.Chmod(hook, 0o700)) //nolint:gosec // a hook has to be run
		}, actions.OutcomeFailed, "not pushed"},
		{"the server is gone", func(s *stage) { must(s, os.Rename(s.cfg.GitURL, s.cfg.GitURL+".away")) }, actions.OutcomeUnknown, "cannot be read again"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newStage(t, compose.HomeGit, "prod-1")
			p := s.plan("")
			tt.fault(s)
			_, end := s.run(p)
			all := strings.Join(end.Reasons, "\n")
			if end.Outcome != tt.outcome || !strings.Contains(all, tt.want) {
				t.Errorf("ended %s: %s", end.Outcome, all)
			}
			if s.hosts[0].instance.Release.Tag != "0.4.2" {
				t.Error("the host was changed")
			}
		})
	}
}
