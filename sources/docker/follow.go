package docker

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

const (
	itemQueue  = 512
	retryMin   = 100 * time.Millisecond
	retryMax   = 2 * time.Second
	exitWait   = time.Second // for the last lines of a container that ended
	lookAgain  = time.Second // after a log ended and nothing said why
	shortImage = 60
)

// logTail is one Tail call. Everything in it belongs to the goroutine that called Tail; the
// readers of the single containers only send items to it.
type logTail struct {
	source *source
	query  sources.LogQuery
	want   []wish
	emit   func(fleet.LogLine)

	mu    sync.Mutex        // of boxes, while histories are read side by side
	boxes map[string]*box   // by container id
	names map[string]string // newest container id by name
	items chan item
	began bool   // a session has come as far as the history
	full  bool   // it was said that there are too many containers
	said  string // the failure told last
}

// box is one container of the tail.
type box struct {
	id      string
	name    string
	seam    *sources.Seam
	reading bool
	again   bool // it started anew while its old log was still being read
	mute    bool // its log cannot be read

	exit     string    // what to say once its last lines are out
	exitAt   time.Time // on the host's clock
	exitSeen time.Time // on ours
}

// item is what a reader sends: a line, or with ended set the end of a log.
type item struct {
	id    string
	line  fleet.LogLine
	ended bool
	err   error
}

// remember makes the box of a container, or gives it the seam of its history.
func (t *logTail) remember(tg target, seam *sources.Seam) *box {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.boxes[tg.id]
	if b == nil {
		b = &box{id: tg.id, seam: seam}
		t.boxes[tg.id] = b
	}
	b.name = tg.name
	t.names[tg.name] = tg.id
	return b
}

// follow runs sessions until ctx ends. A session ends with the event stream; the
// next one goes on where it stopped, and says how long it was blind.
func (t *logTail) follow(ctx context.Context) error {
	delay := retryMin
	for {
		began := time.Now()
		err := t.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if !t.began {
			return err
		}
		if time.Since(began) > retryMax {
			delay = retryMin
		}
		if text := fmt.Sprint(err); text != t.said {
			t.said = text
			t.emit(t.note(t.source.now(), "", "log interrupted: "+clean(text)))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(delay):
		}
		delay = min(2*delay, retryMax)
	}
}

// session follows everything that is wanted for as long as the event stream lasts.
func (t *logTail) session(ctx context.Context) error {
	sub := t.source.hub.subscribe()
	defer t.source.hub.leave(sub)
	select {
	case <-ctx.Done():
		return nil
	case <-sub.ended:
		return sub.err
	case <-sub.up:
	}
	targets, err := t.source.targets(ctx, t.want)
	if err != nil {
		return err
	}
	if !t.began {
		if err := t.history(ctx, targets); err != nil || ctx.Err() != nil {
			return err
		}
		t.began = true
	} else if t.said != "" {
		t.emit(t.note(t.source.now(), "", "reading again"))
		t.said = ""
	}
	return t.loop(ctx, sub, targets)
}

// loop is the one place where the tail's state changes.
func (t *logTail) loop(ctx context.Context, sub *subscription, targets []target) error {
	ctx, cancel := context.WithCancel(ctx)
	readers := &sync.WaitGroup{}
	defer func() {
		cancel()
		t.settle(readers)
	}()
	t.sync(ctx, readers, targets)
	look := time.NewTimer(lookAgain)
	look.Stop()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-sub.ended:
			return sub.err
		case ev := <-sub.events:
			t.event(ctx, readers, ev)
			if t.lateExits() {
				look.Reset(lookAgain)
			}
		case it := <-t.items:
			if t.item(ctx, readers, it) {
				look.Reset(lookAgain)
			}
		case <-sub.missed:
			look.Reset(0)
		case <-look.C:
			again, err := t.source.targets(ctx, t.want)
			if err != nil {
				return err
			}
			t.sync(ctx, readers, again)
			t.lateExits()
		}
	}
}

// settle waits for the readers and takes their last items, so that none of them blocks.
func (t *logTail) settle(readers *sync.WaitGroup) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		readers.Wait()
	}()
	for {
		select {
		case it := <-t.items:
			t.take(it)
		case <-done:
			for len(t.items) > 0 {
				t.take(<-t.items)
			}
			for _, b := range t.boxes {
				b.reading = false
			}
			return
		}
	}
}

// sync attaches to every running container that is not being read, and forgets those that are gone.
func (t *logTail) sync(ctx context.Context, readers *sync.WaitGroup, targets []target) {
	listed := map[string]bool{}
	for _, tg := range targets {
		listed[tg.id] = true
		b := t.boxes[tg.id]
		if b == nil {
			b = t.arrive(tg, t.source.now())
		}
		if running(tg.state) {
			t.attach(ctx, readers, b)
		}
	}
	for id, b := range t.boxes {
		if !listed[id] && !b.reading {
			delete(t.boxes, id)
		}
	}
}

func running(state fleet.State) bool {
	return state == fleet.StateRunning || state == fleet.StatePaused
}

