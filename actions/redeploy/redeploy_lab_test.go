package redeploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/lab/real"
	"github.com/nexgate-hq/nexops/remote"
)

const labService = "ai"

// labWorld is the estate as the engines of the lab's hosts tell it, asked over SSH.
type labWorld struct {
	t     *testing.T
	lab   *real.Lab
	pool  *remote.Pool
	hosts []string
	tags  []string // the history, newest first

	service string
	proxy   string // a second service on the same hosts; "" when there is none

	mu   sync.Mutex
	snap *fleet.Snapshot
	now  func() time.Time // the console's clock; nil is the right one
	stop context.CancelFunc
	done sync.WaitGroup
}

func newLabWorld(t *testing.T, hosts, tags []string) *labWorld {
	t.Helper()
	lab := real.FromEnv(t)
	if err := lab.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	return watchLab(t, &labWorld{lab: lab, hosts: hosts, tags: tags, service: labService})
}

// watchLab begins to look at the lab as it is now.
func watchLab(t *testing.T, w *labWorld) *labWorld {
	t.Helper()
	w.t = t
	lab := w.lab
	configs := map[string]remote.Config{}
	for name, h := range lab.Hosts {
		configs[name] = remote.Config{
			Address: h.Address, User: "root", IdentityFiles: []string{lab.Key}, KnownHosts: []string{lab.KnownHosts},
			Keepalive: remote.Duration(500 * time.Millisecond),
		}
	}
	w.pool = remote.NewPool(configs, remote.Options{Home: t.TempDir()})
	w.observe(t.Context())
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	w.done.Go(func() {
		tick := time.NewTicker(300 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				w.observe(ctx)
			}
		}
	})
	t.Cleanup(func() {
		w.stop()
		w.done.Wait()
		if err := w.pool.Close(); err != nil {
			t.Error(err)
		}
		rctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := lab.Reset(rctx); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *labWorld) Poke() {}

// clock sets the console's clock, and waits for the facts that it dates.
func (w *labWorld) clock(now func() time.Time) {
	w.t.Helper()
	w.mu.Lock()
	w.now = now
	w.mu.Unlock()
	w.await("facts by that clock", func() bool { return now().Sub(w.Latest().At).Abs() < 5*time.Second })
}

func (w *labWorld) time() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now != nil {
		return w.now()
	}
	return time.Now()
}

func (w *labWorld) Latest() *fleet.Snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.snap
}

