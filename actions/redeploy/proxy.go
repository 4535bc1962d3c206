package redeploy

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// proxyImages are programs that stand in front of others.
var proxyImages = []string{"nginx", "traefik", "caddy", "haproxy", "envoy"}

// proxy is a reverse proxy that has to learn of the new containers, on one of its hosts.
type proxy struct {
	*compose.Survey
	key     fleet.ServiceKey
	service string // in its Compose files
	id      string // of its container
	test    []string
	reload  []string
}

// isProxy reports whether a service is a reverse proxy: by the config, else by the name of its image.
func (a *action) isProxy(service, image string) bool {
	o := a.cfg.Services[service]
	if o.Proxy != nil {
		return *o.Proxy
	}
	return len(o.Fronts) > 0 || slices.ContainsFunc(proxyImages, func(p string) bool { return strings.Contains(path.Base(image), p) })
}

// proxiesOf are the services that front a service, by the config of both.
func (c *Config) proxiesOf(service string) []string {
	var names []string
	if r := c.Services[service].Reload; r != "" {
		names = append(names, r)
	}
	for name, o := range c.Services {
		if slices.Contains(o.Fronts, service) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// prepareProxies finds the proxies in front of the service, and whether their configuration is sound as it is.
func (p *planner) prepareProxies(ctx context.Context) {
	for _, name := range p.a.cfg.proxiesOf(p.t.Key.Name) {
		key := fleet.ServiceKey{Environment: p.t.Key.Environment, Name: name}
		t, svc, err := p.a.cfg.places().Find(p.snap, []fleet.Ref{{Service: key}})
		if err == nil && len(t.Hosts) == 0 {
			err = errors.New("it runs nowhere")
		}
		if err != nil {
			p.check(actions.CheckFail, "proxy "+name, "%v", err)
			continue
		}
		p.askProxy(ctx, t, svc)
	}
}

func (p *planner) askProxy(ctx context.Context, t *compose.Target, svc *fleet.Service) {
	for _, pl := range t.Hosts {
		px, err := p.a.newProxy(t, svc, pl)
		if err != nil {
			p.check(actions.CheckFail, "proxy "+t.Key.Name, "%v", err)
			continue
		}
		var whole bool
		px.Survey, whole = compose.Surveyor{
			Places: p.a.cfg.places(), Key: t.Key, Hosts: p.a.deps.Host, Now: p.a.deps.Now,
		}.Ask(ctx, pl)
		if whole {
			if _, err := px.Probe.Run(ctx, remote.Command{Argv: p.a.execIn(px, px.test)}); err != nil {
				px.Fail("proxy "+t.Key.Name, "its configuration does not hold even now: %v: repair it first", err)
			} else {
				px.OK("proxy "+t.Key.Name, "its configuration holds, it is reloaded after each change")
			}
		}
		for _, c := range px.Checks {
			if c.State == actions.CheckFail || strings.HasPrefix(c.Name, "proxy ") {
				p.checks = append(p.checks, c) // that its host is there the service's own survey says
			}
		}
		p.proxies = append(p.proxies, px)
	}
}

// newProxy says how a proxy is told, on one host.
func (a *action) newProxy(t *compose.Target, svc *fleet.Service, pl *compose.Place) (*proxy, error) {
	o := a.cfg.Services[t.Key.Name]
	px := &proxy{key: t.Key, service: t.Service, test: o.TestConfig, reload: o.ReloadConfig}
	if strings.Contains(path.Base(t.Image), "nginx") {
		if len(px.test) == 0 {
			px.test = []string{"nginx", "-t"}
		}
		if len(px.reload) == 0 {
			px.reload = []string{"nginx", "-s", "reload"}
		}
	}
	if len(px.test) == 0 || len(px.reload) == 0 {
		return nil, fmt.Errorf("how %s is told to read its configuration again is not known: say test_config and reload_config in [actions.redeploy.services.%s]", t.Image, t.Key.Name)
	}
	for _, in := range svc.Instances {
		if !t.Pick(in) || in.Host != pl.Host {
			continue
		}
		if px.id != "" || !idPattern.MatchString(in.ID) {
			return nil, fmt.Errorf("on %s there are several of it, or one without an id", pl.Host)
		}
		if in.State != fleet.StateRunning {
			return nil, fmt.Errorf("%s on %s is %s: start it first", in.Name, in.Host, in.State)
		}
		px.id = in.ID
	}
	return px, nil
}

func (a *action) execIn(px *proxy, words []string) []string {
	return px.Place.Argv(a.cfg.Compose, append([]string{"exec", "-T", px.service}, words...)...)
}

// reloadProxies has every proxy in front of the service read its configuration, and thereby the addresses of the containers,
// again. A configuration that does not hold is never loaded; only when one that holds cannot be loaded is a proxy restarted.
func (e *execution) reloadProxies() []actions.Step {
	var list []actions.Step
	for _, px := range e.proxies {
		list = append(list, e.reloadProxy(px)...)
	}
	return list
}

func (e *execution) reloadProxy(px *proxy) []actions.Step {
	return append([]actions.Step{e.testProxy(px)}, e.loadProxy(px)...)
}

// testProxy asks the proxy whether the configuration that lies there holds.
func (e *execution) testProxy(px *proxy) actions.Step {
	return px.Step("test "+px.service, false, e.a.execIn(px, px.test), func(ctx context.Context, cmd remote.Command, _ func(stream, line string)) error {
		_, err := px.Probe.Run(ctx, cmd)
		return err
	})
}

// loadProxy has the proxy read a configuration that holds.
func (e *execution) loadProxy(px *proxy) []actions.Step {
	name := px.service
	var told time.Time
	load := px.Step("reload "+name+", restart if that fails", true, e.a.execIn(px, px.reload), func(ctx context.Context, cmd remote.Command, out func(stream, line string)) error {
		told = e.a.deps.Now()
		_, err := compose.Mutate(ctx, px.Host, cmd, out)
		var f *compose.Failure
		if !errors.As(err, &f) {
			return err
		}
		again := remote.Command{Argv: px.Place.Argv(e.a.cfg.Compose, "restart", px.service)}
		out("stdout", strings.Join(again.Argv, " "))
		if _, rerr := compose.Mutate(ctx, px.Host, again, out); rerr != nil {
			return fmt.Errorf("%w; and the restart: %w", err, rerr)
		}
		return nil
	})
	load.Touches = px.key // nobody else tells it, or makes it again, meanwhile
	if px.reload[0] != "nginx" {
		return []actions.Step{load}
	}
	argv := []string{"docker", "top", px.id, "-eo", "pid,etimes,args"}
	return []actions.Step{load, px.Step("look at workers of "+name, false, argv, func(ctx context.Context, cmd remote.Command, out func(stream, line string)) error {
		return e.awaitWorkers(ctx, px, cmd, told, out)
	})}
}

// awaitWorkers waits until nginx has workers that are younger than the reload, and none that is older takes requests any more: that the
// signal was sent says nothing, and for a tenth of a second both take them, the older ones with the addresses from before.
func (e *execution) awaitWorkers(ctx context.Context, px *proxy, cmd remote.Command, told time.Time, out func(stream, line string)) error {
	const patience = 15 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return e.poll(ctx, func() (bool, string, error) {
		got, err := px.Probe.Run(ctx, cmd)
		if err != nil {
			return false, err.Error(), nil
		}
		switch young, old := workersOf(string(got), e.a.deps.Now().Sub(told)+time.Second); {
		case young == 0:
			return false, fmt.Sprintf("%s: nginx still has no worker from after the reload: look at its log", px.Place.Host), nil
		case old > 0:
			return false, fmt.Sprintf("%s: %d workers of nginx from before the reload still take requests: look at its log", px.Place.Host, old), nil
		default:
			out("stdout", fmt.Sprintf("%d new workers", young))
			return true, "", nil
		}
	})
}

// workersOf counts nginx's workers that take requests, in what docker top lists: those that are not older than age, and those that are.
func workersOf(table string, age time.Duration) (young, old int) {
	for _, line := range strings.Split(table, "\n") {
		f := strings.Fields(line)
		const columns = 4 // pid, seconds, and the first words of "nginx: worker process"
		if len(f) < columns || !strings.Contains(line, "nginx: worker process") || strings.Contains(line, "shutting down") {
			continue
		}
		seconds, err := strconv.Atoi(f[1])
		switch {
		case err != nil:
		case time.Duration(seconds)*time.Second <= age:
			young++
		default:
			old++
		}
	}
	return young, old
}

// poll asks again and again until it is so, or until the time is over: then what was in the way last is the error.
func (e *execution) poll(ctx context.Context, ask func() (done bool, why string, err error)) error {
	every := time.Second
	if e.a.deps.Look > 0 {
		every = e.a.deps.Look
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	last := ""
	for {
		done, why, err := ask()
		if done || err != nil {
			return err
		}
		if last == "" || ctx.Err() == nil { // a question that the end of the time has cut off says nothing
			last = why
		}
		select {
		case <-ctx.Done():
			return errors.New(last)
		case <-tick.C:
		}
	}
}
