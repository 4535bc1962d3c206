package loki

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/sources"
)

func aiQuery() sources.LogQuery {
	return sources.LogQuery{
		Service:  fleet.ServiceKey{Environment: "prod", Name: "ai"},
		Subjects: []fleet.Subject{{Environment: "prod", Host: "prod-1", Service: "ai", Container: "shop-ai-1"}},
	}
}

func texts(lines []fleet.LogLine) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = l.Text
	}
	return out
}

func TestHistory(t *testing.T) {
	silentLog(t)
	many := make([]stored, 0, 3000)
	var all []string
	for i := range 3000 {
		// Ten lines of one nanosecond each: pages end in the middle of them.
		many = append(many, at(-time.Duration(3009-i)/10*time.Second, fmt.Sprintf("line %04d", i)))
		all = append(all, fmt.Sprintf("line %04d", i))
	}
	tests := map[string]struct {
		limit int
		since time.Time
		tail  int
		want  []string
		says  string
	}{
		"default":         {limit: 5000, want: all[2800:]},
		"tail":            {limit: 5000, tail: 1500, want: all[1500:]},
		"small pages":     {limit: 60, tail: 333, want: all[2667:]},
		"since":           {limit: 5000, since: noon.Add(-time.Hour), want: all},
		"since, too many": {limit: 5000, since: noon.Add(-time.Hour), tail: 50, want: all[2950:], says: "only the newest 50 lines since"},
		"more than there": {limit: 5000, tail: 5000, want: all},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.limit = tt.limit
			f.add(many...)
			q := aiQuery()
			q.Since, q.Tail = tt.since, tt.tail
			caught := false
			q.CaughtUp = func() { caught = true }
			var got, said []fleet.LogLine
			err := newSource(t, f.server.URL, testDeps(), nil).Tail(context.Background(), q, func(l fleet.LogLine) {
				if l.Stream == "nexops" {
					said = append(said, l)
					return
				}
				got = append(got, l)
			})
			if err != nil || !caught {
				t.Fatal(err, caught)
			}
			if have := texts(got); !slices.Equal(have, tt.want) {
				t.Errorf("%d lines from %q, want %d from %q, or they are out of order", len(have), have[:1], len(tt.want), tt.want[0])
			}
			if (tt.says != "") != (len(said) == 1) || len(said) == 1 && !strings.HasPrefix(said[0].Text, tt.says) {
				t.Errorf("said %q", texts(said))
			}
		})
	}
}

// More lines in one nanosecond than the server gives in one answer cannot all be had: it is said.
func TestCrowdedMoment(t *testing.T) {
	f := newFake(t)
	f.limit = 60
	f.add(at(-time.Minute, "before"))
	for i := range 70 {
		f.add(at(-time.Second, fmt.Sprintf("line %d", i)))
	}
	q := aiQuery()
	q.Tail = 500
	var got []fleet.LogLine
	if err := newSource(t, f.server.URL, testDeps(), nil).Tail(context.Background(), q, func(l fleet.LogLine) { got = append(got, l) }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 62 || !strings.HasPrefix(got[0].Text, "lines are missing at 2026-01-02T11:59:59Z") || got[1].Text != "before" {
		t.Errorf("%d lines: %q", len(got), texts(got[:min(2, len(got))]))
	}
}

func TestLineOfUnlabelledStream(t *testing.T) {
	f := newFake(t)
	f.add(stored{at: noon.Add(-time.Second).UnixNano(), labels: `{"service_name":"ai"}`, text: "x\r\n"})
	var got []fleet.LogLine
	if err := newSource(t, f.server.URL, testDeps(), nil).Tail(context.Background(), aiQuery(), func(l fleet.LogLine) { got = append(got, l) }); err != nil {
		t.Fatal(err)
	}
	want := fleet.LogLine{At: noon.Add(-time.Second), Host: "prod-1", Service: "ai", Instance: "shop-ai-1", Stream: "stdout", Text: "x"}
	if len(got) != 1 || !got[0].At.Equal(want.At) {
		t.Fatalf("got %+v", got)
	}
	got[0].At = want.At
	if got[0] != want {
		t.Errorf("got %+v, want %+v", got[0], want)
	}
}

// follow tails the fake and gives its lines; stop ends it and checks that it ends well.
func follow(t *testing.T, f *fakeLoki) (lines <-chan fleet.LogLine, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, ended := make(chan fleet.LogLine, 1000), make(chan error, 1)
	s := newSource(t, f.server.URL, testDeps(), nil)
	q := aiQuery()
	q.Follow, q.Tail = true, 2
	go func() { ended <- s.Tail(ctx, q, func(l fleet.LogLine) { out <- l }) }()
	return out, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("a cancelled tail gives %v", err)
		}
	}
}

func expect(t *testing.T, lines <-chan fleet.LogLine, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case l := <-lines:
			if !strings.HasPrefix(l.Text, w) {
				t.Fatalf("got %q, want %q", l.Text, w)
			}
			if (l.Stream == "nexops") != strings.Contains(w, "loki") {
				t.Errorf("%q is of stream %q", l.Text, l.Stream)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no %q", w)
		}
	}
}

