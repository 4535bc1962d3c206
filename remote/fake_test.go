package remote

import (
	"errors"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeSSHD is an SSH server in this process that can be told to misbehave.
type fakeSSHD struct {
	t       testing.TB
	address string
	dir     string
	key     string // private key file that is let in
	hosts   []ssh.Signer

	conns     atomic.Int64 // connections that came
	execs     atomic.Int64 // commands that run now
	mostExecs atomic.Int64
	deaf      atomic.Bool // answers nothing any more
	forbid    atomic.Bool // no forwarding
	stuck     atomic.Bool // channel opens are not answered
	noExec    atomic.Bool

	mu   sync.Mutex
	l    net.Listener
	live map[net.Conn]bool
	run  execFunc
	let  ssh.Signer
	wg   sync.WaitGroup
}

// execFunc is what a command does; without an answer nobody hears its code.
type execFunc func(line string, ch ssh.Channel, signals <-chan string) (code int, answer bool)

// exec says what commands do from now on.
func (f *fakeSSHD) exec(run execFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.run = run
}

// letIn says whose key opens from now on.
func (f *fakeSSHD) letIn(s ssh.Signer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.let = s
}

func newFakeSSHD(t testing.TB, hostKeys ...ssh.Signer) *fakeSSHD {
	t.Helper()
	f := &fakeSSHD{t: t, dir: t.TempDir(), hosts: hostKeys, live: map[net.Conn]bool{}}
	f.key = filepath.Join(f.dir, "id")
	f.let = newKey(t, f.key)
	if len(f.hosts) == 0 {
		f.hosts = []ssh.Signer{newKey(t, "")}
	}
	f.run = shellExec
	f.start()
	t.Cleanup(f.stop)
	return f
}

// shellExec runs the line as a login shell does.
func shellExec(line string, ch ssh.Channel, _ <-chan string) (int, bool) {
	cmd := exec.Command("sh", "-c", line)
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 255, true
	}
	go func() { _, _ = io.Copy(stdin, ch); _ = stdin.Close() }()
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode(), true
}

func (f *fakeSSHD) start() {
	f.t.Helper()
	at := f.address
	if at == "" {
		at = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		f.t.Fatal(err)
	}
	f.address = l.Addr().String()
	f.mu.Lock()
	f.l = l
	f.mu.Unlock()
	f.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.conns.Add(1)
			f.mu.Lock()
			f.live[c] = true
			f.mu.Unlock()
			f.wg.Go(func() { f.serve(&deafConn{Conn: c, deaf: &f.deaf}) })
		}
	})
}

// drop cuts every connection.
func (f *fakeSSHD) drop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.live {
		_ = c.Close()
	}
	f.live = map[net.Conn]bool{}
}

func (f *fakeSSHD) stop() {
	f.mu.Lock()
	_ = f.l.Close()
	f.mu.Unlock()
	f.drop()
	f.wg.Wait()
}

// deafConn swallows what it should write once it is deaf: a host behind a cut wire.
type deafConn struct {
	net.Conn
	deaf *atomic.Bool
}

func (c *deafConn) Write(p []byte) (int, error) {
	if c.deaf.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (f *fakeSSHD) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	cfg := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if string(key.Marshal()) == string(f.let.PublicKey().Marshal()) {
			return nil, nil
		}
		return nil, errors.New("not let in")
	}}
	for _, k := range f.hosts {
		cfg.AddHostKey(k)
	}
	conn, chans, reqs, err := ssh.NewServerConn(c, cfg)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	f.wg.Go(func() { ssh.DiscardRequests(reqs) })
	for nc := range chans {
		if f.stuck.Load() {
			continue
		}
		f.wg.Go(func() { f.channel(nc) })
	}
}

func (f *fakeSSHD) channel(nc ssh.NewChannel) {
	var network, address string
	switch nc.ChannelType() {
	case "session":
		f.session(nc)
		return
	case "direct-tcpip":
		var p struct {
			Host  string
			Port  uint32
			OHost string
			OPort uint32
		}
		_ = ssh.Unmarshal(nc.ExtraData(), &p)
		network, address = "tcp", net.JoinHostPort(p.Host, itoa(p.Port))
	case "direct-streamlocal@openssh.com":
		var p struct {
			Path string
			R0   string
			R1   uint32
		}
		_ = ssh.Unmarshal(nc.ExtraData(), &p)
		network, address = "unix", p.Path
	default:
		_ = nc.Reject(ssh.UnknownChannelType, nc.ChannelType())
		return
	}
	if f.forbid.Load() {
		_ = nc.Reject(ssh.Prohibited, "open failed")
		return
	}
	to, err := net.Dial(network, address)
	if err != nil {
		_ = nc.Reject(ssh.ConnectionFailed, "open failed\x1b[2J")
		return
	}
	ch, reqs, err := nc.Accept()
	if err != nil {
		_ = to.Close()
		return
	}
	f.wg.Go(func() { ssh.DiscardRequests(reqs) })
	f.wg.Go(func() {
		_, _ = io.Copy(to, ch)
		_ = to.(interface{ CloseWrite() error }).CloseWrite()
	})
	_, _ = io.Copy(ch, to)
	_ = ch.Close()
	_ = to.Close()
}

func itoa(n uint32) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

func (f *fakeSSHD) session(nc ssh.NewChannel) {
	ch, reqs, err := nc.Accept()
	if err != nil {
		return
	}
	signals := make(chan string, 8)
	for req := range reqs {
		switch req.Type {
		case "exec":
			var p struct{ Line string }
			_ = ssh.Unmarshal(req.Payload, &p)
			if f.noExec.Load() {
				_ = req.Reply(false, nil)
				continue
			}
			_ = req.Reply(true, nil)
			f.wg.Go(func() {
				f.mu.Lock()
				f.mostExecs.Store(max(f.mostExecs.Load(), f.execs.Add(1)))
				run := f.run
				f.mu.Unlock()
				code, answer := run(p.Line, ch, signals)
				f.execs.Add(-1)
				if answer {
					_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(&struct{ Code uint32 }{uint32(code)}))
				}
				_ = ch.Close()
			})
		case "signal":
			var p struct{ Name string }
			_ = ssh.Unmarshal(req.Payload, &p)
			signals <- p.Name
		default:
			if req.WantReply {
				_ = req.Reply(false, nil)
			}
		}
	}
	close(signals)
}

// config is one that works.
func (f *fakeSSHD) config() Config {
	f.t.Helper()
	known := filepath.Join(f.dir, "known_hosts")
	writeFile(f.t, known, knownLine(f.address, f.hosts[0]))
	off := false
	return Config{Address: f.address, User: "deploy", IdentityFiles: []string{f.key}, KnownHosts: []string{known}, Agent: &off}
}