// arrive takes in a container that was not there before, and says what it is.
func (t *logTail) arrive(tg target, at time.Time) *box {
	before, replaced := t.names[tg.name]
	b := t.remember(tg, sources.NewSeam(seamLines))
	image := oneLine(tg.image, shortImage)
	if replaced && before != tg.id {
		t.emit(t.note(at, tg.name, fmt.Sprintf("%s re-created as %s (%s)", tg.name, image, fleet.ShortDigest(tg.id))))
	} else {
		t.emit(t.note(at, tg.name, fmt.Sprintf("%s appeared, %s", tg.name, image)))
	}
	return b
}

// attach starts to read a container's log where it was left.
func (t *logTail) attach(ctx context.Context, readers *sync.WaitGroup, b *box) {
	if b.reading || b.mute {
		return
	}
	if t.reading() >= maxFollowed {
		if !t.full {
			t.full = true
			t.emit(t.note(t.source.now(), "", fmt.Sprintf("more than %d containers: the others are not followed", maxFollowed)))
		}
		return
	}
	opts := container.LogsOptions{Follow: true, Tail: "all"}
	if from := b.seam.Rejoin(); !from.IsZero() {
		opts.Since = stamp(from)
	} else if !t.query.Since.IsZero() {
		opts.Since = stamp(t.query.Since)
	}
	b.reading, b.again = true, false
	id, name := b.id, b.name
	readers.Go(func() {
		err := t.source.readLog(ctx, id, opts, func(p logPiece) { t.send(ctx, item{id: id, line: t.line(name, p)}) })
		t.send(ctx, item{id: id, ended: true, err: err})
	})
}

func (t *logTail) reading() int {
	n := 0
	for _, b := range t.boxes {
		if b.reading {
			n++
		}
	}
	return n
}

func (t *logTail) send(ctx context.Context, it item) {
	select {
	case t.items <- it:
	case <-ctx.Done():
	}
}

// take emits a line that is new. It reports whether the item was the end of a log.
func (t *logTail) take(it item) (ended *box) {
	b := t.boxes[it.id]
	switch {
	case b == nil:
	case it.ended:
		b.reading = false
		return b
	case b.seam.Take(it.line):
		t.emit(it.line)
	}
	return nil
}

// item handles what a reader sent. It reports whether the state should be looked
// at again, because a log ended and no event has said why.
func (t *logTail) item(ctx context.Context, readers *sync.WaitGroup, it item) (unsure bool) {
	b := t.take(it)
	if b == nil {
		return false
	}
	t.sayExit(b)
	switch {
	case it.err != nil && unreadable(it.err):
		b.mute = true
		t.emit(t.note(t.source.now(), b.name, unreadableText(b.name, it.err)))
		return false
	case it.err != nil && cerrdefs.IsNotFound(it.err):
		return false
	case b.again:
		t.attach(ctx, readers, b)
		return false
	default:
		return true
	}
}

// event handles what the engine tells of a wanted container.
func (t *logTail) event(ctx context.Context, readers *sync.WaitGroup, ev events.Message) {
	attr := ev.Actor.Attributes
	if ev.Type != events.ContainerEventType || !wants(t.want, attr["name"], attr) {
		return
	}
	at := eventTime(ev)
	b := t.boxes[ev.Actor.ID]
	switch ev.Action {
	case events.ActionStart:
		t.started(ctx, readers, b, ev)
	case events.ActionDie:
		if b != nil {
			b.exit = fmt.Sprintf("%s exited (code %s)", b.name, oneLine(attr["exitCode"], 12))
			b.exitAt, b.exitSeen = at, time.Now()
			if !b.reading {
				t.sayExit(b)
			}
		}
	case events.ActionOOM, events.ActionPause, events.ActionUnPause:
		words := map[events.Action]string{
			events.ActionOOM: "out of memory: the kernel killed a process", events.ActionPause: "paused", events.ActionUnPause: "goes on",
		}
		t.emit(t.note(at, plainName(attr["name"]), plainName(attr["name"])+" "+words[ev.Action]))
	case events.ActionRename:
		if b != nil {
			b.name = plainName(attr["name"])
			t.names[b.name] = b.id
		}
	default:
	}
}

func (t *logTail) started(ctx context.Context, readers *sync.WaitGroup, b *box, ev events.Message) {
	attr := ev.Actor.Attributes
	if b == nil {
		b = t.arrive(target{id: ev.Actor.ID, name: plainName(attr["name"]), image: attr["image"]}, eventTime(ev))
	}
	if b.reading {
		b.again = true
		return
	}
	t.attach(ctx, readers, b)
}

// sayExit says how a container ended, after its last lines.
func (t *logTail) sayExit(b *box) {
	if b.exit == "" {
		return
	}
	t.emit(t.note(b.exitAt, b.name, b.exit))
	b.exit = ""
}

// lateExits says it of containers whose log does not end with them. It reports
// whether there are some that may still end.
func (t *logTail) lateExits() (waiting bool) {
	for _, b := range t.boxes {
		switch {
		case b.exit == "":
		case time.Since(b.exitSeen) >= exitWait:
			t.sayExit(b)
		default:
			waiting = true
		}
	}
	return waiting
}

func mentionsDriver(err error) bool { return strings.Contains(err.Error(), "logging driver") }

func unreadableText(name string, err error) string {
	return fmt.Sprintf("the log of %s cannot be read here: %s; look for it where its logging driver sends it", name, clean(rootCause(err).Error()))
}
