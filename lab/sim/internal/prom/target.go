package prom

import (
	"sort"
	"time"

	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

// target is one thing that is scraped: a service on a host, through all the containers it had.
type target struct {
	env, host, service string
	lang               world.Lang
	port               int
	containers         []*world.Container // newest first
	down               time.Time          // the host cannot be reached since; zero is never
	cells              []cell             // one a timestamp of the select
}

// cell is what a target was like at one moment.
type cell struct {
	sums world.Sums
	ok   bool // it ran and could be asked
	c    *world.Container
}

// read computes the target's cells for the timestamps of one select.
func (t *target) read(stamps []int64) {
	t.cells = make([]cell, len(stamps))
	for i, ms := range stamps {
		at := time.UnixMilli(ms)
		if !t.down.IsZero() && !at.Before(t.down) {
			continue
		}
		for _, c := range t.containers {
			if s, ok := c.SumsAt(at); ok {
				t.cells[i] = cell{sums: s, ok: true, c: c}
				break
			}
		}
	}
}

// targets groups the containers of wanted environments by host and service, those that were there at or after oldest.
func targets(w *world.World, oldest time.Time, wanted func(env string) bool) []*target {
	down := map[string]time.Time{}
	for _, h := range w.Hosts() {
		down[h.Name] = h.Down
	}
	byKey := map[string]*target{}
	out := []*target{}
	for _, c := range w.History() {
		if !wanted(c.Spec.Environment) {
			continue
		}
		if !c.Removed.IsZero() && c.Removed.Before(oldest) {
			continue
		}
		s := c.Spec
		key := s.Host + "/" + s.Name
		if s.Service != "" { // the next container of a service may have the next number
			key = s.Host + "/" + s.Project + "/" + s.Service
		}
		t, ok := byKey[key]
		if !ok {
			t = &target{env: s.Environment, host: s.Host, service: s.Service, lang: s.Profile.Lang, down: down[s.Host]}
			if len(s.Ports) > 0 {
				t.port = s.Ports[0].Private
			}
			byKey[key] = t
			out = append(out, t)
		}
		t.containers = append(t.containers, c)
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].host != out[j].host {
			return out[i].host < out[j].host
		}
		return out[i].service < out[j].service
	})
	return out
}
