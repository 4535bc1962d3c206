package prometheus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// realPrometheus starts a Prometheus server of the test's own over the history given in
// OpenMetrics form, scraping target every second when there is one.
func realPrometheus(t *testing.T, history, target string) (url string) {
	t.Helper()
	if os.Getenv("NEXOPS_LAB") == "" && os.Getenv("NEXOPS_REAL") == "" {
		t.Skip("needs a real Prometheus: set NEXOPS_REAL=1 or start the lab")
	}
	for _, program := range []string{"prometheus", "promtool"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("not installed: ", err)
		}
	}
	dir := t.TempDir()
	config := "global: {scrape_interval: 1s}\n"
	if target != "" {
		config += "scrape_configs: [{job_name: app, static_configs: [{targets: [" + strconv.Quote(target) + "], labels: {env: prod, service: live}}]}]\n"
	}
	write(t, filepath.Join(dir, "prometheus.yml"), config)
	if history != "" {
		write(t, filepath.Join(dir, "history.om"), history+"# EOF\n")
		out, err := exec.Command("promtool", "tsdb", "create-blocks-from", "openmetrics", filepath.Join(dir, "history.om"), filepath.Join(dir, "data")).CombinedOutput()
		if err != nil {
			t.Fatalf("promtool: %v: %s", err, out)
		}
	}
	address := freeAddress(t)
	cmd := exec.Command("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=error", "--storage.tsdb.retention.time=10d")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	url = "http://" + address
	for range 300 {
		if resp, err := http.Get(url + "/-/ready"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return url
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("prometheus is not ready")
	return ""
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// openMetrics turns lines of the engine's test language ("series start+stepxN", 15 s apart)
// into two hours of samples that end at end.
func openMetrics(t *testing.T, load string, end time.Time) string {
	t.Helper()
	var out strings.Builder
	for _, line := range strings.Split(strings.TrimSpace(load), "\n") {
		line = strings.TrimSpace(line)
		cut := strings.LastIndex(line, "} ")
		var parts []string
		if cut > 0 {
			parts = strings.Fields(line[cut+2:])
		}
		i := 0
		for _, part := range parts {
			first, rest, _ := strings.Cut(part, "+")
			width, count, _ := strings.Cut(rest, "x")
			from, err1 := strconv.ParseFloat(first, 64)
			each, err2 := strconv.ParseFloat(width, 64)
			n, err3 := strconv.Atoi(count)
			if err := errors.Join(err1, err2, err3); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			for k := 0; k <= n; k++ {
				at := end.Add(time.Duration(i-480) * 15 * time.Second)
				fmt.Fprintf(&out, "%s %s %.3f\n", line[:cut+1], strconv.FormatFloat(from+float64(k)*each, 'f', -1, 64), float64(at.UnixMilli())/1000)
				i++
			}
		}
	}
	return out.String()
}

// Prometheus itself, over real blocks, gives the same numbers as the tables of TestDefaultQueries.
func TestRealPrometheus(t *testing.T) {
	end := time.Now().Add(-3 * time.Hour).Truncate(time.Second)
	url := realPrometheus(t, openMetrics(t, springWorld+counterWorld+expressWorld+doubleWorld, end), "")
	deps := testDeps()
	deps.Now = func() time.Time { return end }
	facts := observe(t, newSource(t, url, deps, nil))
	for _, n := range []number{
		{metric: fleet.MetricRPS, service: "backend", value: 10}, {metric: fleet.MetricErrorRatio, service: "backend", value: 0.07},
		{metric: fleet.MetricP95, service: "backend", value: 0.4},
		{metric: fleet.MetricRPS, service: "ai", value: 10}, {metric: fleet.MetricErrorRatio, service: "ai", value: 0.07},
		{metric: fleet.MetricRPS, service: "idle", value: 0}, {metric: fleet.MetricErrorRatio, service: "idle", idle: true},
		{metric: fleet.MetricRPS, service: "mute", value: 2}, {metric: fleet.MetricErrorRatio, service: "mute", none: true},
		{metric: fleet.MetricErrorRatio, service: "notification", value: 0.5},
		{metric: fleet.MetricRPS, service: "web", value: 10}, {metric: fleet.MetricErrorRatio, service: "shop", value: 0.1},
		{metric: fleet.MetricRPS, service: "api", none: true},
	} {
		n.check(t, facts)
	}
	rps, _ := find(facts, fleet.MetricRPS, "ai")
	if len(rps.Series.Values) != 61 || !rps.Series.At(60).Equal(end) {
		t.Errorf("%d samples, the last at %s: want 61 up to %s", len(rps.Series.Values), rps.Series.At(60), end)
	}
	for i, v := range rps.Series.Values {
		if math.Abs(v-10) > 0.01 {
			t.Errorf("sample %d is %v", i, v)
		}
	}
	if len(facts.Warnings) > 0 {
		t.Errorf("warnings: %q", facts.Warnings)
	}
	bad := newSource(t, url, deps, func(c *Config) { c.Queries = map[string]string{"p95": "rate(x"} })
	facts = observe(t, bad)
	if len(facts.Warnings) != 1 || !strings.HasPrefix(facts.Warnings[0], "p95: ") || !strings.Contains(facts.Warnings[0], "parse error") {
		t.Errorf("warnings: %q", facts.Warnings)
	}
	number{metric: fleet.MetricRPS, service: "ai", value: 10}.check(t, facts)
}

// Containers and targets, with names that are only in the answers of a real server.
func TestRealPrometheusContainers(t *testing.T) {
	end := time.Now().Add(-3 * time.Hour).Truncate(time.Second)
	url := realPrometheus(t, openMetrics(t, containerWorld+targetWorld, end), "")
	deps := testDeps()
	deps.Now = func() time.Time { return end }
	facts := observe(t, newSource(t, url, deps, nil))
	for _, n := range []number{
		{metric: fleet.MetricCPU, service: "ai", value: 1.5}, {metric: fleet.MetricMemory, service: "ai", value: 1000},
		{metric: fleet.MetricMemoryRatio, service: "ai", value: 0.9}, {metric: fleet.MetricMemoryRatio, service: "vast", none: true},
		{metric: fleet.MetricUp, service: "ai", value: 0}, {metric: fleet.MetricProbe, service: "web", value: 1},
	} {
		n.check(t, facts)
	}
}

// A live target is seen, and when it goes away up is 0 and its rates have no value.
func TestRealPrometheusScrapes(t *testing.T) {
	start := time.Now()
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, "# TYPE http_requests_total counter\nhttp_requests_total{code=\"200\"} %f\n", 10*time.Since(start).Seconds())
	}))
	defer target.Close()
	url := realPrometheus(t, "", strings.TrimPrefix(target.URL, "http://"))
	deps := testDeps()
	deps.Now = time.Now
	s := newSource(t, url, deps, func(c *Config) { c.Window = 5e9 })
	await(t, s, "rps near 10", func(facts fleet.Facts) bool {
		rps, _ := find(facts, fleet.MetricRPS, "live")
		last, ok := rps.Series.Last()
		return ok && math.Abs(last-10) < 0.5
	})
	facts := observe(t, s)
	number{metric: fleet.MetricUp, service: "live", value: 1}.check(t, facts)
	number{metric: fleet.MetricErrorRatio, service: "live", value: 0}.check(t, facts)
	target.CloseClientConnections()
	target.Close()
	await(t, s, "down and silent", func(facts fleet.Facts) bool {
		up, _ := find(facts, fleet.MetricUp, "live")
		last, ok := up.Series.Last()
		_, rate := find(facts, fleet.MetricRPS, "live")
		return ok && last == 0 && up.Detail == strings.TrimPrefix(target.URL, "http://") && !rate
	})
}

func await(t *testing.T, s *Source, what string, ok func(fleet.Facts) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		facts, err := s.Observe(ctx)
		if err == nil && ok(facts) {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("not %s: %v %+v", what, err, facts)
		}
		time.Sleep(200 * time.Millisecond)
	}
}
