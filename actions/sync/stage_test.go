package sync

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

	"go.uber.org/goleak"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/actionstest"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/actions/verify"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const canary = "canary-4711-fish"

// stage is an environment of two services on two hosts. Files and git are real; the engines are made up.
type stage struct {
	t     *testing.T
	dir   string
	order []string

	mu     sync.Mutex
	hosts  []*actionstest.Host
	runs   map[string]map[string]string // host to service to tag
	made   map[string]int
	broken string // up of this service fails
	sick   string // this service is unhealthy after an up
	gone   string // a tag that no registry has
	seq    uint64
	holds  []fleet.Hold
	syncs  []fleet.Sync
}

func newStage(t *testing.T) *stage {
	t.Helper()
	for _, kv := range [][2]string{{"CONFIG_GLOBAL", os.DevNull}, {"CONFIG_SYSTEM", os.DevNull}, {"COMMITTER_NAME", "ci"}, {"COMMITTER_EMAIL", "ci@lab"}, {"AUTHOR_NAME", "ci"}, {"AUTHOR_EMAIL", "ci@lab"}} {
		t.Setenv("GIT_"+kv[0], kv[1])
	}
	dir, err := os.MkdirTemp("", "stage-") //nolint:usetesting // its folders bear the test's name, with commas
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &stage{t: t, dir: dir, order: []string{"web", "ai"}, runs: map[string]map[string]string{}, made: map[string]int{}}
	work := filepath.Join(dir, "work")
	for _, name := range []string{"ai", "web"} {
		s.write(filepath.Join(work, "services", name, "tag.env"), strings.ToUpper(name)+"_TAG=1.0.0\n")
		s.write(filepath.Join(work, "services", name, "service.yml"), serviceFile(name))
	}
	s.write(filepath.Join(work, "prod", "stack.yml"), stackFile("ai", "web"))
	s.git(work, "init", "-q", "-b", "master")
	s.git(work, "add", ".")
	s.git(work, "commit", "-q", "-m", "begin")
	s.git(dir, "clone", "-q", "--bare", work, filepath.Join(dir, "infra.git"))
	s.git(work, "remote", "add", "origin", filepath.Join(dir, "infra.git"))
	for _, name := range []string{"prod-1", "prod-2"} {
		s.git(dir, "clone", "-q", filepath.Join(dir, "infra.git"), filepath.Join(dir, name))
		s.runs[name] = map[string]string{"ai": "1.0.0", "web": "1.0.0"}
		s.hosts = append(s.hosts, actionstest.NewHost(name, func(ctx context.Context, cmd remote.Command) (remote.Result, error) { return s.answer(ctx, name, cmd) }))
	}
	return s
}

// serviceFile declares a service, and what else it is made of.
func serviceFile(name string, more ...string) string {
	return "services:\n  " + name + ":\n    image: reg/" + name + ":${" + strings.ToUpper(name) + "_TAG:-latest}\n" + strings.Join(more, "") + "x-db:\n  DB_PASSWORD: " + canary + "\n"
}

