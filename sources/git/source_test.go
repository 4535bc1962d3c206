package git

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nexgate-hq/nexops/fleet"
)

func TestObserveOneService(t *testing.T) {
	r := newRepo(t)
	r.write("services/ai/service.yml", "services:\n  ai:\n    image: ghcr.io/nexgate-hq/ai-service:${AI_TAG:-latest}\n")
	first := r.tag("ai", "0.1.0")
	r.author = "Ben"
	second := r.tag("ai", "0.2.0")
	r.write("services/ai/tag.env", "# the same tag, other words\nAI_TAG='0.2.0'\n")
	r.author = "Eve"
	head := r.commit("reword")

	facts := observe(t, newSource(t, r.dir, options{}))
	want := []fleet.History{{
		Subject: fleet.Subject{Environment: "prod", Service: "ai"},
		Releases: []fleet.Release{
			{Image: "ghcr.io/nexgate-hq/ai-service", Tag: "0.2.0", Commit: second, Author: "Ben", Subject: "ai: 0.2.0", At: time.Date(2026, 3, 1, 12, 2, 0, 0, time.UTC)},
			{Image: "ghcr.io/nexgate-hq/ai-service", Tag: "0.1.0", Commit: first, Author: "Ana", Subject: "ai: 0.1.0", At: time.Date(2026, 3, 1, 12, 1, 0, 0, time.UTC)},
		},
	}}
	if diff := cmp.Diff(want, facts.Histories); diff != "" {
		t.Error(diff)
	}
	if facts.Detail != short(head) || len(facts.Warnings) > 0 {
		t.Errorf("detail %q, warnings %q", facts.Detail, facts.Warnings)
	}
	wantChanges := []fleet.Change{
		{
			Kind: fleet.ChangeDeploy, At: want[0].Releases[0].At, Subject: want[0].Subject, Who: "Ben",
			What: "0.1.0 → 0.2.0: ai: 0.2.0", From: want[0].Releases[1], To: want[0].Releases[0], Source: "git/infra",
		},
		{
			Kind: fleet.ChangeDeploy, At: want[0].Releases[1].At, Subject: want[0].Subject, Who: "Ana",
			What: "0.1.0 added: ai: 0.1.0", To: want[0].Releases[1], Source: "git/infra",
		},
	}
	if diff := cmp.Diff(wantChanges, facts.Changes); diff != "" {
		t.Error(diff)
	}
}

func TestMergeIsOneChangeByWhoMerged(t *testing.T) {
	r := newRepo(t)
	for _, s := range []string{"ai", "backend", "file-thunder"} {
		r.tag(s, "1.0")
	}
	r.git("checkout", "--quiet", "-b", "staging")
	r.tag("ai", "1.1")
	r.tag("ai", "1.2")
	r.tag("backend", "2.0")
	r.tag("file-thunder", "3.0")
	r.git("checkout", "--quiet", "master")
	r.author, r.clock = "Olga", r.clock.Add(time.Hour)
	r.git("merge", "--quiet", "--no-ff", "--message", "promote staging", "staging")
	merge := r.git("rev-parse", "HEAD")

	branches := map[string]string{"prod": "master", "staging": "staging"}
	facts := observe(t, newSource(t, r.dir, options{change: func(c *Config) { c.Branches = branches }}))
	want(t, "prod ai", history(facts, "prod", "ai"), "1.2 1.0")
	want(t, "staging ai", history(facts, "staging", "ai"), "1.2 1.1 1.0")
	want(t, "prod file-thunder", history(facts, "prod", "file-thunder"), "3.0 1.0")
	merged := 0
	for _, c := range facts.Changes {
		if c.To.Commit == merge {
			merged++
			if c.Who != "Olga" || !c.At.Equal(r.clock) || c.Subject.Environment != "prod" || !strings.HasSuffix(c.What, ": promote staging") {
				t.Errorf("%+v", c)
			}
		}
	}
	if merged != 3 {
		t.Errorf("%d changes by the merge, want 3", merged)
	}
	want(t, "detail", facts.Detail, short(merge))
}

