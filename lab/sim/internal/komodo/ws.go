package komodo

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

const (
	socketQueue = 64
	pingEvery   = 30 * time.Second
	loginWait   = 10 * time.Second
)

// socket is one listener on /ws/update. What happens while nobody listens is not said again.
type socket struct {
	conn *websocket.Conn
	out  chan item
}

func (s *Server) websocket(w http.ResponseWriter, r *http.Request) {
	conn, err := (&websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetReadDeadline(time.Now().Add(loginWait))
	_, raw, err := conn.ReadMessage()
	if err != nil {
		return
	}
	var hello struct {
		Type   string `json:"type"`
		Params struct {
			Key    string `json:"key"`
			Secret string `json:"secret"`
		} `json:"params"`
	}
	if json.Unmarshal(raw, &hello) != nil || hello.Type != "ApiKeys" {
		_ = conn.WriteMessage(websocket.TextMessage, []byte("failed to parse login message"))
		return
	}
	if _, err := s.check(hello.Params.Key, hello.Params.Secret); err != nil {
		_ = conn.WriteMessage(websocket.TextMessage, []byte("failed to authenticate user | "+err.Error()))
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	if conn.WriteMessage(websocket.TextMessage, []byte("LOGGED_IN")) != nil {
		return
	}
	s.listen(conn)
}

// listen passes updates on until the client goes or Core drops it.
func (s *Server) listen(conn *websocket.Conn) {
	k := &socket{conn: conn, out: make(chan item, socketQueue)}
	s.mu.Lock()
	s.sockets[k] = true
	s.mu.Unlock()
	gone := make(chan struct{})
	go func() { // reads until the client goes, answering pings
		defer close(gone)
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
		}
	}()
	defer func() {
		s.mu.Lock()
		delete(s.sockets, k)
		s.mu.Unlock()
		_ = conn.Close()
		<-gone
	}()
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		select {
		case <-gone:
			return
		case <-ping.C:
			if conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(loginWait)) != nil {
				return
			}
		case it := <-k.out:
			if conn.WriteJSON(it) != nil {
				return
			}
		}
	}
}

func (s *Server) broadcast(it item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.sockets {
		select {
		case k.out <- it:
		default: // too slow: it is dropped
		}
	}
}

// Drop closes every websocket, as a proxy or a restart does.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.sockets {
		_ = k.conn.Close()
	}
}

// Listeners is how many websockets are logged in.
func (s *Server) Listeners() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sockets)
}
