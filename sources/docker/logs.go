package docker

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"golang.org/x/sync/errgroup"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

const (
	defaultTail = 500
	// maxHistory bounds what is read of one container when a moment is asked for, not a number.
	maxHistory = 50_000
	// maxFollowed is how many containers one tail follows at once.
	maxFollowed = 64
	// seamLines are remembered for each container, to read its log again without doubles.
	seamLines = 1024
)

// target is a container whose log is wanted.
type target struct {
	id    string
	name  string
	image string
	state fleet.State
	since time.Time // created
}

// Tail reads the logs of the containers of the query on this host: their history in the order of
// time, then, with Follow, what they write, across restarts and re-creations.
func (s *source) Tail(ctx context.Context, q sources.LogQuery, emit func(fleet.LogLine)) error {
	if q.Tail <= 0 && q.Since.IsZero() {
		q.Tail = defaultTail
	}
	want := s.wanted(q.Subjects)
	if len(want) == 0 {
		return nil
	}
	t := &logTail{
		source: s, query: q, want: want, emit: emit,
		boxes: map[string]*box{}, names: map[string]string{}, items: make(chan item, itemQueue),
	}
	if q.Follow {
		return t.follow(ctx)
	}
	targets, err := s.targets(ctx, want)
	if err != nil {
		return err
	}
	return t.history(ctx, targets)
}

// wish is how a query names containers of this host: by Compose service, or by name.
type wish struct {
	project string
	service string
	name    string // when service is empty
}

// wanted are the subjects of a query that are on this host.
func (s *source) wanted(subjects []fleet.Subject) []wish {
	var out []wish
	for _, sub := range subjects {
		if (sub.Host != "" && sub.Host != s.host) || (sub.Environment != "" && sub.Environment != s.environment) {
			continue
		}
		w := wish{project: sub.Project, service: sub.Service}
		if sub.Service == "" {
			w.name = sub.Container
		}
		if w.service == "" && w.name == "" {
			continue
		}
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// wants reports whether a container is one of those wished for.
func wants(list []wish, name string, labels map[string]string) bool {
	if isOneOff(labels) {
		return false
	}
	for _, w := range list {
		switch {
		case w.service == "":
			if plainName(name) == w.name {
				return true
			}
		case labels[labelService] == w.service && (w.project == "" || labels[labelProject] == w.project):
			return true
		}
	}
	return false
}

// targets lists the wanted containers that exist, oldest first.
func (s *source) targets(ctx context.Context, want []wish) ([]target, error) {
	cli, err := s.engine.client(ctx)
	if err != nil {
		return nil, s.engine.explain(connecting, err)
	}
	list, err := cli.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		return nil, s.engine.explain("list containers", err)
	}
	var out []target
	for _, sum := range list {
		name := containerName(sum, container.InspectResponse{})
		if wants(want, name, sum.Labels) {
			out = append(out, target{
				id: sum.ID, name: plainName(name), image: sum.Image,
				state: fleet.State(sum.State), since: time.Unix(sum.Created, 0),
			})
		}
	}
	slices.SortStableFunc(out, func(a, b target) int { return a.since.Compare(b.since) })
	return out, nil
}

// readLog reads one container's log to its end, or for as long as it runs.
func (s *source) readLog(ctx context.Context, id string, opts container.LogsOptions, fn func(logPiece)) error {
	cli, err := s.engine.client(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	rec, err := cli.ContainerInspect(ctx, id)
	if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	opts.ShowStdout, opts.ShowStderr, opts.Timestamps = true, true, true
	body, err := cli.ContainerLogs(ctx, id, opts)
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	defer func(c io.Closer) { _ = c.Close() }(body)
	return demux(body, rec.Config != nil && rec.Config.Tty, fn)
}

// history emits what the containers wrote so far, in the order of time, the last
// lines of them all together.
func (t *logTail) history(ctx context.Context, targets []target) error {
	var mu sync.Mutex
	var lines []fleet.LogLine
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(maxInspects)
	for _, tg := range targets {
		g.Go(func() error {
			got, err := t.historyOf(gctx, tg)
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, got...)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return t.source.engine.explain("read log", err)
	}
	slices.SortStableFunc(lines, func(a, b fleet.LogLine) int { return a.At.Compare(b.At) })
	if n := t.query.Tail; n > 0 && len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	for _, l := range lines {
		t.emit(l)
	}
	if t.query.CaughtUp != nil {
		t.query.CaughtUp()
	}
	return nil
}

// historyOf reads the past of one container. That its log cannot be read is told in its place.
func (t *logTail) historyOf(ctx context.Context, tg target) ([]fleet.LogLine, error) {
	limit := t.query.Tail
	if limit <= 0 {
		limit = maxHistory
	}
	opts := container.LogsOptions{Tail: strconv.Itoa(limit)}
	if !t.query.Since.IsZero() {
		opts.Since = stamp(t.query.Since)
	}
	var lines []fleet.LogLine
	seam := sources.NewSeam(seamLines)
	err := t.source.readLog(ctx, tg.id, opts, func(p logPiece) {
		line := t.line(tg.name, p)
		if len(lines) < limit && seam.Take(line) {
			lines = append(lines, line)
		}
	})
	t.remember(tg, seam)
	switch {
	case err == nil, cerrdefs.IsNotFound(err):
		return lines, nil
	case unreadable(err):
		return append(lines, t.note(t.source.now(), tg.name, unreadableText(tg.name, err))), nil
	default:
		return nil, err
	}
}

func (t *logTail) line(name string, p logPiece) fleet.LogLine {
	at := p.at
	if at.IsZero() {
		at = t.source.now()
	}
	return fleet.LogLine{
		At: at, Host: t.source.host, Service: t.query.Service.Name, Instance: name, Stream: p.stream, Text: p.text,
	}
}

// note is what the tail itself has to say.
func (t *logTail) note(at time.Time, name, text string) fleet.LogLine {
	return fleet.LogLine{
		At: at, Host: t.source.host, Service: t.query.Service.Name, Instance: name, Stream: streamNexops, Text: "── " + text + " ──",
	}
}

// unreadable is a log that the engine does not keep: it went elsewhere.
func unreadable(err error) bool {
	return cerrdefs.IsNotImplemented(err) || (cerrdefs.IsInternal(err) || cerrdefs.IsInvalidArgument(err)) && mentionsDriver(err)
}
