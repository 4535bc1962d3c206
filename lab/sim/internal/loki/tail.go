package loki

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
	loghttp "github.com/grafana/loki/v3/pkg/loghttp/legacy"
	"github.com/grafana/loki/v3/pkg/logproto"
	"github.com/grafana/loki/v3/pkg/logql/syntax"
	"github.com/grafana/loki/v3/pkg/util/marshal"
)

const (
	tailEvery  = 200 * time.Millisecond
	tailBehind = 300 * time.Millisecond // shipping takes a moment
	maxDelay   = 5 * time.Second
)

// tail pushes the lines of a log query over a websocket as they come.
func (s *Server) tail(w http.ResponseWriter, r *http.Request) {
	expr, err := syntax.ParseLogSelector(r.Form.Get("query"), true)
	if err != nil {
		fail(w, err)
		return
	}
	delay, err := strconv.Atoi("0" + r.Form.Get("delay_for"))
	if err != nil || time.Duration(delay)*time.Second > maxDelay {
		fail(w, errors.New("delay_for can't be greater than 5"))
		return
	}
	limit, err := limitOf(r)
	if err != nil {
		fail(w, err)
		return
	}
	now := s.world.Now()
	start, err := instant(r.Form.Get("start"), now.Add(-time.Hour))
	if err != nil {
		fail(w, err)
		return
	}
	select {
	case s.tails <- struct{}{}:
		defer func() { <-s.tails }()
	default:
		fail(w, errors.New("max concurrent tail requests limit exceeded"))
		return
	}
	conn, err := (&websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	gone := make(chan struct{})
	go func() { // reads until the client goes; answers pings on the way
		defer close(gone)
		defer cancel()
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
		}
	}()
	t := tailer{server: s, expr: expr, conn: conn, cursor: start, behind: tailBehind + time.Duration(delay)*time.Second, limit: int(limit)}
	t.run(ctx)
	_ = conn.Close()
	<-gone
}

type tailer struct {
	server *Server
	expr   syntax.LogSelectorExpr
	conn   *websocket.Conn
	cursor time.Time
	behind time.Duration
	limit  int // of the lines of history
	said   bool
}

func (t *tailer) run(ctx context.Context) {
	tick := time.NewTicker(tailEvery)
	defer tick.Stop()
	for {
		if err := t.push(); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// push sends the lines between the cursor and now.
func (t *tailer) push() error {
	now := t.server.world.Now()
	to := now.Add(-t.behind)
	if !to.After(t.cursor) {
		return nil
	}
	pipeline, err := t.expr.Pipeline()
	if err != nil {
		return err //nolint:wrapcheck // ends the tail
	}
	byLabels := map[string]int{}
	var out []logproto.Stream
	for _, st := range streams(t.server.world, t.expr.Matchers()) {
		sp := pipeline.ForStream(st.labels)
		for _, l := range st.lines(t.cursor, to, now) {
			text, ls, ok := sp.Process(l.At.UnixNano(), []byte(l.Text), metadata(l))
			if !ok {
				continue
			}
			i, known := byLabels[ls.String()]
			if !known {
				i = len(out)
				byLabels[ls.String()] = i
				out = append(out, logproto.Stream{Labels: ls.String(), Hash: ls.Hash()})
			}
			out[i].Entries = append(out[i].Entries, logproto.Entry{Timestamp: l.At, Line: string(text)})
		}
	}
	if !t.said { // of history, the newest lines of each stream
		for i := range out {
			out[i].Entries = out[i].Entries[max(0, len(out[i].Entries)-t.limit):]
		}
	}
	t.cursor, t.said = to, true
	if len(out) == 0 {
		return nil
	}
	_ = t.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	return marshal.WriteTailResponseJSON(loghttp.TailResponse{Streams: out}, marshal.NewWebsocketJSONWriter(t.conn), nil) //nolint:wrapcheck // ends the tail
}
