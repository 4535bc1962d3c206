package docker

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/image"

	"github.com/nexgate-hq/nexops/fleet"
)

// fill puts n healthy containers with their images there.
func fill(f *fakeEngine, n int) {
	for i := range n {
		img := fmt.Sprintf("ghcr.io/nexgate-hq/svc-%d", i)
		id := fmt.Sprintf("sha256:%064d", i)
		f.add(fmt.Sprintf("%064d", i), fmt.Sprintf("shop-svc-%d-1", i), fmt.Sprintf("svc-%d", i), img+":1.0.0", id,
			func(sum *container.Summary, rec *container.InspectResponse) {
				sum.Status = "Up 3 minutes (healthy)"
				rec.State.Health = &container.Health{Status: container.Healthy}
				rec.HostConfig.RestartPolicy.Name = container.RestartPolicyAlways
			})
		f.images = append(f.images, image.Summary{ID: id, RepoTags: []string{img + ":1.0.0"}, RepoDigests: []string{fmt.Sprintf("%s@sha256:%064d", img, i+1000)}})
	}
}

// settled waits until the watch's stream is up.
func settled(t *testing.T, s *source) <-chan time.Time {
	t.Helper()
	pokes := watch(t, s)
	select {
	case <-pokes:
	case <-time.After(10 * time.Second):
		t.Fatal("the watch does not come up")
	}
	return pokes
}

func TestObserveIsCheapWhileWatched(t *testing.T) {
	f := newFake(t)
	fill(f, 60)
	s := f.source(t)
	pokes := settled(t, s)
	first := observe(t, s)
	if len(first.Instances) != 60 || len(first.Images) != 60 || first.Instances[7].Release.Digest == "" {
		t.Fatalf("%d instances, %d images, %+v", len(first.Instances), len(first.Images), first.Instances[7].Release)
	}
	inspects, lists, infos := f.count("/containers/*/json"), f.count("/images/json"), f.count("/info")
	observe(t, s)
	if n := f.count("/containers/*/json"); n != inspects {
		t.Errorf("%d inspects though nothing changed", n-inspects)
	}
	if f.count("/images/json") != lists || f.count("/info") != infos {
		t.Errorf("images or info read again though nothing changed")
	}
	// One event: one inspect.
	id := fmt.Sprintf("%064d", 7)
	f.update(id, func(_ *container.Summary, rec *container.InspectResponse) { rec.RestartCount = 5 })
	f.containerEvent(events.ActionUpdate, id, "shop-svc-7-1", "svc-7")
	<-pokes
	if got := instance(observe(t, s), "shop-svc-7-1").Life.Restarts; got != 5 {
		t.Errorf("restarts %d", got)
	}
	if n := f.count("/containers/*/json") - inspects; n != 1 {
		t.Errorf("%d inspects after one event", n)
	}
	// The list says otherwise, no event did: believed is the list.
	f.update(id, func(sum *container.Summary, rec *container.InspectResponse) {
		sum.Status, rec.State.Health.Status = "Up 3 minutes (unhealthy)", container.Unhealthy
	})
	if got := instance(observe(t, s), "shop-svc-7-1").Health; got != fleet.HealthUnhealthy {
		t.Errorf("health %s", got)
	}
	f.event(events.ImageEventType, events.ActionTag, "sha256:1", nil)
	<-pokes
	observe(t, s)
	if f.count("/images/json") != lists+1 {
		t.Errorf("images not read again after an event")
	}
}

func TestObserveTrustsNothingWithoutWatch(t *testing.T) {
	f := newFake(t)
	fill(f, 3)
	s := f.source(t)
	observe(t, s)
	observe(t, s)
	if n := f.count("/containers/*/json"); n != 6 {
		t.Errorf("%d inspects in two observations of 3", n)
	}
}

func TestWatchIgnoresNoise(t *testing.T) {
	f := newFake(t)
	fill(f, 1)
	s := f.source(t)
	pokes := settled(t, s)
	id := fmt.Sprintf("%064d", 0)
	for range 20 {
		f.containerEvent("exec_create: /app check", id, "shop-svc-0-1", "svc-0")
		f.containerEvent(events.ActionTop, id, "shop-svc-0-1", "svc-0")
	}
	f.event(events.NetworkEventType, events.ActionConnect, "n", nil)
	select {
	case <-pokes:
		t.Error("poked by noise")
	case <-time.After(100 * time.Millisecond):
	}
	for _, a := range []events.Action{
		events.ActionStart, events.ActionDie, events.ActionHealthStatusUnhealthy, events.ActionRename, events.ActionPause, events.ActionOOM, events.ActionUpdate,
	} {
		f.containerEvent(a, id, "shop-svc-0-1", "svc-0")
		select {
		case <-pokes:
		case <-time.After(10 * time.Second):
			t.Errorf("not poked by %s", a)
		}
	}
}