func TestFilePerEnvironment(t *testing.T) {
	r := newRepo(t)
	r.write("services/ai/tag.staging.env", "AI_TAG=2\n")
	r.write("services/ai/tag.prod.env", "AI_TAG=1\n")
	r.commit("both")
	r.write("services/ai/tag.prod.env", "AI_TAG=2\n")
	r.commit("promote")
	layout := func(c *Config) {
		c.Branches, c.Branch = nil, "master"
		c.Files = map[string]string{"staging": "services/*/tag.staging.env", "prod": "services/*/tag.prod.env"}
	}
	facts := observe(t, newSource(t, r.dir, options{change: layout}))
	want(t, "prod", history(facts, "prod", "ai"), "2 1")
	want(t, "staging", history(facts, "staging", "ai"), "2")
}

func TestOddFiles(t *testing.T) {
	r := newRepo(t)
	r.tag("empty", "1.0")
	r.tag("gap", "1.0")
	r.tag("link", "1.0")
	r.tag("gone", "1.0")
	r.write("services/größe \"x\"/tag.env", "T=7\n")
	r.write("tags.env", "NOT=one\n")
	r.write("services/deep/er/tag.env", "NOT=one\n")
	r.commit("more")
	r.write("services/empty/tag.env", "")
	r.write("services/gap/tag.env", "<<<<<<< HEAD\n")
	if err := os.Remove(filepath.Join(r.dir, "services/link/tag.env")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../gap/tag.env", filepath.Join(r.dir, "services/link/tag.env")); err != nil {
		t.Fatal(err)
	}
	r.git("rm", "--quiet", "services/gone/tag.env")
	r.author = "Ma\x1b[31mllory\u202e"
	r.commit("break \x1b]0;things\x07")
	r.author = "Ana"
	r.tag("gap", "1.0")

	facts := observe(t, newSource(t, r.dir, options{}))
	want(t, "empty", history(facts, "prod", "empty"), "unknown 1.0 ! services/empty/tag.env: empty: no tag is set")
	want(t, "gap", history(facts, "prod", "gap"), "1.0")
	want(t, "link", history(facts, "prod", "link"), "unknown 1.0 ! services/link/tag.env: a link or a submodule, not a file")
	want(t, "gone", history(facts, "prod", "gone"), "none")
	want(t, "unicode", history(facts, "prod", "größe \"x\""), "7")
	if n := len(facts.Histories); n != 4 {
		t.Errorf("%d services, want 4: %+v", n, facts.Histories)
	}
	all := whats(facts)
	for _, line := range []string{
		"gone@prod 1.0 removed: break ]0;things (Ma[31mllory)",
		"empty@prod 1.0 → unreadable: break ]0;things (Ma[31mllory)",
		"gap@prod unreadable → 1.0: gap: 1.0 (Ana)",
		"gap@prod 1.0 added: gap: 1.0 (Ana)",
	} {
		if !strings.Contains(all+"\n", line+"\n") {
			t.Errorf("no change %q in\n%s", line, all)
		}
	}
}

func TestIncrementalAndForcePush(t *testing.T) {
	r := newRepo(t)
	r.tag("ai", "1")
	start := r.git("rev-parse", "HEAD")
	r.tag("ai", "2")
	cache := t.TempDir()
	s := newSource(t, r.dir, options{cache: cache})
	want(t, "first", history(observe(t, s), "prod", "ai"), "2 1")
	r.tag("ai", "3")
	r.tag("db", "9")
	again := observe(t, s)
	want(t, "grown", history(again, "prod", "ai"), "3 2 1")
	want(t, "grown, new service", history(again, "prod", "db"), "9")

	// Another process starts from what the first one left on disk.
	other := newSource(t, r.dir, options{cache: cache})
	if got := other.load()["master"]; got == nil || len(got.Files) != 1 {
		t.Fatalf("nothing useful on disk: %+v", got)
	}
	whole := observe(t, newSource(t, r.dir, options{}))
	if diff := cmp.Diff(whole.Histories, observe(t, other).Histories); diff != "" {
		t.Errorf("incremental differs from whole: %s", diff)
	}

	r.git("reset", "--quiet", "--hard", start)
	r.tag("ai", "2b")
	want(t, "force pushed", history(observe(t, s), "prod", "ai"), "2b 1")

	// The old head becomes a second parent: along first parents it is another story.
	r.git("checkout", "--quiet", "-b", "other", start)
	r.tag("ai", "5")
	r.git("merge", "--quiet", "--no-ff", "--strategy=ours", "--message", "swap", "master")
	r.git("branch", "--force", "master", "other")
	foxtrot := observe(t, s)
	want(t, "swapped parents", history(foxtrot, "prod", "ai"), "5 1")
	r.git("checkout", "--quiet", "master")
	r.git("rm", "--quiet", "-r", "services/ai")
	r.commit("ai is gone")
	want(t, "removed", history(observe(t, s), "prod", "ai"), "none")
	r.tag("ai", "5")
	want(t, "back", history(observe(t, s), "prod", "ai"), "5 1")
}

