package remote

import (
	"net"
	"net/url"
	"strings"
)

// GitSSH is what git is to run as ssh to reach a repository with the user, the key and the known_hosts of a host (GIT_SSH_COMMAND).
// What the URL says of user and port wins, as it does for the ssh program. ok is false when the host is not reached over SSH.
func GitSSH(h Host, repository string) (command string, ok bool) {
	reachable, ok := h.(OpenSSH)
	if !ok {
		return "", false
	}
	to := gitTarget(repository)
	args := []string{"ssh"}
	given := reachable.OpenSSHArgs()
	for i := 0; i < len(given); i++ {
		// For ssh the first -l and -p win, and git writes the url's own behind these.
		drop := (given[i] == "-l" && to.user != "") || (given[i] == "-p" && (to.port != "" || to.host != hostOf(h.Address())))
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
	return Quote(args), true
}

// takesValue keeps the value of an option from being read as an option.
func takesValue(arg string) bool {
	return len(arg) == 2 && arg[0] == '-' && strings.Contains("BbcDEeFIiJLlmOopQRSWw", arg[1:])
}

// target is whom an ssh url means.
type target struct{ user, host, port string }

// gitTarget reads "ssh://git@host:22/x" and "git@host:x".
func gitTarget(raw string) target {
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

// Loopback reports whether an address is that of the machine that asks: what goes there in clear nobody reads on the way.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
