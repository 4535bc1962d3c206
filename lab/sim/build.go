package sim

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/lab/sim/internal/nexgate"
	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

const (
	stagingShare = 0.04 // of prod's traffic
	pressAfter   = 45 * time.Second
)

// populate puts the containers on the hosts, as the applied tag changes left them.
func (e *Estate) populate(ctx context.Context, now time.Time, applied []nexgate.Bump) error {
	services := map[string]nexgate.Service{}
	for _, s := range append(nexgate.Services(), nexgate.Watchers()...) {
		services[s.Name] = s
	}
	count := map[string]int{}
	for _, name := range e.order {
		for _, s := range e.hosts[name].spec.Services {
			count[e.hosts[name].spec.Environment+"/"+s]++
		}
	}
	for _, name := range e.order {
		h := e.hosts[name]
		if h.spec.Stack == "" {
			if err := e.populateScale(h, now); err != nil {
				return err
			}
			continue
		}
		for _, service := range h.spec.Services {
			share := 1 / float64(count[h.spec.Environment+"/"+service])
			if h.spec.Environment == "staging" {
				share *= stagingShare
			}
			h.know(newSpec(h.spec, services[service], share))
			if err := e.begin(h, services[service]); err != nil {
				return err
			}
		}
	}
	sort.SliceStable(applied, func(i, j int) bool { return applied[i].At.Before(applied[j].At) })
	for _, b := range applied {
		if err := e.apply(b); err != nil {
			return err
		}
		e.world.CatchUp(ctx)
	}
	e.world.CatchUp(ctx)
	return nil
}

func (h *host) know(s *world.Spec) {
	h.specs[s.Service] = s
	h.machine.Know(s)
}

func newSpec(h nexgate.Host, s nexgate.Service, share float64) *world.Spec {
	return &world.Spec{
		Environment: h.Environment, Host: h.Name, Project: h.Project, Service: s.Name, Name: h.Project + "-" + s.Name + "-1",
		WorkDir: nexgate.Checkout + "/" + h.Stack[:strings.IndexByte(h.Stack, '/')], ConfigFile: nexgate.Checkout + "/" + h.Stack,
		Command: s.Command, Env: s.Env, Ports: s.Ports, Limits: world.Limits{CPU: s.CPU, Memory: s.Memory}, Share: share, Check: s.Check, Profile: s.Profile,
	}
}

// begin starts a service on a host with the release it had before all history.
func (e *Estate) begin(h *host, s nexgate.Service) error {
	tag := s.Tag
	if tag == "" {
		tag = nexgate.FirstTag(s.Name)
	}
	at := h.spec.Booted.Add(time.Minute)
	img := e.publish(s.Name, s.Repo, tag, h.spec.Booted.AddDate(0, 0, -2))
	if _, _, err := e.world.Pull(h.name, img.Ref(), at); err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	if _, err := e.world.Replace(h.specs[s.Name], nil, img, at); err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	return nil
}

// publish puts a release into the registry, with the flaws it is known for.
func (e *Estate) publish(service, repo, tag string, at time.Time) *world.Image {
	if img, err := e.world.Image(repo + ":" + tag); err == nil {
		return img
	}
	size := int64(90+len(service)*17) << 20
	return e.world.Publish(world.Image{Repo: repo, Tag: tag, Created: at, Size: size, Flaws: nexgate.Flaws(service, tag)})
}

// apply replays a tag change that was deployed in the past.
func (e *Estate) apply(b nexgate.Bump) error {
	at := b.At.Add(pressAfter)
	var errs []error
	for _, name := range e.order {
		h := e.hosts[name]
		spec, ok := h.specs[b.Service]
		if !ok || h.spec.Branch != b.Branch {
			continue
		}
		old, err := e.world.Find(name, spec.Name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		img := e.publish(b.Service, old.Image.Repo, b.Tag, b.At.Add(-20*time.Minute))
		_, _, err = e.world.Pull(name, img.Ref(), at)
		errs = append(errs, err)
		_, err = e.world.Replace(spec, old, img, at)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sim: %s %s: %w", b.Service, b.Tag, err)
	}
	return nil
}
