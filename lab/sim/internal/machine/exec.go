package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/term"

	"github.com/nexgate-hq/nexops/lab/sim/internal/engine"
	"github.com/nexgate-hq/nexops/lab/sim/internal/shellwords"
	"github.com/nexgate-hq/nexops/lab/sim/internal/world"
)

// dockerExec runs a program in a container: a small shell, or one of the few programs that shell knows.
func (c *call) dockerExec(ctx context.Context, args []string) int {
	tty, env, rest, err := execFlags(args)
	switch {
	case err != nil:
		return c.fail(125, "%v", err)
	case len(rest) < 2:
		return c.fail(1, "\"docker exec\" requires at least 2 arguments.")
	case tty && c.tty == nil:
		return c.fail(1, "the input device is not a TTY")
	}
	k, err := c.m.World.Find(c.m.Name, rest[0])
	if err != nil {
		return c.fail(1, "Error response from daemon: No such container: %s", rest[0])
	}
	if k.State != world.Running {
		return c.fail(1, "Error response from daemon: container %s is not running", k.ID)
	}
	in := &inside{c: c, k: k, env: append(slices.Clone(k.Spec.Env), env...), dir: "/", out: c.stdout, err: c.stderr}
	argv := rest[1:]
	if in.isPostgres(argv[0]) {
		return in.postgres(ctx, argv)
	}
	if !in.knows(argv[0]) {
		return c.fail(127, "OCI runtime exec failed: exec failed: unable to start container process: exec: %q: executable file not found in $PATH: unknown", argv[0])
	}
	if path.Base(argv[0]) == "sh" && len(argv) == 1 {
		return in.shell(tty)
	}
	code, _ := in.run(argv)
	return code
}

// containerState is what docker container inspect says of how a container is.
func (c *call) containerState(ref string) int {
	k, err := c.m.World.Find(c.m.Name, ref)
	if err != nil {
		return c.fail(1, "Error: No such container: %s", ref)
	}
	return c.json(map[string]any{"Status": k.State, "Running": k.State == world.Running || k.State == world.Restarting, "Paused": false, "Pid": k.Pid()}, "")
}

func execFlags(args []string) (tty bool, env, rest []string, err error) {
	for len(args) > 0 {
		a := args[0]
		args = args[1:]
		switch {
		case a == "-e" || a == "--env":
			if len(args) == 0 {
				return false, nil, nil, errors.New("flag needs an argument: 'e' in -e")
			}
			env, args = append(env, args[0]), args[1:]
		case a == "-i" || a == "--interactive":
		case a == "-t" || a == "--tty" || a == "-it" || a == "-ti":
			tty = true
		case strings.HasPrefix(a, "-"):
			return false, nil, nil, fmt.Errorf("unknown flag: %s", a)
		default:
			return tty, env, append([]string{a}, args...), nil
		}
	}
	return tty, env, nil, nil
}

// inside is a program that runs in a container.
type inside struct {
	c        *call
	k        *world.Container
	env      []string
	dir      string
	out, err io.Writer
}

// programs are all that a container of this estate holds, besides the service itself.
func programs() []string {
	return []string{"cat", "date", "echo", "env", "false", "help", "hostname", "id", "ls", "ps", "pwd", "sh", "true"}
}

func (in *inside) knows(name string) bool {
	name = strings.TrimPrefix(strings.TrimPrefix(name, "/usr"), "/bin/")
	return slices.Contains(programs(), name)
}

func (in *inside) say(format string, args ...any) { _, _ = fmt.Fprintf(in.out, format+"\n", args...) }

