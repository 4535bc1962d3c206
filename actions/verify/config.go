package verify

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// Config is [actions.verify].
type Config struct {
	Rules
	// Env says it otherwise for single environments.
	Env map[string]Rules `toml:"env"`
}

// Rules are how it is watched what was done. What is not set is that of the preset.
type Rules struct {
	Preset   string          `toml:"preset"` // figures of an estate; see Presets
	Soak     remote.Duration `toml:"soak"`   // how long it is watched before the verdict
	Start    remote.Duration `toml:"start"`  // how long it may take to become healthy
	Limits   Limits          `toml:"limits"`
	Targets  Targets         `toml:"targets"`
	Rollback Triggers        `toml:"auto_rollback"`
}

// Limits are figures that nothing may pass, whatever was usual before.
type Limits struct {
	ErrorRatio float64         `toml:"error_ratio"` // of requests
	P95        remote.Duration `toml:"p95"`
	P99        remote.Duration `toml:"p99"`
	LogErrors  float64         `toml:"log_errors"` // error lines a minute
	CPU        float64         `toml:"cpu"`        // 0..1 of the limit
	Memory     float64         `toml:"memory"`     // 0..1 of the limit
	// Settle is how long after the change worse figures are given to become those of what runs
	// now: a rate looks back on what was before for its whole window.
	Settle remote.Duration `toml:"settle"`
}

// Targets are figures that are said when they are missed, and do not make a good verdict worse.
type Targets struct {
	ErrorRatio float64         `toml:"error_ratio"`
	P95        remote.Duration `toml:"p95"`
	P99        remote.Duration `toml:"p99"`
}

// Triggers are what ends the watch and has the change rolled back, where the policy of the environment says
// so: failures of health at once, figures once Limits.Settle is over.
type Triggers struct {
	HealthFailures int             `toml:"health_failures"` // so many in a row
	HealthEvery    remote.Duration `toml:"health_every"`    // looks that far apart count as one each
	ErrorRatio     float64         `toml:"error_ratio"`     // of requests, over the window of the metrics' source
	P99            remote.Duration `toml:"p99"`
	MinRequests    float64         `toml:"min_requests"` // a minute; of fewer, the figures of requests decide nothing
}

// The names of presets.
const (
	PresetDefault  = "default"
	PresetZentoria = "zentoria"
	PresetNxloy    = "nxloy"
)

// presets are the figures of estates, by name.
func presets() map[string]Rules {
	base := Rules{
		Soak: remote.Duration(time.Minute), Start: remote.Duration(2 * time.Minute),
		Limits: Limits{ErrorRatio: 0.05, Settle: remote.Duration(90 * time.Second)},
		Rollback: Triggers{
			HealthFailures: 3, HealthEvery: remote.Duration(5 * time.Second),
			ErrorRatio: 0.05, P99: remote.Duration(2 * time.Second), MinRequests: 3,
		},
	}
	zentoria, nxloy := base, base
	// Targets and critical values of its API, and its own triggers; health checks are 10 s apart.
	zentoria.Limits.ErrorRatio, zentoria.Limits.P99 = 0.01, remote.Duration(2*time.Second)
	zentoria.Targets = Targets{ErrorRatio: 0.001, P99: remote.Duration(500 * time.Millisecond)}
	zentoria.Rollback.HealthEvery = remote.Duration(10 * time.Second)
	// What it raises alerts on.
	nxloy.Limits.ErrorRatio, nxloy.Limits.P95 = 0.05, remote.Duration(500*time.Millisecond)
	nxloy.Limits.CPU, nxloy.Limits.Memory = 0.80, 0.80
	return map[string]Rules{PresetDefault: base, PresetZentoria: zentoria, PresetNxloy: nxloy}
}

// Presets are the names of the presets, sorted.
func Presets() []string { return slices.Sorted(maps.Keys(presets())) }

// DefaultConfig is what an empty [actions.verify] means.
func DefaultConfig() Config { return Config{} }

