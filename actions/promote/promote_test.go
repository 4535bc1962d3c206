package promote

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/actionstest"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "ghp-canary-2718"

// stage is two environments, a real repository, and a GitHub.
type stage struct {
	t          *testing.T
	cfg        Config
	home       compose.Config
	prod, test *actionstest.Estate
	registry   string                       // digest of the tag now
	lists      map[string]map[string]string // what the registry has for several platforms: reference, or digest, to platform to digest
	arch       string                       // of the engines
	remote     string                       // the bare repository
	cache      string
	mu         sync.Mutex
	requests   []map[string]string // that GitHub was sent
	status     int
}

// asked are the requests that GitHub was sent.
func (s *stage) asked() []map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// newStage makes an estate where staging runs 0.4.3 and prod 0.4.2; oneBranch is the layout with two tag files.
func newStage(t *testing.T, oneBranch bool) *stage {
	t.Helper()
	for k, v := range map[string]string{
		"GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_SYSTEM": os.DevNull,
		"GIT_AUTHOR_NAME": "ci", "GIT_AUTHOR_EMAIL": "ci@lab", "GIT_COMMITTER_NAME": "ci", "GIT_COMMITTER_EMAIL": "ci@lab",
	} {
		t.Setenv(k, v)
	}
	s := &stage{t: t, cfg: DefaultConfig(), home: compose.DefaultConfig(), registry: actionstest.Digest("0.4.3"), status: http.StatusCreated}
	s.prod, s.test = actionstest.NewEstate(1, "prod-1", "prod-2"), actionstest.NewEstate(2, "staging-1")
	s.prod.Answer, s.test.Answer = s.answer, s.answer
	s.test.Retag("0.4.3")
	dir := t.TempDir()
	s.remote, s.cache = filepath.Join(dir, "infra.git"), filepath.Join(dir, "cache")
	s.home.TagHome, s.home.GitURL = compose.HomeGit, s.remote
	s.home.Branches = map[string]string{"staging": "staging", "prod": "master"}
	files := map[string]map[string]string{
		"master":  {"services/ai/tag.env": "# ai\nAI_TAG=0.4.2\n"},
		"staging": {"services/ai/tag.env": "# ai\nAI_TAG=0.4.3\n"},
	}
	if oneBranch {
		s.home.TagFile = "services/{service}/{environment}.env"
		s.home.Branches["staging"] = "master"
		files = map[string]map[string]string{"master": {"services/ai/prod.env": "AI_TAG=0.4.2\n", "services/ai/staging.env": "AI_TAG=0.4.3\n"}}
	}
	s.makeRepo(dir, files)
	return s
}

func (s *stage) git(args ...string) string {
	s.t.Helper()
	out, err := exec.Command("git", args...).CombinedOutput() //nolint:gosec // a test's
	if err != nil {
		s.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (s *stage) makeRepo(dir string, branches map[string]map[string]string) {
	s.t.Helper()
	s.git("init", "-q", "--bare", s.remote)
	work := filepath.Join(dir, "work")
	s.git("init", "-q", "-b", "start", work)
	s.git("-C", work, "commit", "-q", "--allow-empty", "-m", "start")
	for branch, files := range branches {
		s.git("-C", work, "checkout", "-q", "-b", branch, "start")
		for name, text := range files {
			full := filepath.Join(work, name)
			if err := os.MkdirAll(filepath.Dir(full), 0o750); err != nil {
				s.t.Fatal(err)
			}
			if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
				s.t.Fatal(err)
			}
		}
		s.git("-C", work, "add", ".")
		s.git("-C", work, "commit", "-q", "-m", branch)
		s.git("-C", work, "push", "-q", s.remote, branch)
		s.git("-C", work, "checkout", "-q", "start")
	}
}

// answer is what the engines say of containers and images, besides what Estate knows.
func (s *stage) answer(host string, argv []string) (remote.Result, bool) {
	say := func(text string) (remote.Result, bool) { return remote.Result{Stdout: []byte(text + "\n")}, true }
	switch {
	case actionstest.Has("docker", "info")(argv) && s.arch != "":
		return say(fmt.Sprintf(`{"ID":"ABCD:%s","ServerVersion":"29.0.1","OSType":"linux","Architecture":%q}`, host, s.arch))
	case actionstest.Has("container", "inspect", "{{.Image}}")(argv):
		for _, c := range s.test.Containers(host) {
			if c.ID == argv[len(argv)-1] {
				return say("sha256:" + strings.TrimPrefix(actionstest.Digest(c.Tag), "sha256:"))
			}
		}
	case actionstest.Has("image", "inspect")(argv):
		return say(fmt.Sprintf(`[{"Id":"x","RepoDigests":["other@sha256:00","%s@%s"]}]`, actionstest.Image, argv[len(argv)-1]))
	case actionstest.Has("manifest", "inspect")(argv):
		last := argv[len(argv)-1]
		if list := s.lists[last[strings.LastIndexAny(last, ":@")+1:]]; list != nil || s.lists[last[strings.LastIndex(last, "@")+1:]] != nil {
			if list == nil {
				list = s.lists[last[strings.LastIndex(last, "@")+1:]]
			}
			return say(verbose(list))
		}
		if s.registry == "" {
			return remote.Result{Code: 1, Stderr: []byte("no such manifest\n")}, true
		}
		return say(fmt.Sprintf(`{"Ref":"x","Descriptor":{"digest":%q}}`, s.registry))
	}
	return remote.Result{}, false
}

func (s *stage) github() string {
	s.t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var asked map[string]string
		_ = json.Unmarshal(body, &asked)
		asked["path"], asked["auth"] = r.Method+" "+r.URL.Path, r.Header.Get("Authorization")
		s.mu.Lock()
		s.requests = append(s.requests, asked)
		s.mu.Unlock()
		if s.status == 0 {
			panic(http.ErrAbortHandler) // the connection is cut, and no answer comes
		}
		w.WriteHeader(s.status)
		_, _ = io.WriteString(w, `{"html_url":"https://github.test/pull/7","message":"Validation Failed","errors":[{"message":"A pull request already exists"}]}`)
	}))
	s.t.Cleanup(srv.Close)
	return srv.URL
}

