package sshd

import (
	"context"

	"golang.org/x/crypto/ssh"
)

const maxEnv = 64

// session serves one "session" channel: environment, then one exec.
func (s *Server) session(ctx context.Context, nc ssh.NewChannel) {
	ch, reqs, err := nc.Accept()
	if err != nil {
		return
	}
	defer func() { _ = ch.Close() }()
	env := map[string]string{}
	var tty *TTY
	for req := range reqs {
		switch req.Type {
		case "env":
			var kv struct{ Name, Value string }
			ok := ssh.Unmarshal(req.Payload, &kv) == nil && len(env) < maxEnv
			if ok {
				env[kv.Name] = kv.Value
			}
			answer(req, ok)
		case "exec":
			var cmd struct{ Line string }
			ok := ssh.Unmarshal(req.Payload, &cmd) == nil
			answer(req, ok)
			if !ok {
				return
			}
			s.exec(ctx, ch, reqs, Exec{Line: cmd.Line, Env: env, TTY: tty})
			return
		case "pty-req":
			tty = ptyOf(req.Payload)
			answer(req, tty != nil)
		default: // shell, subsystem: this machine has no shell of its own
			answer(req, false)
		}
	}
}

func (s *Server) exec(ctx context.Context, ch ssh.Channel, reqs <-chan *ssh.Request, e Exec) {
	ctx, cancel := context.WithCancel(ctx)
	done, sizes := make(chan struct{}), make(chan Size, 1)
	if e.TTY != nil {
		e.TTY.Resized = sizes
	}
	go func() {
		defer close(done)
		for req := range reqs { // ends when the client closes the channel, or we do
			switch req.Type {
			case "signal":
				cancel()
			case "window-change":
				resize(sizes, req.Payload)
			}
			answer(req, false)
		}
		cancel()
	}()
	e.Stdin, e.Stdout, e.Stderr = ch, ch, ch.Stderr()
	if e.TTY != nil {
		e.Stderr = ch // a terminal has one stream
	}
	code := s.backend.Exec(ctx, e)
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(code & 0xff)})) //nolint:gosec // masked
	_ = ch.CloseWrite()
	_ = ch.Close()
	<-done
	cancel()
}

func answer(req *ssh.Request, ok bool) {
	if req.WantReply {
		_ = req.Reply(ok, nil)
	}
}

// ptyOf reads the wish for a terminal; nil when it makes no sense.
func ptyOf(payload []byte) *TTY {
	var p struct {
		Term          string
		Columns, Rows uint32
		Width, Height uint32
		Modes         string
	}
	if ssh.Unmarshal(payload, &p) != nil {
		return nil
	}
	return &TTY{Term: p.Term, Size: Size{int(p.Columns), int(p.Rows)}}
}

// resize tells a program of the newest size of its terminal; one it has not taken yet is forgotten.
func resize(sizes chan Size, payload []byte) {
	var p struct{ Columns, Rows, Width, Height uint32 }
	if ssh.Unmarshal(payload, &p) != nil {
		return
	}
	select {
	case <-sizes:
	default:
	}
	sizes <- Size{int(p.Columns), int(p.Rows)}
}
