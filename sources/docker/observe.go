package docker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"

	"github.com/nexgate-hq/nexops/fleet"
)

// clockTolerance is how far the host's clock may be off before it is told.
const clockTolerance = 5 * time.Second

// reading is what one observation gets from the engine.
type reading struct {
	version    string // of the API
	info       system.Info
	containers []container.Summary
	images     []image.Summary
	records    map[string]container.InspectResponse
	warnings   []string
}

// Observe reads the whole of one engine: every container, every image, the host.
func (s *source) Observe(ctx context.Context) (fleet.Facts, error) {
	got, err := s.read(ctx)
	if err != nil && broken(err) && ctx.Err() == nil {
		// A connection kept from before has ended. A new one works, or says why not.
		s.engine.reset()
		got, err = s.read(ctx)
	}
	if err != nil {
		s.engine.reset()
		return fleet.Facts{}, err
	}
	return s.facts(got), nil
}

func (s *source) read(ctx context.Context) (*reading, error) {
	cli, err := s.engine.client(ctx)
	if err != nil {
		return nil, s.engine.explain(connecting, err)
	}
	got := &reading{version: cli.ClientVersion()}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.readInfo(gctx, cli, got) })
	g.Go(func() error { return s.readImages(gctx, cli, got) })
	g.Go(func() (err error) {
		got.containers, err = cli.ContainerList(gctx, container.ListOptions{All: true})
		return s.engine.explain("list containers", err)
	})
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("%w", err)
	}
	g, gctx = errgroup.WithContext(ctx)
	g.Go(func() error { return s.prime(gctx, cli, got.info) })
	g.Go(func() error { return s.readRecords(gctx, cli, got) })
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("%w", err)
	}
	return got, s.completeImages(ctx, cli, got)
}

func (s *source) readInfo(ctx context.Context, cli *client.Client, got *reading) error {
	info, at, ok := s.records.engineInfo(s.now())
	if !ok {
		t := s.records.ticket()
		var err error
		if info, err = cli.Info(ctx); err != nil {
			return s.engine.explain("read info", err)
		}
		at = s.now()
		s.records.keepInfo(info, t, at)
	}
	if w := clockWarning(s.host, info, at); w != "" {
		got.warnings = append(got.warnings, w)
	}
	got.info = info
	return nil
}

func (s *source) readImages(ctx context.Context, cli *client.Client, got *reading) error {
	list, ok := s.records.imageList()
	if !ok {
		t := s.records.ticket()
		var err error
		if list, err = cli.ImageList(ctx, image.ListOptions{}); err != nil {
			return s.engine.explain("list images", err)
		}
		s.records.keepImages(list, t)
	}
	got.images = list
	return nil
}

// completeImages reads the images again when a container runs one that the list
// lacks: it may have been pulled between the two.
func (s *source) completeImages(ctx context.Context, cli *client.Client, got *reading) error {
	index := indexImages(got.images)
	for _, rec := range got.records {
		if rec.ContainerJSONBase == nil || rec.Image == "" {
			continue
		}
		if _, ok := index[rec.Image]; !ok && s.records.missesImage(rec.Image) {
			s.records.forgetImages()
			return s.readImages(ctx, cli, got)
		}
	}
	return nil
}

// readRecords inspects the containers whose kept record cannot be believed, a few at a time.
func (s *source) readRecords(ctx context.Context, cli *client.Client, got *reading) error {
	got.records = make(map[string]container.InspectResponse, len(got.containers))
	s.records.prune(got.containers)
	var mu sync.Mutex // of got
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(maxInspects)
	for _, sum := range got.containers {
		if rec, ok := s.records.container(sum, s.now()); ok {
			mu.Lock()
			got.records[sum.ID] = rec
			mu.Unlock()
			continue
		}
		g.Go(func() error {
			t := s.records.ticket()
			rec, err := cli.ContainerInspect(gctx, sum.ID)
			warning, err := s.judgeInspect(sum, err)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case warning != "":
				got.warnings = append(got.warnings, warning)
				got.records[sum.ID] = container.InspectResponse{}
			case rec.ContainerJSONBase != nil:
				got.records[sum.ID] = rec
				s.records.keep(sum, rec, t, s.now())
			}
			return nil
		})
	}
	return g.Wait() //nolint:wrapcheck // wrapped by judgeInspect
}

// judgeInspect tells what a failed inspect means: the container has gone since the list (nothing),
// the engine stumbles over this one container (a warning), or the engine cannot be read (an error).
func (s *source) judgeInspect(sum container.Summary, err error) (warning string, fatal error) {
	name := containerName(sum, container.InspectResponse{})
	switch {
	case err == nil, cerrdefs.IsNotFound(err), cerrdefs.IsConflict(err):
		return "", nil
	case client.IsErrConnectionFailed(err), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "", s.engine.explain("inspect "+clean(name), err)
	case cerrdefs.IsInternal(err):
		return fmt.Sprintf("container %s: the engine cannot inspect it: %s", clean(name), clean(rootCause(err).Error())), nil
	default:
		return "", s.engine.explain("inspect "+clean(name), err)
	}
}

// facts puts a reading into the nouns of the fleet.
func (s *source) facts(got *reading) fleet.Facts {
	now := s.now()
	index := indexImages(got.images)
	instances := make([]fleet.Instance, 0, len(got.containers))
	count := map[serviceKey]int{}
	for _, sum := range got.containers {
		rec, ok := got.records[sum.ID]
		if !ok {
			continue // gone since the list
		}
		in := s.instanceOf(sum, rec, index)
		if !in.OneOff {
			count[keyOf(in.Name, subjectLabels(in.Subject))]++
		}
		instances = append(instances, in)
	}
	s.story.observe(instances)
	entries, seen := s.story.snapshot()
	exits := exitsOf(entries)
	byName := unexpectedExits(exits, now)
	for i := range instances {
		instances[i].Life.Exits = exitTimes(instances[i], got.records[instances[i].ID], byName, seen, now)
	}
	tell := teller{
		source: s.ID(), now: now, entries: entries, exits: exits, seen: seen, running: count,
		subject: s.changeSubject,
	}
	return fleet.Facts{
		ObservedAt: now, Detail: clean(got.info.ServerVersion),
		Hosts: []fleet.Host{s.hostFact(got)}, Instances: instances,
		Images: imageFacts(s.host, got.images), Changes: tell.changes(), Warnings: got.warnings,
	}
}

func (s *source) changeSubject(key serviceKey, name string) fleet.Subject {
	out := fleet.Subject{Environment: s.environment, Host: s.host, Container: name}
	if key.composed() {
		out.Project, out.Service = key.project, key.service
	}
	return out
}

func (s *source) hostFact(got *reading) fleet.Host {
	return fleet.Host{
		Name: s.host, Environment: s.environment, Address: s.address, Up: true,
		Engine: fmt.Sprintf("docker %s, api %s", clean(got.info.ServerVersion), clean(got.version)),
		CPUs:   got.info.NCPU, Memory: got.info.MemTotal,
	}
}

// clockWarning says when the host's clock is off: ages and exits are then off too.
func clockWarning(host string, info system.Info, now time.Time) string {
	at, ok := engineTime(info.SystemTime)
	if !ok {
		return ""
	}
	switch off := at.Sub(now).Round(time.Second); {
	case off > clockTolerance:
		return fmt.Sprintf("the clock of %s is %s ahead of this machine's: ages and changes are off by it", host, off)
	case off < -clockTolerance:
		return fmt.Sprintf("the clock of %s is %s behind this machine's: ages and changes are off by it", host, -off)
	default:
		return ""
	}
}
