package sim

import (
	"context"
	"fmt"
	"time"
)

const lifeEvery = 4 * time.Minute

// live lets CI deploy to staging every few minutes.
func (e *Estate) live(ctx context.Context) {
	trains := []struct{ service, version string }{
		{"notification-server", "1.9.0"}, {"nexgate-backend", "2.12.0"}, {"file-thunder", "3.3.0"}, {"ai", "0.5.0"},
	}
	var next func(n int, at time.Time)
	next = func(n int, at time.Time) {
		e.world.At(at, func(_ context.Context, at time.Time) {
			t := trains[n%len(trains)]
			tag := fmt.Sprintf("%s-rc.%d", t.version, 4+n/len(trains))
			e.work.Add(1)
			go func() { // a deploy runs git: it must not hold up the rest of the world
				defer e.work.Done()
				if err := e.Deploy(ctx, "staging", t.service, tag); err != nil && ctx.Err() == nil {
					e.opts.Log.Warn("staging deploy failed", "err", err)
				}
			}()
			next(n+1, at.Add(lifeEvery))
		})
	}
	next(0, e.opts.Now().Add(lifeEvery/2))
}
