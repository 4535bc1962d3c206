package sim_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/docker/go-connections/nat"

	"github.com/nexgate-hq/nexops/lab/sim"
)

// realSocket gives the socket of a real Engine, started for this test with a container of
// the very shape that is simulated: the lab's own containers are of other shapes.
func realSocket(t *testing.T) string {
	t.Helper()
	if os.Getenv("NEXOPS_LAB") == "" && os.Getenv("NEXOPS_REAL_DOCKER") == "" {
		t.Skip("needs a real Engine: set NEXOPS_LAB to the lab's state file, or NEXOPS_REAL_DOCKER=1 (root)")
	}
	return throwAway(t)
}

// throwAway starts a dockerd of its own with one container in it.
func throwAway(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sim-engine-")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "docker.sock")
	cmd := exec.Command("dockerd", "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"), "-H", "unix://"+socket,
		"--pidfile", filepath.Join(dir, "docker.pid"), "--bridge=none", "--iptables=false", "--ip-masq=false")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		_ = log.Close()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	d, err := client.NewClientWithOpts(client.WithHost("unix://"+socket), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		if _, err := d.Ping(ctx); err == nil {
			break
		}
		if ctx.Err() != nil {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("dockerd does not answer:\n%s", text)
		}
		time.Sleep(50 * time.Millisecond)
	}
	oneContainer(ctx, t, d)
	return socket
}

