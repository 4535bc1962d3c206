// Package backups reads what backup destinations hold: the newest of each job,
// whether it was verified, its size, and the last restore drill.
package backups

import (
	"fmt"
	"slices"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/remote/store"
	"github.com/nexgate-hq/nexops/sources"
)

const kindName = "backups"

// Config is one [[sources]] table of kind "backups". The jobs of [actions.backup] are shown
// without being named here.
type Config struct {
	// Poll is how often the destinations are read.
	Poll remote.Duration `toml:"poll"`
	// Folders are those that somebody else fills.
	Folders map[string]*Folder `toml:"folders"`
}

// Folder is a folder or a bucket in which somebody else keeps backups.
type Folder struct {
	store.Config
	// Pattern is the name of a backup with its time: "ganymede_{date:20060102-1504}.sql.gz".
	Pattern     string          `toml:"pattern"`
	Zone        string          `toml:"zone"` // of the times in the names; default UTC
	Service     string          `toml:"service"`
	Environment string          `toml:"environment"` // default: that of the host
	Every       remote.Duration `toml:"every"`
	Grace       remote.Duration `toml:"grace"` // how late one may be; default: an eighth of every
}

// NewConfig gives the defaults.
func NewConfig() *Config { return &Config{Poll: remote.Duration(5 * time.Minute)} }

// HostNames are the hosts the config names.
func (c *Config) HostNames() []string {
	var out []string
	for _, name := range sortedKeys(c.Folders) {
		out = append(out, c.Folders[name].HostNames()...)
	}
	return out
}

// Validate gives every mistake at once.
func (c *Config) Validate() []error {
	var errs []error
	if c.Poll.Std() < 10*time.Second || c.Poll.Std() > 24*time.Hour {
		errs = append(errs, fmt.Errorf("poll: %s is outside 10s to 24h", c.Poll))
	}
	for _, name := range sortedKeys(c.Folders) {
		f := c.Folders[name]
		for _, err := range f.Validate() {
			errs = append(errs, fmt.Errorf("folders.%s.%w", name, err))
		}
		zone, err := time.LoadLocation(f.Zone)
		if err != nil {
			errs = append(errs, fmt.Errorf(`folders.%s.zone: no time zone %q: write one like "Europe/Berlin"`, name, remote.Clean(f.Zone)))
		}
		if _, err := store.ParsePattern(f.Pattern, zone); err != nil {
			errs = append(errs, fmt.Errorf("folders.%s.pattern: %w", name, err))
		}
	}
	return errs
}

// spots are the folders of the config.
func (c *Config) spots() []store.Spot {
	var out []store.Spot
	for _, name := range sortedKeys(c.Folders) {
		f := c.Folders[name]
		group := f.Host
		switch {
		case f.IsBucket():
			group = f.Bucket
		case f.Host == "":
			group = "local"
		}
		out = append(out, store.Spot{
			Job: fleet.BackupJob{
				Name: name, Subject: fleet.Subject{Environment: f.Environment, Service: f.Service}, Kind: fleet.BackupFolder,
				Every: f.Every.Std(), Grace: f.Grace.Std(),
			},
			Store: group, Place: f.Config, Host: f.Host, Pattern: f.Pattern, Zone: f.Zone,
		})
	}
	return out
}

// Keeper is the config of an action that keeps backups.
type Keeper interface {
	BackupSpots() []store.Spot
}

// Kind is the entry for the list of kinds.
func Kind() sources.Kind {
	return sources.Kind{Name: kindName, Implicit: true, NewConfig: func() sources.Config { return NewConfig() }, Build: build}
}

// build makes a source for each place, so that one that cannot be reached hides no other.
func build(name string, cfg sources.Config, deps sources.Deps) ([]sources.Source, error) {
	c, ok := cfg.(*Config)
	if !ok {
		return nil, fmt.Errorf("backups %s: its config is a %T", name, cfg)
	}
	spots := c.spots()
	for _, action := range sortedKeys(deps.Actions) {
		if k, ok := deps.Actions[action].(Keeper); ok {
			spots = append(spots, k.BackupSpots()...)
		}
	}
	groups := map[string][]store.Spot{}
	for _, s := range spots {
		if here(s, deps) {
			s.Job.Subject.Environment = deps.Environment
			groups[s.Store] = append(groups[s.Store], s)
		}
	}
	var out []sources.Source
	for _, group := range sortedKeys(groups) {
		s, err := New(name, group, c.Poll.Std(), groups[group], deps)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// here reports whether a job is one of the open environment.
func here(s store.Spot, deps sources.Deps) bool {
	env := s.Job.Subject.Environment
	if env == "" && s.Host != "" && deps.HostEnvironment != nil {
		env = deps.HostEnvironment(s.Host)
	}
	return env == "" || env == deps.Environment
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
