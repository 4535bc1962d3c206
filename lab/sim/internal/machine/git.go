package machine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// gitCommands are the subcommands that run here: those that stay in a checkout and its origin.
func gitAllowed(sub string) bool {
	return slices.Contains([]string{
		"add", "branch", "cat-file", "checkout", "commit", "diff", "fetch", "log", "ls-files", "ls-remote", "merge", "merge-base", "pull", "push",
		"remote", "reset", "restore", "rev-parse", "show", "status", "switch", "version",
	}, sub)
}

// git runs the real git on a folder of the machine.
func (c *call) git(ctx context.Context, args []string) int {
	dir := c.dir
	for len(args) >= 2 && args[0] == "-C" {
		dir = (&call{m: c.m, dir: dir}).abs(args[1])
		args = args[2:]
	}
	if len(args) == 0 {
		return c.fail(1, "usage: git [-C <path>] <command> [<args>]")
	}
	if !gitAllowed(args[0]) {
		return c.fail(1, "git: '%s' is not a git command. See 'git --help'.", args[0])
	}
	for _, a := range args[1:] {
		for _, bad := range []string{"--upload-pack", "--receive-pack", "--exec", "--output", "-o"} {
			if a == bad || strings.HasPrefix(a, bad+"=") {
				return c.fail(129, "error: option '%s' is not known here", a)
			}
		}
	}
	info, err := c.m.root.Stat(rel(dir))
	if err != nil || !info.IsDir() {
		return c.fail(128, "fatal: cannot change to '%s': No such file or directory", dir)
	}
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", filepath.Join(c.m.folder, dir)}, args...)...) //nolint:gosec // a listed subcommand
	cmd.Env = c.m.gitEnv()
	if slices.Contains(args, "--batch") { // the others do not read: they would wait for the end of what nobody sends
		asked, err := io.ReadAll(io.LimitReader(c.stdin, maxFile))
		if err != nil {
			return c.fail(128, "fatal: %v", err)
		}
		cmd.Stdin = bytes.NewReader(asked)
	}
	cmd.Stdout = hide{c.stdout, []byte(c.m.folder)}
	cmd.Stderr = hide{c.stderr, []byte(c.m.folder)}
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return exit.ExitCode()
	default:
		return c.fail(128, "fatal: %v", err)
	}
}

// gitEnv keeps the person's own git configuration out, and the checkout's folder from being looked for above the root.
func (m *Machine) gitEnv() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(m.folder, home), "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_TERMINAL_PROMPT=0",
		"GIT_CEILING_DIRECTORIES=" + m.folder,
		"GIT_AUTHOR_NAME=deploy", "GIT_AUTHOR_EMAIL=deploy@" + m.Name + ".nexgate.internal",
		"GIT_COMMITTER_NAME=deploy", "GIT_COMMITTER_EMAIL=deploy@" + m.Name + ".nexgate.internal",
	}
}
