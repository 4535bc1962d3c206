package docker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/nexgate-hq/nexops/fleet"
)

func TestRealEngine(t *testing.T) {
	r := startEngine(t)
	t.Run("observe", func(t *testing.T) { realObserve(t, r) })
	t.Run("health", func(t *testing.T) { realHealth(t, r) })
	t.Run("restarts", func(t *testing.T) { realRestarts(t, r) })
	t.Run("deploy", func(t *testing.T) { realDeploy(t, r) })
	t.Run("oom", func(t *testing.T) { realOOM(t, r) })
	t.Run("log", func(t *testing.T) { realLog(t, r) })
	t.Run("tty", func(t *testing.T) { realTTY(t, r) })
	t.Run("unreadable log", func(t *testing.T) { realUnreadable(t, r) })
	t.Run("inspect", func(t *testing.T) { realInspect(t, r) })
}

func realObserve(t *testing.T, r *realEngine) {
	id := r.run("web", "a", "app:1", func(_ *container.Config, hc *container.HostConfig) {
		hc.Memory, hc.NanoCPUs = 64<<20, 500_000_000
		hc.RestartPolicy.Name = container.RestartPolicyAlways
	})
	defer r.remove(id)
	s := r.source()
	f := observe(t, s)
	in := instance(f, "shop-web-1")
	want := fleet.Subject{Environment: "prod", Host: "prod-1", Project: "shop", Service: "web", Container: "shop-web-1"}
	if in.Subject != want || in.ID != id || in.State != fleet.StateRunning || in.Release.Image != "app" || in.Release.Tag != "1" {
		t.Errorf("instance: %+v", in)
	}
	if in.Limits.Memory != 64<<20 || in.Limits.CPU != 0.5 {
		t.Errorf("limits: %+v", in.Limits)
	}
	if in.Labels["secret.token"] != "" || in.Labels["org.opencontainers.image.version"] != "app:1" {
		t.Errorf("labels: %v", in.Labels)
	}
	if in.Life.StartedAt.IsZero() || in.Life.CreatedAt.IsZero() || !in.Life.FinishedAt.IsZero() {
		t.Errorf("life: %+v", in.Life)
	}
	h := f.Hosts[0]
	if !h.Up || h.Name != "prod-1" || h.CPUs == 0 || h.Memory == 0 || !strings.HasPrefix(h.Engine, "docker "+f.Detail+", api 1.") {
		t.Errorf("host: %+v, detail %q", h, f.Detail)
	}
	if len(f.Warnings) != 0 || len(f.Images) < 2 {
		t.Errorf("warnings %v, images %v", f.Warnings, f.Images)
	}
}

func realHealth(t *testing.T, r *realEngine) {
	s := r.source()
	pokes := watch(t, s)
	id := r.run("web", "a", "app:1", nil)
	defer r.remove(id)
	is := func(h fleet.Health) func(fleet.Facts) bool {
		return func(f fleet.Facts) bool { return instance(f, "shop-web-1").Health == h }
	}
	eventually(t, s, pokes, "healthy", is(fleet.HealthHealthy))
	r.tell("a", "break")
	f := eventually(t, s, pokes, "unhealthy", is(fleet.HealthUnhealthy))
	if out := instance(f, "shop-web-1").HealthOutput; !strings.HasPrefix(out, "broken") || strings.Contains(out, "\x1b") {
		t.Errorf("health output %q", out)
	}
	if err := os.Remove(filepath.Join(r.ctl, "a", "break")); err != nil {
		t.Fatal(err)
	}
	eventually(t, s, pokes, "healthy again", is(fleet.HealthHealthy))

	if err := r.cli.ContainerPause(context.Background(), id); err != nil {
		t.Fatal(err)
	}
	eventually(t, s, pokes, "paused", func(f fleet.Facts) bool { return instance(f, "shop-web-1").State == fleet.StatePaused })
	if err := r.cli.ContainerUnpause(context.Background(), id); err != nil {
		t.Fatal(err)
	}
	eventually(t, s, pokes, "running", func(f fleet.Facts) bool { return instance(f, "shop-web-1").State == fleet.StateRunning })
}

