package real

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Lab is a running lab.
type Lab struct {
	State
	places places
}

// TB is what FromEnv needs of a test.
type TB interface {
	Helper()
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(fn func())
}

// FromEnv gives the lab named by $NEXOPS_LAB to one test at a time, across test
// binaries too, or skips the test when there is none. Call it once in a test.
func FromEnv(t TB) *Lab {
	t.Helper()
	path := os.Getenv("NEXOPS_LAB")
	if path == "" {
		t.Skipf("needs the real lab: `make lab-up`, then set NEXOPS_LAB to the state file it names")
	}
	l, err := Open(path)
	if err != nil {
		t.Fatalf("NEXOPS_LAB: %v", err)
	}
	unlock, err := l.take(5 * time.Minute)
	if err != nil {
		t.Fatalf("NEXOPS_LAB: %v", err)
	}
	t.Cleanup(unlock)
	return l
}

// Open reads a lab's state file.
func Open(path string) (*Lab, error) {
	s, err := readState(path)
	if err != nil {
		return nil, err
	}
	p, err := newPlaces()
	if err != nil {
		return nil, err
	}
	p.root = s.Root
	return &Lab{State: s, places: p}, nil
}

func open(p places) (*Lab, error) { return Open(p.state()) }

// take locks the lab for one test.
func (l *Lab) take(patience time.Duration) (func(), error) {
	f, err := os.OpenFile(l.Root+"/test.lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the lab: %w", err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if time.Now().After(end) {
			_ = f.Close()
			return nil, fmt.Errorf("another test has held the lab for %v (%w)", patience, err)
		}
	}
}

// host gives a host's state.
func (l *Lab) host(name string) (HostState, error) {
	h, ok := l.Hosts[name]
	if !ok {
		return h, fmt.Errorf("no host %q in the lab: it has %s", name, strings.Join(l.hostNames(), ", "))
	}
	return h, nil
}

// Dial opens an SSH connection as the console would: its key, and the host's key checked.
func (l *Lab) Dial(ctx context.Context, name string) (*ssh.Client, error) {
	h, err := l.host(name)
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(l.Key)
	if err != nil {
		return nil, fmt.Errorf("ssh %s: %w", name, err)
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("ssh %s: %w", name, err)
	}
	known, err := knownhosts.New(l.KnownHosts)
	if err != nil {
		return nil, fmt.Errorf("ssh %s: %w", name, err)
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", h.Address)
	if err != nil {
		return nil, fmt.Errorf("ssh %s: %w", name, err)
	}
	// A host may take the connection and say nothing.
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	c, chans, reqs, err := ssh.NewClientConn(conn, h.Address, &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: known,
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}, Timeout: 5 * time.Second,
	})
	stop()
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("ssh %s: %w", name, err)
	}
	_ = conn.SetDeadline(time.Time{})
	return ssh.NewClient(c, chans, reqs), nil
}

// SSH runs one command on a host and gives what it printed; an exit code other
// than 0 is an error with what it printed in it.
func (l *Lab) SSH(ctx context.Context, name string, argv ...string) (string, error) {
	c, err := l.Dial(ctx, name)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	s, err := c.NewSession()
	if err != nil {
		return "", fmt.Errorf("ssh %s: %w", name, err)
	}
	defer func() { _ = s.Close() }()
	var out, errs bytes.Buffer
	s.Stdout, s.Stderr = &out, &errs
	if err := s.Run(quote(argv)); err != nil {
		return out.String(), fmt.Errorf("ssh %s: %s: %w: %s", name, strings.Join(argv, " "),
			errors.Join(context.Cause(ctx), err), bytes.TrimSpace(append(out.Bytes(), errs.Bytes()...)))
	}
	return out.String(), nil
}

// quote makes one shell word of each argument: sshd gives the line to a shell.
func quote(argv []string) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return strings.Join(words, " ")
}

// Tunnel is an HTTP client whose addresses are the ones a host sees: how one
// asks what listens on that host's loopback. Close it after use.
type Tunnel struct {
	*http.Client
	conn *ssh.Client
}

// Tunnel opens an HTTP client through a host.
func (l *Lab) Tunnel(ctx context.Context, name string) (*Tunnel, error) {
	c, err := l.Dial(ctx, name)
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := c.DialContext(ctx, network, addr)
		if err != nil {
			return nil, fmt.Errorf("through %s to %s: %w", name, addr, err)
		}
		return conn, nil
	}
	return &Tunnel{Client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: dial}}, conn: c}, nil
}

// Close ends the tunnel.
func (t *Tunnel) Close() {
	t.CloseIdleConnections()
	_ = t.conn.Close()
}

func httpGet(ctx context.Context, c *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", url, err)
	}
	return do(c, req)
}

func do(c *http.Client, req *http.Request) ([]byte, error) {
	resp, err := c.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", req.URL, err)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	_ = resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", req.URL, err)
	}
	if resp.StatusCode/100 != 2 {
		return b, fmt.Errorf("ask %s: %s: %s", req.URL, resp.Status, bytes.TrimSpace(b[:min(len(b), 300)]))
	}
	return b, nil
}
