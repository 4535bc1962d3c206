package remote

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// LocalAddress is the address that means this machine.
const LocalAddress = "local"

// The defaults of a host.
const (
	DefaultConnectTimeout = 10 * time.Second
	DefaultKeepalive      = 5 * time.Second
	defaultPort           = "22"
)

// Config is one [hosts.NAME] table.
type Config struct {
	Address        string   `toml:"address"`         // host or host:port; "local" is this machine
	User           string   `toml:"user"`            // default: who runs nexops
	IdentityFiles  []string `toml:"identity_files"`  // default: the usual names in ~/.ssh
	KnownHosts     []string `toml:"known_hosts"`     // default: ~/.ssh/known_hosts, /etc/ssh/ssh_known_hosts
	Agent          *bool    `toml:"agent"`           // use $SSH_AUTH_SOCK; default true
	Passphrase     Secret   `toml:"passphrase"`      // of the encrypted identity files
	Jump           string   `toml:"jump"`            // name of the host it is reached through
	ConnectTimeout Duration `toml:"connect_timeout"` // from the first packet to logged in
	Keepalive      Duration `toml:"keepalive"`       // between two signs of life
}

// IsLocal reports whether the host is this machine.
func (c Config) IsLocal() bool { return c.Address == LocalAddress }

func (c Config) useAgent() bool { return c.Agent == nil || *c.Agent }

// Validate gives every mistake at once. Each names the key.
func (c Config) Validate() []error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Address == "" {
		add("address: missing: write host or host:port, or \"local\" for this machine")
	} else if _, _, err := c.hostPort(); err != nil {
		add("address: %w", err)
	}
	if !plainWord(c.User, "-_.+@\\") {
		add("user: %q is no user name", Clean(c.User))
	}
	if slices.Contains(c.IdentityFiles, "") {
		add("identity_files: an empty path")
	}
	if slices.Contains(c.KnownHosts, "") {
		add("known_hosts: an empty path")
	}
	if err := c.Passphrase.check(); err != nil {
		add("passphrase: %w", err)
	}
	if d := c.ConnectTimeout.Std(); d < 0 || d > 5*time.Minute || (d > 0 && d < 100*time.Millisecond) {
		add("connect_timeout: %s is not between 100ms and 5m", d)
	}
	if d := c.Keepalive.Std(); d < 0 || d > time.Hour || (d > 0 && d < 10*time.Millisecond) {
		add("keepalive: %s is not between 10ms and 1h", d)
	}
	if c.IsLocal() && c.Jump != "" {
		add("jump: this machine is not reached through another host")
	}
	return errs
}

// ValidateHosts gives every mistake of a whole [hosts] table, as "NAME: KEY: ...",
// with what only shows when they are seen together: jumps to nowhere or in a circle.
func ValidateHosts(hosts map[string]Config) []error {
	var errs []error
	names := make([]string, 0, len(hosts))
	for name := range hosts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if name == "" || !plainWord(name, "-_.") {
			errs = append(errs, fmt.Errorf("%q: is no host name: use letters, digits, '-', '_' and '.'", Clean(name)))
		}
		for _, err := range hosts[name].Validate() {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		if err := checkJumps(hosts, name); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errs
}

// checkJumps follows a host's jumps to the end.
func checkJumps(hosts map[string]Config, name string) error {
	path := []string{name}
	for next := hosts[name].Jump; next != ""; next = hosts[next].Jump {
		cfg, ok := hosts[next]
		if !ok {
			return fmt.Errorf("jump: host %q is not configured", Clean(next))
		}
		if cfg.IsLocal() {
			return fmt.Errorf("jump: host %q is this machine", Clean(next))
		}
		if slices.Contains(path, next) {
			return fmt.Errorf("jump: goes in a circle: %s", strings.Join(append(path, next), " → "))
		}
		path = append(path, next)
	}
	return nil
}

// hostPort splits the address; the port is 22 when there is none.
func (c Config) hostPort() (host, port string, err error) {
	addr := c.Address
	host, port = addr, defaultPort
	switch {
	case strings.HasPrefix(addr, "[") || strings.Count(addr, ":") == 1:
		if strings.HasPrefix(addr, "[") && strings.HasSuffix(addr, "]") {
			host = addr[1 : len(addr)-1]
			break
		}
		if host, port, err = net.SplitHostPort(addr); err != nil {
			return "", "", fmt.Errorf("%q is not host or host:port", Clean(addr))
		}
	case strings.Contains(addr, ":") && net.ParseIP(addr) == nil:
		return "", "", fmt.Errorf("%q is not host or host:port", Clean(addr))
	}
	if strings.Contains(host, "@") {
		return "", "", fmt.Errorf("%q holds a user: write it in user", Clean(addr))
	}
	if n, perr := strconv.Atoi(port); perr != nil || n < 1 || n > 65535 {
		return "", "", fmt.Errorf("port %q is not between 1 and 65535", Clean(port))
	}
	if host == "" || !plainWord(host, "-_.:%") {
		return "", "", fmt.Errorf("%q is no host", Clean(host))
	}
	return host, port, nil
}

// plainWord reports whether s may stand in an ssh command line as a user or a
// host: letters, digits and the others given, and nothing that reads as an option.
func plainWord(s, others string) bool {
	if strings.HasPrefix(s, "-") {
		return false
	}
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(others, r) {
			return false
		}
	}
	return true
}
