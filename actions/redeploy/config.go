package redeploy

import (
	"fmt"
	"time"

	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// What is done when a release's tag names another image than it did.
const (
	MovedRefuse = "refuse"
	MovedPull   = "pull" // by its digest, and the tag on the host is moved back
)

// Config is [actions.redeploy].
type Config struct {
	compose.Config
	Soak     remote.Duration `toml:"soak"`      // in the place of that of [actions.verify]
	Start    remote.Duration `toml:"start"`     // likewise
	MaxAge   remote.Duration `toml:"max_age"`   // no plan on older facts
	MovedTag string          `toml:"moved_tag"` // refuse or pull
	// MinFreeMiB is what has to stay free on a host's disk.
	MinFreeMiB int        `toml:"min_free_mib"`
	Migrations Migrations `toml:"migrations"`
	// Strategy is how a service is brought to a release, Strategies likewise by environment.
	Strategy   string            `toml:"strategy"`
	Strategies map[string]string `toml:"strategies"`
	Script     Script            `toml:"script"`
	Drain      remote.Duration   `toml:"drain"` // what an old container gets to end what it is doing
	// Hold is how long a service is held after a redeploy to a release that git does not desire; 0 is not at all.
	Hold remote.Duration `toml:"hold"`
	// Services says of single services what is otherwise read from their containers.
	Services map[string]Override `toml:"services"`
}

// Override is [actions.redeploy.services.NAME]. What is empty is found out.
type Override struct {
	compose.Override
	Strategy string          `toml:"strategy"` // default: that of the environment, else of the action
	Drain    remote.Duration `toml:"drain"`
	// Reload names the proxy in front of it, Fronts what is behind this one: either way the
	// proxy reads its configuration again after each change of what is behind it.
	Reload       string   `toml:"reload"`
	Fronts       []string `toml:"fronts"`
	Proxy        *bool    `toml:"proxy"`         // default: by the name of the image, and by fronts
	TestConfig   []string `toml:"test_config"`   // in the proxy's container; default nginx -t
	ReloadConfig []string `toml:"reload_config"` // likewise; default nginx -s reload
	ConfigPaths  []string `toml:"config_paths"`  // of strategy reload: its configuration, below the checkout
	Script       *Script  `toml:"script"`        // of strategy script; default: that of the action
}

// DefaultConfig is what an empty [actions.redeploy] means.
func DefaultConfig() Config {
	return Config{
		Config: compose.DefaultConfig(),
		MaxAge: remote.Duration(time.Minute),

		Strategy: StrategyCompose,

		MinFreeMiB: 512, MovedTag: MovedRefuse,
		Migrations: Migrations{On: MigrationsWarn, Backup: remote.Duration(time.Hour)},
		Drain:      remote.Duration(30 * time.Second),
	}
}

// HostNames are the hosts the config names.
func (c *Config) HostNames() []string {
	names := c.Config.HostNames()
	if c.Script.Host != "" {
		names = append(names, c.Script.Host)
	}
	for _, o := range c.Services {
		if o.Script != nil && o.Script.Host != "" {
			names = append(names, o.Script.Host)
		}
	}
	return names
}

// Validate gives every mistake at once.
func (c *Config) Validate() []error {
	errs := c.Config.Validate()
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Soak != 0 && (c.Soak < remote.Duration(time.Second) || c.Soak > remote.Duration(time.Hour)) {
		add("soak: allowed is 1s to 1h")
	}
	if c.Start != 0 && (c.Start < remote.Duration(time.Second) || c.Start > remote.Duration(time.Hour)) {
		add("start: allowed is 1s to 1h")
	}
	if c.MaxAge < remote.Duration(time.Second) {
		add("max_age: allowed is 1s and more")
	}
	if c.Hold < 0 || c.Hold > remote.Duration(30*24*time.Hour) {
		add("hold: %s is not allowed: 0s (not at all) to 720h", time.Duration(c.Hold))
	}
	if c.Drain < remote.Duration(time.Second) || c.Drain > remote.Duration(15*time.Minute) {
		add("drain: allowed is 1s to 15m")
	}
	if c.MovedTag != MovedRefuse && c.MovedTag != MovedPull {
		add("moved_tag: %q is not allowed: refuse, pull", c.MovedTag)
	}
	if c.MinFreeMiB < 0 || c.MinFreeMiB > 1<<20 {
		add("min_free_mib: allowed is 0 to 1048576")
	}
	errs = append(errs, c.Migrations.validate()...)
	errs = append(errs, c.validateStrategies()...)
	errs = append(errs, c.Script.validate("script")...)
	for name, o := range c.Services {
		errs = append(errs, o.validate("services."+name, c.TagHome)...)
	}
	return errs
}

func (o Override) validate(at, home string) []error {
	errs := append(o.Override.Validate(at, home), validateConfigPaths(at, o.ConfigPaths)...)
	if o.Script != nil {
		errs = append(errs, o.Script.validate(at+".script")...)
	}
	if o.Drain < 0 || o.Drain > remote.Duration(15*time.Minute) {
		errs = append(errs, fmt.Errorf("%s.drain: allowed is 1s to 15m", at))
	}
	return errs
}

// places is how services are found on their hosts.
func (c *Config) places() compose.Places {
	return compose.Places{
		Program: c.Compose, Table: "actions." + Name, Owners: c.Owners,
		Override: func(service string) compose.Override { return c.Services[service].Override },
	}
}

// TagOf is where a service's tag stands, and the variable that holds it.
func (c *Config) TagOf(key fleet.ServiceKey) (file, variable string) {
	return c.tagFile(key), c.tagKey(key)
}

// tagFile is the path of a service's tag file, below the checkout unless it is absolute.
func (c *Config) tagFile(key fleet.ServiceKey) string {
	return c.TagFileOf(key, c.Services[key.Name].Override)
}

// tagKey is the variable that holds a service's tag.
func (c *Config) tagKey(key fleet.ServiceKey) string {
	return c.TagKeyOf(key, c.Services[key.Name].Override)
}
