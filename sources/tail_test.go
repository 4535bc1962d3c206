package sources

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
)

// tailFunc is a tailer made of a function.
type tailFunc func(ctx context.Context, q LogQuery, emit func(fleet.LogLine)) error

func (f tailFunc) Tail(ctx context.Context, q LogQuery, emit func(fleet.LogLine)) error {
	return f(ctx, q, emit)
}

var tailEpoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(sec int, host, text string) fleet.LogLine {
	return fleet.LogLine{At: tailEpoch.Add(time.Duration(sec) * time.Second), Host: host, Instance: host, Stream: "stdout", Text: text}
}

// collector is an emit that remembers.
type collector struct {
	mu    sync.Mutex
	lines []fleet.LogLine
	grew  chan struct{}
}

func newCollector() *collector { return &collector{grew: make(chan struct{}, 1)} }

func (c *collector) emit(l fleet.LogLine) {
	c.mu.Lock()
	c.lines = append(c.lines, l)
	c.mu.Unlock()
	select {
	case c.grew <- struct{}{}:
	default:
	}
}

func (c *collector) texts() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]string, 0, len(c.lines))
	for _, l := range c.lines {
		out = append(out, l.Text)
	}
	return out
}

func (c *collector) waitFor(t *testing.T, what string, ok func([]string) bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !ok(c.texts()) {
		select {
		case <-c.grew:
		case <-deadline:
			t.Fatalf("%s: not within 10 s in %q", what, c.texts())
		}
	}
}

// follow runs TailAll until the test ends.
func follow(t *testing.T, c *collector, tailers ...LogTailer) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- TailAll(ctx, tailers, LogQuery{Follow: true, Service: fleet.ServiceKey{Name: "web"}}, c.emit)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("TailAll: %v", err)
		}
	})
}

func TestTailAllSortsHistory(t *testing.T) {
	host := func(name string, secs ...int) LogTailer {
		return tailFunc(func(_ context.Context, _ LogQuery, emit func(fleet.LogLine)) error {
			for _, s := range secs {
				emit(at(s, name, fmt.Sprintf("%s%d", name, s)))
			}
			return nil
		})
	}
	c := newCollector()
	if err := TailAll(context.Background(), []LogTailer{host("a", 1, 4, 5), host("b", 2, 3, 6), host("c")}, LogQuery{}, c.emit); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.texts(), " "); got != "a1 b2 b3 a4 a5 b6" {
		t.Errorf("got %s", got)
	}
}

func TestTailAllWithNobody(t *testing.T) {
	if err := TailAll(context.Background(), nil, LogQuery{Follow: true}, func(fleet.LogLine) {}); err != nil {
		t.Error(err)
	}
}

// A follow shows the histories of all hosts in one order, though one of them comes late.
func TestTailAllWaitsForTheSlowHistory(t *testing.T) {
	slow := make(chan struct{})
	a := tailFunc(func(ctx context.Context, q LogQuery, emit func(fleet.LogLine)) error {
		emit(at(2, "a", "a2"))
		q.CaughtUp()
		close(slow)
		<-ctx.Done()
		return nil
	})
	b := tailFunc(func(ctx context.Context, q LogQuery, emit func(fleet.LogLine)) error {
		<-slow
		emit(at(1, "b", "b1"))
		q.CaughtUp()
		<-ctx.Done()
		return nil
	})
	silent := tailFunc(func(context.Context, LogQuery, func(fleet.LogLine)) error { return nil })
	c := newCollector()
	follow(t, c, a, b, silent)
	c.waitFor(t, "both", func(s []string) bool { return len(s) == 2 })
	if got := strings.Join(c.texts(), " "); got != "b1 a2" {
		t.Errorf("got %s", got)
	}
}

// The clock is the test's own: what is slow here has not missed the window.
func TestTailAllReordersLiveLines(t *testing.T) { synctest.Test(t, testTailAllReordersLiveLines) }

func testTailAllReordersLiveLines(t *testing.T) {
	sent := make(chan struct{})
	a := tailFunc(func(ctx context.Context, q LogQuery, emit func(fleet.LogLine)) error {
		q.CaughtUp()
		emit(at(10, "a", "a10"))
		close(sent)
		<-ctx.Done()
		return nil
	})
	b := tailFunc(func(ctx context.Context, q LogQuery, emit func(fleet.LogLine)) error {
		q.CaughtUp()
		<-sent
		time.Sleep(reorderWindow - time.Millisecond)
		emit(at(9, "b", "b9"))
		time.Sleep(2 * reorderWindow)
		emit(at(8, "b", "b8 comes too late"))
		<-ctx.Done()
		return nil
	})
	c := newCollector()
	follow(t, c, a, b)
	time.Sleep(10 * reorderWindow)
	if got := strings.Join(c.texts(), ", "); got != "b9, a10, b8 comes too late" {
		t.Errorf("got %s", got)
	}
}

