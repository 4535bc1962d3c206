package docker

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
)

// primeTimeout bounds the reading of the past: an engine whose clock is behind
// would hold the answer back until its own clock is there.
const primeTimeout = 3 * time.Second

// told are the events that may change an observation. The engine sends no others,
// above all none of the three exec_* that every health check makes. Engines before
// API 1.25 cannot filter health_status and send everything of the two types.
func told(version string) filters.Args {
	args := filters.NewArgs(
		filters.Arg("type", string(events.ContainerEventType)),
		filters.Arg("type", string(events.ImageEventType)),
	)
	if versions.LessThan(version, "1.25") {
		return args
	}
	for _, a := range containerActions() {
		args.Add("event", string(a))
	}
	for _, a := range imageActions() {
		args.Add("event", string(a))
	}
	return args
}

func containerActions() []events.Action {
	return []events.Action{
		events.ActionCreate, events.ActionStart, events.ActionRestart, events.ActionStop, events.ActionDie, events.ActionOOM,
		events.ActionKill, events.ActionPause, events.ActionUnPause, events.ActionDestroy, events.ActionRename,
		events.ActionUpdate, events.ActionHealthStatus,
	}
}

func imageActions() []events.Action {
	return []events.Action{
		events.ActionTag, events.ActionUnTag, events.ActionPull, events.ActionDelete, events.ActionImport, events.ActionLoad, events.ActionPrune,
	}
}

// matters reports whether an event is one of those asked for; old engines and
// proxies send more than was asked for.
func matters(ev events.Message) bool {
	switch ev.Type {
	case events.ContainerEventType:
		return slices.Contains(containerActions(), ev.Action) || strings.HasPrefix(string(ev.Action), string(events.ActionHealthStatus))
	case events.ImageEventType:
		return slices.Contains(imageActions(), ev.Action)
	default:
		return false
	}
}

// prime reads the events of the last ten minutes once, so that there is a past
// from the first observation on. The engine keeps 256 events. A proxy before the
// engine may refuse them: what runs now is known without.
func (s *source) prime(ctx context.Context, cli *client.Client, info system.Info) error {
	s.story.primeMu.Lock()
	defer s.story.primeMu.Unlock()
	if s.story.primed {
		return nil
	}
	until, ok := engineTime(info.SystemTime)
	if !ok {
		until = s.now()
	}
	short, cancel := context.WithTimeout(ctx, primeTimeout)
	defer cancel()
	opts := events.ListOptions{Since: stamp(until.Add(-historyWindow)), Until: stamp(until), Filters: told(cli.ClientVersion())}
	err := eachEvent(short, cli, opts, func(ev events.Message) { s.story.add(ev) })
	switch {
	case ctx.Err() != nil:
		return s.engine.explain("read past events", ctx.Err())
	case err != nil && short.Err() == nil && !cerrdefs.IsPermissionDenied(err):
		return s.engine.explain("read past events", err)
	default:
		s.story.primed = true
		return nil
	}
}

// stream follows the events until ctx ends or the stream breaks. Each event that
// matters is first taken into the records and the chronicle, then given to fn.
func (s *source) stream(ctx context.Context, up func(), fn func(events.Message)) error {
	cli, err := s.engine.client(ctx)
	if err != nil {
		return s.streamError(ctx, connecting, err)
	}
	opts := events.ListOptions{Filters: told(cli.ClientVersion())}
	if last := s.story.last(); !last.IsZero() {
		opts.Since = stamp(last) // what was missed is told again, doubles are known
	}
	body, errs := cli.Events(ctx, opts)
	s.records.streamUp()
	defer s.records.streamDown()
	up()
	for {
		select {
		case ev := <-body:
			s.take(ev, fn)
		case err := <-errs:
			return s.streamError(ctx, "follow events", err)
		}
	}
}

func (s *source) take(ev events.Message, fn func(events.Message)) {
	if !matters(ev) {
		return
	}
	fresh := s.story.add(ev)
	if ev.Type == events.ImageEventType {
		s.records.markImages()
	} else {
		s.records.markContainer(ev.Actor.ID)
	}
	if fresh {
		fn(ev)
	}
}

func (s *source) streamError(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	if err == nil {
		err = io.EOF
	}
	err = s.engine.explain(op, err)
	s.engine.reset()
	return err
}

// eachEvent reads events until the engine ends them.
func eachEvent(ctx context.Context, cli *client.Client, opts events.ListOptions, fn func(events.Message)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body, errs := cli.Events(ctx, opts)
	for {
		select {
		case ev := <-body:
			if matters(ev) {
				fn(ev)
			}
		case err := <-errs:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err //nolint:wrapcheck // the caller explains it
		}
	}
}

// stamp is a moment as the engine reads it, to the nanosecond.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
