// Package sourcestest holds every source to the Source contract.
package sourcestest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"

	"go.uber.org/goleak"

	"github.com/nexgate-hq/nexops/sources"
)

// patience is how long a source may take to notice that its context has ended.
const patience = 5 * time.Second

// Contract runs the tests that every source has to pass. healthy makes a source whose
// system answers; each broken one makes a source whose system does not. What they
// start they end by t.Cleanup.
func Contract(t *testing.T, healthy func(t *testing.T) sources.Source, broken ...func(t *testing.T) sources.Source) {
	t.Helper()
	t.Run("id", func(t *testing.T) { checkID(t, healthy(t)) })
	isolated(t, "observe", healthy, checkObserve)
	isolated(t, "observe when cancelled", healthy, checkCancelled)
	isolated(t, "observe cancelled on the way", healthy, checkCancelledLater)
	isolated(t, "watch", healthy, checkWatch)
	for _, b := range broken {
		isolated(t, "error", b, checkError)
	}
}

// isolated runs a check and looks for goroutines that outlive the source.
func isolated(t *testing.T, name string, make func(t *testing.T) sources.Source, check func(t *testing.T, s sources.Source)) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Run(name, func(t *testing.T) {
		s := make(t)
		t.Cleanup(func() {
			if c, ok := s.(interface{ Close() error }); ok {
				if err := c.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}
		})
		check(t, s)
	})
	if err := goleak.Find(before); err != nil {
		t.Errorf("%s: goroutines outlive the source: %v", name, err)
	}
}

func checkID(t *testing.T, s sources.Source) {
	id := string(s.ID())
	kind, name, ok := strings.Cut(id, "/")
	if !ok || kind == "" || name == "" || kind != strings.ToLower(kind) {
		t.Errorf("id %q is not kind/name", id)
	}
	if again := string(s.ID()); again != id {
		t.Errorf("id changes from %q to %q", id, again)
	}
	if timed, ok := s.(sources.Timed); ok {
		if c := timed.Timing(); c.Every < 0 || c.Timeout < 0 || c.MaxAge < 0 {
			t.Errorf("timing %+v is negative", c)
		}
	}
}

func checkObserve(t *testing.T, s sources.Source) {
	var last time.Time
	for range 2 {
		began := time.Now()
		facts, err := s.Observe(t.Context())
		if err != nil {
			t.Fatalf("a healthy system: %v", err)
		}
		if facts.ObservedAt.IsZero() {
			t.Fatal("ObservedAt is not set")
		}
		if facts.ObservedAt.Before(last) {
			t.Errorf("ObservedAt goes back from %s to %s", last, facts.ObservedAt)
		}
		last = facts.ObservedAt
		if control(facts.Detail) {
			t.Errorf("detail %q holds control characters", facts.Detail)
		}
		for _, w := range facts.Warnings {
			if control(w) || w == "" {
				t.Errorf("warning %q is empty or holds control characters", w)
			}
		}
		t.Logf("observed in %s", time.Since(began).Round(time.Microsecond))
	}
}

func checkCancelled(t *testing.T, s sources.Source) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ends(t, func() error { _, err := s.Observe(ctx); return err }); err == nil {
		t.Error("no error though the context had ended: the facts may be half of the truth")
	}
	if _, err := s.Observe(t.Context()); err != nil {
		t.Errorf("after a cancelled one: %v", err)
	}
}

// checkCancelledLater cancels at moments all through an observation: it either
// is complete or an error.
func checkCancelledLater(t *testing.T, s sources.Source) {
	for _, after := range []time.Duration{0, 50 * time.Microsecond, time.Millisecond, 10 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		err := ends(t, func() error {
			facts, err := s.Observe(ctx)
			if err == nil && facts.ObservedAt.IsZero() {
				return errors.New("no error and no facts")
			}
			return nil
		})
		cancel()
		if err != nil {
			t.Errorf("cancelled after %s: %v", after, err)
		}
	}
}

func checkWatch(t *testing.T, s sources.Source) {
	w, ok := s.(sources.Watcher)
	if !ok {
		t.Skip("it does not watch")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_ = ends(t, func() error { return w.Watch(ctx, func() {}) }) //nolint:wrapcheck // only its end matters
}

func checkError(t *testing.T, s sources.Source) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 2 {
		facts, err := s.Observe(ctx)
		if err == nil {
			t.Fatalf("no error from a broken system: %+v", facts)
		}
		text := err.Error()
		kind, name, _ := strings.Cut(string(s.ID()), "/")
		if !strings.HasPrefix(text, kind+" ") || !strings.Contains(text, name) {
			t.Errorf("error %q does not begin with %q and name %q", text, kind+" ", name)
		}
		if control(text) {
			t.Errorf("error %q holds control characters", text)
		}
		if strings.Count(text, kind+" "+name) > 1 {
			t.Errorf("error %q names the source twice", text)
		}
	}
}

// ends runs f and fails the test when it does not end soon. A source that hangs is left behind.
func ends(t *testing.T, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		t.Fatalf("does not end within %s after its context did", patience)
		return nil
	}
}

func control(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }
