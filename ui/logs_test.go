package ui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

// numbered makes log lines that say their number.
func numbered(from, n int) []fleet.LogLine {
	out := make([]fleet.LogLine, n)
	for i := range out {
		out[i] = fleet.LogLine{At: sampleNow.Add(time.Duration(from+i) * time.Millisecond), Instance: "a", Text: fmt.Sprintf("line %05d end", from+i)}
	}
	return out
}

func logConsole(t *testing.T, limit int) *Model {
	t.Helper()
	m := console(t, 80, 24, func(o *Options) { o.LogLines = limit })
	keys(m, "l")
	return m
}

func TestLogFollowsUntilScrolledUp(t *testing.T) {
	m := logConsole(t, 1000)
	logs := &m.detail.logs
	logs.add(numbered(0, 100), 0)
	send(m, tickMsg(sampleNow))
	if s := screen(t, m); !strings.Contains(s, "line 00099") || !strings.Contains(s, "following") {
		t.Fatalf("does not follow:\n%s", s)
	}
	keys(m, "k", "k")
	before := screen(t, m)
	logs.add(numbered(100, 7), 0)
	send(m, tickMsg(sampleNow))
	s := screen(t, m)
	if !strings.Contains(s, "7 new lines") || strings.Contains(s, "line 00100") || !strings.Contains(s, "line 00097") {
		t.Fatalf("scrolled up, the log moved or does not count:\n%s\nwas\n%s", s, before)
	}
	keys(m, "f")
	if s := screen(t, m); !strings.Contains(s, "line 00106") || !strings.Contains(s, "following") {
		t.Fatalf("f does not follow again:\n%s", s)
	}
	keys(m, "g")
	if s := screen(t, m); !strings.Contains(s, "line 00000") {
		t.Fatalf("g does not go to the first line:\n%s", s)
	}
	keys(m, "G")
	if !logs.place.follow {
		t.Fatal("G does not follow")
	}
	keys(m, "k", "j", "j")
	if !logs.place.follow {
		t.Fatal("reaching the end by hand does not follow")
	}
}

func TestLogForgetsTheOldest(t *testing.T) {
	m := logConsole(t, 50)
	logs := &m.detail.logs
	logs.add(numbered(0, 40), 0)
	keys(m, "g")
	logs.search("line")
	logs.add(numbered(40, 40), 3)
	send(m, tickMsg(sampleNow))
	if logs.ring.len() != 50 || len(logs.hits) != 50 {
		t.Fatalf("%d lines and %d hits are kept", logs.ring.len(), len(logs.hits))
	}
	if logs.hits[0] != logs.ring.first {
		t.Fatalf("hits begin at %d, lines at %d", logs.hits[0], logs.ring.first)
	}
	if s := screen(t, m); !strings.Contains(s, "line 00031") {
		t.Fatalf("the place that was forgotten is still looked at:\n%s", s)
	}
	keys(m, "G")
	if s := screen(t, m); !strings.Contains(s, "dropped 3 lines") {
		t.Fatalf("dropped lines are not said:\n%s", s)
	}
}

func TestLogSearch(t *testing.T) {
	m := logConsole(t, 1000)
	logs := &m.detail.logs
	logs.add(numbered(0, 300), 0)
	keys(m, "/")
	for _, k := range "LINE 0001" { // letters that are keys elsewhere, and any case
		keys(m, string(k))
	}
	keys(m, "enter")
	if len(logs.hits) != 10 || logs.find.at != 19 {
		t.Fatalf("%d hits, at %d", len(logs.hits), logs.find.at)
	}
	keys(m, "N")
	if logs.find.at != 18 {
		t.Fatalf("N goes to %d", logs.find.at)
	}
	keys(m, "n", "n")
	if logs.find.at != 19 {
		t.Fatalf("n goes to %d", logs.find.at)
	}
	keys(m, "&")
	s := screen(t, m)
	if n := strings.Count(s, " end "); n != 10 || !strings.Contains(s, "10 matches only") {
		t.Fatalf("%d lines are shown:\n%s", n, s)
	}
	logs.add([]fleet.LogLine{{Text: "other"}, {Text: "line 0001x"}}, 0)
	if len(logs.hits) != 11 {
		t.Fatal("a new line that matches is not found")
	}
	keys(m, "esc")
	if logs.find.query != "" || m.view.focus != paneDetail {
		t.Fatal("Esc leaves the search first")
	}
	keys(m, "esc")
	if m.view.focus != paneList {
		t.Fatal("Esc does not go back to the list")
	}
}

func TestLogNeverEscapes(t *testing.T) {
	m := logConsole(t, 100)
	for _, raw := range []bool{false, true} {
		m.detail.logs.look.raw = raw
		m.detail.logs.add(sampleLog(), 0)
		m.detail.logs.add([]fleet.LogLine{{Instance: "\x1b[2Jevil", Stream: "nexops", Text: "\x1b]0;t\x07"}, {Text: `{"level":"\u001b[2J","msg":"\u001b]52;c;eA==\u0007","k\u0007":"\u009b2J"}`}}, 0)
		send(m, tickMsg(sampleNow))
		out := m.View().Content
		for _, bad := range []string{"\x1b]", "\x1b[2J", "\x1b[H", "\x07", "\u009b", "\u202e"} {
			if strings.Contains(out, bad) {
				t.Errorf("raw %v: %q reaches the terminal", raw, bad)
			}
		}
	}
}

