package prometheus

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/remote"
)

func TestErrorRatioOfThePast(t *testing.T) {
	// For an hour one request in ten fails, then none for an hour.
	const load = `load 1m
  http_requests_total{service="ai", env="prod", status="200"} 0+90x60 5400+100x60
  http_requests_total{service="ai", env="prod", status="500"} 0+10x60 600x60
  http_requests_total{service="idle", env="prod", status="200"} 0x120
`
	s := newSource(t, engineServer(t, load).URL, testDeps(), nil)
	tests := []struct {
		names    []string
		from, to int // minutes
		want     float64
		known    bool
	}{
		{[]string{"ai"}, 0, 60, 0.1, true},
		{[]string{"web", "ai"}, 62, 120, 0, true},
		{[]string{"ai"}, 0, 120, 0.05, true},
		{[]string{"idle"}, 0, 120, 0, false},
		{[]string{"nobody"}, 0, 120, 0, false},
		{[]string{"ai"}, 60, 60, 0, false},
		{[]string{"ai"}, 400, 500, 0, false},
	}
	at := func(minutes int) time.Time { return time.Unix(int64(minutes)*60, 0) }
	for _, tt := range tests {
		got, known, err := s.ErrorRatio(context.Background(), tt.names, at(tt.from), at(tt.to))
		if err != nil || known != tt.known || math.Abs(got-tt.want) > 0.005 {
			t.Errorf("%v from %d to %d: %v %v %v, want %v %v", tt.names, tt.from, tt.to, got, known, err, tt.want, tt.known)
		}
	}
	if s.cfg.Window != remote.Duration(defaultWindow) {
		t.Error("the window of the ordinary queries was changed")
	}
	gone := newSource(t, "http://127.0.0.1:1", testDeps(), nil)
	if _, _, err := gone.ErrorRatio(context.Background(), []string{"ai"}, at(0), at(60)); err == nil {
		t.Error("a server that is not there told something")
	}
}
