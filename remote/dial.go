package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Dial connects to what the host itself would reach.
func (h *sshHost) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var conn net.Conn
	err := h.withLink(ctx, func(l *link) error {
		var err error
		switch network {
		case "unix":
			conn, err = h.dialUnix(ctx, l, address)
		case "tcp", "tcp4", "tcp6":
			conn, err = h.dialTCPIP(ctx, l, address)
		default:
			err = fmt.Errorf("dial %s: ssh carries only tcp and unix", network)
		}
		return err
	})
	if err != nil {
		return nil, h.fail(err)
	}
	return conn, nil
}

func (h *sshHost) dialTCPIP(ctx context.Context, l *link, address string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial %q: not host:port", Clean(address))
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("dial %q: no port", Clean(address))
	}
	ch, err := l.open(ctx, h, "direct-tcpip", ssh.Marshal(&struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}{host, uint32(port), "127.0.0.1", 0}))
	if err != nil {
		return nil, dialTCPError(address, err)
	}
	return h.wrap(l, ch, addr{"tcp", address}), nil
}

func dialTCPError(address string, err error) error {
	var refused *ssh.OpenChannelError
	if !errors.As(err, &refused) {
		return err
	}
	if refused.Reason == ssh.Prohibited {
		return fmt.Errorf("dial %s: sshd on the host does not allow forwarding: set AllowTcpForwarding yes in its sshd_config: %w",
			Clean(address), errForeign(refused.Message))
	}
	return fmt.Errorf("dial %s: %w: is the service listening there?", Clean(address), errForeign(refused.Message))
}

// errForeign is an error in the host's words.
func errForeign(text string) error {
	if text = Clean(text); text == "" {
		text = "refused"
	}
	return errors.New(text)
}

// wrap makes a net.Conn of a channel.
func (h *sshHost) wrap(l *link, ch channel, remote net.Addr) net.Conn {
	h.wg.Go(func() { ssh.DiscardRequests(ch.reqs) })
	return newStreamConn(streamParts{s: ch, local: addr{remote.Network(), "nexops"}, remote: remote, dead: l.dead}, h.wg.Go)
}

func (h *sshHost) dialUnix(ctx context.Context, l *link, path string) (net.Conn, error) {
	docker := strings.HasSuffix(path, "/docker.sock")
	if docker && l.forbidden.Load() {
		return h.dialStdio(ctx, l, path, 0)
	}
	ch, err := l.open(ctx, h, "direct-streamlocal@openssh.com", ssh.Marshal(&struct {
		Path      string
		Reserved0 string
		Reserved1 uint32
	}{path, "", 0}))
	if err == nil {
		return h.wrap(l, ch, addr{"unix", path}), nil
	}
	var refused *ssh.OpenChannelError
	if !errors.As(err, &refused) {
		return nil, err
	}
	problem := h.whyNoSocket(ctx, l, path, refused)
	settle := stdioSettle
	switch problem.Problem {
	case SocketMissing, SocketNotSocket, SocketDenied:
		docker = false // it would fail for the same reason
	case SocketDead, SocketUnknown:
		settle = stdioDoubt // a guess: a socket may be listened on under another name
	case SocketForbidden:
	}
	if docker {
		conn, serr := h.dialStdio(ctx, l, path, settle)
		if serr == nil {
			l.forbidden.Store(problem.Problem == SocketForbidden)
			return conn, nil
		}
		problem.Detail = strings.TrimPrefix(problem.Detail+"; and by docker: "+Clean(serr.Error()), "; ")
	}
	return nil, problem
}

// diagnose looks at a socket from the host itself: OpenSSH gives the same answer
// for one that is missing, denied or forbidden to forward. The last word is who asked.
const diagnose = `s=$1; n=${s##*/}; r=$(readlink -f "$s")
if [ ! -e "$s" ]; then w=missing
elif [ ! -S "$s" ]; then w=notsocket
elif [ ! -r "$s" ] || [ ! -w "$s" ]; then w=denied
elif [ ! -r /proc/net/unix ]; then w=unknown
else
  w=dead
  while read -r _ _ _ flags _ _ _ p; do
    [ "$flags" = 00010000 ] && [ "${p##*/}" = "$n" ] || continue
    if [ "$p" = "$s" ] || [ "$(readlink -f "$p")" = "$r" ]; then w=listening; break; fi
  done </proc/net/unix
fi
echo "$w $(id -un)"`

// whyNoSocket finds out why the host did not open a socket.
func (h *sshHost) whyNoSocket(ctx context.Context, l *link, path string, refused *ssh.OpenChannelError) *SocketError {
	e := &SocketError{Host: h.name, Path: path, User: h.user, Problem: SocketUnknown, Detail: Clean(refused.Message), Err: refused}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	res, err := h.runOn(ctx, l, Command{Argv: []string{"sh", "-c", diagnose, "nexops", path}}, nil)
	if err != nil {
		return e
	}
	word, who, _ := strings.Cut(strings.TrimSpace(string(res.Stdout)), " ")
	if who != "" {
		e.User = Clean(who)
	}
	problems := map[string]SocketProblem{
		"missing": SocketMissing, "notsocket": SocketNotSocket, "denied": SocketDenied,
		"dead": SocketDead, "listening": SocketForbidden,
	}
	if p, ok := problems[word]; ok {
		e.Problem, e.Detail = p, ""
	}
	return e
}
