package real

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// networksInUse are the networks this machine has addresses in or routes to.
func networksInUse() ([]netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list this machine's addresses: %w", err)
	}
	var out []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			out = append(out, p.Masked())
		}
	}
	f, err := os.Open("/proc/net/route")
	if err != nil {
		return nil, fmt.Errorf("list this machine's routes: %w", err)
	}
	defer func() { _ = f.Close() }()
	return append(out, parseRoutes(f)...), nil
}

// parseRoutes reads /proc/net/route; the default route touches nothing in particular and is left out.
func parseRoutes(r io.Reader) []netip.Prefix {
	var out []netip.Prefix
	for s := bufio.NewScanner(r); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) < 8 {
			continue
		}
		dst, err1 := hex.DecodeString(f[1])
		mask, err2 := hex.DecodeString(f[7])
		if err1 != nil || err2 != nil || len(dst) != 4 || len(mask) != 4 {
			continue
		}
		var a, m [4]byte
		binary.BigEndian.PutUint32(a[:], binary.LittleEndian.Uint32(dst))
		binary.BigEndian.PutUint32(m[:], binary.LittleEndian.Uint32(mask))
		bits, _ := net.IPMask(m[:]).Size()
		if bits > 0 {
			out = append(out, netip.PrefixFrom(netip.AddrFrom4(a), bits))
		}
	}
	return out
}

// makeNetwork makes the switch and this machine's own end. The switch has its own
// namespace, so that the machine's forwarding rules (a Docker of its own, say)
// have no say in what the hosts send one another.
func (p places) makeNetwork(ctx context.Context, subnet netip.Prefix) error {
	if err := p.noteNetnsFolder(); err != nil {
		return err
	}
	me := fmt.Sprintf("%s/%d", at(subnet, 1), subnet.Bits())
	return runAll(ctx, [][]string{
		{"ip", "netns", "add", lan},
		{"ip", "-n", lan, "link", "set", "lo", "up"},
		{"ip", "-n", lan, "link", "add", "br0", "type", "bridge"},
		{"ip", "-n", lan, "link", "set", "br0", "up"},
		{"ip", "link", "add", consoleLink, "type", "veth", "peer", "name", "console", "netns", lan},
		{"ip", "-n", lan, "link", "set", "console", "master", "br0", "up"},
		{"ip", "addr", "add", me, "dev", consoleLink},
		{"ip", "link", "set", consoleLink, "up"},
	})
}

const netnsFolder = "/run/netns"

func (p places) netnsNote() string { return filepath.Join(p.root, "made-netns-folder") }

// noteNetnsFolder notes that `ip netns` is about to make and mount its folder,
// which it never removes: then the lab does, when it was the lab that caused it.
func (p places) noteNetnsFolder() error {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("read the mounts: %w", err)
	}
	if len(mountsUnder(string(b), netnsFolder)) > 0 {
		return nil
	}
	return writeFile(p.netnsNote(), nil, 0o644)
}

// removeNetnsFolder undoes that, unless somebody else's namespaces are in it now.
func (p places) removeNetnsFolder() error {
	if _, err := os.Stat(p.netnsNote()); err != nil {
		return nil
	}
	if names, err := os.ReadDir(netnsFolder); err != nil || len(names) > 0 {
		return nil
	}
	if err := syscall.Unmount(netnsFolder, 0); err != nil && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("unmount %s: %w", netnsFolder, err)
	}
	if err := os.Remove(netnsFolder); err != nil {
		return fmt.Errorf("remove %s: %w", netnsFolder, err)
	}
	return nil
}

// joinNetwork makes a host's namespace and its port on the switch. It has no
// default route: nothing of the lab leaves the machine.
func joinNetwork(ctx context.Context, name, addr string) error {
	ns := prefix + name
	return runAll(ctx, [][]string{
		{"ip", "netns", "add", ns},
		{"ip", "-n", lan, "link", "add", "to-" + name, "type", "veth", "peer", "name", "eth0", "netns", ns},
		{"ip", "-n", lan, "link", "set", "to-" + name, "master", "br0", "up"},
		{"ip", "-n", ns, "link", "set", "lo", "up"},
		{"ip", "-n", ns, "addr", "add", addr, "dev", "eth0"},
		{"ip", "-n", ns, "link", "set", "eth0", "up"},
	})
}

func runAll(ctx context.Context, cmds [][]string) error {
	for _, c := range cmds {
		if _, err := run(ctx, c...); err != nil {
			return err
		}
	}
	return nil
}
