// Package docker reads what runs on each host from its Docker Engine, over the
// engine's own socket and pushed by its events.
package docker

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

const (
	kindName       = "docker"
	observeTimeout = 10 * time.Second
)

// Kind is the "docker" sort of source: one for each host.
func Kind() sources.Kind {
	return sources.Kind{
		Name:      kindName,
		NewConfig: func() sources.Config { return DefaultConfig() },
		Build:     build,
	}
}

func build(_ string, cfg sources.Config, deps sources.Deps) ([]sources.Source, error) {
	c, ok := cfg.(*Config)
	if !ok {
		return nil, fmt.Errorf("docker: config is a %T, not a *docker.Config", cfg)
	}
	var out []sources.Source
	for _, name := range deps.Hosts {
		if len(c.Hosts) > 0 && !slices.Contains(c.Hosts, name) {
			continue
		}
		host, err := deps.Host(name)
		if err != nil {
			return nil, fmt.Errorf("docker %s: %w", name, err)
		}
		out = append(out, newSource(host, c.socketOf(name), time.Duration(c.Poll), deps))
	}
	return out, nil
}

// source is one host's engine.
type source struct {
	host        string
	address     string
	environment string
	poll        time.Duration
	now         func() time.Time
	log         *slog.Logger

	engine  *engine
	records *records
	story   *chronicle
	hub     *hub
}

var (
	_ sources.Source    = (*source)(nil)
	_ sources.Watcher   = (*source)(nil)
	_ sources.Timed     = (*source)(nil)
	_ sources.LogTailer = (*source)(nil)
	_ sources.Inspector = (*source)(nil)
)

func newSource(host remote.Host, socket string, poll time.Duration, deps sources.Deps) *source {
	s := &source{
		host: host.Name(), address: host.Address(), environment: environmentOf(host.Name(), deps),
		poll: poll, now: deps.Now, log: deps.Log,
		engine: newEngine(host, socket), records: newRecords(), story: newChronicle(),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.hub = newHub(s.stream)
	return s
}

func environmentOf(host string, deps sources.Deps) string {
	if deps.HostEnvironment != nil {
		if env := deps.HostEnvironment(host); env != "" {
			return env
		}
	}
	return deps.Environment
}

// ID is "docker/<host>".
func (s *source) ID() fleet.SourceID { return fleet.MakeSourceID(kindName, s.host) }

// ObservedHosts is the one host whose instances it reports: when the source fails, they cannot be seen.
func (s *source) ObservedHosts() []string { return []string{s.host} }

// Timing polls as a safety net only: a change comes with the engine's events.
func (s *source) Timing() sources.Timing {
	return sources.Timing{Every: s.poll, Timeout: observeTimeout, MaxAge: 2*s.poll + observeTimeout}
}

// Close ends the connections that are kept to the engine. The source may be used
// again after it; the host itself stays connected for others.
func (s *source) Close() error {
	s.engine.reset()
	return nil
}
