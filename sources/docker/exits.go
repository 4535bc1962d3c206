package docker

import (
	"slices"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"

	"github.com/nexgate-hq/nexops/fleet"
)

const (
	// requestedWithin is how long after a kill or stop an end is its doing.
	requestedWithin = 15 * time.Second
	// toldAfter is how long after an end the engine may still say that it was a stop or restart.
	toldAfter = 5 * time.Second
	// sameExit is how far the event and the record of one exit may be apart.
	sameExit = 2 * time.Second
)

// exit is one end of a container's process.
type exit struct {
	entry     entry
	requested bool // somebody asked the engine for it
	restart   bool // as part of a restart
	kill      int  // the signal that was asked for; 0 when none or not known
	oom       bool
	destroyed bool // the container went with it: replaced or removed
}

// exitsOf reads the ends of containers out of the events, oldest first.
func exitsOf(entries []entry) []exit {
	var out []exit
	lastKill := map[string]entry{}
	lastOOM := map[string]bool{}
	lastExit := map[string]int{} // index in out
	for _, e := range entries {
		switch e.action {
		case events.ActionKill:
			if ends(e.signal) {
				lastKill[e.id] = e
			}
		case events.ActionOOM:
			lastOOM[e.id] = true
		case events.ActionDie:
			x := exit{entry: e, oom: lastOOM[e.id]}
			if kill, ok := lastKill[e.id]; ok && e.at.Sub(kill.at) <= requestedWithin {
				x.requested, x.kill = true, kill.signal
			}
			lastExit[e.id] = len(out)
			out = append(out, x)
			delete(lastKill, e.id)
			delete(lastOOM, e.id)
		case events.ActionStop, events.ActionRestart, events.ActionDestroy:
			if i, ok := lastExit[e.id]; ok {
				tellExit(&out[i], e)
			}
		default:
		}
	}
	return out
}

// tellExit adds what the engine says of an end afterwards. A stop that took longer than
// requestedWithin is known only by the event that follows it.
func tellExit(x *exit, e entry) {
	switch e.action {
	case events.ActionDestroy:
		x.destroyed = true
	case events.ActionRestart:
		// It comes after the start, which may take its time.
		if e.at.Sub(x.entry.at) <= requestedWithin {
			x.requested, x.restart = true, true
		}
	default:
		if e.at.Sub(x.entry.at) <= toldAfter {
			x.requested = true
		}
	}
}

// ends reports whether a signal asks a process to end. HUP, USR1, USR2 and CONT
// ask for something else; an unknown one (old engines) is taken to ask for the end.
func ends(signal int) bool {
	switch signal {
	case 1, 10, 12, 18:
		return false
	default:
		return true
	}
}

// nameKey is a container's name within its service; it survives re-creation.
type nameKey struct {
	key  serviceKey
	name string
}

// unexpectedExits are the times of the ends nobody asked for, by name, within the window.
func unexpectedExits(exits []exit, now time.Time) map[nameKey][]exit {
	out := map[nameKey][]exit{}
	for _, x := range exits {
		if x.requested || x.entry.oneOff || now.Sub(x.entry.at) > historyWindow {
			continue
		}
		k := nameKey{key: x.entry.key, name: x.entry.name}
		out[k] = append(out[k], x)
	}
	return out
}

// exitTimes are the unexpected ends of one instance's name. An end with code 0 is one only
// under a policy that starts the container again: else it had simply done its work. Those of another release are not held
// against this one: a release that was put back would be called a crash loop for ten minutes.
func exitTimes(in fleet.Instance, rec container.InspectResponse, byName map[nameKey][]exit, known map[string]seen, now time.Time) []time.Time {
	again := restartsAlways(rec)
	var out []time.Time
	for _, x := range byName[nameKey{key: keyOf(in.Name, subjectLabels(in.Subject)), name: in.Name}] {
		was, ok := known[x.entry.id]
		if is, known := known[in.ID]; ok && known && !sameRelease(was, is) {
			continue
		}
		if x.entry.code != 0 || x.oom || again {
			out = append(out, x.entry.at)
		}
	}
	return addRecorded(out, in, now)
}

// addRecorded adds the newest end by the container's own record, when no event told of it:
// the engine keeps few events. Only its restart policy counts restarts, so that end was not asked for.
func addRecorded(times []time.Time, in fleet.Instance, now time.Time) []time.Time {
	at := in.Life.FinishedAt
	if in.OneOff || in.Life.Restarts == 0 || at.IsZero() || now.Sub(at) > historyWindow {
		return times
	}
	for _, t := range times {
		if t.Sub(at).Abs() <= sameExit {
			return times
		}
	}
	times = append(times, at)
	slices.SortFunc(times, time.Time.Compare)
	return times
}

func restartsAlways(rec container.InspectResponse) bool {
	if rec.ContainerJSONBase == nil || rec.HostConfig == nil {
		return false
	}
	p := rec.HostConfig.RestartPolicy
	return p.IsAlways() || p.IsUnlessStopped()
}
