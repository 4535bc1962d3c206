package git

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// sshCommand is what git runs as ssh: with the identity and the trust of the
// host that the config names. "" leaves it to git.
func sshCommand(c *Config, deps sources.Deps) (string, error) {
	if c.Via == "" {
		return "", nil
	}
	if deps.Host == nil {
		return "", errors.New("via: no hosts are configured")
	}
	host, err := deps.Host(c.Via)
	if err != nil {
		return "", fmt.Errorf("via: %w", err)
	}
	reachable, ok := host.(remote.OpenSSH)
	if !ok {
		return "", fmt.Errorf("via: host %q is not reached over ssh; leave via out", c.Via)
	}
	to := parseTarget(c.URL)
	args := []string{"ssh"}
	given := reachable.OpenSSHArgs()
	for i := 0; i < len(given); i++ {
		// For ssh the first -l and -p win, and git writes the url's own behind these.
		drop := (given[i] == "-l" && to.user != "") || (given[i] == "-p" && (to.port != "" || to.host != hostOf(host.Address())))
		if drop {
			i++
			continue
		}
		args = append(args, given[i])
		if takesValue(given[i]) && i+1 < len(given) {
			i++
			args = append(args, given[i])
		}
	}
	return remote.Quote(args), nil
}

// takesValue keeps the value of an option from being read as an option.
func takesValue(arg string) bool {
	return len(arg) == 2 && arg[0] == '-' && strings.Contains("BbcDEeFIiJLlmOopQRSWw", arg[1:])
}

// target is whom an ssh url means.
type target struct{ user, host, port string }

func parseTarget(raw string) target {
	if u, err := url.Parse(raw); err == nil && strings.Contains(raw, "://") {
		return target{user: u.User.Username(), host: u.Hostname(), port: u.Port()}
	}
	where, _, _ := strings.Cut(raw, ":")
	if user, host, ok := strings.Cut(where, "@"); ok {
		return target{user: user, host: host}
	}
	return target{host: where}
}

// hostOf takes the host out of "root@10.0.0.4:22".
func hostOf(address string) string {
	address = address[strings.LastIndexByte(address, '@')+1:]
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}
