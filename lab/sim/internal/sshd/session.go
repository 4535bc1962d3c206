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
			s.exec(ctx, ch, reqs, cmd.Line, env)
			return
		default: // shell, pty-req, subsystem: this machine has no shell
			answer(req, false)
		}
	}
}

func (s *Server) exec(ctx context.Context, ch ssh.Channel, reqs <-chan *ssh.Request, line string, env map[string]string) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for req := range reqs { // ends when the client closes the channel, or we do
			if req.Type == "signal" {
				cancel()
			}
			answer(req, false)
		}
		cancel()
	}()
	code := s.backend.Exec(ctx, Exec{Line: line, Env: env, Stdin: ch, Stdout: ch, Stderr: ch.Stderr()})
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
