package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/lab/real"
)

// TestLabSyncOnCheckouts: the prod branch moves ahead for two services, on real hosts. S shows how, brings both up in order
// and watches each; when the second goes wrong the first stays, and it is said which is which.
func TestLabSyncOnCheckouts(t *testing.T) {
	lab, nexops := inLab(t)
	raw, err := os.ReadFile(lab.Config)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(config, []byte(string(raw)+"\n[actions.sync]\nsoak = \"6s\"\nstart = \"40s\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sync := func(args ...string) (string, int) {
		return output(t, nexops(append(args, "--config", config)...))
	}
	push := func(tags ...string) {
		t.Helper()
		files := map[string]string{}
		for i := 0; i < len(tags); i += 2 {
			files["services/"+tags[i]+"/tag.env"] = strings.ToUpper(tags[i]) + "_TAG=" + tags[i+1] + "\n"
		}
		if err := lab.Commit(t.Context(), "master", "prod: "+strings.Join(tags, " "), files); err != nil {
			t.Fatal(err)
		}
	}
	push("ai", "0.1.2", "backend", "0.1.2")
	text, code := sync("plan", "sync")
	for _, want := range []string{"sync prod: ai, then backend", "-AI_TAG=0.1.0", "+AI_TAG=0.1.2", "+BACKEND_TAG=0.1.2", "backend on prod-2: 0.1.0 becomes 0.1.2"} {
		if code != 0 || !strings.Contains(text, want) {
			t.Fatalf("plan: %d, %q is not in\n%s", code, want, text)
		}
	}
	if text, code = sync("sync", "--confirm", "sync@prod"); code != 0 || !strings.Contains(text, "ended: good") {
		t.Fatalf("sync: %d\n%s", code, text)
	}
	runs(t, lab, "prod-1", "ai", "0.1.2")
	runs(t, lab, "prod-1", "backend", "0.1.2")
	runs(t, lab, "prod-2", "backend", "0.1.2")

	push("ai", "0.1.0", "notification", "0.1.1") // notification 0.1.1 crashes, again and again
	text, code = sync("sync", "--confirm", "sync@prod")
	if code == 0 || !strings.Contains(text, "ai: good") || !strings.Contains(text, "notification: ") || strings.Contains(text, "ended: good") {
		t.Fatalf("the second goes wrong: %d\n%s", code, text)
	}
	runs(t, lab, "prod-1", "ai", "0.1.0")
	t.Logf("%s", text[max(0, strings.LastIndex(text, "ended:")-200):])
}

// TestLabSyncStartsWhatIsNew: git declares a service for a host that has no container of it. S shows it, starts it and watches
// it; when git removes it again that is said, and it is left running.
func TestLabSyncStartsWhatIsNew(t *testing.T) {
	lab, nexops := inLab(t)
	raw, err := os.ReadFile(lab.Config)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(config, []byte(string(raw)+"\n[actions.sync]\nsoak = \"4s\"\nstart = \"40s\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = lab.SSH(context.Background(), "prod-2", "docker", "rm", "-f", "nexgate-prod-search-1") })
	stack, err := lab.SSH(t.Context(), "prod-2", "cat", "/opt/nexgate-infra/prod/prod-2.yml")
	if err != nil {
		t.Fatal(err)
	}
	service := "services:\n  search:\n    image: " + lab.Registry + "/nexgate/ai-service:${SEARCH_TAG:-latest}\n    restart: unless-stopped\n"
	if err := lab.Commit(t.Context(), "master", "prod: search is new", map[string]string{
		"services/search/service.yml": service, "services/search/tag.env": "SEARCH_TAG=0.1.0\n", "services/ai/tag.env": "AI_TAG=0.1.2\n",
		"prod/prod-2.yml": stack + "  - path: ../services/search/service.yml\n    env_file: ../services/search/tag.env\n",
	}); err != nil {
		t.Fatal(err)
	}
	text, code := output(t, nexops("plan", "sync", "--config", config))
	for _, want := range []string{"sync prod: ai, then search", "new: services/search/service.yml declares it", "/nexgate/ai-service:0.1.0 is started", "+SEARCH_TAG=0.1.0"} {
		if code != 0 || !strings.Contains(text, want) {
			t.Fatalf("plan: %d, %q is not in\n%s", code, want, text)
		}
	}
	if text, code = output(t, nexops("sync", "--confirm", "sync@prod", "--config", config)); code != 0 || !strings.Contains(text, "ended: good") {
		t.Fatalf("sync: %d\n%s", code, text)
	}
	runs(t, lab, "prod-1", "ai", "0.1.2")
	runs(t, lab, "prod-2", "search", "0.1.0")
	if err := lab.Commit(t.Context(), "master", "prod: search is no more", map[string]string{"prod/prod-2.yml": stack}); err != nil {
		t.Fatal(err)
	}
	if text, code = output(t, nexops("plan", "sync", "--config", config)); code == 0 || !strings.Contains(text, "git has removed what is left running: search on prod-2") {
		t.Fatalf("plan: %d\n%s", code, text)
	}
	runs(t, lab, "prod-2", "search", "0.1.0")
}

func runs(t *testing.T, lab *real.Lab, host, service, tag string) {
	t.Helper()
	out, err := lab.SSH(t.Context(), host, "docker", "ps", "--filter", "label=com.docker.compose.service="+service, "--format", "{{.Image}}")
	if err != nil || !strings.Contains(out, ":"+tag) {
		t.Errorf("%s on %s runs %q, not %s: %v", service, host, out, tag, err)
	}
}
