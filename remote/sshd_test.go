package remote

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// newKey makes a key, and its private file.
func newKey(t testing.TB, file string) ssh.Signer {
	t.Helper()
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	if file != "" {
		block, err := ssh.MarshalPrivateKey(priv, "test")
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, file, string(pem.EncodeToMemory(block)))
	}
	return signer
}

func writeFile(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func authorized(s ssh.Signer) string { return string(ssh.MarshalAuthorizedKey(s.PublicKey())) }

func knownLine(address string, s ssh.Signer) string {
	host, port, _ := net.SplitHostPort(address)
	return fmt.Sprintf("[%s]:%s %s", host, port, authorized(s))
}

// sshd is a real OpenSSH server on a loopback port.
type sshd struct {
	t       testing.TB
	bin     string
	dir     string
	address string
	user    string
	key     string // private key file that is let in
	hostKey ssh.Signer
	cmd     *exec.Cmd
}

// startSSHD starts OpenSSH with extra lines of configuration, or skips the test.
func startSSHD(t testing.TB, extra ...string) *sshd {
	t.Helper()
	bin := "/usr/sbin/sshd"
	if _, err := os.Stat(bin); err != nil {
		t.Skip("no OpenSSH server on this machine: " + err.Error())
	}
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if u.Uid == "0" {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Skip("sshd needs its privilege separation folder: " + err.Error())
		}
	}
	s := &sshd{t: t, bin: bin, dir: t.TempDir(), user: u.Username}
	s.key = filepath.Join(s.dir, "id")
	client := newKey(t, s.key)
	s.hostKey = newKey(t, filepath.Join(s.dir, "host_ed25519"))
	writeFile(t, filepath.Join(s.dir, "authorized"), authorized(client))
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", filepath.Join(s.dir, "host_rsa")).CombinedOutput(); err != nil {
		t.Skipf("ssh-keygen: %v: %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(s.address)
	writeFile(t, filepath.Join(s.dir, "sshd_config"), strings.Join(append([]string{
		"ListenAddress 127.0.0.1:" + port,
		"HostKey " + filepath.Join(s.dir, "host_ed25519"),
		"HostKey " + filepath.Join(s.dir, "host_rsa"),
		"AuthorizedKeysFile " + filepath.Join(s.dir, "authorized"),
		"StrictModes no", "UsePAM no", "PidFile none", "PermitRootLogin prohibit-password", "PasswordAuthentication no",
	}, extra...), "\n")+"\n")
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *sshd) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.bin, "-D", "-e", "-f", filepath.Join(s.dir, "sshd_config"))
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	s.cmd.Stderr = log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for range 200 {
		c, err := net.Dial("tcp", s.address)
		if err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	said, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	s.t.Fatalf("sshd does not listen: %s", said)
}

// stop kills sshd and the processes that serve its sessions.
func (s *sshd) stop() {
	if s.cmd == nil {
		return
	}
	pid := s.cmd.Process.Pid
	out, _ := exec.Command("pgrep", "-P", fmt.Sprint(pid)).Output()
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	for _, child := range strings.Fields(string(out)) {
		var n int
		if _, err := fmt.Sscan(child, &n); err == nil {
			_ = syscall.Kill(n, syscall.SIGKILL)
		}
	}
	_ = s.cmd.Wait()
	s.cmd = nil
}

func (s *sshd) config(t testing.TB) Config {
	known := filepath.Join(s.dir, "known_hosts")
	writeFile(t, known, knownLine(s.address, s.hostKey))
	off := false
	return Config{Address: s.address, User: s.user, IdentityFiles: []string{s.key}, KnownHosts: []string{known}, Agent: &off}
}

