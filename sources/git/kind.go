// Package git reads what should run, and who asked for it when, from the
// history of an infrastructure repository.
package git

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

// name of the kind in the config and in source ids.
const kindName = "git"

// Kind is the git kind of source.
func Kind() sources.Kind {
	return sources.Kind{
		Name:      kindName,
		NewConfig: func() sources.Config { return DefaultConfig() },
		Build:     build,
	}
}

func build(name string, cfg sources.Config, deps sources.Deps) ([]sources.Source, error) {
	c, ok := cfg.(*Config)
	if !ok {
		return nil, fmt.Errorf("git %s: the config is a %T", name, cfg)
	}
	if deps.CacheDir == "" {
		return nil, fmt.Errorf("git %s: no cache folder is known; set HOME or XDG_CACHE_HOME", name)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	plan, err := c.layout(deps.Environments)
	if err != nil {
		return nil, fmt.Errorf("git %s: %w", name, err)
	}
	ssh, err := sshCommand(c, deps)
	if err != nil {
		return nil, fmt.Errorf("git %s: %w", name, err)
	}
	dir := filepath.Join(deps.CacheDir, kindName, digest(c.URL))
	s := &source{
		id:          fleet.MakeSourceID(kindName, name),
		name:        name,
		environment: deps.Environment,
		config:      *c,
		layout:      plan,
		mirror: &mirror{
			git:      program{env: environ(os.Environ(), ssh)},
			tunnel:   tunnelOf(c, deps),
			folder:   dir,
			url:      c.URL,
			branches: plan.branches(),
			tags:     c.Tags,
		},
		states: map[string]*branchState{},
		now:    deps.Now,
		redact: deps.Redact,
	}
	return []sources.Source{s}, nil
}