func oneContainer(ctx context.Context, t *testing.T, d *client.Client) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "app")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/nexgate-hq/nexops/lab/real/app")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	binary, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	_ = w.WriteHeader(&tar.Header{Name: "app", Mode: 0o755, Size: int64(len(binary))})
	_, _ = w.Write(binary)
	_ = w.Close()
	r, err := d.ImageImport(ctx, image.ImportSource{Source: &files, SourceName: "-"}, "lab/app:1", image.ImportOptions{Changes: []string{"LABEL a=b"}})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, r)
	_ = r.Close()
	labels := map[string]string{"com.docker.compose.project": "p", "com.docker.compose.service": "s"}
	c, err := d.ContainerCreate(ctx, &container.Config{
		Image: "lab/app:1", Cmd: []string{"/app"}, Labels: labels, Env: []string{"A=b"},
		ExposedPorts: nat.PortSet{"80/tcp": {}},
		Healthcheck: &container.HealthConfig{
			Test: []string{"CMD", "/app", "-healthcheck"}, Interval: time.Second, Timeout: time.Second, StartPeriod: time.Second, Retries: 3,
		},
	}, &container.HostConfig{NetworkMode: "none", PortBindings: nat.PortMap{}, RestartPolicy: container.RestartPolicy{Name: "unless-stopped"}, Resources: container.Resources{Memory: 64 << 20, NanoCPUs: 1e9}}, nil, nil, "p-s-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.ContainerStart(ctx, c.ID, container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	for {
		in, err := d.ContainerInspect(ctx, c.ID)
		if err != nil {
			t.Fatal(err)
		}
		if in.State.Health != nil && in.State.Health.Status == "healthy" {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestContractWithRealEngine holds that the simulated Engine's answers have the keys and types of a real one's.
func TestContractWithRealEngine(t *testing.T) {
	socket := realSocket(t)
	e := start(t, sim.Options{Still: true})
	api, err := e.Engine("prod-1")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	defer server.Close()
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	defer tr.CloseIdleConnections()
	theirs, ours := &http.Client{Transport: tr}, server.Client()
	until := fmt.Sprint(time.Now().Unix())
	events := "/events?since=" + fmt.Sprint(time.Now().Add(-1200*time.Hour).Unix()) + "&until=" + until + "&filters=" + url.QueryEscape(`{"type":["container"],"event":["start"]}`)
	for _, path := range []string{"/version", "/info", "/containers/json?all=1", "/containers/{c}/json", "/images/json", "/images/{i}/json", events} {
		// An older API than either's, so that both speak the same.
		a := get(t, ours, server.URL+"/v1.41", path)
		b := get(t, theirs, "http://engine/v1.41", path)
		var diffs []string
		compare(strings.SplitN(path, "?", 2)[0], a, b, &diffs)
		for _, d := range diffs {
			t.Error(d)
		}
	}
	for path, code := range map[string]int{"/containers/nosuch/json": 404, "/images/no/such/json": 404, "/containers/nosuch/logs?stdout=1": 404, "/containers/nosuch/logs": 400} {
		for who, c := range map[string]*http.Client{server.URL: ours, "http://engine": theirs} {
			resp, err := c.Get(who + "/v1.41" + path)
			if err != nil {
				t.Fatal(err)
			}
			var body struct{ Message string }
			err = json.NewDecoder(resp.Body).Decode(&body)
			_ = resp.Body.Close()
			if resp.StatusCode != code || err != nil || body.Message == "" {
				t.Errorf("%s%s: %s, %q, %v", who, path, resp.Status, body.Message, err)
			}
		}
	}
}

// get asks for a path; {c} and {i} stand for a healthy container of a Compose project and its image.
func get(t *testing.T, c *http.Client, base, path string) any {
	t.Helper()
	if strings.Contains(path, "{") {
		list, _ := get(t, c, base, "/containers/json").([]any)
		for _, one := range list {
			m, _ := one.(map[string]any)
			if status, _ := m["Status"].(string); strings.HasSuffix(status, "(healthy)") {
				path = strings.NewReplacer("{c}", fmt.Sprint(m["Id"]), "{i}", fmt.Sprint(m["ImageID"])).Replace(path)
				break
			}
		}
	}
	resp, err := c.Get(base + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var v any
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s%s: %s, %v", base, path, resp.Status, err)
	}
	return v
}

// open are the objects whose keys are names of something, not of fields.
func open(path string) bool {
	for _, end := range []string{"Labels", "Networks", "Ports", "PortBindings", "ExposedPorts", "Config.Volumes", "LogConfig.Config", "Runtimes", "IndexConfigs", "Attributes", "Details", "GraphDriver.Data"} {
		if strings.HasSuffix(path, end) {
			return true
		}
	}
	return false
}

// optional are the fields that a real Engine has or leaves out by the machine it is on
// or the container that it is asked about.
func optional(path string) bool {
	for _, part := range []string{
		"/info.DriverStatus", "/info.Swarm", "/info.Plugins", "/info.RegistryConfig", "/info.Warnings", "/info.GenericResources", "/info.SecurityOptions",
		"RepoDigests", "ContainerConfig.Labels", // none without a registry and a build
		"/version.Platform", "Mounts", "HostConfig.Annotations", "/info.DefaultAddressPools", "/info.CgroupVersion", "/info.ProductLicense",
	} {
		if strings.Contains(path, part) {
			return true
		}
	}
	return false
}

func compare(path string, ours, theirs any, diffs *[]string) {
	if optional(path) {
		return
	}
	a, b := kind(ours), kind(theirs)
	if a != b {
		*diffs = append(*diffs, fmt.Sprintf("%s: simulated %s, real %s", path, a, b))
		return
	}
	switch x := ours.(type) {
	case []any:
		y, _ := theirs.([]any)
		if len(x) > 0 && len(y) > 0 {
			compare(path+"[]", x[0], y[0], diffs)
		}
	case map[string]any:
		y, _ := theirs.(map[string]any)
		compareFields(path, x, y, diffs)
	}
}

func compareFields(path string, x, y map[string]any, diffs *[]string) {
	if open(path) {
		for _, v := range x {
			for _, w := range y {
				compare(path+".*", v, w, diffs)
				return
			}
		}
		return
	}
	for _, k := range slices.Sorted(maps.Keys(x)) {
		w, ok := y[k]
		if !ok {
			if !optional(path + "." + k) {
				*diffs = append(*diffs, fmt.Sprintf("%s.%s: only simulated", path, k))
			}
			continue
		}
		compare(path+"."+k, x[k], w, diffs)
	}
	for _, k := range slices.Sorted(maps.Keys(y)) {
		if _, ok := x[k]; !ok && !optional(path+"."+k) {
			*diffs = append(*diffs, fmt.Sprintf("%s.%s: only real (%s)", path, k, kind(y[k])))
		}
	}
}

func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "bool"
	case float64:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	default:
		return "object"
	}
}
