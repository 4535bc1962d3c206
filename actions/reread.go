package actions

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// unknown is what follows a step of which nobody knows whether it took effect: it is
// never sent again; the state is read again, and said. Only when that was the last change
// of the plan, and the state is what the plan wanted, is there something to verify.
func (x *run) unknown(ctx context.Context, i int, cause error) verdict {
	step := x.p.Steps[i]
	said := fmt.Sprintf("%s: %s", stepName(step), plain(cause.Error()))
	x.send(Event{Kind: EventOutput, Step: i, Stream: StreamNexops, Text: "reading the state again: the step is not sent twice"})
	states, reached := x.reread(ctx)
	// What was sent may still be at work: it is given a little time to become true.
	for end := x.r.Now().Add(x.r.Timing.Settle); !reached && len(x.p.Moves) > 0 && ctx.Err() == nil && x.r.Now().Before(end); {
		x.pause(ctx)
		states, reached = x.reread(ctx)
	}
	for _, line := range states {
		x.send(Event{Kind: EventOutput, Step: i, Stream: StreamNexops, Text: line})
	}
	if reached && !x.mutatesAfter(i) && ctx.Err() == nil {
		x.send(Event{Kind: EventOutput, Step: i, Stream: StreamNexops, Text: "the estate runs what the plan wanted: verifying"})
		return x.verify(ctx, []string{said, "the state was read again: the estate runs what the plan wanted"})
	}
	v := x.stopped(i+1, OutcomeUnknown, said)
	if !x.mutatesAfter(i) {
		v.reasons = v.reasons[:1]
	}
	v.reasons = append(v.reasons, states...)
	return v
}

// pause lets a moment pass between two looks.
func (x *run) pause(ctx context.Context) {
	t := time.NewTimer(x.r.Timing.Look)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (x *run) mutatesAfter(i int) bool {
	for _, s := range x.p.Steps[i+1 : x.at.to] {
		if s.Mutates {
			return true
		}
	}
	return false
}

// reread waits for facts newer than now about all that the plan moves and says what they
// show. It also runs when the run was cancelled: then above all is the truth wanted.
func (x *run) reread(ctx context.Context) (states []string, reached bool) {
	rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), x.r.Timing.Reread)
	defer cancel()
	now := x.r.now(rctx, x.at.Moves)
	return now.states, now.reached && len(x.at.Moves) > 0
}

// reality is what new facts say about moves.
type reality struct {
	states  []string // one sentence each
	reached bool     // all is as the moves wanted it
	whole   bool     // all of it could be read
}

// now waits for facts newer than now about all moves and says what they show.
func (r *Runner) now(ctx context.Context, moves []Move) reality {
	since := r.Now()
	out := reality{reached: true, whole: true}
	for _, m := range moves {
		w := Watch{World: r.World, Look: r.Timing.Look}
		svc, err := w.Fresh(ctx, m.Service, m.Host, since)
		if err != nil {
			out.states = append(out.states, fmt.Sprintf("%s on %s cannot be read: %v", m.Service.Name, m.Host, err))
			out.reached, out.whole = false, false
			continue
		}
		line, there := stateOf(svc, m)
		out.states = append(out.states, line)
		out.reached = out.reached && there
	}
	return out
}

// stateOf says what the instances of a move run now, and whether all of them run what was wanted.
func stateOf(svc *fleet.Service, m Move) (line string, reached bool) {
	to, from, other := 0, 0, 0
	idle := ""
	for _, in := range svc.Instances {
		switch {
		case in.Host != m.Host || in.OneOff || in.Release.Image != m.To.Image:
			continue
		case SameArtifact(in.Release, m.To):
			to++
		case SameArtifact(in.Release, m.From):
			from++
		default:
			other++
		}
		if in.State != fleet.StateRunning && in.State != "" {
			idle = ", but is " + oneLine(string(in.State)) + ", not running"
		}
	}
	name := fmt.Sprintf("%s on %s", m.Service.Name, m.Host)
	switch {
	case to+from+other == 0:
		return name + " has no instance now", false
	case from+other == 0 && idle != "":
		return fmt.Sprintf("%s has %s now%s", name, m.To.Version(), idle), false
	case from+other == 0:
		return fmt.Sprintf("%s runs %s now", name, m.To.Version()), true
	case to+other == 0 && idle != "":
		return fmt.Sprintf("%s still has %s%s", name, m.From.Version(), idle), false
	case to+other == 0:
		return fmt.Sprintf("%s still runs %s", name, m.From.Version()), false
	default:
		return fmt.Sprintf("%s now has %d of %s, %d of %s, %d of others%s", name, to, m.To.Version(), from, m.From.Version(), other, idle), false
	}
}

// SameArtifact compares two releases of one image by what is known of both: the digest or the engine's
// id, which name an artifact, before the tag, which may have moved.
func SameArtifact(a, b fleet.Release) bool {
	switch {
	case a.Digest != "" && b.Digest != "":
		return a.Digest == b.Digest
	case a.ImageID != "" && b.ImageID != "":
		return a.ImageID == b.ImageID
	default:
		return a.Tag != "" && a.Tag == b.Tag
	}
}

// Watch is how a verification looks at the world: by snapshots, again and again.
type Watch struct {
	World World
	Look  time.Duration // how often; 0 is 200 ms
}

// pokeEvery is how often the sources are asked to look again while somebody waits.
const pokeEvery = 2 * time.Second

// Fresh waits for a snapshot whose facts about a service on a host are newer than since.
func (w Watch) Fresh(ctx context.Context, key fleet.ServiceKey, host string, since time.Time) (*fleet.Service, error) {
	look := w.Look
	if look <= 0 {
		look = 200 * time.Millisecond
	}
	tick := time.NewTicker(look)
	defer tick.Stop()
	poke := time.NewTicker(pokeEvery)
	defer poke.Stop()
	w.World.Poke()
	why := "no new facts came"
	for {
		snap := w.World.Latest()
		if FactsAfter(snap, host, since) {
			if svc, ok := snap.Find(key); ok {
				return svc, nil
			}
			why = "it has no row any more"
		} else if h := hostOf(snap, host); h != nil && !h.Up {
			why = "the host cannot be seen: " + oneLine(h.Error)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s: %w", why, ctx.Err())
		case <-poke.C:
			w.World.Poke()
		case <-tick.C:
		}
	}
}

func hostOf(snap *fleet.Snapshot, name string) *fleet.Host {
	for i := range snap.Hosts {
		if snap.Hosts[i].Name == name {
			return &snap.Hosts[i]
		}
	}
	return nil
}

// FactsAfter reports whether the sources that watch a host have begun, and ended, to observe
// it whole since then. Those that watch only that host decide alone, where there are any.
func FactsAfter(snap *fleet.Snapshot, host string, since time.Time) bool {
	if h := hostOf(snap, host); h != nil && !h.Up {
		return false
	}
	all, newer := 0, true
	own, ownNewer := 0, true
	for _, s := range snap.Sources {
		if !slices.Contains(s.Hosts, host) {
			continue
		}
		// What an observation that was under way at that time has seen may be older than it.
		fresh := s.LastSuccess.Add(-s.Latency).After(since)
		all++
		newer = newer && fresh
		if len(s.Hosts) == 1 {
			own++
			ownNewer = ownNewer && fresh
		}
	}
	if own > 0 {
		return ownNewer
	}
	return all > 0 && newer
}
