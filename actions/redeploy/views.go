package redeploy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// hostView is what one snapshot shows of the service on one host.
type hostView struct {
	host     string
	visible  bool   // the host is up, and its facts come in
	why      string // why it is not visible
	fresh    bool   // its facts are newer than the last up there
	release  bool   // all instances run what they have to
	runs     string
	health   fleet.Health
	down     bool
	restarts int
	count    int
}

type views []hostView

func (w *watch) view(snap *fleet.Snapshot, svc *fleet.Service, found bool, host string, now time.Time) hostView {
	h := hostView{host: host, health: fleet.HealthHealthy, release: true}
	up := w.e.upAt[host]
	h.visible, h.why = visible(snap, host, now)
	h.fresh = actions.FactsAfter(snap, host, up)
	if !found {
		h.release, h.down, h.health, h.runs = false, true, fleet.HealthDown, "nothing"
		return h
	}
	want := w.e.expect[host]
	var runs []string
	for _, in := range svc.Instances {
		if in.Host != host || !w.e.t.pick(in) {
			continue
		}
		h.count++
		if in.Release.Tag != want.Tag || !actions.SameArtifact(in.Release, want) {
			h.release = false
		}
		if v := in.Release.Version(); !slices.Contains(runs, v) {
			runs = append(runs, v)
		}
		h.health = worse(h.health, in.Health)
		h.down = h.down || in.State != fleet.StateRunning
		h.restarts += w.e.restartsSince(in)
	}
	if h.count == 0 {
		h.release, h.down, h.health = false, true, fleet.HealthDown
	}
	h.runs = orElse(strings.Join(runs, " and "), "nothing")
	return h
}

// visible reports whether the facts of a host come in.
func visible(snap *fleet.Snapshot, host string, now time.Time) (bool, string) {
	for _, h := range snap.Hosts {
		if h.Name == host && !h.Up {
			return false, remote.Clean(h.Error)
		}
	}
	for _, s := range snap.Sources {
		if slices.Contains(s.Hosts, host) && s.Stale(now) {
			return false, remote.Clean(s.Error)
		}
	}
	return true, ""
}

// restartsSince counts how often the engine restarted a container since the plan was made. A
// container that was made again has begun at nothing.
func (e *execution) restartsSince(in fleet.Instance) int {
	return max(0, in.Life.Restarts-e.restarts[in.ID])
}

func worse(a, b fleet.Health) fleet.Health {
	order := []fleet.Health{fleet.HealthHealthy, fleet.HealthNone, fleet.HealthStarting, fleet.HealthUnknown, fleet.HealthUnhealthy, fleet.HealthDown}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

// well reports whether the service is as it has to be on the host.
func (h hostView) well() bool {
	return h.fresh && h.release && !h.down && (h.health == fleet.HealthHealthy || h.health == fleet.HealthNone)
}

// problem says what is not well.
func (h hostView) problem(want string) string {
	switch {
	case h.well():
		return ""
	case !h.release:
		return fmt.Sprintf("%s runs %s, not %s", h.host, h.runs, want)
	case h.down:
		return h.host + " is down"
	default:
		return fmt.Sprintf("%s is %s", h.host, h.health)
	}
}

func (v views) seen() bool {
	return !slices.ContainsFunc(v, func(h hostView) bool { return !h.fresh })
}

func (v views) well() bool {
	return !slices.ContainsFunc(v, func(h hostView) bool { return !h.well() })
}

func (v views) problems() []string {
	var out []string
	for _, h := range v {
		if p := h.problem("what it has to"); p != "" {
			out = append(out, p)
		}
	}
	return out
}

func (v views) names(which func(hostView) bool) []string {
	var out []string
	for _, h := range v {
		if which == nil || which(h) {
			out = append(out, h.host)
		}
	}
	return out
}

func (v views) words() string {
	var out []string
	for _, h := range v {
		health := string(h.health)
		if h.health == fleet.HealthNone {
			health = "running, has no health check"
		}
		out = append(out, fmt.Sprintf("%s %s, %d restarts", h.host, health, h.restarts))
	}
	return strings.Join(out, "; ")
}