func (s *stage) action() actions.Action {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return New(s.cfg, Deps{
		Home: s.home, CacheDir: s.cache, Client: client,
		HostsOf: func(env string) []string {
			return map[string][]string{"staging": {"staging-1"}, "prod": {"prod-1", "prod-2"}}[env]
		},
		Secret: func(context.Context, remote.Secret) (string, error) { return token, nil },
		Host: func(name string) (remote.Host, error) {
			if h, err := s.prod.Host(name); err == nil {
				return h, nil
			}
			return s.test.Host(name)
		},
	})
}

func (s *stage) intent() actions.Intent {
	return actions.Intent{Action: Name, Targets: []fleet.Ref{{Service: s.prod.Key}}, Who: "ana@laptop", Why: "it was tried"}
}

func (s *stage) plan() *actions.Plan {
	s.t.Helper()
	p, err := s.action().Plan(s.t.Context(), s.prod.Latest(), s.intent())
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// run runs the steps and gives what they said.
func (s *stage) run(p *actions.Plan) (said string, err error) {
	s.t.Helper()
	if ok, why := p.Runnable(); !ok {
		s.t.Fatal(why)
	}
	for _, step := range p.Steps {
		if err = step.Do(s.t.Context(), func(_, line string) { said += line + "\n" }); err != nil {
			return said, err //nolint:wrapcheck // a test's
		}
	}
	if o, reasons := p.Verify(s.t.Context(), s.prod, func(string) {}); o != actions.OutcomeGood {
		s.t.Errorf("%s %v", o, reasons)
	}
	return said, nil
}

func (s *stage) file(branch, name string) string {
	s.t.Helper()
	return s.git("--git-dir="+s.remote, "show", branch+":"+name)
}

func TestContract(t *testing.T) {
	for _, way := range []string{WayPush, WayPullRequest} {
		t.Run(way, func(t *testing.T) {
			actionstest.Contract(t, func(t *testing.T) actionstest.Case {
				s := newStage(t, false)
				s.cfg.Way = way
				s.cfg.GitHub = GitHub{Repository: "nexgate-hq/infra", API: s.github(), Web: "https://github.test", Token: "env:TOKEN"}
				return actionstest.Case{
					Action: s.action(), Snapshot: s.prod.Latest(), Intent: s.intent(), World: s.prod, Hosts: append(s.prod.Hosts, s.test.Hosts...),
					State:  func() string { return s.git("--git-dir="+s.remote, "for-each-ref") + s.prod.State() },
					Secret: token,
				}
			})
		})
	}
}

func TestPushOfBothLayouts(t *testing.T) {
	for name, oneBranch := range map[string]bool{"services/ai/tag.env": false, "services/ai/prod.env": true} {
		s := newStage(t, oneBranch)
		s.cfg.Way = WayPush
		if _, err := s.run(s.plan()); err != nil {
			t.Fatal(err)
		}
		if got := s.file("master", name); !strings.HasSuffix(got, "AI_TAG=0.4.3") {
			t.Errorf("%s: %q", name, got)
		}
		if m := s.git("--git-dir="+s.remote, "log", "-1", "--format=%an|%B", "master"); !strings.Contains(m, "ai: promote 0.4.3 to prod (was 0.4.2)") ||
			!strings.Contains(m, actionstest.Digest("0.4.3")) || !strings.HasPrefix(m, "nexops ana@laptop|") {
			t.Errorf("commit %q", m)
		}
		if _, err := s.action().Plan(t.Context(), s.prod.Latest(), s.intent()); err == nil || !strings.Contains(err.Error(), "already") {
			t.Errorf("again: %v", err)
		}
	}
}

func TestPullRequest(t *testing.T) {
	s := newStage(t, false)
	s.cfg.GitHub = GitHub{Repository: "nexgate-hq/infra", API: s.github(), Web: "https://github.test", Token: "env:TOKEN"}
	said, err := s.run(s.plan())
	if err != nil || !strings.Contains(said, "pull request https://github.test/pull/7") {
		t.Fatalf("%q %v", said, err)
	}
	a := s.asked()[0]
	if a["path"] != "POST /repos/nexgate-hq/infra/pulls" || a["auth"] != "Bearer "+token || a["head"] != "promote/ai-0.4.3" || a["base"] != "master" {
		t.Errorf("asked %v", a)
	}
	if got := s.file("promote/ai-0.4.3", "services/ai/tag.env"); !strings.HasSuffix(got, "AI_TAG=0.4.3") {
		t.Errorf("%q", got)
	}
	if got := s.file("master", "services/ai/tag.env"); !strings.HasSuffix(got, "AI_TAG=0.4.2") {
		t.Errorf("master was changed: %q", got)
	}
	if ok, why := s.plan().Runnable(); ok || !strings.Contains(why, "promote/ai-0.4.3 is there already") {
		t.Errorf("again: %v %s", ok, why)
	}
}

func TestPullRequestThatFails(t *testing.T) {
	for status, want := range map[int]string{http.StatusUnprocessableEntity: "Validation Failed: A pull request already exists", 0: "no answer, look whether"} {
		s := newStage(t, false)
		s.status = status
		s.cfg.GitHub = GitHub{Repository: "nexgate-hq/infra", API: s.github(), Web: "https://github.test", Token: "env:TOKEN"}
		_, err := s.run(s.plan())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), token) {
			t.Errorf("%d: %v", status, err)
		}
		if len(s.asked()) != 1 {
			t.Errorf("%d: asked %d times", status, len(s.asked()))
		}
	}
}

