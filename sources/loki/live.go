package loki

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/nexgate-hq/nexops/remote"
	"github.com/nexgate-hq/nexops/sources"
)

// The bounds of a live tail.
const (
	handshake  = 10 * time.Second
	silence    = 30 * time.Second // without a word, not even a pong, the connection is dead
	pingEvery  = 10 * time.Second
	maxFrame   = 64 << 20
	backlog    = 5 * time.Second // lines may come this late
	tailLimit  = 1_000           // entries of the past in the first frames
	firstWait  = 250 * time.Millisecond
	longWait   = 3 * time.Second
	pollEvery  = 2 * time.Second
	pollRounds = 15 // then the live tail is tried again
)

// refused says that the server answered the request for a live tail with a no.
type refused struct{ error }

// Unwrap gives the answer.
func (r refused) Unwrap() error { return r.error }

// follow emits what comes, across lost connections and restarts of the server, until ctx ends.
func (t *tailer) follow(ctx context.Context) error {
	var outage, polling bool
	wait := firstWait
	for {
		lived, err := t.live(ctx, func() {
			if outage {
				t.say("loki answers again")
			}
			outage, polling, wait = false, false, firstWait
		})
		var no refused
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &no):
			if !polling {
				t.say("no live tail (%s): asking every %s instead", no.Error(), pollEvery)
			}
			polling = true
			if err = t.poll(ctx); err == nil {
				continue
			}
		case lived && websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway):
			if sleep(ctx, firstWait) {
				continue // the server ends every tail after an hour
			}
			return nil
		}
		if !outage {
			t.say("loki is lost (%s): trying again", remote.Clean(err.Error()))
		}
		outage = true
		if !sleep(ctx, wait/2+rand.N(wait)) { //nolint:gosec // jitter needs no secrecy
			return nil
		}
		wait = min(2*wait, longWait)
	}
}

// sleep waits, and reports whether it was not cut short.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// poll stands in for a live tail: it asks for what is new, for a while.
func (t *tailer) poll(ctx context.Context) error {
	for range pollRounds {
		if err := t.fill(ctx); err != nil {
			return err
		}
		if !sleep(ctx, pollEvery) {
			return nil
		}
	}
	return nil
}

// fill emits what was logged since the last line and not emitted.
func (t *tailer) fill(ctx context.Context) error {
	from := t.last.Add(-backlog)
	if known := t.seen.since(); from.Before(known) {
		from = known
	}
	if from.Before(t.floor) {
		from = t.floor
	}
	lines, more, err := t.pager.last(ctx, from, t.source.deps.Now().Add(time.Second), maxHistory)
	if err != nil {
		return err
	}
	if more {
		t.say("lines are missing here: more than %d came meanwhile", maxHistory)
	}
	t.sayCrowded()
	t.give(lines)
	return nil
}

// live opens the websocket, fills the gap before it and reads it until it ends. up is
// called when all of that works.
func (t *tailer) live(ctx context.Context, up func()) (lived bool, err error) {
	conn, err := t.dial(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	conn.SetReadLimit(maxFrame)
	awake := func(string) error { return conn.SetReadDeadline(time.Now().Add(silence)) }
	_ = awake("")
	conn.SetPongHandler(awake)
	ping := conn.PingHandler()
	conn.SetPingHandler(func(data string) error {
		_ = awake("")
		return ping(data)
	})
	done := make(chan struct{})
	var keeper sync.WaitGroup
	keeper.Go(func() { keepAlive(conn, done) })
	defer keeper.Wait()
	defer close(done)
	if err := t.fill(ctx); err != nil {
		return false, err
	}
	up()
	for {
		kind, data, err := conn.ReadMessage()
		if err != nil {
			return true, closed(err)
		}
		_ = awake("")
		if kind != websocket.TextMessage && kind != websocket.BinaryMessage {
			continue
		}
		if err := t.frame(data); err != nil {
			return true, err
		}
	}
}

// keepAlive pings until done; the answers keep the read deadline away.
func keepAlive(conn *websocket.Conn, done <-chan struct{}) {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
			if conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(pingEvery)) != nil {
				return
			}
		}
	}
}

// frame emits the lines of one message and says what the server dropped.
func (t *tailer) frame(data []byte) error {
	if !json.Valid(data) {
		return errors.New("a message of the live tail is no JSON")
	}
	var resp tailMessage
	if err := json.Unmarshal(data, &resp); err != nil {
		return fmt.Errorf("a message of the live tail cannot be read: %s", remote.Clean(err.Error()))
	}
	t.give(t.pager.reader.lines(resp.Streams, false))
	if n := len(resp.Dropped); n > 0 {
		first, last := time.Time(resp.Dropped[0].At), time.Time(resp.Dropped[0].At)
		for _, d := range resp.Dropped {
			at := time.Time(d.At)
			if at.Before(first) {
				first = at
			}
			if at.After(last) {
				last = at
			}
		}
		t.say("loki dropped %d lines here, from %s to %s: it was too fast for the tail",
			n, first.UTC().Format("15:04:05.000"), last.UTC().Format("15:04:05.000"))
	}
	return nil
}

// closed tells a server that refuses the tail in its last word from a lost connection.
func closed(err error) error {
	var c *websocket.CloseError
	if errors.As(err, &c) && strings.Contains(c.Text, "max concurrent tail") {
		return refused{errors.New(remote.Clean(c.Text))}
	}
	return err
}

func (t *tailer) dial(ctx context.Context) (*websocket.Conn, error) {
	s := t.source
	header, err := s.transport.Header(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // says which secret
	}
	if s.cfg.Tenant != "" {
		header.Set("X-Scope-OrgID", s.cfg.Tenant)
	}
	dialer := websocket.Dialer{NetDialContext: s.transport.Dial, HandshakeTimeout: handshake}
	address, secure, err := tailURL(s.cfg.URL, t.query, t.last)
	if err != nil {
		return nil, err
	}
	if secure {
		if dialer.TLSClientConfig, err = s.transport.TLS(); err != nil {
			return nil, err //nolint:wrapcheck // says which file
		}
	}
	conn, resp, err := dialer.DialContext(ctx, address, header)
	if resp != nil && err != nil {
		defer func() { _ = resp.Body.Close() }()
	}
	switch {
	case err == nil:
		return conn, nil
	case resp != nil && errors.Is(err, websocket.ErrBadHandshake):
		answer := refusal(resp)
		if temporary(answer) {
			return nil, answer
		}
		return nil, refused{answer}
	default:
		return nil, sources.Cause(err) //nolint:wrapcheck // Tail wraps it
	}
}

// temporary reports whether the server is only not there yet.
func temporary(e *sources.HTTPError) bool {
	return e.Status == http.StatusBadGateway || e.Status == http.StatusServiceUnavailable || e.Status == http.StatusGatewayTimeout
}

func tailURL(address, query string, start time.Time) (string, bool, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", false, fmt.Errorf("url: %w", err)
	}
	secure := u.Scheme == "https"
	u.Scheme = "ws"
	if secure {
		u.Scheme = "wss"
	}
	u.Path = path.Join("/", u.Path, "/loki/api/v1/tail")
	u.RawQuery = url.Values{
		"query": {query}, "limit": {strconv.Itoa(tailLimit)}, "delay_for": {"0"},
		"start": {strconv.FormatInt(start.Add(-backlog).UnixNano(), 10)},
	}.Encode()
	return u.String(), secure, nil
}
