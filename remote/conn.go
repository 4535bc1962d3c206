package remote

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// chunk is how much passes between a caller and a channel at once: the largest SSH packet.
const chunk = 32 << 10

// stream is the part of an SSH channel that carries bytes. Its calls may block
// for as long as the connection lives.
type stream interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// streamConn makes a net.Conn with deadlines of a stream that has none. Two
// pumps, which end when the stream does, do what cannot be interrupted.
type streamConn struct {
	streamParts

	closeOnce sync.Once
	closed    chan struct{} // Close was called
	readEnd   deadline
	writeEnd  deadline

	readMu   sync.Mutex
	incoming chan []byte   // pump to reader: bytes, in the pump's own buffer
	consumed chan struct{} // reader to pump: the buffer is free again
	rest     []byte
	readErr  error // set by the pump before it closes incoming

	writeHalf
}

// writeHalf is the side of a streamConn that sends.
type writeHalf struct {
	writeMu  sync.Mutex
	outgoing chan writeJob
	written  chan error // of the job given last
	pending  bool       // a job was given whose result nobody has taken
	writeErr error
	buf      []byte
}

// streamParts is what a streamConn is made from.
type streamParts struct {
	s             stream
	local, remote net.Addr
	dead          <-chan struct{} // the connection under the stream is lost
	onClose       func()          // called once, when the stream was closed
}

type writeJob struct {
	data []byte
	end  bool // half close
}

// newStreamConn wraps a stream. The pumps run by start, so that somebody owns them.
func newStreamConn(parts streamParts, start func(func())) *streamConn {
	c := &streamConn{
		streamParts: parts,
		closed:      make(chan struct{}),
		readEnd:     makeDeadline(),
		writeEnd:    makeDeadline(),
		incoming:    make(chan []byte),
		consumed:    make(chan struct{}, 1),
		writeHalf:   writeHalf{outgoing: make(chan writeJob), written: make(chan error, 1)},
	}
	start(c.readPump)
	start(c.writePump)
	return c
}

func (c *streamConn) readPump() {
	defer close(c.incoming)
	buf := make([]byte, chunk)
	for {
		n, err := c.s.Read(buf)
		if n > 0 {
			select {
			case c.incoming <- buf[:n]:
			case <-c.closed:
				return
			case <-c.dead:
				return
			}
			select {
			case <-c.consumed:
			case <-c.closed:
				return
			case <-c.dead:
				return
			}
		}
		if err != nil {
			c.readErr = err
			return
		}
	}
}

func (c *streamConn) writePump() {
	defer func() {
		_ = c.s.Close()
		if c.onClose != nil {
			c.onClose()
		}
	}()
	for {
		select {
		case job := <-c.outgoing:
			var err error
			if job.end {
				err = c.s.CloseWrite()
			} else {
				_, err = c.s.Write(job.data)
			}
			c.written <- err // has room: a job is only given when the last result was taken
		case <-c.closed:
			return
		case <-c.dead:
			return
		}
	}
}

// Read reads what has come.
func (c *streamConn) Read(p []byte) (int, error) {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	if err := c.usable(&c.readEnd); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if len(c.rest) == 0 {
		select {
		case data, ok := <-c.incoming:
			if !ok {
				return 0, c.endOfRead()
			}
			c.rest = data
		case <-c.dead:
			return 0, ErrConnectionLost
		case <-c.closed:
			return 0, net.ErrClosed
		case <-c.readEnd.wait():
			return 0, os.ErrDeadlineExceeded
		}
	}
	n := copy(p, c.rest)
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		c.consumed <- struct{}{}
	}
	return n, nil
}

func (c *streamConn) endOfRead() error {
	switch {
	case isDone(c.closed):
		return net.ErrClosed
	case isDone(c.dead):
		return ErrConnectionLost // which looks like the end of the stream, and is none
	default:
		return c.readErr
	}
}

