// Package loki observes the error lines of services, and tails their logs, from
// a Loki server.
package loki

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// The defaults of the config.
const (
	defaultPoll = 15 * time.Second
	// The first filter lets nothing more through than the second, but Loki tells it by mere comparison of
	// letters: an hour of logs is counted in a fifth of the time.
	defaultErrors = `|~ "(?i)(error|fatal|panic|critical)" |~ "(?i)\\b(error|fatal|panic|critical)\\b"`
	// byLevel as the value of errors trusts the level that Loki finds in each line.
	byLevel       = "detected_level"
	byLevelFilter = `| detected_level=~"error|critical|fatal"`
)

// Config is one [[sources]] table of kind "loki".
type Config struct {
	sources.Endpoint
	Poll   remote.Duration `toml:"poll"`
	Tenant string          `toml:"tenant"` // X-Scope-OrgID
	Labels sources.Labels  `toml:"labels"`
	// Errors is the LogQL filter that makes a line an error line, or "detected_level".
	Errors string `toml:"errors"`
	// Selector overrides the stream selector: {job="docker", env="$env"}.
	Selector string `toml:"selector"`
	// Queries overrides log_errors or adds a metric: LogQL with $selector, $errors and $env.
	Queries map[string]string `toml:"queries"`
	// Units says how the numbers of added metrics read.
	Units map[string]string `toml:"units"`
}

// NewConfig gives the defaults.
func NewConfig() *Config {
	return &Config{
		Poll:   remote.Duration(defaultPoll),
		Errors: defaultErrors,
		Labels: sources.Labels{
			Service:     []string{"compose_service", "service", "service_name"},
			Environment: []string{"env", "environment"},
			Host:        []string{"host"},
			Container:   []string{"container_name", "container"},
		},
	}
}

// Validate gives every mistake at once.
func (c *Config) Validate() []error {
	errs := append(c.Endpoint.Validate(), c.Labels.Validate()...)
	if c.Poll < remote.Duration(time.Second) {
		errs = append(errs, fmt.Errorf("poll: %s is too often: 1s or longer", c.Poll))
	}
	if e := strings.TrimSpace(c.Errors); e != byLevel && !strings.HasPrefix(e, "|") && !strings.HasPrefix(e, "!") {
		errs = append(errs, fmt.Errorf(`errors: must be a LogQL filter like |~ "error", or %q`, byLevel))
	}
	if s := strings.TrimSpace(c.Selector); s != "" && (!strings.HasPrefix(s, "{") || !strings.HasSuffix(s, "}")) {
		errs = append(errs, fmt.Errorf(`selector: must be a LogQL stream selector like {job="docker", env="$env"}`))
	}
	errs = append(errs, sources.CheckQueries(c.Queries, c.Units)...)
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errs
}

// filter is the LogQL that keeps the error lines.
func (c *Config) filter() string {
	if strings.TrimSpace(c.Errors) == byLevel {
		return byLevelFilter
	}
	return c.Errors
}

// unit of a metric of the config.
func (c *Config) unit(name string) fleet.Unit {
	if name == string(fleet.MetricLogErrors) {
		return fleet.UnitPerMinute
	}
	return fleet.Unit(c.Units[name])
}

// Kind is the entry for the list of kinds.
func Kind() sources.Kind {
	return sources.Kind{
		Name:      "loki",
		NewConfig: func() sources.Config { return NewConfig() },
		Build: func(name string, cfg sources.Config, deps sources.Deps) ([]sources.Source, error) {
			c, ok := cfg.(*Config)
			if !ok {
				return nil, fmt.Errorf("loki %s: its config is a %T", name, cfg)
			}
			s, err := New(name, c, deps)
			if err != nil {
				return nil, err
			}
			return []sources.Source{s}, nil
		},
	}
}
