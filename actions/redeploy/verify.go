package redeploy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
)

// Bounds of a verification.
const (
	lookEvery    = 200 * time.Millisecond
	pokeEvery    = 3 * time.Second
	sayEvery     = 5 * time.Second
	blindFor     = 30 * time.Second // a host that cannot be seen that long ends the watch
	crashLoop    = 3                // restarts of the new container that end the watch
	unhealthyFor = 15 * time.Second // a health check that fails that long ends the watch
)

// watch is one verification: it waits until the new release is up everywhere and healthy, and
// then looks on for the soak time.
type watch struct {
	e      *execution
	before baseline
	world  actions.World
	say    func(line string)
	now    func() time.Time
	soak   time.Duration
	start  time.Duration

	began   time.Time
	healthy time.Time            // since when everything is well; zero when it is not yet
	said    time.Time            // when the last progress was told
	blind   map[string]time.Time // host that cannot be seen, since when
	ill     time.Time            // since when a health check fails
	bad     []string             // what went wrong while it was watched
}

func newWatch(e *execution, before baseline, world actions.World, say func(line string)) *watch {
	return &watch{
		e: e, before: before, world: world, say: say, now: e.a.deps.Now,
		soak: time.Duration(e.a.cfg.Soak), start: time.Duration(e.a.cfg.Start), blind: map[string]time.Time{},
	}
}

// judge looks at the world until there is a verdict.
func (w *watch) judge(ctx context.Context) (actions.Outcome, []string) {
	w.began = w.now()
	look := w.e.a.deps.Look
	if look <= 0 {
		look = lookEvery
	}
	tick := time.NewTicker(look)
	defer tick.Stop()
	poked := w.now()
	w.world.Poke()
	w.tell(w.began, fmt.Sprintf("waiting until %s runs on %s and is well, at most %s", w.e.t.to.Version(), strings.Join(w.e.t.hostNames(), ", "), fleet.Ago(w.start)))
	for {
		if o, reasons, over := w.look(w.world.Latest()); over {
			return o, reasons
		}
		select {
		case <-ctx.Done():
			return actions.OutcomeUnknown, append(w.bad, fmt.Sprintf("not verified to the end: stopped after %s of watching", fleet.Ago(w.now().Sub(w.began))))
		case <-tick.C:
		}
		if w.now().Sub(poked) >= pokeEvery {
			poked = w.now()
			w.world.Poke()
		}
	}
}

// look takes one snapshot in. Facts from before the container was made again are not judged.
func (w *watch) look(snap *fleet.Snapshot) (o actions.Outcome, reasons []string, over bool) {
	now := w.now()
	svc, ok := snap.Find(w.e.t.key)
	var v views
	for _, s := range w.e.surveys {
		v = append(v, w.view(snap, svc, ok, s.place.host, now))
	}
	if reason := w.unseen(v, now); reason != "" {
		return actions.OutcomeUnknown, append(w.bad, reason), true
	}
	if !v.seen() {
		if now.Sub(w.began) > max(w.start, blindFor) {
			return actions.OutcomeUnknown, append(w.bad, "no new facts came of "+strings.Join(v.names(func(h hostView) bool { return !h.fresh }), ", ")), true
		}
		w.progress(now, "waiting for new facts of "+strings.Join(v.names(func(h hostView) bool { return !h.fresh }), ", "))
		return "", nil, false
	}
	if o, reasons := w.clear(v, now); o != "" {
		return o, reasons, true
	}
	if w.healthy.IsZero() && !v.well() {
		if now.Sub(w.began) > w.start {
			return w.late(v), append(w.bad, v.problems()...), true
		}
		w.progress(now, "waiting: "+strings.Join(v.problems(), "; "))
		return "", nil, false
	}
	if w.healthy.IsZero() {
		w.healthy = now
		w.tell(now, fmt.Sprintf("up and well on %s, watching for %s", strings.Join(v.names(nil), ", "), fleet.Ago(w.soak)))
	}
	w.note(v)
	return w.soaked(snap, svc, v, now)
}