// observe makes the next snapshot. A host that does not answer keeps its last facts.
func (w *labWorld) observe(ctx context.Context) {
	svc := fleet.Service{Key: fleet.ServiceKey{Environment: "prod", Name: w.service}, Hosts: w.hosts}
	front := fleet.Service{Key: fleet.ServiceKey{Environment: "prod", Name: w.proxy}, Hosts: w.hosts}
	next := &fleet.Snapshot{Environment: "prod"}
	for _, name := range w.hosts {
		host := fleet.Host{Name: name, Environment: "prod", Up: true}
		status := fleet.SourceStatus{ID: fleet.MakeSourceID("docker", name), Kind: "docker", Hosts: []string{name}, State: fleet.SourceOK, LastSuccess: w.time()}
		began := w.time()
		list, err := w.instances(ctx, name, w.service)
		if err == nil && w.proxy != "" {
			var proxies []*fleet.Instance
			proxies, err = w.instances(ctx, name, w.proxy)
			front.Instances = append(front.Instances, proxies...)
		}
		status.Latency = w.time().Sub(began)
		status.LastSuccess = w.time()
		if err != nil {
			host.Up, host.Error = false, err.Error()
			status.State, status.Error, status.LastSuccess = fleet.SourceFailing, err.Error(), time.Time{}
		}
		svc.Instances = append(svc.Instances, list...)
		next.Hosts, next.Sources = append(next.Hosts, host), append(next.Sources, status)
	}
	next.At = w.time()
	svc.Seen = next.At
	for _, tag := range w.tags {
		svc.Releases.History = append(svc.Releases.History, fleet.Release{Image: w.image(), Tag: tag})
	}
	svc.Releases.Desired, svc.Releases.Previous = svc.Releases.History[0], svc.Releases.History[1]
	next.Services = []fleet.Service{svc}
	if front.Seen = svc.Seen; w.proxy != "" {
		next.Services = append(next.Services, front)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.snap = next
}

func (w *labWorld) image() string {
	if w.service == labService {
		return w.lab.Registry + "/nexgate/ai-service"
	}
	return w.lab.Registry + "/nexgate/nexgate-backend"
}

// instances asks one engine.
func (w *labWorld) instances(ctx context.Context, host, service string) ([]*fleet.Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	h, err := w.pool.Host(host)
	if err != nil {
		return nil, err
	}
	p := compose.Probe{Host: h}
	ids, err := p.Text(ctx, "docker", "ps", "-aq", "--no-trunc", "--filter", "label=com.docker.compose.service="+service)
	if err != nil || ids == "" {
		return nil, err
	}
	out, err := p.Run(ctx, remote.Command{Argv: append([]string{"docker", "inspect"}, strings.Fields(ids)...)})
	if err != nil {
		return nil, err
	}
	var records []struct {
		ID           string `json:"Id"`
		Name         string
		Image        string
		Created      time.Time
		RestartCount int
		State        struct {
			Status    string
			StartedAt time.Time
			Health    struct{ Status string }
		}
		Config struct {
			Image  string
			Labels map[string]string
		}
	}
	if err := json.Unmarshal(out, &records); err != nil {
		return nil, fmt.Errorf("docker inspect: %w", err)
	}
	var list []*fleet.Instance
	for _, r := range records {
		repository, tag, _ := strings.Cut(strings.TrimPrefix(r.Config.Image, w.lab.Registry), ":")
		if strings.HasPrefix(repository, "/") {
			repository = w.lab.Registry + repository
		}
		list = append(list, &fleet.Instance{
			ID: r.ID, Host: host, Name: strings.TrimPrefix(r.Name, "/"), State: fleet.State(r.State.Status),
			Health: fleet.Health(r.State.Health.Status), Labels: r.Config.Labels,
			Subject: fleet.Subject{
				Environment: "prod", Host: host, Project: r.Config.Labels["com.docker.compose.project"], Service: service,
			},
			Release: fleet.Release{Image: repository, Tag: tag, ImageID: r.Image},
			Life:    fleet.Life{Restarts: r.RestartCount, CreatedAt: r.Created, StartedAt: r.State.StartedAt},
		})
	}
	return list, nil
}

// deploy brings a release up and waits until the engine tells of it.
func (w *labWorld) deploy(tag string) {
	w.t.Helper()
	if err := w.lab.Deploy(w.t.Context(), labService, "prod", tag); err != nil {
		w.t.Fatal(err)
	}
	w.await("the deploy of "+tag, func() bool { return w.runs("prod-1", tag) })
}

func (w *labWorld) runs(host, tag string) bool {
	list, err := w.instances(w.t.Context(), host, w.service)
	return err == nil && len(list) == 1 && list[0].Release.Tag == tag && w.Latest().Services[0].Instances != nil &&
		w.Latest().Services[0].Instances[0].Release.Tag == tag
}

// await gives what has to come all the time a busy machine needs.
func (w *labWorld) await(what string, there func() bool) {
	w.t.Helper()
	for end := time.Now().Add(time.Minute); !there(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("%s did not come", what)
		}
	}
}

func (w *labWorld) config(home string) Config {
	cfg := DefaultConfig()
	cfg.TagHome, cfg.GitURL, cfg.GitVia = home, w.lab.Repo, "ops"
	cfg.Branches = map[string]string{"prod": "master"}
	cfg.Soak = remote.Duration(2 * time.Second)
	return cfg
}

