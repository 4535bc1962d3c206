package real

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clean removes everything the lab ever made on this machine and nothing else:
// processes, namespaces, links, cgroups, mounts, files. It needs no state, so it
// works after a kill at any moment, and on a machine without a lab it does nothing.
func (p places) clean(ctx context.Context) error {
	if err := os.Remove(p.state()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the lab's state: %w", err)
	}
	if err := p.killAll(ctx); err != nil {
		return err
	}
	p.sweep()
	var errs []error
	errs = append(errs, removeNetwork(ctx), p.removeNetnsFolder(), removeCgroups(ctx), p.unmount())
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := os.RemoveAll(p.root); err != nil {
		return fmt.Errorf("remove the lab's folder: %w", err)
	}
	return nil
}

// killAll ends the lab's processes. New ones may come while it looks (a shell
// forks, a container restarts), so it looks until there are none.
func (p places) killAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return until(ctx, "the lab's processes to end", 50*time.Millisecond, func(context.Context) error {
		mine, err := p.mine()
		if err != nil {
			return err
		}
		if len(mine) == 0 {
			return nil
		}
		for _, e := range mine {
			if e.alive() {
				_ = syscall.Kill(e.PID, syscall.SIGKILL) // ended meanwhile: as wanted
			}
		}
		return fmt.Errorf("%d still there, first %d", len(mine), mine[0].PID)
	})
}

// mine are the living processes that are the lab's: recorded in the ledger, in
// one of its network namespaces, in one of its cgroups, or carrying its marker.
func (p places) mine() ([]process, error) {
	out, err := p.recorded()
	if err != nil {
		return nil, err
	}
	spaces := labNamespaces()
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil || pid == os.Getpid() || !p.owns(pid, spaces) {
			continue
		}
		st, err := readStat(pid)
		if err != nil || st.state == 'Z' || st.state == 'X' {
			continue
		}
		e := process{PID: pid, Start: st.start}
		if !slices.ContainsFunc(out, func(o process) bool { return o.PID == e.PID && o.Start == e.Start }) {
			out = append(out, e)
		}
	}
	return out, nil
}

func (p places) owns(pid int, spaces map[uint64]bool) bool {
	dir := fmt.Sprintf("/proc/%d/", pid)
	if fi, err := os.Stat(dir + "ns/net"); err == nil {
		if st, ok := fi.Sys().(*syscall.Stat_t); ok && spaces[st.Ino] {
			return true
		}
	}
	if b, err := os.ReadFile(dir + "cgroup"); err == nil && strings.Contains(string(b), ":/"+prefix) {
		return true
	}
	b, err := os.ReadFile(dir + "environ")
	return err == nil && slices.Contains(strings.Split(string(b), "\x00"), marker+"="+p.root)
}

// labNamespaces are the inode numbers of the lab's network namespaces.
func labNamespaces() map[uint64]bool {
	out := map[uint64]bool{}
	names, err := filepath.Glob("/run/netns/" + prefix + "*")
	if err != nil {
		return out
	}
	for _, n := range names {
		fi, err := os.Stat(n)
		if err != nil {
			continue
		}
		if st, ok := fi.Sys().(*syscall.Stat_t); ok {
			out[st.Ino] = true
		}
	}
	return out
}

func removeNetwork(ctx context.Context) error {
	var errs []error
	if _, err := os.Stat("/sys/class/net/" + consoleLink); err == nil {
		_, err := run(ctx, "ip", "link", "del", consoleLink)
		errs = append(errs, err)
	}
	names, err := filepath.Glob("/run/netns/" + prefix + "*")
	errs = append(errs, err)
	for _, n := range names {
		_, err := run(ctx, "ip", "netns", "del", filepath.Base(n))
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove the lab's network: %w", err)
	}
	return nil
}

// removeCgroups removes the hosts' cgroups in every hierarchy (one with cgroup
// v2). The kernel lets go of a cgroup a moment after its last process.
func removeCgroups(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return until(ctx, "the lab's cgroups to be gone", 50*time.Millisecond, func(context.Context) error {
		var errs []error
		for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
			tops, err := filepath.Glob(pattern + prefix + "*")
			errs = append(errs, err)
			for _, top := range tops {
				errs = append(errs, removeTree(top))
			}
		}
		return errors.Join(errs...)
	})
}

// removeTree removes a cgroup from its leaves up; the files in it are the kernel's.
func removeTree(top string) error {
	var dirs []string
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil // a cgroup that goes away meanwhile is what we want
	})
	for _, d := range slices.Backward(dirs) {
		if rmErr := os.Remove(d); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
	}
	return err
}

// unmount lets go of anything still mounted under the lab's folder: deleting
// through a mount would delete what it shows.
func (p places) unmount() error {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("read the mounts: %w", err)
	}
	for _, m := range slices.Backward(mountsUnder(string(b), p.root)) {
		if err := syscall.Unmount(m, syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", m, err)
		}
	}
	return nil
}

func mountsUnder(mountinfo, root string) []string {
	var out []string
	for line := range strings.Lines(mountinfo) {
		f := strings.Fields(line)
		if len(f) > 4 && (f[4] == root || strings.HasPrefix(f[4], root+"/")) {
			out = append(out, f[4])
		}
	}
	return out
}
