// Package nexgate describes the nexgate estate: its hosts, its services with the
// figures they have on a good day, and the releases they went through.
package nexgate

import (
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

// Service is one service of the estate.
type Service struct {
	Name    string
	Repo    string
	Tag     string // of base services, fixed in their file; "" when services/<name>/tag.env has it
	Base    bool   // part of the base layer: base/<name>.yml
	Of      string // the service whose file it is in, when it is a companion
	Command []string
	Env     []string
	Ports   []world.Port
	CPU     float64
	Memory  int64
	Check   bool
	Profile world.Profile
}

// TagKey is the variable of its tag.env: "AI_TAG".
func (s Service) TagKey() string {
	return strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_")) + "_TAG"
}

const ghcr = "ghcr.io/nexgate-hq/"

// Services gives the services of staging and prod.
func Services() []Service { return append(apps(), base()...) }

func apps() []Service {
	return []Service{
		{
			Name: "nexgate-backend", Repo: ghcr + "nexgate-backend", Command: []string{"java", "-jar", "/app/app.jar"},
			Env:   []string{"SPRING_PROFILES_ACTIVE=prod", "VAULT_ROLE=nexgate_backend", "DB_PASSWORD=8h2-not-for-screens-k1"},
			Ports: []world.Port{{Private: 8080}}, CPU: 2, Memory: 4 * gib, Check: true,
			Profile: world.Profile{Lang: world.Spring, RPS: 140, Errors: 0.001, P50: 42 * time.Millisecond, P95: 120 * time.Millisecond, CPU: 1.1, Memory: 1640 * mib, Lines: 1.2, ErrorLines: 0.02, Boot: 6 * time.Second},
		},
		{
			Name: "notification-server", Repo: ghcr + "notification-server", Command: []string{"node", "dist/main.js"},
			Ports: []world.Port{{Private: 3000}}, CPU: 0.5, Memory: 512 * mib, Check: true,
			Profile: world.Profile{Lang: world.Node, RPS: 4, Errors: 0.0004, P50: 14 * time.Millisecond, P95: 40 * time.Millisecond, CPU: 0.03, Memory: 310 * mib, Lines: 0.4, ErrorLines: 0.004, Boot: 2 * time.Second},
		},
		{
			Name: "file-thunder", Repo: ghcr + "file-thunder", Command: []string{"java", "-jar", "/app/app.jar"},
			Env:   []string{"SPRING_PROFILES_ACTIVE=prod", "VAULT_ROLE=file_thunder", "SPRING_DATASOURCE_PASSWORD=1zz-not-for-screens-q7"},
			Ports: []world.Port{{Private: 8081}}, CPU: 2, Memory: 2 * gib, Check: true,
			Profile: world.Profile{Lang: world.Spring, RPS: 9, Errors: 0.0006, P50: 85 * time.Millisecond, P95: 310 * time.Millisecond, CPU: 0.35, Memory: 940 * mib, Lines: 0.5, ErrorLines: 0.006, Boot: 5 * time.Second},
		},
		{
			Name: "file-thunder-postgres", Of: "file-thunder", Repo: "postgres", Tag: "16.4-alpine", Command: []string{"docker-entrypoint.sh", "postgres", "-p", "5433"},
			Env: []string{"POSTGRES_USER=file_thunder", "POSTGRES_PASSWORD=77a-not-for-screens-z3"}, Ports: []world.Port{{Private: 5433}}, CPU: 1, Memory: gib, Check: true,
			Profile: world.Profile{Lang: world.Postgres, CPU: 0.06, Memory: 210 * mib, Lines: 0.02, Boot: 2 * time.Second},
		},
		{
			Name: "file-thunder-clamav", Of: "file-thunder", Repo: "clamav/clamav", Tag: "1.4.1", Command: []string{"/init"},
			Ports: []world.Port{{Private: 3310}}, CPU: 1, Memory: 2 * gib, Check: true,
			Profile: world.Profile{Lang: world.Plain, CPU: 0.04, Memory: 1380 * mib, Lines: 0.03, Boot: 8 * time.Second},
		},
		{
			Name: "ai", Repo: ghcr + "ai-service", Command: []string{"uvicorn", "ai.main:app", "--host", "0.0.0.0", "--port", "8000"},
			Env: []string{"VAULT_ROLE=ai_prod", "MODEL_API_KEY=sk-not-for-screens-55"}, Ports: []world.Port{{Private: 8000}}, CPU: 4, Memory: 2 * gib, Check: true,
			Profile: world.Profile{Lang: world.FastAPI, RPS: 12, Errors: 0.001, P50: 340 * time.Millisecond, P95: 820 * time.Millisecond, CPU: 0.62, Memory: 1010 * mib, Lines: 0.6, ErrorLines: 0.006, Boot: 3 * time.Second},
		},
	}
}

func base() []Service {
	return []Service{
		{
			Name: "traefik", Base: true, Repo: "traefik", Tag: "v3.1.2", Command: []string{"/entrypoint.sh", "traefik"},
			Ports: []world.Port{{Private: 80, Public: 80}, {Private: 443, Public: 443}}, CPU: 1, Memory: 512 * mib, Check: true,
			Profile: world.Profile{Lang: world.Traefik, CPU: 0.12, Memory: 96 * mib, Lines: 0.8, ErrorLines: 0.004, Boot: time.Second},
		},
		{
			Name: "vault-agent", Base: true, Repo: "hashicorp/vault", Tag: "1.17.6", Command: []string{"vault", "agent", "-config=/etc/vault/agent.hcl"},
			CPU: 0.25, Memory: 128 * mib, Profile: world.Profile{Lang: world.Plain, CPU: 0.004, Memory: 61 * mib, Lines: 0.02, Boot: time.Second},
		},
		{
			Name: "postgres", Base: true, Repo: "postgres", Tag: "16.4-alpine", Command: []string{"docker-entrypoint.sh", "postgres"},
			Env: []string{"POSTGRES_USER=nexgate", "POSTGRES_PASSWORD=b0b-not-for-screens-m4"}, Ports: []world.Port{{Private: 5432}}, CPU: 2, Memory: 4 * gib, Check: true,
			Profile: world.Profile{Lang: world.Postgres, CPU: 0.4, Memory: 1900 * mib, Lines: 0.05, ErrorLines: 0.001, Boot: 2 * time.Second},
		},
		{
			Name: "redis", Base: true, Repo: "redis", Tag: "7.4.1-alpine", Command: []string{"redis-server", "--appendonly", "yes"},
			Ports: []world.Port{{Private: 6379}}, CPU: 1, Memory: 512 * mib, Check: true,
			Profile: world.Profile{Lang: world.Redis, CPU: 0.05, Memory: 140 * mib, Lines: 0.01, Boot: time.Second},
		},
		{
			Name: "rabbitmq", Base: true, Repo: "rabbitmq", Tag: "3.13.7-management", Command: []string{"docker-entrypoint.sh", "rabbitmq-server"},
			Ports: []world.Port{{Private: 5672}, {Private: 15672}}, CPU: 1, Memory: gib, Check: true,
			Profile: world.Profile{Lang: world.Plain, CPU: 0.09, Memory: 260 * mib, Lines: 0.03, Boot: 4 * time.Second},
		},
		{
			Name: "minio", Base: true, Repo: "minio/minio", Tag: "RELEASE.2026-03-12T18-04-02Z", Command: []string{"minio", "server", "/data"},
			Ports: []world.Port{{Private: 9000}, {Private: 9001}}, CPU: 1, Memory: gib, Check: true,
			Profile: world.Profile{Lang: world.Plain, CPU: 0.05, Memory: 330 * mib, Lines: 0.02, Boot: time.Second},
		},
	}
}

// Watchers gives what runs on the ops host.
func Watchers() []Service {
	one := func(name, repo, tag string, port int, memory int64) Service {
		return Service{
			Name: name, Base: true, Repo: repo, Tag: tag, Command: []string{"/bin/" + name}, Ports: []world.Port{{Private: port}}, CPU: 1, Memory: 2 * memory,
			Profile: world.Profile{Lang: world.Plain, CPU: 0.05, Memory: memory, Lines: 0.02, Boot: time.Second},
		}
	}
	return []Service{
		one("prometheus", "prom/prometheus", "v2.54.1", 9090, 420*mib), one("loki", "grafana/loki", "3.2.0", 3100, 510*mib),
		one("grafana", "grafana/grafana", "11.2.2", 3000, 190*mib), one("alertmanager", "prom/alertmanager", "v0.27.0", 9093, 40*mib),
		one("blackbox", "prom/blackbox-exporter", "v0.25.0", 9115, 24*mib),
	}
}
