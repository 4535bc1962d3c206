package real

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// commit is one entry of the infra repo's history.
type commit struct {
	author  string // "Name <mail>"
	at      time.Time
	subject string
	files   map[string]string // path to content
}

const (
	ci    = "nexgate-ci <ci@nexgate.lab>"
	amina = "Amina Diallo <amina@nexgate.lab>"
	jonas = "Jonas Weber <jonas@nexgate.lab>"
	priya = "Priya Nair <priya@nexgate.lab>"
)

// history is both branches as they grew: staging gets every release from CI,
// master (prod) the same one later, by a person.
func history(now time.Time) map[string][]commit {
	start := now.Add(-30 * 24 * time.Hour).Truncate(time.Minute)
	first := commit{author: amina, at: start, subject: "the estate as files: base stack, four services", files: layout()}
	for _, s := range servicePlans() {
		first.files[tagFile(s.name)] = tagLine(s, s.tags[0])
	}
	out := map[string][]commit{"staging": {first}, "master": {first}}
	people := []string{jonas, priya, amina}
	at := start.Add(26 * time.Hour)
	pr := 11
	for round := 1; round < 4; round++ {
		for _, s := range servicePlans() {
			if round >= len(s.tags) {
				continue
			}
			tag := s.tags[round]
			files := map[string]string{tagFile(s.name): tagLine(s, tag)}
			out["staging"] = append(out["staging"], commit{
				author: ci, at: at, files: files, subject: fmt.Sprintf("%s: deploy %s to staging", s.name, tag),
			})
			out["master"] = append(out["master"], commit{
				author: people[pr%len(people)], at: at.Add(20 * time.Hour), files: files,
				subject: fmt.Sprintf("%s: promote %s to prod (#%d)", s.name, tag, pr),
			})
			pr++
			at = at.Add(47*time.Hour + 13*time.Minute)
		}
	}
	return out
}

func tagFile(service string) string            { return "services/" + service + "/tag.env" }
func tagLine(s servicePlan, tag string) string { return s.key() + "=" + tag + "\n" }

// layout is every file of the repo but the tags.
func layout() map[string]string {
	out := map[string]string{
		"README.md": "# nexgate-infra\n\nWhat runs where. `services/*/tag.env` is written by CI; branch staging is staging, master is prod.\n",
	}
	for _, s := range servicePlans() {
		out["services/"+s.name+"/service.yml"] = serviceYML(s)
		out["services/"+s.name+"/config.env"] = "LOG_LEVEL=info\nTZ=UTC\n"
	}
	for _, h := range hostPlans() {
		if h.compose != "" {
			out[h.compose] = stackYML(h)
		}
	}
	return out
}

func serviceYML(s servicePlan) string {
	return fmt.Sprintf(`services:
  %s:
    image: %s/%s:${%s:-latest}
    restart: unless-stopped
    env_file: config.env
    ports: ["%d:8080"]
    mem_limit: 128m
    cpus: 0.5
    stop_grace_period: 3s
    healthcheck:
      test: ["CMD", "/app", "-healthcheck"]
      interval: 3s
      timeout: 2s
      retries: 2
      start_period: 2s
    labels:
      nexgate.team: platform
`, s.name, registryName, s.image, s.key(), s.port)
}

func stackYML(h hostPlan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s: docker compose -p nexgate-%s -f %s up -d\ninclude:\n", h.name, h.env, h.compose)
	for _, name := range h.runs {
		d := "../services/" + name
		fmt.Fprintf(&b, "  - path: %s/service.yml\n    env_file: [%s/tag.env, %s/config.env]\n", d, d, d)
	}
	return b.String()
}

// fastImport writes the history as `git fast-import` reads it: one process for all of it.
func fastImport(branches map[string][]commit) []byte {
	var b strings.Builder
	for _, branch := range slices.Sorted(maps.Keys(branches)) {
		fmt.Fprintf(&b, "reset refs/heads/%s\n\n", branch)
		for _, c := range branches[branch] {
			fmt.Fprintf(&b, "commit refs/heads/%s\nauthor %s %d +0000\ncommitter %s %d +0000\n", branch, c.author, c.at.Unix(), c.author, c.at.Unix())
			data(&b, c.subject+"\n")
			for _, path := range slices.Sorted(maps.Keys(c.files)) {
				fmt.Fprintf(&b, "M 100644 inline %s\n", path)
				data(&b, c.files[path])
			}
			b.WriteString("\n")
		}
	}
	return []byte(b.String())
}

func data(b *strings.Builder, s string) { fmt.Fprintf(b, "data %d\n%s\n", len(s), s) }

// gitEnv keeps the machine's own git settings out.
func gitEnv() []string {
	return []string{"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_TERMINAL_PROMPT=0", "HOME=/nonexistent"}
}

// makeRepo makes the bare repo on ops and gives the first commit of each branch head.
func (u *upper) makeRepo(ctx context.Context, now time.Time) (string, map[string]string, error) {
	dir := filepath.Join(u.host(ops), repoPath)
	if _, err := runIn(ctx, "", gitEnv(), nil, "git", "init", "--quiet", "--bare", "--initial-branch=master", dir); err != nil {
		return dir, nil, fmt.Errorf("make the infra repo: %w", err)
	}
	branches := history(now)
	if _, err := runIn(ctx, dir, gitEnv(), fastImport(branches), "git", "fast-import", "--quiet"); err != nil {
		return dir, nil, fmt.Errorf("make the infra repo: %w", err)
	}
	// A service's first release as a git tag, as estates that release by tag have them.
	refs := map[string]string{}
	for branch := range branches {
		out, err := runIn(ctx, dir, gitEnv(), nil, "git", "rev-parse", "refs/heads/"+branch)
		if err != nil {
			return dir, nil, fmt.Errorf("make the infra repo: %w", err)
		}
		refs[branch] = strings.TrimSpace(out)
	}
	if _, err := runIn(ctx, dir, gitEnv(), nil, "git", "tag", "v0.1.0", refs["master"]); err != nil {
		return dir, nil, fmt.Errorf("make the infra repo: %w", err)
	}
	return dir, refs, nil
}
