package real

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// eventually waits for what must come, however slow the machine: how fast it
// comes is for the benchmarks.
func eventually(t *testing.T, what string, ok func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	start := time.Now()
	if err := until(ctx, what, 250*time.Millisecond, ok); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %.1f s", what, time.Since(start).Seconds())
}

func TestLabHosts(t *testing.T) {
	l, ctx := FromEnv(t), t.Context()
	t.Run("a host key that is not the recorded one is refused", func(t *testing.T) { refusesOtherKey(t, l) })
	ids, keys := map[string]string{}, map[string]string{}
	for _, h := range hostPlans() {
		name, err := l.SSH(ctx, h.name, "hostname")
		if err != nil || strings.TrimSpace(name) != h.name {
			t.Errorf("%s calls itself %q, %v", h.name, name, err)
		}
		key, err := l.SSH(ctx, h.name, "cat", "/etc/ssh/ssh_host_ed25519_key.pub")
		if err != nil || keys[key] != "" {
			t.Errorf("%s has the host key of %q, %v", h.name, keys[key], err)
		}
		keys[key] = h.name
		if h.compose == "" {
			continue
		}
		id, err := l.SSH(ctx, h.name, "docker", "info", "--format", "{{.ID}}")
		if err != nil || id == "" || ids[id] != "" {
			t.Errorf("%s has the engine %q of %q, %v", h.name, id, ids[id], err)
		}
		ids[id] = h.name
		ps, err := l.SSH(ctx, h.name, "docker", "ps", "--format", "{{.Names}} {{.Image}}")
		if err != nil {
			t.Error(err)
		}
		for _, s := range h.runs {
			if want := l.Hosts[h.name].Project + "-" + s + "-1 " + registryName; !strings.Contains(ps, want) {
				t.Errorf("docker ps of %s has no %q:\n%s", h.name, want, ps)
			}
		}
		if _, err := l.SSH(ctx, h.name, "docker", "compose", "-p", l.Hosts[h.name].Project, "-f", checkout+"/"+h.compose, "config", "--quiet"); err != nil {
			t.Error(err)
		}
		if _, err := l.SSH(ctx, h.name, "git", "-C", checkout, "pull", "--quiet", "--ff-only"); err != nil {
			t.Error(err)
		}
		if _, err := l.SSH(ctx, h.name, "docker", "pull", "-q", registryName+"/nexgate/ai-service:0.0.9"); err != nil {
			t.Error(err)
		}
	}
}

