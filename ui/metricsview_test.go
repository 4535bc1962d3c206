package ui

import (
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/fleet"
)

// TestMetricCardKeepsItsFigure: where not all fits above a chart, the newest figure stays.
func TestMetricCardKeepsItsFigure(t *testing.T) {
	svc := fleet.Service{Metrics: fleet.Metrics{{
		Name: fleet.MetricMemoryRatio, Unit: fleet.UnitRatio, Latest: 0.792, Has: true, Series: fleet.Series{Values: []float64{0.488, 0.792}},
	}}}
	for w, extremes := range map[int]bool{30: false, 36: false, 60: true} {
		head := metricCard(subject{service: &svc, o: &Options{}, snap: &fleet.Snapshot{}}, fleet.MetricMemoryRatio, w, 2)[0].String()
		if !strings.Contains(head, "memory of limit 79.2%") || strings.Contains(head, "max 79.2%") != extremes {
			t.Errorf("%d wide: %q", w, head)
		}
	}
}
