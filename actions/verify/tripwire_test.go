package verify

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// tripping is an estate that takes calls for a rollback.
type tripping struct {
	*estate
	why string
}

func (r *tripping) RollBack(reason string) { r.why = reason }

func TestTriggers(t *testing.T) {
	ratio, p99, rps := fleet.MetricErrorRatio, fleet.MetricP99, fleet.MetricRPS
	now := func(v float64) fleet.Metric { return metric(v, v) }
	tests := []struct {
		name   string
		before map[fleet.MetricName]fleet.Metric
		after  func(*estate)
		settle time.Duration
		want   string // why it is rolled back; "" is not at all
	}{
		{"all is well", nil, func(*estate) {}, 0, ""},
		{"unhealthy three times", nil, func(e *estate) { e.services[ai][0].Health = fleet.HealthUnhealthy }, 0, "prod-1 was unhealthy 3 times in a row"},
		{"down three times", nil, func(e *estate) { e.services[ai][0].State = fleet.StateExited }, 0, "prod-1 was down 3 times in a row"},
		{"a crash loop", nil, func(e *estate) { e.services[ai][0].Life.Restarts = 3 }, 0, "crash loop on prod-1"},
		{"unhealthy once", nil, func(e *estate) {
			began := time.Now()
			e.look = func(e *estate) {
				e.services[ai][0].Health = fleet.HealthHealthy
				if time.Since(began) < 8*time.Millisecond {
					e.services[ai][0].Health = fleet.HealthUnhealthy
				}
			}
		}, 0, ""},
		{"errors", map[fleet.MetricName]fleet.Metric{ratio: now(0.001)}, func(e *estate) { e.figure(ratio, 0.071) }, 30 * time.Millisecond, "errors 7.1 % > 5.0 % within a minute"},
		{"errors that may be those of what ran before", map[fleet.MetricName]fleet.Metric{ratio: now(0.001)},
			func(e *estate) {
				began := time.Now()
				e.look = func(e *estate) {
					e.figure(ratio, 0.071)
					if time.Since(began) > 100*time.Millisecond {
						e.figure(ratio, 0.001)
					}
				}
			}, time.Second, ""},
		{"as many errors as before, still", map[fleet.MetricName]fleet.Metric{ratio: now(0.071)}, func(e *estate) { e.figure(ratio, 0.071) }, 30 * time.Millisecond,
			"errors 7.1 % > 5.0 %"},
		{"slow", nil, func(e *estate) { e.figure(p99, 2.4) }, 30 * time.Millisecond, "p99 2.4 s > 2.0 s"},
		{"slow, as it was usual, for longer than the soak time", map[fleet.MetricName]fleet.Metric{p99: now(2.4)}, func(e *estate) { e.figure(p99, 2.4) }, time.Second, "p99 2.4 s > 2.0 s"},
		{"one request a minute", nil, func(e *estate) { e.figure(p99, 2.4); e.figure(rps, 1.0/60) }, 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := &tripping{estate: newEstate()}
			e.run(ai, "prod-1", "ai-1", rel1)
			e.metrics[ai] = tt.before
			snap := e.Latest()
			e.metrics[ai] = map[fleet.MetricName]fleet.Metric{}
			set := quick()
			set.Soak, set.Start = 300*time.Millisecond, 5*time.Second
			set.Rollback.HealthEvery = remote.Duration(20 * time.Millisecond)
			set.Limits.Settle = remote.Duration(tt.settle)
			w := New(set, Deps{Look: time.Millisecond}, snap, "it runs", Well(snap, ai)...)
			w.Did(ai, "prod-1")
			tt.after(e.estate)
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			o, reasons := w.Verify(ctx, e, func(string) {})
			if tt.want == "" && e.why != "" || !strings.Contains(e.why, tt.want) {
				t.Errorf("rolled back for %q, want %q", e.why, tt.want)
			}
			if tt.want != "" && (o != actions.OutcomeDegraded || !strings.Contains(strings.Join(reasons, "\n"), tt.want)) {
				t.Errorf("judged %s %v", o, reasons)
			}
		})
	}
}

func TestNothingIsTakenBackWhereNobodyAsked(t *testing.T) {
	e := newEstate()
	e.run(ai, "prod-1", "ai-1", rel1)
	snap := e.Latest()
	w := New(quick(), Deps{Look: time.Millisecond}, snap, "it runs", Well(snap, ai)...)
	e.figure(fleet.MetricP99, 9)
	if o, reasons := w.Verify(t.Context(), e, func(string) {}); o != actions.OutcomeDegraded || !strings.Contains(strings.Join(reasons, "\n"), "p99 9.0 s > 500 ms") {
		t.Errorf("judged %s %v", o, reasons)
	}
}

