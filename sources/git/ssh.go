package git

import (
	"errors"
	"fmt"

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
	command, ok := remote.GitSSH(host, c.URL)
	if !ok {
		return "", fmt.Errorf("via: host %q is not reached over ssh; leave via out", c.Via)
	}
	return command, nil
}