// Who has given its history while others have not yet gives live lines: they wait for their window
// though the histories are complete at that very moment.
func TestTailAllReordersLiveLinesOfTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := tailFunc(func(ctx context.Context, q LogQuery, emit func(fleet.LogLine)) error {
			emit(at(1, "a", "a1"))
			q.CaughtUp()
			emit(at(10, "a", "a10"))
			<-ctx.Done()
			return nil
		})
		b := tailFunc(func(ctx context.Context, q LogQuery, emit func(fleet.LogLine)) error {
			time.Sleep(time.Millisecond)
			emit(at(2, "b", "b2"))
			q.CaughtUp()
			time.Sleep(reorderWindow / 2)
			emit(at(9, "b", "b9"))
			<-ctx.Done()
			return nil
		})
		c := newCollector()
		follow(t, c, a, b)
		time.Sleep(reorderWindow / 4)
		if got := strings.Join(c.texts(), " "); got != "a1 b2" {
			t.Errorf("the histories: %s", got)
		}
		time.Sleep(10 * reorderWindow)
		if got := strings.Join(c.texts(), " "); got != "a1 b2 b9 a10" {
			t.Errorf("got %s", got)
		}
	})
}

// A tailer that fails is told of in the stream, tried again from where it was, and gives no line twice.
func TestTailAllGoesOnAfterAFailure(t *testing.T) {
	var mu sync.Mutex
	var sinces []time.Time
	broken := tailFunc(func(ctx context.Context, q LogQuery, emit func(fleet.LogLine)) error {
		mu.Lock()
		sinces = append(sinces, q.Since)
		n := len(sinces)
		mu.Unlock()
		emit(at(1, "a", "one"))
		emit(at(2, "a", "two"))
		if n < 3 {
			return errors.New("docker a: connection\x1b[31m lost")
		}
		emit(at(3, "a", "three"))
		<-ctx.Done()
		return nil
	})
	steady := tailFunc(func(ctx context.Context, q LogQuery, emit func(fleet.LogLine)) error {
		emit(at(0, "b", "zero"))
		q.CaughtUp()
		<-ctx.Done()
		return nil
	})
	c := newCollector()
	follow(t, c, broken, steady)
	c.waitFor(t, "the line after the failures", func(s []string) bool { return len(s) > 0 && strings.Contains(strings.Join(s, "|"), "three") })
	all := strings.Join(c.texts(), "|")
	for text, want := range map[string]int{"zero": 1, "one": 1, "two": 1, "three": 1, "connection": 1, "trying again": 1} {
		if got := strings.Count(all, text); got != want {
			t.Errorf("%q comes %d times in %s", text, got, all)
		}
	}
	if strings.Contains(all, "\x1b") {
		t.Errorf("control characters in %q", all)
	}
	mu.Lock()
	defer mu.Unlock()
	if !sinces[0].IsZero() || !sinces[1].Equal(tailEpoch) { // two seconds before the newest
		t.Errorf("read again from %v", sinces)
	}
}

func TestTailAllFailures(t *testing.T) {
	fails := tailFunc(func(context.Context, LogQuery, func(fleet.LogLine)) error { return errors.New("docker a: down") })
	works := tailFunc(func(_ context.Context, _ LogQuery, emit func(fleet.LogLine)) error {
		emit(at(1, "b", "one"))
		return nil
	})
	c := newCollector()
	if err := TailAll(context.Background(), []LogTailer{fails, works}, LogQuery{}, c.emit); err != nil {
		t.Errorf("one of two failed, and it is an error: %v", err)
	}
	if got := strings.Join(c.texts(), "|"); got != "one|── docker a: down ──" {
		t.Errorf("got %s", got)
	}
	if err := TailAll(context.Background(), []LogTailer{fails, fails}, LogQuery{}, c.emit); err == nil || !strings.Contains(err.Error(), "docker a: down") {
		t.Errorf("all failed: %v", err)
	}
}

