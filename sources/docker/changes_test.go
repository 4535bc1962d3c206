package docker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"

	"github.com/nexgate-hq/nexops/fleet"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// script reads events from lines "seconds action id name [key=value...]".
func script(t *testing.T, c *chronicle, lines string) {
	t.Helper()
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		sec, err := time.ParseDuration(f[0] + "s")
		if err != nil {
			t.Fatal(err)
		}
		attr := map[string]string{"name": f[3], "image": "app:1", labelProject: "shop", labelService: strings.TrimRight(plainName(f[3]), "-0123456789")}
		for _, kv := range f[4:] {
			k, v, _ := strings.Cut(kv, "=")
			attr[k] = v
		}
		c.add(events.Message{
			Type: events.ContainerEventType, Action: events.Action(f[1]), TimeNano: epoch.Add(sec).UnixNano(),
			Actor: events.Actor{ID: f[2], Attributes: attr},
		})
	}
}

func tell(c *chronicle, now time.Time, count map[serviceKey]int) []fleet.Change {
	entries, seen := c.snapshot()
	s := &source{host: "prod-1", environment: "prod"}
	tl := teller{source: "docker/prod-1", subject: s.changeSubject, now: now, entries: entries, exits: exitsOf(entries), seen: seen, running: count}
	return tl.changes()
}

