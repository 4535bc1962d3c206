package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// dialStdio reaches the engine behind a docker.sock where sshd forwards no
// sockets: docker itself connects, and carries the bytes over its stdin and stdout.
func (h *sshHost) dialStdio(ctx context.Context, l *link, path string, settle time.Duration) (net.Conn, error) {
	release, err := h.stdioPlace(ctx)
	if err != nil {
		return nil, err
	}
	ch, err := l.open(ctx, h, "session", nil)
	if err != nil {
		release()
		return nil, sessionError(err)
	}
	p := &stdioStream{channel: ch, said: newCapture(nil, 4<<10), ended: make(chan struct{})}
	line := Quote([]string{"docker", "-H", "unix://" + path, "system", "dial-stdio"})
	accepted := make(chan error, 1)
	ok := h.spawn(func() {
		h.wg.Go(p.follow)
		ok, err := ch.SendRequest("exec", true, ssh.Marshal(&struct{ Line string }{line}))
		if err == nil && !ok {
			err = errNoExec
		}
		accepted <- err
	})
	if !ok {
		release()
		return nil, ErrClosed
	}
	select {
	case err = <-accepted:
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-l.dead:
		err = l.cause
	}
	if err == nil {
		err = p.settled(ctx, settle)
	}
	if err != nil {
		h.spawn(func() { _ = ch.Close() })
		release()
		return nil, err
	}
	return newStreamConn(streamParts{
		s: p, local: addr{"unix", "nexops"}, remote: addr{"unix", path}, dead: l.dead, onClose: release,
	}, h.wg.Go), nil
}

// stdioPlace takes a place among the commands, and leaves some for others.
func (h *sshHost) stdioPlace(ctx context.Context) (release func(), err error) {
	for i, places := range []chan struct{}{h.stdio, h.execs} {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			if i > 0 {
				<-h.stdio
			}
			return nil, fmt.Errorf("waiting for one of %d docker connections: %w", maxStdio, context.Cause(ctx))
		}
	}
	return func() { <-h.execs; <-h.stdio }, nil
}

// stdioStream is the stdin and stdout of docker system dial-stdio.
type stdioStream struct {
	channel
	said  *capture // its stderr
	ended chan struct{}
	spoke atomic.Bool // bytes came
}

// follow reads stderr and the requests until the command ends.
func (p *stdioStream) follow() {
	_, _ = io.Copy(p.said, p.Stderr())
	ssh.DiscardRequests(p.reqs)
	close(p.ended)
}

// docker says nothing when it can connect, and what is wrong when it cannot: at once when it is
// not there, after its own start when the engine is not.
const (
	stdioSettle = 150 * time.Millisecond
	stdioDoubt  = 2 * time.Second
)

// settled waits for the failure that a missing docker or engine is.
func (p *stdioStream) settled(ctx context.Context, settle time.Duration) error {
	if settle == 0 {
		return nil
	}
	wait := time.NewTimer(settle)
	defer wait.Stop()
	select {
	case <-p.ended:
		return errors.New(p.why())
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-wait.C:
		return nil
	}
}

func (p *stdioStream) why() string {
	if said := Clean(string(p.said.bytes())); said != "" {
		return said
	}
	return "docker system dial-stdio ended at once"
}

// Read reads stdout. The end of a docker that only complained is no ordinary end.
func (p *stdioStream) Read(b []byte) (int, error) {
	n, err := p.channel.Read(b)
	if n > 0 {
		p.spoke.Store(true)
	}
	if errors.Is(err, io.EOF) && !p.spoke.Load() && len(p.said.bytes()) > 0 {
		return n, errors.New(p.why())
	}
	return n, err //nolint:wrapcheck // a net.Conn's own errors
}