// shell reads commands until exit, or the end of what is typed.
func (in *inside) shell(tty bool) int {
	read := in.lines()
	if tty {
		read = in.keyboard()
	}
	last := 0
	for {
		line, err := read()
		if err != nil {
			return last
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		cmd, err := shellwords.Parse(line)
		if err != nil {
			_, _ = fmt.Fprintf(in.err, "sh: %v: this container is a simulated one, help says what it knows\n", err)
			last = 2
			continue
		}
		if cmd.Argv[0] == "exit" {
			if len(cmd.Argv) > 1 {
				last, _ = strconv.Atoi(cmd.Argv[1])
			}
			return last
		}
		if last, err = in.run(cmd.Argv); err != nil {
			_, _ = fmt.Fprintf(in.err, "sh: %v\n", err)
		}
	}
}

// lines reads commands that are piped in.
func (in *inside) lines() func() (string, error) {
	return func() (string, error) {
		var line []byte
		for {
			var b [1]byte
			n, err := in.c.stdin.Read(b[:])
			if n > 0 && b[0] != '\n' && len(line) < 4096 {
				line = append(line, b[0])
			}
			if n > 0 && b[0] == '\n' || err != nil && len(line) > 0 {
				return string(line), nil
			}
			if err != nil {
				return "", err //nolint:wrapcheck // only whether there is one counts
			}
		}
	}
}

// keyboard reads commands from a terminal: it echoes, edits, and makes line ends of what is printed.
func (in *inside) keyboard() func() (string, error) {
	rw := struct {
		io.Reader
		io.Writer
	}{interrupts{in.c.stdin}, in.c.stdout}
	t := term.NewTerminal(rw, "/ # ")
	size := func() {
		select {
		case s := <-in.c.tty.Resized:
			_ = t.SetSize(s.Columns, s.Rows)
		default:
		}
	}
	_ = t.SetSize(in.c.tty.Size.Columns, in.c.tty.Size.Rows)
	in.out, in.err = t, t
	return func() (string, error) {
		size()
		line, err := t.ReadLine()
		if err != nil {
			_, _ = io.WriteString(in.c.stdout, "\r\n")
		}
		return line, err //nolint:wrapcheck // only whether there is one counts
	}
}

// interrupts makes of Ctrl-C what a shell makes of it: a new line, and nothing run.
type interrupts struct{ r io.Reader }

func (i interrupts) Read(p []byte) (int, error) {
	if len(p) < 2 {
		return i.r.Read(p) //nolint:wrapcheck // passed on
	}
	n, err := i.r.Read(p[:1])
	if n == 1 && p[0] == 3 {
		copy(p, "\x15\r") // forget the line, and end it
		n = 2
	}
	return n, err //nolint:wrapcheck // passed on
}

// run runs one program of the container.
func (in *inside) run(argv []string) (int, error) {
	name, args := path.Base(argv[0]), argv[1:]
	now := in.c.m.World.Now()
	switch name {
	case "true":
	case "false":
		return 1, nil
	case "echo":
		in.say("%s", strings.Join(args, " "))
	case "pwd":
		in.say("%s", in.dir)
	case "hostname":
		in.say("%s", in.k.ID[:12])
	case "id":
		in.say("uid=0(root) gid=0(root) groups=0(root)")
	case "date":
		in.say("%s", now.UTC().Format("Mon Jan _2 15:04:05 UTC 2006"))
	case "env":
		in.say("%s", strings.Join(append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=" + in.k.ID[:12]}, in.env...), "\n"))
	case "ls":
		return in.ls(args)
	case "cat":
		return in.cat(args)
	case "ps":
		in.say("PID   USER     TIME  COMMAND\n    1 root      0:12 %s\n   57 root      0:00 ps", strings.Join(in.k.Spec.Command, " "))
	case "help":
		in.say("a simulated container of %s (%s, %s): it knows %s and exit", in.k.Spec.Service, engine.Status(in.k, now), in.k.Image.Ref(), strings.Join(programs(), ", "))
	case "sh":
		return in.script(args)
	default:
		return 127, fmt.Errorf("%s: not found", argv[0])
	}
	return 0, nil
}

// script is sh -c LINE.
func (in *inside) script(args []string) (int, error) {
	if len(args) != 2 || args[0] != "-c" {
		return 2, errors.New("only sh and sh -c LINE are known here")
	}
	cmd, err := shellwords.Parse(args[1])
	if err != nil {
		_, _ = fmt.Fprintf(in.err, "sh: %v\n", err)
		return 2, nil
	}
	if cmd.Argv[0] == "exit" && len(cmd.Argv) == 2 {
		code, _ := strconv.Atoi(cmd.Argv[1])
		return code, nil
	}
	return in.run(cmd.Argv)
}

// files are what a container holds, by folder.
func (in *inside) files() map[string][]string {
	return map[string][]string{
		"/": {"app", "bin", "etc", "proc", "tmp"}, "/app": {in.k.Spec.Service}, "/bin": programs(), "/etc": {"hostname"}, "/tmp": {}, "/proc": {},
	}
}

func (in *inside) ls(args []string) (int, error) {
	dirs := slices.DeleteFunc(slices.Clone(args), func(a string) bool { return strings.HasPrefix(a, "-") })
	if len(dirs) == 0 {
		dirs = []string{in.dir}
	}
	for _, d := range dirs {
		names, ok := in.files()[path.Clean("/"+d)]
		if !ok {
			_, _ = fmt.Fprintf(in.err, "ls: %s: No such file or directory\n", d)
			return 1, nil
		}
		for _, n := range names {
			in.say("%s", n)
		}
	}
	return 0, nil
}

func (in *inside) cat(args []string) (int, error) {
	for _, a := range args {
		if path.Clean("/"+a) != "/etc/hostname" {
			_, _ = fmt.Fprintf(in.err, "cat: can't open '%s': No such file or directory\n", a)
			return 1, nil
		}
		in.say("%s", in.k.ID[:12])
	}
	return 0, nil
}
