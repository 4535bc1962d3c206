package prometheus

import (
	"sort"
	"strings"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

// query is one metric and how it is asked for.
type query struct {
	name    fleet.MetricName
	unit    fleet.Unit
	merge   sources.Merge
	text    string
	custom  bool // from the config
	scoped  bool // its text chooses the environment itself
	targets bool // 0 or 1 a target: the failing ones are named
}

// plan gives the queries of a config, in a fixed order: the metrics the join has
// opinions on, then the added ones by name.
func plan(cfg *Config, deps sources.Deps) []query {
	b := newBuilder(cfg, deps)
	list := []query{
		{name: fleet.MetricRPS, unit: fleet.UnitPerSecond, merge: sources.MergeSum, text: b.rps()},
		{name: fleet.MetricErrorRatio, unit: fleet.UnitRatio, merge: sources.MergeMax, text: b.errorRatio()},
		{name: fleet.MetricP95, unit: fleet.UnitSeconds, merge: sources.MergeMax, text: b.quantile("0.95")},
		{name: fleet.MetricP99, unit: fleet.UnitSeconds, merge: sources.MergeMax, text: b.quantile("0.99")},
		{name: fleet.MetricCPU, unit: fleet.UnitCores, merge: sources.MergeSum, text: b.cpu()},
		{name: fleet.MetricMemory, unit: fleet.UnitBytes, merge: sources.MergeSum, text: b.memory()},
		{name: fleet.MetricMemoryRatio, unit: fleet.UnitRatio, merge: sources.MergeMax, text: b.memoryRatio()},
		{name: fleet.MetricUp, unit: fleet.UnitBool, merge: sources.MergeMin, text: b.up(), targets: true},
		{name: fleet.MetricProbe, unit: fleet.UnitBool, merge: sources.MergeMin, text: b.probe(), targets: true},
	}
	known := map[string]bool{}
	var out []query
	for _, q := range list {
		known[string(q.name)] = true
		if own, ok := cfg.Queries[string(q.name)]; ok {
			q.text, q.custom, q.scoped = b.fill(own), true, scoped(own)
		}
		if strings.TrimSpace(q.text) != "" {
			out = append(out, q)
		}
	}
	var added []string
	for name, text := range cfg.Queries {
		if !known[name] && strings.TrimSpace(text) != "" {
			added = append(added, name)
		}
	}
	sort.Strings(added)
	for _, name := range added {
		unit, text := fleet.Unit(cfg.Units[name]), cfg.Queries[name]
		out = append(out, query{
			name: fleet.MetricName(name), unit: unit, merge: sources.MergeOf(unit),
			text: b.fill(text), custom: true, scoped: scoped(text),
		})
	}
	return out
}

// requests is one world's counter of requests with the labels that may hold the status.
type requests struct {
	counter   string
	histogram string
	status    []string
	traefik   bool
}

// worlds are the names of HTTP metrics, the most telling first: for a service that
// has several, the first one counts. Traefik is last: what the service says of itself goes before.
func worlds() []requests {
	return []requests{
		{ // Micrometer: Spring Boot, Quarkus, Ktor
			counter: "http_server_requests_seconds_count", histogram: "http_server_requests_seconds_bucket",
			status: []string{"status"},
		},
		{ // OpenTelemetry
			counter: "http_server_request_duration_seconds_count", histogram: "http_server_request_duration_seconds_bucket",
			status: []string{"http_response_status_code", "http_status_code"},
		},
		{ // the usual counter, FastAPI's too, whose fine histogram has no labels
			counter: "http_requests_total", histogram: "http_request_duration_highr_seconds_bucket",
			status: []string{"status", "code", "status_code"},
		},
		{ // express-prom-bundle and many hand-made ones
			counter: "http_request_duration_seconds_count", histogram: "http_request_duration_seconds_bucket",
			status: []string{"status_code", "status", "code"},
		},
		{
			counter: "traefik_service_requests_total", histogram: "traefik_service_request_duration_seconds_bucket",
			status: []string{"code"}, traefik: true,
		},
	}
}

func (b *builder) of(r requests) dialect {
	if r.traefik {
		return b.traefik()
	}
	return b.application()
}

func (b *builder) rps() string {
	var parts []string
	for _, r := range worlds() {
		d := b.of(r)
		parts = append(parts, d.group("sum", b.rate(r.counter, d.match)))
	}
	return strings.Join(parts, "\nor\n")
}

// errorRatio divides per service; no traffic is 0/0, so NaN, and a service without a
// status label has no ratio at all.
func (b *builder) errorRatio() string {
	var parts []string
	for _, r := range worlds() {
		d := b.of(r)
		all := d.group("sum", b.withStatus(r, d, `!=""`))
		bad := d.group("sum", b.withStatus(r, d, `=~"5.."`))
		parts = append(parts, "(("+bad+" or 0 * "+all+") / "+all+")")
	}
	return strings.Join(parts, "\nor\n")
}

func (b *builder) withStatus(r requests, d dialect, matcher string) string {
	parts := make([]string, len(r.status))
	for i, label := range r.status {
		parts[i] = b.rate(r.counter, append([]string{label + matcher}, d.match...))
	}
	return strings.Join(parts, " or ")
}

// quantile is below which so much of the requests stayed.
func (b *builder) quantile(q string) string {
	var parts []string
	for _, r := range worlds() {
		d := b.of(r)
		d.keep = []string{"le"}
		parts = append(parts, "histogram_quantile("+q+", "+d.group("sum", b.rate(r.histogram, d.match))+")")
	}
	return strings.Join(parts, "\nor\n")
}

// cpu takes cAdvisor's word for a container, else the process's own.
func (b *builder) cpu() string {
	c, a := b.container(), b.application()
	return orProcess(c.group("sum", b.rate("container_cpu_usage_seconds_total", c.match)),
		a.group("sum", b.rate("process_cpu_seconds_total", nil)))
}

func (b *builder) memory() string {
	c, a := b.container(), b.application()
	return orProcess(c.group("sum", b.last("container_memory_working_set_bytes", c.match)),
		a.group("sum", b.last("process_resident_memory_bytes", nil)))
}

// orProcess takes what processes say of themselves where no container is known by
// the service's name, and marks it.
func orProcess(container, process string) string {
	return container + "\nor on (" + labelEnvironment + "," + labelService + ")\n" +
		replace(process, labelOrigin, originProcess, "", "")
}

// memoryRatio is of the container nearest to its limit; cAdvisor says 0, or a number
// beyond any machine, where there is none.
func (b *builder) memoryRatio() string {
	c := b.container()
	used := b.last("container_memory_working_set_bytes", c.match)
	limit := b.last("container_spec_memory_limit_bytes", c.match)
	return c.group("max", used+" / ("+limit+" > 0 < 1e15)")
}

func (b *builder) up() string {
	a := b.application()
	a.keep = []string{"instance"}
	return a.group("min", b.selector("up", nil))
}

func (b *builder) probe() string {
	p := b.probed()
	return p.group("min", b.selector("probe_success", nil))
}

// scoped reports whether a query of the config asks for one environment by itself.
func scoped(text string) bool {
	return strings.Contains(text, "$env") || strings.Contains(text, "${env}")
}

// fill puts the environment and the window into a query of the config.
func (b *builder) fill(text string) string {
	env := sources.EscapeQuoted(b.environment)
	return strings.NewReplacer("${env}", env, "$env", env, "${window}", b.window, "$window", b.window).Replace(text)
}
