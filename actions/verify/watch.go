package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
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

// Deps is what a verification uses of the program around it.
type Deps struct {
	Now  func() time.Time // nil is time.Now
	Look time.Duration    // how often it looks; 0 is 200 ms
}

// Watch is one verification: it waits until all that is expected has come true and is healthy, and
// then looks on for the soak time. The steps of a plan and its verification come one after the other,
// but steps may run side by side: Did and Wants may be called by several at once.
type Watch struct {
	set  Settings
	deps Deps
	what string

	mu     sync.Mutex // of what the steps tell
	places []*place
	before map[fleet.ServiceKey]baseline

	*state
}

// state is a Watch while it watches.
type state struct {
	world   actions.World
	say     func(line string)
	began   time.Time
	healthy time.Time            // since when everything is well; zero when it is not yet
	said    time.Time            // when the last progress was told
	blind   map[string]time.Time // place that cannot be seen, since when
	ill     time.Time            // since when a health check fails
	bad     []string             // what went wrong while it was watched
	trip    *tripwire            // nil: nothing is rolled back by itself
}

// New makes a Watch with the plan, and notes how the services do by the snapshot of the plan.
// what says what is waited for: "0.4.1 runs".
func New(set Settings, deps Deps, snap *fleet.Snapshot, what string, expect ...Expect) *Watch {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Look <= 0 {
		deps.Look = lookEvery
	}
	w := &Watch{set: set, deps: deps, what: what, before: map[fleet.ServiceKey]baseline{}}
	several := false
	for _, e := range expect {
		several = several || e.Service != expect[0].Service
	}
	for _, e := range expect {
		w.places = append(w.places, newPlace(snap, e, several))
		if _, ok := w.before[e.Service]; !ok {
			w.before[e.Service] = baselineOf(snap, e.Service, several, set)
		}
	}
	return w
}

// Did tells that the change has just taken effect on a host, as far as its step can know. Facts
// from before that moment are not judged.
func (w *Watch) Did(key fleet.ServiceKey, host string) {
	w.each(key, host, func(p *place) { p.done = w.deps.Now() })
}

// Wants tells what has to run on a host, when that is known better than when the plan was made.
func (w *Watch) Wants(key fleet.ServiceKey, host string, r fleet.Release) {
	w.each(key, host, func(p *place) { p.Release = r })
}

// Wanted is what has to run on a host.
func (w *Watch) Wanted(key fleet.ServiceKey, host string) fleet.Release {
	var r fleet.Release
	w.each(key, host, func(p *place) { r = p.Release })
	return r
}

func (w *Watch) each(key fleet.ServiceKey, host string, do func(*place)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.places {
		if p.Service == key && p.Host == host {
			do(p)
		}
	}
}

// Verify looks at the world until there is a verdict. It is what a plan has as its Verify.
func (w *Watch) Verify(ctx context.Context, world actions.World, say func(line string)) (actions.Outcome, []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = &state{world: world, say: say, began: w.deps.Now(), blind: map[string]time.Time{}}
	if rb, ok := world.(actions.RollsBack); ok {
		w.trip = newTripwire(w.set.Rollback, rb)
	}
	tick := time.NewTicker(w.deps.Look)
	defer tick.Stop()
	poked := w.began
	w.world.Poke()
	w.tell(w.began, fmt.Sprintf("waiting until %s on %s and is well, at most %s", w.what, strings.Join(w.labels(), ", "), fleet.Ago(w.set.Start)))
	for {
		if o, reasons, over := w.look(w.world.Latest()); over {
			return o, reasons
		}
		select {
		case <-ctx.Done():
			return actions.OutcomeUnknown, append(w.bad, fmt.Sprintf("not verified to the end: stopped after %s of watching", fleet.Ago(w.deps.Now().Sub(w.began))))
		case <-tick.C:
		}
		if now := w.deps.Now(); now.Sub(poked) >= pokeEvery {
			poked = now
			w.world.Poke()
		}
	}
}

func (w *Watch) labels() []string {
	var out []string
	for _, p := range w.places {
		out = append(out, p.label)
	}
	return out
}

// look takes one snapshot in. Facts from before the container was made again are not judged.
func (w *Watch) look(snap *fleet.Snapshot) (o actions.Outcome, reasons []string, over bool) {
	now := w.deps.Now()
	var v views
	for _, p := range w.places {
		v = append(v, p.view(snap, now))
	}
	if reason := w.unseen(v, now); reason != "" {
		return actions.OutcomeUnknown, append(w.bad, reason), true
	}
	if !v.seen() {
		if now.Sub(w.began) > max(w.set.Start, blindFor) {
			return actions.OutcomeUnknown, append(w.bad, "no new facts came of "+strings.Join(v.names(func(h hostView) bool { return !h.fresh }), ", ")), true
		}
		w.progress(now, "waiting for new facts of "+strings.Join(v.names(func(h hostView) bool { return !h.fresh }), ", "))
		return "", nil, false
	}
	if reason := w.tripped(snap, v, now); reason != "" {
		w.trip.to.RollBack(reason)
		return actions.OutcomeDegraded, append(w.bad, reason), true
	}
	if o, reasons := w.clear(v, now); o != "" {
		return o, reasons, true
	}
	if w.healthy.IsZero() && !v.well() {
		if now.Sub(w.began) > w.set.Start {
			return w.late(v), append(w.bad, v.problems()...), true
		}
		w.progress(now, "waiting: "+strings.Join(v.problems(), "; "))
		return "", nil, false
	}
	if w.healthy.IsZero() {
		w.healthy = now
		w.tell(now, fmt.Sprintf("up and well on %s, watching for %s", strings.Join(v.names(nil), ", "), fleet.Ago(w.set.Soak)))
	}
	w.note(v)
	return w.soaked(snap, v, now)
}