// Write hands p to the stream and returns when it has taken it. Past the
// deadline the rest of p is not sent; what was counted may still be on its way.
func (c *streamConn) Write(p []byte) (int, error) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if err := c.usable(&c.writeEnd); err != nil {
		return 0, err
	}
	total := 0
	for len(p) > 0 {
		if err := c.settle(); err != nil {
			return total, err
		}
		if c.buf == nil {
			c.buf = make([]byte, chunk)
		}
		n := copy(c.buf, p)
		if err := c.give(writeJob{data: c.buf[:n]}); err != nil {
			return total, err
		}
		total += n
		p = p[n:]
		if err := c.settle(); err != nil {
			return total, err
		}
	}
	return total, nil
}

// give hands a job to the pump. The job before it must be settled.
func (c *streamConn) give(job writeJob) error {
	select {
	case c.outgoing <- job:
		c.pending = true
		return nil
	case <-c.dead:
		return ErrConnectionLost
	case <-c.closed:
		return net.ErrClosed
	case <-c.writeEnd.wait():
		return os.ErrDeadlineExceeded
	}
}

// settle waits for the job that was given last.
func (c *streamConn) settle() error {
	if !c.pending {
		return c.writeErr
	}
	select {
	case err := <-c.written:
		c.pending = false
		if errors.Is(err, io.EOF) {
			err = io.ErrClosedPipe // the far side closed: a writer knows no end of file
		}
		c.writeErr = err
		return err
	case <-c.dead:
		return ErrConnectionLost
	case <-c.closed:
		return net.ErrClosed
	case <-c.writeEnd.wait():
		return os.ErrDeadlineExceeded
	}
}

// CloseWrite says that nothing more will be written.
func (c *streamConn) CloseWrite() error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if err := c.usable(&c.writeEnd); err != nil {
		return err
	}
	if err := c.settle(); err != nil {
		return err
	}
	if err := c.give(writeJob{end: true}); err != nil {
		return err
	}
	return c.settle()
}

func (c *streamConn) usable(d *deadline) error {
	select {
	case <-c.closed:
		return net.ErrClosed
	default:
	}
	select {
	case <-d.wait():
		return os.ErrDeadlineExceeded
	default:
		return nil
	}
}

// Close ends both directions at once and every call that waits.
func (c *streamConn) Close() error {
	c.closeOnce.Do(func() {
		close(c.closed)
		c.readEnd.set(time.Time{})
		c.writeEnd.set(time.Time{})
	})
	return nil
}

// LocalAddr names this side.
func (c *streamConn) LocalAddr() net.Addr { return c.local }

// RemoteAddr names the far side, as the host sees it.
func (c *streamConn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline bounds reads and writes.
func (c *streamConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline bounds reads, also the one that waits now.
func (c *streamConn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.readEnd, t) }

// SetWriteDeadline bounds writes, also the one that waits now.
func (c *streamConn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.writeEnd, t) }

func (c *streamConn) setDeadline(d *deadline, t time.Time) error {
	select {
	case <-c.closed:
		return net.ErrClosed
	default:
		d.set(t)
		return nil
	}
}

// deadline is a point in time that may be moved and that several calls wait for.
type deadline struct {
	mu     *sync.Mutex
	timer  *time.Timer
	passed chan struct{}
}

func makeDeadline() deadline {
	return deadline{mu: &sync.Mutex{}, passed: make(chan struct{})}
}

// set moves the deadline; the zero time is none.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.passed // the timer has fired or is about to: let it finish with this channel
	}
	d.timer = nil
	over := isDone(d.passed)
	if t.IsZero() {
		if over {
			d.passed = make(chan struct{})
		}
		return
	}
	if wait := time.Until(t); wait > 0 {
		if over {
			d.passed = make(chan struct{})
		}
		passed := d.passed
		d.timer = time.AfterFunc(wait, func() { close(passed) })
		return
	}
	if !over {
		close(d.passed)
	}
}

// wait gives a channel that is closed once the deadline has passed.
func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.passed
}

func isDone(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// addr is an address as a host sees it.
type addr struct{ network, address string }

func (a addr) Network() string { return a.network }
func (a addr) String() string  { return a.address }
