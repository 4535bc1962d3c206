package remote

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func run(t testing.TB, h Host, argv ...string) (Result, error) {
	t.Helper()
	return h.Run(within(t), Command{Argv: argv})
}

func TestOneConnectionForAll(t *testing.T) {
	f := newFakeSSHD(t)
	h := one(t, f.config(), Options{})
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			if res, err := run(t, h, "echo", "x"); err != nil || string(res.Stdout) != "x\n" {
				t.Errorf("%+v %v", res, err)
			}
		})
	}
	wg.Wait()
	if n := f.conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	if n := f.mostExecs.Load(); n > maxExecs {
		t.Errorf("%d commands at once", n)
	}
	if h.Name() != "prod-1" || h.Address() != "deploy@"+f.address {
		t.Errorf("%s is %s", h.Name(), h.Address())
	}
}

func TestSameHostEachCall(t *testing.T) {
	p := NewPool(map[string]Config{"a": {Address: "local"}, "b": {Address: "h", User: "u", Jump: "a"}, "c": {Address: "h", User: "u"}}, Options{})
	a, err := p.Host("a")
	if again, _ := p.Host("a"); err != nil || a != again || a.Address() != "local" {
		t.Errorf("%v %v", a, err)
	}
	c, err := p.Host("c")
	if again, _ := p.Host("c"); err != nil || c != again {
		t.Errorf("%v %v", c, err)
	}
	if _, err := p.Host("b"); err == nil || !strings.Contains(err.Error(), "this machine") {
		t.Errorf("err = %v", err)
	}
	if _, err := p.Host("no\x1b"); err == nil || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("err = %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := p.Host("c"); !errors.Is(err, ErrClosed) {
		t.Errorf("err = %v", err)
	}
	if _, err := run(t, c, "true"); !errors.Is(err, ErrClosed) || !errors.Is(err, ErrNotStarted) {
		t.Errorf("err = %v", err)
	}
}

// Half of a command's life: the connection is cut while it runs.
func TestDropMidCommand(t *testing.T) {
	f := newFakeSSHD(t)
	h := one(t, f.config(), Options{})
	began := make(chan struct{})
	f.exec(func(_ string, ch ssh.Channel, signals <-chan string) (int, bool) {
		_, _ = io.WriteString(ch, "half")
		close(began)
		for range signals { //nolint:revive // until the channel ends
		}
		return 0, false
	})
	go func() { <-began; f.drop() }()
	res, err := run(t, h, "docker", "compose", "up")
	if !errors.Is(err, ErrConnectionLost) || errors.Is(err, ErrNotStarted) || !strings.HasPrefix(err.Error(), "ssh prod-1: run docker: connection lost") {
		t.Errorf("err = %v", err)
	}
	_ = res
	f.exec(shellExec)
	if _, err := run(t, h, "true"); err != nil {
		t.Errorf("not on a new connection: %v", err)
	}
}

// A session that ends without a code is no success.
func TestSessionEndsWithoutCode(t *testing.T) {
	f := newFakeSSHD(t)
	f.exec(func(string, ssh.Channel, <-chan string) (int, bool) { return 0, false })
	h := one(t, f.config(), Options{})
	if _, err := run(t, h, "true"); err == nil || errors.Is(err, ErrNotStarted) {
		t.Errorf("err = %v", err)
	}
}

func TestRefusedCommandDidNotStart(t *testing.T) {
	f := newFakeSSHD(t)
	f.noExec.Store(true)
	h := one(t, f.config(), Options{})
	if _, err := run(t, h, "true"); !errors.Is(err, ErrNotStarted) {
		t.Errorf("err = %v", err)
	}
	if _, err := h.Run(within(t), Command{Argv: []string{"x\x00"}}); !errors.Is(err, ErrNotStarted) {
		t.Errorf("err = %v", err)
	}
	if _, err := h.Run(within(t), Command{}); !errors.Is(err, ErrNotStarted) {
		t.Errorf("err = %v", err)
	}
}

