package prometheus

import (
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

// worlds as their exporters write them, 15 s apart over two hours.
const (
	springWorld = `
	http_server_requests_seconds_count{env="prod",application="backend",job="spring",instance="a:1",uri="/x",status="200"} 0+93x480
	http_server_requests_seconds_count{env="prod",application="backend",job="spring",instance="b:1",uri="/x",status="200"} 0+46.5x480
	http_server_requests_seconds_count{env="prod",application="backend",job="spring",instance="a:1",uri="/x",status="500"} 0+10.5x480
	http_server_requests_seconds_bucket{env="prod",application="backend",job="spring",instance="a:1",le="0.1"} 0+80x480
	http_server_requests_seconds_bucket{env="prod",application="backend",job="spring",instance="a:1",le="0.5"} 0+100x480
	http_server_requests_seconds_bucket{env="prod",application="backend",job="spring",instance="a:1",le="+Inf"} 0+100x480`
	counterWorld = `
	http_requests_total{env="prod",service="ai",job="x",instance="a:1",code="200",handler="/a"} 0+139.5x480
	http_requests_total{env="prod",service="ai",job="x",instance="a:1",code="503",handler="/a"} 0+10.5x480
	http_requests_total{env="prod",service="idle",job="x",instance="a:2",status="200"} 7+0x480
	http_requests_total{env="prod",service="clean",job="x",instance="a:3",status="2xx"} 0+15x480
	http_requests_total{env="prod",service="fast",job="x",instance="a:4",status="2xx"} 0+15x480
	http_requests_total{env="prod",service="fast",job="x",instance="a:4",status="5xx"} 0+15x480
	http_requests_total{env="prod",service="mute",job="x",instance="a:5"} 0+30x480`
	expressWorld = `
	http_request_duration_seconds_count{env="prod",compose_service="notification",job="n",status_code="200",method="GET"} 0+15x480
	http_request_duration_seconds_count{env="prod",compose_service="notification",job="n",status_code="500",method="GET"} 0+15x480`
	doubleWorld = `
	http_requests_total{env="prod",service="web",job="x",status="200"} 0+150x480
	http_request_duration_seconds_count{env="prod",service="web",job="x",status_code="200"} 0+150x480
	traefik_service_requests_total{env="prod",exported_service="web@docker",service="traefik",job="traefik",code="200"} 0+300x480
	traefik_service_requests_total{env="prod",exported_service="shop@docker",service="traefik",job="traefik",code="200"} 0+27x480
	traefik_service_requests_total{env="prod",exported_service="shop@docker",service="traefik",job="traefik",code="502"} 0+3x480
	traefik_service_requests_total{env="prod",exported_service="api@internal",service="traefik",job="traefik",code="200"} 0+300x480
	traefik_service_requests_total{env="prod",service="blog@file",job="traefik",code="200"} 0+15x480`
	environmentWorld = `
	http_requests_total{env="staging",service="ai",job="x",status="200"} 0+1500x480
	http_requests_total{env="prod",service="ai",job="x",status="200"} 0+15x480
	http_requests_total{environment="prod",service="second",job="x",status="200"} 0+15x480
	http_requests_total{environment="staging",service="second",job="x",status="200"} 0+1500x480
	http_requests_total{host="prod-1",service="byhost",job="x",status="200"} 0+15x480
	http_requests_total{nodename="prod-2",service="byhost",job="x",status="200"} 0+15x480
	http_requests_total{host="stage-1",service="byhost",job="x",status="200"} 0+1500x480
	http_requests_total{host="elsewhere",service="lost",job="x",status="200"} 0+1500x480
	http_requests_total{service="lost",job="x",status="200"} 0+1500x480`
	containerWorld = `
	container_cpu_usage_seconds_total{env="prod",name="shop-ai-1",id="/docker/1",job="cadvisor",container_label_com_docker_compose_service="ai"} 0+15x480
	container_cpu_usage_seconds_total{env="prod",name="shop-ai-2",id="/docker/2",job="cadvisor",container_label_com_docker_compose_service="ai"} 0+7.5x480
	container_cpu_usage_seconds_total{env="prod",name="vpn-api",host="prod-1",id="/docker/3",job="cadvisor"} 0+3x480
	container_cpu_usage_seconds_total{env="prod",id="/",job="cadvisor"} 0+150x480
	process_cpu_seconds_total{env="prod",service="ai",job="x"} 0+150x480
	process_cpu_seconds_total{env="prod",service="unit",job="x"} 0+3x480
	container_memory_working_set_bytes{env="prod",name="shop-ai-1",id="/docker/1",job="cadvisor",container_label_com_docker_compose_service="ai"} 900+0x480
	container_memory_working_set_bytes{env="prod",name="shop-ai-2",id="/docker/2",job="cadvisor",container_label_com_docker_compose_service="ai"} 100+0x480
	container_memory_working_set_bytes{env="prod",name="shop-ai-0",id="/docker/0",job="cadvisor",container_label_com_docker_compose_service="ai"} 500+0x472
	container_spec_memory_limit_bytes{env="prod",name="shop-ai-1",id="/docker/1",job="cadvisor",container_label_com_docker_compose_service="ai"} 1000+0x480
	container_spec_memory_limit_bytes{env="prod",name="shop-ai-2",id="/docker/2",job="cadvisor",container_label_com_docker_compose_service="ai"} 1000+0x480
	container_memory_working_set_bytes{env="prod",name="free",id="/docker/4",job="cadvisor",container_label_com_docker_compose_service="free"} 100+0x480
	container_spec_memory_limit_bytes{env="prod",name="free",id="/docker/4",job="cadvisor",container_label_com_docker_compose_service="free"} 0+0x480
	container_memory_working_set_bytes{env="prod",name="vast",id="/docker/5",job="cadvisor",container_label_com_docker_compose_service="vast"} 100+0x480
	container_spec_memory_limit_bytes{env="prod",name="vast",id="/docker/5",job="cadvisor",container_label_com_docker_compose_service="vast"} 9223372036854771712+0x480`
	targetWorld = `
	up{env="prod",service="ai",job="x",instance="a:1"} 1+0x480
	up{env="prod",service="ai",job="x",instance="a:2"} 1+0x470 0+0x10
	up{env="prod",service="web",job="x",instance="w:1"} 1+0x480
	probe_success{env="prod",job="blackbox",instance="http://ai:8080/health"} 1+0x470 0+0x10
	probe_success{env="prod",job="blackbox",instance="https://web.example.com/"} 1+0x480
	probe_success{env="prod",job="blackbox",instance="http://10.0.0.7:80/"} 0+0x480
	probe_success{env="prod",job="blackbox",service="shop",instance="https://www.example.com/"} 1+0x480`
)

func TestDefaultQueries(t *testing.T) {
	const rps, ratio, p95 = fleet.MetricRPS, fleet.MetricErrorRatio, fleet.MetricP95
	const cpu, memory, memoryRatio = fleet.MetricCPU, fleet.MetricMemory, fleet.MetricMemoryRatio
	tests := map[string]struct {
		load string
		want []number
	}{
		"spring": {springWorld, []number{
			{metric: rps, service: "backend", value: 10}, {metric: ratio, service: "backend", value: 0.07},
			{metric: p95, service: "backend", value: 0.4}, {metric: fleet.MetricP99, service: "backend", value: 0.48},
		}},
		"counters": {counterWorld, []number{
			{metric: rps, service: "ai", value: 10}, {metric: ratio, service: "ai", value: 0.07},
			{metric: rps, service: "idle", value: 0}, {metric: ratio, service: "idle", idle: true},
			{metric: rps, service: "clean", value: 1}, {metric: ratio, service: "clean", value: 0},
			{metric: ratio, service: "fast", value: 0.5},
			{metric: rps, service: "mute", value: 2}, {metric: ratio, service: "mute", none: true},
			{metric: p95, service: "ai", none: true}, {metric: rps, service: "absent", none: true},
		}},
		"express": {expressWorld, []number{
			{metric: rps, service: "notification", value: 2}, {metric: ratio, service: "notification", value: 0.5},
		}},
		"two worlds of one service": {doubleWorld, []number{
			{metric: rps, service: "web", value: 10}, {metric: rps, service: "shop", value: 2},
			{metric: ratio, service: "shop", value: 0.1}, {metric: ratio, service: "web", value: 0},
			{metric: rps, service: "blog", value: 1}, {metric: rps, service: "api", none: true},
			{metric: rps, service: "traefik", none: true},
		}},
		"environments": {environmentWorld, []number{
			{metric: rps, service: "ai", value: 1}, {metric: rps, service: "second", value: 1},
			{metric: rps, service: "byhost", value: 2}, {metric: rps, service: "lost", none: true},
		}},
		"containers": {containerWorld, []number{
			{metric: cpu, service: "ai", value: 1.5}, {metric: cpu, service: "unit", value: 0.2},
			{metric: cpu, service: "cadvisor", none: true},
			{metric: memory, service: "ai", value: 1000}, {metric: memoryRatio, service: "ai", value: 0.9},
			{metric: memory, service: "free", value: 100}, {metric: memoryRatio, service: "free", none: true},
			{metric: memoryRatio, service: "vast", none: true},
		}},
		"targets": {targetWorld, []number{
			{metric: fleet.MetricUp, service: "ai", value: 0}, {metric: fleet.MetricUp, service: "web", value: 1},
			{metric: fleet.MetricProbe, service: "ai", value: 0}, {metric: fleet.MetricProbe, service: "web", value: 1},
			{metric: fleet.MetricProbe, service: "shop", value: 1}, {metric: fleet.MetricProbe, service: "www", none: true},
			{metric: fleet.MetricProbe, service: "blackbox", none: true}, {metric: fleet.MetricProbe, service: "10", none: true},
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			server := engineServer(t, "load 15s"+tt.load)
			facts := observe(t, newSource(t, server.URL, testDeps(), nil))
			for _, n := range tt.want {
				n.check(t, facts)
			}
			for _, f := range facts.Metrics {
				if f.Subject.Environment != "prod" {
					t.Errorf("%s of another environment: %+v", f.Name, f.Subject)
				}
			}
		})
	}
}

// A container without Compose labels is known by its name and host, so that the join can find it.
func TestContainerWithoutLabels(t *testing.T) {
	server := engineServer(t, "load 15s"+containerWorld)
	facts := observe(t, newSource(t, server.URL, testDeps(), nil))
	want := fleet.Subject{Environment: "prod", Host: "prod-1", Container: "vpn-api"}
	for _, f := range facts.Metrics {
		if f.Name == fleet.MetricCPU && f.Subject == want {
			return
		}
	}
	t.Errorf("no cpu of %+v in %+v", want, facts.Metrics)
}

// Without Compose's labels a process and its container cannot be told to be the same: only one is counted.
func TestProcessIsNotCountedTwice(t *testing.T) {
	server := engineServer(t, `load 15s
	container_cpu_usage_seconds_total{env="prod",name="vpn-api",job="cadvisor"} 0+3x480
	process_cpu_seconds_total{env="prod",service="api",job="x"} 0+3x480`)
	facts := observe(t, newSource(t, server.URL, testDeps(), nil))
	number{metric: fleet.MetricCPU, service: "api", none: true}.check(t, facts)
	if len(facts.Metrics) != 1 || facts.Metrics[0].Subject.Container != "vpn-api" {
		t.Errorf("got %+v", facts.Metrics)
	}
}

func TestFailingTargetsAreNamed(t *testing.T) {
	server := engineServer(t, "load 15s"+targetWorld)
	facts := observe(t, newSource(t, server.URL, testDeps(), nil))
	for metric, want := range map[fleet.MetricName]string{fleet.MetricUp: "a:2", fleet.MetricProbe: "http://ai:8080/health"} {
		f, _ := find(facts, metric, "ai")
		if f.Detail != want {
			t.Errorf("%s: detail %q, want %q", metric, f.Detail, want)
		}
	}
	if f, _ := find(facts, fleet.MetricUp, "web"); f.Detail != "" {
		t.Errorf("a target that is up is named: %q", f.Detail)
	}
}

// With one environment, what says no environment is of it.
func TestOneEnvironment(t *testing.T) {
	server := engineServer(t, "load 15s"+environmentWorld)
	deps := testDeps()
	deps.Environments = []string{"prod"}
	facts := observe(t, newSource(t, server.URL, deps, nil))
	number{metric: fleet.MetricRPS, service: "ai", value: 1}.check(t, facts)
	number{metric: fleet.MetricRPS, service: "lost", value: 200}.check(t, facts)
}

func TestOverriddenQueries(t *testing.T) {
	server := engineServer(t, "load 15s"+counterWorld+environmentWorld)
	facts := observe(t, newSource(t, server.URL, testDeps(), func(c *Config) {
		c.Queries = map[string]string{
			"rps":   `sum by (service) (rate(http_requests_total{env="$env"}[${window}]))`,
			"codes": `sum by (service, code) (rate(http_requests_total{env='$env'}[$window]))`,
			"all":   `sum(rate(http_requests_total[$window]))`,
			"p95":   "",
		}
		c.Units = map[string]string{"codes": "per_second"}
	}))
	number{metric: fleet.MetricRPS, service: "clean", value: 1}.check(t, facts)
	number{metric: "codes", service: "fast", value: 2}.check(t, facts)
	f, _ := find(facts, "codes", "fast")
	if f.Unit != fleet.UnitPerSecond {
		t.Errorf("unit %q", f.Unit)
	}
	if len(facts.Warnings) != 1 || !strings.Contains(facts.Warnings[0], "all: 1 of 1 series name no service") {
		t.Errorf("warnings: %q", facts.Warnings)
	}
}

func TestQueriesParse(t *testing.T) {
	odd := testDeps()
	odd.Environment, odd.Hosts = `we$1rd"\}.*`, []string{`h"1`, "a.b"}
	bare := func(c *Config) {
		c.Labels = sources.Labels{Service: []string{"service"}}
		c.Queries = map[string]string{"rps": `sum(rate(x{env="$env",b='$env'}[$window]))`}
	}
	for name, edit := range map[string]func(*Config){"default": func(*Config) {}, "bare": bare} {
		for _, deps := range []sources.Deps{testDeps(), odd} {
			cfg := NewConfig()
			edit(cfg)
			for _, q := range plan(cfg, deps) {
				if _, err := parser.ParseExpr(q.text); err != nil {
					t.Errorf("%s: %s in %q: %v\n%s", name, q.name, deps.Environment, err, q.text)
				}
			}
		}
	}
}

func FuzzFill(f *testing.F) {
	f.Add("prod")
	f.Add("a\"b'c`d\\e\n{}")
	f.Fuzz(func(t *testing.T, env string) {
		b := &builder{environment: env, window: "1m"}
		for _, text := range []string{`x{env="$env"}`, `x{env='${env}'}`} {
			expr, err := parser.ParseExpr(b.fill(text))
			if err != nil {
				t.Fatalf("%q: %v", b.fill(text), err)
			}
			if v, ok := expr.(*parser.VectorSelector); !ok || v.Name != "x" || len(v.LabelMatchers) != 2 {
				t.Fatalf("%q changes the query: %s", env, expr)
			}
		}
	})
}
