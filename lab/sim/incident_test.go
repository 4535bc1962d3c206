package sim_test

import (
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"golang.org/x/crypto/ssh"

	"github.com/nexgate-hq/nexops/lab/sim"
)

// clock is the real one, and can be put forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

func runningID(t *testing.T, c *ssh.Client) string {
	t.Helper()
	in, err := engine(t, c).ContainerInspect(t.Context(), "nexgate-prod-ai-1")
	if err != nil {
		t.Fatal(err)
	}
	return in.ID + " " + in.Config.Image
}

// TestUndo is the whole incident: the bad deploy shows in the numbers, docker compose up
// with the old tag really undoes it, and a second up changes nothing.
func TestUndo(t *testing.T) {
	var c clock
	e := start(t, sim.Options{Still: true, Now: c.now, Pace: time.Millisecond})
	p := prometheus(t, e)
	host := login(t, e, "prod-1")
	if got := number(t, p, aiErrors, c.now()); got < 0.06 {
		t.Fatalf("errors before the undo: %v, want about 0.07", got)
	}
	began := c.now()
	before := runningID(t, host)

	const file = "/opt/nexgate-infra/services/ai/tag.env"
	must(t, host, "tee "+file+".new", "AI_TAG=0.4.1\n")
	must(t, host, "mv "+file+".new "+file, "")
	if got := must(t, host, "git -C /opt/nexgate-infra status --porcelain --untracked-files=no", ""); got != " M services/ai/tag.env\n" {
		t.Errorf("git status: %q", got)
	}
	must(t, host, prodCompose+"up -d --no-deps ai", "")
	after := runningID(t, host)
	if after == before || !strings.HasSuffix(after, "ai-service:0.4.1") {
		t.Fatalf("after up: %s, before: %s", after, before)
	}
	if code, _, errOut := run(t, host, prodCompose+"up -d", ""); code != 0 || strings.Contains(errOut, "Recreate") {
		t.Errorf("a second up: code %d: %s", code, errOut)
	}
	if again := runningID(t, host); again != after {
		t.Errorf("a second up replaced the container: %s, then %s", after, again)
	}

	c.forward(15 * time.Second)
	if got := number(t, p, aiErrors, c.now()); got > 0.0011 {
		t.Errorf("errors after the undo: %v, want 0.001", got)
	}
	var actions []string
	messages, errs := engine(t, host).Events(t.Context(), events.ListOptions{
		Since: began.Format(time.RFC3339Nano), Until: c.now().Format(time.RFC3339Nano),
		Filters: filters.NewArgs(filters.Arg("label", "com.docker.compose.service=ai")),
	})
	for done := false; !done; {
		select {
		case m := <-messages:
			actions = append(actions, string(m.Action))
		case <-errs:
			done = true
		}
	}
	if got := strings.Join(actions, " "); !strings.HasPrefix(got, "create kill die stop destroy rename start") {
		t.Errorf("events of the undo: %s", got)
	}
}

func TestDeploy(t *testing.T) {
	var c clock
	e := start(t, sim.Options{Still: true, Now: c.now, Pace: time.Millisecond, Incident: "quiet"})
	p := prometheus(t, e)
	if got := number(t, p, aiErrors, c.now()); got > 0.0011 {
		t.Fatalf("errors of a quiet estate: %v", got)
	}
	if err := e.Deploy(t.Context(), "prod", "ai", "0.4.2"); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "git", "-C", e.GitPath(), "show", "-s", "--format=%an %s", "master").CombinedOutput()
	if err != nil || string(out) != "nexgate-ci prod: ai 0.4.2\n" {
		t.Errorf("newest commit on master: %q, %v", out, err)
	}
	c.forward(20 * time.Second)
	if got := number(t, p, aiErrors, c.now()); got < 0.06 {
		t.Errorf("errors after the bad deploy: %v", got)
	}
	if err := e.Deploy(t.Context(), "prod", "nosuch", "1"); err == nil {
		t.Error("a service that is not there was deployed")
	}
}

func TestGitHistory(t *testing.T) {
	e := start(t, sim.Options{Still: true})
	git := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", e.GitPath()}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	for branch, want := range map[string]string{
		"master:services/ai/tag.env": "AI_TAG=0.4.2\n", "master:services/notification-server/tag.env": "NOTIFICATION_SERVER_TAG=1.8.0\n",
		"staging:services/nexgate-backend/tag.env": "NEXGATE_BACKEND_TAG=2.12.0-rc.3\n",
	} {
		if got := git("show", branch); got != want {
			t.Errorf("%s is %q, want %q", branch, got, want)
		}
	}
	if got := strings.Count(git("log", "--format=%H", "master"), "\n"); got < 12 {
		t.Errorf("master has %d commits", got)
	}
	if got := git("tag"); !strings.Contains(got, "v1.3.0") {
		t.Errorf("tags: %q", got)
	}
	git("fsck", "--strict")
}

// TestPushedTag is the other home of the tag: a commit pushed from elsewhere, pulled on the host.
func TestPushedTag(t *testing.T) {
	e := start(t, sim.Options{Still: true, Pace: time.Millisecond})
	work := t.TempDir()
	for _, args := range [][]string{
		{"clone", "-q", "--branch", "master", e.GitPath(), work},
		{"-C", work, "-c", "user.name=ana", "-c", "user.email=ana@x", "revert", "--no-edit", "HEAD"},
		{"-C", work, "push", "-q", "origin", "master"},
	} {
		if out, err := exec.CommandContext(t.Context(), "git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	host := login(t, e, "prod-1")
	must(t, host, "git -C /opt/nexgate-infra pull --ff-only origin master", "")
	must(t, host, prodCompose+"up -d --no-deps ai", "")
	if got := runningID(t, host); !strings.HasSuffix(got, ":0.4.1") {
		t.Errorf("after the revert: %s", got)
	}
}

func TestIncidents(t *testing.T) {
	for _, name := range sim.Incidents() {
		e := start(t, sim.Options{Still: true, Incident: name})
		d := engine(t, login(t, e, "ops"))
		if _, err := d.Ping(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		p := prometheus(t, e)
		switch down := number(t, p, `count(up{env="prod"} == 0)`, time.Now()); {
		case name == "host-down" && !(down >= 5):
			t.Errorf("host-down: %v targets are down", down)
		case name == "quiet" && down == down:
			t.Errorf("quiet: %v targets are down", down)
		}
		if name == "crash-loop" {
			in, err := engine(t, login(t, e, "prod-2")).ContainerInspect(t.Context(), "nexgate-prod-file-thunder-1")
			if err != nil || in.RestartCount < 5 {
				t.Errorf("crash-loop: %d restarts, %v", in.RestartCount, err)
			}
		}
	}
	if _, err := sim.Start(t.Context(), sim.Options{Dir: t.TempDir(), Incident: "nosuch"}); err == nil || !strings.Contains(err.Error(), "bad-deploy") {
		t.Errorf("an unknown incident: %v", err)
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		e, err := sim.Start(b.Context(), sim.Options{Dir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStartScale(b *testing.B) {
	for b.Loop() {
		e, err := sim.Start(b.Context(), sim.Options{Dir: b.TempDir(), Still: true, Scale: sim.Scale{Hosts: 100, Containers: 100}})
		if err != nil {
			b.Fatal(err)
		}
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
