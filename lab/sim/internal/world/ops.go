package world

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Create makes a container of a spec on its host, not yet started.
func (w *World) Create(spec *Spec, name string, img *Image, at time.Time) (*Container, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h, ok := w.hosts[spec.Host]
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrNoHost, spec.Host)
	}
	if !h.images[img.ID] {
		return nil, fmt.Errorf("No such image: %s", img.Ref()) //nolint:staticcheck // the engine's own words
	}
	w.serial++
	id := strings.TrimPrefix(fakeDigest("container", strconv.FormatUint(w.seed, 10), strconv.FormatUint(w.serial, 10)), "sha256:")
	c := &Container{
		ID: id, Spec: spec, Name: name, Image: img, Created: at, State: Created,
		Seed: mix(w.seed, w.serial), said: &utterances{},
	}
	h.live[id] = c
	h.events.add(event(c, at, "create", nil))
	return c, nil
}

// Start starts a container that does not run.
func (w *World) Start(host, id string, at time.Time) error {
	return w.change(host, id, func(h *Host, c *Container) error {
		if c.State == Running {
			return nil
		}
		w.start(h, c, at)
		return nil
	})
}

func (w *World) start(h *Host, c *Container, at time.Time) {
	c.State = Running
	if len(c.Runs) >= maxRuns {
		c.Runs = c.Runs[1:]
	}
	c.Runs = append(c.Runs, Run{Start: at})
	h.events.add(event(c, at, "start", nil))
	if c.Spec.Check {
		c.Health = HealthStarting
		w.later(c, at, max(c.Spec.Profile.Boot, 500*time.Millisecond), w.checked)
	}
	if after := c.Image.Flaws.CrashAfter; after > 0 {
		w.later(c, at, after, func(host, id string, at time.Time) { _ = w.Die(host, id, at, 1, false) })
	}
}

// later calls do unless the container's life that began at began is over by then.
func (w *World) later(c *Container, began time.Time, after time.Duration, do func(host, id string, at time.Time)) {
	host, id := c.Spec.Host, c.ID
	w.At(began.Add(after), func(_ context.Context, at time.Time) {
		now, err := w.Find(host, id)
		if err != nil || now.State != Running {
			return
		}
		if r, ok := now.LastRun(); ok && r.Start.Equal(began) {
			do(host, id, at)
		}
	})
}

// checked is the first verdict of a container's health check.
func (w *World) checked(host, id string, at time.Time) {
	_ = w.change(host, id, func(h *Host, c *Container) error {
		c.Health = HealthHealthy
		if c.Image.Flaws.Unhealthy {
			c.Health = HealthUnhealthy
		}
		h.events.add(event(c, at, "health_status: "+c.Health, nil))
		return nil
	})
}

// SetHealth makes the health check say something else from now on.
func (w *World) SetHealth(host, id, health string, at time.Time) error {
	return w.change(host, id, func(h *Host, c *Container) error {
		if c.Health == health {
			return nil
		}
		c.Health = health
		h.events.add(event(c, at, "health_status: "+health, nil))
		return nil
	})
}

// Stop ends a running container on request: no restart follows.
func (w *World) Stop(host, id string, at time.Time, signal string) error {
	return w.change(host, id, func(h *Host, c *Container) error {
		if c.State != Running && c.State != Restarting {
			return nil
		}
		exit := 143
		if signal == "9" {
			exit = 137
		}
		h.events.add(event(c, at, "kill", map[string]string{"signal": signal}))
		end(c, at, exit, false)
		c.State = Exited
		h.events.add(event(c, at, "die", map[string]string{"exitCode": strconv.Itoa(exit)}))
		h.events.add(event(c, at, "stop", nil))
		return nil
	})
}

// Die ends a running container unexpectedly; the engine starts it again, later each time.
func (w *World) Die(host, id string, at time.Time, exit int, oom bool) error {
	return w.change(host, id, func(h *Host, c *Container) error {
		if c.State != Running {
			return nil
		}
		if oom {
			h.events.add(event(c, at, "oom", nil))
		}
		end(c, at, exit, oom)
		for _, text := range lastWords(c, exit) {
			c.Say(Line{At: at, Stream: "stderr", Text: text})
		}
		c.State = Restarting
		h.events.add(event(c, at, "die", map[string]string{"exitCode": strconv.Itoa(exit)}))
		w.At(at.Add(backoff(c)), func(_ context.Context, at time.Time) { w.restart(host, c.ID, at) })
		return nil
	})
}

