package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	buildtypes "github.com/docker/docker/api/types/build"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

const dockerdPath = "/usr/sbin/dockerd"

// realEngine is a Docker Engine of this test's own.
type realEngine struct {
	t      *testing.T
	socket string
	cli    *client.Client
	ctl    string // folder that the containers see as /ctl
}

// startEngine starts a throw-away engine with three images of the test program, app:1 to app:3.
func startEngine(t *testing.T) *realEngine {
	t.Helper()
	if os.Getenv("NEXOPS_REAL_DOCKER") == "" && os.Getenv("NEXOPS_LAB") == "" {
		t.Skip("needs a real Docker Engine: set NEXOPS_REAL_DOCKER=1 (root and " + dockerdPath + ")")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root to start a Docker Engine")
	}
	if _, err := os.Stat(dockerdPath); err != nil {
		t.Skipf("needs %s: %v", dockerdPath, err)
	}
	dir, err := os.MkdirTemp("", "nexops-engine-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &realEngine{t: t, socket: filepath.Join(dir, "docker.sock"), ctl: filepath.Join(dir, "ctl")}
	for _, c := range []string{"a", "b", "c"} {
		if err := os.MkdirAll(filepath.Join(r.ctl, c), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.startDaemon(dir)
	r.cli, err = client.NewClientWithOpts(client.WithHost("unix://"+r.socket), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.cli.Close() })
	r.waitReady()
	t.Cleanup(r.removeAll)
	app := r.buildApp(dir)
	r.image("app:1", app)
	r.image("app:2", app)
	r.image("app:3", app)
	return r
}

func (r *realEngine) startDaemon(dir string) {
	r.t.Helper()
	logFile, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command(dockerdPath, "--data-root", dir+"/data", "--exec-root", dir+"/exec", "-H", "unix://"+r.socket,
		"--pidfile", dir+"/docker.pid", "--bridge=none", "--iptables=false")
	cmd.Stdout, cmd.Stderr = logFile, logFile
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		_ = logFile.Close()
		if r.t.Failed() {
			if b, err := os.ReadFile(filepath.Join(dir, "log")); err == nil {
				r.t.Logf("dockerd: %s", b[max(0, len(b)-3000):])
			}
		}
	})
}

func (r *realEngine) waitReady() {
	r.t.Helper()
	for range 300 {
		if _, err := r.cli.Ping(context.Background()); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	r.t.Fatal("dockerd did not come up in 15 s")
}

func (r *realEngine) removeAll() {
	ctx := context.Background()
	list, err := r.cli.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		r.t.Logf("list containers: %v", err)
	}
	for _, c := range list {
		_ = r.cli.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true})
	}
}

