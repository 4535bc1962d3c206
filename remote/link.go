package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// link is one living SSH connection.
type link struct {
	conn  ssh.Conn
	raw   *liveConn
	chans <-chan ssh.NewChannel
	reqs  <-chan *ssh.Request
	every time.Duration // between signs of life

	once  sync.Once
	dead  chan struct{}
	cause error // why it is dead; set before dead is closed

	// forbidden is set once the host was found not to forward sockets: docker's are
	// reached by dial-stdio from then on.
	forbidden atomic.Bool
}

// newLink makes the link that will live on a connection. It is told of the
// loss before the channels are, which see it as an ordinary end.
func newLink(c net.Conn, every time.Duration) *link {
	l := &link{every: every, dead: make(chan struct{})}
	l.raw = &liveConn{Conn: c, writeTimeout: 2*every + time.Second, start: time.Now()}
	l.raw.lost = func(err error) { l.end(fmt.Errorf("%w: %w", ErrConnectionLost, err)) }
	return l
}

// run starts the goroutines of a link; they end with it.
func (l *link) run(h *sshHost) {
	h.wg.Go(func() { ssh.DiscardRequests(l.reqs) })
	h.wg.Go(func() {
		for c := range l.chans {
			_ = c.Reject(ssh.Prohibited, "nexops accepts no channels")
		}
	})
	h.wg.Go(func() {
		err := l.conn.Wait()
		l.end(fmt.Errorf("%w: %w", ErrConnectionLost, orClosed(err)))
		h.opts.log().Debug("ssh connection ended", "host", h.name, "cause", l.cause)
	})
	h.wg.Go(func() { l.keepAlive(h) })
}

// orClosed gives words to a nil error.
func orClosed(err error) error {
	if err == nil {
		return errors.New("the host closed it")
	}
	return err
}

// end closes the connection for good. The first cause counts.
func (l *link) end(cause error) {
	l.once.Do(func() {
		l.cause = cause
		close(l.dead)
	})
	// The raw one: closing in style would wait for a host that may be gone.
	_ = l.raw.Close()
}

// keepAlive asks for a sign of life when there was none, and ends the link when none comes.
func (l *link) keepAlive(h *sshHost) {
	tick := time.NewTicker(max(l.every/2, time.Millisecond))
	defer tick.Stop()
	var asked time.Time
	answered := make(chan struct{}, 1)
	for {
		select {
		case <-l.dead:
			return
		case <-answered:
			asked = time.Time{}
			continue
		case <-tick.C:
		}
		now, last := time.Now(), l.raw.lastRead()
		switch {
		case !asked.IsZero() && last.After(asked):
			// Something came. The answer may be stuck behind it.
			if now.Sub(last) >= 2*l.every {
				l.end(fmt.Errorf("%w: no sign of life for %s", ErrConnectionLost, now.Sub(last).Round(time.Millisecond)))
			}
		case !asked.IsZero():
			if now.Sub(asked) >= l.every {
				l.end(fmt.Errorf("%w: no sign of life for %s", ErrConnectionLost, now.Sub(last).Round(time.Millisecond)))
			}
		case now.Sub(last) >= l.every:
			asked = now
			h.wg.Go(func() {
				_, _, _ = l.conn.SendRequest("keepalive@openssh.com", true, nil)
				answered <- struct{}{}
			})
		}
	}
}

// staleError is a failure of a link that was lost before anything was begun on it.
type staleError struct{ err error }

func (e *staleError) Error() string { return e.err.Error() }
func (e *staleError) Unwrap() error { return e.err }

func isStale(err error) bool {
	var s *staleError
	return errors.As(err, &s)
}

type channel struct {
	ssh.Channel
	reqs <-chan *ssh.Request
}

// open opens a channel. After ctx is done, one that opens late is closed.
func (l *link) open(ctx context.Context, h *sshHost, kind string, payload []byte) (channel, error) {
	type opened struct {
		ch  channel
		err error
	}
	result, gone := make(chan opened), make(chan struct{})
	defer close(gone)
	ok := h.spawn(func() {
		ch, reqs, err := l.conn.OpenChannel(kind, payload)
		select {
		case result <- opened{channel{ch, reqs}, err}:
		case <-gone:
			if err == nil {
				h.wg.Go(func() { ssh.DiscardRequests(reqs) }) // ends with the channel
				_ = ch.Close()
			}
		}
	})
	if !ok {
		return channel{}, ErrClosed
	}
	select {
	case r := <-result:
		return r.ch, l.openError(r.err)
	case <-ctx.Done():
		return channel{}, context.Cause(ctx)
	case <-l.dead:
		return channel{}, &staleError{l.cause}
	}
}

// openError tells a refusal from the loss of the connection.
func (l *link) openError(err error) error {
	var refused *ssh.OpenChannelError
	if err == nil || errors.As(err, &refused) {
		return err
	}
	l.end(fmt.Errorf("%w: %w", ErrConnectionLost, err))
	return &staleError{l.cause}
}

// liveConn notes when the host last said something, and lets no write wait forever.
type liveConn struct {
	net.Conn
	writeTimeout time.Duration
	read         atomic.Int64 // nanoseconds since start
	start        time.Time
	lost         func(error) // called before a failed Read returns
}

func (c *liveConn) lastRead() time.Time { return c.start.Add(time.Duration(c.read.Load())) }

func (c *liveConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.read.Store(int64(time.Since(c.start)))
	}
	if err != nil {
		c.lost(err)
	}
	return n, err //nolint:wrapcheck // the reader of a connection wants its own errors
}

func (c *liveConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.writeTimeout)); err != nil {
		return 0, err //nolint:wrapcheck // as above
	}
	return c.Conn.Write(p) //nolint:wrapcheck // as above
}
