package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// epoch is the end of what the loaded series cover: two hours after zero.
var epoch = time.Unix(7200, 0).UTC()

// engineServer speaks /api/v1/query_range with Prometheus' own engine over the given series.
func engineServer(t testing.TB, load string) *httptest.Server {
	t.Helper()
	storage := promqltest.LoadedStorage(t, load)
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 50_000_000, Timeout: time.Minute})
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v1/query_range", func(w http.ResponseWriter, r *http.Request) {
		start, _ := strconv.ParseFloat(r.FormValue("start"), 64)
		end, _ := strconv.ParseFloat(r.FormValue("end"), 64)
		width, _ := strconv.ParseFloat(r.FormValue("step"), 64)
		ms := func(s float64) time.Time { return time.UnixMilli(int64(math.Round(s * 1000))) }
		q, err := engine.NewRangeQuery(r.Context(), storage, nil, r.FormValue("query"), ms(start), ms(end), time.Duration(width*float64(time.Second)))
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]any{"status": "error", "errorType": "bad_data", "error": err.Error()})
			return
		}
		defer q.Close()
		result := q.Exec(r.Context())
		if result.Err != nil {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_ = json.NewEncoder(w).Encode(map[string]any{"status": "error", "errorType": "execution", "error": result.Err.Error()})
			return
		}
		writeMatrix(w, result)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.Close()
		_ = engine.Close()
		_ = storage.Close()
	})
	return server
}

func writeMatrix(w http.ResponseWriter, result *promql.Result) {
	type series struct {
		Metric map[string]string `json:"metric"`
		Values [][2]any          `json:"values"`
	}
	matrix, err := result.Matrix()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	out := make([]series, 0, len(matrix))
	for _, s := range matrix {
		one := series{Metric: s.Metric.Map()}
		for _, p := range s.Floats {
			one.Values = append(one.Values, [2]any{float64(p.T) / 1000, strconv.FormatFloat(p.F, 'f', -1, 64)})
		}
		out = append(out, one)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "matrix", "result": out}})
}

func testDeps() sources.Deps {
	return sources.Deps{
		Environment: "prod", Environments: []string{"staging", "prod"}, Hosts: []string{"prod-1", "prod-2"},
		HostEnvironment: func(h string) string {
			return map[string]string{"prod-1": "prod", "prod-2": "prod", "stage-1": "staging"}[h]
		},
		Now: func() time.Time { return epoch },
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

func observe(t testing.TB, s *Source) fleet.Facts {
	t.Helper()
	facts, err := s.Observe(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return facts
}

// find gives the series of one service; ok is false when there is none.
func find(facts fleet.Facts, name fleet.MetricName, service string) (fleet.MetricFact, bool) {
	for _, f := range facts.Metrics {
		if f.Name == name && f.Subject.Service == service {
			return f, true
		}
	}
	return fleet.MetricFact{}, false
}

// number is a value that a default query must end with; none: no series; idle: a series without traffic.
type number struct {
	metric  fleet.MetricName
	service string
	value   float64
	none    bool
	idle    bool
}

func (n number) check(t *testing.T, facts fleet.Facts) {
	t.Helper()
	fact, ok := find(facts, n.metric, n.service)
	if n.none {
		if ok {
			t.Errorf("%s of %s: got %v, want no series", n.metric, n.service, fact.Series.Values)
		}
		return
	}
	if !ok {
		t.Errorf("%s of %s: no series", n.metric, n.service)
		return
	}
	last, has := fact.Series.Last()
	switch {
	case n.idle && has:
		t.Errorf("%s of %s: %v, want NaN", n.metric, n.service, last)
	case !n.idle && (!has || math.Abs(last-n.value) > 1e-3*math.Max(1, n.value)):
		t.Errorf("%s of %s: %v, want %v", n.metric, n.service, last, n.value)
	}
}

func noHost(string) (remote.Host, error) { return nil, errors.New("no such host") }
