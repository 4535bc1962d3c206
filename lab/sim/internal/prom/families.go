package prom

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

// family makes the series of some metric names.
type family struct {
	names []string
	make  func(b *builder)
}

// builder collects the series of one select.
type builder struct {
	world    *world.World
	matchers []*labels.Matcher
	oldest   time.Time
	targets  []*target // made when a family first asks for them
	stamps   []int64
	out      []*series
}

// scraped gives the targets whose environment may match.
func (b *builder) scraped() []*target {
	if b.targets == nil {
		b.targets = targets(b.world, b.oldest, func(env string) bool {
			for _, m := range b.matchers {
				if m.Name == "env" && !m.Matches(env) {
					return false
				}
			}
			return true
		})
	}
	return b.targets
}

func (b *builder) wants(names []string) bool {
	for _, name := range names {
		if b.wantsName(name) {
			return true
		}
	}
	return false
}

func (b *builder) wantsName(name string) bool {
	for _, m := range b.matchers {
		if m.Name == labels.MetricName && !m.Matches(name) {
			return false
		}
	}
	return true
}

// add makes one series if it matches. pairs are label names and values.
func (b *builder) add(name string, value func(i int) (float64, bool), pairs ...string) {
	if !b.wantsName(name) {
		return
	}
	kv := append([]string{labels.MetricName, name}, pairs...)
	for i := 1; i < len(kv); i += 2 {
		if kv[i] == "" { // an empty label is no label
			kv = append(kv[:i-1], kv[i+1:]...)
			i -= 2
		}
	}
	ls := labels.FromStrings(kv...)
	for _, m := range b.matchers {
		if !m.Matches(ls.Get(m.Name)) {
			return
		}
	}
	b.out = append(b.out, &series{labels: ls, stamps: b.stamps, value: value})
}

// of gives a value from the target's counters, absent while it cannot be scraped.
func (b *builder) of(t *target, value func(s world.Sums) float64) func(i int) (float64, bool) {
	return func(i int) (float64, bool) {
		if t.cells == nil {
			t.read(b.stamps)
		}
		if c := t.cells[i]; c.ok {
			return value(c.sums), true
		}
		return 0, false
	}
}

func (t *target) labels(more ...string) []string {
	return append([]string{"env", t.env, "host", t.host, "service", t.service, "job", t.service, "instance", t.host + ":" + strconv.Itoa(t.port)}, more...)
}

func families() []family {
	return []family{
		{[]string{"http_server_requests_seconds_count", "http_server_requests_seconds_sum", "http_server_requests_seconds_bucket"}, spring},
		{[]string{"http_requests_total", "http_request_duration_highr_seconds_bucket", "http_request_duration_highr_seconds_count", "http_request_duration_highr_seconds_sum"}, fastapi},
		{[]string{"http_request_duration_seconds_bucket", "http_request_duration_seconds_count", "http_request_duration_seconds_sum"}, node},
		{[]string{"process_cpu_seconds_total", "process_resident_memory_bytes", "nodejs_eventloop_lag_p99_seconds"}, process},
		{[]string{
			"container_cpu_usage_seconds_total", "container_memory_working_set_bytes", "container_spec_memory_limit_bytes",
			"container_spec_cpu_quota", "container_spec_cpu_period", "container_start_time_seconds", "container_last_seen", "container_oom_events_total",
		}, cadvisor},
		{[]string{"up"}, up},
		{[]string{"probe_success", "probe_http_status_code", "probe_duration_seconds", "probe_ssl_earliest_cert_expiry"}, probes},
		{[]string{
			"node_load1", "node_memory_MemTotal_bytes", "node_memory_MemAvailable_bytes", "node_boot_time_seconds", "node_uname_info",
			"node_filesystem_size_bytes", "node_filesystem_avail_bytes", "node_cpu_seconds_total",
		}, nodes},
	}
}

func (b *builder) serving(langs ...world.Lang) []*target {
	var out []*target
	for _, t := range b.scraped() {
		for _, l := range langs {
			if t.lang == l {
				out = append(out, t)
			}
		}
	}
	return out
}

func errorsOf(s world.Sums) float64 { return s.Errors() }
func goodOf(s world.Sums) float64   { return s.Requests() - s.Errors() }

// spring has Micrometer's names.
func spring(b *builder) {
	const name = "http_server_requests_seconds"
	for _, t := range b.serving(world.Spring) {
		ok := t.labels("method", "GET", "uri", "/api/**", "status", "200", "outcome", "SUCCESS", "exception", "none", "error", "none")
		bad := t.labels("method", "GET", "uri", "/api/**", "status", "500", "outcome", "SERVER_ERROR", "exception", "SQLTransientConnectionException", "error", "SQLTransientConnectionException")
		b.add(name+"_count", b.of(t, goodOf), ok...)
		b.add(name+"_count", b.of(t, errorsOf), bad...)
		b.add(name+"_sum", b.of(t, world.Sums.Latency), ok...)
		b.buckets(t, name+"_bucket", ok, []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10})
	}
}

