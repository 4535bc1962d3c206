// Package machine is one simulated host as a login sees it: a folder for its files,
// a handful of commands, and the ports and sockets that it can reach.
package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/lab/sim/internal/shellwords"
	"github.com/nexgate-hq/nexops/lab/sim/internal/sshd"
	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
	"github.com/nexgate-hq/nexops/remote"
)

const home = "/home/deploy"

// Dialer connects to one port or socket of the machine.
type Dialer func() (net.Conn, error)

// Machine is one host. Its files live under a folder of the real machine and no command leaves it.
type Machine struct {
	Name  string
	World *world.World
	Pace  time.Duration // what pulling or stopping takes

	folder string
	root   *os.Root
	dials  map[string]Dialer // by "network address"
	specs  map[string]*world.Spec
	slots  chan struct{} // one Compose change at a time

	databases databases
}

// New makes a machine whose files live in folder, which must be a real path.
func New(w *world.World, name, folder string) (*Machine, error) {
	if err := os.MkdirAll(filepath.Join(folder, home), 0o750); err != nil {
		return nil, fmt.Errorf("machine %s: %w", name, err)
	}
	for _, dir := range []string{"tmp", "opt"} {
		if err := os.MkdirAll(filepath.Join(folder, dir), 0o750); err != nil {
			return nil, fmt.Errorf("machine %s: %w", name, err)
		}
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("machine %s: %w", name, err)
	}
	return &Machine{
		Name: name, World: w, folder: folder, root: root,
		dials: map[string]Dialer{}, specs: map[string]*world.Spec{}, slots: make(chan struct{}, 1),
	}, nil
}

// Close lets the folder go.
func (m *Machine) Close() error {
	if err := m.root.Close(); err != nil {
		return fmt.Errorf("machine %s: %w", m.Name, err)
	}
	return nil
}

// Reach lets the machine reach a port or socket: network is "tcp" or "unix". For the making of the machine.
func (m *Machine) Reach(network, address string, d Dialer) { m.dials[network+" "+address] = d }

// Know tells how a Compose service behaves on this machine. For the making of the machine.
func (m *Machine) Know(s *world.Spec) { m.specs[s.Project+"/"+s.Service] = s }

// Dial connects to what the machine reaches.
func (m *Machine) Dial(network, address string) (net.Conn, error) {
	if rest, ok := strings.CutPrefix(address, "localhost:"); ok {
		address = "127.0.0.1:" + rest
	}
	d, ok := m.dials[network+" "+address]
	if !ok {
		return nil, fmt.Errorf("dial %s %s: connection refused", network, address)
	}
	return d()
}

// call is one command that runs on the machine.
type call struct {
	m      *Machine
	dir    string
	env    map[string]string
	argv   []string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	tty    *sshd.TTY
}

// Exec runs one command line.
func (m *Machine) Exec(ctx context.Context, e sshd.Exec) int {
	cmd, err := shellwords.Parse(e.Line)
	if err != nil {
		_, _ = fmt.Fprintf(e.Stderr, "sh: 1: %v\n", err)
		return 127
	}
	c := &call{m: m, dir: home, env: map[string]string{}, argv: remote.Outlived(cmd.Argv), stdin: e.Stdin, stdout: e.Stdout, stderr: e.Stderr, tty: e.TTY}
	if len(c.argv) < len(cmd.Argv) { // its input is not its own, and stays open
		c.stdin = strings.NewReader("")
	}
	for k, v := range e.Env {
		c.env[k] = v
	}
	for k, v := range cmd.Env {
		c.env[k] = v
	}
	if cmd.Dir != "" {
		c.dir = c.abs(cmd.Dir)
		if info, err := m.root.Stat(rel(c.dir)); err != nil || !info.IsDir() {
			return c.fail(2, "sh: 1: cd: can't cd to %s", cmd.Dir)
		}
	}
	return c.run(ctx)
}

func (c *call) run(ctx context.Context) int {
	name, args := c.argv[0], c.argv[1:]
	switch name {
	case "hostname":
		return c.say("%s", c.m.Name)
	case "date":
		return c.date(args)
	case "id": // everything here is root's
		return c.say("0")
	case "true":
		return 0
	case "git":
		return c.git(ctx, args)
	case "docker":
		return c.docker(ctx, args)
	}
	files := map[string]func([]string) int{
		"cat": c.cat, "cp": c.cp, "tee": c.tee, "mv": c.mv, "mkdir": c.mkdir, "rm": c.rm, "readlink": c.readlink, "stat": c.stat,
		"find": c.find, "df": c.df, "install": c.install, "dd": c.dd, "head": c.head,
	}
	if do, ok := files[name]; ok {
		return do(args)
	}
	return c.fail(127, "sh: 1: %s: command not found", name)
}

func (c *call) say(format string, args ...any) int {
	_, _ = fmt.Fprintf(c.stdout, format+"\n", args...)
	return 0
}

func (c *call) fail(code int, format string, args ...any) int {
	_, _ = fmt.Fprintf(c.stderr, format+"\n", args...)
	return code
}

// df says how full the disk is: every path is on one of 80 GB, half of which is taken.
func (c *call) df(args []string) int {
	if len(args) > 0 && args[0] == "-Pk" {
		return c.diskFree(args)
	}
	if len(args) != 2 || args[0] != "-PB1" {
		return c.fail(1, "df: only -PB1 PATH and -Pk -- PATH are known here")
	}
	const size = 80 << 30
	_ = c.say("Filesystem 1-blocks Used Available Capacity Mounted on")
	return c.say("/dev/vda1 %d %d %d 50%% /", size, size/2, size/2)
}

func (c *call) date(args []string) int {
	if len(args) != 1 || args[0] != "+%s" {
		return c.fail(1, "date: only +%%s is known here")
	}
	return c.say("%d", c.m.World.Now().Unix())
}

// abs is a path as the machine sees it: absolute, clean, never above "/".
func (c *call) abs(p string) string {
	if !strings.HasPrefix(p, "/") {
		p = c.dir + "/" + p
	}
	return path.Clean("/" + p)
}

// rel is a path of the machine as a path in its root folder.
func rel(abs string) string {
	if abs = strings.TrimPrefix(abs, "/"); abs == "" {
		return "."
	}
	return abs
}

func (c *call) file(p string) string { return rel(c.abs(p)) }

// options takes the flags of a file command off, refusing what it does not know.
func (c *call) options(args []string, known string) (flags string, rest []string, ok bool) {
	for i, a := range args {
		if a == "--" {
			return flags, append(rest, args[i+1:]...), true
		}
		if len(a) < 2 || a[0] != '-' {
			rest = append(rest, a)
			continue
		}
		for _, f := range a[1:] {
			if !strings.ContainsRune(known, f) {
				c.fail(1, "%s: invalid option -- '%c'", c.argv[0], f)
				return "", nil, false
			}
		}
		flags += a[1:]
	}
	return flags, rest, true
}

// words is the message that a system call error has in the C library.
func words(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "No such file or directory"
	case errors.Is(err, fs.ErrExist):
		return "File exists"
	case errors.Is(err, fs.ErrPermission):
		return "Permission denied"
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
