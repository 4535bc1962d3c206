package real

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Deploy releases a tag of a service in an environment as the estate does: CI
// commits tag.env and pushes, then each host pulls the repo and the image and
// brings the service up. It says nothing of the service's health.
func (l *Lab) Deploy(ctx context.Context, service, env, tag string) error {
	s, err := serviceByName(service)
	if err != nil {
		return err
	}
	hosts := hostsOf(env, service)
	if len(hosts) == 0 {
		return fmt.Errorf("deploy %s: no host of environment %q runs it: environments are %s", service, env, strings.Join(environments(), ", "))
	}
	if err := l.Commit(ctx, hosts[0].branch, fmt.Sprintf("%s: deploy %s to %s", service, tag, env),
		map[string]string{tagFile(service): tagLine(s, tag)}); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, h := range hosts {
		g.Go(func() error {
			if _, err := l.SSH(ctx, h.name, "git", "-C", checkout, "pull", "--quiet", "--ff-only"); err != nil {
				return err
			}
			if err := l.compose(ctx, h.name, "pull", "--quiet", service); err != nil {
				return err
			}
			return l.compose(ctx, h.name, "up", "-d", "--no-deps", service)
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("deploy %s %s to %s: %w", service, tag, env, err)
	}
	return nil
}

// Commit commits files on a branch of the infra repo and pushes, from a clone of its own.
func (l *Lab) Commit(ctx context.Context, branch, subject string, files map[string]string) error {
	dir, err := os.MkdirTemp(l.Root, "ci-")
	if err != nil {
		return fmt.Errorf("commit to %s: %w", branch, err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	env := append(gitEnv(),
		"GIT_AUTHOR_NAME=nexgate-ci", "GIT_AUTHOR_EMAIL=ci@nexgate.lab", "GIT_COMMITTER_NAME=nexgate-ci", "GIT_COMMITTER_EMAIL=ci@nexgate.lab",
		"GIT_SSH_COMMAND=ssh -F none -i "+l.Key+" -o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile="+l.KnownHosts)
	git := func(args ...string) error {
		_, err := runIn(ctx, dir, env, nil, append([]string{"git"}, args...)...)
		return err
	}
	if err := git("clone", "--quiet", "--branch", branch, l.Repo, "."); err != nil {
		return fmt.Errorf("commit to %s: %w", branch, err)
	}
	for path, text := range files {
		if err := writeFile(filepath.Join(dir, path), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := git("add", "--all"); err != nil {
		return fmt.Errorf("commit to %s: %w", branch, err)
	}
	if git("diff", "--cached", "--quiet") == nil {
		return nil // it says so already
	}
	if err := git("commit", "--quiet", "-m", subject); err != nil {
		return fmt.Errorf("commit to %s: %w", branch, err)
	}
	if err := git("push", "--quiet", "origin", "HEAD:"+branch); err != nil {
		return fmt.Errorf("commit to %s: %w", branch, err)
	}
	return nil
}

// compose runs docker compose on the host's own stack.
func (l *Lab) compose(ctx context.Context, host string, args ...string) error {
	h, err := l.host(host)
	if err != nil {
		return err
	}
	argv := []string{"docker", "compose", "--progress", "quiet", "-p", h.Project, "-f", checkout + "/" + h.Compose}
	_, err = l.SSH(ctx, host, append(argv, args...)...)
	return err
}

// Reset undoes every fault and deploy: servers run, branches and checkouts are
// as at first, every service runs FirstTag in a container that never failed.
func (l *Lab) Reset(ctx context.Context) error {
	if err := l.Mend(ctx); err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	for branch, commit := range l.Refs {
		if _, err := runIn(ctx, l.RepoDir, gitEnv(), nil, "git", "update-ref", "refs/heads/"+branch, commit); err != nil {
			return fmt.Errorf("reset: %w", err)
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, h := range hostPlans() {
		if h.compose != "" {
			g.Go(func() error { return l.resetHost(gctx, h) })
		}
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("reset: %w", err)
	}
	if err := l.WaitWhole(ctx); err != nil {
		return err
	}
	return l.waitQuiet(ctx)
}

// waitQuiet waits until what failed before has left the windows that are looked
// at (15 s of figures, a minute of log lines): the next test begins with a clean past.
func (l *Lab) waitQuiet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return until(ctx, "the failures of before to pass", 500*time.Millisecond, func(ctx context.Context) error {
		for _, promql := range []string{
			`sum by (service) (rate(http_requests_total{status=~"5.."}[15s])) > 0`,
			`histogram_quantile(0.95, sum by (service, le) (rate(http_request_duration_seconds_bucket[15s]))) > 1`,
		} {
			if err := none(l.Query(ctx, promql, "service")); err != nil {
				return fmt.Errorf("%s: %w", promql, err)
			}
		}
		const logql = `sum by (compose_service) (count_over_time({env=~".+"} |~ "(?i)error|fatal|panic" [1m]))`
		if err := none(l.LogQuery(ctx, logql, "compose_service")); err != nil {
			return fmt.Errorf("%s: %w", logql, err)
		}
		return nil
	})
}

func none(got map[string]float64, err error) error {
	if err == nil && len(got) > 0 {
		return fmt.Errorf("still %v", got)
	}
	return err
}

func (l *Lab) resetHost(ctx context.Context, h hostPlan) error {
	for _, argv := range [][]string{
		{"git", "-C", checkout, "fetch", "--quiet", "origin"},
		{"git", "-C", checkout, "checkout", "--quiet", "--force", h.branch},
		{"git", "-C", checkout, "reset", "--quiet", "--hard", "origin/" + h.branch},
		{"git", "-C", checkout, "clean", "-ffdxq"},
		{"rm", "-rf", "/tmp/nexops-locks"},
	} {
		if _, err := l.SSH(ctx, h.name, argv...); err != nil {
			return err
		}
	}
	if err := l.removeFront(ctx, h.name); err != nil {
		return err
	}
	if err := l.removeStrangers(ctx, h); err != nil {
		return err
	}
	worn, err := l.worn(ctx, h.name)
	if err != nil {
		return err
	}
	if len(worn) > 0 {
		if _, err := l.SSH(ctx, h.name, append([]string{"docker", "rm", "-f"}, worn...)...); err != nil {
			return err
		}
	}
	if err := l.compose(ctx, h.name, "up", "-d", "--quiet-pull", "--remove-orphans"); err != nil {
		return err
	}
	for _, s := range h.runs {
		if _, err := l.App(ctx, s, h.name, "/fix", ""); err != nil {
			// Just started: a fresh container has nothing to fix, WaitWhole sees to the rest.
			continue
		}
	}
	return nil
}

// removeStrangers takes away the containers of other Compose projects than the estate's: a test that was killed has left them, and
// the host would never be whole.
func (l *Lab) removeStrangers(ctx context.Context, h hostPlan) error {
	const list = `docker ps -a --format '{{.Label "com.docker.compose.project"}} {{.ID}}'`
	script := list + ` | awk '$1 != "nexgate-` + h.env + `" && NF == 2 {print $2}' | xargs -r docker rm -f`
	if _, err := l.SSH(ctx, h.name, "sh", "-c", script); err != nil {
		return fmt.Errorf("remove what is not the estate's on %s: %w", h.name, err)
	}
	return nil
}

// worn are the containers with a past that `up` would keep: restarted, ended or paused.
func (l *Lab) worn(ctx context.Context, host string) ([]string, error) {
	h, err := l.host(host)
	if err != nil {
		return nil, err
	}
	client := unixClient(h.DockerSocket)
	defer client.CloseIdleConnections()
	b, err := httpGet(ctx, client, "http://engine/containers/json?all=1")
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", host, err)
	}
	var all []struct{ ID string }
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("look at %s: %w", host, err)
	}
	var out []string
	for _, c := range all {
		b, err := httpGet(ctx, client, "http://engine/containers/"+c.ID+"/json")
		if err != nil {
			continue // gone meanwhile
		}
		var i struct {
			RestartCount int
			State        struct {
				Status    string
				StartedAt time.Time
			}
			Created time.Time
		}
		if err := json.Unmarshal(b, &i); err != nil {
			return nil, fmt.Errorf("look at %s: %w", host, err)
		}
		if i.RestartCount > 0 || i.State.Status != "running" || i.State.StartedAt.Sub(i.Created) > 30*time.Second {
			out = append(out, c.ID)
		}
	}
	return out, nil
}
