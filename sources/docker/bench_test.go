package docker

import (
	"context"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"github.com/nexgate-hq/nexops/fleet"
)

func BenchmarkObserve(b *testing.B) {
	f := newFake(b)
	fill(f, 60)
	b.Run("list-alone", func(b *testing.B) {
		cli, err := client.NewClientWithOpts(client.WithHost("unix://"+f.socket), client.WithAPIVersionNegotiation())
		if err != nil {
			b.Fatal(err)
		}
		defer cli.Close()
		for b.Loop() {
			if _, err := cli.ContainerList(context.Background(), container.ListOptions{All: true}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			s := f.source(b)
			if _, err := s.Observe(context.Background()); err != nil {
				b.Fatal(err)
			}
			s.engine.reset()
		}
	})
	b.Run("watched", func(b *testing.B) {
		s := f.source(b)
		ctx, cancel := context.WithCancel(context.Background())
		done, up := make(chan error, 1), make(chan struct{}, 1)
		go func() {
			done <- s.Watch(ctx, func() {
				select {
				case up <- struct{}{}:
				default:
				}
			})
		}()
		<-up
		for b.Loop() {
			if _, err := s.Observe(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
		cancel()
		<-done
	})
}

// BenchmarkRealChange is how long a change on a real engine takes to be in the
// facts: the pause of a container until an observation, begun by the watch, shows it.
func BenchmarkRealChange(b *testing.B) {
	r := startEngine(b)
	id := r.run("web", "a", "app:1", nil)
	s := r.source()
	ctx, cancel := context.WithCancel(context.Background())
	pokes, done := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		done <- s.Watch(ctx, func() {
			select {
			case pokes <- struct{}{}:
			default:
			}
		})
	}()
	defer func() {
		cancel()
		<-done
	}()
	<-pokes
	until := func(want fleet.State) {
		for {
			f, err := s.Observe(ctx)
			if err != nil {
				b.Fatal(err)
			}
			if instance(f, "shop-web-1").State == want {
				return
			}
			<-pokes
		}
	}
	until(fleet.StateRunning)
	var spent, worst time.Duration
	n := 0
	measure := func(change func() error, want fleet.State) {
		if err := change(); err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		until(want)
		spent, worst, n = spent+time.Since(began), max(worst, time.Since(began)), n+1
	}
	for b.Loop() {
		measure(func() error { return r.cli.ContainerPause(ctx, id) }, fleet.StatePaused)
		measure(func() error { return r.cli.ContainerUnpause(ctx, id) }, fleet.StateRunning)
	}
	b.ReportMetric(float64(spent.Microseconds())/float64(n)/1000, "ms/change")
	b.ReportMetric(float64(worst.Microseconds())/1000, "ms-worst")
}
