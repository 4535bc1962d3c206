package loki

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func testDeps() sources.Deps {
	return sources.Deps{
		Environment: "prod", Environments: []string{"staging", "prod"}, Hosts: []string{"prod-1", "prod-2"},
		HostEnvironment: func(h string) string {
			return map[string]string{"prod-1": "prod", "prod-2": "prod", "stage-1": "staging"}[h]
		},
		Now: func() time.Time { return noon },
		Log: slog.New(slog.DiscardHandler),
	}
}

func newSource(t testing.TB, url string, deps sources.Deps, edit func(*Config)) *Source {
	t.Helper()
	cfg := NewConfig()
	cfg.URL = url
	if edit != nil {
		edit(cfg)
	}
	if errs := cfg.Validate(); len(errs) > 0 {
		t.Fatalf("config: %v", errs)
	}
	s, err := New("test", cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func find(facts fleet.Facts, name fleet.MetricName, service string) (fleet.MetricFact, bool) {
	for _, f := range facts.Metrics {
		if f.Name == name && f.Subject.Service == service {
			return f, true
		}
	}
	return fleet.MetricFact{}, false
}

// fixed is a server that always answers the same.
type fixed []byte

// RoundTrip gives the answer.
func (f fixed) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(f))}, nil
}
