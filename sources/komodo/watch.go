package komodo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"time"

	"github.com/gorilla/websocket"

	"github.com/nexgate-hq/nexops/sources"
)

// The bounds of the websocket.
const (
	handshake = 10 * time.Second
	silence   = 90 * time.Second // Core pings every 30 s
	maxFrame  = 4 << 20
	loggedIn  = "LOGGED_IN"
)

// Watch pokes whenever an execution begins or ends. Nothing is replayed: what happened while nobody listened is
// seen by the observation that follows the login.
func (s *Source) Watch(ctx context.Context, changed func()) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return s.fail(fmt.Errorf("watch: %w", err))
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	conn.SetReadLimit(maxFrame)
	awake := func() { _ = conn.SetReadDeadline(time.Now().Add(silence)) }
	awake()
	ping := conn.PingHandler()
	conn.SetPingHandler(func(data string) error {
		awake()
		return ping(data)
	})
	if err := s.hello(ctx, conn); err != nil {
		return s.fail(fmt.Errorf("watch: %w", err))
	}
	changed()
	for {
		_, raw, err := conn.ReadMessage()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return s.fail(fmt.Errorf("watch: %w", sources.Cause(err)))
		}
		awake()
		if err := frame(raw); err != nil {
			return s.fail(fmt.Errorf("watch: %w", err))
		}
		changed()
	}
}

// hello logs in: the first frame says who listens, and the answer is LOGGED_IN or why not.
func (s *Source) hello(ctx context.Context, conn *websocket.Conn) error {
	key, secret, err := s.client.credentials(ctx)
	if err != nil {
		return err
	}
	login := map[string]any{"type": "ApiKeys", "params": map[string]string{"key": key, "secret": secret}}
	if err := conn.WriteJSON(login); err != nil {
		return fmt.Errorf("log in: %w", sources.Cause(err))
	}
	_, raw, err := conn.ReadMessage()
	if err != nil {
		return fmt.Errorf("log in: %w", sources.Cause(err))
	}
	if string(raw) != loggedIn {
		s.client.forget()
		return fmt.Errorf("log in: %s", line(string(raw)))
	}
	return nil
}

// frame finds the one message that is no update: the user was deleted or disabled.
func frame(raw []byte) error {
	var doc struct {
		Type string `json:"type"`
		Msg  string `json:"msg"`
	}
	if json.Unmarshal(raw, &doc) == nil && doc.Type == "INVALID_USER" {
		return errors.New(line("the key's user is not valid any more: " + doc.Msg))
	}
	return nil
}

func (s *Source) dial(ctx context.Context) (*websocket.Conn, error) {
	u, err := url.Parse(s.cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	dialer := websocket.Dialer{NetDialContext: s.transport.Dial, HandshakeTimeout: handshake}
	if u.Scheme == "https" {
		if dialer.TLSClientConfig, err = s.transport.TLS(); err != nil {
			return nil, err //nolint:wrapcheck // says which file
		}
	}
	u.Scheme = map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
	u.Path = path.Join("/", u.Path, "ws/update")
	conn, resp, err := dialer.DialContext(ctx, u.String(), nil)
	if resp != nil && err != nil {
		defer func() { _ = resp.Body.Close() }()
		return nil, &Error{Status: resp.StatusCode}
	}
	if err != nil {
		return nil, sources.Cause(err)
	}
	return conn, nil
}
