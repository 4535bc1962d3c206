package exec

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Config is [actions.exec].
type Config struct {
	Docker []string            `toml:"docker"` // the program on the hosts
	Shell  []string            `toml:"shell"`  // what is opened where nothing else is said
	Shells map[string][]string `toml:"shells"` // by service: an image without a shell, or a better one than sh
}

// DefaultConfig is what an empty [actions.exec] means.
func DefaultConfig() Config {
	return Config{Docker: []string{"docker"}, Shell: []string{"sh"}}
}

// Validate gives every mistake at once.
func (c *Config) Validate() []error {
	var errs []error
	check := func(key string, argv []string) {
		if len(argv) == 0 || argv[0] == "" || strings.HasPrefix(argv[0], "-") {
			errs = append(errs, fmt.Errorf("%s: %q is no command: a list of a program and its arguments, like [\"sh\"]", key, argv))
			return
		}
		if slices.ContainsFunc(argv, func(a string) bool { return strings.ContainsRune(a, 0) }) {
			errs = append(errs, errors.New(key+": a NUL is not allowed"))
		}
	}
	check("docker", c.Docker)
	check("shell", c.Shell)
	for service, argv := range c.Shells {
		check("shells."+service, argv)
	}
	return errs
}

// shellOf is what is opened in a service's container.
func (c *Config) shellOf(service string) []string {
	if argv, ok := c.Shells[service]; ok {
		return argv
	}
	return c.Shell
}
