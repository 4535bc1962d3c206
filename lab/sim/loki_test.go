package sim_test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	logcli "github.com/grafana/loki/v3/pkg/logcli/client"
	"github.com/grafana/loki/v3/pkg/loghttp"
	"github.com/grafana/loki/v3/pkg/logproto"

	"github.com/nexgate-hq/nexops/lab/sim"
)

func lokiClient(t testing.TB, e *sim.Estate) *logcli.DefaultClient {
	t.Helper()
	tr := through(t, login(t, e, "ops"))
	return &logcli.DefaultClient{Address: "http://127.0.0.1:3100", Tripperware: func(http.RoundTripper) http.RoundTripper { return tr }}
}

const errorLines = `sum by (compose_service) (count_over_time({env="prod"} |~ "(?i)\\b(error|fatal|panic|critical)\\b" [1m]))`

func TestLokiErrorRate(t *testing.T) {
	e := start(t, sim.Options{Still: true})
	c := lokiClient(t, e)
	end := time.Now()
	resp, err := c.QueryRange(errorLines, 100, end.Add(-time.Hour), end, logproto.FORWARD, 30*time.Second, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	matrix, ok := resp.Data.Result.(loghttp.Matrix)
	if !ok {
		t.Fatalf("the answer is a %T", resp.Data.Result)
	}
	worst, last := "", 0.0
	for _, s := range matrix {
		v := float64(s.Values[len(s.Values)-1].Value)
		if s.Metric["compose_service"] == "ai" {
			if before := float64(s.Values[len(s.Values)/3].Value); before > 5 {
				t.Errorf("ai had %v error lines a minute before the deploy", before)
			}
		}
		if v > last {
			worst, last = string(s.Metric["compose_service"]), v
		}
	}
	if worst != "ai" || last < 20 || last > 45 {
		t.Errorf("most error lines a minute: %s with %v, want ai with about 31", worst, last)
	}
}

func TestLokiLogs(t *testing.T) {
	e := start(t, sim.Options{Still: true})
	c := lokiClient(t, e)
	end := time.Now()
	resp, err := c.QueryRange(`{env="prod",compose_service="nexgate-backend"} | json | level="INFO"`, 7, end.Add(-10*time.Minute), end, logproto.BACKWARD, 0, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	list, _ := resp.Data.Result.(loghttp.Streams)
	for _, s := range list {
		n += len(s.Entries)
		if s.Labels["level"] != "INFO" || s.Labels["compose_service"] != "nexgate-backend" {
			t.Errorf("labels %v", s.Labels)
		}
	}
	if n != 7 {
		t.Errorf("%d lines, want the limit of 7", n)
	}
	names, err := c.ListLabelNames(true, end.Add(-time.Hour), end)
	if err != nil || !strings.Contains(strings.Join(names.Data, " "), "compose_service") {
		t.Errorf("labels: %v, %v", names, err)
	}
	values, err := c.ListLabelValues("env", true, end.Add(-time.Hour), end)
	if err != nil || strings.Join(values.Data, " ") != "ops prod staging" {
		t.Errorf("values of env: %v, %v", values, err)
	}
	series, err := c.Series([]string{`{compose_service="ai"}`}, end.Add(-time.Hour), end, true)
	if err != nil || len(series.Data) != 4 {
		t.Errorf("series of ai: %v, %v; want stdout and stderr on two hosts", series, err)
	}
}

func TestLokiRefusals(t *testing.T) {
	e := start(t, sim.Options{Still: true})
	web := &http.Client{Transport: through(t, login(t, e, "ops"))}
	for query, want := range map[string]string{
		`query={env="prod"`:                    "parse error",
		`query={env="prod"}&limit=6000`:        "max entries limit per query exceeded",
		`query={env="prod"}&start=9&end=8`:     "end timestamp",
		`query=rate({env="prod"}[1m])&step=0s`: "step",
	} {
		resp, err := web.Get("http://127.0.0.1:3100/loki/api/v1/query_range?" + strings.ReplaceAll(query, `"`, "%22"))
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		buf := make([]byte, 512)
		n, _ := resp.Body.Read(buf)
		text.Write(buf[:n])
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(text.String(), want) || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s: %s %s %q, want a 400 in plain text about %q", query, resp.Status, resp.Header.Get("Content-Type"), text.String(), want)
		}
	}
}

func TestLokiTail(t *testing.T) {
	e := start(t, sim.Options{Still: true})
	host := login(t, e, "ops")
	d := websocket.Dialer{NetDialContext: func(_ context.Context, network, address string) (net.Conn, error) { return host.Dial(network, address) }}
	conn, resp, err := d.DialContext(t.Context(), "ws://127.0.0.1:3100/loki/api/v1/tail?query="+url.QueryEscape(`{env="prod",compose_service="ai"}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	defer func() { _ = conn.Close() }()
	history, found := 0, false
	emitted := false
	for !found {
		var got loghttp.TailResponse
		if err := conn.ReadJSON(&got); err != nil {
			t.Fatal(err)
		}
		for _, s := range got.Streams {
			history += len(s.Entries)
			for _, entry := range s.Entries {
				found = found || entry.Line == "hello tail"
			}
		}
		if !emitted {
			if err := e.EmitLog("prod", "ai", "hello tail"); err != nil {
				t.Fatal(err)
			}
			emitted = true
		}
	}
	if history < 100 {
		t.Errorf("%d lines of history, want more", history)
	}
	e.StopLoki() // must not wait for the tail
	if _, _, err := conn.ReadMessage(); err == nil {
		t.Error("the tail outlived Loki")
	}
}

func BenchmarkLokiErrorRate(b *testing.B) {
	e := start(b, sim.Options{Still: true})
	c := lokiClient(b, e)
	for b.Loop() {
		end := time.Now()
		if _, err := c.QueryRange(errorLines, 100, end.Add(-time.Hour), end, logproto.FORWARD, 30*time.Second, 0, true); err != nil {
			b.Fatal(err)
		}
	}
}
