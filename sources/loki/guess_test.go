package loki

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

func metricQueries(f *fakeLoki) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, q := range f.asked {
		if strings.HasPrefix(q, "sum by") {
			n++
		}
	}
	return n
}

// TestRightGuess holds that the first observation is one round: the query does not wait for the labels.
func TestRightGuess(t *testing.T) {
	f := newFake(t)
	var waiting atomic.Int32
	release := make(chan struct{})
	f.before = func(http.ResponseWriter) bool {
		if waiting.Add(1) == 3 { // labels, series and the query
			close(release)
		}
		select {
		case <-release:
		case <-time.After(30 * time.Second):
		}
		return false
	}
	began := time.Now()
	facts, err := newSource(t, f.server.URL, testDeps(), nil).Observe(context.Background())
	if err != nil || time.Since(began) > 25*time.Second {
		t.Fatalf("after %s: %v", time.Since(began), err)
	}
	if _, ok := find(facts, fleet.MetricLogErrors, "ai"); !ok || metricQueries(f) != 1 {
		t.Errorf("%d queries, %+v", metricQueries(f), facts)
	}
}

// TestWrongGuess holds that the answer to a question that the labels do not lead to counts for nothing,
// and that the next start guesses right.
func TestWrongGuess(t *testing.T) {
	f := newFake(t)
	f.labels = []string{"environment", "service"}
	f.series = `[{"environment":"prod","service":"ai"}]`
	f.matrix = `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"environment":"prod","service":"ai"},"values":[[1767355200,"7"]]}]}}`
	deps := testDeps()
	deps.CacheDir = t.TempDir()
	for run, want := range []int{2, 1} { // the right query, and once a wrong one beside it
		before := metricQueries(f)
		facts, err := newSource(t, f.server.URL, deps, nil).Observe(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := find(facts, fleet.MetricLogErrors, "ai"); !ok {
			t.Errorf("run %d: %+v", run, facts)
		}
		if got := metricQueries(f) - before; got > want {
			t.Errorf("run %d: %d queries, at most %d are wanted", run, got, want)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if last := f.asked[len(f.asked)-1] + f.asked[len(f.asked)-2]; !strings.Contains(last, `{environment="prod"`) {
		t.Errorf("asked %q", f.asked)
	}
}