func TestWatchEndsWithTheEngineAndNamesIt(t *testing.T) {
	f := newFake(t)
	s := f.source(t)
	done := make(chan error, 1)
	up := make(chan struct{}, 10)
	go func() { done <- s.Watch(context.Background(), func() { up <- struct{}{} }) }()
	<-up
	f.stop()
	select {
	case err := <-done:
		if err == nil || !strings.HasPrefix(err.Error(), "docker prod-1: follow events: ") {
			t.Errorf("watch ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("watch does not end with its engine")
	}
	if _, err := s.Observe(context.Background()); err == nil {
		t.Error("observed an engine that is gone")
	}
	f.start(t)
	observe(t, s)
}

func TestOneContainerTheEngineStumblesOver(t *testing.T) {
	f := newFake(t)
	fill(f, 3)
	gone, broken := fmt.Sprintf("%064d", 1), fmt.Sprintf("%064d", 2)
	f.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case strings.HasSuffix(r.URL.Path, gone+"/json"):
			refuse(w, http.StatusNotFound, "No such container")
		case strings.HasSuffix(r.URL.Path, broken+"/json"):
			refuse(w, http.StatusInternalServerError, "layer does not exist")
		default:
			return false
		}
		return true
	})
	got := observe(t, f.source(t))
	if len(got.Instances) != 2 || instance(got, "shop-svc-1-1").ID != "" {
		t.Errorf("instances: %+v", got.Instances)
	}
	in := instance(got, "shop-svc-2-1")
	if in.Health != fleet.HealthUnknown || in.State != fleet.StateRunning || in.Subject.Service != "svc-2" {
		t.Errorf("instance from the list alone: %+v", in)
	}
	if len(got.Warnings) != 1 || got.Warnings[0] != "container shop-svc-2-1: the engine cannot inspect it: layer does not exist" {
		t.Errorf("warnings: %q", got.Warnings)
	}
}

func TestClockWarning(t *testing.T) {
	f := newFake(t)
	f.info.SystemTime = time.Now().Add(-5 * time.Minute).Format(time.RFC3339Nano)
	s := f.source(t)
	settled(t, s)
	for range 2 { // from the engine, and from what is kept
		if w := observe(t, s).Warnings; len(w) != 1 || !strings.Contains(w[0], "the clock of prod-1 is 5m0s behind") {
			t.Errorf("warnings: %q", w)
		}
	}
}

func TestImageReadAgainWhenAContainerRunsAnUnknownOne(t *testing.T) {
	f := newFake(t)
	s := f.source(t)
	pokes := settled(t, s)
	observe(t, s)
	f.mu.Lock()
	f.images = []image.Summary{{ID: "sha256:new", RepoTags: []string{"app:1"}, RepoDigests: []string{"app@sha256:dd"}}}
	f.mu.Unlock()
	f.add("x", "x", "", "app:1", "sha256:new", nil)
	f.containerEvent(events.ActionStart, "x", "x", "")
	<-pokes
	if got := instance(observe(t, s), "x"); got.Release.Digest != "sha256:dd" || got.Subject.Service != "" {
		t.Errorf("instance %+v", got)
	}
	// One that stays unknown is not asked for again and again.
	f.add("y", "y", "", "app:2", "sha256:gone", nil)
	observe(t, s)
	n := f.count("/images/json")
	observe(t, s)
	if f.count("/images/json") != n {
		t.Error("images are read at each observation")
	}
}

func TestInstanceStates(t *testing.T) {
	f := newFake(t)
	set := func(status container.ContainerState, h *container.Health) func(*container.Summary, *container.InspectResponse) {
		return func(sum *container.Summary, rec *container.InspectResponse) {
			sum.State, rec.State.Status, rec.State.Health = status, status, h
		}
	}
	cases := map[string]struct {
		set    func(*container.Summary, *container.InspectResponse)
		health fleet.Health
	}{
		"plain":      {set("running", nil), fleet.HealthNone},
		"none":       {set("running", &container.Health{Status: "none"}), fleet.HealthNone},
		"starting":   {set("running", &container.Health{Status: "starting"}), fleet.HealthStarting},
		"unhealthy":  {set("running", &container.Health{Status: "unhealthy"}), fleet.HealthUnhealthy},
		"odd":        {set("running", &container.Health{Status: "splendid"}), fleet.HealthUnknown},
		"paused":     {set("paused", &container.Health{Status: "healthy"}), fleet.HealthHealthy},
		"restarting": {set("restarting", nil), fleet.HealthDown},
		"exited":     {set("exited", &container.Health{Status: "healthy"}), fleet.HealthDown},
		"created":    {set("created", nil), fleet.HealthDown},
	}
	for name, c := range cases {
		f.add(name, name, "", "app:1", "sha256:a", c.set)
	}
	f.add("oneoff", "oneoff", "job", "app:1", "sha256:a", func(sum *container.Summary, rec *container.InspectResponse) {
		sum.Labels[labelOneOff] = "True"
		sum.Ports = []container.Port{{IP: "0.0.0.0", PrivatePort: 80, PublicPort: 8080, Type: "tcp"}, {IP: "::", PrivatePort: 80, PublicPort: 8080, Type: "tcp"}, {PrivatePort: 9, Type: "udp"}}
		rec.HostConfig.CPUQuota = 50_000
		rec.State.Health = &container.Health{Status: "unhealthy", Log: []*container.HealthcheckResult{{ExitCode: 1, Output: "a\x1b[2J\n" + strings.Repeat("é", 300)}}}
	})
	got := observe(t, f.source(t))
	for name, c := range cases {
		if in := instance(got, name); in.Health != c.health {
			t.Errorf("%s: %s, want %s", name, in.Health, c.health)
		}
	}
	in := instance(got, "oneoff")
	if !in.OneOff || strings.Join(in.Ports, " ") != "0.0.0.0:8080->80/tcp [::]:8080->80/tcp" || in.Limits.CPU != 0.5 {
		t.Errorf("one-off: %+v", in)
	}
	if len(in.HealthOutput) > 200 || strings.ContainsAny(in.HealthOutput, "\x1b\n") || !strings.HasPrefix(in.HealthOutput, "a") {
		t.Errorf("health output %q", in.HealthOutput)
	}
}