// A follow that is not read loses the oldest waiting lines and says how many; no memory is spent on them.
func TestTailAllDropsWhenNotRead(t *testing.T) {
	const sent = 5 * maxQueued
	flooded := make(chan struct{})
	flood := tailFunc(func(ctx context.Context, q LogQuery, emit func(fleet.LogLine)) error {
		q.CaughtUp()
		emit(at(0, "a", "first"))
		for i := range sent {
			emit(at(i+1, "a", fmt.Sprint(i)))
		}
		close(flooded)
		<-ctx.Done()
		return nil
	})
	c := newCollector()
	var once sync.Once
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- TailAll(ctx, []LogTailer{flood}, LogQuery{Follow: true}, func(l fleet.LogLine) {
			once.Do(func() { <-flooded })
			c.emit(l)
		})
	}()
	c.waitFor(t, "the newest line", func(s []string) bool { return len(s) > 0 && s[len(s)-1] == fmt.Sprint(sent-1) })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	dropped, shown := 0, 0
	for _, text := range c.texts() {
		var n int
		if _, err := fmt.Sscanf(text, "── %d lines dropped", &n); err == nil {
			dropped += n
		} else {
			shown++
		}
	}
	if dropped == 0 || dropped+shown != sent+1 {
		t.Errorf("%d lines shown, %d said to be dropped, %d sent", shown, dropped, sent+1)
	}
}

// Without follow nothing is lost, however slow the reader and long the log.
func TestTailAllLosesNothingWithoutFollow(t *testing.T) {
	const sent = maxHeld + 2*maxQueued
	long := tailFunc(func(_ context.Context, _ LogQuery, emit func(fleet.LogLine)) error {
		for i := range sent {
			emit(at(i, "a", ""))
		}
		return nil
	})
	n := 0
	var last time.Time
	err := TailAll(context.Background(), []LogTailer{long}, LogQuery{}, func(l fleet.LogLine) {
		if l.At.Before(last) || l.Stream != "stdout" {
			t.Fatalf("line %d: %+v after %v", n, l, last)
		}
		n, last = n+1, l.At
	})
	if err != nil || n != sent {
		t.Errorf("%d of %d lines, %v", n, sent, err)
	}
}

func TestTailAllEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	stuck := tailFunc(func(ctx context.Context, _ LogQuery, emit func(fleet.LogLine)) error {
		for ctx.Err() == nil {
			emit(at(0, "a", "again"))
		}
		return ctx.Err()
	})
	done := make(chan error, 1)
	go func() { done <- TailAll(ctx, []LogTailer{stuck}, LogQuery{}, func(fleet.LogLine) {}) }()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestSeam(t *testing.T) {
	s := NewSeam(3)
	if !s.Rejoin().IsZero() || !s.Newest().IsZero() {
		t.Error("an empty seam has a place")
	}
	for i := range 3 {
		if !s.Take(at(i, "a", "x")) || s.Take(at(i, "a", "x")) {
			t.Errorf("line %d", i)
		}
	}
	if !s.Take(at(2, "a", "y")) || !s.Take(at(2, "b", "x")) {
		t.Error("other lines of the same time are doubles")
	}
	// Three are remembered: of second 2. What is older cannot be told apart and was seen.
	if got := s.Rejoin(); !got.Equal(tailEpoch.Add(2 * time.Second)) {
		t.Errorf("rejoin at %v", got)
	}
	if s.Take(at(1, "a", "late")) || s.Take(at(2, "a", "x")) || !s.Take(at(2, "a", "new")) || !s.Take(at(3, "a", "x")) {
		t.Error("after the rejoin")
	}
	wide := NewSeam(100)
	wide.Take(at(10, "a", "x"))
	if got := wide.Rejoin(); !got.Equal(tailEpoch.Add(8 * time.Second)) {
		t.Errorf("rejoin at %v", got)
	}
}

func BenchmarkTailAll(b *testing.B) {
	source := func(host string) LogTailer {
		return tailFunc(func(_ context.Context, _ LogQuery, emit func(fleet.LogLine)) error {
			for i := range 10_000 {
				emit(at(i, host, "a line of a usual length, with some words in it and a number 12345"))
			}
			return nil
		})
	}
	tailers := []LogTailer{source("a"), source("b"), source("c")}
	for b.Loop() {
		if err := TailAll(context.Background(), tailers, LogQuery{}, func(fleet.LogLine) {}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(30_000*b.N)/b.Elapsed().Seconds(), "lines/s")
}
