package sources

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/nexgate-hq/nexops/fleet"
)

// The tests run in a bubble with a clock of its own: hours pass in microseconds.

// fake is a source that does what a test says.
type fake struct {
	id      fleet.SourceID
	timing  Timing
	asked   atomic.Int64
	at      []time.Time
	mu      sync.Mutex
	observe func(ctx context.Context, n int64) (fleet.Facts, error)
}

func (f *fake) ID() fleet.SourceID { return f.id }
func (f *fake) Timing() Timing     { return f.timing }

func (f *fake) Observe(ctx context.Context) (fleet.Facts, error) {
	n := f.asked.Add(1)
	f.mu.Lock()
	f.at = append(f.at, time.Now())
	f.mu.Unlock()
	if f.observe == nil {
		return fleet.Facts{ObservedAt: time.Now(), Detail: fmt.Sprint(n)}, nil
	}
	return f.observe(ctx, n)
}

func (f *fake) times() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]time.Time(nil), f.at...)
}

// watched is a fake that pushes as well.
type watched struct {
	*fake
	watch func(ctx context.Context, changed func()) error
}

func (w watched) Watch(ctx context.Context, changed func()) error { return w.watch(ctx, changed) }

// collect runs a Collector inside of a bubble until f is done.
func collect(t *testing.T, f func(t *testing.T, c *Collector), list ...Source) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := NewCollector(CollectorOptions{
			Environment: "prod", Sources: list,
			Hosts: []fleet.Host{{Name: "prod-1", Environment: "prod", Address: "10.0.0.1"}},
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		f(t, c)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

func status(t *testing.T, s *fleet.Snapshot, id fleet.SourceID) fleet.SourceStatus {
	t.Helper()
	for _, st := range s.Sources {
		if st.ID == id {
			return st
		}
	}
	t.Fatalf("no source %s in %+v", id, s.Sources)
	return fleet.SourceStatus{}
}

func TestLatestBeforeRun(t *testing.T) {
	c := NewCollector(CollectorOptions{
		Environment: "prod", Sources: []Source{&fake{id: "docker/prod-1"}},
		Hosts:       []fleet.Host{{Name: "prod-1", Environment: "prod"}},
		SourceHosts: func(fleet.SourceID) []string { return []string{"prod-1"} },
	})
	s := c.Latest()
	st := status(t, s, "docker/prod-1")
	if st.State != fleet.SourceConnecting || st.Kind != "docker" || st.Name != "prod-1" || len(st.Hosts) != 1 || st.MaxAge != 60*time.Second {
		t.Errorf("%+v", st)
	}
	if s.Environment != "prod" || len(s.Hosts) != 1 || s.Seq == 0 {
		t.Errorf("%+v", s)
	}
}

// A source that hangs takes nothing from another one, and is said to be failing.
func TestNoneWaitsForAnother(t *testing.T) {
	hangs := &fake{id: "loki/loki", timing: Timing{Every: time.Minute, Timeout: 4 * time.Second}}
	hangs.observe = func(ctx context.Context, _ int64) (fleet.Facts, error) {
		<-ctx.Done()
		return fleet.Facts{}, fmt.Errorf("loki: query: %w", ctx.Err())
	}
	quick := &fake{id: "docker/prod-1", timing: Timing{Every: time.Second}}
	collect(t, func(t *testing.T, c *Collector) {
		time.Sleep(3500 * time.Millisecond)
		if n := quick.asked.Load(); n != 4 {
			t.Errorf("the quick one was asked %d times", n)
		}
		if st := status(t, c.Latest(), "loki/loki"); st.State != fleet.SourceConnecting {
			t.Errorf("%+v", st)
		}
		if err := c.WaitFirst(t.Context()); err != nil {
			t.Fatal(err)
		}
		if st := status(t, c.Latest(), "loki/loki"); st.State != fleet.SourceFailing || st.Error != "loki: query: no answer within 4s" {
			t.Errorf("%+v", st)
		}
	}, hangs, quick)
}

func TestDeafSourceIsCalledFailing(t *testing.T) {
	deaf := &fake{id: "git/infra", timing: Timing{Every: time.Minute, Timeout: 2 * time.Second}}
	deaf.observe = func(context.Context, int64) (fleet.Facts, error) {
		time.Sleep(30 * time.Second)
		return fleet.Facts{ObservedAt: time.Now()}, nil
	}
	collect(t, func(t *testing.T, c *Collector) {
		time.Sleep(5 * time.Second)
		if st := status(t, c.Latest(), "git/infra"); !strings.Contains(st.Error, "no answer within 2s") || deaf.asked.Load() != 1 {
			t.Errorf("asked %d times, %+v", deaf.asked.Load(), st)
		}
		time.Sleep(25*time.Second + 100*time.Millisecond)
		// The answer came at last: it is whole and new, but too late counts as a failure.
		if st := status(t, c.Latest(), "git/infra"); st.State != fleet.SourceFailing || !strings.Contains(st.Error, "took 30s") {
			t.Errorf("%+v", st)
		}
	}, deaf)
}

func TestFailureKeepsTheFactsAndRetries(t *testing.T) {
	var down atomic.Bool
	s := &fake{id: "docker/prod-1", timing: Timing{Every: 10 * time.Second}}
	s.observe = func(context.Context, int64) (fleet.Facts, error) {
		if down.Load() {
			return fleet.Facts{}, errors.New("docker prod-1: list: \x1b[2Jconnection refused\n")
		}
		return fleet.Facts{ObservedAt: time.Now(), Detail: "29.0.1", Instances: []fleet.Instance{{
			ID: "1", Host: "prod-1", Name: "ai", State: fleet.StateRunning,
			Subject: fleet.Subject{Host: "prod-1", Service: "ai", Environment: "prod"},
		}}}, nil
	}
	collect(t, func(t *testing.T, c *Collector) {
		time.Sleep(time.Second)
		good := status(t, c.Latest(), s.id)
		if good.State != fleet.SourceOK || good.Detail != "29.0.1" || len(c.Latest().Services) != 1 {
			t.Fatalf("%+v, %d services", good, len(c.Latest().Services))
		}
		down.Store(true)
		time.Sleep(10 * time.Second)
		first := status(t, c.Latest(), s.id)
		time.Sleep(time.Minute)
		later := status(t, c.Latest(), s.id)
		if later.State != fleet.SourceFailing || !later.FailingFrom.Equal(first.FailingFrom) || first.FailingFrom.IsZero() ||
			!later.LastSuccess.Equal(good.LastSuccess) || later.Detail != "29.0.1" || len(c.Latest().Services) != 1 {
			t.Errorf("first %+v\nlater %+v, %d services", first, later, len(c.Latest().Services))
		}
		if strings.ContainsAny(later.Error, "\x1b\n") || !strings.Contains(later.Error, "connection refused") {
			t.Errorf("error %q", later.Error)
		}
		at := s.times()
		for i := 3; i < len(at); i++ {
			if gap := at[i].Sub(at[i-1]); gap > maxRetry+time.Millisecond {
				t.Errorf("retry %d after %s", i, gap)
			}
		}
		down.Store(false)
		back := time.Now()
		for status(t, c.Latest(), s.id).State != fleet.SourceOK {
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(back); took > 5*time.Second {
			t.Errorf("shown after %s", took)
		}
		if st := status(t, c.Latest(), s.id); st.Error != "" || !st.FailingFrom.IsZero() {
			t.Errorf("%+v", st)
		}
	}, s)
}

func TestPokesAreCoalesced(t *testing.T) {
	var running, most atomic.Int64
	s := &fake{id: "docker/prod-1", timing: Timing{Every: time.Hour}}
	s.observe = func(context.Context, int64) (fleet.Facts, error) {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		time.Sleep(100 * time.Millisecond)
		return fleet.Facts{ObservedAt: time.Now()}, nil
	}
	other := &fake{id: "git/infra", timing: Timing{Every: time.Hour}}
	collect(t, func(t *testing.T, c *Collector) {
		time.Sleep(time.Second)
		for range 500 {
			c.Poke("docker/prod-1")
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		// 500 ms of pokes, 100 ms an observation: one running, one pending.
		if n := s.asked.Load(); n < 5 || n > 8 || most.Load() != 1 {
			t.Errorf("asked %d times, %d at once", n, most.Load())
		}
		if n := other.asked.Load(); n != 1 {
			t.Errorf("the other was asked %d times", n)
		}
		c.Poke()
		time.Sleep(time.Second)
		if n := other.asked.Load(); n != 2 {
			t.Errorf("the other was asked %d times", n)
		}
		c.Poke("no/such")
	}, s, other)
}

func TestStormOfPokesKeepsAGap(t *testing.T) {
	s := &fake{id: "docker/prod-1", timing: Timing{Every: time.Hour}}
	collect(t, func(t *testing.T, c *Collector) {
		for range 1000 {
			c.Poke()
			time.Sleep(time.Millisecond)
		}
		at := s.times()
		for i := 1; i < len(at); i++ {
			if gap := at[i].Sub(at[i-1]); gap < minGap {
				t.Fatalf("observation %d after %s", i, gap)
			}
		}
		if len(at) < 10 {
			t.Errorf("asked %d times in a second", len(at))
		}
	}, s)
}

// A change shows within 300 ms: the poke, the observation, the join.
func TestWatchShowsAChangeSoon(t *testing.T) {
	var says atomic.Pointer[func()]
	s := watched{fake: &fake{id: "docker/prod-1", timing: Timing{Every: time.Hour}}}
	s.watch = func(ctx context.Context, changed func()) error {
		says.Store(&changed)
		changed()
		<-ctx.Done()
		return nil
	}
	collect(t, func(t *testing.T, c *Collector) {
		time.Sleep(10 * time.Second)
		before := s.asked.Load()
		began := time.Now()
		(*says.Load())()
		for status(t, c.Latest(), s.id).Detail != fmt.Sprint(before+1) {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(began); took > 50*time.Millisecond {
			t.Errorf("shown after %s", took)
		}
	}, s)
}

func TestWatchIsStartedAgain(t *testing.T) {
	var watches atomic.Int64
	var began []time.Time
	s := watched{fake: &fake{id: "docker/prod-1", timing: Timing{Every: time.Hour}}}
	s.watch = func(ctx context.Context, _ func()) error {
		began = append(began, time.Now())
		switch n := watches.Add(1); {
		case n == 3:
			panic("boom")
		case n < 6:
			return errors.New("docker prod-1: events: connection lost")
		default:
			<-ctx.Done()
			return nil
		}
	}
	collect(t, func(t *testing.T, _ *Collector) {
		time.Sleep(30 * time.Second)
		if n := watches.Load(); n != 6 {
			t.Fatalf("%d watches", n)
		}
		for i := 1; i < len(began); i++ {
			if gap := began[i].Sub(began[i-1]); gap > maxRewatch {
				t.Errorf("watch %d after %s", i, gap)
			}
		}
		// After the last one, which holds, there was one more look.
		at := s.times()
		if last := at[len(at)-1]; last.Before(began[5]) || last.Sub(began[5]) > time.Second {
			t.Errorf("last looked at %s, watch began %s", last, began[5])
		}
	}, s)
}

func TestUnsupportedWatchIsLeftAlone(t *testing.T) {
	var watches atomic.Int64
	s := watched{fake: &fake{id: "git/infra"}}
	s.watch = func(context.Context, func()) error {
		watches.Add(1)
		return fmt.Errorf("git infra: %w", errors.ErrUnsupported)
	}
	collect(t, func(t *testing.T, _ *Collector) {
		time.Sleep(time.Minute)
		if n := watches.Load(); n != 1 {
			t.Errorf("%d watches", n)
		}
	}, s)
}

func TestPanicIsTheSourcesOwn(t *testing.T) {
	bad := &fake{id: "loki/loki"}
	bad.observe = func(context.Context, int64) (fleet.Facts, error) { panic("index out of range") }
	fine := &fake{id: "docker/prod-1"}
	collect(t, func(t *testing.T, c *Collector) {
		if err := c.WaitFirst(t.Context()); err != nil {
			t.Fatal(err)
		}
		if st := status(t, c.Latest(), "loki/loki"); st.State != fleet.SourceFailing || !strings.Contains(st.Error, "index out of range") {
			t.Errorf("%+v", st)
		}
		if st := status(t, c.Latest(), "docker/prod-1"); st.State != fleet.SourceOK {
			t.Errorf("%+v", st)
		}
	}, bad, fine)
}

func TestSubscribe(t *testing.T) {
	s := &fake{id: "docker/prod-1", timing: Timing{Every: time.Second}}
	collect(t, func(t *testing.T, c *Collector) {
		ch, cancel := c.Subscribe()
		first := <-ch
		time.Sleep(20 * time.Second) // nobody takes: only the newest is there
		synctest.Wait()
		newest := <-ch
		if newest != c.Latest() || newest.Seq <= first.Seq+1 {
			t.Errorf("first %d, newest %d, latest %d", first.Seq, newest.Seq, c.Latest().Seq)
		}
		if next := <-ch; next.Seq != newest.Seq+1 {
			t.Errorf("after %d comes %d", newest.Seq, next.Seq)
		}
		cancel()
		cancel()
		if _, open := <-ch; open {
			if _, open = <-ch; open {
				t.Error("open after the end of the subscription")
			}
		}
	}, s)
}

// With nothing new there is still a snapshot every 5 s: ages grow.
func TestJoinForAges(t *testing.T) {
	s := &fake{id: "docker/prod-1", timing: Timing{Every: time.Hour}}
	collect(t, func(t *testing.T, c *Collector) {
		time.Sleep(time.Second)
		before := c.Latest().Seq
		time.Sleep(time.Minute)
		if n := c.Latest().Seq - before; n < 11 || n > 13 {
			t.Errorf("%d joins in a minute", n)
		}
	}, s)
}

func TestWaitFirstEndsWithItsContext(t *testing.T) {
	s := &fake{id: "docker/prod-1"}
	s.observe = func(ctx context.Context, _ int64) (fleet.Facts, error) { <-ctx.Done(); return fleet.Facts{}, ctx.Err() }
	collect(t, func(t *testing.T, c *Collector) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.WaitFirst(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
	}, s)
}

func TestRunOnce(t *testing.T) {
	collect(t, func(t *testing.T, c *Collector) {
		synctest.Wait()
		if err := c.Run(t.Context()); err == nil {
			t.Error("runs twice")
		}
	})
}

// The end of the Collector is no failure of its sources.
func TestEndIsNoFailure(t *testing.T) {
	s := &fake{id: "docker/prod-1", timing: Timing{Every: time.Second}}
	s.observe = func(ctx context.Context, n int64) (fleet.Facts, error) {
		if n > 1 {
			<-ctx.Done()
			return fleet.Facts{}, ctx.Err()
		}
		return fleet.Facts{ObservedAt: time.Now()}, nil
	}
	var c *Collector
	collect(t, func(_ *testing.T, running *Collector) {
		c = running
		time.Sleep(1500 * time.Millisecond)
	}, s)
	c.join()
	if st := status(t, c.Latest(), s.id); st.State != fleet.SourceOK {
		t.Errorf("%+v", st)
	}
}

func TestCapability(t *testing.T) {
	a, b := &fake{id: "a/a"}, watched{fake: &fake{id: "b/b"}}
	got := Capability[Watcher]([]Source{a, b})
	if len(got) != 1 || got[0].(Source).ID() != "b/b" {
		t.Errorf("%v", got)
	}
	if n := len(Tailers([]Source{a, b})) + len(Inspectors([]Source{a, b})) + len(Linkers([]Source{a, b})); n != 0 {
		t.Errorf("%d capabilities that nobody has", n)
	}
}

func TestCollectorWithoutABubbleLeavesNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	var list []Source
	for i := range 20 {
		w := watched{fake: &fake{id: fleet.MakeSourceID("docker", fmt.Sprint(i))}}
		w.watch = func(ctx context.Context, changed func()) error {
			changed()
			<-ctx.Done()
			return nil
		}
		list = append(list, w)
	}
	c := NewCollector(CollectorOptions{Environment: "prod", Sources: list})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.Run(ctx) })
	for range 4 {
		wg.Go(func() {
			ch, end := c.Subscribe()
			defer end()
			for range 3 {
				<-ch
				c.Poke()
			}
		})
	}
	if err := c.WaitFirst(t.Context()); err != nil {
		t.Error(err)
	}
	c.Poke()
	time.Sleep(200 * time.Millisecond)
	cancel()
	wg.Wait()
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

// The cost of a Collector whose 60 sources have nothing to say: CPU a second of running.
func BenchmarkCollectorIdle60(b *testing.B) {
	var list []Source
	for i := range 60 {
		w := watched{fake: &fake{id: fleet.MakeSourceID("docker", fmt.Sprint(i)), timing: Timing{Every: 30 * time.Second}}}
		w.watch = func(ctx context.Context, changed func()) error {
			changed()
			<-ctx.Done()
			return nil
		}
		list = append(list, w)
	}
	c := NewCollector(CollectorOptions{Environment: "prod", Sources: list})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.Run(ctx) })
	if err := c.WaitFirst(ctx); err != nil {
		b.Fatal(err)
	}
	time.Sleep(time.Second)
	before := cpuTime(b)
	began := time.Now()
	for b.Loop() {
		time.Sleep(time.Second)
	}
	b.ReportMetric(float64(cpuTime(b)-before)/float64(time.Since(began))*100, "%cpu")
	cancel()
	wg.Wait()
}

// The time from a poke to the snapshot that shows what came of it, join delay included.
func BenchmarkCollectorPokeToSnapshot(b *testing.B) {
	s := &fake{id: "docker/prod-1", timing: Timing{Every: time.Hour}}
	c := NewCollector(CollectorOptions{Environment: "prod", Sources: []Source{s}})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.Run(ctx) })
	ch, end := c.Subscribe()
	for b.Loop() {
		want := s.asked.Load() + 1
		c.Poke()
		for seen := int64(0); seen < want; {
			snap := <-ch
			_, _ = fmt.Sscan(snap.Sources[0].Detail, &seen)
		}
	}
	end()
	cancel()
	wg.Wait()
}
