package loki

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

const realConfig = `
auth_enabled: false
server: {http_listen_address: 127.0.0.1, http_listen_port: %d, grpc_listen_address: 127.0.0.1, grpc_listen_port: %d, log_level: warn}
common:
  instance_addr: 127.0.0.1
  path_prefix: %[3]s
  storage: {filesystem: {chunks_directory: %[3]s/chunks, rules_directory: %[3]s/rules}}
  replication_factor: 1
  ring: {kvstore: {store: inmemory}}
schema_config:
  configs: [{from: 2024-01-01, store: tsdb, object_store: filesystem, schema: v13, index: {prefix: index_, period: 24h}}]
limits_config: {allow_structured_metadata: true, volume_enabled: true, reject_old_samples: false, ingestion_rate_mb: 64, ingestion_burst_size_mb: 64, max_entries_limit_per_query: 400}
ruler: {storage: {type: local, local: {directory: %[3]s/rules}}}
analytics: {reporting_enabled: false}
ingester: {lifecycler: {final_sleep: 0s, min_ready_duration: 0s}, wal: {dir: %[3]s/wal}}
`

// realLoki is a Loki server of the test's own.
type realLoki struct {
	t    *testing.T
	bin  string
	dir  string
	port int
	cmd  *exec.Cmd
}

