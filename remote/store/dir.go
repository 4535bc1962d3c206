package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/nexgate-hq/nexops/remote"
)

// dir is a folder of a host, or of this machine.
type dir struct {
	host remote.Host
	name string // of the host; "" is this machine
	path string
}

// english makes programs speak as this package reads.
var english = map[string]string{"LC_ALL": "C"}

// maxObjects is how many files of a folder are looked at.
const maxObjects = 10_000

func (d *dir) String() string {
	if d.name == "" {
		return d.path
	}
	return d.name + ":" + d.path
}

func (d *dir) Host() string { return d.name }

func (d *dir) at(name string) string { return path.Join(d.path, name) }

// run runs one reading command to its end.
func (d *dir) run(ctx context.Context, argv ...string) (remote.Result, error) {
	res, err := d.host.Run(ctx, remote.Command{Argv: argv, Env: english})
	if err != nil {
		return res, err //nolint:wrapcheck // it names the host and the program
	}
	return res, Exit(argv[0], res)
}

// Exit is the error of a program that ended with another code than 0: with the last that it said.
func Exit(program string, res remote.Result) error {
	if res.Code == 0 {
		return nil
	}
	for _, out := range [][]byte{res.Stderr, res.Stdout} {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if last := remote.Clean(lines[len(lines)-1]); last != "" {
			return &ExitError{Program: program, Code: res.Code, Said: last}
		}
	}
	return &ExitError{Program: program, Code: res.Code}
}

// ExitError is a program that ran and did not succeed.
type ExitError struct {
	Program string
	Code    int
	Said    string
}

func (e *ExitError) Error() string {
	if e.Said == "" {
		return fmt.Sprintf("%s: exit code %d", remote.Clean(e.Program), e.Code)
	}
	return fmt.Sprintf("%s: %s", remote.Clean(e.Program), e.Said)
}

// missing reports a program's complaint that a path is not there.
func missing(err error) bool {
	var exit *ExitError
	return errors.As(err, &exit) && strings.Contains(exit.Said, "No such file or directory")
}

// List reads the folder by find, whose records end with a NUL: a name may hold anything else.
func (d *dir) List(ctx context.Context) ([]Object, error) {
	res, err := d.run(ctx, "find", d.path, "-maxdepth", "1", "-type", "f", "-printf", `%s %T@ %f\0`)
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []Object
	for record := range bytes.SplitSeq(res.Stdout, []byte{0}) {
		if o, ok := parseObject(string(record)); ok {
			out = append(out, o)
		}
	}
	if res.Truncated || len(out) > maxObjects {
		return nil, fmt.Errorf("%s holds more than %d files: give the backups a folder of their own", d, maxObjects)
	}
	return out, nil
}

// parseObject reads "SIZE SECONDS NAME".
func parseObject(record string) (Object, bool) {
	size, rest, ok := strings.Cut(record, " ")
	seconds, name, ok2 := strings.Cut(rest, " ")
	n, err := strconv.ParseInt(size, 10, 64)
	if !ok || !ok2 || err != nil || n < 0 || name == "" || strings.ContainsFunc(name, isControl) {
		return Object{}, false
	}
	whole, _, _ := strings.Cut(seconds, ".")
	at, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return Object{}, false
	}
	return Object{Name: name, Size: n, Modified: time.Unix(at, 0).UTC()}, true
}

// Get reads a small file.
func (d *dir) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	res, err := d.run(ctx, "head", "-c", strconv.FormatInt(limit+1, 10), "--", d.at(name))
	if err != nil {
		return nil, err
	}
	if int64(len(res.Stdout)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", remote.Clean(name), limit)
	}
	return res.Stdout, nil
}

// Free asks df for the folder, or for the nearest one above it that is there.
func (d *dir) Free(ctx context.Context) (int64, bool, error) {
	for p := d.path; ; p = path.Dir(p) {
		res, err := d.run(ctx, "df", "-Pk", "--", p)
		if missing(err) && p != "/" {
			continue
		}
		if err != nil {
			return 0, false, err
		}
		free, err := ParseFree(res.Stdout)
		return free, err == nil, err
	}
}

// ParseFree reads the bytes that are available of what `df -Pk` prints for one path.
func ParseFree(out []byte) (int64, error) {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	// The device may hold blanks: from the mount point the fields are counted from the percent sign back.
	fields := strings.Fields(lines[len(lines)-1])
	for i := len(fields) - 1; i > 0; i-- {
		if !strings.HasSuffix(fields[i], "%") {
			continue
		}
		if kib, err := strconv.ParseInt(fields[i-1], 10, 64); err == nil && kib >= 0 {
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("df: %q is no answer of `df -Pk`", remote.Clean(lines[len(lines)-1]))
}

func (d *dir) call(argv ...string) Call {
	return Call{Host: d.name, Argv: argv, Run: func(ctx context.Context, in io.Reader, out io.Writer) error {
		return Run(ctx, d.host, argv, in, out)
	}}
}

// Run runs argv on a host as a Call does.
func Run(ctx context.Context, h remote.Host, argv []string, in io.Reader, out io.Writer) error {
	res, err := h.Run(ctx, remote.Command{Argv: argv, Stdin: in, Stdout: out})
	if err != nil {
		return err //nolint:wrapcheck // it names the host and the program
	}
	return Exit(argv[0], res)
}

// Make makes the folder, which only its owner may read.
func (d *dir) Make() []Call { return []Call{d.call("mkdir", "-p", "-m", "0700", "--", d.path)} }

// Write makes an empty file that only its owner may read, and then fills it: what a shell's umask would
// leave open is never so for a moment.
func (d *dir) Write(name string) []Call {
	return []Call{
		d.call("install", "-m", "0600", "/dev/null", d.at(name)),
		d.call("dd", "of="+d.at(name), "bs=1M", "iflag=fullblock", "conv=fsync", "status=none"),
	}
}

// Read gives the file.
func (d *dir) Read(name string) Call { return d.call("cat", "--", d.at(name)) }

// Rename is mv within the folder.
func (d *dir) Rename(from, to string) (Call, bool) {
	return d.call("mv", "-f", "--", d.at(from), d.at(to)), true
}

// perCall is how many files one command removes: its argv stays far below every bound.
const perCall = 50

// Remove removes files, some at a time.
func (d *dir) Remove(names ...string) []Call {
	var out []Call
	for len(names) > 0 {
		n := min(len(names), perCall)
		argv := []string{"rm", "-f", "--"}
		for _, name := range names[:n] {
			argv = append(argv, d.at(name))
		}
		out, names = append(out, d.call(argv...)), names[n:]
	}
	return out
}

// Broken are the files that are still called partial.
func (d *dir) Broken(ctx context.Context, job string) ([]Call, []string, error) {
	list, err := d.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	var names []string
	for _, o := range list {
		if _, ext, ok := Own(job, o.Name); ok && strings.HasSuffix(ext, Partial) {
			names = append(names, o.Name)
		}
	}
	return d.Remove(names...), names, nil
}