// fastapi has the names of the FastAPI instrumentator.
func fastapi(b *builder) {
	for _, t := range b.serving(world.FastAPI) {
		handler := []string{"handler", "/v1/completions", "method", "POST"}
		b.add("http_requests_total", b.of(t, goodOf), t.labels(append(handler, "status", "2xx")...)...)
		b.add("http_requests_total", b.of(t, errorsOf), t.labels(append(handler, "status", "5xx")...)...)
		b.add("http_request_duration_highr_seconds_count", b.of(t, world.Sums.Requests), t.labels()...)
		b.add("http_request_duration_highr_seconds_sum", b.of(t, world.Sums.Latency), t.labels()...)
		b.buckets(t, "http_request_duration_highr_seconds_bucket", t.labels(),
			[]float64{0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 7.5, 10, 30, 60})
	}
}

// node has the names of express-prom-bundle; FastAPI's coarse histogram has the same name.
func node(b *builder) {
	const name = "http_request_duration_seconds"
	for _, t := range b.serving(world.Node) {
		ok, bad := t.labels("method", "POST", "status_code", "202"), t.labels("method", "POST", "status_code", "500")
		b.add(name+"_count", b.of(t, goodOf), ok...)
		b.add(name+"_count", b.of(t, errorsOf), bad...)
		b.add(name+"_sum", b.of(t, world.Sums.Latency), ok...)
		b.buckets(t, name+"_bucket", ok, []float64{0.003, 0.01, 0.025, 0.05, 0.1, 0.3, 0.5, 1, 1.5, 5, 10})
	}
	for _, t := range b.serving(world.FastAPI) {
		ls := t.labels("method", "POST", "handler", "/v1/completions")
		b.add(name+"_count", b.of(t, world.Sums.Requests), ls...)
		b.add(name+"_sum", b.of(t, world.Sums.Latency), ls...)
		b.buckets(t, name+"_bucket", ls, []float64{0.1, 0.5, 1})
	}
}

func (b *builder) buckets(t *target, name string, ls []string, bounds []float64) {
	for _, le := range append(bounds, math.Inf(1)) {
		text := strconv.FormatFloat(le, 'g', -1, 64)
		b.add(name, b.of(t, func(s world.Sums) float64 {
			if math.IsInf(le, 1) {
				return s.Requests()
			}
			return s.Under(le)
		}), append(append([]string{}, ls...), "le", text)...)
	}
}

func process(b *builder) {
	for _, t := range b.serving(world.Node, world.FastAPI, world.Spring) {
		b.add("process_cpu_seconds_total", b.of(t, world.Sums.CPU), t.labels()...)
		b.add("process_resident_memory_bytes", b.of(t, world.Sums.Memory), t.labels()...)
		if t.lang == world.Node {
			b.add("nodejs_eventloop_lag_p99_seconds", b.of(t, func(s world.Sums) float64 { return 0.011 + 0.002*math.Sin(s.Elapsed.Seconds()/31) }), t.labels()...)
		}
	}
}

// cadvisor has a series for every container: one that is replaced ends, another begins.
func cadvisor(b *builder) {
	for _, t := range b.scraped() {
		for _, c := range t.containers {
			one := &target{containers: []*world.Container{c}, down: t.down}
			ls := []string{
				"env", t.env, "host", t.host, "job", "cadvisor", "instance", t.host + ":8080",
				"id", "/system.slice/docker-" + c.ID + ".scope", "name", c.Spec.Name, "image", c.Image.Ref(),
				"container_label_com_docker_compose_project", c.Spec.Project, "container_label_com_docker_compose_service", c.Spec.Service,
				"container_label_com_docker_compose_container_number", "1",
			}
			fixed := func(v float64) func(int) (float64, bool) {
				return b.of(one, func(world.Sums) float64 { return v })
			}
			b.add("container_cpu_usage_seconds_total", b.of(one, world.Sums.CPU), append([]string{"cpu", "total"}, ls...)...)
			b.add("container_memory_working_set_bytes", b.of(one, world.Sums.Memory), ls...)
			b.add("container_spec_memory_limit_bytes", fixed(float64(c.Spec.Memory)), ls...)
			b.add("container_spec_cpu_quota", fixed(c.Spec.CPU*100000), ls...)
			b.add("container_spec_cpu_period", fixed(100000), ls...)
			b.add("container_oom_events_total", fixed(0), ls...)
			b.add("container_last_seen", func(i int) (float64, bool) {
				_, ok := fixed(0)(i)
				return float64(b.stamps[i] / 1000), ok
			}, ls...)
			b.add("container_start_time_seconds", func(i int) (float64, bool) {
				r, ok := c.RunAt(time.UnixMilli(b.stamps[i]))
				return float64(r.Start.Unix()), ok
			}, ls...)
		}
	}
}

