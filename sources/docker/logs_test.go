package docker

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

func (l *tailing) texts(stream string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, line := range l.lines {
		if stream == "" || line.Stream == stream {
			out = append(out, line.Text)
		}
	}
	return strings.Join(out, "|")
}

func stopped(_ *container.Summary, rec *container.InspectResponse) {
	rec.State.Running, rec.State.Status = false, "exited"
}

func started(_ *container.Summary, rec *container.InspectResponse) {
	rec.State.Running, rec.State.Status = true, "running"
}

func TestTailHistory(t *testing.T) {
	f := newFake(t)
	old := time.Now().Add(-time.Hour)
	f.add("a", "shop-web-1", "web", "app:1", "sha256:a", nil)
	f.add("b", "shop-web-2", "web", "app:1", "sha256:a", stopped)
	f.add("c", "shop-api-1", "api", "app:1", "sha256:a", nil)
	f.add("d", "shop-web-run-1", "web", "app:1", "sha256:a", func(s *container.Summary, _ *container.InspectResponse) { s.Labels[labelOneOff] = "True" })
	for i := range 10 {
		f.log("a", outLine(old.Add(time.Duration(2*i)*time.Second), "a%d", i))
		f.log("b", outLine(old.Add(time.Duration(2*i+1)*time.Second), "b%d", i))
		f.log("c", outLine(old, "not asked for"))
		f.log("d", outLine(old, "one-off"))
	}
	s := f.source(t)
	q := query("web", false)
	q.Tail = 5
	var l tailing
	caught := 0
	q.CaughtUp = func() { caught++ }
	if err := s.Tail(context.Background(), q, l.add); err != nil {
		t.Fatal(err)
	}
	if got := l.texts(""); got != "b7|a8|b8|a9|b9" || caught != 1 {
		t.Errorf("got %s, caught up %d times", got, caught)
	}
	if x := l.lines[0]; x.Host != "prod-1" || x.Service != "web" || x.Instance != "shop-web-2" || x.Stream != "stdout" || !x.At.Equal(old.Add(15*time.Second)) {
		t.Errorf("line %+v", x)
	}
	l.lines, q.Tail, q.Since = nil, 0, old.Add(17*time.Second)
	if err := s.Tail(context.Background(), q, l.add); err != nil {
		t.Fatal(err)
	}
	if got := l.texts(""); got != "b8|a9|b9" {
		t.Errorf("since: %s", got)
	}
}