// over gives r with what o sets in its place. A preset takes the place of all that r says.
func (r Rules) over(o Rules) Rules {
	if p, ok := presets()[o.Preset]; ok {
		r = p
	}
	set(&r.Soak, o.Soak)
	set(&r.Start, o.Start)
	set(&r.Limits.ErrorRatio, o.Limits.ErrorRatio)
	set(&r.Limits.P95, o.Limits.P95)
	set(&r.Limits.P99, o.Limits.P99)
	set(&r.Limits.LogErrors, o.Limits.LogErrors)
	set(&r.Limits.CPU, o.Limits.CPU)
	set(&r.Limits.Memory, o.Limits.Memory)
	set(&r.Limits.Settle, o.Limits.Settle)
	set(&r.Targets.ErrorRatio, o.Targets.ErrorRatio)
	set(&r.Targets.P95, o.Targets.P95)
	set(&r.Targets.P99, o.Targets.P99)
	set(&r.Rollback.HealthFailures, o.Rollback.HealthFailures)
	set(&r.Rollback.HealthEvery, o.Rollback.HealthEvery)
	set(&r.Rollback.ErrorRatio, o.Rollback.ErrorRatio)
	set(&r.Rollback.P99, o.Rollback.P99)
	set(&r.Rollback.MinRequests, o.Rollback.MinRequests)
	return r
}

func set[T comparable](to *T, from T) {
	var zero T
	if from != zero {
		*to = from
	}
}

// Settings are how one verification is done.
type Settings struct {
	Soak     time.Duration
	Start    time.Duration
	Limits   Limits
	Targets  Targets
	Rollback Triggers
}

// For gives the settings of an environment.
func (c *Config) For(environment string) Settings {
	r := presets()[PresetDefault].over(c.Rules).over(c.Env[environment])
	return Settings{
		Soak: time.Duration(r.Soak), Start: time.Duration(r.Start), Limits: r.Limits, Targets: r.Targets, Rollback: r.Rollback,
	}
}

// With gives the settings with what an action's own config says in their place; zero says nothing.
func (s Settings) With(soak, start remote.Duration) Settings {
	set(&s.Soak, time.Duration(soak))
	set(&s.Start, time.Duration(start))
	return s
}

// Words are the triggers as they are told before anything is done.
func (t Triggers) Words() string {
	return fmt.Sprintf("%d failed health checks in a row or a crash loop, errors > %s within a minute, p99 > %s",
		t.HealthFailures, fleet.Percent(t.ErrorRatio), fleet.Seconds(time.Duration(t.P99).Seconds()))
}

// Validate gives every mistake at once.
func (c *Config) Validate() []error {
	errs := c.validate("")
	for _, env := range slices.Sorted(maps.Keys(c.Env)) {
		r := c.Env[env]
		errs = append(errs, r.validate("env."+env+".")...)
	}
	return errs
}

func (r *Rules) validate(at string) []error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(at+format, args...)) }
	if _, ok := presets()[r.Preset]; !ok && r.Preset != "" {
		add("preset: %q is none: there is %s", r.Preset, strings.Join(Presets(), ", "))
	}
	span := func(key string, d, least, most time.Duration) {
		if d != 0 && (d < least || d > most) {
			add("%s: allowed is %s to %s", key, remote.Duration(least), remote.Duration(most))
		}
	}
	span("soak", time.Duration(r.Soak), time.Second, time.Hour)
	span("start", time.Duration(r.Start), time.Second, time.Hour)
	span("limits.settle", time.Duration(r.Limits.Settle), time.Second, time.Hour)
	for _, d := range []struct {
		key string
		d   remote.Duration
	}{
		{"limits.p95", r.Limits.P95}, {"limits.p99", r.Limits.P99}, {"targets.p95", r.Targets.P95}, {"targets.p99", r.Targets.P99},
		{"auto_rollback.p99", r.Rollback.P99},
	} {
		span(d.key, time.Duration(d.d), time.Millisecond, time.Hour)
	}
	for _, f := range []struct {
		key string
		v   float64
	}{
		{"limits.error_ratio", r.Limits.ErrorRatio}, {"limits.cpu", r.Limits.CPU}, {"limits.memory", r.Limits.Memory},
		{"targets.error_ratio", r.Targets.ErrorRatio}, {"auto_rollback.error_ratio", r.Rollback.ErrorRatio},
	} {
		if f.v < 0 || f.v > 1 {
			add("%s: allowed is a ratio above 0 and up to 1", f.key)
		}
	}
	if r.Limits.LogErrors < 0 {
		add("limits.log_errors: allowed is a number of lines a minute")
	}
	if r.Rollback.MinRequests < 0 {
		add("auto_rollback.min_requests: allowed is a number of requests a minute")
	}
	const most = 100
	if r.Rollback.HealthFailures < 0 || r.Rollback.HealthFailures > most {
		add("auto_rollback.health_failures: allowed is 1 to %d", most)
	}
	span("auto_rollback.health_every", time.Duration(r.Rollback.HealthEvery), 100*time.Millisecond, 10*time.Minute)
	return errs
}
