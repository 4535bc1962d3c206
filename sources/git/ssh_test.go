package git

import (
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// sshd is a real OpenSSH server on a loopback port that lets one key in.
type sshd struct {
	dir, address, user string
}

func startSSHD(t *testing.T) sshd {
	t.Helper()
	const program = "/usr/sbin/sshd"
	if _, err := os.Stat(program); err != nil {
		t.Skip("no OpenSSH server on this machine: " + err.Error())
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if me.Uid == "0" {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Skip("sshd needs its privilege separation folder: " + err.Error())
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"host", "id", "stranger"} {
		keygen := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", filepath.Join(dir, name))
		if out, err := keygen.CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	_, port, _ := net.SplitHostPort(address)
	overwrite(t, filepath.Join(dir, "sshd_config"), strings.Join([]string{
		"ListenAddress 127.0.0.1:" + port, "HostKey " + filepath.Join(dir, "host"),
		"AuthorizedKeysFile " + filepath.Join(dir, "id.pub"), "StrictModes no", "UsePAM no", "PidFile none",
		"PermitRootLogin prohibit-password", "PasswordAuthentication no",
	}, "\n")+"\n")
	server := exec.Command(program, "-D", "-e", "-f", filepath.Join(dir, "sshd_config"))
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-server.Process.Pid, syscall.SIGKILL)
		_ = server.Wait()
	})
	for range 200 {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	overwrite(t, filepath.Join(dir, "known_hosts"), "[127.0.0.1]:"+port+" "+readFile(t, filepath.Join(dir, "host.pub")))
	overwrite(t, filepath.Join(dir, "knows_nobody"), "")
	return sshd{dir, address, me.Username}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// source makes a source that goes via a host with that key and known_hosts file.
func (d sshd) source(t *testing.T, repo, key, known string) *source {
	t.Helper()
	off := false
	pool := remote.NewPool(map[string]remote.Config{"ops": {
		Address: d.address, User: d.user, IdentityFiles: []string{filepath.Join(d.dir, key)},
		KnownHosts: []string{filepath.Join(d.dir, known)}, Agent: &off,
	}}, remote.Options{})
	t.Cleanup(func() { _ = pool.Close() })
	cfg := DefaultConfig()
	cfg.URL, cfg.Via = "ssh://"+d.user+"@"+d.address+repo, "ops"
	cfg.Branches = map[string]string{"prod": "master"}
	if errs := cfg.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	built, err := Kind().Build("infra", cfg, sources.Deps{Environment: "prod", CacheDir: t.TempDir(), Host: pool.Host})
	if err != nil {
		t.Fatal(err)
	}
	return built[0].(*source)
}

func TestOverRealSSH(t *testing.T) {
	r := newRepo(t)
	r.tag("ai", "1")
	d := startSSHD(t)
	t.Setenv("DISPLAY", ":99") // a graphical askpass must not be tried
	t.Setenv("SSH_ASKPASS", "/bin/false")

	s := d.source(t, r.dir, "id", "known_hosts")
	s.mirror.git.env = append(s.mirror.git.env, "GIT_SSH_COMMAND=/bin/false") // the connection that is there is all it needs
	want(t, "first", history(observe(t, s), "prod", "ai"), "1")
	r.tag("ai", "2")
	want(t, "second", history(observe(t, s), "prod", "ai"), "2 1")
	if s.mirror.tunnel == nil {
		t.Error("the tunnel was given up")
	}
	path := os.Getenv("PATH")
	t.Setenv("PATH", t.TempDir()) // where nothing was pushed, no git is started here
	want(t, "nothing new", history(observe(t, s), "prod", "ai"), "2 1")
	t.Setenv("PATH", path)
	r.tag("ai", "3")
	want(t, "third", history(observe(t, s), "prod", "ai"), "3 2 1")
	r.git("reset", "--quiet", "--hard", "HEAD~2")
	want(t, "taken back", history(observe(t, s), "prod", "ai"), "1")
	observeFails(t, d.source(t, r.dir, "stranger", "known_hosts"), "ssh ops:", "lets none of these keys in")
	observeFails(t, d.source(t, r.dir, "id", "knows_nobody"), "ssh ops:", "compare it with the host's own, then add it by")
	observeFails(t, d.source(t, "/nowhere.git", "id", "known_hosts"), "does not appear to be a git repository", "check url")
}

// TestOverItsOwnSSH is git's own way: what the host runs is not what the tunnel expects, as under a forced command.
func TestOverItsOwnSSH(t *testing.T) {
	r := newRepo(t)
	r.tag("ai", "1")
	d := startSSHD(t)
	s := d.source(t, r.dir, "id", "known_hosts")
	s.mirror.tunnel.path = "/elsewhere.git"
	want(t, "first", history(observe(t, s), "prod", "ai"), "1")
	if s.mirror.tunnel != nil {
		t.Error("the tunnel is tried again and again")
	}
	alone := func(s *source) *source {
		s.mirror.tunnel = nil
		return s
	}
	observeFails(t, alone(d.source(t, r.dir, "stranger", "known_hosts")), "Permission denied", "check that the key is in the agent")
	observeFails(t, alone(d.source(t, r.dir, "id", "knows_nobody")), "Host key verification failed", "check the host's fingerprint")
}
