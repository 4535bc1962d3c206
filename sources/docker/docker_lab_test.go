package docker

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/lab/real"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// labSources are the sources of the lab's prod hosts, over SSH.
func labSources(t *testing.T) (*real.Lab, map[string]*source) {
	t.Helper()
	l := real.FromEnv(t)
	if err := l.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := l.Reset(ctx); err != nil {
			t.Error(err)
		}
	})
	names, no := []string{"prod-1", "prod-2"}, false
	hosts := map[string]remote.Config{}
	for _, name := range names {
		hosts[name] = remote.Config{
			Address: l.Hosts[name].Address, User: "root", IdentityFiles: []string{l.Key}, KnownHosts: []string{l.KnownHosts}, Agent: &no,
			ConnectTimeout: remote.Duration(5 * time.Second), Keepalive: remote.Duration(time.Second),
		}
	}
	pool := remote.NewPool(hosts, remote.ProcessOptions())
	t.Cleanup(func() { _ = pool.Close() })
	built, err := Kind().Build("docker", Kind().NewConfig(), sources.Deps{Environment: "prod", Hosts: names, Host: pool.Host, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*source{}
	for _, b := range built {
		if s, ok := b.(*source); ok {
			t.Cleanup(s.engine.reset)
			out[s.host] = s
		}
	}
	return l, out
}

func service(f fleet.Facts, name string) fleet.Instance {
	for _, in := range f.Instances {
		if in.Subject.Service == name {
			return in
		}
	}
	return fleet.Instance{}
}

// A deploy by Compose v2 over SSH: the facts, the change with both digests, and a log that
// goes on across the re-creation.
func TestLabDeploy(t *testing.T) {
	l, srcs := labSources(t)
	s := srcs["prod-1"]
	pokes := watch(t, s)
	f := observe(t, s)
	before := service(f, "ai")
	if before.Release.Tag != real.FirstTag || !strings.HasPrefix(before.Release.Digest, "sha256:") || before.State != fleet.StateRunning || before.Health != fleet.HealthHealthy {
		t.Fatalf("ai: %+v", before)
	}
	q := sources.LogQuery{
		Service: fleet.ServiceKey{Environment: "prod", Name: "ai"}, Follow: true, Tail: 10,
		Subjects: []fleet.Subject{before.Subject},
	}
	var log tailing
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := sources.TailAll(ctx, []sources.LogTailer{srcs["prod-1"], srcs["prod-2"]}, q, log.add); err != nil {
			t.Error(err)
		}
	})
	defer func() {
		cancel()
		wg.Wait()
	}()
	if err := l.Deploy(t.Context(), "ai", "prod", "0.1.2"); err != nil {
		t.Fatal(err)
	}
	f = eventually(t, s, pokes, "the deploy", func(f fleet.Facts) bool {
		in := service(f, "ai")
		return in.Release.Tag == "0.1.2" && in.State == fleet.StateRunning
	})
	c := newest(f, fleet.ChangeDeploy)
	if c.Subject.Service != "ai" || c.From.Digest != before.Release.Digest || c.To.Digest == c.From.Digest || c.What != real.FirstTag+" → 0.1.2" {
		t.Errorf("change: %+v", c)
	}
	if got := service(f, "ai").Life.Exits; len(got) != 0 {
		t.Errorf("a deploy counts as unexpected ends: %v", got)
	}
	log.wait(t, "the log across the re-creation", func(s string) bool {
		_, after, ok := strings.Cut(s, "re-created as")
		return ok && strings.Count(after, "\n") > 3
	})
}

// A release that crashes is taken back: its ends are not held against the one that runs now.
func TestLabEndsOfAReleaseThatWasTakenBack(t *testing.T) {
	l, srcs := labSources(t)
	s := srcs["prod-1"]
	pokes := watch(t, s)
	if err := l.Deploy(t.Context(), "notification", "prod", real.BadTag); err != nil {
		t.Fatal(err)
	}
	eventually(t, s, pokes, "the crash loop", func(f fleet.Facts) bool { return len(service(f, "notification").Life.Exits) > 1 })
	if err := l.Deploy(t.Context(), "notification", "prod", real.FirstTag); err != nil {
		t.Fatal(err)
	}
	f := eventually(t, s, pokes, "the good release", func(f fleet.Facts) bool {
		in := service(f, "notification")
		return in.Release.Tag == real.FirstTag && in.State == fleet.StateRunning
	})
	if got := service(f, "notification").Life.Exits; len(got) != 0 {
		t.Errorf("the good release has unexpected ends: %v", got)
	}
}

// sshd dies with every connection, the engine is killed: errors that name the host, and a return by itself.
func TestLabHostLost(t *testing.T) {
	l, srcs := labSources(t)
	s := srcs["prod-1"]
	observe(t, s)
	log := startTail(t, s, sources.LogQuery{
		Service: fleet.ServiceKey{Environment: "prod", Name: "backend"}, Follow: true, Tail: 3,
		Subjects: []fleet.Subject{service(observe(t, s), "backend").Subject},
	})
	log.wait(t, "history", func(s string) bool { return strings.Count(s, "\n") >= 3 })
	if err := l.KillSSHD(t.Context(), "prod-1"); err != nil {
		t.Fatal(err)
	}
	log.wait(t, "the gap", func(s string) bool { return strings.Contains(s, "log interrupted") })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	_, err := s.Observe(ctx)
	cancel()
	if err == nil || !strings.HasPrefix(err.Error(), "docker prod-1: ") {
		t.Errorf("without sshd: %v", err)
	}
	t.Logf("without sshd: %v", err)
	if err := l.StartSSHD(t.Context(), "prod-1"); err != nil {
		t.Fatal(err)
	}
	log.wait(t, "the return", func(s string) bool {
		_, after, ok := strings.Cut(s, "reading again")
		return ok && strings.Count(after, "stdout") > 0
	})
	observe(t, s)

	if err := l.KillEngine(t.Context(), "prod-1"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
	_, err = s.Observe(ctx)
	cancel()
	if err == nil || !strings.Contains(err.Error(), "systemctl start docker") {
		t.Errorf("without the engine: %v", err)
	}
	t.Logf("without the engine: %v", err)
	if err := l.StartEngine(t.Context(), "prod-1"); err != nil {
		t.Fatal(err)
	}
	if in := service(observe(t, s), "backend"); in.State != fleet.StateRunning {
		t.Errorf("backend after the engine's return: %+v", in)
	}
}
