package docker

import (
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/system"
)

const (
	// maxRecordAge is the safety net below the events: how long an inspect is believed without one.
	maxRecordAge = 10 * time.Minute
	maxInfoAge   = 5 * time.Minute
)

// records keeps what the engine said of each container, of its images and of
// itself. A record is believed while the event stream runs without a break, no
// event named its container since, and the list still says the same of it.
type records struct {
	mu    sync.Mutex
	live  bool   // the event stream runs
	epoch uint64 // grows each time the stream begins or breaks
	seq   uint64 // grows with each event
	dirty map[string]uint64
	byID  map[string]record

	images      []image.Summary
	imagesAt    ticket
	imagesDirty uint64
	missing     map[string]bool // images that containers run and the list lacked
	info        system.Info
	infoAt      ticket
	infoTime    time.Time
}

// ticket says at which point of the event stream something was read.
type ticket struct {
	epoch uint64
	seq   uint64
}

type record struct {
	rec       container.InspectResponse
	signature string
	ticket    ticket
	at        time.Time
}

func newRecords() *records {
	return &records{dirty: map[string]uint64{}, byID: map[string]record{}, missing: map[string]bool{}, epoch: 1}
}

// streamUp and streamDown tell that the events begin and that they broke: what
// was read before may have changed unseen.
func (r *records) streamUp()   { r.turn(true) }
func (r *records) streamDown() { r.turn(false) }

func (r *records) turn(live bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live = live
	r.epoch++
	clear(r.dirty)
}

// markContainer notes an event of a container.
func (r *records) markContainer(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	r.dirty[id] = r.seq
}

// markImages notes an event of an image.
func (r *records) markImages() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	r.imagesDirty = r.seq
	clear(r.missing)
}

// forgetImages makes the next observation list the images again.
func (r *records) forgetImages() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.imagesAt = ticket{}
}

// missesImage reports, once until an image changes, that a container's image is not listed.
func (r *records) missesImage(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.missing[id] {
		return false
	}
	r.missing[id] = true
	return true
}

// ticket is taken before a read begins.
func (r *records) ticket() ticket {
	r.mu.Lock()
	defer r.mu.Unlock()
	return ticket{epoch: r.epoch, seq: r.seq}
}

// container gives the record of a listed container if it may be believed.
func (r *records) container(sum container.Summary, now time.Time) (container.InspectResponse, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	got, ok := r.byID[sum.ID]
	switch {
	case !ok, !r.live, got.ticket.epoch != r.epoch, got.ticket.seq < r.dirty[sum.ID]:
		return container.InspectResponse{}, false
	case got.signature != signature(sum), restless(got.rec), now.Sub(got.at) > maxRecordAge:
		return container.InspectResponse{}, false
	default:
		return got.rec, true
	}
}

// keep stores what was read under a ticket.
func (r *records) keep(sum container.Summary, rec container.InspectResponse, t ticket, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byID[sum.ID] = record{rec: rec, signature: signature(sum), ticket: t, at: now}
}

// prune forgets containers that are no longer listed.
func (r *records) prune(list []container.Summary) {
	r.mu.Lock()
	defer r.mu.Unlock()
	listed := make(map[string]bool, len(list))
	for _, sum := range list {
		listed[sum.ID] = true
	}
	for id := range r.byID {
		if !listed[id] {
			delete(r.byID, id)
		}
	}
	for id := range r.dirty {
		if !listed[id] {
			delete(r.dirty, id)
		}
	}
}

func (r *records) imageList() ([]image.Summary, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ok := r.live && r.imagesAt.epoch == r.epoch && r.imagesAt.seq >= r.imagesDirty
	return r.images, ok
}

func (r *records) keepImages(list []image.Summary, t ticket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.images, r.imagesAt = list, t
}

// engineInfo is what the engine said of itself, and when.
func (r *records) engineInfo(now time.Time) (system.Info, time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ok := r.live && r.infoAt.epoch == r.epoch && now.Sub(r.infoTime) <= maxInfoAge
	return r.info, r.infoTime, ok
}

func (r *records) keepInfo(info system.Info, t ticket, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.info, r.infoAt, r.infoTime = info, t, now
}

// restless is a container whose record changes without an event: while its check
// fails or it starts, the output of the check; between two restarts, the rest.
func restless(rec container.InspectResponse) bool {
	if rec.ContainerJSONBase == nil || rec.State == nil {
		return true
	}
	if rec.State.Restarting || rec.State.Status == container.StateRemoving {
		return true
	}
	h := rec.State.Health
	return h != nil && rec.State.Running && (h.Status == container.Starting || h.Status == container.Unhealthy)
}

// signature is what the list says of a container without the words that change
// by themselves: "Up 3 minutes (healthy)" counts as "healthy".
func signature(sum container.Summary) string {
	verdict := ""
	if open := strings.IndexByte(sum.Status, '('); open >= 0 {
		verdict, _, _ = strings.Cut(sum.Status[open+1:], ")")
	}
	return strings.Join(append([]string{string(sum.State), verdict, sum.Image, sum.ImageID}, sum.Names...), "\x00")
}
