package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/nexgate-hq/nexops/lab/real"
	"github.com/nexgate-hq/nexops/lab/sim"
)

// binary builds the program as it is shipped.
func binary(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "nexops")
	out, err := exec.Command("go", "build", "-trimpath", "-o", path, ".").CombinedOutput() //nolint:gosec // our own package
	if err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// inTerminal starts a command in a pseudo-terminal and drains it; seen is called with
// everything printed so far until it gives true.
func inTerminal(b *testing.B, cmd *exec.Cmd, seen func([]byte) bool) (stop func()) {
	b.Helper()
	cmd.Env = append(cmd.Environ(), "TERM=xterm-256color")
	f, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: 120, Rows: 40})
	if err != nil {
		b.Fatal(err)
	}
	var all []byte
	buf := make([]byte, 64<<10)
	for !seen(all) {
		n, err := f.Read(buf)
		all = append(all, buf[:n]...)
		if err != nil {
			b.Fatalf("ended before it was seen: %v\n%s", err, all)
		}
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for {
			if _, err := f.Read(buf); err != nil {
				return
			}
		}
	}()
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = f.Close()
		<-drained
	}
}

// BenchmarkFirstFrame is the time from the start of the process to the first frame, with
// hosts that never answer, beside the start of a process that only prints its version.
func BenchmarkFirstFrame(b *testing.B) {
	nexops, home := binary(b), b.TempDir()
	cfg := filepath.Join(home, "config.toml")
	const text = "[env.prod]\nhosts=[\"a\"]\n[hosts.a]\naddress=\"127.0.0.1:9\"\n[[sources]]\nkind=\"docker\"\n"
	if err := os.WriteFile(cfg, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	env := append(os.Environ(), "HOME="+home)
	b.Run("frame", func(b *testing.B) {
		for b.Loop() {
			cmd := exec.Command(nexops, "--config", cfg, "--env", "prod") //nolint:gosec // our own binary
			cmd.Env = env
			stop := inTerminal(b, cmd, func(out []byte) bool { return bytes.Contains(out, []byte("hosts")) })
			b.StopTimer()
			stop()
			b.StartTimer()
		}
	})
	b.Run("version", func(b *testing.B) {
		for b.Loop() {
			cmd := exec.Command(nexops, "version") //nolint:gosec // our own binary
			cmd.Env = env
			if err := cmd.Run(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkIdle runs the console for a minute on an estate of 60 containers, asked as often as the
// defaults say, and reports what it costs: per cent of one core, the git program it runs included,
// and MB of resident memory at the end.
func BenchmarkIdle(b *testing.B) {
	nexops, home := binary(b), b.TempDir()
	e, err := sim.Start(b.Context(), sim.Options{Seed: 1, Incident: "quiet", Scale: sim.Scale{Hosts: 3, Containers: 20}})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	cfg := withDefaultPolls(b, e.ConfigPath())
	for b.Loop() {
		cmd := exec.Command(nexops, "--config", cfg, "--env", "scale") //nolint:gosec // our own binary
		cmd.Env = append(os.Environ(), "HOME="+home)
		stop := inTerminal(b, cmd, func(out []byte) bool { return bytes.Contains(out, []byte("services")) })
		time.Sleep(10 * time.Second) // the first answers are not idleness
		before, began := cpuTime(b, cmd.Process.Pid), time.Now()
		time.Sleep(time.Minute)
		used := cpuTime(b, cmd.Process.Pid) - before
		b.ReportMetric(100*used.Seconds()/time.Since(began).Seconds(), "%core")
		b.ReportMetric(residentMB(b, cmd.Process.Pid), "MB-rss")
		stop()
	}
}

// withDefaultPolls copies a config without what it says of how often its sources are asked.
func withDefaultPolls(b *testing.B, path string) string {
	b.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	out := filepath.Join(b.TempDir(), "config.toml")
	text = regexp.MustCompile(`(?m)^poll\s*=.*$`).ReplaceAll(text, nil)
	if err := os.WriteFile(out, text, 0o600); err != nil {
		b.Fatal(err)
	}
	return out
}

// cpuTime is what a process and its ended children have used of the processors, in user and kernel mode.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skipf("no /proc: %v", err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	ticks := 0
	for _, f := range fields[11:15] {
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func residentMB(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				b.Fatal(err)
			}
			return float64(kb) / 1024
		}
	}
	b.Fatal("no VmRSS")
	return 0
}

// BenchmarkLabFirstSnapshot is the first whole snapshot of the real lab, process start
// included, beside one "ssh HOST docker ps -a" on each of its hosts, of which the slowest counts.
func BenchmarkLabFirstSnapshot(b *testing.B) {
	lab := real.FromEnv(b)
	nexops, home := binary(b), b.TempDir()
	env := append(os.Environ(), "HOME="+home)
	status := func() {
		cmd := exec.Command(nexops, "status", "--config", lab.Config, "--env", "prod", "-o", "json") //nolint:gosec // our own binary
		cmd.Env = env
		if out, err := cmd.Output(); err != nil && len(out) == 0 {
			b.Fatal(err)
		}
	}
	status() // the mirror of the infra repo is there from the second time on
	b.Run("snapshot", func(b *testing.B) {
		for b.Loop() {
			status()
		}
	})
	for _, host := range []string{"prod-1", "prod-2"} {
		b.Run("ssh-"+host, func(b *testing.B) {
			ip := lab.Hosts[host].IP
			for b.Loop() {
				cmd := exec.Command("ssh", "-F", "none", "-i", lab.Key, "-o", "UserKnownHostsFile="+lab.KnownHosts, "-o", "BatchMode=yes", "root@"+ip, "docker", "ps", "-a") //nolint:gosec // the lab's own host
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v\n%s", err, out)
				}
			}
		})
	}
}