func TestTailOfOthers(t *testing.T) {
	f := newFake(t)
	f.add("a", "shop-web-1", "web", "app:1", "sha256:a", nil)
	f.log("a", outLine(time.Now(), "x"))
	s := f.source(t)
	for name, sub := range map[string]fleet.Subject{
		"other host":        {Environment: "prod", Host: "prod-2", Project: "shop", Service: "web"},
		"other environment": {Environment: "ops", Host: "prod-1", Project: "shop", Service: "web"},
		"other project":     {Environment: "prod", Host: "prod-1", Project: "shed", Service: "web"},
		"other name":        {Environment: "prod", Host: "prod-1", Container: "shop-web-2"},
		"nothing":           {Environment: "prod", Host: "prod-1"},
	} {
		err := s.Tail(context.Background(), sources.LogQuery{Subjects: []fleet.Subject{sub}}, func(l fleet.LogLine) { t.Errorf("%s: %+v", name, l) })
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// With nothing of it on this host a follow, too, ends at once and does not even connect.
	before := f.count("/events")
	if err := s.Tail(context.Background(), sources.LogQuery{Follow: true, Subjects: []fleet.Subject{{Host: "prod-2", Service: "web"}}}, nil); err != nil {
		t.Error(err)
	}
	if f.count("/events") != before {
		t.Error("followed events for nothing")
	}
	var l tailing
	q := sources.LogQuery{Subjects: []fleet.Subject{{Host: "prod-1", Container: "shop-web-1"}}}
	if err := s.Tail(context.Background(), q, l.add); err != nil || l.texts("") != "x" {
		t.Errorf("by name: %v, %s", err, l.texts(""))
	}
}

func TestTailFollowsRestartAndRecreation(t *testing.T) {
	f := newFake(t)
	f.add("a", "shop-web-1", "web", "app:1", "sha256:a", nil)
	now := time.Now().Add(-time.Minute)
	f.log("a", outLine(now, "one"), outLine(now.Add(time.Second), "two"))
	s := f.source(t)
	l := startTail(t, s, query("web", true))
	has := func(want string) func(string) bool {
		return func(string) bool { return strings.Contains(l.texts(""), want) }
	}
	l.wait(t, "history", has("one|two"))
	f.log("a", outLine(now.Add(2*time.Second), "three"))
	l.wait(t, "live", has("two|three"))

	// Dies: the event comes before the last line does, and is told after it.
	f.containerEvent(events.ActionDie, "a", "shop-web-1", "web", "exitCode", "1")
	f.log("a", outLine(now.Add(3*time.Second), "last words"))
	f.update("a", stopped)
	l.wait(t, "exit", has("last words|── shop-web-1 exited (code 1) ──"))
	f.update("a", started)
	f.log("a", outLine(now.Add(4*time.Second), "again"))
	f.containerEvent(events.ActionStart, "a", "shop-web-1", "web")
	l.wait(t, "after the restart", has("── shop-web-1 exited (code 1) ──|again"))

	// Re-created under the same name.
	f.update("a", stopped)
	f.removeContainer("a")
	f.containerEvent(events.ActionDestroy, "a", "shop-web-1", "web")
	f.add("b", "shop-web-1", "web", "app:2", "sha256:b", nil)
	f.log("b", outLine(now.Add(5*time.Second), "new"))
	f.containerEvent(events.ActionStart, "b", "shop-web-1", "web", "image", "app:2")
	l.wait(t, "re-creation", has("── shop-web-1 re-created as app:2 (b) ──|new"))

	// Another one is added to the service.
	f.add("c", "shop-web-2", "web", "app:2", "sha256:b", nil)
	f.log("c", outLine(now.Add(6*time.Second), "second"))
	f.containerEvent(events.ActionStart, "c", "shop-web-2", "web", "image", "app:2")
	l.wait(t, "scale", has("── shop-web-2 appeared, app:2 ──|second"))
	f.containerEvent(events.ActionOOM, "c", "shop-web-2", "web")
	l.wait(t, "oom", has("shop-web-2 out of memory"))
	want := "one|two|three|last words|again|new|second"
	if got := l.texts("stdout"); got != want {
		t.Errorf("lines %s, want %s", got, want)
	}
}

func TestTailGoesOnAfterTheEngineWasAway(t *testing.T) {
	f := newFake(t)
	f.add("a", "shop-web-1", "web", "app:1", "sha256:a", nil)
	now := time.Now().Add(-time.Minute)
	for i := range 5 {
		f.log("a", outLine(now.Add(time.Duration(i)*time.Millisecond), "line %d", i))
	}
	s := f.source(t)
	l := startTail(t, s, query("web", true))
	l.wait(t, "history", func(string) bool { return strings.HasSuffix(l.texts(""), "line 4") })
	f.stop()
	l.wait(t, "the gap", func(string) bool {
		return strings.Contains(l.texts(""), "── log interrupted: docker prod-1: follow events:")
	})
	for i := 5; i < 10; i++ {
		f.log("a", outLine(now.Add(time.Duration(i)*time.Millisecond), "line %d", i))
	}
	f.start(t)
	l.wait(t, "the rest", func(string) bool { return strings.HasSuffix(l.texts(""), "line 9") })
	var want []string
	for i := range 10 {
		want = append(want, fmt.Sprintf("line %d", i))
	}
	if got := l.texts("stdout"); got != strings.Join(want, "|") {
		t.Errorf("got %s", got)
	}
	if !strings.Contains(l.texts(streamNexops), "── reading again ──") {
		t.Errorf("the return is not told: %s", l.texts(streamNexops))
	}
}

func TestTailWaitsForAContainer(t *testing.T) {
	f := newFake(t)
	s := f.source(t)
	l := startTail(t, s, query("web", true))
	for f.count("/containers/json") == 0 {
		time.Sleep(time.Millisecond)
	}
	f.add("a", "shop-web-1", "web", "app:1", "sha256:a", nil)
	f.log("a", outLine(time.Now(), "hello"))
	f.containerEvent(events.ActionStart, "a", "shop-web-1", "web")
	l.wait(t, "the first line", func(string) bool { return strings.HasSuffix(l.texts(""), "|hello") })
}

// A log may end though its container runs on (a rotation, an engine's whim): it is looked at again.
func TestTailAttachesAgainWithoutAnEvent(t *testing.T) {
	f := newFake(t)
	f.add("a", "shop-web-1", "web", "app:1", "sha256:a", nil)
	f.log("a", outLine(time.Now(), "one"))
	var cut atomic.Bool
	f.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		return r.FormValue("follow") == "1" && cut.CompareAndSwap(false, true) // an empty log that ends at once
	})
	s := f.source(t)
	l := startTail(t, s, query("web", true))
	l.wait(t, "the end of the first follow", func(string) bool { return cut.Load() })
	f.log("a", outLine(time.Now(), "two"))
	l.wait(t, "the line after", func(string) bool { return l.texts("") == "one|two" })
}

