package real

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const cadvisorPort = 8088

// startOps starts the registry, Prometheus and Loki on the ops host. Loki is
// slow to be ready: it is only waited for at the end.
func (u *upper) startOps(ctx context.Context) error {
	for from, to := range map[string]string{tools()[1].file: "loki", "labd": "labd", "cadvisor": "cadvisor"} {
		if err := place(u.bin(from), u.run(to)); err != nil {
			return err
		}
	}
	dir := u.host(ops)
	for path, text := range map[string]string{
		"registry.yml":   registryYML(dir, u.state.RegistryAddr),
		"prometheus.yml": prometheusYML(u.state),
		"loki.yml":       strings.ReplaceAll(lokiYML, "$DIR", dir+"/loki"),
	} {
		if err := writeFile(filepath.Join(dir, path), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := u.startLoki(u.state); err != nil {
		return err
	}
	if err := u.startPrometheus(u.state); err != nil {
		return err
	}
	if err := u.startRegistry(u.state); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	return until(ctx, "the registry", 50*time.Millisecond, func(ctx context.Context) error {
		return httpOK(ctx, client, "http://"+u.state.RegistryAddr+"/v2/")
	})
}

func (p places) startRegistry(s State) error {
	h := s.Hosts[ops]
	_, err := p.start("registry", inside(h, "docker-registry", "serve", h.Dir+"/registry.yml"))
	return err
}

func (p places) startLoki(s State) error {
	h := s.Hosts[ops]
	_, err := p.start("loki", inside(h, p.run("loki"), "-config.file="+h.Dir+"/loki.yml"))
	return err
}

func (p places) startPrometheus(s State) error {
	h := s.Hosts[ops]
	_, err := p.start("prometheus", inside(h, "prometheus", "--config.file="+h.Dir+"/prometheus.yml",
		"--storage.tsdb.path="+h.Dir+"/prometheus", "--storage.tsdb.retention.time=12h",
		"--web.listen-address=127.0.0.1:9090", "--log.level=warn"))
	return err
}

func registryYML(dir, addr string) string {
	return `version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: ` + dir + `/registry}
  delete: {enabled: true}
http: {addr: "` + addr + `"}
`
}

// prometheusYML scrapes every service and every host's cAdvisor over the lab network.
func prometheusYML(s State) string {
	var b strings.Builder
	b.WriteString(`global: {scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 2s}
scrape_configs:
  - job_name: services
    static_configs:
`)
	for _, h := range hostPlans() {
		for _, name := range h.runs {
			fmt.Fprintf(&b, "      - {targets: [\"%s:%d\"], labels: {env: %s, host: %s, service: %s}}\n",
				s.Hosts[h.name].IP, s.Hosts[h.name].Ports[name], h.env, h.name, name)
		}
	}
	b.WriteString("  - job_name: cadvisor\n    static_configs:\n")
	for _, h := range hostPlans() {
		if h.compose != "" {
			fmt.Fprintf(&b, "      - {targets: [\"%s:%d\"], labels: {env: %s, host: %s}}\n", s.Hosts[h.name].IP, cadvisorPort, h.env, h.name)
		}
	}
	return b.String()
}

const lokiYML = `auth_enabled: false
server:
  http_listen_address: 127.0.0.1
  http_listen_port: 3100
  grpc_listen_address: 127.0.0.1
  grpc_listen_port: 9095
  log_level: warn
common:
  instance_addr: 127.0.0.1
  path_prefix: $DIR
  storage: {filesystem: {chunks_directory: $DIR/chunks, rules_directory: $DIR/rules}}
  replication_factor: 1
  ring: {kvstore: {store: inmemory}}
schema_config:
  configs:
    - {from: 2024-01-01, store: tsdb, object_store: filesystem, schema: v13, index: {prefix: index_, period: 24h}}
limits_config:
  allow_structured_metadata: true
  volume_enabled: true
  reject_old_samples: false
  ingestion_rate_mb: 16
  ingestion_burst_size_mb: 32
ruler: {storage: {type: local, local: {directory: $DIR/rules}}}
analytics: {reporting_enabled: false}
ingester: {lifecycler: {final_sleep: 0s, min_ready_duration: 0s}, wal: {dir: $DIR/wal}}
`

// startAround starts what surrounds the services: their users, the shipper of
// their logs, and each host's container metrics.
func (u *upper) startAround() error {
	type target struct {
		URL string  `json:"url"`
		RPS float64 `json:"rps"`
	}
	type source struct {
		Name   string `json:"name"`
		Env    string `json:"env"`
		Socket string `json:"socket"`
	}
	var targets []target
	var sources []source
	for _, h := range hostPlans() {
		st := u.state.Hosts[h.name]
		for _, name := range h.runs {
			s, err := serviceByName(name)
			if err != nil {
				return err
			}
			rps := s.rps / float64(len(hostsOf(h.env, name)))
			if h.env != "prod" {
				rps /= 2
			}
			targets = append(targets, target{fmt.Sprintf("http://%s:%d/", st.IP, s.port), rps})
		}
		if h.compose == "" {
			continue
		}
		sources = append(sources, source{h.name, h.env, st.DockerSocket})
		_, err := u.start(h.name+".cadvisor", inside(st, u.run("cadvisor"), "-docker_only", "-docker", "unix:///run/docker.sock",
			"-cgroup", "/"+prefix+h.name+"/", "-addr", fmt.Sprintf(":%d", cadvisorPort)))
		if err != nil {
			return err
		}
	}
	orders := map[string]any{
		"load": map[string]any{"targets": targets},
		"ship": map[string]any{"loki": u.state.Loki, "hosts": sources},
	}
	for _, what := range slices.Sorted(maps.Keys(orders)) {
		b, err := json.Marshal(orders[what])
		if err != nil {
			return fmt.Errorf("order %s: %w", what, err)
		}
		file := filepath.Join(u.host(ops), what+".json")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			return fmt.Errorf("order %s: %w", what, err)
		}
		if _, err := u.start(what, inside(u.state.Hosts[ops], u.run("labd"), what, file)); err != nil {
			return err
		}
	}
	return nil
}