func TestCancelSendsTerm(t *testing.T) {
	f := newFakeSSHD(t)
	got := make(chan string, 1)
	f.exec(func(_ string, ch ssh.Channel, signals <-chan string) (int, bool) {
		_, _ = io.WriteString(ch, "x")
		got <- <-signals
		return 143, true
	})
	h := one(t, f.config(), Options{})
	ctx, cancel := context.WithCancel(within(t))
	_, err := h.Run(ctx, Command{Argv: []string{"sleep"}, Stdout: &firstByte{seen: cancel}})
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrNotStarted) || !strings.Contains(err.Error(), "stopped before its end") {
		t.Errorf("err = %v", err)
	}
	if s := <-got; s != "TERM" {
		t.Errorf("signal %q", s)
	}
}

// The host is there and says nothing any more, as behind a cut wire.
func TestDeafHostIsLost(t *testing.T) {
	f := newFakeSSHD(t)
	cfg := f.config()
	cfg.Keepalive = Duration(100 * time.Millisecond)
	cfg.ConnectTimeout = Duration(300 * time.Millisecond)
	h := one(t, cfg, Options{})
	f.exec(func(_ string, ch ssh.Channel, signals <-chan string) (int, bool) {
		f.deaf.Store(true)
		for range signals { //nolint:revive // until the channel ends
		}
		return 0, false
	})
	if _, err := run(t, h, "sleep"); !errors.Is(err, ErrConnectionLost) || !strings.Contains(err.Error(), "no sign of life") {
		t.Errorf("err = %v", err)
	}
	if _, err := run(t, h, "true"); !errors.Is(err, ErrNotStarted) || !strings.Contains(err.Error(), "within 300ms") {
		t.Errorf("err = %v", err)
	}
	f.deaf.Store(false)
	f.exec(shellExec)
	for {
		_, err := run(t, h, "true")
		if err == nil {
			break
		}
		if !errors.Is(err, ErrNotStarted) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A quiet connection is kept, as long as the host answers when asked.
func TestQuietConnectionIsKept(t *testing.T) {
	f := newFakeSSHD(t)
	cfg := f.config()
	cfg.Keepalive = Duration(20 * time.Millisecond)
	h := one(t, cfg, Options{})
	if _, err := run(t, h, "true"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(400 * time.Millisecond)
	if _, err := run(t, h, "true"); err != nil {
		t.Fatal(err)
	}
	if n := f.conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// Right after a failure the next calls fail at once, without asking the host.
func TestBackoffFailsFast(t *testing.T) {
	f := newFakeSSHD(t)
	cfg := f.config()
	f.stop()
	now := time.Now()
	h := one(t, cfg, Options{Now: func() time.Time { return now }})
	_, first := run(t, h, "true")
	if !errors.Is(first, ErrNotStarted) || !strings.Contains(first.Error(), "refused") {
		t.Fatal(first)
	}
	f.start()
	for range 5 {
		if _, err := run(t, h, "true"); err == nil || err.Error() != first.Error() {
			t.Errorf("err = %v", err)
		}
	}
	if n := f.conns.Load(); n != 0 {
		t.Errorf("%d connections in backoff", n)
	}
	now = now.Add(lastBackoff)
	if _, err := run(t, h, "true"); err != nil {
		t.Error(err)
	}
}

func TestBackoffBounds(t *testing.T) {
	now := time.Now()
	for _, tc := range []struct {
		err         error
		first, last time.Duration
	}{
		{errors.New("refused"), firstBackoff, lastBackoff},
		{&UnknownKeyError{}, firstDistrust, lastDistrust},
		{&ChangedKeyError{}, firstDistrust, lastDistrust},
		{&AuthError{}, firstRefused, lastRefused},
	} {
		var b backoff
		for i := range 100 {
			b.failed(now, tc.err)
			wait := b.until.Sub(now)
			if want := min(tc.last, tc.first<<min(i, 8)); wait > want || wait < want*3/4-1 {
				t.Errorf("%T: wait %d is %s, want about %s", tc.err, i, wait, want)
			}
			if b.blocked(now) == nil || b.blocked(b.until) != nil {
				t.Errorf("%T: not blocked right", tc.err)
			}
		}
	}
}

// A call that waits for a channel the host never opens ends with its context.
func TestDialEndsWithItsContext(t *testing.T) {
	f := newFakeSSHD(t)
	h := one(t, f.config(), Options{})
	if _, err := run(t, h, "true"); err != nil {
		t.Fatal(err)
	}
	f.stuck.Store(true)
	ctx, cancel := context.WithTimeout(within(t), 50*time.Millisecond)
	defer cancel()
	for _, network := range []string{"tcp", "unix"} {
		if _, err := h.Dial(ctx, network, "127.0.0.1:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", network, err)
		}
	}
	if _, err := h.Run(ctx, Command{Argv: []string{"true"}}); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrNotStarted) {
		t.Error(err)
	}
}

// A connection that was lost unseen costs the next call nothing: it goes on a new one.
func TestStaleConnectionIsReplaced(t *testing.T) {
	f := newFakeSSHD(t)
	h := one(t, f.config(), Options{})
	for range 20 {
		if _, err := run(t, h, "true"); err != nil {
			t.Fatal(err)
		}
		f.drop()
	}
}

func TestDialThroughTheFake(t *testing.T) {
	f := newFakeSSHD(t)
	h := one(t, f.config(), Options{})
	l, path := listenUnix(t)
	echoHTTP(t, l)
	tr := Transport(h, "unix", path)
	defer tr.CloseIdleConnections()
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			if got, err := get(t, tr, "http://docker/x"); err != nil || got != "hello /x" {
				t.Errorf("%q %v", got, err)
			}
		})
	}
	wg.Wait()
	if _, err := h.Dial(within(t), "udp", "127.0.0.1:1"); err == nil {
		t.Error("dials udp")
	}
	if _, err := h.Dial(within(t), "tcp", "nonsense"); err == nil {
		t.Error("dials nonsense")
	}
	_, err := h.Dial(within(t), "tcp", "127.0.0.1:1")
	if err == nil || strings.Contains(err.Error(), "\x1b") || !strings.HasPrefix(err.Error(), "ssh prod-1: dial 127.0.0.1:1: open failed") {
		t.Errorf("err = %v", err)
	}
	_, err = h.Dial(within(t), "unix", path+"\x1b")
	var se *SocketError
	if !errors.As(err, &se) || se.Problem != SocketMissing || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("err = %v", err)
	}
}