func TestTailCannotBegin(t *testing.T) {
	f := newFake(t)
	f.stop()
	for _, follow := range []bool{true, false} {
		err := f.source(t).Tail(context.Background(), query("web", follow), func(fleet.LogLine) {})
		if err == nil || !strings.HasPrefix(err.Error(), "docker prod-1: local prod-1: socket ") {
			t.Errorf("follow %v: %v", follow, err)
		}
	}
	f.start(t)
}

func TestTailUnreadable(t *testing.T) {
	f := newFake(t)
	f.add("a", "shop-web-1", "web", "app:1", "sha256:a", nil)
	f.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/logs") {
			return false
		}
		refuse(w, http.StatusNotImplemented, "configured logging driver does not support reading")
		return true
	})
	var l tailing
	if err := f.source(t).Tail(context.Background(), query("web", false), l.add); err != nil {
		t.Fatal(err)
	}
	if got := l.texts(streamNexops); !strings.HasPrefix(got, "── the log of shop-web-1 cannot be read here: ") || !strings.Contains(got, "logging driver does not support reading") {
		t.Errorf("got %s", got)
	}
}

// The watch and any number of tails share one event stream, and the last to leave ends it.
func TestOneEventStreamAHost(t *testing.T) {
	f := newFake(t)
	f.add("a", "shop-web-1", "web", "app:1", "sha256:a", nil)
	f.log("a", outLine(time.Now(), "one"))
	s := f.source(t)
	settled(t, s)
	for range 3 {
		l := startTail(t, s, query("web", true))
		l.wait(t, "history", func(string) bool { return l.texts("") == "one" })
	}
	if n := f.count("/events"); n != 1 {
		t.Errorf("%d event streams", n)
	}
}

// A listener that is behind is told that it missed something; nobody waits for it.
func TestHubDoesNotWaitForAListener(t *testing.T) {
	feed := make(chan events.Message)
	h := newHub(func(ctx context.Context, up func(), fn func(events.Message)) error {
		up()
		for {
			select {
			case ev := <-feed:
				fn(ev)
			case <-ctx.Done():
				return nil
			}
		}
	})
	slow := h.subscribe()
	<-slow.up
	for range subscriberQueue + 10 {
		feed <- events.Message{}
	}
	select {
	case <-slow.missed:
	case <-time.After(10 * time.Second):
		t.Error("not told")
	}
	h.leave(slow)
	again := h.subscribe() // a stream of its own, after the end of the first
	<-again.up
	feed <- events.Message{Action: events.ActionStart}
	if ev := <-again.events; ev.Action != events.ActionStart {
		t.Errorf("event %+v", ev)
	}
	h.leave(again)
}
