package real

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// full is the source of the mounts that stand for a full disk: how they are found again.
const full = prefix + "full"

// inHost runs a command in a host's namespaces, by no way that a fault could have cut.
func (l *Lab) inHost(ctx context.Context, host string, argv ...string) (string, error) {
	h, err := l.host(host)
	if err != nil {
		return "", err
	}
	return run(ctx, inside(h, argv...)...)
}

// PullCable takes a host off the network: its connections stay open and carry nothing. What runs on it runs on.
func (l *Lab) PullCable(ctx context.Context, host string) error { return l.cable(ctx, host, "down") }

// PlugCable gives it back.
func (l *Lab) PlugCable(ctx context.Context, host string) error { return l.cable(ctx, host, "up") }

func (l *Lab) cable(ctx context.Context, host, state string) error {
	if _, err := l.host(host); err != nil {
		return err
	}
	_, err := run(ctx, "ip", "-n", lan, "link", "set", "to-"+host, state)
	return err
}

// FreezeSSHD stops a host's sshd in its tracks, with every session: what was begun goes on, and its end is told to nobody.
func (l *Lab) FreezeSSHD(host string) error { return l.signalSSHD(host, syscall.SIGSTOP) }

// ThawSSHD lets it go on.
func (l *Lab) ThawSSHD(host string) error { return l.signalSSHD(host, syscall.SIGCONT) }

func (l *Lab) signalSSHD(host string, sig syscall.Signal) error {
	h, err := l.host(host)
	if err != nil {
		return err
	}
	for _, pid := range processesOf(h, "sshd") {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("signal sshd of %s: %w", host, err)
		}
	}
	return nil
}

// FillDisk makes a folder of a host a disk of its own that holds what the folder held and has no byte left.
// EmptyDisk gives the folder back as it was: what was written to the full disk, if anything, is gone with it.
func (l *Lab) FillDisk(ctx context.Context, host, dir string) error {
	const script = `set -eu
new=$(mktemp -d /run/full.XXXXXX)
size=$(du -sk "$1" | cut -f1)
mount -t tmpfs -o size=$((size * 2 + 2048))k ` + full + ` "$new"
cp -a "$1/." "$new/"
mount --move "$new" "$1" 2>/dev/null || { mount --bind "$new" "$1"; umount "$new"; }
rmdir "$new"
dd if=/dev/zero of="$1/.` + full + `" bs=4k 2>/dev/null || true
chmod --reference="$1/." "$1"`
	if _, err := l.inHost(ctx, host, "sh", "-c", script, "sh", dir); err != nil {
		return fmt.Errorf("fill the disk of %s: %w", host, err)
	}
	return nil
}

// EmptyDisk undoes FillDisk.
func (l *Lab) EmptyDisk(ctx context.Context, host, dir string) error {
	_, err := l.inHost(ctx, host, "umount", "--lazy", dir)
	return err
}

// SkewClock sets the clock of a host's programs off; 0 sets it right. The kernel's clock is the machine's own:
// it is the answer of date that is wrong, and all who ask it.
func (l *Lab) SkewClock(ctx context.Context, host string, by time.Duration) error {
	h, err := l.host(host)
	if err != nil {
		return err
	}
	if by == 0 {
		_, err := l.inHost(ctx, host, "sh", "-c", "! mountpoint -q /usr/bin/date || umount /usr/bin/date")
		return err
	}
	right := filepath.Join(h.Dir, "own", "date.right")
	wrong := fmt.Sprintf("#!/bin/sh\nexec %s -d \"@$(($(%s +%%s) + %d))\" \"$@\"\n", right, right, int(by.Seconds()))
	b, err := os.ReadFile("/usr/bin/date")
	if err == nil {
		err = errors.Join(writeFile(right, b, 0o755), writeFile(filepath.Join(h.Dir, "own", "date"), []byte(wrong), 0o755))
	}
	if err != nil {
		return fmt.Errorf("skew the clock of %s: %w", host, err)
	}
	_, err = l.inHost(ctx, host, "mount", "--bind", filepath.Join(h.Dir, "own", "date"), "/usr/bin/date")
	return err
}

