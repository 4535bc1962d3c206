package machine

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxFile bounds what a command reads or writes: these are configuration files.
const maxFile = 8 << 20

func (c *call) cat(args []string) int {
	_, paths, ok := c.options(args, "")
	if !ok {
		return 1
	}
	code := 0
	for _, p := range paths {
		data, err := c.m.root.ReadFile(c.file(p))
		if c.abs(p) == "/proc/meminfo" {
			data, err = c.meminfo(), nil
		}
		if err != nil {
			code = c.fail(1, "cat: %s: %s", p, words(err))
			continue
		}
		_, _ = c.stdout.Write(data)
	}
	return code
}

// meminfo is what the kernel says of memory: half of the host's is in use.
func (c *call) meminfo() []byte {
	const kb = 1 << 10
	h, _ := c.m.World.Host(c.m.Name)
	return fmt.Appendf(nil, "MemTotal:       %d kB\nMemFree:        %d kB\nMemAvailable:   %d kB\n", h.Memory/kb, h.Memory/4/kb, h.Memory/2/kb)
}

func (c *call) tee(args []string) int {
	_, paths, ok := c.options(args, "")
	if !ok {
		return 1
	}
	data, err := io.ReadAll(io.LimitReader(c.stdin, maxFile))
	if err != nil {
		return c.fail(1, "tee: read error: %s", words(err))
	}
	_, _ = c.stdout.Write(data)
	code := 0
	for _, p := range paths {
		if err := c.m.root.WriteFile(c.file(p), data, 0o644); err != nil { //nolint:gosec // as tee does
			code = c.fail(1, "tee: %s: %s", p, words(err))
		}
	}
	return code
}

func (c *call) cp(args []string) int {
	_, p, ok := c.options(args, "p")
	if !ok {
		return 1
	}
	if len(p) != 2 {
		return c.fail(1, "cp: missing file operand")
	}
	info, err := c.m.root.Stat(c.file(p[0]))
	if err != nil {
		return c.fail(1, "cp: cannot stat '%s': %s", p[0], words(err))
	}
	data, err := c.m.root.ReadFile(c.file(p[0]))
	if err != nil {
		return c.fail(1, "cp: cannot open '%s' for reading: %s", p[0], words(err))
	}
	if err := c.m.root.WriteFile(c.file(p[1]), data, info.Mode().Perm()); err != nil {
		return c.fail(1, "cp: cannot create regular file '%s': %s", p[1], words(err))
	}
	return 0
}

func (c *call) mv(args []string) int {
	_, p, ok := c.options(args, "fT")
	if !ok {
		return 1
	}
	if len(p) != 2 {
		return c.fail(1, "mv: missing file operand")
	}
	to := c.file(p[1])
	if info, err := c.m.root.Stat(to); err == nil && info.IsDir() {
		to = path.Join(to, path.Base(c.file(p[0])))
	}
	if err := c.m.root.Rename(c.file(p[0]), to); err != nil {
		return c.fail(1, "mv: cannot move '%s' to '%s': %s", p[0], p[1], words(err))
	}
	return 0
}

func (c *call) mkdir(args []string) int {
	mode := fs.FileMode(0o755)
	if i := slices.Index(args, "-m"); i >= 0 && i+1 < len(args) {
		n, err := strconv.ParseUint(args[i+1], 8, 32)
		if err != nil {
			return c.fail(1, "mkdir: invalid mode '%s'", args[i+1])
		}
		mode, args = fs.FileMode(n), slices.Delete(slices.Clone(args), i, i+2)
	}
	flags, paths, ok := c.options(args, "p")
	if !ok {
		return 1
	}
	code := 0
	for _, p := range paths {
		make := c.m.root.Mkdir
		if strings.Contains(flags, "p") {
			make = c.m.root.MkdirAll
		}
		if err := make(c.file(p), mode); err != nil {
			code = c.fail(1, "mkdir: cannot create directory '%s': %s", p, words(err))
		}
	}
	return code
}

func (c *call) rm(args []string) int {
	flags, paths, ok := c.options(args, "rRf")
	if !ok {
		return 1
	}
	code := 0
	for _, p := range paths {
		f := c.file(p)
		info, err := c.m.root.Lstat(f)
		switch {
		case os.IsNotExist(err) && strings.Contains(flags, "f"):
		case err != nil:
			code = c.fail(1, "rm: cannot remove '%s': %s", p, words(err))
		case f == ".":
			code = c.fail(1, "rm: it is dangerous to operate recursively on '/'")
		case info.IsDir() && !strings.ContainsAny(flags, "rR"):
			code = c.fail(1, "rm: cannot remove '%s': Is a directory", p)
		default:
			if err := c.m.root.RemoveAll(f); err != nil {
				code = c.fail(1, "rm: cannot remove '%s': %s", p, words(err))
			}
		}
	}
	return code
}

// readlink -f: the real path. Only the last part may be missing.
func (c *call) readlink(args []string) int {
	flags, p, ok := c.options(args, "f")
	if !ok || flags != "f" || len(p) != 1 {
		return c.fail(1, "readlink: only -f with one path is known here")
	}
	abs := c.abs(p[0])
	real, err := filepath.EvalSymlinks(filepath.Join(c.m.folder, abs))
	if err == nil {
		return c.say("%s", c.m.inside(real))
	}
	parent, err := filepath.EvalSymlinks(filepath.Join(c.m.folder, path.Dir(abs)))
	if err != nil {
		return 1
	}
	return c.say("%s", path.Join(c.m.inside(parent), path.Base(abs)))
}

// inside turns a path of the real machine into one of the simulated one.
func (m *Machine) inside(real string) string {
	if rest, ok := strings.CutPrefix(real, m.folder); ok {
		return path.Clean("/" + filepath.ToSlash(rest))
	}
	return "/"
}

func (c *call) stat(args []string) int {
	formats := map[string]func(info fs.FileInfo) string{
		"%Y":    func(info fs.FileInfo) string { return strconv.FormatInt(info.ModTime().Unix(), 10) },
		"%u %f": func(info fs.FileInfo) string { return fmt.Sprintf("0 %x", rawMode(info.Mode())) },
	}
	if len(args) < 3 || args[0] != "-c" || formats[args[1]] == nil {
		return c.fail(1, "stat: only -c with %%Y or \"%%u %%f\" is known here")
	}
	for _, name := range args[2:] {
		info, err := c.m.root.Lstat(c.file(name))
		if err != nil {
			return c.fail(1, "stat: cannot statx '%s': %s", name, words(err))
		}
		c.say("%s", formats[args[1]](info))
	}
	return 0
}

// rawMode is st_mode as a host has it.
func rawMode(m fs.FileMode) uint32 {
	const folder, regular, link, sticky = 0o040000, 0o100000, 0o120000, 0o1000
	raw := uint32(m.Perm())
	switch {
	case m.IsDir():
		raw |= folder
	case m&fs.ModeSymlink != 0:
		raw |= link
	default:
		raw |= regular
	}
	if m&fs.ModeSticky != 0 {
		raw |= sticky
	}
	return raw
}

// hide is a writer that shows paths of the real machine as the simulated one's.
type hide struct {
	to     io.Writer
	folder []byte
}

// Write passes p on. A path split between two writes is not found: git writes whole lines.
func (h hide) Write(p []byte) (int, error) {
	if _, err := h.to.Write(bytes.ReplaceAll(p, h.folder, nil)); err != nil {
		return 0, err //nolint:wrapcheck // a writer is what it wraps
	}
	return len(p), nil
}
