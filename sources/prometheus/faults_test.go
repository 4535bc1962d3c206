package prometheus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
	"github.com/nexgate-hq/nexops/sources/sourcestest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// onlyRPS leaves one query, so that a fake has one thing to answer.
func onlyRPS(c *Config) {
	c.Queries = map[string]string{
		"rps": `x{env="$env"}`, "error_ratio": "", "p95": "", "p99": "", "cpu": "", "memory": "", "memory_ratio": "", "up": "", "probe": "",
	}
}

func fake(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func reply(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func cutInTheMiddle(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"matrix","res`))
}

func TestFaultsAreErrors(t *testing.T) {
	const html, text, json = "text/html", "text/plain", "application/json"
	tests := map[string]struct {
		handler http.HandlerFunc
		want    []string
	}{
		"plain 500":     {reply(500, text, "out of\x1b[31m memory\n"), []string{"500 Internal Server Error: out of"}},
		"proxy's page":  {reply(200, html, "<html><body>Sign in</body></html>"), []string{"not Prometheus' JSON", "check url"}},
		"bad gateway":   {reply(502, html, "<html>"), []string{"502 Bad Gateway", "a proxy cannot reach it"}},
		"too many":      {reply(429, text, "slow down"), []string{"429 Too Many Requests: slow down", "raise poll"}},
		"unauthorized":  {reply(401, text, ""), []string{"401 Unauthorized", "check bearer_token"}},
		"forbidden":     {reply(403, text, ""), []string{"403 Forbidden", "check bearer_token"}},
		"not found":     {reply(404, text, "404 page not found"), []string{"404 Not Found", "check url"}},
		"cut":           {cutInTheMiddle, []string{"unexpected EOF"}},
		"wrong shape":   {reply(200, json, `{"status":"success","data":{"resultType":"vector","result":[]}}`), []string{"no range of samples"}},
		"other content": {reply(200, json, `[1,2]`), []string{"not Prometheus' JSON"}},
		"all refused":   {reply(400, json, `{"status":"error","errorType":"bad_data","error":"parse error"}`), []string{"no query is accepted", "parse error"}},
		"timed out":     {reply(503, json, `{"status":"error","errorType":"timeout","error":"query timed out"}`), []string{"503 Service Unavailable"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			url := fake(t, tt.handler)
			s := newSource(t, url, testDeps(), onlyRPS)
			_, err := s.Observe(context.Background())
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range append(tt.want, "prometheus test "+url+": ") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("control characters in %q", err)
			}
		})
	}
}

func TestContract(t *testing.T) {
	sourcestest.Contract(t,
		func(t *testing.T) sources.Source {
			t.Helper()
			return newSource(t, fake(t, reply(200, "application/json", matrixJSON(`{"service":"ai"}`, "1"))), testDeps(), nil)
		},
		func(t *testing.T) sources.Source {
			t.Helper()
			return newSource(t, fake(t, reply(500, "text/plain", "broken\x07\n")), testDeps(), nil)
		},
		func(t *testing.T) sources.Source {
			t.Helper()
			return newSource(t, "http://127.0.0.1:1", testDeps(), nil)
		})
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	s := newSource(t, "http://"+l.Addr().String(), testDeps(), nil)
	_, err = s.Observe(context.Background())
	if err == nil || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "Post ") {
		t.Errorf("got %v", err)
	}
}

func TestSlowServerEndsWithTheContext(t *testing.T) {
	release := make(chan struct{})
	url := fake(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := newSource(t, url, testDeps(), nil).Observe(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("got %v", err)
	}
}

// Several queries at once, but never more than four, and one that is refused takes no other along.
func TestOneRefusedQuery(t *testing.T) {
	var now, most atomic.Int32
	url := fake(t, func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		defer now.Add(-1)
		time.Sleep(5 * time.Millisecond)
		switch {
		case strings.Contains(r.FormValue("query"), "broken"):
			reply(422, "application/json", `{"status":"error","errorType":"execution","error":"many-to-many\u001b[0m matching"}`)(w, r)
		default:
			_, _ = w.Write([]byte(matrixJSON(`{"service":"ai"}`, "5")))
		}
	})
	s := newSource(t, url, testDeps(), func(c *Config) {
		onlyRPS(c)
		c.Queries["broken"] = `broken{env="$env"}`
		for i := range 12 {
			c.Queries[fmt.Sprintf("more_%d", i)] = `x{env="$env"}`
		}
	})
	facts := observe(t, s)
	if len(facts.Metrics) != 13 {
		t.Errorf("%d series, want 13", len(facts.Metrics))
	}
	if len(facts.Warnings) != 2 || !strings.HasPrefix(facts.Warnings[0], "broken: many-to-many") || !strings.HasSuffix(facts.Warnings[0], "mend queries.broken") {
		t.Errorf("warnings %q", facts.Warnings)
	}
	if most.Load() > parallel {
		t.Errorf("%d queries at once", most.Load())
	}
}

