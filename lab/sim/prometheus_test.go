package sim_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/nexgate-hq/nexops/lab/sim"
)

func prometheus(t testing.TB, e *sim.Estate) v1.API {
	t.Helper()
	c, err := api.NewClient(api.Config{Address: "http://127.0.0.1:9090", RoundTripper: through(t, login(t, e, "ops"))})
	if err != nil {
		t.Fatal(err)
	}
	return v1.NewAPI(c)
}

// number is the single value of an instant query; NaN when there is none.
func number(t testing.TB, p v1.API, query string, at time.Time) float64 {
	t.Helper()
	v, _, _, err := p.Query(t.Context(), query, at)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	vec, ok := v.(model.Vector)
	if !ok || len(vec) > 1 {
		t.Fatalf("%s: %v, want one value", query, v)
	}
	if len(vec) == 0 {
		return math.NaN()
	}
	return float64(vec[0].Value)
}

const (
	aiErrors = `sum(rate(http_requests_total{service="ai",env="prod",status=~"5.."}[10s])) / sum(rate(http_requests_total{service="ai",env="prod"}[10s]))`
	aiP95    = `histogram_quantile(0.95, sum by (le) (rate(http_request_duration_highr_seconds_bucket{service="ai",env="prod"}[10s])))`
)

func TestBadDeployInNumbers(t *testing.T) {
	e := start(t, sim.Options{Still: true})
	p := prometheus(t, e)
	now := time.Now()
	for _, tc := range []struct {
		name, query string
		at          time.Time
		low, high   float64
	}{
		{"errors before", aiErrors, now.Add(-10 * time.Minute), 0.0009, 0.0011},
		{"errors now", aiErrors, now, 0.069, 0.073},
		{"p95 before", aiP95, now.Add(-10 * time.Minute), 0.7, 0.95},
		{"p95 now", aiP95, now, 1.7, 2.1},
		{"rps", `sum(rate(http_requests_total{service="ai",env="prod"}[1m]))`, now, 5, 20},
		{"spring rps", `sum(rate(http_server_requests_seconds_count{service="nexgate-backend",env="prod"}[1m]))`, now, 60, 220},
		{"memory of the limit", `max(container_memory_working_set_bytes{name="nexgate-prod-ai-1"} / container_spec_memory_limit_bytes)`, now, 0.5, 0.95},
		{"up", `min(up)`, now, 1, 1},
		{"probe", `min(probe_success)`, now, 1, 1},
		{"hour of history", `count_over_time(up{service="ai",env="prod"}[1h])`, now, 1795, 1801},
	} {
		if got := number(t, p, tc.query, tc.at); !(got >= tc.low && got <= tc.high) {
			t.Errorf("%s: %v, want %v to %v", tc.name, got, tc.low, tc.high)
		}
	}
}

// TestWindowsAreEnough holds that making only the samples inside the windows of a range
// query changes no answer: a subquery, for which all are made, must give the same.
func TestWindowsAreEnough(t *testing.T) {
	e := start(t, sim.Options{Still: true})
	p := prometheus(t, e)
	end := time.Now().Truncate(time.Second).Add(-time.Second)
	for _, query := range []string{aiErrors, aiP95, `sum by (service) (container_memory_working_set_bytes{env="prod"})`, `count by (name) (container_last_seen{env="prod",name=~".*ai.*"})`} {
		v, _, _, err := p.QueryRange(t.Context(), query, v1.Range{Start: end.Add(-time.Hour), End: end, Step: 30 * time.Second})
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		matrix, ok := v.(model.Matrix)
		if !ok || len(matrix) == 0 {
			t.Fatalf("%s: %T with %d series", query, v, len(matrix))
		}
		for _, series := range matrix {
			if len(series.Values) != 121 && !strings.Contains(query, "last_seen") {
				t.Errorf("%s: %s has %d points, want 121", query, series.Metric, len(series.Values))
			}
		}
		for _, back := range []time.Duration{0, 6 * time.Minute, 330 * time.Second, 45 * time.Minute} {
			at := end.Add(-back)
			v, _, _, err := p.Query(t.Context(), query, at)
			if err != nil {
				t.Fatal(err)
			}
			want, _ := v.(model.Vector)
			got := model.Vector{}
			for _, s := range matrix {
				for _, pair := range s.Values {
					if pair.Timestamp == model.TimeFromUnixNano(at.UnixNano()) {
						got = append(got, &model.Sample{Metric: s.Metric, Value: pair.Value, Timestamp: pair.Timestamp})
					}
				}
			}
			if got.String() != want.String() {
				t.Errorf("%s at -%s: range says\n%s\ninstant says\n%s", query, back, got, want)
			}
		}
	}
}

func TestPrometheusAPI(t *testing.T) {
	e := start(t, sim.Options{Still: true})
	p := prometheus(t, e)
	ctx := t.Context()
	services, _, _, err := p.LabelValues(ctx, "service", []string{`up{env="prod"}`}, time.Now().Add(-time.Minute), time.Now())
	if err != nil || len(services) != 5 {
		t.Errorf("services with up: %v, %v; want 5", services, err)
	}
	if b, err := p.Buildinfo(ctx); err != nil || b.Version == "" {
		t.Errorf("Buildinfo: %+v, %v", b, err)
	}
	if targets, err := p.Targets(ctx); err != nil || len(targets.Active) < 10 {
		t.Errorf("Targets: %d, %v", len(targets.Active), err)
	}
	alerts, err := p.Alerts(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(alerts.Alerts) != 1 || alerts.Alerts[0].Labels["service"] != "ai" || alerts.Alerts[0].State != v1.AlertStateFiring {
		t.Errorf("alerts: %+v, want one, firing, about ai", alerts.Alerts)
	}
	if rules, err := p.Rules(ctx, nil); err != nil || len(rules.Groups) != 1 {
		t.Errorf("Rules: %+v, %v", rules, err)
	}
	_, _, _, err = p.Query(ctx, "sum(", time.Now())
	if err == nil || !strings.Contains(err.Error(), "parse error") {
		t.Errorf("a mistake in a query: %v", err)
	}
	_, _, _, err = p.QueryRange(ctx, "up", v1.Range{Start: time.Unix(0, 0), End: time.Now(), Step: time.Second})
	if err == nil || !strings.Contains(err.Error(), "11,000 points") {
		t.Errorf("too many points: %v", err)
	}
}

func TestStopPrometheus(t *testing.T) {
	e := start(t, sim.Options{Still: true})
	p := prometheus(t, e)
	number(t, p, "vector(1)", time.Now())
	e.StopPrometheus()
	if _, _, _, err := p.Query(context.Background(), "vector(1)", time.Now()); err == nil {
		t.Error("a stopped Prometheus answers")
	}
	e.StartPrometheus()
	if got := number(t, p, "vector(1)", time.Now()); got != 1 {
		t.Errorf("after the return: %v", got)
	}
}
