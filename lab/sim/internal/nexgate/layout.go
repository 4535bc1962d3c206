package nexgate

import (
	"time"

	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

// Checkout is where every host has its checkout of the infra repo.
const Checkout = "/opt/nexgate-infra"

// Host is one machine of the estate with what runs on it.
type Host struct {
	world.Host
	Project  string
	Stack    string // its Compose file within the infra repo
	Branch   string // of the infra repo it is checked out on
	Services []string
}

// Hosts gives the machines. now is when the estate starts.
func Hosts(now time.Time) []Host {
	new28 := world.Engine{Version: "28.5.1", APIVersion: "1.51", MinVersion: "1.24", GoVersion: "go1.24.8", GitCommit: "f8215cc"}
	old20 := world.Engine{Version: "20.10.24", APIVersion: "1.41", MinVersion: "1.12", GoVersion: "go1.19.8", GitCommit: "5d6db84"}
	up := func(days int) time.Time { return now.AddDate(0, 0, -days) }
	var every []string
	for _, s := range Services() {
		every = append(every, s.Name)
	}
	var watchers []string
	for _, s := range Watchers() {
		watchers = append(watchers, s.Name)
	}
	return []Host{
		{
			Host:    world.Host{Name: "staging", Environment: "staging", Engine: new28, CPUs: 4, Memory: 16 * gib, Booted: up(41)},
			Project: "nexgate-staging", Stack: "staging/stack.yml", Branch: "staging", Services: every,
		},
		{
			Host:    world.Host{Name: "prod-1", Environment: "prod", Engine: old20, CPUs: 8, Memory: 32 * gib, Booted: up(97)},
			Project: "nexgate-prod", Stack: "prod/prod-1.yml", Branch: "master",
			Services: []string{"traefik", "vault-agent", "postgres", "redis", "rabbitmq", "minio", "nexgate-backend", "ai"},
		},
		{
			Host:    world.Host{Name: "prod-2", Environment: "prod", Engine: old20, CPUs: 8, Memory: 32 * gib, Booted: up(62)},
			Project: "nexgate-prod", Stack: "prod/prod-2.yml", Branch: "master",
			Services: []string{"traefik", "vault-agent", "nexgate-backend", "notification-server", "file-thunder", "file-thunder-postgres", "file-thunder-clamav"},
		},
		{
			Host:    world.Host{Name: "ops", Environment: "ops", Engine: new28, CPUs: 4, Memory: 8 * gib, Booted: up(120)},
			Project: "nexgate-ops", Stack: "ops/stack.yml", Branch: "master", Services: watchers,
		},
	}
}

// Bump is one change of a service's tag in an environment.
type Bump struct {
	Branch  string // "staging" or "master"
	Service string
	Tag     string
	At      time.Time
	Author  string
	Subject string
}

// History gives the tag changes up to now, oldest first within a branch.
// What an incident adds comes on top.
func History(now time.Time) []Bump {
	const day = 24 * time.Hour
	var out []Bump
	add := func(service, tag string, ago time.Duration, author, what string) {
		out = append(out,
			Bump{"staging", service, tag, now.Add(-ago - 26*time.Hour), "nexgate-ci", "staging: " + service + " " + tag},
			Bump{"master", service, tag, now.Add(-ago), author, service + " " + tag + ": " + what})
	}
	add("ai", "0.3.9", 34*day, "ana", "batch embeddings")
	add("notification-server", "1.7.8", 25*day, "marko", "retry APNs on 410")
	add("nexgate-backend", "2.10.3", 20*day, "ana", "order export")
	add("file-thunder", "3.2.0", 18*day, "lea", "multipart uploads")
	add("ai", "0.4.0", 12*day, "ana", "new prompt cache")
	add("notification-server", "1.7.9", 10*day, "marko", "log request ids")
	add("nexgate-backend", "2.10.4", 9*day, "lea", "fix double refunds")
	add("file-thunder", "3.2.1", 6*day, "lea", "scan archives")
	add("ai", "0.4.1", 3*day+4*time.Hour, "ana", "stream tokens")
	add("nexgate-backend", "2.11.0", 3*day, "ana", "saved carts")
	for i, tag := range []string{"2.12.0-rc.1", "2.12.0-rc.2", "2.12.0-rc.3"} {
		ago := time.Duration(55-17*i) * time.Minute
		out = append(out, Bump{"staging", "nexgate-backend", tag, now.Add(-ago), "nexgate-ci", "staging: nexgate-backend " + tag})
	}
	return out
}

// Flaws gives what is wrong with the few bad images of the estate, by "service:tag".
func Flaws(service, tag string) world.Flaws {
	switch service + ":" + tag {
	case "ai:0.4.2":
		return world.Flaws{
			Onset: 5 * time.Second, UnderLoad: true, Errors: 0.071, P50: 610 * time.Millisecond, P95: 1900 * time.Millisecond,
			CPU: 1.9, Memory: 1720 * mib, ErrorLines: 0.52,
		}
	case "file-thunder:3.2.2":
		return world.Flaws{CrashAfter: 7 * time.Second}
	default:
		return world.Flaws{}
	}
}
