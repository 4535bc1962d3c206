package docker

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/remote"
)

const (
	defaultSocket = "/var/run/docker.sock"
	defaultPoll   = 30 * time.Second
	minPoll       = time.Second
)

// Config is one [[sources]] table of kind "docker".
type Config struct {
	// Hosts whose engine is read; empty: every host of the open environment.
	Hosts []string `toml:"hosts"`
	// Poll is the safety net beside the engine's own events.
	Poll remote.Duration `toml:"poll"`
	// Socket of the engine on each host.
	Socket string `toml:"socket"`
	// Sockets are single hosts' own.
	Sockets map[string]string `toml:"sockets"`
}

// HostNames are the hosts that the table names.
func (c *Config) HostNames() []string {
	out := slices.Clone(c.Hosts)
	for host := range c.Sockets {
		if !slices.Contains(out, host) {
			out = append(out, host)
		}
	}
	slices.Sort(out)
	return out
}

// Validate gives every mistake at once.
func (c *Config) Validate() []error {
	var errs []error
	if time.Duration(c.Poll) < minPoll {
		errs = append(errs, fmt.Errorf("poll: %s is too short; it is a safety net beside the engine's events, %s or more", time.Duration(c.Poll), minPoll))
	}
	if err := checkSocket("socket", c.Socket); err != nil {
		errs = append(errs, err)
	}
	for _, host := range sortedKeys(c.Sockets) {
		if err := checkSocket("sockets."+host, c.Sockets[host]); err != nil {
			errs = append(errs, err)
		}
		if len(c.Hosts) > 0 && !slices.Contains(c.Hosts, host) {
			errs = append(errs, fmt.Errorf("sockets.%s: the host is not in hosts", host))
		}
	}
	return errs
}

// DefaultConfig is what an empty table means.
func DefaultConfig() *Config {
	return &Config{Socket: defaultSocket, Poll: remote.Duration(defaultPoll)}
}

func checkSocket(key, path string) error {
	switch {
	case strings.HasPrefix(path, "unix://"):
		return fmt.Errorf("%s: give the path alone: %q", key, strings.TrimPrefix(path, "unix://"))
	case strings.Contains(path, "://"):
		return fmt.Errorf("%s: %q is no unix socket; the engine is reached by its socket on the host, as %q", key, path, defaultSocket)
	case !strings.HasPrefix(path, "/"):
		return fmt.Errorf("%s: %q is no absolute path of a unix socket, as %q", key, path, defaultSocket)
	default:
		return nil
	}
}

// socketOf is the engine's socket on a host.
func (c *Config) socketOf(host string) string {
	if s := c.Sockets[host]; s != "" {
		return s
	}
	return c.Socket
}

// DefaultSocket is the socket of this machine's engine: the one that DOCKER_HOST
// names if it names a unix socket, or the usual one.
func DefaultSocket(getenv func(string) string) string {
	if path, ok := strings.CutPrefix(getenv("DOCKER_HOST"), "unix://"); ok && strings.HasPrefix(path, "/") {
		return path
	}
	return defaultSocket
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