// up says of every target whether it could be scraped.
func up(b *builder) {
	for _, t := range b.serving(world.Spring, world.Node, world.FastAPI, world.Traefik) {
		alive := b.of(t, func(world.Sums) float64 { return 1 })
		b.add("up", func(i int) (float64, bool) { v, _ := alive(i); return v, true }, t.labels()...)
	}
	for _, h := range b.world.Hosts() {
		for job, port := range map[string]string{"node": "9100", "cadvisor": "8080"} {
			b.add("up", func(i int) (float64, bool) { return b.reachable(h, i), true },
				"env", h.Environment, "host", h.Name, "job", job, "instance", h.Name+":"+port)
		}
	}
}

func (b *builder) reachable(h world.Host, i int) float64 {
	if !h.Down.IsZero() && b.stamps[i] >= h.Down.UnixMilli() {
		return 0
	}
	return 1
}

// probes are the blackbox exporter's, one for each service of an environment.
func probes(b *builder) {
	type probed struct {
		env, service string
		targets      []*target
	}
	var list []*probed
	byKey := map[string]*probed{}
	for _, t := range b.serving(world.Spring, world.Node, world.FastAPI) {
		if t.env == "scale" {
			continue
		}
		p, ok := byKey[t.env+"/"+t.service]
		if !ok {
			p = &probed{env: t.env, service: t.service}
			byKey[t.env+"/"+t.service] = p
			list = append(list, p)
		}
		p.targets = append(p.targets, t)
	}
	for _, p := range list {
		alive := func(i int) bool {
			for _, t := range p.targets {
				if _, ok := b.of(t, world.Sums.Requests)(i); ok {
					return true
				}
			}
			return false
		}
		either := func(yes, no float64) func(int) (float64, bool) {
			return func(i int) (float64, bool) {
				if alive(i) {
					return yes, true
				}
				return no, true
			}
		}
		ls := []string{"env", p.env, "service", p.service, "job", "blackbox", "instance", fmt.Sprintf("https://%s.%s.nexgate.internal/health", p.service, p.env)}
		b.add("probe_success", either(1, 0), ls...)
		b.add("probe_http_status_code", either(200, 502), ls...)
		b.add("probe_duration_seconds", either(0.041, 0.012), ls...)
		b.add("probe_ssl_earliest_cert_expiry", either(certExpiry, certExpiry), ls...)
	}
}

// certExpiry is the end of the estate's certificate.
const certExpiry = 1798761600 // 2027-01-01

// nodes are node_exporter's.
func nodes(b *builder) {
	for _, h := range b.world.Hosts() {
		ls := []string{"env", h.Environment, "host", h.Name, "job", "node", "instance", h.Name + ":9100"}
		root := append([]string{"device", "/dev/sda1", "mountpoint", "/", "fstype", "ext4"}, ls...)
		when := func(v func(at float64) float64) func(int) (float64, bool) {
			return func(i int) (float64, bool) {
				return v(float64(b.stamps[i]) / 1000), b.reachable(h, i) == 1
			}
		}
		fixed := func(v float64) func(int) (float64, bool) { return when(func(float64) float64 { return v }) }
		mem, cpus := float64(h.Memory), float64(h.CPUs)
		wave := func(at, period float64) float64 { return math.Sin(at / period) }
		b.add("node_load1", when(func(at float64) float64 { return cpus * (0.22 + 0.05*wave(at, 97) + 0.03*wave(at, 911)) }), ls...)
		b.add("node_memory_MemTotal_bytes", fixed(mem), ls...)
		b.add("node_memory_MemAvailable_bytes", when(func(at float64) float64 { return mem * (0.48 + 0.01*wave(at, 401)) }), ls...)
		b.add("node_boot_time_seconds", fixed(float64(h.Booted.Unix())), ls...)
		b.add("node_uname_info", fixed(1), append([]string{"nodename", h.Name, "release", "6.8.0-48-generic", "sysname", "Linux", "machine", "x86_64"}, ls...)...)
		b.add("node_filesystem_size_bytes", fixed(240<<30), root...)
		b.add("node_filesystem_avail_bytes", when(func(at float64) float64 { return float64(240<<30) * (0.41 - 0.002*wave(at, 7000)) }), root...)
		for mode, share := range map[string]float64{"idle": 0.76, "user": 0.17, "system": 0.05, "iowait": 0.02} {
			for cpu := range h.CPUs {
				b.add("node_cpu_seconds_total", when(func(at float64) float64 { return (at - float64(h.Booted.Unix())) * share }),
					append([]string{"cpu", strconv.Itoa(cpu), "mode", mode}, ls...)...)
			}
		}
	}
}
