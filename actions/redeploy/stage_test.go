package redeploy

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/actionstest"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/actions/verify"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

const (
	imageName = "registry.lab:5000/nexgate/ai-service"
	canary    = "canary-4711-bird"
)

// errNeverBegan is how a connection that cannot be made ends a command.
var errNeverBegan = fmt.Errorf("dial: no route: %w", remote.ErrNotStarted)

var aiProd = fleet.ServiceKey{Environment: "prod", Name: "ai"}

// stage is a small estate: hosts whose files and git are real, in folders of this
// machine, and whose engine is made up.
type stage struct {
	t      *testing.T
	dir    string
	cfg    Config
	verify verify.Config

	komodo Deployer
	hosts  []*engineHost

	mu        sync.Mutex
	registry  map[string]string // tag to digest
	metrics   map[fleet.MetricName]fleet.Metric
	failing   string // the error of the metrics' source
	blind     map[string]string
	history   []string       // tags, newest first
	forgotten bool           // the registry has 0.4.1 no more, not even by its digest
	front     bool           // there is an nginx on each host
	locker    actions.Locker // nil: one that nobody else asks
}

// engineHost is one host.
type engineHost struct {
	*actionstest.Host
	s        *stage
	dir      string            // its checkout
	images   map[string]string // tag to digest
	instance fleet.Instance
	upFails  string                // what up says before it exits with 1
	after    func(*fleet.Instance) // what becomes of the container when it is made again
	compose  string
	engine   string
	root     string // the engine's own folder
	full     bool   // no space is left on its disk
	owner    string // the user whom its checkout belongs to; "" is as it is
	user     string // who logs in, likewise
	made     int

	depends []string         // of ai, in the Compose file
	beside  []fleet.Instance // started beside the instance
	health  fleet.Health     // of those
	workers string           // what docker top says
	// bothTake: after a reload the workers from before it are seen taking requests once.
	bothTake bool
	badConf  bool // nginx -t fails
	noLoad   bool // nginx -s reload fails
}

func digestOf(tag string) string {
	return "sha256:" + strings.Repeat(fmt.Sprintf("%02x", tag[len(tag)-1]), 32)
}
func idOf(tag string) string {
	return "sha256:" + strings.Repeat(fmt.Sprintf("%02x", tag[len(tag)-1]+100), 32)
}

// newStage makes an estate in which ai runs 0.4.2 and ran 0.4.1 before, on hosts of these names.
func newStage(t *testing.T, home string, names ...string) *stage {
	t.Helper()
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_CONFIG_SYSTEM", os.DevNull)
	t.Setenv("GIT_COMMITTER_NAME", "ci")
	t.Setenv("GIT_COMMITTER_EMAIL", "ci@lab")
	t.Setenv("GIT_AUTHOR_NAME", "ci")
	t.Setenv("GIT_AUTHOR_EMAIL", "ci@lab")
	s := &stage{
		t: t, dir: plainFolder(t), cfg: DefaultConfig(), history: []string{"0.4.2", "0.4.1", "0.4.0"},
		registry: map[string]string{"0.4.0": digestOf("0.4.0"), "0.4.1": digestOf("0.4.1"), "0.4.2": digestOf("0.4.2")},
		metrics:  map[fleet.MetricName]fleet.Metric{}, blind: map[string]string{},
	}
	s.cfg.TagHome = home
	s.cfg.Soak, s.cfg.Start = remote.Duration(20*time.Millisecond), remote.Duration(5*time.Second)
	s.verify = verify.DefaultConfig()
	s.verify.Limits.Settle = remote.Duration(50 * time.Millisecond)
	s.cfg.GitURL, s.cfg.Branches = filepath.Join(s.dir, "infra.git"), map[string]string{"prod": "master"}
	s.makeRepo()
	for _, name := range names {
		s.addHost(name, home == compose.HomeGit)
	}
	return s
}

// label changes a label of the container on the first host.
func (s *stage) label(name, value string) { s.hosts[0].instance.Labels[name] = value }

