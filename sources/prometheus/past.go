package prometheus

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// MaxPast bounds how much of the past one question takes together: counters of weeks cost the server more than they tell.
const MaxPast = 24 * time.Hour

// ErrorRatio is the ratio of requests that failed between two moments, of a service that has one of these names; of a longer
// time, that of its last MaxPast. known is false when there were no requests, or the server has forgotten them.
func (s *Source) ErrorRatio(ctx context.Context, names []string, from, to time.Time) (ratio float64, known bool, err error) {
	over := min(to.Sub(from), MaxPast).Truncate(time.Second)
	if over < time.Second {
		return 0, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cfg := *s.cfg
	cfg.Window = remote.Duration(over)
	list := plan(&cfg, s.deps)
	i := slices.IndexFunc(list, func(q query) bool { return q.name == fleet.MetricErrorRatio })
	if i < 0 {
		return 0, false, nil // it is turned off in the config
	}
	got, err := s.ask(ctx, list[i], reader{labels: s.labels, deps: s.deps, grid: sources.NewGrid(to, 0, step)})
	if err == nil && got.refused != nil {
		err = fmt.Errorf("%s: query %s: %w", s.title, list[i].name, got.refused)
	}
	if err != nil {
		return 0, false, err
	}
	for _, f := range got.facts {
		if !slices.Contains(names, f.Subject.Service) || len(f.Series.Values) == 0 {
			continue
		}
		if v := f.Series.Values[len(f.Series.Values)-1]; !math.IsNaN(v) && (!known || v > ratio) {
			ratio, known = v, true
		}
	}
	return ratio, known, nil
}
