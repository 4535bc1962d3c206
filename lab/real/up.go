// Package real is an estate made of real servers on one machine: hosts with
// their own sshd and Docker Engine, a registry, Prometheus, Loki and an infra repo.
package real

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// upper holds what is known while the lab is being made.
type upper struct {
	places
	subnet     netip.Prefix
	console    keyPair // the person's key
	pull       keyPair // the hosts' key for git
	knownHosts string
	state      State
	say        func(format string, args ...any)
}

func (u *upper) ip(h hostPlan) string { return at(u.subnet, h.last) }

// Up makes the lab, or finds it running and whole, and gives it. What an
// earlier run left, whole or killed, is removed first.
func Up(ctx context.Context, say func(format string, args ...any)) (*Lab, error) {
	p, err := newPlaces()
	if err != nil {
		return nil, err
	}
	unlock, err := p.exclusive()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if l, err := open(p); err == nil && l.Check(ctx) == nil {
		say("the lab is already up")
		return l, nil
	}
	if err := preflight(); err != nil {
		return nil, err
	}
	if err := p.clean(ctx); err != nil {
		return nil, fmt.Errorf("clean up before: %w", err)
	}
	u := &upper{places: p, say: say}
	l, err := u.up(ctx)
	if err != nil {
		return nil, fmt.Errorf("bring the lab up: %w (logs stay in %s until `labctl down`)", err, filepath.Join(p.root, "log"))
	}
	return l, nil
}

// Down removes everything the lab made, running or left by a kill.
func Down(ctx context.Context) error {
	p, err := newPlaces()
	if err != nil {
		return err
	}
	unlock, err := p.exclusive()
	if err != nil {
		return err
	}
	defer unlock()
	return p.clean(ctx)
}

// exclusive keeps two of up and down apart. The kernel drops the lock with its
// process, so that a killed one blocks nobody.
func (p places) exclusive() (func(), error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the lab makes namespaces and mounts: run it as root")
	}
	if err := os.MkdirAll(p.cache, 0o755); err != nil {
		return nil, fmt.Errorf("make the cache folder: %w", err)
	}
	f, err := os.OpenFile(p.lock(), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the lab: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another `labctl up` or `down` is at work: wait for it to end (%w)", err)
	}
	return func() { _ = f.Close() }, nil
}

// Packages are the Debian packages the lab runs on.
func Packages() []string {
	return []string{"docker.io", "docker-registry", "iptables", "iproute2", "openssh-server", "openssh-client", "git", "prometheus", "nginx-light", "postgresql-" + databaseVersion, "util-linux"}
}

func preflight() error {
	var missing []string
	for _, prog := range []string{"dockerd", "docker", "docker-registry", "iptables", "ip", "sshd", "ssh", "git", "git-shell", "prometheus", "nginx", databaseBin + "/postgres", "nsenter", "unshare", "go"} {
		if _, err := exec.LookPath(prog); err != nil {
			missing = append(missing, prog)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s: not found: run `apt-get install -y --no-install-recommends %s`, or `labctl up -install`",
			strings.Join(missing, ", "), strings.Join(Packages(), " "))
	}
	return nil
}

func (u *upper) up(ctx context.Context) (*Lab, error) {
	if err := u.build(ctx, u.say); err != nil {
		return nil, err
	}
	for _, d := range []string{u.log(""), u.run(""), u.places.console("")} {
		if err := os.MkdirAll(filepath.Dir(d), 0o755); err != nil {
			return nil, fmt.Errorf("make the lab's folder: %w", err)
		}
	}
	taken, err := networksInUse()
	if err != nil {
		return nil, err
	}
	if u.subnet, err = freeSubnet(taken); err != nil {
		return nil, err
	}
	if err := u.makeNetwork(ctx, u.subnet); err != nil {
		return nil, err
	}
	if err := u.bootAll(ctx); err != nil {
		return nil, err
	}
	u.say("hosts are up on %s", u.subnet)
	if err := u.fill(ctx); err != nil {
		return nil, err
	}
	l := &Lab{State: u.state, places: u.places}
	u.say("services deployed; waiting for figures and logs")
	if err := l.WaitWhole(ctx); err != nil {
		return nil, err
	}
	// Last: a state file means a whole lab.
	return l, writeState(u.places.state(), u.state)
}

// bootAll makes keys, files and processes of every host.
func (u *upper) bootAll(ctx context.Context) error {
	hostKeys := map[string]keyPair{}
	var err error
	if u.console, err = newKey("nexops console"); err != nil {
		return err
	}
	if u.pull, err = newKey("git of the hosts"); err != nil {
		return err
	}
	for _, h := range hostPlans() {
		k, err := newKey(h.name)
		if err != nil {
			return err
		}
		hostKeys[h.name] = k
		u.knownHosts += fmt.Sprintf("%s,%s,%s.nexgate.lab %s\n", u.ip(h), h.name, h.name, k.public)
		if h.name == ops {
			u.knownHosts += "git.nexgate.lab " + k.public + "\n"
		}
	}
	u.state = State{
		Version: 1, Root: u.root, Network: u.subnet.String(),
		Config: u.places.console("config.toml"), Key: u.places.console("id_ed25519"), KnownHosts: u.places.console("known_hosts"),
		Hosts: map[string]HostState{}, Registry: registryName, RegistryAddr: at(u.subnet, 5) + ":5000",
		Repo: "ssh://root@" + at(u.subnet, 5) + repoPath, Prometheus: "http://127.0.0.1:9090", Loki: "http://127.0.0.1:3100",
	}
	if err := errors.Join(
		writeFile(u.state.Key, u.console.private, 0o600),
		writeFile(u.state.KnownHosts, []byte(u.knownHosts), 0o644),
		writeFile(u.state.Config, []byte(u.configTOML()), 0o644),
	); err != nil {
		return err
	}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	for _, h := range hostPlans() {
		g.Go(func() error {
			if err := u.files(h, hostKeys[h.name]); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			st, err := u.boot(ctx, h)
			mu.Lock()
			defer mu.Unlock()
			u.state.Hosts[h.name] = st
			return err
		})
	}
	return g.Wait()
}

// fill starts what ops runs, fills registry and repo, and deploys every stack.
func (u *upper) fill(ctx context.Context) error {
	if err := u.startOps(ctx); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		r := registry{base: "http://" + u.state.RegistryAddr, client: &http.Client{Timeout: 30 * time.Second}}
		defer r.client.CloseIdleConnections()
		return r.pushAll(gctx, u.bin("app"))
	})
	g.Go(func() (err error) {
		u.state.RepoDir, u.state.Refs, err = u.makeRepo(gctx, time.Now())
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	l := &Lab{State: u.state, places: u.places}
	g, gctx = errgroup.WithContext(ctx)
	for _, h := range hostPlans() {
		if h.compose == "" {
			continue
		}
		g.Go(func() error { return l.firstDeploy(gctx, h) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return u.startAround()
}

// firstDeploy is what a person once did on each host.
func (l *Lab) firstDeploy(ctx context.Context, h hostPlan) error {
	if _, err := l.SSH(ctx, h.name, "git", "clone", "--quiet", "--branch", h.branch, l.Repo, checkout); err != nil {
		return err
	}
	return l.compose(ctx, h.name, "up", "-d", "--quiet-pull")
}

// hostNames are the lab's hosts in a steady order.
func (l *Lab) hostNames() []string {
	var out []string
	for n := range l.Hosts {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}
