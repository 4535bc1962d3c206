package config

import (
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// Join is the [join] table.
type Join struct {
	Aliases    map[string]string     `toml:"aliases"`
	Containers []string              `toml:"containers"`
	Ignore     []string              `toml:"ignore"`
	Companions map[string]string     `toml:"companions"`
	Thresholds Thresholds            `toml:"thresholds"`
	Services   map[string]Thresholds `toml:"services"`
}

// Thresholds is [join.thresholds], and [join.services.NAME] for one service.
type Thresholds struct {
	ErrorRatioWarning  float64         `toml:"error_ratio_warning"`
	ErrorRatioCritical float64         `toml:"error_ratio_critical"`
	P95Warning         remote.Duration `toml:"p95_warning"`
	P95Critical        remote.Duration `toml:"p95_critical"`
	MemoryWarning      float64         `toml:"memory_warning"`
	MemoryCritical     float64         `toml:"memory_critical"`
	CPUWarning         float64         `toml:"cpu_warning"`
	LogErrorsWarning   float64         `toml:"log_errors_warning"`
	RestartsWarning    int             `toml:"restarts_warning"`
	RestartsCritical   int             `toml:"restarts_critical"`
	MinRequestsPerMin  float64         `toml:"min_requests_per_min"`
	StartingGrace      remote.Duration `toml:"starting_grace"`
}

// Rules are the knobs of the join as the fleet knows them.
func (j Join) Rules() fleet.Rules {
	r := fleet.Rules{
		Aliases: j.Aliases, Containers: j.Containers, Ignore: j.Ignore, Companions: j.Companions,
		Thresholds: j.Thresholds.fleet(), Services: map[string]fleet.Thresholds{},
	}
	for name, t := range j.Services {
		r.Services[name] = t.fleet()
	}
	return r
}

func (t Thresholds) fleet() fleet.Thresholds {
	return fleet.Thresholds{
		ErrorRatioWarning: t.ErrorRatioWarning, ErrorRatioCritical: t.ErrorRatioCritical,
		P95Warning: time.Duration(t.P95Warning), P95Critical: time.Duration(t.P95Critical),
		MemoryWarning: t.MemoryWarning, MemoryCritical: t.MemoryCritical, CPUWarning: t.CPUWarning,
		LogErrorsWarning: t.LogErrorsWarning, RestartsWarning: t.RestartsWarning, RestartsCritical: t.RestartsCritical,
		MinRequestsPerMin: t.MinRequestsPerMin, StartingGrace: time.Duration(t.StartingGrace),
	}
}