func refusesOtherKey(t *testing.T, l *Lab) {
	t.Helper()
	swapped := *l
	swapped.Hosts = map[string]HostState{"prod-1": l.Hosts["prod-1"]}
	other := l.Hosts["prod-2"]
	swapped.Hosts["liar"] = HostState{Address: other.Address}
	wrong, err := newKey("wrong")
	if err != nil {
		t.Fatal(err)
	}
	swapped.KnownHosts = t.TempDir() + "/known_hosts"
	if err := writeFile(swapped.KnownHosts, []byte(other.IP+" "+wrong.public+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = swapped.Dial(t.Context(), "liar")
	if ke := new(knownhosts.KeyError); !errors.As(err, &ke) || len(ke.Want) == 0 {
		t.Errorf("got %v, want a changed host key", err)
	}
}

func TestLabOpsListensOnItsLoopbackOnly(t *testing.T) {
	l, ctx := FromEnv(t), t.Context()
	c := http.Client{Timeout: 2 * time.Second}
	for _, port := range []string{"9090", "3100"} {
		if b, err := httpGet(ctx, &c, "http://"+l.Hosts[ops].IP+":"+port+"/"); err == nil {
			t.Errorf("port %s of ops answers from outside: %.80s", port, b)
		}
	}
	if err := l.Check(ctx); err != nil { // through ops they do: figures and logs of every service
		t.Error(err)
	}
}

func TestLabGitKeyOfTheHostsIsForGitOnly(t *testing.T) {
	l, ctx := FromEnv(t), t.Context()
	out, err := l.SSH(ctx, "prod-1", "ssh", "-o", "BatchMode=yes", "root@"+l.Hosts[ops].IP, "id")
	if err == nil {
		t.Errorf("a host's git key runs commands on ops: %s", out)
	}
	if ee := new(ssh.ExitError); !errors.As(err, &ee) {
		t.Errorf("got %v, want the refusal of git-shell", err)
	}
}

func TestLabBadDeployShowsAndResetUndoesIt(t *testing.T) {
	l, ctx := FromEnv(t), t.Context()
	t.Cleanup(func() { _ = l.Reset(context.WithoutCancel(ctx)) })
	if err := l.Reset(ctx); err != nil {
		t.Fatal(err)
	}
	if err := l.Deploy(ctx, "ai", "prod", BadTag); err != nil {
		t.Fatal(err)
	}
	eventually(t, "500s of ai 0.1.1 in prometheus", func(ctx context.Context) error {
		got, err := l.Query(ctx, `sum by (service) (rate(http_requests_total{env="prod",status=~"5.."}[15s])) / sum by (service) (rate(http_requests_total{env="prod"}[15s]))`, "service")
		if err == nil && got["ai"] < 0.3 {
			err = errors.New("not yet")
		}
		if err == nil && got["backend"] > 0 {
			t.Errorf("backend fails too: %v", got)
		}
		return err
	})
	eventually(t, "its error lines in loki", func(ctx context.Context) error {
		got, err := l.LogQuery(ctx, `sum by (compose_service) (count_over_time({env="prod"} |~ "(?i)error" [1m]))`, "compose_service")
		if err == nil && got["ai"] == 0 {
			err = errors.New("not yet")
		}
		return err
	})
	eventually(t, "the bad release to be healthy all the same", func(ctx context.Context) error {
		return l.healthy(ctx, hostsOf("prod", "ai")[0])
	})
	if err := l.Reset(ctx); err != nil {
		t.Fatal(err)
	}
	image, err := l.SSH(ctx, "prod-1", "docker", "inspect", "-f", "{{.Config.Image}}", "nexgate-prod-ai-1")
	if err != nil || !strings.HasSuffix(strings.TrimSpace(image), ":"+FirstTag) {
		t.Errorf("after Reset prod-1 runs %q, %v", image, err)
	}
	before := containerIDs(t, l, "prod-1")
	if err := l.compose(ctx, "prod-1", "up", "-d"); err != nil {
		t.Fatal(err)
	}
	if after := containerIDs(t, l, "prod-1"); after != before {
		t.Errorf("`up -d` after Reset changed containers:\n%s\n%s", before, after)
	}
}

func containerIDs(t *testing.T, l *Lab, host string) string {
	t.Helper()
	out, err := l.SSH(t.Context(), host, "docker", "ps", "-aq", "--no-trunc")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLabOtherBadReleases(t *testing.T) {
	l, ctx := FromEnv(t), t.Context()
	t.Cleanup(func() { _ = l.Reset(context.WithoutCancel(ctx)) })
	for _, s := range []string{"backend", "file-thunder", "notification"} {
		if err := l.Deploy(ctx, s, "staging", BadTag); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "file-thunder to fail its health", func(ctx context.Context) error {
		return inspect(ctx, l, "file-thunder", func(s containerState) bool { return s.State.Health.Status == "unhealthy" })
	})
	eventually(t, "notification to crash in a loop", func(ctx context.Context) error {
		return inspect(ctx, l, "notification", func(s containerState) bool { return s.RestartCount >= 2 })
	})
	eventually(t, "backend to leak and be killed for it", func(ctx context.Context) error {
		return inspect(ctx, l, "backend", func(s containerState) bool { return s.RestartCount >= 1 })
	})
}

type containerState struct {
	RestartCount int
	State        struct {
		Status string
		Health struct{ Status string }
	}
}

func inspect(ctx context.Context, l *Lab, service string, ok func(containerState) bool) error {
	c := unixClient(l.Hosts["staging"].DockerSocket)
	defer c.CloseIdleConnections()
	b, err := httpGet(ctx, c, "http://engine/containers/nexgate-staging-"+service+"-1/json")
	if err != nil {
		return err
	}
	var s containerState
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if !ok(s) {
		return errors.New("not yet: " + s.State.Status + " " + s.State.Health.Status)
	}
	return nil
}

func TestLabSSHFaultAndItsReturn(t *testing.T) {
	l, ctx := FromEnv(t), t.Context()
	t.Cleanup(func() { _ = l.Reset(context.WithoutCancel(ctx)) })
	t.Run("sshd", func(t *testing.T) {
		c, err := l.Dial(ctx, "prod-1")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if err := l.KillSSHD(ctx, "prod-1"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.SendRequest("keepalive@openssh.com", true, nil); err == nil {
			t.Error("the open connection outlived sshd")
		}
		if _, err := l.Dial(ctx, "prod-1"); err == nil {
			t.Error("a killed sshd answers")
		}
		if err := l.StartSSHD(ctx, "prod-1"); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the lab to be whole", l.Check)
}

func TestLabEngineFaultsAndTheirReturn(t *testing.T) {
	l, ctx := FromEnv(t), t.Context()
	t.Cleanup(func() { _ = l.Reset(context.WithoutCancel(ctx)) })
	t.Run("frozen engine", func(t *testing.T) {
		if err := l.StopEngine("prod-1"); err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := l.healthy(short, hostsOf("prod", "")[0]); err == nil {
			t.Error("a frozen engine answers")
		}
		if err := l.ContEngine("prod-1"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the engine to answer", func(ctx context.Context) error { return l.healthy(ctx, hostsOf("prod", "")[0]) })
	})
	t.Run("killed engine", func(t *testing.T) {
		if err := l.KillEngine(ctx, "prod-2"); err != nil {
			t.Fatal(err)
		}
		if err := l.healthy(ctx, hostsOf("prod", "")[1]); err == nil {
			t.Error("a killed engine answers")
		}
		if err := l.StartEngine(ctx, "prod-2"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "its containers", func(ctx context.Context) error { return l.healthy(ctx, hostsOf("prod", "")[1]) })
	})
	eventually(t, "the lab to be whole", l.Check)
}

func TestLabWatcherFaultsAndTheirReturn(t *testing.T) {
	l, ctx := FromEnv(t), t.Context()
	t.Cleanup(func() { _ = l.Reset(context.WithoutCancel(ctx)) })
	t.Run("prometheus", func(t *testing.T) {
		if err := l.StopPrometheus(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Query(ctx, "up", "job"); err == nil {
			t.Error("a stopped prometheus answers")
		}
		if err := l.StartPrometheus(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Run("loki", func(t *testing.T) {
		if err := l.StopLoki(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := l.LogQuery(ctx, `count_over_time({env="prod"}[1m])`, "host"); err == nil {
			t.Error("a stopped loki answers")
		}
		if err := l.StartLoki(ctx); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the lab to be whole", l.Check)
}

func TestLabRawLineReachesEngineAndLoki(t *testing.T) {
	l, ctx := FromEnv(t), t.Context()
	line := "\x1b]0;owned\x07\x1b[2J escape " + time.Now().Format(time.RFC3339Nano)
	if _, err := l.App(ctx, "ai", "prod-1", "/line", line); err != nil {
		t.Fatal(err)
	}
	out, err := l.SSH(ctx, "prod-1", "docker", "logs", "--since", "1m", "nexgate-prod-ai-1")
	if err != nil || !strings.Contains(out, line) {
		t.Errorf("the engine's log has no such line, %v", err)
	}
	eventually(t, "the line in loki", func(ctx context.Context) error {
		got, err := l.LogQuery(ctx, `sum by (host) (count_over_time({compose_service="ai"} |= "`+line[len(line)-30:]+`" [5m]))`, "host")
		if err == nil && got["prod-1"] != 1 {
			err = errors.New("not yet")
		}
		return err
	})
}