func (w *World) restart(host, id string, at time.Time) {
	_ = w.change(host, id, func(h *Host, c *Container) error {
		if c.State == Restarting {
			c.Restarts++
			w.start(h, c, at)
		}
		return nil
	})
}

func end(c *Container, at time.Time, exit int, oom bool) {
	if n := len(c.Runs); n > 0 && c.Runs[n-1].End.IsZero() {
		c.Runs[n-1].End, c.Runs[n-1].Exit, c.Runs[n-1].OOM = at, exit, oom
	}
	if c.Health != HealthNone {
		c.Health = HealthUnhealthy
	}
}

// backoff is the engine's: 100 ms, doubled by each life under 10 s, at most a minute.
func backoff(c *Container) time.Duration {
	d := 100 * time.Millisecond
	for i := len(c.Runs) - 1; i >= 0 && d < time.Minute; i-- {
		if c.Runs[i].End.Sub(c.Runs[i].Start) > 10*time.Second {
			break
		}
		if i < len(c.Runs)-1 {
			d *= 2
		}
	}
	return min(d, time.Minute)
}

// Remove takes a container away; it is remembered for its metrics and logs.
func (w *World) Remove(host, id string, at time.Time) error {
	return w.change(host, id, func(h *Host, c *Container) error {
		end(c, at, 137, false)
		c.State, c.Removed = Exited, at
		delete(h.live, c.ID)
		if len(h.removed) >= keepRemoved {
			h.removed = append(h.removed[:0:0], h.removed[keepRemoved/2:]...)
		}
		h.removed = append(h.removed, c)
		h.events.add(event(c, at, "destroy", nil))
		return nil
	})
}

// Rename gives a container another name.
func (w *World) Rename(host, id, name string, at time.Time) error {
	return w.change(host, id, func(h *Host, c *Container) error {
		attrs := map[string]string{"oldName": "/" + c.Name}
		c.Name = name
		h.events.add(event(c, at, "rename", attrs))
		return nil
	})
}

// change puts a changed copy of a container in its place, under the world's lock.
func (w *World) change(host, id string, do func(h *Host, c *Container) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	h, ok := w.hosts[host]
	if !ok {
		return fmt.Errorf("%w: %s", ErrNoHost, host)
	}
	old, ok := h.live[id]
	if !ok {
		return fmt.Errorf("%w: %s", ErrNoContainer, id)
	}
	c := old.clone()
	h.live[id] = c
	return do(h, c)
}

// Replace is what Compose does to a service whose image has changed: a new container
// under a temporary name, the old one stopped and removed, then renamed and started.
// old may be nil.
func (w *World) Replace(spec *Spec, old *Container, img *Image, at time.Time) (*Container, error) {
	name := spec.Name
	if old != nil {
		name = old.ID[:12] + "_" + spec.Name
	}
	c, err := w.Create(spec, name, img, at)
	if err != nil {
		return nil, err
	}
	if old != nil {
		if err := w.Stop(spec.Host, old.ID, at, "15"); err != nil {
			return nil, err
		}
		if err := w.Remove(spec.Host, old.ID, at); err != nil {
			return nil, err
		}
		if err := w.Rename(spec.Host, c.ID, spec.Name, at); err != nil {
			return nil, err
		}
	}
	if err := w.Start(spec.Host, c.ID, at); err != nil {
		return nil, err
	}
	return w.Find(spec.Host, c.ID)
}

func event(c *Container, at time.Time, action string, more map[string]string) Event {
	attrs := c.Labels()
	attrs["image"], attrs["name"] = c.Image.Ref(), c.Name
	for k, v := range more {
		attrs[k] = v
	}
	return Event{At: at, Type: "container", Action: action, ID: c.ID, Attributes: attrs}
}
