package remote

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// pipeStream is one end of an in-memory stream whose calls block and know no deadline.
type pipeStream struct {
	r *io.PipeReader
	w *io.PipeWriter
}

func (p *pipeStream) Read(b []byte) (int, error)  { return p.r.Read(b) }
func (p *pipeStream) Write(b []byte) (int, error) { return p.w.Write(b) }
func (p *pipeStream) CloseWrite() error           { return p.w.Close() }
func (p *pipeStream) Close() error                { return errors.Join(p.r.Close(), p.w.Close()) }

// wired is a streamConn and the far end of its stream.
func wired(t *testing.T) (c *streamConn, far *pipeStream, die func()) {
	t.Helper()
	ar, bw := io.Pipe()
	br, aw := io.Pipe()
	far = &pipeStream{br, bw}
	dead := make(chan struct{})
	var once sync.Once
	var wg sync.WaitGroup
	c = newStreamConn(streamParts{
		s: &pipeStream{ar, aw}, local: addr{"tcp", "nexops"}, remote: addr{"tcp", "10.0.0.1:80"}, dead: dead,
	}, wg.Go)
	die = func() { once.Do(func() { close(dead); _ = far.Close() }) }
	t.Cleanup(func() {
		_ = c.Close()
		_ = far.Close()
		die()
		wg.Wait()
	})
	return c, far, die
}

func TestConnCarriesBytes(t *testing.T) {
	c, far, _ := wired(t)
	big := bytes.Repeat([]byte("0123456789abcdef"), 20000)
	go func() { _, _ = far.Write(big); _ = far.CloseWrite() }()
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(big)
		sent <- errors.Join(err, c.CloseWrite())
	}()
	there, err := io.ReadAll(far)
	if err != nil || !bytes.Equal(there, big) {
		t.Fatalf("%d bytes arrived, %v", len(there), err)
	}
	here, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(here, big) {
		t.Fatalf("%d bytes came, %v", len(here), err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if c.RemoteAddr().String() != "10.0.0.1:80" || c.LocalAddr().Network() != "tcp" {
		t.Errorf("%s %s", c.LocalAddr(), c.RemoteAddr())
	}
}

func TestConnReadDeadline(t *testing.T) {
	c, far, _ := wired(t)
	buf := make([]byte, 8)
	past := time.Now().Add(-time.Second)
	for _, set := range []func(time.Time) error{c.SetReadDeadline, c.SetDeadline} {
		if err := set(past); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
		var ne net.Error
		if _, err := c.Read(buf); !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("err = %v is no timeout", err)
		}
		if err := set(time.Time{}); err != nil {
			t.Fatal(err)
		}
		// Nothing is lost by a read that timed out.
		go func() { _, _ = far.Write([]byte("late")) }()
		if n, err := c.Read(buf); err != nil || string(buf[:n]) != "late" {
			t.Errorf("%q %v", buf[:n], err)
		}
	}
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("err = %v", err)
	}
}

// A deadline that is set while a call waits holds for that call.
func TestConnDeadlineWakes(t *testing.T) {
	c, _, _ := wired(t)
	for _, call := range []func() error{
		func() error { _, err := c.Read(make([]byte, 1)); return err },
		func() error { _, err := c.Write(make([]byte, 1)); return err },
	} {
		got := make(chan error, 1)
		go func() { got <- call() }()
		time.Sleep(10 * time.Millisecond)
		if err := c.SetDeadline(time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if err := c.SetDeadline(time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := <-got; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
		if err := c.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
}

// What a write that timed out has counted arrives once, and what it has not does not.
func TestConnWriteDeadline(t *testing.T) {
	c, far, _ := wired(t)
	big := make([]byte, 10*chunk)
	for i := range big {
		big[i] = byte(i / chunk)
	}
	if err := c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	n, err := c.Write(big)
	if !errors.Is(err, os.ErrDeadlineExceeded) || n != chunk {
		t.Fatalf("%d %v", n, err)
	}
	if err := c.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = c.Write(big[n:]); _ = c.CloseWrite() }()
	there, err := io.ReadAll(far)
	if err != nil || !bytes.Equal(there, big) {
		t.Errorf("%d bytes arrived, %v", len(there), err)
	}
}

func TestConnCloseEndsCalls(t *testing.T) {
	c, _, _ := wired(t)
	got := make(chan error, 3)
	go func() { _, err := c.Read(make([]byte, 1)); got <- err }()
	go func() { _, err := c.Write(make([]byte, 1)); got <- err }()
	time.Sleep(10 * time.Millisecond)
	go func() { got <- c.CloseWrite() }()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for range 3 {
		if err := <-got; !errors.Is(err, net.ErrClosed) {
			t.Errorf("err = %v", err)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("err = %v", err)
	}
	if _, err := c.Read(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("err = %v", err)
	}
}

func TestConnFarEnds(t *testing.T) {
	c, far, _ := wired(t)
	_ = far.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read: %v", err)
	}
	if _, err := c.Write(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("write: %v", err)
	}
	if _, err := c.Write(make([]byte, 1)); err == nil {
		t.Error("writes on")
	}
}

func TestConnConnectionDies(t *testing.T) {
	c, _, die := wired(t)
	got := make(chan error, 2)
	go func() { _, err := c.Read(make([]byte, 1)); got <- err }()
	go func() { _, err := c.Write(make([]byte, 1)); got <- err }()
	time.Sleep(10 * time.Millisecond)
	die()
	for range 2 {
		if err := <-got; !errors.Is(err, ErrConnectionLost) && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("err = %v", err)
		}
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, ErrConnectionLost) {
		t.Errorf("err = %v", err)
	}
}

// Deadlines may be moved at any time from anywhere.
func TestConnDeadlinesRace(t *testing.T) {
	c, far, _ := wired(t)
	go func() { _, _ = io.Copy(far, far) }()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for !isDone(stop) {
				_ = c.SetDeadline(time.Now().Add(time.Duration(i-1) * time.Millisecond))
				_ = c.SetDeadline(time.Time{})
			}
		})
	}
	wg.Go(func() {
		for !isDone(stop) {
			_, _ = c.Write([]byte("abc"))
		}
	})
	wg.Go(func() {
		buf := make([]byte, 2)
		for !isDone(stop) {
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, _ = c.Read(buf)
		}
	})
	time.Sleep(200 * time.Millisecond)
	close(stop)
	_ = c.Close()
	wg.Wait()
}
