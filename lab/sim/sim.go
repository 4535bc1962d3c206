// Package sim is the nexgate estate in memory: it speaks SSH, the Docker Engine API,
// Prometheus, Loki and git on loopback, so that the ordinary console works against it unchanged.
package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/nexgate-hq/nexops/lab/sim/internal/engine"
	"github.com/nexgate-hq/nexops/lab/sim/internal/infra"
	"github.com/nexgate-hq/nexops/lab/sim/internal/machine"
	"github.com/nexgate-hq/nexops/lab/sim/internal/memhttp"
	"github.com/nexgate-hq/nexops/lab/sim/internal/nexgate"
	"github.com/nexgate-hq/nexops/lab/sim/internal/sshd"
	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

// Options say what estate to make. The zero value is the demo's.
type Options struct {
	Dir      string           // where its folder is made; default the system's temporary folder
	Seed     uint64           // the same seed gives the same estate; default 1
	Incident string           // one of Incidents; default "bad-deploy"
	Scale    Scale            // adds an environment "scale"
	Now      func() time.Time // default time.Now
	Still    bool             // no deploys but those that are asked for
	Pace     time.Duration    // what a pull or a stop takes; default 400 ms
	Log      *slog.Logger     // default: nowhere
}

// Scale is a number of hosts with as many containers each.
type Scale struct {
	Hosts      int
	Containers int // of each host
}

const defaultPace = 400 * time.Millisecond

// Estate is a running estate.
type Estate struct {
	opts   Options
	dir    string
	world  *world.World
	repo   *infra.Repo
	hosts  map[string]*host
	order  []string
	prom   *memhttp.Server
	loki   *memhttp.Server
	komodo *komodoCore
	stop   context.CancelFunc
	work   sync.WaitGroup
	closed sync.Once
}

// host is one machine with its servers.
type host struct {
	name    string
	spec    nexgate.Host // Stack is "" for a machine without a checkout
	specs   map[string]*world.Spec
	machine *machine.Machine
	engine  *memhttp.Server
	api     *engine.Server
	sshd    *sshd.Server
	key     ssh.PublicKey
}

// Start makes an estate and lets it run until Close, or until ctx ends.
func Start(ctx context.Context, opts Options) (*Estate, error) {
	opts = opts.withDefaults()
	if _, ok := incidents()[opts.Incident]; !ok {
		return nil, fmt.Errorf("sim: incident %q: allowed are %v", opts.Incident, Incidents())
	}
	dir, err := os.MkdirTemp(opts.Dir, "nexops-sim-")
	if err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	e := &Estate{opts: opts, hosts: map[string]*host{}, world: world.New(opts.Seed, opts.Now)}
	if e.dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("sim: %w", err), os.RemoveAll(dir))
	}
	run, stop := context.WithCancel(ctx)
	e.stop = stop
	if err := e.start(run); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (o Options) withDefaults() Options {
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Incident == "" {
		o.Incident = "bad-deploy"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Pace == 0 {
		o.Pace = defaultPace
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return o
}

func (e *Estate) start(ctx context.Context) error {
	now := e.opts.Now()
	client, err := e.writeKey()
	if err != nil {
		return err
	}
	specs := append(nexgate.Hosts(now), scaleHosts(e.opts.Scale, now)...)
	for _, spec := range specs {
		if err := e.addHost(spec, client); err != nil {
			return err
		}
	}
	bumps, applied := script(e.opts.Incident, now)
	checkouts := make(chan error, 1)
	go func() { checkouts <- e.makeRepo(ctx, now, bumps) }()
	err = e.populate(ctx, now, applied)
	if err = errors.Join(err, <-checkouts); err != nil {
		return err
	}
	if err := e.makeBackups(now); err != nil {
		return err
	}
	e.serveWatchers()
	if err := e.serveKomodo(ctx); err != nil {
		return err
	}
	for _, name := range e.order {
		if err := e.hosts[name].sshd.Start(ctx); err != nil {
			return fmt.Errorf("sim: host %s: %w", name, err)
		}
	}
	if err := e.writeConfig(); err != nil {
		return err
	}
	e.work.Add(1)
	go func() {
		defer e.work.Done()
		e.world.Run(ctx)
	}()
	incidents()[e.opts.Incident].begin(e)
	if !e.opts.Still {
		e.live(ctx)
	}
	return nil
}

func (e *Estate) addHost(spec nexgate.Host, client ssh.PublicKey) error {
	e.world.AddHost(spec.Host)
	m, err := machine.New(e.world, spec.Name, filepath.Join(e.dir, "hosts", spec.Name))
	if err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	m.Pace = e.opts.Pace
	h := &host{name: spec.Name, spec: spec, machine: m, specs: map[string]*world.Spec{}, api: engine.New(e.world, spec.Name)}
	e.hosts[spec.Name] = h
	e.order = append(e.order, spec.Name)
	h.engine = memhttp.New(h.api)
	h.engine.Start()
	m.Reach("unix", "/var/run/docker.sock", h.engine.Dial)
	m.Reach("unix", "/run/docker.sock", h.engine.Dial)
	signer, err := newHostKey()
	if err != nil {
		return err
	}
	h.key = signer.PublicKey()
	h.sshd = sshd.New(signer, client, m)
	return nil
}

// makeRepo makes the infra repository and the hosts' checkouts.
func (e *Estate) makeRepo(ctx context.Context, now time.Time, bumps []nexgate.Bump) error {
	repo, err := infra.Create(ctx, e.GitPath(), []string{"staging"}, nexgate.FirstCommit(now), nexgate.Commits(bumps))
	if err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	e.repo = repo
	var work sync.WaitGroup
	errs := make([]error, len(e.order))
	for i, name := range e.order {
		h := e.hosts[name]
		if h.spec.Stack == "" {
			continue
		}
		work.Add(1)
		go func() {
			defer work.Done()
			errs[i] = repo.Checkout(ctx, h.spec.Branch, filepath.Join(e.dir, "hosts", name, nexgate.Checkout))
		}()
	}
	work.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	return nil
}

// GitPath is the infra repository, a bare git repository on this machine.
func (e *Estate) GitPath() string { return filepath.Join(e.dir, "nexgate-infra.git") }

// ConfigPath is the config file for a console that works on this estate.
func (e *Estate) ConfigPath() string { return filepath.Join(e.dir, "config.toml") }

// Dir is the estate's folder; Close removes it.
func (e *Estate) Dir() string { return e.dir }

// Close ends everything and removes the estate's folder.
func (e *Estate) Close() error {
	var err error
	e.closed.Do(func() {
		e.stop()
		for _, s := range []*memhttp.Server{e.prom, e.loki} {
			if s != nil {
				s.Stop()
			}
		}
		if e.komodo != nil {
			e.komodo.Close()
		}
		for _, h := range e.hosts {
			h.sshd.Stop()
			h.engine.Stop()
		}
		e.work.Wait()
		for _, h := range e.hosts {
			err = errors.Join(err, h.machine.Close())
		}
		err = errors.Join(err, os.RemoveAll(e.dir))
	})
	return err
}
