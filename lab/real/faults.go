package real

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// signal sends a signal to one of the lab's recorded processes.
func (l *Lab) signal(name string, sig syscall.Signal) error {
	e, ok := l.places.find(name)
	if !ok {
		return fmt.Errorf("%s is not running", name)
	}
	if err := syscall.Kill(e.PID, sig); err != nil {
		return fmt.Errorf("signal %s: %w", name, err)
	}
	return nil
}

// kill ends a process of the lab and waits until it has ended.
func (l *Lab) kill(ctx context.Context, name string) error {
	e, ok := l.places.find(name)
	if !ok {
		return nil
	}
	if err := syscall.Kill(e.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return until(ctx, name+" to end", 10*time.Millisecond, func(context.Context) error {
		if e.alive() {
			return errors.New("still running")
		}
		return nil
	})
}

// KillSSHD kills a host's sshd and every open connection to it.
func (l *Lab) KillSSHD(ctx context.Context, host string) error {
	h, err := l.host(host)
	if err != nil {
		return err
	}
	if err := l.kill(ctx, host+".sshd"); err != nil {
		return err
	}
	for _, pid := range processesOf(h, "sshd") {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("kill sshd of %s: %w", host, err)
		}
	}
	return nil
}

// processesOf are the processes in the host's network namespace whose name begins so.
func processesOf(h HostState, name string) []int {
	want, err := os.Stat(h.Netns)
	if err != nil {
		return nil
	}
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var out []int
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		comm, err := os.ReadFile("/proc/" + d.Name() + "/comm")
		if err != nil || !strings.HasPrefix(string(comm), name) {
			continue
		}
		if got, err := os.Stat("/proc/" + d.Name() + "/ns/net"); err == nil && os.SameFile(want, got) {
			out = append(out, pid)
		}
	}
	return out
}

// StartSSHD starts a host's sshd if it is not running, and waits until it listens.
func (l *Lab) StartSSHD(ctx context.Context, host string) error {
	h, err := l.host(host)
	if err != nil {
		return err
	}
	if _, ok := l.places.find(host + ".sshd"); !ok {
		if err := l.places.startSSHD(host, h); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return until(ctx, "sshd of "+host, 20*time.Millisecond, func(ctx context.Context) error {
		c, err := l.Dial(ctx, host)
		if err != nil {
			return err
		}
		_ = c.Close()
		return nil
	})
}

// StopEngine freezes a host's Engine (SIGSTOP): it answers nothing, containers run on.
func (l *Lab) StopEngine(host string) error { return l.signal(host+".dockerd", syscall.SIGSTOP) }

// ContEngine lets a frozen Engine go on.
func (l *Lab) ContEngine(host string) error { return l.signal(host+".dockerd", syscall.SIGCONT) }

// KillEngine kills a host's Engine; its containers run on, unwatched.
func (l *Lab) KillEngine(ctx context.Context, host string) error {
	return l.kill(ctx, host+".dockerd")
}

// StartEngine starts a host's Engine if it is not running, and waits until it answers.
func (l *Lab) StartEngine(ctx context.Context, host string) error {
	h, err := l.host(host)
	if err != nil {
		return err
	}
	if h.DockerSocket == "" {
		return fmt.Errorf("host %s has no engine", host)
	}
	if _, ok := l.places.find(host + ".dockerd"); ok {
		return nil
	}
	return l.places.startEngine(ctx, host, h)
}

// StopPrometheus ends Prometheus; what it stored stays.
func (l *Lab) StopPrometheus(ctx context.Context) error { return l.kill(ctx, "prometheus") }

// StartPrometheus starts Prometheus if it is not running, and waits until it is ready.
func (l *Lab) StartPrometheus(ctx context.Context) error {
	if _, ok := l.places.find("prometheus"); !ok {
		if err := l.places.startPrometheus(l.State); err != nil {
			return err
		}
	}
	return l.ready(ctx, "prometheus", l.Prometheus+"/-/ready")
}

// StopLoki ends Loki; what it stored stays.
func (l *Lab) StopLoki(ctx context.Context) error { return l.kill(ctx, "loki") }

// StartLoki starts Loki if it is not running, and waits until it is ready.
func (l *Lab) StartLoki(ctx context.Context) error {
	if _, ok := l.places.find("loki"); !ok {
		if err := l.places.startLoki(l.State); err != nil {
			return err
		}
	}
	return l.ready(ctx, "loki", l.Loki+"/ready")
}

// Freeze stops "prometheus" or "loki" in its tracks: connections open, no answers.
func (l *Lab) Freeze(name string) error { return l.signal(name, syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (l *Lab) Thaw(name string) error { return l.signal(name, syscall.SIGCONT) }

func (l *Lab) ready(ctx context.Context, what, url string) error {
	t, err := l.Tunnel(ctx, ops)
	if err != nil {
		return err
	}
	defer t.Close()
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	return until(ctx, what, 100*time.Millisecond, func(ctx context.Context) error { return httpOK(ctx, t.Client, url) })
}

// App gives an order to a service on one host: POST /crash, /unhealthy,
// /errors?ratio=, /slow?by=, /leak?mib=, /log?rate=, /fix, and /line with the line as body.
func (l *Lab) App(ctx context.Context, service, host, order, body string) (string, error) {
	h, err := l.host(host)
	if err != nil {
		return "", err
	}
	port, ok := h.Ports[service]
	if !ok {
		return "", fmt.Errorf("host %s does not run %s", host, service)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://%s:%d%s", h.IP, port, order), strings.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("order %s: %w", order, err)
	}
	c := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	b, err := do(c, req)
	return string(b), err
}

// Mend undoes every fault and no deploy: what was ended or frozen runs again.
func (l *Lab) Mend(ctx context.Context) error {
	for _, name := range l.hostNames() {
		if err := l.mendHost(ctx, name); err != nil {
			return err
		}
		if err := l.StartSSHD(ctx, name); err != nil {
			return err
		}
		if l.Hosts[name].DockerSocket == "" {
			continue
		}
		if err := l.StartEngine(ctx, name); err != nil {
			return err
		}
		if err := l.ContEngine(name); err != nil {
			return err
		}
	}
	if err := errors.Join(l.StartRegistry(ctx), l.republish(ctx)); err != nil {
		return err
	}
	for _, name := range []string{"prometheus", "loki"} {
		if _, ok := l.places.find(name); ok {
			if err := l.Thaw(name); err != nil {
				return err
			}
		}
	}
	return errors.Join(l.StartPrometheus(ctx), l.StartLoki(ctx))
}
