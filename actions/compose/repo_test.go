package compose

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
)

// origin is a bare repository with one tag file on master.
func origin(t *testing.T) (url string, run func(dir string, args ...string) string) {
	t.Helper()
	url = filepath.Join(t.TempDir(), "infra.git")
	run = func(dir string, args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=ci", "-c", "user.email=ci@localhost", "-c", "init.defaultBranch=master"}, args...)...) //nolint:gosec // our own repository
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	work := t.TempDir()
	run(work, "init", "-q", "--bare", url)
	run(work, "init", "-q")
	if err := os.WriteFile(filepath.Join(work, "tag.env"), []byte("AI_TAG=0.4.2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(work, "add", ".")
	run(work, "commit", "-qm", "ai: 0.4.2")
	run(work, "push", "-q", url, "HEAD:refs/heads/master")
	return url, run
}

func opened(t *testing.T, url string) *Repo {
	t.Helper()
	r, err := OpenRepo(context.Background(), RepoOptions{Dir: t.TempDir(), URL: url, Branch: "master", Environ: os.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// bump makes a commit that sets the tag, on top of base.
func bump(t *testing.T, r *Repo, base, tag, who string) string {
	t.Helper()
	_, mode, err := r.File(t.Context(), base, "tag.env")
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.Commit(t.Context(), Change{Parent: base, File: "tag.env", Mode: mode, Content: []byte("AI_TAG=" + tag + "\n"), Message: "ai: " + tag, Who: who, At: time.Unix(1_700_000_000, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func fetched(t *testing.T, r *Repo) string {
	t.Helper()
	head, err := r.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return head
}

// Two consoles push at once what they made on the same commit: the remote lets one win, and the other says who it was.
func TestThePushIsTheCompareAndSwap(t *testing.T) {
	url, run := origin(t)
	const consoles = 4
	errs := make([]error, consoles)
	var pushes []func()
	for i := range consoles { // all have looked before anyone pushes
		r := opened(t, url)
		head := fetched(t, r)
		commit := bump(t, r, head, "0.4."+string(rune('3'+i)), "console-"+string(rune('a'+i)))
		pushes = append(pushes, func() { errs[i] = r.Push(context.Background(), commit, head, func(_, l string) { t.Log(i, l) }) })
	}
	var all sync.WaitGroup
	for _, push := range pushes {
		all.Go(push)
	}
	all.Wait()
	won := -1
	for i, err := range errs {
		if err == nil && won >= 0 {
			t.Fatalf("two have won: %d and %d, master %s", won, i, run(url, "log", "--format=%h %an %s", "refs/heads/master"))
		}
		if err == nil {
			won = i
		}
	}
	if won < 0 {
		t.Fatalf("nobody has won: %v", errs)
	}
	for i, err := range errs {
		if i != won && !strings.Contains(err.Error(), "by nexops console-"+string(rune('a'+won))+": ai: 0.4.") {
			t.Errorf("the loser does not say who won: %v", err)
		}
	}
}

// A branch that was taken back meanwhile is not moved forward again by a push that would be a fast-forward.
func TestAPushOntoABranchThatWasTakenBack(t *testing.T) {
	url, run := origin(t)
	r := opened(t, url)
	first := fetched(t, r)
	second := bump(t, r, first, "0.4.3", "ana")
	if err := r.Push(t.Context(), second, first, func(string, string) {}); err != nil {
		t.Fatal(err)
	}
	third := bump(t, r, fetched(t, r), "0.4.4", "ana")
	run(url, "update-ref", "refs/heads/master", first) // somebody takes 0.4.3 back
	err := r.Push(t.Context(), third, second, func(string, string) {})
	if err == nil || !strings.Contains(err.Error(), "somebody was faster") {
		t.Errorf("pushed over it: %v", err)
	}
	if at := run(url, "rev-parse", "refs/heads/master"); at != first {
		t.Errorf("master is at %s", at)
	}
}

// A push whose answer is lost, and on top of which somebody pushes before it is read again, has been made.
func TestAPushThatSomebodyHasBuiltOn(t *testing.T) {
	url, run := origin(t)
	r := opened(t, url)
	first := fetched(t, r)
	second := bump(t, r, first, "0.4.3", "ana")
	if err := r.Push(t.Context(), second, first, func(string, string) {}); err != nil {
		t.Fatal(err)
	}
	third := bump(t, r, fetched(t, r), "0.4.4", "ben")
	if err := r.Push(t.Context(), third, second, func(string, string) {}); err != nil {
		t.Fatal(err)
	}
	var said []string
	// The remote refuses it, as it would what it has already: what the branch holds decides.
	if err := r.Push(t.Context(), second, first, func(_, l string) { said = append(said, l) }); err != nil {
		t.Errorf("it is said not to be there: %v", err)
	}
	if all := strings.Join(said, "\n"); !strings.Contains(all, "others on top of it") || !strings.Contains(all, "by nexops ben") {
		t.Errorf("said %s", all)
	}
	if at := run(url, "rev-parse", "refs/heads/master"); at != third {
		t.Errorf("master is at %s", at)
	}
}

func TestPushedBy(t *testing.T) {
	url, _ := origin(t)
	r := opened(t, url)
	head := fetched(t, r)
	commit := bump(t, r, head, "0.4.3", "ana")
	steps := []actions.Step{{Argv: []string{"docker", "push"}}, {}, {Argv: r.PushArgv(commit, head)}}
	if got := r.PushedBy(steps); got != commit {
		t.Errorf("pushed by the steps: %q", got)
	}
	if got := opened(t, "/elsewhere.git").PushedBy(steps); got != "" {
		t.Errorf("another repository's: %q", got)
	}
}

// Several consoles of one person begin at once, with nothing in the cache: each gets a whole copy.
func TestConsolesThatOpenTheRepoAtOnce(t *testing.T) {
	url, _ := origin(t)
	dir := t.TempDir()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			r, err := OpenRepo(t.Context(), RepoOptions{Dir: dir, URL: url, Branch: "master", Environ: os.Environ()})
			if err != nil {
				t.Error(err)
				return
			}
			if tip, err := r.Fetch(t.Context()); err != nil || len(tip) != 40 {
				t.Errorf("%q, %v", tip, err)
			}
		})
	}
	all.Wait()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