// plainFolder is a folder whose path has no comma in it: Compose's labels separate paths by them.
func plainFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "stage-") //nolint:usetesting // its folders bear the test's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (s *stage) git(dir string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir}, args...)...) //nolint:gosec // a test's
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (s *stage) write(file, text string) {
	s.t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) read(file string) string {
	s.t.Helper()
	b, err := os.ReadFile(file) //nolint:gosec // a test's
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

const tagFileText = "# written by CI\r\nAI_TAG=\"0.4.2\"\r\n"

// makeRepo makes the infra repo, bare, with one commit.
func (s *stage) makeRepo() {
	work := filepath.Join(s.dir, "work")
	s.write(filepath.Join(work, "services/ai/tag.env"), tagFileText)
	s.write(filepath.Join(work, "prod/stack.yml"), "services: {}\n")
	s.git(work, "init", "-q", "-b", "master")
	s.git(work, "add", ".")
	s.git(work, "commit", "-q", "-m", "ai: 0.4.2")
	s.git(s.dir, "clone", "-q", "--bare", work, s.cfg.GitURL)
	s.git(work, "remote", "add", "origin", s.cfg.GitURL)
}

// somebodyPushes makes another commit on the branch.
func (s *stage) somebodyPushes(file, text, subject string) {
	work := filepath.Join(s.dir, "work")
	s.git(work, "pull", "-q", "origin", "master")
	s.write(filepath.Join(work, file), text)
	s.git(work, "add", ".")
	s.git(work, "commit", "-q", "-m", subject)
	s.git(work, "push", "-q", "origin", "master")
}

func (s *stage) addHost(name string, checkout bool) {
	h := &engineHost{s: s, health: fleet.HealthHealthy, dir: filepath.Join(s.dir, name), compose: "2.40.3", images: map[string]string{}}
	if checkout {
		s.git(s.dir, "clone", "-q", s.cfg.GitURL, h.dir)
	} else {
		s.write(filepath.Join(h.dir, "services/ai/tag.env"), tagFileText)
		s.write(filepath.Join(h.dir, "prod/stack.yml"), "services: {}\n")
	}
	h.images["0.4.1"], h.images["0.4.2"] = digestOf("0.4.1"), digestOf("0.4.2")
	h.Host = actionstest.NewHost(name, h.answer)
	project := h.dir
	if checkout {
		project = filepath.Join(h.dir, "prod")
	}
	h.instance = fleet.Instance{
		ID: name + "-0", Kind: "container", Host: name, Name: "nexgate-ai-1", State: fleet.StateRunning, Health: fleet.HealthHealthy,
		Subject: fleet.Subject{Environment: "prod", Host: name, Project: "nexgate", Service: "ai", Container: "nexgate-ai-1"},
		Release: h.release("0.4.2"), Life: fleet.Life{Restarts: 12, CreatedAt: time.Now().Add(-time.Hour)},
		Labels: map[string]string{
			compose.LabelDir: project, compose.LabelFiles: filepath.Join(h.dir, "prod/stack.yml"), compose.LabelNumber: "1",
		},
	}
	s.hosts = append(s.hosts, h)
}

func (h *engineHost) release(tag string) fleet.Release {
	return fleet.Release{Image: imageName, Tag: tag, Digest: digestOf(tag), ImageID: idOf(tag)}
}

func (h *engineHost) tagFile() string { return filepath.Join(h.dir, "services/ai/tag.env") }

func exit(code int, stderr string) (remote.Result, error) {
	return remote.Result{Code: code, Stderr: []byte(stderr)}, nil
}

func printed(v any) (remote.Result, error) {
	b, err := json.Marshal(v)
	return remote.Result{Stdout: b}, err
}

// answer is what the host does with a command.
func (h *engineHost) answer(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	h.s.mu.Lock()
	why := h.s.blind[h.Name()]
	h.s.mu.Unlock()
	if why != "" {
		return remote.Result{}, fmt.Errorf("%w: %s", remote.ErrNotStarted, why)
	}
	switch argv := cmd.Argv; {
	case argv[0] == "hostname":
		return remote.Result{Stdout: []byte(h.Name() + "\n")}, nil
	case strings.HasSuffix(argv[0], ".sh"):
		return h.scripted(cmd)
	case argv[0] == "tee" && h.full:
		return exit(1, "tee: "+argv[1]+": No space left on device")
	case argv[0] == "id" && h.user != "":
		return remote.Result{Stdout: []byte(h.user + "\n")}, nil
	case argv[0] == "stat" && h.owner != "":
		return h.ownedBy(ctx, cmd)
	case argv[0] != "docker":
		cmd.Stdout, cmd.Stderr = nil, nil           // Host writes them
		return remote.Local(h.Name()).Run(ctx, cmd) //nolint:wrapcheck // a test's
	case argv[1] == "compose":
		return h.composed(cmd)
	default:
		return h.docker(argv[1:])
	}
}

// ownedBy says what stat says, with another owner of the checkout and of all that is not root's.
func (h *engineHost) ownedBy(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	cmd.Stdout, cmd.Stderr = nil, nil
	res, err := remote.Local(h.Name()).Run(ctx, cmd)
	lines := strings.Split(strings.TrimSpace(string(res.Stdout)), "\n")
	for i, p := range cmd.Argv[3:] {
		if uid, mode, ok := strings.Cut(lines[i], " "); ok && (uid != "0" || strings.HasPrefix(p, h.dir)) {
			lines[i] = h.owner + " " + mode
		}
	}
	res.Stdout = []byte(strings.Join(lines, "\n") + "\n")
	return res, err //nolint:wrapcheck // a test's
}

func (h *engineHost) docker(argv []string) (remote.Result, error) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	_, tag, _ := strings.Cut(argv[len(argv)-1], imageName+":")
	switch argv[0] + " " + argv[1] {
	case "info --format":
		if h.engine != "" {
			return printed(map[string]any{"ServerErrors": []string{h.engine}})
		}
		insecure := map[string]any{"registry.lab:5000": map[string]bool{"Secure": false}}
		return printed(map[string]any{"ID": "ABCD:" + h.Name(), "ServerVersion": "29.0.1", "DockerRootDir": h.root, "RegistryConfig": map[string]any{"IndexConfigs": insecure}})
	case "image inspect":
		digest, ok := h.images[tag]
		if !ok {
			return exit(1, "Error: No such image: "+tag)
		}
		return printed([]any{map[string]any{"Id": idOf(tag), "RepoDigests": []string{imageName + "@" + digest}, "Size": 12 << 20}})
	case "pull " + imageName + ":" + tag:
		digest, ok := h.s.registry[tag]
		if !ok {
			return exit(1, "Error response from daemon: manifest unknown")
		}
		h.images[tag] = digest
		return remote.Result{Stderr: []byte("Downloaded\nDB_PASSWORD=" + canary + "\n")}, nil
	case "pull " + imageName + "@" + digestOf("0.4.1"), "tag " + imageName + "@" + digestOf("0.4.1"):
		if argv[0] == "tag" {
			h.images[tag] = digestOf("0.4.1")
		}
		return remote.Result{}, nil
	case "manifest inspect":
		if strings.HasSuffix(argv[len(argv)-1], "@"+digestOf("0.4.1")) && !h.s.forgotten {
			return printed(map[string]any{"Descriptor": map[string]string{"digest": digestOf("0.4.1")}})
		}
		digest, ok := h.s.registry[tag]
		if !ok || !slices.Contains(argv, "--insecure") {
			return exit(1, "no such manifest: "+tag)
		}
		return printed(map[string]any{"Descriptor": map[string]string{"digest": digest}})
	}
	return h.containers(argv)
}

