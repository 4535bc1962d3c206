package docker

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/events"

	"github.com/nexgate-hq/nexops/fleet"
)

const (
	historyWindow = 10 * time.Minute
	maxEntries    = 2000 // events kept of one engine
	maxChanges    = 500  // told of one engine
	maxGone       = 1000 // containers remembered that are no more
)

// entry is one event that tells of a container's life.
type entry struct {
	at     time.Time
	action events.Action
	id     string
	name   string
	image  string
	key    serviceKey
	oneOff bool
	code   int // of a die
	signal int // of a kill; 0 is not known
}

// serviceKey is what containers of one service on one host have in common.
// A container that Compose did not make is a service of its own, by its name.
type serviceKey struct {
	project string
	service string
}

func keyOf(name string, labels map[string]string) serviceKey {
	if svc := labels[labelService]; svc != "" {
		return serviceKey{project: labels[labelProject], service: svc}
	}
	return serviceKey{service: unnamed + name}
}

// unnamed marks the key of a container without a Compose service: none has such a name.
const unnamed = "\x00"

// composed reports whether Compose gave the service its name.
func (k serviceKey) composed() bool { return !strings.HasPrefix(k.service, unnamed) }

// seen is a container that was observed or named by an event.
type seen struct {
	key     serviceKey
	name    string
	release fleet.Release
	created time.Time
	whole   bool // its release comes from the container itself, not from an event's words
}

// chronicle remembers the events of one engine and the containers they were
// about, bounded, so that what happened outlives what is.
type chronicle struct {
	mu      sync.Mutex
	entries []entry
	known   map[eventID]struct{}
	seen    map[string]seen
	newest  time.Time // of the newest event

	primeMu sync.Mutex
	primed  bool
}

type eventID struct {
	nano   int64
	id     string
	action events.Action
}

func newChronicle() *chronicle {
	return &chronicle{known: map[eventID]struct{}{}, seen: map[string]seen{}}
}

// add takes an event in. It reports whether the event is new: one that was told
// before, by the history or by a stream that overlaps, is not.
func (c *chronicle) add(ev events.Message) bool {
	at := eventTime(ev)
	id := eventID{nano: at.UnixNano(), id: ev.Actor.ID, action: ev.Action}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, old := c.known[id]; old {
		return false
	}
	if at.After(c.newest) {
		c.newest = at
	}
	if ev.Type != events.ContainerEventType || !isLife(ev.Action) {
		return true // nothing to remember, and asking twice does no harm
	}
	c.known[id] = struct{}{}
	c.insert(entryOf(ev, at))
	return true
}

// insert keeps the entries in the order of time; they nearly always come in it.
func (c *chronicle) insert(e entry) {
	at := len(c.entries)
	for at > 0 && c.entries[at-1].at.After(e.at) {
		at--
	}
	c.entries = slices.Insert(c.entries, at, e)
	if len(c.entries) > maxEntries {
		old := c.entries[0]
		delete(c.known, eventID{nano: old.at.UnixNano(), id: old.id, action: old.action})
		c.entries = slices.Delete(c.entries, 0, 1)
	}
	c.learn(e)
}

// learn takes from an event what it says of a container that may never be observed.
func (c *chronicle) learn(e entry) {
	if e.oneOff || e.image == "" {
		return
	}
	got, ok := c.seen[e.id]
	if !ok {
		ref := splitImage(e.image)
		rel := fleet.Release{Image: ref.repo, Tag: ref.tag, Digest: ref.digest}
		if isImageID(e.image, "") {
			rel = fleet.Release{ImageID: e.image}
		}
		got = seen{key: e.key, name: e.name, release: rel}
		if e.action == events.ActionCreate {
			got.created = e.at
		}
	}
	got.name = e.name
	c.seen[e.id] = got
}

// observe takes in the containers that are there now.
func (c *chronicle) observe(list []fleet.Instance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	here := make(map[string]bool, len(list))
	for _, in := range list {
		here[in.ID] = true
		if in.OneOff {
			continue
		}
		rel := in.Release
		rel.Note = ""
		c.seen[in.ID] = seen{
			key: keyOf(in.Name, subjectLabels(in.Subject)), name: in.Name,
			release: rel, created: in.Life.CreatedAt, whole: true,
		}
	}
	c.forget(here)
}

// forget drops the oldest of the containers that are gone, past the bound.
func (c *chronicle) forget(here map[string]bool) {
	var gone []string
	for id := range c.seen {
		if !here[id] {
			gone = append(gone, id)
		}
	}
	if len(gone) <= maxGone {
		return
	}
	slices.SortFunc(gone, func(a, b string) int { return c.seen[a].created.Compare(c.seen[b].created) })
	for _, id := range gone[:len(gone)-maxGone] {
		delete(c.seen, id)
	}
}

// snapshot gives copies that the pure functions over them may keep.
func (c *chronicle) snapshot() ([]entry, map[string]seen) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]seen, len(c.seen))
	for id, s := range c.seen {
		out[id] = s
	}
	return slices.Clone(c.entries), out
}

// last is the time of the newest event; zero when there was none.
func (c *chronicle) last() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newest
}

// isLife says which actions are remembered. Health flips are told by the
// container itself and would crowd out the rest.
func isLife(a events.Action) bool {
	switch a {
	case events.ActionCreate, events.ActionStart, events.ActionRestart, events.ActionStop,
		events.ActionKill, events.ActionDie, events.ActionOOM, events.ActionDestroy:
		return true
	default:
		return false
	}
}

func entryOf(ev events.Message, at time.Time) entry {
	attr := ev.Actor.Attributes
	e := entry{
		at: at, action: ev.Action, id: ev.Actor.ID, name: plainName(attr["name"]), image: attr["image"],
		key: keyOf(plainName(attr["name"]), attr), oneOff: isOneOff(attr),
	}
	e.code, _ = strconv.Atoi(attr["exitCode"])
	e.signal, _ = strconv.Atoi(attr["signal"])
	return e
}

// plainName takes off what Compose puts before a name while it replaces a
// container: "0123456789ab_shop-web-1" is "shop-web-1".
func plainName(name string) string {
	name = strings.TrimPrefix(name, "/")
	const idLength = 12
	if len(name) <= idLength+1 || name[idLength] != '_' {
		return name
	}
	for _, r := range name[:idLength] {
		if !strings.ContainsRune("0123456789abcdef", r) {
			return name
		}
	}
	return name[idLength+1:]
}

func eventTime(ev events.Message) time.Time {
	if ev.TimeNano != 0 {
		return time.Unix(0, ev.TimeNano)
	}
	return time.Unix(ev.Time, 0)
}

func subjectLabels(s fleet.Subject) map[string]string {
	return map[string]string{labelProject: s.Project, labelService: s.Service}
}
