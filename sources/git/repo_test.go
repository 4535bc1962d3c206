package git

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// repo is an infrastructure repository in a temp folder, with a clock of its own.
type repo struct {
	t      testing.TB
	dir    string
	clock  time.Time
	author string
}

func newRepo(t testing.TB) *repo {
	t.Helper()
	r := &repo{t: t, dir: filepath.Join(t.TempDir(), "infra"), clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), author: "Ana"}
	r.must(exec.Command("git", "init", "--quiet", "--initial-branch=master", r.dir))
	return r
}

func (r *repo) must(cmd *exec.Cmd) string {
	r.t.Helper()
	cmd.Env = append(environ(os.Environ(), ""), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME="+r.author, "GIT_AUTHOR_EMAIL=a@example.org", "GIT_AUTHOR_DATE="+r.clock.Format(time.RFC3339),
		"GIT_COMMITTER_NAME=CI", "GIT_COMMITTER_EMAIL=c@example.org", "GIT_COMMITTER_DATE="+r.clock.Format(time.RFC3339))
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (r *repo) git(args ...string) string {
	r.t.Helper()
	return r.must(exec.Command("git", append([]string{"-C", r.dir}, args...)...))
}

func (r *repo) write(file, content string) {
	r.t.Helper()
	full := filepath.Join(r.dir, file)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// commit records everything that was written, one minute after the commit before.
func (r *repo) commit(subject string) string {
	r.t.Helper()
	r.clock = r.clock.Add(time.Minute)
	r.git("add", "--all")
	r.git("commit", "--quiet", "--allow-empty", "--message", subject)
	return r.git("rev-parse", "HEAD")
}

// tag sets a service's tag and commits it.
func (r *repo) tag(service, tag string) string {
	r.t.Helper()
	r.write("services/"+service+"/tag.env", TagKey(service)+"="+tag+"\n")
	return r.commit(service + ": " + tag)
}

// options of a source under test.
type options struct {
	cache  string
	env    string
	change func(*Config)
}

func newSource(t testing.TB, url string, o options) *source {
	t.Helper()
	cfg := DefaultConfig()
	cfg.URL = url
	cfg.Branches = map[string]string{"prod": "master"}
	if o.change != nil {
		o.change(cfg)
	}
	if errs := cfg.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	if o.cache == "" {
		o.cache = t.TempDir()
	}
	if o.env == "" {
		o.env = "prod"
	}
	built, err := Kind().Build("infra", cfg, sources.Deps{Environment: o.env, CacheDir: o.cache, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return built[0].(*source)
}

func observe(t testing.TB, s *source) fleet.Facts {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	facts, err := s.Observe(ctx)
	if err != nil {
		t.Fatalf("observe: %v", err)
	}
	if facts.ObservedAt.IsZero() {
		t.Error("ObservedAt is not set")
	}
	return facts
}

func observeFails(t testing.TB, s *source, parts ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	facts, err := s.Observe(ctx)
	if err == nil {
		t.Fatalf("no error, but %+v", facts)
	}
	for _, part := range append(parts, "git infra: ") {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

// history renders one service's releases: "0.2 0.1".
func history(f fleet.Facts, env, service string) string {
	for _, h := range f.Histories {
		if h.Subject.Environment != env || h.Subject.Service != service {
			continue
		}
		var tags []string
		for _, r := range h.Releases {
			tags = append(tags, r.Version())
		}
		out := strings.Join(tags, " ")
		if h.Problem != "" {
			out += " ! " + h.Problem
		}
		return out
	}
	return "none"
}

func want(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func short(sha string) string { return sha[:7] }

func whats(f fleet.Facts) string {
	var out []string
	for _, c := range f.Changes {
		out = append(out, fmt.Sprintf("%s@%s %s (%s)", c.Subject.Service, c.Subject.Environment, c.What, c.Who))
	}
	return strings.Join(out, "\n")
}
