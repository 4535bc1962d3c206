package remote

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"
)

const (
	// maxExecs is how many commands run at once on a host: sshd's MaxSessions is 10 by default.
	maxExecs = 8
	// maxStdio is how many of them may be connections by docker system dial-stdio.
	maxStdio = 6
)

// sshHost is a host behind SSH: one connection, made on first use, shared by
// everything, made again when lost.
type sshHost struct {
	name string
	cfg  Config
	opts Options
	jump *sshHost
	user string
	host string
	port string

	execs chan struct{} // a place is taken by each running command
	stdio chan struct{}

	ctx  context.Context // of the host's own goroutines
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu sync.Mutex
	st hostState
}

// hostState is what a host's lock guards.
type hostState struct {
	closed  bool
	link    *link
	attempt *attempt
	retry   backoff
}

// attempt is one try to connect, which any number of calls wait for.
type attempt struct {
	done chan struct{}
	link *link
	err  error
}

func newSSHHost(name string, cfg Config, jump *sshHost, opts Options) (*sshHost, error) {
	host, port, err := cfg.hostPort()
	if err != nil {
		return nil, fmt.Errorf("host %s: address: %w", name, err)
	}
	h := &sshHost{
		name: name, cfg: cfg, opts: opts, jump: jump,
		user: cfg.User, host: host, port: port,
		execs: make(chan struct{}, maxExecs),
		stdio: make(chan struct{}, maxStdio),
	}
	if h.user == "" {
		h.user = opts.User
	}
	if h.user == "" {
		return nil, fmt.Errorf("host %s: user: missing", name)
	}
	h.ctx, h.stop = context.WithCancel(context.Background())
	return h, nil
}

// Name is the config name.
func (h *sshHost) Name() string { return h.name }

// Address is user@host:port.
func (h *sshHost) Address() string { return h.user + "@" + h.hostPort() }

func (h *sshHost) hostPort() string { return net.JoinHostPort(h.host, h.port) }

// fail is the boundary: every error of this host leaves through here once.
func (h *sshHost) fail(err error) error { return fmt.Errorf("ssh %s: %w", h.name, err) }

// spawn runs f in a goroutine that Close waits for; false when the host is closed.
func (h *sshHost) spawn(f func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.st.closed {
		return false
	}
	h.wg.Go(f)
	return true
}

// connect gives the living connection, or waits for the one that is being
// made, or makes one. Right after a failed try it gives that failure at once.
func (h *sshHost) connect(ctx context.Context) (*link, error) {
	h.mu.Lock()
	if h.st.closed {
		h.mu.Unlock()
		return nil, ErrClosed
	}
	if l := h.st.link; l != nil {
		if !isDone(l.dead) {
			h.mu.Unlock()
			return l, nil
		}
		h.st.link = nil
	}
	if h.st.attempt == nil {
		if err := h.st.retry.blocked(h.opts.now()); err != nil {
			h.mu.Unlock()
			return nil, err
		}
		a := &attempt{done: make(chan struct{})}
		h.st.attempt = a
		h.wg.Go(func() { h.try(a) })
	}
	a := h.st.attempt
	h.mu.Unlock()
	select {
	case <-a.done:
		return a.link, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("connecting to %s: %w", h.hostPort(), context.Cause(ctx))
	}
}

// try makes one connection, for everybody who waits for it.
func (h *sshHost) try(a *attempt) {
	ctx, cancel := context.WithTimeout(h.ctx, h.cfg.ConnectTimeout.Or(DefaultConnectTimeout))
	defer cancel()
	l, err := h.establish(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil && h.st.closed {
		l.end(ErrClosed)
		l, err = nil, ErrClosed
	}
	if err != nil {
		h.st.retry.failed(h.opts.now(), err)
		h.opts.log().Debug("ssh connect failed", "host", h.name, "error", err)
	} else {
		h.st.retry = backoff{}
		h.st.link = l
		l.run(h)
		h.opts.log().Debug("ssh connected", "host", h.name, "address", h.hostPort())
	}
	a.link, a.err = l, err
	h.st.attempt = nil
	close(a.done)
}

// dialTCP opens the connection that SSH runs over.
func (h *sshHost) dialTCP(ctx context.Context) (net.Conn, error) {
	if h.jump != nil {
		return h.jump.Dial(ctx, "tcp", h.hostPort())
	}
	// A lost first packet is sent again after 1, 3, 7 s: too rare for a host that
	// comes back. Trying anew keeps the packets at most 2 s apart.
	each := max(3*time.Second, h.cfg.ConnectTimeout.Or(DefaultConnectTimeout)/3)
	for {
		d := net.Dialer{Timeout: each, KeepAlive: 15 * time.Second}
		conn, err := d.DialContext(ctx, "tcp", h.hostPort())
		if err == nil {
			return conn, nil
		}
		if ne, ok := err.(net.Error); !ok || !ne.Timeout() || ctx.Err() != nil { //nolint:errorlint // the dialer's own error
			return nil, err //nolint:wrapcheck // wrapped once, at the boundary
		}
	}
}

// withLink runs f on the connection. When f finds that the connection, used
// before, is lost and nothing was begun, f runs once more on a new one.
func (h *sshHost) withLink(ctx context.Context, f func(*link) error) error {
	for again := true; ; again = false {
		l, err := h.connect(ctx)
		if err != nil {
			return err
		}
		err = f(l)
		if err == nil || !again || ctx.Err() != nil || !isStale(err) {
			return err
		}
	}
}

// Close ends the connection and everything on it, and waits for the goroutines.
func (h *sshHost) Close() error {
	h.mu.Lock()
	h.st.closed = true
	l := h.st.link
	h.mu.Unlock()
	h.stop()
	if l != nil {
		l.end(ErrClosed)
	}
	h.wg.Wait()
	return nil
}

// OpenSSH is a Host that the ssh program can reach as well.
type OpenSSH interface {
	// OpenSSHArgs are the options that make the ssh program use the same identity, user,
	// port and trust. The destination is not among them. They hold no secret. "-p" is
	// only there for another port than 22 and "-l" only for a configured user;
	// both overrule what a URL says, so leave them off for a destination of its own.
	OpenSSHArgs() []string
}

// OpenSSHArgs are options for the ssh program.
func (h *sshHost) OpenSSHArgs() []string {
	option := func(args []string, key, value string) []string { return append(args, "-o", key+"="+value) }
	var args []string
	for _, file := range h.cfg.IdentityFiles {
		args = append(args, "-i", h.opts.expand(file))
	}
	if len(h.cfg.IdentityFiles) > 0 {
		args = option(args, "IdentitiesOnly", "yes")
	}
	if !h.cfg.useAgent() {
		args = option(args, "IdentityAgent", "none")
	}
	files := ""
	for i, f := range h.opts.knownHosts(h.cfg) {
		if i > 0 {
			files += " "
		}
		files += `"` + f + `"`
	}
	args = option(args, "UserKnownHostsFile", files)
	args = option(args, "StrictHostKeyChecking", "yes")
	args = option(args, "BatchMode", "yes")
	seconds := int(h.cfg.ConnectTimeout.Or(DefaultConnectTimeout).Seconds())
	args = option(args, "ConnectTimeout", strconv.Itoa(max(1, seconds)))
	if h.jump != nil {
		args = option(args, "ProxyCommand", h.jump.proxyCommand())
	}
	if h.port != defaultPort {
		args = append(args, "-p", h.port)
	}
	if h.cfg.User != "" {
		args = append(args, "-l", h.cfg.User)
	}
	return args
}