func realRestarts(t *testing.T, r *realEngine) {
	s := r.source()
	pokes := watch(t, s)
	id := r.run("web", "a", "app:1", func(_ *container.Config, hc *container.HostConfig) {
		hc.RestartPolicy.Name = container.RestartPolicyAlways
	})
	defer r.remove(id)
	r.tell("a", "crash")
	f := eventually(t, s, pokes, "one restart", func(f fleet.Facts) bool {
		in := instance(f, "shop-web-1")
		return in.Life.Restarts == 1 && in.State == fleet.StateRunning
	})
	in := instance(f, "shop-web-1")
	if len(in.Life.Exits) != 1 || in.Life.FinishedAt.Sub(in.Life.Exits[0]).Abs() > sameExit {
		t.Errorf("exits: %+v", in.Life)
	}
	if c := newest(f, fleet.ChangeRestart); c.What != "exited (code 3)" || c.Subject.Service != "web" {
		t.Errorf("change: %+v", c)
	}
	// A second console starts later: the exit is in the past it reads.
	late := observe(t, r.source())
	if got := instance(late, "shop-web-1").Life.Exits; len(got) != 1 {
		t.Errorf("exits read from the past: %v", got)
	}
	// A requested restart is no unexpected end.
	if err := r.cli.ContainerRestart(context.Background(), id, container.StopOptions{}); err != nil {
		t.Fatal(err)
	}
	f = eventually(t, s, pokes, "requested restart told", func(f fleet.Facts) bool {
		return strings.HasPrefix(newest(f, fleet.ChangeRestart).What, "restarted on request")
	})
	if got := instance(f, "shop-web-1").Life.Exits; len(got) != 1 {
		t.Errorf("a requested restart counts as an unexpected end: %v", got)
	}
	if err := r.cli.ContainerKill(context.Background(), id, "KILL"); err != nil {
		t.Fatal(err)
	}
	f = eventually(t, s, pokes, "killed", func(f fleet.Facts) bool {
		return strings.HasPrefix(newest(f, fleet.ChangeRestart).What, "killed on request")
	})
	if got := instance(f, "shop-web-1").Life; got.ExitCode != 137 && got.ExitCode != 0 {
		t.Errorf("after a kill: %+v", got)
	}
}

func newest(f fleet.Facts, kind fleet.ChangeKind) fleet.Change {
	for _, c := range f.Changes {
		if c.Kind == kind {
			return c
		}
	}
	return fleet.Change{}
}

func realDeploy(t *testing.T, r *realEngine) {
	s := r.source()
	pokes := watch(t, s)
	old := r.run("api", "b", "app:1", nil)
	eventually(t, s, pokes, "api runs", func(f fleet.Facts) bool { return instance(f, "shop-api-1").ID == old })
	r.remove(old)
	id := r.run("api", "b", "app:3", nil)
	defer r.remove(id)
	f := eventually(t, s, pokes, "api deployed", func(f fleet.Facts) bool { return instance(f, "shop-api-1").ID == id })
	c := newest(f, fleet.ChangeDeploy)
	if c.What != "1 → 3" || c.From.ImageID == "" || c.To.ImageID == "" || c.From.ImageID == c.To.ImageID || c.Subject.Service != "api" {
		t.Errorf("deploy: %+v", c)
	}
	for _, c := range f.Changes {
		if c.Kind == fleet.ChangeRestart && c.Subject.Service == "api" {
			t.Errorf("the stop of a re-creation is told as a restart: %+v", c)
		}
	}
	// The tag moves: the container still runs what it ran.
	before := instance(f, "shop-api-1").Release
	if err := r.cli.ImageTag(context.Background(), "app:1", "app:3"); err != nil {
		t.Fatal(err)
	}
	f = eventually(t, s, pokes, "tag moved", func(f fleet.Facts) bool { return instance(f, "shop-api-1").Release.Note != "" })
	after := instance(f, "shop-api-1").Release
	if after.Tag != "3" || after.Image != "app" || after.ImageID != before.ImageID {
		t.Errorf("release after the tag moved: %+v", after)
	}
}

func realOOM(t *testing.T, r *realEngine) {
	s := r.source()
	pokes := watch(t, s)
	id := r.run("hog", "c", "app:1", func(_ *container.Config, hc *container.HostConfig) {
		hc.Memory, hc.MemorySwap = 32<<20, 32<<20
	})
	defer r.remove(id)
	r.tell("c", "eat")
	f := eventually(t, s, pokes, "out of memory", func(f fleet.Facts) bool { return instance(f, "shop-hog-1").State == fleet.StateExited })
	in := instance(f, "shop-hog-1")
	if !in.Life.OOMKilled || in.Life.ExitCode != 137 || in.Health != fleet.HealthDown || len(in.Life.Exits) != 1 {
		t.Errorf("instance: %+v", in)
	}
	if c := newest(f, fleet.ChangeRestart); !strings.Contains(c.What, "out of memory") {
		t.Errorf("change: %+v", c)
	}
}

