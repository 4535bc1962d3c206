package redeploy

import (
	"context"
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
)

// TestLabReloadByGit: with the project in a repository the way back is a commit there, which the host has pulled when its nginx reads the
// files; and a push that somebody else was faster with leaves files and nginx as they were.
func TestLabReloadByGit(t *testing.T) {
	w, front := newFront(t)
	const bare = "/srv/git/front.git"
	url := w.lab.Repo[:strings.Index(w.lab.Repo, "/srv/")] + bare
	ssh := func(host string, argv ...string) string {
		t.Helper()
		out, err := w.lab.SSH(t.Context(), host, argv...)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out)
	}
	ssh("ops", "rm", "-rf", bare)
	ssh("ops", "git", "init", "--quiet", "--bare", "--initial-branch=master", bare)
	t.Cleanup(func() { _, _ = w.lab.SSH(context.WithoutCancel(t.Context()), "ops", "rm", "-rf", bare) })
	if err := w.lab.CommitFront(t.Context(), front, "nginx: release two", front.FrontRelease("two")); err != nil {
		t.Fatal(err)
	}
	ssh(front.Host, "git", "-C", front.Dir, "remote", "add", "origin", url)
	ssh(front.Host, "git", "-C", front.Dir, "push", "--quiet", "origin", "master")
	if err := w.lab.ReloadFront(t.Context(), front); err != nil {
		t.Fatal(err)
	}
	w.await("the second release", func() bool { return frontRelease(t, front.URL) == "two" })
	cfg := w.config(compose.HomeGit)
	cfg.GitURL = url
	cfg.Services = map[string]Override{"nginx": {Strategy: StrategyReload, Fronts: []string{"web"}, ConfigPaths: []string{"nginx"}}}
	plan := func(to string) *actions.Plan {
		t.Helper()
		return w.planTo(cfg, "nginx", to)
	}
	is := func(release, subject string) {
		t.Helper()
		head := ssh("ops", "git", "-C", bare, "rev-parse", "master")
		if got := ssh("ops", "git", "-C", bare, "log", "-1", "--format=%an|%s", "master"); !strings.HasPrefix(got, subject) {
			t.Errorf("the branch is at %s", got)
		}
		if got := ssh(front.Host, "git", "-C", front.Dir, "status", "--porcelain", "--untracked-files=no"); got != "" {
			t.Errorf("the checkout is not as its commit: %s", got)
		}
		if got := ssh(front.Host, "git", "-C", front.Dir, "rev-parse", "HEAD"); strings.HasPrefix(subject, "nexops") && got != head {
			t.Errorf("the host is at %s, the branch at %s", got, head)
		}
		if got := frontRelease(t, front.URL); got != release {
			t.Errorf("nginx answers with release %s, not %s", got, release)
		}
	}
	p := plan("")
	for _, want := range []string{"one", "two"} {
		texts, end := w.run(p)
		if end.Outcome != actions.OutcomeGood {
			t.Fatalf("to %s: ended %s %v\n%s", want, end.Outcome, end.Reasons, texts)
		}
		is(want, "nexops ana@laptop|nginx: configuration as in ")
		p = plan(p.Undo.Args[ArgTo])
	}
	// Somebody else pushes between plan and run.
	ssh("ops", "rm", "-rf", "/tmp/front")
	ssh("ops", "git", "clone", "--quiet", bare, "/tmp/front")
	ssh("ops", "git", "-C", "/tmp/front", "-c", "user.name=bo", "-c", "user.email=bo@lab", "commit", "--quiet", "--allow-empty", "-m", "other: by hand")
	ssh("ops", "git", "-C", "/tmp/front", "push", "--quiet", "origin", "master")
	ssh("ops", "rm", "-rf", "/tmp/front")
	_, end := w.run(p)
	if all := strings.Join(end.Reasons, "\n"); end.Outcome != actions.OutcomeFailed || !strings.Contains(all, "somebody was faster") || !strings.Contains(all, "put back as they were") {
		t.Errorf("ended %s: %s", end.Outcome, all)
	}
	is("two", "bo|other: by hand")
}
