package verify

import (
	"fmt"
	"time"

	"github.com/nexgate-hq/nexops/remote"
)

// Config is [actions.verify].
type Config struct {
	Soak   remote.Duration `toml:"soak"`  // how long it is watched before the verdict
	Start  remote.Duration `toml:"start"` // how long it may take to become healthy
	Limits Limits          `toml:"limits"`
}

// Limits are figures that no release may pass, whatever was usual before it.
type Limits struct {
	ErrorRatio float64         `toml:"error_ratio"` // of requests; default 0.05
	P95        remote.Duration `toml:"p95"`         // default none
	// Settle is how long after the change worse figures are given to become those of what runs
	// now: a rate looks back on what was before for its whole window. Default 90 s.
	Settle remote.Duration `toml:"settle"`
}

// DefaultConfig is what an empty [actions.verify] means.
func DefaultConfig() Config {
	return Config{
		Soak: remote.Duration(time.Minute), Start: remote.Duration(2 * time.Minute),
		Limits: Limits{ErrorRatio: 0.05, Settle: remote.Duration(90 * time.Second)},
	}
}

// Validate gives every mistake at once.
func (c *Config) Validate() []error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Soak < remote.Duration(time.Second) || c.Soak > remote.Duration(time.Hour) {
		add("soak: allowed is 1s to 1h")
	}
	if c.Start < remote.Duration(time.Second) || c.Start > remote.Duration(time.Hour) {
		add("start: allowed is 1s to 1h")
	}
	if c.Limits.ErrorRatio <= 0 || c.Limits.ErrorRatio > 1 {
		add("limits.error_ratio: allowed is a ratio above 0 and up to 1")
	}
	return errs
}

// Settings are how one verification is done.
type Settings struct {
	Soak   time.Duration
	Start  time.Duration
	Limits Limits
}

// For gives the settings of an environment.
func (c *Config) For(_ string) Settings {
	return Settings{Soak: time.Duration(c.Soak), Start: time.Duration(c.Start), Limits: c.Limits}
}

// With gives the settings with what an action's own config says in their place; zero says nothing.
func (s Settings) With(soak, start remote.Duration) Settings {
	if soak > 0 {
		s.Soak = time.Duration(soak)
	}
	if start > 0 {
		s.Start = time.Duration(start)
	}
	return s
}
