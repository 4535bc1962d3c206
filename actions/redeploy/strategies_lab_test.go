package redeploy

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/lab/real"
	"github.com/nexgate-hq/nexops/remote"
)

// The requests of one measurement.
const (
	rate     = 150 // a second
	requests = 10_000
)

// newFront is a host of the lab with nginx in front of web.
func newFront(t *testing.T) (*labWorld, *real.Front) {
	t.Helper()
	lab := real.FromEnv(t)
	if err := lab.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	front, err := lab.PutFront(t.Context(), "prod-1")
	if err != nil {
		t.Fatal(err)
	}
	w := watchLab(t, &labWorld{lab: lab, hosts: []string{"prod-1"}, tags: []string{real.FirstTag, real.GoodTag}, service: "web", proxy: "nginx"})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := lab.RemoveFront(ctx, front); err != nil {
			t.Error(err)
		}
	})
	w.await("the front", func() bool {
		return len(w.Latest().Services[0].Instances) == 1 && len(w.Latest().Services[1].Instances) == 1
	})
	return w, front
}

func (w *labWorld) frontConfig(strategy string) Config {
	cfg := w.config(compose.HomeCheckout)
	cfg.Strategy = strategy
	cfg.Drain = remote.Duration(10 * time.Second)
	cfg.Services = map[string]Override{"nginx": {Fronts: []string{"web"}}}
	return cfg
}

// go1 plans and runs a redeploy to a tag.
func (w *labWorld) goTo(cfg Config, tag string) (texts string, end actions.Event) {
	w.t.Helper()
	in := w.intent()
	in.Args = map[string]string{ArgTo: tag}
	p, err := w.action(cfg, w.pool.Host).Plan(w.t.Context(), w.Latest(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	if ok, reason := p.Runnable(); !ok {
		w.t.Fatalf("the plan cannot be run: %s", reason)
	}
	return w.run(p)
}

// note adds a line to the report of the measurements, where one is wanted: NEXOPS_REPORT is its file.
func note(t *testing.T, what, figures string) {
	t.Helper()
	t.Logf("%s: %s", what, figures)
	path := os.Getenv("NEXOPS_REPORT")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) //nolint:gosec // a file of whoever runs the test
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("| " + what + " | " + figures + " |\n"); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// TestLabBlueGreenUnderLoad: forth and back again, and nobody notices.
func TestLabBlueGreenUnderLoad(t *testing.T) {
	w, front := newFront(t)
	load := startTraffic(t, front.URL, rate)
	cfg := w.frontConfig(StrategyBlueGreen)
	for _, tag := range []string{real.GoodTag, real.FirstTag} {
		texts, end := w.goTo(cfg, tag)
		if end.Outcome != actions.OutcomeGood {
			t.Fatalf("to %s: ended %s %v\n%s", tag, end.Outcome, end.Reasons, texts)
		}
		w.await(tag, func() bool { return w.runs("prod-1", tag) })
	}
	figures := load.atLeast(t, requests)
	note(t, "`bluegreen`", figures)
	if n := load.failed.Load(); n > 0 {
		t.Errorf("%d failed: %s", n, strings.Join(load.why, "; "))
	}
}

// TestLabComposeUnderLoad measures what the simple way costs: it is the figure the others are held against.
func TestLabComposeUnderLoad(t *testing.T) {
	w, front := newFront(t)
	load := startTraffic(t, front.URL, rate)
	cfg := w.frontConfig(StrategyCompose)
	for _, tag := range []string{real.GoodTag, real.FirstTag} {
		if texts, end := w.goTo(cfg, tag); end.Outcome != actions.OutcomeGood {
			t.Fatalf("to %s: ended %s %v\n%s", tag, end.Outcome, end.Reasons, texts)
		}
		w.await(tag, func() bool { return w.runs("prod-1", tag) })
	}
	note(t, "`compose`", load.atLeast(t, requests))
	if load.failed.Load() == 0 {
		t.Error("stopping the only container failed no request: the load does not reach it")
	}
}
