package git

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/lab/real"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// The lab's infra repository, behind the ssh of its ops host, as the console is configured for it.
func TestRealLab(t *testing.T) {
	lab := real.FromEnv(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	off := false
	pool := remote.NewPool(map[string]remote.Config{"ops": {
		Address: lab.Hosts["ops"].Address, User: "root", IdentityFiles: []string{lab.Key}, KnownHosts: []string{lab.KnownHosts}, Agent: &off,
	}}, remote.Options{})
	t.Cleanup(func() { _ = pool.Close() })
	cfg := DefaultConfig()
	cfg.URL, cfg.Via = lab.Repo, "ops"
	cfg.Branches = map[string]string{"staging": "staging", "prod": "master"}
	if errs := cfg.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	deps := sources.Deps{Environment: "prod", Environments: []string{"staging", "prod"}, CacheDir: t.TempDir(), Host: pool.Host}
	built, err := Kind().Build("infra", cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	s := built[0].(*source)

	before := observe(t, s)
	release := desired(t, before, "prod", "ai")
	if release.Tag == "" || !strings.HasPrefix(release.Image, lab.Registry+"/") || release.Author == "" || len(release.Commit) != 40 {
		t.Fatalf("desired of ai: %+v", release)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		if err := lab.Reset(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := lab.Commit(ctx, "master", "ai: a release of the test's", map[string]string{"services/ai/tag.env": "AI_TAG=9.9.9\n"}); err != nil {
		t.Fatal(err)
	}
	after := observe(t, s)
	now := desired(t, after, "prod", "ai")
	if now.Tag != "9.9.9" || now.Subject != "ai: a release of the test's" || now.Image != release.Image {
		t.Errorf("desired of ai: %+v", now)
	}
	if c := after.Changes[0]; c.What != release.Tag+" → 9.9.9: ai: a release of the test's" || c.From != release {
		t.Errorf("newest change: %+v", c)
	}
	if before.Detail == after.Detail {
		t.Errorf("the head stayed %s", before.Detail)
	}
	want(t, "staging", history(after, "staging", "ai"), history(before, "staging", "ai"))
}

func desired(t *testing.T, f fleet.Facts, env, service string) fleet.Release {
	t.Helper()
	for _, h := range f.Histories {
		if h.Subject.Environment == env && h.Subject.Service == service && len(h.Releases) > 0 {
			return h.Releases[0]
		}
	}
	t.Fatalf("no release of %s in %s: %+v", service, env, f.Histories)
	return fleet.Release{}
}