// containers are the docker commands about containers.
func (h *engineHost) containers(argv []string) (remote.Result, error) {
	switch argv[0] {
	case "ps":
		var out []byte
		for _, in := range append([]fleet.Instance{h.instance}, h.beside...) {
			b, err := json.Marshal(map[string]string{
				"ID": in.ID, "Names": in.Name, "Image": in.Release.Ref(), "State": string(in.State), "Status": "Up 2 seconds (" + string(in.Health) + ")",
			})
			if err != nil {
				return remote.Result{}, err
			}
			out = append(append(out, b...), '\n')
		}
		return remote.Result{Stdout: out}, nil
	case "stop":
		h.instance.State = fleet.StateExited
		return remote.Result{Stdout: []byte(argv[len(argv)-1] + "\n")}, nil
	case "rm":
		if argv[len(argv)-1] == h.instance.ID {
			if h.instance.State == fleet.StateRunning || len(h.beside) == 0 {
				return exit(1, "cannot remove a running container")
			}
			h.instance = h.beside[0]
		}
		h.beside = nil
		return remote.Result{Stdout: []byte(argv[len(argv)-1] + "\n")}, nil
	case "top":
		now := h.workers
		h.workers = strings.Replace(now, "7 900 nginx: worker process\n", "7 900 nginx: worker process is shutting down\n", 1)
		return remote.Result{Stdout: []byte("PID ELAPSED COMMAND\n1 900 nginx: master process nginx\n" + now)}, nil
	}
	return exit(125, "docker: unknown command")
}

// scripted is the estate's own script: it takes environment, service and tag.
func (h *engineHost) scripted(cmd remote.Command) (remote.Result, error) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	if cmd.Dir != h.dir || len(cmd.Argv) != 4 || cmd.Argv[1] != "prod" || cmd.Argv[2] != "ai" {
		return exit(64, "usage: deploy.sh ENV SERVICE TAG")
	}
	if h.upFails == "" || h.upFails == "late" {
		in := h.instance
		in.ID, in.Release = in.ID+"x", h.release(cmd.Argv[3])
		in.Life = fleet.Life{CreatedAt: time.Now(), StartedAt: time.Now()}
		h.instance = in
	}
	if h.upFails != "" {
		return exit(3, "telling the chat failed, token "+canary)
	}
	return remote.Result{Stdout: []byte("deployed\n")}, nil
}