// An answer that never comes ends with the request's context, and a lost
// connection is an error, not the end of the answer.
func TestHTTPThroughAHostThatFails(t *testing.T) {
	f := newFakeSSHD(t)
	h := one(t, f.config(), Options{})
	l, path := listenUnix(t)
	release := make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/events" {
			_, _ = io.WriteString(w, "first\n")
			w.(http.Flusher).Flush()
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})}
	go func() { _ = srv.Serve(l) }()
	defer func() { close(release); _ = srv.Close() }()
	tr := Transport(h, "unix", path)
	defer tr.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(within(t), 50*time.Millisecond)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/slow", nil)
	if _, err := tr.RoundTrip(req); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v", err)
	}
	req, _ = http.NewRequestWithContext(within(t), http.MethodGet, "http://docker/events", nil)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	buf := make([]byte, 6)
	if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != "first\n" {
		t.Fatalf("%q %v", buf, err)
	}
	f.drop()
	if n, err := resp.Body.Read(buf); err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read %d, %v: a lost connection looks like the end", n, err)
	}
}

// A raw stream that is cut does not end like one that is complete.
func TestLostConnectionIsNoEndOfFile(t *testing.T) {
	f := newFakeSSHD(t)
	h := one(t, f.config(), Options{})
	l, path := listenUnix(t)
	held := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.WriteString(c, "x")
			held <- c
		}
	}()
	c, err := h.Dial(within(t), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	buf := make([]byte, 8)
	if _, err := c.Read(buf); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = (<-held).Close() }()
	f.drop()
	if _, err := c.Read(buf); !errors.Is(err, ErrConnectionLost) {
		t.Errorf("err = %v", err)
	}
	if _, err := c.Write(buf); !errors.Is(err, ErrConnectionLost) {
		t.Errorf("err = %v", err)
	}
}

