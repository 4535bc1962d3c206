package redeploy

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/lab/real"
	"github.com/nexgate-hq/nexops/remote"
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

// planTo plans a redeploy of a service to a release; "" is the previous one.
func (w *labWorld) planTo(cfg Config, service, to string) *actions.Plan {
	w.t.Helper()
	in := w.intent()
	in.Targets[0].Service.Name = service
	in.Args = map[string]string{ArgTo: to}
	return w.planOf(w.action(cfg, w.pool.Host), in)
}

// goTo plans and runs a redeploy of the world's service to a tag.
func (w *labWorld) goTo(cfg Config, tag string) (texts string, end actions.Event) {
	w.t.Helper()
	return w.run(w.planTo(cfg, w.service, tag))
}

// TestLabBlueGreenUnderLoad: forth and back again, and nobody notices.
func TestLabBlueGreenUnderLoad(t *testing.T) {
	w, front := newFront(t)
	load := real.StartTraffic(t, front.URL)
	cfg := w.frontConfig(StrategyBlueGreen)
	for _, tag := range []string{real.GoodTag, real.FirstTag} {
		texts, end := w.goTo(cfg, tag)
		if end.Outcome != actions.OutcomeGood {
			t.Fatalf("to %s: ended %s %v\n%s", tag, end.Outcome, end.Reasons, texts)
		}
		w.await(tag, func() bool { return w.runs("prod-1", tag) })
	}
	t.Log(load.Measure(t, "`bluegreen`", false))
	if n, why := load.Failed(); n > 0 {
		t.Errorf("%d failed: %s", n, why)
	}
}

// TestLabRecreatingUnderLoad measures what the ways cost that stop the only container and make it again: compose, and the
// estate's own scripts. It is the figure the others are held against.
func TestLabRecreatingUnderLoad(t *testing.T) {
	w, front := newFront(t)
	putScripts(t, w, front)
	for _, strategy := range []string{StrategyCompose, StrategyScript} {
		load := real.StartTraffic(t, front.URL)
		cfg := w.frontConfig(strategy)
		cfg.Script = Script{
			Host: front.Host, Dir: front.Dir,
			Deploy: []string{"./deploy.sh", "{env}", "{service}", "{tag}"}, Rollback: []string{"./rollback.sh", "{env}", "{service}", "{tag}"},
		}
		for _, tag := range []string{real.GoodTag, real.FirstTag} {
			if texts, end := w.goTo(cfg, tag); end.Outcome != actions.OutcomeGood {
				t.Fatalf("%s to %s: ended %s %v\n%s", strategy, tag, end.Outcome, end.Reasons, texts)
			}
			w.await(tag, func() bool { return w.runs("prod-1", tag) })
		}
		t.Log(strategy, load.Measure(t, "`"+strategy+"`", true))
		if n, _ := load.Failed(); n == 0 {
			t.Errorf("%s stopped the only container and failed no request: the load does not reach it", strategy)
		}
	}
	calls, err := w.lab.SSH(t.Context(), front.Host, "cat", front.Dir+"/calls")
	if want := "rollback prod web 0.1.2\ndeploy prod web 0.1.0\n"; err != nil || calls != want {
		t.Errorf("the scripts were called %q, not %q: %v", calls, want, err)
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
	load := real.StartTraffic(t, front.URL)
	cfg := w.frontConfig(StrategyBlueGreen)
	cfg.Services["nginx"] = Override{Strategy: StrategyReload, Fronts: []string{"web"}, ConfigPaths: []string{"nginx"}}
	to := ""
	for _, want := range []string{"one", "two"} {
		p := w.planTo(cfg, "nginx", to)
		texts, end := w.run(p)
		if end.Outcome != actions.OutcomeGood {
			t.Fatalf("to %s: ended %s %v\n%s", want, end.Outcome, end.Reasons, texts)
		}
		if got := frontRelease(t, front.URL); got != want {
			t.Errorf("nginx answers with release %s, not %s", got, want)
		}
		to = p.Undo.Args[ArgTo]
	}
	t.Log(load.Measure(t, "`reload`", false))
	if n, why := load.Failed(); n > 0 {
		t.Errorf("%d failed: %s", n, why)
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

// putScripts are the estate's own ways to deploy and to roll back, on the host, beside two that go wrong: each says in a
// file what it was called with.
func putScripts(t *testing.T, w *labWorld, front *real.Front) {
	t.Helper()
	const pc = "docker compose --progress quiet --project-directory /opt/front -p front -f compose.yml --env-file services/web/tag.env"
	const to = "[ \"$1\" = prod ] && [ \"$2\" = web ]\necho \"WEB_TAG=$3\" >services/web/tag.env\n" +
		pc + " pull web\n" + pc + " up -d --no-deps --wait web\n"
	scripts := map[string]string{
		"deploy.sh":   "#!/bin/sh\nset -eu\necho \"deploy $*\" >>calls\n" + to + "echo deployed\n",
		"rollback.sh": "#!/bin/sh\nset -eu\necho \"rollback $*\" >>calls\n" + to + "echo 'rolled back'\n",
		"late.sh":     "#!/bin/sh\n./rollback.sh \"$@\" && echo 'the chat does not answer' >&2\nexit 3\n",
		"broken.sh":   "#!/bin/sh\necho 'no space left' >&2\nexit 1\n",
	}
	if err := w.lab.CommitFront(t.Context(), front, "scripts", scripts); err != nil {
		t.Fatal(err)
	}
	for name := range scripts {
		if _, err := w.lab.SSH(t.Context(), front.Host, "chmod", "+x", front.Dir+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLabScript: the estate's own scripts on a real host, one of which fails after its work was done, and one before.
func TestLabScript(t *testing.T) {
	w, front := newFront(t)
	putScripts(t, w, front)
	cfg := w.frontConfig(StrategyScript)
	cfg.Script = Script{Host: front.Host, Dir: front.Dir, Deploy: []string{"./deploy.sh", "{env}", "{service}", "{tag}"}, Rollback: []string{"./late.sh", "{env}", "{service}", "{tag}"}}
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
