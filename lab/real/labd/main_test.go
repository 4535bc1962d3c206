package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func frame(stream byte, text string) []byte {
	head := make([]byte, 8)
	head[0] = stream
	binary.BigEndian.PutUint32(head[4:], uint32(len(text)))
	return append(head, text...)
}

const stamp = "2026-05-01T10:00:00.000000001Z "

func TestDemux(t *testing.T) {
	tests := map[string]struct {
		frames [][]byte
		want   []string
		bad    bool
	}{
		"one line":           {[][]byte{frame(1, stamp+"a\n")}, []string{"stdout a"}, false},
		"two in a frame":     {[][]byte{frame(1, stamp+"a\n"+stamp+"b\n")}, []string{"stdout a", "stdout b"}, false},
		"over two frames":    {[][]byte{frame(1, stamp+"a"), frame(1, "b\n")}, []string{"stdout ab"}, false},
		"streams interleave": {[][]byte{frame(1, stamp+"a"), frame(2, stamp+"E\n"), frame(1, "b\n")}, []string{"stderr E", "stdout ab"}, false},
		"escapes stay":       {[][]byte{frame(1, stamp+"\x1b[2J\r\n")}, []string{"stdout \x1b[2J\r"}, false},
		"empty line":         {[][]byte{frame(1, stamp+"\n")}, []string{"stdout "}, false},
		"no time":            {[][]byte{frame(1, "what\n")}, nil, false},
		"a tty's stream":     {[][]byte{[]byte("plain text, no frames\n")}, nil, true},
		"cut":                {[][]byte{frame(1, stamp+"a\n")[:12]}, nil, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			err := demux(bytes.NewReader(bytes.Join(tt.frames, nil)), func(stream string, _ time.Time, text string) {
				got = append(got, stream+" "+text)
			})
			if (err != nil) != tt.bad {
				t.Errorf("err = %v", err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func FuzzDemux(f *testing.F) {
	f.Add(frame(1, stamp+"a\n"))
	f.Add(append(frame(2, stamp+"a"), frame(1, "\n")...))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_ = demux(bytes.NewReader(b), func(string, time.Time, string) {})
	})
}

func TestLoadIsBoundedByWhatIsInFlight(t *testing.T) {
	var now, most atomic.Int64
	release := make(chan struct{})
	full := make(chan struct{})
	var once sync.Once
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n == maxInFlight {
			once.Do(func() { close(full) })
		}
		<-release
	}))
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		load(ctx, loadOrders{Targets: []loadTarget{{URL: srv.URL, RPS: 1e9}}})
	}()
	<-full
	time.Sleep(100 * time.Millisecond) // several ticks more
	close(release)
	cancel()
	<-done
	if most.Load() > maxInFlight {
		t.Errorf("%d requests at once, want at most %d", most.Load(), maxInFlight)
	}
}

// fakeEngine has one container whose log never ends, and says when it starts again.
func fakeEngine(t *testing.T, listed string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "eng") // a socket path has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	hold := func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	mux.HandleFunc("GET /events", hold)
	mux.HandleFunc("GET /containers/json", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, listed) })
	mux.HandleFunc("GET /containers/{id}/logs", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("follow") != "1" || r.FormValue("timestamps") != "1" {
			t.Errorf("asked for %s", r.URL)
		}
		_, _ = w.Write(frame(1, stamp+"hello from "+r.PathValue("id")+"\n"))
		hold(w, r)
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	return socket
}

func TestShipLabelsLinesAndRetries(t *testing.T) {
	socket := fakeEngine(t, `[{"Id":"c1","Names":["/nexgate-prod-ai-1"],"Labels":{"com.docker.compose.project":"nexgate-prod","com.docker.compose.service":"ai"}}]`)
	var tries atomic.Int64
	got := make(chan string, 10)
	loki := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if tries.Add(1) == 1 {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		got <- string(b)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer loki.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		ship(ctx, slog.New(slog.DiscardHandler), shipOrders{Loki: loki.URL, Hosts: []shipHost{{"prod-1", "prod", socket}}})
	}()
	body := <-got
	cancel()
	<-done
	http.DefaultClient.CloseIdleConnections()
	var want, have any
	if err := json.Unmarshal([]byte(`{"streams":[{"stream":{"env":"prod","host":"prod-1","compose_project":"nexgate-prod",
		"compose_service":"ai","container":"nexgate-prod-ai-1","stream":"stdout"},"values":[["1777629600000000001","hello from c1"]]}]}`), &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(body), &have); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, have); d != "" {
		t.Error(d)
	}
}

func TestRunRefusesWhatItDoesNotKnow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "o.json")
	if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"load"}, {"fly", file}, {"load", file + "x"}} {
		if err := run(t.Context(), args); err == nil {
			t.Errorf("%s: no error", strings.Join(args, " "))
		}
	}
}
