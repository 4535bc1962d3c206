// Package sshd is an SSH server for simulated hosts, with the parts of OpenSSH
// that clients rely on: key authentication, exec, and forwarding to TCP ports and unix sockets.
package sshd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	maxSessions      = 10 // of one connection, as OpenSSH has it by default
	handshakeTimeout = 20 * time.Second
)

// Exec is one command that a client runs.
type Exec struct {
	Line   string
	Env    map[string]string
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	TTY    *TTY // nil: the client asked for no terminal
}

// TTY is the terminal that a client asked for. What goes over it is not cooked:
// a program that wants echo and lines makes them itself.
type TTY struct {
	Term    string
	Size    Size
	Resized <-chan Size
}

// Size is how large a terminal is, in characters.
type Size struct{ Columns, Rows int }

// Backend is the machine behind the server.
type Backend interface {
	// Exec runs a command and gives its exit code.
	Exec(ctx context.Context, e Exec) int
	// Dial connects to what the machine itself would reach; network is "tcp" or "unix".
	Dial(network, address string) (net.Conn, error)
}

// Server is the sshd of one host. It can be stopped and started again on its port.
type Server struct {
	config  *ssh.ServerConfig
	backend Backend
	address string // after the first Start, with the port

	mu     sync.Mutex
	ln     net.Listener
	conns  map[net.Conn]bool
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// New makes a server with its host key that lets one client key in.
func New(hostKey ssh.Signer, client ssh.PublicKey, backend Backend) *Server {
	want := string(client.Marshal())
	config := &ssh.ServerConfig{
		ServerVersion: "SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13.5",
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if string(key.Marshal()) != want {
				return nil, errors.New("unknown key")
			}
			return &ssh.Permissions{}, nil
		},
	}
	config.AddHostKey(hostKey)
	return &Server{config: config, backend: backend, address: "127.0.0.1:0", conns: map[net.Conn]bool{}}
}

// Start listens and serves until Stop. It may be called again after Stop.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ln != nil {
		return nil
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("sshd: %w", err)
	}
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.ln, s.cancel, s.address = ln, cancel, ln.Addr().String()
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		s.accept(inner, ln)
	}()
	return nil
}

// Address is host:port.
func (s *Server) Address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.address
}

// Stop closes the port and every connection, and waits for their ends.
func (s *Server) Stop() {
	s.mu.Lock()
	if s.ln == nil {
		s.mu.Unlock()
		return
	}
	_ = s.ln.Close()
	s.ln = nil
	s.cancel()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.work.Wait()
}

func (s *Server) accept(ctx context.Context, ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.ln != ln { // stopped meanwhile
			s.mu.Unlock()
			_ = c.Close()
			return
		}
		s.conns[c] = true
		s.work.Add(1)
		s.mu.Unlock()
		go func() {
			defer s.work.Done()
			s.serve(ctx, c)
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		}()
	}
}

func (s *Server) serve(ctx context.Context, c net.Conn) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(handshakeTimeout))
	conn, chans, reqs, err := ssh.NewServerConn(c, s.config)
	if err != nil {
		return
	}
	_ = c.SetDeadline(time.Time{})
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Add(1)
	go func() {
		defer work.Done()
		ssh.DiscardRequests(reqs) // answers keepalive@openssh.com with a failure, as OpenSSH does
	}()
	sessions := make(chan struct{}, maxSessions)
	for ch := range chans {
		work.Add(1)
		go func() {
			defer work.Done()
			s.channel(ctx, ch, sessions)
		}()
	}
	cancel()
	_ = conn.Close()
	work.Wait()
}

func (s *Server) channel(ctx context.Context, ch ssh.NewChannel, sessions chan struct{}) {
	switch ch.ChannelType() {
	case "session":
		select {
		case sessions <- struct{}{}:
			defer func() { <-sessions }()
			s.session(ctx, ch)
		default:
			_ = ch.Reject(ssh.ConnectionFailed, "open failed")
		}
	case "direct-streamlocal@openssh.com":
		var req struct {
			Path      string
			Reserved0 string
			Reserved1 uint32
		}
		if ssh.Unmarshal(ch.ExtraData(), &req) != nil {
			_ = ch.Reject(ssh.ConnectionFailed, "bad request")
			return
		}
		s.forward(ctx, ch, "unix", req.Path)
	case "direct-tcpip":
		var req struct {
			Host       string
			Port       uint32
			OriginHost string
			OriginPort uint32
		}
		if ssh.Unmarshal(ch.ExtraData(), &req) != nil {
			_ = ch.Reject(ssh.ConnectionFailed, "bad request")
			return
		}
		s.forward(ctx, ch, "tcp", net.JoinHostPort(req.Host, fmt.Sprint(req.Port)))
	default:
		_ = ch.Reject(ssh.UnknownChannelType, "unsupported channel type")
	}
}

func (s *Server) forward(ctx context.Context, nc ssh.NewChannel, network, address string) {
	conn, err := s.backend.Dial(network, address)
	if err != nil {
		_ = nc.Reject(ssh.ConnectionFailed, "open failed") // OpenSSH does not say more either
		return
	}
	ch, reqs, err := nc.Accept()
	if err != nil {
		_ = conn.Close()
		return
	}
	Pipe(ctx, conn, ch, reqs)
}

// Pipe joins a connection and a channel until either ends.
func Pipe(ctx context.Context, conn net.Conn, ch ssh.Channel, reqs <-chan *ssh.Request) {
	var work sync.WaitGroup
	work.Add(3)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close(); _ = ch.Close() })
	defer stop()
	go func() {
		defer work.Done()
		ssh.DiscardRequests(reqs)
	}()
	go func() {
		defer work.Done()
		_, _ = io.Copy(ch, conn)
		_ = ch.CloseWrite()
		_ = ch.Close()
	}()
	go func() {
		defer work.Done()
		_, _ = io.Copy(conn, ch)
		_ = conn.Close()
	}()
	work.Wait()
}