func TestLiveTail(t *testing.T) {
	silentLog(t)
	f := newFake(t)
	f.add(at(-3*time.Second, "one"), at(-2*time.Second, "two"), at(-time.Second, "three"))
	var connects atomic.Int32
	cut := make(chan struct{})
	f.tails = func(conn *websocket.Conn) {
		switch connects.Add(1) {
		case 1:
			// What history has already brought comes again, as it does with a real server.
			_ = conn.WriteMessage(websocket.TextMessage, frame(at(-time.Second, "three"), at(time.Second, "four")))
			_ = conn.WriteMessage(websocket.TextMessage, []byte(`{"streams":null,"dropped_entries":[{"timestamp":"`+
				fmt.Sprint(noon.Add(2*time.Second).UnixNano())+`","labels":{}},{"timestamp":"`+fmt.Sprint(noon.Add(3*time.Second).UnixNano())+`"}]}`))
			<-cut
			_ = conn.UnderlyingConn().Close()
		case 2:
			_ = conn.WriteMessage(websocket.TextMessage, frame(at(time.Second, "four"), at(4*time.Second, "five")))
			_ = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, "reached tail max duration limit"))
			drain(conn)
		case 3:
			_ = conn.WriteMessage(websocket.TextMessage, []byte(`not json`))
			drain(conn)
		default:
			_ = conn.WriteMessage(websocket.TextMessage, frame(at(6*time.Second, "six")))
			drain(conn)
		}
	}
	lines, stop := follow(t, f)
	expect(t, lines, "two", "three", "four", "loki dropped 2 lines here, from 12:00:02.000 to 12:00:03.000")
	f.add(at(500*time.Millisecond, "while away"))
	close(cut)
	expect(t, lines, "loki is lost (", "while away", "loki answers again", "five", "loki is lost (a message of the live tail is no JSON)", "loki answers again", "six")
	stop()
	select {
	case l := <-lines:
		t.Errorf("a line too many: %+v", l)
	default:
	}
}

// Where no websocket gets through, the tail asks again and again instead.
func TestPollingInsteadOfLive(t *testing.T) {
	silentLog(t)
	f := newFake(t)
	f.add(at(-time.Second, "one"))
	lines, stop := follow(t, f)
	expect(t, lines, "one")
	l := <-lines
	if l.Stream != "nexops" || !strings.Contains(l.Text, "no live tail (403 Forbidden: no websocket here") {
		t.Errorf("got %+v", l)
	}
	f.add(at(100*time.Millisecond, "two"))
	expect(t, lines, "two")
	stop()
}

func TestTooManyTails(t *testing.T) {
	f := newFake(t)
	f.tails = func(conn *websocket.Conn) {
		_ = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseInternalServerErr, "max concurrent tail requests limit exceeded, count > limit (11 > 10)"))
		drain(conn)
	}
	lines, stop := follow(t, f)
	l := <-lines
	if l.Stream != "nexops" || !strings.Contains(l.Text, "no live tail (max concurrent tail requests limit exceeded") {
		t.Errorf("got %+v", l)
	}
	stop()
}

// A server that is gone when the tail begins is an error; nobody waits for it unasked.
func TestTailOfDeadServer(t *testing.T) {
	silentLog(t)
	f := newFake(t)
	f.before = answerWith(http.StatusServiceUnavailable, "text/plain", "Ingester not ready")
	err := newSource(t, f.server.URL, testDeps(), nil).Tail(context.Background(), aiQuery(), func(fleet.LogLine) {})
	if err == nil || !strings.Contains(err.Error(), "log of ai@prod: labels: 503 Service Unavailable: Ingester not ready") {
		t.Errorf("got %v", err)
	}
}

// FuzzFrame: no message of a server ends in a panic or in a line that comes twice.
func FuzzFrame(f *testing.F) {
	f.Add(frame(at(0, "x"), at(1, "y")))
	f.Add([]byte(`{"streams":[{"stream":{"a":1},"values":[["1","x",{"structuredMetadata":{"a":"b"}}],[]]}],"dropped_entries":[{"timestamp":"x"}]}`))
	f.Add([]byte(`{"streams":[null,{"stream":null,"values":[null,["18446744073709551616",3]]}]}`))
	s, err := New("x", NewConfig(), testDeps())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		t1 := &tailer{source: s, emit: func(fleet.LogLine) {}, pager: newPager(s.client, "{}", newReader(s.cfg.Labels, aiQuery())), seen: newMemo()}
		if t1.frame(data) != nil {
			return
		}
		t1.emit = func(l fleet.LogLine) {
			if l.Stream != "nexops" {
				t.Fatalf("twice: %+v", l)
			}
		}
		_ = t1.frame(data)
	})
}

// FuzzAnswer: no answer of a server ends in a panic of the vendor's client.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"status":"success","data":{"resultType":"streams","result":[{"stream":{"a":"b"},"values":[["1","x"]]}],"stats":{}}}`))
	f.Add([]byte(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1,"x"]]}]}}`))
	f.Add([]byte(`{"status":"success","data":["a",1,null,{"a":"b"}]}`))
	f.Add([]byte(`{"data":{"result":null,"resultType":"vector"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := New("x", NewConfig(), testDeps())
		if err != nil {
			t.Fatal(err)
		}
		s.client.base = fixed(data)
		ctx := context.Background()
		_, _ = s.client.labelNames(ctx, noon, noon)
		sets, _ := s.client.series(ctx, []string{"{}"}, noon, noon)
		grid := sources.NewGrid(noon, span, step)
		matrix, err := s.client.matrix(ctx, "x", grid)
		if err == nil {
			s.facts([]query{{name: fleet.MetricLogErrors}}, []answer{{matrix: matrix}}, sets, grid)
		}
		if streams, err := s.client.lines(ctx, "x", 10, noon, noon); err == nil {
			newReader(s.cfg.Labels, aiQuery()).lines(streams, true)
		}
		if !json.Valid(data) && err == nil {
			t.Fatalf("%q was taken for an answer", data)
		}
	})
}