func TestImageFollowsTheServiceFile(t *testing.T) {
	r := newRepo(t)
	image := func(f fleet.Facts, service string) string {
		for _, h := range f.Histories {
			if h.Subject.Service == service {
				return h.Releases[0].Image
			}
		}
		return "no such service"
	}
	r.tag("ai", "1")
	s := newSource(t, r.dir, options{})
	want(t, "no file", image(observe(t, s), "ai"), "")
	r.write("services/ai/service.yml", "services: {ai: {image: 'x/ai:${AI_TAG}'}}")
	r.commit("file")
	want(t, "a file came", image(observe(t, s), "ai"), "x/ai")
	r.write("services/db/compose.yaml", "services: {db: {image: 'x/db:${DB_TAG}'}}")
	r.tag("db", "1")
	facts := observe(t, s)
	want(t, "a new service", image(facts, "db"), "x/db")
	want(t, "the old one", image(facts, "ai"), "x/ai")
	r.write("services/ai/tag.env", "OTHER_TAG=1\n")
	r.commit("another key")
	want(t, "another key", image(observe(t, s), "ai"), "")
	r.write("services/ai/service.yml", "services: {ai: {image: 'y/ai:${OTHER_TAG}'}}")
	r.commit("file again")
	want(t, "the file moved", image(observe(t, s), "ai"), "y/ai")
	r.git("rm", "--quiet", "services/ai/service.yml")
	r.commit("file removed")
	want(t, "the file went", image(observe(t, s), "ai"), "")
}

func TestHistoryIsBounded(t *testing.T) {
	r := newRepo(t)
	for _, tag := range []string{"1", "2", "3", "4", "5"} {
		r.tag("ai", tag)
	}
	s := newSource(t, r.dir, options{change: func(c *Config) { c.History = 3 }})
	facts := observe(t, s)
	want(t, "bounded", history(facts, "prod", "ai"), "5 4 3")
	if len(facts.Changes) != 3 || facts.Changes[2].What != "2 → 3: ai: 3" {
		t.Errorf("changes:\n%s", whats(facts))
	}
	r.tag("ai", "6")
	want(t, "grown", history(observe(t, s), "prod", "ai"), "6 5 4")
	// Many edits without a new tag: the releases behind them are still found, in a second look.
	for i := range 6 {
		r.write("services/ai/tag.env", "AI_TAG=6\n"+strings.Repeat("#", i))
		r.commit("words")
	}
	fresh := newSource(t, r.dir, options{change: func(c *Config) { c.History = 3 }})
	facts = observe(t, fresh)
	want(t, "after words", history(facts, "prod", "ai"), "6 5 4")
	want(t, "who introduced it", facts.Histories[0].Releases[0].Subject, "ai: 6")
}

func TestTags(t *testing.T) {
	r := newRepo(t)
	one := r.tag("ai", "1")
	r.git("tag", "v1.0.0")
	r.author = "Ben"
	two := r.tag("ai", "2")
	r.git("tag", "nightly")
	r.git("tag", "v2")
	r.clock = r.clock.Add(time.Hour)
	r.git("tag", "--annotate", "--message", "second", "v1.1.0")
	s := newSource(t, r.dir, options{change: func(c *Config) { c.Tags = "v*.*.*" }})
	want := []fleet.Tag{
		{Name: "v1.1.0", Commit: two, Author: "CI", At: r.clock},
		{Name: "v1.0.0", Commit: one, Author: "Ana", At: time.Date(2026, 3, 1, 12, 1, 0, 0, time.UTC)},
	}
	if diff := cmp.Diff(want, observe(t, s).Tags); diff != "" {
		t.Error(diff)
	}
	r.git("tag", "--delete", "v1.1.0")
	if diff := cmp.Diff(want[1:], observe(t, s).Tags); diff != "" {
		t.Errorf("after a tag was deleted: %s", diff)
	}
}
