package remote

import (
	"errors"
	"fmt"
	"maps"
	"sync"
)

// Pool holds the hosts of a config, each with its one connection.
type Pool struct {
	opts    Options
	configs map[string]Config

	mu     sync.Mutex
	hosts  map[string]Host
	closed bool
}

// NewPool makes a pool. Nothing is dialled before a host is used.
func NewPool(hosts map[string]Config, opts Options) *Pool {
	return &Pool{opts: opts, configs: maps.Clone(hosts), hosts: map[string]Host{}}
}

// Host gives the host of that config name, the same one for every call.
func (p *Pool) Host(name string) (Host, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.host(name)
}

func (p *Pool) host(name string) (Host, error) {
	if p.closed {
		return nil, fmt.Errorf("host %q: %w", Clean(name), ErrClosed)
	}
	if h, ok := p.hosts[name]; ok {
		return h, nil
	}
	cfg, ok := p.configs[name]
	if !ok {
		return nil, fmt.Errorf("host %q is not configured: add a [hosts] table for it", Clean(name))
	}
	if err := errors.Join(cfg.Validate()...); err != nil {
		return nil, fmt.Errorf("host %s: %w", Clean(name), err)
	}
	if cfg.IsLocal() {
		p.hosts[name] = Local(name)
		return p.hosts[name], nil
	}
	if err := checkJumps(p.configs, name); err != nil {
		return nil, fmt.Errorf("host %s: %w", Clean(name), err)
	}
	var jump *sshHost
	if cfg.Jump != "" {
		h, err := p.host(cfg.Jump)
		if err != nil {
			return nil, err
		}
		jump, _ = h.(*sshHost)
	}
	h, err := newSSHHost(name, cfg, jump, p.opts)
	if err != nil {
		return nil, err
	}
	p.hosts[name] = h
	return h, nil
}

// Close ends every connection and waits for their goroutines.
func (p *Pool) Close() error {
	p.mu.Lock()
	hosts := p.hosts
	p.hosts, p.closed = map[string]Host{}, true
	p.mu.Unlock()
	// All at once: a jump host's connection carries others.
	errs := make([]error, len(hosts))
	var wg sync.WaitGroup
	for i, name := range sortedKeys(hosts) {
		wg.Go(func() { errs[i] = hosts[name].Close() })
	}
	wg.Wait()
	return errors.Join(errs...)
}
