package machine

import (
	"io/fs"
	"path"
	"slices"
)

// find knows two calls only: the listing of a folder of backups (remote/store), and that of the consoles' lock folder,
// with its clock, its folders and what they say (sources/locks).
func (c *call) find(args []string) int {
	if len(args) == 7 && slices.Equal(args[1:], []string{"-maxdepth", "1", "-type", "f", "-printf", `%s %T@ %f\0`}) {
		return c.listing(args[0])
	}
	const listing = 38
	if len(args) != listing {
		return c.fail(1, "find: only the listing of locks is known here")
	}
	dir := args[0]
	want := []string{
		dir, "-maxdepth", "2", "-path", args[4], "-exec", "date", "+now %s", ";",
		"-o", "-type", "d", "-exec", "stat", "-c", "dir %Y %n", "{}", ";",
		"-o", "-type", "f", "-name", "owner.json", "-exec", "stat",
	}
	if !slices.Equal(args[:len(want)], want) {
		return c.fail(1, "find: only the listing of locks is known here")
	}
	folders, err := fs.ReadDir(c.m.root.FS(), c.file(dir))
	if err != nil {
		return c.fail(1, "find: '%s': %s", dir, words(err))
	}
	c.say("now %d", c.m.World.Now().Unix())
	for _, f := range folders {
		info, err := f.Info()
		if err != nil || !f.IsDir() {
			continue
		}
		name := path.Join(dir, f.Name())
		c.say("dir %d %s", info.ModTime().Unix(), name)
		own := path.Join(name, "owner.json")
		if data, err := c.m.root.ReadFile(c.file(own)); err == nil {
			c.say("own %s", own)
			_, _ = c.stdout.Write(append(data[:min(len(data), 4096):min(len(data), 4096)], '\n'))
		}
	}
	return 0
}
