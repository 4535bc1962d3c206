package real

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// parts are the lab's processes, all of which must run.
func parts() []string {
	out := []string{"registry", "prometheus", "loki", "load", "ship"}
	for _, h := range hostPlans() {
		out = append(out, h.name+".init", h.name+".sshd")
		if h.compose != "" {
			out = append(out, h.name+".dockerd", h.name+".cadvisor")
		}
	}
	return out
}

// patience is how long one part may take to say how it is.
const patience = 3 * time.Second

// Finding is one thing looked at by Status.
type Finding struct {
	What string
	Err  error // nil: as it should be
}

// Status looks at everything once.
func (l *Lab) Status(ctx context.Context) []Finding {
	var out []Finding
	for _, name := range parts() {
		_, ok := l.places.find(name)
		var err error
		if !ok {
			err = errors.New("not running")
		}
		out = append(out, Finding{"process " + name, err})
	}
	for _, h := range hostPlans() {
		if h.compose != "" {
			out = append(out, Finding{"containers " + h.name, l.healthy(ctx, h)})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 3*patience)
	defer cancel()
	t, err := l.Tunnel(ctx, ops)
	if err != nil {
		return append(out, Finding{"ssh ops", err})
	}
	defer t.Close()
	return append(out,
		Finding{"prometheus", l.figures(ctx, t)},
		Finding{"loki", l.logs(ctx, t)})
}

// Check says what is wrong with the lab as it is now, all of it.
func (l *Lab) Check(ctx context.Context) error {
	var errs []error
	for _, f := range l.Status(ctx) {
		if f.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.What, f.Err))
		}
	}
	return errors.Join(errs...)
}

// WaitWhole waits until Check finds nothing.
func (l *Lab) WaitWhole(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return until(ctx, "the lab to be whole", 500*time.Millisecond, l.Check)
}

// healthy says whether a host runs exactly its services, all healthy.
func (l *Lab) healthy(ctx context.Context, h hostPlan) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client := unixClient(l.Hosts[h.name].DockerSocket)
	defer client.CloseIdleConnections()
	b, err := httpGet(ctx, client, "http://engine/containers/json?all=1")
	if err != nil {
		return err
	}
	var all []struct {
		Names  []string
		Status string
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	for _, c := range all {
		if !strings.Contains(c.Status, "(healthy)") {
			return fmt.Errorf("%s is %s", strings.Join(c.Names, " "), c.Status)
		}
	}
	if len(all) != len(h.runs) {
		return fmt.Errorf("%d containers instead of %d", len(all), len(h.runs))
	}
	return nil
}

// Query asks Prometheus for one instant vector: value by the given label.
func (l *Lab) Query(ctx context.Context, promql, label string) (map[string]float64, error) {
	t, err := l.Tunnel(ctx, ops)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	return query(ctx, t, l.Prometheus+"/api/v1/query?query="+url.QueryEscape(promql), label)
}

// LogQuery asks Loki for one instant vector of a metric query: value by the given label.
func (l *Lab) LogQuery(ctx context.Context, logql, label string) (map[string]float64, error) {
	t, err := l.Tunnel(ctx, ops)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	return query(ctx, t, l.Loki+"/loki/api/v1/query?query="+url.QueryEscape(logql), label)
}

func query(ctx context.Context, t *Tunnel, at, label string) (map[string]float64, error) {
	b, err := httpGet(ctx, t.Client, at)
	if err != nil {
		return nil, err
	}
	var r struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", at, err)
	}
	out := map[string]float64{}
	for _, s := range r.Data.Result {
		text, _ := s.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("read the answer of %s: %w", at, err)
		}
		out[s.Metric[label]] += v
	}
	return out, nil
}

// figures says whether Prometheus has traffic and container metrics of every service on every host.
func (l *Lab) figures(ctx context.Context, t *Tunnel) error {
	for what, promql := range map[string]string{
		"traffic":           `label_join(sum by (host, service) (rate(http_requests_total[15s])) > 0, "at", "/", "host", "service")`,
		"container metrics": `label_join(sum by (host, container_label_com_docker_compose_service) (container_memory_working_set_bytes{name!=""}) > 0, "at", "/", "host", "container_label_com_docker_compose_service")`,
	} {
		got, err := query(ctx, t, l.Prometheus+"/api/v1/query?query="+url.QueryEscape(promql), "at")
		if err != nil {
			return err
		}
		if err := everywhere(got); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}

// logs says whether Loki has lines of every service on every host.
func (l *Lab) logs(ctx context.Context, t *Tunnel) error {
	for _, h := range hostPlans() {
		if h.compose == "" {
			continue
		}
		q := fmt.Sprintf(`sum by (compose_service) (count_over_time({host=%q}[1m]))`, h.name)
		got, err := query(ctx, t, l.Loki+"/loki/api/v1/query?query="+url.QueryEscape(q), "compose_service")
		if err != nil {
			return err
		}
		for _, s := range h.runs {
			if got[s] == 0 {
				return fmt.Errorf("no lines of %s on %s in the last minute", s, h.name)
			}
		}
	}
	return nil
}

func everywhere(got map[string]float64) error {
	for _, h := range hostPlans() {
		for _, s := range h.runs {
			if got[h.name+"/"+s] == 0 {
				return fmt.Errorf("none of %s on %s", s, h.name)
			}
		}
	}
	return nil
}