func TestForbiddenForwardingGoesByDocker(t *testing.T) {
	f := newFakeSSHD(t)
	f.forbid.Store(true)
	l, path := listenUnix(t)
	echoHTTP(t, l)
	var lines sync.Map
	f.exec(func(line string, ch ssh.Channel, signals <-chan string) (int, bool) {
		lines.Store(line, true)
		if !strings.HasPrefix(line, "docker ") {
			return shellExec(line, ch, signals)
		}
		to, err := net.Dial("unix", path)
		if err != nil {
			return 1, true
		}
		go func() { _, _ = io.Copy(to, ch); _ = to.(*net.UnixConn).CloseWrite() }()
		_, _ = io.Copy(ch, to)
		_ = to.Close()
		return 0, true
	})
	h := one(t, f.config(), Options{})
	tr := Transport(h, "unix", path)
	for range 20 {
		if got, err := get(t, tr, "http://docker/y"); err != nil || got != "hello /y" {
			t.Fatalf("%q %v", got, err)
		}
		tr.CloseIdleConnections()
	}
	if _, ok := lines.Load("docker -H unix://" + path + " system dial-stdio"); !ok {
		t.Error("docker was called in another way")
	}
	f.exec(func(line string, ch ssh.Channel, signals <-chan string) (int, bool) {
		if strings.HasPrefix(line, "docker ") {
			_, _ = io.WriteString(ch.Stderr(), "sh: 1: docker: not found\n")
			return 127, true
		}
		return shellExec(line, ch, signals)
	})
	f.drop()
	_, err := h.Dial(within(t), "unix", path)
	var se *SocketError
	if !errors.As(err, &se) || se.Problem != SocketForbidden || !strings.Contains(err.Error(), "docker: not found") {
		t.Errorf("err = %v", err)
	}
}

func TestJump(t *testing.T) {
	far, near := newFakeSSHD(t), newFakeSSHD(t)
	cfg := far.config()
	cfg.Jump = "near"
	p := NewPool(map[string]Config{"far": cfg, "near": near.config()}, Options{})
	defer func() { _ = p.Close() }()
	h, err := p.Host("far")
	if err != nil {
		t.Fatal(err)
	}
	if res, err := run(t, h, "echo", "far"); err != nil || string(res.Stdout) != "far\n" {
		t.Fatalf("%+v %v", res, err)
	}
	near.drop()
	if _, err := run(t, h, "true"); err != nil {
		t.Errorf("after the jump host was lost: %v", err)
	}
	near.stop()
	for {
		if _, err = run(t, h, "true"); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrNotStarted) || !strings.Contains(err.Error(), "near") {
		t.Errorf("err = %v", err)
	}
}

func TestCloseEndsWhatWaits(t *testing.T) {
	f := newFakeSSHD(t)
	p := NewPool(map[string]Config{"prod-1": f.config()}, Options{})
	h, err := p.Host("prod-1")
	if err != nil {
		t.Fatal(err)
	}
	began := make(chan struct{})
	f.exec(func(_ string, _ ssh.Channel, signals <-chan string) (int, bool) {
		close(began)
		for range signals { //nolint:revive // until the channel ends
		}
		return 0, false
	})
	l, path := listenUnix(t)
	c, err := h.Dial(within(t), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	_ = l
	ends := make(chan error, 2)
	go func() { _, err := run(t, h, "sleep"); ends <- err }()
	go func() { _, err := c.Read(make([]byte, 1)); ends <- err }()
	<-began
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-ends; err == nil {
			t.Error("no error")
		}
	}
}