func startLoki(t *testing.T) *realLoki {
	t.Helper()
	if os.Getenv("NEXOPS_LAB") == "" && os.Getenv("NEXOPS_REAL") == "" {
		t.Skip("needs a real Loki: set NEXOPS_REAL=1 or start the lab")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip("no cache folder: ", err)
	}
	bin := filepath.Join(cache, "nexops-lab", "bin", "loki-3.7.8")
	if _, err := os.Stat(bin); err != nil {
		t.Skip("no Loki in the lab's cache: ", err)
	}
	l := &realLoki{t: t, bin: bin, dir: t.TempDir(), port: freePort(t)}
	config := fmt.Sprintf(realConfig, l.port, freePort(t), l.dir)
	if err := os.WriteFile(filepath.Join(l.dir, "loki.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	l.start()
	t.Cleanup(l.stop)
	return l
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func (l *realLoki) url() string { return "http://127.0.0.1:" + strconv.Itoa(l.port) }

func (l *realLoki) start() {
	l.t.Helper()
	l.cmd = exec.Command(l.bin, "-config.file="+filepath.Join(l.dir, "loki.yml"))
	out, err := os.OpenFile(filepath.Join(l.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	l.cmd.Stdout, l.cmd.Stderr = out, out
	if err := l.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	for range 600 {
		resp, err := http.Get(l.url() + "/ready")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	text, _ := os.ReadFile(filepath.Join(l.dir, "log"))
	l.t.Fatalf("loki is not ready after a minute: %s", text)
}

func (l *realLoki) stop() {
	_ = l.cmd.Process.Signal(os.Interrupt)
	_ = l.cmd.Wait()
}

type entry struct {
	at   time.Time
	text string
}

func (l *realLoki) push(labels map[string]string, entries ...entry) {
	l.t.Helper()
	values := make([][2]string, len(entries))
	for i, e := range entries {
		values[i] = [2]string{strconv.FormatInt(e.at.UnixNano(), 10), e.text}
	}
	body, _ := json.Marshal(map[string]any{"streams": []any{map[string]any{"stream": labels, "values": values}}})
	resp, err := http.Post(l.url()+"/loki/api/v1/push", "application/json", bytes.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusNoContent {
		var text bytes.Buffer
		_, _ = text.ReadFrom(resp.Body)
		l.t.Fatalf("push: %s %s", resp.Status, &text)
	}
}

func (l *realLoki) source(edit func(*Config)) *Source {
	deps := testDeps()
	deps.Now = time.Now
	return newSource(l.t, l.url(), deps, edit)
}

// pushHistory gives ai 7 error lines in each of the last 50 minutes, backend none.
func (l *realLoki) pushHistory(now time.Time) {
	var ai, backend []entry
	for m := 50; m > 0; m-- {
		at := now.Add(-time.Duration(m) * time.Minute)
		for i := range 7 {
			ai = append(ai, entry{at.Add(time.Duration(i) * time.Millisecond), fmt.Sprintf(`{"level":"error","msg":"boom %d.%d"}`, m, i)})
		}
		for i := range 20 {
			ai = append(ai, entry{at.Add(time.Duration(100+i) * time.Millisecond), fmt.Sprintf(`{"level":"info","msg":"fine %d.%d"}`, m, i)})
		}
		backend = append(backend, entry{at, "GET / 200"})
	}
	l.push(map[string]string{"env": "prod", "compose_service": "ai", "container_name": "shop-ai-1", "host": "prod-1", "source": "stderr"}, ai...)
	l.push(map[string]string{"env": "prod", "compose_service": "backend", "container_name": "shop-backend-1", "host": "prod-2"}, backend...)
	l.push(map[string]string{"env": "staging", "compose_service": "ai", "container_name": "shop-ai-1", "host": "stage-1"}, entry{now.Add(-time.Minute), "error of staging"})
}

func TestRealLoki(t *testing.T) {
	l := startLoki(t)
	now := time.Now()
	l.pushHistory(now)
	t.Run("error lines", func(t *testing.T) { l.checkErrorLines(t, now) })
	t.Run("refused query", func(t *testing.T) {
		s := l.source(func(c *Config) { c.Errors = `|~ "("` })
		_, err := s.Observe(context.Background())
		if err == nil || !strings.Contains(err.Error(), "400 Bad Request: ") || !strings.Contains(err.Error(), "query log_errors") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("history by pages", func(t *testing.T) { l.checkHistory(t, now) })
	t.Run("ties", func(t *testing.T) { l.checkTies(t, now) })
	t.Run("live across a restart", l.checkLive)
}

func (l *realLoki) checkErrorLines(t *testing.T, now time.Time) {
	for name, edit := range map[string]func(*Config){
		"words":        nil,
		"level":        func(c *Config) { c.Errors = "detected_level" },
		"own selector": func(c *Config) { c.Selector = `{env="$env"}` },
		"own query": func(c *Config) {
			c.Queries = map[string]string{"log_errors": `sum by (compose_service) (count_over_time($selector $errors [1m]))`}
		},
	} {
		facts, err := l.source(edit).Observe(context.Background())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(facts.Warnings) > 0 {
			t.Errorf("%s: warnings %q", name, facts.Warnings)
		}
		ai, ok := find(facts, fleet.MetricLogErrors, "ai")
		if !ok || ai.Unit != fleet.UnitPerMinute {
			t.Errorf("%s: no error lines of ai in %+v", name, facts.Metrics)
			continue
		}
		full := 0
		for i, v := range ai.Series.Values {
			if v == 7 {
				full++
			}
			if at := ai.Series.At(i); v != 0 && v != 7 && at.Before(now) {
				t.Errorf("%s: %v error lines a minute at %s", name, v, at)
			}
		}
		if full != 50 {
			t.Errorf("%s: %d minutes with 7 error lines, want 50: %v", name, full, ai.Series.Values)
		}
		quiet, ok := find(facts, fleet.MetricLogErrors, "backend")
		if last, has := quiet.Series.Last(); !ok || !has || last != 0 {
			t.Errorf("%s: backend has no error line, got %+v", name, quiet)
		}
		if len(facts.Metrics) != 2 {
			t.Errorf("%s: %d series, want ai and backend: %+v", name, len(facts.Metrics), facts.Metrics)
		}
	}
}

// The server allows 400 lines a query: history is made of pages, in order and without doubles.
func (l *realLoki) checkHistory(t *testing.T, now time.Time) {
	for name, q := range map[string]sources.LogQuery{
		"since": {Since: now.Add(-55 * time.Minute)},
		"tail":  {Tail: 1200},
	} {
		q.Service = fleet.ServiceKey{Environment: "prod", Name: "ai"}
		q.Subjects = []fleet.Subject{{Environment: "prod", Host: "prod-1", Project: "shop", Service: "ai", Container: "shop-ai-1"}}
		var got []fleet.LogLine
		if err := l.source(nil).Tail(context.Background(), q, func(line fleet.LogLine) { got = append(got, line) }); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := 50 * 27
		if q.Tail > 0 {
			want = q.Tail
		}
		if len(got) != want {
			t.Fatalf("%s: %d lines, want %d", name, len(got), want)
		}
		for i := 1; i < len(got); i++ {
			if !got[i-1].At.Before(got[i].At) {
				t.Fatalf("%s: line %d is not after the one before", name, i)
			}
		}
		last := got[len(got)-1]
		last.At = time.Time{}
		if w := (fleet.LogLine{Host: "prod-1", Service: "ai", Instance: "shop-ai-1", Stream: "stderr", Text: `{"level":"info","msg":"fine 1.19"}`}); last != w {
			t.Errorf("%s: last line %+v, want %+v", name, last, w)
		}
	}
}

// A nanosecond with more lines than a page holds: none is lost and none comes twice. Their
// order is Loki's own, which keeps none within one moment.
func (l *realLoki) checkTies(t *testing.T, now time.Time) {
	at := now.Add(-30 * time.Second)
	var entries []entry
	for i := range 390 {
		entries = append(entries, entry{at, fmt.Sprintf("tie %03d", i)})
	}
	for i := range 300 {
		entries = append(entries, entry{at.Add(time.Second), fmt.Sprintf("later %03d", i)})
	}
	l.push(map[string]string{"env": "prod", "compose_service": "ties"}, entries...)
	seen := map[string]int{}
	err := l.source(nil).Tail(context.Background(), sources.LogQuery{Service: fleet.ServiceKey{Environment: "prod", Name: "ties"}, Tail: 1000}, func(line fleet.LogLine) {
		seen[line.Text]++
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if seen[e.text] != 1 {
			t.Errorf("%q came %d times", e.text, seen[e.text])
		}
	}
}

func (l *realLoki) checkLive(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	lines := make(chan fleet.LogLine, 1000)
	ended := make(chan error, 1)
	s := l.source(nil)
	go func() {
		ended <- s.Tail(ctx, sources.LogQuery{
			Service: fleet.ServiceKey{Environment: "prod", Name: "ai"}, Tail: 3, Follow: true,
		}, func(line fleet.LogLine) { lines <- line })
	}()
	next := func(want string) {
		t.Helper()
		for {
			select {
			case line := <-lines:
				if line.Stream == "nexops" {
					t.Log(line.Text)
					continue
				}
				if line.Text != want {
					t.Fatalf("got %q, want %q", line.Text, want)
				}
				return
			case err := <-ended:
				t.Fatalf("the tail ended: %v", err)
			case <-ctx.Done():
				t.Fatalf("no %q", want)
			}
		}
	}
	labels := map[string]string{"env": "prod", "compose_service": "ai", "container_name": "shop-ai-2", "host": "prod-1"}
	for i := 17; i < 20; i++ {
		next(fmt.Sprintf(`{"level":"info","msg":"fine 1.%d"}`, i))
	}
	for i := range 5 {
		l.push(labels, entry{time.Now(), fmt.Sprintf("live %d", i)})
		next(fmt.Sprintf("live %d", i))
	}
	l.stop()
	l.start()
	for i := range 5 {
		l.push(labels, entry{time.Now(), fmt.Sprintf("again %d", i)})
	}
	for i := range 5 {
		next(fmt.Sprintf("again %d", i))
	}
	l.push(labels, entry{time.Now(), "end"})
	next("end")
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("a cancelled tail gives %v", err)
	}
}
