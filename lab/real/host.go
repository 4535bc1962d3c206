package real

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	_ "embed" // boot.sh
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

//go:embed boot.sh
var bootScript string

// keyPair is one ed25519 key as OpenSSH keeps it.
type keyPair struct {
	private []byte
	public  string // "ssh-ed25519 AAAA..."
}

func newKey(comment string) (keyPair, error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return keyPair{}, fmt.Errorf("make key %s: %w", comment, err)
	}
	block, err := ssh.MarshalPrivateKey(priv, comment)
	if err != nil {
		return keyPair{}, fmt.Errorf("make key %s: %w", comment, err)
	}
	sp, err := ssh.NewPublicKey(pub)
	if err != nil {
		return keyPair{}, fmt.Errorf("make key %s: %w", comment, err)
	}
	return keyPair{private: pem.EncodeToMemory(block), public: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sp)))}, nil
}

// sshdConfig lets keys in and nothing else.
func sshdConfig(ip string) string {
	return `ListenAddress ` + ip + `
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile /run/sshd.pid
AuthorizedKeysFile .ssh/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
MaxSessions 50
MaxStartups 50
UseDNS no
AllowStreamLocalForwarding yes
AllowTcpForwarding yes
Subsystem sftp internal-sftp
LogLevel VERBOSE
`
}

// files lays out the host's own folders before it boots.
func (u *upper) files(h hostPlan, hostKey keyPair) error {
	dir := u.host(h.name)
	for _, d := range []string{"etc", "etc.work", "own/docker", "own/ssh", "root", "opt", "srv", "tmp", "docker"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return fmt.Errorf("make host %s: %w", h.name, err)
		}
	}
	if err := errors.Join(os.Chmod(dir+"/root", 0o700), os.Chmod(dir+"/tmp", 0o1777|os.ModeSticky)); err != nil {
		return fmt.Errorf("make host %s: %w", h.name, err)
	}
	authorized := u.console.public + " nexops console\n"
	if h.name == ops {
		authorized += `restrict,command="git-shell -c \"$SSH_ORIGINAL_COMMAND\"" ` + u.pull.public + " git of the hosts\n"
	}
	daemon, err := json.Marshal(map[string]any{
		"insecure-registries": []string{registryName},
		"exec-opts":           []string{"native.cgroupdriver=cgroupfs"},
		"cgroup-parent":       "/" + prefix + h.name,
		"data-root":           dir + "/docker",
		"hosts":               []string{"unix:///run/docker.sock", "unix://" + dir + "/docker.sock"},
		"live-restore":        true, // an Engine that dies takes no container with it
		"log-opts":            map[string]string{"max-size": "10m", "max-file": "3"},
	})
	if err != nil {
		return fmt.Errorf("make host %s: %w", h.name, err)
	}
	for _, f := range []struct {
		path string
		text string
		mode os.FileMode
	}{
		{"boot.sh", bootScript, 0o644},
		{"etc/hostname", h.name + "\n", 0o644},
		{"etc/hosts", u.etcHosts(h.name), 0o644},
		{"own/docker/daemon.json", string(daemon), 0o644},
		{"own/ssh/ssh_host_ed25519_key", string(hostKey.private), 0o600},
		{"own/ssh/ssh_host_ed25519_key.pub", hostKey.public + "\n", 0o644},
		{"own/ssh/sshd_config.lab", sshdConfig(u.ip(h)), 0o644},
		{"root/.ssh/authorized_keys", authorized, 0o600},
		{"root/.ssh/id_ed25519", string(u.pull.private), 0o600},
		{"root/.ssh/known_hosts", u.knownHosts, 0o644},
		{"root/.profile", "PS1='" + h.name + "# '\n", 0o644},
	} {
		if err := writeFile(filepath.Join(dir, f.path), []byte(f.text), f.mode); err != nil {
			return err
		}
	}
	if h.compose == "" {
		return nil
	}
	return place(u.bin(tools()[0].file), filepath.Join(dir, "root/.docker/cli-plugins/docker-compose"))
}

