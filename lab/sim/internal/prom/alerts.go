package prom

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// rule is one alerting rule.
type rule struct {
	name     string
	expr     string
	hold     time.Duration
	severity string
	summary  string
}

const (
	ruleStep = 15 * time.Second
	ruleSpan = time.Hour
)

func alertRules() []rule {
	const all = `{__name__=~"http_requests_total|http_server_requests_seconds_count"%s}`
	ratio := fmt.Sprintf("sum by (env, service) (rate("+all+"[1m])) / sum by (env, service) (rate("+all+"[1m])) > 0.05", `,status=~"5.+"`, "")
	return []rule{
		{"ServiceErrorsHigh", ratio, 2 * time.Minute, "critical", "more than 5 % of requests fail"},
		{"TargetDown", "up == 0", time.Minute, "critical", "cannot be scraped"},
		{"ProbeFailing", "probe_success == 0", time.Minute, "critical", "its /health does not answer"},
		{"ContainerMemoryHigh", `max by (env, host, name) (container_memory_working_set_bytes / (container_spec_memory_limit_bytes > 0)) > 0.95`, 2 * time.Minute, "warning", "near its memory limit"},
	}
}

// alert is one active alert, as the API gives it.
type alert struct {
	Labels      labels.Labels     `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	State       string            `json:"state"`
	ActiveAt    time.Time         `json:"activeAt"`
	Value       string            `json:"value"`
}

// active evaluates a rule as if it had been evaluated all the last hour.
func (s *Server) active(ctx context.Context, r rule) ([]alert, error) {
	now := s.world.Now().Truncate(ruleStep)
	v, err := s.rangeOf(ctx, r.expr, now.Add(-ruleSpan), now, ruleStep)
	if err != nil {
		return nil, err
	}
	res, _ := v.(result)
	matrix, _ := res.Result.(promql.Matrix)
	out := []alert{}
	for _, series := range matrix {
		n := len(series.Floats)
		if n == 0 || series.Floats[n-1].T != now.UnixMilli() {
			continue
		}
		since := n - 1
		for since > 0 && series.Floats[since].T-series.Floats[since-1].T == ruleStep.Milliseconds() {
			since--
		}
		at := time.UnixMilli(series.Floats[since].T).UTC()
		state := "pending"
		if now.Sub(at) >= r.hold {
			state = "firing"
		}
		ls := labels.NewBuilder(series.Metric).Del(labels.MetricName).Set("alertname", r.name).Set("severity", r.severity).Labels()
		out = append(out, alert{ls, map[string]string{"summary": r.summary}, state, at, strconv.FormatFloat(series.Floats[n-1].F, 'e', -1, 64)})
	}
	return out, nil
}

func (s *Server) alerts(r *http.Request) (any, error) {
	all := []alert{}
	for _, rule := range alertRules() {
		list, err := s.active(r.Context(), rule)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return map[string]any{"alerts": all}, nil
}

func (s *Server) rules(r *http.Request) (any, error) {
	var rules []any
	for _, rule := range alertRules() {
		list, err := s.active(r.Context(), rule)
		if err != nil {
			return nil, err
		}
		state := "inactive"
		for _, a := range list {
			if state != "firing" {
				state = a.State
			}
		}
		rules = append(rules, map[string]any{
			"name": rule.name, "query": rule.expr, "duration": rule.hold.Seconds(), "labels": map[string]string{"severity": rule.severity},
			"annotations": map[string]string{"summary": rule.summary}, "alerts": list, "state": state, "health": "ok", "type": "alerting",
			"evaluationTime": 0.001, "lastEvaluation": s.world.Now().UTC(),
		})
	}
	group := map[string]any{"name": "nexgate", "file": "/etc/prometheus/rules.yml", "interval": ruleStep.Seconds(), "rules": rules}
	return map[string]any{"groups": []any{group}}, nil
}

func (s *Server) targets(*http.Request) (any, error) {
	now := s.world.Now()
	active := []any{}
	b := &builder{world: s.world, stamps: []int64{now.UnixMilli()}, oldest: now.Add(-time.Minute)}
	up(b)
	for _, one := range b.out {
		health, problem := "up", ""
		if v, _ := one.value(0); v == 0 {
			health, problem = "down", "Get \"http://"+one.labels.Get("instance")+"/metrics\": context deadline exceeded"
		}
		ls := labels.NewBuilder(one.labels).Del(labels.MetricName).Labels()
		active = append(active, map[string]any{
			"discoveredLabels": ls, "labels": ls, "scrapePool": ls.Get("job"), "scrapeUrl": "http://" + ls.Get("instance") + "/metrics",
			"globalUrl": "http://" + ls.Get("instance") + "/metrics", "lastError": problem, "lastScrape": now.UTC(), "lastScrapeDuration": 0.012,
			"health": health, "scrapeInterval": scrapeEvery.String(), "scrapeTimeout": scrapeEvery.String(),
		})
	}
	return map[string]any{"activeTargets": active, "droppedTargets": []any{}}, nil
}
