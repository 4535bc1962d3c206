package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLabPromote takes what staging really runs to prod: real containers, the real registry, and git over ssh.
func TestLabPromote(t *testing.T) {
	lab, nexops := inLab(t)
	ctx := t.Context()
	text, err := os.ReadFile(lab.Config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.toml")
	with := func(more string) func(args ...string) *exec.Cmd {
		if err := os.WriteFile(file, append(text, "\n[actions.promote]\n"+more...), 0o600); err != nil {
			t.Fatal(err)
		}
		return func(args ...string) *exec.Cmd {
			cmd := nexops(args...)
			cmd.Args[2] = file
			return cmd
		}
	}
	wanted := func(branch string) string {
		t.Helper()
		out, err := lab.SSH(ctx, "ops", "git", "--git-dir=/srv/git/nexgate-infra.git", "show", branch+":services/ai/tag.env")
		if err != nil {
			t.Fatalf("%s: %v", branch, err)
		}
		return strings.TrimSpace(out)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := lab.SSH(ctx, "ops", "git", "--git-dir=/srv/git/nexgate-infra.git", "branch", "-q", "-D", "promote/ai-0.1.2"); err != nil {
			t.Logf("the branch of the promotion: %v", err)
		}
	})
	if err := lab.Deploy(ctx, "ai", "staging", "0.1.2"); err != nil {
		t.Fatal(err)
	}
	plan := with("way = \"push\"\n")("plan", "promote", "ai")
	for deadline := time.Now().Add(within); ; {
		out, code := output(t, plan)
		if code == 0 && strings.Contains(out, "same artifact") && strings.Contains(out, "sha256:") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("plan: exit code %d\n%s", code, out)
		}
		time.Sleep(time.Second) // its health check has to pass first
		plan = with("way = \"push\"\n")("plan", "promote", "ai")
	}
	if got := wanted("master"); !strings.HasSuffix(got, "=0.1.0") {
		t.Errorf("a plan changed master: %s", got)
	}
	const link = "https://github.com/nexgate-hq/infra/compare/master...promote/ai-0.1.2?expand=1"
	request := with("[actions.promote.github]\nrepository = \"nexgate-hq/infra\"\n")
	if out, code := output(t, request("promote", "ai", "--confirm", "ai@prod")); code != 0 || !strings.Contains(out, link) {
		t.Errorf("on a branch: exit code %d\n%s", code, out)
	}
	if got := wanted("promote/ai-0.1.2"); !strings.HasSuffix(got, "=0.1.2") || !strings.HasSuffix(wanted("master"), "=0.1.0") {
		t.Errorf("the branch has %s, master %s", got, wanted("master"))
	}
	if out, code := output(t, with("way = \"push\"\n")("promote", "ai", "--confirm", "ai@prod")); code != 0 {
		t.Errorf("straight: exit code %d\n%s", code, out)
	}
	if got := wanted("master"); !strings.HasSuffix(got, "=0.1.2") {
		t.Errorf("master has %s", got)
	}
	if out, err := lab.SSH(ctx, "prod-1", "docker", "ps", "--filter", "label=com.docker.compose.service=ai", "--format", "{{.Image}}"); err != nil || !strings.Contains(out, ":0.1.0") {
		t.Errorf("a promotion restarted something: %s %v", out, err)
	}
}

// TestLabPromoteSeveralPlatforms takes an image for several platforms to prod, by the digest of the whole, and takes that back.
func TestLabPromoteSeveralPlatforms(t *testing.T) {
	lab, nexops := inLab(t)
	ctx := t.Context()
	text, err := os.ReadFile(lab.Config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, append(text, "\n[actions.promote]\nway = \"push\"\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, int) {
		cmd := nexops(args...)
		cmd.Args[2] = file
		return output(t, cmd)
	}
	digest := putList(t, "http://"+lab.RegistryAddr+"/v2/nexgate/ai-service/manifests/", "0.1.2", "0.1.2-all")
	if err := lab.Deploy(ctx, "ai", "staging", "0.1.2-all"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(within); ; time.Sleep(time.Second) {
		out, code := run("plan", "promote", "ai")
		if code == 0 && strings.Contains(out, "same artifact") && strings.Contains(out, digest) && strings.Contains(out, "for linux/amd64") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("plan: exit code %d, not %s\n%s", code, digest, out)
		}
	}
	wanted := func() string {
		t.Helper()
		out, err := lab.SSH(ctx, "ops", "git", "--git-dir=/srv/git/nexgate-infra.git", "show", "master:services/ai/tag.env")
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out)
	}
	if out, code := run("promote", "ai", "--confirm", "ai@prod"); code != 0 || wanted() != "AI_TAG=0.1.2-all" {
		t.Fatalf("promote: exit code %d, master has %s\n%s", code, wanted(), out)
	}
	if out, code := run("undo", "ai", "--confirm", "ai@prod"); code != 0 || wanted() != "AI_TAG=0.1.0" || !strings.Contains(out, "take the promotion of ai to prod back: 0.1.2-all → 0.1.0") {
		t.Errorf("undo: exit code %d, master has %s\n%s", code, wanted(), out)
	}
}

// putList puts an image for several platforms into the registry: that of a tag for this machine's, and one for another.
func putList(t *testing.T, manifests, of, tag string) (digest string) {
	t.Helper()
	const single, list = "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json"
	ask := func(ctx context.Context, method, name, kind string, body []byte) ([]byte, string) {
		req, err := http.NewRequestWithContext(ctx, method, manifests+name, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", kind)
		req.Header.Set("Content-Type", kind)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode >= http.StatusBadRequest {
			t.Fatalf("%s %s: %s: %s %v", method, name, res.Status, b, err)
		}
		return b, res.Header.Get("Docker-Content-Digest")
	}
	raw, child := ask(t.Context(), http.MethodGet, of, single, nil)
	entry := `{"mediaType":%q,"size":%d,"digest":%q,"platform":{"architecture":%q,"os":"linux"}}`
	body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[`+entry+`,`+entry+`]}`,
		list, single, len(raw), child, "amd64", single, len(raw), child, "riscv64")
	_, digest = ask(t.Context(), http.MethodPut, tag, list, []byte(body))
	t.Cleanup(func() { ask(context.Background(), http.MethodDelete, digest, list, nil) })
	return digest
}
