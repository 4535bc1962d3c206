package loki

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
)

const (
	tailEvery  = 200 * time.Millisecond
	tailBehind = 300 * time.Millisecond // shipping takes a moment
	maxDelay   = 5 * time.Second
)

// tail pushes the lines of a log query over a websocket as they come.
func (s *Server) tail(w http.ResponseWriter, r *http.Request) {
	expr, err := parseLogs(r.Form.Get("query"))
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
	t := tailer{server: s, expr: expr, conn: conn, cursor: start, behind: tailBehind + time.Duration(delay)*time.Second, limit: limit}
	t.run(ctx)
	_ = conn.Close()
	<-gone
}

type tailer struct {
	server *Server
	expr   *logExpr
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
	out := streamed(t.server.entries(t.expr, t.cursor, to))
	if !t.said { // of history, the newest lines of each stream
		for i := range out {
			out[i].Values = out[i].Values[max(0, len(out[i].Values)-t.limit):]
		}
	}
	t.cursor, t.said = to, true
	if len(out) == 0 {
		return nil
	}
	_ = t.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
	return t.conn.WriteJSON(map[string]any{"streams": out}) //nolint:wrapcheck // ends the tail
}
