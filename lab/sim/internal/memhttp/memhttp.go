// Package memhttp serves HTTP over connections in memory, so that a simulated
// socket or port is reachable only through the simulated host it belongs to.
package memhttp

import (
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// Server serves one handler. It may be stopped and started like the real thing.
type Server struct {
	handler http.Handler

	mu    sync.Mutex
	idle  sync.Cond // calls is 0
	calls int       // requests under way, hijacked ones too
	http  *http.Server
	ln    *listener
	done  chan struct{}
}

// New makes a server that is not started.
func New(h http.Handler) *Server {
	s := &Server{}
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.begin() {
			http.Error(w, "stopped", http.StatusServiceUnavailable)
			return
		}
		defer s.end()
		h.ServeHTTP(w, r)
	})
	s.idle.L = &s.mu
	return s
}

func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http == nil {
		return false
	}
	s.calls++
	return true
}

func (s *Server) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls--
	if s.calls == 0 {
		s.idle.Broadcast()
	}
}

// Start begins to serve.
func (s *Server) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return
	}
	srv := &http.Server{Handler: s.handler, ReadHeaderTimeout: 30 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	ln := &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	done := make(chan struct{})
	s.http, s.ln, s.done = srv, ln, done
	go func() {
		defer close(done)
		_ = srv.Serve(ln)
	}()
}

// Stop closes the server and its connections; Dial is then refused.
func (s *Server) Stop() {
	s.mu.Lock()
	srv, done, ln := s.http, s.done, s.ln
	s.http, s.ln = nil, nil
	s.mu.Unlock()
	if srv == nil {
		return
	}
	_ = srv.Close()
	_ = ln.Close()
	ln.closeHijacked()
	<-done
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.calls > 0 {
		s.idle.Wait()
	}
}

// Dial connects to the server.
func (s *Server) Dial() (net.Conn, error) {
	s.mu.Lock()
	ln := s.ln
	s.mu.Unlock()
	if ln == nil {
		return nil, syscall.ECONNREFUSED
	}
	near, far := net.Pipe()
	ln.keep(far)
	select {
	case ln.conns <- &tracked{Conn: far, ln: ln}:
		return near, nil
	case <-ln.closed:
		_ = far.Close()
		return nil, syscall.ECONNREFUSED
	}
}

type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex
	open map[net.Conn]bool
}

// keep remembers a connection: http.Server forgets those that were hijacked for a websocket.
func (l *listener) keep(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = map[net.Conn]bool{}
	}
	l.open[c] = true
}

func (l *listener) forget(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
}

func (l *listener) closeHijacked() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		_ = c.Close()
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

type tracked struct {
	net.Conn
	ln *listener
}

// Close closes the connection.
func (t *tracked) Close() error {
	t.ln.forget(t.Conn)
	return t.Conn.Close() //nolint:wrapcheck // a connection is what it wraps
}