// StopRegistry ends the registry; what it stored stays.
func (l *Lab) StopRegistry(ctx context.Context) error { return l.kill(ctx, "registry") }

// StartRegistry starts the registry if it is not running, and waits until it answers.
func (l *Lab) StartRegistry(ctx context.Context) error {
	if _, ok := l.places.find("registry"); !ok {
		if err := l.places.startRegistry(l.State); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	return until(ctx, "the registry", 50*time.Millisecond, func(ctx context.Context) error {
		return httpOK(ctx, client, "http://"+l.RegistryAddr+"/v2/")
	})
}

// Unpublish deletes a release of a service from the registry, as a clean-up by age does. Reset puts it back.
func (l *Lab) Unpublish(ctx context.Context, service, tag string) error {
	s, err := serviceByName(service)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	base := "http://" + l.RegistryAddr + "/v2/" + s.image + "/manifests/"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+tag, nil)
	if err != nil {
		return fmt.Errorf("unpublish %s %s: %w", service, tag, err)
	}
	req.Header.Set("Accept", typeManifest)
	manifest, err := do(client, req)
	if err == nil { // before it is deleted: a killed test loses nothing
		err = writeFile(filepath.Join(l.unpublished(), url.PathEscape(s.image+":"+tag)), manifest, 0o644)
	}
	if err == nil {
		req, err = http.NewRequestWithContext(ctx, http.MethodDelete, base+digest(manifest), nil)
	}
	if err == nil {
		_, err = do(client, req)
	}
	if err != nil {
		return fmt.Errorf("unpublish %s %s: %w", service, tag, err)
	}
	return nil
}

func (l *Lab) unpublished() string { return filepath.Join(l.Root, "unpublished") }

// republish puts back what Unpublish deleted: its blobs are still there.
func (l *Lab) republish(ctx context.Context) error {
	files, err := os.ReadDir(l.unpublished())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("republish: %w", err)
	}
	r := registry{base: "http://" + l.RegistryAddr, client: &http.Client{Timeout: 5 * time.Second}}
	defer r.client.CloseIdleConnections()
	for _, f := range files {
		path := filepath.Join(l.unpublished(), f.Name())
		manifest, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("republish: %w", err)
		}
		name, err := url.PathUnescape(f.Name())
		if err != nil {
			return fmt.Errorf("republish %s: %w", path, err)
		}
		image, tag, _ := strings.Cut(name, ":")
		if _, err := r.do(ctx, http.MethodPut, r.base+"/v2/"+image+"/manifests/"+tag, typeManifest, manifest); err != nil {
			return fmt.Errorf("republish: %w", err)
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("republish: %w", err)
		}
	}
	return nil
}

// EngineEvents gives what a host's Engine did with containers of a service since a time: "create", "start", "destroy"...
func (l *Lab) EngineEvents(ctx context.Context, host, service string, since time.Time) ([]string, error) {
	at := func(t time.Time) string { return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond()) }
	out, err := l.inHost(ctx, host, "docker", "events", "--since", at(since),
		"--until", at(time.Now()), "--filter", "type=container", "--filter", "label=com.docker.compose.service="+service, "--format", "{{.Action}}")
	if err != nil {
		return nil, err
	}
	return strings.Fields(out), nil
}

// mendHost undoes the faults of one host that lie below its servers: cable, disks, clock, a frozen sshd.
func (l *Lab) mendHost(ctx context.Context, host string) error {
	if err := errors.Join(l.PlugCable(ctx, host), l.ThawSSHD(host), l.SkewClock(ctx, host, 0)); err != nil {
		return err
	}
	mounts, err := l.inHost(ctx, host, "cat", "/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for _, dir := range fullDisks(mounts) {
		if err := l.EmptyDisk(ctx, host, dir); err != nil {
			return err
		}
	}
	return nil
}

// fullDisks are the folders on which FillDisk has put a disk, the last first.
func fullDisks(mountinfo string) []string {
	var out []string
	for line := range strings.Lines(mountinfo) {
		mount, fs, ok := strings.Cut(line, " - ")
		f, of := strings.Fields(mount), strings.Fields(fs)
		if ok && len(f) > 4 && len(of) > 1 && of[1] == full {
			out = append([]string{f[4]}, out...)
		}
	}
	return out
}
