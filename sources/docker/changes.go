package docker

import (
	"fmt"
	"slices"
	"time"

	"github.com/docker/docker/api/types/events"

	"github.com/nexgate-hq/nexops/fleet"
)

const (
	maxRestartsTold = 20 // per container name
	// scaleGap joins creations and removals into one change of number; a
	// re-creation is both, and no change.
	scaleGap = 30 * time.Second
	// scaleSettle is how long it must be quiet before a change of number is told.
	scaleSettle = 5 * time.Second
)

// teller makes the changes of one observation out of what the chronicle holds.
type teller struct {
	source  fleet.SourceID
	subject func(key serviceKey, name string) fleet.Subject
	now     time.Time
	entries []entry
	exits   []exit
	seen    map[string]seen
	running map[serviceKey]int // containers there now
}

// changes are what happened, newest first, bounded.
func (t *teller) changes() []fleet.Change {
	out := slices.Concat(t.deploys(), t.restarts(), t.scales())
	slices.SortStableFunc(out, func(a, b fleet.Change) int { return b.At.Compare(a.At) })
	return out[:min(len(out), maxChanges)]
}

// deploys are the creations of a container whose release differs from the one
// of the container of the same service that was created before it.
func (t *teller) deploys() []fleet.Change {
	byKey := map[serviceKey][]seen{}
	for _, s := range t.seen {
		byKey[s.key] = append(byKey[s.key], s)
	}
	var out []fleet.Change
	for key, list := range byKey {
		slices.SortFunc(list, func(a, b seen) int {
			if c := a.created.Compare(b.created); c != 0 {
				return c
			}
			if a.name < b.name {
				return -1
			}
			return 1
		})
		for i := 1; i < len(list); i++ {
			from, to := list[i-1], list[i]
			if to.created.IsZero() || sameRelease(from, to) {
				continue
			}
			out = append(out, fleet.Change{
				Kind: fleet.ChangeDeploy, At: to.created, Subject: t.subject(key, to.name),
				What: deployWords(from.release, to.release), From: from.release, To: to.release, Source: t.source,
			})
		}
	}
	return out
}

// sameRelease compares by image id where both are known, because a tag may have
// been moved; else by the names.
func sameRelease(a, b seen) bool {
	if a.release.ImageID != "" && b.release.ImageID != "" {
		return a.release.ImageID == b.release.ImageID && a.release.Tag == b.release.Tag
	}
	return canonicalRepo(a.release.Image) == canonicalRepo(b.release.Image) && a.release.Tag == b.release.Tag
}

func deployWords(from, to fleet.Release) string {
	a, b := from.Version(), to.Version()
	if a != b {
		return a + " → " + b
	}
	short := func(r fleet.Release) string {
		if r.Digest != "" {
			return fleet.ShortDigest(r.Digest)
		}
		return fleet.ShortDigest(r.ImageID)
	}
	return fmt.Sprintf("%s: another image under the same tag, %s → %s", b, short(from), short(to))
}

// restarts are the ends of containers, asked for or not. Those of a container
// that went with it are part of its deploy or removal.
func (t *teller) restarts() []fleet.Change {
	told := map[nameKey]int{}
	var out []fleet.Change
	for _, x := range slices.Backward(t.exits) {
		k := nameKey{key: x.entry.key, name: x.entry.name}
		if x.entry.oneOff || told[k] >= maxRestartsTold || (x.requested && x.destroyed) {
			continue
		}
		told[k]++
		out = append(out, fleet.Change{
			Kind: fleet.ChangeRestart, At: x.entry.at, Subject: t.subject(x.entry.key, x.entry.name),
			What: exitWords(x), Source: t.source,
		})
	}
	return out
}

func exitWords(x exit) string {
	switch {
	case x.oom && !x.requested:
		return fmt.Sprintf("killed by the kernel: out of memory (code %d)", x.entry.code)
	case x.restart:
		return "restarted on request (the engine does not say whose)"
	case x.requested && x.kill == 9:
		return fmt.Sprintf("killed on request (the engine does not say whose, code %d)", x.entry.code)
	case x.requested:
		return fmt.Sprintf("stopped on request (the engine does not say whose, code %d)", x.entry.code)
	case x.entry.code == 137:
		return "killed from outside the engine (code 137)"
	default:
		return fmt.Sprintf("exited (code %d)", x.entry.code)
	}
}

// scales are the changes in the number of a service's containers. The number
// before is counted back from the number now.
func (t *teller) scales() []fleet.Change {
	byKey := map[serviceKey][]entry{}
	for _, e := range t.entries {
		if !e.oneOff && (e.action == events.ActionCreate || e.action == events.ActionDestroy) {
			byKey[e.key] = append(byKey[e.key], e)
		}
	}
	var out []fleet.Change
	for key, list := range byKey {
		count := t.running[key]
		for len(list) > 0 {
			first, net := cluster(list)
			last := list[len(list)-1]
			if net != 0 && count-net >= 0 && t.now.Sub(last.at) >= scaleSettle {
				out = append(out, t.scale(key, last, count-net, count))
			}
			count -= net
			list = list[:first]
		}
	}
	return out
}

// cluster finds the newest entries that belong together: where they begin, and
// by how much they changed the number.
func cluster(list []entry) (first, net int) {
	first = len(list)
	for first > 0 && (first == len(list) || list[first].at.Sub(list[first-1].at) <= scaleGap) {
		first--
		if list[first].action == events.ActionCreate {
			net++
		} else {
			net--
		}
	}
	return first, net
}

func (t *teller) scale(key serviceKey, e entry, from, to int) fleet.Change {
	what := fmt.Sprintf("scaled %d → %d", from, to)
	switch {
	case from == 0:
		what = fmt.Sprintf("created, %d running or ready", to)
	case to == 0:
		what = fmt.Sprintf("removed, %d before", from)
	}
	return fleet.Change{Kind: fleet.ChangeScale, At: e.at, Subject: t.subject(key, e.name), What: what, Source: t.source}
}
