package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"

	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// tunnel lets git speak to a repository on a host over the connection that nexops has to it already. An ssh of git's
// own takes a tenth of a second of a processor for its handshake alone, at every fetch.
type tunnel struct {
	host remote.Host
	path string // of the repository on the host
}

// tunnelOf gives the tunnel to a repository; nil when git must find its own way: the URL means another
// host, port or user than the one that via names, or what answers there may be no shell.
func tunnelOf(c *Config, deps sources.Deps) *tunnel {
	if c.Via == "" || deps.Host == nil {
		return nil
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "ssh" || u.Path == "" || strings.HasPrefix(u.Path, "/~") {
		return nil
	}
	host, err := deps.Host(c.Via)
	if err != nil {
		return nil
	}
	user, address, _ := strings.Cut(host.Address(), "@")
	name, port, err := net.SplitHostPort(address)
	if err != nil || u.Hostname() != name || u.User.Username() != user || portOf(u) != port {
		return nil
	}
	return &tunnel{host: host, path: u.Path}
}

func portOf(u *url.URL) string {
	if u.Port() == "" {
		return "22"
	}
	return u.Port()
}

// tunnelURL is what git is told to speak to: two files that it inherits. It is spoken to in the first version of
// git's protocol, in which the host's side knows by itself when all is said; in the second it waits for the end of
// a file that every process of git's holds open.
const tunnelURL = "fd::3,4/"

// passage is a tunnel while git runs.
type passage struct {
	theirs []*os.File // git's ends: what it reads, what it writes
	ours   []*os.File
	done   sync.WaitGroup
	result remote.Result
	err    error
}

// open starts git's counterpart on the host.
func (t *tunnel) open(ctx context.Context) (*passage, error) {
	gitReads, toGit, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	fromGit, gitWrites, err := os.Pipe()
	if err != nil {
		_ = gitReads.Close()
		_ = toGit.Close()
		return nil, fmt.Errorf("pipe: %w", err)
	}
	p := &passage{theirs: []*os.File{gitReads, gitWrites}, ours: []*os.File{fromGit, toGit}}
	p.done.Go(func() {
		defer func() { _ = toGit.Close() }()
		p.result, p.err = t.host.Run(ctx, remote.Command{
			Argv: []string{"git-upload-pack", t.path}, Stdin: fromGit, Stdout: quiet{toGit},
		})
	})
	return p, nil
}

// quiet takes what nobody reads any more: git may end before the host has said its last word.
type quiet struct{ io.Writer }

// Write writes as long as it can.
func (q quiet) Write(p []byte) (int, error) {
	_, _ = q.Writer.Write(p)
	return len(p), nil
}

// started leaves git's ends to git.
func (p *passage) started() {
	for _, f := range p.theirs {
		_ = f.Close()
	}
}

// end waits for the host's side.
func (p *passage) end() {
	p.started()
	_ = p.ours[0].Close()
	p.done.Wait()
}

// throughTunnel runs a call for which the tunnel stands in for the URL, which is put where url stands in the
// arguments. tried is false when git should go its own way instead: what answers on the host is not
// the git that was expected there.
func (m *mirror) throughTunnel(ctx context.Context, c call) (tried bool, err error) {
	t := m.tunnel
	if t == nil {
		return false, nil
	}
	args := make([]string, len(c.args))
	for i, arg := range c.args {
		if arg == m.url {
			arg = tunnelURL
		}
		args[i] = arg
	}
	c.args = append([]string{"-c", "protocol.version=0"}, args...)
	if c.passage, err = t.open(ctx); err != nil {
		return false, nil //nolint:nilerr // out of files: git's own way says so better
	}
	p := c.passage
	err = m.git.run(ctx, c)
	p.end()
	switch {
	case err == nil || ctx.Err() != nil:
		return true, err
	case errors.Is(p.err, remote.ErrNotStarted):
		return true, p.err // the host cannot be reached: nobody's ssh would
	default:
		return false, nil
	}
}

// ask runs a call that speaks to the remote.
func (m *mirror) ask(ctx context.Context, c call) error {
	if tried, err := m.throughTunnel(ctx, c); tried {
		return err
	}
	err := m.git.run(ctx, c)
	if err == nil {
		m.tunnel = nil // git's own way works and the tunnel does not: it is not tried again
	}
	return err
}
