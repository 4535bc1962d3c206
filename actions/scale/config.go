package scale

import (
	"fmt"
	"time"

	"github.com/nexgate-hq/nexops/remote"
)

// Config is [actions.scale].
type Config struct {
	Max   int             `toml:"max"`   // containers of one service on a host
	Drain remote.Duration `toml:"drain"` // what a container that goes gets to end what it is doing
	Limit map[string]int  `toml:"limit"` // by service, in the place of max
	Soak  remote.Duration `toml:"soak"`  // in the place of that of [actions.verify]
	Start remote.Duration `toml:"start"` // likewise
}

// most is more than any host runs of one service.
const most = 1000

// DefaultConfig is what an empty [actions.scale] means.
func DefaultConfig() Config { return Config{Max: 8, Drain: remote.Duration(30 * time.Second)} }

// Validate gives every mistake at once.
func (c *Config) Validate() []error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Max < 1 || c.Max > most {
		add("max: allowed is 1 to %d", most)
	}
	for service, n := range c.Limit {
		if n < 1 || n > most {
			add("limit.%s: allowed is 1 to %d", service, most)
		}
	}
	if c.Drain < remote.Duration(time.Second) || c.Drain > remote.Duration(15*time.Minute) {
		add("drain: allowed is 1s to 15m")
	}
	for key, d := range map[string]remote.Duration{"soak": c.Soak, "start": c.Start} {
		if d != 0 && (d < remote.Duration(time.Second) || d > remote.Duration(time.Hour)) {
			add("%s: allowed is 1s to 1h", key)
		}
	}
	return errs
}

func (c *Config) maxOf(service string) int {
	if n, ok := c.Limit[service]; ok {
		return n
	}
	return c.Max
}
