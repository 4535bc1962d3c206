package engine

import (
	"encoding/binary"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	since, err1 := parseTime(q.Get("since"))
	until, err2 := parseTime(q.Get("until"))
	args, err3 := filters.FromJSON(q.Get("filters"))
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			fail(w, http.StatusBadRequest, err.Error())
			return
		}
	}
	past, live, err := s.world.Events(s.host, since)
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	defer live.Close()
	w.Header().Set("Content-Type", "application/json")
	out := flusher{w}
	out.flush()
	for _, e := range past {
		if (until.IsZero() || e.At.Before(until)) && wanted(e, args) {
			writeEvent(out, e)
		}
	}
	out.flush()
	var over <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(max(0, until.Sub(s.world.Now())))
		defer t.Stop()
		over = t.C
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case <-over:
			return
		case e, ok := <-live.C:
			if !ok {
				return
			}
			if wanted(e, args) {
				writeEvent(out, e)
				out.flush()
			}
		}
	}
}

func wanted(e world.Event, args filters.Args) bool {
	action, _, _ := strings.Cut(e.Action, ":")
	return args.ExactMatch("type", e.Type) &&
		(args.ExactMatch("event", e.Action) || args.ExactMatch("event", action)) &&
		(args.Match("container", e.ID) || args.ExactMatch("container", e.Attributes["name"])) &&
		args.ExactMatch("scope", "local") &&
		args.MatchKVList("label", e.Attributes)
}

func writeEvent(w flusher, e world.Event) {
	m := events.Message{
		Type: events.Type(e.Type), Action: events.Action(e.Action), Scope: "local",
		Actor: events.Actor{ID: e.ID, Attributes: e.Attributes}, Time: e.At.Unix(), TimeNano: e.At.UnixNano(),
		Status: e.Action, ID: e.ID, From: e.Attributes["image"],
	}
	_ = json.NewEncoder(w).Encode(m)
}

// logs streams a container's output, each line in a frame that says its stream.
func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	want := logRequest{stdout: truthy(q.Get("stdout")), stderr: truthy(q.Get("stderr")), stamps: truthy(q.Get("timestamps"))}
	if !want.stdout && !want.stderr {
		fail(w, http.StatusBadRequest, "Bad parameters: you must choose at least one stream")
		return
	}
	c, ok := s.find(w, r)
	if !ok {
		return
	}
	since, err1 := parseTime(q.Get("since"))
	until, err2 := parseTime(q.Get("until"))
	if err1 != nil || err2 != nil {
		fail(w, http.StatusBadRequest, "invalid since or until")
		return
	}
	if minor(s.hostNow().Engine.APIVersion) >= minor("1.42") {
		w.Header().Set("Content-Type", "application/vnd.docker.multiplexed-stream")
	}
	now := s.world.Now()
	to := now
	if !until.IsZero() && until.Before(to) {
		to = until
	}
	out := flusher{w}
	want.write(out, history(c, since, to, now, q.Get("tail")))
	out.flush()
	if truthy(q.Get("follow")) && (until.IsZero() || until.After(now)) {
		s.follow(r, out, c, want, now, until)
	}
}

func history(c *world.Container, since, to, now time.Time, tail string) []world.Line {
	n, err := strconv.Atoi(tail)
	if err != nil || n < 0 {
		return c.Lines(since, to, now)
	}
	if since.IsZero() {
		return c.Tail(n, to, now)
	}
	lines := c.Lines(since, to, now)
	return lines[max(0, len(lines)-n):]
}

// follow writes the lines from the cursor on until the container's process ends, as the engine does.
func (s *Server) follow(r *http.Request, out flusher, c *world.Container, want logRequest, cursor, until time.Time) {
	_, live, err := s.world.Events(s.host, time.Time{})
	if err != nil {
		return
	}
	defer live.Close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		said := c.Said()
		now, err := s.world.Find(s.host, c.ID)
		to := s.world.Now()
		over := err != nil || now.State != world.Running || (!until.IsZero() && !to.Before(until))
		if err == nil {
			c = now
		}
		if over {
			to = to.Add(time.Millisecond) // the last words may have the very time of now
		}
		want.write(out, c.Lines(cursor, to, to))
		out.flush()
		if over {
			return
		}
		cursor = to
		wait := c.NextLine(cursor).Sub(cursor)
		if !until.IsZero() {
			wait = min(wait, until.Sub(to))
		}
		timer.Reset(wait)
		if !s.pause(r, timer.C, said, live, c.ID) {
			return
		}
	}
}

// pause waits until there is something to write; false when the client has gone.
func (s *Server) pause(r *http.Request, timer <-chan time.Time, said <-chan struct{}, live *world.Subscription, id string) bool {
	for {
		select {
		case <-r.Context().Done():
			return false
		case <-timer:
			return true
		case <-said:
			return true
		case e, ok := <-live.C:
			if !ok {
				return false
			}
			if e.ID == id {
				return true
			}
		}
	}
}

type logRequest struct{ stdout, stderr, stamps bool }

func (q logRequest) write(w flusher, lines []world.Line) {
	for _, l := range lines {
		kind := byte(1)
		if l.Stream == "stderr" {
			kind = 2
		}
		if (kind == 1 && !q.stdout) || (kind == 2 && !q.stderr) {
			continue
		}
		text := l.Text + "\n"
		if q.stamps {
			text = l.At.UTC().Format("2006-01-02T15:04:05.000000000Z") + " " + text
		}
		frame := make([]byte, 8, 8+len(text))
		frame[0] = kind
		binary.BigEndian.PutUint32(frame[4:], uint32(len(text))) //nolint:gosec // a line is short
		_, _ = w.Write(append(frame, text...))
	}
}

// flusher is a response that is sent on at once.
type flusher struct{ http.ResponseWriter }

func (f flusher) flush() { _ = http.NewResponseController(f.ResponseWriter).Flush() }