// proxied is Compose speaking to the nginx.
func (h *engineHost) proxied(argv []string) (remote.Result, error) {
	switch {
	case slices.Contains(argv, "restart"):
		h.workers = "9 0 nginx: worker process\n"
		return remote.Result{}, nil
	case slices.Contains(argv, "-t") && h.badConf:
		return exit(1, "nginx: [emerg] host not found in upstream\nnginx: configuration file /etc/nginx/nginx.conf test failed")
	case slices.Contains(argv, "reload") && h.noLoad:
		return exit(1, "nginx: [error] invalid PID number")
	case slices.Contains(argv, "reload"):
		h.workers = "8 0 nginx: worker process\n7 900 nginx: worker process is shutting down\n"
		if h.bothTake {
			h.workers = "8 0 nginx: worker process\n7 900 nginx: worker process\n"
		}
	}
	return remote.Result{}, nil
}

// composed is the Compose plugin: it reads the tag file, like the real one does.
func (h *engineHost) composed(cmd remote.Command) (remote.Result, error) {
	if slices.Contains(cmd.Argv, "nginx") {
		h.s.mu.Lock()
		defer h.s.mu.Unlock()
		return h.proxied(cmd.Argv)
	}
	if slices.Contains(cmd.Argv, "version") {
		return remote.Result{Stdout: []byte(h.compose + "\n")}, nil
	}
	tag, _, err := compose.ReadTag([]byte(h.s.read(h.tagFile())), "AI_TAG")
	if err != nil {
		return exit(1, err.Error())
	}
	if over, ok := cmd.Env["AI_TAG"]; ok {
		tag = over
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	switch {
	case slices.Contains(cmd.Argv, "config"):
		depends := map[string]any{}
		for _, d := range h.depends {
			depends[d] = map[string]string{"condition": "service_healthy"}
		}
		return printed(map[string]any{"services": map[string]any{"ai": map[string]any{
			"depends_on": depends,
			"image":      imageName + ":" + tag, "environment": map[string]string{"DB_URL": canary},
		}}})
	case h.upFails != "":
		return exit(1, h.upFails)
	case h.images[tag] == "":
		return exit(1, "No such image: "+tag)
	}
	h.made++
	in := h.instance
	in.ID, in.Release = fmt.Sprintf("%s-%d", h.Name(), h.made), h.release(tag)
	in.Release.Digest = h.images[tag]
	in.Life = fleet.Life{CreatedAt: time.Now(), StartedAt: time.Now()}
	if h.after != nil {
		h.after(&in)
	}
	if slices.Contains(cmd.Argv, "--no-recreate") {
		in.Name, in.Health = "nexgate-ai-2", h.health
		h.beside = append(h.beside, in)
		return remote.Result{Stderr: []byte(" Container nexgate-ai-2  Started\n")}, nil
	}
	h.instance = in
	return remote.Result{Stderr: []byte(" Container nexgate-ai-1  Started\n")}, nil
}

// Poke is not needed: the facts are always new.
func (s *stage) Poke() {}

// Latest is the estate as it is now.
func (s *stage) Latest() *fleet.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	snap := &fleet.Snapshot{Seq: 1, At: now, Environment: "prod"}
	svc := fleet.Service{Key: aiProd, Seen: now}
	for _, h := range s.hosts {
		why := s.blind[h.Name()]
		snap.Hosts = append(snap.Hosts, fleet.Host{Name: h.Name(), Environment: "prod", Up: why == "", Error: why})
		status := fleet.SourceStatus{ID: fleet.MakeSourceID("docker", h.Name()), Kind: "docker", Hosts: []string{h.Name()}, State: fleet.SourceOK, LastSuccess: now}
		snap.Sources = append(snap.Sources, status)
		svc.Hosts = append(svc.Hosts, h.Name())
		for _, in := range append([]fleet.Instance{h.instance}, h.beside...) {
			svc.Instances = append(svc.Instances, &in)
		}
	}
	prom := fleet.SourceStatus{ID: "prometheus/prometheus", Kind: "prometheus", State: fleet.SourceOK, LastSuccess: now}
	if s.failing != "" {
		prom.State, prom.Error = fleet.SourceFailing, s.failing
	}
	git := fleet.SourceStatus{ID: "git/infra", Kind: "git", State: fleet.SourceOK, LastSuccess: now}
	snap.Sources = append(snap.Sources, prom, git)
	svc.Metrics = fleet.MetricsOf(s.metrics)
	for i := range svc.Metrics {
		svc.Metrics[i].Source = prom.ID
	}
	for _, tag := range s.history {
		svc.Releases.History = append(svc.Releases.History, fleet.Release{Image: imageName, Tag: tag, Digest: digestOf(tag), Commit: "8f3c1e2" + tag})
	}
	svc.Releases.Desired, svc.Releases.Previous = svc.Releases.History[0], svc.Releases.History[1]
	svc.Releases.Running = s.hosts[0].instance.Release
	snap.Services = []fleet.Service{svc}
	if s.front {
		snap.Services = append(snap.Services, s.nginx(now))
	}
	return snap
}

