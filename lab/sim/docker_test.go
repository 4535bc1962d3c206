package sim_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/nexgate-hq/nexops/lab/sim"
)

func TestDockerClient(t *testing.T) {
	e := start(t, sim.Options{Still: true})
	ctx := t.Context()
	d := engine(t, login(t, e, "prod-1"))

	ping, err := d.Ping(ctx)
	if err != nil || ping.APIVersion != "1.41" {
		t.Fatalf("Ping: %+v, %v; want API 1.41", ping, err)
	}
	list, err := d.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 8 {
		t.Errorf("prod-1 has %d containers, want 8", len(list))
	}
	one, err := d.ContainerList(ctx, container.ListOptions{Filters: filters.NewArgs(filters.Arg("label", "com.docker.compose.service=ai"))})
	if err != nil || len(one) != 1 {
		t.Fatalf("ai: %d containers, %v", len(one), err)
	}
	if got := one[0]; got.Image != "ghcr.io/nexgate-hq/ai-service:0.4.2" || got.State != "running" || !strings.HasSuffix(got.Status, "(healthy)") {
		t.Errorf("ai is %s %s %q, want 0.4.2, running, healthy", got.Image, got.State, got.Status)
	}
	in, err := d.ContainerInspect(ctx, one[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if in.State.Health.Status != "healthy" || in.HostConfig.NanoCPUs != 4e9 || in.HostConfig.Memory != 2<<30 {
		t.Errorf("inspect ai: health %s, cpus %d, memory %d", in.State.Health.Status, in.HostConfig.NanoCPUs, in.HostConfig.Memory)
	}
	images, err := d.ImageList(ctx, image.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var tags []string
	for _, i := range images {
		tags = append(tags, i.RepoTags...)
	}
	if all := strings.Join(tags, " "); !strings.Contains(all, "ai-service:0.4.1") || !strings.Contains(all, "ai-service:0.4.2") {
		t.Errorf("images of prod-1 are %s, want both ai 0.4.1 and 0.4.2", all)
	}
	if _, err := d.ContainerInspect(ctx, "nosuch"); err == nil || !strings.Contains(err.Error(), "No such container: nosuch") {
		t.Errorf("inspect of what is not there: %v", err)
	}
}

func TestDockerEventsAndLogs(t *testing.T) {
	e := start(t, sim.Options{Still: true})
	ctx := t.Context()
	d := engine(t, login(t, e, "prod-2"))
	const name = "nexgate-prod-notification-server-1"

	messages, errs := d.Events(ctx, events.ListOptions{Filters: filters.NewArgs(filters.Arg("type", "container"))})
	logs, err := d.ContainerLogs(ctx, name, container.LogsOptions{ShowStdout: true, ShowStderr: true, Follow: true, Tail: "5", Timestamps: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = logs.Close() }()
	if err := e.EmitLog("prod", "notification-server", "hello \x1b[31mred"); err != nil {
		t.Fatal(err)
	}
	if err := e.Crash("prod", "notification-server"); err != nil {
		t.Fatal(err)
	}
	var seen []string
	for len(seen) < 2 {
		select {
		case m := <-messages:
			if m.Actor.Attributes["name"] == name {
				seen = append(seen, string(m.Action)+m.Actor.Attributes["exitCode"])
			}
		case err := <-errs:
			t.Fatal(err)
		case <-ctx.Done():
			t.Fatal("no events")
		}
	}
	if got := strings.Join(seen, " "); got != "die1 start" {
		t.Errorf("events of a crash: %q, want die and start", got)
	}
	var out, errOut bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &errOut, logs); err != nil { // ends as the process does
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) < 6 || !strings.HasSuffix(lines[len(lines)-1], " hello \x1b[31mred") && !strings.Contains(out.String(), " hello \x1b[31mred\n") {
		t.Errorf("followed output lacks the emitted line:\n%s", out.String())
	}
	if !strings.Contains(errOut.String(), "panic: config") {
		t.Errorf("the crash left no last words: %q", errOut.String())
	}
	for _, l := range lines {
		stamp, _, _ := strings.Cut(l, " ")
		if _, err := time.Parse(time.RFC3339Nano, stamp); err != nil {
			t.Errorf("line without time: %q", l)
		}
	}
	in, err := d.ContainerInspect(ctx, name)
	if err != nil || in.RestartCount != 1 {
		t.Errorf("after a crash: %d restarts, %v", in.RestartCount, err)
	}
}

func TestDockerLogHistory(t *testing.T) {
	e := start(t, sim.Options{Still: true})
	d := engine(t, login(t, e, "prod-1"))
	since := time.Now().Add(-10 * time.Minute)
	r, err := d.ContainerLogs(t.Context(), "nexgate-prod-ai-1", container.LogsOptions{ShowStderr: true, Since: since.Format(time.RFC3339Nano)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	var bad bytes.Buffer
	if _, err := stdcopy.StdCopy(io.Discard, &bad, r); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(bad.String(), `"level":"ERROR"`); n < 100 {
		t.Errorf("the bad release logged %d errors in 6 min, want about 180", n)
	}
}