func matrixJSON(labels string, values ...string) string {
	var out []string
	for i, v := range values {
		out = append(out, fmt.Sprintf(`[%d,%q]`, epoch.Unix()-int64(60*(len(values)-1-i)), v))
	}
	return `{"status":"success","warnings":["shard 2 did not answer"],"data":{"resultType":"matrix","result":[{"metric":` + labels +
		`,"values":[` + strings.Join(out, ",") + `]}]}}`
}

func TestValuesThatAreNoNumbers(t *testing.T) {
	url := fake(t, reply(200, "application/json", matrixJSON(`{"service":"ai"}`, "1", "NaN", "+Inf", "-Inf", "2")))
	facts := observe(t, newSource(t, url, testDeps(), onlyRPS))
	f, _ := find(facts, fleet.MetricRPS, "ai")
	tail := f.Series.Values[len(f.Series.Values)-5:]
	if tail[0] != 1 || !math.IsNaN(tail[1]) || !math.IsNaN(tail[2]) || !math.IsNaN(tail[3]) || tail[4] != 2 {
		t.Errorf("got %v", tail)
	}
	if len(facts.Warnings) != 1 || facts.Warnings[0] != "the server says: shard 2 did not answer" {
		t.Errorf("warnings %q", facts.Warnings)
	}
}

func TestNothingKnown(t *testing.T) {
	url := fake(t, reply(200, "application/json", `{"status":"success","data":{"resultType":"matrix","result":[]}}`))
	facts := observe(t, newSource(t, url, testDeps(), nil))
	if len(facts.Metrics) != 0 || len(facts.Warnings) != 1 || !strings.Contains(facts.Warnings[0], "environment prod") {
		t.Errorf("got %+v", facts)
	}
}

// A gap in a series keeps its place.
func TestGaps(t *testing.T) {
	body := fmt.Sprintf(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"service":"ai"},"values":[[%d,"1"],[%d,"2"],[%d,"3"],[1,"9"]]}]}}`,
		epoch.Unix()-3600, epoch.Unix()-120, epoch.Unix())
	facts := observe(t, newSource(t, fake(t, reply(200, "application/json", body)), testDeps(), onlyRPS))
	f, _ := find(facts, fleet.MetricRPS, "ai")
	for i, v := range f.Series.Values {
		want := map[int]float64{0: 1, 58: 2, 60: 3}[i]
		if want == 0 && !math.IsNaN(v) || want != 0 && v != want {
			t.Errorf("slot %d is %v", i, v)
		}
	}
	if !f.Series.At(60).Equal(epoch) {
		t.Errorf("the last slot is at %s", f.Series.At(60))
	}
}

func TestSeveralSeriesOfOneService(t *testing.T) {
	two := func(a, b string) string {
		return fmt.Sprintf(`{"status":"success","data":{"resultType":"matrix","result":[
			{"metric":{"service":"ai","method":"GET"},"values":[[%[1]d,%[2]q]]},
			{"metric":{"service":"ai","method":"PUT"},"values":[[%[1]d,%[3]q]]}]}}`, epoch.Unix(), a, b)
	}
	url := fake(t, reply(200, "application/json", two("0.25", "0.5")))
	s := newSource(t, url, testDeps(), func(c *Config) {
		onlyRPS(c)
		c.Queries["error_ratio"] = `y{env="$env"}`
		c.Queries["up"] = `y{env="$env"}`
	})
	facts := observe(t, s)
	number{metric: fleet.MetricRPS, service: "ai", value: 0.75}.check(t, facts)
	number{metric: fleet.MetricErrorRatio, service: "ai", value: 0.5}.check(t, facts)
	number{metric: fleet.MetricUp, service: "ai", value: 0.25}.check(t, facts)
	if len(facts.Warnings) != 1 || !strings.HasPrefix(facts.Warnings[0], "error_ratio: 2 series for ai") {
		t.Errorf("warnings %q", facts.Warnings)
	}
}

func TestRequestsAreSigned(t *testing.T) {
	t.Setenv("NEXOPS_TEST_TOKEN", "geheim")
	var headers atomic.Value
	url := fake(t, func(w http.ResponseWriter, r *http.Request) {
		headers.Store(r.Header.Clone())
		reply(401, "text/plain", "")(w, r)
	})
	s := newSource(t, url, testDeps(), func(c *Config) {
		onlyRPS(c)
		c.BearerToken, c.Tenant = "env:NEXOPS_TEST_TOKEN", "nexgate"
	})
	_, err := s.Observe(context.Background())
	if err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("got %v", err)
	}
	h, _ := headers.Load().(http.Header)
	if h.Get("Authorization") != "Bearer geheim" || h.Get("X-Scope-OrgID") != "nexgate" {
		t.Errorf("headers %v", h)
	}
	t.Setenv("NEXOPS_TEST_TOKEN", "neu")
	_, _ = s.Observe(context.Background())
	if h, _ = headers.Load().(http.Header); h.Get("Authorization") != "Bearer neu" {
		t.Errorf("after a 401 the secret is not read again: %v", h)
	}
}
