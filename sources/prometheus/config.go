// Package prometheus observes how well services run, from a Prometheus server:
// one range query a metric for all services of the environment.
package prometheus

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// The defaults of the config.
const (
	defaultPoll   = 10 * time.Second
	defaultWindow = time.Minute
)

// Config is one [[sources]] table of kind "prometheus".
type Config struct {
	sources.Endpoint
	Poll   remote.Duration `toml:"poll"`
	Window remote.Duration `toml:"window"` // of every rate(); at least four scrape intervals
	Tenant string          `toml:"tenant"` // X-Scope-OrgID, for Mimir and Cortex
	Labels sources.Labels  `toml:"labels"`
	// Queries overrides a metric's query or adds a metric; an empty query leaves the metric out.
	Queries map[string]string `toml:"queries"`
	// Units says how the numbers of added metrics read.
	Units map[string]string `toml:"units"`
}

// NewConfig gives the defaults.
func NewConfig() *Config {
	return &Config{
		Poll:   remote.Duration(defaultPoll),
		Window: remote.Duration(defaultWindow),
		Labels: sources.Labels{
			Service:     []string{"container_label_com_docker_compose_service", "compose_service", "service", "application", "job"},
			Environment: []string{"env", "environment"},
			Host:        []string{"host", "nodename"},
			Container:   []string{"name", "container"},
		},
	}
}

// Validate gives every mistake at once.
func (c *Config) Validate() []error {
	errs := append(c.Endpoint.Validate(), c.Labels.Validate()...)
	if c.Poll < remote.Duration(time.Second) {
		errs = append(errs, fmt.Errorf("poll: %s is too often: 1s or longer", c.Poll))
	}
	if c.Window < remote.Duration(time.Second) || c.Window > remote.Duration(span) {
		errs = append(errs, fmt.Errorf("window: %s: allowed are 1s to %s", c.Window, span))
	}
	errs = append(errs, sources.CheckQueries(c.Queries, c.Units)...)
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errs
}

// Kind is the entry for the list of kinds.
func Kind() sources.Kind {
	return sources.Kind{
		Name:      "prometheus",
		NewConfig: func() sources.Config { return NewConfig() },
		Build: func(name string, cfg sources.Config, deps sources.Deps) ([]sources.Source, error) {
			c, ok := cfg.(*Config)
			if !ok {
				return nil, fmt.Errorf("prometheus %s: its config is a %T", name, cfg)
			}
			s, err := New(name, c, deps)
			if err != nil {
				return nil, err
			}
			return []sources.Source{s}, nil
		},
	}
}