func (s *stage) action() actions.Action {
	return New(s.cfg, Deps{
		Deployer: s.komodo,
		Host: func(name string) (remote.Host, error) {
			for _, h := range s.hosts {
				if h.Name() == name {
					return h, nil
				}
			}
			return nil, fmt.Errorf("no host %q", name)
		},
		CacheDir: filepath.Join(s.dir, "cache"), Look: 2 * time.Millisecond, Verify: s.verify,
	})
}

func (s *stage) intent(to string) actions.Intent {
	in := actions.Intent{Action: Name, Targets: []fleet.Ref{{Service: aiProd}}, Who: "ana@laptop"}
	if to != "" {
		in.Args = map[string]string{ArgTo: to}
	}
	return in
}

// state is everything outside the console.
func (s *stage) state() string {
	out := s.git(s.cfg.GitURL, "for-each-ref")
	for _, h := range s.hosts {
		out += "\n" + h.Name() + " " + s.read(h.tagFile())
		if _, err := os.Stat(filepath.Join(h.dir, ".git")); err == nil {
			out += s.git(h.dir, "rev-parse", "HEAD") + s.git(h.dir, "status", "--porcelain")
		}
		s.mu.Lock()
		out += fmt.Sprint(h.images, h.instance.ID)
		s.mu.Unlock()
	}
	return out
}

func (s *stage) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *stage) plan(to string) *actions.Plan {
	s.t.Helper()
	p, err := s.action().Plan(context.Background(), s.Latest(), s.intent(to))
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// run runs a plan to its end.
func (s *stage) run(p *actions.Plan) ([]actions.Event, actions.Event) {
	s.t.Helper()
	j, err := actions.OpenJournal(filepath.Join(s.t.TempDir(), "journal"))
	if err != nil {
		s.t.Fatal(err)
	}
	locker := s.locker
	if locker == nil {
		locker = actions.NewMemoryLocker(time.Now)
	}
	r := actions.NewRunner(actions.RunnerOptions{
		Policy:  actions.Policy{Environments: map[string]actions.EnvironmentPolicy{"prod": {Confirm: actions.ConfirmY}}},
		Journal: j, Locker: locker, World: s, Who: "ana@laptop",
		Timing: actions.Timing{Reread: time.Second, Settle: 20 * time.Millisecond, Look: 2 * time.Millisecond},
	})
	ch, err := r.Run(context.Background(), p, actions.Confirmation{Yes: true})
	if err != nil {
		s.t.Fatal(err)
	}
	var list []actions.Event
	for ev := range ch {
		list = append(list, ev)
	}
	if err := r.Close(); err != nil {
		s.t.Error(err)
	}
	return list, list[len(list)-1]
}

func (s *stage) contract() actionstest.Case {
	c := actionstest.Case{
		Action: s.action(), Snapshot: s.Latest(), Intent: s.intent(""), World: s, State: s.state, Secret: canary,
	}
	for _, h := range s.hosts {
		c.Hosts = append(c.Hosts, h.Host)
	}
	return c
}

// nginx stands in front of ai on each host.
func (s *stage) nginx(now time.Time) fleet.Service {
	svc := fleet.Service{Key: fleet.ServiceKey{Environment: "prod", Name: "nginx"}, Seen: now}
	for _, h := range s.hosts {
		in := h.instance
		in.ID, in.Name, in.Release = "nginx-"+h.Name(), "nexgate-nginx-1", fleet.Release{Image: "nginx", Tag: "1.26"}
		in.State, in.Subject.Service, in.Subject.Container = fleet.StateRunning, "nginx", "nexgate-nginx-1"
		svc.Instances = append(svc.Instances, &in)
	}
	return svc
}
