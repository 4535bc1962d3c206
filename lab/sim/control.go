package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/lab/sim/internal/infra"
	"github.com/nexgate-hq/nexops/lab/sim/internal/nexgate"
	"github.com/nexgate-hq/nexops/lab/sim/internal/sshd"
	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

// ErrNoService says that a service is not in the estate.
var ErrNoService = errors.New("no such service")

// Deploy makes a release desired and running, as CI and a person do: the tag is committed and pushed,
// every host of the environment that runs the service pulls the commit, then docker compose up.
// A tag that the registry does not have is published first, without flaws.
func (e *Estate) Deploy(ctx context.Context, env, service, tag string) error {
	hosts := e.running(env, service)
	if len(hosts) == 0 {
		return fmt.Errorf("sim: deploy %s to %s: %w", service, env, ErrNoService)
	}
	old, err := e.world.Find(hosts[0].name, hosts[0].specs[service].Name)
	if err != nil {
		return fmt.Errorf("sim: deploy %s to %s: %w", service, env, err)
	}
	now := e.opts.Now()
	e.publish(service, old.Image.Repo, tag, now)
	err = e.repo.Commit(ctx, infra.Commit{
		Branch: hosts[0].spec.Branch, Author: "nexgate-ci", At: now, Subject: env + ": " + service + " " + tag,
		Files: map[string]string{nexgate.TagFile(service): nexgate.TagLine(service, tag)},
	})
	if err != nil {
		return fmt.Errorf("sim: deploy %s to %s: %w", service, env, err)
	}
	for _, h := range hosts {
		stack := nexgate.Checkout + "/" + h.spec.Stack
		for _, line := range []string{
			"git -C " + nexgate.Checkout + " pull -q --ff-only origin " + h.spec.Branch,
			"docker compose --project-directory " + path.Dir(stack) + " -p " + h.spec.Project + " -f " + stack + " up -d --no-deps " + service,
		} {
			if err := h.exec(ctx, line); err != nil {
				return fmt.Errorf("sim: deploy %s to %s: %w", service, env, err)
			}
		}
	}
	return nil
}

func (h *host) exec(ctx context.Context, line string) error {
	var out, errOut bytes.Buffer
	code := h.machine.Exec(ctx, sshd.Exec{Line: line, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errOut})
	if code != 0 {
		return fmt.Errorf("%s: %s: exit code %d: %s", h.name, line, code, strings.TrimSpace(errOut.String()))
	}
	return nil
}

// running gives the hosts of an environment that have a service; env "" is every environment.
func (e *Estate) running(env, service string) []*host {
	var out []*host
	for _, name := range e.order {
		h := e.hosts[name]
		if _, ok := h.specs[service]; ok && (env == "" || h.spec.Environment == env) {
			out = append(out, h)
		}
	}
	return out
}

// Hosts gives the names of the hosts.
func (e *Estate) Hosts() []string { return append([]string(nil), e.order...) }

// Address is where a host's sshd listens.
func (e *Estate) Address(host string) (string, error) {
	h, ok := e.hosts[host]
	if !ok {
		return "", fmt.Errorf("sim: %w: %s", world.ErrNoHost, host)
	}
	return h.sshd.Address(), nil
}

// Engine is the Docker Engine API of a host without the way there.
func (e *Estate) Engine(host string) (http.Handler, error) {
	h, ok := e.hosts[host]
	if !ok {
		return nil, fmt.Errorf("sim: %w: %s", world.ErrNoHost, host)
	}
	return h.api, nil
}

// StopHost ends a host's sshd and its connections, as an unplugged cable does; what runs there runs on.
func (e *Estate) StopHost(host string) error {
	h, ok := e.hosts[host]
	if !ok {
		return fmt.Errorf("sim: %w: %s", world.ErrNoHost, host)
	}
	h.sshd.Stop()
	return nil
}

// unplug cuts a host off from everybody, since some time.
func (e *Estate) unplug(host string, ago time.Duration) {
	e.world.SetDown(host, e.opts.Now().Add(-ago))
	e.hosts[host].sshd.Stop()
}

// StartHost starts a host's sshd again, on the same port, and joins it to those who watch it.
func (e *Estate) StartHost(ctx context.Context, host string) error {
	h, ok := e.hosts[host]
	if !ok {
		return fmt.Errorf("sim: %w: %s", world.ErrNoHost, host)
	}
	e.world.SetDown(host, time.Time{})
	if err := h.sshd.Start(ctx); err != nil {
		return fmt.Errorf("sim: start %s: %w", host, err)
	}
	return nil
}

// StopEngine makes a host's Docker Engine refuse connections. Its containers run on.
func (e *Estate) StopEngine(host string) error {
	h, ok := e.hosts[host]
	if !ok {
		return fmt.Errorf("sim: %w: %s", world.ErrNoHost, host)
	}
	h.engine.Stop()
	return nil
}

// StartEngine starts a host's Docker Engine again.
func (e *Estate) StartEngine(host string) error {
	h, ok := e.hosts[host]
	if !ok {
		return fmt.Errorf("sim: %w: %s", world.ErrNoHost, host)
	}
	h.engine.Start()
	return nil
}

// StopPrometheus and its kin make the watching servers refuse connections, and answer again.
func (e *Estate) StopPrometheus() { e.prom.Stop() }

// StartPrometheus starts it again.
func (e *Estate) StartPrometheus() { e.prom.Start() }

// StopLoki makes Loki refuse connections.
func (e *Estate) StopLoki() { e.loki.Stop() }

// StartLoki starts it again.
func (e *Estate) StartLoki() { e.loki.Start() }

// each calls do for the containers of a service in an environment ("" is all).
func (e *Estate) each(env, service string, do func(h *host, c *world.Container) error) error {
	hosts := e.running(env, service)
	if len(hosts) == 0 {
		return fmt.Errorf("sim: %w: %s", ErrNoService, service)
	}
	for _, h := range hosts {
		c, err := e.world.Find(h.name, h.specs[service].Name)
		if err == nil {
			err = do(h, c)
		}
		if err != nil {
			return fmt.Errorf("sim: %s on %s: %w", service, h.name, err)
		}
	}
	return nil
}

// EmitLog puts a line, as it is, into the output of every container of a service.
func (e *Estate) EmitLog(env, service, line string) error {
	return e.each(env, service, func(_ *host, c *world.Container) error {
		for text := range strings.SplitSeq(line, "\n") {
			c.Say(world.Line{At: e.opts.Now(), Stream: "stdout", Text: text})
		}
		return nil
	})
}

// Crash ends the process of every container of a service with exit code 1; the engine starts it again.
func (e *Estate) Crash(env, service string) error {
	return e.each(env, service, func(h *host, c *world.Container) error {
		return e.world.Die(h.name, c.ID, e.opts.Now(), 1, false)
	})
}

// SetHealth makes the health checks of a service say "healthy" or "unhealthy".
func (e *Estate) SetHealth(env, service, health string) error {
	return e.each(env, service, func(h *host, c *world.Container) error {
		return e.world.SetHealth(h.name, c.ID, health, e.opts.Now())
	})
}

// PruneImage takes an image off a host, as a prune does: it has to be pulled again.
func (e *Estate) PruneImage(host, ref string) error {
	if err := e.world.RemoveImage(host, ref); err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	return nil
}
