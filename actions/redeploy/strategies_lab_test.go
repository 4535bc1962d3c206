package redeploy

import (
	"context"
	"net/http"
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

// TestLabReloadUnderLoad: nginx's own configuration forth and back again, and nobody notices.
func TestLabReloadUnderLoad(t *testing.T) {
	w, front := newFront(t)
	if err := w.lab.CommitFront(t.Context(), front, "nginx: release two", front.FrontRelease("two")); err != nil {
		t.Fatal(err)
	}
	if err := w.lab.ReloadFront(t.Context(), front); err != nil {
		t.Fatal(err)
	}
	w.await("the second release", func() bool { return frontRelease(t, front.URL) == "two" })
	load := startTraffic(t, front.URL, rate)
	cfg := w.frontConfig(StrategyBlueGreen)
	cfg.Services["nginx"] = Override{Strategy: StrategyReload, Fronts: []string{"web"}, ConfigPaths: []string{"nginx"}}
	to := ""
	for _, want := range []string{"one", "two"} {
		in := w.intent()
		in.Targets[0].Service.Name = "nginx"
		in.Args = map[string]string{ArgTo: to}
		p, err := w.action(cfg, w.pool.Host).Plan(t.Context(), w.Latest(), in)
		if err != nil {
			t.Fatal(err)
		}
		if ok, reason := p.Runnable(); !ok {
			t.Fatalf("the plan cannot be run: %s", reason)
		}
		texts, end := w.run(p)
		if end.Outcome != actions.OutcomeGood {
			t.Fatalf("to %s: ended %s %v\n%s", want, end.Outcome, end.Reasons, texts)
		}
		if got := frontRelease(t, front.URL); got != want {
			t.Errorf("nginx answers with release %s, not %s", got, want)
		}
		to = p.Undo.Args[ArgTo]
	}
	note(t, "`reload`", load.atLeast(t, requests))
	if n := load.failed.Load(); n > 0 {
		t.Errorf("%d failed: %s", n, strings.Join(load.why, "; "))
	}
}

// frontRelease is the release of its configuration that nginx answers with, on a connection of its own.
func frontRelease(t *testing.T, url string) string {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url) //nolint:noctx // bounded by the client
	if err != nil {
		return err.Error()
	}
	_ = resp.Body.Close()
	return resp.Header.Get("X-Front")
}

// TestLabScript: the estate's own scripts on a real host, one of which fails after its work was done, and one before.
func TestLabScript(t *testing.T) {
	w, front := newFront(t)
	const pc = "docker compose --progress quiet --project-directory /opt/front -p front -f compose.yml --env-file services/web/tag.env"
	scripts := map[string]string{
		"deploy.sh":   "#!/bin/sh\nset -eu\n[ \"$1\" = prod ] && [ \"$2\" = web ]\necho \"WEB_TAG=$3\" >services/web/tag.env\n" + pc + " pull web\n" + pc + " up -d --no-deps --wait web\necho deployed\n",
		"rollback.sh": "#!/bin/sh\n./deploy.sh prod web \"$1\" && echo 'the chat does not answer' >&2\nexit 3\n",
		"broken.sh":   "#!/bin/sh\necho 'no space left' >&2\nexit 1\n",
	}
	if err := w.lab.CommitFront(t.Context(), front, "scripts", scripts); err != nil {
		t.Fatal(err)
	}
	if _, err := w.lab.SSH(t.Context(), front.Host, "chmod", "+x", front.Dir+"/deploy.sh", front.Dir+"/rollback.sh", front.Dir+"/broken.sh"); err != nil {
		t.Fatal(err)
	}
	cfg := w.frontConfig(StrategyScript)
	cfg.Script = Script{Host: front.Host, Dir: front.Dir, Deploy: []string{"./deploy.sh", "{env}", "{service}", "{tag}"}, Rollback: []string{"./rollback.sh", "{tag}"}}
	tests := []struct {
		tag     string
		change  func()
		outcome actions.Outcome
		runs    string
	}{
		{real.GoodTag, nil, actions.OutcomeDegraded, real.GoodTag}, // the previous one, by the script that ends with 3
		{real.FirstTag, nil, actions.OutcomeGood, real.FirstTag},
		{real.SlowTag, func() {
			cfg.Script.Deploy = []string{"./broken.sh", "{tag}"}
			cfg.Start = remote.Duration(5 * time.Second)
			w.tags = append(w.tags, real.SlowTag)
			w.await("the history", func() bool { return len(w.Latest().Services[0].Releases.History) > 2 })
		}, actions.OutcomeFailed, real.FirstTag},
	}
	for _, tt := range tests {
		if tt.change != nil {
			tt.change()
		}
		texts, end := w.goTo(cfg, tt.tag)
		if end.Outcome != tt.outcome {
			t.Fatalf("to %s: ended %s %v\n%s", tt.tag, end.Outcome, end.Reasons, texts)
		}
		if !w.runs("prod-1", tt.runs) {
			t.Errorf("to %s: it does not run %s", tt.tag, tt.runs)
		}
	}
}
