package loki

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
	"github.com/nexgate-hq/nexops/sources/sourcestest"
)

// silentLog fails the test when anything is written to the standard log, which would
// garble the screen.
func silentLog(t *testing.T) {
	t.Helper()
	var out bytes.Buffer
	old := log.Writer()
	log.SetOutput(&out)
	t.Cleanup(func() {
		log.SetOutput(old)
		if out.Len() > 0 {
			t.Errorf("the standard log got %q", &out)
		}
	})
}

func answerWith(status int, kind, body string) func(http.ResponseWriter) bool {
	return func(w http.ResponseWriter) bool {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
		return true
	}
}

func TestFaultsAreErrors(t *testing.T) {
	silentLog(t)
	const html, text, json = "text/html", "text/plain; charset=utf-8", "application/json"
	tests := map[string]struct {
		before func(http.ResponseWriter) bool
		want   []string
	}{
		"plain 500":    {answerWith(500, text, "no\x1b[2J ring\n"), []string{"labels: 500 Internal Server Error: no", "[2J ring"}},
		"parse error":  {answerWith(400, text, "parse error at line 1"), []string{"400 Bad Request: parse error at line 1"}},
		"proxy's page": {answerWith(200, html, "<html>Sign in</html>"), []string{"not Loki's JSON (text/html)", "check url"}},
		"bad gateway":  {answerWith(502, html, "<html>nginx</html>"), []string{"502 Bad Gateway; the server is not ready"}},
		"too many":     {answerWith(429, text, "too many outstanding requests"), []string{"429 Too Many Requests: too many outstanding requests", "raise poll"}},
		"no tenant":    {answerWith(401, text, "no org id"), []string{"401 Unauthorized: no org id"}},
		"redirect": {func(w http.ResponseWriter) bool {
			w.Header().Set("Location", "https://elsewhere/")
			w.WriteHeader(http.StatusFound)
			return true
		}, []string{"302 Found", "set url to where it leads"}},
		"other content": {answerWith(200, json, `[1]`), []string{"cannot be read"}},
		"cut": {func(w http.ResponseWriter) bool {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{"status":"succ`))
			return true
		}, []string{"broke off", "unexpected EOF"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.before = tt.before
			s := newSource(t, f.server.URL, testDeps(), nil)
			_, err := s.Observe(context.Background())
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range append(tt.want, "loki test "+f.server.URL+": ") {
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
	silentLog(t)
	sourcestest.Contract(t,
		func(t *testing.T) sources.Source {
			t.Helper()
			return newSource(t, newFake(t).server.URL, testDeps(), nil)
		},
		func(t *testing.T) sources.Source {
			t.Helper()
			f := newFake(t)
			f.before = answerWith(http.StatusInternalServerError, "text/plain", "broken\x07\n")
			return newSource(t, f.server.URL, testDeps(), nil)
		},
		func(t *testing.T) sources.Source {
			t.Helper()
			return newSource(t, "http://127.0.0.1:1", testDeps(), nil)
		})
}

func TestUnreachableAndSlow(t *testing.T) {
	silentLog(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	_, err = newSource(t, "http://"+l.Addr().String(), testDeps(), nil).Observe(context.Background())
	if err == nil || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "attempts") {
		t.Errorf("got %v", err)
	}
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer slow.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err = newSource(t, slow.URL, testDeps(), nil).Observe(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("got %v", err)
	}
}

func TestBadCAFileIsAnError(t *testing.T) {
	s := newSource(t, "https://127.0.0.1:1", testDeps(), func(c *Config) { c.CAFile = "config.go" })
	_, err := s.Observe(context.Background())
	if err == nil || !strings.Contains(err.Error(), "ca_file config.go: holds no PEM certificate") {
		t.Errorf("got %v", err)
	}
}

func TestObserve(t *testing.T) {
	silentLog(t)
	f := newFake(t)
	f.series = `[{"env":"prod","compose_service":"ai","host":"prod-1"},{"env":"prod","compose_service":"ai","host":"prod-2"},{"env":"prod","compose_service":"web"},{"env":"staging","compose_service":"old"}]`
	s := newSource(t, f.server.URL, testDeps(), nil)
	facts, err := s.Observe(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(facts.Metrics) != 2 || facts.Detail != "4 streams" || len(facts.Warnings) != 0 {
		t.Fatalf("got %+v", facts)
	}
	ai, _ := find(facts, fleet.MetricLogErrors, "ai")
	if last, ok := ai.Series.Last(); !ok || last != 7 || ai.Series.Values[0] != 0 || len(ai.Series.Values) != 61 {
		t.Errorf("ai: %v", ai.Series.Values)
	}
	web, _ := find(facts, fleet.MetricLogErrors, "web")
	if last, ok := web.Series.Last(); !ok || last != 0 {
		t.Errorf("web has streams and no error line: %v", web.Series.Values)
	}
	want := fleet.Subject{Environment: "prod", Service: "ai"}
	if ai.Subject != want || ai.Unit != fleet.UnitPerMinute {
		t.Errorf("subject %+v, unit %q", ai.Subject, ai.Unit)
	}
}

func TestNoLogsAndOtherEnvironments(t *testing.T) {
	f := newFake(t)
	f.labels = nil
	s := newSource(t, f.server.URL, testDeps(), nil)
	facts, err := s.Observe(context.Background())
	if err != nil || len(facts.Warnings) != 1 || len(facts.Metrics) != 0 {
		t.Errorf("an empty server: %v %+v", err, facts)
	}
	f.labels = []string{"job", "service_name"}
	if _, err = s.Observe(context.Background()); err == nil || !strings.Contains(err.Error(), "no label says the environment (there are job, service_name)") {
		t.Errorf("got %v", err)
	}
}

func TestOwnQuery(t *testing.T) {
	f := newFake(t)
	s := newSource(t, f.server.URL, testDeps(), func(c *Config) {
		c.Queries = map[string]string{"slow_queries": `sum by (compose_service) (count_over_time($selector |= "slow" [1m]))`}
		c.Units = map[string]string{"slow_queries": "per_minute"}
	})
	facts, err := s.Observe(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	own, ok := find(facts, "slow_queries", "ai")
	if last, _ := own.Series.Last(); !ok || last != 7 || !math.IsNaN(own.Series.Values[0]) {
		t.Errorf("got %+v", own)
	}
	if !strings.Contains(strings.Join(f.asked, "\n"), `count_over_time({env="prod", job!="nexops"} |= "slow" [1m])`) {
		t.Errorf("asked %q", f.asked)
	}
}

// BenchmarkObserve is one observation of 200 services, an hour of samples each.
func BenchmarkObserve(b *testing.B) {
	var series, matrix strings.Builder
	for i := range 200 {
		if i > 0 {
			series.WriteByte(',')
			matrix.WriteByte(',')
		}
		_, _ = fmt.Fprintf(&series, `{"env":"prod","compose_service":"service-%d","host":"prod-1"}`, i)
		_, _ = fmt.Fprintf(&matrix, `{"metric":{"env":"prod","compose_service":"service-%d"},"values":[`, i)
		for k := range 61 {
			if k > 0 {
				matrix.WriteByte(',')
			}
			_, _ = fmt.Fprintf(&matrix, `[%d,"%d"]`, noon.Unix()-3600+int64(60*k), k)
		}
		matrix.WriteString(`]}`)
	}
	f := newFake(b)
	f.series = "[" + series.String() + "]"
	f.matrix = `{"status":"success","data":{"resultType":"matrix","result":[` + matrix.String() + `]}}`
	s := newSource(b, f.server.URL, testDeps(), nil)
	b.ReportAllocs()
	for b.Loop() {
		facts, err := s.Observe(context.Background())
		if err != nil || len(facts.Metrics) != 200 {
			b.Fatal(len(facts.Metrics), err)
		}
	}
}
