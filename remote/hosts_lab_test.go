package remote

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/lab/real"
)

// labPool is the lab's hosts as the console reaches them.
func labPool(t *testing.T, l *real.Lab) *Pool {
	t.Helper()
	off := false
	hosts := map[string]Config{}
	for name, h := range l.Hosts {
		hosts[name] = Config{Address: h.Address, User: "root", IdentityFiles: []string{l.Key}, KnownHosts: []string{l.KnownHosts}, Agent: &off}
	}
	behind := hosts["prod-2"]
	behind.Jump = "ops"
	hosts["behind"] = behind
	p := NewPool(hosts, Options{})
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func labHost(t *testing.T, p *Pool, name string) Host {
	t.Helper()
	h, err := p.Host(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func ping(t *testing.T, h Host) error {
	tr := Transport(h, "unix", "/var/run/docker.sock")
	defer tr.CloseIdleConnections()
	got, err := get(t, tr, "http://docker/_ping")
	if err == nil && got != "OK" {
		t.Errorf("%s: engine says %q", h.Name(), got)
	}
	return err
}

func TestLabHosts(t *testing.T) {
	p := labPool(t, real.FromEnv(t))
	for _, name := range []string{"prod-1", "prod-2", "staging", "behind"} {
		h := labHost(t, p, name)
		if err := ping(t, h); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		res, err := run(t, h, "docker", "version", "--format", "{{.Server.Version}}")
		if err != nil || res.Code != 0 || len(res.Stdout) == 0 {
			t.Errorf("%s: %+v %v", name, res, err)
		}
	}
	// Prometheus listens on the loopback of ops alone.
	tr := Transport(labHost(t, p, "ops"), "", "")
	defer tr.CloseIdleConnections()
	if got, err := get(t, tr, "http://127.0.0.1:9090/-/ready"); err != nil || !strings.Contains(got, "Ready") {
		t.Errorf("%q %v", got, err)
	}
}

// Many streams at once: sshd's MaxSessions does not count them.
func TestLabManyStreams(t *testing.T) {
	h := labHost(t, labPool(t, real.FromEnv(t)), "prod-1")
	tr := Transport(h, "unix", "/var/run/docker.sock")
	defer tr.CloseIdleConnections()
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			req, err := http.NewRequestWithContext(within(t), http.MethodGet, "http://docker/events?until=0", nil)
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		})
	}
	wg.Wait()
}

func TestLabSSHDDiesAndComesBack(t *testing.T) {
	l := real.FromEnv(t)
	h := labHost(t, labPool(t, l), "prod-1")
	if err := ping(t, h); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.StartSSHD(context.Background(), "prod-1"); err != nil {
			t.Error(err)
		}
	})
	if err := l.KillSSHD(within(t), "prod-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, h, "true"); !errors.Is(err, ErrNotStarted) {
		t.Errorf("err = %v", err)
	}
	if err := l.StartSSHD(within(t), "prod-1"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for ping(t, h) != nil {
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("in use again after %s", time.Since(began))
}