func (w *labWorld) action(cfg Config, host func(name string) (remote.Host, error)) actions.Action {
	return New(cfg, Deps{Host: host, CacheDir: w.t.TempDir()})
}

func (w *labWorld) intent() actions.Intent {
	key := fleet.ServiceKey{Environment: "prod", Name: w.service}
	return actions.Intent{Action: Name, Targets: []fleet.Ref{{Service: key}}, Who: "ana@laptop"}
}

func (w *labWorld) plan(a actions.Action) *actions.Plan {
	w.t.Helper()
	return w.planOf(a, w.intent())
}

func (w *labWorld) planOf(a actions.Action, in actions.Intent) *actions.Plan {
	w.t.Helper()
	p, err := a.Plan(w.t.Context(), w.Latest(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	if ok, reason := p.Runnable(); !ok {
		w.t.Fatalf("the plan cannot be run: %s", reason)
	}
	return p
}

// runner is one console: its own journal, the host's lock.
func (w *labWorld) runner() (*actions.Runner, *actions.Journal) {
	w.t.Helper()
	j, err := actions.OpenJournal(filepath.Join(w.t.TempDir(), "journal"))
	if err != nil {
		w.t.Fatal(err)
	}
	return actions.NewRunner(actions.RunnerOptions{
		Policy:  actions.Policy{Environments: map[string]actions.EnvironmentPolicy{"prod": {Confirm: actions.ConfirmY}}},
		Journal: j, Locker: actions.NewHostLocker(actions.DefaultLockConfig(), w.pool.Host, nil), World: w, Who: "ana@laptop",
	}), j
}

// run runs a plan in a console of its own.
func (w *labWorld) run(p *actions.Plan) (texts string, end actions.Event) {
	w.t.Helper()
	r, j := w.runner()
	ch, err := r.Run(w.t.Context(), p, actions.Confirmation{Yes: true})
	if err != nil {
		w.t.Fatal(err)
	}
	for ev := range ch {
		texts += fmt.Sprintf("%s %d %s %s\n", ev.Kind, ev.Step, ev.Text, ev.Err)
		end = ev
	}
	if err := errors.Join(r.Close(), j.Verify()); err != nil {
		w.t.Error(err)
	}
	return texts, end
}

// TestLabPullsWhatIsGone goes back in the checkout, to a release whose image has to come from
// a registry in plain HTTP.
func TestLabPullsWhatIsGone(t *testing.T) {
	w := newLabWorld(t, []string{"prod-1"}, []string{real.GoodTag, real.FirstTag})
	w.deploy(real.GoodTag)
	if _, err := w.lab.SSH(t.Context(), "prod-1", "docker", "rmi", w.image()+":"+real.FirstTag); err != nil {
		t.Fatal(err)
	}
	p := w.plan(w.action(w.config(compose.HomeCheckout), w.pool.Host))
	if !slices.ContainsFunc(p.Steps, func(s actions.Step) bool { return s.Name == "pull image" }) {
		t.Errorf("no pull: %+v", p.Checks)
	}
	if d := p.Moves[0].To.Digest; len(d) != len("sha256:")+64 || !strings.HasPrefix(d, "sha256:") {
		t.Errorf("the registry's digest is not known before the pull: %q", d)
	}
	texts, end := w.run(p)
	if end.Outcome != actions.OutcomeGood {
		t.Fatalf("ended %s %v\n%s", end.Outcome, end.Reasons, texts)
	}
	h := w.lab.Hosts["prod-1"]
	file, err := w.lab.SSH(t.Context(), "prod-1", "cat", h.Checkout+"/services/ai/tag.env")
	if err != nil || !strings.Contains(file, "AI_TAG="+real.FirstTag) {
		t.Errorf("tag file %q, %v", file, err)
	}
	before := w.Latest().Services[0].Instances[0].ID
	if _, err := w.lab.SSH(t.Context(), "prod-1", "docker", "compose", "-p", h.Project, "-f", h.Checkout+"/"+h.Compose, "up", "-d"); err != nil {
		t.Fatal(err)
	}
	list, err := w.instances(t.Context(), "prod-1", w.service)
	if err != nil || len(list) != 1 || list[0].ID != before {
		t.Errorf("the next up changed it: %+v, %v", list, err)
	}
	if left, _ := w.lab.SSH(t.Context(), "prod-1", "ls", "-A", "/tmp/nexops-locks"); strings.TrimSpace(left) != "" {
		t.Errorf("the lock was left: %s", left)
	}
}

// TestLabImageNowhere refuses in the preflight.
func TestLabImageNowhere(t *testing.T) {
	w := newLabWorld(t, []string{"prod-1"}, []string{real.FirstTag, "0.0.1"})
	w.await("the first facts", func() bool { return w.runs("prod-1", real.FirstTag) })
	p, err := w.action(w.config(compose.HomeCheckout), w.pool.Host).Plan(t.Context(), w.Latest(), w.intent())
	if err != nil {
		t.Fatal(err)
	}
	if ok, reason := p.Runnable(); ok || !strings.Contains(reason, "no such manifest") {
		t.Errorf("runnable %v: %s", ok, reason)
	}
}

// TestLabTwoConsoles lets two of them press R at once: one wins, the other sees who.
func TestLabTwoConsoles(t *testing.T) {
	w := newLabWorld(t, []string{"prod-1"}, []string{real.GoodTag, real.FirstTag})
	w.deploy(real.GoodTag)
	type result struct {
		texts string
		end   actions.Event
	}
	results := make([]result, 2)
	plans := []*actions.Plan{w.plan(w.action(w.config(compose.HomeGit), w.pool.Host)), w.plan(w.action(w.config(compose.HomeGit), w.pool.Host))}
	var both sync.WaitGroup
	for i, p := range plans {
		both.Go(func() { results[i].texts, results[i].end = w.run(p) })
	}
	both.Wait()
	slices.SortFunc(results, func(a, b result) int { return strings.Compare(string(b.end.Outcome), string(a.end.Outcome)) })
	won, lost := results[0], results[1]
	if won.end.Outcome != actions.OutcomeGood || lost.end.Outcome != actions.OutcomeFailed {
		t.Fatalf("%s %v\n%s\n%s %v\n%s", won.end.Outcome, won.end.Reasons, won.texts, lost.end.Outcome, lost.end.Reasons, lost.texts)
	}
	if why := strings.Join(lost.end.Reasons, "\n"); !strings.Contains(why, "nothing was done: ai@prod is locked on prod-1 by ana@laptop since") {
		t.Errorf("the loser sees: %s", why)
	}
}

// cutting kills sshd while a command runs on the host.
type cutting struct {
	remote.Host
	cut  func()
	seen *int
}

func (c cutting) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	if !slices.Contains(cmd.Argv, "up") {
		return c.Host.Run(ctx, cmd)
	}
	*c.seen++
	// Compose says something as soon as it is at work.
	cmd.Stderr = &onFirst{do: c.cut, next: cmd.Stderr}
	return c.Host.Run(ctx, cmd)
}

type onFirst struct {
	once sync.Once
	do   func()
	next interface{ Write(p []byte) (int, error) }
}

func (o *onFirst) Write(p []byte) (int, error) {
	o.once.Do(o.do)
	if o.next == nil {
		return len(p), nil
	}
	return o.next.Write(p)
}

// TestLabConnectionLostInUp kills sshd in the middle of the step that counts: what has begun goes on without it.
func TestLabConnectionLostInUp(t *testing.T) {
	w := newLabWorld(t, []string{"prod-1"}, []string{real.GoodTag, real.FirstTag})
	w.deploy(real.GoodTag)
	ups := 0
	back := make(chan error, 1)
	host := func(name string) (remote.Host, error) {
		h, err := w.pool.Host(name)
		if err != nil || name != "prod-1" {
			return h, err
		}
		return cutting{Host: h, seen: &ups, cut: func() {
			if err := w.lab.KillSSHD(context.Background(), "prod-1"); err != nil {
				t.Error(err)
			}
			go func() { back <- w.lab.StartSSHD(context.Background(), "prod-1") }()
		}}, nil
	}
	texts, end := w.run(w.plan(w.action(w.config(compose.HomeCheckout), host)))
	if err := <-back; err != nil {
		t.Error(err)
	}
	why := strings.Join(end.Reasons, "\n")
	if ups != 1 {
		t.Errorf("up was sent %d times", ups)
	}
	if !strings.Contains(why, "up on prod-1") || !strings.Contains(texts, "reading the state again") {
		t.Errorf("ended %s: %s\n%s", end.Outcome, why, texts)
	}
	// Compose did not notice, and went on to its end: there is no container that was made and not started.
	if end.Outcome != actions.OutcomeGood || !strings.Contains(why, "the state was read again: the estate runs what the plan wanted") {
		t.Errorf("ended %s: %s\n%s", end.Outcome, why, texts)
	}
	list, err := w.instances(t.Context(), "prod-1", w.service)
	if err != nil || len(list) != 1 || list[0].Release.Tag != real.FirstTag || list[0].State != fleet.StateRunning {
		t.Errorf("there is %+v, %v", list, err)
	}
	t.Logf("ended %s: %s", end.Outcome, why)
}

// TestLabAnswersAsDocumented holds the real programs against what README.md says of them.
func TestLabAnswersAsDocumented(t *testing.T) {
	w := newLabWorld(t, []string{"prod-1"}, []string{real.FirstTag, "0.0.9"})
	h, err := w.pool.Host("prod-1")
	if err != nil {
		t.Fatal(err)
	}
	checkout := w.lab.Hosts["prod-1"].Checkout
	tests := []struct {
		argv   []string
		code   int
		stdout string
		stderr string
	}{
		{[]string{"docker", "compose", "version", "--short"}, 0, "2.", ""},
		{[]string{"readlink", "-f", "/opt/../opt"}, 0, "/opt", ""},
		{[]string{"readlink", "-f", "/nowhere/at/all"}, 1, "", ""},
		{[]string{"cat", "/nowhere"}, 1, "", "No such file or directory"},
		{[]string{"git", "-C", checkout + "/prod", "rev-parse", "--show-toplevel"}, 0, checkout, ""},
		{[]string{"git", "-C", "/tmp", "rev-parse", "--show-toplevel"}, 128, "", "not a git repository"},
		{[]string{"git", "-C", checkout, "rev-parse", "--abbrev-ref", "HEAD"}, 0, "master", ""},
		{[]string{"docker", "image", "inspect", w.image() + ":9.9.9"}, 1, "[]", "No such image"},
		{[]string{"docker", "manifest", "inspect", "--verbose", "--insecure", w.image() + ":9.9.9"}, 1, "", "no such manifest"},
		{[]string{"docker", "manifest", "inspect", "--verbose", "--insecure", w.image() + ":" + real.FirstTag}, 0, `"digest": "sha256:`, ""},
		{[]string{"mkdir", "/tmp"}, 1, "", "File exists"},
	}
	for _, tt := range tests {
		res, err := h.Run(t.Context(), remote.Command{Argv: tt.argv})
		if err != nil || res.Code != tt.code || !bytes.Contains(res.Stdout, []byte(tt.stdout)) || !bytes.Contains(res.Stderr, []byte(tt.stderr)) {
			t.Errorf("%v: code %d, %v\n%s\n%s", tt.argv, res.Code, err, res.Stdout, res.Stderr)
		}
	}
	e, err := compose.Probe{Host: h}.Engine(t.Context())
	if err != nil || e.ID == "" || !e.Insecure(w.image()) {
		t.Errorf("engine %+v, %v (registries %v)", e, err, slices.Collect(maps.Keys(e.RegistryConfig.IndexConfigs)))
	}
}
