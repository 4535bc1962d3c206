package sync

import (
	"fmt"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/remote"
)

// Config is [actions.sync].
type Config struct {
	Soak  remote.Duration `toml:"soak"`  // in the place of that of [actions.verify]
	Start remote.Duration `toml:"start"` // likewise
	// Files is where files of a service stand in a checkout; a change in one of them is a change of that service.
	Files []string `toml:"files"`
}

const hole = "{service}"

// DefaultConfig is what an empty [actions.sync] means.
func DefaultConfig() Config {
	return Config{Files: []string{"services/{service}/", "base/{service}.yml"}}
}

// Validate gives every mistake at once.
func (c *Config) Validate() []error {
	var errs []error
	for name, d := range map[string]remote.Duration{"soak": c.Soak, "start": c.Start} {
		if d != 0 && (d < remote.Duration(time.Second) || d > remote.Duration(time.Hour)) {
			errs = append(errs, fmt.Errorf("%s: allowed is 1s to 1h", name))
		}
	}
	for _, f := range c.Files {
		if strings.Count(f, hole) != 1 {
			errs = append(errs, fmt.Errorf("files: %q: needs one {service}, like services/{service}/", f))
		}
	}
	return errs
}

// serviceOf is the service that a file of the checkout belongs to; "" when none.
func (c *Config) serviceOf(path string) string {
	for _, pattern := range c.Files {
		before, after, _ := strings.Cut(pattern, hole)
		rest, ok := strings.CutPrefix(path, before)
		if !ok {
			continue
		}
		if strings.HasSuffix(after, "/") {
			if name, _, ok := strings.Cut(rest, after); ok && name != "" && !strings.Contains(name, "/") {
				return name
			}
		} else if name, ok := strings.CutSuffix(rest, after); ok && name != "" && !strings.Contains(name, "/") {
			return name
		}
	}
	return ""
}