func TestLinkWithoutAToken(t *testing.T) {
	s := newStage(t, false)
	s.cfg.GitHub.Repository = "nexgate-hq/infra"
	said, err := s.run(s.plan())
	if want := "https://github.com/nexgate-hq/infra/compare/master...promote/ai-0.4.3?expand=1"; err != nil || !strings.Contains(said, want) {
		t.Errorf("%q %v", said, err)
	}
}

func TestSomebodyWasFaster(t *testing.T) {
	s := newStage(t, false)
	s.cfg.Way = WayPush
	p := s.plan()
	work := t.TempDir()
	s.git("clone", "-q", "-b", "master", s.remote, work)
	s.git("-C", work, "commit", "-q", "--allow-empty", "-m", "faster")
	s.git("-C", work, "push", "-q", "origin", "master")
	if _, err := s.run(p); err == nil || !strings.Contains(err.Error(), "somebody was faster") {
		t.Errorf("err = %v", err)
	}
}

// What cannot be proven is not promoted.
func TestRefused(t *testing.T) {
	for want, change := range map[string]func(*stage){
		"the tag 0.4.3 has been moved": func(s *stage) { s.registry = actionstest.Digest("9") },
		"would not be able to pull it": func(s *stage) { s.registry = "" },
		"is not well":                  func(s *stage) { s.test.Edit(func(c *actionstest.Container) { c.Health = "unhealthy" }) },
		"2 different releases": func(s *stage) {
			s.test.Edit(func(c *actionstest.Container) { c.Tag = fmt.Sprintf("0.4.%d", c.Number) })
		},
		"no container of ai with an image":  func(s *stage) { s.test.Edit(func(c *actionstest.Container) { c.Host = "gone" }) },
		"is no file on branch master":       func(s *stage) { s.home.TagFile = "nope/{service}.env" },
		"infra repo: git fetch: couldn't f": func(s *stage) { s.home.Branches["prod"] = "nosuch" },
	} {
		s := newStage(t, false)
		change(s)
		if ok, why := s.plan().Runnable(); ok || !strings.Contains(why, want) {
			t.Errorf("%s: %v %s", want, ok, why)
		}
	}
	s := newStage(t, false)
	s.home.GitURL = ""
	if o := s.action().Offer(s.prod.Latest(), s.intent().Targets); o.Enabled || !strings.Contains(o.Reason, "git_url") {
		t.Errorf("%+v", o)
	}
}

func TestConfig(t *testing.T) {
	c := DefaultConfig()
	if errs := c.Validate(); len(errs) > 0 {
		t.Error(errs)
	}
	c = Config{From: "prod", To: "prod", Way: "x", Branch: "x", GitURL: "-x", Branches: map[string]string{"a": ".."},
		GitHub: GitHub{Repository: "x", API: "http://github.example", Web: "https://u:p@x", Token: "env:T"}}
	if errs := c.Validate(); len(errs) != 8 {
		t.Errorf("%d: %v", len(errs), errs)
	}
}

// The name of a service ends in a path of the infra repo and in the name of a branch.
func TestNamesThatEndInPathsAndBranches(t *testing.T) {
	for name, want := range map[string]bool{
		"ai": true, "file-thunder": true, "a.b_c": true,
		"": false, "-f": false, "../x": false, "a..b": false, "a/b": false, "a:refs/heads/master": false, ".a": false, "a.": false, "a b": false,
	} {
		if namePattern.MatchString(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