// one makes a host of a config, closed at the end of the test.
func one(t testing.TB, cfg Config, opts Options) Host {
	t.Helper()
	p := NewPool(map[string]Config{"prod-1": cfg}, opts)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	h, err := p.Host("prod-1")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// The server has an ed25519 and an rsa key; known_hosts has the first alone.
func TestRealSSHDRun(t *testing.T) {
	s := startSSHD(t)
	h := one(t, s.config(t), Options{})
	ctx := within(t)
	dir := filepath.Join(s.dir, "a folder's")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var live strings.Builder
	res, err := h.Run(ctx, Command{
		Argv: []string{"sh", "-c", `pwd; cat; echo "$V"; echo bad >&2; exit 7`}, Dir: dir,
		Env: map[string]string{"V": "a 'b'\n$c"}, Stdin: strings.NewReader("in\n"), Stdout: &live,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := dir + "\nin\na 'b'\n$c\n"
	if res.Code != 7 || string(res.Stdout) != want || string(res.Stderr) != "bad\n" || live.String() != want {
		t.Fatalf("%+v, stdout %q, live %q", res, res.Stdout, live.String())
	}
	if res, err = h.Run(ctx, Command{Argv: []string{"/no/such/program"}}); err != nil || res.Code != 127 {
		t.Fatalf("%+v %v, want code 127", res, err)
	}
	if res, err = h.Run(ctx, Command{Argv: []string{"sh", "-c", "kill -9 $$"}}); err != nil || res.Code != 137 {
		t.Fatalf("%+v %v, want code 137", res, err)
	}
	if res, err = h.Run(ctx, Command{Argv: []string{"head", "-c", "3000000", "/dev/zero"}}); err != nil || !res.Truncated || len(res.Stdout) != maxOutput {
		t.Fatalf("%d bytes, truncated %v, %v", len(res.Stdout), res.Truncated, err)
	}
}

func TestRealSSHDCancel(t *testing.T) {
	s := startSSHD(t)
	h := one(t, s.config(t), Options{})
	mark := filepath.Join(s.dir, "mark")
	ctx, cancel := context.WithCancel(within(t))
	out := &firstByte{seen: cancel}
	_, err := h.Run(ctx, Command{Argv: []string{"sh", "-c", `trap 'echo ended > "$1"; exit' TERM; echo x; for i in 1 2 3 4 5 6 7 8 9; do sleep 0.5; done`, "sh", mark}, Stdout: out})
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrNotStarted) {
		t.Fatalf("err = %v", err)
	}
	if strings.Contains(err.Error(), "may still run") {
		if s.user != "root" {
			t.Fatalf("err = %v for user %s", err, s.user)
		}
		return // sshd signals no command of root, and the error says what that means
	}
	for range 100 {
		if _, err := os.Stat(mark); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the command did not get SIGTERM")
}

type firstByte struct{ seen func() }

func (w *firstByte) Write(p []byte) (int, error) { w.seen(); return len(p), nil }

// echoHTTP serves HTTP on a listener until the test ends.
func echoHTTP(t testing.TB, l net.Listener) {
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello "+r.URL.Path) })}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
}

func get(t testing.TB, tr *http.Transport, url string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func listenUnix(t testing.TB) (net.Listener, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "nx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "docker.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, path
}

func TestRealSSHDDial(t *testing.T) {
	s := startSSHD(t)
	h := one(t, s.config(t), Options{})
	ul, path := listenUnix(t)
	echoHTTP(t, ul)
	tl, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	echoHTTP(t, tl)
	unix := Transport(h, "unix", path)
	defer unix.CloseIdleConnections()
	if got, err := get(t, unix, "http://docker/a"); err != nil || got != "hello /a" {
		t.Fatalf("%q %v", got, err)
	}
	tcp := Transport(h, "", "")
	defer tcp.CloseIdleConnections()
	if got, err := get(t, tcp, "http://"+tl.Addr().String()+"/b"); err != nil || got != "hello /b" {
		t.Fatalf("%q %v", got, err)
	}
	for _, tc := range []struct {
		path string
		want SocketProblem
	}{
		{filepath.Join(s.dir, "none.sock"), SocketMissing},
		{s.key, SocketNotSocket},
		{deadSocket(t), SocketDead},
	} {
		_, err := h.Dial(within(t), "unix", tc.path)
		var se *SocketError
		if !errors.As(err, &se) || se.Problem != tc.want {
			t.Errorf("%s: %v, want %s", tc.path, err, tc.want)
		}
	}
	gone := tl.Addr().String()
	_ = tl.Close()
	if _, err := h.Dial(within(t), "tcp", gone); err == nil || !strings.Contains(err.Error(), gone) {
		t.Errorf("err = %v, want one that names %s", err, gone)
	}
}

// deadSocket is a socket that nobody listens on.
func deadSocket(t testing.TB) string {
	t.Helper()
	l, path := listenUnix(t)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	return path
}

func TestRealSSHDForwardingForbidden(t *testing.T) {
	ul, path := listenUnix(t)
	echoHTTP(t, ul)
	bin := t.TempDir()
	// A docker that does what system dial-stdio does.
	if _, err := exec.LookPath("socat"); err == nil {
		writeFile(t, filepath.Join(bin, "docker"), "#!/bin/sh\nexec socat - UNIX-CONNECT:${2#unix://}\n")
	} else {
		writeFile(t, filepath.Join(bin, "docker"), dialStdioScript)
	}
	if err := os.Chmod(filepath.Join(bin, "docker"), 0o755); err != nil { // #nosec G302 -- a program
		t.Fatal(err)
	}
	s := startSSHD(t, "AllowStreamLocalForwarding no", "AllowTcpForwarding no", "SetEnv PATH="+bin+":/usr/bin:/bin")
	h := one(t, s.config(t), Options{})
	tr := Transport(h, "unix", path)
	defer tr.CloseIdleConnections()
	for i := range 3 {
		want := fmt.Sprintf("hello /%d", i)
		if got, err := get(t, tr, fmt.Sprintf("http://docker/%d", i)); err != nil || got != want {
			t.Fatalf("%q %v", got, err)
		}
		tr.CloseIdleConnections()
	}
	other := filepath.Join(filepath.Dir(path), "other.sock")
	l, err := net.Listen("unix", other)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, err = h.Dial(within(t), "unix", other)
	var se *SocketError
	if !errors.As(err, &se) || se.Problem != SocketForbidden || !strings.Contains(err.Error(), "AllowStreamLocalForwarding") {
		t.Errorf("err = %v, want forwarding forbidden", err)
	}
	if _, err = h.Dial(within(t), "tcp", "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "AllowTcpForwarding") {
		t.Errorf("err = %v, want AllowTcpForwarding", err)
	}
}

const dialStdioScript = `#!/usr/bin/env python3
import os, socket, sys, threading
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[2][len("unix://"):])
def up():
    while True:
        b = os.read(0, 65536)
        if not b:
            s.shutdown(socket.SHUT_WR)
            return
        s.sendall(b)
threading.Thread(target=up, daemon=True).start()
while True:
    b = s.recv(65536)
    if not b:
        break
    os.write(1, b)
`

func TestRealSSHDComesBack(t *testing.T) {
	s := startSSHD(t)
	h := one(t, s.config(t), Options{})
	ctx := within(t)
	if _, err := h.Run(ctx, Command{Argv: []string{"true"}}); err != nil {
		t.Fatal(err)
	}
	began := make(chan struct{})
	var once bool
	out := &firstByte{seen: func() {
		if !once {
			once = true
			close(began)
		}
	}}
	lost := make(chan error, 1)
	go func() {
		_, err := h.Run(ctx, Command{Argv: []string{"sh", "-c", "echo x; exec sleep 5"}, Stdout: out})
		lost <- err
	}()
	<-began
	s.stop()
	if err := <-lost; !errors.Is(err, ErrConnectionLost) || errors.Is(err, ErrNotStarted) {
		t.Fatalf("err = %v, want a lost connection", err)
	}
	if _, err := h.Run(ctx, Command{Argv: []string{"true"}}); !errors.Is(err, ErrNotStarted) {
		t.Fatalf("err = %v, want ErrNotStarted", err)
	}
	s.start()
	for {
		if _, err := h.Run(ctx, Command{Argv: []string{"true"}}); err == nil {
			return
		} else if !errors.Is(err, ErrNotStarted) {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// The ssh program reaches the host with the options that OpenSSHArgs gives.
func TestRealSSHDOpenSSHArgs(t *testing.T) {
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("no ssh program on this machine")
	}
	s := startSSHD(t)
	cfg := s.config(t)
	p := NewPool(map[string]Config{"direct": cfg, "behind": func() Config { c := cfg; c.Jump = "direct"; return c }()}, Options{})
	t.Cleanup(func() { _ = p.Close() })
	for _, name := range []string{"direct", "behind"} {
		h, err := p.Host(name)
		if err != nil {
			t.Fatal(err)
		}
		res, err := h.Run(within(t), Command{Argv: []string{"echo", "ours"}})
		if err != nil || string(res.Stdout) != "ours\n" {
			t.Fatalf("%s: %+v %v", name, res, err)
		}
		args := append(h.(OpenSSH).OpenSSHArgs(), "-F", "none", "127.0.0.1", "echo theirs")
		out, err := exec.CommandContext(within(t), "ssh", args...).CombinedOutput()
		if err != nil || string(out) != "theirs\n" {
			t.Fatalf("%s: ssh %q: %v: %s", name, args, err, out)
		}
	}
}