// TestForeignTextNeverEscapes puts sequences into everything that comes from outside.
func TestForeignTextNeverEscapes(t *testing.T) {
	const evil = "\x1b[2J\x1b]0;x\x07\u009b\r\n"
	s := sampleSnapshot()
	svc := &s.Services[0]
	svc.Reasons[0].Text, svc.Suspect.Text, svc.Hosts[0] = evil, evil, evil
	svc.Releases.Running.Tag, svc.Releases.Running.Author, svc.Releases.Running.Subject = evil, evil, evil
	svc.Instances[0].Name, svc.Instances[0].HealthOutput, svc.Instances[0].State = evil, evil, evil
	svc.Changes[0].What, svc.Changes[0].Who = evil, evil
	s.Sources[0].State, s.Sources[0].Error, s.Sources[0].Name, s.Sources[2].Detail = fleet.SourceFailing, evil, evil, evil
	for i := range s.Services {
		s.Services[i].Key.Name = evil + itoa(i)
	}
	m := console(t, 160, 48, func(o *Options) {
		o.Latest = func() *fleet.Snapshot { return s }
		o.Environment = "p" + evil
	})
	for _, k := range []string{"enter", "m", "c", "i", "?", "esc", ":", "esc", "R"} {
		keys(m, k)
		send(m, journalMsg{m.list.selected, []string{evil}}, inspectMsg{m.list.selected, evil + `"` + evil + `": 1`})
		v := m.View()
		for _, bad := range []string{"\x1b]", "\x1b[2J", "\x07", "\u009b", "\r"} {
			if strings.Contains(v.Content, bad) || strings.Contains(v.WindowTitle, bad) {
				t.Errorf("after %s: %q reaches the terminal", k, bad)
			}
		}
		if n := strings.Count(v.Content, "\n"); n != 47 {
			t.Errorf("after %s: the frame has %d lines", k, n+1)
		}
	}
}

func TestTailerDropsInsteadOfWaiting(t *testing.T) {
	l := newLife(t.Context())
	defer l.end()
	fed := make(chan struct{})
	tail := func(ctx context.Context, _ sources.LogQuery, emit func(fleet.LogLine)) error {
		for _, line := range numbered(0, tailBuffer+25) {
			emit(line)
		}
		emit(fleet.LogLine{Text: strings.Repeat("x", 2*maxLineBytes)})
		close(fed)
		<-ctx.Done()
		return nil
	}
	tl := startTail(l.ctx, &l.group, 1, tail, sources.LogQuery{})
	<-fed // nobody reads, and yet the tail was never held up
	got := tl.take()
	if len(got.lines) != tailBuffer || got.dropped != 26 || got.ended {
		t.Fatalf("%d lines, %d dropped, ended %v", len(got.lines), got.dropped, got.ended)
	}
	tl.emit(fleet.LogLine{Text: strings.Repeat("x", 2*maxLineBytes)})
	if got := tl.take(); len(got.lines[0].Text) > maxLineBytes+64 {
		t.Fatalf("a line of %d bytes is kept", len(got.lines[0].Text))
	}
}

func TestTailTellsWhyItEnded(t *testing.T) {
	l := newLife(t.Context())
	defer l.end()
	tl := startTail(l.ctx, &l.group, 4, func(context.Context, sources.LogQuery, func(fleet.LogLine)) error {
		return errors.New("loki: 502")
	}, sources.LogQuery{})
	msg, ok := tl.next(l, tailEvery)().(tailMsg)
	if !ok || !msg.ended || msg.err == nil || msg.id != 4 {
		t.Fatalf("%+v", msg)
	}
}

func TestTailFollowsTheSelection(t *testing.T) {
	m := logConsole(t, 100)
	first := m.tail.id
	if m.tail.key.Name != "ai" || first == 0 {
		t.Fatalf("tail %+v", m.tail)
	}
	send(m, tailMsg{id: first - 1, lines: numbered(0, 3)})
	if m.detail.logs.ring.len() != 0 {
		t.Fatal("lines of another tail are shown")
	}
	keys(m, "esc", "j", "l")
	if m.tail.key.Name != "notification" || m.tail.id == first {
		t.Fatal("the log of another service is shown")
	}
	m.tail.current = &tailer{id: m.tail.id, cancel: func() {}, wake: make(chan struct{}, 1)}
	send(m, tailMsg{id: m.tail.id, lines: numbered(0, 3), ended: true, err: errors.New("no route")})
	if s := screen(t, m); !strings.Contains(s, "the log broke: no route; again in 3s") {
		t.Fatalf("a broken log is not said:\n%s", s)
	}
}

func TestQuietLinesTakeOneRow(t *testing.T) {
	m := logConsole(t, 100)
	long := strings.Repeat("v", 90)
	m.detail.logs.add([]fleet.LogLine{
		{Text: `{"level":"info","msg":"quiet","k":"` + long + `"}`},
		{Text: `{"level":"error","msg":"loud","k":"` + long + `"}`},
		{Text: `{"level":"info","msg":"sought","k":"` + long + `"}`},
		{Text: "plain " + long},
	}, 0)
	count := func() string {
		var n []string
		for i := m.detail.logs.ring.first; i < m.detail.logs.ring.next; i++ {
			n = append(n, itoa(len(m.detail.logs.rows(i))))
		}
		return strings.Join(n, " ")
	}
	if got := count(); got != "1 2 1 2" {
		t.Errorf("rows: %s", got)
	}
	m.detail.logs.search("sought")
	if got := count(); got != "1 2 1 2" {
		t.Errorf("rows of a search that finds the message: %s", got)
	}
	m.detail.logs.search("vvv")
	if got := count(); got != "2 2 2 2" {
		t.Errorf("rows of a search that finds a field: %s", got)
	}
	m.detail.logs.look.wrap = false
	if got := count(); got != "1 1 1 1" {
		t.Errorf("rows without wrap: %s", got)
	}
}