// soaked gives the verdict when the soak time is over.
func (w *Watch) soaked(snap *fleet.Snapshot, v views, now time.Time) (actions.Outcome, []string, bool) {
	age := now.Sub(w.healthy)
	m := w.compare(snap, now)
	if age < w.set.Soak {
		w.progress(now, fmt.Sprintf("%s of %s: %s; %s", fleet.Ago(age), fleet.Ago(w.set.Soak), v.words(), strings.Join(m.words, ", ")))
		return "", nil, false
	}
	if o, reasons, over := w.turned(snap, v, age); !over || o != "" {
		return o, reasons, over
	}
	// Rates of requests still look back on the old release for a while.
	trigger := w.overTrigger(snap, now)
	if settle := time.Duration(w.set.Limits.Settle); (len(m.worse)+len(m.unseen) > 0 || trigger != "") && len(w.bad) == 0 && now.Sub(w.lastDone()) < settle {
		w.progress(now, fmt.Sprintf("waiting up to %s more: %s", fleet.Ago(settle-now.Sub(w.lastDone())), strings.Join(slices.Concat(m.worse, m.unseen), "; ")))
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
func (w *Watch) turned(snap *fleet.Snapshot, v views, age time.Duration) (o actions.Outcome, reasons []string, over bool) {
	if !v.well() && age < w.set.Soak+unhealthyFor {
		return "", nil, false // clear decides, when it stays so
	}
	end := w.healthy.Add(w.set.Soak)
	for _, h := range v {
		if actions.FactsAfter(snap, h.on, end) {
			continue
		}
		if age < w.set.Soak+blindFor {
			return "", nil, false
		}
		return actions.OutcomeUnknown, append(w.bad, "no new facts came of "+h.label), true
	}
	return "", nil, true
}

// clear ends the watch early when waiting longer would not change the verdict.
func (w *Watch) clear(v views, now time.Time) (actions.Outcome, []string) {
	for _, h := range v {
		if h.restarts >= crashLoop {
			return actions.OutcomeFailed, append(w.bad, fmt.Sprintf("crash loop on %s: %d restarts since it was made again", h.label, h.restarts))
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
	if now.Sub(w.ill) < min(unhealthyFor, max(w.set.Soak/2, time.Second)) {
		return "", nil
	}
	return actions.OutcomeDegraded, append(w.bad, v.problems()...)
}

// late is the verdict when it is not well after all the time it had.
func (w *Watch) late(v views) actions.Outcome {
	for _, h := range v {
		if !h.right || h.down {
			return actions.OutcomeFailed
		}
	}
	return actions.OutcomeDegraded
}

// note keeps what went wrong within the soak, also when it has healed by its end.
func (w *Watch) note(v views) {
	for _, h := range v {
		if h.restarts > 0 {
			w.addBad(fmt.Sprintf("restarted on %s since it was made again", h.label))
		}
		if h.health == fleet.HealthUnhealthy {
			w.addBad("was unhealthy on " + h.label + " while it was watched")
		}
		if h.down {
			w.addBad("was down on " + h.label + " while it was watched")
		}
		if !h.right && !h.down {
			w.addBad("it was otherwise while it was watched: " + h.problem())
		}
	}
}

func (w *Watch) addBad(what string) {
	if !slices.Contains(w.bad, what) {
		w.bad = append(w.bad, what)
	}
}

// unseen says which host could not be seen for too long.
func (w *Watch) unseen(v views, now time.Time) string {
	for _, h := range v {
		if h.visible {
			delete(w.blind, h.label)
			continue
		}
		if w.blind[h.label].IsZero() {
			w.blind[h.label] = now
		}
		if now.Sub(w.blind[h.label]) >= min(blindFor, max(w.set.Start, time.Second)) {
			return fmt.Sprintf("%s cannot be seen: %s", h.label, orElse(h.why, "no new facts come"))
		}
	}
	return ""
}

// lastDone is when the last change took effect.
func (w *Watch) lastDone() time.Time {
	var last time.Time
	for _, p := range w.places {
		if p.done.After(last) {
			last = p.done
		}
	}
	return last
}

// compare holds the figures of all services against those before.
func (w *Watch) compare(snap *fleet.Snapshot, now time.Time) comparison {
	var all comparison
	seen := map[fleet.ServiceKey]bool{}
	for _, p := range w.places {
		if !seen[p.Service] {
			seen[p.Service] = true
			all.add(w.before[p.Service].compare(snap, p.Service, w.lastDone(), now))
		}
	}
	return all
}

// progress tells how it goes, every few seconds.
func (w *Watch) progress(now time.Time, line string) {
	if now.Sub(w.said) >= sayEvery {
		w.tell(now, line)
	}
}

func (w *Watch) tell(now time.Time, line string) {
	w.said = now
	w.say(line)
}