func TestChanges(t *testing.T) {
	web := serviceKey{project: "shop", service: "web"}
	tests := []struct {
		name   string
		events string
		count  int
		want   []string // "seconds kind: what", newest first
	}{
		{"crash", "1 die a web-1 exitCode=3\n1.2 start a web-1", 1, []string{"1 restart: exited (code 3)"}},
		{"out of memory", "1 oom a web-1\n1.1 die a web-1 exitCode=137", 1, []string{"1.1 restart: killed by the kernel: out of memory (code 137)"}},
		{"killed from outside", "1 die a web-1 exitCode=137", 1, []string{"1 restart: killed from outside the engine (code 137)"}},
		{"stopped", "1 kill a web-1 signal=15\n2 die a web-1 exitCode=0\n2 stop a web-1", 1, []string{"2 restart: stopped on request (the engine does not say whose, code 0)"}},
		{"restarted", "1 kill a web-1 signal=15\n2 die a web-1 exitCode=0\n2 stop a web-1\n3 start a web-1\n3 restart a web-1", 1, []string{"2 restart: restarted on request (the engine does not say whose)"}},
		{"killed", "1 kill a web-1 signal=9\n1.1 die a web-1 exitCode=137", 1, []string{"1.1 restart: killed on request (the engine does not say whose, code 137)"}},
		{"reload signal is no end", "1 kill a web-1 signal=1\n2 die a web-1 exitCode=2", 1, []string{"2 restart: exited (code 2)"}},
		{"slow stop", "1 kill a web-1 signal=15\n41 die a web-1 exitCode=0\n41.1 stop a web-1", 1, []string{"41 restart: stopped on request (the engine does not say whose, code 0)"}},
		{
			"compose v2 re-creation with another image",
			"1 create b 0123456789ab_web-1 image=app:2\n2 kill a web-1 signal=15\n3 die a web-1 exitCode=0\n3 stop a web-1\n4 destroy a web-1\n5 start b web-1 image=app:2", 1,
			[]string{"1 deploy: 1 → 2"},
		},
		{
			"re-creation with the same image",
			"1 create b 0123456789ab_web-1\n2 kill a web-1 signal=15\n3 die a web-1 exitCode=0\n4 destroy a web-1\n5 start b web-1", 1, nil,
		},
		{
			"three replicas are one deploy",
			"1 create b web-1 image=app:2\n2 destroy a web-1\n3 create d web-2 image=app:2\n4 destroy c web-2\n5 create f web-3 image=app:2\n6 destroy e web-3", 3,
			[]string{"1 deploy: 1 → 2"},
		},
		{"there and back", "1 create a web-1\n100 create b web-1 image=app:2\n101 destroy a web-1\n200 create c web-1\n201 destroy b web-1 image=app:2", 1, []string{"200 deploy: 2 → 1", "100 deploy: 1 → 2", "1 scale: created, 1 running or ready"}},
		{"scaled up", "1 create a web-2\n2 create b web-3", 3, []string{"2 scale: scaled 1 → 3"}},
		{"scaled down", "1 kill c web-3 signal=15\n2 die c web-3 exitCode=0\n3 destroy c web-3", 2, []string{"3 scale: scaled 3 → 2"}},
		{"removed", "1 destroy a web-1", 0, []string{"1 scale: removed, 1 before"}},
		{"one-off containers are no part", "1 create o web-run-1 " + labelOneOff + "=True\n2 die o web-run-1 exitCode=1 " + labelOneOff + "=True", 1, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newChronicle()
			script(t, c, tt.events)
			script(t, c, tt.events) // told twice: an overlap of two streams
			var got []string
			for _, ch := range tell(c, epoch.Add(time.Hour), map[serviceKey]int{web: tt.count}) {
				got = append(got, fmt.Sprintf("%g %s: %s", ch.At.Sub(epoch).Seconds(), ch.Kind, ch.What))
				if ch.Subject.Host != "prod-1" || ch.Subject.Service != "web" || ch.Subject.Project != "shop" || ch.Subject.Environment != "prod" {
					t.Errorf("subject %+v", ch.Subject)
				}
			}
			if strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
				t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func TestDeployUnderTheSameTag(t *testing.T) {
	c := newChronicle()
	in := func(id, digest string, at time.Duration) fleet.Instance {
		return fleet.Instance{
			ID: id, Name: "web-1", Subject: fleet.Subject{Project: "shop", Service: "web", Container: "web-1"},
			Release: fleet.Release{Image: "app", Tag: "1", Digest: "sha256:" + digest, ImageID: "sha256:" + digest + "id"},
			Life:    fleet.Life{CreatedAt: epoch.Add(at)},
		}
	}
	c.observe([]fleet.Instance{in("a", "aaaaaaaaaaaaaaaa", 0)})
	c.observe([]fleet.Instance{in("b", "bbbbbbbbbbbbbbbb", time.Minute)})
	got := tell(c, epoch.Add(time.Hour), nil)
	if len(got) != 1 || got[0].What != "1: another image under the same tag, aaaaaaaaaaaa → bbbbbbbbbbbb" || got[0].From.Digest == got[0].To.Digest {
		t.Errorf("changes: %+v", got)
	}
}

func TestChronicleIsBounded(t *testing.T) {
	c := newChronicle()
	for i := range 3 * maxEntries {
		script(t, c, fmt.Sprintf("%d die a%d web-1 exitCode=1", i, i))
	}
	c.observe(nil)
	if len(c.entries) != maxEntries || len(c.known) != maxEntries || len(c.seen) > maxGone {
		t.Errorf("%d entries, %d known, %d seen", len(c.entries), len(c.known), len(c.seen))
	}
	if n := len(tell(c, epoch, nil)); n > maxChanges || n == 0 {
		t.Errorf("%d changes", n)
	}
}

func TestExits(t *testing.T) {
	c := newChronicle()
	script(t, c, `
		1 die a web-1 exitCode=1
		100 die b web-1 exitCode=1
		200 die c web-1 exitCode=0
		300 kill c web-1 signal=15
		301 die c web-1 exitCode=1
		400 die d web-2 exitCode=1`)
	entries, _ := c.snapshot()
	now := epoch.Add(9 * time.Minute)
	in := fleet.Instance{Name: "web-1", Subject: fleet.Subject{Project: "shop", Service: "web", Container: "web-1"}}
	always := container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{HostConfig: &container.HostConfig{
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyAlways},
	}}}
	byName := unexpectedExits(exitsOf(entries), now)
	if got := exitTimes(in, container.InspectResponse{}, byName, nil, now); len(got) != 2 || !got[0].Equal(epoch.Add(time.Second)) {
		t.Errorf("without a policy: %v", got)
	}
	if got := exitTimes(in, always, byName, nil, now); len(got) != 3 {
		t.Errorf("with restart: always: %v", got)
	}
	// Eleven minutes later the first is forgotten; what only the record tells is added.
	now = epoch.Add(10*time.Minute + 30*time.Second)
	in.Life = fleet.Life{Restarts: 4, FinishedAt: epoch.Add(10 * time.Minute)}
	got := exitTimes(in, container.InspectResponse{}, unexpectedExits(exitsOf(entries), now), nil, now)
	if len(got) != 2 || !got[0].Equal(epoch.Add(100*time.Second)) || !got[1].Equal(epoch.Add(10*time.Minute)) {
		t.Errorf("later: %v", got)
	}
}

// A release that was put back is not a crash loop because of the one before it.
func TestExitsOfAnotherReleaseDoNotCount(t *testing.T) {
	is := func(id, image string) fleet.Instance {
		return fleet.Instance{
			ID: id, Name: "web-1", Subject: fleet.Subject{Project: "shop", Service: "web", Container: "web-1"},
			Release: fleet.Release{Image: "shop/web", Tag: "1", ImageID: image},
		}
	}
	exits := func(now fleet.Instance) []time.Time {
		c := newChronicle()
		c.observe([]fleet.Instance{is("a", "sha256:aaaa")}) // the tag is moved: only the image tells them apart
		script(t, c, `
			1 die a web-1 exitCode=1
			2 die a web-1 exitCode=1
			30 die b web-1 exitCode=1`)
		c.observe([]fleet.Instance{is("b", "sha256:bbbb")})
		c.observe([]fleet.Instance{now})
		entries, seen := c.snapshot()
		at := epoch.Add(time.Minute)
		return exitTimes(now, container.InspectResponse{}, unexpectedExits(exitsOf(entries), at), seen, at)
	}
	if got := exits(is("c", "sha256:aaaa")); len(got) != 2 {
		t.Errorf("made again of the same release: %v, not its two", got)
	}
	if got := exits(is("c", "sha256:bbbb")); len(got) != 1 || !got[0].Equal(epoch.Add(30*time.Second)) {
		t.Errorf("of the other release: %v, not its one", got)
	}
	if got := exits(is("c", "sha256:cccc")); len(got) != 0 {
		t.Errorf("of a third release: %v", got)
	}
}

func TestPlainName(t *testing.T) {
	for in, want := range map[string]string{
		"/shop-web-1": "shop-web-1", "0123456789ab_shop-web-1": "shop-web-1", "0123456789aX_web": "0123456789aX_web", "abc_web": "abc_web", "0123456789ab_": "0123456789ab_",
	} {
		if got := plainName(in); got != want {
			t.Errorf("plainName(%q) = %q", in, got)
		}
	}
}
