// Package komodo observes what Komodo would deploy and has deployed, and lets it deploy and sync.
package komodo

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

const (
	defaultPoll   = 30 * time.Second
	defaultFollow = 15 * time.Minute
	defaultFiles  = "services/{service}/"
	serviceHole   = "{service}"
)

// Config is one [[sources]] table of kind "komodo".
type Config struct {
	sources.Endpoint
	Poll   remote.Duration `toml:"poll"`
	Key    remote.Secret   `toml:"key"`    // of an API key
	Secret remote.Secret   `toml:"secret"` // likewise
	// Stacks and Syncs map an environment to names, "*" allowed. Without them a tag named like the
	// environment decides, else the server of the stack.
	Stacks map[string][]string `toml:"stacks"`
	Syncs  map[string][]string `toml:"syncs"`
	// Servers maps Komodo's name of a server to that of a host of the config, where they differ.
	Servers map[string]string `toml:"servers"`
	// Files is where the files of a service stand in the repository of the stacks; {service} is its name.
	Files string `toml:"files"`
	// Follow is how long something that was asked for is followed before it is called unknown.
	Follow remote.Duration `toml:"follow"`
}

// NewConfig gives the defaults.
func NewConfig() *Config {
	return &Config{Poll: remote.Duration(defaultPoll), Files: defaultFiles, Follow: remote.Duration(defaultFollow)}
}

// Validate gives every mistake at once.
func (c *Config) Validate() []error {
	errs := c.Endpoint.Validate()
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Key.IsZero() || c.Secret.IsZero() {
		add(`key, secret: both are needed: those of an API key, like "env:KOMODO_KEY"`)
	}
	if !c.BearerToken.IsZero() || c.Username != "" {
		add("bearer_token, username: Komodo is asked with key and secret")
	}
	if c.Poll < remote.Duration(time.Second) {
		add("poll: %s is too often: 1s or longer", c.Poll)
	}
	if c.Follow < remote.Duration(time.Second) || c.Follow > remote.Duration(24*time.Hour) {
		add("follow: %s is outside 1s to 24h", c.Follow)
	}
	if strings.Count(c.Files, serviceHole) != 1 {
		add("files: %q: needs one {service}, like services/{service}/", c.Files)
	}
	for key, names := range map[string]map[string][]string{"stacks": c.Stacks, "syncs": c.Syncs} {
		for _, env := range slices.Sorted(maps.Keys(names)) {
			if len(names[env]) == 0 || slices.Contains(names[env], "") {
				errs = append(errs, fmt.Errorf("%s.%s: name at least one", key, env))
			}
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errs
}

// HostNames are the hosts the config names.
func (c *Config) HostNames() []string {
	out := c.Endpoint.HostNames()
	for _, server := range slices.Sorted(maps.Keys(c.Servers)) {
		out = append(out, c.Servers[server])
	}
	return out
}

// host is the config name of Komodo's server.
func (c *Config) host(server string) string {
	if h, ok := c.Servers[server]; ok {
		return h
	}
	return server
}

// listed gives the environment that names something, by patterns; "" when none does.
func listed(names map[string][]string, name string) string {
	for _, env := range slices.Sorted(maps.Keys(names)) {
		if slices.ContainsFunc(names[env], func(pattern string) bool { return matches(pattern, name) }) {
			return env
		}
	}
	return ""
}

// matches is a name against a pattern in which any "*" stands for anything.
func matches(pattern, name string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, first)
	if !ok {
		return false
	}
	if !strings.Contains(rest, "*") {
		return strings.HasSuffix(name, rest)
	}
	for i := 0; i <= len(name); i++ {
		if matches(rest, name[i:]) {
			return true
		}
	}
	return false
}

// serviceOf is the service that a file of the repository belongs to; "" when the path does not tell.
func (c *Config) serviceOf(path string) string {
	before, after, _ := strings.Cut(c.Files, serviceHole)
	rest, ok := strings.CutPrefix(path, before)
	if !ok {
		return ""
	}
	name, tail, ok := strings.Cut(rest, "/")
	if !ok || name == "" || !strings.HasPrefix("/"+tail, after) {
		return ""
	}
	return name
}

// Kind is the entry for the list of kinds.
func Kind() sources.Kind {
	return sources.Kind{
		Name:      "komodo",
		NewConfig: func() sources.Config { return NewConfig() },
		Build: func(name string, cfg sources.Config, deps sources.Deps) ([]sources.Source, error) {
			c, ok := cfg.(*Config)
			if !ok {
				return nil, fmt.Errorf("komodo %s: its config is a %T", name, cfg)
			}
			s, err := New(name, c, deps)
			if err != nil {
				return nil, err
			}
			return []sources.Source{s}, nil
		},
	}
}

var errNoAnswer = errors.New("the answer is not Komodo's JSON: check url, or what stands before the server")