// stackFile includes services.
func stackFile(names ...string) string {
	out := "include:\n"
	for _, name := range names {
		out += "  - path: ../services/" + name + "/service.yml\n    env_file: ../services/" + name + "/tag.env\n"
	}
	return out
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

func (s *stage) git(dir string, args ...string) string {
	s.t.Helper()
	out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput() //nolint:gosec // a test's
	if err != nil {
		s.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// push is CI: another commit on the branch.
func (s *stage) push(file, text string) {
	s.t.Helper()
	work := filepath.Join(s.dir, "work")
	s.write(filepath.Join(work, file), text)
	s.git(work, "add", ".")
	s.git(work, "commit", "-q", "-m", "change "+file)
	s.git(work, "push", "-q", "origin", "master")
}

func (s *stage) tag(host, service string) string {
	raw, err := os.ReadFile(filepath.Join(s.dir, host, "services", service, "tag.env")) //nolint:gosec // a test's
	if err != nil {
		return ""
	}
	_, tag, _ := strings.Cut(strings.TrimSpace(string(raw)), "=")
	return tag
}

func printed(v any) (remote.Result, error) {
	b, err := json.Marshal(v)
	return remote.Result{Stdout: b}, err
}

func (s *stage) answer(ctx context.Context, host string, cmd remote.Command) (remote.Result, error) {
	argv := cmd.Argv
	switch {
	case argv[0] == "hostname":
		return remote.Result{Stdout: []byte(host + "\n")}, nil
	case argv[0] != "docker":
		cmd.Stdout, cmd.Stderr = nil, nil
		return remote.Local(host).Run(ctx, cmd) //nolint:wrapcheck // a test's
	case argv[1] == "info":
		return printed(map[string]any{"ID": "ABCD:" + host, "ServerVersion": "29.0.1"})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last := argv[len(argv)-1]
	switch {
	case argv[1] == "image" || argv[1] == "manifest":
		if s.gone != "" && strings.HasSuffix(last, s.gone) {
			return remote.Result{Code: 1, Stderr: []byte("Error: No such image: no such manifest: " + last)}, nil
		}
		return printed([]any{map[string]any{"Id": "sha256:" + fmt.Sprintf("%064x", len(last)), "RepoDigests": []string{}}})
	case slices.Contains(argv, "version"):
		return remote.Result{Stdout: []byte("2.40.3\n")}, nil
	case slices.Contains(argv, "config"):
		return printed(map[string]any{"services": map[string]any{last: map[string]any{"image": "reg/" + last + ":" + s.tag(host, last), "environment": map[string]string{"P": canary}}}})
	case slices.Contains(argv, "up"):
		if s.broken == last {
			return remote.Result{Code: 1, Stderr: []byte("Error response from daemon: port is already allocated")}, nil
		}
		s.runs[host][last] = s.tag(host, last)
		s.made[host+last]++
	}
	return remote.Result{}, nil
}

// Latest and Poke make the stage the world of a Runner.
func (s *stage) Latest() *fleet.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	now := time.Now()
	snap := &fleet.Snapshot{Seq: s.seq, At: now, Environment: "prod", Holds: s.holds, Syncs: s.syncs}
	for _, service := range []string{"ai", "db", "search", "web"} {
		svc := fleet.Service{Key: fleet.ServiceKey{Environment: "prod", Name: service}, Seen: now, Hosts: []string{"prod-1", "prod-2"}}
		for _, h := range s.hosts {
			if s.runs[h.Name()][service] == "" {
				continue
			}
			started := time.Unix(1_700_000_000+int64(s.made[h.Name()+service]), 0)
			in := &fleet.Instance{
				Life: fleet.Life{CreatedAt: started, StartedAt: started},
				ID:   fmt.Sprintf("%s-%s-%d", h.Name(), service, s.made[h.Name()+service]), Kind: "container", Host: h.Name(), Name: service + "-1",
				State: fleet.StateRunning, Health: fleet.HealthHealthy,
				Subject: fleet.Subject{Environment: "prod", Host: h.Name(), Project: "nexgate", Service: service, Container: service + "-1"},
				Release: fleet.Release{Image: "reg/" + service, Tag: s.runs[h.Name()][service]},
				Labels: map[string]string{
					compose.LabelDir: filepath.Join(s.dir, h.Name(), "prod"), compose.LabelFiles: filepath.Join(s.dir, h.Name(), "prod/stack.yml"), compose.LabelNumber: "1",
				},
			}
			if s.sick == service && s.made[h.Name()+service] > 0 {
				in.Health = fleet.HealthUnhealthy
			}
			svc.Instances = append(svc.Instances, in)
		}
		if len(svc.Instances) == 0 {
			continue
		}
		svc.Releases.Running = svc.Instances[0].Release
		snap.Services = append(snap.Services, svc)
	}
	for _, h := range s.hosts {
		snap.Hosts = append(snap.Hosts, fleet.Host{Name: h.Name(), Environment: "prod", Up: true})
		snap.Sources = append(snap.Sources, fleet.SourceStatus{
			ID: fleet.MakeSourceID("docker", h.Name()), Hosts: []string{h.Name()}, State: fleet.SourceOK, LastSuccess: now, LastAttempt: now,
		})
	}
	return snap
}

func (s *stage) Poke() {}

func (s *stage) action(by ...Reconciler) actions.Action {
	cfg := DefaultConfig()
	cfg.Soak, cfg.Start = remote.Duration(20*time.Millisecond), remote.Duration(3*time.Second)
	watch := verify.DefaultConfig()
	watch.Limits.Settle = remote.Duration(50 * time.Millisecond)
	return New(cfg, Deps{
		Reconcilers: by, Who: "ana@laptop", Order: s.order, Verify: watch, Look: 5 * time.Millisecond, Places: compose.Places{Program: []string{"docker", "compose"}, Table: "actions.redeploy"},
		TagOf: func(key fleet.ServiceKey) (string, string) {
			return "services/" + key.Name + "/tag.env", strings.ToUpper(key.Name) + "_TAG"
		},
		Host: func(name string) (remote.Host, error) {
			for _, h := range s.hosts {
				if h.Name() == name {
					return h, nil
				}
			}
			return nil, fmt.Errorf("no host %s", name)
		},
	})
}

func (s *stage) plan(part string, by ...Reconciler) (*actions.Plan, error) {
	return s.action(by...).Plan(context.Background(), s.Latest(), actions.Intent{Action: Name, Who: "ana@laptop", Args: map[string]string{ArgPart: part}})
}

// run runs a plan by an ordinary Runner and gives how it ended.
func (s *stage) run(p *actions.Plan) (actions.Event, []string) {
	s.t.Helper()
	if ok, why := p.Runnable(); !ok {
		s.t.Fatal(why)
	}
	journal, err := actions.OpenJournal(filepath.Join(s.t.TempDir(), "journal"))
	if err != nil {
		s.t.Fatal(err)
	}
	r := actions.NewRunner(actions.RunnerOptions{
		Policy: actions.Policy{Environments: map[string]actions.EnvironmentPolicy{"prod": {Confirm: actions.ConfirmY}}}, Journal: journal,
		Locker: actions.NewMemoryLocker(time.Now), World: s, Who: "ana@laptop", Timing: actions.Timing{Look: 5 * time.Millisecond, Reread: time.Second, Settle: 20 * time.Millisecond},
	})
	defer func() { _ = r.Close() }()
	events, err := r.Run(context.Background(), p, actions.Confirmation{Yes: true})
	if err != nil {
		s.t.Fatal(err)
	}
	var last actions.Event
	var out []string
	for last = range events {
		out = append(out, last.Text)
	}
	return last, out
}

func diffs(p *actions.Plan) string {
	var b strings.Builder
	for _, c := range p.Checks {
		if len(c.Diff) > 0 {
			b.WriteString(c.Name + ": " + c.Detail + "\n" + strings.Join(c.Diff, "\n") + "\n")
		}
	}
	return strings.ReplaceAll(b.String(), "\u00a0", " ")
}

func steps(p *actions.Plan) []string {
	var out []string
	for _, s := range p.Steps {
		out = append(out, s.Host+" "+s.Name)
	}
	return out
}
