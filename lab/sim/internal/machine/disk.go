package machine

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// room is what df -Pk says: half of every simulated disk is free.
func (c *call) room() int {
	const size = 80 << 20
	_ = c.say("Filesystem 1024-blocks Used Available Capacity Mounted on")
	return c.say("/dev/vda1 %d %d %d 50%% /", size, size/2, size/2)
}

func (c *call) diskFree(args []string) int {
	_, p, ok := c.options(args, "Pk")
	if !ok {
		return 1
	}
	for _, path := range p {
		if _, err := c.m.root.Stat(c.file(path)); err != nil {
			return c.fail(1, "df: %s: %s", path, words(err))
		}
	}
	return c.room()
}

// install knows the making of an empty file: install -m MODE /dev/null FILE.
func (c *call) install(args []string) int {
	if len(args) != 4 || args[0] != "-m" || args[2] != "/dev/null" {
		return c.fail(1, "install: only -m MODE /dev/null FILE is known here")
	}
	mode, err := strconv.ParseUint(args[1], 8, 9)
	if err == nil {
		err = c.m.root.WriteFile(c.file(args[3]), nil, fs.FileMode(mode))
	}
	if err != nil {
		return c.fail(1, "install: cannot create regular file '%s': %s", args[3], words(err))
	}
	return 0
}

// dd writes what it reads into of=FILE.
func (c *call) dd(args []string) int {
	i := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "of=") })
	if i < 0 {
		return c.fail(1, "dd: only of=FILE is known here")
	}
	name := strings.TrimPrefix(args[i], "of=")
	f, err := c.m.root.OpenFile(c.file(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return c.fail(1, "dd: failed to open '%s': %s", name, words(err))
	}
	_, err = io.Copy(f, io.LimitReader(c.stdin, maxFile))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return c.fail(1, "dd: error writing '%s': %s", name, words(err))
	}
	return 0
}

// head knows -c N -- FILE.
func (c *call) head(args []string) int {
	if len(args) != 4 || args[0] != "-c" || args[2] != "--" {
		return c.fail(1, "head: only -c BYTES -- FILE is known here")
	}
	n, err := strconv.Atoi(args[1])
	if err != nil || n < 0 {
		return c.fail(1, "head: invalid number of bytes: '%s'", args[1])
	}
	data, err := c.m.root.ReadFile(c.file(args[3]))
	if err != nil {
		return c.fail(1, "head: cannot open '%s' for reading: %s", args[3], words(err))
	}
	_, _ = c.stdout.Write(data[:min(n, len(data))])
	return 0
}

// listing is find's size, time and name of every file of a folder.
func (c *call) listing(dir string) int {
	entries, err := fs.ReadDir(c.m.root.FS(), c.file(dir))
	if err != nil {
		return c.fail(1, "find: '%s': %s", dir, words(err))
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		_, _ = fmt.Fprintf(c.stdout, "%d %d.0000000000 %s\x00", info.Size(), info.ModTime().Unix(), e.Name())
	}
	return 0
}
