package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nexgate-hq/nexops/remote"
)

// Repo is this console's own bare copy of the infra repo. Commits are made in it without a
// working tree, and nothing but a push leaves it.
type Repo struct {
	Branch  string
	dir     string
	url     string
	environ []string
}

// gitTimeout bounds one call of git over the network.
const gitTimeout = 45 * time.Second

// keptGit are git's own variables that say how a remote is reached. The others, left by a hook
// that nexops was started from, would send every call to another repository.
var keptGit = []string{
	"GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_PROXY_COMMAND", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_EXEC_PATH",
}

// argv is the whole of a git call, as it is shown and run.
func (r *Repo) argv(args ...string) []string {
	return append([]string{"git", "-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false", "-c", "gc.auto=0", "--git-dir=" + r.dir}, args...)
}

// gitError is a git that ran and failed.
type gitError struct {
	what   string
	stderr string
	err    error
}

// Error is what git said, on one line.
func (e *gitError) Error() string {
	said := ""
	for _, l := range strings.Split(e.stderr, "\n") {
		l = remote.Clean(l)
		for _, p := range []string{"fatal: ", "error: ", "remote: "} {
			l = strings.TrimPrefix(l, p)
		}
		if l != "" && !strings.HasPrefix(l, "hint:") {
			said = orElse(said, l)
		}
	}
	return fmt.Sprintf("git %s: %s", e.what, orElse(said, e.err.Error()))
}

func (e *gitError) Unwrap() error { return e.err }

// git runs one call to its end.
func (r *Repo) git(ctx context.Context, stdin []byte, env []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	argv := r.argv(args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // argv of our own making
	cmd.Env = append(slices.Clone(r.environ), env...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr head
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A session of its own: ssh finds no terminal to ask on, and all that git started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		return stdout.String(), &gitError{what: args[0], stderr: stderr.String(), err: err}
	}
	if stdout.more {
		return "", &gitError{what: args[0], err: fmt.Errorf("more than %d MiB came", maxGitOutput>>20)}
	}
	return stdout.String(), nil
}

// maxGitOutput bounds what is kept of one call: what others push is not ours to trust.
const maxGitOutput = 4 << 20

// head keeps the beginning of what is written to it.
type head struct {
	kept bytes.Buffer // not embedded: its ReadFrom would know no bound
	more bool
}

// Write takes the next bytes.
func (h *head) Write(p []byte) (int, error) {
	keep := min(len(p), maxGitOutput-h.kept.Len())
	h.more = h.more || keep < len(p)
	_, _ = h.kept.Write(p[:keep])
	return len(p), nil
}

// String is what was kept.
func (h *head) String() string { return h.kept.String() }

// Line runs one call that only reads and gives what it printed.
func (r *Repo) Line(ctx context.Context, args ...string) (string, error) {
	out, err := r.git(ctx, nil, nil, args...)
	return strings.TrimSpace(out), err
}

func (r *Repo) ref() string { return "refs/heads/" + r.Branch }

// Fetch brings the branch up to date and gives its commit.
func (r *Repo) Fetch(ctx context.Context) (string, error) {
	fetch := func() error {
		_, err := r.git(ctx, nil, nil, "fetch", "--quiet", "--no-tags", "--", r.url, "+"+r.ref()+":"+r.ref())
		return err
	}
	err := fetch()
	var said *gitError
	if errors.As(err, &said) && strings.Contains(said.stderr, "cannot lock ref") {
		err = fetch() // another console on this machine has just done the same
	}
	if err != nil {
		return "", err
	}
	return r.Line(ctx, "rev-parse", "--verify", "--quiet", r.ref()+"^{commit}")
}

// File gives the content and mode of a file in a commit.
func (r *Repo) File(ctx context.Context, commit, file string) (content []byte, mode string, err error) {
	entry, err := r.Line(ctx, "ls-tree", "--full-tree", commit, "--", file)
	if err != nil {
		return nil, "", err
	}
	mode, rest, _ := strings.Cut(entry, " ")
	kind, rest, _ := strings.Cut(rest, " ")
	if kind != "blob" || mode == "120000" {
		return nil, "", fmt.Errorf("%s is no file on branch %s", file, r.Branch)
	}
	blob, _, _ := strings.Cut(rest, "\t")
	out, err := r.git(ctx, nil, nil, "cat-file", "blob", blob)
	return []byte(out), mode, err
}

// Tell says who made a commit and what it is: "8f3c1e2 by ana: ai: faster tokenizer".
func (r *Repo) Tell(ctx context.Context, commit string) string {
	out, err := r.Line(ctx, "show", "--no-patch", "--format=%h by %an: %s", commit)
	if err != nil {
		return remote.Clean(commit)
	}
	return remote.Clean(out)
}

// Between counts and names the commits that one has and the other has not.
func (r *Repo) Between(ctx context.Context, from, to string) ([]string, error) {
	out, err := r.Line(ctx, "log", "--format=%h %s", "--max-count=20", from+".."+to)
	if err != nil || out == "" {
		return nil, err
	}
	var list []string
	for _, l := range strings.Split(out, "\n") {
		list = append(list, remote.Clean(l))
	}
	return list, nil
}

// Contains reports whether a commit is on the way to another one.
func (r *Repo) Contains(ctx context.Context, ancestor, commit string) (bool, error) {
	_, err := r.git(ctx, nil, nil, "merge-base", "--is-ancestor", ancestor, commit)
	var exit *exec.ExitError
	if errors.As(err, &exit) && (exit.ExitCode() == 1 || exit.ExitCode() == 128) {
		return false, nil // 128: this copy does not even know it
	}
	return err == nil, err
}
