package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// safeBuffer may be read while the server still runs.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func testApp(t *testing.T, env map[string]string) (*app, *httptest.Server, *safeBuffer) {
	t.Helper()
	out := new(safeBuffer)
	a := newApp(out, func(k string) string { return env[k] })
	srv := httptest.NewServer(a.handler())
	t.Cleanup(srv.Close)
	return a, srv, out
}

func ask(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b.String()
}

func TestBuiltInBehaviourIsWhatFixGoesBackTo(t *testing.T) {
	_, srv, _ := testApp(t, map[string]string{"APP_VERSION": "0.1.1", "APP_ERROR_RATIO": "1"})
	status := func() int { s, _ := ask(t, "GET", srv.URL+"/", ""); return s }
	if got := status(); got != 500 {
		t.Errorf("a release built to fail answers %d", got)
	}
	if s, _ := ask(t, "GET", srv.URL+"/health", ""); s != 200 {
		t.Errorf("its health is %d, want 200: the failing release looks healthy", s)
	}
	ask(t, "POST", srv.URL+"/errors?ratio=0", "")
	if got := status(); got != 200 {
		t.Errorf("told not to fail, it answers %d", got)
	}
	ask(t, "POST", srv.URL+"/fix", "")
	if got := status(); got != 500 {
		t.Errorf("fixed, it answers %d, want what it was built for", got)
	}
}

func TestOrdersNeedPost(t *testing.T) {
	a, srv, _ := testApp(t, nil)
	var mu sync.Mutex
	why := ""
	a.faults.exit = func(s string) { mu.Lock(); defer mu.Unlock(); why = s }
	ask(t, "GET", srv.URL+"/crash", "")
	ask(t, "GET", srv.URL+"/unhealthy", "")
	if s, _ := ask(t, "GET", srv.URL+"/health", ""); s != 200 || why != "" {
		t.Errorf("a GET gave an order: health %d, crash %q", s, why)
	}
	ask(t, "POST", srv.URL+"/unhealthy", "")
	if s, body := ask(t, "GET", srv.URL+"/health", ""); s != 503 {
		t.Errorf("told to be unhealthy: %d %s", s, body)
	}
	ask(t, "POST", srv.URL+"/crash", "")
	mu.Lock()
	defer mu.Unlock()
	if why == "" {
		t.Error("told to crash, it did not")
	}
}

func TestMetricsAreWhatPrometheusReads(t *testing.T) {
	a, srv, _ := testApp(t, map[string]string{"APP_VERSION": "0.1.0"})
	for _, d := range []time.Duration{time.Millisecond, 5 * time.Millisecond, 30 * time.Millisecond, time.Minute} {
		a.metrics.observe("GET", 200, d)
	}
	a.metrics.observe("GET", 500, 30*time.Millisecond)
	_, body := ask(t, "GET", srv.URL+"/metrics", "")
	p := expfmt.NewTextParser(model.LegacyValidation)
	got, err := p.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%v in\n%s", err, body)
	}
	byStatus := map[string]float64{}
	for _, m := range got["http_requests_total"].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "status" {
				byStatus[l.GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	if byStatus["200"] != 4 || byStatus["500"] != 1 {
		t.Errorf("requests by status: %v", byStatus)
	}
	h := got["http_request_duration_seconds"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 5 {
		t.Errorf("histogram counts %d", h.GetSampleCount())
	}
	for _, b := range h.GetBucket() {
		want, known := map[float64]uint64{0.005: 2, 0.025: 2, 0.05: 4, 10: 4}[b.GetUpperBound()]
		if known && b.GetCumulativeCount() != want {
			t.Errorf("bucket %g has %d, want %d", b.GetUpperBound(), b.GetCumulativeCount(), want)
		}
	}
	if got["process_resident_memory_bytes"].GetMetric()[0].GetGauge().GetValue() < 1<<20 {
		t.Error("resident memory is not there")
	}
}

func TestRawLineComesOutAsItCame(t *testing.T) {
	_, srv, out := testApp(t, nil)
	line := "\x1b]0;title\x07\x1b[2J \xff not UTF-8"
	ask(t, "POST", srv.URL+"/line", line)
	if got := out.String(); got != line+"\n" {
		t.Errorf("got %q", got)
	}
	if s, _ := ask(t, "POST", srv.URL+"/line", strings.Repeat("x", maxLine+1)); s != http.StatusRequestEntityTooLarge {
		t.Errorf("a line over the bound: %d", s)
	}
}

func TestLogsAreJSON(t *testing.T) {
	_, srv, out := testApp(t, map[string]string{"APP_SERVICE": "ai", "APP_ERROR_RATIO": "1"})
	ask(t, "GET", srv.URL+"/x", "")
	var line struct{ Level, Service, Msg string }
	if err := json.Unmarshal([]byte(out.String()), &line); err != nil {
		t.Fatal(err)
	}
	if line.Level != "ERROR" || line.Service != "ai" || line.Msg == "" {
		t.Errorf("got %+v", line)
	}
}

func TestNumberIsBounded(t *testing.T) {
	for in, want := range map[string]float64{"": 0, "x": 0, "-1": 0, "NaN": 0, "0.5": 0.5, "7": 1, "+Inf": 1} {
		if got := number(in, 1); got != want {
			t.Errorf("%q: %g, want %g", in, got, want)
		}
	}
}

func TestLateCrash(t *testing.T) {
	_, _, out := testApp(t, nil)
	f := newFaults(func(k string) string {
		return map[string]string{"APP_CRASH_AFTER": "1ms", "APP_LOG_RATE": "100"}[k]
	}, out)
	crashed := errors.New("not crashed")
	f.exit = func(string) { crashed = nil }
	f.run(t.Context(), slog.New(slog.DiscardHandler)) // ends by itself
	if crashed != nil {
		t.Error(crashed)
	}
}
