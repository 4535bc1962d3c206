package verify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// hostView is what one snapshot shows of a service on one host.
type hostView struct {
	label    string // in words: the host, with the service when there are several
	on       string // the host
	visible  bool   // the host is up, and its facts come in
	why      string // why it is not visible
	fresh    bool   // its facts are newer than the change there
	right    bool   // release, number and newness are as expected
	wrong    string // what is not as expected
	health   fleet.Health
	down     bool
	restarts int
}

type views []hostView

// view looks at one place.
func (p *place) view(snap *fleet.Snapshot, now time.Time) hostView {
	h := hostView{label: p.label, on: p.Host, health: fleet.HealthHealthy, right: true}
	h.visible, h.why = visible(snap, p.Host, now)
	h.fresh = actions.FactsAfter(snap, p.Host, p.done)
	var there []*fleet.Instance
	if svc, ok := snap.Find(p.Service); ok {
		for _, in := range svc.Instances {
			if p.picks(in) {
				there = append(there, in)
			}
		}
	}
	if p.None {
		h.none(there)
		return h
	}
	for _, in := range there {
		h.health = worse(h.health, in.Health)
		h.down = h.down || in.State != fleet.StateRunning
		h.restarts += p.restarts(in)
	}
	if len(there) == 0 {
		h.down, h.health = true, fleet.HealthDown
	}
	h.wrong = p.wrong(there)
	h.right = h.wrong == ""
	return h
}

// none judges a place where nothing is meant to run.
func (h *hostView) none(there []*fleet.Instance) {
	for _, in := range there {
		if in.State == fleet.StateRunning {
			h.right, h.wrong = false, fmt.Sprintf("%s still runs %s", h.label, remote.Clean(in.Name))
		}
	}
}

// wrong says what is not as expected, whether it is healthy or not; "" when all is.
func (p *place) wrong(there []*fleet.Instance) string {
	var runs []string
	other, old := false, ""
	for _, in := range there {
		if !p.Release.IsZero() && (in.Release.Tag != p.Release.Tag || !actions.SameArtifact(in.Release, p.Release)) {
			other = true
		}
		if v := in.Release.Version(); !slices.Contains(runs, v) {
			runs = append(runs, v)
		}
		if p.New && p.old(in) {
			old = in.Name
		}
	}
	switch {
	case len(there) == 0 || other:
		want := "what it has to"
		if len(there) == 0 && p.Release.IsZero() {
			want = "anything"
		}
		return fmt.Sprintf("%s runs %s, not %s", p.label, orElse(remote.Clean(strings.Join(runs, " and ")), "nothing"), want)
	case p.Count > 0 && len(there) != p.Count:
		return fmt.Sprintf("%s has %d instances, not %d", p.label, len(there), p.Count)
	case old != "":
		return fmt.Sprintf("%s still runs the %s of before", p.label, remote.Clean(old))
	default:
		return ""
	}
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

func worse(a, b fleet.Health) fleet.Health {
	order := []fleet.Health{fleet.HealthHealthy, fleet.HealthNone, fleet.HealthStarting, fleet.HealthUnknown, fleet.HealthUnhealthy, fleet.HealthDown}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

// well reports whether the service is as it has to be on the host.
func (h hostView) well() bool {
	return h.fresh && h.right && !h.down && (h.health == fleet.HealthHealthy || h.health == fleet.HealthNone)
}

// problem says what is not well.
func (h hostView) problem() string {
	switch {
	case h.well():
		return ""
	case !h.right:
		return h.wrong
	case h.down:
		return h.label + " is down"
	default:
		return fmt.Sprintf("%s is %s", h.label, h.health)
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
		if p := h.problem(); p != "" {
			out = append(out, p)
		}
	}
	return out
}

func (v views) names(which func(hostView) bool) []string {
	var out []string
	for _, h := range v {
		if which == nil || which(h) {
			out = append(out, h.label)
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
		out = append(out, fmt.Sprintf("%s %s, %d restarts", h.label, health, h.restarts))
	}
	return strings.Join(out, "; ")
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
