// Package locks reads from each host who acts on a service now, and what is held, as the
// consoles' own lock folders say it.
package locks

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

const (
	kindName    = "locks"
	defaultPoll = 5 * time.Second
	minPoll     = time.Second
	timeout     = 10 * time.Second
)

// Config is the [[sources]] table of kind "locks". Without one, every host of the open environment is read.
type Config struct {
	// Hosts whose folder is read; empty: every host of the open environment.
	Hosts []string `toml:"hosts"`
	// Poll is how often: one command a host.
	Poll remote.Duration `toml:"poll"`
	// Off shows no locks and no holds. They count all the same.
	Off bool `toml:"off"`
}

// DefaultConfig is what an empty table means.
func DefaultConfig() *Config { return &Config{Poll: remote.Duration(defaultPoll)} }

// HostNames are the hosts that the table names.
func (c *Config) HostNames() []string { return slices.Clone(c.Hosts) }

// Validate gives every mistake at once.
func (c *Config) Validate() []error {
	if time.Duration(c.Poll) < minPoll {
		return []error{fmt.Errorf("poll: %s is too often: %s or longer", c.Poll, minPoll)}
	}
	return nil
}

// Kind is the "locks" sort of source: one for each host, there without being named.
func Kind() sources.Kind {
	return sources.Kind{
		Name: kindName, Implicit: true,
		NewConfig: func() sources.Config { return DefaultConfig() },
		Build:     build,
	}
}

func build(_ string, cfg sources.Config, deps sources.Deps) ([]sources.Source, error) {
	c, ok := cfg.(*Config)
	if !ok {
		return nil, fmt.Errorf("locks: config is a %T, not a *locks.Config", cfg)
	}
	if c.Off || deps.LockDir == "" {
		return nil, nil
	}
	var out []sources.Source
	for _, name := range deps.Hosts {
		if len(c.Hosts) > 0 && !slices.Contains(c.Hosts, name) {
			continue
		}
		host, err := deps.Host(name)
		if err != nil {
			return nil, fmt.Errorf("locks %s: %w", name, err)
		}
		s := &source{host: host, dir: path.Clean(deps.LockDir), poll: time.Duration(c.Poll), now: deps.Now}
		if s.now == nil {
			s.now = time.Now
		}
		out = append(out, s)
	}
	return out, nil
}

// source is the lock folder of one host.
type source struct {
	host remote.Host
	dir  string
	poll time.Duration
	now  func() time.Time
}

var (
	_ sources.Source = (*source)(nil)
	_ sources.Timed  = (*source)(nil)
	_ sources.Guest  = (*source)(nil)
)

// ID is "locks/HOST".
func (s *source) ID() fleet.SourceID { return fleet.MakeSourceID(kindName, s.host.Name()) }

// Timing is one short command, often.
func (s *source) Timing() sources.Timing {
	return sources.Timing{Every: s.poll, Timeout: timeout, MaxAge: max(4*s.poll, time.Minute)}
}

// GuestOf is the host: while it cannot be seen, this failing says nothing new.
func (s *source) GuestOf() string { return s.host.Name() }

// Observe lists the folder by one command. A folder that is not there has no locks.
func (s *source) Observe(ctx context.Context) (fleet.Facts, error) {
	res, err := s.host.Run(ctx, remote.Command{Argv: listArgv(s.dir), Env: map[string]string{"LC_ALL": "C"}})
	now := s.now()
	if err != nil {
		return fleet.Facts{}, fmt.Errorf("locks %s: %w", s.host.Name(), err)
	}
	said := remote.Clean(strings.TrimSpace(string(res.Stderr)))
	switch {
	case res.Truncated:
		return fleet.Facts{}, fmt.Errorf("locks %s: %s is too full to be read: remove what is no lock of nexops", s.host.Name(), s.dir)
	case len(res.Stdout) == 0 && strings.Contains(said, "No such file"):
		return fleet.Facts{ObservedAt: now}, nil
	case len(res.Stdout) == 0:
		return fleet.Facts{}, fmt.Errorf("locks %s: find %s: %s: the console needs find, stat, head, echo and date there, or off = true for the source locks", s.host.Name(), s.dir, orCode(said, res.Code))
	}
	l, err := parse(string(res.Stdout), s.dir)
	if err != nil {
		return fleet.Facts{}, fmt.Errorf("locks %s: %w", s.host.Name(), err)
	}
	facts := l.facts(s.host.Name(), now)
	facts.ObservedAt = now
	return facts, nil
}

func orCode(said string, code int) string {
	if said == "" {
		return fmt.Sprintf("exit code %d", code)
	}
	return said
}

// maxClaim bounds what is read of one lock.
const maxClaim = "4096"

// listArgv lists the folder in one call: first the host's clock, then each folder with its age and
// the owner.json in it with its content, and a line's end after it: one that was cut or made by hand has none.
func listArgv(dir string) []string {
	return []string{
		"find", dir, "-maxdepth", "2",
		"-path", escape(dir), "-exec", "date", "+now %s", ";",
		"-o", "-type", "d", "-exec", "stat", "-c", "dir %Y %n", "{}", ";",
		"-o", "-type", "f", "-name", "owner.json", "-exec", "stat", "-c", "own %n", "{}", ";", "-exec", "head", "-c", maxClaim, "{}", ";", "-exec", "echo", ";",
	}
}

// escape makes a pattern of find that means the path itself.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

var (
	errNoClock = errors.New("the folder was listed without the host's clock")
	errTooMany = fmt.Errorf("more than %d folders: remove what is no lock of nexops", maxFolders)
)
