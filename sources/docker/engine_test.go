package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	buildtypes "github.com/docker/docker/api/types/build"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
)

const dockerdPath = "/usr/sbin/dockerd"

// realEngine is a Docker Engine of this test's own.
type realEngine struct {
	t      testing.TB
	socket string
	cli    *client.Client
	ctl    string // folder that the containers see as /ctl
}

// startEngine starts a throw-away engine with three images of the test program, app:1 to app:3.
func startEngine(t testing.TB) *realEngine {
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