func (r *realEngine) buildApp(dir string) []byte {
	r.t.Helper()
	out := filepath.Join(dir, "app")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "./testdata/app")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("build app: %v: %s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// image builds FROM scratch; the tag goes into a label, so each has an id of its own.
func (r *realEngine) image(tag string, app []byte, extra ...string) {
	r.t.Helper()
	lines := append([]string{
		"FROM scratch", "LABEL org.opencontainers.image.version=" + tag, "ENV VERSION=" + tag, "COPY app /app",
		`HEALTHCHECK --interval=1s --timeout=5s --retries=1 --start-period=1ms CMD ["/app","check"]`, `ENTRYPOINT ["/app"]`,
	}, extra...)
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for name, b := range map[string][]byte{"Dockerfile": []byte(strings.Join(lines, "\n")), "app": app} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(b))}); err != nil {
			r.t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		r.t.Fatal(err)
	}
	resp, err := r.cli.ImageBuild(context.Background(), &buf, buildtypes.ImageBuildOptions{Tags: []string{tag}, Remove: true})
	if err != nil {
		r.t.Fatalf("build %s: %v", tag, err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || bytes.Contains(b, []byte(`"error"`)) {
		r.t.Fatalf("build %s: %v: %s", tag, err, b)
	}
}

// run creates and starts a container as Compose would name and label it.
func (r *realEngine) run(service, ctl, tag string, change func(*container.Config, *container.HostConfig)) string {
	r.t.Helper()
	cfg := &container.Config{Image: tag, Labels: map[string]string{
		labelProject: "shop", labelService: service, labelOneOff: "False", "secret.token": "hush",
	}}
	hc := &container.HostConfig{NetworkMode: "none", Binds: []string{filepath.Join(r.ctl, ctl) + ":/ctl"}}
	if change != nil {
		change(cfg, hc)
	}
	ctx := context.Background()
	res, err := r.cli.ContainerCreate(ctx, cfg, hc, nil, nil, "shop-"+service+"-1")
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.cli.ContainerStart(ctx, res.ID, container.StartOptions{}); err != nil {
		r.t.Fatal(err)
	}
	return res.ID
}

func (r *realEngine) remove(id string) {
	r.t.Helper()
	ctx := context.Background()
	if err := r.cli.ContainerStop(ctx, id, container.StopOptions{}); err != nil {
		r.t.Fatal(err)
	}
	if err := r.cli.ContainerRemove(ctx, id, container.RemoveOptions{}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *realEngine) tell(ctl, file string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.ctl, ctl, file), nil, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *realEngine) source() *source {
	s := newSource(remote.Local("prod-1"), r.socket, time.Hour, sources.Deps{Environment: "prod", Now: time.Now})
	r.t.Cleanup(s.engine.reset)
	return s
}

func observe(t *testing.T, s *source) fleet.Facts {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	f, err := s.Observe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func instance(f fleet.Facts, name string) fleet.Instance {
	for _, in := range f.Instances {
		if in.Name == name {
			return in
		}
	}
	return fleet.Instance{}
}

// eventually observes whenever the watch pokes, until the facts are as wanted.
func eventually(t *testing.T, s *source, pokes <-chan time.Time, what string, ok func(fleet.Facts) bool) fleet.Facts {
	t.Helper()
	deadline := time.After(20 * time.Second)
	f := observe(t, s)
	for !ok(f) {
		select {
		case <-pokes:
			f = observe(t, s)
		case <-deadline:
			t.Fatalf("%s: not within 20 s; facts: %+v, changes: %+v", what, f.Instances, f.Changes)
		}
	}
	return f
}

// watch runs Watch for the length of the test. The channel holds the newest poke.
func watch(t *testing.T, s *source) <-chan time.Time {
	t.Helper()
	pokes := make(chan time.Time, 1)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Watch(ctx, func() {
			select {
			case pokes <- time.Now():
			default:
			}
		}); err != nil {
			t.Errorf("watch: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return pokes
}

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
	b, err := r.source().Inspect(context.Background(), fleet.Instance{ID: id, Name: "shop-web-1", Host: "prod-1"})
	if err != nil {
		t.Fatal(err)
	}
	if s := string(b); strings.Contains(s, "hunter2") || strings.Contains(s, "hush") || !strings.Contains(s, "PLAIN=yes") || !strings.Contains(s, id) {
		t.Errorf("inspect: %s", s)
	}
	if _, err := r.source().Inspect(context.Background(), fleet.Instance{ID: strings.Repeat("0", 64), Host: "prod-1"}); err == nil ||
		!strings.HasPrefix(err.Error(), "docker prod-1: inspect") {
		t.Errorf("inspect of nothing: %v", err)
	}
}

// tailing collects a Tail that runs for the length of the test.
type tailing struct {
	mu    sync.Mutex
	lines []fleet.LogLine
}

func (l *tailing) add(line fleet.LogLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

func (l *tailing) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, line := range l.lines {
		fmt.Fprintf(&b, "%s %s: %.60s\n", line.Instance, line.Stream, line.Text)
	}
	return b.String()
}

func (l *tailing) wait(t *testing.T, what string, ok func(string) bool) {
	t.Helper()
	for range 1000 {
		if ok(l.text()) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s: not within 10 s in:\n%s", what, l.text()[:min(len(l.text()), 600)]+"\n...\n"+l.text()[max(0, len(l.text())-600):])
}

func startTail(t *testing.T, s *source, q sources.LogQuery) *tailing {
	t.Helper()
	l := &tailing{}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Tail(ctx, q, l.add); err != nil {
			t.Errorf("tail: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return l
}

func query(service string, follow bool) sources.LogQuery {
	return sources.LogQuery{
		Service:  fleet.ServiceKey{Environment: "prod", Name: service},
		Subjects: []fleet.Subject{{Environment: "prod", Host: "prod-1", Project: "shop", Service: service, Container: "shop-" + service + "-1"}},
		Follow:   follow,
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
