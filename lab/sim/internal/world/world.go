// Package world is the simulated estate itself: hosts, images, containers, what
// they do as time passes, and the few operations that change them.
//
// Nothing in it ticks. A container is an immutable record of what happened to it;
// its metrics and log lines are computed from that record when somebody asks.
package world

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"
)

// The errors of the operations.
var (
	ErrNoHost      = errors.New("no such host")
	ErrNoContainer = errors.New("no such container")
	ErrNoImage     = errors.New("manifest unknown")
)

// keepRemoved is how many removed containers a host remembers, for its metrics and logs.
const keepRemoved = 200

// Engine is which container engine a host runs.
type Engine struct {
	Version    string // "20.10.24"
	APIVersion string // "1.41"
	MinVersion string // "1.24"
	GoVersion  string
	GitCommit  string
}

// Host is one machine.
type Host struct {
	Name        string
	Environment string
	Engine      Engine
	CPUs        int
	Memory      int64
	Booted      time.Time
	Down        time.Time // it is cut off since; zero is not

	images  map[string]bool // ids that lie on the host
	live    map[string]*Container
	removed []*Container // oldest first
	events  *eventLog
}

// World is the state of the whole estate. It is safe for concurrent use.
type World struct {
	now   func() time.Time
	seed  uint64
	sched *scheduler

	mu     sync.RWMutex
	hosts  map[string]*Host
	order  []string
	images map[string]*Image // by "repo:tag": what the registry has
	serial uint64            // of container ids
}

// New makes an empty world with its clock.
func New(seed uint64, now func() time.Time) *World {
	return &World{
		now: now, seed: seed, sched: newScheduler(now),
		hosts: map[string]*Host{}, images: map[string]*Image{},
	}
}

// Now is the world's time.
func (w *World) Now() time.Time { return w.now() }

// AddHost adds a machine. It is meant for the making of the world.
func (w *World) AddHost(h Host) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h.images, h.live, h.events = map[string]bool{}, map[string]*Container{}, newEventLog()
	w.hosts[h.Name] = &h
	w.order = append(w.order, h.Name)
}

// Hosts gives the machines in the order in which they were added.
func (w *World) Hosts() []Host {
	w.mu.RLock()
	defer w.mu.RUnlock()
	out := make([]Host, 0, len(w.order))
	for _, name := range w.order {
		out = append(out, *w.hosts[name])
	}
	return out
}

// Host gives one machine.
func (w *World) Host(name string) (Host, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	h, ok := w.hosts[name]
	if !ok {
		return Host{}, false
	}
	return *h, true
}

// SetDown cuts a machine off from those who watch it; the zero time joins it again.
func (w *World) SetDown(host string, since time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h, ok := w.hosts[host]; ok {
		h.Down = since
	}
}

// Publish puts an image into the registry. ID and digest are made from its name when empty.
func (w *World) Publish(img Image) *Image {
	if img.ID == "" {
		img.ID = fakeDigest("config", img.Ref())
	}
	if img.Digest == "" {
		img.Digest = fakeDigest("manifest", img.Ref())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.images[img.Ref()] = &img
	return &img
}

// Image gives what the registry has under "repo:tag" or "repo@sha256:...".
func (w *World) Image(ref string) (*Image, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.image(ref)
}

func (w *World) image(ref string) (*Image, error) {
	if img, ok := w.images[ref]; ok {
		return img, nil
	}
	for _, img := range w.images {
		if ref == img.Repo+"@"+img.Digest || ref == img.ID || ref == img.Ref()+"@"+img.Digest {
			return img, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrNoImage, ref)
}

// Pull puts an image of the registry on a host; fresh is false when it lay there already.
func (w *World) Pull(host, ref string, at time.Time) (img *Image, fresh bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h, ok := w.hosts[host]
	if !ok {
		return nil, false, fmt.Errorf("%w: %s", ErrNoHost, host)
	}
	img, err = w.image(ref)
	if err != nil {
		return nil, false, err
	}
	fresh = !h.images[img.ID]
	h.images[img.ID] = true
	h.events.add(Event{At: at, Type: "image", Action: "pull", ID: img.Ref(), Attributes: map[string]string{"name": img.Repo}})
	return img, fresh, nil
}

// RemoveImage takes an image off a host, as a prune does.
func (w *World) RemoveImage(host, ref string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	h, ok := w.hosts[host]
	if !ok {
		return fmt.Errorf("%w: %s", ErrNoHost, host)
	}
	img, err := w.image(ref)
	if err != nil {
		return err
	}
	delete(h.images, img.ID)
	return nil
}

// HostImages gives the images that lie on a host, newest first.
func (w *World) HostImages(host string) []*Image {
	w.mu.RLock()
	defer w.mu.RUnlock()
	h, ok := w.hosts[host]
	if !ok {
		return nil
	}
	var out []*Image
	for _, img := range w.images {
		if h.images[img.ID] {
			out = append(out, img)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		if !out[i].Created.Equal(out[j].Created) {
			return out[i].Created.After(out[j].Created)
		}
		return out[i].Ref() < out[j].Ref()
	})
	return out
}

// HostImage finds an image on a host by reference, digest or (part of an) id.
func (w *World) HostImage(host, ref string) (*Image, bool) {
	for _, img := range w.HostImages(host) {
		id := strings.TrimPrefix(img.ID, "sha256:")
		short := strings.TrimPrefix(ref, "sha256:")
		switch {
		case ref == img.Ref(), ref == img.Repo+"@"+img.Digest, ref == img.Ref()+"@"+img.Digest:
			return img, true
		case len(short) >= 12 && strings.HasPrefix(id, short):
			return img, true
		}
	}
	return nil, false
}

// Containers gives the containers that are on a host now, newest first.
func (w *World) Containers(host string) []*Container {
	w.mu.RLock()
	defer w.mu.RUnlock()
	h, ok := w.hosts[host]
	if !ok {
		return nil
	}
	out := make([]*Container, 0, len(h.live))
	for _, c := range h.live {
		out = append(out, c)
	}
	sortNewest(out)
	return out
}

// History gives every container of every host that is or was, newest first.
func (w *World) History() []*Container {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var out []*Container
	for _, name := range w.order {
		h := w.hosts[name]
		for _, c := range h.live {
			out = append(out, c)
		}
		out = append(out, h.removed...)
	}
	sortNewest(out)
	return out
}

// Find gives a container of a host by id, part of an id, or name.
func (w *World) Find(host, ref string) (*Container, error) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	h, ok := w.hosts[host]
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrNoHost, host)
	}
	if c, ok := h.live[ref]; ok {
		return c, nil
	}
	ref = strings.TrimPrefix(ref, "/")
	for _, c := range h.live {
		if c.Name == ref || (len(ref) >= 4 && strings.HasPrefix(c.ID, ref)) {
			return c, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrNoContainer, ref)
}

// Events replays the host's remembered events and then gives new ones. See eventLog.
func (w *World) Events(host string, since time.Time) (past []Event, live *Subscription, err error) {
	w.mu.RLock()
	h, ok := w.hosts[host]
	w.mu.RUnlock()
	if !ok {
		return nil, nil, fmt.Errorf("%w: %s", ErrNoHost, host)
	}
	past, live = h.events.subscribe(since)
	return past, live, nil
}

func sortNewest(cs []*Container) {
	sort.Slice(cs, func(i, j int) bool {
		if !cs[i].Created.Equal(cs[j].Created) {
			return cs[i].Created.After(cs[j].Created)
		}
		return cs[i].ID < cs[j].ID
	})
}

func fakeDigest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return "sha256:" + hex.EncodeToString(sum[:])
}
