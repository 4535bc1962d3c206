package docker

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

func (r *realEngine) source() *source {
	s := newSource(remote.Local("prod-1"), r.socket, time.Hour, sources.Deps{Environment: "prod", Now: time.Now})
	r.t.Cleanup(s.engine.reset)
	return s
}

func observe(t *testing.T, s *source) fleet.Facts {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	f, err := s.Observe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func instance(f fleet.Facts, name string) fleet.Instance {
	for _, in := range f.Instances {
		if in.Name == name {
			return in
		}
	}
	return fleet.Instance{}
}

// eventually observes whenever the watch pokes, until the facts are as wanted.
func eventually(t *testing.T, s *source, pokes <-chan time.Time, what string, ok func(fleet.Facts) bool) fleet.Facts {
	t.Helper()
	deadline := time.After(20 * time.Second)
	f := observe(t, s)
	for !ok(f) {
		select {
		case <-pokes:
			f = observe(t, s)
		case <-deadline:
			t.Fatalf("%s: not within 20 s; facts: %+v, changes: %+v", what, f.Instances, f.Changes)
		}
	}
	return f
}

// watch runs Watch for the length of the test. The channel holds the newest poke.
func watch(t *testing.T, s *source) <-chan time.Time {
	t.Helper()
	pokes := make(chan time.Time, 1)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Watch(ctx, func() {
			select {
			case pokes <- time.Now():
			default:
			}
		}); err != nil {
			t.Errorf("watch: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return pokes
}

// tailing collects a Tail that runs for the length of the test.
type tailing struct {
	mu    sync.Mutex
	lines []fleet.LogLine
}

func (l *tailing) add(line fleet.LogLine) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

func (l *tailing) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	for _, line := range l.lines {
		fmt.Fprintf(&b, "%s %s: %.60s\n", line.Instance, line.Stream, line.Text)
	}
	return b.String()
}

func (l *tailing) wait(t *testing.T, what string, ok func(string) bool) {
	t.Helper()
	for range 1000 {
		if ok(l.text()) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s: not within 10 s in:\n%s", what, l.text()[:min(len(l.text()), 600)]+"\n...\n"+l.text()[max(0, len(l.text())-600):])
}

func startTail(t *testing.T, s *source, q sources.LogQuery) *tailing {
	t.Helper()
	l := &tailing{}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Tail(ctx, q, l.add); err != nil {
			t.Errorf("tail: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return l
}

func query(service string, follow bool) sources.LogQuery {
	return sources.LogQuery{
		Service:  fleet.ServiceKey{Environment: "prod", Name: service},
		Subjects: []fleet.Subject{{Environment: "prod", Host: "prod-1", Project: "shop", Service: service, Container: "shop-" + service + "-1"}},
		Follow:   follow,
	}
}
