package verify

import (
	"fmt"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// tripwire ends a watch on signs that are so bad that the change is taken back without asking. It is
// there only where the policy says so.
type tripwire struct {
	Triggers
	to     actions.RollsBack
	failed map[string]*streak // by place
}

// streak is how often in a row a place was found failing.
type streak struct {
	n    int
	last time.Time // of the facts that were counted last
}

func newTripwire(t Triggers, to actions.RollsBack) *tripwire {
	return &tripwire{Triggers: t, to: to, failed: map[string]*streak{}}
}

// tripped says what calls for a rollback; "" when nothing does.
func (w *Watch) tripped(snap *fleet.Snapshot, v views, now time.Time) string {
	if w.trip == nil {
		return ""
	}
	for _, h := range v {
		if reason := w.trip.health(h, seenAt(snap, h.on)); reason != "" {
			return reason
		}
	}
	if now.Sub(w.lastDone()) < time.Duration(w.set.Limits.Settle) {
		return ""
	}
	return w.overTrigger(snap, now)
}

// overTrigger says which figure is over what calls for a rollback; "" when none is.
func (w *Watch) overTrigger(snap *fleet.Snapshot, now time.Time) string {
	if w.trip == nil {
		return ""
	}
	for _, p := range w.places {
		if reason := w.trip.figures(snap, p.Service, w.lastDone(), now); reason != "" {
			return w.before[p.Service].prefix + reason
		}
	}
	return ""
}

// health counts failures in a row. Facts that come sooner after the last that were counted are not another
// failure: an engine's events come in bursts.
func (t *tripwire) health(h hostView, at time.Time) string {
	if h.restarts >= crashLoop {
		return fmt.Sprintf("crash loop on %s: %d restarts since it was made again", h.label, h.restarts)
	}
	if !h.down && h.health != fleet.HealthUnhealthy {
		if h.health != fleet.HealthStarting { // between two crashes it is always starting
			delete(t.failed, h.label)
		}
		return ""
	}
	s := t.failed[h.label]
	if s == nil {
		s = &streak{}
		t.failed[h.label] = s
	}
	if s.n > 0 && at.Sub(s.last) < time.Duration(t.HealthEvery) {
		return ""
	}
	s.n, s.last = s.n+1, at
	if t.HealthFailures <= 0 || s.n < t.HealthFailures {
		return ""
	}
	what := string(h.health)
	if h.down {
		what = "down"
	}
	return fmt.Sprintf("%s was %s %d times in a row", h.label, what, s.n)
}

// seenAt is when the facts of a host were read last.
func seenAt(snap *fleet.Snapshot, host string) time.Time {
	var last time.Time
	for _, s := range snap.Sources {
		for _, h := range s.Hosts {
			if h == host && s.LastSuccess.After(last) {
				last = s.LastSuccess
			}
		}
	}
	return last
}

// figures looks at errors and latency. They call for a rollback only when the settle time is over: a rate looks back
// on what ran before for its whole window, and the figures of the bad release that has just been put away
// must not bring it back.
func (t *tripwire) figures(snap *fleet.Snapshot, key fleet.ServiceKey, done, now time.Time) string {
	svc, ok := snap.Find(key)
	if !ok || !t.enough(svc) {
		return ""
	}
	for _, f := range []struct {
		name fleet.MetricName
		most float64
		word string
	}{
		{fleet.MetricErrorRatio, t.ErrorRatio, " within a minute"},
		{fleet.MetricP99, time.Duration(t.P99).Seconds(), ""},
	} {
		m, ok := svc.Metrics.Get(f.name)
		if !ok || !m.Has || f.most <= 0 || m.Latest <= f.most || blindMetric(snap, m, done, now) != "" {
			continue
		}
		return fmt.Sprintf("%s %s > %s%s", nameOf(f.name), value(f.name, m.Latest), value(f.name, f.most), f.word)
	}
	return ""
}

// enough keeps a single failed request at night from being 100 % errors.
func (t *tripwire) enough(svc *fleet.Service) bool {
	const minute = 60
	rps, ok := svc.Metrics.Get(fleet.MetricRPS)
	return !ok || !rps.Has || rps.Latest*minute >= t.MinRequests
}