func (u *upper) etcHosts(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "127.0.0.1 localhost\n127.0.1.1 %s\n", name)
	registryHost, _, _ := net.SplitHostPort(registryName)
	for _, h := range hostPlans() {
		fmt.Fprintf(&b, "%s %s.nexgate.lab %s\n", u.ip(h), h.name, h.name)
		if h.name == ops {
			fmt.Fprintf(&b, "%s %s git.nexgate.lab\n", u.ip(h), registryHost)
		}
	}
	return b.String()
}

// boot starts the host: its namespaces, sshd, and its Engine if it runs containers.
func (u *upper) boot(ctx context.Context, h hostPlan) (HostState, error) {
	dir := u.host(h.name)
	st := HostState{
		Address: net.JoinHostPort(u.ip(h), "22"), IP: u.ip(h), Env: h.env,
		Netns: "/run/netns/" + prefix + h.name, Dir: dir,
	}
	if err := joinNetwork(ctx, h.name, fmt.Sprintf("%s/%d", u.ip(h), u.subnet.Bits())); err != nil {
		return st, err
	}
	init, err := u.start(h.name+".init", []string{
		"nsenter", "--net=" + st.Netns, "--", "unshare", "--mount", "--uts", "--propagation", "private", "--",
		"sh", dir + "/boot.sh", h.name, dir,
	})
	if err != nil {
		return st, err
	}
	st.PID = init.PID
	err = until(ctx, h.name+" to boot", 10*time.Millisecond, func(context.Context) error {
		if !init.alive() {
			return fmt.Errorf("its first process ended: see %s", u.log(h.name+".init"))
		}
		_, err := os.Stat(dir + "/booted")
		return err
	})
	if err != nil {
		return st, err
	}
	if err := u.startSSHD(h.name, st); err != nil {
		return st, err
	}
	if h.compose == "" {
		return st, nil
	}
	st.DockerSocket, st.Compose, st.Checkout = dir+"/docker.sock", h.compose, checkout
	st.Project, st.Ports = "nexgate-"+h.env, map[string]int{}
	for _, name := range h.runs {
		s, err := serviceByName(name)
		if err != nil {
			return st, err
		}
		st.Ports[name] = s.port
	}
	return st, u.startEngine(ctx, h.name, st)
}

// inside is argv run in the host's namespaces. Not `ip netns exec`: that mounts
// a new /sys, in which the Engine finds no cgroups.
func inside(st HostState, argv ...string) []string {
	return append([]string{"nsenter", "--target", strconv.Itoa(st.PID), "--mount", "--net", "--uts", "--"}, argv...)
}

func (p places) startSSHD(name string, st HostState) error {
	_, err := p.start(name+".sshd", inside(st, "/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/sshd_config.lab"))
	return err
}

// startEngine starts the host's Engine and waits until it answers.
func (p places) startEngine(ctx context.Context, name string, st HostState) error {
	// A killed Engine leaves pid files, and the next one waits for, or refuses to start
	// beside, whatever has these pids now.
	stale := inside(st, "rm", "-f", "/run/docker.pid", "/run/docker/containerd/containerd.pid", "/run/docker.sock", st.DockerSocket)
	if _, err := run(ctx, stale...); err != nil {
		return fmt.Errorf("start the engine of %s: %w", name, err)
	}
	e, err := p.start(name+".dockerd", inside(st, "dockerd"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client := unixClient(st.DockerSocket)
	defer client.CloseIdleConnections()
	return until(ctx, "the engine of "+name, 50*time.Millisecond, func(ctx context.Context) error {
		if !e.alive() {
			return fmt.Errorf("it ended: see %s", p.log(name+".dockerd"))
		}
		return httpOK(ctx, client, "http://engine/_ping")
	})
}

func unixClient(socket string) *http.Client {
	return &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}},
	}
}

func httpOK(ctx context.Context, c *http.Client, url string) error {
	_, err := httpGet(ctx, c, url)
	return err
}