func TestPresets(t *testing.T) {
	c := Config{Rules: Rules{Preset: PresetZentoria, Soak: remote.Duration(30 * time.Second)}, Env: map[string]Rules{
		"dev":  {Preset: PresetNxloy},
		"prod": {Limits: Limits{P99: remote.Duration(3 * time.Second)}, Rollback: Triggers{HealthFailures: 5}},
	}}
	if errs := c.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	prod, dev, other := c.For("prod"), c.For("dev"), (&Config{}).For("prod")
	if prod.Soak != 30*time.Second || prod.Limits.ErrorRatio != 0.01 || prod.Limits.P99.Std() != 3*time.Second || prod.Targets.P99.Std() != 500*time.Millisecond ||
		prod.Rollback.HealthFailures != 5 || prod.Rollback.HealthEvery.Std() != 10*time.Second {
		t.Errorf("zentoria on prod: %+v", prod)
	}
	if dev.Soak != time.Minute || dev.Limits.P95.Std() != 500*time.Millisecond || dev.Limits.Memory != 0.8 || dev.Limits.P99 != 0 {
		t.Errorf("nxloy on dev: %+v", dev)
	}
	if other.Soak != time.Minute || other.Start != 2*time.Minute || other.Limits.ErrorRatio != 0.05 || other.Limits.Settle.Std() != 90*time.Second {
		t.Errorf("the default: %+v", other)
	}
	if got := prod.Rollback.Words(); got != "5 failed health checks in a row or a crash loop, errors > 5.0 % within a minute, p99 > 2.0 s" {
		t.Errorf("words: %s", got)
	}
}

func TestMoreFigures(t *testing.T) {
	zentoria := (&Config{Rules: Rules{Preset: PresetZentoria}}).For("prod")
	nxloy := (&Config{Rules: Rules{Preset: PresetNxloy}}).For("prod")
	check := func(v float64, note string) fleet.Metric {
		m := metric(v, v)
		m.Note = note
		return m
	}
	type figures = map[fleet.MetricName]fleet.Metric
	tests := []struct {
		name          string
		set           Settings
		before, after figures
		outcome       actions.Outcome
		want          string
	}{
		{"p99 over the critical value, as ever", zentoria, figures{fleet.MetricP99: metric(2.5, 2.5)}, figures{fleet.MetricP99: metric(2.5)}, actions.OutcomeDegraded, "p99 2.5 s > 2.0 s"},
		{"p99 over the target only", zentoria, figures{fleet.MetricP99: metric(0.6, 0.6)}, figures{fleet.MetricP99: metric(0.6)}, actions.OutcomeGood, "p99 600 ms, the target is 500 ms"},
		{"errors over 1 %", zentoria, figures{fleet.MetricErrorRatio: metric(0.02, 0.02)}, figures{fleet.MetricErrorRatio: metric(0.02)}, actions.OutcomeDegraded, "errors 2.0 % > 1.0 %"},
		{"memory", nxloy, nil, figures{fleet.MetricMemoryRatio: metric(0.9)}, actions.OutcomeDegraded, "memory 90 % > 80 %"},
		{"memory that nobody bounds", quick(), nil, figures{fleet.MetricMemoryRatio: metric(0.99)}, actions.OutcomeGood, ""},
		{"cpu", nxloy, nil, figures{fleet.MetricCPU: metric(0.9)}, actions.OutcomeDegraded, "cpu 90 % of limit > 80 %"},
		{"a probe that fails now", quick(), figures{fleet.MetricProbe: check(1, "")}, figures{fleet.MetricProbe: check(0, "https://x/health")}, actions.OutcomeDegraded, "probe fails: https://x/health"},
		{"a probe that never succeeded", quick(), figures{fleet.MetricProbe: check(0, "")}, figures{fleet.MetricProbe: check(0, "")}, actions.OutcomeGood, "probe fails, as it did before"},
		{"a probe that failed with the bad release", quick(), figures{fleet.MetricProbe: metric(0, 1, 1, 0)}, figures{fleet.MetricProbe: check(0, "")}, actions.OutcomeDegraded, "probe fails"},
		{"the scrape fails", quick(), figures{fleet.MetricUp: check(1, "")}, figures{fleet.MetricUp: check(0, "")}, actions.OutcomeDegraded, "metrics cannot be scraped"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEstate()
			e.run(ai, "prod-1", "ai-1", rel1)
			e.services[ai][0].Limits.CPU = 1
			e.metrics[ai] = tt.before
			snap := e.Latest()
			set := tt.set
			set.Soak, set.Start, set.Limits.Settle = 5*time.Millisecond, time.Second, remote.Duration(5*time.Millisecond)
			w := New(set, Deps{Look: time.Millisecond}, snap, "it runs", Well(snap, ai)...)
			w.Did(ai, "prod-1")
			e.metrics[ai] = tt.after
			o, reasons := w.Verify(t.Context(), e, func(string) {})
			if all := strings.Join(reasons, "\n"); o != tt.outcome || !strings.Contains(all, tt.want) {
				t.Errorf("judged %s: %s\nwant %s: %s", o, all, tt.outcome, tt.want)
			}
		})
	}
}