func realInspect(t *testing.T, r *realEngine) {
	id := r.run("web", "a", "app:1", func(cfg *container.Config, _ *container.HostConfig) {
		cfg.Env = []string{"DB_PASSWORD=hunter2", "URL=postgres://u:hunter2@db/x", "PLAIN=yes"}
		cfg.Cmd = []string{"--token", "hunter2", "--api-key=hunter2"}
	})
	defer r.remove(id)
	b, err := r.source().Inspect(context.Background(), &fleet.Instance{ID: id, Name: "shop-web-1", Host: "prod-1"})
	if err != nil {
		t.Fatal(err)
	}
	if s := string(b); strings.Contains(s, "hunter2") || strings.Contains(s, "hush") || !strings.Contains(s, "PLAIN=yes") || !strings.Contains(s, id) {
		t.Errorf("inspect: %s", s)
	}
	if _, err := r.source().Inspect(context.Background(), &fleet.Instance{ID: strings.Repeat("0", 64), Host: "prod-1"}); err == nil ||
		!strings.HasPrefix(err.Error(), "docker prod-1: inspect") {
		t.Errorf("inspect of nothing: %v", err)
	}
}

func realLog(t *testing.T, r *realEngine) {
	ticking := func(cfg *container.Config, hc *container.HostConfig) {
		cfg.Env = []string{"TICK=1", "LONG=40000"}
		hc.RestartPolicy.Name = container.RestartPolicyAlways
	}
	id := r.run("web", "a", "app:1", ticking)
	time.Sleep(300 * time.Millisecond)
	l := startTail(t, r.source(), query("web", true))
	l.wait(t, "history and live lines", func(s string) bool { return strings.Contains(s, "begin app:1") && strings.Contains(s, "tick 40\n") })
	r.tell("a", "crash")
	l.wait(t, "restart", func(s string) bool {
		_, after, ok := strings.Cut(s, "── shop-web-1 exited (code 3) ──")
		return ok && strings.Contains(after, "begin app:1") && strings.Contains(after, "tick 20\n")
	})
	r.remove(id)
	id = r.run("web", "a", "app:2", ticking)
	defer r.remove(id)
	l.wait(t, "re-creation", func(s string) bool {
		_, after, ok := strings.Cut(s, "re-created as app:2")
		return ok && strings.Contains(after, "begin app:2") && strings.Contains(after, "tick 20\n")
	})
	checkTicks(t, l)
}

// checkTicks holds that no line is missing, double or out of order within a run of the program.
func checkTicks(t *testing.T, l *tailing) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	next, runs, stderrs := 0, 0, 0
	for i, line := range l.lines {
		var n int
		switch {
		case strings.HasPrefix(line.Text, "begin"):
			runs, next = runs+1, 1
		case line.Stream == "stderr" && line.Text == "to stderr":
			stderrs++
		case strings.HasPrefix(line.Text, "xxx"):
			if len(line.Text) > maxLine+40 || !strings.Contains(line.Text, "bytes cut]") {
				t.Errorf("long line of %d bytes: %.20s...%s", len(line.Text), line.Text, line.Text[len(line.Text)-30:])
			}
		default:
			if _, err := fmt.Sscanf(line.Text, "tick %d", &n); err == nil {
				if n != next {
					t.Errorf("line %d is tick %d, not %d", i, n, next)
				}
				next = n + 1
			}
		}
	}
	if runs != 3 || stderrs != 3 {
		t.Errorf("%d beginnings and %d lines of stderr, not 3 of each", runs, stderrs)
	}
}

func realTTY(t *testing.T, r *realEngine) {
	id := r.run("term", "b", "app:1", func(cfg *container.Config, _ *container.HostConfig) {
		cfg.Tty, cfg.Env = true, []string{"LONG=20000", "TICK=1"}
	})
	defer r.remove(id)
	l := startTail(t, r.source(), query("term", true))
	l.wait(t, "terminal output", func(s string) bool { return strings.Contains(s, "tick 20\n") })
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.ContainsAny(line.Text, "\r\n") || line.At.IsZero() {
			t.Errorf("line %+v", line)
		}
	}
}

func realUnreadable(t *testing.T, r *realEngine) {
	id := r.run("mute", "b", "app:1", func(_ *container.Config, hc *container.HostConfig) {
		hc.LogConfig.Type = "none"
	})
	defer r.remove(id)
	for _, follow := range []bool{false, true} {
		l := startTail(t, r.source(), query("mute", follow))
		l.wait(t, "the reason", func(s string) bool { return strings.Contains(s, "the log of shop-mute-1 cannot be read here") })
	}
}
