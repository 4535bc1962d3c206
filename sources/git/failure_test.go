package git

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestMissingBranch(t *testing.T) {
	r := newRepo(t)
	r.tag("ai", "1")
	both := func(c *Config) { c.Branches = map[string]string{"prod": "master", "staging": "staging"} }

	s := newSource(t, r.dir, options{change: both})
	facts := observe(t, s)
	want(t, "prod", history(facts, "prod", "ai"), "1")
	if len(facts.Warnings) != 1 || !strings.Contains(facts.Warnings[0], `branch "staging" (environment staging) does not exist on the remote; it has: master`) {
		t.Errorf("warnings %q", facts.Warnings)
	}
	observeFails(t, newSource(t, r.dir, options{change: both, env: "staging"}), `branch "staging"`, "it has: master")

	r.git("branch", "staging")
	facts = observe(t, s)
	want(t, "staging is there now", history(facts, "staging", "ai"), "1")
	if len(facts.Warnings) > 0 {
		t.Errorf("warnings %q", facts.Warnings)
	}
	r.git("branch", "--move", "master", "main")
	observeFails(t, s, `branch "master" (environment prod) does not exist on the remote; it has: main, staging`)
}

func TestEmptyRepository(t *testing.T) {
	r := newRepo(t)
	s := newSource(t, r.dir, options{})
	observeFails(t, s, "the repository has no branches yet")
	r.commit("nothing")
	facts := observe(t, s)
	if len(facts.Histories) != 0 || len(facts.Warnings) != 1 || !strings.Contains(facts.Warnings[0], "has no file services/*/tag.env") {
		t.Errorf("%+v", facts)
	}
	r.tag("ai", "1")
	want(t, "first tag", history(observe(t, s), "prod", "ai"), "1")
}

func TestOfflineRemote(t *testing.T) {
	r := newRepo(t)
	r.tag("ai", "1")
	s := newSource(t, r.dir, options{})
	observe(t, s)
	if err := os.Rename(r.dir, r.dir+".away"); err != nil {
		t.Fatal(err)
	}
	before := inode(t, s.mirror.repo())
	observeFails(t, s, "fetch "+r.dir, "does not appear to be a git repository", "check url in [[sources]]")
	if after := inode(t, s.mirror.repo()); !os.SameFile(before, after) {
		t.Error("the cache was thrown away for a remote that is offline")
	}
	if err := os.Rename(r.dir+".away", r.dir); err != nil {
		t.Fatal(err)
	}
	r.tag("ai", "2")
	want(t, "back", history(observe(t, s), "prod", "ai"), "2 1")

	nowhere := newSource(t, "ssh://git@127.0.0.1:1/infra.git", options{})
	observeFails(t, nowhere, "Connection refused", "try: git ls-remote ssh://git@127.0.0.1:1/infra.git")
}

func inode(t *testing.T, path string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestBrokenCacheIsMadeAgain(t *testing.T) {
	breakages := map[string]func(t *testing.T, repo string){
		"not a repository": func(t *testing.T, repo string) { remove(t, filepath.Join(repo, "HEAD")) },
		"no objects": func(t *testing.T, repo string) {
			remove(t, filepath.Join(repo, "objects", "pack"))
			for _, dir := range glob(t, filepath.Join(repo, "objects", "??")) {
				remove(t, dir)
			}
		},
		"broken ref": func(t *testing.T, repo string) { overwrite(t, filepath.Join(repo, "refs/heads/master"), "garbage\n") },
		"cut objects": func(t *testing.T, repo string) {
			files := append(glob(t, filepath.Join(repo, "objects/??/*")), glob(t, filepath.Join(repo, "objects/pack/*.pack"))...)
			for _, file := range files {
				if err := os.Chmod(file, 0o600); err != nil {
					t.Fatal(err)
				}
				overwrite(t, file, "")
			}
		},
		"a ref's lock left behind": func(t *testing.T, repo string) { overwrite(t, filepath.Join(repo, "refs/heads/master.lock"), "") },
	}
	for name, damage := range breakages {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			r.tag("ai", "1")
			s := newSource(t, r.dir, options{})
			observe(t, s)
			r.tag("ai", "2")
			damage(t, s.mirror.repo())
			facts := observe(t, s)
			want(t, "history", history(facts, "prod", "ai"), "2 1")
			if name == "no objects" {
				return // git itself may have fetched them all again
			}
			if len(facts.Warnings) != 1 || !strings.Contains(facts.Warnings[0], "was broken") {
				t.Errorf("warnings %q", facts.Warnings)
			}
			s.now = func() time.Time { return time.Now().Add(time.Hour) }
			if facts = observe(t, s); len(facts.Warnings) > 0 {
				t.Errorf("an hour later, warnings %q", facts.Warnings)
			}
		})
	}
}

func TestBrokenStateFileIsIgnored(t *testing.T) {
	r := newRepo(t)
	r.tag("ai", "1")
	cache := t.TempDir()
	s := newSource(t, r.dir, options{cache: cache})
	observe(t, s)
	for _, content := range []string{"", "{", `{"version":1}`, `{"version":1,"branches":{"master":null}}`} {
		overwrite(t, s.stateFile(), content)
		want(t, content, history(observe(t, newSource(t, r.dir, options{cache: cache})), "prod", "ai"), "1")
	}
}

func TestConsolesShareTheCache(t *testing.T) {
	r := newRepo(t)
	r.tag("ai", "1")
	cache := t.TempDir()
	var wg sync.WaitGroup
	for range 4 {
		s := newSource(t, r.dir, options{cache: cache})
		wg.Go(func() {
			for range 3 {
				want(t, "shared", history(observe(t, s), "prod", "ai"), "1")
			}
		})
	}
	wg.Wait()
}

func TestLockedCacheSaysSo(t *testing.T) {
	r := newRepo(t)
	r.tag("ai", "1")
	s := newSource(t, r.dir, options{})
	observe(t, s)
	unlock, err := lock(context.Background(), s.mirror.folder+".lock")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		_, err := s.Observe(ctx)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "another nexops holds the cache") {
		t.Errorf("%v", err)
	}
	unlock()
	observe(t, s)
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func overwrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return names
}
