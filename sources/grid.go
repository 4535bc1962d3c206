package sources

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// Grid is the evenly spaced moments of one observation of metrics; the last one is its end.
type Grid struct {
	Start time.Time
	Step  time.Duration
	Slots int
}

// NewGrid covers span up to end, which is a moment of the grid.
func NewGrid(end time.Time, span, step time.Duration) Grid {
	end = end.Truncate(time.Millisecond) // as fine as the servers count
	return Grid{Start: end.Add(-span), Step: step, Slots: int(span/step) + 1}
}

// End is the last moment.
func (g Grid) End() time.Time { return g.Start.Add(time.Duration(g.Slots-1) * g.Step) }

// Slot is the place of a moment; a server that rounds its own way is followed to half a step.
func (g Grid) Slot(at time.Time) (int, bool) {
	d := at.Sub(g.Start) + g.Step/2
	if d < 0 || d >= time.Duration(g.Slots)*g.Step {
		return 0, false
	}
	return int(d / g.Step), true
}

// Empty gives the values of a series that has no sample.
func (g Grid) Empty() []float64 {
	values := make([]float64, g.Slots)
	for i := range values {
		values[i] = math.NaN()
	}
	return values
}

// Put lays one sample into its slot. What is no number a person could read (0/0 of
// no traffic, ±Inf) stays NaN; what is outside the grid is left out.
func (g Grid) Put(values []float64, at time.Time, v float64) {
	if i, ok := g.Slot(at); ok && !math.IsInf(v, 0) {
		values[i] = v
	}
}

// Series is the fleet's form of values on the grid.
func (g Grid) Series(values []float64) fleet.Series {
	return fleet.Series{Start: g.Start, Step: g.Step, Values: values}
}

// Merge says how several series of one subject become one.
type Merge int

// The ways to merge.
const (
	MergeSum Merge = iota
	MergeMax
	MergeMin
)

// MergeOf is what adds up in the field: rates and sizes do, ratios and times do not.
func MergeOf(u fleet.Unit) Merge {
	switch u {
	case fleet.UnitPerSecond, fleet.UnitPerMinute, fleet.UnitCores, fleet.UnitBytes:
		return MergeSum
	case fleet.UnitBool:
		return MergeMin
	case fleet.UnitRatio, fleet.UnitSeconds, fleet.UnitNone:
		return MergeMax
	default:
		return MergeMax
	}
}

// Into merges values into sum, slot by slot; a missing sample says nothing.
func (m Merge) Into(sum, values []float64) {
	for i, v := range values {
		switch old := sum[i]; {
		case math.IsNaN(v):
		case math.IsNaN(old):
			sum[i] = v
		case m == MergeSum:
			sum[i] = old + v
		case m == MergeMax:
			sum[i] = max(old, v)
		default:
			sum[i] = min(old, v)
		}
	}
}

// Bounded keeps a wrong query from filling the screen with the same complaint.
func Bounded(warnings []string) []string {
	const most = 3
	if len(warnings) <= most {
		return warnings
	}
	return append(warnings[:most:most], fmt.Sprintf("and %d more like it", len(warnings)-most))
}

// CheckQueries validates [sources.queries] and [sources.units].
func CheckQueries(queries, units map[string]string) []error {
	var errs []error
	for name := range queries {
		if !metricName(name) {
			errs = append(errs, fmt.Errorf("queries.%s: a metric's name is lower case letters, digits and _", name))
		}
	}
	allowed := []string{
		string(fleet.UnitPerSecond), string(fleet.UnitPerMinute), string(fleet.UnitRatio), string(fleet.UnitSeconds),
		string(fleet.UnitCores), string(fleet.UnitBytes), string(fleet.UnitBool),
	}
	for name, unit := range units {
		if _, ok := queries[name]; !ok {
			errs = append(errs, fmt.Errorf("units.%s: there is no queries.%s", name, name))
		}
		if !slices.Contains(allowed, unit) {
			errs = append(errs, fmt.Errorf("units.%s: %q is no unit: allowed are %s", name, unit, strings.Join(allowed, ", ")))
		}
	}
	return errs
}

func metricName(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}
