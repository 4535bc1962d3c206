package remote

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// One request over a channel that is open already, and one with a new channel each.
func BenchmarkHTTPOverSSH(b *testing.B) {
	for _, kept := range []bool{true, false} {
		name := "kept"
		if !kept {
			name = "new channel"
		}
		b.Run(name, func(b *testing.B) {
			f := newFakeSSHD(b)
			h := one(b, f.config(), Options{})
			l, path := listenUnix(b)
			echoHTTP(b, l)
			tr := Transport(h, "unix", path)
			tr.DisableKeepAlives = !kept
			defer tr.CloseIdleConnections()
			req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://docker/x", nil)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				resp, err := tr.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		})
	}
}

// A command, without the time that a program takes to start.
func BenchmarkRun(b *testing.B) {
	f := newFakeSSHD(b)
	f.exec(func(_ string, ch ssh.Channel, _ <-chan string) (int, bool) {
		_, _ = io.WriteString(ch, "ok\n")
		return 0, true
	})
	h := one(b, f.config(), Options{})
	for b.Loop() {
		if _, err := h.Run(b.Context(), Command{Argv: []string{"true"}}); err != nil {
			b.Fatal(err)
		}
	}
}

// Everything a log tail brings goes through a connection's pumps.
func BenchmarkThroughput(b *testing.B) {
	f := newFakeSSHD(b)
	h := one(b, f.config(), Options{})
	l, path := listenUnix(b)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		line := []byte(strings.Repeat("x", 1<<20))
		for {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	})}
	go func() { _ = srv.Serve(l) }()
	defer func() { _ = srv.Close() }()
	tr := Transport(h, "unix", path)
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://docker/x", nil)
	if err != nil {
		b.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	buf := make([]byte, 64<<10)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		if _, err := io.ReadFull(resp.Body, buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkQuote(b *testing.B) {
	argv := []string{"docker", "compose", "--project-name", "shop", "logs", "--since", "5 min's", "web"}
	for b.Loop() {
		_ = Quote(argv)
	}
}