// soaked gives the verdict when the soak time is over.
func (w *watch) soaked(snap *fleet.Snapshot, svc *fleet.Service, v views, now time.Time) (actions.Outcome, []string, bool) {
	age := now.Sub(w.healthy)
	m := w.before.compare(snap, svc, w.lastUp(), now)
	if age < w.soak {
		w.progress(now, fmt.Sprintf("%s of %s: %s; %s", fleet.Ago(age), fleet.Ago(w.soak), v.words(), strings.Join(m.words, ", ")))
		return "", nil, false
	}
	if o, reasons, over := w.turned(snap, v, age); !over || o != "" {
		return o, reasons, over
	}
	// Rates of requests still look back on the old release for a while.
	if settle := time.Duration(w.e.a.cfg.Limits.Settle); len(m.worse)+len(m.unseen) > 0 && len(w.bad) == 0 && now.Sub(w.lastUp()) < settle {
		w.progress(now, fmt.Sprintf("waiting up to %s more: %s", fleet.Ago(settle-now.Sub(w.lastUp())), strings.Join(slices.Concat(m.worse, m.unseen), "; ")))
		return "", nil, false
	}
	w.tell(now, fmt.Sprintf("%s watched: %s; %s", fleet.Ago(age), v.words(), strings.Join(m.words, ", ")))
	bad := append(slices.Clone(w.bad), m.worse...)
	switch {
	case !v.well():
		return actions.OutcomeDegraded, append(bad, v.problems()...), true
	case len(bad) > 0:
		return actions.OutcomeDegraded, bad, true
	case len(m.unseen) > 0:
		return actions.OutcomeUnknown, append(m.unseen, "up and healthy, but that cannot be compared"), true
	default:
		return actions.OutcomeGood, m.notes, true
	}
}

// turned holds the verdict back while what it would rest on is from before the end of the soak time, or
// has turned just now. over with an empty outcome means: go on to the verdict.
func (w *watch) turned(snap *fleet.Snapshot, v views, age time.Duration) (o actions.Outcome, reasons []string, over bool) {
	if !v.well() && age < w.soak+unhealthyFor {
		return "", nil, false // clear decides, when it stays so
	}
	end := w.healthy.Add(w.soak)
	for _, h := range v {
		if actions.FactsAfter(snap, h.host, end) {
			continue
		}
		if age < w.soak+blindFor {
			return "", nil, false
		}
		return actions.OutcomeUnknown, append(w.bad, "no new facts came of "+h.host), true
	}
	return "", nil, true
}

// clear ends the watch early when waiting longer would not change the verdict.
func (w *watch) clear(v views, now time.Time) (actions.Outcome, []string) {
	for _, h := range v {
		if h.restarts >= crashLoop {
			return actions.OutcomeFailed, append(w.bad, fmt.Sprintf("crash loop on %s: %d restarts since it was made again", h.host, h.restarts))
		}
	}
	ill := v.names(func(h hostView) bool { return h.health == fleet.HealthUnhealthy })
	if len(ill) == 0 {
		w.ill = time.Time{}
		return "", nil
	}
	if w.ill.IsZero() {
		w.ill = now
	}
	if now.Sub(w.ill) < min(unhealthyFor, max(w.soak/2, time.Second)) {
		return "", nil
	}
	return actions.OutcomeDegraded, append(w.bad, v.problems()...)
}

// late is the verdict when it is not well after all the time it had.
func (w *watch) late(v views) actions.Outcome {
	for _, h := range v {
		if !h.release || h.down {
			return actions.OutcomeFailed
		}
	}
	return actions.OutcomeDegraded
}

// note keeps what went wrong within the soak, also when it has healed by its end.
func (w *watch) note(v views) {
	for _, h := range v {
		if h.restarts > 0 {
			w.addBad(fmt.Sprintf("restarted on %s since it was made again", h.host))
		}
		if h.health == fleet.HealthUnhealthy {
			w.addBad("was unhealthy on " + h.host + " while it was watched")
		}
		if h.down {
			w.addBad("was down on " + h.host + " while it was watched")
		}
		if !h.release {
			w.addBad("another release came up on " + h.host + " while it was watched: " + h.runs)
		}
	}
}

func (w *watch) addBad(what string) {
	if !slices.Contains(w.bad, what) {
		w.bad = append(w.bad, what)
	}
}

// unseen says which host could not be seen for too long.
func (w *watch) unseen(v views, now time.Time) string {
	for _, h := range v {
		if h.visible {
			delete(w.blind, h.host)
			continue
		}
		if w.blind[h.host].IsZero() {
			w.blind[h.host] = now
		}
		if now.Sub(w.blind[h.host]) >= min(blindFor, max(w.start, time.Second)) {
			return fmt.Sprintf("%s cannot be seen: %s", h.host, orElse(h.why, "no new facts come"))
		}
	}
	return ""
}

func (w *watch) lastUp() time.Time {
	var last time.Time
	for _, at := range w.e.upAt {
		if at.After(last) {
			last = at
		}
	}
	return last
}

// progress tells how it goes, every few seconds.
func (w *watch) progress(now time.Time, line string) {
	if now.Sub(w.said) >= sayEvery {
		w.tell(now, line)
	}
}

func (w *watch) tell(now time.Time, line string) {
	w.said = now
	w.say(line)
}
